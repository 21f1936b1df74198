"""In which order do decrypted resources come? For sort keys whose elements are sealed (search.html#sort)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import total_ordering
from typing import Any

from healthsync.domains.records.model import StoredResource
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.query import Sort


@total_ordering
@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource stands: its value for each key as text that sorts, None where it has none, and its number."""

    values: tuple[str | None, ...]
    descending: tuple[bool, ...]
    pid: int

    def texts(self) -> list[str]:
        """The values for a page token; an empty text stands for none."""
        return [value or "" for value in self.values]

    def __lt__(self, other: Place) -> bool:
        for mine, theirs, descending in zip(self.values, other.values, self.descending, strict=True):
            if mine != theirs:
                if mine is None or theirs is None:
                    return theirs is None  # what has no value comes last, whatever the direction
                return (mine > theirs) if descending else (mine < theirs)
        return self.pid < other.pid


def place(keys: Sequence[Sort], resource: dict[str, Any], row: StoredResource) -> Place:
    """The place of a decrypted resource."""
    values = search_parameters.index(resource)
    return Place(tuple(_value(key, row, values) for key in keys), tuple(key.descending for key in keys), row.pid)


def reopened(keys: Sequence[Sort], position: Sequence[Any]) -> Place:
    """The place that a page token tells."""
    return Place(tuple(value or None for value in position[:-1]), tuple(k.descending for k in keys), position[-1])


def _value(key: Sort, row: StoredResource, values: search_parameters.IndexValues) -> str | None:
    if key.name == "_id":
        return row.id
    if key.name == "_lastUpdated":
        return _instant(row.updated_at)
    assert key.parameter is not None
    paths = set(key.parameter.paths)
    found = [text for path, text in values.strings if path in paths]
    found += [code for path, _, code in values.tokens if path in paths]
    found += [target for path, target in [*values.references, *values.uris] if path in paths]
    found += [_instant(high if key.descending else low) for path, low, high in values.dates if path in paths]
    if not found:
        return None
    return max(found) if key.descending else min(found)


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
