"""Runs a workload and makes its figures: units a second, units a second of CPU, percentiles, failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fhir.client import Target
from benchmarks.fhir.population import Population
from benchmarks.fhir.workloads import Crud, Everything, Import, Pairs, Searches, Tally
from benchmarks.harness import percentiles
from benchmarks.processes import CpuMeter

WORKLOADS: Mapping[str, tuple[str, str]] = {
    "w1": ("CRUD", "requests"),
    "w2": ("Synthea import", "resources"),
    "w3": ("search mix", "searches"),
    "w5": ("$everything", "resources"),
    "w4": ("durable transactions", "transactions"),
}
"""In the order in which they share a store: the patients of w4 have nothing that w3 and w5 could find."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes: numbers of clients, seconds of each, and how often w2 sends its patients."""

    clients: tuple[int, ...] = (8, 32)
    seconds: float = 20.0
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One run of one workload. `cpu_seconds` by part; `per_cpu_second` counts all parts but the client."""

    workload: str
    clients: int
    unit: str
    units: int
    seconds: float
    cpu_seconds: Mapping[str, float]
    latency_ms: Mapping[str, float]
    by_operation_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def server_seconds(self) -> float:
        """CPU seconds of server and database."""
        return sum(seconds for part, seconds in self.cpu_seconds.items() if part != "client")

    @property
    def per_cpu_second(self) -> float:
        """Units for each CPU second of server and database; 0 where no process is metered."""
        return self.units / self.server_seconds if self.server_seconds else 0.0

    @property
    def line(self) -> str:
        """For a person."""
        cpu = " ".join(f"{part} {1000 * s / max(self.units, 1):.3f}" for part, s in self.cpu_seconds.items())
        times = " ".join(f"{name} {ms:.1f}" for name, ms in self.latency_ms.items())
        return (
            f"{self.workload} {WORKLOADS[self.workload][0]:<20} {self.clients:>3} clients  "
            f"{self.units / self.seconds:>7,.0f} {self.unit}/s  {self.per_cpu_second:>7,.0f} per CPU-s  "
            f"CPU ms each: {cpu}  ms: {times}" + (f"  FAILED {sum(self.failures.values())}" if self.failures else "")
        )


async def run_workload(
    name: str, target: Target, cpu: CpuMeter, population: Population, plan: Plan
) -> AsyncIterator[Figure]:
    """The figures of a workload, one for each number of clients."""
    work = _work(name, target, population)
    if isinstance(work, Searches | Everything):
        await work.prepare()
    for clients in plan.clients:
        if isinstance(work, Import):
            runs: Any = lambda clients=clients: work.measure(clients, plan.copies)  # noqa: E731
        else:
            await work.measure(clients, min(3.0, plan.seconds / 4))  # warms up: plans, caches, pages
            runs = lambda clients=clients: work.measure(clients, plan.seconds)  # noqa: E731
        before = cpu.read()
        tally = await runs()
        yield _figure(name, clients, tally, cpu.since(before))
        if isinstance(work, Import):
            return  # the patients are there now: a second time they would be other work


def _work(name: str, target: Target, population: Population) -> Crud | Import | Searches | Pairs | Everything:
    match name:
        case "w1":
            return Crud(target, population)
        case "w2":
            return Import(target, population)
        case "w3":
            return Searches(target)
        case "w4":
            return Pairs(target)
        case "w5":
            return Everything(target)
    raise ValueError(f"there is no workload {name}")


def _figure(name: str, clients: int, tally: Tally, cpu: Mapping[str, float]) -> Figure:
    return Figure(
        workload=name,
        clients=clients,
        unit=WORKLOADS[name][1],
        units=tally.units,
        seconds=tally.seconds,
        cpu_seconds=dict(cpu),
        latency_ms=percentiles(tally.all_latencies),
        by_operation_ms={operation: percentiles(times) for operation, times in sorted(tally.latencies.items())},
        failures=dict(tally.failures),
    )
