"""The master patient index at size: `python -m benchmarks.identity_index --persons 100000`

Loads generated households directly: sealed Patients under keys of their own, real tokens, a person each. Then it asks
who erroneous second registrations are (`match`: candidates, opening, comparing), and registers them. CPU is that of
this process; wall time has PostgreSQL's share and whatever else the machine does. At last it tells how large blocks
are, and how many tokens somebody would recover who knows how frequent each value is and ranks the tokens by frequency.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any
from uuid import uuid4

import click

from benchmarks.inside import open_fresh_hub
from healthsync.bootstrap import Hub
from healthsync.domains.identity import demographics_of
from healthsync.domains.identity.block_keys import VERSION, block_keys
from healthsync.domains.identity.linkage.population import Person, Population
from healthsync.domains.identity.tokens import fingerprint_of, tokens_of
from healthsync.domains.records.model import Change
from healthsync.infrastructure.crypto.blind_index import BlindIndex

_BATCH = 1000
_FIRST = 10_000_000


@click.command()
@click.option("--persons", default=20_000, show_default=True)
@click.option("--questions", default=1_000, show_default=True)
def main(persons: int, questions: int) -> None:
    """Measure matching and registering in an index of PERSONS."""
    asyncio.run(_measure(persons, questions))


async def _measure(persons: int, questions: int) -> None:
    population = Population(seed=4)
    people = population.records(persons, repeated=0.0)
    again = [population.registered_again(people[at * len(people) // questions]) for at in range(questions)]
    async with open_fresh_hub() as hub:
        started = time.process_time()
        for first in range(0, len(people), _BATCH):
            await _load(hub, people[first : first + _BATCH], _FIRST + first)
        click.echo(f"{len(people)} persons loaded, {1e6 * (time.process_time() - started) / len(people):.0f} µs each")
        async with hub.database.connection() as tx:
            await tx.execute("ANALYZE identity_block_key; ANALYZE identity_patient; ANALYZE resource")
        await _ask(hub, again, people)
        await _register(hub, again)
    _tell_leakage(people, population.records(persons, repeated=0.0))


def fhir(person: Person) -> dict[str, Any]:
    """A generated person as a Patient."""
    sex = {"M": "male", "F": "female"}.get(person.sex)
    said = {
        "resourceType": "Patient",
        "name": [{"family": person.family, "given": [part for part in (person.given, person.middle) if part]}],
        "birthDate": person.birth_date.isoformat(),
        "address": [
            {"line": [person.street], "city": person.city, "state": person.state, "postalCode": person.postal_code}
        ],
        "telecom": [
            {"system": system, "value": value}
            for system, value in (("phone", person.phone), ("email", person.email))
            if value
        ],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": person.ssn}] if person.ssn else [],
    }
    return said | ({"gender": sex} if sex else {})


async def _load(hub: Hub, people: Sequence[Person], first: int) -> None:
    index: BlindIndex = hub.identity._index
    vault, records, now = hub.ingest._vault, hub.ingest._records, datetime.now(UTC)
    rows: dict[str, list[tuple[Any, ...]]] = {"enterprise": [], "patient": [], "block_key": []}
    changes, keys = [], []
    for key, person in enumerate(people, first):
        id_ = f"bench-{key}"
        resource = {"id": id_, "meta": {"versionId": "1", "lastUpdated": now.isoformat()}, **fhir(person)}
        said, enterprise = demographics_of(resource), uuid4()
        tokens = tokens_of(index, key, "bench", said)
        data_key = vault.fresh_key(key)
        keys.append(data_key)
        changes.append(
            Change(
                key,
                records.index.key(f"Patient/{id_}"),
                "Patient",
                id_,
                1,
                now,
                key,
                b"",
                vault.seal(resource, data_key),
            )
        )
        rows["enterprise"].append((enterprise, None, now))
        rows["patient"].append(
            (key, id_, "bench", enterprise, None, None, list(fingerprint_of(index, key, said)), VERSION)
        )
        rows["block_key"] += [(token, key) for token in tokens.block_keys]
    async with hub.database.transaction() as tx:
        vault.keep_keys(tx, keys)
        records.write(tx, changes)
        for name, of_table in rows.items():
            await tx.connection.copy_records_to_table(f"identity_{name}", records=of_table)


async def _ask(hub: Hub, again: Sequence[Person], people: Sequence[Person]) -> None:
    truth = {f"bench-{_FIRST + at}": person.truth for at, person in enumerate(people)}
    cpu, wall, opened, right, wrong = [], [], [], 0, 0
    for number, person in enumerate(again):
        async with hub.database.transaction(read_only=True) as tx:
            counted = 0

            async def load(ids: Sequence[str], tx: Any = tx) -> Mapping[str, Any]:
                nonlocal counted
                counted += len(ids)
                return await _open(hub, tx, ids)

            asked, at, began = fhir(person), time.process_time(), time.perf_counter()
            found = await hub.identity.match(tx, asked, load, most=10)
            if number >= len(again) // 10:  # the first tenth warms caches up
                cpu.append(time.process_time() - at)
                wall.append(time.perf_counter() - began)
                opened.append(counted)
        certain = [one for one in found if one.comparison.links]
        right += any(truth[one.patient.patient_id] == person.truth for one in certain)
        wrong += any(truth[one.patient.patient_id] != person.truth for one in certain)
    _tell("match, CPU", cpu)
    _tell("match, wall", wall)
    click.echo(f"opened for a match: {sum(opened) / len(opened):.1f} on average, {max(opened)} at most")
    click.echo(f"links: {right / len(again):.3f} of the true ones, {wrong} false")


async def _open(hub: Hub, tx: Any, ids: Sequence[str]) -> Mapping[str, Any]:
    rows = await hub.ingest._records.current(tx, [("Patient", id_) for id_ in ids])
    documents = await hub.ingest._vault.open(tx, list(rows.values()))
    return {document["id"]: document for document in documents}


async def _register(hub: Hub, again: Sequence[Person]) -> None:
    cpu, wall = [], []
    for key, person in enumerate(again, 1):
        resource, at, began = fhir(person), time.process_time(), time.perf_counter()
        async with hub.database.transaction() as tx:
            await hub.identity.register(
                tx, key, f"again-{key}", "again", resource, lambda ids, tx=tx: _open(hub, tx, ids), is_new=True
            )
        if key > len(again) // 10:
            cpu.append(time.process_time() - at)
            wall.append(time.perf_counter() - began)
    _tell("register and link, CPU", cpu)
    _tell("register and link, wall", wall)


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
