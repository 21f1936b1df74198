"""Columns of text become columns that can be compared: normalised, placeholders missing, each value kept once. Pure.

Every rule works on the distinct values of a column, so that its cost grows with the values and not with the records.
What a person's name, number and date mean is decided by `identity.demographics`, here as in the index.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from itertools import count
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from healthsync.domains.identity.demographics import PLACEHOLDER_DATES
from healthsync.domains.identity.values import (
    email_of,
    family_parts,
    first_and_rest,
    is_doe,
    is_nobody,
    name_words,
    normalised_name,
    number_of,
    phone_of,
    place_of,
    postal_code_of,
    real_family,
    real_first_name,
    split_street,
    text_of,
    untitled,
    without_generation,
)
from healthsync.standards.normalise import GENERATIONS

Codes = NDArray[np.int32]
Whole = TypeVar("Whole", np.int64, np.uint64)

MISSING = -1
"""The code of a value that is not there."""

HEAPED = 5.0
"""From so many times its share, the first of January stands for "some day of that year"."""

_SAMPLE = 1000
_ISO = re.compile(r"(\d{4})(?:[-/.]?(\d{2})(?:[-/.]?(\d{2}))?)?")
_MONTHS = {name: at for at, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}  # noqa: SIM905
_MALE = frozenset(("m", "male", "man", "boy", "1"))
_FEMALE = frozenset(("f", "female", "woman", "girl", "2", "w"))
_YES = frozenset(("y", "yes", "true", "t"))
_NO = frozenset(("n", "no", "false", "f"))


@dataclass(frozen=True)
class Column:
    """The values of a field: one code for each record (MISSING where there is none) and the value of each code."""

    codes: Codes
    values: list[str]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many records have each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).astype(np.int64)

    @cached_property
    def texts(self) -> NDArray[np.object_]:
        """The values, to be taken by arrays of codes."""
        return np.array([*self.values, ""], dtype=object)

    @property
    def filled(self) -> int:
        """How many records have a value."""
        return int((self.codes >= 0).sum())

    # For each value, and last for a missing one:

    @cached_property
    def lengths(self) -> NDArray[np.int32]:
        """How many letters it has."""
        return np.fromiter(map(len, [*self.values, ""]), np.int32, len(self.values) + 1)

    @cached_property
    def letters(self) -> NDArray[np.uint64]:
        """Which letters it has, as a set of bits (two letters may have one bit)."""
        if not self.values:
            return np.zeros(1, np.uint64)
        written = np.frombuffer("".join(self.values).encode("utf-32-le", "surrogatepass"), np.uint32)
        starts = np.append(0, np.cumsum(self.lengths[:-2]))
        sets = np.bitwise_or.reduceat(np.uint64(1) << (written & 63).astype(np.uint64), starts)
        return np.append(sets, np.uint64(0))

    @cached_property
    def heads(self) -> NDArray[np.int64]:
        """A number for its first three letters (the first in the bits from 42 on)."""
        return _three_letters([*self.values, ""])

    @cached_property
    def tails(self) -> NDArray[np.int64]:
        """A number for its last three letters."""
        return _three_letters([value[-3:] for value in [*self.values, ""]])

    @cached_property
    def several_words(self) -> NDArray[np.bool_]:
        """Whether it has a blank."""
        return np.fromiter((" " in value for value in [*self.values, ""]), bool, len(self.values) + 1)


@dataclass(frozen=True)
class Records:
    """The records of all files in an order that does not depend on the order they came in.

    `columns` are by field. The words of each record's names are flat arrays: record, and code into `word_texts`.
    """

    ids: list[str]
    files: NDArray[np.int8]
    columns: Mapping[str, Column]
    word_records: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    word_codes: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    word_texts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def extras(self) -> list[str]:
        """The fields of further evidence, as `extra:NAME`."""
        return [name for name in self.columns if name.startswith("extra:")]


def encode(values: Iterable[str]) -> Column:
    """Give each distinct value a code; "" is missing."""
    index: dict[str, int] = defaultdict(count(MISSING).__next__)
    index[""]  # is given the first code
    codes = np.fromiter(map(index.__getitem__, values), np.int32)
    return Column(codes, list(index)[1:])


def mapped(column: Column, rule: Callable[[str], str]) -> Column:
    """A column with `rule` applied to each distinct value; values that become equal share a code."""
    made = list(map(rule, column.values))
    return column if made == column.values else _spread(encode(made), column)


def mapped_to_two(column: Column, rule: Callable[[str], tuple[str, str]]) -> tuple[Column, Column]:
    """Two columns of what `rule` makes of each distinct value."""
    ones, others = zip(*map(rule, column.values), strict=True) if column.values else ((), ())
    return tuple(_spread(encode(made), column) for made in (ones, others))  # type: ignore[return-value] - two of them


def _spread(made: Column, over: Column) -> Column:
    """What was made of each value of a column, for each of its records."""
    return Column(np.append(made.codes, np.int32(MISSING))[over.codes], made.values)


def joined(one: Column, other: Column, rule: Callable[[str, str], str]) -> Column:
    """A column of what `rule` makes of two, for each distinct pair of values ("" for a missing one)."""
    width = len(other.values) + 1
    packed = (one.codes.astype(np.int64) + 1) * width + other.codes + 1
    pairs, inverse = np.unique(packed, return_inverse=True)
    ones, others = ["", *one.values], ["", *other.values]
    made = encode(rule(ones[pair // width], others[pair % width]) for pair in pairs.tolist())
    return Column(made.codes[inverse].astype(np.int32), made.values)


def _three_letters(values: Sequence[str]) -> NDArray[np.int64]:
    letters = np.array(values, "U3").reshape(-1, 1).view(np.uint32).astype(np.int64)
    return (letters[:, 0] << 42) | (letters[:, 1] << 21) | letters[:, 2]


def sorted_distinct(values: NDArray[Whole]) -> NDArray[Whole]:
    """The distinct values in ascending order."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def each_two(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of each two neighbours near or far in runs that begin at `starts`, the lower first."""
    at = _counted(starts, sizes)
    further = np.repeat(starts + sizes, sizes) - at - 1
    return np.repeat(at, further), _counted(at + 1, further)


