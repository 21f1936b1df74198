"""Nouns of subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """http://hl7.org/fhir/subscription-status"""

    REQUESTED = "requested"
    """Asked for, and the channel not yet proved."""

    ACTIVE = "active"
    """Changes are told."""

    ERROR = "error"
    """The channel failed too often; changes wait until the subscriber asks again."""

    OFF = "off"
    """Nothing is told and nothing waits."""


class ChannelKind(StrEnum):
    """http://hl7.org/fhir/subscription-channel-type, as far as this hub sends."""

    REST_HOOK = "rest-hook"
    WEBSOCKET = "websocket"
    EMAIL = "email"


class Content(StrEnum):
    """backport-payload-content: how much of the resources a topic's notification carries."""

    EMPTY = "empty"
    ID_ONLY = "id-only"
    FULL_RESOURCE = "full-resource"


@dataclass(frozen=True, slots=True)
class Channel:
    """How the subscriber is told. `headers` may carry secrets of the receiver."""

    kind: ChannelKind
    endpoint: str | None
    headers: tuple[tuple[str, str], ...]
    payload: str | None
    """A MIME type; None tells of a change and nothing more."""
    content: Content | None
    """None for R4 criteria, where `payload` alone decides."""
    heartbeat_seconds: int | None = None
    timeout_seconds: int | None = None
    max_count: int = 1


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who asked. `registered` is a client with an API key, whose roles are asked for anew each time; the roles and
    scopes of a signed token are those it had."""

    client_id: str
    roles: tuple[str, ...]
    purpose_of_use: str
    registered: bool
    user: str | None = None
    organisation: str | None = None
    scopes: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a Subscription asks for. `criteria` are queries of which each must hold (`code=718-7&status=final`)."""

    resource_type: str
    event_names: tuple[str, ...]
    criteria: tuple[str, ...]
    channel: Channel
    subscriber: Subscriber
    topic: str | None = None

    @property
    def is_topic_based(self) -> bool:
        """Whether notifications are Bundles with a status (the backport guide)."""
        return self.topic is not None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription and how far it has come."""

    id: str
    status: Status
    terms: Terms
    attempts: int
    events: int
    ends_at: datetime | None
    told_at: datetime | None
    requested_at: datetime
    reason: str | None
    lease: str | None = None

    @property
    def reference(self) -> str:
        """`Subscription/id`."""
        return f"Subscription/{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a resource that a subscription has yet to look at."""

    sequence: int
    resource_id: str
    version: int
    created: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """A change that was found to concern the subscription, and its number."""

    number: int
    resource_id: str
    version: int
    created: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """How a turn ended: the status and, where it waits, until when."""

    status: Status
    attempts: int
    next_attempt_at: datetime
    reason: str | None = None
    told: bool = False
