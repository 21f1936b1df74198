"""What was read before changes nothing in what is read now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, convert, memory
from healthsync.standards.maps.memory import memory_of

from .golden_pairs import GOLDEN, context

FILES = sorted(GOLDEN.glob("*.hl7"))

ORU = (
    "MSH|^~\\&|LAB|H|HUB|HIE|20240301||ORU^R01|{id}|P|2.5.1\rPID|1||5^^^H^MR||Kin^Kim||19800101|{sex}\r"
    "OBR|1||7^H|P^Panel^L|||20240301\rOBX|1|NM|{code}||5|mg/dL^^UCUM|1-9|{flag}|||F|||20240301\r"
)


@pytest.fixture(autouse=True)
def nothing_remembered():
    memory_of.cache_clear()


def read(raw: bytes | str, **changes: Any) -> Conversion:
    raw = raw.encode() if isinstance(raw, str) else raw
    return convert(Message.parse(raw), replace(context(), **changes))


def oru(code: str = "G^Glucose^L", flag: str = "H", sex: str = "F", id: int = 1) -> str:
    return ORU.format(code=code, flag=flag, sex=sex, id=id)


def observation(conversion: Conversion) -> dict[str, Any]:
    return next(mapped.resource for mapped in conversion.resources if mapped.type == "Observation")


def test_a_message_is_read_the_same_whatever_was_read_before():
    messages = [path.read_text(encoding="utf-8").replace("\n", "\r") for path in FILES]
    alone = []
    for message in messages:
        memory_of.cache_clear()
        alone.append(read(message))
    assert [read(message) for message in (*messages, *messages)] == [*alone, *alone]


def test_whoever_changes_what_was_read_changes_it_for_himself():
    read(oru())
    told = observation(read(oru()))
    told["code"]["coding"][0]["display"] = "changed"
    told["interpretation"].clear()
    assert observation(read(oru()))["code"]["coding"][0]["display"] == "Glucose"
    assert observation(read(oru()))["interpretation"]


def test_a_local_code_of_one_sender_is_not_that_of_another():
    systems = [observation(read(oru(), source=source))["code"]["coding"][0]["system"] for source in "abab"]
    assert systems[:2] == systems[2:]
    assert systems[0] != systems[1]


def test_the_same_text_is_read_by_the_delimiters_of_its_message():
    read(oru(code="G^Glucose^L"))
    other = oru(code="G^Glucose^L").replace("^~\\&", "$~\\&").replace("ORU^R01", "ORU$R01")
    assert observation(read(other))["code"]["coding"][0]["code"] == "G^Glucose^L"


def test_what_cannot_be_taken_is_reported_each_time():
    reported = [[issue.path for issue in read(oru(sex="?")).issues] for _ in range(3)]
    assert reported[0] == reported[1] == reported[2]
    assert "PID-8" in reported[0]


def segment(name: str, **fields: str) -> str:
    """A segment with some fields: `f23` is the 23rd."""
    values = {int(number[1:]): value for number, value in fields.items()}
    return "|".join([name, *(values.get(number, "") for number in range(1, max(values) + 1))]) + "\r"


def test_what_is_a_patients_own_is_not_remembered():
    """Birth place, time of death and the dates of a policy are texts and times like others, but nobody else's."""
    own = {"f23": "Zabriskie Point", "f29": "20240131", "f30": "Y"}
    pid = segment("PID", f1="1", f3="Q77123^^^H^MR", f5="Kim^Ana", f7="19800101", f8="F", **own)
    policy = segment("IN1", f1="1", f2="P^Plan", f3="C1", f4="Cover", f12="20231224", f13="20241224")
    message = oru().replace("ORU^R01", "ADT^A01").split("\r")[0] + "\r" + pid + "PV1|1|I\r" + policy
    patient = next(m.resource for m in read(message).resources if m.type == "Patient")
    assert "Zabriskie Point" in str(patient)
    assert patient["deceasedDateTime"] == "2024-01-31"
    kept = memory_of(
        context().source, context().timezone, Message.parse(message.encode()).notation, context().authorities
    )
    assert kept
    for value in ("Zabriskie", "20240131", "2024-01-31", "20231224", "2023-12-24", "Q77123"):
        assert not any(value in repr((key, said)) for key, said in kept.items()), "a patient's own"


def test_the_memory_is_bounded_and_long_texts_and_patients_do_not_enter_it(monkeypatch):
    monkeypatch.setattr(memory, "MOST", 20)
    kept = memory_of(
        context().source, context().timezone, Message.parse(oru().encode()).notation, context().authorities
    )
    for number in range(100):
        read(oru(code=f"G{number}^{'x' * (number * 3)}^L", id=number))
        assert len(kept) <= 20
        assert all(len(text) <= memory.LONGEST for *_, text in kept)
        assert not any("Kim" in text or "19800101" in text for *_, text in kept)
    assert kept
