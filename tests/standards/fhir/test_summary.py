"""search.html#summary, #elements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import summary, validate
from healthsync.standards.fhir.definitions import resource_types

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "3", "tag": [{"system": "urn:t", "code": "mine"}]},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">w</div>'},
    "modifierExtension": [{"url": "urn:m", "valueBoolean": True}],
    "status": "final",
    "_status": {"id": "s"},
    "code": {"text": "weight"},
    "valueQuantity": {"value": Decimal("72.50")},
    "effectiveDateTime": "2024",
    "note": [{"text": "n"}],
    "component": [{"code": {"text": "c"}, "valueString": "v", "referenceRange": [{"text": "r"}]}],
    "referenceRange": [{"text": "r"}],
}
ALWAYS = {"resourceType", "id", "meta", "modifierExtension", "status", "_status", "code"}


@pytest.mark.parametrize(
    ("kind", "elements", "shown"),
    [
        ("true", (), ALWAYS | {"valueQuantity", "effectiveDateTime", "component"}),
        ("text", (), ALWAYS | {"text"}),
        ("data", (), set(OBSERVATION) - {"text"}),
        (None, ("value",), ALWAYS | {"valueQuantity"}),
        (None, ("valueQuantity", "note"), ALWAYS | {"valueQuantity", "note"}),
        (None, ("Observation.note", "Patient.name"), ALWAYS | {"note"}),
        (None, ("unheard-of",), ALWAYS),
        ("true", ("note", "effective"), ALWAYS | {"effectiveDateTime"}),
    ],
)
def test_a_part_has_what_was_asked_for_what_is_mandatory_and_the_tag(kind: Any, elements: tuple, shown: set) -> None:
    part = summary.reduce(OBSERVATION, kind, elements)
    assert set(part) == shown
    assert [tag["code"] for tag in part["meta"]["tag"]] == ["mine", "SUBSETTED"]
    assert part.get("valueQuantity", OBSERVATION["valueQuantity"]) is OBSERVATION["valueQuantity"] or kind == "true"


def test_a_summary_goes_into_backbone_elements() -> None:
    assert summary.reduce(OBSERVATION, "true")["component"] == [{"code": {"text": "c"}, "valueString": "v"}]


def test_the_whole_resource_is_itself() -> None:
    assert summary.reduce(OBSERVATION) is OBSERVATION
    assert summary.reduce(OBSERVATION, summary.summary_of("false"), summary.elements_of("")) is OBSERVATION


def test_a_part_of_a_part_is_tagged_once() -> None:
    once = summary.reduce(OBSERVATION, "true")
    assert summary.reduce(once, "true") == once


def test_the_parameters_are_read_strictly() -> None:
    assert summary.elements_of(" name, ,birthDate") == ("name", "birthDate")
    with pytest.raises(InvalidInput):
        summary.summary_of("most")


def test_every_type_has_a_summary() -> None:
    for name in sorted(resource_types()):
        least = {"resourceType": name, "id": "x"}
        assert summary.reduce(least, "true").keys() == {"resourceType", "id", "meta"}


def test_a_summary_of_a_valid_resource_is_valid() -> None:
    understood = {name: value for name, value in OBSERVATION.items() if name != "modifierExtension"}
    assert [i for i in validate.structure(summary.reduce(understood, "true")) if i.is_error] == []
