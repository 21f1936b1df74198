"""How two records compare, field by field: for each pair a level, 0 where one of them says nothing. Pure.

The levels of a field are ordered from full agreement to none (`profile.yaml` says how often); their numbers start at 1.
How alike two texts are is measured in `similarity`.

One file, though a long one: a level for each field, over the same arrays, to be read one beside the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jellyfish
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from healthsync.domains.identity.linkage.similarity import jaro_winkler, one_letter_apart, words_in_common
from healthsync.domains.identity.linkage.standardising import Codes, Column, Records, encode, mapped
from healthsync.domains.identity.matching import GENERATION_YEARS
from healthsync.domains.identity.nicknames import (
    BORNE,
    IN_TWO,
    begin_unlike,
    is_one_name,
    is_spelling,
    may_stand_for,
    names_one_of,
    nickname_groups,
    shares_a_name,
    spellings,
    usual_names,
)

Levels = NDArray[np.int8]

CLOSE_NAME = 0.92
ALIKE_NAME = 0.80
SWAPPED_NAME = 0.88
CLOSE_TEXT = 85
CLOSE_STREET = 0.88
UNKNOWN = 0

GIVEN = ("exact", "nickname", "close", "initial", "elsewhere", "alike", "differs")
FAMILY = ("exact", "close", "part", "swapped", "elsewhere", "alike", "differs")
MIDDLE = ("exact", "contained", "initial", "alike", "differs")
BIRTH_DATE = ("exact", "mistyped", "partial", "two-parts", "year", "differs")
EXACT = ("exact", "differs")
NUMBER = ("exact", "mistyped", "end", "differs")
ADDRESS = ("exact", "close", "postal-code", "street", "city", "area", "state", "differs")
TEXT = ("exact", "alike", "differs")

LEVELS: Mapping[str, tuple[str, ...]] = {
    "given": GIVEN, "middle": MIDDLE, "family": FAMILY, "suffix": EXACT, "birth_date": BIRTH_DATE, "sex": EXACT,
    "ssn": NUMBER, "insurance": NUMBER, "address": ADDRESS, "address_line": TEXT, "phone": NUMBER,
    "phone_moved": NUMBER, "email": TEXT,
    "mother_family": TEXT, "guardian_given": TEXT, "guardian_family": TEXT, "multiple_birth": EXACT,
    "birth_order": EXACT,
}  # fmt: skip
"""The levels of each field. Those of further evidence (`extra:NAME`) are TEXT."""


def levels_of(field: str) -> tuple[str, ...]:
    """The names of a field's levels; level n of a comparison is entry n - 1."""
    return LEVELS.get(field, TEXT)


@dataclass(frozen=True)
class Comparison:
    """The levels of pairs, by field, and the code of the value on which a pair agrees exactly (-1: on none)."""

    left: Codes
    right: Codes
    levels: Mapping[str, Levels]
    agreed: Mapping[str, tuple[str, Codes]]

    def __len__(self) -> int:
        return len(self.left)

    def take(self, places: NDArray[np.int64]) -> Comparison:
        """Some of the pairs."""
        return Comparison(
            self.left[places], self.right[places],
            {name: levels[places] for name, levels in self.levels.items()},
            {name: (column, codes[places]) for name, (column, codes) in self.agreed.items()},
        )  # fmt: skip


