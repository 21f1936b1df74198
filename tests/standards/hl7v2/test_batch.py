"""Files, batches and several messages in one frame: every MSH starts a message of its own."""

from __future__ import annotations

import pytest

from healthsync.standards.hl7v2 import Message, is_miscounted, split_batch

ONE = b"MSH|^~\\&|A|B|C|D|2024||ORU^R01|1|P|2.5.1\rPID|1||P1\rOBX|1|NM|ZA||1"
TWO = b"MSH|^~\\&|A|B|C|D|2024||ORU^R01|2|P|2.5.1\rPID|1||P2\rOBX|1|NM|ZB||2"
FHS, BHS, BTS, FTS = b"FHS|^~\\&|A", b"BHS|^~\\&|A", b"BTS|2", b"FTS|1"


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_each_message_of_a_batch_keeps_its_own_segments(end: bytes) -> None:
    payload = end.join([FHS, BHS, ONE.replace(b"\r", end), TWO.replace(b"\r", end), BTS, FTS]) + end
    messages = [Message.parse(part) for part in split_batch(payload)]
    assert [(m.control_id, m.get("PID-3"), m.get("OBX-3")) for m in messages] == [("1", "P1", "ZA"), ("2", "P2", "ZB")]
    assert all(m.first("BTS") is None and m.first("FTS") is None for m in messages)


def test_several_messages_in_one_frame_need_no_batch_header() -> None:
    assert split_batch(ONE + b"\r" + TWO + b"\r") == [ONE, TWO + b"\r"]


@pytest.mark.parametrize("payload", [ONE, ONE + b"\r", b"\xef\xbb\xbf" + ONE, b"\r\n" + ONE, b"", b"no header at all"])
def test_what_is_no_batch_is_given_back_untouched(payload: bytes) -> None:
    assert split_batch(payload) == [payload]


def test_a_header_in_the_middle_of_a_field_starts_nothing() -> None:
    for payload in (ONE + b"|MSH|x\r", ONE + b"|see\nMSH|^~\\&|quoted\r"):
        assert split_batch(payload) == [payload]


def test_an_empty_batch_holds_no_message() -> None:
    assert split_batch(b"\r".join([FHS, BHS, BTS, FTS]) + b"\r") == []


@pytest.mark.parametrize(
    ("trailers", "wrong"),
    [
        (b"BTS|2\rFTS|1\r", False),
        (b"BTS|3\rFTS|1\r", True),
        (b"BTS|2\rFTS|4\r", True),
        (b"BTS| 2 |a comment\r", False),
        (b"BTS||of messages\rFTS\r", False),
        (b"BTS|many\r", False),
        (b"", False),
    ],
)
def test_a_trailer_that_tells_another_number_than_came_is_found(trailers: bytes, wrong: bool) -> None:
    message = b"MSH|^~\\&|A|B|||20240301||ADT^A01|%d|P|2.5.1\rPID|1||7\r"
    payload = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + message % 1 + message % 2 + trailers
    assert is_miscounted(payload) is wrong
    assert is_miscounted(payload.replace(b"\r", b"\n")) is wrong
    assert len(split_batch(payload)) == 2


def test_each_batch_of_a_file_is_counted_for_itself() -> None:
    one = b"BHS|^~\\&|A\rMSH|^~\\&|A|B|||20240301||ADT^A01|1|P|2.5.1\rBTS|1\r"
    assert not is_miscounted(b"FHS|^~\\&|A\r" + one + one + b"FTS|2\r")
    assert is_miscounted(b"FHS|^~\\&|A\r" + one + one.replace(b"BTS|1", b"BTS|2") + b"FTS|2\r")
