"""Named rules: the CMS combinations as data, what they link, what only somebody may decide, and what a document may say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from healthsync.domains.identity import (
    ByRules,
    ByWeights,
    Demographics,
    Rule,
    demographics_of,
    load_named_rules,
    shipped_named_rules,
    shipped_weights,
)
from healthsync.errors import ConfigurationError

CMS = ByRules(shipped_named_rules())
MBI, PAYER, STATE = "http://hl7.org/fhir/sid/us-mbi", "urn:oid:1.9", "urn:oid:2.16.840.1.113883.4.3.21"
PLACE = {"line": ["1200 Cardinal Street"], "city": "Salem", "state": "KY", "postalCode": "40501"}


def said(*numbers: tuple[str, str, str], **other: Any) -> Demographics:
    """Somebody of a name and a birth date; `numbers` are (system, value, type)."""
    told = {
        "given": "Bronwyn",
        "family": "Quennell",
        "born": "1971-03-09",
        "phone": "",
        "email": "",
        "place": None,
    } | other
    telecom = [{"system": system, "value": told[system]} for system in ("phone", "email") if told[system]]
    return demographics_of({
        "identifier": [{"system": s, "value": v, "type": {"coding": [{"code": t}]}} for s, v, t in numbers],
        "name": [{"family": told["family"], "given": [told["given"]] if told["given"] else []}],
        "birthDate": told["born"],
        "telecom": telecom,
        "address": [told["place"]] if told["place"] else [],
    })  # fmt: skip


def ids(one: Demographics, other: Demographics) -> set[str]:
    return set(CMS.fitting(one, other))


def ssn(end: str) -> tuple[str, str, str]:
    """Two whole numbers that differ, so that only the last four digits agree."""
    return ("http://hl7.org/fhir/sid/us-ssn", end, "SS")


AGREE = {"phone": "8595550133", "email": "b.quennell@mail.example", "place": PLACE}
CASES = [
    ("cms-01", said(place=PLACE), said(place=PLACE)),
    ("cms-02", said(phone=AGREE["phone"]), said(phone=AGREE["phone"])),
    ("cms-03", said(email=AGREE["email"]), said(email=AGREE["email"])),
    ("cms-04", said(ssn("412551234")), said(ssn("412551234"))),
    ("cms-06", said(("urn:oid:1.7", "912-70-1234", "TAX")), said(("urn:oid:1.7", "912701234", "TAX"))),
    ("cms-08", said((MBI, "1EG4TE5MK73", "MC")), said((MBI, "1eg4te5mk73", "MC"), family="Other")),
    ("cms-09", said((STATE, "Q-77", "DL")), said((STATE, "Q-77", "DL"))),
    ("cms-11", said(phone=AGREE["phone"], family=""), said(phone=AGREE["phone"])),
    ("cms-12", said(email=AGREE["email"], family=""), said(email=AGREE["email"])),
    ("cms-13", said(ssn("412551234"), phone=AGREE["phone"], born=""), said(ssn("412551234"), phone=AGREE["phone"])),
    ("cms-17", said((MBI, "1EG4TE5MK73", "MC"), phone=AGREE["phone"]), said((MBI, "1EG4TE5MK73", "MC"), **AGREE)),
    ("cms-21", said((MBI, "1EG4TE5MK73", "MC"), (STATE, "Q-77", "DL")), said((MBI, "1EG4TE5MK73", "MC"), (STATE, "Q-77", "DL"))),
    ("cms-23", said((PAYER, "M-77", "MB")), said((PAYER, "M-77", "MB"))),
    ("cms-27", said((PAYER, "S-1", "SN")), said((PAYER, "S-1", "SN"))),
    ("cms-C2-34", said(**AGREE), said(**AGREE)),
    ("cms-C2-38", said((PAYER, "S-1", "SN"), phone=AGREE["phone"]), said((PAYER, "S-1", "SN"), phone=AGREE["phone"])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "one", "other"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_is_met_by_what_it_names(rule: str, one: Demographics, other: Demographics) -> None:
    assert rule in ids(one, other)
    assert rule not in ids(one, Demographics())


def test_all_combinations_of_the_proposal_are_there_but_those_that_need_a_relative() -> None:
    flat = {f"cms-{number:02}" for number in range(1, 31)} - {"cms-29"}
    household = {f"cms-C2-{number}" for number in (13, 14, 15, 16, 34, 35, 37, 38)}
    assert {rule.id for rule in shipped_named_rules().rules} == flat | household
    assert shipped_named_rules().version == "cms-3.4.0"


def test_exact_agreement_links_and_the_rule_is_the_evidence() -> None:
    found = CMS(said(phone=AGREE["phone"]), said(phone=AGREE["phone"]))
    assert (found.links, found.rule, found.flags, found.score) == (True, Rule.NAMED, (), 0.99)
    assert "cms-02" in found.evidence
    assert not ByRules()(said(phone=AGREE["phone"]), said(phone=AGREE["phone"])).links


@pytest.mark.parametrize("other", [{"given": "Bronwin"}, {"family": "Quenell"}, {"born": "1971-03-10"}])
def test_what_agrees_only_nearly_is_looked_at_and_never_linked(other: dict[str, str]) -> None:
    found = CMS(said(place=PLACE), said(place=PLACE, **other))
    assert (found.links, found.rule, found.score) == (False, Rule.NAMED_NEARLY, 0.80)
    assert "cms-01*" in found.evidence
    assert str(Rule.NAMED_NEARLY) in found.reasons


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"given": "Eric"}, {"given": "Erik"}),  # too short for a typing error
        ({"family": "Quenel", "given": "Bronwin", "born": "1971-03-10"}, {}),  # two letters apart
        ({"born": "1971-03-11"}, {}),
    ],
)
def test_what_differs_by_more_than_the_proposal_allows_is_not_met(one: dict[str, str], other: dict[str, str]) -> None:
    assert "cms-03*" not in ids(said(email=AGREE["email"], **one), said(email=AGREE["email"], **other))


def test_a_street_agrees_nearly_only_with_the_same_postal_code() -> None:
    near = PLACE | {"line": ["1200 Cardinel Street"]}
    assert "cms-01*" in ids(said(place=PLACE), said(place=near))
    assert "cms-01*" not in ids(said(place=PLACE), said(place=near | {"postalCode": "40502"}))


@pytest.mark.parametrize(
    ("one", "other", "against"),
    [
        ({"given": "Jayden"}, {"given": "Jaylen"}, "twin-suspected"),
        ({"given": ""}, {}, "demographics-differ"),
        ({"family": "Quennell Jr"}, {"family": "Quennell Sr"}, "suffix-conflict"),
    ],
)
def test_veto_and_person_gate_stand_before_a_named_rule(one: Any, other: Any, against: str) -> None:
    found = CMS(said(**AGREE, **one), said(**AGREE, **other))
    assert not found.links
    assert against in found.reasons


def test_who_shares_household_numbers_and_no_name_is_nobody_to_link() -> None:
    mother, child = (
        said((PAYER, "M-77", "MB"), **AGREE),
        said((PAYER, "M-77", "MB"), **AGREE, given="Tristan", born="2019-05-05"),
    )
    assert "cms-25" in ids(mother, child)
    assert not CMS(mother, child).links
    assert not ByWeights(shipped_weights(), rules=CMS)(mother, child).links


def test_the_waterfall_names_every_rule_that_is_met_and_the_version() -> None:
    explained = ByWeights(shipped_weights(), rules=CMS).explain(said(**AGREE), said(**AGREE))
    assert {"cms-01", "cms-02", "cms-03", "cms-11", "cms-C2-34"} <= set(explained.named)
    assert explained.model == "rules-2+cms-3.4.0+online-1"


GOOD: dict[str, Any] = {
    "version": "ours-1",
    "strangers": {"first_name": 0.02, "birth_date": 0.0001, "phone": 0.000001},
    "most_collisions": 2.0e-12,
    "rules": [{"id": "ours-01", "fields": ["first_name", "birth_date", "phone"]}],
}


def test_an_own_document_is_read_and_decides() -> None:
    own = ByRules(load_named_rules(yaml.safe_dump(GOOD)))
    assert own(said(phone=AGREE["phone"], family=""), said(phone=AGREE["phone"])).evidence[-1] == "ours-01"
    assert own.version == "rules-2+ours-1"


def changed(**rule: Any) -> dict[str, Any]:
    return {**GOOD, "rules": [{**GOOD["rules"][0], **rule}]}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("a: [", "no YAML"),
        ("[]", "the document says version"),
        ({**GOOD, "version": None}, "version is missing"),
        ({**GOOD, "rules": {}}, "rules is a list"),
        ({**GOOD, "strangers": {"phone": 7}}, "strangers says"),
        ({**GOOD, "most_collisions": "rare"}, "most_collisions is a chance"),
        ({**GOOD, "confidence": {"exact": 2}}, "confidence says"),
        ({**GOOD, "rules": GOOD["rules"] * 2}, "ours-01 stands there twice"),
        ({**GOOD, "rules": [{"fields": ["phone"]}]}, "an id of letters"),
        (changed(when="always"), "ours-01: when is none of"),
        (changed(fields=["shoe_size"]), "ours-01: shoe_size is none of"),
        (changed(fields=[]), "ours-01: fields names"),
        (changed(fields=["phone", "phone"]), "ours-01: fields names"),
        (changed(fields=["phone*", "first_name", "birth_date"]), "ours-01: phone agrees or does not"),
        (changed(fields=["email", "phone"]), "strangers does not say how likely email"),
        (changed(fields=["first_name", "birth_date"]), "chance of 2e-06, at most 2e-12"),
        (changed(alike=1), "ours-01: alike is how many"),
        (changed(confidence=1.5), "ours-01: confidence is a number"),
    ],
)
def test_a_document_that_is_wrong_says_which_rule_and_what_it_may_say(document: Any, told: str) -> None:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    with pytest.raises(ConfigurationError, match=told):
        load_named_rules(text)
