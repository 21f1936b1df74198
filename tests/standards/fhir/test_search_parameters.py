"""search.html: under which values a resource is found."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.standards.fhir.dates import BEGINNING, END, interval
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.search_parameters import definition, definitions, index, is_indexed, normalise

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def under(entries: list[Any], name: str) -> list[Any]:
    """The entries of one parameter without its name; single values without their tuple."""
    found = [entry[1:] for entry in entries if entry[0] == name]
    return [entry[0] if len(entry) == 1 else entry for entry in found]


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
    tokens = index(PATIENT).tokens
    assert under(tokens, "identifier") == [("urn:mrn", "00-12 A"), (None, "no system")]
    assert under(tokens, "active") == [(None, "true")]
    assert under(tokens, "gender") == [("http://hl7.org/fhir/administrative-gender", "female")]
    assert under(tokens, "telecom") == [(None, "555"), (None, "a@b")]
    assert under(tokens, "phone") == [(None, "555")]
    assert under(tokens, "email") == [(None, "a@b")]
    assert under(tokens, "address-use") == [("http://hl7.org/fhir/address-use", "home")]
    assert under(tokens, "_tag") == [("urn:t", "a")]
    assert under(tokens, "_security")[0][1] == "R"
    assert not under(tokens, "_id")


def test_a_patient_is_found_by_every_part_of_its_names_without_case_and_accents() -> None:
    values = index(PATIENT)
    assert under(values.strings, "family") == ["be u"]
    assert under(values.strings, "given") == ["ina", "zoe"]
    assert under(values.strings, "name") == ["be u", "ina", "zoe", "jr", "strasse"]
    assert under(values.strings, "address") == ["1 main st", "ann arbor", "48104"]
    assert under(values.strings, "address-city") == ["ann arbor"]
    assert under(values.exact, "family") == ["Bé  Ü"]
    assert not under(values.strings, "phonetic")


def test_a_patient_is_found_by_dates_references_and_uris() -> None:
    values = index(PATIENT)
    assert under(values.dates, "birthdate") == [interval("1987-05")]
    assert not under(values.dates, "_lastUpdated")
    assert under(values.references, "general-practitioner") == ["Practitioner/1"]
    assert under(values.references, "link") == ["https://example.org/fhir/Patient/9"]
    assert under(values.uris, "_profile") == ["http://example.org/p|1.0"]
    assert under(values.uris, "_source") == ["urn:s"]


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
    values = index({"resourceType": "Patient", **elements})
    assert under(values.tokens, "deceased") == [(None, expected)]
    assert len(under(values.dates, "death-date")) == ("deceasedDateTime" in elements)


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
    tokens = index(OBSERVATION).tokens
    assert under(tokens, "code") == [(LOINC, "85354-9")]
    assert sorted(under(tokens, "component-code")) == [(LOINC, "8480-6"), (LOINC, "85354-9")]
    assert sorted(under(tokens, "combo-code")) == [(LOINC, "8480-6"), (LOINC, "85354-9")]


def test_a_quantity_keeps_value_and_unit_and_a_comparator_opens_a_side() -> None:
    quantities = index(OBSERVATION).quantities
    exact = Decimal("0.0054")
    assert under(quantities, "value-quantity") == [(exact, exact, UCUM, "g", "gram")]
    assert under(quantities, "component-value-quantity") == [(Decimal(120), None, None, None, "mmHg")]
    assert len(under(quantities, "combo-value-quantity")) == 2


def test_references_are_filtered_by_the_type_they_resolve_to() -> None:
    assert under(index(OBSERVATION).references, "patient") == ["Patient/1"]
    group = {**OBSERVATION, "subject": {"reference": "Group/1"}}
    assert under(index(group).references, "patient") == []
    assert under(index(group).references, "subject") == ["Group/1"]
    urn = {**OBSERVATION, "subject": {"reference": "urn:uuid:1", "type": "Patient"}}
    assert under(index(urn).references, "patient") == ["urn:uuid:1"]


def test_a_logical_reference_is_a_token_of_its_own() -> None:
    assert under(index(OBSERVATION).tokens, "subject:identifier") == [("urn:mrn", "7")]
    named = {**OBSERVATION, "subject": {"type": "Patient", "identifier": {"value": "8"}}}
    assert under(index(named).tokens, "patient:identifier") == [(None, "8")]


def test_an_open_period_is_found_for_ever() -> None:
    assert under(index(OBSERVATION).dates, "date") == [(datetime(2020, 1, 1, tzinfo=UTC), END)]


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ({"event": ["2020-03-01", "2020-01-01"]}, (interval("2020-01-01")[0], interval("2020-03-01")[1])),
        ({"repeat": {"boundsPeriod": {"end": "2020"}}}, (BEGINNING, interval("2020")[1])),
        ({"repeat": {"frequency": 2}}, None),
    ],
)
def test_only_the_outer_limits_of_a_timing_count(timing: dict[str, Any], expected: Any) -> None:
    dates = index({"resourceType": "Observation", "effectiveTiming": timing}).dates
    assert under(dates, "date") == ([expected] if expected else [])


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
    assert under(getattr(index(resource), kind), name) == expected


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
    of_every_resource = 9
    assert len(definitions("Patient")) == 23 + of_every_resource
    assert len(definitions("Observation")) == 38 + of_every_resource


@pytest.mark.parametrize(
    ("resource_type", "name", "served"),
    [
        ("Patient", "birthdate", True),
        ("Patient", "phonetic", False),
        ("Observation", "code-value-quantity", False),
        ("Location", "near", False),
        ("Patient", "_text", False),
        ("Bundle", "composition", False),
    ],
)
def test_a_parameter_without_index_says_so(resource_type: str, name: str, served: bool) -> None:
    parameter = definition(resource_type, name)
    assert parameter is not None
    assert is_indexed(parameter) is served


def test_an_unknown_parameter_has_no_definition() -> None:
    assert definition("Patient", "shoe-size") is None


@settings(deadline=None)
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
