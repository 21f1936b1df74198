"""Messages as senders write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Hl7SyntaxError, Message, Separators, parse_path

HEADER = "MSH|^~\\&|ZHIS|ZHOSP^1.2.3^ISO|ZHUB|ZHIE|20240301120000+0000||ADT^A08^ADT_A01|K\\T\\1|P^T|2.5.1^DEU|||AL|NE"


def parse(*segments: str, end: str = "\r", header: str = HEADER) -> Message:
    return Message.parse(end.join([header, *segments, ""]).encode())


def test_the_header_is_read_by_its_names() -> None:
    m = parse("PID|1")
    assert (m.message_code, m.trigger, m.structure, m.version) == ("ADT", "A08", "ADT_A01", "2.5.1")
    assert (m.sending_application, m.sending_facility) == ("ZHIS", "ZHOSP")
    assert (m.receiving_application, m.receiving_facility) == ("ZHUB", "ZHIE")
    assert (m.timestamp, m.accept_ack_type, m.application_ack_type) == ("20240301120000+0000", "AL", "NE")


def test_the_control_id_is_as_sent_and_its_path_is_text() -> None:
    assert parse().control_id == "K\\T\\1"
    assert parse().get("MSH-10") == "K&1"


def test_the_header_is_numbered_as_in_the_standard() -> None:
    m = parse()
    msh = m.segments[0]
    assert [m.get(f"MSH-{n}") for n in (1, 2, 3)] == ["|", "^~\\&", "ZHIS"]
    assert [msh.field(n).text for n in (1, 2, 3)] == ["|", "^~\\&", "ZHIS"]
    assert msh.field(2).repetitions[0].component(1) == "^~\\&"
    assert msh.field(0).is_empty and len(msh) == 16


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("PID-3", "P1"),
        ("PID.3", "P1"),
        ("PID-3.1", "P1"),
        ("PID-3.4", "ZHOSP"),
        ("PID-3.4.2", "1.2"),
        ("PID-3[2].4.2", "9.9"),
        ("PID-3[3].1", ""),
        ("PID-5.2", "Ora & Lea"),
        ("PID-5.9", ""),
        ("PID-8", '""'),
        ("PID-99", ""),
        ("OBX[2]-5", "second"),
        ("OBX[3]-5", ""),
        ("ZPI-1", "own"),
        ("PV1-2", ""),
        ("DG1-3", ""),
    ],
)
def test_a_path_gives_the_text_at_its_place_or_nothing(path: str, text: str) -> None:
    pid = 'PID|1||P1^^^ZHOSP&1.2&ISO^MR~S2^^^Z&9.9&ISO||Quill^Ora \\T\\ Lea||19341018|""'
    m = parse(pid, "PV1", "OBX|1|ST|||first", "OBX|2|ST|||second", "ZPI|own")
    assert m.get(path) == text


@pytest.mark.parametrize(
    "path",
    ["", "PID", "PID-", "PID-0", "PID-3.0", "pid-3", "PID[0]-3", "PID-3.1.1.1", "PID-3[x]", "PID-٣", "PID-999999"],
)
def test_what_is_no_path_is_refused_with_an_example(path: str) -> None:
    with pytest.raises(InvalidInput, match=r"write it like PID-3\.1"):
        parse_path(path)


def test_null_is_not_empty() -> None:
    pid = parse('PID|1||""~P2|""').segments[1]
    assert pid.field(4).is_null and not pid.field(4).is_empty and pid.field(4)
    assert pid.field(2).is_empty and not pid.field(2).is_null and not pid.field(2)
    assert [r.is_null for r in pid.field(3).repetitions] == [True, False]
    assert not pid.field(3).is_null


def test_empty_repetitions_are_kept_in_their_place() -> None:
    field = parse("PID|1||~P2^^^Z~").segments[1].field(3)
    assert [(r.is_empty, bool(r), r.component(1)) for r in field.repetitions] == [
        (True, False, ""),
        (False, True, "P2"),
        (True, False, ""),
    ]
    assert field.text == ""
    assert parse("PID|1").segments[1].field(3).repetitions == ()


def test_a_repetition_gives_components_subcomponents_and_its_whole_text() -> None:
    repetition = parse("OBX|1|ST|a^b&c\\S\\d^|").segments[1].field(3).repetitions[0]
    assert repetition.components == ("a", "b&c\\S\\d", "")
    assert (
        repetition.component(2) == "b"
        and repetition.component(2, sub=2) == "c^d"
        and repetition.component(2, sub=3) == ""
    )
    assert repetition.subcomponents(2) == ("b", "c^d")
    assert repetition.subcomponents(3) == () == repetition.subcomponents(9)
    assert repetition.text == "a^b&c^d^" and repetition.raw == "a^b&c\\S\\d^"


def test_an_escaped_delimiter_splits_nothing() -> None:
    assert parse("PID|1||||a\\S\\b\\F\\c\\R\\d\\T\\e^x").get("PID-5") == "a^b|c~d&e"


def test_segments_come_in_order_with_their_number_among_their_name() -> None:
    m = parse("OBR|1", "OBX|1", "NTE|1", "OBR|2", "OBX|1", "ZZ9|z")
    assert [(s.name, s.index) for s in m.segments] == [
        ("MSH", 1), ("OBR", 1), ("OBX", 1), ("NTE", 1), ("OBR", 2), ("OBX", 2), ("ZZ9", 1),
    ]  # fmt: skip
    assert [s.raw for s in m.all("OBR")] == ["OBR|1", "OBR|2"]
    assert m.first("OBX") is m.segments[2] and m.first("PV1") is None and m.all("PV1") == []


def test_a_segment_without_fields_is_an_empty_segment() -> None:
    pv1 = parse("PV1").first("PV1")
    assert pv1 is not None and pv1 and len(pv1) == 0 and pv1.field(2).is_empty


@pytest.mark.parametrize(
    ("encoding_characters", "separators", "believed"),
    [
        ("^~\\&", Separators(), True),
        ("^~\\&#", Separators(truncation="#"), True),
        ("^~\\", Separators(subcomponent=""), True),
        ("^~", Separators(escape="", subcomponent=""), True),
        ("$%!*", Separators("|", "$", "%", "!", "*"), True),
        ("", Separators(), False),
        ("^", Separators(), False),
        ("^~\\\\&", Separators(), False),
        ("^~\\&#*", Separators(), False),
        ("^Ë\x9c\\&", Separators(), False),
        ("^^^^", Separators(), False),
        ("ABCD", Separators(), False),
    ],
)
def test_separators_come_from_the_header_unless_it_is_garbled(
    encoding_characters: str, separators: Separators, believed: bool
) -> None:
    m = Message.parse(f"MSH|{encoding_characters}|A\rPID|1||P1\r".encode())
    assert m.separators == separators
    assert ("encoding-characters-fallback" not in m.warnings) is believed
    assert m.get("MSH-2") == encoding_characters and m.get("PID-3") == "P1"


def test_own_separators_are_used_everywhere() -> None:
    m = Message.parse(b"MSH#$%!*#A#B\rPID#1##P1$a*b%P2##x!F!y\\T\\\r")
    assert (m.get("PID-3.2.2"), m.get("PID-3[2]"), m.get("PID-5")) == ("b", "P2", "x#y\\T\\")


def test_separators_that_the_sender_left_out_split_nothing() -> None:
    m = Message.parse(b"MSH|^~|A\rPID|1||a&b\\T\\c^d\r")
    assert (m.get("PID-3"), m.get("PID-3.1.2"), m.get("PID-3.2")) == ("a&b\\T\\c", "", "d")


@pytest.mark.parametrize(
    ("end", "warnings"),
    [
        ("\r", ()),
        ("\n", ("line-feed-segments",)),
        ("\r\n", ("line-feed-segments",)),
        ("\n\r", ("line-feed-segments",)),
        ("\r\r", ()),
    ],
)
def test_segments_end_with_any_line_end(end: str, warnings: tuple[str, ...]) -> None:
    m = parse("PID|1||P1", "PV1", "OBX|1|ST|c||v", end=end)
    assert [s.raw for s in m.segments] == [HEADER, "PID|1||P1", "PV1", "OBX|1|ST|c||v"]
    assert m.warnings == warnings


def test_line_ends_that_change_inside_a_message_lose_no_segment() -> None:
    m = Message.parse((HEADER + "\nPID|1||P1\rPV1|1\r\nOBX|1\n").encode())
    assert [s.raw for s in m.segments[1:]] == ["PID|1||P1", "PV1|1", "OBX|1"]


def test_a_line_feed_in_a_field_of_a_message_with_carriage_returns_is_data() -> None:
    m = parse("NTE|1||first\nsecond\nOBX|no segment", "OBX|1")
    assert m.get("NTE-3") == "first\nsecond\nOBX"
    assert len(m.all("OBX")) == 1 and m.warnings == ()


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_that_is_no_segment_is_a_line_break_of_the_one_before(end: str) -> None:
    m = parse("NTE|1||first", "second line", "1st third", "Obx|x", "OBX1|y", "OBX|1", end=end)
    assert m.get("NTE-3") == "first\nsecond line\n1st third\nObx"
    assert [s.name for s in m.segments] == ["MSH", "NTE", "OBX"]
    assert "lines-joined" in m.warnings


def test_noise_around_a_message_is_left_out() -> None:
    m = Message.parse(b"\x0b\r\n \0" + HEADER.encode() + b"\rPID|1||P1\r\n\x1c\r")
    assert m.get("PID-3") == "P1" and m.get("MSH-3") == "ZHIS" and "leading-noise" in m.warnings


@pytest.mark.parametrize(
    "raw", [b"", b"MSH", b"PID|1\r", b"MSHX^~\\&", b"MSH ^~", b"hello", b"\xff\xfe", b"xMSH|^~\\&|", b"FHS|^~\\&|A\r"]
)
def test_bytes_without_a_usable_header_are_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(Hl7SyntaxError, match="does not begin with an MSH segment"):
        Message.parse(raw)


@pytest.mark.parametrize(
    "raw", [b"MSH|", b"MSH|^~\\&", b"MSH|^~\\&|\r", b"MSH|^~\\&\rPID|1", b"MSH||||\r", b"MSH|^~\\&|A\r\r\r"]
)
def test_a_poor_header_is_still_a_header(raw: bytes) -> None:
    m = Message.parse(raw)
    assert m.control_id == "" and m.message_code == "" and m.encode() == raw


def test_no_representation_shows_a_value() -> None:
    m = parse("PID|1||P1||Quill^Ora")
    field = m.segments[1].field(5)
    shown = "".join(map(repr, (m, m.segments[1], field, field.repetitions[0])))
    assert "Quill" not in shown and "PID[1]" in shown and "ADT^A08" in shown


def test_a_message_of_a_million_stray_lines_takes_no_quadratic_time() -> None:
    began = time.process_time()
    m = Message.parse(HEADER.encode() + b"\rNTE|1||" + b"x\r" * 300_000)
    assert len(m.segments) == 2 and time.process_time() - began < 3


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_any_bytes_are_read_or_refused_and_every_view_works(raw: bytes) -> None:
    try:
        m = Message.parse(raw)
    except Hl7SyntaxError:
        return
    assert m.encode() == raw
    for segment in m.segments:
        for field in segment.fields:
            assert isinstance(field.text, str)
            for repetition in field.repetitions:
                assert isinstance(repetition.text, str)
                assert all(isinstance(repetition.component(n + 1), str) for n in range(len(repetition.components)))


VALUE = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x1c\0|"), max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["PID", "OBX", "ZZZ", "AL1"]), st.lists(VALUE, max_size=6)), max_size=8))
def test_the_parts_of_a_message_put_together_are_the_message(content: list[tuple[str, list[str]]]) -> None:
    lines = [HEADER + "|||UNICODE UTF-8", *("|".join([name, *values]) for name, values in content)]
    raw = "\r".join(lines).encode() + b"\r"
    m = Message.parse(raw)
    for segment, (name, values) in zip(m.segments[1:], content, strict=True):
        assert [field.raw for field in segment.fields] == values and segment.name == name
        for field in segment.fields:
            assert "~".join("^".join(r.components) for r in field.repetitions) == field.raw
    assert "".join(f"{segment.raw}\r" for segment in m.segments).encode() == raw == m.encode()
