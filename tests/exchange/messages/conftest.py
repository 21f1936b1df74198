"""The message flows on a real database, with an `ingest` that stands for the gate and does as a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from healthsync.domains.audit import AuditService
from healthsync.domains.directory import DirectoryService
from healthsync.domains.messages import MessageService, MessageState, Selection
from healthsync.domains.privacy import DataKeys
from healthsync.exchange.ingest import IngestResult, Submission
from healthsync.exchange.process_message import ProcessMessage
from healthsync.exchange.receive_message import Peer, ReceiveMessage
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import BlindIndex, InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.events import EventLog
from healthsync.infrastructure.retrying import RetryPolicy

LOCAL = Peer("127.0.0.1")


@dataclass
class Gate:
    """Writes down, in the transaction it is given, which message came; fails where it is told to."""

    fail: Callable[[int], Exception | None] = lambda _sequence: None
    hang: bool = False
    submissions: list[Submission] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def resource_id(self, resource_type: str, source: str, key: str) -> str:
        return f"{abs(hash((resource_type, source, key)))}"

    async def __call__(self, tx: Transaction, submission: Submission) -> IngestResult:
        sequence = submission.audit.message_sequence
        assert sequence is not None
        await tx.execute("INSERT INTO stored (sequence) VALUES ($1)", sequence)
        self.submissions.append(submission)
        self.reached.set()
        await (asyncio.Event().wait() if self.hang else asyncio.sleep(0))
        if error := self.fail(sequence):
            raise error
        return IngestResult([], ())


@dataclass
class Rig:
    database: Database
    clock: FixedClock
    messages: MessageService
    audit: AuditService
    data_keys: DataKeys
    directory: DirectoryService
    gate: Gate
    receive: ReceiveMessage

    def process(self, database: Database | None = None, **retry: Any) -> ProcessMessage:
        return ProcessMessage(
            database=database or self.database, messages=self.messages, data_keys=self.data_keys, ingest=self.gate,  # type: ignore[arg-type]
            clock=self.clock, timezone=UTC, retry=RetryPolicy(**retry), directory=self.directory,
        )  # fmt: skip

    def receiver(self, **different: Any) -> ReceiveMessage:
        options = {
            "database": self.database, "messages": self.messages, "directory": self.directory, "data_keys": self.data_keys,
            "audit": self.audit, "events": EventLog(self.database, self.clock), "clock": self.clock, "development": True,
        }  # fmt: skip
        return ReceiveMessage(**options | different)

    async def send(self, *messages: bytes, peer: Peer = LOCAL) -> list[bytes | None]:
        return [await self.receive(message, peer) for message in messages]

    async def states(self) -> dict[int, str]:
        async with self.database.connection() as tx:
            return {m.sequence: str(m.state) for m in reversed(await self.messages.listed(tx))}

    async def one(self, sequence: int) -> Any:
        async with self.database.connection() as tx:
            return next(m for m in await self.messages.listed(tx) if m.sequence == sequence)

    async def stored(self) -> list[int]:
        """What the gate stored and was committed."""
        async with self.database.connection() as tx:
            return [row["sequence"] for row in await tx.fetch("SELECT sequence FROM stored ORDER BY place")]

    async def rows(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as tx:
            return await tx.fetch(query, *values)

    async def waiting(self) -> int:
        async with self.database.connection() as tx:
            return await self.messages.counted(tx, Selection(MessageState.ACCEPTED))


@pytest.fixture
async def rig(database: Database, tmp_path: Path) -> AsyncIterator[Rig]:
    clock = FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    keyring = InsecureDevelopmentKeyring()
    audit = AuditService(
        database,
        clock,
        query_key=b"q" * 32,
        signing_key=b"s" * 32,
        hub_id=keyring.hub_id,
        heads_file=tmp_path / "heads",
    )
    messages = MessageService(BlindIndex(keyring.derive("blind index")), keyring.hub_id)
    rig = Rig(database, clock, messages, audit, DataKeys(keyring), DirectoryService(clock), Gate(), None)  # type: ignore[arg-type]
    rig.receive = rig.receiver()
    async with database.connection() as tx:
        await tx.execute("CREATE TABLE stored (place bigint GENERATED ALWAYS AS IDENTITY, sequence bigint)")
    yield rig
    await rig.receive.close()


@pytest.fixture
def adt() -> Callable[..., bytes]:
    """An ADT^A01 about a patient; `segments` come behind PID."""

    def build(
        control_id: str,
        patient: str = "P1",
        *segments: str,
        type: str = "ADT^A01^ADT_A01",
        facility: str = "MERCY",
        tail: str = "",
    ) -> bytes:
        pid = f"PID|1||{patient}^^^{facility}^MR||Doe^Jane||19700101|F" if patient else "EVN|A01|20240301"
        header = f"MSH|^~\\&|EPIC|{facility}|HUB|HIE|20240301120000+0000||{type}|{control_id}|P|2.5.1{tail}"
        return ("\r".join((header, pid, *segments)) + "\r").encode()

    return build
