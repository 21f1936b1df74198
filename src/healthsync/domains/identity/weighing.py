"""How much speaks for two records being of one person: bits, a probability, and what keeps them apart. Pure.

Fellegi and Sunter (JASA 1969): a level of agreement weighs log2(m/u); a missing value weighs nothing (JMIR 2022
e33775); agreement on a rare name weighs more; what two relatives would share as well is taken off again (decision 28).
The weights are data that ship with the hub (`weights.yaml`). The person gate (`person_gate`) stands before every
automatic link, whatever the weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import log2
from typing import Any

import yaml

from healthsync.domains.identity.levels import LEVELS, Levels, levels_between, names_of
from healthsync.domains.identity.model import Demographics
from healthsync.domains.identity.nicknames import census_shares, family_shares
from healthsync.domains.identity.person_gate import Evidence, reason_codes, reasons_of


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a waterfall: the field, its level of agreement, and what it adds (bits)."""

    about: str
    level: str
    bits: float


@dataclass(frozen=True, slots=True)
class Weighed:
    """What speaks for two records being of one person: bits, the probability, and what the person gate says."""

    levels: Levels
    bits: float
    probability: float
    reasons: tuple[str, ...]


class Weights:
    """The weights as tables. `document` is what `weights.yaml` holds."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.version: str = document["version"]
        self.certain: float = document["certain"]
        fields = document["fields"]
        u = {name: _shares(name, of["u"]) for name, of in fields.items()}
        self._person = {name: _bits(_shares(name, of["m"]), u[name]) for name, of in fields.items()}
        self._relatives = {name: _bits(_shares(name, of.get("h", of["u"])), u[name]) for name, of in fields.items()}
        self._pairs = tuple((self._person[name], self._relatives[name]) for name in LEVELS)
        names, prior, kin = document["names"], document["prior"], document["relatives"]
        self._given, self._family = (
            {name: log2(names[field]["usual"] / max(share, names[field]["rarest"])) for name, share in shares.items()}
            for field, shares in (("given", _given_shares()), ("family", family_shares()))
        )
        self._rare_given, self._rare_family = (
            log2(names[field]["usual"] / names[field]["rarest"]) for field in ("given", "family")
        )
        self.prior_bits = log2(prior["one_person"] / (1 - prior["one_person"]))
        self._relatives_prior = log2(prior["relatives"] / (1 - prior["relatives"] - prior["one_person"]))
        same_given, same_date = kin["same_given"], kin["same_birth_date"]
        self._kin_base = 1 - same_given - same_date
        self._kin_given = {0: same_given, 1: same_given / u["given"][0]}
        self._kin_date = {0: same_date, 1: same_date / u["birth_date"][0]}

    def weigh(self, one: Demographics, other: Demographics) -> Weighed:
        """Weigh two records."""
        levels = levels_between(one, other)
        bits = sum(pair[0][level] for pair, level in zip(self._pairs, levels.by_field, strict=True)) + self._rarity(
            levels
        )
        bits -= self._explained(levels)
        odds = max(-60.0, min(60.0, bits + self.prior_bits))
        return Weighed(levels, bits, 1 / (1 + 2**-odds), gate(levels))

    def steps(self, weighed: Weighed) -> list[Step]:
        """The waterfall: its lines add up to the bits, and with `prior_bits` to the log2 odds of the probability."""
        levels = weighed.levels
        found = [
            Step(name, level, self._person[name][LEVELS[name].index(level) + 1]) for name, level in names_of(levels)
        ]
        for name, value, rarity in (
            ("given", levels.same_given, self._given_rarity(levels)),
            ("family", levels.same_family, self._family_rarity(levels)),
        ):
            if value:
                found.append(Step(name, "rare value" if rarity > 0 else "frequent value", rarity))
        return [*found, Step("household", "relatives agree as well", -self._explained(levels))]

    def level_bits(self, field: str) -> tuple[float, ...]:
        """What each level of a field weighs, that of a missing value first."""
        return self._person[field]

    def rarities(self, levels: Levels) -> tuple[float, float]:
        """What the names that agree add because they are rare, or take off because they are frequent."""
        return self._given_rarity(levels), self._family_rarity(levels)

    def _given_rarity(self, levels: Levels) -> float:
        return self._given.get(levels.same_given, self._rare_given) if levels.same_given else 0.0

    def _family_rarity(self, levels: Levels) -> float:
        return self._family.get(levels.same_family, self._rare_family) if levels.same_family else 0.0

    def _rarity(self, levels: Levels) -> float:
        return self._given_rarity(levels) + self._family_rarity(levels)

    def _explained(self, levels: Levels) -> float:
        """What is taken off because two relatives would agree as well: log2(1 + their odds against strangers)."""
        bits = sum(pair[1][level] for pair, level in zip(self._pairs, levels.by_field, strict=True))
        kinship = self._kin_base + self._kin_given.get(levels.given, 0.0)
        if levels.given not in (1, 2):  # twins have two different names
            kinship += self._kin_date.get(levels.birth_date, 0.0)
        odds = self._relatives_prior + bits + self._family_rarity(levels) + log2(kinship)
        return log2(1 + 2**odds) if odds < 60 else odds


def gate(levels: Levels) -> tuple[str, ...]:
    """What the person gate has against a link."""
    swapped, two = levels.family == 4, levels.two_borne_names
    return reason_codes(
        reasons_of(
            Evidence(
                levels.given, levels.middle, levels.family, levels.birth_date, levels.ssn,
                suffix_differs=levels.suffix == 2,
                sex_differs=levels.sex == 2,
                elsewhere=levels.phone == 1 or levels.email == 1 or levels.address in (1, 2),
                other_family=False,
                personal=levels.personal,
                two_names=two and not swapped,
                another_name=levels.another_name or (two and swapped),
                a_generation_apart=levels.a_generation_apart,
                one_year=levels.in_one_year,
                birth_orders_differ=False,
            )
        )
    )  # fmt: skip


def _shares(name: str, by_level: Mapping[str, float]) -> list[float]:
    return [by_level[level] for level in LEVELS[name]]


def _bits(shares: list[float], u: list[float]) -> tuple[float, ...]:
    """What each level weighs, 0 bits for a missing value (entry 0)."""
    return (0.0, *(log2(share / among_strangers) for share, among_strangers in zip(shares, u, strict=True)))


def _given_shares() -> Mapping[str, float]:
    """Of all people: half of them are of the sex whose name it is."""
    return {name: of_sex / 2 / 100_000 for name, of_sex in census_shares().items()}


@cache
def shipped_weights() -> Weights:
    """The weights that ship with the hub."""
    text = files("healthsync.domains.identity").joinpath("weights.yaml").read_text(encoding="utf-8")
    return Weights(yaml.safe_load(text))
