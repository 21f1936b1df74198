"""HL7 v2 out: to a partner that answers at once, and what the queue costs while a partner is down."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from benchmarks import messages
from benchmarks.harness import Aim, Load, Options, Result, measure, scenario
from benchmarks.hubs import data_folder
from benchmarks.processes import CpuMeter
from healthsync.bootstrap import Hub, open_hub
from healthsync.domains.deliveries import DeliveryService, Occasion, Parcel
from healthsync.exchange.deliver_messages import LEASE_SECONDS, key_scope
from healthsync.standards.hl7v2 import MllpDecoder, frame

_AT_ONCE = 20
"""Messages that one pass over the event log queues."""
_OPERATOR = "benchmark"


@asynccontextmanager
async def _prompt_partner() -> AsyncIterator[int]:
    """A receiver that answers AA to whatever comes; its port."""

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = MllpDecoder()
        while data := await reader.read(65536):
            for message in decoder.feed(data):
                assert isinstance(message, bytes)
                control_id = message.split(b"|", 10)[9]
                writer.write(frame(b"MSH|^~\\&|P|P|H|H|20261125||ACK|1|P|2.5.1\rMSA|AA|" + control_id + b"\r"))
        writer.close()

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class _Queue:
    """Puts messages of 1 kB about changing patients into the queue of a destination."""

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub, self._name = hub, name
        self._numbers: Iterator[int] = itertools.count()

    @property
    def deliveries(self) -> DeliveryService:
        return self._hub.deliver_messages._deliveries

    async def put(self, count: int) -> None:
        for start in range(0, count, _AT_ONCE):
            parcels = [self._parcel(next(self._numbers)) for _ in range(min(_AT_ONCE, count - start))]
            async with self._hub.database.transaction() as tx:
                key = await self._hub.data_keys.for_scope(tx, key_scope(self._name))
                await self.deliveries.enqueue(tx, parcels, {self._name: key})

    def _parcel(self, number: int) -> Parcel:
        occasion = Occasion(self._name, "ADT^A01", f"Encounter/{number}", 1)
        control_id = self.deliveries.control_id(occasion)
        raw = messages.adt(number).replace(b"|A%09d|" % number, f"|{control_id}|".encode(), 1)
        return Parcel(occasion, control_id, raw, f"Patient/{number % 500}")


@scenario("deliveries")
async def deliveries(options: Options) -> AsyncIterator[Result]:
    """HL7 v2 messages a second to a prompt partner, and enqueue and claim with 100,000 waiting."""
    async with data_folder() as folder, open_hub(folder) as hub, _prompt_partner() as port:
        cpu = CpuMeter()
        for connections, aim in ((1, Aim(300)), (8, Aim(600))):
            name = f"prompt-{connections}"
            await _add(hub, name, port, connections)
            queue = _Queue(hub, name)
            count = options.sized(2000)

            async def run(queue: _Queue = queue, count: int = count) -> Load:
                await queue.put(count)
                started = time.perf_counter()
                await hub.deliver_messages.drain()
                return Load(count, time.perf_counter() - started)

            title = f"delivered over {connections} connection{'s' if connections > 1 else ''}"
            yield await measure("deliveries", title, run, options=options, cpu=cpu, unit="/s", aim=aim)
            await hub.manage_destinations.remove(_OPERATOR, name)
        async for result in _while_down(hub, options):
            yield result


async def _while_down(hub: Hub, options: Options) -> AsyncIterator[Result]:
    """The partner is down: nothing leaves, and everything is asked again and again."""
    for connections in (1, 8):
        name = f"down-{connections}"
        await _add(hub, name, 1, connections)
        queue = _Queue(hub, name)
        waiting = options.sized(100_000)
        before = await _costs(hub, queue)
        await queue.put(waiting)
        after = await _costs(hub, queue)
        for what, aim in (("enqueue", Aim(1.0, "less")), ("claim", Aim(20.0, "less"))):
            details = {"with_an_empty_queue": round(before[what], 3), "waiting": waiting}
            title = f"{what} with 100,000 waiting, {connections} connection{'s' if connections > 1 else ''}"
            yield Result("deliveries", title, after[what], "ms", aim, details=details)
        await hub.manage_destinations.remove(_OPERATOR, name, discard=True)


async def _costs(hub: Hub, queue: _Queue) -> dict[str, float]:
    """Milliseconds to queue one message, and to claim the destination with the messages that go next."""
    started = time.perf_counter()
    await queue.put(200)
    enqueue = (time.perf_counter() - started) * 1000 / 200
    rounds = 20
    started = time.perf_counter()
    for _ in range(rounds):
        turn = await hub.deliver_messages.claim()
        assert turn is not None
        async with hub.database.transaction() as tx:
            due = await queue.deliveries.due(tx, turn.destination, 50)
            assert due
            await queue.deliveries.renew(tx, turn.name, turn.lease, LEASE_SECONDS)
            await queue.deliveries.release(tx, turn.name, turn.lease)
    return {"enqueue": enqueue, "claim": (time.perf_counter() - started) * 1000 / rounds}


async def _add(hub: Hub, name: str, port: int, connections: int) -> None:
    terms = {"name": name, "host": "127.0.0.1", "port": port, "messages": ["ADT^A01"], "max_connections": connections}
    await hub.manage_destinations.add(_OPERATOR, terms)
