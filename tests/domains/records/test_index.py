"""What a resource is found by, as rows: nothing of a person stands there in clear."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from healthsync.domains.records import RecordIndex
from healthsync.infrastructure.crypto import BlindIndex


def test_a_person_contained_in_a_resource_whose_strings_are_clear_is_indexed_by_tokens_only():
    person = {
        "resourceType": "Practitioner",
        "id": "p",
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "birthDate": "1971-03-09",
        "address": [{"line": ["12 Elm Street"], "city": "Salem"}],
    }
    role = {"resourceType": "PractitionerRole", "id": "r", "contained": [person], "practitioner": {"reference": "#p"}}
    index = RecordIndex(BlindIndex(bytes(32)))
    rows = index.rows(role)
    assert (rows.strings, rows.dates) == (frozenset(), frozenset())
    assert len(rows.tokens) > len(index.rows({**role, "contained": []}).tokens), "it is found all the same"


def observation(number: int, **elements: Any) -> dict[str, Any]:
    """One of many results that were told together."""
    return {
        "resourceType": "Observation",
        "id": str(number),
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}], "text": "Sugar"},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-11-25T08:45:00+00:00",
        "performer": [{"reference": "Practitioner/2"}],
        "valueQuantity": {"value": Decimal(number), "system": "http://unitsofmeasure.org", "code": "mg/dL"},
        **elements,
    }


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"code": {"text": "another"}},
        {"subject": {"identifier": {"value": "7"}, "display": "Ann"}, "effectiveDateTime": "2026"},
        {"subject": {"reference": "#p"}, "contained": [{"resourceType": "Patient", "id": "p", "gender": "female"}]},
        {"referenceRange": [{"text": "x" * 2_000}]},
        {"component": [{"code": {"coding": [{"code": "1"}]}, "valueQuantity": {"value": Decimal(3), "unit": "mg"}}]},
    ],
)
def test_a_result_has_the_same_rows_however_many_like_it_were_told_before(elements):
    used = RecordIndex(BlindIndex(bytes(32)))
    for number in range(4):
        used.rows(observation(number))
        told = observation(number, **elements)
        assert used.rows(told) == RecordIndex(BlindIndex(bytes(32))).rows(told)
