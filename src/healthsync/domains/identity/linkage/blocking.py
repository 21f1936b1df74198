"""Which pairs of records are worth a comparison: those that share a block key. Pure.

A key is made of several values (`birth_year+family_sound+given_initial`). A block of more records than its cap says
nothing about a person and makes a square of pairs: it is left out and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jellyfish
import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.linkage.standardising import (
    Codes,
    Column,
    Records,
    each_two,
    encode,
    mapped,
    sorted_distinct,
)
from healthsync.domains.identity.nicknames import nickname_groups

Keys = NDArray[np.uint64]
Pairs = tuple[Codes, Codes]
"""Places of the two records of each pair, the lower first, in ascending order."""

_LARGE_FILE = 60_000
"""Records from which a key may give fewer pairs for each."""
_SMALL_FILE = 40
"""Pairs per record that telling keys may give in the smallest files."""

_MIXERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))


@dataclass(frozen=True, slots=True)
class CappedBlocks:
    """What a key left out: how many blocks, with how many records, above which size."""

    key: str
    cap: int
    blocks: int
    records: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """The pairs to be compared, and what was left out to find them."""

    pairs: Pairs
    capped: tuple[CappedBlocks, ...]


def candidates(
    records: Records, keys: Sequence[str], *, cap: int, pairs_per_record: float, pairs_per_key: int, telling: int
) -> Candidates:
    """All pairs that share a block of one telling key, or of two of the others.

    The telling keys are those that give fewest pairs: together `pairs_per_record` times the records, or `telling` pairs
    in a small file. A block holds at most `cap` records, fewer where a key would give more than `pairs_per_key` pairs
    (the larger a file, the fewer for each record, down to two).
    A key whose fields a file does not have is passed over.
    """
    parts = KeyParts(records)
    size = len(records)
    budget = max(2 * size, pairs_per_key * _LARGE_FILE // max(size, _LARGE_FILE))
    found: list[NDArray[np.int64]] = []
    capped: list[CappedBlocks] = []
    for key in keys:
        keyed = parts.key(key)
        if keyed is not None:
            pairs, left_out = _pairs_of(key, *keyed, size, cap, budget)
            found.append(pairs)
            capped += left_out
    found.sort(key=len)
    telling = telling * _LARGE_FILE // max(size, _LARGE_FILE)
    left = max(min(telling, _SMALL_FILE * size), int(pairs_per_record * size))
    for pairs in list(found):
        left -= len(pairs)
        found += [pairs] if left >= 0 else []
    together = _twice(np.sort(np.concatenate(found))) if found else np.empty(0, np.int64)
    width = np.int64(max(size, 1))
    return Candidates(((together // width).astype(np.int32), (together % width).astype(np.int32)), tuple(capped))


def _twice(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct values that occur at least twice among ordered ones."""
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    return repeated[np.append(True, repeated[1:] != repeated[:-1])] if len(repeated) else repeated


def _pairs_of(
    key: str, places: Codes, values: Keys, records: int, cap: int, budget: int
) -> tuple[NDArray[np.int64], list[CappedBlocks]]:
    """Packed pairs of the records that share a value of one key, and the blocks that were too large."""
    # Sorting one number is far cheaper than sorting places by another: the key's upper bits, and the place
    bits = np.uint64(records.bit_length())
    packed = sorted_distinct((values >> bits << bits) | places.astype(np.uint64))
    place, values = (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64), packed >> bits
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    sizes = np.diff(np.append(starts, len(values)))
    cap = _affordable(sizes, cap, budget)
    large = sizes > cap
    left_out = [CappedBlocks(key, cap, int(large.sum()), int(sizes[large].sum()))] if large.any() else []
    kept = (sizes <= cap) & (sizes > 1)
    one, other = each_two(starts[kept], sizes[kept])
    pairs = place[one] * records + place[other]
    return (sorted_distinct(pairs) if "word" in key else pairs), left_out  # two records may share several words


