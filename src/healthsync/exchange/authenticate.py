"""Credential → Requester: who asks, in which roles, what for."""

from __future__ import annotations

from healthsync.domains.access import AccessService, CredentialRefused, Requester, parse_scopes, purpose_of_use
from healthsync.domains.access.errors import PurposeNotAllowed
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.exchange.offer import Offer
from healthsync.infrastructure.database import Database

__all__ = ["Authenticate", "CredentialRefused", "PurposeNotAllowed", "Requester"]


class Authenticate:
    """Recognises bearer credentials; a refusal is recorded before it is answered. What the hub does not `offer` is open
    to no one."""

    def __init__(self, database: Database, access: AccessService, audit: AuditService, offer: Offer) -> None:
        self._database, self._access, self._audit, self._offer = database, access, audit, offer

    async def __call__(
        self, credential: str | None, purpose: str | None, source_address: str | None = None
    ) -> Requester:
        """The requester behind a credential.

        Raises CredentialRefused (401), PurposeNotAllowed (403) or InvalidInput for an unknown purpose (400).
        """
        try:
            client, user, scope = await self._access.recognise(self._database, credential)
        except CredentialRefused:
            await self._refused(None, (), "credential", source_address)
            raise
        try:
            asked = purpose_of_use(self._access.policy, client.roles, purpose)
        except PurposeNotAllowed:
            await self._refused(client.client_id, client.roles, "purpose", source_address)
            raise
        return Requester(
            client_id=client.client_id,
            roles=client.roles,
            purpose_of_use=asked,
            user=user,
            organisation=client.organisation,
            source_address=source_address,
            scopes=self._offer.narrowed(parse_scopes(scope) if scope is not None else None),
        )

    async def _refused(
        self, client: str | None, roles: tuple[str, ...], reason: str, source_address: str | None
    ) -> None:
        await self._audit.record_and_commit(
            AuditEvent(
                action=Action.EXECUTE,
                interaction="authenticate",
                outcome=Outcome.REFUSED,
                client=client,
                roles=roles,
                reason=reason,
                source_address=source_address,
            )
        )
