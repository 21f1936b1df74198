"""The FHIR workloads W1 to W5 on a hub of this machine, everything switched on; the price of each protection; a mixed
load; storage; and whether searches of a large store use their indexes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import asyncpg

from benchmarks import loads, messages
from benchmarks.fhir import population as populations
from benchmarks.fhir.client import Target, connections
from benchmarks.fhir.measuring import WORKLOADS, Figure, Plan, run_workload
from benchmarks.fhir.population import Population
from benchmarks.fhir.without import PROTECTIONS
from benchmarks.fhir.workloads import Tally, run
from benchmarks.harness import Aim, Options, Result, percentiles, scenario
from benchmarks.hubs import HEALTHSYNC, RunningHub, running_hub

_PER_CPU_SECOND = {"w1": Aim(2700), "w2": Aim(2250), "w3": Aim(1250), "w4": Aim(1650), "w5": Aim(18_500)}
"""Five times what HAPI 8.8.0 gives on a machine like this (W4: four times)."""
_SEARCH_P99 = Aim(30, "less")
_BYTES = Aim(2000, "less")
_TAX = Aim(30, "less")
_READ_P99 = Aim(50, "less")
_LARGE_TABLE = 10_000
_FILL = "HEALTHSYNC_BENCH_FILL"


@scenario("fhir_w1")
async def crud(options: Options) -> AsyncIterator[Result]:
    """W1: create, read, update and delete of nine types, 36 requests an iteration, 8 and 32 clients."""
    async for result in _workload("w1", options, (8, 32)):
        yield result


@scenario("fhir_w2")
async def transactions(options: Options) -> AsyncIterator[Result]:
    """W2: Synthea's transaction bundles, or made ones of their kind where Synthea's files are not here; 4 clients."""
    async for result in _workload("w2", options, (4,)):
        yield result


@scenario("fhir_w3")
async def searches(options: Options) -> AsyncIterator[Result]:
    """W3: string, date, token, quantity, composite and reference searches on the loaded store, 8 and 32 clients."""
    async for result in _workload("w3", options, (8, 32)):
        yield result


@scenario("fhir_w4")
async def pairs(options: Options) -> AsyncIterator[Result]:
    """W4: durable transactions of a Patient and an Observation, 1 to 128 clients."""
    async for result in _workload("w4", options, (1, 8, 32, 128)):
        yield result


@scenario("fhir_w5")
async def everything(options: Options) -> AsyncIterator[Result]:
    """W5: Patient/$everything with 1,000 resources a page, 8 and 32 clients."""
    async for result in _workload("w5", options, (8, 32)):
        yield result


@scenario("fhir_tax")
async def tax(options: Options) -> AsyncIterator[Result]:
    """What encryption, consent and audit cost: CPU for each unit of W1, W3 and W4 with each of them switched off."""
    names, clients = ("w1", "w3", "w4"), 8
    cost: dict[str, dict[str, float]] = {}
    for missing in ("nothing", *PROTECTIONS, "all"):
        command = HEALTHSYNC if missing == "nothing" else (sys.executable, "-m", "benchmarks.fhir.without", missing)
        cost[missing] = {}
        for name in names:
            async with running_hub(command=command) as hub:
                async for figure in _figures(hub, name, options, (clients,)):
                    _refuse_failures(figure)
                    cost[missing][name] = 1000 * figure.server_seconds / figure.units
    for missing, name in itertools.product(list(cost)[1:], names):
        with_it, without = cost["nothing"][name], cost[missing][name]
        yield Result(
            "fhir_tax", f"{name.upper()}, CPU that {missing} adds", 100 * (with_it / without - 1), "%",
            _TAX if missing == "all" else None,
            details={"ms with": round(with_it, 3), "ms without": round(without, 3)}, load_average=os.getloadavg()[0],
        )  # fmt: skip


@scenario("fhir_floor")
async def floor(options: Options) -> AsyncIterator[Result]:
    """What no hub goes below: the same web server, driver and PostgreSQL without a hub, one statement a request."""
    body, seconds = json.dumps(_population(options).one_of_each(("Observation",))["Observation"]).encode(), 10
    async with running_hub(command=(sys.executable, "-m", "benchmarks.fhir.floor")) as server:
        target = Target(f"http://{server.http}/fhir")
        for title, request, status in (
            ("a durable create", target.request("POST", "Observation", body), 201),
            ("a read", target.request("GET", "Observation/1"), 200),
        ):

            async def once(connection, tally: Tally, request: bytes = request, status: int = status) -> None:
                await tally.ask(connection, "request", request, (status,))

            await run(target, 8, once, 1)
            before = server.cpu.read()
            tally = await run(target, 8, once, 2 if options.quick else seconds)
            spent = {part: s for part, s in server.cpu.since(before).items() if part != "client"}
            done = tally.requests - tally.failures.total()
            yield Result("fhir_floor", f"{title}, a CPU second", done / sum(spent.values()), "requests",
                         details={part: f"{1e6 * s / done:.0f} µs" for part, s in spent.items()},
                         load_average=os.getloadavg()[0])  # fmt: skip


@scenario("fhir_mixed")
async def mixed(options: Options) -> AsyncIterator[Result]:
    """50 HL7 v2 messages a second in, half of them ORU with 30 OBX, while 100 reads and searches a second go out."""
    seconds, population = (6 if options.quick else 60), _population(options)
    async with running_hub() as hub:
        target = await _target(hub)
        await _load(hub, target, population)
        before = hub.cpu.read()
        sent, tally = await asyncio.gather(_feed(hub, 50, seconds), _reads(target, 100, seconds))
        spent = hub.cpu.since(before)
        late = await _until_processed(hub)
    load = os.getloadavg()[0]
    yield Result("fhir_mixed", "reads, p99 of all", percentiles(tally.all_latencies)["p99"], "ms", _READ_P99,
                 latency_ms=percentiles(tally.all_latencies), load_average=load)  # fmt: skip
    for operation, times in sorted(tally.latencies.items()):
        yield Result("fhir_mixed", f"{operation}, p99", percentiles(times)["p99"], "ms", latency_ms=percentiles(times))
    yield Result("fhir_mixed", "reads that failed", tally.failures.total(), "", Aim(0, "less"), load_average=load)
    yield Result("fhir_mixed", "messages acknowledged", sent.operations / seconds, "/s", Aim(49),
                 latency_ms=percentiles(sent.latencies), load_average=load)  # fmt: skip
    yield Result("fhir_mixed", "last message searchable after its end", late, "s")
    yield Result("fhir_mixed", "CPU of hub and database", sum(s for p, s in spent.items() if p != "client") / seconds,
                 "cores", details={part: round(s / seconds, 3) for part, s in spent.items()})  # fmt: skip


@scenario("fhir_storage")
async def storage(options: Options) -> AsyncIterator[Result]:
    """Bytes that a Synthea resource takes with all indexes, its history, its audit and its events, table by table."""
    population = _population(options)
    async with running_hub() as hub:
        figure = await _load(hub, await _target(hub), population)
        async with hub.database() as database:
            rows = await database.fetch(_SIZES)
            held = await _count(database)
    records = sum(row["size"] for row in rows if row["name"].startswith(_RECORDS))
    details = {"resources": held, "imported": figure.units, "population": population.origin}
    yield Result(
        "fhir_storage", "a resource with content and indexes", records / held, "bytes", _BYTES, details=details
    )
    yield Result("fhir_storage", "all tables, for a resource", sum(row["size"] for row in rows) / held, "bytes")
    for row in rows:
        if row["size"] / held >= 0.5:
            yield Result("fhir_storage", f"of it {row['name']}", row["size"] / held, "bytes", details={
                "rows": row["rows"], "heap": round(row["heap"] / held, 1), "indexes": round(row["indexes"] / held, 1),
                "toast": round((row["size"] - row["heap"] - row["indexes"]) / held, 1),
            })  # fmt: skip


@scenario("fhir_plans")
async def plans(options: Options) -> AsyncIterator[Result]:
    """Selective searches of a large store ($HEALTHSYNC_BENCH_FILL resources, 50,000 by default) scan no large table."""
    population = _population(options)
    wanted = int(os.environ.get(_FILL, "5000" if options.quick else "50000"))
    async with running_hub() as hub:
        target = await _target(hub)
        copies = max(1, round(wanted / population.resources))
        await _load(hub, target, population, copies)
        async with hub.database() as database:
            held = await _count(database)
            for name, address in await _selective(target):
                times, scanned = await _searched(target, database, address)
                yield Result(
                    "fhir_plans", f"{name}: scans of large tables", sum(scanned.values()), "", Aim(0, "less"),
                    details={"resources": held, "median ms": round(percentiles(times)["p50"], 2), **scanned},
                )  # fmt: skip


# How they are run


async def _workload(name: str, options: Options, clients: Sequence[int]) -> AsyncIterator[Result]:
    async with running_hub() as hub:
        async for figure in _figures(hub, name, options, clients):
            for result in _results(figure):
                yield result


async def _figures(hub: RunningHub, name: str, options: Options, clients: Sequence[int]) -> AsyncIterator[Figure]:
    target, population = await _target(hub), _population(options)
    if name in ("w3", "w5"):
        await _load(hub, target, population)
    async for figure in run_workload(
        name, target, hub.cpu, population, Plan(tuple(clients), 2 if options.quick else 20)
    ):
        yield figure


def _results(figure: Figure) -> list[Result]:
    title = f"{figure.workload.upper()} {WORKLOADS[figure.workload][0]}, {figure.clients} clients"
    cpu = {part: 1000 * seconds / max(figure.units, 1) for part, seconds in figure.cpu_seconds.items()}
    load, aimed = os.getloadavg()[0], figure.clients != 1
    results = [
        Result("fhir_" + figure.workload, title, figure.units / figure.seconds, f"{figure.unit}/s", None, cpu,
               figure.latency_ms, {"by operation": figure.by_operation_ms}, load),
        Result("fhir_" + figure.workload, f"{title}, a CPU second", figure.per_cpu_second, figure.unit,
               _PER_CPU_SECOND[figure.workload] if aimed else None, load_average=load),
        Result("fhir_" + figure.workload, f"{title}, failures", sum(figure.failures.values()), "", Aim(0, "less"),
               details=figure.failures, load_average=load),
    ]  # fmt: skip
    if figure.workload == "w3" and figure.clients == 8:
        results.append(
            Result("fhir_w3", f"{title}, p99", figure.latency_ms["p99"], "ms", _SEARCH_P99, load_average=load)
        )
    return results


def _population(options: Options) -> Population:
    whole = populations.load()
    return Population(whole.origin, whole.information, whole.patients[:6]) if options.quick else whole


async def _target(hub: RunningHub) -> Target:
    return Target(f"http://{hub.http}/fhir", await hub.api_key("admin"))


async def _load(hub: RunningHub, target: Target, population: Population, copies: int = 1) -> Figure:
    """Import the population, and let PostgreSQL see what is there, as its own statistics would a minute later."""
    figures = [f async for f in run_workload("w2", target, hub.cpu, population, Plan((4,), 0, copies))]
    _refuse_failures(figures[0])
    async with hub.database() as database:
        await database.execute("ANALYZE")
    return figures[0]


def _refuse_failures(figure: Figure) -> None:
    if figure.failures:
        raise RuntimeError(f"{figure.workload}: what failed costs less than what works: {dict(figure.failures)}")


# Mixed load


async def _feed(hub: RunningHub, rate: int, seconds: int) -> loads.Load:
    """Messages at a steady rate over four connections."""
    count = rate * seconds
    due = (messages.oru(n, n % 200 + 1) if n % 2 else messages.adt(n, n % 200 + 1) for n in range(1, count + 1))
    return await loads.mllp_paced(hub.mllp, due, 4, rate)


async def _reads(target: Target, rate: int, seconds: int) -> Tally:
    """Reads at a steady rate. Each is timed from when it was due, so that a stall counts for all that waited."""
    chance, tally = random.Random(50), Tally()
    async with connections(target, 1) as (connection,):
        patients = await _ids(target, connection, "Patient")
        observations = await _ids(target, connection, "Observation")
    asks = {
        "read Patient": lambda: f"Patient/{chance.choice(patients)}",
        "read Observation": lambda: f"Observation/{chance.choice(observations)}",
        "search Observation by patient": lambda: f"Observation?patient={chance.choice(patients)}&_count=20",
    }
    started = time.perf_counter()
    numbers = iter(range(rate * seconds))

    async def reader(connection) -> None:
        for number in numbers:
            due = started + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            operation = list(asks)[number % len(asks)]
            answer = await connection.send(target.request("GET", asks[operation]()))
            tally.requests += 1
            if answer.status == 200:
                tally.latencies[operation].append(time.perf_counter() - due)
            else:
                tally.failures[f"{operation} {answer.status}"] += 1

    async with connections(target, 16) as opened:
        await asyncio.gather(*map(reader, opened))
    return tally


async def _ids(target: Target, connection, resource_type: str) -> list[str]:
    answer = await connection.send(target.request("GET", f"{resource_type}?_count=200"))
    return [entry["resource"]["id"] for entry in answer.json()["entry"]]


async def _until_processed(hub: RunningHub) -> float:
    """Seconds until no accepted message waits."""
    began = time.perf_counter()
    async with hub.database() as database:
        while await database.fetchval("SELECT EXISTS (SELECT FROM message WHERE state = 'accepted')"):
            await asyncio.sleep(0.1)
    return time.perf_counter() - began


# Storage and plans

_RECORDS = ("resource", "index_", "search_")
_SIZES = """
    SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size, pg_relation_size(c.oid) AS heap,
           pg_indexes_size(c.oid) AS indexes, c.reltuples::bigint AS rows
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
    WHERE c.relkind = 'r' ORDER BY size DESC
