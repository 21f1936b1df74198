"""Partners on real sockets, each with a temper of its own, and a hub that sends to them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.deliveries import DeliveryService, Occasion, Parcel
from healthsync.exchange.deliver_messages import DeliverMessages, Turn, key_scope
from healthsync.standards.hl7v2 import Message, MllpDecoder, frame

OPERATOR = "op"


def ack(message: bytes, code: str = "AA", control_id: str | None = None, text: str = "") -> bytes:
    """The answer to a message, or one that names another."""
    named = Message.parse(message).control_id if control_id is None else control_id
    return frame(f"MSH|^~\\&|P|P|H|H|20260301||ACK|{named}|P|2.5.1\rMSA|{code}|{named}|{text}\r".encode())


Answering = Callable[["Partner", bytes, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Partner:
    """A receiver: `answers` are what it does with one message after the other, then it says AA."""

    answers: Sequence[Any] = ()
    got: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_at_once: int = 0
    port: int = 0
    server: asyncio.Server | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ids(self) -> list[str]:
        """The control ids that came, in order, repetitions included."""
        return [Message.parse(each).control_id for each in self.got]

    async def start(self, port: int = 0) -> Partner:
        self._next = iter(self.answers)
        self.server = await asyncio.start_server(self.welcome, "127.0.0.1", port or self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next = getattr(self, "_next", iter(self.answers))
        self.connections += 1
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        decoder = MllpDecoder()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                for item in decoder.feed(data):
                    assert isinstance(item, bytes)
                    self.got.append(item)
                    self.arrived.set()
                    await self._answer(item, writer)
        self.open_now -= 1
        writer.close()

    async def _answer(self, message: bytes, writer: asyncio.StreamWriter) -> None:
        what = next(self._next, "AA")
        if callable(what):
            await what(self, message, writer)
        elif what == "close":
            writer.close()
        elif what != "silence":
            writer.write(what if isinstance(what, bytes) else ack(message, what))


@dataclass
class Rig:
    """A hub and shortcuts to what a test asks of it."""

    hub: Hub
    deliveries: DeliveryService
    counter: Any = field(default_factory=itertools.count)

    async def destination(self, partner: Partner | int, name: str = "partner", **terms: Any) -> None:
        port = partner if isinstance(partner, int) else partner.port
        quick = {"ack_timeout_seconds": 0.5, "connect_timeout_seconds": 1, "first_wait_seconds": 0.02,
                 "longest_wait_seconds": 0.05}  # fmt: skip
        given = {"name": name, "host": "127.0.0.1", "port": port, "messages": ["SIU^S12"], **quick, **terms}
        await self.hub.manage_destinations.add(OPERATOR, given)

    async def put(self, *patients: str | None, name: str = "partner") -> list[str]:
        """Let a message about each patient wait; returns the control ids."""
        parcels = []
        for patient in patients:
            occasion = Occasion(name, "SIU^S12", f"Appointment/{next(self.counter)}", 1)
            control_id = self.deliveries.control_id(occasion)
            raw = f"MSH|^~\\&|H|H|P|P|20260301||SIU^S12|{control_id}|P|2.5.1\rPID|1||{patient}\r".encode()
            parcels.append(Parcel(occasion, control_id, raw, patient))
        async with self.hub.database.transaction() as tx:
            key = await self.hub.data_keys.for_scope(tx, key_scope(name))
            await self.deliveries.enqueue(tx, parcels, {name: key})
        return [parcel.control_id for parcel in parcels]

    async def deliver(self, seconds: float = 10.0, *, until_failing: bool = False, name: str = "partner") -> None:
        """Serve the destination until nothing waits, or until its partner has failed once."""
        stop = asyncio.Event()
        serving = asyncio.create_task(self._serve(stop))
        try:
            async with asyncio.timeout(seconds):
                while (await self.queue(name)).waiting and not (until_failing and (await self.standing(name)).failures):
                    await asyncio.sleep(0.01)
        finally:
            stop.set()
            await serving

    async def _serve(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if (turn := await self.flow.claim()) is not None:
                await self.flow.serve(turn, stop, idle_seconds=0.05)
            await asyncio.sleep(0.01)

    @property
    def flow(self) -> DeliverMessages:
        return self.hub.deliver_messages

    async def claim(self) -> Turn:
        turn = await self.flow.claim()
        assert turn is not None
        return turn

    async def queue(self, name: str = "partner") -> Any:
        return (await self.hub.manage_destinations.show(OPERATOR, name)).queue

    async def standing(self, name: str = "partner") -> Any:
        return (await self.hub.manage_destinations.show(OPERATOR, name)).standing

    async def stored(self, state: str, name: str = "partner") -> list[Any]:
        found = await self.hub.manage_destinations.deliveries(OPERATOR, name, state=state)
        return list(reversed(found))


@pytest.fixture
def rig(hub: Hub) -> Rig:
    return Rig(hub, hub.deliver_messages._deliveries)


@pytest.fixture
async def partner() -> AsyncIterator[Callable[..., Awaitable[Partner]]]:
    """Starts partners, and stops them at the end."""
    started: list[Partner] = []

    async def start(*answers: Any) -> Partner:
        started.append(await Partner(answers).start())
        return started[-1]

    yield start
    for each in started:
        await each.stop()


@asynccontextmanager
async def sending(hub: Hub) -> AsyncIterator[None]:
    """The worker's loop, running."""
    from healthsync.entrypoints.worker.sending import Sending

    stop = asyncio.Event()
    task = asyncio.create_task(
        Sending(hub.send_message, hub.deliver_messages, hub.database, poll_seconds=0.1).run(stop)
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait([task], timeout=10)
