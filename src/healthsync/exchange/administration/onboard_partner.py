"""A sender is registered, paused or removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from healthsync.domains.access import RolePolicy, purpose_of_use
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.directory import AckMode, DirectoryService, Partner, PartnerState, fingerprint, network
from healthsync.errors import InvalidInput, NotFound, Refused
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
        role: str | None = None,
        purpose: str | None = None,
    ) -> Partner:
        """Register a partner from what an operator wrote (see `Partner`); with a role it may ask about patients.

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
            query_role=role,
            query_purpose=_purpose(role, purpose),
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

    async def allow_queries(self, name: str, operator: str, role: str | None, purpose: str | None = None) -> None:
        """Let a partner ask about patients with the rights of a role, for a purpose of use (absent: the first of the
        role); without a role it may not ask any more. Raises NotFound, InvalidInput."""
        asked_for = _purpose(role, purpose)
        async with self._database.transaction() as tx:
            known = next((each for each in await self._directory.partners(tx) if each.name == name), None)
            if known is None:
                raise NotFound(f"no partner is named {name}; see: healthsync partner list")
            replace(known, query_role=role, query_purpose=asked_for)  # raises for one that anybody could be
            await self._directory.set_queries(tx, name, role, asked_for)
            verb = "allow-queries" if role else "refuse-queries"
            await self._audit.record(tx, _event(Action.UPDATE, verb, name, operator))

    async def partners(self) -> list[Partner]:
        """All partners by name."""
        async with self._database.connection() as tx:
            return await self._directory.partners(tx)


def _purpose(role: str | None, purpose: str | None) -> str | None:
    """What a partner of a role asks for. Raises InvalidInput for a role or purpose that there is not."""
    if role is None:
        if purpose is not None:
            raise InvalidInput("a purpose of use belongs to a role: name both", code="required")
        return None
    policy = RolePolicy.load()
    if not policy.knows(role):
        raise InvalidInput(f"no role is named {role}; roles are {', '.join(sorted(policy.interactions))}", code="value")
    try:
        return purpose_of_use(policy, (role,), purpose)
    except Refused:
        raise InvalidInput(f"the role {role} has no purpose {purpose}", code="value") from None


def _event(action: Action, interaction: str, name: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=action, interaction=interaction, outcome=Outcome.PERMITTED, user=operator, entities=(f"Partner/{name}",)
    )