"""
_SCANS = "SELECT relname, seq_scan, n_live_tup FROM pg_stat_user_tables WHERE schemaname = 'public'"


async def _count(database: asyncpg.Connection) -> int:
    held = int(await database.fetchval("SELECT count(*) FROM resource") or 0)
    await database.execute("SELECT pg_stat_force_next_flush()")  # this scan is ours, not that of a search
    return held


async def _selective(target: Target) -> list[tuple[str, str]]:
    """Searches that find few of many, with values that the store has."""
    async with connections(target, 1) as (connection,):
        patient = (await connection.send(target.request("GET", "Patient?_count=5"))).json()["entry"][-1]["resource"]
        encounter = (await connection.send(target.request("GET", "Encounter?_count=5"))).json()["entry"][-1]["resource"]
    id_, number = patient["id"], patient["identifier"][0]
    family, born = patient["name"][0]["family"], patient["birthDate"]
    return [
        ("Patient by identifier", f"Patient?identifier={number['system']}|{number['value']}"),
        ("Patient by family and birthdate", f"Patient?family={family}&birthdate={born}"),
        ("Patient by birthdate", f"Patient?birthdate={born}"),
        ("Observation by patient", f"Observation?patient={id_}"),
        ("Observation by patient and code", f"Observation?patient={id_}&code=http://loinc.org|8302-2"),
        ("Observation by code and date", "Observation?code=http://loinc.org|8302-2&date=ge2019-06-01&date=lt2019-06-08"),
        ("Observation by quantity of a code", "Observation?code-value-quantity=http://loinc.org|8302-2$lt60"),
        ("Observation by patient, newest first", f"Observation?patient={id_}&_sort=-date&_count=10"),
        ("Encounter by day", f"Encounter?date={encounter['period']['start'][:10]}"),
        ("Condition by patient", f"Condition?patient={id_}"),
        ("MedicationRequest by encounter", f"MedicationRequest?encounter={encounter['id']}"),
        ("Observation by a name of its patient", f"Observation?patient.family={family}"),
        ("Patient by a rare code of a condition", "Patient?_has:Condition:patient:code=http://snomed.info/sct|26929004"),
        ("Nothing by an id that nobody has", "Observation?subject=Patient/00000000-0000-0000-0000-000000000000"),
    ]  # fmt: skip


async def _searched(
    target: Target, database: asyncpg.Connection, address: str, times: int = 10
) -> tuple[list[float], Mapping[str, int]]:
    """Seconds of each search, and how often each large table was scanned meanwhile."""
    before = await _scans(database)
    taken = []
    async with connections(target, 1) as (connection,):
        for _ in range(times):
            started = time.perf_counter()
            answer = await connection.send(target.request("GET", address))
            taken.append(time.perf_counter() - started)
            if answer.status != 200:
                return taken, {f"answered {answer.status}": 1}
    after = await _scans(database)
    return taken, {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}


async def _scans(database: asyncpg.Connection) -> dict[str, int]:
    """Sequential scans of large tables so far. Sessions tell their counts a second later."""
    await asyncio.sleep(1.5)
    rows = await database.fetch(_SCANS)
    return {row["relname"]: row["seq_scan"] for row in rows if row["n_live_tup"] >= _LARGE_TABLE}
