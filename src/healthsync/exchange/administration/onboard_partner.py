"""A sender is registered, paused or removed."""

from __future__ import annotations

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.directory import DirectoryService, Partner, PartnerState
from healthsync.infrastructure.database import Database


class OnboardPartner:
    """Changes of the directory, each recorded. A running hub follows within a second."""

    def __init__(self, *, database: Database, directory: DirectoryService, audit: AuditService) -> None:
        self._database, self._directory, self._audit = database, directory, audit

    async def add(self, partner: Partner, operator: str) -> Partner:
        """Register a partner. Raises Conflict when the name is taken."""
        async with self._database.transaction() as tx:
            added = await self._directory.add(tx, partner)
            await self._audit.record(tx, _event(Action.CREATE, "add-partner", partner.name, operator))
        return added

    async def remove(self, name: str, operator: str) -> None:
        """Take a partner out; what it sent stays. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._directory.remove(tx, name)
            await self._audit.record(tx, _event(Action.DELETE, "remove-partner", name, operator))

    async def set_state(self, name: str, state: PartnerState, operator: str) -> None:
        """Pause or resume. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._directory.set_state(tx, name, state)
            verb = "pause-partner" if state is PartnerState.PAUSED else "resume-partner"
            await self._audit.record(tx, _event(Action.UPDATE, verb, name, operator))

    async def partners(self) -> list[Partner]:
        """All partners by name."""
        async with self._database.connection() as tx:
            return await self._directory.partners(tx)


def _event(action: Action, interaction: str, name: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=operator, entities=(f"Partner/{name}",)
    )