def _counted(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """So many numbers from each start up, one after the other."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(sizes.sum())


def standardise(raw: Mapping[str, Sequence[str]], ids: Sequence[str], files: Sequence[int], *, today: date) -> Records:
    """Records of `raw` columns (by field, text as written, without blanks around it), in the order of file and id.

    Dates of birth after `today` and placeholders are missing. Old dates stay: files of the dead are linked too.
    """
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    order = by_id[np.argsort(np.array(files, np.int8)[by_id], kind="stable")]
    columns = {name: _ordered(encode(values), order) for name, values in raw.items()}
    made: dict[str, Column | None] = {**_names(columns)}
    made |= {
        "birth_date": heaped_days_missing(_dates(columns["birth_date"], today)) if "birth_date" in columns else None,
        "sex": mapped(columns["sex"], sex_of) if "sex" in columns else None,
        "ssn": mapped(columns["ssn"], number_of) if "ssn" in columns else None,
        "phone": mapped(columns["phone"], phone_of) if "phone" in columns else None,
        "email": mapped(columns["email"], email_of) if "email" in columns else None,
        "postal_code": mapped(columns["postal_code"], postal_code_of) if "postal_code" in columns else None,
    }
    made |= {name: mapped(columns[name], rule) for name, rule in _FURTHER.items() if name in columns}
    made |= {name: mapped(columns[name], place_of) for name in ("city", "state", "address_line") if name in columns}
    made |= _street(columns)
    repeated = repeating_columns(columns)
    extras = {name: mapped(column, text_of) for name, column in columns.items()
              if name.startswith("extra:") and name not in repeated}  # fmt: skip
    kept = {name: column for name, column in (made | extras).items() if column is not None and column.filled}
    records, codes, texts = _words(kept)
    return Records(
        [str(ids[at]) for at in order.tolist()], np.array(files, np.int8)[order], kept, records, codes, texts
    )


def insurance_of(text: str) -> str:
    """The number of an insured person, letters and digits only."""
    squeezed = re.sub(r"[\W_]", "", text.casefold())
    return "" if len(squeezed) < 4 or len(set(squeezed)) == 1 or is_nobody(squeezed) else squeezed


def multiple_birth_of(text: str) -> str:
    """yes or no, of a flag or of the number of children born together (HL7 PID-24, FHIR multipleBirth[x])."""
    word = text.casefold()
    if word.isdigit():
        return "yes" if int(word) > 1 else "no"
    return "yes" if word in _YES else "no" if word in _NO else ""


def birth_order_of(text: str) -> str:
    """Which of the children born together, from 1 up (HL7 PID-25)."""
    return text.lstrip("0") if text.isdigit() and 0 < int(text) < 20 else ""


def repeating_columns(columns: Mapping[str, Column]) -> frozenset[str]:
    """Columns of further evidence that only repeat what others say (a whole name beside its parts): no evidence.

    Judged by a sample: nine of ten values have no word that is not in another column of the record.
    """
    size = len(next(iter(columns.values())).codes) if columns else 0
    sample = np.unique(np.linspace(0, max(size - 1, 0), _SAMPLE).astype(np.int64)) if size else np.empty(0, np.int64)
    words = {
        name: [set(text_of(text).split()) for text in column.texts[column.codes[sample]]]
        for name, column in columns.items()
    }
    told = [set().union(*of_record) for of_record in zip(
        *(words[name] for name in columns if not name.startswith("extra:")), strict=True)]  # fmt: skip
    repeated = set()
    for name in (name for name in columns if name.startswith("extra:")):
        said = [(own, others) for own, others in zip(words[name], told, strict=True) if own]
        if said and sum(own <= others for own, others in said) >= 0.9 * len(said):
            repeated.add(name)
    return frozenset(repeated)


def _ordered(column: Column, order: NDArray[np.int64]) -> Column:
    return Column(column.codes[order], column.values)


# Names


def _names(columns: Mapping[str, Column]) -> dict[str, Column]:
    """given, middle (words in order of the alphabet), family and suffix of the name columns that there are."""
    given, family, middle = columns.get("given"), columns.get("family"), columns.get("middle")
    full, suffix = columns.get("full_name"), columns.get("suffix")
    if full is not None and given is None and family is None:
        parts = mapped(full, lambda text: "\t".join(split_name(text)))
        given, family, middle = (mapped(parts, _part(at)) for at in range(3))
        full = None
    second = columns.get("family_second")
    if family is not None and second is not None:
        family = joined(family, second, lambda one, other: f"{one}-{other}" if one and other else one or other)
    found: dict[str, Column] = {}
    told: list[Column] = []
    if family is not None:
        bare, generation = mapped_to_two(family, lambda text: without_generation(untitled(text)))
        found["family"] = mapped(bare, real_family)
        found["family_parts"] = mapped(family, family_parts)
        told.append(generation)
    if given is not None:
        first, rest = mapped_to_two(given, first_and_rest)
        found["given"] = mapped(first, real_first_name)
        middle = rest if middle is None else joined(middle, rest, lambda one, other: one or other)
        if family is not None:
            found |= _without_does(found["given"], found["family"])
    if middle is not None:
        found["middle"] = mapped(middle, lambda text: " ".join(sorted(name_words(text))))
    if full is not None:
        found["middle"] = _further_names(full, found)
    if suffix is not None:
        told.append(mapped(suffix, lambda text: GENERATIONS.get(normalised_name(text), "")))
    for column in told:
        before = found.get("suffix")
        found["suffix"] = column if before is None else joined(before, column, lambda one, other: other or one)
    return found


def _part(at: int) -> Callable[[str], str]:
    return lambda text: text.split("\t")[at]


def split_name(text: str) -> tuple[str, str, str]:
    """(given, family, middle) of a whole name, "Smith, John A" or "John A Smith"."""
    family, comma, rest = text.partition(",")
    if comma and rest.strip() and normalised_name(rest) not in GENERATIONS:
        words = untitled(rest).split()
        return (words[0] if words else "", family.strip(), " ".join(words[1:]))
    bare, generation = without_generation(untitled(text.replace(",", " ")))
    words = bare.split()
    if not words:
        return "", "", ""
    last = f"{words[-1]} {generation_word(generation)}".strip() if len(words) > 1 else ""
    return words[0], last, " ".join(words[1:-1])


def generation_word(generation: str) -> str:
    """A suffix that means this generation, "" for none."""
    return next((word for word, number in GENERATIONS.items() if number == generation), "")


def _without_does(given: Column, family: Column) -> dict[str, Column]:
    """John Doe is nobody."""
    nobody = joined(family, given, lambda last, first: "doe" if is_doe(last, first) else "").codes >= 0
    if not nobody.any():
        return {}
    gone = np.where(nobody, np.int32(MISSING), np.int32(0))
    return {
        "given": Column(np.where(gone < 0, gone, given.codes), given.values),
        "family": Column(np.where(gone < 0, gone, family.codes), family.values),
    }


def _further_names(full: Column, found: Mapping[str, Column]) -> Column:
    """What a whole name says beyond the names that have columns of their own."""
    words = mapped(full, lambda text: " ".join(sorted(set(name_words(text)))))
    for name in ("given", "family"):
        if name in found:
            words = joined(words, found[name], lambda text, part: " ".join(w for w in text.split() if w != part))
    middle = found.get("middle")
    return words if middle is None else joined(middle, words, lambda one, other: one or other)


def _words(columns: Mapping[str, Column]) -> tuple[Codes, Codes, list[str]]:
    """All words of the names of each record, each once: (record, code) pairs and the words."""
    sources = [columns[name] for name in ("given", "middle", "family", "family_parts") if name in columns]
    index: dict[str, int] = {}
    records, codes = [], []
    for column in sources:
        of_value = [[index.setdefault(word, len(index)) for word in value.split()] for value in column.values]
        longest = max(map(len, of_value), default=0)
        for at in range(longest):
            nth = np.array([*(words[at] if at < len(words) else MISSING for words in of_value), MISSING], np.int32)
            found = nth[column.codes]
            has = np.flatnonzero(found >= 0)
            records.append(has)
            codes.append(found[has])
    if not records:
        return np.empty(0, np.int32), np.empty(0, np.int32), []
    width = len(index)
    packed = sorted_distinct(np.concatenate(records).astype(np.int64) * width + np.concatenate(codes))
    return (packed // width).astype(np.int32), (packed % width).astype(np.int32), list(index)


# Dates


def _dates(column: Column, today: date) -> Column:
    """Dates as eight characters YYYYMMDD, "?" for what is not told."""
    day_first = _days_come_first(column.values)
    return mapped(column, lambda text: date_of(text, today=today, day_first=day_first))


def _days_come_first(values: Iterable[str]) -> bool:
    """Whether "03/04/1980" is the third of April: so, if more dates have a first part above 12 than a second."""
    first = second = 0
    for value in values:
        if found := re.match(r"(\d{1,2})[./ -](\d{1,2})[./ -]\d{2,4}", value):
            first += int(found[1]) > 12
            second += int(found[2]) > 12
    return first > second


def date_of(text: str, *, today: date, day_first: bool = False) -> str:
    """A date as YYYYMMDD with "?" for each digit that is not told; "" when it says nothing.

    Read are 1980-04-03 (with or without time), 19800403, 1980-04, 1980, 04/03/1980, 3.4.1980, 3-APR-1980, April 3 1980.
    An impossible date of eight digits is kept: it is a mistyped one, and can be compared.
    """
    text = (re.split(r"[T ]\d{1,2}:", text)[0] if ":" in text else text).strip()
    parts = _iso(text) or _written(text) or _numeric(text, day_first)
    if parts is None:
        return ""
    year, month, day = parts
    if int(year) > today.year + 1 or year in {"0000", "9999"}:
        return ""
    try:
        born = date(int(year), int(month), int(day))
    except ValueError:
        born = None
    if born in PLACEHOLDER_DATES or (born is not None and born > today + timedelta(days=1)):
        return ""
    return year + month + day


def _iso(text: str) -> tuple[str, str, str] | None:
    found = _ISO.fullmatch(text)
    return (found[1], _told(found[2]), _told(found[3])) if found else None


def _told(part: str | None) -> str:
    return part if part and part != "00" else "??"


def _written(text: str) -> tuple[str, str, str] | None:
    """3-APR-1980, 3 April 1980, April 3, 1980, April 1980."""
    words = re.findall(r"[A-Za-z]+|\d+", text)
    months = [number for word in words if (number := _MONTHS.get(word[:3].casefold())) and word.isalpha()]
    numbers = [word for word in words if word.isdigit()]
    if len(months) != 1 or len(words) != len(numbers) + 1:
        return None
    years = [word for word in numbers if len(word) == 4]
    days = [word for word in numbers if len(word) < 3]
    if len(years) != 1 or len(days) > 1:
        return None
    return years[0], f"{months[0]:02}", f"{int(days[0]):02}" if days else "??"


def _numeric(text: str, day_first: bool) -> tuple[str, str, str] | None:
    """04/03/1980, 3.4.1980 (with points, days come first), 4/3/80."""
    found = re.fullmatch(r"(\d{1,2})([./ -])(\d{1,2})[./ -](\d{4}|\d{2})", text)
    if not found:
        return None
    one, other, year = int(found[1]), int(found[3]), found[4]
    if len(year) == 2:
        year = ("20" if int(year) <= 25 else "19") + year
    month, day = (other, one) if (day_first or found[2] == "." or one > 12) and other <= 12 else (one, other)
    return year, f"{month:02}", f"{day:02}"


def heaped_days_missing(column: Column) -> Column:
    """Dates of a file in which far too many people are born on the first of January keep only that day's year."""
    told = np.array([value[4:] if "?" not in value else "" for value in column.values], dtype=object)
    counts, first = column.counts, told == "0101"
    whole = counts[told != ""].sum()
    if not whole or counts[first].sum() < HEAPED * whole / 365.25 + 5:
        return column
    return mapped(column, lambda value: value[:4] + "????" if value[4:] == "0101" else value)


# The rest


def sex_of(text: str) -> str:
    """male, female, or "" for anything else (other and unknown tell nobody apart)."""
    word = text.casefold()
    return "male" if word in _MALE else "female" if word in _FEMALE else ""


def _street(columns: Mapping[str, Column]) -> dict[str, Column]:
    """House number and name of the street; the number may stand in its own column or before the name.

    The name has no blanks, which are often lost. `street` is both together.
    """
    street, number = columns.get("street"), columns.get("house_number")
    if street is None:
        return {}
    house, name = mapped_to_two(street, split_street)
    if number is not None:
        house = joined(mapped(number, text_of), house, lambda told, found: told or found)
    return {"house": house, "street_name": name, "street": _together(house, name)}


def _together(house: Column, name: Column) -> Column:
    """One code for a house and a street; the values are codes, too many to be spelt out."""
    width = len(name.values) + 1
    packed = (house.codes.astype(np.int64) + 1) * width + name.codes + 1
    packed[name.codes < 0] = 0
    distinct = sorted_distinct(packed)
    codes = np.searchsorted(distinct, packed) - (distinct[0] == 0 if len(distinct) else 0)
    values = [f"{house.values[at // width - 1] if at >= width else ''} {name.values[at % width - 1]}"
              for at in distinct.tolist() if at]  # fmt: skip
    return Column(codes.astype(np.int32), values)


_FURTHER: Mapping[str, Callable[[str], str]] = {
    "insurance": insurance_of,
    "mother_family": real_family,
    "guardian_given": real_first_name,
    "guardian_family": real_family,
    "multiple_birth": multiple_birth_of,
    "birth_order": birth_order_of,
}
"""What is read by one rule and compared as it is."""
