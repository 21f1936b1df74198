"""Points, bands and rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.quality import Action, Bands, Content, Contract, Dimension, Rubric, judge, load_rubric
from healthsync.domains.quality.scoring import overall
from healthsync.errors import InvalidInput
from healthsync.settings.checking import read_document
from healthsync.settings.documents.validation_rules import ValidationRulesDocument
from healthsync.standards.logical_tables import LogicalTables

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLES = LogicalTables.load()
SHIPPED = load_rubric(TABLES)
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "N-1", "type": {"coding": [{"code": "MR"}]}}],
    "name": [{"family": "Linnet", "given": ["Ora"]}],
    "birthDate": "1964-04-28",
    "gender": "female",
    "address": [{"city": "Harbor"}],
    "telecom": [{"system": "phone", "value": "(217) 555-0100"}],
}


def observation(code: str = "2345-7", value: float | None = 93, unit: str = "mg/dL", **other: Any) -> dict[str, Any]:
    quantity = {"value": Decimal(str(value)), "unit": unit, "code": unit, "system": UCUM} if value is not None else None
    return {
        "resourceType": "Observation",
        "id": f"o-{code}-{value}",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "effectiveDateTime": "2026-03-01T08:00:00Z",
        **({"valueQuantity": quantity} if quantity else {}),
        **other,
    }


def content(*resources: dict[str, Any], **other: Any) -> Content:
    return Content(list(resources), NOW, **{"event_at": NOW - timedelta(minutes=5), **other})


def failed(*resources: dict[str, Any], rubric: Rubric = SHIPPED, **other: Any) -> dict[str, int]:
    score = judge(content(*resources, **other), rubric)
    assert score is not None
    return dict(score.failed)


def test_the_example_of_the_requirements_is_94_and_accepted_automatically() -> None:
    points = dict(zip(Dimension, (85.0, 95.0, 90.0, 100.0, 100.0), strict=True))
    assert overall(points) == 94
    assert Bands().action(94) is Action.ACCEPT


@pytest.mark.parametrize(
    ("points", "action", "of_one_that_rejects"),
    [
        (100, "accept", "accept"),
        (90, "accept", "accept"),
        (89, "accept-with-warnings", "accept-with-warnings"),
        (75, "accept-with-warnings", "accept-with-warnings"),
        (74, "review", "review"),
        (60, "review", "review"),
        (59, "review", "reject"),
        (0, "review", "reject"),
    ],
)
def test_the_bands_are_90_75_60_and_exactly_60_passes(points: int, action: str, of_one_that_rejects: str) -> None:
    assert Bands().action(points) == action
    assert Bands(rejects=True).action(points) == of_one_that_rejects


def test_a_contract_raises_the_bands_and_never_lowers_them() -> None:
    assert Contract("mercy", minimum=70, rejects=True).over(Bands()) == Bands(90, 75, 70, True)
    assert Contract("mercy", minimum=80).over(Bands()) == Bands(90, 80, 80, False)
    assert Contract("mercy", excellent=50, good=50, minimum=50).over(Bands()) == Bands()
    assert Contract("mercy", rejects=False).over(Bands(rejects=True)).rejects is False
    with pytest.raises(InvalidInput, match="rise"):
        Bands(excellent=70, good=75)


def test_a_message_with_everything_has_100_points_in_every_dimension() -> None:
    score = judge(content(PATIENT, observation()), SHIPPED)
    assert score is not None
    assert (score.points, score.failed) == (100, {})
    assert score.dimensions == dict.fromkeys(Dimension, 100)


def test_where_nothing_can_be_judged_a_dimension_does_not_count_and_a_message_has_no_score() -> None:
    assert judge(Content([], NOW), Rubric(())) is None
    score = judge(Content([{"resourceType": "Observation", "status": "cancelled"}], NOW), SHIPPED)
    assert score is not None and Dimension.TIMELINESS not in score.dimensions


CASES: list[tuple[str, tuple[dict[str, Any], ...], dict[str, Any]]] = [
    ("patient-number", ({**PATIENT, "identifier": []},), {}),
    ("patient-family-name", ({**PATIENT, "name": [{"given": ["Ora"]}]},), {}),
    ("patient-given-name", ({**PATIENT, "name": [{"family": "Linnet"}]},), {}),
    ("patient-birth-date", ({k: v for k, v in PATIENT.items() if k != "birthDate"},), {}),
    ("patient-sex", ({**PATIENT, "gender": "unknown"},), {}),
    ("patient-address", ({**PATIENT, "address": [{"country": "USA"}]},), {}),
    ("patient-contact", ({**PATIENT, "telecom": []},), {}),
    ("patient-named-or-numbered", ({**PATIENT, "identifier": [], "name": []},), {}),
    ("patient-birth-date-plausible", ({**PATIENT, "birthDate": "2026-03-02"},), {}),
    ("patient-birth-date-plausible", ({**PATIENT, "birthDate": "1899-12-31"},), {}),
    ("patient-sex-coded", ({**PATIENT, "gender": "f"},), {}),
    ("patient-ssn-form", ({**PATIENT, "identifier": [{"value": "12-3", "type": {"coding": [{"code": "SS"}]}}]},), {}),
    ("patient-name-meant", ({**PATIENT, "name": [{"family": "UNKNOWN", "given": ["x"]}]},), {}),
    ("patient-phone-form", ({**PATIENT, "telecom": [{"system": "phone", "value": "none"}]},), {}),
    ("patient-email-form", ({**PATIENT, "telecom": [{"system": "email", "value": "none"}]},), {}),
    ("patient-dies-after-birth", ({**PATIENT, "deceasedDateTime": "1960-01-01"},), {}),
    ("patient-numbered-once", ({**PATIENT, "identifier": [*PATIENT["identifier"], {**PATIENT["identifier"][0], "value": "N-2"}]},), {}),
    ("encounter-number", ({"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}},), {}),
    ("encounter-class", ({"resourceType": "Encounter", "status": "finished"},), {}),
    ("encounter-begin", ({"resourceType": "Encounter", "status": "finished"},), {}),
    ("encounter-status", ({"resourceType": "Encounter", "status": "unknown"},), {}),
    ("encounter-in-order", ({"resourceType": "Encounter", "period": {"start": "2026-02-03", "end": "2026-02-01"}},), {}),
    ("encounter-in-order", ({"resourceType": "Encounter", "period": {"start": "2026-02-03T10:00:00+01:00", "end": "2026-02-03T08:59:00Z"}},), {}),
    ("encounter-after-birth", (PATIENT, {"resourceType": "Encounter", "period": {"start": "1950"}}), {}),
    ("observation-code", ({k: v for k, v in observation().items() if k != "code"},), {}),
    ("observation-result", (observation(value=None),), {}),
    ("observation-unit", ({**observation(), "valueQuantity": {"value": Decimal(3)}},), {}),
    ("observation-time", ({k: v for k, v in observation().items() if k != "effectiveDateTime"},), {}),
    ("observation-coded", ({**observation(), "code": {"coding": [{"system": "urn:local", "code": "GLU"}]}},), {}),
    ("observation-unit-coded", (observation(unit="milligrams per deci"),), {}),
    ("observation-after-birth", (PATIENT, observation(effectiveDateTime="1950-01-01")), {}),
    ("observation-recent", (observation(effectiveDateTime="2015-01-01"),), {}),
    ("observation-plausible", (observation(value=1001),), {}),
    ("observation-plausible", (observation("8310-5", 44, "Cel"),), {}),
    ("report-code", ({"resourceType": "DiagnosticReport", "status": "final"},), {}),
    ("report-result", ({"resourceType": "DiagnosticReport", "status": "final"},), {}),
    ("report-status", ({"resourceType": "DiagnosticReport", "status": "unknown"},), {}),
    ("report-time", ({"resourceType": "DiagnosticReport", "status": "final"},), {}),
    ("report-final-as-its-results", ({"resourceType": "DiagnosticReport", "status": "final", "result": [{"reference": "Observation/o1"}]},
                                     {"resourceType": "Observation", "id": "o1", "status": "preliminary"}), {}),
    ("condition-coded", ({"resourceType": "Condition", "code": {"coding": [{"system": "urn:x", "code": "1"}]}},), {}),
    ("condition-code", ({"resourceType": "Condition"},), {}),
    ("allergy-code", ({"resourceType": "AllergyIntolerance"},), {}),
    ("drug-code", ({"resourceType": "MedicationRequest"},), {}),
    ("immunization-code", ({"resourceType": "Immunization"},), {}),
    ("immunization-time", ({"resourceType": "Immunization"},), {}),
    ("document-content", ({"resourceType": "DocumentReference"},), {}),
    ("message-read-whole", (PATIENT,), {"issues": ["invalid-date"]}),
    ("message-not-from-the-future", (PATIENT,), {"event_at": NOW + timedelta(hours=25)}),
    ("message-values-agree", (observation(value=93), observation(value=94)), {}),
    ("message-systolic-above-diastolic", (observation("8480-6", 60, "mm[Hg]"), observation("8462-4", 90, "mm[Hg]")), {}),
    ("message-recent", (PATIENT,), {"event_at": NOW - timedelta(days=6 * 365)}),
    ("message-tells-once", (PATIENT, {**PATIENT, "id": "q"}), {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "resources", "other"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_each_rule_finds_the_fault_that_it_is_for(rule: str, resources: tuple[dict, ...], other: dict) -> None:
    assert rule in failed(*resources, **other)
    assert rule not in failed(PATIENT, observation())


def test_every_rule_that_ships_is_shown_by_a_case_and_says_why_it_is_asked_and_who_says_so() -> None:
    assert {rule.id for rule in SHIPPED.rules} == {rule for rule, _, _ in CASES}
    assert all(rule.because and rule.source and rule.weight > 0 for rule in SHIPPED.rules)


def test_a_patient_with_neither_number_nor_name_is_looked_at_whatever_the_rest_says() -> None:
    score = judge(content({**PATIENT, "identifier": [], "name": []}, *(observation(str(n)) for n in range(9))), SHIPPED)
    assert score is not None and score.failed_critically
    assert Bands().action(100, failed_critically=True) is Action.REVIEW


@pytest.fixture(scope="module")
def demanded(shared_data: Path) -> Rubric:
    """The rules of the requirements, as they stand."""
    file = shared_data.parent / "spec" / "config" / "validation_rules.yaml"
    return load_rubric(TABLES, read_document(file, ValidationRulesDocument))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": [{"given": ["Ora"]}]}, "required-family-name"),
        ({"birthDate": None}, "required-birth-date"),
        ({"gender": None}, "required-gender"),
        ({"birthDate": "1964-04"}, "valid-birth-date"),
        ({"birthDate": "1899-12-31"}, "valid-birth-date"),
        ({"birthDate": "2026-03-02"}, "valid-birth-date"),
        ({"gender": "f"}, "valid-gender"),
        ({"identifier": [{"value": "123456789", "type": {"coding": [{"code": "SS"}]}}]}, "valid-ssn"),
        ({}, None),
        ({"birthDate": "1900-01-01"}, None),
        ({"birthDate": "2026-03-01"}, None),
        ({"identifier": [{"value": "123-45-6789", "type": {"coding": [{"code": "SS"}]}}]}, None),
    ],
)
def test_the_rules_of_the_requirements_hold_word_for_word(demanded: Rubric, change: dict, rule: str | None) -> None:
    patient = {name: value for name, value in {**PATIENT, **change}.items() if value is not None}
    found = {name for name in failed(patient, rubric=demanded) if name.startswith(("required-", "valid-"))}
    assert found == ({rule} if rule else set())


@pytest.mark.shared
@pytest.mark.parametrize(
    ("code", "value", "unit", "plausible"),
    [
        ("2345-7", 0, "mg/dL", True), ("2345-7", 1000, "mg/dL", True), ("2345-7", 1000.1, "mg/dL", False),
        ("2345-7", -1, "mg/dL", False), ("2345-7", 9.99, "g/L", True), ("2345-7", 11, "g/L", False),
        ("8310-5", 98.6, "[degF]", True), ("8310-5", 90, "[degF]", True), ("8310-5", 89.9, "[degF]", False),
        ("8310-5", 37, "Cel", True), ("8310-5", 43.4, "Cel", False), ("8310-5", 37, "[degF]", False),
    ],
)  # fmt: skip
def test_ranges_are_compared_in_their_unit(
    demanded: Rubric, code: str, value: float, unit: str, plausible: bool
) -> None:
    assert ("observation-plausible" not in failed(observation(code, value, unit), rubric=demanded)) == plausible


@pytest.mark.shared
def test_a_rule_of_the_operator_takes_the_place_of_ours_about_the_same_column(demanded: Rubric) -> None:
    names = {rule.id for rule in demanded.rules}
    assert {"patient-family-name", "patient-birth-date", "patient-sex", "patient-ssn-form"}.isdisjoint(names)
    assert {"patient-given-name", "patient-number", "required-family-name"} <= names


def test_a_rubric_of_the_operator_replaces_and_adds_lines() -> None:
    own = {"rules": [
        {"id": "patient-contact", "dimension": "completeness", "of": "Patient", "check": "present", "paths": ["photo"], "weight": 9, "because": "b", "source": "s"},
        {"id": "own", "dimension": "accuracy", "of": "Patient", "check": "like", "path": "name.family", "pattern": "L.*", "because": "b", "source": "s"},
    ], "plausible": {"glucose": {"min": 1, "max": 2, "unit": "mg/dL"}}}  # fmt: skip
    rubric = load_rubric(TABLES, None, own)
    assert set(failed(PATIENT, observation(), rubric=rubric)) == {"patient-contact", "observation-plausible"}
    with pytest.raises(InvalidInput, match=r"rule own: .*no check; checks are present"):
        load_rubric(TABLES, None, {"rules": [{**own["rules"][1], "check": "guess"}]})  # type: ignore[dict-item]
    with pytest.raises(InvalidInput, match="rule own"):
        load_rubric(TABLES, None, {"rules": [{**own["rules"][1], "colour": "red"}]})  # type: ignore[dict-item]


@given(st.sets(st.sampled_from(sorted(set(PATIENT) - {"resourceType"}))), st.randoms())
def test_leaving_something_out_never_makes_a_message_more_complete_and_order_changes_nothing(
    gone: set[str], random: Any
) -> None:
    less = {name: value for name, value in PATIENT.items() if name not in gone}
    resources = [less, observation(), observation("718-7", 14, "g/dL")]
    whole, part = judge(content(PATIENT, *resources[1:]), SHIPPED), judge(content(*resources), SHIPPED)
    assert whole is not None and part is not None and 0 <= part.points <= 100
    assert part.dimensions[Dimension.COMPLETENESS] <= whole.dimensions[Dimension.COMPLETENESS]
    random.shuffle(resources)
    assert judge(content(*resources), SHIPPED) == part
