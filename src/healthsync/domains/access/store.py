"""Rows of clients."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from healthsync.domains.access.model import Client
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.access")


def _client(row: asyncpg.Record) -> Client:
    return Client(
        row["client_id"], row["name"], tuple(row["roles"]), row["organisation"], row["created_at"], row["revoked_at"]
    )


async def add_client(tx: Transaction, client: Client, secret_hash: bytes) -> None:
    """Write a client."""
    await tx.execute(
        _SQL.add_client,
        client.client_id,
        client.name,
        list(client.roles),
        client.organisation,
        secret_hash,
        client.created_at,
    )


async def revoke_client(tx: Transaction, client_id: str, at: datetime) -> bool:
    """Mark a client revoked."""
    return await tx.fetchval(_SQL.revoke_client, client_id, at) is not None


async def client_with_secret(tx: Transaction, client_id: str) -> tuple[Client, bytes] | None:
    """A client and the hash of its secret."""
    row = await tx.fetchrow(_SQL.client_with_secret, client_id)
    return (_client(row), row["secret_hash"]) if row else None


async def clients(tx: Transaction) -> list[Client]:
    """All clients."""
    return [_client(row) for row in await tx.fetch(_SQL.clients)]
