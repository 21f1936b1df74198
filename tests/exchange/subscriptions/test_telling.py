"""The loop that tells, as worker processes run it; several of them beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from healthsync.entrypoints.worker.telling import Telling

from .conftest import PATIENT, receiving


async def _until(holds) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def workers(hub, make_hub, database) -> AsyncIterator[None]:
    """Two loops, each on a hub of its own, as two processes are."""
    stop = asyncio.Event()
    hubs = [hub, make_hub()]
    tasks = [asyncio.create_task(Telling(one.notify_subscribers, database, poll_seconds=0.2).run(stop)) for one in hubs]
    yield
    stop.set()
    await asyncio.wait(tasks, timeout=10)
    assert all(task.done() and task.exception() is None for task in tasks)


async def test_two_workers_tell_everything_once_and_in_order(hub, admin, workers, subscribe, receiver, shown):
    id_ = await subscribe(admin, "Patient", settle=False, endpoint=receiver.url, payload="application/fhir+json")
    async with asyncio.timeout(20):
        while (await shown(admin, id_))["status"] != "active":
            await asyncio.sleep(0.05)
    written = [(await hub.write.create(admin, PATIENT)).id for _ in range(25)]
    await _until(lambda: len(receiver.requests) >= 25)
    await asyncio.sleep(0.3)
    assert [request.json["id"] for request in receiver.requests] == written


async def test_a_receiver_that_hangs_holds_no_other_up(hub, admin, subscribe, receiver, workers):
    async with receiving() as slow:
        await subscribe(admin, "Patient", endpoint=slow.url)
        await subscribe(admin, "Patient", endpoint=receiver.url)
        slow.delay_seconds = 1.5  # longer than it is waited for
        for _ in range(5):
            await hub.write.create(admin, PATIENT)
        await _until(lambda: len(receiver.requests) == 5)
        assert len(slow.requests) < 5
