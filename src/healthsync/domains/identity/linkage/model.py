"""The model of linking: how much each level of agreement weighs, as a value that can be written down. Pure.

Fellegi and Sunter (JASA 1969): a level weighs log2(m/u) bits, where m is its share among pairs of one person and u
among pairs of strangers; a missing value weighs nothing (JMIR 2022 e33775). Agreement on a rare value weighs more.
Beside strangers, a pair may be of two relatives of one household (share h): what that explains is taken off again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.comparing import BIRTH_DATE, GIVEN, Comparison, Levels, levels_of
from healthsync.domains.identity.linkage.standardising import Column, Records
from healthsync.errors import InvalidInput
from healthsync.shipped import shipped_yaml

Floats = NDArray[np.float64]

KEPT_FREQUENCIES = ("given", "family", "city", "postal_code")
"""The columns of which a model keeps frequencies: those that another file of the same population repeats."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What linking starts from (`profile.yaml`)."""

    version: str
    trust: float
    fields: Mapping[str, Mapping[str, float]]
    limits: Mapping[str, float]
    household: Mapping[str, Any]
    blocks: Mapping[str, Any]
    tiers: Mapping[str, float]
    clusters: Mapping[str, float]

    def initial(self, name: str) -> Floats:
        """The expected share of pairs of one person at each level of a field."""
        levels = self.fields.get(name) or self.fields["extra"]
        return np.array([levels[level] for level in levels_of(name)])

    def keys(self, records: Records) -> list[str]:
        """The block keys for these records: `extra` stands for each field of further evidence."""
        keys: list[str] = []
        for key in self.blocks["keys"]:
            if key.split("+")[0] == "extra":
                keys += [key.replace("extra", name, 1) for name in records.extras]
            else:
                keys.append(key)
        return keys


@cache
def shipped_profile() -> Profile:
    """The batch profile that ships with the hub."""
    return Profile(**shipped_yaml("healthsync.domains.identity.linkage", "profile.yaml"))


@dataclass(frozen=True, slots=True)
class FieldWeights:
    """The shares of a field's levels: among pairs of one person, of strangers, and of relatives."""

    levels: tuple[str, ...]
    m: tuple[float, ...]
    u: tuple[float, ...]
    h: tuple[float, ...]

    @property
    def bits(self) -> Floats:
        """log2(m/u) of each level, 0 for a missing value (entry 0)."""
        return np.append(0.0, np.log2(np.array(self.m) / np.array(self.u)))

    @property
    def household_bits(self) -> Floats:
        """log2(h/u) of each level."""
        return np.append(0.0, np.log2(np.array(self.h) / np.array(self.u)))


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How often the values of a column occur: `usual` is the chance that two strangers agree on one, `rarest` the share
    of every value that is not listed."""

    usual: float
    shares: Mapping[str, float]
    rarest: float

    @classmethod
    def of(cls, column: Column) -> Frequencies:
        """The frequencies of a column; a value that two records have is as rare as one can agree on."""
        usual, total = cls._usual(column)
        shares = {
            column.values[at]: float(column.counts[at] / total) for at in np.flatnonzero(column.counts > 2).tolist()
        }
        return cls(usual, shares, 2 / total)

    @staticmethod
    def _usual(column: Column) -> tuple[float, float]:
        counts = column.counts.astype(float)
        total = max(float(counts.sum()), 1.0)
        return max(float((counts * (counts - 1)).sum()) / max(total * (total - 1), 1), 1 / (total * total)), total

    @classmethod
    def own_bits(cls, column: Column) -> Floats:
        """`Frequencies.of(column).bits(column)`, without a look at each value."""
        usual, total = cls._usual(column)
        return np.append(np.log2(usual / (np.maximum(column.counts, 2) / total)), 0.0)

    def bits(self, column: Column) -> Floats:
        """For each code of a column what agreement on its value weighs beyond agreement on any; 0 for code -1."""
        shares = [self.shares.get(value, self.rarest) for value in column.values]
        return np.append(np.log2(self.usual / np.array(shares, float)), 0.0)


@dataclass(frozen=True, slots=True)
class LinkageModel:
    """Everything that a score needs: weights, frequencies and how many pairs of each kind there are among all pairs."""

    version: str
    profile: str
    fields: Mapping[str, FieldWeights]
    matches: float
    relatives: float
    same_given: float
    same_birth_date: float
    tiers: Mapping[str, float] = field(default_factory=dict)
    frequencies: Mapping[str, Frequencies] = field(default_factory=dict)
    alike_names: float = 0.0

    @property
    def prior_bits(self) -> float:
        """log2 of the odds that two records taken at random are of one person."""
        return float(np.log2(self.matches / (1 - self.matches)))

    def to_json(self) -> str:
        """The model as JSON. The frequencies list names and places that three records or more have."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> LinkageModel:
        """Read what `to_json` wrote. Raises InvalidInput for anything else."""
        try:
            said = json.loads(text)
            said["fields"] = {
                name: FieldWeights(**{part: tuple(values) for part, values in of_field.items()})
                for name, of_field in said["fields"].items()
            }
            if "phone" in said["fields"]:  # models made before records that live apart had weights of their own
                said["fields"].setdefault("phone_moved", said["fields"]["phone"])
            said["frequencies"] = {name: Frequencies(**table) for name, table in said["frequencies"].items()}
            return cls(**said)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InvalidInput(
                "this is no linkage model; it is made by: healthsync identity link --model FILE"
            ) from None


