"""Messages as senders really write them: the same result whatever the delimiters, the line ends, the version, the batch."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import validate
from healthsync.standards.hl7v2 import Message, split_batch
from healthsync.standards.maps import Conversion, convert

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


HEAD = "MSH|^~\\&|LAB|MERCY|||20240301||{type}|K1|P|2.5.1\rPID|1||P1^^^MERCY^MR||Doe^Ora\r"
ORDER = "OBR|1||F1^LAB|GLU^Glucose^L|||20240301080000||||||||||||||||||F\r"


def of(text: str | bytes) -> Conversion:
    """The conversion, whose resources are FHIR."""
    conversion = convert(Message.parse(text.encode() if isinstance(text, str) else text), context())
    assert all(validate.structure(mapped.resource) == [] for mapped in conversion.resources)
    return conversion


def patient(conversion: Conversion) -> dict[str, Any]:
    return next(mapped.resource for mapped in conversion.resources if mapped.type == "Patient")


def test_a_document_of_820_kilobytes_is_kept_byte_for_byte() -> None:
    document = b"%PDF-1.4 " + bytes(range(256)) * 2400
    obx = f"OBX|1|ED|PDF^Report^L||^application^pdf^Base64^{b64encode(document).decode()}||||||F\r"
    told = of(HEAD.format(type="ORU^R01") + ORDER + obx)
    (attached,) = [m.resource["content"][0]["attachment"] for m in told.resources if m.type == "DocumentReference"]
    assert attached["size"] == len(document) and attached["hash"] == b64encode(sha1(document).digest()).decode()


def test_ten_thousand_results_are_ten_thousand_observations() -> None:
    obx = "".join(f"OBX|{n}|NM|GLU^Glucose^L|{n}|5|mg/dL|||||F\r" for n in range(10_000))
    raw = (HEAD.format(type="ORU^R01") + ORDER + obx).encode()
    told = convert(Message.parse(raw), context())
    assert sum(mapped.type == "Observation" for mapped in told.resources) == 10_000


@pytest.mark.parametrize(
    ("charset", "name", "warnings"),
    [
        ("", "Müller".encode(), ("charset-undeclared",)),
        ("", "Müller".encode("latin-1"), ("charset-undeclared",)),
        ("8859/1", "Müller".encode("latin-1"), ()),
        ("UNICODE UTF-8", "Müller".encode("latin-1"), ("charset-fallback",)),
        ("KLINGON", "Müller".encode(), ("charset-unknown", "charset-fallback")),
    ],
)
def test_a_name_is_read_whatever_msh_18_says(charset: str, name: bytes, warnings: tuple[str, ...]) -> None:
    head = f"MSH|^~\\&|LAB|MERCY|||20240301||ADT^A08|K1|P|2.5.1||||||{charset}\r".encode()
    raw = head + b"PID|1||P1^^^MERCY^MR||" + name + b"^Ora\r"
    assert patient(of(raw))["name"][0]["family"] == "Müller"
    assert Message.parse(raw).warnings == warnings
    assert Message.parse(raw).encode() == raw


def test_without_time_and_number_of_the_message_the_patient_is_told_all_the_same() -> None:
    told = of("MSH|^~\\&|LAB|MERCY|||||ADT^A08||P|2.5.1\rPID|1||P1^^^MERCY^MR||Doe^Ora\r")
    assert patient(told)["name"][0]["family"] == "Doe" and told.event_at is None


@pytest.mark.parametrize(
    ("sent", "family"),
    [
        ("Doe\\^Ora", "Doe\\"),
        ("D\\Hoe^Ora", "D\\Hoe"),
        ("D\\X\\oe^Ora", "D\\X\\oe"),
        ("O\\T\\Neil^Ora", "O&Neil"),
        ("D\x1coe^Ora", "Doe"),
        ("~Doe^Ora", "Doe"),
        ("Doe^Ora~~~", "Doe"),
    ],
)
def test_an_escape_that_does_not_end_and_a_repetition_that_is_empty_lose_nothing(sent: str, family: str) -> None:
    told = of(f"MSH|^~\\&|LAB|MERCY|||20240301||ADT^A08|K1|P|2.5.1\rPID|1||P1^^^MERCY^MR||{sent}\r")
    assert [name["family"] for name in patient(told)["name"]] == [family]


def test_what_no_standard_knows_is_counted_by_its_path() -> None:
    told = of(HEAD.format(type="ADT^A08").rstrip("\r") + "|" * 500 + "late\rZPI|1|own\rXYZ|9\r")
    assert told.unmapped == {"PID-505": 1, "ZPI": 1, "XYZ": 1}


def test_a_line_of_one_letter_is_a_line_break_of_the_segment_before() -> None:
    raw = (HEAD.format(type="ORU^R01") + ORDER + "OBX|1|TX|T^Text^L||one\rB\rC|two||||||F\r").encode()
    assert Message.parse(raw).warnings == ("lines-joined",)
    assert len(of(raw).resources) == len(of(raw.replace(b"one\rB\rC|two", b"one")).resources)


def test_a_number_that_fhir_cannot_hold_is_left_out_and_reported() -> None:
    told = of(HEAD.format(type="ADT^A08").rstrip("\r") + "|" * 20 + "99999999999999999999\r")
    assert "multipleBirthInteger" not in patient(told)
    assert ("invalid-number", "PID-25") in {(issue.code, issue.path) for issue in told.issues}


def test_a_medicine_ordered_beside_a_test_is_written_down_when_the_test_begins() -> None:
    told = of(
        HEAD.format(type="RDE^O11") + "ORC|NW|P1\rRXE|^BID|M1^Medicine^L|100||mg\rPID|1||P2^^^MERCY^MR\r"
        "RXE|^BID|M1^Medicine^L|100||mg\rOBR|1||F1|GLU^Glucose^L\r"
    )
    assert all(
        isinstance(m.resource["dosageInstruction"], list) for m in told.resources if m.type == "MedicationRequest"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"MSH",
        b"MSH\r",
        b"msh|^~\\&|",
        b"MSHA^~\\&A\r",
        b"MSH ^~\\& \r",
        bytes(range(256)) * 9,
        b"PID|1||7\r",
        b"MSH|",
    ],
)
def test_what_is_no_message_is_refused_with_a_sentence(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"\w+ \w+ \w+"):
        convert(Message.parse(raw), context())
