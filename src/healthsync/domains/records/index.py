"""Index rows of a resource, and the keyed tokens that stand for sealed values.

Tokens are keyed, so a dump gives no code, reference or identifier away. What is near-unique (identifiers, phone
numbers) has full tokens; names, addresses and birth dates have truncated ones that many values share, and hits are
filtered after decryption (`docs/security/leakage.md` has the measurements). A value stands once, under its path
(`standards.fhir.search_parameters`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import msgspec

from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards import ucum
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.index_values import UCUM, Bound, IndexValues
from healthsync.standards.fhir.search_parameters import Parameter, is_official_path, until_used
from healthsync.standards.fhir.words import content_texts, words, words_of

PERSON_TYPES = frozenset({"Patient", "RelatedPerson", "Person", "Practitioner"})
CLEAR_STRING_TYPES = frozenset(
    {"Organization", "Location", "PractitionerRole", "ValueSet", "CodeSystem", "ConceptMap", "StructureDefinition",
     "SearchParameter"}
)  # fmt: skip
"""Types whose string parameters read elements that the sealing policy leaves clear."""

NAME_BITS = (10, 2, 1)
"""Of a name: what its first three letters have, what the first five have more, what the whole has more."""
SOUND_BITS, WORD_BITS = 6, 16
DAY_BITS, MONTH_BITS, YEAR_BITS = 13, 10, 8
YEARS = range(1850, 2151)
"""Years of sealed dates that have tokens of their own."""
PREFIX_LENGTHS = (5, 3)
"""Prefixes that have tokens, longest first; shorter ones would give too much away."""

INDEXED_CHARACTERS = 200
"""Of a clear string; the rest is looked at after the index."""

INDEXED_WORDS = 2_000
"""Of one resource: a longer text is found by its first words."""

RECURRING_CHARACTERS = 200
"""Displays recur, and the same text has the same tokens. Longer texts are not remembered."""

_KEPT_TOKENS = 8_192
_SEALED_DATES = frozenset({"birthDate", "deceasedDateTime"})
_LOGICAL = ":identifier"
_INFINITY = float("inf")

TokenRow = tuple[int, int]
"""(hash, system)"""


class IndexRows(msgspec.Struct, frozen=True):
    """The rows of one version of a resource in the index tables, without its internal number."""

    tokens: frozenset[TokenRow] = frozenset()
    references: frozenset[tuple[int, int]] = frozenset()
    strings: frozenset[tuple[int, str]] = frozenset()
    dates: frozenset[tuple[int, datetime, datetime]] = frozenset()
    numbers: frozenset[tuple[int, float, float]] = frozenset()
    words: tuple[int, ...] = ()
    present: bytes = b""
    revision: int = 0
    """Of the search parameters that they are rows of."""


EMPTY = IndexRows()


class RecordIndex:
    """Makes index rows, and the tokens that a search looks for. `own_base` is the address of this FHIR server."""

    def __init__(self, blind_index: BlindIndex, own_base: str = "") -> None:
        self._blind = blind_index
        self._own_base = own_base.rstrip("/") + "/" if own_base else ""
        # Codes, and the patient of a message, recur: most tokens of a laboratory result were made a moment ago.
        self.token = lru_cache(_KEPT_TOKENS)(self._token)
        self.key = lru_cache(_KEPT_TOKENS)(self._key)
        self.path = cache(self._path)
        self.parameter = cache(self._parameter)
        self.date_path = cache(self._date_path)
        self.number = lru_cache(_KEPT_TOKENS)(self._number)
        self.day = lru_cache(_KEPT_TOKENS)(self._day)
        self.pair = lru_cache(_KEPT_TOKENS)(self._pair)
        self._nested = lru_cache(_KEPT_TOKENS)(self._nested_tokens)
        # Names fall into few buckets, so that a name that is new costs three digests.
        self._nest = lru_cache(_KEPT_TOKENS)(self._nested_tokens_of)
        self._word_of_name = lru_cache(_KEPT_TOKENS)(self._word_token_of)
        self._word = lru_cache(_KEPT_TOKENS)(self._word_token)
        self._text = lru_cache(_KEPT_TOKENS)(self._text_words)
        self.system = lru_cache(_KEPT_TOKENS)(self._system)

    def rows(self, resource: dict[str, Any], *, leaving: bool = False) -> IndexRows:
        """All index rows of a resource; with `leaving` those too under which a replaced version may still be found."""
        kind = resource["resourceType"]
        values = search_parameters.index(resource, leaving=leaving, once=False)
        tokens = {(self.token(kind, path, code), self.system(system)) for path, system, code in values.tokens}
        tokens.update((self.token(kind, path, uri), 0) for path, uri in values.uris)
        strings: set[tuple[int, str]] = set()
        for path, text in values.strings:
            if path.endswith("~"):
                tokens.add((self.sound(kind, path, text), 0))
            elif self.string_is_sealed(kind, path):
                tokens.update((hash_, 0) for hash_ in self._name_tokens(kind, path, text))
            else:
                strings.add((self.parameter(kind, path), text[:INDEXED_CHARACTERS]))
        dates: set[tuple[int, datetime, datetime]] = set()
        for path, low, high in values.dates:
            if self.date_is_sealed(kind, path):
                tokens.update((hash_, 0) for hash_ in self._day_tokens(kind, path, low, high))
            else:
                dates.add((self.date_path(kind, path), low, high))
        words = self._words(resource)
        return IndexRows(
            tokens=frozenset(tokens),
            references=frozenset([(self.key(target), self.path(kind, path)) for path, target in values.references]),
            strings=frozenset(strings),
            dates=frozenset(dates),
            numbers=frozenset((*self._number_rows(kind, values), *self._pair_rows(resource, values))),
            words=tuple(sorted(words if len(words) <= INDEXED_WORDS else list(words)[:INDEXED_WORDS])),
            present=present(kind, values).to_bytes(size_of_present(kind), "little"),
            revision=search_parameters.revision(),
        )

    @staticmethod
    def are_all(rows: IndexRows, resource_type: str) -> bool:
        """Whether rows made earlier are still all that a version may be found under."""
        return rows.revision == search_parameters.revision() and search_parameters.none_leaving(resource_type)

    @staticmethod
    @until_used
    def string_is_sealed(resource_type: str, path: str) -> bool:
        """Whether the strings under a path are of a sealed element, as those of added parameters may always be."""
        return resource_type not in CLEAR_STRING_TYPES or not is_official_path(resource_type, "string", path)

    @staticmethod
    @until_used
    def date_is_sealed(resource_type: str, path: str) -> bool:
        """Whether the dates under a path are of a sealed element, as those of added parameters may always be."""
        if resource_type in PERSON_TYPES and path in _SEALED_DATES:
            return True
        return not is_official_path(resource_type, "date", path)

    # --- keyed numbers ---

    def _key(self, target: str) -> int:
        """The key of `Type/id`, or of a URL that a reference points at."""
        if self._own_base and target.startswith(self._own_base):
            target = target.removeprefix(self._own_base)
        return self._blind.token("resource", target)

    def _path(self, resource_type: str, path: str) -> int:
        """The 32-bit number of a path that references stand under."""
        return _narrow(self._blind.token("path", f"{resource_type}.{path}"))

    def _parameter(self, resource_type: str, path: str) -> int:
        """The hash that strings and plain numbers of one path share."""
        return self._blind.token("parameter", f"{resource_type}.{path}")

    def _date_path(self, resource_type: str, path: str) -> int:
        """The 32-bit number of a path that dates stand under."""
        return _narrow(self.parameter(resource_type, path))

    def _system(self, system: str | None) -> int:
        """The 32-bit number of a code system; 0 for a code that has none."""
        return _narrow(self._blind.token("system", system)) or 1 if system else 0

    def _token(self, resource_type: str, path: str, code: str) -> int:
        """A code, identifier or URI under a path."""
        return self._blind.token("token", f"{resource_type}.{path}\x1f{code}")

    def _number(self, resource_type: str, path: str, kind: str, unit: str) -> int:
        """Quantities of one unit: `kind` is ucum (a canonical unit), in (`system|code`) or unit (as printed)."""
        return self._blind.token("number", f"{resource_type}.{path}\x1f{kind}\x1f{unit}")

    def _pair(self, resource_type: str, place: str, code: str) -> int:
        """Amounts that stand in an element beside a code."""
        return self._blind.token("pair", f"{resource_type}.{place}\x1f{code}")

    def name(self, resource_type: str, path: str, text: str) -> int:
        """A whole sealed string."""
        return self._blind.token("string", f"{resource_type}.{path}\x1f{self._nested(text)[2]}")

    def sound(self, resource_type: str, path: str, sound: str) -> int:
        """How a word of a name sounds."""
        return self._blind.truncated("sound", f"{resource_type}.{path}\x1f{sound}", SOUND_BITS)

    def prefix(self, resource_type: str, path: str, text: str) -> int | None:
        """The longest indexed prefix of `text`, None when it is shorter than all."""
        for length, nested in zip(PREFIX_LENGTHS, (1, 0), strict=True):
            if len(text) >= length:
                return self._blind.token(f"prefix{length}", f"{resource_type}.{path}\x1f{self._nested(text)[nested]}")
        return None

    def _day(self, resource_type: str, path: str, text: str) -> int:
        """A sealed date by its text: YYYY, YYYY-MM or YYYY-MM-DD. Years beyond `YEARS` count as the nearest of them."""
        if len(text) == 4:
            text = f"{min(max(int(text), YEARS[0]), YEARS[-1]):04}"
        bits = {4: YEAR_BITS, 7: MONTH_BITS}.get(len(text), DAY_BITS)
        return self._blind.truncated("date", f"{resource_type}.{path}\x1f{text}", bits)

    def words(self, texts: Iterable[str]) -> list[list[int]]:
        """For each word of some texts the tokens that it may have, depending on where it stands."""
        distinct = dict.fromkeys(word for text in texts for word in words(text))
        return [sorted({self._word(word, True), self._word(word, False)}) for word in distinct]

    # --- rows of one kind ---

    def _name_tokens(self, resource_type: str, path: str, text: str) -> Iterator[int]:
        yield self.name(resource_type, path, text)
        for length in PREFIX_LENGTHS:
            if len(text) >= length and (prefix := self.prefix(resource_type, path, text[:length])) is not None:
                yield prefix

    def _day_tokens(self, resource_type: str, path: str, low: datetime, high: datetime) -> Iterator[int]:
        """Year, month and day as far as the date was written."""
        span = (high - low).days
        yield self.day(resource_type, path, f"{low.year:04}")
        if span <= 31:
            yield self.day(resource_type, path, f"{low.year:04}-{low.month:02}")
        if span <= 1:
            yield self.day(resource_type, path, f"{low.year:04}-{low.month:02}-{low.day:02}")

    def _number_rows(self, resource_type: str, values: IndexValues) -> Iterator[tuple[int, float, float]]:
        for path, low, high in values.numbers:
            yield self.parameter(resource_type, path), _least(low), _most(high)
        for path, low, high, system, code, unit in values.quantities:
            yield self.parameter(resource_type, path), _least(low), _most(high)
            kind, name, change = unit_of(system, code, unit)
            if kind:
                yield self.number(resource_type, path, kind, name), _least(change(low)), _most(change(high))
        for path, low, high, code in values.translations:
            kind, name, change = unit_of(UCUM, code, None)
            yield self.number(resource_type, path, kind, name), _least(change(low)), _most(change(high))

    def _pair_rows(self, resource: dict[str, Any], values: IndexValues) -> Iterator[tuple[int, float, float]]:
        for place, code, low, high in search_parameters.pairs(resource, values):
            yield self.pair(resource["resourceType"], place, code), _least(low), _most(high)

    def _words(self, resource: dict[str, Any]) -> dict[int, None]:
        """The tokens of the words of its texts, in their order."""
        found: dict[int, None] = {}
        for names, is_narrative, text in content_texts(resource):
            of_text = self._text if len(text) <= RECURRING_CHARACTERS else self._text_words
            found |= of_text(names, is_narrative, text)
        return found

    def _text_words(self, names: bool, is_narrative: bool, text: str) -> dict[int, None]:
        """The tokens of the words of a text, each once and in their order. Nobody may change the answer."""
        return dict.fromkeys(self._word(word, names) for word in dict.fromkeys(words_of(is_narrative, text)))

    def _word_token(self, word: str, names: bool) -> int:
        """A word that may name a person tells no more than the tokens of the name do."""
        if names:
            return self._word_of_name(self._name_buckets(word))
        return _word_number(self._blind.truncated("word", word, WORD_BITS))

    def _nested_tokens(self, text: str) -> tuple[int, int, int]:
        """Truncated tokens of the first three letters, the first five and the whole. Each is made of the one before and
        a few bits more: who holds all three knows no more of a name than the last one tells."""
        return self._nest(self._name_buckets(text))

    def _name_buckets(self, text: str) -> tuple[int, int, int]:
        bucket, (first, more, all_) = self._blind.bucket, NAME_BITS
        return (
            bucket("three letters", text[:3], first),
            bucket("five letters", text[:5], more),
            bucket("whole name", text, all_),
        )

    def _nested_tokens_of(self, buckets: tuple[int, int, int]) -> tuple[int, int, int]:
        three, five, whole = map(self._blind.of_bucket, ("three letters", "five letters", "whole name"), buckets)
        begun = self._blind.token("nested", f"{three}.{five}")
        return three, begun, self._blind.token("nested", f"{begun}.{whole}")

    def _word_token_of(self, buckets: tuple[int, int, int]) -> int:
        return _word_number(self._blind.token("naming word", str(self._nest(buckets)[2])))


@lru_cache(1_024)
def unit_of(system: str | None, code: str | None, unit: str | None) -> tuple[str, str, Callable[[Bound], Bound]]:
    """Under which unit a quantity is indexed: (kind, name, change of its value); kind "" for none."""
    if system == UCUM and code is not None:
        canonical = ucum.canonical(Decimal(1), code)
        if canonical is not None:
            return "ucum", canonical[1], lambda value: _canonical(value, code)
    if code is not None:
        return "in", f"{system or ''}|{code}", lambda value: value
    if unit is not None:
        return "unit", unit, lambda value: value
    return "", "", lambda value: value


def _canonical(value: Bound, code: str) -> Bound:
    if value is None:
        return None
    found = ucum.canonical(value, code)
    return found[0] if found is not None else value


@until_used
def parameter_numbers(resource_type: str) -> dict[str, int]:
    """The bit of each search parameter in `resource.present`: its place among the official ones, by name; behind them
    an added one has its own number."""
    known = search_parameters.definitions(resource_type)
    official = sorted(name for name, parameter in known.items() if parameter.number is None)
    added = {name: len(official) + each.number for name, each in known.items() if each.number is not None}
    return {name: place for place, name in enumerate(official)} | added


@until_used
def size_of_present(resource_type: str) -> int:
    """The bytes of `resource.present`."""
    return max(parameter_numbers(resource_type).values()) // 8 + 1


@until_used
def _bits_under(resource_type: str, path: str) -> int:
    """The bits of the parameters that have a path. A logical reference is a value of its parameter too."""
    found = sum(1 << number for number, each in _numbered(resource_type, path) if each.type != "reference")
    return found | _bits_of_reference(resource_type, path.removesuffix(_LOGICAL)) if path.endswith(_LOGICAL) else found


@until_used
def _bits_of_reference(resource_type: str, path: str, target: str | None = None) -> int:
    """The bits of the reference parameters that have a path, and allow for a type of target where one is given."""
    return sum(
        1 << number
        for number, each in _numbered(resource_type, path)
        if each.type == "reference" and (target is None or not each.targets or target in each.targets)
    )


def _numbered(resource_type: str, path: str) -> Iterator[tuple[int, Parameter]]:
    numbers = parameter_numbers(resource_type)
    for name, parameter in search_parameters.definitions(resource_type).items():
        if path in parameter.paths:
            yield numbers[name], parameter


def present(resource_type: str, values: IndexValues) -> int:
    """The bits of the parameters that have a value; in bytes the lowest bit is the first, as `get_bit` counts."""
    set_ = 0
    several = (values.tokens, values.texts, values.strings, values.dates, values.uris, values.numbers,
               values.quantities, values.positions)  # fmt: skip
    for path in {entry[0] for entries in several for entry in entries}:
        set_ |= _bits_under(resource_type, path)
    for path, _, kind in values.tokens if values.local or values.inline else ():
        if path.endswith(search_parameters.CONTAINED):  # so is what is contained
            set_ |= _bits_of_reference(resource_type, path.removesuffix(search_parameters.CONTAINED), kind)
    known = resource_types()
    for path, target in values.references:
        kind = target.rpartition("/")[0].rpartition("/")[2]
        set_ |= _bits_of_reference(resource_type, path, kind if kind in known else None)
    return set_


def _narrow(token: int) -> int:
    """The upper 32 bits of a token, as PostgreSQL's int."""
    return token >> 32


def _word_number(token: int) -> int:
    """The upper 16 bits of a token, as PostgreSQL's smallint."""
    return token >> 48


def _least(value: Bound) -> float:
    return -_INFINITY if value is None else float(value)


def _most(value: Bound) -> float:
    return _INFINITY if value is None else float(value)
