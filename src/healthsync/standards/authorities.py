"""Assigning authorities that go by several names: a namespace and a universal id of HL7 v2 (HD), URIs of FHIR.

HL7 v2 lets a sender name an authority by HD.1, by HD.2 and HD.3, or by both, and holds them for the same (v2.5.1
§2.A.36); FHIR knows a URI. Which names mean one authority only an operator can say: a namespace is unique within the
system that made it and nowhere else, so that what one sender writes side by side says nothing of another's. Nothing
here is learned, therefore, and a universal id always outranks the namespace beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

R = TypeVar("R", bound=Mapping[str, Any])

EVERYBODY = ""
MOST_KEYS = 64
"""Of what one business key may have been."""


@dataclass(frozen=True, slots=True)
class AssigningAuthority:
    """One authority.

    system     the URI that its numbers are filed, compared and told under
    namespace  what HL7 v2 calls it in answers (HD.1); "" for none
    names      all URIs that mean it; a namespace is `urn:healthsync:authority:…`
    partners   whose words these names are; none: everybody's
    """

    system: str
    namespace: str
    names: tuple[str, ...]
    partners: tuple[str, ...] = ()


class Authorities:
    """The table of an operator; empty, every name is an authority of its own."""

    def __init__(self, rows: Sequence[AssigningAuthority] = ()) -> None:
        self.rows = tuple(rows)
        self._by_name = {
            (partner, name): row for row in rows for partner in row.partners or (EVERYBODY,) for name in row.names
        }

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def version(self) -> str:
        """Changes with what the table says; "" of an empty one."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16] if self.rows else ""

    def row(self, name: str, source: str = EVERYBODY) -> AssigningAuthority | None:
        """The authority that a URI means in the words of `source`."""
        return self._by_name.get((source, name)) or self._by_name.get((EVERYBODY, name))

    def system(self, name: str, source: str = EVERYBODY) -> str:
        """The one URI of the authority that a URI means."""
        row = self.row(name, source) if self.rows else None
        return name if row is None else row.system

    def names(self, name: str) -> tuple[str, ...]:
        """All URIs that mean the same authority as this one in everybody's words, the one first."""
        row = self._by_name.get((EVERYBODY, name)) if self.rows else None
        return (name,) if row is None else tuple(dict.fromkeys((row.system, *row.names)))

    def other_keys(self, key: str) -> list[str]:
        """What a business key was made of before the table said that its authority has other names."""
        keys = [key]
        for row in self.rows:
            if row.system in key:
                keys += [each.replace(row.system, name) for each in keys for name in row.names if name != row.system]
        return keys[1:MOST_KEYS]

    def one_named(self, resource: R, source: str = EVERYBODY) -> R:
        """A resource whose numbers name each authority by its one URI, each number once; nothing is changed in it."""
        numbers = resource.get("identifier") if self.rows else None
        if not isinstance(numbers, list) or all(self._is_so_named(number, source) for number in numbers):
            return resource
        return cast("R", {**resource, "identifier": self.numbers_one_named(numbers, source)})

    def numbers_one_named(self, numbers: Iterable[Mapping[str, Any]], source: str = EVERYBODY) -> list[Any]:
        """The same for numbers alone."""
        found: dict[tuple[str, Any, Any], Any] = {}
        for number in numbers:
            told = self._named(number, source)
            found.setdefault((str(told.get("system")), told.get("value"), repr(told.get("type"))), told)
        return list(found.values())

    def _is_so_named(self, number: Any, source: str) -> bool:
        row = self._row_of(number, source)
        return row is None or (number["system"] == row.system and (not row.namespace or "assigner" in number))

    def _named(self, number: Mapping[str, Any], source: str) -> Mapping[str, Any]:
        row = self._row_of(number, source)
        if row is None:
            return number
        told = {**number, "system": row.system}
        return {**told, "assigner": {"display": row.namespace}} if row.namespace and "assigner" not in told else told

    def _row_of(self, number: Any, source: str) -> AssigningAuthority | None:
        system = number.get("system") if isinstance(number, dict) else None
        return self.row(system, source) if isinstance(system, str) else None


NO_AUTHORITIES = Authorities()
