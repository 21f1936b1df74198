"""What decides whether two records are of one person, where the rules do not: weights, or points. Pure.

Whatever decides, vetoes and gates of the rules stand before it. Three ways are shipped:

    rules     nothing beyond the rules
    weights   the statistical weights: certain links, probable links and is flagged, possible is flagged
    points    a table of points (a `patient_matching` document, or a shipped one): links, or is flagged
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import accumulate, product
from math import log2
from typing import Any, Literal

import jellyfish
import yaml
from rapidfuzz.distance import JaroWinkler, Levenshtein

from healthsync.domains.identity.levels import LEVELS, levels_between, names_of
from healthsync.domains.identity.matching import RULES_VERSION, Comparison, Rule, are_two, compare
from healthsync.domains.identity.model import Address, Demographics
from healthsync.domains.identity.named_rules import Fit, NamedRules
from healthsync.domains.identity.weighing import Step, Weights, gate, shipped_weights
from healthsync.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two records are judged as they are, for a person who has to decide: codes and numbers, never what they say.

    The `steps` and the `prior` add up to a total in `unit`, which is held against the thresholds; None are those that a
    hub has not. Bits that follow from how rare a value is are whole ones: finer, they would say which name it is.
    """

    model: str
    unit: Literal["bits", "points"]
    prior: float
    steps: tuple[Step, ...]
    review: float | None
    link: float | None
    certain: float | None
    judged: Comparison
    named: tuple[str, ...] = ()
    """The named rules that the two meet; with * those that they meet only nearly."""

    @property
    def totals(self) -> tuple[float, ...]:
        """The running total after each step."""
        return tuple(round(total, 1) for total in accumulate((s.bits for s in self.steps), initial=self.prior))[1:]

    @property
    def total(self) -> float:
        """What all of it comes to."""
        return (self.prior, *self.totals)[-1]

    @property
    def probability(self) -> float | None:
        """That the two are of one person, as the total says; points say none."""
        return round(1 / (1 + 2**-self.total), 4) if self.unit == "bits" else None

    @property
    def against(self) -> tuple[str, ...]:
        """What keeps the two from the tier that the total alone would give them."""
        judged, weighs = self.judged, _bits_of(self.judged.score)
        if judged.vetoes or judged.gates or self.link is None or self.certain is None:
            return (*judged.vetoes, *judged.gates)
        is_held_back = (weighs >= self.link and not judged.links) or (weighs >= self.certain and bool(judged.flags))
        return ("nothing-else-agrees",) if is_held_back else ()


@dataclass(frozen=True, slots=True)
class ByRules:
    """The rules alone: those of `matching`, then the named ones.

    A named rule links what meets it exactly, past the person gate, and asks somebody about what meets it nearly.
    """

    named: NamedRules | None = None

    @property
    def version(self) -> str:
        """Of the rules, and of the document of named ones."""
        return f"{RULES_VERSION}+{self.named.version}" if self.named else RULES_VERSION

    def __call__(self, one: Demographics, other: Demographics) -> Comparison:
        """Compare two records."""
        by_rules = compare(one, other)
        if self.named is None or by_rules.rule is Rule.IDENTIFIER or (by_rules.links and not by_rules.flags):
            return by_rules
        fit = next(self.named.fits(one, other), None)
        if fit is None:
            return by_rules
        against = tuple(dict.fromkeys((*by_rules.gates, *gate(levels_between(one, other)))))
        if by_rules.links and (against or not fit.is_exact):
            return by_rules
        evidence = (*sorted(fit.rule.needed), fit.code)
        rule = Rule.NAMED if fit.is_exact else Rule.NAMED_NEARLY
        flags = tuple(flag for flag in by_rules.flags if flag == "sex-conflict")
        flags = flags if fit.is_exact else (str(rule), *flags)
        return Comparison(rule, evidence, by_rules.vetoes, against, flags, max(fit.confidence, by_rules.score))

    def exact_fit(self, one: Demographics, other: Demographics) -> Fit | None:
        """The first named rule that two records meet exactly; that no gate stands before it is known before."""
        fit = next(self.named.fits(one, other), None) if self.named else None
        return fit if fit is not None and fit.is_exact else None

    def fitting(self, one: Demographics, other: Demographics) -> tuple[str, ...]:
        """The named rules that two records meet."""
        if self.named is None:
            return ()
        same = compare(one, other).rule is Rule.IDENTIFIER
        return tuple(fit.code for fit in self.named.fits(one, other, same_identifier=same))

    def explain(self, one: Demographics, other: Demographics) -> Explanation:
        """Nothing here is decided by weights; they are told all the same, for the eye of who decides."""
        weights = shipped_weights()
        steps, prior = _waterfall(weights, one, other), round(weights.prior_bits, 1)
        named = self.fitting(one, other)
        return Explanation(self.version, "bits", prior, steps, None, None, None, self(one, other), named)


