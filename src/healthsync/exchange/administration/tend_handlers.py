"""Handlers of applications, for the operator: what waits, what failed, again, or never more."""

from __future__ import annotations

from collections.abc import Sequence

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.streams import DeadLetter, HandlerState, StreamService
from healthsync.infrastructure.database import Database

__all__ = ["DeadLetter", "HandlerState", "TendHandlers"]


class TendHandlers:
    """The flows. References and codes are shown, nothing that is sealed."""

    def __init__(self, *, database: Database, streams: StreamService, audit: AuditService) -> None:
        self._database, self._streams, self._audit = database, streams, audit

    async def states(self, application: str | None = None) -> list[HandlerState]:
        """Every handler, or those of an application, with what waits for it."""
        async with self._database.connection() as tx:
            return await self._streams.states(tx, None, application)

    async def dead(self, application: str | None, limit: int) -> list[DeadLetter]:
        """The newest dead letters."""
        async with self._database.connection() as tx:
            return await self._streams.dead(tx, None, application, limit)

    async def replay(self, operator: str, ids: Sequence[int] | None, application: str | None) -> list[int]:
        """Dead letters wait again: these, or all of an application; returns which."""
        async with self._database.transaction() as tx:
            replayed = await self._streams.replay(tx, ids, application=application)
            await self._audit.record(tx, _event("replay-deliveries", operator))
        return replayed

    async def remove(self, operator: str, application: str, name: str | None) -> list[str]:
        """A handler, or all of an application, with everything that waits for it; returns the names."""
        async with self._database.transaction() as tx:
            removed = await self._streams.remove(tx, application, name)
            await self._audit.record(tx, _event("remove-handlers", operator))
        return removed


def _event(interaction: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=Action.EXECUTE,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=operator,
        entities=("Handler",),
        reason="operator",
    )
