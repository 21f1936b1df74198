"""The deterministic rules as a table, with what forbids them."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from healthsync.domains.identity.demographics import demographics_of
from healthsync.domains.identity.matching import Profile, Rule, compare, resolve
from healthsync.domains.identity.model import Decision, Demographics
from healthsync.domains.identity.values import normalised_name

TODAY = date(2026, 11, 25)
SSN, OTHER_SSN = "219-09-1234", "219-09-9876"


def record(
    family: str | None = None, first: str | None = None, born: str | None = None, sex: str | None = None, ssn: str | None = None,
    mr: str | None = None, suffix: str | None = None, other: tuple[str, str, str] | None = None, **more: Any,
) -> Demographics:  # fmt: skip
    """What a Patient says; `mr` is a number of the hospital, `other` (authority, type, value) any other."""
    identifiers = [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": ssn}] if ssn else []
    for authority, type_, value in [("hospital", "MR", mr)] * bool(mr) + [other] * bool(other):
        identifiers.append(
            {"system": authority, "value": value} | ({"type": {"coding": [{"code": type_}]}} if type_ else {})
        )
    name = {"family": family, "given": [first] if first else [], "suffix": [suffix] if suffix else []}
    patient = {"identifier": identifiers, "name": [name], "birthDate": born, "gender": sex, **more}
    return demographics_of(patient, today=TODAY)


SIGNE = {"family": "Holm", "first": "Signe", "born": "1967-12-13", "sex": "female"}

LINKS = [
    ("one number of one authority", record(mr="1"), record(mr="1"), Rule.IDENTIFIER, ()),
    ("a number whose case and blanks differ", record(mr="a 1"), record(mr="A1"), Rule.IDENTIFIER, ()),
    ("a number whose type one side does not tell", record(other=("x", "MR", "1")), record(other=("x", "", "1")), Rule.IDENTIFIER, ()),
    ("a number and another name only", record(family="Holm", mr="1"), record(family="Berg", mr="1"), Rule.IDENTIFIER, ()),
    ("SSN and first name", record(ssn=SSN, first="Signe"), record(ssn=SSN, first="SIGNE"), Rule.SSN_FIRST_NAME, ()),
    ("SSN and birth date", record(ssn=SSN, born="1967-12-13"), record(ssn=SSN, born="1967-12-13"), Rule.SSN_BIRTH_DATE, ()),
    ("SSN, birth date and a misspelt first name", record(**SIGNE, ssn=SSN), record(**SIGNE | {"first": "Signie"}, ssn=SSN), Rule.SSN_BIRTH_DATE, ()),
    ("SSN, birth date and an initial", record(**SIGNE, ssn=SSN), record(**SIGNE | {"first": "S."}, ssn=SSN), Rule.SSN_BIRTH_DATE, ()),
    ("SSN, first name and a birth date whose digits are swapped", record(**SIGNE, ssn=SSN), record("Berg", "Signe", "1967-12-31", ssn=SSN), Rule.SSN_FIRST_NAME, ()),
    ("SSN, first name and a birth date whose day is the month", record("Holm", "Signe", "1967-05-12", ssn=SSN), record("Berg", "Signe", "1967-12-05", ssn=SSN), Rule.SSN_FIRST_NAME, ()),
    ("SSN, birth date and names in each other's field", record(**SIGNE, ssn=SSN), record("Signe", "Holm", "1967-12-13", ssn=SSN), Rule.SSN_BIRTH_DATE, ()),
    ("name, birth date and sex", record(**SIGNE), record(**SIGNE), Rule.NAME_BIRTH_DATE_SEX, ("name+birth-date+sex-only",)),
    ("a hyphen or a blank", record(**SIGNE | {"family": "Holm-Iver"}), record(**SIGNE | {"family": "Holm Iver"}), Rule.NAME_BIRTH_DATE_SEX, ("name+birth-date+sex-only",)),
    ("an accent or none", record(**SIGNE | {"family": "Müller"}), record(**SIGNE | {"family": "MULLER"}), Rule.NAME_BIRTH_DATE_SEX, ("name+birth-date+sex-only",)),
    ("one number and another sex", record(**SIGNE, mr="1"), record(**SIGNE | {"sex": "male"}, mr="1"), Rule.IDENTIFIER, ("sex-conflict",)),
    ("equal suffixes, spelt twice", record(**SIGNE, mr="1", suffix="Jr."), record(**SIGNE | {"family": "Holm II"}, mr="1"), Rule.IDENTIFIER, ()),
    ("one of several numbers", record(mr="1", other=("hospital", "MR", "2")), record(mr="2"), Rule.IDENTIFIER, ()),
    ("a former name", record(**SIGNE, mr="1", name=[{"family": "Berg", "given": ["Signe"]}, {"family": "Holm", "given": ["Signe"]}]), record(**SIGNE), Rule.NAME_BIRTH_DATE_SEX, ("name+birth-date+sex-only",)),
    ("the same child of a multiple birth", record(**SIGNE, multipleBirthBoolean=True, mr="1"), record(**SIGNE, multipleBirthInteger=1, mr="1"), Rule.IDENTIFIER, ()),
]  # fmt: skip

REVIEWED = [
    ("conflicting SSN", record(**SIGNE, ssn=SSN), record(**SIGNE, ssn=OTHER_SSN), {"ssn-conflict", "name+birth-date+sex-only"}),
    ("conflicting SSN under one number", record(mr="1", ssn=SSN), record(mr="1", ssn=OTHER_SSN), {"ssn-conflict"}),
    ("conflicting generational suffix", record(**SIGNE, suffix="Jr"), record(**SIGNE, suffix="Sr"), {"suffix-conflict", "name+birth-date+sex-only"}),
    ("a second number of the same authority", record(**SIGNE, mr="1"), record(**SIGNE, mr="2"), {"second-number-of-authority", "name+birth-date+sex-only"}),
    ("another order in a multiple birth", record(**SIGNE, multipleBirthInteger=1, mr="1"), record(**SIGNE, multipleBirthInteger=2, mr="1"), {"multiple-birth"}),
    ("two children of a multiple birth with like names", record(**SIGNE | {"first": "Jayden"}, multipleBirthBoolean=True, mr="1"), record(**SIGNE | {"first": "Jaylen"}, multipleBirthBoolean=True, mr="1"), {"multiple-birth"}),
    ("twins under one SSN", record(**SIGNE, ssn=SSN), record(**SIGNE | {"first": "Olga"}, ssn=SSN), {"twin-suspected"}),
    ("a child under its mother's SSN and name", record(**SIGNE, ssn=SSN), record(**SIGNE | {"born": "1990-02-03"}, ssn=SSN), {"generations-suspected"}),
    ("twins under one number", record(**SIGNE, mr="1"), record(**SIGNE | {"first": "Olga"}, mr="1"), {"twin-suspected"}),
    ("other names under one number", record(**SIGNE, mr="1"), record(**SIGNE | {"family": "Berg", "first": "Olga"}, mr="1"), {"demographics-disagree"}),
    ("another birth date and family under one SSN", record(**SIGNE, ssn=SSN), record(**SIGNE | {"family": "Berg", "born": "1950-02-03"}, ssn=SSN), {"demographics-disagree"}),
    ("another person under one number", record(**SIGNE, mr="1"), record("Berg", "Olga", "1950-02-03", mr="1"), {"demographics-disagree"}),
    ("SSN alone", record("Holm", "Signe", ssn=SSN), record("Holm", "Olga", ssn=SSN), {"ssn-only"}),
    ("name and birth date without sex", record(**SIGNE | {"sex": None}), record(**SIGNE), {"name+birth-date-only"}),
    ("name and birth date with another sex", record(**SIGNE | {"sex": "male"}), record(**SIGNE), {"name+birth-date-only", "sex-conflict"}),
]  # fmt: skip

UNRELATED = [
    ("nothing told", record(), record()),
    ("names unknown", record("UNK", "Unknown", sex="male"), record("UNK", "Unknown", sex="male")),
    ("newborns without name", record("Holm", "BABY BOY", "2026-11-01", "male"), record("Holm", "BabyBoy", "2026-11-01", "male")),
    ("newborns called after the mother", record("Smith", "GirlMarie", "2026-11-01", "female"), record("Smith", "GirlMarie", "2026-11-01", "female")),
    ("John Doe", record("Doe", "John", "1980-02-03", "male"), record("Doe", "John", "1980-02-03", "male")),
    ("placeholder SSN", record("Holm", "Signe", ssn="999-99-9999"), record("Holm", "Signe", ssn="999-99-9999")),
    ("placeholder birth date", record(**SIGNE | {"born": "1900-01-01"}), record(**SIGNE | {"born": "1900-01-01"})),
    ("twins without number", record(**SIGNE), record(**SIGNE | {"first": "Olga"})),
    ("one number of two authorities", record(mr="1"), record(other=("clinic", "MR", "1"))),
    ("one number of two types", record(mr="1"), record(other=("hospital", "PI", "1"))),
    ("one account", record(other=("hospital", "AN", "1")), record(other=("hospital", "AN", "1"))),
    ("one number without authority", record(other=("", "MR", "1")), record(other=("", "MR", "1"))),
    ("name and sex", record(**SIGNE | {"born": None}), record(**SIGNE)),
    ("name and year of birth", record(**SIGNE | {"born": "1967"}), record(**SIGNE | {"born": "1967"})),
]  # fmt: skip


def _named(cases: list) -> list:
    return [pytest.param(*case[1:], id=case[0].replace(" ", "-")) for case in cases]


@pytest.mark.parametrize(("one", "other", "rule", "flags"), _named(LINKS))
def test_links(one: Demographics, other: Demographics, rule: Rule, flags: tuple[str, ...]) -> None:
    for how in (compare(one, other), compare(other, one)):
        assert (how.links, how.rule, how.reasons) == (True, rule, flags)


@pytest.mark.parametrize(("one", "other", "reasons"), _named(REVIEWED))
def test_does_not_link_but_flags(one: Demographics, other: Demographics, reasons: set[str]) -> None:
    for how in (compare(one, other), compare(other, one)):
        assert not how.links
        assert set(how.reasons) == reasons


@pytest.mark.parametrize(("one", "other"), _named(UNRELATED))
def test_is_no_evidence_at_all(one: Demographics, other: Demographics) -> None:
    for how in (compare(one, other), compare(other, one)):
        assert not how.links
        assert how.reasons == ()


def test_evidence_names_the_fields_that_agree_and_no_value() -> None:
    how = compare(record(**SIGNE, mr="1"), record(**SIGNE | {"sex": "male"}, mr="1"))
    assert how.evidence == ("identifier", "name", "first-name", "family", "birth-date")


@pytest.mark.parametrize(
    "ssn",
    ["999-99-9999", "000-12-3456", "123-45-6789", "111-11-1111", "666-12-3456", "219-00-1234", "219-09-0000", "912-34-5678",
     "078-05-1120", "xxx-xx-1234", "1234", "21909123４"],
)  # fmt: skip
def test_a_number_that_is_no_social_security_number_is_missing(ssn: str) -> None:
    assert record(ssn=ssn).ssns == frozenset()


@pytest.mark.parametrize("born", ["1900-01-01", "2026-11-27", "1899-12-31", "2026-02-30", "2026-11", "unknown12", None])
def test_a_date_on_which_nobody_was_born_is_missing(born: str | None) -> None:
    assert record(born=born).birth_dates == frozenset()


@pytest.mark.parametrize("born", ["1908-12-09", "2026-11-26", "2000-02-29"])
def test_a_real_birth_date_counts(born: str) -> None:
    assert record(born=born).birth_dates == {date.fromisoformat(born)}


@pytest.mark.parametrize(
    "first",
    ["UNK", "Unknown", "BABY BOY", "BabyGirl", "Baby Girl Smith", "Baby", "Newborn", "Boy A", "TwinB", "GirlMarie", "BoyMarie",
     "BOY MARIE", "Judysgirl", "Test", "XXXX", "FNU", "?", "-", ""],
)  # fmt: skip
def test_a_placeholder_is_no_first_name(first: str) -> None:
    assert record("Holm", first).first_names == frozenset()


@pytest.mark.parametrize("first", ["Boyd", "Boyce", "Bo", "Xi", "Oo", "Babette", "Unni", "Jo", "Male'ana", "Nina"])
def test_a_rare_name_is_a_name(first: str) -> None:
    assert record("Holm", first).first_names


@pytest.mark.parametrize("family", ["Unknown", "ZZTEST", "UNK", "Baby Girl"])
def test_a_placeholder_is_no_family_name(family: str) -> None:
    assert record(family, "Signe").families == frozenset()


@pytest.mark.parametrize("family", ["O'Brien", "O’Brien", "OBRIEN", "o brien", "Ó Brien"])
def test_spellings_of_one_name_are_one(family: str) -> None:
    assert normalised_name(family) == "obrien"


def test_names_of_other_scripts_are_kept() -> None:
    assert record("Ωνάσης", "Αριστοτέλης").families == {normalised_name("ΩΝΆΣΗΣ")}
    assert record("田中", "光").names == {("田中", "光")}


def test_what_is_not_fhir_says_nothing() -> None:
    odd = {
        "name": "Holm",
        "identifier": [1, {"value": 5}, {"type": "MR", "system": "s", "value": "x"}],
        "gender": "unknown",
        "birthDate": 1967,
    }
    said = demographics_of(odd)
    assert said.names == said.birth_dates == said.sexes == frozenset()
    assert [identifier.value for identifier in said.identifiers] == ["x"]
    assert demographics_of({"name": [{"given": "Signe", "suffix": "Jr", "family": 1}]}) == Demographics()


def test_the_assigner_is_the_authority_when_there_is_no_system() -> None:
    said = demographics_of({"identifier": [{"value": "1", "assigner": {"display": "East Hospital"}}]})
    assert {identifier.authority for identifier in said.identifiers} == {"easthospital"}


ONE, TWO = UUID(int=1), UUID(int=2)


def profile(key: int, **said: Any) -> Profile:
    return Profile(key, {key: record(**said)})


def test_a_veto_of_any_member_keeps_a_newcomer_from_the_person() -> None:
    members = [profile(1, mr="1", **SIGNE), profile(2, ssn=SSN, other=("lab", "MR", "9"))]
    found = resolve(profile(3, mr="1", ssn=OTHER_SSN, **SIGNE), {ONE: members}, {})
    assert found.matches == ()
    assert found.flags == ((1, ("ssn-conflict",)),)


def test_a_newcomer_between_two_persons_that_exclude_each_other_joins_neither() -> None:
    persons = {ONE: [profile(1, ssn=SSN, **SIGNE)], TWO: [profile(2, ssn=OTHER_SSN, **SIGNE)]}
    found = resolve(profile(3, **SIGNE), persons, {})
    assert found.matches == ()
    assert (1, ("ambiguous-persons",)) in found.flags and (2, ("ambiguous-persons",)) in found.flags


def test_a_newcomer_that_matches_two_persons_makes_them_one() -> None:
    persons = {ONE: [profile(1, mr="1")], TWO: [profile(2, ssn=SSN, first="Signe")]}
    found = resolve(profile(3, mr="1", ssn=SSN, first="Signe"), persons, {})
    assert [match.person for match in found.matches] == [ONE, TWO]
    assert found.flags == ()


def test_what_a_person_keeps_apart_is_neither_linked_nor_flagged() -> None:
    found = resolve(profile(3, mr="1"), {ONE: [profile(1, mr="1")]}, {(1, 3): Decision.CANNOT_LINK})
    assert (found.matches, found.flags) == ((), ())


def test_an_update_is_compared_with_other_persons_on_behalf_of_its_own() -> None:
    persons = {ONE: [profile(1, ssn=SSN)], TWO: [profile(2, ssn=OTHER_SSN, mr="1")]}
    assert resolve(profile(3, mr="1"), persons, {}, own=ONE).matches == ()
    assert len(resolve(profile(3, mr="1"), persons, {(1, 2): Decision.MUST_LINK}, own=ONE).matches) == 1


def test_the_link_goes_through_the_record_that_gives_the_strongest_evidence() -> None:
    members = [profile(1, **SIGNE), Profile(2, {2: record(**SIGNE), 5: record(mr="1")})]
    assert [match.patient_key for match in resolve(profile(3, mr="1", **SIGNE), {ONE: members}, {}).matches] == [5]


def test_two_merged_records_may_give_the_evidence_together() -> None:
    together = Profile(2, {2: record(ssn=SSN), 5: record(first="Signe")})
    assert [
        match.patient_key for match in resolve(profile(3, ssn=SSN, first="Signe"), {ONE: [together]}, {}).matches
    ] == [2]


def test_numbers_that_their_authority_merged_are_no_second_numbers() -> None:
    merged = Profile(1, {1: record(mr="1", **SIGNE), 2: record(mr="2", **SIGNE)})
    found = resolve(profile(4, mr="2", **SIGNE), {ONE: [merged, profile(3, mr="1", **SIGNE)]}, {})
    assert [match.patient_key for match in found.matches] == [2]
