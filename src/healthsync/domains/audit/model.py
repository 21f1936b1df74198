"""The nouns of the audit log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from healthsync.errors import InvalidInput

_CODE = re.compile(r"[!-~]{1,128}")
_REFERENCE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}(/[A-Za-z0-9._-]{1,64}){0,3}")


class Action(StrEnum):
    """What was done (http://hl7.org/fhir/audit-event-action)."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(StrEnum):
    """How it ended (http://hl7.org/fhir/audit-event-outcome)."""

    PERMITTED = "0"
    """Success."""
    REFUSED = "4"
    """Minor failure: the request was at fault or was not allowed."""
    FAILED = "8"
    """Serious failure: the hub could not do it."""


class AuditEvent(msgspec.Struct, frozen=True):
    """One request, what it touched and how it ended. References and codes only; `query` is sealed before it is stored.

    Raises InvalidInput, without the value, when a reference or code is not one: text could carry a patient's values.
    """

    action: Action
    interaction: str
    """FHIR interaction or operation, or the flow: `read`, `search-type`, `$everything`, `receive-message`."""
    outcome: Outcome
    client: str | None = None
    user: str | None = None
    organisation: str | None = None
    roles: tuple[str, ...] = ()
    purpose_of_use: str | None = None
    """http://terminology.hl7.org/CodeSystem/v3-ActReason, such as `TREAT`."""
    entities: tuple[str, ...] = ()
    """References to what was touched: `Type/id`, `Type/id/_history/version`, or `Type` when no instance was reached."""
    patients: tuple[str, ...] = ()
    """References to the patients whose data these are."""
    reason: str | None = None
    """Code of the rule that decided."""
    source_address: str | None = None
    query: str | None = None
    """Search string as received: it is PHI, and sealed."""
    consent_mode: str | None = None
    """How consent was applied: `enforced`, `off`, `break-glass`, `bypass`."""
    message_sequence: int | None = None
    """Sequence of the HL7 v2 message that caused it."""

    def __post_init__(self) -> None:
        for name in ("interaction", "purpose_of_use", "reason", "consent_mode"):
            code = getattr(self, name)
            if code is not None and not _is_code(code):
                raise InvalidInput(f"audit event: {name} must be a code without spaces", code="code-invalid")
        for name in ("entities", "patients"):
            if not all(map(_REFERENCE.fullmatch, getattr(self, name))):
                raise InvalidInput(f"audit event: {name} must be references such as Patient/1", code="value")


@lru_cache(256)
def _is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the log. `entry` is the event as stored, plus `recorded_at`; `leaf_index` is None until sequenced."""

    position: int
    xid: int
    entry: dict[str, Any]
    leaf_hash: bytes
    leaf_index: int | None = None


@dataclass(frozen=True, slots=True)
class MissingRow:
    """A leaf whose row is gone."""

    position: int
    leaf_index: int


@dataclass(frozen=True, slots=True)
class Proof:
    """Shows, without the rest of the log, that a leaf stands under a signed head (RFC 9162 section 2.1.3)."""

    leaf_index: int
    hashes: tuple[bytes, ...]
    head: TreeHead


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A signed statement: at `signed_at` the log of `hub_id` had `tree_size` leaves under `root_hash`."""

    hub_id: str
    tree_size: int
    root_hash: bytes
    signed_at: datetime
    public_key: bytes
    """Ed25519, 32 bytes."""
    signature: bytes
