"""Weights and points: levels, waterfall, tiers and what stands before every automatic link."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from healthsync.bootstrap import _deciding
from healthsync.domains.identity import (
    ByPoints,
    ByRules,
    ByWeights,
    Demographics,
    Grade,
    Rule,
    checked,
    demographics_of,
    points_of,
    shipped_points,
    shipped_weights,
)
from healthsync.domains.identity.block_keys import block_keys
from healthsync.domains.identity.levels import LEVELS, levels_between
from healthsync.domains.identity.linkage import Population, standardise
from healthsync.domains.identity.linkage.comparing import Comparer
from healthsync.domains.identity.linkage.population import Person
from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.settings import load_settings

WEIGHTS = ByWeights(shipped_weights())


def patient(**other: Any) -> dict[str, Any]:
    """A Patient who tells much, and what is different about another."""
    said = {
        "given": "Signe", "middle": "Marie", "family": "Holmgren", "suffix": "", "born": "1967-12-13", "sex": "female",
        "ssn": "412551234", "street": "12 Oak Street", "city": "Salem", "postal": "40501", "phone": "8595550133",
        "email": "signe@mail.example",
    } | other  # fmt: skip
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": said["ssn"]}],
        "name": [{"family": said["family"], "given": [said["given"], said["middle"]], "suffix": [said["suffix"]]}],
        "birthDate": said["born"],
        "gender": said["sex"],
        "address": [{"line": [said["street"]], "city": said["city"], "state": "KY", "postalCode": said["postal"]}],
        "telecom": [
            {"system": "phone", "value": said["phone"]},
            {"system": "email", "value": said["email"]},
        ],
    }


def said(**other: Any) -> Demographics:
    return demographics_of(patient(**other))


NO_SSN = {"ssn": ""}
AWAY = {"street": "9 Elm Street", "city": "Dover", "postal": "19901", "phone": "3025550177", "email": ""}
NAMES_ONLY = {"street": "", "city": "", "postal": "", "phone": "", "email": "", "middle": "", "sex": ""}


@pytest.mark.parametrize(
    ("other", "rule", "grade"),
    [
        ({}, Rule.CERTAIN, Grade.CERTAIN),
        ({"family": "Holmgreen"}, Rule.CERTAIN, Grade.CERTAIN),
        ({"family": "Lindqvist"}, Rule.CERTAIN, Grade.CERTAIN),  # married; telephone and address agree
        ({"given": "Signy"}, Rule.CERTAIN, Grade.CERTAIN),
        ({"born": "1967-12-31"}, Rule.CERTAIN, Grade.CERTAIN),
        ({"given": "Signy", "born": "1967-12-31"}, Rule.CERTAIN, Grade.CERTAIN),  # telephone, address, e-mail agree
        ({"given": "Signy", "born": "1967-12-31", **AWAY}, Rule.POSSIBLE, Grade.POSSIBLE),
        ({"given": "Karen", "middle": ""}, None, Grade.CERTAINLY_NOT),  # a twin, of whom all else agrees
        ({"given": "Karen", "born": "1969-02-04", "middle": ""}, None, Grade.CERTAINLY_NOT),  # a sister
        (NAMES_ONLY, Rule.PROBABLE, Grade.PROBABLE),
        (NAMES_ONLY | {"family": "Holmgreen"}, Rule.POSSIBLE, Grade.POSSIBLE),
    ],
)  # fmt: skip
def test_tiers_of_two_records_without_number(other, rule, grade):
    found = WEIGHTS(said(**NO_SSN), said(**NO_SSN, **other))
    if rule is None:
        assert found.grade in (grade, Grade.POSSIBLE)
        assert not found.links
    else:
        assert (found.rule, found.grade) == (rule, grade)
    assert 0 <= found.score <= 1


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ({}, {"ssn": "415551234", "family": "Holmgreen"}, "ssn-conflict"),
        ({"suffix": "Jr"}, {"suffix": "Sr", **NO_SSN}, "suffix-conflict"),
        ({"given": "Eric", "sex": "male"}, {"given": "Erik", "sex": "male", **NO_SSN}, "twin-suspected"),
        ({"given": "Jayden", **NO_SSN}, {"given": "Jaylen"}, "twin-suspected"),
        ({"given": "Hanna", **NO_SSN}, {"given": "Anna"}, "twin-suspected"),
        ({"given": "Willie", "middle": "", "email": ""}, {"given": "William", **NO_SSN}, "twin-suspected"),
        ({"given": "Taara", "middle": "", "email": ""}, {"given": "Tamara", **NO_SSN}, "twin-suspected"),
        (
            {"given": "Holmgren", "family": "Erik", "sex": "male"},
            {"given": "Eric", "sex": "male", **NO_SSN, "middle": "", "email": ""},
            "twin-suspected",
        ),
        ({"given": "S", "middle": "M"}, {"given": "S", "middle": "M", **NO_SSN}, "demographics-differ"),
        ({"born": "1987-12-13", "middle": "", "email": ""}, NO_SSN, "generations-suspected"),
        ({"given": "Francis", "sex": "male"}, {"given": "Frances", **NO_SSN}, "sex-conflict"),
    ],
)
def test_no_weight_links_what_veto_or_gate_keeps_apart(one, other, reason):
    found = WEIGHTS(said(**one), said(**other))
    assert not found.links
    assert reason in found.reasons


def test_a_missing_value_weighs_nothing_and_a_rare_name_more():
    weights = shipped_weights()
    whole, less = weights.weigh(said(), said()), weights.weigh(said(), said(email=""))
    assert less.levels.email == 0
    assert {step.about for step in weights.steps(less)} == {step.about for step in weights.steps(whole)} - {"email"}
    rare, frequent = (
        {"given": given, "family": family} for given, family in (("Signe", "Holmgren"), ("John", "Smith"))
    )
    assert weights.weigh(said(**rare), said(**rare)).bits > weights.weigh(said(**frequent), said(**frequent)).bits


def test_the_lines_of_a_waterfall_add_up_to_its_bits():
    weights = shipped_weights()
    for other in (
        {},
        {"family": "Holmgreen", "phone": ""},
        {"given": "Karen"},
        {"given": "Holmgren", "family": "Signe"},
    ):
        weighed = weights.weigh(said(), said(**other))
        assert sum(step.bits for step in weights.steps(weighed)) == pytest.approx(weighed.bits)


@pytest.mark.parametrize(
    "other", [{}, {"family": "Holmgreen", "phone": ""}, {"given": "Karen"}, {"email": "", "ssn": ""}]
)
def test_an_explanation_adds_up_to_what_the_pair_weighs_and_tells_every_field(other):
    found = WEIGHTS.explain(said(), said(**other))
    weighed = WEIGHTS.weights.weigh(said(), said(**other))
    assert found.total == pytest.approx(found.prior + sum(step.bits for step in found.steps), abs=0.06)
    assert found.total == pytest.approx(weighed.bits + WEIGHTS.weights.prior_bits, abs=2.6), "rounded, not another sum"
    assert {step.about for step in found.steps} == {*LEVELS, "household"}
    assert [found.model, found.unit] == ["rules-2+online-1", "bits"]
    assert found.judged == WEIGHTS(said(), said(**other))


def test_how_rare_a_value_is_comes_in_whole_bits_because_finer_ones_would_say_which_it_is():
    for family in ("Smith", "Johnson", "Williams", "Holmgren"):
        pair = said(family=family), said(family=family)
        rarity = [s.bits for s in WEIGHTS.explain(*pair).steps if s.level.endswith("value") or s.about == "household"]
        assert len(rarity) == 3
        assert all(bits == round(bits) for bits in rarity)


def test_the_thresholds_of_an_explanation_are_those_that_decide_in_bits():
    found = ByWeights(shipped_weights(), link=0.5, review=0.25).explain(said(), said())
    assert (found.link, found.review, found.certain) == (0.0, pytest.approx(-1.6), pytest.approx(8.4))
    never = ByWeights(shipped_weights(), link=1.0, review=0.0).explain(said(), said())
    assert (never.link, never.review) == (60, -60)


def test_an_explanation_says_what_holds_a_pair_back_that_weighs_enough():
    alone = {"ssn": "", "street": "", "city": "", "postal": "", "phone": "", "email": "", "middle": ""}
    misspelt = WEIGHTS.explain(said(**alone), said(**alone, family="Holmgrem"))
    assert (misspelt.total >= misspelt.link, misspelt.judged.links) == (True, False)
    assert misspelt.against == ("nothing-else-agrees",)
    assert WEIGHTS.explain(said(), said()).against == ()
    assert "suffix-conflict" in WEIGHTS.explain(said(suffix="Jr"), said(suffix="Sr")).against


def test_points_and_rules_explain_themselves_too():
    found = points_of(S0).explain(said(), said(street="", given="Sigrid"))
    assert (found.unit, found.link, found.review, found.probability) == ("points", 57.0, 45.0, None)
    levels = {step.about: step.level for step in found.steps}
    assert levels == {"ssn": "exact", "name": "alike", "dob": "exact", "address": "missing"}
    assert found.total == pytest.approx(points_of(S0).percent(said(), said(street="", given="Sigrid")) * 0.6, abs=0.06)
    alone = ByRules().explain(said(), said())
    assert (alone.link, alone.model, bool(alone.steps)) == (None, "rules-2", True)


def _fhir(person: Person) -> dict[str, Any]:
    return patient(
        given=person.given, middle=person.middle, family=person.family, suffix=person.suffix,
        born=person.birth_date.isoformat(), sex={"M": "male", "F": "female"}[person.sex], ssn=person.ssn,
        street=person.street, city=person.city, postal=person.postal_code, phone=person.phone, email=person.email,
    )  # fmt: skip


def test_a_pair_has_the_levels_that_it_has_in_a_file():
    """The comparison of one pair and that of arrays of pairs are one rule, written twice for speed."""
    people = [one for one in Population(seed=3).records(1500) if not one.written_date and one.sex in ("M", "F")]
    people = [one for one in people if " " not in one.given and (not one.ssn or len(one.ssn.replace("-", "")) == 9)]
    fields = ("given", "middle", "family", "suffix", "sex", "ssn", "street", "city", "postal_code", "phone", "email")
    raw = {name: [getattr(one, name) for one in people] for name in fields}
    raw |= {"birth_date": [one.birth_date.isoformat() for one in people], "state": ["KY" for _ in people]}
    records = standardise(raw, [one.id for one in people], [0] * len(people), today=date(2026, 1, 1))
    by_id = {one.id: demographics_of(_fhir(one)) for one in people}
    blocks: dict[Any, list[int]] = {}
    for place, id_ in enumerate(records.ids):
        for key in block_keys(by_id[id_]):
            blocks.setdefault(key, []).append(place)
    pairs = sorted({(block[0], other) for block in blocks.values() for other in block[1:]})
    pairs += [(place, place + 1) for place in range(0, 400, 2)]
    left, right = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    files = dict(Comparer(records).compare(left, right).levels)
    files["phone"] = files["phone"] | files["phone_moved"]  # told apart in files
    assert len(pairs) > 300
    for at, (one, other) in enumerate(pairs):
        found = dict(zip(LEVELS, levels_between(*(by_id[records.ids[place]] for place in (one, other))), strict=False))
        assert found == {name: int(files[name][at]) for name in LEVELS}, (records.ids[one], records.ids[other])


# Points


def _document(shared_data: Path) -> Path:
    return shared_data.parent / "spec" / "config" / "patient_matching.yaml"


S0 = {
    "scoring": {"fields": [
        {"name": "ssn", "weight": 20, "match_type": "exact"},
        {"name": "name", "weight": 15, "match_type": "fuzzy", "algorithm": "jaro_winkler", "threshold": 0.85},
        {"name": "dob", "weight": 15, "match_type": "exact"},
        {"name": "address", "weight": 10, "match_type": "fuzzy", "algorithm": "address_normalize"},
    ]},
    "thresholds": {"auto_merge": 95, "review": 75, "no_match": 50},
}  # fmt: skip


@pytest.mark.parametrize(
    ("other", "percent"),
    [
        ({}, 100),
        ({"street": "12 Oak St."}, 100),  # an address is the same however it is written
        ({"ssn": ""}, 100 * 40 / 60),
        ({"street": "7 Elm Road"}, 100 * 50 / 60),
        ({"given": "Karen", "family": "Lind"}, 100 * 45 / 60),
    ],
)
def test_points_are_a_share_of_all_points_and_a_missing_field_gets_none(other, percent):
    assert points_of(S0).percent(said(), said(**other)) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("points", "rule", "grade"),
    [(94.9, Rule.LIKELY, Grade.PROBABLE), (95, Rule.POINTS, Grade.CERTAIN), (75, Rule.LIKELY, Grade.PROBABLE),
     (74.9, Rule.POSSIBLE, Grade.POSSIBLE), (50, Rule.POSSIBLE, Grade.POSSIBLE), (49.9, None, Grade.CERTAINLY_NOT)],
)  # fmt: skip
def test_the_bands_of_points_are_half_open(points, rule, grade):
    """One field has the points, the other never agrees, so that the score is the first field's."""
    table = {
        "scoring": {"fields": [
            {"name": "email", "weight": points, "match_type": "exact"},
            {"name": "phone", "weight": 100 - points, "match_type": "exact"},
        ]},
        "thresholds": S0["thresholds"],
    }  # fmt: skip
    one = demographics_of({"telecom": [{"system": "email", "value": "a@mail.example"}]})
    found = points_of(table)(one, one)
    assert (found.rule, found.grade) == (rule, grade)
    assert found.score == pytest.approx(points / 100 if rule else 0)
    assert bool(found.reasons) == (rule is Rule.LIKELY), "from `review` on a person looks at it"