@dataclass(frozen=True, slots=True)
class ByWeights:
    """The rules, and the statistical weights where the rules are silent or doubt. Named rules link what meets them
    exactly and is likely enough to be looked at; what meets them nearly is left to the weights, which know more.

    From the probability `link` on two records are linked, and flagged unless they are certain; from `review` on a
    person looks. Name, birth date and sex alone are never certain, and link only as written: namesakes share them.
    """

    weights: Weights
    link: float = 0.95
    review: float = 0.75
    rules: ByRules = ByRules()

    def __call__(self, one: Demographics, other: Demographics) -> Comparison:
        """Compare two records."""
        by_rules = compare(one, other)
        if are_two(one, other, by_rules):
            return by_rules
        weighed = self.weights.weigh(one, other)
        likely, reasons = weighed.probability, weighed.reasons
        if by_rules.links and not by_rules.flags:  # weighed all the same, so that the likeliest comes first
            return replace(by_rules, score=max(by_rules.score, likely))
        if likely < self.review or by_rules.rule is Rule.IDENTIFIER:
            return by_rules if by_rules.rule else replace(by_rules, score=likely)
        evidence = (
            *(f"{field}:{level}" for field, level in names_of(weighed.levels)),
            f"weights:{self.weights.version}",
        )
        if by_rules.vetoes or by_rules.gates or reasons:
            if by_rules.links:  # the rules link and flag what the gate doubts
                return by_rules
            gates = tuple(dict.fromkeys((*by_rules.gates, *reasons)))
            return Comparison(Rule.POSSIBLE, evidence, by_rules.vetoes, gates, by_rules.flags, likely)
        flags = tuple(flag for flag in by_rules.flags if flag == "sex-conflict")
        fit = self.rules.exact_fit(one, other)
        evidence = evidence if fit is None else (*evidence, fit.code)
        if likely >= max(self.weights.certain, self.link) and weighed.levels.tells_more:
            return Comparison(Rule.CERTAIN, evidence, (), (), flags, likely)
        if fit is not None and fit.confidence >= self.link:
            return Comparison(Rule.NAMED, evidence, (), (), flags, max(likely, fit.confidence))
        if by_rules.links:
            return by_rules
        levels = weighed.levels
        enough = levels.tells_more or levels.given == levels.family == 1
        rule = Rule.PROBABLE if likely >= self.link and enough else Rule.POSSIBLE
        return Comparison(rule, evidence, (), (), (str(rule), *flags), likely)

    @property
    def version(self) -> str:
        """Of the rules and the weights."""
        return f"{self.rules.version}+{self.weights.version}"

    def explain(self, one: Demographics, other: Demographics) -> Explanation:
        """What each field weighs, in bits, and why the two are judged as they are."""
        steps, prior = _waterfall(self.weights, one, other), round(self.weights.prior_bits, 1)
        review, link, certain = map(_bits_of, (self.review, self.link, max(self.weights.certain, self.link)))
        named = self.rules.fitting(one, other)
        return Explanation(self.version, "bits", prior, steps, review, link, certain, self(one, other), named)


@dataclass(frozen=True, slots=True)
class PointField:
    """Points for one field: all of them for values that are equal, a part for values that are alike.

    Alike are values from the likeness `least` on; they get their likeness as a share of the points.
    """

    name: str
    points: float
    match: str = "exact"
    algorithm: str | None = None
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class ByPoints:
    """The rules, and a table of points where the rules are silent or doubt: 100 × points ÷ all points.

    A missing field gets no points, and counts among all points.
    """

    fields: Sequence[PointField]
    link: float
    review: float
    no_match: float

    def __post_init__(self) -> None:
        for each in self.fields:
            if each.name not in _VALUES:
                raise InvalidInput(
                    f"{each.name} is no column that points are given for; there are {', '.join(_VALUES)}"
                )

    def percent(self, one: Demographics, other: Demographics) -> float:
        """The points of two records, 0 to 100."""
        whole = sum(each.points for each in self.fields)
        got = sum(each.points * _likeness(each, one, other) for each in self.fields)
        return round(100 * got / whole, 6) if whole else 0.0

    def __call__(self, one: Demographics, other: Demographics) -> Comparison:
        """Compare two records."""
        by_rules = compare(one, other)
        if by_rules.links and not by_rules.flags:
            return by_rules
        percent = self.percent(one, other)
        if by_rules.rule is Rule.IDENTIFIER or percent < self.no_match:
            return by_rules
        if by_rules.rule is not None and percent < self.review:
            return replace(by_rules, score=max(by_rules.score, percent / 100))
        if by_rules.links:
            return by_rules
        evidence = tuple(f"{each.name}:points" for each in self.fields if _likeness(each, one, other) > 0)
        found = Comparison(Rule.POINTS, evidence, by_rules.vetoes, by_rules.gates, (), percent / 100)
        if percent >= self.link:
            return found
        if percent >= self.review:
            return replace(found, rule=Rule.LIKELY, flags=(Rule.LIKELY.value,))
        is_shown = not (found.vetoes or found.gates)  # as possible, and nobody need look at it
        return replace(found, rule=Rule.POSSIBLE) if is_shown else by_rules

    @property
    def version(self) -> str:
        """Of the rules; a table of points has no version of its own."""
        return f"{RULES_VERSION}+points"

    def explain(self, one: Demographics, other: Demographics) -> Explanation:
        """The points of each field, and why the two are judged as they are; thresholds in points of the table."""
        whole = sum(each.points for each in self.fields)
        review, link = (round(percent * whole / 100, 1) for percent in (self.review, self.link))
        steps = tuple(self._step(each, one, other) for each in self.fields)
        return Explanation(self.version, "points", 0.0, steps, review, link, None, self(one, other))

    def _step(self, field: PointField, one: Demographics, other: Demographics) -> Step:
        values, likeness = _VALUES[field.name], _likeness(field, one, other)
        if not values(one) or not values(other):
            return Step(field.name, "missing", 0.0)
        level = "exact" if likeness == 1 else "alike" if likeness else "differs"
        return Step(field.name, level, round(field.points * likeness, 1))


