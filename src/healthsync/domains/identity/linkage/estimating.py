"""The weights of a file, learned from the file itself without a single known pair. Pure.

Expectation–maximisation over three kinds of pairs (one person, relatives of one household, strangers), on patterns of
levels with their counts. The prior is over *all* pairs of records and not over the candidates, and the candidates stand
for all pairs that could be of one person: so that which keys found them does not bias the weights. Shares among
strangers come from pairs drawn at random, less the pairs of one person that are among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.comparing import Comparer, Comparison, Levels, levels_of
from healthsync.domains.identity.linkage.model import (
    KEPT_FREQUENCIES,
    FieldWeights,
    Floats,
    Frequencies,
    LinkageModel,
    Profile,
    kinship_odds,
)
from healthsync.domains.identity.linkage.standardising import Records

RANDOM_PAIRS = 200_000
ROUNDS = 200
CONVERGED = 1e-5
BELIEF = 0.1
"""How much the profile's shares of namesakes and of those born together count, in pairs for each pair of one person."""
ANCHORS = 200
"""From how many pairs on those of one SSN, or that agree in all else, say how often one person's records differ."""
_TIMES, _OF_ONE_SSN, _OF_ALL_ELSE = 1.5, 0.02, 0.03
"""How much more often than they do others may: times, and a share; more than those that agree in all else, which are
of records with few errors."""
_CONTACT = ("email", "phone", "phone_moved", "address")
_LEAST = 1e-9
"""Nothing is impossible: the least share of a level."""
_SEED = 20_261_127


@dataclass(frozen=True)
class Patterns:
    """Distinct combinations of levels among pairs (one row of `levels` per field) and how many pairs show each."""

    names: tuple[str, ...]
    levels: NDArray[np.int8]
    counts: Floats

    @classmethod
    def of(cls, levels: Mapping[str, Levels]) -> Patterns:
        """The patterns of compared pairs."""
        names = tuple(levels)
        packed = np.zeros(len(next(iter(levels.values()), ())), np.int64)
        widths = [len(levels_of(name)) + 1 for name in names]
        for name, width in zip(names, widths, strict=True):
            packed = packed * width + levels[name]
        distinct, counts = np.unique(packed, return_counts=True)
        rows = []
        for width in reversed(widths):
            rows.append((distinct % width).astype(np.int8))
            distinct = distinct // width
        return cls(names, np.array(rows[::-1], np.int8).reshape(len(names), len(counts)), counts.astype(float))


def random_shares(records: Records, comparer: Comparer) -> dict[str, Floats]:
    """The share of each level among pairs drawn at random, by field."""
    chooser = np.random.default_rng(_SEED)
    size = len(records)
    left = chooser.integers(0, max(size, 1), RANDOM_PAIRS, dtype=np.int32)
    right = chooser.integers(0, max(size - 1, 1), RANDOM_PAIRS, dtype=np.int32)
    right += right >= left
    usable = (right < size) & (left < size)
    compared = comparer.compare(left[usable], right[usable])
    found = {}
    for name, levels in compared.levels.items():
        counts = np.bincount(levels, minlength=len(levels_of(name)) + 1)[1:] + 0.5
        shares = counts / counts.sum()
        exact = _exact_share(records, name)
        if exact is not None:
            shares[1:] *= (1 - exact) / max(1 - shares[0], 1e-12)
            shares[0] = exact
        found[name] = shares
    return found


def _exact_share(records: Records, name: str) -> float | None:
    """How many of all pairs that both have a value have the same one, from the counts of the values."""
    column = records.columns.get("phone" if name == "phone_moved" else name)
    if column is None or name == "birth_date":
        return None
    counts = column.counts.astype(float)
    total = counts.sum()
    return max(float((counts * (counts - 1)).sum() / max(total * (total - 1), 1)), 1e-9)


def estimate(
    records: Records, comparer: Comparer, compared: Comparison, profile: Profile, *, total_pairs: float
) -> LinkageModel:
    """The model of these records, from their candidate pairs as `compared`, among `total_pairs` pairs in all."""
    patterns = Patterns.of(compared.levels)
    drawn = random_shares(records, comparer)
    state = _State(patterns, drawn, profile, len(records), total_pairs)
    for _ in range(ROUNDS):
        before = state.matched
        state.maximise(*state.expect())
        if abs(state.matched - before) <= CONVERGED * max(before, 1):
            break
    return LinkageModel(
        version="1",
        profile=profile.version,
        fields=state.weights(),
        matches=min(max(state.matched / total_pairs, 1e-12), 0.5),
        relatives=min(state.related / total_pairs, 0.4),
        same_given=state.same_given,
        same_birth_date=state.same_birth_date,
        alike_names=profile.household["alike_names"],
        tiers=profile.tiers,
        frequencies={
            name: Frequencies.of(records.columns[name]) for name in KEPT_FREQUENCIES if name in records.columns
        },
    )


