"""Nouns of deliveries."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from healthsync.errors import InvalidInput
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.standards.hl7v2 import codec_of
from healthsync.standards.maps.outbound import require_version

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
PIX_UPDATE = "ADT^A31"
"""The type of the PIX Update Notification (ITI TF-2 §3.10)."""
_LOOPBACK = ("localhost", "127.", "::1")


class DestinationState(StrEnum):
    """Whether messages are sent. What happens meanwhile waits in the queue."""

    ACTIVE = "active"
    PAUSED = "paused"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    """The partner has answered AA or CA."""
    DEAD = "dead"
    """The partner refused it for good, or it may not or cannot be sent; the reason says why. Retry puts it back."""


class Circuit(StrEnum):
    """What the hub thinks of a partner."""

    CLOSED = "closed"
    """It answers."""
    OPEN = "open"
    """It does not; nothing is sent before the wait is over."""
    HALF_OPEN = "half-open"
    """The wait is over: one message will try."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a connection to a partner. Paths are PEM files."""

    ca: str | None = None
    """Authorities that may have signed the partner's certificate; None: those of the system."""
    certificate: str | None = None
    """Our own certificate, for partners that want one; required where the partner connects to us."""
    key: str | None = None
    server_name: str | None = None
    """The name that the partner's certificate must have; None: its host."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A system that gets messages. Raises InvalidInput when its terms do not hold."""

    name: str
    host: str
    """Where the partner listens; with `listen` the address on which the hub waits for it."""
    port: int
    messages: tuple[str, ...]
    """Message types it gets, such as SIU^S12."""
    listen: bool = False
    """Reverse MLLP: the partner connects, the hub sends over its connection."""
    tls: Tls | None = None
    clear: bool = False
    """Without TLS on purpose: the network in between is protected otherwise (a VPN)."""
    version: str = "2.5.1"
    application: str = ""
    """MSH-5."""
    facility: str = ""
    """MSH-6."""
    max_connections: int = 1
    """With one, the whole queue is in order; with more, the messages about each patient."""
    connect_timeout_seconds: float = 10.0
    ack_timeout_seconds: float = 30.0
    max_attempts: int = 8
    """Answers AE or CE before a message becomes a dead letter."""
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 300.0
    role: str = "system"
    """Whose view of the records the partner gets (roles of the hub)."""
    purpose_of_use: str = "TREAT"
    organisation: str | None = None
    not_from: tuple[str, ...] = ()
    """Sources whose data is not sent, so that a partner does not get its own messages back."""
    domains: tuple[str, ...] = ()
    """Assigning authorities (OID, URI, namespace). With them ADT^A31 tells, in place of what a person said of himself,
    which numbers of these authorities are one person's, whenever that changes (IHE PIX Update Notification, ITI-10)."""
    character_encoding: str = "UNICODE UTF-8"
    """MSH-18 (HL7 table 0211). What it cannot write makes a dead letter."""
    processing_id: str = "P"
    """MSH-11, table 0103: production, training or debugging."""

    def __post_init__(self) -> None:
        for holds, told in self._rules():
            if not holds:
                raise InvalidInput(told, code="value")
        for message_type in self.messages:
            require_version(message_type, self.version)

    def _rules(self) -> list[tuple[bool, str]]:
        return [
            (bool(_NAME.fullmatch(self.name)), "a destination's name is a letter, then up to 63 of A-Z a-z 0-9 . _ -"),
            (bool(_HOST.fullmatch(self.host)), "the host is a name or an address, without a scheme"),
            (0 <= self.port <= 65535 and (self.port > 0 or self.listen), "the port is a number from 1 to 65535"),
            (bool(self.messages), "nothing says what it gets: name message types such as SIU^S12"),
            (
                self.tls is not None or self.clear or self.is_loopback,
                "without TLS patient data would cross the network in clear: give TLS, or say that the network between "
                "is protected (--clear, `clear`)",
            ),
            (not (self.listen and self.tls and not (self.tls.certificate and self.tls.key)),
             "with `listen` and TLS the hub shows its certificate: give certificate and key"),
            (not self.domains or PIX_UPDATE in self.messages, f"domains are of {PIX_UPDATE}: name it too"),
            (1 <= self.max_connections <= 64, "connections are 1 to 64"),
            (0.05 <= self.ack_timeout_seconds <= 3600, "the time to wait for an answer is 0.05 to 3600 seconds"),
            (0.05 <= self.connect_timeout_seconds <= 300, "the time to wait for a connection is 0.05 to 300 seconds"),
            (1 <= self.max_attempts <= 1000, "attempts are 1 to 1000"),
            (0 <= self.first_wait_seconds <= self.longest_wait_seconds <= 86400,
             "waits are 0 to 86400 seconds, the first no longer than the longest"),
            (codec_of(self.character_encoding) is not None,
             "the character encoding is one of HL7 table 0211, such as UNICODE UTF-8 or 8859/1"),
            (self.processing_id in ("P", "T", "D"), "the processing id (MSH-11) is P, T or D"),
            (all(len(text) <= 180 and text.isprintable() for text in (self.application, self.facility)),
             "application and facility (MSH-5, MSH-6) are texts of up to 180 characters"),
        ]  # fmt: skip

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return self.host == _LOOPBACK[0] or self.host.startswith(_LOOPBACK[1]) or self.host == _LOOPBACK[2]

    @property
    def is_in_order(self) -> bool:
        """Whether the whole queue is one lane."""
        return self.max_connections == 1

    @property
    def retry(self) -> RetryPolicy:
        """How long to wait."""
        return RetryPolicy(self.max_attempts, self.first_wait_seconds, self.longest_wait_seconds)


