"""Jobs as rows: claimed once, carried on, fenced off, removed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import ClaimLost, Job, JobFile, JobState, JobTable, TooManyJobs, require_allowed

HOSTS = ["a.example.org"]
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def table(database: Database, clock: FixedClock) -> JobTable:
    keyring = InsecureDevelopmentKeyring()
    return JobTable(database, clock, keyring, lease=timedelta(seconds=30), keep=timedelta(hours=24), webhook_hosts=HOSTS)  # fmt: skip


async def add(table: JobTable, database: Database, kind: str = "k", owner: str = "c", **more: Any) -> Job:
    async with database.transaction() as tx:
        return await table.add(tx, kind, owner, {"asked": "Quennell"}, **more)


async def find(table: JobTable, database: Database, job: Job) -> Job | None:
    async with database.connection() as tx:
        return await table.find(tx, job.id)


async def test_a_job_is_claimed_by_one_worker_only_and_the_oldest_first(table, database, clock):
    first = await add(table, database)
    clock.at += timedelta(seconds=1)
    second = await add(table, database)
    claimed = await asyncio.gather(*(table.claim(["k"]) for _ in range(5)))
    assert sorted(job.id for job in claimed if job) == sorted((first.id, second.id))
    third = await add(table, database)
    assert await table.claim(["other"]) is None
    assert (await table.claim(["other", "k"])).id == third.id


async def test_a_worker_that_falls_silent_loses_its_job_and_can_write_nothing_more(table, database, clock):
    await add(table, database)
    dead = await table.claim(["k"])
    async with database.transaction() as tx:
        await table.advance(tx, dead, {"at": 7}, done=7)
    clock.at += timedelta(seconds=29)
    assert await table.claim(["k"]) is None
    clock.at += timedelta(seconds=2)
    heir = await table.claim(["k"])
    assert (heir.id, heir.position, heir.done, heir.attempts) == (dead.id, {"at": 7}, 7, 2)
    assert not await table.heartbeat(dead)
    with pytest.raises(ClaimLost):
        async with database.transaction() as tx:
            await table.add_file(tx, dead, JobFile(1, "output", "Patient", "x/1", 1, 1))
            await table.advance(tx, dead, {"at": 8}, done=1)
    async with database.transaction() as tx:
        with pytest.raises(ClaimLost):
            await table.complete(tx, dead, {})
        assert await table.files(tx, heir) == []
        await table.complete(tx, heir, {"all": 1})
    assert (await find(table, database, heir)).result == {"all": 1}


async def test_a_sign_of_life_keeps_the_job(table, database, clock):
    await add(table, database)
    mine = await table.claim(["k"])
    for _ in range(3):
        clock.at += timedelta(seconds=25)
        assert await table.heartbeat(mine)
        assert await table.claim(["k"]) is None


async def test_cancelling_takes_the_job_from_its_worker(table, database):
    await add(table, database)
    mine = await table.claim(["k"])
    async with database.transaction() as tx:
        assert await table.cancel(tx, mine.id)
        assert not await table.cancel(tx, mine.id)
    assert not await table.heartbeat(mine)
    assert (await find(table, database, mine)).state is JobState.CANCELLED
    assert await table.claim(["k"]) is None


async def test_a_released_job_goes_to_another_worker_at_once(table, database):
    await add(table, database)
    await table.release(await table.claim(["k"]))
    assert (await table.claim(["k"])).attempts == 2


async def test_a_job_that_its_maker_runs_is_nobody_elses_while_he_lives(table, database, clock):
    mine = await add(table, database, claimed=True)
    assert await table.claim(["k"]) is None
    assert await table.claim_one(mine.id) is None
    clock.at += timedelta(seconds=31)
    assert (await table.claim_one(mine.id)).id == mine.id


async def test_an_owner_has_no_more_jobs_at_work_than_allowed_however_many_ask_at_once(table, database):
    asked = await asyncio.gather(*(add(table, database, most_unfinished=2) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(one, Job) for one in asked) == 2
    assert sum(isinstance(one, TooManyJobs) for one in asked) == 4
    await add(table, database, owner="other", most_unfinished=2)


async def test_what_was_asked_and_the_position_are_sealed_and_bound_to_the_job(table, database):
    one = await add(table, database)
    other = await add(table, database)
    async with database.transaction() as tx:
        assert b"Quennell" not in await tx.fetchval("SELECT request FROM job WHERE id = $1", one.id)
        await tx.execute(
            "UPDATE job SET request = o.request FROM job o WHERE o.id = $1 AND job.id = $2", one.id, other.id
        )
    with pytest.raises(Exception, match="did not open"):
        await find(table, database, other)
    assert (await find(table, database, one)).request == {"asked": "Quennell"}


@pytest.mark.parametrize(("url", "allowed"), [
    ("https://a.example.org/done", True), ("https://A.example.org/done", True), ("https://a.example.org:443/done", True),
    ("http://a.example.org/done", False), ("https://a.example.org:8443/", False), ("https://b.example.org/", False),
    ("https://a.example.org.evil.example/", False), ("https://a.example.org@127.0.0.1/", False), ("https://127.0.0.1/", False),
    ("https://user@a.example.org/", False), ("https://a.example.org:x/", False), ("file:///etc/passwd", False), ("", False),
])  # fmt: skip
def test_an_address_that_a_client_names_is_https_on_a_named_host(url, allowed):
    if allowed:
        assert require_allowed(url, HOSTS) == url
    else:
        with pytest.raises(InvalidInput):
            require_allowed(url, HOSTS)


async def test_a_job_whose_webhook_is_elsewhere_is_refused(table, database):
    await add(table, database, webhook="https://a.example.org/done")
    with pytest.raises(InvalidInput):
        await add(table, database, webhook="https://b.example.org/done")


async def test_what_is_past_its_time_goes_with_its_files_which_go_first(table, database, clock):
    await add(table, database)
    job = await table.claim(["k"])
    async with database.transaction() as tx:
        await table.add_file(tx, job, JobFile(1, "output", "Patient", f"{job.id}/1", 1, 1))
        await table.add_issues(tx, job, [{"code": "x"}])
        await table.complete(tx, job, {})
    deleted: list[str] = []

    async def delete(folder: str) -> None:
        deleted.append(folder)

    async def fail(folder: str) -> None:
        raise OSError

    async def purge(how: Any) -> int:
        async with database.transaction() as tx:
            return await table.purge(tx, how)

    assert await purge(delete) == 0
    clock.at += timedelta(hours=25)
    with pytest.raises(OSError):
        await purge(fail)
    assert await find(table, database, job) is not None
    assert await purge(delete) == 1
    assert deleted == [f"{job.id}/"]
    assert await find(table, database, job) is None


async def test_a_change_that_is_still_being_written_is_not_counted_as_settled(table, database):
    before = await table.settled_until()
    assert before == NOON
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")
        assert await table.settled_until() <= await tx.fetchval("SELECT now()")


async def test_issues_come_in_the_order_in_which_they_were_found(table, database, monkeypatch):
    monkeypatch.setattr("healthsync.infrastructure.jobs.table._ISSUES_PAGE", 2)
    job = await add(table, database)
    async with database.transaction() as tx:
        await table.add_issues(tx, job, [{"n": n} for n in range(5)])
        assert await table.issue_count(tx, job) == 5
    assert [issue["n"] async for issue in table.issues(job)] == [0, 1, 2, 3, 4]
