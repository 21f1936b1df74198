"""The event log on a real database: nothing lost, nothing twice, nothing too early."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.events import Event, EventLog, StoredEvent

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database, FixedClock(AT))


async def append(database: Database, log: EventLog, *subjects: str, name: str = "thing.made") -> None:
    async with database.transaction() as tx:
        await log.append_many(tx, [Event(name, subject) for subject in subjects])


async def take(database: Database, log: EventLog, consumer: str = "reader", limit: int = 500) -> list[str]:
    async with database.transaction() as tx:
        return [event.subject for event in await log.take(tx, consumer, ["thing.made"], limit=limit)]


async def test_an_event_comes_out_as_it_went_in(database: Database, log: EventLog):
    async with database.transaction() as tx:
        await log.append(tx, "thing.made", subject="Thing/1", data={"version": 3, "codes": ["a"]})
    async with database.transaction() as tx:
        (event,) = await log.take(tx, "reader", ["thing.made"])
    assert (event.name, event.subject, event.data, event.occurred_at) == (
        "thing.made", "Thing/1", {"version": 3, "codes": ["a"]}, AT,
    )  # fmt: skip


async def test_transaction_ids_of_more_digits_come_later_and_move_the_place(database: Database, log: EventLog):
    async with database.transaction() as tx:
        for xid in ("9", "10", "99", "100"):
            await tx.execute(
                "INSERT INTO event_log (xid, name, subject, data, occurred_at) VALUES ($1::text::xid8, 'thing.made', $1, '{}', $2)",
                xid,
                AT,
            )
    assert await take(database, log, limit=3) == ["9", "10", "99"]
    assert await take(database, log) == ["100"]
    assert await take(database, log) == []


async def test_an_event_of_a_change_that_was_undone_never_happened(database: Database, log: EventLog):
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await log.append(tx, "thing.made", subject="Thing/1")
            raise ZeroDivisionError
    assert await take(database, log) == []


async def test_appending_nothing_writes_nothing(database: Database, log: EventLog):
    await append(database, log)
    assert await take(database, log) == []


async def test_each_consumer_has_a_place_of_its_own_and_sees_each_event_once_in_order(
    database: Database, log: EventLog
):
    await append(database, log, "1", "2")
    await append(database, log, "3")
    assert await take(database, log, "one", limit=2) == ["1", "2"]
    assert await take(database, log, "two") == ["1", "2", "3"]
    assert await take(database, log, "one") == ["3"]
    assert await take(database, log, "one") == []


async def test_events_of_other_names_are_passed_over(database: Database, log: EventLog):
    await append(database, log, "other", name="thing.broken")
    await append(database, log, "mine")
    await append(database, log, "other", name="thing.broken")
    assert await take(database, log) == ["mine"]
    async with database.connection() as tx:
        assert await log.waiting(tx, "reader", ["thing.made", "thing.broken"]) == 0
        assert await log.waiting(tx, "new", ["thing.made", "thing.broken"]) == 3


async def test_a_transaction_that_commits_late_is_not_stepped_over(database: Database, log: EventLog):
    async with database.transaction() as late:
        await log.append(late, "thing.made", subject="late")
        await late.flush()
        await append(database, log, "early")  # a higher position, committed first
        assert await take(database, log) == []
    assert await take(database, log) == ["late", "early"]


async def test_the_place_moves_only_when_the_effect_commits(database: Database, log: EventLog):
    await append(database, log, "1")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            assert len(await log.take(tx, "reader", ["thing.made"])) == 1
            raise ZeroDivisionError
    assert await take(database, log) == ["1"]


async def test_a_log_from_a_server_with_higher_transaction_ids_is_refused(database: Database, log: EventLog):
    await append(database, log, "1")
    assert await take(database, log) == ["1"]
    async with database.connection() as tx:
        await tx.execute("UPDATE event_consumer SET xid = '99999999'")
    with pytest.raises(ConfigurationError, match="pg_resetwal"):
        await take(database, log)


async def test_two_workers_of_one_consumer_never_see_the_same_event(database: Database, log: EventLog):
    await append(database, log, *map(str, range(40)))
    seen: list[str] = []

    async def work() -> None:
        while batch := await take(database, log, limit=7):
            seen.extend(batch)

    await asyncio.gather(work(), work(), work())
    assert sorted(seen, key=int) == list(map(str, range(40)))


async def test_one_transaction_notifies_once_however_much_it_appends(
    database: Database, log: EventLog, database_url: str
):
    heard: list[str] = []
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("event_log", lambda *_: heard.append("woken"))
    async with database.transaction() as tx:
        for number in range(5):
            await log.append(tx, "thing.made", subject=str(number))
    await listener.fetchval("SELECT 1")
    await asyncio.sleep(0.05)
    await listener.close()
    assert heard == ["woken"]


class Consumer:
    """Collects what `consume` hands over; fails as often as it was told to."""

    def __init__(self, failures: int = 0) -> None:
        self.seen: list[str] = []
        self.failures = failures
        self.changed = asyncio.Event()

    async def handle(self, tx: Transaction, events: list[StoredEvent]) -> None:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        self.seen += [event.subject for event in events]
        self.changed.set()

    async def wait_for(self, count: int) -> list[str]:
        async with asyncio.timeout(5):
            while len(self.seen) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.seen


async def test_a_consumer_is_woken_long_before_it_would_poll(database: Database, log: EventLog):
    consumer = Consumer()
    task = asyncio.create_task(log.consume("reader", ["thing.made"], consumer.handle, limit=2, poll_seconds=60))
    await append(database, log, "1", "2", "3")
    assert await consumer.wait_for(3) == ["1", "2", "3"]
    await append(database, log, "4")
    assert await consumer.wait_for(4) == ["1", "2", "3", "4"]
    task.cancel()
    await asyncio.wait([task])


async def test_a_consumer_polls_when_the_wake_up_is_lost(database: Database, log: EventLog):
    consumer = Consumer()
    task = asyncio.create_task(log.consume("reader", ["thing.made"], consumer.handle, poll_seconds=0.05))
    await asyncio.sleep(0.2)
    async with database.connection() as tx:
        await tx.execute(
            "INSERT INTO event_log (name, subject, data, occurred_at) VALUES ('thing.made', '1', '{}', now())"
        )
    assert await consumer.wait_for(1) == ["1"]
    task.cancel()
    await asyncio.wait([task])


async def test_an_effect_that_failed_is_tried_again_with_the_same_events(database: Database, log: EventLog):
    consumer = Consumer(failures=1)
    await append(database, log, "1")
    with pytest.raises(ZeroDivisionError):
        await log.consume("reader", ["thing.made"], consumer.handle)
    task = asyncio.create_task(log.consume("reader", ["thing.made"], consumer.handle))
    assert await consumer.wait_for(1) == ["1"]
    task.cancel()
    await asyncio.wait([task])
