"""How alike two texts are, for arrays of pairs of values. Pure.

Jaro–Winkler (names), optimal string alignment (numbers) and sets of words are measured by rapidfuzz. That costs far
more than to look up which letters two values have, and most pairs are unlike by those alone: the others are measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, JaroWinkler
from rapidfuzz.process import cpdist

from healthsync.domains.identity.linkage.standardising import Codes, Column

_BOOSTED = 0.7
_PREFIX = 4 * 0.1
"""Winkler: from which Jaro similarity a common beginning counts, and how much of what is missing it makes good."""


def jaro_winkler(one: Column, ones: Codes, other: Column, others: Codes, least: float) -> NDArray[np.float32]:
    """The Jaro–Winkler similarity of each value of `one` with that of `other`; 0 below `least` (0.7 or more)."""
    same_start = one.heads[ones] >> 42 == other.heads[others] >> 42
    jaro = np.where(same_start, max(_BOOSTED, (least - _PREFIX) / (1 - _PREFIX)), least).astype(np.float32)
    a, b, common = one.lengths[ones], other.lengths[others], _common_letters(one, ones, other, others)
    # Jaro is at most (common/a + common/b + 1) / 3
    may_be = common * (a + b) >= (3 * jaro - 1 - 1e-4) * (a * b)
    return _measured(one, ones, other, others, may_be, JaroWinkler.similarity, least, 0)


def words_in_common(column: Column, ones: Codes, others: Codes, least: float) -> NDArray[np.float32]:
    """How much of the words of two values is the same, whatever their order (0 to 100); 0 below `least`."""
    several = column.several_words
    whole = column.lengths[ones] + column.lengths[others]
    may_be = several[ones] | several[others] | (200 * _common_letters(column, ones, column, others) >= least * whole)
    return _measured(column, ones, column, others, may_be, fuzz.token_set_ratio, least, 0)


def one_letter_apart(column: Column, ones: Codes, others: Codes) -> NDArray[np.bool_]:
    """Whether two values are one letter apart, or two swapped neighbours.

    That leaves either the first three or the last three letters of seven as they are.
    """
    a, b = column.lengths[ones], column.lengths[others]
    may_be = np.minimum(a, b) + 1 >= np.maximum(a, b)
    may_be &= _common_letters(column, ones, column, others) + 1 >= np.maximum(a, b)
    at = np.flatnonzero(may_be)
    near = np.zeros(len(ones), bool)
    ones, others = ones[at], others[at]
    kept = (column.heads[ones] == column.heads[others]) | (column.tails[ones] == column.tails[others])
    kept |= np.minimum(a[at], b[at]) < 7
    near[at] = _measured(column, ones, column, others, kept, OSA.distance, 1, 2) <= 1
    return near


def _common_letters(one: Column, ones: Codes, other: Column, others: Codes) -> NDArray[np.int32]:
    """How many letters two values can have in common at most: no letter of one that the other does not have."""
    a, b = one.letters[ones], other.letters[others]
    lacking_b, lacking_a = np.bitwise_count(a & ~b), np.bitwise_count(b & ~a)
    return np.minimum(one.lengths[ones] - lacking_b, other.lengths[others] - lacking_a)


def _measured(
    one: Column, ones: Codes, other: Column, others: Codes, may_be: NDArray[np.bool_], scorer: Any, cutoff: float,
    unlike: float,
) -> NDArray[np.float32]:  # fmt: skip
    """The scores of the pairs that `may_be` alike; all others are `unlike`."""
    found = np.full(len(ones), unlike, np.float32)
    at = np.flatnonzero(may_be)
    texts = one.texts[ones[at]], other.texts[others[at]]
    found[at] = cpdist(*texts, scorer=scorer, score_cutoff=cutoff, dtype=np.float32)
    return found
