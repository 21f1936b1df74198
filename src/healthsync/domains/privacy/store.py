"""Rows of wrapped data keys."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from healthsync.infrastructure.database import Lookup, Parts, Queries, Transaction, Writer

_SQL = Queries("healthsync.domains.privacy")


KEY_COLUMNS = ", beside_key.wrapped_by, beside_key.wrapped"
KEY_JOINED = (
    " LEFT JOIN LATERAL (SELECT wrapped_by, wrapped FROM data_key WHERE scope = c.key_scope AND version = c.key_version"
    " AND (c.identity IS NOT NULL OR c.narrative IS NOT NULL) LIMIT 1) beside_key ON true"
)
"""The wrapped keys of sealed contents, beside a look at `resource_content c`."""


async def newest_key(tx: Transaction, scope: str) -> asyncpg.Record | None:
    """The newest wrapped key of a scope: version, wrapped_by, wrapped."""
    return await tx.fetchrow(_SQL.newest_key, scope)


async def keys_of_scopes(tx: Transaction, places: Sequence[tuple[str, int]]) -> list[asyncpg.Record]:
    """Several wrapped keys at once, by scope and version: scope, version, wrapped_by, wrapped."""
    return await tx.look_up(_OF_SCOPES, {place: place for place in places})


_OF_SCOPES = Lookup(_SQL.keys_of_scopes, lambda row: (row["scope"], row["version"]))


async def add_key(tx: Transaction, scope: str, version: int, wrapped_by: int, wrapped: bytes) -> bool:
    """Add a wrapped key; False when another transaction was first."""
    return await tx.fetchval(_SQL.add_key, scope, version, wrapped_by, wrapped) is not None


async def destroy_keys(tx: Transaction, scope: str) -> list[int]:
    """Delete the wrapped keys of a scope; returns their versions."""
    return [row["version"] for row in await tx.fetch(_SQL.destroy_keys, scope)]


def add_keys(tx: Transaction, rows: Sequence[tuple[str, int, int, bytes]]) -> None:
    """Add wrapped keys (scope, version, wrapped_by, wrapped) of new scopes, at the end of the unit of work."""
    tx.later(_ADDING, rows)


def _added(rows: Sequence[tuple[str, int, int, bytes]]) -> Parts:
    return Parts((f"data_keys_added AS ({_SQL.add_keys})",), [list(column) for column in zip(*rows, strict=True)])


_ADDING = Writer(_added)
