"""What a hub costs before it does anything: the time to start and the memory at rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from benchmarks.harness import Aim, Options, Result, scenario
from benchmarks.hubs import data_folder, start_hub
from benchmarks.processes import memory_by_part

_SETTLE_SECONDS = 5


@scenario("footprint")
async def footprint(options: Options) -> AsyncIterator[Result]:
    """Seconds from command to ready, on a new data folder and on one that exists; PSS of all processes at rest."""
    first, later, sizes = [], [], []
    for _ in range(options.repeats):
        async with data_folder() as folder:
            hub = await start_hub(folder)
            first.append(hub.start_seconds)
            await asyncio.sleep(1 if options.quick else _SETTLE_SECONDS)
            sizes.append(memory_by_part(hub.process.pid))
            await hub.stop()
            hub = await start_hub(folder)
            later.append(hub.start_seconds)
            await hub.stop()
    load = os.getloadavg()[0]
    yield Result("footprint", "first start, database created", min(first), "s", Aim(8, "less"), load_average=load)
    yield Result("footprint", "later start", min(later), "s", Aim(3, "less"), load_average=load)
    least = min(sizes, key=lambda size: sum(size.values()))
    yield Result(
        "footprint", "memory at rest, whole hub", sum(least.values()), "MB", Aim(300, "less"),
        details={part: round(size, 1) for part, size in least.items()}, load_average=load,
    )  # fmt: skip
