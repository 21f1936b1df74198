"""The rules on labelled data: FEBRL (registers with typing errors) and MIIS (pairs that were made to deceive)."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from healthsync.domains.identity import (
    ByWeights,
    Comparison,
    Demographics,
    Rule,
    compare,
    demographics_of,
    shipped_weights,
)
from healthsync.domains.identity.block_keys import block_keys
from healthsync.domains.identity.service import LARGEST_BLOCK

pytestmark = pytest.mark.shared

SSN = "http://hl7.org/fhir/sid/us-ssn"


def _dashed(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def febrl(folder: Path, *names: str) -> list[tuple[str, Demographics]]:
    """(person, record) of each row; the seven digits of FEBRL's numbers are filled up to nine."""
    records = []
    for name in names:
        with (folder / name).open() as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                patient = {
                    "identifier": [{"system": SSN, "value": f"41{row['soc_sec_id']}"}],
                    "name": [{"family": row["surname"], "given": [row["given_name"]]}],
                    "birthDate": _dashed(row["date_of_birth"]),
                    "address": [
                        {
                            "line": [f"{row['street_number']} {row['address_1']}", row["address_2"]],
                            "city": row["suburb"],
                            "state": row["state"],
                            "postalCode": row["postcode"],
                        }
                    ],
                }
                records.append((row["rec_id"].split("-")[1], demographics_of(patient)))
    return records


def compared(records: list[tuple[str, Demographics]]) -> dict[tuple[int, int], tuple[bool, Comparison]]:
    """(same person, comparison) of all pairs that share an SSN, or name and birth date."""
    blocks: dict[object, list[int]] = {}
    for place, (_, said) in enumerate(records):
        for key in (*said.ssns, *((name, born) for name in said.names for born in said.birth_dates)):
            blocks.setdefault(key, []).append(place)
    pairs = {pair for block in blocks.values() for pair in combinations(block, 2)}
    return {(a, b): (records[a][0] == records[b][0], compare(records[a][1], records[b][1])) for a, b in pairs}


@pytest.mark.parametrize(
    ("names", "recall", "with_review"),
    [(["dataset1.csv"], 0.73, 0.93), (["dataset2.csv"], 0.67, 0.91), (["dataset3.csv"], 0.63, 0.89), (["dataset4a.csv", "dataset4b.csv"], 0.75, 0.95)],
)  # fmt: skip
def test_links_on_febrl_are_right_and_what_is_doubtful_is_reviewed(
    shared_data: Path, names: list[str], recall: float, with_review: float
) -> None:
    records = febrl(shared_data / "identity/febrl", *names)
    pairs = compared(records).values()
    true_pairs = sum(n * (n - 1) // 2 for n in Counter(person for person, _ in records).values())
    linked = [same for same, how in pairs if how.links]
    seen = [same for same, how in pairs if how.links or how.reasons]
    assert sum(linked) / len(linked) >= 0.999
    assert sum(linked) / true_pairs >= recall
    assert sum(seen) / true_pairs >= with_review


def decided(records: list[tuple[str, Demographics]]) -> list[tuple[bool, Comparison]]:
    """(same person, how weights decide) of all pairs that the index compares."""
    blocks: dict[object, list[int]] = {}
    for place, (_, said) in enumerate(records):
        for key in block_keys(said):
            blocks.setdefault(key, []).append(place)
    pairs = {pair for block in blocks.values() if len(block) <= LARGEST_BLOCK for pair in combinations(block, 2)}
    decide = ByWeights(shipped_weights())
    return [(records[a][0] == records[b][0], decide(records[a][1], records[b][1])) for a, b in sorted(pairs)]


@pytest.mark.parametrize(
    ("names", "with_ssn", "recall", "seen"),
    [(["dataset3.csv"], True, 0.66, 0.96), (["dataset3.csv"], False, 0.59, 0.75),
     (["dataset4a.csv", "dataset4b.csv"], True, 0.77, 0.98)],
)  # fmt: skip
def test_weights_link_more_on_febrl_and_nobody_falsely(
    shared_data: Path, names: list[str], with_ssn: bool, recall: float, seen: float
) -> None:
    records = febrl(shared_data / "identity/febrl", *names)
    if not with_ssn:
        records = [(person, structs.replace(said, ssns=frozenset())) for person, said in records]
    pairs = decided(records)
    true_pairs = sum(n * (n - 1) // 2 for n in Counter(person for person, _ in records).values())
    linked = [same for same, how in pairs if how.links]
    assert all(linked)
    assert sum(linked) / true_pairs >= recall
    assert sum(same for same, how in pairs if how.links or how.reasons) / true_pairs >= seen


def miis(line: str) -> Demographics:
    """One side of a pair."""
    said = dict(part.split("=", 1) for part in line.split(": ", 1)[1].rstrip(",\n").split(",") if "=" in part)
    identifiers: list[dict[str, Any]] = [
        {"system": SSN, "value": said.get("ssn", "")},
        {"system": "medicaid", "value": said.get("medicaid", "")},
    ]
    for number in said.get("mrns", "").split():
        facility, _, value = number.partition("-")
        identifiers.append({"system": f"facility-{facility}", "value": value, "type": {"coding": [{"code": "MR"}]}})
    name = {"family": said["nameLast"], "given": [said.get("nameFirst", "")], "suffix": [said.get("nameSuffix", "")]}
    patient: dict[str, Any] = {
        "identifier": identifiers,
        "name": [name],
        "birthDate": _dashed(said.get("birthDate", "")),
    }
    if said.get("nameLastHyph"):
        patient["name"].append(name | {"family": f"{said['nameLast']}-{said['nameLastHyph']}"})
    return demographics_of(patient | {"gender": {"M": "male", "F": "female"}.get(said.get("gender", ""))})


def miis_pairs(file: Path) -> list[tuple[str, str, Comparison]]:
    """(scenario, what is expected, comparison) of each pair."""
    lines = file.read_text().splitlines()
    return [
        (lines[n], lines[n + 1].removeprefix("EXPECT: "), compare(miis(lines[n + 2]), miis(lines[n + 3])))
        for n in range(0, len(lines) - 3, 4)
    ]


@pytest.mark.parametrize("name", ["MIIS-B.txt", "MIIS-C.txt", "MIIS-D.txt"])
def test_links_on_deceiving_pairs(shared_data: Path, name: str) -> None:
    pairs = miis_pairs(shared_data / "identity/immregistries" / name)
    wrong = Counter(how.rule for _, expected, how in pairs if expected == "Not a Match" and how.links)
    strangers = sum(expected == "Not a Match" for _, expected, _ in pairs)
    beyond_doubt = wrong.total() - wrong[Rule.NAME_BIRTH_DATE_SEX]
    assert strangers > 1400
    assert beyond_doubt <= 8, "namesakes who share a number, and nothing tells them apart but a family name"
    assert all(how.reasons for _, _, how in pairs if how.rule is Rule.NAME_BIRTH_DATE_SEX and how.links)
    siblings = [how for scenario, expected, how in pairs if "FIRST_NAME" in scenario and expected == "Not a Match"]
    assert len(siblings) > 100
    assert not [how for how in siblings if how.links]
    matches = [how for _, expected, how in pairs if expected == "Match"]
    assert sum(how.links or bool(how.reasons) for how in matches) / len(matches) > 0.85
