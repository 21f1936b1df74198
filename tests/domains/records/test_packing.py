"""Packed resources come back byte for byte, and so does what older versions stored without packing."""

from __future__ import annotations

import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir.packing import pack, unpack

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=200).map(lambda text: json.dumps({"a": text}).encode())


@given(text=st.one_of(_TEXTS, st.binary(max_size=500)))
def test_what_was_packed_comes_back(text):
    assert unpack(pack(text)) == text


@given(text=_TEXTS)
def test_a_text_that_was_never_packed_is_read_as_it_is(text):
    assert unpack(text) == text


def test_a_small_resource_takes_a_fraction_of_its_text():
    observation = {
        "resourceType": "Observation", "id": "k2x9", "status": "final", "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                  "code": "laboratory"}]}],
        "valueQuantity": {"value": 13.5, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
    }  # fmt: skip
    text = json.dumps(observation, separators=(",", ":")).encode()
    alone = len(zstandard.ZstdCompressor(level=3).compress(text))
    assert len(pack(text)) < 0.6 * alone
    assert len(pack(text)) < 0.4 * len(text)


def test_damaged_bytes_are_an_error_and_no_other_text():
    packed = pack(b'{"resourceType": "Patient"}' * 20)
    with pytest.raises(zstandard.ZstdError):
        unpack(packed[: len(packed) // 2])
