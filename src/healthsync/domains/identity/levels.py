"""How two records compare, field by field: the level of agreement that files are compared by, for one pair. Pure.

`linkage.comparing` says the same of arrays of pairs; a test holds the two equal. Of several values of a field (old
names, former addresses) those that agree best count. A level is a number from 1 (full agreement) up to the number of
`LEVELS[field]`; 0 where one of the records says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple, TypeVar

import jellyfish
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, JaroWinkler

from healthsync.domains.identity.matching import are_generations
from healthsync.domains.identity.model import Address, Demographics
from healthsync.domains.identity.nicknames import (
    IN_TWO,
    begin_unlike,
    borne_names,
    is_one_name,
    is_spelling,
    may_stand_for,
    names_one_of,
    nickname_groups,
    shares_a_name,
    usual_names,
)

LEVELS_VERSION = "levels-2"
"""What these levels are called in a model that learned from them; a change of what one means is a new number."""

CLOSE_NAME = 0.92
ALIKE_NAME = 0.80
SWAPPED_NAME = 0.88
CLOSE_TEXT = 85
CLOSE_STREET = 0.88

LEVELS: Mapping[str, tuple[str, ...]] = {
    "given": ("exact", "nickname", "close", "initial", "elsewhere", "alike", "differs"),
    "middle": ("exact", "contained", "initial", "alike", "differs"),
    "family": ("exact", "close", "part", "swapped", "elsewhere", "alike", "differs"),
    "suffix": ("exact", "differs"),
    "birth_date": ("exact", "mistyped", "partial", "two-parts", "year", "differs"),
    "sex": ("exact", "differs"),
    "ssn": ("exact", "mistyped", "end", "differs"),
    "address": ("exact", "close", "postal-code", "street", "city", "area", "state", "differs"),
    "phone": ("exact", "mistyped", "end", "differs"),
    "email": ("exact", "alike", "differs"),
}

_PET_FORM, _MISSPELT, _SWAPPED, _ELSEWHERE = 2, 3, 4, 5

T = TypeVar("T")


class Levels(NamedTuple):
    """The level of each field, in the order of LEVELS, and the names that agree as written ("" for none)."""

    given: int
    middle: int
    family: int
    suffix: int
    birth_date: int
    sex: int
    ssn: int
    address: int
    phone: int
    email: int
    same_given: str = ""
    same_family: str = ""
    two_borne_names: bool = False
    """Whether the first names are two that people really bear, and neither is the other's pet form."""
    another_name: bool = False
    """Whether a first name that is a pet form of the other, or misspelt, may be one of its own."""
    personal: bool = False
    """Whether what relatives do not share agrees: SSN, a whole middle name, an e-mail address with the first name."""
    a_generation_apart: bool = False
    """Whether one may be the other's parent by the birth dates."""
    in_one_year: bool = False
    """Whether two of year, month and day of birth agree, and the year is one of them."""

    @property
    def by_field(self) -> tuple[int, ...]:
        """The levels alone."""
        return self[:10]

    @property
    def tells_more(self) -> bool:
        """Whether anything agrees beside first name, family name, birth date and sex."""
        return (
            self.ssn in (1, 2)
            or self.phone in (1, 2, 3)
            or self.email in (1, 2)
            or self.address in (1, 2, 3, 4)
            or self.middle in (1, 2, 3)
        )


