"""Nouns of the repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec

from healthsync.domains.records.index import EMPTY, IndexRows


class SealedContent(Protocol):
    """The content of a resource as it is stored: opaque to this domain."""

    @property
    def packed(self) -> bytes:
        """JSON text of what may be read in a dump, packed (`standards.fhir.packing`)."""
        ...

    @property
    def identity(self) -> bytes | None:
        """One ciphertext."""
        ...

    @property
    def narrative(self) -> bytes | None:
        """Another."""
        ...

    @property
    def key_scope(self) -> str:
        """Whose key."""
        ...

    @property
    def key_version(self) -> int:
        """Which of them."""
        ...


class StoredResource(msgspec.Struct, frozen=True):
    """One version of a resource in store; fits `SealedContent` by shape."""

    pid: int
    resource_type: str
    id: str
    version: int
    updated_at: datetime
    patient_key: int | None
    deleted: bool
    digest: bytes
    packed: bytes
    identity: bytes | None
    narrative: bytes | None
    key_scope: str
    key_version: int
    permitted: bool = True
    """Whether the gate's condition holds for the row (reads by id learn of rows that they may not show)."""
    sort_value: list[str] | None = None
    """The sort keys of a search as text, which a page ends at."""
    begins: bool = False
    """Of a history: this version is the first, or brought back what was deleted."""

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.id}"

    @property
    def head(self) -> dict[str, Any]:
        """Version, digest, patient, state and `permitted`, by name."""
        names = ("pid", "resource_type", "id", "version", "updated_at", "patient_key", "deleted", "digest", "permitted")
        return {name: getattr(self, name) for name in names}


class Change(msgspec.Struct, frozen=True):
    """A new version of a resource. `replaces` is the version that it was made from, None for a new resource."""

    pid: int
    key: int
    resource_type: str
    id: str
    version: int
    updated_at: datetime
    patient_key: int | None
    digest: bytes
    content: SealedContent
    deleted: bool = False
    replaces: int | None = None
    index: IndexRows = EMPTY
    index_before: IndexRows = EMPTY


class Visibility(msgspec.Struct, frozen=True):
    """What the gate lets a requester see: a condition over `r` (table resource), with parameters from $1 on."""

    condition: str = "true"
    parameters: Sequence[Any] = ()


EVERYTHING = Visibility()
"""What the hub itself sees."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of search or history; `more` tells that rows follow the last one, `seen` how many hits were counted from
    its beginning on (the page and more), where somebody asked."""

    rows: list[StoredResource] = field(default_factory=list)
    more: bool = False
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a stream goes through: a type, and of it what changed since, belongs to patients, or was deleted."""

    resource_type: str
    since: datetime | None = None
    patient_keys: frozenset[int] | None = None
    of_patients_only: bool = False
    deleted: bool = False

    def includes(self, row: StoredResource) -> bool:
        """Whether a row that was found otherwise is wanted too."""
        in_time = self.since is None or row.updated_at >= self.since
        if self.patient_keys is not None:
            return in_time and row.patient_key in self.patient_keys
        return in_time and (row.patient_key is not None or not self.of_patients_only)