class Comparer:
    """Compares pairs of one set of records. What it needs of the distinct values is computed once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._columns = records.columns
        self._cache: dict[str, Any] = {}
        self.fields = _fields(records)

    def compare(self, left: Codes, right: Codes) -> Comparison:
        """The levels of all fields that the records have, for the pairs (left, right).

        Who moves has another telephone as well, and that is one change: what telephones say of two records that live
        apart is a field of its own (`phone_moved`), whose weights are those of people who moved.
        """
        levels: dict[str, Levels] = {}
        agreed: dict[str, tuple[str, Codes]] = {}
        lines_swapped = moved = np.zeros(len(left), bool)
        for field in self.fields:
            if field == "address":
                compared, lines_swapped, moved = self._address(left, right)
            else:
                compared = self._rule(field)(left, right)
            parts = {field: compared}
            if field == "phone" and "address" in levels:
                unknown = np.int8(UNKNOWN)
                parts = {field: np.where(moved, unknown, compared), "phone_moved": np.where(moved, compared, unknown)}
            for name, compared in parts.items():
                levels[name] = compared
                for column, level in _AGREED_BY.get(name, ((name, 1),)):
                    if column in self._columns:
                        codes = np.where(compared == level, self._columns[column].codes[left], np.int32(-1))
                        agreed[f"{name}:{level}"] = (column, codes)
        if "address_line" in levels:
            levels["address_line"][lines_swapped] = UNKNOWN
        self._swap(left, right, levels)
        return Comparison(left, right, levels, agreed)

    def _rule(self, field: str) -> Callable[[Codes, Codes], Levels]:
        rules = {
            "given": self._given, "middle": self._middle, "family": self._family, "birth_date": self._birth_date,
            "ssn": self._number("ssn", 4), "insurance": self._number("insurance", 4), "phone": self._number("phone", 7),
            "suffix": self._exact("suffix"), "sex": self._exact("sex"), "email": self._email,
            "multiple_birth": self._exact("multiple_birth"), "birth_order": self._exact("birth_order"),
        }  # fmt: skip
        return rules.get(field) or self._text(field)

    # Names

    def _given(self, left: Codes, right: Codes) -> Levels:
        """exact, a pet form of it, misspelt, initial or start of it, among the other's other names, alike, differs.

        One name in two words or in another spelling is like a pet form. Two names that people bear are not misspelt,
        however much they look alike (Donald and Ronald).
        """
        column = self._columns["given"]
        levels, one, other, differ = _begin(column, left, right)
        similarity, close = _similar(column, one, other)
        groups = self._once("groups", lambda: _groups(column))
        same_group = np.zeros(len(one), bool)
        at = np.flatnonzero((groups[one, 0] >= 0) & (groups[other, 0] >= 0))  # few names have pet forms
        ones, others = groups[one[at]], groups[other[at]]
        for a in range(groups.shape[1]):
            for b in range(groups.shape[1]):
                same_group[at] |= ones[:, a] == others[:, b]
        at = np.flatnonzero(close & ~same_group)
        close[at] &= ~self._two_names(one[at], other[at])
        starts = self._starts("given", one, other)
        elsewhere = self._elsewhere("given", left[differ], right[differ])
        levels[differ] = _first([same_group, close, starts, elsewhere, similarity >= ALIKE_NAME], [2, 3, 4, 5, 6], 7)
        levels[(levels == 1) & (column.lengths == 1)[column.codes[left]]] = 4  # two initials are no name
        levels[differ[self.joined(left[differ], right[differ])]] = 2
        return levels

    def joined(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the first name of one is the first and middle name of the other in one word (Ji-woo, Ji Woo)."""
        found = np.zeros(len(left), bool)
        middle = self._columns.get("middle")
        if middle is None:
            return found
        given, middles = self._columns["given"], middle.codes
        for one, other in ((left, right), (right, left)):
            at = np.flatnonzero(
                (middles[one] >= 0) & (middles[other] < 0)
                & (given.lengths[given.codes[one]] + middle.lengths[middles[one]] == given.lengths[given.codes[other]])
            )  # fmt: skip
            first, second, whole = given.codes[one[at]], middles[one[at]], given.codes[other[at]]
            found[at] |= given.texts[first] + middle.texts[second] == given.texts[whole]
        return found

    def _family(self, left: Codes, right: Codes) -> Levels:
        """exact, misspelt, one part of it (hyphenation), [swapped], among the other's other names, alike, differs."""
        column = self._columns["family"]
        levels, one, other, differ = _begin(column, left, right)
        similarity, close = _similar(column, one, other)
        sounds = self._once("family sounds", lambda: encode(map(jellyfish.metaphone, column.values)).codes)
        alike = (similarity >= ALIKE_NAME) | (sounds[one] == sounds[other])
        part = self._starts("family", one, other) | self._shares_word(left[differ], right[differ])
        elsewhere = self._elsewhere("family", left[differ], right[differ])
        levels[differ] = _first([close, part, elsewhere, alike], [2, 3, 5, 6], 7)
        return levels

    def _swap(self, left: Codes, right: Codes, levels: dict[str, Levels]) -> None:
        """A pair whose given name of each is (nearly) the other's family name: told once, by the family name."""
        if "given" not in levels or "family" not in levels:
            return
        given, family = self._columns["given"], self._columns["family"]
        at = np.flatnonzero((levels["given"] >= 5) & (levels["family"] >= 5))
        one, other = left[at], right[at]
        crossed = np.ones(len(at), bool)
        for first, last in ((one, other), (other, one)):
            crossed &= jaro_winkler(given, given.codes[first], family, family.codes[last], SWAPPED_NAME) > 0
        crossed |= self._crossed_in_part(one, other, ~crossed)
        levels["family"][at[crossed]] = 4
        levels["given"][at[crossed]] = UNKNOWN
        # One name in the other field of the other record is seen from both fields: it is one agreement.
        levels["given"][(levels["given"] == 5) & (levels["family"] == 5)] = UNKNOWN

    def _crossed_in_part(self, left: Codes, right: Codes, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the first name of each is the other's family name or, where that has several words, one of them."""
        crossed = np.zeros(len(left), bool)
        parts = self._columns.get("family_parts")
        if parts is None:
            return crossed
        at = np.flatnonzero(asked & ((parts.codes[left] >= 0) | (parts.codes[right] >= 0)))
        given, family, words = (self._texts_of(name) for name in ("given", "family", "family_parts"))
        one, other = left[at], right[at]
        crossed[at] = [
            (a == family_b or a in words_b.split()) and (b == family_a or b in words_a.split())
            for a, b, family_a, family_b, words_a, words_b in zip(
                given(one), given(other), family(one), family(other), words(one), words(other), strict=True
            )
        ]
        return crossed

    def _middle(self, left: Codes, right: Codes) -> Levels:
        """exact, all words of one among the other's, an initial of it, alike, differs."""
        column = self._columns["middle"]
        levels, one, other, differ = _begin(column, left, right)
        ratio = words_in_common(column, one, other, CLOSE_TEXT)
        short = np.minimum(column.lengths[one], column.lengths[other]) == 1
        initial = short & (column.heads[one] >> 42 == column.heads[other] >> 42)
        levels[differ] = _first([ratio >= 100, initial, ratio > 0], [2, 3, 4], 5)
        return levels

    def _starts(self, field: str, one: Codes, other: Codes) -> NDArray[np.bool_]:
        """Whether one of two names is the beginning of the other: an initial, or at least three letters."""
        column = self._columns[field]
        heads, others = column.heads[one], column.heads[other]
        starts = np.zeros(len(one), bool)
        at = np.flatnonzero(heads == others)
        texts = column.texts
        starts[at] = [a.startswith(b) or b.startswith(a) for a, b in zip(texts[one[at]], texts[other[at]], strict=True)]
        if field == "given":
            at = np.flatnonzero(heads >> 42 == others >> 42)
            starts[at] |= np.minimum(column.lengths[one[at]], column.lengths[other[at]]) == 1
        return starts

    def _elsewhere(self, field: str, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the name of one is one of the other's other names."""
        as_word = self._once(f"{field} words", lambda: self._as_words(field))
        signs, first = self._once("words", self._words)
        found = np.zeros(len(left), bool)
        for one, other in ((left, right), (right, left)):
            word = as_word[self._columns[field].codes[one]]
            at = np.flatnonzero(signs[other] >> (word & 63).astype(np.uint64) & np.uint64(1))
            place, end = first[other[at]], first[other[at] + 1]
            while len(at):
                found[at] |= self._records.word_codes[place] == word[at]
                more = place + 1 < end
                at, place, end = at[more], place[more] + 1, end[more]
        return found

    def _words(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """For each record a set of bits in which its words leave their marks, and where its words begin."""
        records = self._records
        signs = np.zeros(len(records), np.uint64)
        np.bitwise_or.at(signs, records.word_records, np.uint64(1) << (records.word_codes & 63).astype(np.uint64))
        return signs, np.searchsorted(records.word_records, np.arange(len(records) + 1))

    def _shares_word(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether one family name of several words has a word of the other's, or is contained in it."""
        family, parts = self._columns["family"], self._columns.get("family_parts")
        shared = np.zeros(len(left), bool)
        if parts is None:
            return shared
        at = np.flatnonzero((parts.codes[left] >= 0) | (parts.codes[right] >= 0))
        sides = [
            zip(family.texts[family.codes[side]], parts.texts[parts.codes[side]], strict=True)
            for side in (left[at], right[at])
        ]
        shared[at] = [
            not {one, *one_parts.split()}.isdisjoint({other, *other_parts.split()})
            for (one, one_parts), (other, other_parts) in zip(*sides, strict=True)
        ]
        return shared

    def _as_words(self, field: str) -> Codes:
        index = self._once("word index", lambda: {text: code for code, text in enumerate(self._records.word_texts)})
        return np.array([*(index.get(value, -1) for value in self._columns[field].values), -1], np.int32)

    # Dates and numbers

    def _birth_date(self, left: Codes, right: Codes) -> Levels:
        """exact, a typing error apart, agreeing as far as told, two of year, month and day, the year, differs."""
        column = self._columns["birth_date"]
        levels, one, other, differ = _begin(column, left, right)
        digits = self._once("digits", lambda: np.array([list(value.encode()) for value in column.values], np.uint8))
        partial = self._once("partial", lambda: np.array(["?" in value for value in [*column.values, ""]], bool))
        parts = self._once(
            "parts", lambda: [encode(value[start:end] for value in column.values).codes for start, end in _DATE_PARTS]
        )
        same = [part[one] == part[other] for part in parts]
        some = partial[one] | partial[other]
        levels[differ] = 6
        at = np.flatnonzero(same[0] | same[1] | same[2] | some)  # whatever is alike has one part the same
        same, some = [part[at] for part in same], some[at]
        a, b = digits[one[at]], digits[other[at]]
        unequal = a != b
        apart = unequal.sum(axis=1)
        swapped = np.zeros(len(at), bool)
        for place in range(7):
            crossed = (a[:, place] == b[:, place + 1]) & (a[:, place + 1] == b[:, place])
            swapped |= crossed & unequal[:, place] & unequal[:, place + 1]
        day_as_month = (a[:, 4:6] == b[:, 6:8]).all(axis=1) & (a[:, 6:8] == b[:, 4:6]).all(axis=1)
        mistyped = (apart == 1) | ((apart == 2) & swapped) | (same[0] & day_as_month)
        untold = (a == ord("?")) | (b == ord("?"))
        compatible = ~(unequal & ~untold).any(axis=1)
        levels[differ[at]] = _first(
            [some & compatible, ~some & mistyped, ~some & (same[0].astype(int) + same[1] + same[2] == 2), same[0]],
            [3, 2, 4, 5], 6,
        )  # fmt: skip
        levels[(levels == 1) & partial[column.codes[left]]] = 3
        return levels

    def _number(self, field: str, end: int) -> Callable[[Codes, Codes], Levels]:
        """exact, one digit mistyped or two swapped, the same last digits (where one side has no more), differs."""

        def rule(left: Codes, right: Codes) -> Levels:
            column = self._columns[field]
            levels, one, other, differ = _begin(column, left, right)
            ends = self._once(f"{field} ends", lambda: encode(value[-end:] for value in column.values).codes)
            short = column.lengths <= end
            near = one_letter_apart(column, one, other)
            same_end = (ends[one] == ends[other]) & (short[one] | short[other] | (field == "phone"))
            levels[differ] = _first([same_end, near], [3, 2], 4)
            return levels

        return rule

    def _email(self, left: Codes, right: Codes) -> Levels:
        """exact, the same name at another provider or a typing error, differs."""
        column = self._columns["email"]
        levels, one, other, differ = _begin(column, left, right)
        local = self._once("local", lambda: encode(value.partition("@")[0] for value in column.values).codes)
        near = one_letter_apart(column, one, other)
        levels[differ] = np.where((local[one] == local[other]) | near, 2, 3)
        return levels

    # Places and texts

    def _address(self, left: Codes, right: Codes) -> tuple[Levels, NDArray[np.bool_], NDArray[np.bool_]]:
        """Street, postal code, city and state as one field: they say the same thing, and must not count four times.

        Beside the levels: where the street of one is the second line of the other, and which pairs live apart.
        """
        street, lines_swapped = self._street(left, right)
        postal, city, state = (self._same(name, left, right) for name in ("postal_code", "city", "state"))
        locality = (postal == 2) | (city == 2)
        near = locality | (postal == 1) | (city == 1)
        nothing = (street < 0) & (postal < 0) & (city < 0)
        elsewhere = (postal == 0) | (city == 0)
        levels = _first(
            [
                nothing & (state < 0),
                (street == 2) & (locality | ~elsewhere),
                (street >= 1) & near,
                postal == 2,
                street == 2,
                (city == 2) | (postal == 1),
                self._same_area(left, right) | (city == 1),
                state == 2,
            ],
            [0, 1, 2, 3, 4, 5, 6, 7],
            8,
        )
        return levels, lines_swapped, (street == 0) | (levels > 5)

    def _same_area(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the postal codes begin alike: all but the last two or three characters."""
        column = self._columns.get("postal_code")
        if column is None:
            return np.zeros(len(left), bool)
        areas = self._once("areas", lambda: mapped(column, lambda code: code[: 3 if len(code) < 6 else len(code) - 3]))
        return (areas.codes[left] == areas.codes[right]) & (areas.codes[left] >= 0)

    def _street(self, left: Codes, right: Codes) -> tuple[Levels, NDArray[np.bool_]]:
        """-1 unknown, 2 the same, 1 alike, 0 different; and whether the street of one is the second line of the other.

        Alike are nearly the same names at one number (or one that is not told), and one street at a mistyped number.
        """
        nowhere = np.zeros(len(left), bool)
        if "street" not in self._columns:
            return np.full(len(left), -1, np.int8), nowhere
        levels, _, _, differ = _begin(self._columns["street"], left, right)
        found = np.where(levels == 1, 2, -1).astype(np.int8)
        houses, names = self._columns["house"], self._columns["street_name"]
        one, other = left[differ], right[differ]
        a, b = houses.codes[one], houses.codes[other]
        one_number = (a == b) | (a < 0) | (b < 0)
        name_a, name_b = names.codes[one], names.codes[other]
        near = np.zeros(len(one), bool)
        at = np.flatnonzero(one_number)
        near[at] = jaro_winkler(names, name_a[at], names, name_b[at], CLOSE_STREET) > 0
        at = np.flatnonzero(name_a == name_b)
        near[at] |= one_letter_apart(houses, a[at], b[at])
        found[differ] = near
        if "address_line" in self._columns:
            at = np.flatnonzero(found == 0)
            line = self._once("lines", lambda: mapped(self._columns["address_line"], _squeezed))
            for one, other in ((left[at], right[at]), (right[at], left[at])):
                nowhere[at] |= jaro_winkler(names, names.codes[one], line, line.codes[other], CLOSE_STREET) > 0
            found[nowhere] = 1
        return found, nowhere

    def _same(self, name: str, left: Codes, right: Codes) -> Levels:
        """-1 unknown, 2 the same, 1 alike, 0 different."""
        if name not in self._columns:
            return np.full(len(left), -1, np.int8)
        column = self._columns[name]
        found, one, other, differ = _begin(column, left, right)
        same = np.where(found == 1, 2, -1).astype(np.int8)
        same[differ] = 0
        if name == "city":
            same[differ] = _similar(column, one, other)[1]
        elif name == "postal_code":
            same[differ] = one_letter_apart(column, one, other)
        return same

    def _exact(self, field: str) -> Callable[[Codes, Codes], Levels]:
        def rule(left: Codes, right: Codes) -> Levels:
            levels, _, _, differ = _begin(self._columns[field], left, right)
            levels[differ] = 2
            return levels

        return rule

    def _text(self, field: str) -> Callable[[Codes, Codes], Levels]:
        """exact, alike (misspelt, or the words of one among the other's), differs."""

        def rule(left: Codes, right: Codes) -> Levels:
            column = self._columns[field]
            levels, one, other, differ = _begin(column, left, right)
            levels[differ] = np.where(_similar(column, one, other)[1], 2, 3)
            return levels

        return rule

    def borne_names_differ(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the first names of a pair are two names that people bear, and neither is the other's pet form.

        A name is borne, and not misspelt, if BORNE of 100,000 have it in the census or in these records, or if it
        became usual after that census.
        """
        found = np.zeros(len(left), bool)
        if "given" not in self._columns:
            return found
        _, one, other, differ = _begin(self._columns["given"], left, right)
        found[differ] = self._two_names(one, other)
        return found

    def _two_names(self, one: Codes, other: Codes) -> NDArray[np.bool_]:
        """Whether two different first names are both borne, and neither is the other's pet form."""
        two = np.zeros(len(one), bool)
        at = np.flatnonzero(self._borne[one] & self._borne[other])
        texts = self._columns["given"].texts
        two[at] = [not is_one_name(a, b) for a, b in zip(texts[one[at]], texts[other[at]], strict=True)]
        return two

    def usual_pet_form(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether two first names, of which one is a pet form of the other, are both borne as they are.

        Bill and William are one person, or twins who were christened so.
        """
        codes = self._columns["given"].codes
        usual = self._borne[codes[left]] & self._borne[codes[right]]
        given = self._texts_of("given")
        at = np.flatnonzero(usual)
        usual[at] = [not is_spelling(a, b) for a, b in zip(given(left[at]), given(right[at]), strict=True)]
        return usual

    def may_be_halves(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether one first name may be half of two different ones: one record alone has a middle name (IN_TWO)."""
        if "given" not in self._columns or "middle" not in self._columns:
            return np.zeros(len(left), bool)
        given, middle = self._columns["given"], self._columns["middle"].codes
        halves = self._once("halves", lambda: np.array([name in IN_TWO for name in [*given.values, ""]], bool))
        one, other = given.codes[left], given.codes[right]
        return (one == other) & halves[one] & ((middle[left] < 0) != (middle[right] < 0))

    def swapped_names_differ(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether of two records with first and family name swapped the first names may be two that people bear."""
        given, family, parts = (self._texts_of(name) for name in ("given", "family", "family_parts"))
        found = np.zeros(len(left), bool)
        for one, other in ((left, right), (right, left)):
            pairs = zip(given(one), family(other), parts(other), self._sexes(left, right), strict=True)
            found |= [a not in words.split() and self._may_be_two(a, b, sex) for a, b, words, sex in pairs]
        return found

    def is_personal(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether a whole middle name agrees, or an e-mail address in which one of the first names stands.

        Relatives share neither. An initial and an address of the family say less.
        """
        found = np.zeros(len(left), bool)
        texts = (self._texts_of(name) for name in ("given", "family", "middle", "email"))
        of_pairs = zip(*(text(side) for text in texts for side in (left, right)), strict=True)
        for at, (given_a, given_b, family_a, family_b, middle_a, middle_b, email_a, email_b) in enumerate(of_pairs):
            found[at] = shares_a_name(middle_a, middle_b) or (
                email_a == email_b and names_one_of(email_a, {given_a, given_b} - {family_a, family_b})
            )
        return found

    def _texts_of(self, name: str) -> Callable[[Codes], Sequence[str]]:
        """The values of a column for records; "" where it or the value is missing."""
        column = self._columns.get(name)
        if column is None:
            return lambda places: [""] * len(places)
        return lambda places: column.texts[column.codes[places]].tolist()

    @property
    def _borne(self) -> NDArray[np.bool_]:
        """For each first name, whether people bear it; the last entry stands for a missing one."""
        return self._once("borne", lambda: np.append(_borne(self._columns["given"]), False))

    def a_generation_apart(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the birth dates are of two years between which one may be the other's parent."""
        return self._years_apart(left, right) >= GENERATION_YEARS

    def born_in_one_year(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the birth dates are of one year."""
        return self._years_apart(left, right) == 0

    def _years_apart(self, left: Codes, right: Codes) -> NDArray[np.int32]:
        column = self._columns["birth_date"]
        years = self._once(
            "years", lambda: np.array([int(v[:4]) if v[:4].isdigit() else 0 for v in [*column.values, ""]], np.int32)
        )
        return np.abs(years[column.codes[left]] - years[column.codes[right]])

    def could_be_another(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether the misspelt one of two close first names is as near to a third name that people of that sex bear.

        "Taara" beside Tamara may as well be Tara; and what begins with another letter is another name (Sarah, Farah),
        if two records have it: one error is rarely made twice. Where neither name is borne, nothing else is said.
        """
        given = self._texts_of("given")
        pairs = zip(given(left), given(right), self._sexes(left, right), strict=True)
        return np.array([self._could_be_third(a, b, sex) for a, b, sex in pairs], bool)

    def _sexes(self, left: Codes, right: Codes) -> list[str]:
        """The sex that both records of a pair tell, "" if they do not."""
        told = self._texts_of("sex")
        return [one if one == other else "" for one, other in zip(told(left), told(right), strict=True)]

    def _may_be_two(self, one: str, other: str, sex: str) -> bool:
        both = one in self._borne_names and other in self._borne_names
        return one != other and ((both and not is_one_name(one, other)) or self._could_be_third(one, other, sex))

    def _could_be_third(self, one: str, other: str, sex: str) -> bool:
        if begin_unlike(one, other) and min(self._bearers(one), self._bearers(other)) > 1:
            return True
        names = self._borne_names
        if (one in names) == (other in names):
            return False
        odd, known = (other, one) if one in names else (one, other)
        apart = OSA.distance(odd, known)
        sex = sex if known in usual_names(sex) else ""
        third = self._once(f"names {sex}", lambda: sorted(usual_names(sex) | (names - usual_names())))
        near = cdist([odd], third, scorer=OSA.distance, score_cutoff=apart)[0] <= apart
        return may_stand_for(odd, known, (third[at] for at in np.flatnonzero(near)))

    def _bearers(self, name: str) -> int:
        """How many records have a first name."""
        column = self._columns["given"]
        return self._once("bearers", lambda: dict(zip(column.values, column.counts.tolist(), strict=True))).get(name, 0)

    @property
    def _borne_names(self) -> frozenset[str]:
        return self._once("borne names", lambda: usual_names() | {*self._columns["given"].texts[self._borne].tolist()})

    def born_together(self, left: Codes, right: Codes) -> NDArray[np.bool_]:
        """Whether one record of a pair says that it is of a child of a multiple birth."""
        column = self._columns.get("multiple_birth")
        if column is None or "yes" not in column.values:
            return np.zeros(len(left), bool)
        yes = column.values.index("yes")
        return (column.codes[left] == yes) | (column.codes[right] == yes)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]


_DATE_PARTS = ((0, 4), (4, 6), (6, 8))
_AGREED_BY: Mapping[str, Sequence[tuple[str, int]]] = {
    "address": (("street", 1), ("postal_code", 3), ("street", 4), ("city", 5)),
    "phone_moved": (("phone", 1),),
}
"""Which column's value, at which level of a field, tells how rare the agreement is (else: the field's own, exact)."""


def _fields(records: Records) -> tuple[str, ...]:
    """The fields that two records of these can be compared by."""
    columns = records.columns
    places = {"street", "postal_code", "city", "state"} & columns.keys()
    named = [name for name in LEVELS if name in columns or (name == "address" and places)]
    return tuple(named + records.extras)


def _begin(column: Column, left: Codes, right: Codes) -> tuple[Levels, Codes, Codes, NDArray[np.int64]]:
    """Levels with the missing (0) and exact (1) ones filled in; codes and places of the pairs whose values differ."""
    one, other = column.codes[left], column.codes[right]
    both = (one >= 0) & (other >= 0)
    levels = (both & (one == other)).astype(np.int8)
    differ = np.flatnonzero(both & (one != other))
    return levels, one[differ], other[differ], differ


def _similar(column: Column, one: Codes, other: Codes) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The similarity of names (0 below ALIKE_NAME), and whether they are one letter apart or nearly the same.

    Short names are unlike each other by one letter already, so that their similarity does not tell.
    """
    similarity = jaro_winkler(column, one, column, other, ALIKE_NAME)
    long = column.lengths
    close = similarity >= CLOSE_NAME
    shorter, longer = np.minimum(long[one], long[other]), np.maximum(long[one], long[other])
    at = np.flatnonzero(~close & ((similarity > 0) | (longer <= 4)) & (shorter > 2))
    close[at] = one_letter_apart(column, one[at], other[at])
    return similarity, close


def _first(conditions: Sequence[NDArray[np.bool_]], levels: Sequence[int], otherwise: int) -> Levels:
    """For each pair the level of the first condition that holds."""
    found = np.full(len(conditions[0]), otherwise, np.int8)
    for condition, level in zip(reversed(conditions), reversed(levels), strict=True):
        found[condition] = level
    return found


def _groups(column: Column) -> NDArray[np.int32]:
    """Up to three nickname groups of each value; what belongs to none has a number of its own."""
    table = np.full((len(column.values), 3), 0, np.int32)
    groups = nickname_groups()
    for code, value in enumerate(column.values):
        spelt = spellings().get(value)
        own = ((() if spelt is None else (1_000_000 + spelt,)) + groups.get(value, ()))[:3] or (-1 - code,)
        table[code] = [own[min(at, len(own) - 1)] for at in range(3)]
    return table


def _borne(column: Column) -> NDArray[np.bool_]:
    usual = np.array([value in usual_names() for value in column.values], bool)
    here = 100_000 * column.counts / max(column.filled, 1)
    return (column.lengths[:-1] > 1) & (usual | ((here >= BORNE) & (column.counts >= 5)))


def _squeezed(text: str) -> str:
    return text.replace(" ", "")
