"""Nouns of streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Kind(StrEnum):
    """What a handler can be told of."""

    HL7 = "hl7"
    """An HL7 v2 message that was processed or died; its name is MSH-9."""
    EVENT = "event"
    """A fact about a resource, or an alert."""
    TOPIC = "topic"
    """Something that was published under a topic of an application's own."""


@dataclass(frozen=True, slots=True)
class Want:
    """A kind and a pattern of names in which `*` stands for anything: `hl7:ORU^*`."""

    kind: Kind
    pattern: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler that an application has: its name in the application, and what it wants."""

    name: str
    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, as handlers are told of it."""

    position: int
    kind: Kind
    name: str
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    lanes: tuple[int, ...] = ()
    message_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery in the hands of an instance, until it is settled or the lease runs out."""

    id: int
    handler: str
    kind: Kind
    name: str
    subject: str
    data: dict[str, Any]
    occurred_at: datetime
    attempts: int
    """Attempts begun, this one included."""
    message_sequence: int | None
    lease: str


@dataclass(frozen=True, slots=True)
class Settling:
    """How a handling ended: done, or failed for a reason that is a code."""

    id: int
    lease: str
    failed_for: str | None = None


@dataclass(frozen=True, slots=True)
class HandlerState:
    """A handler as its operator sees it."""

    id: int
    client_id: str
    application: str
    name: str
    wants: tuple[str, ...]
    waiting: int
    leased: int
    dead: int
    oldest_at: datetime | None
    """When the oldest fact that waits occurred."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery whose handler failed too often."""

    id: int
    client_id: str
    application: str
    handler: str
    kind: Kind
    name: str
    subject: str
    occurred_at: datetime
    settled_at: datetime
    attempts: int
    reason_code: str


class SealingKey(Protocol):
    """A data key."""

    @property
    def version(self) -> int: ...

    @property
    def key(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """What a handler answered to a message, before it is sealed."""

    delivery_id: int
    message_sequence: int
    source: str
    code: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it lies in store, unopened."""

    delivery_id: int
    message_sequence: int
    source: str
    code: str
    sealed: bytes
    key_version: int
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Publication:
    """Something published, unopened."""

    position: int
    topic: str
    client_id: str
    published_at: datetime
    patients: tuple[str, ...]
    sealed: bytes
    key_version: int
