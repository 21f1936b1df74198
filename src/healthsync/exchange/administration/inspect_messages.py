"""What came in: the list that every operator may see, and the content of one message, which is an access to PHI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.messages import MessageService, MessageState, Selection, StoredMessage
from healthsync.domains.privacy import DataKeys
from healthsync.domains.quality import MessageScore, QualityService
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Database

_PAGE = 1000


class InspectMessages:
    """Lists messages without their content, and opens one."""

    def __init__(
        self,
        *,
        database: Database,
        messages: MessageService,
        data_keys: DataKeys,
        audit: AuditService,
        quality: QualityService | None = None,
    ) -> None:
        self._database, self._messages, self._data_keys, self._audit = database, messages, data_keys, audit
        self._quality = quality

    async def listed(self, *, limit: int, **wanted: Any) -> AsyncIterator[StoredMessage]:
        """The newest `limit` messages (0: all) of a `selection`, newest first. Raises InvalidInput."""
        selected, left, before = selection(**wanted), limit or None, None
        while left is None or left > 0:
            count = min(_PAGE, left or _PAGE)
            async with self._database.connection() as tx:
                page = await self._messages.listed(tx, selected, before=before, limit=count)
            for message in page:
                yield message
            if len(page) < count:
                return
            before, left = page[-1].sequence, left and left - len(page)

    async def counted(self, **wanted: Any) -> int:
        """How many messages of a `selection` there are. Raises InvalidInput."""
        async with self._database.connection() as tx:
            return await self._messages.counted(tx, selection(**wanted))

    async def scores(self, sequences: Sequence[int]) -> Mapping[int, MessageScore]:
        """How good messages were; those that were never scored are absent."""
        if self._quality is None:
            return {}
        async with self._database.connection() as tx:
            return await self._quality.of(tx, sequences)

    async def page(self, wanted: Selection, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        """A page of messages with their scores, as programs get them, newest first."""
        async with self._database.connection() as tx:
            page = await self._messages.listed(tx, wanted, before=before, limit=limit)
        scores = await self.scores([message.sequence for message in page])
        return [as_document(message, scores.get(message.sequence)) for message in page]

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


def as_document(message: StoredMessage, score: MessageScore | None = None) -> dict[str, Any]:
    """A message without its content, for programs."""
    document = asdict(message)
    for name, value in document.items():
        if isinstance(value, datetime):
            document[name] = value.isoformat()
    document["warnings"] = list(message.warnings)
    document["quality"] = score and {
        "score": score.score.points,
        **score.score.dimensions,
        "action": score.action,
        "failed": score.score.failed,
    }
    return document


def selection(
    *,
    state: str | None = None,
    source: str | None = None,
    type: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    sequences: Sequence[int] = (),
) -> Selection:
    """What an operator wrote. Times without a zone are UTC. Raises InvalidInput on an unknown state."""
    return Selection(
        _state(state), source or None, type or None, reason or None, _instant(since), _instant(until),
        tuple(sequences) or None,
    )  # fmt: skip


def _instant(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _state(text: str | None) -> MessageState | None:
    if text is None:
        return None
    try:
        return MessageState(text)
    except ValueError:
        states = ", ".join(MessageState)
        raise InvalidInput(f"no state is named {text}; states are {states}", code="value") from None
