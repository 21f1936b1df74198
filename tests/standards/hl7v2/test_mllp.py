"""Frames cut out of a byte stream, whatever the stream looks like."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.standards.hl7v2 import FaultReason, FrameFault, MllpDecoder, frame

A, B = b"MSH|^~\\&|A\rPID|1\r", b"MSH|^~\\&|B\rPID|2\r"


def outcome(items: list[bytes | FrameFault]) -> list[bytes | str]:
    return [item if isinstance(item, bytes) else item.reason.value for item in items]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(frame(A) + frame(B), [A, B], id="two frames in one write"),
        pytest.param(frame(A) + b"\0" + frame(B), [A, B], id="a NUL between frames"),
        pytest.param(frame(A) + b"\n" + frame(B), [A, B], id="a line feed after the carriage return"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" + frame(A), [A], id="noise before the first frame"),
        pytest.param(frame(A) + b"\x1c\r\x1c\r" + frame(B), [A, B], id="ends without a beginning"),
        pytest.param(b"\x0b" + A + b"\x1c" + frame(B), [A, B], id="FS without CR before the next VT"),
        pytest.param(b"\x0b" + A + b"\x1c\n" + frame(B), [A, B], id="FS LF"),
        pytest.param(b"\x0b" + A + b"\x1c\0" + frame(B), [A, B], id="FS NUL"),
        pytest.param(frame(b"a\x1cb"), [b"a\x1cb"], id="FS inside a message is data"),
        pytest.param(frame(b"a\x1c"), [b"a\x1c"], id="FS before the FS that ends is data"),
        pytest.param(b"\x0b" + A[:9] + frame(B), ["cut", B], id="VT inside a frame restarts"),
        pytest.param(b"\x0b\x0b" + frame(B), [B], id="repeated VT is no message"),
        pytest.param(frame(b""), [b""], id="an empty frame is an empty message"),
        pytest.param(frame(b"") + frame(A), [b"", A], id="an empty frame does not stall the decoder"),
    ],
)
def test_a_stream_gives_its_messages_and_faults_however_it_is_cut(stream: bytes, expected: list[bytes | str]) -> None:
    assert outcome(MllpDecoder().feed(stream)) == expected
    decoder = MllpDecoder()
    assert outcome([item for byte in stream for item in decoder.feed(bytes([byte]))]) == expected


def test_an_oversize_frame_is_one_fault_and_the_next_message_is_read() -> None:
    decoder = MllpDecoder(max_message_bytes=100)
    items = [
        item
        for part in [b"\x0b" + b"x" * 40] + [b"x" * 40] * 50 + [b"\x1c\r" + frame(A)]
        for item in decoder.feed(part)
    ]
    assert outcome(items) == ["oversize", A]
    assert isinstance(items[0], FrameFault) and items[0].bytes_seen == 101


def test_a_message_of_exactly_the_bound_is_accepted() -> None:
    assert MllpDecoder(max_message_bytes=4).feed(frame(b"1234")) == [b"1234"]
    assert outcome(MllpDecoder(max_message_bytes=4).feed(frame(b"12345"))) == ["oversize"]


def test_never_more_than_the_bound_is_held() -> None:
    decoder = MllpDecoder(max_message_bytes=1000)
    decoder.feed(b"\x0b")
    for _ in range(300):
        decoder.feed(b"y" * 997)
        assert decoder.pending_bytes <= 1002


def test_half_a_frame_is_pending_and_none_is_between_frames() -> None:
    decoder = MllpDecoder()
    decoder.feed(frame(A) + b"\n")
    assert decoder.pending_bytes == 0
    decoder.feed(b"\x0bMSH")
    assert decoder.pending_bytes == 4


def test_the_end_of_the_stream_delivers_a_message_that_lacks_only_the_last_carriage_return() -> None:
    decoder = MllpDecoder()
    assert decoder.feed(b"\x0b" + A + b"\x1c") == []
    assert decoder.finish() == [A]
    assert decoder.finish() == [] and decoder.pending_bytes == 0


def test_the_end_of_the_stream_reports_a_cut_message_with_its_beginning() -> None:
    decoder = MllpDecoder()
    decoder.feed(b"\x0b" + A)
    assert decoder.finish() == [FrameFault(FaultReason.CUT, len(A), A)]


def test_noise_is_counted_without_line_ends() -> None:
    decoder = MllpDecoder()
    decoder.feed(b"hello\r\n" + frame(A) + b"\r\n\0" + b"x")
    assert decoder.noise_bytes == 6


def test_a_fault_does_not_show_what_the_frame_holds() -> None:
    assert "Smith" not in repr(FrameFault(FaultReason.CUT, 5, b"Smith"))


def test_work_stays_linear_for_streams_made_to_stall() -> None:
    for hostile in (b"\x0b" * 300_000, b"\x0b" + b"\x1ca" * 150_000, b"\x0ba" * 150_000, b"\x0b" + b"\x1c" * 300_000):
        began = time.process_time()
        MllpDecoder().feed(hostile)
        assert time.process_time() - began < 3


PIECES = st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"\0", b"MSH", b"\x1c\r", A, frame(A)])


@settings(max_examples=600)
@given(st.lists(PIECES | st.binary(max_size=8), max_size=25), st.data())
def test_any_cut_of_any_stream_gives_the_same_result(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, cut = MllpDecoder(max_message_bytes=24), MllpDecoder(max_message_bytes=24)
    at_once = whole.feed(stream) + whole.finish()
    parts = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [item for part in parts for item in cut.feed(part)] + cut.finish() == at_once
    assert cut.noise_bytes == whole.noise_bytes


@given(st.lists(st.binary(max_size=50).map(lambda b: b.replace(b"\x0b", b"").replace(b"\x1c", b"")), max_size=6))
def test_framed_payloads_come_back_in_order(payloads: list[bytes]) -> None:
    assert MllpDecoder().feed(b"".join(map(frame, payloads))) == payloads
