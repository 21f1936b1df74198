"""Who may look after the hub over HTTP."""

from __future__ import annotations

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import Refused
from healthsync.exchange.recording import audit_event

OPERATORS = frozenset({"admin"})
"""Roles that may see how the hub is doing and put its messages right."""


class Operators:
    """Lets administrators pass."""

    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    async def require(self, requester: Requester, interaction: str, entity: str) -> None:
        """Raises Refused, after recording it, for who is no administrator."""
        if not OPERATORS.isdisjoint(requester.roles):
            return
        event = audit_event(requester, Action.EXECUTE, interaction, Outcome.REFUSED, [entity], reason="role")
        await self._audit.record_and_commit(event)
        raise Refused("this is for administrators; the roles of this client do not open it")
