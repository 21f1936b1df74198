"""The verbs of the directory."""

from __future__ import annotations

from dataclasses import replace

from healthsync.domains.directory import store
from healthsync.domains.directory.model import Partner, PartnerState
from healthsync.errors import Conflict, NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction


class DirectoryService:
    """The partners of one hub."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def partners(self, tx: Transaction) -> list[Partner]:
        """All partners by name."""
        return await store.partners(tx)

    async def add(self, tx: Transaction, partner: Partner) -> Partner:
        """Register a partner. Raises Conflict when the name is taken."""
        partner = replace(partner, created_at=self._clock.now())
        if not await store.add(tx, partner):
            raise Conflict(f"a partner named {partner.name} exists; remove it first or choose another name")
        return partner

    async def remove(self, tx: Transaction, name: str) -> None:
        """Take a partner out; what it sent stays. Raises NotFound."""
        if not await store.remove(tx, name):
            raise NotFound(f"no partner is named {name}; see: healthsync partner list")

    async def set_state(self, tx: Transaction, name: str, state: PartnerState) -> None:
        """Pause or resume a partner. Raises NotFound."""
        if not await store.set_state(tx, name, state):
            raise NotFound(f"no partner is named {name}; see: healthsync partner list")

    async def set_queries(self, tx: Transaction, name: str, role: str | None, purpose: str | None) -> None:
        """Let a partner ask with the rights of a role for a purpose, or (None) ask nothing more. Raises NotFound."""
        if not await store.set_queries(tx, name, role, purpose):
            raise NotFound(f"no partner is named {name}; see: healthsync partner list")
