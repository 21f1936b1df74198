"""Are two records of one person? Deterministic rules, each answer with its evidence. Pure.

    identifier             the same number of the same authority and a compatible type     link
    ssn+first-name         the same SSN and first name                                     link
    ssn+birth-date         the same SSN and birth date                                     link
    name+birth-date+sex    family and first name, birth date and sex                       link, and flag for review
    ssn, name+birth-date   too little to link                                              flag for review

Named rules (`named_rules`) are data, and come after these.

A *veto* forbids a link to a whole person when any member raises it: conflicting SSN, conflicting generational suffix,
a second number of one authority, two children of one multiple birth. A *gate* forbids the one link that it guards:
twins (same birth date and family, really different first names), and records of which two of first name, family and
birth date differ, beyond a typing error: somebody else under a shared or mistyped number.
What was kept apart by veto or gate is flagged. Missing values neither agree nor conflict (JMIR 2022 e33775).

`compare` is the tier of rules. A hub may let weights or points decide where the rules do not (`deciding`): they are
another `Compare`, and vetoes and gates stand before them as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import reduce
from itertools import combinations, product
from operator import or_
from typing import TypeVar
from uuid import UUID

from rapidfuzz.distance import OSA, JaroWinkler

from healthsync.domains.identity.model import Decision, Demographics, SourcePatient, pair

RULES_VERSION = "rules-2"
"""What these rules are called in tasks and evidence; a change of theirs is a new number."""

SAME_NAME_MISSPELT = 0.88
"""Jaro–Winkler similarity from which two names may be one."""

GENERATION_YEARS = 14
"""Years between two births from which one person may be the other's parent."""

T = TypeVar("T")

SINGLE_NUMBER_TYPES = frozenset({"MR", "PI", "PT", ""})
"""v2 table 0203: an authority gives one of these to a person (an authority that does not type has one kind)."""

SECOND_NUMBER = "second-number-of-authority"
UNSUPPORTED = "link-unsupported"
"""A link that was made once, and would not be made by what decides today."""


class Rule(StrEnum):
    """Why two records were found to be alike, strongest first."""

    IDENTIFIER = "identifier"
    SSN_FIRST_NAME = "ssn+first-name"
    SSN_BIRTH_DATE = "ssn+birth-date"
    NAMED = "named-rule"
    CERTAIN = "certain"
    POINTS = "points"
    NAME_BIRTH_DATE_SEX = "name+birth-date+sex"
    PROBABLE = "probable"
    NAMED_NEARLY = "named-rule-nearly"
    SSN = "ssn"
    NAME_BIRTH_DATE = "name+birth-date"
    LIKELY = "likely"
    POSSIBLE = "possible"


LINKING_RULES = frozenset({
    Rule.IDENTIFIER, Rule.SSN_FIRST_NAME, Rule.SSN_BIRTH_DATE, Rule.NAME_BIRTH_DATE_SEX,
    Rule.NAMED, Rule.CERTAIN, Rule.POINTS, Rule.PROBABLE,
})  # fmt: skip

_STRENGTHS: Mapping[Rule | None, int] = {**{rule: place for place, rule in enumerate(Rule)}, None: len(Rule)}

CONFIDENCE = {
    Rule.IDENTIFIER: 0.99, Rule.SSN_FIRST_NAME: 0.99, Rule.SSN_BIRTH_DATE: 0.99, Rule.NAME_BIRTH_DATE_SEX: 0.95,
    Rule.NAME_BIRTH_DATE: 0.80, Rule.SSN: 0.50,
}  # fmt: skip
"""The score of a pair that a rule found, where nothing is weighed."""