def levels_between(one: Demographics, other: Demographics) -> Levels:
    """How two records compare."""
    words = _words(one), _words(other)
    given, a, b = _best(one.first_names, other.first_names, lambda a, b: _given(a, b, words))
    family, c, _ = _best(one.families, other.families, lambda a, b: _family(a, b, one, other, words))
    joined = given > 1 and _are_joined(a, b, one, other)
    given = _PET_FORM if joined else given
    borne = given > 1 and not joined and _are_two_borne_names(a, b)
    sex = _one_sex(one, other)
    another = given in (_PET_FORM, _MISSPELT) and not joined and _may_be_another(a, b, given, sex)
    another |= given == 1 and a in IN_TWO and bool(one.middles) != bool(other.middles)
    if given >= _ELSEWHERE and family >= _ELSEWHERE:
        parts = one.family_words, other.family_words
        crossed = [pair for pair in product(one.names, other.names) if _are_crossed(*pair, *parts)]
        if crossed:
            given, family = 0, _SWAPPED
            both = [names for these, those in crossed for names in _crossed_names(these, those, *parts)]
            borne = any(_are_two_borne_names(x, y) for x, y in both)
            another = any(x != y and _may_be_another(x, y, _MISSPELT, sex) for x, y in both)
        elif given == family == _ELSEWHERE:  # one name in the other field of the other record is one agreement
            given = 0
    ssn, birth_date = _best(one.ssns, other.ssns, _ssn)[0], _best(one.birth_dates, other.birth_dates, _birth_date)[0]
    return Levels(
        given=given,
        middle=_best(one.middles, other.middles, _middle)[0],
        family=family,
        suffix=_same(one.generations, other.generations),
        birth_date=birth_date,
        sex=_same(one.sexes - {"other"}, other.sexes - {"other"}),
        ssn=ssn,
        address=_best(one.addresses, other.addresses, _address)[0],
        phone=_best(one.phones, other.phones, _phone)[0],
        email=_best(one.emails, other.emails, _email)[0],
        same_given=a if given == 1 else "",
        same_family=c if family == 1 else "",
        two_borne_names=borne,
        another_name=another,
        personal=ssn == 1
        or ((given in (2, 3, 4) or another or family == _SWAPPED or birth_date == 2) and _is_personal(one, other)),
        a_generation_apart=(birth_date == 2 or (ssn == 1 and birth_date == 6))
        and are_generations(one.birth_dates, other.birth_dates),
        in_one_year=birth_date == 4 and any(a.year == b.year for a, b in product(one.birth_dates, other.birth_dates)),
    )


def _best(ones: frozenset[T], others: frozenset[T], level_of: Callable[[T, T], int]) -> tuple[int, T | str, T | str]:
    """The level of the two values that agree best, and the values; (0, "", "") where a side says nothing."""
    if len(ones) == 1 == len(others):  # nearly always
        (a,), (b,) = ones, others
        return level_of(a, b), a, b
    if not ones or not others:
        return 0, "", ""
    pairs = product(sorted(ones), sorted(others))  # type: ignore[type-var] - texts, dates and addresses have an order
    return min(((level_of(a, b), a, b) for a, b in pairs), key=lambda found: found[0])


def _same(ones: frozenset[str], others: frozenset[str]) -> int:
    return 0 if not ones or not others else 2 if ones.isdisjoint(others) else 1


# Names


def _given(a: str, b: str, words: tuple[set[str], set[str]]) -> int:
    """exact, a pet form of it, misspelt, initial or start of it, among the other's other names, alike, differs."""
    if a == b:
        return 1 if len(a) > 1 else 4  # two initials are no name
    groups = nickname_groups()
    if not set(groups.get(a, ())[:3]).isdisjoint(groups.get(b, ())[:3]) or is_spelling(a, b):
        return 2
    similarity = JaroWinkler.similarity(a, b, score_cutoff=ALIKE_NAME)
    if _is_close(a, b, similarity):
        return 3
    if _starts(a, b) or (a[0] == b[0] and min(len(a), len(b)) == 1):
        return 4
    if a in words[1] or b in words[0]:
        return _ELSEWHERE
    return 6 if similarity >= ALIKE_NAME else 7


def _are_joined(a: str, b: str, one: Demographics, other: Demographics) -> bool:
    """Whether the first name of one is the first and middle name of the other in one word (Ji-woo, Ji Woo)."""
    if bool(one.middles) == bool(other.middles):
        return False
    return any(a + middle == b for middle in one.middles) or any(b + middle == a for middle in other.middles)


def _family(a: str, b: str, one: Demographics, other: Demographics, words: tuple[set[str], set[str]]) -> int:
    """exact, misspelt, one part of it (hyphenation), [swapped], among the other's other names, alike, differs."""
    if a == b:
        return 1
    similarity = JaroWinkler.similarity(a, b, score_cutoff=ALIKE_NAME)
    if _is_close(a, b, similarity):
        return 2
    parts, other_parts = one.family_words, other.family_words
    if _starts(a, b) or ((parts or other_parts) and not {a, *parts}.isdisjoint({b, *other_parts})):
        return 3
    if a in words[1] or b in words[0]:
        return _ELSEWHERE
    return 6 if similarity >= ALIKE_NAME or sound_of(a) == sound_of(b) else 7


