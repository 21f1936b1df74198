"""The stricter schema: what passes it breaks no rule, and what most resources are made of passes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.standards.fhir import invariant_examples
from tests.standards.fhir.made_resources import made
from tests.standards.fhir.test_validate import BROKEN, JUNK, VALID, places

from healthsync.standards.fhir import validate
from healthsync.standards.fhir.definitions import resource_types

PERIOD = {"start": "2024-02-29T10:00:00+01:00", "end": "2024-02-29T10:00:00+01:00"}
CLAIM: dict[str, Any] = {
    "resourceType": "Claim", "status": "active", "use": "claim", "created": "2024-01-01", "id": "c",
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "oral"}]},
    "patient": {"reference": "Patient/1", "display": "somebody"},
    "billablePeriod": PERIOD,
    "provider": {"reference": "#p"},
    "priority": {"text": "a"},
    "extension": [{"url": "urn:x", "valueQuantity": {"value": 1, "unit": "a"}}],
    "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "a"}}],
    "item": [{"sequence": 1, "productOrService": {"text": "b"}, "quantity": {"value": 2}, "servicedPeriod": PERIOD}],
    "contained": [{"resourceType": "Practitioner", "id": "p", "telecom": [{"system": "phone", "value": "1"}]}],
}  # fmt: skip
CARE_PLAN: dict[str, Any] = {
    "resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": {"reference": "Patient/1"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'},
    "activity": [{"detail": {"status": "scheduled", "scheduledTiming": {"repeat": {"period": 1, "periodUnit": "d"}}}}],
}  # fmt: skip
REPORT: dict[str, Any] = {
    "resourceType": "DiagnosticReport", "status": "final", "code": {"text": "a"},
    "result": [{"reference": "Observation/1"}, {"reference": "Observation/2/_history/1"}],
    "presentedForm": [{"contentType": "text/plain", "data": "QUFB"}],
}  # fmt: skip
RESULT: dict[str, Any] = {
    "resourceType": "Observation", "status": "final", "code": {"text": "a"},
    "extension": [{"url": "http://hl7.org/fhir/5.0/StructureDefinition/x", "valueDateTime": "2024"}],
    "valueQuantity": {
        "value": 1,
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation", "valueQuantity": {"value": 1}}
        ],
    },
    "referenceRange": [{"low": {"value": 1}}],
}  # fmt: skip
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "extension": [{"url": "urn:race", "extension": [{"url": "text", "valueString": "a"}]}],
    "address": [
        {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/geolocation",
                    "extension": [{"url": "latitude", "valueDecimal": 1}],
                }
            ],
        }
    ],
}
PLAIN = [CLAIM, CARE_PLAN, REPORT, RESULT, PATIENT]

ADDED = [
    {"id": "x"}, {"reference": "#p"}, {"reference": "#q"}, {"reference": "Nobody/1"}, {"reference": "Group/1"},
    {"extension": [{"url": "urn:x"}]}, {"url": "urn:x", "valueString": "a", "extension": []}, {"comparator": "<"},
    {"start": "2024", "end": "2023"}, {"end": "2023", "start": "2024"}, {"start": "2024-01-02", "end": "2024-01-01"},
    {"start": "2024-01-01T10:00:00Z", "end": "2024-01-01T10:30:00+01:00"}, {"value": 1, "code": "a"}, {"value": "1"},
    {"data": "QUFB"}, {"low": {"value": 1}}, {"period": -1, "periodUnit": "d"}, "#q", "#p", None, "a", -1,
    {"resourceType": "Practitioner", "id": "p"}, {"detail": {"status": "a"}, "reference": {"reference": "Task/1"}},
    {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueString": "a"},
]  # fmt: skip
ADDED += [
    [{"url": f"http://hl7.org/fhir/StructureDefinition/{name}", value: given}]
    for name in ("iso21090-PQ-translation", "patient-birthPlace", "geolocation", "data-absent-reason", "body-weight")
    for value, given in (
        ("valueQuantity", {"value": 1}), ("valueAddress", {"city": "a"}), ("valueCode", "unknown"),
        ("extension", [{"url": "latitude", "valueDecimal": 1}]),
    )
]  # fmt: skip
"""Extensions of R4, each right in one place and with one value."""
NAMES = [
    "id", "extension", "modifierExtension", "contained", "_status", "_value", "reference", "type", "comparator", "code",
    "end", "data", "onBehalfOf", "text", "repeat", "value", "detail", "valueString",
]  # fmt: skip


def walked(resource: dict[str, Any]) -> list[Any]:
    """What the schema and the walk find, without the stricter schema before them."""
    issues: list[Any] = []
    validate._examine(resource, resource["resourceType"], issues, ())
    return issues


def passes(resource: dict[str, Any]) -> bool:
    return validate._is_plainly_right(resource, None)


@pytest.mark.parametrize("resource", PLAIN, ids=[each["resourceType"] for each in PLAIN])
def test_what_clinical_resources_are_made_of_passes(resource: dict[str, Any]) -> None:
    assert passes(resource)


@given(st.sampled_from([*PLAIN, *(case[1] for case in VALID)]), st.data())
@settings(max_examples=400)
def test_whatever_is_changed_in_a_resource_what_passes_breaks_no_rule(
    resource: dict[str, Any], data: st.DataObject
) -> None:
    changed = copy.deepcopy(resource)
    new = copy.deepcopy(data.draw(st.sampled_from(ADDED) | JUNK))
    container, key = data.draw(st.sampled_from(places(changed)))
    if isinstance(container[key], dict) and data.draw(st.booleans()):
        container[key][data.draw(st.sampled_from(NAMES))] = new
    else:
        container[key] = new
    if changed["resourceType"] == resource["resourceType"] and passes(changed):
        assert walked(changed) == []


@pytest.mark.parametrize("case", [case for case in BROKEN if case[1].get("resourceType") in resource_types()],
                         ids=lambda case: case[0])  # fmt: skip
def test_nothing_broken_passes(case: tuple[str, dict[str, Any], str, str]) -> None:
    assert not passes(case[1])


def test_no_example_that_breaks_an_invariant_passes() -> None:
    for key, where, bad, _ in invariant_examples.EXAMPLES:
        resource_type, _, element = where.partition(".")
        for holder in made(resource_type) if resource_type in resource_types() and "." not in element else ():
            resource = {**holder, element: bad} if element else {**bad, "resourceType": resource_type}
            for one in (resource, {**resource, element: [bad]}) if element else (resource,):
                assert not (passes(one) and walked(one)), key
    for key, (bad, _) in invariant_examples.WHOLE.items():
        assert not passes({"resourceType": "Patient", **bad}), key


@pytest.mark.parametrize("resource_type", sorted(resource_types()))
def test_a_resource_with_a_value_of_every_element_passes_only_if_it_breaks_no_rule(resource_type: str) -> None:
    for resource in made(resource_type)[:2]:
        assert not (passes(resource) and walked(resource))
