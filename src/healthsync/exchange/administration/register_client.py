"""Who may use the API: register a client, show all, take a key away; each change is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.domains.access import AccessService, Client, RolePolicy
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.infrastructure.database import Database

ROLES = tuple(sorted(RolePolicy.load().interactions))
"""The names of all roles."""


class RegisterClient:
    """The flow, for the operator of the data folder."""

    def __init__(self, database: Database, access: AccessService, audit: AuditService) -> None:
        self._database, self._access, self._audit = database, access, audit

    async def __call__(self, name: str, roles: Sequence[str], organisation: str | None = None) -> tuple[Client, str]:
        """The new client and its API key, which is nowhere kept. Raises InvalidInput when a role is unknown."""
        async with self._database.transaction() as tx:
            client, key = await self._access.create_client(tx, name, roles, organisation)
            await self._audit.record(tx, _event("create-client", client.client_id))
        return client, key

    async def clients(self) -> list[Client]:
        """Every client that was ever registered."""
        async with self._database.connection() as tx:
            return await self._access.clients(tx)

    async def revoke(self, client_id: str) -> bool:
        """Take the key away; False when there is no such active client. A running hub notices within two seconds."""
        async with self._database.transaction() as tx:
            found = await self._access.revoke_client(tx, client_id)
            if found:
                await self._audit.record(tx, _event("revoke-client", client_id))
        return found


def _event(interaction: str, client_id: str) -> AuditEvent:
    return AuditEvent(
        action=Action.EXECUTE,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        entities=(f"Client/{client_id}",),
        reason="operator",
    )
