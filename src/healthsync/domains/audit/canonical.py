"""The bytes that stand for a row: RFC 8785 JSON of every column but the hash itself.

    {"entry":{"action":"R",…,"recorded_at":"2026-11-25T12:00:00.000000Z"},"position":7,"xid":812}

The hub encodes `entry`; PostgreSQL adds the two numbers that only it knows (`queries.sql`, `insert_events`) and hashes
the whole, so both ends of this file must agree, and a test holds them to it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from healthsync.domains.audit.model import Action, AuditEvent, AuditRow, Outcome

_encode = msgspec.json.Encoder(order="deterministic").encode


class _Entry(msgspec.Struct, omit_defaults=True):
    """An event as it is stored and hashed: members in the order of their names, absent ones left out."""

    action: Action
    client: str | None = None
    consent_mode: str | None = None
    entities: tuple[str, ...] = ()
    interaction: str | None = None
    message_sequence: int | None = None
    organisation: str | None = None
    outcome: Outcome | None = None
    patients: tuple[str, ...] = ()
    purpose_of_use: str | None = None
    query: str | None = None
    reason: str | None = None
    recorded_at: str | None = None
    roles: tuple[str, ...] = ()
    source_address: str | None = None
    user: str | None = None


def instant(at: datetime) -> str:
    """An instant in UTC with microseconds: as text it sorts as time does."""
    text = _encode(at.astimezone(UTC))[1:-1].decode()
    return text if "." in text else f"{text[:-1]}.000000Z"


def entry(event: AuditEvent, recorded_at: str, sealed_query: str | None) -> str:
    """The event as it is stored and hashed: the query is already sealed (base64)."""
    return _encode(
        _Entry(
            action=event.action,
            client=event.client and _clean(event.client),
            consent_mode=event.consent_mode,
            entities=event.entities,
            interaction=event.interaction,
            message_sequence=event.message_sequence,
            organisation=event.organisation and _clean(event.organisation),
            outcome=event.outcome,
            patients=event.patients,
            purpose_of_use=event.purpose_of_use,
            query=sealed_query,
            reason=event.reason,
            recorded_at=recorded_at,
            roles=tuple([_clean(role) for role in event.roles]),
            source_address=event.source_address and _clean(event.source_address),
            user=event.user and _clean(event.user),
        )
    ).decode()


def row_bytes(row: AuditRow) -> bytes:
    """The canonical form of a row, recomputed from its columns."""
    return _encode({"entry": row.entry, "position": row.position, "xid": row.xid})


def _clean(text: str) -> str:
    """What jsonb or UTF-8 cannot hold becomes U+FFFD: an odd client name must not keep an event out of the log."""
    if text.isprintable() and len(text) <= 256:
        return text
    return text[:256].replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