@dataclass(frozen=True, slots=True)
class Standing:
    """A destination as it stands."""

    destination: Destination
    state: DestinationState
    created_at: datetime
    failures: int = 0
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    reason: str | None = None

    def circuit(self, now: datetime) -> Circuit:
        """Whether anything is sent."""
        if not self.failures:
            return Circuit.CLOSED
        return Circuit.OPEN if self.retry_at is not None and self.retry_at > now else Circuit.HALF_OPEN


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a destination, and what died."""

    waiting: int = 0
    dead: int = 0
    oldest_at: datetime | None = None


class SealingKey(Protocol):
    """The data key of a destination's messages."""

    @property
    def version(self) -> int: ...

    @property
    def key(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a message tells: this version of this resource, to this destination, by this type of message.

    Of a PIX Update Notification `version` is the number of the event that it follows, as far as a version can hold it.
    """

    destination: str
    type: str
    subject: str
    version: int | None
    changed: str = "INSERT"
    retired: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that is ready to wait. Without payload it could not be built: `reason` says why, and it is dead."""

    occasion: Occasion
    control_id: str
    payload: bytes | None
    patient: str | None = None
    """Patient/id, for the lane."""
    patient_keys: tuple[int, ...] = ()
    reason_code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that may be sent now, unopened."""

    sequence: int
    destination: str
    control_id: str
    type: str
    subject: str
    lane: int | None
    begun: int
    attempts: int
    patient_keys: tuple[int, ...]
    payload: bytes
    key_version: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended. `detail` is what the partner wrote; it is sealed, for it may name a patient."""

    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None = None
    answer: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    detail: str = field(default="", repr=False)
    destroys: bool = False
    """The content goes: it may not leave any more."""


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as an operator sees it, without its content."""

    sequence: int
    destination: str
    control_id: str
    type: str
    subject: str
    state: DeliveryState
    queued_at: datetime
    settled_at: datetime | None
    next_attempt_at: datetime | None
    attempts: int
    answer: str | None
    reason_code: str | None
    reason: str | None
    built: bool
