"""Linking the records of files: candidates, weights, pairs, persons. Pure, and the same for every order of the records.

1  candidates   pairs that share a block key                                    blocking
2  compare      levels of agreement                                             comparing
3  estimate     weights of this file, without known pairs                       estimating
4  score        bits, probability, the person gate                              model, gate
5  second round all pairs inside loose components, so that persons are whole
6  persons      average linkage; one-to-one for two files without duplicates    clustering
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.blocking import CappedBlocks, Pairs, candidates
from healthsync.domains.identity.linkage.clustering import (
    Labels,
    average_linkage,
    bounded_components,
    one_to_one,
    pairs_within,
)
from healthsync.domains.identity.linkage.comparing import Comparer, Comparison
from healthsync.domains.identity.linkage.estimating import estimate
from healthsync.domains.identity.linkage.gate import reasons_against
from healthsync.domains.identity.linkage.model import (
    Floats,
    LinkageModel,
    Profile,
    frequency_bits,
    scores,
    shipped_profile,
)
from healthsync.domains.identity.linkage.standardising import Codes, Records

DUPLICATE_FREE = 0.005
"""Share of the records of a file that may be duplicates of others in it, for the file to count as free of them."""

_CHUNK = 500_000

Progress = Callable[[str, float], None]
"""Told what is being done, and which share of all of it is done."""


class Tier(StrEnum):
    """What a pair is worth."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"


@dataclass(frozen=True)
class Linkage:
    """The outcome. Pairs are arrays: the places of both records, bits, probability, tier (0 certain, 1, 2) and what
    keeps them from being certain; `persons` has for each record the lowest record of its person; `compared` are all
    pairs that were looked at, each once; the first `candidates` of them shared a block key."""

    records: Records
    model: LinkageModel
    left: Codes
    right: Codes
    weight: Floats
    probability: Floats
    tier: NDArray[np.int8]
    reasons: NDArray[np.int8]
    persons: Labels
    capped: tuple[CappedBlocks, ...]
    compared: tuple[Codes, Codes]
    candidates: int
    one_to_one: bool

    @property
    def linked(self) -> NDArray[np.bool_]:
        """The pairs of which both records are one person: tier probable or better."""
        return self.tier < 2


@dataclass(frozen=True)
class _Scored:
    """Pairs with all that is known of them."""

    left: Codes
    right: Codes
    weight: Floats
    log_odds: Floats
    reasons: NDArray[np.int8]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> _Scored:
        return _Scored(*(getattr(self, part)[chosen] for part in ("left", "right", "weight", "log_odds", "reasons")))


def link(
    records: Records,
    *,
    profile: Profile | None = None,
    model: LinkageModel | None = None,
    exclusive: bool | None = None,
    progress: Progress = lambda _what, _share: None,
) -> Linkage:
    """Find which records are of one person.

    `exclusive` says that no file holds a person twice, so that a record has one counterpart at most; None finds out.
    A `model` that was estimated before is used as it is.
    """
    profile = profile or shipped_profile()
    progress("finding candidates", 0.0)
    blocks = profile.blocks
    found = candidates(
        records, profile.keys(records), cap=blocks["cap"], pairs_per_record=blocks["pairs_per_record"],
        pairs_per_key=blocks["pairs_per_key"], telling=blocks["telling"],
    )  # fmt: skip
    left, right = found.pairs
    comparer = Comparer(records)
    compared = _compare(comparer, left, right, lambda share: progress("comparing", 0.1 + 0.4 * share))
    progress("estimating weights", 0.5)
    total = len(records) * (len(records) - 1) / 2
    model = model or estimate(records, comparer, compared, profile, total_pairs=max(total, 1.0))
    frequencies = frequency_bits(model, records, {column for column, _ in compared.agreed.values()})
    progress("scoring", 0.6)
    floor = _log_odds(model.tiers["possible"]) - 4
    first = _score(model, comparer, compared, frequencies, floor)
    exclusive = _is_exclusive(records, first) if exclusive is None else exclusive
    progress("second round", 0.7)
    labels = _loose(records, first, profile)
    inner = _only_new(pairs_within(labels), (first.left, first.right))
    more = _score(model, comparer, _compare(comparer, *inner, lambda _: None), frequencies, -np.inf)
    both = _Scored(
        *(np.concatenate([getattr(first, part), getattr(more, part)])
          for part in ("left", "right", "weight", "log_odds", "reasons"))
    )  # fmt: skip
    progress("making persons", 0.85)
    persons = _persons(records, both, labels, profile, exclusive)
    return _outcome(records, both, persons, profile, model, found.capped, (left, right), inner, exclusive)


