"""MLLP in: how many messages a second are durable and acknowledged."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

from benchmarks import loads, messages
from benchmarks.harness import Aim, Options, Result, measure, scenario
from benchmarks.hubs import running_hub

CONNECTIONS = (1, 16, 64)
_ACCEPTS = Aim(2000)
_PATIENTS = range(1, 501)


@scenario("mllp-accepts")
async def accepts(options: Options) -> AsyncIterator[Result]:
    """Accepts a second of `serve --role mllp`, which processes nothing: ADT of 1 kB, ORU of 4 kB with 30 OBX."""
    numbers = itertools.count(1)
    kinds = {
        "ADT 1 kB": lambda: messages.adt(next(numbers), _PATIENTS[0]),
        "ORU 4 kB, 30 OBX": lambda: messages.oru(next(numbers), _PATIENTS[0]),
    }
    async with running_hub("--role", "mllp") as hub:
        for kind, make in kinds.items():
            for connections in CONNECTIONS:
                count = options.sized(1500 if connections == 1 else 6000)

                async def send(count: int = count, connections: int = connections, make=make) -> loads.Load:
                    return await loads.mllp(hub.mllp, iter([make() for _ in range(count)]), connections)

                yield await measure(
                    "mllp-accepts",
                    f"MLLP accepts, {kind}, {connections} connections",
                    send,
                    options=options,
                    cpu=hub.cpu,
                    unit="/s",
                    aim=_ACCEPTS if connections == 16 else None,
                    warm_up=lambda send=send, connections=connections: send(count=64, connections=connections),
                )