class _State:
    """The parameters between two rounds."""

    def __init__(
        self, patterns: Patterns, drawn: Mapping[str, Floats], profile: Profile, records: int, total_pairs: float
    ) -> None:
        self._patterns, self._drawn, self._profile, self._total = patterns, drawn, profile, total_pairs
        self._floor = 0.1 / max(records, 10)
        self._shared = {*profile.household["shared"], *(name for name in patterns.names if name.startswith("extra:"))}
        households = {"address", "phone"} & set(patterns.names) and {"given", "birth_date"} & set(patterns.names)
        self.matched = max(min(0.5 * records, 0.5 * total_pairs), _LEAST)
        self.related = min(0.25 * records, 0.25 * total_pairs) if households else 0.0
        self.same_given: float = profile.household["same_given"]
        self.same_birth_date: float = profile.household["same_birth_date"]
        self.m = {name: profile.initial(name) for name in patterns.names}
        self._most = {name: self._limits(name) for name in patterns.names}
        self.u = {name: np.maximum(drawn[name], _LEAST) for name in patterns.names}
        self.h = {name: (self.m if name in self._shared else self.u)[name] for name in patterns.names}

    def expect(self) -> tuple[Floats, Floats]:
        """How many pairs of each pattern are of one person, and of relatives."""
        for_person = np.full(len(self._patterns.counts), np.log(self.matched / self._total))
        for_relatives = np.full(len(for_person), np.log(max(self.related, 1e-9) / self._total))
        for at, name in enumerate(self._patterns.names):
            levels = self._patterns.levels[at]
            for_person += np.append(0.0, np.log(self.m[name] / self.u[name]))[levels]
            for_relatives += np.append(0.0, np.log(self.h[name] / self.u[name]))[levels]
        kinds = self._kinds()
        for_relatives += np.log(sum(kinds))
        whole = np.logaddexp(np.logaddexp(for_person, for_relatives), 0.0)
        counts = self._patterns.counts
        return counts * np.exp(for_person - whole), counts * np.exp(for_relatives - whole)

    def maximise(self, persons: Floats, relatives: Floats) -> None:
        """The shares that make these counts likeliest."""
        self.matched = max(float(persons.sum()), 1.0)
        self.related = float(relatives.sum()) if self.related > 0 else 0.0
        self._learn_kinship(relatives)
        match, relation = self.matched / self._total, self.related / self._total
        for at, name in enumerate(self._patterns.names):
            levels = self._patterns.levels[at]
            size = len(self.m[name]) + 1
            self.m[name] = self._shares(
                np.bincount(levels, persons, size)[1:].astype(float), self._profile.initial(name), self._most[name]
            )
            if name in self._shared:
                self.h[name] = self._shares(
                    np.bincount(levels, relatives, size)[1:].astype(float), self._profile.initial(name)
                )
            apart = self._drawn[name] - match * self.m[name] - relation * self.h[name]
            u = np.maximum(apart, np.maximum(np.minimum(self._floor, self._drawn[name]), _LEAST))
            u[-1] = max(u[-1], self.m[name][-1])  # that values differ never speaks for one person
            self.u[name] = u / u.sum()
            if name not in self._shared:
                self.h[name] = self.u[name]

    def _kinds(self) -> tuple[Floats, Floats, Floats]:
        levels = dict(zip(self._patterns.names, self._patterns.levels, strict=True))
        return kinship_odds(
            levels, self.weights(), self.same_given, self.same_birth_date, self._profile.household["alike_names"]
        )

    def _learn_kinship(self, relatives: Floats) -> None:
        """How many of the relatives are namesakes and were born together: no fewer than the profile expects.

        The fewer relatives there are beside persons, the more the profile speaks.
        """
        household, kinds = self._profile.household, self._kinds()
        trust = max(self._profile.trust, BELIEF * self.matched)
        total = float(relatives.sum()) + trust

        def learned(name: str, kind: Floats) -> float:
            return max(
                household[name], (float((relatives * kind / sum(kinds)).sum()) + trust * household[name]) / total
            )

        self.same_given = learned("same_given", kinds[1])
        self.same_birth_date = learned("same_birth_date", kinds[2])

    def _limits(self, name: str) -> Floats:
        """How many pairs of one person may show each level of a field at most.

        Where names go with each other (those of one origin do), namesakes look like a kind of their own, which must not
        be learned as persons whose birth dates and families change. Pairs of one SSN tell how persons really differ.
        """
        most = np.ones(len(self.m[name]))
        most[-1] = self._profile.limits.get(name, 1.0)
        at = self._patterns.names.index(name)
        for anchors, more in self._anchors(name):
            counts = np.bincount(
                self._patterns.levels[at][anchors], self._patterns.counts[anchors], len(most) + 1
            )[1:]  # fmt: skip
            if counts.sum() >= ANCHORS:
                most[1:] = np.minimum(most[1:], _TIMES * counts[1:] / counts.sum() + more)
                break
        return most

    def _anchors(self, name: str) -> Iterator[tuple[NDArray[np.bool_], float]]:
        """Pairs that are of one person by what has nothing to do with this field: those of one SSN, or else those that
        agree in all of first name, family name, birth date and contact, but for the one that this field belongs to."""
        same = {known: levels == 1 for known, levels in zip(self._patterns.names, self._patterns.levels, strict=True)}
        if "ssn" in same and name != "ssn":
            yield same["ssn"], _OF_ONE_SSN
        contact = [same[known] for known in _CONTACT if known in same]
        if {"given", "family", "birth_date"} <= same.keys() and contact:
            told = {known: same[known] for known in ("given", "family", "birth_date")}
            told["contact"] = np.logical_or.reduce(contact)
            told.pop("contact" if name in _CONTACT else name, None)
            yield np.logical_and.reduce(list(told.values())), _OF_ALL_ELSE

    def _shares(self, counts: Floats, expected: Floats, most: Floats | float = 1.0) -> Floats:
        """The likeliest shares, none above `most`."""
        together = counts + self._profile.trust * expected
        shares = together / together.sum()
        above = shares > most
        if above.any():
            shares = np.where(above, most, shares)
            shares[~above] *= (1 - shares[above].sum()) / shares[~above].sum()
        return shares

    def weights(self) -> dict[str, FieldWeights]:
        """The parameters, as the model keeps them."""
        return {
            name: FieldWeights(
                levels_of(name), *(tuple(map(float, shares[name])) for shares in (self.m, self.u, self.h))
            )
            for name in self._patterns.names
        }
