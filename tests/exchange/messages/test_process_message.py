"""From stored bytes to the gate: once each, in order, and never lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from healthsync.domains.directory import Partner
from healthsync.entrypoints.worker import Worker
from healthsync.errors import InvalidInput, Unavailable
from healthsync.exchange.receive_message import Peer
from healthsync.infrastructure.database import Database

BUILD = Callable[..., bytes]
MERGE = "ADT^A40^ADT_A39"


async def accept(rig: Any, adt: BUILD, *patients: str) -> None:
    """One message for each patient, in this order; their sequences are 1, 2, 3, …"""
    await asyncio.gather(*(rig.receive(adt(f"C{n}", p), Peer("127.0.0.1")) for n, p in enumerate(patients, 1)))


def failing(*sequences: int, error: type[Exception] = RuntimeError) -> Callable[[int], Exception | None]:
    return lambda sequence: error("on purpose") if sequence in sequences else None


async def test_messages_are_processed_once_in_order_and_leave_their_lanes(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, "P1", "P2", "P1")
    assert await rig.process()() == 3
    assert await rig.process()() == 0
    assert await rig.stored() == [1, 2, 3]
    assert set((await rig.states()).values()) == {"processed"}
    assert await rig.rows("SELECT FROM message_lane") == await rig.rows("SELECT FROM message_attempt") == []
    done = await rig.one(1)
    assert (done.attempts, done.stored_resources, done.reason_code) == (1, 0, None)
    assert done.settled_at is not None


async def test_what_no_map_reads_is_counted(rig: Any, adt: BUILD) -> None:
    await rig.send(adt("C1", "P1", "ZPI|1|what", "ZPI|2|ever"))
    await rig.process()()
    assert (await rig.one(1)).unmapped["ZPI"] == 2


@pytest.mark.parametrize(("type", "code"), [("XYZ^Z99", "not-supported"), ("", "not-supported")])
async def test_a_message_that_no_map_knows_dies_at_once_with_its_reason(
    rig: Any, adt: BUILD, type: str, code: str
) -> None:
    await rig.send(adt("C1", type=type), adt("C2"))
    await rig.process()()
    assert await rig.states() == {1: "dead", 2: "processed"}
    dead = await rig.one(1)
    assert dead.reason_code == code and dead.reason and "Jane" not in dead.reason


async def test_a_failure_undoes_only_itself_and_holds_back_only_its_own_lanes(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, "P1", "P2", "P1", "P3")
    rig.gate.fail = failing(1)
    await rig.process()()
    assert await rig.stored() == [2, 4]
    waiting = await rig.one(1)
    assert (waiting.state, waiting.attempts, waiting.reason_code) == ("accepted", 1, "exception")
    assert "RuntimeError" in waiting.reason and "on purpose" not in waiting.reason
    assert (await rig.one(3)).attempts == 0
    assert await rig.process()() == 0

    rig.gate.fail = failing()
    rig.clock.at += timedelta(seconds=5)
    process = rig.process()
    while await process():
        pass
    assert await rig.stored() == [2, 4, 1, 3]


async def test_a_dead_letter_frees_its_lane(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, "P1", "P1")
    rig.gate.fail = failing(1, error=InvalidInput)
    await rig.process()()
    assert await rig.states() == {1: "dead", 2: "processed"}
    assert await rig.stored() == [2]


@pytest.mark.shows("worker.max_attempts")
async def test_after_the_last_attempt_a_message_is_dead(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, "P1", "P1")
    rig.gate.fail = failing(1)
    process = rig.process(max_attempts=3)
    for _ in range(12):
        await process()
        rig.clock.at += timedelta(seconds=60)
    assert await rig.states() == {1: "dead", 2: "processed"}
    assert (await rig.one(1)).attempts == 3


@pytest.mark.parametrize(("deadlocks", "state", "attempts"), [(1, "processed", 1), (9, "accepted", 1)])
async def test_a_deadlock_with_another_worker_is_tried_again_at_once(
    rig: Any, adt: BUILD, deadlocks: int, state: str, attempts: int
) -> None:
    await accept(rig, adt, "P1")
    left = iter(range(deadlocks))
    rig.gate.fail = lambda _: asyncpg.DeadlockDetectedError("on purpose") if next(left, None) is not None else None
    assert await rig.process()() == 1
    done = await rig.one(1)
    assert (done.state, done.attempts) == (state, attempts)


async def test_an_outage_kills_no_message_however_long_it_lasts(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, "P1")
    rig.gate.fail = failing(1, error=Unavailable)
    process = rig.process(max_attempts=2)
    for _ in range(6):
        assert await process() == 1
        rig.clock.at += timedelta(seconds=600)
    assert (await rig.one(1)).attempts == 0
    rig.gate.fail = failing()
    await process()
    assert await rig.states() == {1: "processed"}


async def test_a_merge_waits_for_both_its_numbers_and_both_wait_for_it(rig: Any, adt: BUILD) -> None:
    await rig.send(
        adt("C1", "OLD"),
        adt("C2", "NEW", "MRG|OLD^^^MERCY^MR", type=MERGE),
        adt("C3", "NEW"),
        adt("C4", "OLD"),
        adt("C5", "X"),
    )
    rig.gate.fail = failing(1)
    await rig.process()()
    assert await rig.stored() == [5]
    rig.gate.fail = failing()
    rig.clock.at += timedelta(seconds=60)
    process = rig.process()
    while await process():
        pass
    assert await rig.stored() == [5, 1, 2, 3, 4]


async def test_a_lane_that_is_stuck_at_the_front_does_not_starve_the_others(rig: Any, adt: BUILD) -> None:
    await accept(rig, adt, *["P1"] * 30, "P2")
    rig.gate.fail = failing(1)
    process = rig.process()
    await process(10)
    assert await process(10) == 1
    assert await rig.stored() == [31]


@pytest.mark.parametrize("seed", range(3))
async def test_several_workers_and_failing_messages_keep_every_lane_in_order(
    rig: Any, adt: BUILD, database_url: str, seed: int
) -> None:
    dice = random.Random(seed)
    for n in range(1, 121):
        patient, other = f"P{dice.randrange(6)}", f"P{dice.randrange(6)}"
        merge = [f"MRG|{other}^^^MERCY^MR"] if dice.random() < 0.15 else []
        await rig.send(adt(f"C{n}", patient, *merge, type=MERGE if merge else "ADT^A01^ADT_A01"))
    left = {n: dice.choice([0, 0, 0, 1, 2]) for n in range(1, 121)}

    def fail(sequence: int) -> Exception | None:
        left[sequence] -= 1
        return RuntimeError() if left[sequence] >= 0 else None

    rig.gate.fail = fail
    databases = [await Database.connect(database_url, max_size=3) for _ in range(3)]
    processes = [rig.process(database, first_wait_seconds=0.0, max_attempts=9) for database in databases]

    async def work(process: Any) -> None:
        idle = 0
        while idle < 5:
            idle = 0 if await process(dice.choice([1, 7, 50])) else idle + 1
            await asyncio.sleep(0.002)

    await asyncio.gather(*map(work, processes))
    for database in databases:
        await database.close()
    assert set((await rig.states()).values()) == {"processed"}
    order = await rig.stored()
    assert sorted(order) == list(range(1, 121))
    lanes = {row["sequence"]: set(row["lanes"]) for row in await rig.rows("SELECT sequence, lanes FROM message")}
    place = {sequence: n for n, sequence in enumerate(order)}
    inversions = [(a, b) for a in lanes for b in lanes if a < b and lanes[a] & lanes[b] and place[a] > place[b]]
    assert inversions == []


async def test_a_worker_that_dies_before_its_commit_leaves_nothing_behind_but_its_count(
    rig: Any, adt: BUILD, database_url: str
) -> None:
    await accept(rig, adt, "P1", "P2", "P3")
    dying = await Database.connect(database_url)
    rig.gate.hang = True
    task = asyncio.create_task(rig.process(dying)())
    await rig.gate.reached.wait()
    assert await rig.process()() == 0  # the batch is theirs while they live
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"
    )
    await admin.close()
    task.cancel()
    await asyncio.wait([task])
    await dying.close()

    assert await rig.stored() == []
    assert len(await rig.rows("SELECT FROM message_attempt")) == 3
    rig.gate.hang = False
    process = rig.process()
    assert [await process(), await process(), await process(), await process()] == [1, 1, 1, 0]  # each alone now
    assert await rig.stored() == [1, 2, 3]


async def test_a_message_whose_bytes_were_changed_in_store_dies_and_says_so(rig: Any, adt: BUILD) -> None:
    await rig.send(adt("C1"))
    await rig.rows("ALTER TABLE raw_message DISABLE TRIGGER immutable")
    await rig.rows("UPDATE raw_message SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)")
    await rig.process()()
    dead = await rig.one(1)
    assert (dead.state, dead.reason_code) == ("dead", "security")


async def test_the_worker_wakes_when_a_message_is_accepted_and_stops_when_told(rig: Any, adt: BUILD) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Worker(rig.process(), rig.database, poll_seconds=30).run(stop))
    await asyncio.sleep(0.3)
    await rig.send(adt("C1"))
    async with asyncio.timeout(5):
        while await rig.waiting():
            await asyncio.sleep(0.01)
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert await rig.stored() == [1]


@pytest.mark.parametrize(("declared", "family"), [("", "Łoś"), ("||||||8859/1", "£o¶")])
async def test_a_message_that_names_no_character_set_is_read_in_that_of_its_partner(
    rig: Any, adt: BUILD, declared: str, family: str
) -> None:
    async with rig.database.transaction() as tx:
        await rig.directory.add(tx, Partner("mercy", sending_facility="MERCY", character_encoding="8859/2"))
    await rig.send(adt("C1", tail=declared).replace(b"Doe", "Łoś".encode("iso8859-2")))
    await rig.process()()
    patient = next(r.resource for r in rig.gate.submissions[0].resources if r.resource["resourceType"] == "Patient")
    assert patient["name"][0]["family"] == family
