"""The master patient index at size: `python -m benchmarks.identity_index --persons 1000000 --folder /tmp/mpi`

Loads generated households directly (COPY): sealed Patients under keys of their own, real tokens, a person each. Then it
asks who erroneous second registrations are (`match`: candidates, opening, comparing), and registers them through the
gate with everything on: one after the other, by 16 clients at once, and by 16 clients of several hub processes. CPU is
that of these processes, and of PostgreSQL where it is said; wall time has whatever else the machine does. At last it
tells how large blocks are, and how many tokens somebody would recover who knows how frequent each value is and ranks
the tokens by frequency.

With `--folder` the hub stays there, and the next run measures it again without loading.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import click
import psutil

from benchmarks.hubs import data_folder, run_command
from healthsync.bootstrap import Hub, open_hub
from healthsync.domains.access import Requester
from healthsync.domains.identity import demographics_of
from healthsync.domains.identity.block_keys import VERSION, block_keys
from healthsync.domains.identity.linkage.population import Person, Population
from healthsync.domains.identity.service import LARGEST_BLOCK
from healthsync.domains.identity.tokens import fingerprint_of, tokens_of
from healthsync.entrypoints.cli.serve import run_loop
from healthsync.entrypoints.serving import keep_for_good

_BATCH = 5_000
_PROCESSES = 2
_FIRST = 10_000_000
_LEAKAGE = 100_000
_CLIENTS = 16
_PARTS = 3
_WARMING = 200
_DESK = Requester(client_id="desk", roles=("admin",), purpose_of_use="TREAT")
_Rows = dict[str, list[tuple[Any, ...]]]
_Questions = list[tuple[Person, str]]
"""Second registrations, and the id of whom each is."""


@click.command()
@click.option("--persons", default=20_000, show_default=True)
@click.option("--questions", default=1_000, show_default=True)
@click.option("--processes", default=2, show_default=True, help="Hub processes that register together at last.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep the hub here.")
@click.option("--leakage/--no-leakage", default=True, help="Count what ranking tokens by frequency tells.")
def main(persons: int, questions: int, processes: int, folder: Path | None, leakage: bool) -> None:
    """Measure matching and registering in an index of PERSONS."""
    run_loop(_measure(persons, questions, processes, folder))  # as `healthsync serve` does
    if leakage:
        population = Population(seed=4)
        people = population.records(min(persons, _LEAKAGE), repeated=0.0)
        _tell_leakage(people, population.records(len(people), repeated=0.0))


async def _measure(persons: int, questions: int, processes: int, folder: Path | None) -> None:
    async with _hub_folder(folder) as data, open_hub(data) as hub:
        again = await _fill(hub, persons, questions, data.parent / "questions.pickle")
        await _index(hub, *_MADE, *(f"ANALYZE {table}" for table in _COLUMNS))
        await _tell_sizes(hub)
        postgres = await _postgres_of(hub)
        keep_for_good()  # as a hub that serves
        await _ask(hub, again, postgres)
        people = [person for person, _ in again]
        alone, by_one, by_several = (people[part::_PARTS] for part in range(_PARTS))
        await _register(hub, alone, postgres, clients=1)
        await _register(hub, by_one, postgres, clients=_CLIENTS)
        await asyncio.to_thread(_register_by_several, data, by_several, postgres, processes)


@asynccontextmanager
async def _hub_folder(folder: Path | None) -> AsyncIterator[Path]:
    if folder is None:
        async with data_folder() as data:
            yield data
        return
    folder.mkdir(exist_ok=True, parents=True)
    folder.chmod(0o755)
    if not (folder / "hub").exists():
        await run_command("init", str(folder / "hub"), "--development")
    yield folder / "hub"


def fhir(person: Person) -> dict[str, Any]:
    """A generated person as a Patient."""
    sex = {"M": "male", "F": "female"}.get(person.sex)
    said = {
        "resourceType": "Patient",
        "name": [{"family": person.family, "given": [part for part in (person.given, person.middle) if part]}],
        "birthDate": person.birth_date.isoformat(),
        "address": [
            {
                name: value
                for name, value in (
                    ("line", [person.street] if person.street else None),
                    ("city", person.city),
                    ("state", person.state),
                    ("postalCode", person.postal_code),
                )
                if value
            }
        ],
        "telecom": [
            {"system": system, "value": value}
            for system, value in (("phone", person.phone), ("email", person.email))
            if value
        ],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": person.ssn}] if person.ssn else [],
    }
    return {name: value for name, value in said.items() if value} | ({"gender": sex} if sex else {})


# Filling


async def _fill(hub: Hub, persons: int, questions: int, kept: Path) -> _Questions:
    """Load what is not there yet, so that a run that was ended goes on; answers whom to ask for."""
    async with hub.database.connection() as tx:
        done = await tx.fetchval("SELECT count(*) FROM identity_patient WHERE source = 'bench'")
    if kept.exists() and done >= persons:
        again: _Questions = pickle.loads(kept.read_bytes())
        return [(person, id_) for person, id_ in again if int(id_.removeprefix("bench-")) < _FIRST + done]
    began, population = time.perf_counter(), Population(seed=4)
    people = population.records(persons, repeated=0.0)
    places = [number * len(people) // questions for number in range(questions)]
    again = [(population.registered_again(people[at]), f"bench-{_FIRST + at}") for at in places]
    kept.write_bytes(pickle.dumps(again))  # of people who do not exist, read by this command alone
    _OPEN.append(hub)
    fork = multiprocessing.get_context("fork")  # the rows need the hub's keys, and no connection
    batches = [(people[first : first + _BATCH], _FIRST + first) for first in range(done, len(people), _BATCH)]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(_PROCESSES, mp_context=fork) as others, click.progressbar(length=len(batches)) as bar:
        if done == 0:
            await _index(hub, *_DROPPED)  # to keep eleven random entries a person in order takes longer
        ahead = [loop.run_in_executor(others, _rows, *batch) for batch in batches[: 2 * _PROCESSES]]
        for number in range(len(batches)):
            rows = await ahead.pop(0)
            if number + 2 * _PROCESSES < len(batches):
                ahead.append(loop.run_in_executor(others, _rows, *batches[number + 2 * _PROCESSES]))
            async with hub.database.transaction() as tx:
                for table, (columns, of_table) in rows.items():
                    await tx.connection.copy_records_to_table(table, columns=columns, records=of_table)
            bar.update(1)
            if not sys.stdout.isatty() and number % 20 == 19:
                click.echo(f"{done + (number + 1) * _BATCH} persons, {time.perf_counter() - began:.0f} s")
    click.echo(f"{len(people)} persons loaded in {time.perf_counter() - began:.0f} s")
    return again


_DROPPED = (
    "DROP INDEX IF EXISTS identity_block_key_patient",
    "ALTER TABLE identity_block_key DROP CONSTRAINT IF EXISTS identity_block_key_pkey",
)
_MADE = (
    "CREATE UNIQUE INDEX IF NOT EXISTS identity_block_key_pkey ON identity_block_key (token, patient_key)",
    "CREATE INDEX IF NOT EXISTS identity_block_key_patient ON identity_block_key (patient_key)",
)


async def _index(hub: Hub, *statements: str) -> None:
    async with hub.database.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0; SET LOCAL maintenance_work_mem = '512MB'")
        for statement in statements:
            await tx.execute(statement, timeout=1800)


_OPEN: list[Hub] = []
"""The hub, for the processes that make rows."""
_COLUMNS = {
    "data_key": ("scope", "version", "wrapped_by", "wrapped"),
    "resource": ("pid", "key", "resource_type", "id", "version", "updated_at", "patient_key", "digest"),
    "resource_content": ("pid", "packed", "identity", "narrative", "key_scope", "key_version"),
    "identity_enterprise": ("enterprise_id", "merged_into", "created_at"),
    "identity_patient": ("patient_key", "patient_id", "source", "enterprise_id", "fingerprint", "keys_version"),
    "identity_block_key": ("token", "patient_key"),
}


def _rows(people: Sequence[Person], first: int) -> dict[str, tuple[Sequence[str], list[tuple[Any, ...]]]]:
    """What the gate would have written of these people, beside the index of searches."""
    hub, now = _OPEN[0], datetime.now(UTC)
    index, vault, key_of, wrap = hub.identity._index, hub.ingest._vault, hub.ingest._records.index.key, hub.keyring.wrap
    rows: _Rows = {table: [] for table in _COLUMNS}
    for pid, person in enumerate(people, first):
        id_ = f"bench-{pid}"
        resource = {"id": id_, "meta": {"versionId": "1", "lastUpdated": now.isoformat()}, **fhir(person)}
        said, enterprise, data_key = demographics_of(resource, source="bench"), uuid4(), vault.fresh_key(pid)
        sealed = vault.seal(resource, data_key)
        rows["data_key"].append((data_key.scope, data_key.version, *wrap(data_key.key)))
        rows["resource"].append((pid, key_of(f"Patient/{id_}"), "Patient", id_, 1, now, pid, b""))
        rows["resource_content"].append(
            (pid, sealed.packed, sealed.identity, sealed.narrative, sealed.key_scope, sealed.key_version)
        )
        rows["identity_enterprise"].append((enterprise, None, now))
        fingerprint = list(fingerprint_of(index, pid, said))
        rows["identity_patient"].append((pid, id_, "bench", enterprise, fingerprint, VERSION))
        rows["identity_block_key"] += [(token, pid) for token in tokens_of(index, pid, "bench", said).block_keys]
    return {table: (columns, rows[table]) for table, columns in _COLUMNS.items()}


# Measuring


async def _tell_sizes(hub: Hub) -> None:
    async with hub.database.connection() as tx:
        persons = await tx.fetchval("SELECT count(*) FROM identity_patient")
        for table, bytes_ in await tx.fetch(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname = ANY($1) ORDER BY 1",
            list(_COLUMNS),
        ):
            click.echo(f"{table}: {bytes_ / persons:.0f} bytes a person")
        sizes = await tx.fetch(
            "SELECT size, count(*) AS blocks FROM"
            " (SELECT count(*) AS size FROM identity_block_key GROUP BY token) AS block GROUP BY 1 ORDER BY 1",
        )
    keys = sum(row["size"] * row["blocks"] for row in sizes)
    hot = sum(row["size"] * row["blocks"] for row in sizes if row["size"] > LARGEST_BLOCK)
    click.echo(
        f"{persons} persons, {keys / persons:.1f} keys each; blocks: largest {sizes[-1]['size']}, "
        f"{hot / keys:.5f} of the keys in blocks of more than {LARGEST_BLOCK}"
    )
    met = sum(row["size"] * (row["size"] - 1) * row["blocks"] for row in sizes if row["size"] <= LARGEST_BLOCK)
    click.echo(f"met under a key, on average: {met / persons:.2f} others")


async def _postgres_of(hub: Hub) -> Callable[[], float]:
    async with hub.database.connection() as tx:
        backend = psutil.Process(await tx.fetchval("SELECT pg_backend_pid()"))
    server = backend.parent()
    assert server is not None

    def spent() -> float:
        """CPU seconds of its sessions: those of one that ended are gone."""
        return sum(sum(process.cpu_times()[:2]) for process in server.children())

    return spent


async def _ask(hub: Hub, again: _Questions, postgres: Callable[[], float]) -> None:
    cpu, wall, opened, right, wrong = [], [], [], 0, 0
    before = postgres()
    for number, (person, true) in enumerate(again):
        async with hub.database.transaction(read_only=True) as tx:
            counted = 0

            async def load(asked: Mapping[str, int | None], tx: Any = tx) -> Mapping[str, Any]:
                nonlocal counted
                counted += len(asked)
                return await _open(hub, tx, asked)

            asked, at, began = fhir(person), time.process_time(), time.perf_counter()
            found = await hub.identity.match(tx, asked, load, most=10)
            if number >= len(again) // 10:  # the first tenth warms caches up
                cpu.append(time.process_time() - at)
                wall.append(time.perf_counter() - began)
                opened.append(counted)
        certain = [one for one in found if one.comparison.links and one.patient.source == "bench"]
        right += any(one.patient.patient_id == true for one in certain)
        wrong += any(one.patient.patient_id != true for one in certain)
    _tell("match, CPU", cpu)
    _tell("match, wall", wall)
    click.echo(f"match, database: mean {1000 * (postgres() - before) / len(again):.2f} ms of CPU")
    cuts = quantiles(opened, n=100)
    click.echo(f"opened for a match: p50 {cuts[49]:.0f}, p99 {cuts[98]:.0f}, at most {max(opened)}")
    click.echo(f"links: {right / len(again):.3f} of the true ones, {wrong} false")


async def _open(hub: Hub, tx: Any, ids: Iterable[str]) -> Mapping[str, Any]:
    beside = hub.ingest._vault.keys_beside  # as the gates look at candidates
    rows = await hub.ingest._records.current(tx, [("Patient", id_) for id_ in ids], beside=beside)
    documents = await hub.ingest._vault.open(tx, list(rows.values()))
    return {document["id"]: document for document in documents}


async def _register(hub: Hub, people: Sequence[Person], postgres: Callable[[], float], *, clients: int) -> None:
    await _all_clients(hub, people[:_WARMING], clients)  # each connection learns the types and plans of its statements
    people = people[_WARMING:]
    cpu, database, began = time.process_time(), postgres(), time.perf_counter()
    wall = await _all_clients(hub, people, clients)
    took, cpu, database = time.perf_counter() - began, time.process_time() - cpu, postgres() - database
    _tell(f"register, {clients} at once, wall", wall)
    _tell_rate(f"register, {clients} at once", len(people), took, cpu, database)


async def _all_clients(hub: Hub, people: Sequence[Person], clients: int) -> list[float]:
    """Through the gate: validated, sealed, indexed, matched, audited; how long each took."""
    wall, waiting = list[float](), iter(people)

    async def client() -> None:
        for person in waiting:
            began = time.perf_counter()
            await hub.write.create(_DESK, fhir(person))
            wall.append(time.perf_counter() - began)

    await asyncio.gather(*(client() for _ in range(clients)))
    return wall


def _register_by_several(data: Path, people: Sequence[Person], postgres: Callable[[], float], processes: int) -> None:
    """The same by several hub processes, which know nothing of each other but the database."""
    spawn = multiprocessing.get_context("spawn")
    together, told = spawn.Barrier(processes + 1), spawn.Queue()
    shares = [people[number::processes] for number in range(processes)]
    hubs = [spawn.Process(target=_share, args=(data, share, together, told, processes)) for share in shares]
    for process in hubs:
        process.start()
    together.wait()  # all are warm
    database, began = postgres(), time.perf_counter()
    together.wait()
    cpu, counts = zip(*(told.get() for _ in hubs), strict=True)
    took, database = time.perf_counter() - began, postgres() - database
    together.wait()  # their sessions ended no sooner than they were counted
    for process in hubs:
        process.join()
    _tell_rate(f"register, {_CLIENTS} at once by {processes} processes", sum(counts), took, sum(cpu), database)


def _share(data: Path, people: Sequence[Person], together: Any, told: Any, processes: int) -> None:
    async def run() -> None:
        async with open_hub(data) as hub:
            clients, warming = _CLIENTS // processes, _WARMING // processes
            await _all_clients(hub, people[:warming], clients)
            keep_for_good()
            together.wait()
            together.wait()
            began = time.process_time()
            await _all_clients(hub, people[warming:], clients)
            told.put((time.process_time() - began, len(people) - warming))
            await asyncio.to_thread(together.wait)

    run_loop(run())


def _tell_rate(what: str, count: int, took: float, cpu: float, database: float) -> None:
    click.echo(
        f"{what}: {count / took:.0f}/s; CPU of the hub {1000 * cpu / count:.2f} ms, of the database "
        f"{1000 * database / count:.2f} ms each: {count / (cpu + database):.0f} for a second of CPU"
    )


def _tell(what: str, seconds: Sequence[float]) -> None:
    cuts = quantiles(seconds, n=100)
    click.echo(
        f"{what}: p50 {1000 * cuts[49]:.2f} ms, p95 {1000 * cuts[94]:.2f}, p99 {1000 * cuts[98]:.2f}, "
        f"mean {1000 * sum(seconds) / len(seconds):.2f}"
    )


def _tell_leakage(people: Sequence[Person], known: Sequence[Person]) -> None:
    """`known` are others of the same population: what an attacker knows of the frequencies."""
    ours, theirs = (
        [key for person in side for key in block_keys(demographics_of(fhir(person)))] for side in (people, known)
    )
    for kind in sorted({key[0] for key in ours}):
        counts = Counter(key for key in ours if key[0] == kind)
        guessed = [key for key, _ in Counter(key for key in theirs if key[0] == kind).most_common()]
        by_rank = [key for key, _ in counts.most_common()]
        hits = sum(counts[key] for key, guess in zip(by_rank, guessed, strict=False) if key == guess)
        share = hits / counts.total()
        click.echo(f"{kind}: {len(counts)} blocks, largest {max(counts.values())}, recovered by rank {share:.5f}")


if __name__ == "__main__":
    main()
