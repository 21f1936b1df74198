"""A dead letter mended: an edited copy is kept beside it, and the original stays as it was received."""

from __future__ import annotations

from msgspec import structs

from healthsync.domains.audit import Action, AuditEvent, AuditService
from healthsync.domains.messages import (
    Arrival,
    MessageService,
    MessageState,
    Selection,
    StoredMessage,
    control_id_of,
    type_of,
)
from healthsync.domains.privacy import DataKeys
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.hl7v2 import Hl7SyntaxError, Message, split_batch


class EditMessage:
    """The flow."""

    def __init__(
        self, *, database: Database, messages: MessageService, data_keys: DataKeys, audit: AuditService, clock: Clock
    ) -> None:
        self._database, self._messages, self._data_keys = database, messages, data_keys
        self._audit, self._clock = audit, clock

    async def __call__(self, sequence: int, content: bytes, by: AuditEvent) -> int:
        """Keep `content` as an edited copy of a dead letter; returns the number of the copy.

        The copy is the source's and knows its origin and who edited it (`by`, which is recorded). It waits for a
        replay, which processes it in the place of the original. Raises NotFound, Conflict for what is not dead,
        InvalidInput for what is no message.
        """
        message = _parsed(content)
        by = structs.replace(by, action=Action.CREATE, entities=(f"Message/{sequence}",), message_sequence=sequence)
        async with self._database.transaction() as tx:
            await self._audit.record(tx, by)
            origin = await self._origin(tx, sequence)
            arrival = Arrival(
                source=origin.source,
                received_at=self._clock.now(),
                control_id=control_id_of(message),
                type=type_of(message),
                raw=content,
                size_bytes=len(content),
                lanes=self._messages.lanes(origin.source, message),
                acknowledgement=None,
                reason_code="edited",
                reason=f"an edited copy of message {sequence}; it waits to be replayed",
            )
            key = await self._data_keys.for_scope(tx, arrival.key_scope)
            editor = by.user or by.client or "unknown"
            return await self._messages.add_copy(tx, arrival, sequence, key, editor)

    async def _origin(self, tx: Transaction, sequence: int) -> StoredMessage:
        found = await self._messages.listed(tx, Selection(sequences=(sequence,)), limit=1)
        if not found:
            raise NotFound(f"there is no message {sequence}; see: healthsync messages list")
        if found[0].state is not MessageState.DEAD:
            raise Conflict(
                f"message {sequence} is {found[0].state}, and only dead letters are edited; a correction of what was "
                "processed comes from its sender"
            )
        return found[0]


def _parsed(content: bytes) -> Message:
    if len(split_batch(content) or [content]) != 1:
        raise InvalidInput("the text holds several messages; an edited copy is one", code="structure")
    try:
        return Message.parse(content)
    except Hl7SyntaxError as error:
        raise InvalidInput(f"this is no HL7 v2 message: {error}", code="structure") from None