def _affordable(sizes: NDArray[np.int64], cap: int, budget: int) -> int:
    """The largest size of block, at most `cap`, up to which all blocks together give no more than `budget` pairs."""
    ordered = np.sort(sizes[sizes <= cap])
    pairs = np.cumsum(ordered * (ordered - 1) // 2)
    if not len(pairs) or pairs[-1] <= budget:
        return cap
    return max(2, int(ordered[np.searchsorted(pairs, budget)]) - 1)


class KeyParts:
    """The parts that keys are made of, each computed once: a number for each record, 0 where there is no value."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._made: dict[str, Keys | None] = {}

    def key(self, name: str) -> tuple[Codes, Keys] | None:
        """(record, key) of all records that have every part of a key; None when a file has not all its fields."""
        parts = name.split("+")
        words = parts.count("word")
        places, value = (self._everybody, self._words, self._word_pairs)[words]
        for part in (part for part in parts if part != "word"):
            of_record = self._part(part)
            if of_record is None:
                return None
            own = of_record[places]
            if not own.all():
                present = own != 0
                places, value, own = places[present], value[present], own[present]
            value = _mixed(value, own)
        return (places, value) if len(places) else None

    def _part(self, name: str) -> Keys | None:
        if name not in self._made:
            column = self._column(name)
            self._made[name] = None if column is None else _numbers(column)
        return self._made[name]

    def _column(self, name: str) -> Column | None:
        columns = self._records.columns
        source, rule = _PARTS.get(name, (name, None))
        if source not in columns:
            return None
        return columns[source] if rule is None else mapped(columns[source], rule)

    @cached_property
    def _everybody(self) -> tuple[Codes, Keys]:
        """Each record."""
        return np.arange(len(self._records), dtype=np.int32), np.zeros(len(self._records), np.uint64)

    @cached_property
    def _words(self) -> tuple[Codes, Keys]:
        """Each record with each word of its names, by sound."""
        records = self._records
        of_text = _numbers(encode(_sound(text) for text in records.word_texts))
        sounds = of_text[records.word_codes] if len(of_text) else np.empty(0, np.uint64)
        heard = sounds != 0
        return records.word_records[heard], _mixed(np.zeros(heard.sum(), np.uint64), sounds[heard])

    @cached_property
    def _word_pairs(self) -> tuple[Codes, Keys]:
        """Each record with each two words of its names, by sound, in whichever order."""
        places, sounds = self._words
        found_places, found = [], []
        for distance in range(1, 5):
            at = np.arange(len(places) - distance) if len(places) > distance else np.empty(0, np.int64)
            at = at[places[at] == places[at + distance]]
            low = np.minimum(sounds[at], sounds[at + distance])
            high = np.maximum(sounds[at], sounds[at + distance])
            found_places.append(places[at])
            found.append(_mixed(low, high))
        return np.concatenate(found_places), np.concatenate(found)


def _numbers(column: Column) -> Keys:
    """The codes of a column from 1 up, 0 for missing."""
    return (column.codes.astype(np.int64) + 1).astype(np.uint64)


def _mixed(one: Keys, other: Keys) -> Keys:
    """A number that depends on both and on their order."""
    value = one * _MIXERS[0]
    value ^= other
    value ^= value >> np.uint64(29)
    value *= _MIXERS[1]
    return value


def _sound(name: str) -> str:
    """How a name sounds (Metaphone); a single letter says nothing."""
    return "" if len(name) < 2 else jellyfish.metaphone(name) or name


def canonical_first_name(name: str) -> str:
    """The full name of a pet form: kate → catherine; a form of several names goes to the first."""
    groups = nickname_groups().get(name)
    return f"#{groups[0]}" if groups else name


def _full_date(value: str) -> str:
    return "" if "?" in value else value


_PARTS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "given_full": ("given", canonical_first_name),
    "given_sound": ("given", _sound),
    "given_initial": ("given", lambda name: name[:1]),
    "family_sound": ("family", _sound),
    "family_start": ("family", lambda name: name[:4]),
    "family_initial": ("family", lambda name: name[:1]),
    "birth_date": ("birth_date", _full_date),
    "birth_year": ("birth_date", lambda value: value[:4]),
    "birth_month": ("birth_date", lambda value: "" if "?" in value[:6] else value[:6]),
    "birth_day": ("birth_date", lambda value: "" if "?" in value else value[4:]),
    "postal_area": ("postal_code", lambda code: code[:3]),
    "phone_end": ("phone", lambda digits: digits[-7:]),
    "ssn_end": ("ssn", lambda digits: digits[-4:]),
    "email_local": ("email", lambda address: address.partition("@")[0]),
    "street_start": ("street_name", lambda name: name[:6]),
}
