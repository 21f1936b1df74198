"""Messages that we write can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.hl7v2 import NULL, Hl7SyntaxError, Message, MessageBuilder, Separators

AT = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def builder(**changes: object) -> MessageBuilder:
    header: dict = {
        "control_id": "K1",
        "at": AT,
        "sending_application": "ZHIS",
        "sending_facility": [["ZHOSP", "1.2", "ISO"]],
    }
    return MessageBuilder("ADT", "A01", "ADT_A01", **(header | changes))


def test_a_message_is_written_as_the_standard_prints_it() -> None:
    b = (
        builder()
        .segment("EVN", {2: "20240301"})
        .segment(
            "PID",
            {
                1: 1,
                3: [["123", "", "", "HOSP", "MR"], ["9", None, None, ["A", "1.2", "ISO"]]],
                5: [["Smith", "John", ""]],
                8: NULL,
                30: None,
            },
        )
    )
    b.segment("OBX", {5: Decimal("72.50")}).segment("PV1")
    assert b.encode() == (
        b"MSH|^~\\&|ZHIS|ZHOSP^1.2^ISO|||20240301120000+0000||ADT^A01^ADT_A01|K1|P|2.5.1||||||UNICODE UTF-8\r"
        b'EVN||20240301\rPID|1||123^^^HOSP^MR~9^^^A&1.2&ISO||Smith^John|||""\rOBX|||||72.50\rPV1\r'
    )


@pytest.mark.parametrize("separators", [Separators(), Separators("#", "$", "%", "!", "*"), Separators(truncation="#")])
def test_delimiters_in_texts_are_escaped_in_the_messages_own_way(separators: Separators) -> None:
    text = "a|b^c~d\\e&f#g$h\ri\nj"
    m = Message.parse(builder(separators=separators).segment("PID", {5: [[text, [text, text]]]}).encode())
    assert m.separators == separators
    assert m.get("PID-5.1") == m.get("PID-5.2.2") == text


@pytest.mark.parametrize("charset", ["UNICODE UTF-8", "8859/1", "WINDOWS-1252", "UNICODE UTF-16", "GB 18030-2000"])
def test_a_message_is_encoded_as_its_header_says(charset: str) -> None:
    assert (
        Message.parse(builder(charset=charset).segment("PID", {5: [["Müller", "é"]]}).encode()).get("PID-5.1")
        == "Müller"
    )


def test_a_character_that_the_character_set_lacks_is_refused_without_naming_it() -> None:
    with pytest.raises(Hl7SyntaxError, match="use UNICODE UTF-8") as caught:
        builder(charset="8859/1").segment("PID", {5: "李"}).encode()
    assert "李" not in str(caught.value) and caught.value.__suppress_context__


def test_an_unknown_character_set_is_refused() -> None:
    with pytest.raises(Hl7SyntaxError, match="KLINGON"):
        builder(charset="KLINGON")


def test_lists_that_are_nested_too_deep_are_refused() -> None:
    with pytest.raises(TypeError, match="repetitions, components and subcomponents"):
        builder().segment("PID", {3: [[[["x"]]]]})


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_was_built_is_read_back(repetitions: list[list[str]]) -> None:
    field = Message.parse(builder().segment("PID", {3: repetitions, 9: "end"}).encode()).segments[1].field(3)
    assert [[r.component(n + 1) for n in range(len(r.components))] for r in field.repetitions] == repetitions
