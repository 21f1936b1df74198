"""Who looks after the hub: an operator at its data folder, or over HTTP a client with the roles."""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import Refused
from healthsync.exchange.recording import audit_event

OPERATORS = frozenset({"admin"})
"""Roles that may see how the hub is doing and put its messages right."""

STEWARDS = OPERATORS | {"steward"}
"""Roles that decide who is who."""

PRIVACY = OPERATORS | {"privacy"}
"""Roles that may know which numbers several persons use."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the operator of the data folder by name, or a client with its roles."""

    name: str
    client: str | None = None
    roles: tuple[str, ...] = ()

    @classmethod
    def of(cls, requester: Requester) -> Actor:
        """A client; whether it may is asked before."""
        return cls(requester.user or requester.client_id, requester.client_id, tuple(requester.roles))


class Operators:
    """Lets administrators pass, and who else may do one thing."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    async def require(
        self, requester: Requester, interaction: str, entity: str, roles: frozenset[str] = OPERATORS
    ) -> None:
        """Raises Refused, after recording it, for who has none of the roles."""
        if not roles.isdisjoint(requester.roles):
            return
        event = audit_event(requester, Action.EXECUTE, interaction, Outcome.REFUSED, [entity], reason="role")
        await self._audit.record_and_commit(event)
        allowed = " or ".join(sorted(roles))
        raise Refused(f"this is for administrators; the roles of this client do not open it, only {allowed}")
