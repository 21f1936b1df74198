"""Messages through one handler of the SDK: what the lease, the gate, the audit and the call cost together."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator

from benchmarks import messages
from benchmarks.harness import Load, Options, Result, measure, scenario
from benchmarks.inside import open_fresh_hub, process_all, receive
from benchmarks.processes import CpuMeter
from healthsync import AsyncHealthSync, HL7Message, HL7Parser
from healthsync.bootstrap import Hub
from healthsync.entrypoints.web.application import Application
from healthsync.entrypoints.web.server import WebServer
from healthsync.sdk.transports import HttpTransport, InsideTransport, Transport


@scenario("handlers")
async def handlers(options: Options) -> AsyncIterator[Result]:
    """ADT a second through one handler that reads a field, inside the hub and over HTTP; all in one process."""
    async with open_fresh_hub() as hub:
        _, key = await hub.register_client("benchmark", ["system"])
        numbers = itertools.count(1)

        async def ready() -> dict[str, bool]:
            return {}

        application = Application(hub, ready)
        server = WebServer(application, "127.0.0.1", 0)
        host, port = await server.start()
        transports: dict[str, Transport] = {
            "inside the hub": InsideTransport(application),
            "over HTTP": HttpTransport(f"http://{host}:{port}"),
        }
        for name, transport in transports.items():

            async def handle(name: str = name, transport: Transport = transport) -> Load:
                count = options.sized(600)
                return await _handled(
                    hub, key, transport, name.replace(" ", "-"), [next(numbers) for _ in range(count)]
                )

            yield await measure(
                "handlers",
                f"messages through one handler {name}",
                handle,
                options=options,
                cpu=CpuMeter(os.getpid()),
                unit="/s",
            )
        await hub.deliveries.end_waiting()
        await server.stop()


async def _handled(hub: Hub, key: str, transport: Transport, application: str, numbers: list[int]) -> Load:
    """Deliveries are there before the clock starts; it stops when the last is settled."""
    hs = AsyncHealthSync(key, name=application)
    hs.attach(transport)
    left, stop = set(numbers), asyncio.Event()

    @hs.on_hl7("ADT^*")
    async def read(message: HL7Message) -> None:
        HL7Parser(message).get("PID-3")
        left.pop()
        if not left:
            stop.set()

    named = [{"name": "read", "wants": ["hl7:ADT^*"]}]
    await hs.api.call("PUT", f"/applications/{application}", {"handlers": named})
    await receive(hub, (messages.adt(number) for number in numbers))
    await process_all(hub)
    while await hub.fan_out():
        continue
    began = time.perf_counter()
    await hs.run(stop)
    seconds = time.perf_counter() - began
    await hs.api.call("PUT", f"/applications/{application}", {"handlers": []})
    return Load(len(numbers), seconds)
