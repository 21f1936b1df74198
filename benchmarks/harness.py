"""What every benchmark shares: scenarios by name, warm-up and repeats, percentiles, CPU per operation, JSON out.

On a machine that others use, wall-clock figures vary and CPU time per operation hardly does. So both are taken, the
quietest of the repeats is kept, and the load average stands beside it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.processes import CpuMeter


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should reach: at least (`more`) or at most (`less`) a value."""

    value: float
    better: str = "more"

    def met_by(self, value: float) -> bool:
        """Whether a figure reaches it."""
        return value >= self.value if self.better == "more" else value <= self.value


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of a load did: how many operations in how many seconds, and how long each took (seconds)."""

    operations: int
    seconds: float
    latencies: Sequence[float] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `cpu_ms` is CPU time per operation by part (hub, worker, database, client), in milliseconds."""

    scenario: str
    name: str
    value: float
    unit: str
    aim: Aim | None = None
    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    load_average: float = 0.0

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no aim."""
        return "" if self.aim is None else "met" if self.aim.met_by(self.value) else "missed"


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to measure: `quick` shows that everything runs, its figures mean little."""

    quick: bool = False

    @property
    def repeats(self) -> int:
        """Runs of which the quietest counts."""
        return 1 if self.quick else 3

    def sized(self, full: int) -> int:
        """The number of operations of a run."""
        return max(32, full // 10) if self.quick else full


Scenario = Callable[[Options], AsyncIterator[Result]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Register a scenario: an async generator of results, named for `--only`. Its docstring says what it measures."""

    def register(run: Scenario) -> Scenario:
        if name in SCENARIOS:
            raise ValueError(f"two scenarios are named {name}")
        SCENARIOS[name] = run
        return run

    return register


async def measure(
    scenario_name: str,
    name: str,
    run: Callable[[], Awaitable[Load]],
    *,
    options: Options,
    cpu: CpuMeter,
    unit: str,
    aim: Aim | None = None,
    warm_up: Callable[[], Awaitable[Any]] | None = None,
) -> Result:
    """Warm up, run `repeats` times, keep the run with the best rate."""
    if warm_up is not None:
        await warm_up()
    best: Result | None = None
    for _ in range(options.repeats):
        before = cpu.read()
        load = await run()
        spent = cpu.since(before)
        result = Result(
            scenario_name,
            name,
            load.operations / load.seconds,
            unit,
            aim,
            {part: 1000 * seconds / load.operations for part, seconds in spent.items()},
            percentiles(load.latencies),
            {"operations": load.operations, "seconds": round(load.seconds, 3), **load.details},
            os.getloadavg()[0],
        )
        if best is None or result.value > best.value:
            best = result
    assert best is not None
    return best


def time_calls(
    scenario_name: str, name: str, call: Callable[[], Any], options: Options, aim: Aim | None = None
) -> Result:
    """CPU time of one call, in microseconds: the least of several loops of about a fifth of a second each."""
    call()  # what is made on first use is made now
    number = 1
    while (seconds := _loop(call, number)) < 0.02:
        number *= 4
    number = max(1, int(number * (0.02 if options.quick else 0.2) / seconds))
    least = min(_loop(call, number) for _ in range(1 if options.quick else 5)) / number
    return Result(
        scenario_name, name, least * 1e6, "µs CPU", aim, details={"calls": number}, load_average=os.getloadavg()[0]
    )


def _loop(call: Callable[[], Any], number: int) -> float:
    started = time.process_time()
    for _ in range(number):
        call()
    return time.process_time() - started


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds (nearest rank)."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {f"p{p}": 1000 * ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}


def machine() -> dict[str, Any]:
    """The machine without its name and paths."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def as_document(results: Sequence[Result]) -> dict[str, Any]:
    """Machine and results, ready for JSON."""
    return {"machine": machine(), "results": [{**asdict(result), "verdict": result.verdict} for result in results]}


def as_line(result: Result) -> str:
    """A result for a person."""
    value = f"{result.value:,.0f}" if result.value >= 100 else f"{result.value:,.2f}"
    parts = [f"{result.name:<46} {value:>9} {result.unit:<8}"]
    if result.cpu_ms:
        parts.append("CPU ms/op " + " ".join(f"{part} {ms:.2f}" for part, ms in result.cpu_ms.items() if ms >= 0.005))
    if result.details and not result.cpu_ms:
        parts.append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.details.items()))
    if result.latency_ms:
        parts.append(" ".join(f"{name} {ms:.1f} ms" for name, ms in result.latency_ms.items()))
    if result.aim:
        parts.append(f"aim {'≥' if result.aim.better == 'more' else '≤'} {result.aim.value:g}: {result.verdict}")
    return "  ".join(parts)
