"""No twins, father and son, siblings or neighbours of one name are one person for certain: in files and on the way in."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest
from tests.domains.identity.linkage.relatives import FIELDS, KINDS, Relatives, Row

from healthsync.domains.identity import ByWeights, Demographics, Grade, demographics_of, shipped_weights
from healthsync.domains.identity.linkage import evaluate, link, standardise

TODAY = date(2026, 11, 27)


@pytest.fixture(scope="module")
def town() -> Relatives:
    return Relatives(2026).fill(people=30_000, of_each_kind=400, again=8_000)


def test_no_relatives_are_certain_in_a_file(town: Relatives) -> None:
    size = len(town.rows)
    raw = {name: [row[name] for row in town.rows] for name in FIELDS}
    found = link(standardise(raw, [f"{at:06}" for at in range(size)], [0] * size, today=TODAY))
    truth = [town.truth[int(id_)] for id_ in found.records.ids]
    reached = evaluate(found, truth)
    pairs = zip(found.left.tolist(), found.right.tolist(), found.tier.tolist(), strict=True)
    wrong = sum(tier == 0 and truth[left] != truth[right] for left, right, tier in pairs)
    assert {kind for kind, _, _ in town.pairs} == {*KINDS}
    assert wrong <= 0.001 * len(town.pairs)
    assert reached.automatic.precision >= 0.9995
    assert reached.automatic.recall >= 0.96


def patient(row: Row) -> Demographics:
    said: dict[str, Any] = {
        "name": [{"family": row["family"], "given": [row["given"], row["middle"]], "suffix": [row["suffix"]]}],
        "birthDate": row["born"],
        "gender": {"M": "male", "F": "female"}.get(row["sex"]),
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": row["ssn"]}],
        "address": [{"line": [row["street"]], "city": row["city"], "state": "CA", "postalCode": row["postal_code"]}],
        "telecom": [{"system": "phone", "value": row["phone"]}, {"system": "email", "value": row["email"]}],
    }
    return demographics_of(said)


def test_no_relatives_are_linked_as_they_arrive(town: Relatives) -> None:
    decide = ByWeights(shipped_weights())
    certain, linked = Counter(), Counter()
    for kind, one, other in town.pairs:
        found = decide(patient(town.rows[one]), patient(town.rows[other]))
        certain[kind] += found.grade is Grade.CERTAIN
        linked[kind] += found.links
    assert certain.total() <= 0.001 * len(town.pairs), certain
    assert linked.total() <= 0.001 * len(town.pairs), linked