def _middle(a: str, b: str) -> int:
    """exact, all words of one among the other's, an initial of it, alike, differs."""
    if a == b:
        return 1
    ratio = fuzz.token_set_ratio(a, b)
    if ratio >= 100:
        return 2
    if (len(a) == 1 or len(b) == 1) and a[0] == b[0]:
        return 3
    return 4 if ratio >= CLOSE_TEXT else 5


def _is_close(a: str, b: str, similarity: float) -> bool:
    """One letter apart, or nearly the same."""
    if similarity >= CLOSE_NAME:
        return True
    return similarity >= ALIKE_NAME and min(len(a), len(b)) > 2 and OSA.distance(a, b, score_cutoff=1) <= 1


def _starts(a: str, b: str) -> bool:
    """Whether one name is the beginning of the other, by three letters at least (or they are shorter and equal)."""
    return a[:3] == b[:3] and (a.startswith(b) or b.startswith(a))


def _words(said: Demographics) -> set[str]:
    """All words of a record's names."""
    middles = [word for middle in said.middles for word in middle.split()]
    return {*said.first_names, *said.families, *said.family_words, *middles}


def _are_crossed(
    these: tuple[str, str], those: tuple[str, str], parts: frozenset[str], other_parts: frozenset[str]
) -> bool:
    """Whether the (family, first) name of each is nearly the other's in the other order, or the first name one of the
    other's several family names."""
    (family, first), (other_family, other_first) = these, those
    return (
        JaroWinkler.similarity(first, other_family) >= SWAPPED_NAME
        and JaroWinkler.similarity(other_first, family) >= SWAPPED_NAME
    ) or (
        (first == other_family or first in other_parts) and (other_first == family or other_first in parts)
    )  # fmt: skip


def _crossed_names(
    these: tuple[str, str], those: tuple[str, str], parts: frozenset[str], other_parts: frozenset[str]
) -> Iterable[tuple[str, str]]:
    """The first name of each and the name that stands in its place, unless that has it among others."""
    (family, first), (other_family, other_first) = these, those
    if first not in other_parts:
        yield first, other_family
    if other_first not in parts:
        yield other_first, family


def _are_two_borne_names(a: str, b: str) -> bool:
    borne = borne_names()
    return a != b and a in borne and b in borne and min(len(a), len(b)) > 1 and not is_one_name(a, b)


def _one_sex(one: Demographics, other: Demographics) -> str:
    """The sex that both records tell, "" if they do not."""
    return next(iter(one.sexes), "") if len(one.sexes) == 1 and one.sexes == other.sexes else ""


@lru_cache(65536)
def _may_be_another(a: str, b: str, level: int, sex: str) -> bool:
    """Whether a name and its pet form are both usual, or a misspelt name is as near to a third one of that sex."""
    if level == _PET_FORM:
        return a in usual_names() and b in usual_names() and not is_spelling(a, b)
    if begin_unlike(a, b):
        return True
    if (a in borne_names()) == (b in borne_names()):
        return False
    odd, known = (b, a) if a in borne_names() else (a, b)
    sex = sex if known in usual_names(sex) else ""
    apart = OSA.distance(odd, known)
    near = process.extract(odd, _usual_names(sex), scorer=OSA.distance, score_cutoff=apart, limit=None)
    return may_stand_for(odd, known, (name for name, _, _ in near))


@cache
def _usual_names(sex: str) -> tuple[str, ...]:
    return tuple(usual_names(sex))


def _is_personal(one: Demographics, other: Demographics) -> bool:
    """Whether a whole middle name agrees, or an e-mail address in which one of the first names stands."""
    return any(shares_a_name(a, b) for a, b in product(one.middles, other.middles)) or any(
        names_one_of(email, (one.first_names | other.first_names) - one.families - other.families)
        for email in one.emails & other.emails
    )


@lru_cache(65536)
def sound_of(name: str) -> str:
    """How a name sounds (Metaphone)."""
    return jellyfish.metaphone(name)


# Dates and numbers


