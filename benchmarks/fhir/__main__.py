"""python -m benchmarks.fhir --base URL: the workloads against any FHIR server, or against a hub started for it.

    python -m benchmarks.fhir --workload w1 --workload w4 --clients 8 --clients 32
    python -m benchmarks.fhir --base http://127.0.0.1:8080/fhir --server-pid 4711 --server-pid 4712

CPU seconds are those of the process trees under the given pids (server and postmaster), processes that ended among
them; the load generator's are not counted.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import click
import uvloop

from benchmarks.fhir import population as populations
from benchmarks.fhir.client import Target
from benchmarks.fhir.measuring import WORKLOADS, Figure, Plan, run_workload
from benchmarks.harness import machine
from benchmarks.hubs import running_hub
from benchmarks.processes import CpuMeter


@click.command()
@click.option("--base", help="A FHIR base URL, http:// on this machine. Without it a hub is started.")
@click.option("--token", default="", help="A bearer token for it.")
@click.option(
    "--server-pid", "pids", type=int, multiple=True, help="Root of a process tree to meter: server, database."
)
@click.option("--workload", "names", type=click.Choice(list(WORKLOADS)), multiple=True, help="Default: all, in order.")
@click.option("--clients", type=int, multiple=True, help="Default 8 and 32; more lines of figures with more.")
@click.option("--seconds", default=20.0, show_default=True, help="Of each run.")
@click.option("--copies", default=1, show_default=True, help="How often w2 sends its patients, as other people.")
@click.option(
    "--synthea", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of *.json.gz bundles."
)
@click.option("--encoding", default="gzip", show_default=True, help="Accept-Encoding of the requests.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
def main(
    base: str | None, token: str, pids: tuple[int, ...], names: tuple[str, ...], clients: tuple[int, ...],
    seconds: float, copies: int, synthea: Path | None, encoding: str, json_file: Path | None,
) -> None:  # fmt: skip
    """Measure requests, errors, percentiles, and what a second of CPU of server and database gives."""
    population = populations.load(synthea)
    click.echo(f"{population.origin}, {population.resources} resources")
    plan = Plan(clients or (8, 32), seconds, copies)
    figures = uvloop.run(_run(base, Target("", token, encoding), pids, names or tuple(WORKLOADS), plan, population))
    if json_file:
        document = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
        json_file.write_text(json.dumps(document, indent=1) + "\n")


async def _run(
    base: str | None, target: Target, pids: Sequence[int], names: Sequence[str], plan: Plan,
    population: populations.Population,
) -> list[Figure]:  # fmt: skip
    figures = []
    async with _server(base, target, pids) as (server, cpu):
        for name in names:
            async for figure in run_workload(name, server, cpu, population, plan):
                figures.append(figure)
                click.echo(figure.line)
                for failure, count in figure.failures.items():
                    click.echo(f"    {count} times {failure}")
    return figures


@asynccontextmanager
async def _server(base: str | None, target: Target, pids: Sequence[int]) -> AsyncIterator[tuple[Target, CpuMeter]]:
    if base:
        yield replace(target, base=base), CpuMeter(*pids)
        return
    async with running_hub() as hub:
        yield replace(target, base=f"http://{hub.http}/fhir", token=await hub.api_key("admin")), hub.cpu


if __name__ == "__main__":
    main()
