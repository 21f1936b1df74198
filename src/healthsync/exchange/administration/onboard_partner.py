"""A sender is registered, paused or removed."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.directory import AckMode, DirectoryService, Partner, PartnerState, fingerprint, network
from healthsync.infrastructure.database import Database


class OnboardPartner:
    """Changes of the directory, each recorded. A running hub follows within a second."""

    def __init__(self, *, database: Database, directory: DirectoryService, audit: AuditService) -> None:
        self._database, self._directory, self._audit = database, directory, audit

    async def add(
        self,
        name: str,
        *,
        operator: str,
        sending_application: str | None = None,
        sending_facility: str | None = None,
        certificate_fingerprint: str | None = None,
        certificate_subject: str | None = None,
        addresses: Sequence[str] = (),
        organisation: str | None = None,
        ack_mode: str | None = None,
        character_encoding: str | None = None,
    ) -> Partner:
        """Register a partner from what an operator wrote (see `Partner`).

        Raises InvalidInput for what cannot be, Conflict when the name is taken.
        """
        partner = Partner(
            name,
            sending_application=sending_application,
            sending_facility=sending_facility,
            certificate_fingerprint=fingerprint(certificate_fingerprint) if certificate_fingerprint else None,
            certificate_subject=certificate_subject,
            addresses=tuple(map(network, addresses)),
            organisation=organisation,
            ack_mode=AckMode(ack_mode) if ack_mode else None,
            character_encoding=character_encoding,
        )
        async with self._database.transaction() as tx:
            added = await self._directory.add(tx, partner)
            await self._audit.record(tx, _event(Action.CREATE, "add-partner", partner.name, operator))
        return added

    async def remove(self, name: str, operator: str) -> None:
        """Take a partner out; what it sent stays. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._directory.remove(tx, name)
            await self._audit.record(tx, _event(Action.DELETE, "remove-partner", name, operator))

    async def pause(self, name: str, operator: str, *, paused: bool) -> None:
        """Pause, or resume. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._directory.set_state(tx, name, PartnerState.PAUSED if paused else PartnerState.ACTIVE)
            verb = "pause-partner" if paused else "resume-partner"
            await self._audit.record(tx, _event(Action.UPDATE, verb, name, operator))

    async def partners(self) -> list[Partner]:
        """All partners by name."""
        async with self._database.connection() as tx:
            return await self._directory.partners(tx)


def _event(action: Action, interaction: str, name: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=operator, entities=(f"Partner/{name}",)
    )
