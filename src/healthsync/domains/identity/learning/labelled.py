"""Pairs of records of which the truth is known, beside reviews: a labelled sample, or invented people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from healthsync.domains.identity.block_keys import LARGEST_BLOCK, block_keys
from healthsync.domains.identity.deciding import ByWeights
from healthsync.domains.identity.learning.deciding import seen
from healthsync.domains.identity.learning.training import Example
from healthsync.domains.identity.model import Demographics

LabelledPair = tuple[Demographics, Demographics, bool]
"""Two records, and whether they are of one person."""


def compared_pairs(says: Sequence[Demographics], truth: Sequence[str]) -> Iterator[LabelledPair]:
    """The pairs that the index would compare; `truth` says who each record is."""
    blocks: dict[object, list[int]] = {}
    for at, one in enumerate(says):
        for key in block_keys(one):
            blocks.setdefault(key, []).append(at)
    pairs = {pair for block in blocks.values() if len(block) <= LARGEST_BLOCK for pair in combinations(block, 2)}
    for a, b in sorted(pairs):
        yield says[a], says[b], truth[a] == truth[b]


def doubted(pairs: Iterable[LabelledPair], weights: ByWeights, source: str) -> list[Example]:
    """The pairs that the weights leave to a person, as if somebody had decided about them before any review: their
    numbers are negative. A sample is one source."""
    found = [(one, other, is_one) for one, other, is_one in pairs if weights(one, other).reasons]
    return [
        Example(number, seen(weights, one, other), (source, source), is_one)
        for number, (one, other, is_one) in enumerate(found, -len(found))
    ]
