"""What the hub asks of FHIRPath beyond the official suite."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import fhirpath

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "birthDate": "1980-02-29",
    "_birthDate": {"extension": [{"url": "http://e.example/time", "valueDateTime": "1980-02-29T10:00:00Z"}]},
    "name": [
        {"use": "old", "family": "Alt", "given": ["Ada"]},
        {"use": "official", "family": "Neu", "given": ["Ada", None], "_given": [None, {"id": "second"}]},
    ],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "House"}],
    "managingOrganization": {"reference": "#o"},
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": Decimal("72.50"), "system": "http://unitsofmeasure.org", "code": "kg"},
}


def test_decimals_keep_every_digit() -> None:
    (value,) = fhirpath.compile("Observation.value.value")(OBSERVATION)
    assert str(value) == "72.50"
    assert fhirpath.compile("value > 72.4999 'kg' and value < 72501 'g'")(OBSERVATION) == [True]


def test_an_evaluation_changes_nothing() -> None:
    before = copy.deepcopy(PATIENT)
    fhirpath.compile("Patient.descendants() | name.given | birthDate.extension.value")(PATIENT)
    assert before == PATIENT


def test_objects_in_the_answer_are_those_of_the_resource() -> None:
    (name,) = fhirpath.compile("name.where(use = 'official')")(PATIENT)
    assert name is PATIENT["name"][1]


@pytest.mark.parametrize(
    ("expression", "places"),
    [
        ("Patient.name.given", ["Patient.name[0].given[0]", "Patient.name[1].given[0]", "Patient.name[1].given[1]"]),
        ("name.where(use = 'official').family", ["Patient.name[1].family"]),
        ("name[1]", ["Patient.name[1]"]),
        ("birthDate.extension", ["Patient.birthDate.extension[0]"]),
        ("contained.name", ["Patient.contained[0].name"]),
        ("Patient", ["Patient"]),
        ("name.count()", []),
    ],
)
def test_locate_tells_where_an_element_stands(expression: str, places: list[str]) -> None:
    assert fhirpath.locate(expression)(PATIENT) == places


def test_variables_are_given_by_name() -> None:
    assert fhirpath.compile("%wanted + 1")({}, wanted=2) == [3]
    assert fhirpath.compile("%resource.id")(PATIENT) == ["p"]


def test_a_reference_is_followed_inside_the_resource_and_the_bundle() -> None:
    assert fhirpath.compile("managingOrganization.resolve().name")(PATIENT) == ["House"]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": {**PATIENT, "managingOrganization": {"reference": "urn:uuid:2"}}},
            {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "Organization", "name": "Ward"}},
        ],
    }
    path = "entry.resource.ofType(Patient).managingOrganization.resolve().name"
    assert fhirpath.compile(path)(bundle) == ["Ward"]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "name..given",
        "name.",
        "(name",
        "name.where(use = 'official'",
        "name.unknown()",
        "name.where()",
        "1 +",
        "'open",
        "name as Nothing",
        "@2020-13-45T99",
        "a b",
        "name[",
        "%",
        "$that",
        "(" * 500 + "1" + ")" * 500,
        "name.where(given.matches('('))",
        "%undefined",
        "name.given + 1",
        "now()",
    ],
)
def test_a_broken_expression_is_invalid_input(broken: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        fhirpath.compile(broken)(PATIENT)
    assert "Neu" not in str(raised.value)


@pytest.mark.parametrize(
    "expression",
    [
        "Patient.descendants()" + ".select(%resource.descendants())" * 9 + ".count()",
        "'a'" + ".replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 40,
        "Patient.descendants().aggregate($total & $total & 'aaaaaaaaaa', 'aaaaaaaaaa')",
        "(%resource.descendants() | %resource.descendants()).aggregate($total * $total, 1000)",
        "name.repeat(iif(true, $this & 'x'))",
    ],
)
def test_no_expression_takes_unbounded_time_or_memory(expression: str) -> None:
    with pytest.raises(InvalidInput):
        fhirpath.compile(expression)(PATIENT)


def test_a_regular_expression_cannot_run_away() -> None:
    text = {"resourceType": "Basic", "language": "a" * 5000 + "!"}
    assert fhirpath.compile("language.matches('^(a+)+$')")(text) == [False]


def test_what_is_traced_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert fhirpath.compile("name.given.trace('x').count()")(PATIENT) == [3]
    assert capsys.readouterr() == ("", "")


def test_an_element_of_a_known_type_can_be_the_root() -> None:
    period = fhirpath.root({"start": "2020-01-02", "end": "2020-01"}, "Period")
    assert fhirpath.compile("start <= end")(period) == []
    assert fhirpath.compile("end.is(dateTime)")(period) == [True]
