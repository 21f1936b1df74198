"""Persons out of pairs: average linkage inside loose components, and one-to-one assignment. Pure.

Joining whatever is connected lets one wrong pair make one person of two. Average linkage joins two groups only if the
mean weight of *all* pairs between them speaks for it; a pair that was never compared counts as one that speaks against.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.model import Floats
from healthsync.domains.identity.linkage.standardising import Codes, each_two

Labels = NDArray[np.int64]


def components(size: int, left: Codes, right: Codes) -> Labels:
    """For each of `size` records the lowest record that it is connected with."""
    labels = np.arange(size, dtype=np.int64)
    while True:
        before = labels
        low = np.minimum(labels[left], labels[right])
        labels = labels.copy()
        np.minimum.at(labels, labels[left], low)
        np.minimum.at(labels, labels[right], low)
        while (labels != labels[labels]).any():
            labels = labels[labels]
        if (labels == before).all():
            return labels


def bounded_components(size: int, left: Codes, right: Codes, weights: Floats, largest: int) -> Labels:
    """Components of at most `largest` records: those that are larger are cut at their weakest pairs."""
    labels = components(size, left, right)
    threshold = float(weights.min()) if len(weights) else 0.0
    while True:
        sizes = np.bincount(labels, minlength=size)
        large = sizes > largest
        inside = large[labels[left]] & (labels[left] == labels[right])
        if not inside.any() or threshold > weights[inside].max():
            return labels
        threshold += 1.0
        kept = inside & (weights >= threshold)
        cut = components(size, left[kept], right[kept])
        labels = np.where(large[labels], cut, labels)


def pairs_within(labels: Labels) -> tuple[Codes, Codes]:
    """All pairs of records that have one label."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    one, other = each_two(starts, np.diff(np.append(starts, len(ordered))))
    left, right = order[one], order[other]
    ascending = np.lexsort((right, left))
    return left[ascending].astype(np.int32), right[ascending].astype(np.int32)


def average_linkage(within: Labels, left: Codes, right: Codes, weights: Floats, unknown: float, join: float) -> Labels:
    """Join records into persons, each inside one component of `within`, while the mean weight of two groups is above
    `join` (two records by themselves: above 0).

    `weights` are log odds of pairs; a pair that is not among them counts `unknown`. Ties go to the lower records, so
    that the result does not depend on any order.
    """
    size = len(within)
    labels = np.arange(size, dtype=np.int64)
    inside = within[left] == within[right]
    left, right, weights = left[inside], right[inside], weights[inside]
    together = components(size, left[weights > join], right[weights > join])
    inside = together[left] == together[right]
    left, right, weights = left[inside], right[inside], weights[inside]
    by_themselves = np.bincount(together, minlength=size)[together] == 2
    alike = by_themselves[left] & (weights > 0)
    labels[right[alike]] = left[alike]
    inside = ~by_themselves[left]
    together = np.where(by_themselves, np.arange(size), together)
    for members, (a, b, w) in _groups(together, left[inside], right[inside], weights[inside]):
        matrix = np.full((len(members), len(members)), float(unknown))
        one, other = np.searchsorted(members, a), np.searchsorted(members, b)
        matrix[one, other] = matrix[other, one] = w
        labels[members] = members[_agglomerate(matrix, join)]
    return labels


def _groups(
    together: Labels, left: Codes, right: Codes, weights: Floats
) -> Iterator[tuple[Labels, tuple[Codes, Codes, Floats]]]:
    """The members of each component of two and more, and the pairs inside it."""
    order = np.argsort(together, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(together[order]) != 0))
    ends = np.append(starts[1:], len(order))
    by_pair = np.argsort(together[left], kind="stable")
    of_pair = together[left][by_pair]
    several = ends - starts > 1
    first = together[order[starts[several]]]
    pair_starts, pair_ends = np.searchsorted(of_pair, first), np.searchsorted(of_pair, first, side="right")
    left, right, weights = left[by_pair], right[by_pair], weights[by_pair]
    for start, end, low, high in zip(
        starts[several].tolist(), ends[several].tolist(), pair_starts.tolist(), pair_ends.tolist(), strict=True
    ):
        yield order[start:end], (left[low:high], right[low:high], weights[low:high])


def _agglomerate(weight: Floats, join: float) -> Labels:
    """Average linkage of one component: for each row the lowest row of its group. `weight` is used up.

    The heaviest partner of each row is remembered, so that a join looks only at the rows that it concerns.
    """
    size = len(weight)
    labels = np.arange(size)
    np.fill_diagonal(weight, -np.inf)
    counts = np.ones(size)
    partner = weight.argmax(axis=1)
    heaviest = weight[labels, partner]
    while True:
        one = int(heaviest.argmax())
        if heaviest[one] <= join:
            return labels
        one, other = sorted((one, int(partner[one])))
        joined = (weight[one] * counts[one] + weight[other] * counts[other]) / (counts[one] + counts[other])
        joined[[one, other]] = -np.inf
        weight[one] = weight[:, one] = joined
        weight[other] = weight[:, other] = heaviest[other] = -np.inf
        counts[one] += counts[other]
        labels[labels == other] = one
        stale = np.flatnonzero((partner == one) | (partner == other) | (joined > heaviest))
        stale = np.append(stale[np.isfinite(heaviest[stale])], one)
        partner[stale] = weight[stale].argmax(axis=1)
        heaviest[stale] = weight[stale, partner[stale]]


def one_to_one(left: Codes, right: Codes, weights: Floats) -> NDArray[np.bool_]:
    """Which pairs to keep so that each record is in one at most: the heaviest first, ties by place."""
    order = np.lexsort((right, left, -weights))
    taken: set[int] = set()
    kept = np.zeros(len(weights), bool)
    for at in order.tolist():
        one, other = int(left[at]), int(right[at])
        if one not in taken and other not in taken:
            kept[at] = True
            taken |= {one, other}
    return kept
