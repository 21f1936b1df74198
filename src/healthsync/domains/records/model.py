"""Nouns of the repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from healthsync.domains.records.index import EMPTY, IndexRows


class SealedContent(Protocol):
    """The content of a resource as it is stored: opaque to this domain."""

    @property
    def clear(self) -> str:
        """JSON text of what may be read in a dump."""
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


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One version of a resource in store; fits `SealedContent` by shape."""

    pid: int
    resource_type: str
    id: str
    version: int
    updated_at: datetime
    patient_key: int | None
    deleted: bool
    digest: bytes
    clear: str
    identity: bytes | None
    narrative: bytes | None
    key_scope: str
    key_version: int
    permitted: bool = True
    """Whether the gate's condition holds for the row (reads by id learn of rows that they may not show)."""
    sort_value: Any = None
    """The sort key of a search, which a page ends at."""

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of a resource. `replaces` is the version that it was made from, None for a new resource."""

    pid: int
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


@dataclass(frozen=True, slots=True)
class Visibility:
    """What the gate lets a requester see: a condition over `r` (table resource), with parameters from $1 on."""

    condition: str = "true"
    parameters: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of search or history; `more` tells that rows follow the last one."""

    rows: list[StoredResource] = field(default_factory=list)
    more: bool = False