class Grade(StrEnum):
    """What a pair is worth, in the codes of http://hl7.org/fhir/R4/codesystem-match-grade.html."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    CERTAINLY_NOT = "certainly-not"


class Agreement(StrEnum):
    """How the values of one field compare."""

    AGREES = "agrees"
    SIMILAR = "similar"
    DIFFERS = "differs"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two records compare: the strongest rule that fits, what agrees, what forbids and what should be looked at."""

    rule: Rule | None
    evidence: tuple[str, ...]
    vetoes: tuple[str, ...]
    gates: tuple[str, ...]
    flags: tuple[str, ...]
    score: float = 0.0
    """0 to 1: the confidence of the rule, the probability by weights, or the share of the points."""

    @property
    def grade(self) -> Grade:
        """certain links; probable links and is flagged, or has the points for review; possible is flagged, or likely
        enough to be shown."""
        if self.links:
            return Grade.PROBABLE if self.flags else Grade.CERTAIN
        if self.rule is Rule.LIKELY and not self.vetoes and not self.gates:
            return Grade.PROBABLE
        return Grade.POSSIBLE if self.rule else Grade.CERTAINLY_NOT

    @property
    def links(self) -> bool:
        """Whether the rule links these two, as far as this pair is concerned."""
        return self.rule in LINKING_RULES and not self.vetoes and not self.gates

    @property
    def strength(self) -> int:
        """The place of the rule, 0 the strongest."""
        return _STRENGTHS[self.rule]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a person should look at this pair; empty when it is unrelated or beyond doubt."""
        return tuple(dict.fromkeys((*self.vetoes, *self.gates, *self.flags))) if self.rule else ()


def compare(one: Demographics, other: Demographics) -> Comparison:
    """Compare two records."""
    fields = agreements(one, other)
    agreeing = {name for name, agreement in fields.items() if agreement is Agreement.AGREES}
    rule = _rule(agreeing)
    return Comparison(
        rule=rule,
        evidence=tuple(name for name in fields if name in agreeing),
        vetoes=tuple(_vetoes(one, other, fields)),
        gates=tuple(_gates(one, other, fields)),
        flags=tuple(_flags(rule, fields)),
        score=CONFIDENCE[rule] if rule else 0.0,
    )


def agreements(one: Demographics, other: Demographics) -> dict[str, Agreement]:
    """How two records compare, field by field."""
    fields = {
        "identifier": _identifiers(one, other),
        "ssn": _exact(one.ssns, other.ssns),
        "name": _exact(_in_full(one.names), _in_full(other.names)),
        "first-name": _first_names(one.first_names, other.first_names),
        "family": _nearly(one.families, other.families, _may_be_one_name),
        "birth-date": _nearly(one.birth_dates, other.birth_dates, _may_be_one_date),
        "sex": _exact(one.sexes, other.sexes),
    }
    if any(
        (first, family) in other.names for family, first in one.names
    ):  # in each other's field: no evidence, no doubt
        fields |= {"first-name": Agreement.SIMILAR, "family": Agreement.SIMILAR}
    return fields


Compare = Callable[[Demographics, Demographics], Comparison]
"""How two records compare: by the rules alone (`compare`), or by what decides where the rules do not."""


def remembering(compare: Compare) -> Compare:
    """The same, each pair compared once: who decides about one newcomer asks for a pair several times."""
    known: dict[tuple[Demographics, Demographics], Comparison] = {}

    def compared(one: Demographics, other: Demographics) -> Comparison:
        pair = (one, other)
        if (how := known.get(pair)) is None:  # a look at the pair costs as much as a field of the comparison
            how = known[pair] = compare(one, other)
        return how

    return compared


def are_two(one: Demographics, other: Demographics, how: Comparison) -> bool:
    """Whether nobody need look at two records, compared by the rules, whatever else they share: one authority gave them
    two numbers, and birth dates and a name are different ones. They live or work together, or their telephone is an
    office's (decision 31)."""
    return (
        how.rule is None
        and SECOND_NUMBER in how.vetoes
        and "demographics-disagree" in how.gates
        and _nearly(one.birth_dates, other.birth_dates, _may_be_one_date) is Agreement.DIFFERS
    )


_RULES: Sequence[tuple[Rule, set[str]]] = (
    (Rule.IDENTIFIER, {"identifier"}),
    (Rule.SSN_FIRST_NAME, {"ssn", "first-name"}),
    (Rule.SSN_BIRTH_DATE, {"ssn", "birth-date"}),
    (Rule.NAME_BIRTH_DATE_SEX, {"name", "birth-date", "sex"}),
    (Rule.SSN, {"ssn"}),
    (Rule.NAME_BIRTH_DATE, {"name", "birth-date"}),
)


def _rule(agreeing: set[str]) -> Rule | None:
    return next((rule for rule, needed in _RULES if needed <= agreeing), None)


def _vetoes(one: Demographics, other: Demographics, fields: Mapping[str, Agreement]) -> Iterable[str]:
    if fields["ssn"] is Agreement.DIFFERS:
        yield "ssn-conflict"
    if _exact(one.generations, other.generations) is Agreement.DIFFERS:
        yield "suffix-conflict"
    if _second_number(one, other):
        yield SECOND_NUMBER
    if _other_child_of_birth(one, other, fields["first-name"]):
        yield "multiple-birth"


def _gates(one: Demographics, other: Demographics, fields: Mapping[str, Agreement]) -> Iterable[str]:
    first, family, born = fields["first-name"], fields["family"], fields["birth-date"]
    if born is Agreement.AGREES and family is not Agreement.DIFFERS and first is Agreement.DIFFERS:
        yield "twin-suspected"
    if [first, family, born].count(Agreement.DIFFERS) > 1:
        yield "demographics-disagree"
    elif born is Agreement.DIFFERS and are_generations(one.birth_dates, other.birth_dates):
        yield "generations-suspected"  # a child registered under its mother's number, whose name it bears