def test_vetoes_stand_before_points():
    found = points_of(S0)(said(suffix="Jr"), said(suffix="Sr"))
    assert not found.links
    assert "suffix-conflict" in found.reasons


def test_the_shipped_example_of_the_exchange_is_probable():
    """John and Jon Smith of one SSN and birth date, telephone missing on one side: 93 to 94 of 100 points."""
    table = points_of(shipped_points()["exchange"])
    john = said(given="John", family="Smith", sex="male")
    jon = said(given="Jon", family="Smith", sex="male", phone="")
    assert 90 <= table.percent(john, jon) < 95
    assert table.review <= table.percent(john, jon) < table.link


def test_a_column_without_points_or_keys_is_refused_by_name():
    table = {
        "scoring": {"fields": [{"name": "race", "weight": 1, "match_type": "exact"}]},
        "thresholds": S0["thresholds"],
    }
    with pytest.raises(InvalidInput, match="race is no column that points are given for"):
        points_of(table)
    with pytest.raises(InvalidInput, match="race is no column that block keys are made of"):
        checked([["race", "dob"]])


def test_keys_of_a_document_are_made_of_all_their_columns():
    keys = {
        key for key in block_keys(said(), (("last_name_soundex", "dob_year"), ("ssn_last4", "zip"))) if ":" in key[0]
    }
    assert keys == {("own:last_name_soundex+dob_year", "H452", "1967"), ("own:ssn_last4+zip", "1234", "40501")}


