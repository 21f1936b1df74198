"""What came in: the list that every operator may see, and the content of one message, which is an access to PHI."""

from __future__ import annotations

from collections.abc import AsyncIterator

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.messages import MessageService, MessageState, StoredMessage
from healthsync.domains.privacy import DataKeys
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Database

_PAGE = 1000


class InspectMessages:
    """Lists messages without their content, and opens one."""

    def __init__(
        self, *, database: Database, messages: MessageService, data_keys: DataKeys, audit: AuditService
    ) -> None:
        self._database, self._messages, self._data_keys, self._audit = database, messages, data_keys, audit

    async def listed(self, *, state: str | None, source: str | None, limit: int) -> AsyncIterator[StoredMessage]:
        """The newest `limit` messages (0: all), newest first. Raises InvalidInput on an unknown state."""
        wanted, left, before = _state(state), limit or None, None
        while left is None or left > 0:
            async with self._database.connection() as tx:
                page = await self._messages.listed(
                    tx, state=wanted, source=source, before=before, limit=min(_PAGE, left or _PAGE)
                )
            for message in page:
                yield message
            if len(page) < min(_PAGE, left or _PAGE):
                return
            before, left = page[-1].sequence, left and left - len(page)

    async def counted(self, *, state: str | None, source: str | None) -> int:
        """How many messages there are. Raises InvalidInput on an unknown state."""
        async with self._database.connection() as tx:
            return await self._messages.counted(tx, state=_state(state), source=source)

    async def content(self, sequence: int, operator: str, reason: str) -> bytes:
        """The bytes of a message as received. `reason` is a code without spaces, such as the number of a ticket.

        The access is committed to the audit log before the bytes are returned. Raises NotFound, or Unavailable when
        it cannot be audited.
        """
        async with self._database.transaction() as tx:
            message = await self._messages.sealed(tx, sequence)
            keys = await self._data_keys.of_versions(tx, [message.key] if message.key else [])
            content = self._messages.open(message, keys)
            await self._audit.record(tx, _event(sequence, operator, reason))
        return content


def _event(sequence: int, operator: str, reason: str) -> AuditEvent:
    return AuditEvent(
        action=Action.READ,
        interaction="show-message",
        outcome=Outcome.PERMITTED,
        user=operator,
        purpose_of_use="HOPERAT",
        reason=reason,
        message_sequence=sequence,
    )


def _state(text: str | None) -> MessageState | None:
    if text is None:
        return None
    try:
        return MessageState(text)
    except ValueError:
        states = ", ".join(MessageState)
        raise InvalidInput(f"no state is named {text}; states are {states}", code="value") from None