def _compare(comparer: Comparer, left: Codes, right: Codes, told: Callable[[float], None]) -> Comparison:
    """Compare in pieces, so that memory stays bounded and progress is seen."""
    parts = []
    for start in range(0, max(len(left), 1), _CHUNK):
        parts.append(comparer.compare(left[start : start + _CHUNK], right[start : start + _CHUNK]))
        told(min(1.0, (start + _CHUNK) / max(len(left), 1)))
    if len(parts) == 1:
        return parts[0]
    return Comparison(
        left, right,
        {name: np.concatenate([part.levels[name] for part in parts]) for name in parts[0].levels},
        {name: (column, np.concatenate([part.agreed[name][1] for part in parts]))
         for name, (column, _) in parts[0].agreed.items()},
    )  # fmt: skip


def _score(
    model: LinkageModel, comparer: Comparer, compared: Comparison, frequencies: dict[str, Floats], floor: float
) -> _Scored:
    """The compared pairs whose log odds reach `floor`."""
    scored = scores(model, compared, frequencies)
    kept = np.flatnonzero(scored.log_odds >= floor)
    return _Scored(
        compared.left[kept], compared.right[kept], scored.weight[kept], scored.log_odds[kept],
        reasons_against(comparer, compared.take(kept)),
    )  # fmt: skip


def _log_odds(probability: float) -> float:
    return float(np.log2(probability / (1 - probability)))


def _is_exclusive(records: Records, scored: _Scored) -> bool:
    """Whether these are two files or more, none of which holds a person twice."""
    if len(set(records.files.tolist())) < 2:
        return False
    within = (records.files[scored.left] == records.files[scored.right]) & (scored.log_odds > _log_odds(0.95))
    return bool(within.sum() <= DUPLICATE_FREE * len(records))


def _loose(records: Records, scored: _Scored, profile: Profile) -> Labels:
    near = scored.take(scored.log_odds >= _log_odds(profile.clusters["loose"]))
    return bounded_components(len(records), near.left, near.right, near.log_odds, int(profile.clusters["largest"]))


def _only_new(pairs: Pairs, known: Pairs) -> Pairs:
    """The pairs that are not among `known` ones, which are in ascending order."""
    width = np.int64(1) << 32
    packed, ordered = (both[0] * width + both[1] for both in (pairs, known))
    at = np.searchsorted(ordered, packed)
    new = np.append(ordered, -1)[at] != packed
    return pairs[0][new], pairs[1][new]


def _persons(records: Records, scored: _Scored, within: Labels, profile: Profile, exclusive: bool) -> Labels:
    clip = profile.clusters["clip"]
    if exclusive:
        across = scored.take((records.files[scored.left] != records.files[scored.right]) & (scored.log_odds > 0))
        kept = across.take(one_to_one(across.left, across.right, across.log_odds))
        labels = np.arange(len(records), dtype=np.int64)
        labels[kept.right] = kept.left
        return labels
    return average_linkage(
        within, scored.left, scored.right, np.clip(scored.log_odds, -clip, clip), -clip / 2,
        profile.clusters["join"],
    )  # fmt: skip


def _outcome(
    records: Records, scored: _Scored, persons: Labels, profile: Profile, model: LinkageModel,
    capped: tuple[CappedBlocks, ...],
    candidates: tuple[Codes, Codes],
    completed: tuple[Codes, Codes], exclusive: bool,
) -> Linkage:  # fmt: skip
    """Every pair of one person, and every pair that a person should look at."""
    together = persons[scored.left] == persons[scored.right]
    probability = 1 / (1 + np.exp2(np.clip(-scored.log_odds, -60, 60)))
    certain = together & (probability >= model.tiers["certain"]) & (scored.reasons == 0)
    shown = together | (probability >= model.tiers["possible"])
    tier = np.where(certain, 0, np.where(together, 1, 2)).astype(np.int8)[shown]
    kept = scored.take(shown)
    order = np.lexsort((kept.right, kept.left))
    kept = kept.take(order)
    return Linkage(
        records=records, model=model, left=kept.left, right=kept.right, weight=kept.weight,
        probability=probability[shown][order], tier=tier[order], reasons=kept.reasons, persons=persons, capped=capped,
        compared=tuple(
            np.concatenate(both) for both in zip(candidates, _only_new(completed, candidates), strict=True)
        ),  # type: ignore[arg-type]
        candidates=len(candidates[0]), one_to_one=exclusive,
    )  # fmt: skip
