"""Boosted trees as plain data: what they say of a vector, and why. Pure, and needs no library.

A tree is a leaf (its value), or (feature, most, lower, higher, cover): whoever has at most `most` of the feature goes
to `lower`, who has more to `higher`; `cover` is how many pairs of the training went through. Values are log odds.

Contributions are exact Shapley values of the trees (Lundberg et al. 2018, arXiv:1802.03888): what a feature adds on
average over all orders in which features become known; unknown ones are averaged over the pairs of the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import factorial
from typing import Any, NamedTuple

MOST_DEPTH = 8
"""Deeper trees are not read: the formula of contributions is for small ones."""


class Leaf(NamedTuple):
    """The end of a way."""

    value: float
    cover: int


class Branch(NamedTuple):
    """A question about one feature."""

    feature: int
    most: int
    lower: Any
    higher: Any
    cover: int


Tree = Leaf | Branch


class Trees:
    """The sum of trees."""

    def __init__(self, trees: Sequence[Tree]) -> None:
        self.trees = tuple(trees)
        self._quick = tuple(_quick(tree) for tree in trees)
        self._ways = tuple(way for tree in trees for way in _ways(tree, {}))
        self.expected = sum(_mean(tree) for tree in trees)

    def raw(self, vector: Sequence[int]) -> float:
        """The log odds of a vector."""
        total = 0.0
        for node in self._quick:
            while node.__class__ is tuple:
                feature, most, lower, higher = node  # type: ignore[misc] - a float ends the loop
                node = lower if vector[feature] <= most else higher
            total += node  # type: ignore[operator]
        return total

    def contributions(self, vector: Sequence[int]) -> list[float]:
        """What each feature adds: with `expected` they add up to `raw`."""
        found = [0.0] * len(vector)
        for value, parts in self._ways:
            met = [(feature, share, float(low <= vector[feature] <= high)) for feature, low, high, share in parts]
            for at, (feature, share, meets) in enumerate(met):
                if meets != share:
                    found[feature] += value * (meets - share) * _weight(met[:at] + met[at + 1 :])
        return found


Way = tuple[float, tuple[tuple[int, float, float, float], ...]]
"""The value of a leaf and, by feature, the least and most that lead there, and the share of the training's pairs that
do."""


def _quick(tree: Tree) -> Any:
    """The tree without covers, a leaf as its bare value."""
    if isinstance(tree, Leaf):
        return tree.value
    return (tree.feature, tree.most, _quick(tree.lower), _quick(tree.higher))


def _mean(tree: Tree) -> float:
    """The mean over the training."""
    if isinstance(tree, Leaf):
        return tree.value
    parts = (tree.lower, tree.higher)
    return sum(part.cover * _mean(part) for part in parts) / sum(part.cover for part in parts)


def _ways(tree: Tree, parts: dict[int, tuple[float, float, float]]) -> Iterator[Way]:
    if isinstance(tree, Leaf):
        yield tree.value, tuple((feature, *part) for feature, part in parts.items())
        return
    low, high, share = parts.get(tree.feature, (float("-inf"), float("inf"), 1.0))
    cover = tree.lower.cover + tree.higher.cover
    for side, bounds in (
        (tree.lower, (low, min(high, tree.most))),
        (tree.higher, (max(low, tree.most + 1), high)),
    ):
        yield from _ways(side, parts | {tree.feature: (*bounds, share * side.cover / cover)})


def _weight(others: Sequence[tuple[int, float, float]]) -> float:
    """The mean, over all orders, of what the features known before leave of a way."""
    sizes = [1.0]  # by how many are known before: the sum of the products over such sets
    for _, share, meets in others:
        sizes = [
            (sizes[at] * share if at < len(sizes) else 0.0) + (sizes[at - 1] * meets if at else 0.0)
            for at in range(len(sizes) + 1)
        ]
    count = len(others) + 1
    return sum(size * factorial(known) * factorial(count - known - 1) for known, size in enumerate(sizes)) / factorial(
        count
    )


def from_document(document: Any, features: int) -> Tree:
    """A tree of JSON: [value, cover] or [feature, most, lower, higher, cover]. Raises ValueError for anything else."""
    return _read(document, features, MOST_DEPTH)


def to_document(tree: Tree) -> list[Any]:
    """A tree for JSON."""
    if isinstance(tree, Leaf):
        return [tree.value, tree.cover]
    return [tree.feature, tree.most, to_document(tree.lower), to_document(tree.higher), tree.cover]


def _read(document: Any, features: int, depth: int) -> Tree:
    match document:
        case [int() | float() as value, int() as cover] if cover > 0:
            return Leaf(float(value), cover)
        case [int() as feature, int() as most, lower, higher, int() as cover] if 0 <= feature < features and depth:
            return Branch(feature, most, _read(lower, features, depth - 1), _read(higher, features, depth - 1), cover)
        case _:
            raise ValueError("this is no tree")
