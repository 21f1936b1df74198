"""Index rows of a resource, and the keyed tokens that stand for sealed values.

Tokens are 64-bit and keyed, so a dump gives no code, reference or identifier away. What is near-unique (identifiers,
phone numbers) has full tokens; names, addresses and birth dates have truncated ones that many values share, and hits
are filtered after decryption (`docs/security/leakage.md` has the measurements).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir import search_parameters

PERSON_TYPES = frozenset({"Patient", "RelatedPerson", "Person", "Practitioner"})
CLEAR_STRING_TYPES = frozenset(
    {"Organization", "Location", "PractitionerRole", "ValueSet", "CodeSystem", "ConceptMap", "StructureDefinition",
     "SearchParameter"}
)  # fmt: skip
"""Types whose string parameters read elements that the sealing policy leaves clear."""

NAME_BITS, PREFIX_BITS = 13, 10
DAY_BITS, MONTH_BITS, YEAR_BITS = 13, 10, 8
PREFIX_LENGTHS = (5, 3)
"""Prefixes that have tokens, longest first; shorter ones would give too much away."""

INDEXED_CHARACTERS = 200
"""Of a clear string; the rest is looked at after the index."""

_KEPT_TOKENS = 4_096
_SEALED_DATES = frozenset({"birthdate", "death-date"})


@dataclass(frozen=True, slots=True)
class IndexRows:
    """The rows of one version of a resource in the three index tables."""

    tokens: frozenset[int] = field(default_factory=frozenset)
    strings: frozenset[tuple[int, str]] = field(default_factory=frozenset)
    dates: frozenset[tuple[int, datetime, datetime]] = field(default_factory=frozenset)


EMPTY = IndexRows()


class RecordIndex:
    """Makes index rows, and the tokens that a search looks for."""

    def __init__(self, blind_index: BlindIndex) -> None:
        self._blind = blind_index
        self._identity_hashes: dict[str, int] = {}
        # Codes, and the patient of a message, recur: most tokens of a laboratory result were made a moment ago.
        self._coded = lru_cache(_KEPT_TOKENS)(self._token_pair)
        self.reference = lru_cache(_KEPT_TOKENS)(self._reference)

    def rows(self, resource: dict[str, Any]) -> IndexRows:
        """All index rows of a resource."""
        resource_type = resource["resourceType"]
        values = search_parameters.index(resource)
        tokens: set[int] = set()
        for parameter, system, code in values.tokens:
            tokens.update(self._coded(resource_type, parameter, system or "", code))
        for parameter, target in values.references:
            tokens.add(self.reference(resource_type, parameter, target))
        for parameter, uri in values.uris:
            tokens.add(self.token(resource_type, parameter, None, uri))
        strings: set[tuple[int, str]] = set()
        for parameter, text in values.strings:
            if self.string_is_sealed(resource_type):
                tokens.update(self._name_tokens(resource_type, parameter, text))
            else:
                strings.add((self.parameter(resource_type, parameter), text[:INDEXED_CHARACTERS]))
        dates: set[tuple[int, datetime, datetime]] = set()
        for parameter, low, high in values.dates:
            if self.date_is_sealed(resource_type, parameter):
                tokens.update(self._day_tokens(resource_type, parameter, low, high))
            else:
                dates.add((self.parameter(resource_type, parameter), low, high))
        return IndexRows(frozenset(tokens), frozenset(strings), frozenset(dates))

    @staticmethod
    def string_is_sealed(resource_type: str) -> bool:
        """Whether the type's string parameters read sealed elements."""
        return resource_type not in CLEAR_STRING_TYPES

    @staticmethod
    def date_is_sealed(resource_type: str, parameter: str) -> bool:
        """Whether a date parameter reads a sealed element."""
        return resource_type in PERSON_TYPES and parameter in _SEALED_DATES

    def parameter(self, resource_type: str, parameter: str) -> int:
        """The hash that strings and dates of one parameter share."""
        name = f"{resource_type}.{parameter}"
        known = self._identity_hashes.get(name)
        if known is None:
            known = self._identity_hashes[name] = self._blind.token("parameter", name)
        return known

    def token(self, resource_type: str, parameter: str, system: str | None, code: str) -> int:
        """`system|code`; system "" means a code that has none, None any system."""
        kind = "any" if system is None else f"in {system}"
        return self._blind.token("token", f"{resource_type}.{parameter}\x1f{kind}\x1f{code}")

    def _token_pair(self, resource_type: str, parameter: str, system: str, code: str) -> tuple[int, int]:
        """A code is found with its system and without."""
        return self.token(resource_type, parameter, system, code), self.token(resource_type, parameter, None, code)

    def _reference(self, resource_type: str, parameter: str, target: str) -> int:
        """A reference to `Type/id` or to a URL."""
        return self._blind.token("reference", f"{resource_type}.{parameter}\x1f{target}")

    def name(self, resource_type: str, parameter: str, text: str) -> int:
        """A whole sealed string."""
        return self._blind.truncated("string", f"{resource_type}.{parameter}\x1f{text}", NAME_BITS)

    def prefix(self, resource_type: str, parameter: str, text: str) -> int | None:
        """The longest indexed prefix of `text`, None when it is shorter than all."""
        for length in PREFIX_LENGTHS:
            if len(text) >= length:
                return self._blind.truncated(
                    f"prefix{length}", f"{resource_type}.{parameter}\x1f{text[:length]}", PREFIX_BITS
                )
        return None

    def day(self, resource_type: str, parameter: str, text: str) -> int:
        """A sealed date by its text: YYYY, YYYY-MM or YYYY-MM-DD."""
        bits = {4: YEAR_BITS, 7: MONTH_BITS}.get(len(text), DAY_BITS)
        return self._blind.truncated("date", f"{resource_type}.{parameter}\x1f{text}", bits)

    def _name_tokens(self, resource_type: str, parameter: str, text: str) -> set[int]:
        tokens = {self.name(resource_type, parameter, text)}
        for length in PREFIX_LENGTHS:
            if len(text) >= length and (prefix := self.prefix(resource_type, parameter, text[:length])) is not None:
                tokens.add(prefix)
        return tokens

    def _day_tokens(self, resource_type: str, parameter: str, low: datetime, high: datetime) -> set[int]:
        """Year, month and day as far as the date was written."""
        texts = [f"{low.year:04}"]
        span = (high - low).days
        if span <= 31:
            texts.append(f"{low.year:04}-{low.month:02}")
        if span <= 1:
            texts.append(f"{low.year:04}-{low.month:02}-{low.day:02}")
        return {self.day(resource_type, parameter, text) for text in texts}
