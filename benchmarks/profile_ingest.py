"""Where does the CPU time of processing a message go? `python -m benchmarks.profile_ingest [--kind adt|oru|read]`

cProfile makes small functions look dear: believe the order, measure a change with `python -m benchmarks --only parts`.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable

import click
import uvloop

from benchmarks import messages
from benchmarks.inside import open_fresh_hub, process_all, receive
from healthsync.bootstrap import Hub
from healthsync.domains.access import Requester

_KNOWN = range(1, 201)


@click.command()
@click.option("--kind", type=click.Choice(["adt", "oru", "read"]), default="oru", show_default=True)
@click.option("--count", default=200, show_default=True, help="Messages or reads under the profiler.")
@click.option("--sort", default="tottime", show_default=True, type=click.Choice(["tottime", "cumtime", "ncalls"]))
@click.option("--lines", default=50, show_default=True)
@click.option("--save", type=click.Path(dir_okay=False), help="Keep the profile for another viewer.")
def main(kind: str, count: int, sort: str, lines: int, save: str | None) -> None:
    """Profile the processing of messages, or audited reads, in this process."""
    profile = uvloop.run(_profile(kind, count))
    if save:
        profile.dump_stats(save)
    pstats.Stats(profile).sort_stats(sort).print_stats(lines)


async def _profile(kind: str, count: int) -> cProfile.Profile:
    async with open_fresh_hub() as hub:
        await receive(hub, messages.adts(1, len(_KNOWN)))
        await process_all(hub)
        if kind == "read":
            ids = await _patient_ids(hub)
            work = lambda: _read_all(hub, [ids[n % len(ids)] for n in range(count)])  # noqa: E731
        else:
            make = messages.adts if kind == "adt" else lambda first, number: messages.orus(first, number, _KNOWN)
            for first in (1_000_000, 2_000_000):  # the first half warms caches up
                await receive(hub, make(first, count))
                if first == 1_000_000:
                    await process_all(hub)
            work = lambda: process_all(hub)  # noqa: E731
        return await _under_profile(work, count)


async def _under_profile(work: Callable[[], Awaitable[object]], count: int) -> cProfile.Profile:
    profile, started = cProfile.Profile(time.process_time), time.process_time()
    with profile:
        await work()
    click.echo(f"{1000 * (time.process_time() - started) / count:.2f} ms of CPU each, under the profiler")
    return profile


async def _patient_ids(hub: Hub) -> list[str]:
    async with hub.database.connection() as tx:
        return [row["id"] for row in await tx.fetch("SELECT id FROM resource WHERE resource_type = 'Patient'")]


async def _read_all(hub: Hub, ids: list[str]) -> None:
    requester = Requester(client_id="bench", roles=("physician",), purpose_of_use="TREAT")
    for id_ in ids:
        await hub.disclose.read(requester, "Patient", id_)


if __name__ == "__main__":
    main()