def _flags(rule: Rule | None, fields: Mapping[str, Agreement]) -> Iterable[str]:
    if rule in {Rule.NAME_BIRTH_DATE_SEX, Rule.NAME_BIRTH_DATE, Rule.SSN}:
        yield f"{rule}-only"
    if rule and fields["sex"] is Agreement.DIFFERS:
        yield "sex-conflict"


def _exact(one: frozenset, other: frozenset) -> Agreement:
    if not one or not other:
        return Agreement.MISSING
    return Agreement.DIFFERS if one.isdisjoint(other) else Agreement.AGREES


def _nearly(one: frozenset[T], other: frozenset[T], alike: Callable[[T, T], bool]) -> Agreement:
    exact = _exact(one, other)
    if exact is Agreement.DIFFERS and any(alike(a, b) for a, b in product(one, other)):
        return Agreement.SIMILAR
    return exact


def _first_names(ones: frozenset[str], others: frozenset[str]) -> Agreement:
    """Two initials that agree are no name: it may be one."""
    found = _nearly(ones, others, _may_be_one_name)
    in_full = any(len(name) > 1 for name in ones & others)
    return Agreement.SIMILAR if found is Agreement.AGREES and not in_full else found


def _in_full(names: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The (family, first) names of which the first is no initial."""
    return frozenset(name for name in names if len(name[1]) > 1)


def _may_be_one_name(one: str, other: str) -> bool:
    """An initial, a shortened or a misspelt name: never enough to link by, but no proof of two persons."""
    return one.startswith(other) or other.startswith(one) or JaroWinkler.similarity(one, other) >= SAME_NAME_MISSPELT


def _may_be_one_date(one: date, other: date) -> bool:
    """One digit mistyped, two neighbours swapped, or day and month swapped."""
    swapped = (one.year, one.month, one.day) == (other.year, other.day, other.month)
    return swapped or OSA.distance(one.isoformat(), other.isoformat()) == 1


def are_generations(ones: frozenset[date], others: frozenset[date]) -> bool:
    """Whether by all birth dates one may be the other's parent."""
    return all(abs(one.year - other.year) >= GENERATION_YEARS for one, other in product(ones, others))


def _identifiers(one: Demographics, other: Demographics) -> Agreement:
    """AGREES on one number of one authority; a type that one side does not give is compatible with any."""
    agrees = any(
        a.authority
        and (a.authority, a.value) == (b.authority, b.value)
        and (not a.type or not b.type or a.type == b.type)
        for a, b in product(one.identifiers, other.identifiers)
    )
    return Agreement.AGREES if agrees else Agreement.MISSING


def _second_number(one: Demographics, other: Demographics) -> bool:
    """Whether one authority gave the two different numbers of a type of which it gives one to a person."""
    ours, theirs = _numbers(one), _numbers(other)
    return any(ours[kind].isdisjoint(theirs[kind]) for kind in ours.keys() & theirs.keys())


def _numbers(of: Demographics) -> dict[tuple[str, str], set[str]]:
    numbers: dict[tuple[str, str], set[str]] = {}
    for identifier in of.identifiers:
        if identifier.authority and identifier.type in SINGLE_NUMBER_TYPES:
            numbers.setdefault((identifier.authority, identifier.type), set()).add(identifier.value)
    return numbers


def _other_child_of_birth(one: Demographics, other: Demographics, first: Agreement) -> bool:
    orders = [{birth for birth in side.births if birth.startswith("order-")} for side in (one, other)]
    if all(orders) and orders[0].isdisjoint(orders[1]):
        return True
    return "multiple" in one.births & other.births and first in {Agreement.DIFFERS, Agreement.SIMILAR}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered patient that a record may be, its person, and how the two compare."""

    patient: SourcePatient
    enterprise_id: UUID
    comparison: Comparison

    @staticmethod
    def order(one: Candidate) -> tuple[int, float, int]:
        """The likeliest first."""
        return list(Grade).index(one.comparison.grade), -one.comparison.score, one.patient.patient_key


@dataclass(frozen=True, slots=True)
class Profile:
    """One active source patient of a person, with all that it and those retired into it said (`records`, by key)."""

    patient_key: int
    records: Mapping[int, Demographics]

    @property
    def demographics(self) -> Demographics:
        """What the records say together."""
        return _all_of(self.records.values())


@dataclass(frozen=True, slots=True)
class Match:
    """A person that the newcomer is linked with, through which record, and how they compare."""

    person: UUID
    patient_key: int
    comparison: Comparison


Reasons = tuple[int, tuple[str, ...]]
"""A patient key, and why the newcomer and this patient should be looked at."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The persons to link with (several: they turn out to be one), and the pairs to be looked at."""

    matches: tuple[Match, ...]
    flags: tuple[Reasons, ...]


def resolve(
    newcomer: Profile,
    persons: Mapping[UUID, Sequence[Profile]],
    decisions: Mapping[tuple[int, int], Decision],
    *,
    own: UUID | None = None,
    compare: Compare = compare,
) -> Resolution:
    """Who `newcomer` is, given the persons that share a key with it; `own` is the person it already belongs to."""
    matches: list[Match] = []
    flags: list[Reasons] = []
    for person, profiles in persons.items():
        if person == own or _forbidden([newcomer], profiles, decisions):
            continue
        match, reasons = _best(newcomer, person, profiles, decisions, compare)
        if match:
            matches.append(match)
        flags += reasons
    together = [[newcomer, *persons.get(own, ())]] if own else []
    together += [persons[match.person] for match in matches]
    if any(_apart(one, other, decisions, compare) for one, other in combinations(together, 2)):
        flags += [(match.patient_key, ("ambiguous-persons",)) for match in matches]
        matches = []
    return Resolution(tuple(matches), tuple(flags))


def is_supported(
    newcomer: Profile, others: Sequence[Profile], decisions: Mapping[tuple[int, int], Decision], compare: Compare
) -> bool:
    """Whether a record would be linked today with the others of its person, or somebody decided that it is."""
    if any(decisions.get(pair(newcomer.patient_key, one.patient_key)) is Decision.MUST_LINK for one in others):
        return True
    said = newcomer.demographics
    return any(how.links for one in others for _, how in _compared(said, one, compare))


def vetoes_between(
    one: Sequence[Profile],
    other: Sequence[Profile],
    decisions: Mapping[tuple[int, int], Decision],
    compare: Compare = compare,
) -> dict[tuple[int, int], tuple[str, ...]]:
    """What forbids that two persons are one, by pair of members; what a person decided to link is not questioned.

    Numbers that their authority merged are one: a number counts as a second one only if no member has it.
    """
    found = {
        (a.patient_key, b.patient_key): vetoes
        for a, b in product(one, other)
        if decisions.get(pair(a.patient_key, b.patient_key)) is not Decision.MUST_LINK
        and (vetoes := compare(a.demographics, b.demographics).vetoes)
    }
    if any(SECOND_NUMBER in vetoes for vetoes in found.values()) and not _second_number(
        _together(one), _together(other)
    ):
        others = {place: tuple(veto for veto in vetoes if veto != SECOND_NUMBER) for place, vetoes in found.items()}
        found = {place: vetoes for place, vetoes in others.items() if vetoes}
    return found


def _best(
    newcomer: Profile,
    person: UUID,
    profiles: Sequence[Profile],
    decisions: Mapping[tuple[int, int], Decision],
    compare: Compare,
) -> tuple[Match | None, list[Reasons]]:
    """The strongest link with a person unless any member vetoes it, and what to look at."""
    said = newcomer.demographics
    alike = [found for profile in profiles for found in _compared(said, profile, compare) if found[1].rule]
    if not alike:
        return None, []
    forbidding = vetoes_between([newcomer], profiles, decisions, compare).values()
    vetoes = tuple(sorted({veto for of_pair in forbidding for veto in of_pair}))
    compared = [(key, how if how.vetoes == vetoes else replace(how, vetoes=vetoes)) for key, how in alike]
    linking = [found for found in compared if found[1].links]
    if linking:
        key, how = min(linking, key=lambda found: (found[1].strength, len(found[1].reasons), found[0]))
        return Match(person, key, how), [(key, how.reasons)] if how.reasons else []
    return None, [(key, how.reasons) for key, how in compared if how.reasons]


def _compared(said: Demographics, profile: Profile, compare: Compare) -> list[tuple[int, Comparison]]:
    """A record against each of a profile's; if none of them links, against what they say together."""
    each = [(key, compare(said, record)) for key, record in profile.records.items()]
    linking = [found for found in each if found[1].rule in LINKING_RULES and not found[1].gates]
    return linking or [(profile.patient_key, compare(said, profile.demographics))]


def _together(profiles: Iterable[Profile]) -> Demographics:
    return _all_of(profile.demographics for profile in profiles)


def _all_of(said: Iterable[Demographics]) -> Demographics:
    each = list(said)
    return reduce(or_, each) if each else Demographics()


def _apart(
    one: Sequence[Profile],
    other: Sequence[Profile],
    decisions: Mapping[tuple[int, int], Decision],
    compare: Compare,
) -> bool:
    """Whether a decision or a veto between any two members keeps two persons apart."""
    return _forbidden(one, other, decisions) or bool(vetoes_between(one, other, decisions, compare))


def _forbidden(one: Sequence[Profile], other: Sequence[Profile], decisions: Mapping[tuple[int, int], Decision]) -> bool:
    return any(
        decisions.get(pair(a.patient_key, b.patient_key)) is Decision.CANNOT_LINK for a, b in product(one, other)
    )
