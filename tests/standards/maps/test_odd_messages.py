"""Messages as senders really write them: the same result whatever the delimiters, the line ends, the version, the batch."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.standards.hl7v2 import Message, split_batch
from healthsync.standards.maps import convert

from .golden_pairs import context

PLAIN = (
    "MSH|^~\\&|LAB|MERCY|HUB|HIE|20240301120000+0000||ORU^R01|%s|P|%s\rPID|1||P1^^^MERCY^MR||Müller^Ora\r"
    "OBR|1||F1^LAB|GLU^Glucose^L|||20240301080000+0000||||||||||||||||||F\r"
    "OBX|1|TX|TXT^Text^L||one \\T\\ two\\.br\\three||||||F\rOBX|2|NM|GLU^Glucose^L||93|mg/dL^^UCUM|||||F\r"
)


def observations(raw: bytes) -> list[dict[str, Any]]:
    conversion = convert(Message.parse(raw), context())
    return [mapped.resource for mapped in conversion.resources if mapped.type == "Observation"]


def written(version: str = "2.5.1") -> str:
    return PLAIN % ("K1", version)


def other_delimiters(text: str) -> bytes:
    return text.translate(str.maketrans({"|": "$", "^": "%", "~": "*", "\\": "!", "&": "@"})).encode()


USUAL = observations(written().encode())


@pytest.mark.parametrize(
    "version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.2", ""]
)
def test_every_version_is_read(version: str) -> None:
    assert observations(written(version).encode()) == USUAL


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + written().encode(),
        written().replace("^~\\&", "^~\\&#", 1).encode(),
        written().replace("^~\\&", "^\xcb\x9c\\&", 1).encode(),
        written().replace("^~\\&", "^~\\\\&", 1).encode(),
        written().replace("^~\\&", "", 1).encode(),
        written().replace("\r", "\r\n").encode(),
        written().replace("\r", "\n").encode(),
        written().encode("latin-1"),
        b"\r\n " + written().encode(),
    ],
    ids=["bom", "truncation", "mojibake", "doubled", "no-msh-2", "crlf", "lf", "latin-1", "noise"],
)
def test_an_odd_way_of_writing_says_the_same(raw: bytes) -> None:
    assert [found.get("valueString", found.get("valueQuantity")) for found in observations(raw)] == [
        found.get("valueString", found.get("valueQuantity")) for found in USUAL
    ]


def test_delimiters_of_the_senders_own_are_those_that_its_escapes_mean() -> None:
    text, glucose = observations(other_delimiters(written()))
    assert text["valueString"] == "one @ two\nthree"  # !T! is the subcomponent separator of this message
    assert glucose["valueQuantity"] == USUAL[1]["valueQuantity"]


def test_escapes_of_a_text_are_read_once_and_a_line_break_is_one() -> None:
    assert USUAL[0]["valueString"] == "one & two\nthree"


@pytest.mark.parametrize(
    "wrapped",
    [
        "FHS|^~\\&|A\rBHS|^~\\&|A\r{}BTS|2\rFTS|1\r",
        "FHS|^~\\&|A\rBHS|^~\\&|A\r{}BTS|2\rBHS|^~\\&|A\rBTS|0\rFTS|2\r",
        "BHS|^~\\&|A\r{}BTS|17\r",
        "BHS|^~\\&|A\r{}",
        "{}BTS\rFTS\r",
        "{}",
    ],
    ids=["file", "two-batches", "wrong-count", "no-trailer", "no-header", "bare"],
)
def test_a_batch_gives_its_messages_whatever_its_trailers_say(wrapped: str) -> None:
    both = "".join(PLAIN % (number, "2.5.1") for number in ("K1", "K2"))
    messages = split_batch(wrapped.format(both).encode())
    assert [Message.parse(raw).control_id for raw in messages] == ["K1", "K2"]
    assert all(observations(raw) == USUAL for raw in messages)
