"""What holds for every message: no content makes a conversion fail or give what FHIR forbids."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json, validate
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import convert, merged

from .golden_pairs import GOLDEN, context, rendered

MESSAGES = [path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob("*.hl7"))]
BITS = st.sampled_from(
    [
        "",
        '""',
        "^",
        "~",
        "&",
        "^^^",
        "~~x",
        "0",
        "00000000",
        "20240230",
        "<5",
        "Y",
        "N",
        "D",
        r"\X00\ ",
        r"\F\ ",
        r"\ ",
        " ",
        "é",
        "x" * 300,
    ]
)


@st.composite
def fuzzed(draw: st.DrawFn) -> bytes:
    """A golden message with some fields replaced and some segments moved, doubled or dropped."""
    lines = draw(st.sampled_from(MESSAGES)).strip().split("\n")
    head, rest = lines[0], lines[1:]
    rng = random.Random(draw(st.integers(0, 2**16)))
    rng.shuffle(rest) if draw(st.booleans()) else None
    rest = [line for line in rest for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2])))]
    for _ in range(draw(st.integers(1, 6))):
        if rest:
            at = rng.randrange(len(rest))
            fields = rest[at].split("|")
            if len(fields) > 1:
                fields[rng.randrange(1, len(fields))] = draw(BITS | st.text(max_size=12))
                rest[at] = "|".join(fields)
    return "\r".join([head, *rest]).encode("utf-8", "replace")


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(fuzzed())
def test_no_content_makes_a_conversion_fail_or_give_what_fhir_forbids(raw: bytes) -> None:
    try:
        conversion = convert(Message.parse(raw), context())
    except InvalidInput as refusal:
        assert refusal.code in ("required", "structure", "not-supported")
        return
    assert rendered(conversion) == rendered(convert(Message.parse(raw), context()))
    assert len({mapped.reference for mapped in conversion.resources}) == len(conversion.resources)
    known = {mapped.reference for mapped in conversion.resources}
    for mapped in conversion.resources:
        assert validate.structure(mapped.resource) == []
        assert b"\\u0000" not in json.dump(mapped.resource)
        assert references(mapped.resource) <= known
        again = merged(merged(None, mapped), mapped)
        assert again == merged(again, mapped)


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


@pytest.mark.shared
def test_every_admission_and_result_of_the_corpus_converts_or_is_refused_with_a_reason(shared_data: Path) -> None:
    converted, reasons = 0, set()
    for path in sorted((shared_data / "hl7v2").rglob("*.hl7")):
        try:
            conversion = convert(Message.parse(path.read_bytes()), context())
        except InvalidInput as refusal:
            reasons.add(refusal.code)
            continue
        converted += 1
        for mapped in conversion.resources:
            assert validate.structure(mapped.resource) == [], path.name
    assert converted >= 320
    assert reasons <= {"required", "not-supported", "structure"}