Decider = ByRules | ByWeights | ByPoints


@cache
def shipped_points() -> Mapping[str, Any]:
    """The tables of points that ship with the hub, by name."""
    return yaml.safe_load(files("healthsync.domains.identity").joinpath("points.yaml").read_text(encoding="utf-8"))


def points_of(document: Mapping[str, Any]) -> ByPoints:
    """The points of a `patient_matching` document. Raises InvalidInput for a column that has no points."""
    limits = document["thresholds"]
    fields = [
        PointField(
            each["name"], each["weight"], each["match_type"], each.get("algorithm"), each.get("threshold") or 0.0
        )
        for each in document["scoring"]["fields"]
    ]
    return ByPoints(fields, limits["auto_merge"], limits["review"], limits["no_match"])


def _waterfall(weights: Weights, one: Demographics, other: Demographics) -> tuple[Step, ...]:
    """What every field weighs, also those that a record does not tell."""
    weighed = weights.weigh(one, other)
    told = {field for field, _ in names_of(weighed.levels)}
    levels = {level for field in LEVELS for level in LEVELS[field]}
    steps = [
        Step(step.about, step.level, round(step.bits, 1 if step.level in levels else 0))
        for step in weights.steps(weighed)
    ]
    return (*steps, *(Step(field, "missing", 0.0) for field in LEVELS if field not in told))


def _bits_of(probability: float) -> float:
    """The log2 odds of a probability; for one that nothing reaches, or everything, as much as can be weighed."""
    if 0 < probability < 1:
        return round(log2(probability / (1 - probability)), 1)
    return 60.0 if probability else -60.0


def _likeness(field: PointField, one: Demographics, other: Demographics) -> float:
    """0 to 1; of several values, those that are most alike."""
    values = _VALUES[field.name]
    found = max((_alike(field, a, b) for a, b in product(values(one), values(other))), default=0.0)
    return found if found >= field.least else 0.0


def _alike(field: PointField, a: Any, b: Any) -> float:
    if a == b:
        return 1.0
    if field.match == "exact":
        return 0.0
    if isinstance(a, Address):  # the same place, whatever else is written
        return float((a.house, a.street, a.postal_code or a.city) == (b.house, b.street, b.postal_code or b.city))
    if isinstance(a, tuple):  # a name of several parts: as alike as they are on the whole
        return sum(_alike(field, x, y) for x, y in zip(a, b, strict=True)) / len(a)
    one, other = str(a), str(b)
    match field.algorithm:
        case "levenshtein":
            return Levenshtein.normalized_similarity(one, other)
        case "soundex" | "metaphone":
            sound = jellyfish.soundex if field.algorithm == "soundex" else jellyfish.metaphone
            return float(sound(one) == sound(other))
        case _:
            return JaroWinkler.similarity(one, other)


_VALUES = {
    "ssn": lambda said: said.ssns,
    "name": lambda said: said.names,
    "first_name": lambda said: said.first_names,
    "last_name": lambda said: said.families,
    "middle_name": lambda said: said.middles,
    "name_suffix": lambda said: said.generations,
    "dob": lambda said: said.birth_dates,
    "sex": lambda said: said.sexes,
    "address": lambda said: {place for place in said.addresses if place.street},
    "city": lambda said: {place.city for place in said.addresses if place.city},
    "state": lambda said: {place.state for place in said.addresses if place.state},
    "zip": lambda said: {place.postal_code for place in said.addresses if place.postal_code},
    "phone": lambda said: said.phones,
    "email": lambda said: said.emails,
}
"""What a record says of each column of logical patients that points may be given for."""
