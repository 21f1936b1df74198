"""The golden record, and the score of the persons found."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.identity import GoldenRecord, SourceRecord, golden_record, load_rules, score
from healthsync.errors import ConfigurationError
from healthsync.standards.fhir.validate import structure


def patient(id_: str, updated: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "meta": {"lastUpdated": updated}, **more}


MR = {"system": "east", "value": "1", "type": {"coding": [{"code": "MR"}]}}
OTHER = {"system": "west", "value": "1"}
MEMBERS = [
    patient("a", "2024-01-01", name=[{"family": "Holm", "given": ["Signe"]}], birthDate="1967-12-13", gender="female", identifier=[MR],
            address=[{"city": "Old"}], telecom=[{"system": "phone", "value": "1"}]),
    patient("b", "2025-01-01", name=[{"family": "HOLM", "given": ["SIGNE"]}], birthDate="1967-12-13", gender="unknown", identifier=[MR, OTHER],
            address=[{"city": "Harbor"}]),
    patient("c", "2026-01-01", name=[{"family": "Berg", "given": ["Signe"]}, {"family": "UNK", "given": ["Unknown"]}], birthDate="1900-01-01", gender="female"),
]  # fmt: skip


def golden(*patients: dict[str, Any], **told: Any) -> GoldenRecord:
    return golden_record([SourceRecord(each, **told.get(each["id"], {})) for each in patients], told.get("rules"))


def reasons(record: GoldenRecord) -> dict[str, tuple[str, str | None]]:
    return {survivor.element: (survivor.source, survivor.because) for survivor in record.survivors}


def test_each_element_survives_by_its_rule_and_says_where_it_comes_from() -> None:
    record = golden(*MEMBERS)
    assert record.elements == {
        "identifier": [MR, OTHER],
        "name": [{"family": "HOLM", "given": ["SIGNE"]}],
        "gender": "female",
        "birthDate": "1967-12-13",
        "telecom": [{"system": "phone", "value": "1"}],
        "address": [{"city": "Harbor"}],
    }
    told = reasons(record)
    assert told["name"] == ("Patient/b", "frequent")
    assert told["birthDate"] == ("Patient/b", "real")
    assert told["gender"] == ("Patient/c", "real")
    assert told["telecom"] == ("Patient/a", None)
    assert told["address"] == ("Patient/b", "recent")


def test_a_golden_record_is_shown_as_a_person_and_as_a_patient() -> None:
    record = golden(patient("a", "2024", birthDate="1967-12-13", maritalStatus={"text": "M"}), patient("b", "2025"))
    person, as_patient = record.as_person(), record.as_patient()
    assert person["link"] == [{"target": {"reference": f"Patient/{id_}"}} for id_ in "ba"]
    assert as_patient["link"] == [{"other": {"reference": f"Patient/{id_}"}, "type": "seealso"} for id_ in "ba"]
    assert "maritalStatus" not in person
    assert as_patient["maritalStatus"] == {"text": "M"}
    assert [
        [part["valueCode"] for part in told["extension"] if part["url"] == "element"] for told in person["extension"]
    ] == [["birthDate"]]
    assert structure(person) == structure(as_patient) == []


@given(st.permutations(MEMBERS))
def test_the_order_in_which_members_are_given_does_not_count(members: list[dict[str, Any]]) -> None:
    assert golden(*members) == golden(*MEMBERS)


def test_a_placeholder_survives_only_when_there_is_nothing_else() -> None:
    nobody = patient("a", "2026-01-01", name=[{"family": "UNK", "given": ["Unknown"]}], birthDate="1900-01-01")
    named = patient("b", "2020-01-01", name=[{"family": "Holm"}])
    assert golden(nobody).elements["name"] == nobody["name"]
    assert golden(nobody).elements["birthDate"] == "1900-01-01"
    assert golden(nobody, named).elements["name"] == named["name"]
    assert golden({"resourceType": "Patient", "id": "a"}).elements == {}


def test_what_a_person_pinned_stands_before_everything_else() -> None:
    pinned = {"a": {"pinned": frozenset({"address", "birthDate"})}}
    record = golden(*MEMBERS, patient("d", "2027", birthDate="1967-12-13"), **pinned)
    assert record.elements["address"] == [{"city": "Old"}]
    assert reasons(record)["address"] == ("Patient/a", "pinned")
    assert reasons(record)["gender"] == ("Patient/c", "real")


def test_a_trusted_source_stands_before_many_and_a_verified_identity_before_it() -> None:
    said = [patient("a", "2024", birthDate="1967-12-13"), patient("b", "2025", birthDate="1967-12-14"),
            patient("c", "2026", birthDate="1967-12-14")]  # fmt: skip
    assert golden(*said).elements["birthDate"] == "1967-12-14"
    trusted = golden(*said, a={"trust": 1})
    assert (trusted.elements["birthDate"], reasons(trusted)["birthDate"]) == ("1967-12-13", ("Patient/a", "trusted"))
    said[2]["meta"]["profile"] = ["http://hl7.org/fhir/us/identity-matching/StructureDefinition/IDI-Patient-L1|2.0.0"]
    assert reasons(golden(*said, a={"trust": 1}))["birthDate"] == ("Patient/c", "verified")


def test_one_record_that_tells_of_a_death_is_enough_and_a_date_says_more_than_a_yes() -> None:
    said = [patient("a", "2026", deceasedBoolean=False), patient("b", "2024", deceasedBoolean=True)]
    assert golden(*said).elements == {"deceasedBoolean": True}
    dated = golden(*said, patient("c", "2020", deceasedDateTime="2019-05-01"))
    assert dated.elements == {"deceasedDateTime": "2019-05-01"}
    assert reasons(dated)["deceased"] == ("Patient/c", "exact")


def test_an_operator_may_bring_rules_of_his_own() -> None:
    rules = load_rules("elements: {address: {keep: record, order: [complete, recent]}}")
    said = [
        patient("a", "2024", address=[{"city": "X", "line": ["1"]}]),
        patient("b", "2025", address=[{"city": "Y"}], gender="male"),
    ]
    assert golden(*said, rules=rules).elements == {"address": [{"city": "X", "line": ["1"]}]}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "no YAML"),
        ("elements: []", "`elements` is missing"),
        ("elements: {colour: {keep: one}}", "colour is none of identifier"),
        ("elements: {name: {keep: some}}", "name: keep is one of all, one, record"),
        ("elements: {name: {keep: one, order: [best]}}", "name: order is a list of pinned"),
        ("elements: {name: {keep: one}}", "name: order is missing"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused_with_what_they_may_say(document: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        load_rules(document)


def test_persons_found_as_known_score_one() -> None:
    truth = {"a": 1, "b": 1, "c": 2}
    assert (score(truth, truth).f1, score(truth, truth).b3_f1) == (1.0, 1.0)
    assert score({}, truth).f1 == 1.0


def test_a_score_counts_pairs_and_records() -> None:
    found = {"a": "p", "b": "p", "c": "p", "d": "q", "unknown": "q"}
    truth = {"a": 1, "b": 1, "c": 2, "d": 2, "missing": 2}
    result = score(found, truth)
    assert (result.records, result.persons_found, result.persons_known) == (4, 2, 2)
    assert (result.precision, result.recall, result.f1) == pytest.approx((1 / 3, 1 / 2, 0.4))
    assert (result.b3_precision, result.b3_recall) == pytest.approx(
        ((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4, (1 + 1 + 0.5 + 0.5) / 4)
    )


def test_a_score_without_one_right_pair_is_zero() -> None:
    assert score({"a": "p", "b": "p", "c": "q", "d": "r"}, {"a": 1, "b": 2, "c": 3, "d": 3}).f1 == 0.0
