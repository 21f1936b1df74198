"""search.html: under which values a resource is found."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir import references
from healthsync.standards.fhir.dates import BEGINNING, END, interval
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.search_parameters import (
    component_values,
    components,
    definition,
    definitions,
    index,
    is_indexed,
    normalise,
)

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def under(resource: dict[str, Any], kind: str, name: str) -> list[Any]:
    """The values of one parameter, each once, without the paths under which they stand."""
    name, _, logical = name.partition(":")
    parameter = definition(resource["resourceType"], name)
    assert parameter is not None
    paths = [f"{path}:{logical}" if logical else path for path in parameter.paths]
    found = [entry[1:] for entry in getattr(index(resource, whole=True), kind) if entry[0] in paths]
    if kind == "references" and parameter.targets:
        found = [each for each in found if references.parse(each[0]).type in (None, *parameter.targets)]
    return [entry[0] if len(entry) == 1 else entry for entry in dict.fromkeys(found)]


PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {
        "profile": ["http://example.org/p|1.0"],
        "tag": [{"system": "urn:t", "code": "a"}],
        "source": "urn:s",
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}],
        "lastUpdated": "2020-01-01T00:00:00Z",
    },
    "identifier": [{"system": "urn:mrn", "value": "00-12 A"}, {"value": "no system"}, {"system": "urn:empty"}],
    "active": True,
    "name": [
        {"family": "Bé  Ü", "given": ["Ina", None, "Zoë"], "_given": [None, {"id": "x"}, None], "suffix": ["Jr"]},
        {"text": "Straße"},
    ],
    "telecom": [{"system": "phone", "value": "555"}, {"system": "email", "value": "a@b"}, {"system": "fax"}],
    "gender": "female",
    "birthDate": "1987-05",
    "address": [{"line": ["1 Main St"], "city": "Ann Arbor", "postalCode": "48104", "use": "home"}],
    "generalPractitioner": [{"reference": "Practitioner/1/_history/3"}, {"reference": "#inner"}, {"display": "x"}],
    "link": [{"other": {"reference": "https://example.org/fhir/Patient/9"}, "type": "seealso"}],
}


def test_a_patient_is_found_by_its_tokens() -> None:
    assert under(PATIENT, "tokens", "identifier") == [("urn:mrn", "00-12 A"), (None, "no system")]
    assert under(PATIENT, "tokens", "active") == [(None, "true")]
    assert under(PATIENT, "tokens", "gender") == [("http://hl7.org/fhir/administrative-gender", "female")]
    assert under(PATIENT, "tokens", "telecom") == [(None, "555"), (None, "a@b")]
    assert under(PATIENT, "tokens", "phone") == [(None, "555")]
    assert under(PATIENT, "tokens", "email") == [(None, "a@b")]
    assert under(PATIENT, "tokens", "address-use") == [("http://hl7.org/fhir/address-use", "home")]
    assert under(PATIENT, "tokens", "_tag") == [("urn:t", "a")]
    assert under(PATIENT, "tokens", "_security")[0][1] == "R"
    assert not under(PATIENT, "tokens", "_id")


def test_a_patient_is_found_by_every_part_of_its_names_without_case_and_accents() -> None:
    assert under(PATIENT, "strings", "family") == ["be u"]
    assert under(PATIENT, "strings", "given") == ["ina", "zoe"]
    assert under(PATIENT, "strings", "name") == ["be u", "ina", "zoe", "jr", "strasse"]
    assert under(PATIENT, "strings", "address") == ["1 main st", "ann arbor", "48104"]
    assert under(PATIENT, "strings", "address-city") == ["ann arbor"]
    assert under(PATIENT, "exact", "family") == ["Bé  Ü"]
    assert {*under(PATIENT, "strings", "phonetic")} == {"B", "U", "IN", "S", "JR", "STRS"}


def test_a_patient_is_found_by_dates_references_and_uris() -> None:
    assert under(PATIENT, "dates", "birthdate") == [interval("1987-05")]
    assert not under(PATIENT, "dates", "_lastUpdated")
    assert under(PATIENT, "references", "general-practitioner") == ["Practitioner/1"]
    assert under(PATIENT, "references", "link") == ["https://example.org/fhir/Patient/9"]
    assert under(PATIENT, "uris", "_profile") == ["http://example.org/p|1.0", "http://example.org/p"]
    assert under(PATIENT, "uris", "_source") == ["urn:s"]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, "false"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedDateTime": "2020"}, "true"),
    ],
)
def test_deceased_means_any_sign_of_death(elements: dict[str, Any], expected: str) -> None:
    patient = {"resourceType": "Patient", **elements}
    assert under(patient, "tokens", "deceased") == [(None, expected)]
    assert len(under(patient, "dates", "death-date")) == ("deceasedDateTime" in elements)


OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": LOINC, "code": "85354-9"}, {"system": LOINC}], "text": "BP"},
    "subject": {"reference": "Patient/1", "identifier": {"system": "urn:mrn", "value": "7"}},
    "effectivePeriod": {"start": "2020-01-01"},
    "valueQuantity": {"value": Decimal("0.0054"), "unit": "gram", "system": UCUM, "code": "g"},
    "component": [
        {
            "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
            "valueQuantity": {"value": 120, "comparator": ">=", "unit": "mmHg"},
        },
        {"code": {"coding": [{"system": LOINC, "code": "85354-9"}]}, "valueString": "x"},
    ],
}


def test_an_observation_is_found_by_its_codes_and_each_only_once() -> None:
    assert under(OBSERVATION, "tokens", "code") == [(LOINC, "85354-9")]
    assert sorted(under(OBSERVATION, "tokens", "component-code")) == [(LOINC, "8480-6"), (LOINC, "85354-9")]
    assert sorted(under(OBSERVATION, "tokens", "combo-code")) == [(LOINC, "8480-6"), (LOINC, "85354-9")]


def test_a_quantity_keeps_value_and_unit_and_a_comparator_opens_a_side() -> None:
    exact = Decimal("0.0054")
    assert under(OBSERVATION, "quantities", "value-quantity") == [(exact, exact, UCUM, "g", "gram")]
    assert under(OBSERVATION, "quantities", "component-value-quantity") == [(Decimal(120), None, None, None, "mmHg")]
    assert len(under(OBSERVATION, "quantities", "combo-value-quantity")) == 2


def test_references_are_filtered_by_the_type_they_resolve_to() -> None:
    assert under(OBSERVATION, "references", "patient") == ["Patient/1"]
    group = {**OBSERVATION, "subject": {"reference": "Group/1"}}
    assert under(group, "references", "patient") == []
    assert under(group, "references", "subject") == ["Group/1"]


def test_a_logical_reference_is_a_token_of_its_own() -> None:
    assert under(OBSERVATION, "tokens", "subject:identifier") == [("urn:mrn", "7")]
    named = {**OBSERVATION, "subject": {"type": "Patient", "identifier": {"value": "8"}}}
    assert under(named, "tokens", "patient:identifier") == [(None, "8")]


def test_an_open_period_is_found_for_ever() -> None:
    assert under(OBSERVATION, "dates", "date") == [(datetime(2020, 1, 1, tzinfo=UTC), END)]


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ({"event": ["2020-03-01", "2020-01-01"]}, (interval("2020-01-01")[0], interval("2020-03-01")[1])),
        ({"repeat": {"boundsPeriod": {"end": "2020"}}}, (BEGINNING, interval("2020")[1])),
        ({"repeat": {"frequency": 2}}, None),
    ],
)
def test_only_the_outer_limits_of_a_timing_count(timing: dict[str, Any], expected: Any) -> None:
    observation = {"resourceType": "Observation", "effectiveTiming": timing}
    assert under(observation, "dates", "date") == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("resource", "kind", "name", "expected"),
    [
        ({"resourceType": "Condition", "onsetString": "as a child"}, "strings", "onset-info", ["as a child"]),
        (
            {"resourceType": "Condition", "onsetRange": {"low": {"value": 5, "unit": "a"}}},
            "quantities",
            "onset-age",
            [(Decimal(5), None, None, None, "a")],
        ),
        (
            {"resourceType": "Invoice", "totalNet": {"value": Decimal("1.20"), "currency": "EUR"}},
            "quantities",
            "totalnet",
            [(Decimal("1.20"), Decimal("1.20"), "urn:iso:std:iso:4217", "EUR", "EUR")],
        ),
        (
            {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": Decimal("0.5")}]},
            "numbers",
            "probability",
            [(Decimal("0.5"), Decimal("0.5"))],
        ),
        (
            {"resourceType": "QuestionnaireResponse", "questionnaire": "http://q|2"},
            "references",
            "questionnaire",
            ["http://q|2", "http://q"],
        ),
        (
            {"resourceType": "Library", "relatedArtifact": [{"type": "successor", "resource": "http://a"}, {"type": "citation", "resource": "http://b"}]},
            "references",
            "successor",
            ["http://a"],
        ),
        (
            {"resourceType": "Observation", "valueCodeableConcept": {"text": "Positive", "coding": [{"code": "p"}]}},
            "tokens",
            "value-concept",
            [(None, "p")],
        ),
        ({"resourceType": "Observation", "valueCodeableConcept": {"text": "Positive"}}, "strings", "value-string", ["positive"]),
        ({"resourceType": "Encounter", "length": {"value": 3, "unit": "d"}}, "quantities", "length", [(Decimal(3), Decimal(3), None, None, "d")]),
        ({"resourceType": "RiskAssessment", "prediction": [{"probabilityRange": {"low": {"value": 1}, "high": {"value": 2}}}]}, "numbers", "probability", [(Decimal(1), Decimal(2))]),
        ({"resourceType": "Observation", "valueQuantity": {"unit": "g"}}, "quantities", "value-quantity", []),
        ({"resourceType": "Encounter", "class": {"system": "urn:c", "code": "AMB"}}, "tokens", "class", [("urn:c", "AMB")]),
        ({"resourceType": "Task", "for": {"reference": "Patient/1"}}, "references", "patient", ["Patient/1"]),
        ({"resourceType": "ValueSet", "url": "http://v", "version": "1"}, "uris", "url", ["http://v"]),
        ({"resourceType": "Composition", "relatesTo": [{"targetIdentifier": {"value": "x"}}]}, "tokens", "related-id", [(None, "x")]),
        ({"resourceType": "StructureDefinition", "snapshot": {"element": [{"path": "A.b"}]}}, "tokens", "path", [(None, "A.b")]),
    ],
)  # fmt: skip
def test_a_value_is_indexed_as_the_parameter_and_its_type_say(
    resource: dict[str, Any], kind: str, name: str, expected: list[Any]
) -> None:
    assert under(resource, kind, name) == expected


def test_an_impossible_date_or_an_empty_period_is_left_out() -> None:
    assert index({"resourceType": "Observation", "effectiveDateTime": "2020-02-30"}).dates == []
    assert index({"resourceType": "Observation", "effectivePeriod": {"id": "x"}}).dates == []


def test_contained_resources_are_not_indexed() -> None:
    values = index({"resourceType": "Observation", "contained": [PATIENT]})
    assert values.strings == values.tokens == []


def test_every_parameter_of_every_type_compiles_and_definitions_are_complete() -> None:
    for resource_type in resource_types():
        index({"resourceType": resource_type})
        assert {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"} <= definitions(resource_type).keys()
    of_every_resource, of_guides = 9, 1
    assert len(definitions("Patient")) == 23 + of_every_resource + of_guides
    assert len(definitions("Observation")) == 38 + of_every_resource


@pytest.mark.parametrize(
    ("resource_type", "name", "served"),
    [
        ("Patient", "birthdate", True),
        ("Patient", "phonetic", True),
        ("Observation", "code-value-quantity", True),
        ("Location", "near", True),
        ("Patient", "_text", False),
        ("Bundle", "composition", True),
    ],
)
def test_a_parameter_without_index_says_so(resource_type: str, name: str, served: bool) -> None:
    parameter = definition(resource_type, name)
    assert parameter is not None
    assert is_indexed(parameter) is served


def test_an_unknown_parameter_has_no_definition() -> None:
    assert definition("Patient", "shoe-size") is None


@given(st.text())
def test_normalising_is_idempotent_and_the_same_for_both_unicode_forms(text: str) -> None:
    normal = normalise(text)
    assert normalise(normal) == normal
    assert normalise(unicodedata.normalize("NFC", text)) == normalise(unicodedata.normalize("NFD", text)) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [("ÉÈ", "ee"), ("Straße", "strasse"), (" a\t b\n", "a b"), ("Łódź", "łodz"), ("ﬁ", "fi"), ("  ", "")],
)
def test_strings_are_compared_without_case_accents_and_extra_space(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_a_value_stands_once_under_its_path_and_parameters_share_it() -> None:
    values = index(OBSERVATION)
    assert values.references == [("subject", "Patient/1")]
    patient, subject = definition("Observation", "patient"), definition("Observation", "subject")
    assert patient is not None
    assert subject is not None
    assert patient.paths == subject.paths == ("subject",)
    assert patient.targets == ("Patient",)
    assert "Group" in subject.targets


def test_every_parameter_but_the_three_that_are_no_elements_has_paths() -> None:
    without = {
        name
        for resource_type in resource_types()
        for name, parameter in definitions(resource_type).items()
        if not parameter.paths
    }
    assert without == {"_id", "_lastUpdated", "_text", "_content", "_query"}


def test_a_composite_combines_what_stands_in_the_same_element() -> None:
    composite = definition("Observation", "component-code-value-quantity")
    assert composite is not None
    found = component_values(OBSERVATION, composite)
    pairs = [
        ([code for _, _, code in codes.tokens], [low for _, low, *_ in values.quantities]) for codes, values in found
    ]
    assert pairs == [(["8480-6"], [Decimal(120)]), (["85354-9"], [])]


@pytest.mark.parametrize("resource_type", sorted(resource_types()))
def test_every_composite_knows_its_components(resource_type: str) -> None:
    for parameter in definitions(resource_type).values():
        if parameter.type == "composite":
            parts = components(resource_type, parameter)
            assert len(parts) == len(parameter.components)
            assert all(part.paths for part in parts)


def test_what_is_contained_is_indexed_under_the_reference_to_it_and_no_further_than_a_bound() -> None:
    doctor = {"resourceType": "Practitioner", "id": "d", "identifier": [{"value": str(n)} for n in range(3_000)]}
    nobody = {"resourceType": "Practitioner", "id": "n", "identifier": [{"value": "n"}]}
    referring = {
        "resourceType": "Observation", "performer": [{"reference": "#d"}, {"reference": "#d"}, {"reference": "#gone"}],
        "contained": [doctor, nobody],
    }  # fmt: skip
    values = index(referring)
    assert ("performer>", None, "Practitioner") in values.tokens
    under = [code for path, _, code in values.tokens if path == "performer>Practitioner.identifier"]
    assert under[:2] == ["0", "1"] and len(under) == 1_000
    assert "n" not in [code for _, _, code in values.tokens]
    assert index(referring, whole=True).tokens == []
