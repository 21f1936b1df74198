"""Dead letters back to work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.messages import MessageService, MessageState
from healthsync.infrastructure.database import Database

_PAGE = 500


class ReplayMessages:
    """Puts dead letters back at their old place in their lanes; the workers take them from there."""

    def __init__(self, *, database: Database, messages: MessageService, audit: AuditService) -> None:
        self._database, self._messages, self._audit = database, messages, audit

    async def __call__(self, sequences: Sequence[int], operator: str) -> list[int]:
        """Returns those that wait again; the others do not exist, are not dead, or were kept only in part."""
        async with self._database.transaction() as tx:
            replayed = await self._messages.replay(tx, sequences)
            await self._audit.record_many(tx, [_event(sequence, operator) for sequence in replayed])
        return replayed

    async def dead(self, source: str | None = None) -> AsyncIterator[list[int]]:
        """The sequences of all dead letters, of one partner or of all, in pages, newest first."""
        before = None
        while True:
            async with self._database.connection() as tx:
                page = await self._messages.listed(
                    tx, state=MessageState.DEAD, source=source, before=before, limit=_PAGE
                )
            if not page:
                return
            before = page[-1].sequence
            yield [message.sequence for message in page]


def _event(sequence: int, operator: str) -> AuditEvent:
    return AuditEvent(
        action=Action.EXECUTE,
        interaction="replay-message",
        outcome=Outcome.PERMITTED,
        user=operator,
        message_sequence=sequence,
    )
