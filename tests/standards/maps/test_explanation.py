"""What `healthsync hl7 explain` tells is what the engine did."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import convert
from healthsync.standards.maps.conversion import family_for
from healthsync.standards.maps.explanation import FieldStory, MessageStory, _watched, _Witness, explain

from .golden_pairs import GOLDEN, context, rendered

MESSAGES = sorted(GOLDEN.glob("*.hl7"))


def parsed(text: str) -> Message:
    return Message.parse(text.strip().replace("\n", "\r").encode())


def story_of(*segments: str, event: str = "ORU^R01") -> MessageStory:
    head = rf"MSH|^~\&|ZHIS|ZHOSP|ZHUB|ZHIE|20240301120000+0000||{event}|K1|P|2.5.1"
    return explain(parsed("\n".join([head, *segments])), context())


def told(story: MessageStory, path: str, nth: int = 0) -> FieldStory:
    return [one for segment in story.segments for one in segment.fields if one.path == path][nth]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_watched_conversion_is_the_conversion(path: Path) -> None:
    message = parsed(path.read_text(encoding="utf-8"))
    family, trigger = family_for(message)
    watched = _watched(family, _Witness())(message, trigger, context()).run()
    assert rendered(watched) == rendered(convert(message, context()))


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_every_field_has_a_story_and_the_unmapped_ones_are_those_that_are_counted(path: Path) -> None:
    message = parsed(path.read_text(encoding="utf-8"))
    story = explain(message, context())
    counted = convert(message, context()).unmapped
    unmapped = [one for segment in story.segments for one in segment.fields if one.state == "unmapped"]
    whole = [segment.name for segment in story.segments if segment.state == "unmapped"]
    fields = {one.path for one in unmapped if one.path.partition("-")[0] not in whole}
    assert fields <= set(counted)
    assert set(whole) <= set(counted)
    sent = sum(1 for segment in message.segments for raw in segment.raw_fields[1:] if raw)
    assert sum(len(segment.fields) for segment in story.segments) == sent - 2  # without MSH-1 and MSH-2
    assert all(one.because for one in unmapped if one.path in fields)


def test_a_row_of_the_guide_and_one_of_ours_are_told_apart() -> None:
    story = story_of("PID|1||P1^^^ZHOSP^MR||Wick^Ora||19520416|F")
    assert (told(story, "PID-5").by, told(story, "PID-7").by) == ("guide", "override")
    assert told(story, "PID-5").targets[0].elements == ("name.family", "name.given")
    assert told(story, "PID-7").because.startswith("one converter writes birthDate")


def test_what_a_rule_decides_is_found_by_leaving_the_field_out() -> None:
    story = story_of(
        "PID|1||P1^^^ZHOSP^MR", "OBR|1||F1^LAB|PN^Panel^L|||20240301080000||||||||||||||||||F",
        "OBX|1|NM|T1^Item^L|a|5|mg|||||F",
    )  # fmt: skip
    assert told(story, "OBX-5").state == "rule"
    assert told(story, "OBX-5").targets[0].elements[0].startswith("valueQuantity")
    assert told(story, "OBX-4").targets[0].names
    assert told(story, "OBX-11").targets[0].elements == ("status",)


def test_an_unmapped_field_says_why() -> None:
    story = story_of("PID|1||P1^^^ZHOSP^MR" + 32 * "|" + "DOG", "ZPI|1|x")
    assert told(story, "PID-35").state == "unmapped"
    assert told(story, "PID-35").because == "veterinary"
    assert told(story, "ZPI-2").state == "unmapped"


def test_what_is_deleted_is_told() -> None:
    assert told(story_of('PID|1||P1^^^ZHOSP^MR||A^B|||||""'), "PID-10").state == "deletes"


def test_a_refused_message_is_refused_with_the_sentence_of_the_hub() -> None:
    assert "no PID segment" in story_of("OBX|1|NM|T1||5").refused
    assert "unsupported message type NMD^N02" in story_of("PID|1||P1", event="NMD^N02").refused


def test_the_orc_of_a_test_does_not_hide_what_only_a_prescription_has_a_place_for() -> None:
    story = story_of(
        "PID|1||P1^^^ZHOSP^MR", "ORC|NW|PO1^EHR||||||||77^Clerk", "OBR|1|PO1^EHR||GLU^Glucose^L", event="ORM^O01"
    )
    assert told(story, "ORC-10").state == "unmapped"
