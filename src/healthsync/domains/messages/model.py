"""Nouns of messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Protocol


class MessageState(StrEnum):
    """Where a message stands."""

    ACCEPTED = "accepted"
    """Committed and acknowledged, waiting to be processed or for its next attempt."""
    PROCESSED = "processed"
    DEAD = "dead"
    """It cannot be processed, or could not be accepted; its reason says why. Replay tries it again, in its place."""
    REPLACED = "replaced"
    """A dead letter in whose place an edited copy was processed."""


class MessageWarning(StrEnum):
    """What an operator should know of a message that was accepted all the same."""

    CONTROL_ID_REUSED = "control-id-reused"
    """The partner used this MSH-10 before, with other content (HL7 v2.5.1 §2.15.9.10 wants it unique)."""
    CONTROL_ID_MISSING = "control-id-missing"
    BATCH_MISCOUNTED = "batch-miscounted"
    """It came in a batch or file whose BTS-1 or FTS-1 tells another number than came (§2.15.3, §2.15.7)."""


class SealingKey(Protocol):
    """The data key of a partner's messages."""

    @property
    def version(self) -> int: ...

    @property
    def key(self) -> bytes: ...


def day_of(received_at: datetime) -> date:
    """The day (UTC) under which bytes that came in then lie in the raw zone."""
    return received_at.astimezone(UTC).date()


def key_scope(source: str, day: date) -> str:
    """The scope of the data key of what a source sent on a day: it is destroyed with the day."""
    return f"messages/{source}/{day}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came in, with everything about it that is decided before it is stored."""

    source: str
    received_at: datetime
    control_id: str
    """MSH-10 as sent, still escaped."""
    type: str
    """MSH-9 code and trigger: `ADT^A01`."""
    raw: bytes
    """The bytes as received; for a frame that was too large its beginning."""
    size_bytes: int
    """Of the whole frame."""
    lanes: tuple[int, ...]
    acknowledgement: bytes | None
    """The answer that leaves after the commit; None when the sender wants none."""
    warnings: tuple[str, ...] = ()
    reason_code: str | None = None
    """Set when it could not be accepted: it is kept as a dead letter, with `reason` as the sentence."""
    reason: str | None = None

    @property
    def truncated(self) -> bool:
        """Whether the bytes are only the beginning."""
        return len(self.raw) < self.size_bytes

    @property
    def key_scope(self) -> str:
        """The scope of the data key that seals it."""
        return key_scope(self.source, day_of(self.received_at))

    @property
    def state(self) -> MessageState:
        """The state in which it is first stored."""
        return MessageState.ACCEPTED if self.reason_code is None else MessageState.DEAD


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival."""

    sequence: int
    acknowledgement: bytes | None
    """The answer to write: for a resend the one that was given the first time."""
    duplicate: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of a message as they lie in the raw zone, and which key opens them."""

    sealed: bytes
    key_version: int
    key_of_day: bool = True
    """False for what a version of the hub sealed that had one key for all messages of a source."""


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """A message as it lies in store, unopened."""

    sequence: int
    source: str
    type: str
    received_at: datetime
    digest: bytes
    raw: Raw | None
    """None when its bytes were destroyed at the end of their term."""

    @property
    def key(self) -> tuple[str, int] | None:
        """Scope and version of the data key that opens it."""
        if self.raw is None:
            return None
        scope = key_scope(self.source, day_of(self.received_at)) if self.raw.key_of_day else f"messages/{self.source}"
        return scope, self.raw.key_version


@dataclass(frozen=True, slots=True)
class Claimed(SealedMessage):
    """A message that this transaction may process: nobody else has it, and no older one of its lanes waits."""

    lanes: frozenset[int]
    attempts: int
    """How many attempts began before this one."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended."""

    state: MessageState
    attempts: int
    """Attempts that count against the message, this one included if it does."""
    next_attempt_at: datetime | None = None
    reason_code: str | None = None
    reason: str | None = None
    stored_resources: int | None = None
    unmapped: dict[str, int] = field(default_factory=dict)
    """What no map reads, by path; counts only, never values."""
    warnings: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    """References to the patients whose data it brought, changed or not."""


@dataclass(frozen=True, slots=True)
class DayOfRaw:
    """The bytes of a source and a day in the raw zone. `unsettled`: messages that wait or are dead letters."""

    source: str
    day: date
    messages: int
    unsettled: int


@dataclass(frozen=True, slots=True)
class RawTerm:
    """How long the bytes of a source are kept, where it differs from the setting; a legal hold keeps them for good."""

    source: str
    keep_days: int | None = None
    hold_reason: str | None = None
    """Code of the legal hold."""
    changed_at: datetime | None = None
    changed_by: str | None = None


class Restored(StrEnum):
    """What became of a message of an archive."""

    KNOWN = "known"
    """It is here, with its bytes."""
    BYTES = "bytes"
    """It was here, and has its bytes again."""
    NEW = "new"
    """It was not here; it waits for a replay."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages are meant: those that meet everything that is said. `since` and `until` (not included) are
    instants of arrival, `type` is `ADT^A01` or `ADT` for all of them, `reason` a reason code, `sequences` numbers."""

    state: MessageState | None = None
    source: str | None = None
    type: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    sequences: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What reading a message anew found out about it."""

    sequence: int
    stored_resources: int
    unmapped: dict[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as an operator sees it, without its content."""

    sequence: int
    received_at: datetime
    source: str
    control_id: str
    type: str
    state: MessageState
    size_bytes: int
    truncated: bool
    attempts: int
    next_attempt_at: datetime | None
    settled_at: datetime | None
    reason_code: str | None
    reason: str | None
    stored_resources: int | None
    unmapped: dict[str, int]
    warnings: tuple[str, ...]
    origin: int | None = None
    """Of an edited copy: the message that it was made from."""
    edited_by: str | None = None
    retired_at: datetime | None = None
    """When its bytes were destroyed."""
