"""Every sender gets an answer that it can pair with what it sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.hl7v2 import AckCode, AckError, ErrorCode, Message, build_ack

NOW = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
FAULT = AckError(ErrorCode.UNSUPPORTED_MESSAGE_TYPE, "no map for this | type", "MSH-9")


def header(version: str = "2.5.1", control_id: str = "K1") -> bytes:
    return f"MSH|^~\\&|ZHIS|ZHOSP^1.2^ISO|ZHUB|^^|20240301||ADT^A08^ADT_A01|{control_id}|T|{version}\rPID|1\r".encode()


def answer(raw: bytes | Message, code: AckCode = AckCode.AA, error: AckError | None = None, **hub: str) -> Message:
    return Message.parse(build_ack(raw, code, control_id="H7", now=NOW, error=error, **hub))


def test_an_answer_is_written_as_the_standard_prints_it() -> None:
    assert build_ack(header(), AckCode.AA, control_id="H7", now=NOW) == (
        b"MSH|^~\\&|ZHUB|^^|ZHIS|ZHOSP^1.2^ISO|20240301120000+0000||ACK^A08^ACK|H7|T|2.5.1\rMSA|AA|K1\r"
    )


@pytest.mark.parametrize("code", list(AckCode))
def test_every_code_of_both_modes_can_be_answered(code: AckCode) -> None:
    assert answer(header(), code).get("MSA-1") == code.value
    assert code.is_accept is (code.value[1] == "A")


def test_the_control_id_comes_back_exactly_as_sent_still_escaped() -> None:
    raw = build_ack(header(control_id="K\\T\\1\\x"), AckCode.CA, control_id="H7", now=NOW)
    assert b"MSA|CA|K\\T\\1\\x\r" in raw


def test_a_parsed_message_and_its_bytes_get_the_same_answer() -> None:
    assert answer(Message.parse(header())).raw == answer(header()).raw


def test_from_version_2_5_an_error_has_its_own_segment() -> None:
    m = answer(header("2.5.1"), AckCode.AR, FAULT)
    assert [s.name for s in m.segments] == ["MSH", "MSA", "ERR"]
    err = m.all("ERR")[0]
    assert err.raw == "ERR||MSH^1^9^1|200^Unsupported message type^HL70357|E||||no map for this \\F\\ type"
    assert m.get("MSA-3") == ""


@pytest.mark.parametrize("version", ["2.1", "2.3", "2.3.1", "2.4"])
def test_before_version_2_5_an_error_is_a_text_in_msa(version: str) -> None:
    m = answer(header(version), AckCode.AE, FAULT)
    assert [s.name for s in m.segments] == ["MSH", "MSA"]
    assert m.get("MSA-3") == "no map for this | type"
    assert m.version == version


@pytest.mark.parametrize(
    ("version", "expected"), [("2.2", "ACK^A08"), ("2.3.1", "ACK^A08^ACK"), ("2.8", "ACK^A08^ACK")]
)
def test_the_message_type_has_a_structure_since_version_2_3_1(version: str, expected: str) -> None:
    assert answer(header(version)).segments[0].field(9).raw == expected


@pytest.mark.parametrize(
    ("path", "location"),
    [("PID-3", "PID^1^3^1"), ("OBX[2]-5[3].2", "OBX^2^5^3^2"), ("PID-3.4.2", "PID^1^3^1^4^2"), (None, "")],
)
def test_the_place_of_an_error_is_written_as_erl(path: str | None, location: str) -> None:
    error = AckError(ErrorCode.REQUIRED_FIELD_MISSING, "a value is missing", path)
    assert answer(header(), AckCode.AE, error).segments[2].field(2).raw == location


def test_the_answer_uses_the_senders_delimiters_and_character_set() -> None:
    raw = "MSH#$%!*#Zürich#B#C#D#2024##ADT$A01#K!T!1#P#2.5######8859/1\r".encode("latin-1")
    reply = build_ack(raw, AckCode.AE, control_id="H7", now=NOW, error=FAULT)
    assert reply.startswith(b"MSH#$%!*#C#D#Z\xfcrich#B#")
    assert b"MSA#AE#K!T!1\r" in reply and b"#8859/1\r" in reply
    assert b"no map for this | type" in reply


@pytest.mark.parametrize("raw", [b"", b"MSH", b"hello", b"PID|1\r", b"\xff\xfe\0", b"MSH\r"])
def test_without_any_header_there_is_still_an_answer_in_the_hubs_name(raw: bytes) -> None:
    m = answer(raw, AckCode.AR, FAULT, application="HEALTHSYNC", facility="HUB")
    assert (m.sending_application, m.sending_facility, m.get("MSA-1"), m.get("MSA-2")) == (
        "HEALTHSYNC",
        "HUB",
        "AR",
        "",
    )
    assert (m.get("MSH-9"), m.version, m.get("MSH-11")) == ("ACK", "2.5.1", "P")


@pytest.mark.parametrize("damage", [b"noise ", b"FHS|^~\\&|A\r", b"\x0b\0", b"\xef\xbb\xbf"])
def test_a_header_behind_noise_is_answered_by_its_control_id(damage: bytes) -> None:
    assert answer(damage + header()).get("MSA-2") == "K1"


def test_a_line_break_in_the_header_does_not_break_the_answer() -> None:
    raw = b"MSH|^~\\&|A|B|C|D\rstray|2024||ADT^A01|K1|P|2.5\rPID|1\r"
    reply = answer(raw)
    assert b"\n" not in reply.raw and [s.name for s in reply.segments] == ["MSH", "MSA"]


@given(st.binary(max_size=120).map(lambda tail: b"MSH|^~\\&|" + tail) | st.binary(max_size=60))
def test_every_frame_has_an_answer_of_two_segments_that_can_be_read(raw: bytes) -> None:
    m = answer(raw, AckCode.CA)
    assert [s.name for s in m.segments] == ["MSH", "MSA"]
    assert m.get("MSA-1") == "CA"