def _birth_date(a: date, b: date) -> int:
    """exact, a typing error apart, [partial], two of year, month and day, the year, differs."""
    if a == b:
        return 1
    same = (a.year == b.year) + (a.month == b.month) + (a.day == b.day)
    one, other = f"{a.year:04}{a.month:02}{a.day:02}", f"{b.year:04}{b.month:02}{b.day:02}"
    unequal = [at for at in range(8) if one[at] != other[at]]
    neighbours = len(unequal) == 2 and unequal[1] == unequal[0] + 1 and _crossed_at(one, other, unequal[0])
    day_as_month = (a.year, a.month, a.day) == (b.year, b.day, b.month)
    if len(unequal) == 1 or neighbours or day_as_month:
        return 2
    return 4 if same == 2 else 5 if a.year == b.year else 6


def _crossed_at(one: str, other: str, at: int) -> bool:
    return one[at] == other[at + 1] and one[at + 1] == other[at]


def _ssn(a: str, b: str) -> int:
    """exact, one digit mistyped or two swapped, differs."""
    if a == b:
        return 1
    return 2 if OSA.distance(a, b, score_cutoff=1) <= 1 else 4


def _phone(a: str, b: str) -> int:
    """exact, mistyped, the same last seven digits, differs."""
    if a == b:
        return 1
    if a[-7:] == b[-7:]:
        return 3
    return 2 if OSA.distance(a, b, score_cutoff=1) <= 1 else 4


def _email(a: str, b: str) -> int:
    """exact, the same name at another provider or a typing error, differs."""
    if a == b:
        return 1
    same_local = a.partition("@")[0] == b.partition("@")[0]
    return 2 if same_local or OSA.distance(a, b, score_cutoff=1) <= 1 else 3


# Places


def _address(a: Address, b: Address) -> int:
    """Street, postal code, city and state as one field: they say the same thing, and must not count four times."""
    street = _street(a, b)
    postal = _alike(a.postal_code, b.postal_code, lambda one, other: OSA.distance(one, other, score_cutoff=1) <= 1)
    city = _alike(a.city, b.city, lambda one, other: _is_close(one, other, JaroWinkler.similarity(one, other)))
    state = _alike(a.state, b.state, lambda one, other: False)
    locality, near = 2 in (postal, city), not {1, 2}.isdisjoint((postal, city))
    if street < 0 and postal < 0 and city < 0 and state < 0:
        return 0
    rules = (
        street == 2 and (locality or 0 not in (postal, city)),
        street >= 1 and near,
        postal == 2,
        street == 2,
        city == 2 or postal == 1,
        city == 1 or (bool(a.postal_code) and _area(a.postal_code) == _area(b.postal_code)),
        state == 2,
    )
    return next((level for level, holds in enumerate(rules, 1) if holds), 8)


def _alike(a: str, b: str, nearly: Callable[[str, str], bool]) -> int:
    """-1 unknown, 2 the same, 1 alike, 0 different."""
    if not a or not b:
        return -1
    return 2 if a == b else int(nearly(a, b))


def _street(a: Address, b: Address) -> int:
    """-1 unknown, 2 the same, 1 alike, 0 different. Alike are nearly the same names at one number (or one that is not
    told), one street at a mistyped number, and the street of one that is the second line of the other."""
    if not a.street or not b.street:
        return -1
    if (a.house, a.street) == (b.house, b.street):
        return 2
    one_number = a.house == b.house or not a.house or not b.house
    if one_number and JaroWinkler.similarity(a.street, b.street) >= CLOSE_STREET:
        return 1
    if a.street == b.street and OSA.distance(a.house, b.house, score_cutoff=1) <= 1:
        return 1
    lines = ((a.street, b.line.replace(" ", "")), (b.street, a.line.replace(" ", "")))
    return int(any(line and JaroWinkler.similarity(street, line) >= CLOSE_STREET for street, line in lines))


def _area(postal_code: str) -> str:
    """All but the last two or three characters of a postal code."""
    return postal_code[: 3 if len(postal_code) < 6 else len(postal_code) - 3]


def names_of(levels: Levels) -> Iterable[tuple[str, str]]:
    """(field, name of its level) of every field that both records tell."""
    for field, level in zip(LEVELS, levels.by_field, strict=True):
        if level:
            yield field, LEVELS[field][level - 1]
