"""Rows of partners."""

from __future__ import annotations

import asyncpg

from healthsync.domains.directory.model import AckMode, Partner, PartnerState
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.directory")


def _partner(row: asyncpg.Record) -> Partner:
    values = dict(row)
    values["addresses"] = tuple(row["addresses"])
    values["ack_mode"] = AckMode(row["ack_mode"]) if row["ack_mode"] else None
    values["state"] = PartnerState(row["state"])
    return Partner(**values)


async def partners(tx: Transaction) -> list[Partner]:
    """All partners by name."""
    return [_partner(row) for row in await tx.fetch(_SQL.partners)]


async def add(tx: Transaction, partner: Partner) -> bool:
    """Write a partner; False when the name is taken."""
    written = await tx.fetchval(
        _SQL.add_partner,
        partner.name,
        partner.sending_application,
        partner.sending_facility,
        partner.certificate_fingerprint,
        partner.certificate_subject,
        list(partner.addresses),
        partner.organisation,
        partner.ack_mode,
        partner.character_encoding,
        partner.state,
        partner.created_at,
        partner.query_role,
        partner.query_purpose,
    )
    return written is not None


async def remove(tx: Transaction, name: str) -> bool:
    """Delete a partner; False when there was none."""
    return await tx.fetchval(_SQL.remove_partner, name) is not None


async def set_state(tx: Transaction, name: str, state: PartnerState) -> bool:
    """Pause or resume; False when there is no such partner."""
    return await tx.fetchval(_SQL.set_state, name, state) is not None


async def set_queries(tx: Transaction, name: str, role: str | None, purpose: str | None) -> bool:
    """Let a partner ask, or (None) not; False when there is no such partner."""
    return await tx.fetchval(_SQL.set_queries, name, role, purpose) is not None
