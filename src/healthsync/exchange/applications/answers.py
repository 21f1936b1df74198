"""The application acknowledgement of enhanced mode, to the sender who still has his connection (HL7 v2.5.1 §2.9.3).

The sender has CA since the commit. What a handler returns is stored by `applications.deliveries`, in whatever process;
here, where the connection is, it is read, checked against MSH-10 and written. The first answer to a message counts. A
sender who has hung up gets none: the answer is recorded and stays unsent.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from healthsync.domains.privacy import DataKeys
from healthsync.domains.streams import Answer, StreamService
from healthsync.errors import HealthSyncError
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger
from healthsync.standards.hl7v2 import AckCode, Message

Later = Callable[[bytes], bool]
"""Writes an answer behind those that wait; False when the connection is gone."""

_CHANNEL = "stream_answer"
_MOST_AWAITED = 10_000
_SWEEP_SECONDS = 5.0
_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Awaited:
    control_id: str
    condition: str
    later: Later


class ApplicationAnswers:
    """Who waits for which answer, in this process; the oldest are given up when they are too many."""

    def __init__(self, database: Database, streams: StreamService, data_keys: DataKeys) -> None:
        self._database, self._streams, self._data_keys = database, streams, data_keys
        self._awaited: OrderedDict[int, _Awaited] = OrderedDict()
        self._told: set[int] = set()
        self._wake = asyncio.Event()

    def expect(self, sequence: int, message: Message, later: Later) -> None:
        """The sender of a message that was answered with CA may want an application acknowledgement (MSH-16)."""
        condition = _condition(message)
        if condition != "NE":
            self._awaited[sequence] = _Awaited(message.control_id, condition, later)
            while len(self._awaited) > _MOST_AWAITED:
                self._awaited.popitem(last=False)

    async def run(self) -> None:
        """Send answers as they come, until cancelled."""
        stop_listening = await self._database.listen(_CHANNEL, self._hear)
        try:
            while True:
                try:
                    async with asyncio.timeout(_SWEEP_SECONDS):
                        await self._wake.wait()
                    wanted = self._told & self._awaited.keys()
                except TimeoutError:  # a word may have been lost
                    wanted = set(self._awaited)
                self._wake.clear()
                self._told.clear()
                await self._send_all(sorted(wanted))
        finally:
            await stop_listening()

    def _hear(self, payload: str) -> None:
        self._told |= {int(payload)} if payload else set(self._awaited)
        self._wake.set()

    async def _send_all(self, sequences: list[int]) -> None:
        if not sequences:
            return
        try:
            async with self._database.transaction() as tx:
                for answer in await self._streams.unsent(tx, sequences):
                    place = (f"messages/{answer.source}", answer.key_version)
                    key = (await self._data_keys.of_versions(tx, [place])).get(place)
                    if key is not None and self._send(answer, self._streams.open_answer(answer, key)):
                        await self._streams.sent(tx, answer)
        except HealthSyncError as problem:
            _log.warning("application acknowledgements are sent later", reason=problem.code)

    def _send(self, answer: Answer, content: bytes) -> bool:
        awaited = self._awaited.pop(answer.message_sequence, None)
        if awaited is None or not _wants(awaited.condition, answer.code):
            return False
        if _acknowledged(content) != awaited.control_id:
            _log.warning("an application acknowledgement names another message; it is not sent",
                         sequence=answer.message_sequence)  # fmt: skip
            return False
        return awaited.later(content)


def _condition(message: Message) -> str:
    """MSH-16 (table 0155). Where neither it nor MSH-15 is valued the mode comes from the configuration: always."""
    condition = message.application_ack_type.strip().upper()
    if condition in ("AL", "NE", "ER", "SU"):
        return condition
    return "NE" if message.accept_ack_type.strip() else "AL"


def _wants(condition: str, code: str) -> bool:
    return condition == "AL" or (condition == "SU") is (code == AckCode.AA)


def _acknowledged(content: bytes) -> str:
    """MSA-2 as it was written."""
    msa = Message.parse(content).first("MSA")
    return msa.field(2).raw if msa is not None else ""
