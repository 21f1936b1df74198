"""The whole way of a message: from the first byte to FHIR that a search finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from benchmarks import loads, messages
from benchmarks.harness import Aim, Load, Options, Result, measure, scenario
from benchmarks.hubs import RunningHub, running_hub
from benchmarks.processes import memory_by_part

_CONNECTIONS = 16
_UNSETTLED = "SELECT count(*) FROM message WHERE state = 'accepted'"
_SPAN = """
SELECT count(*), extract(epoch FROM max(settled_at) - min(received_at)), count(*) FILTER (WHERE state = 'dead')
FROM message WHERE sequence > $1
"""


async def send_and_settle(hub: RunningHub, batch: Iterator[bytes]) -> Load:
    """Send a batch and wait until all of it is processed; the time is from the first accept to the last commit."""
    async with hub.database() as database:
        last = await database.fetchval("SELECT coalesce(max(sequence), 0) FROM message")
        accepted = await loads.mllp(hub.mllp, batch, _CONNECTIONS)
        while await database.fetchval(_UNSETTLED):
            await asyncio.sleep(0.25)
        span = await database.fetchrow(_SPAN, last)
        assert span is not None
        count, seconds, dead = span
    if dead:
        raise RuntimeError(f"{dead} messages could not be processed")
    return Load(count, float(seconds), details={"accepted_a_second": round(accepted.operations / accepted.seconds)})


@scenario("processing")
async def processing(options: Options) -> AsyncIterator[Result]:
    """Messages a second to searchable FHIR through `serve`: admissions of new patients, results of known patients."""
    async with running_hub() as hub:
        next_number = 1

        def numbers(count: int) -> int:
            nonlocal next_number
            next_number += count
            return next_number - count

        patients = range(1, options.sized(250) + 1)
        await send_and_settle(hub, messages.adts(numbers(len(patients)), len(patients)))
        # The laboratory is a source of its own: with a first result of each, its patients are known too.
        await send_and_settle(hub, messages.orus(numbers(len(patients)), len(patients), patients))

        async def admissions() -> Load:
            count = options.sized(1000)
            return await send_and_settle(hub, messages.adts(numbers(count), count))

        async def results() -> Load:
            count = options.sized(500)
            return await send_and_settle(hub, messages.orus(numbers(count), count, patients))

        for name, run, aim in (
            ("ADT A01 of new patients to FHIR", admissions, None),
            ("ORU with 30 OBX to FHIR", results, Aim(100)),
        ):
            yield await measure("processing", name, run, options=options, cpu=hub.cpu, unit="/s", aim=aim)

        sizes = memory_by_part(hub.process.pid)
        yield Result("processing", "memory after this load, whole hub", sum(sizes.values()), "MB",
                     details={part: round(size, 1) for part, size in sizes.items()})  # fmt: skip
        async for size in _storage(hub):
            yield size


async def _storage(hub: RunningHub) -> AsyncIterator[Result]:
    """Bytes a row, with indexes, of every table that grows with the data."""
    async with hub.database() as database:
        await database.execute("ANALYZE")
        rows = await database.fetch(
            "SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size, pg_relation_size(c.oid) AS heap"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'"
            " WHERE c.relkind = 'r' ORDER BY size DESC"
        )
        resources = await database.fetchval("SELECT count(*) FROM resource") or 1
        stored = ("resource", "resource_content", "index_token", "index_string", "index_date")
        total = sum(row["size"] for row in rows if row["name"] in stored)
        yield Result("processing", "storage of a resource with its index", total / resources, "bytes",
                     details={"resources": resources})  # fmt: skip
        for row in rows:
            count = await database.fetchval(f'SELECT count(*) FROM "{row["name"]}"') or 0
            if count >= 100:
                yield Result("processing", f"storage of a row of {row['name']}", row["size"] / count, "bytes",
                             details={"rows": count, "of_it_heap": round(row["heap"] / count, 1)})  # fmt: skip
