"""Webhooks: signed, without patient data, repeated until they are heard."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from healthsync.errors import Refused, Unavailable
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import DeliverNotices, JobTable
from healthsync.infrastructure.jobs.notices import MOST_ATTEMPTS

URL = "https://a.example.org/done"


class Receiver:
    """A receiver outside the process."""

    def __init__(self) -> None:
        self.answers: list[int | Exception] = []
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []

    async def send(self, method, url, headers, body, timeout_seconds) -> int:
        self.heard.append((method, url, dict(headers), body))
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return None


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 27, 12, tzinfo=UTC))


@pytest.fixture
def table(database: Database, clock: FixedClock) -> JobTable:
    keyring = InsecureDevelopmentKeyring()
    return JobTable(database, clock, keyring, lease=timedelta(seconds=30), keep=timedelta(hours=24), webhook_hosts=["a.example.org"])  # fmt: skip


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def deliver(table, clock, receiver) -> DeliverNotices:
    return DeliverNotices(table, clock, receiver, secret_root=b"root", hosts=["a.example.org"])


async def ended(table: JobTable, database: Database, webhook: str | None = URL) -> str:
    async with database.transaction() as tx:
        await table.add(tx, "bulk-export", "c1", {"asked": "Quennell"}, webhook=webhook)
    job = await table.claim(["bulk-export"])
    async with database.transaction() as tx:
        await table.complete(tx, job, {})
    return str(job.id)


async def test_the_end_of_a_job_is_told_once_signed_and_without_anything_of_a_patient(
    table, database, deliver, receiver
):
    id_ = await ended(table, database)
    assert (await deliver(), await deliver()) == (1, 0)
    ((method, url, headers, body),) = receiver.heard
    assert (method, url) == ("POST", URL)
    assert json.loads(body) == {"id": id_, "kind": "bulk-export", "state": "completed"}
    seconds, mac = (part.partition("=")[2] for part in headers["X-HealthSync-Signature"].split(","))
    secret = deliver.secret_of("c1")
    assert mac == hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert deliver.secret_of("c2") != secret


async def test_a_job_without_a_webhook_tells_nobody(table, database, deliver, receiver):
    await ended(table, database, None)
    assert await deliver() == 0


async def test_a_receiver_that_does_not_answer_is_called_again_later_each_time(
    table, database, clock, deliver, receiver
):
    await ended(table, database)
    receiver.answers = [Unavailable("gone"), 500, 204]
    waits = []
    for _ in range(3):
        waited = 0
        while not await deliver():
            clock.at += timedelta(seconds=1)
            waited += 1
        waits.append(waited)
    assert waits[0] == 0 < waits[1] < waits[2]
    clock.at += timedelta(days=1)
    assert await deliver() == 0


async def test_after_the_last_attempt_a_receiver_is_given_up(table, database, clock, deliver, receiver):
    await ended(table, database)
    receiver.answers = [500] * 20
    for _ in range(20):
        await deliver()
        clock.at += timedelta(days=1)
    assert len(receiver.heard) == MOST_ATTEMPTS


async def test_an_address_inside_or_no_longer_named_is_given_up_at_once(table, database, clock, receiver, deliver):
    await ended(table, database)
    receiver.answers = [Refused("inside")]
    await deliver()
    await ended(table, database)
    stricter = DeliverNotices(table, clock, receiver, secret_root=b"root", hosts=[])
    await stricter()
    clock.at += timedelta(days=1)
    assert await deliver() == 0
    assert len(receiver.heard) == 1


async def test_a_cancelled_job_is_told_too(table, database, deliver, receiver):
    async with database.transaction() as tx:
        job = await table.add(tx, "k", "c1", {}, webhook=URL)
        await table.cancel(tx, job.id)
    await deliver()
    assert json.loads(receiver.heard[0][3])["state"] == "cancelled"
