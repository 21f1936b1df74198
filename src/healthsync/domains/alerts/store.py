"""Rows of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from healthsync.domains.alerts.model import Alert
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.alerts")


async def raise_alert(tx: Transaction, *values: Any) -> str | None:
    """Write an alert; returns its id, None when its key was used before."""
    return await tx.fetchval(_SQL.raise_alert, *values)


async def raised_once(tx: Transaction, client_id: str, once_token: int | None) -> str:
    """The id of the alert with this key."""
    return await tx.fetchval(_SQL.raised_once, client_id, once_token)


async def listed(tx: Transaction, type_: str | None, after: tuple[datetime, str] | None, limit: int) -> list[Alert]:
    """A page of alerts, newest first."""
    raised_at, id_ = after or (None, None)
    return [_alert(row) for row in await tx.fetch(_SQL.listed, type_, raised_at, id_, limit)]


async def by_id(tx: Transaction, ids: Sequence[str]) -> dict[str, Alert]:
    """Some alerts by id."""
    return {row["id"]: _alert(row) for row in await tx.fetch(_SQL.by_id, list(ids))}


def _alert(row: asyncpg.Record) -> Alert:
    return Alert(**{**row, "patients": tuple(row["patients"])})
