"""The golden record, and the score of the persons found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.identity import golden_record, score


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


def test_each_element_survives_by_its_rule() -> None:
    assert golden_record(MEMBERS) == {
        "resourceType": "Person",
        "identifier": [MR, OTHER],
        "name": [{"family": "HOLM", "given": ["SIGNE"]}],
        "birthDate": "1967-12-13",
        "gender": "female",
        "telecom": [{"system": "phone", "value": "1"}],
        "address": [{"city": "Harbor"}],
        "active": True,
        "link": [{"target": {"reference": f"Patient/{id_}"}} for id_ in "cba"],
    }


@given(st.permutations(MEMBERS))
def test_the_order_in_which_members_are_given_does_not_count(members: list[dict[str, Any]]) -> None:
    assert golden_record(members) == golden_record(MEMBERS)


def test_a_placeholder_survives_only_when_there_is_nothing_else() -> None:
    nobody = patient("a", "2026-01-01", name=[{"family": "UNK", "given": ["Unknown"]}], birthDate="1900-01-01")
    named = patient("b", "2020-01-01", name=[{"family": "Holm"}])
    assert golden_record([nobody])["name"] == nobody["name"]
    assert golden_record([nobody])["birthDate"] == "1900-01-01"
    assert golden_record([nobody, named])["name"] == named["name"]
    assert golden_record([{"resourceType": "Patient"}]) == {"resourceType": "Person", "active": True}


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
