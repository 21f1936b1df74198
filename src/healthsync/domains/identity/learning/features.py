"""What a learned model sees of a pair: small whole numbers, and never what the records say. Pure.

The comparison is that of `levels`, by which the weights decide as well; a learned model knows besides how much both
records tell, and how reliable their sources have been. All numbers come from short scales, so that neither a vector nor
a model made of vectors tells a name, number or date: how rare a name is, is a whole number of bits.

A field counts from 0: 0 differs, 1 not told by one of the two, then every level up to full agreement. More agreement is
a greater number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from healthsync.domains.identity.levels import LEVELS, LEVELS_VERSION, Levels
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.weighing import Weights

UNTOLD = 1
"""The number of a field that one of the two records does not tell."""

SCALE = 20
"""Rates, from 0 to 1, come in steps of a twentieth."""

_RARITY_AT = 8
_MOST_RARITY = 15
_MOST_BITS = 60


class Feature(NamedTuple):
    """One number of a vector: what a waterfall calls it, and whether more of it may only raise (1) or lower (-1) the
    score; 0 leaves it to what is learned."""

    name: str
    about: str
    raises: int = 0


FEATURES: tuple[Feature, ...] = (
    *(Feature(name, name, 1) for name in LEVELS),
    Feature("given_rarity", "given", 1),
    Feature("family_rarity", "family", 1),
    Feature("two_borne_names", "given", -1),
    Feature("another_name", "given", -1),
    Feature("a_generation_apart", "birth_date", -1),
    Feature("personal", "personal", 1),
    Feature("agreement", "agreement", 1),
    Feature("told_by_both", "presence"),
    Feature("told_least", "quality"),
    Feature("told_most", "quality"),
    Feature("confirmed_least", "sources"),
    Feature("confirmed_most", "sources"),
    Feature("quality_least", "sources"),
    Feature("quality_most", "sources"),
)
"""Every number of a vector, in order."""

FEATURES_VERSION = "features-1"
"""What these are called in a stored model; a change of theirs is a new number."""


def depends_on(weights: Weights) -> dict[str, str]:
    """The versions by which a vector is made: a model that learned from others cannot read it."""
    return {"features": FEATURES_VERSION, "levels": LEVELS_VERSION, "weights": weights.version}


@dataclass(frozen=True, slots=True)
class SourceRates:
    """How reliable sources are: the share of their reviewed pairs that were one person, and the mean points of their
    messages (0 to 1). Of a source of which nothing is known the mean of all counts (key "")."""

    confirmed: Mapping[str, float]
    quality: Mapping[str, float]

    def steps(self, ones: Iterable[str], others: Iterable[str]) -> tuple[int, ...]:
        """The numbers of two records' sources."""
        sources = {*ones, *others} or {""}
        found: list[int] = []
        for rates in (self.confirmed, self.quality):
            mean = rates.get("", 0.5)
            each = [round(SCALE * rates.get(source, mean)) for source in sources]
            found += (min(each), max(each))
        return tuple(found)


class Measures:
    """Makes the vectors of pairs. How much the levels say together is told by the weights, made to rise with each."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._counts = tuple(len(levels) for levels in LEVELS.values())
        self._bits = tuple(_rising(weights.level_bits(name)) for name in LEVELS)

    def signals(self, levels: Levels, one: Demographics, other: Demographics) -> tuple[int, ...]:
        """All of a vector but what the sources add."""
        told = tuple(count - level + 1 if 0 < level < count else UNTOLD if not level else 0
                     for level, count in zip(levels.by_field, self._counts, strict=True))  # fmt: skip
        bits = sum(of_field[value] for of_field, value in zip(self._bits, told, strict=True))
        given, family = self._weights.rarities(levels)
        least, most = sorted((_told(one), _told(other)))
        return (
            *told,
            _rarity(given, levels.same_given),
            _rarity(family, levels.same_family),
            int(levels.two_borne_names),
            int(levels.another_name),
            int(levels.a_generation_apart),
            int(levels.personal),
            max(-_MOST_BITS, min(_MOST_BITS, round(bits))),
            len(levels.by_field) - levels.by_field.count(0),
            least,
            most,
        )


def meaning(at: int, value: int) -> str:
    """What a number of a vector says, in a word."""
    name = FEATURES[at].name
    if at < len(LEVELS):
        names = LEVELS[name]
        return "missing" if value == UNTOLD else names[-1] if not value else names[len(names) - value]
    if name.endswith("_rarity"):
        return "no agreement" if not value else "rare value" if value > _RARITY_AT else "frequent value"
    if FEATURES[at].raises and value in (0, 1) and name != "agreement":
        return f"{name.replace('_', ' ')}: {'yes' if value else 'no'}"
    return f"{name.replace('_', ' ')} {value}"


def _rising(bits: tuple[float, ...]) -> tuple[float, ...]:
    """What each number of a field weighs (`bits` by level, 0 first): never less than a number below it."""
    missing, *by_level = bits
    return tuple(accumulate((by_level[-1], missing, *reversed(by_level[:-1])), max))


def _rarity(bits: float, agreed: str) -> int:
    return min(max(round(bits) + _RARITY_AT, 1), _MOST_RARITY) if agreed else 0


def _told(said: Demographics) -> int:
    """How many of the fields a record tells."""
    values: tuple[Any, ...] = (
        said.first_names, said.middles, said.families, said.generations, said.birth_dates, said.sexes, said.ssns,
        said.addresses, said.phones, said.emails,
    )  # fmt: skip
    return sum(map(bool, values))