@dataclass(frozen=True)
class Scores:
    """Bits for one person against strangers, what relatives would explain of them, and the probability, per pair."""

    weight: Floats
    log_odds: Floats

    @property
    def probability(self) -> Floats:
        """The probability that a pair is of one person."""
        return 1 / (1 + np.exp2(np.clip(-self.log_odds, -60, 60)))


def frequency_bits(model: LinkageModel, records: Records, columns: Iterable[str]) -> dict[str, Floats]:
    """For each column and code what agreement on this value weighs: by the model, else by the records themselves."""

    def of(column: Column, known: Frequencies | None) -> Floats:
        return known.bits(column) if known else Frequencies.own_bits(column)

    return {name: of(records.columns[name], model.frequencies.get(name)) for name in columns}


def scores(model: LinkageModel, compared: Comparison, frequencies: Mapping[str, Floats]) -> Scores:
    """Score compared pairs; `frequencies` are those of the records that the pairs are of."""
    for_person = np.zeros(len(compared))
    for_relatives = np.zeros(len(compared))
    for name, levels in compared.levels.items():
        if name in model.fields:
            for_person += model.fields[name].bits[levels]
            for_relatives += model.fields[name].household_bits[levels]
    for place, (column, codes) in compared.agreed.items():
        name = place.partition(":")[0]
        if column in frequencies and name in model.fields:
            at = np.flatnonzero(codes >= 0)
            rarity = frequencies[column][codes[at]]
            for_person[at] += rarity
            if is_shared(model.fields[name]):
                for_relatives[at] += rarity
    for_relatives += kinship_bits(
        compared.levels, model.fields, model.same_given, model.same_birth_date, model.alike_names
    )
    explained = relatives_bits(model, for_relatives)
    weight = for_person - explained
    return Scores(weight, weight + model.prior_bits)


def kinship_bits(
    levels: Mapping[str, Levels], fields: Mapping[str, FieldWeights], same_given: float, same_birth_date: float,
    alike_names: float = 0.0,
) -> Floats:  # fmt: skip
    """How much more often than strangers relatives show these first names and birth dates, in bits.

    Most are like strangers; `same_given` are namesakes (father and son), `same_birth_date` were born together, and have
    two different names, `alike_names` of them two that look alike.
    """
    given, born = (levels[name].astype(int) if name in levels else 0 for name in ("given", "birth_date"))
    size, width = len(GIVEN) + 1, len(BIRTH_DATE) + 1
    each = {"given": np.repeat(np.arange(size), width), "birth_date": np.tile(np.arange(width), size)}
    bits = np.log2(np.sum(kinship_odds(each, fields, same_given, same_birth_date, alike_names), axis=0))
    return bits[given * width + born]


def kinship_odds(
    levels: Mapping[str, Levels], fields: Mapping[str, FieldWeights], same_given: float, same_birth_date: float,
    alike_names: float = 0.0,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """The parts of `kinship_bits` as odds against strangers: usual relatives, namesakes, born together."""
    size = len(next(iter(levels.values()), ()))
    given, born = levels.get("given", np.zeros(size, np.int8)), levels.get("birth_date", np.zeros(size, np.int8))
    usual = np.full(size, 1 - same_given - same_birth_date)
    namesakes = together = np.zeros(size)
    if "given" in fields:
        namesakes = np.where(given == 1, same_given / fields["given"].u[0], np.where(given == 0, same_given, 0))
    if "birth_date" in fields:
        twins = same_birth_date * ~np.isin(given, (1, 2))
        if "given" in fields:
            twins *= 1 - alike_names + (given == 6) * alike_names / fields["given"].u[5]
        together = np.where(born == 1, twins / fields["birth_date"].u[0], np.where(born == 0, twins, 0))
    return usual, namesakes, together


def relatives_bits(model: LinkageModel, for_relatives: Floats) -> Floats:
    """What is taken off because two relatives would agree as well: log2(1 + odds of relatives against strangers)."""
    if model.relatives <= 0:
        return np.zeros(len(for_relatives))
    odds = np.log2(model.relatives / (1 - model.matches - model.relatives)) + for_relatives
    return np.logaddexp2(0, odds)


def is_shared(weights: FieldWeights) -> bool:
    """Whether relatives agree on this field more often than strangers."""
    return weights.h[0] > 1.5 * weights.u[0]