# Settings


def _decided_by(**mpi: Any) -> Any:
    overrides = {f"mpi.{name}": value for name, value in mpi.items()}
    return _deciding(load_settings(None, environ={}, overrides={**overrides, "development": True}))


@pytest.mark.shows("mpi.algorithm", "mpi.profile", "mpi.auto_merge_threshold", "mpi.review_threshold")
def test_settings_say_what_decides(tmp_path):
    by_default, keys = _decided_by()
    assert isinstance(by_default, ByWeights)
    assert (by_default.link, by_default.review, keys) == (0.95, 0.75, ())
    strict, _ = _decided_by(auto_merge_threshold=99.9, review_threshold=90)
    assert (strict.link, strict.review) == pytest.approx((0.999, 0.9))
    assert isinstance(_decided_by(algorithm="deterministic")[0], ByRules)
    exchange, _ = _decided_by(profile="exchange")
    assert isinstance(exchange, ByPoints)
    file = tmp_path / "matching.yaml"
    file.write_text(
        "patient_matching: {algorithm: probabilistic, blocking_keys: [[phone], [birth_year, surname]], scoring: "
        "{fields: [{name: date_of_birth, weight: 20, match_type: exact}]}, "
        "thresholds: {auto_merge: 95, review: 75, no_match: 50}}"
    )
    own, keys = _decided_by(profile=str(file))
    assert [field.name for field in own.fields] == ["dob"]
    assert keys == (("phone",), ("dob_year", "last_name"))


@pytest.mark.shows("mpi.named_rules")
def test_a_setting_says_which_named_rules_there_are(tmp_path):
    assert _decided_by()[0].version == "rules-2+cms-3.4.0+online-1"
    assert _decided_by(named_rules="none")[0].version == "rules-2+online-1"
    file = tmp_path / "rules.yaml"
    file.write_text("{version: ours-1, strangers: {}, most_collisions: 2.0e-12, rules: []}")
    assert _decided_by(named_rules=str(file), algorithm="deterministic")[0].version == "rules-2+ours-1"
    with pytest.raises(ConfigurationError, match="named_rules cannot be read"):
        _decided_by(named_rules=str(tmp_path / "nowhere.yaml"))


@pytest.mark.shared
def test_the_specified_document_works_as_written(shared_data):
    table, keys = _decided_by(profile=str(_document(shared_data)))
    assert keys == (("last_name_soundex", "dob_year"), ("ssn_last4", "zip"), ("phone",))
    assert (table.link, table.review, table.no_match) == (95, 75, 50)
    assert table.percent(said(), said()) == 100
