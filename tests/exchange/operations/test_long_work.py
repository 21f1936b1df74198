"""Exports and imports that are interrupted, overtaken and large: nothing is lost, nothing comes twice, memory is flat."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.records import service
from healthsync.errors import Unavailable
from healthsync.exchange.authenticate import Requester
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import Job, JobState
from healthsync.settings import load_settings

ADMIN = Requester("c1", ("admin",), "TREAT")


@pytest.fixture
async def hub(database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub with small files and a folder to import from."""
    overrides = {
        "audit.heads_path": str(tmp_path / "heads"), "bulk_data.folder": str(tmp_path / "exports"), "development": True,
        "bulk_data.file_bytes": 2048, "bulk_data.import_folder": str(tmp_path),
    }  # fmt: skip
    hub = build_hub(load_settings(None, environ={}, overrides=overrides), InsecureDevelopmentKeyring(), database, SystemClock())  # fmt: skip
    yield hub
    await hub.close()


def resources(patients: int, each: int) -> list[dict[str, Any]]:
    """Observations first, then the patients whom they need."""
    return [
        {"resourceType": "Observation", "id": f"o{p}-{n}", "status": "final", "code": {"text": "weight"},
         "subject": {"reference": f"Patient/p{p}"}, "note": [{"text": "x" * 100}]}
        for p in range(patients) for n in range(each)
    ] + [{"resourceType": "Patient", "id": f"p{p}", "name": [{"family": f"Family{p}"}]} for p in range(patients)]  # fmt: skip


async def bring_in(hub: Hub, folder: Path, patients: int, each: int) -> None:
    (folder / "in.ndjson").write_text("".join(json.dumps(one) + "\n" for one in resources(patients, each)))
    await hub.bulk_import.start(ADMIN, {"input": [{"url": "in.ndjson"}]}, url="x")
    assert await hub.jobs.run_next()


async def begin(hub: Hub, **options: Any) -> Job:
    pairs = [("_type", "Patient"), ("_type", "Observation")]
    return await hub.bulk_export.start(ADMIN, "system", pairs, url="x", asked="", **options)


async def contents(hub: Hub, job: Job) -> list[dict[str, Any]]:
    """Every line of every file."""
    found = []
    report = await hub.jobs.show(ADMIN, str(job.id))
    assert report.job.state is JobState.COMPLETED, report.job.failure
    for file in report.files:
        _, pieces = await hub.jobs.fetch(ADMIN, str(job.id), file.number, compressed=False)
        text = b"".join([piece async for piece in pieces])
        assert len(text.splitlines()) == file.lines
        found += [json.loads(line) for line in text.splitlines()]
    return found


async def silence(hub: Hub) -> None:
    """The worker of every running job was last heard of long ago."""
    async with hub.database.transaction() as tx:
        await tx.execute("UPDATE job SET heartbeat_at = heartbeat_at - interval '1 hour'")


class Crash(BaseException):
    """The process is gone: nothing that follows in it runs."""


@pytest.mark.parametrize("moment", ["before the file is stored", "before the commit"])
async def test_an_export_whose_worker_dies_at_any_file_is_carried_on_without_gap_or_repetition(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(service, "STREAM_ROWS", 3)
    await bring_in(hub, tmp_path, 6, 5)
    job = await begin(hub)
    deaths = 0
    place = (hub.bulk_export._objects, "put") if moment.endswith("stored") else (hub.jobs.table, "add_file")
    whole = getattr(*place)

    async def dying(*arguments: Any) -> Any:
        raise Crash

    while deaths < 4:
        claimed = await hub.jobs.table.claim(["bulk-export"])
        assert claimed is not None
        calls = 0

        async def once(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return await (whole(*arguments) if calls == 1 else dying())

        monkeypatch.setattr(*place, once)
        with pytest.raises(Crash):
            await hub.bulk_export(claimed)
        await silence(hub)
        deaths += 1
    monkeypatch.setattr(*place, whole)
    assert await hub.jobs.run_next()
    ids = [one["id"] for one in await contents(hub, job)]
    assert len(ids) == len(set(ids)) == 36


async def test_a_worker_that_was_only_slow_cannot_write_into_the_job_of_its_heir(hub: Hub, tmp_path: Path) -> None:
    await bring_in(hub, tmp_path, 4, 5)
    job = await begin(hub)
    slow = await hub.jobs.table.claim(["bulk-export"])
    assert slow is not None
    await silence(hub)
    assert await hub.jobs.run_next()
    before = await contents(hub, job)
    await hub.jobs.run(slow)
    assert await contents(hub, job) == before


async def test_what_changes_during_an_export_comes_once_and_what_is_added_does_no_harm(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STREAM_ROWS", 3)
    await bring_in(hub, tmp_path, 6, 5)
    job = await begin(hub)
    put = hub.bulk_export._objects.put
    changes = iter(resources(6, 5))

    async def put_and_change(name: str, parts: Any) -> int:
        for _ in range(4):
            if (one := next(changes, None)) is not None:
                await hub.write.update(ADMIN, {**one, "language": "en"})
        await hub.write.create(ADMIN, {"resourceType": "Patient"})
        return await put(name, parts)

    monkeypatch.setattr(hub.bulk_export._objects, "put", put_and_change)
    assert await hub.jobs.run_next()
    ids = [one["id"] for one in await contents(hub, job)]
    assert len(ids) == len(set(ids))
    assert {one["id"] for one in resources(6, 5)} <= set(ids)


async def test_a_worker_that_is_stopped_gives_its_job_back_and_another_goes_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring_in(hub, tmp_path, 4, 5)
    job = await begin(hub)
    put, reached = hub.bulk_export._objects.put, asyncio.Event()

    async def stuck(name: str, parts: Any) -> int:
        if name.partition("/")[2].startswith("2-"):
            reached.set()
            await asyncio.sleep(3600)
        return await put(name, parts)

    monkeypatch.setattr(hub.bulk_export._objects, "put", stuck)
    running = asyncio.ensure_future(hub.jobs.run_next())
    await reached.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    monkeypatch.setattr(hub.bulk_export._objects, "put", put)
    assert await hub.jobs.run_next()
    ids = [one["id"] for one in await contents(hub, job)]
    assert len(ids) == len(set(ids)) == 24


async def test_a_job_that_kills_every_worker_is_given_up(hub: Hub) -> None:
    job = await begin(hub)
    for _ in range(5):
        assert await hub.jobs.table.claim(["bulk-export"])
        await silence(hub)
    assert await hub.jobs.run_next()
    report = await hub.jobs.show(ADMIN, str(job.id))
    assert (report.job.state, report.job.failure_code) == (JobState.FAILED, "transient")


async def test_a_store_that_does_not_answer_makes_the_job_wait_and_not_fail(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring_in(hub, tmp_path, 1, 1)
    job = await begin(hub)

    async def gone(*_: Any) -> int:
        raise Unavailable("the object store does not answer")

    put = hub.bulk_export._objects.put
    monkeypatch.setattr(hub.bulk_export._objects, "put", gone)
    assert await hub.jobs.run_next()
    assert (await hub.jobs.show(ADMIN, str(job.id))).job.state is JobState.RUNNING
    monkeypatch.setattr(hub.bulk_export._objects, "put", put)
    await silence(hub)
    assert await hub.jobs.run_next()
    assert len(await contents(hub, job)) == 2


async def test_an_import_whose_worker_dies_at_any_portion_is_carried_on_without_gap_or_repetition(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healthsync.exchange.operations.bulk_import.PORTION_LINES", 7)
    lines = [json.dumps(one) for one in resources(5, 6)]
    lines[3:3] = ["no json"]
    (tmp_path / "in.ndjson").write_text("\n".join(lines))
    job = await hub.bulk_import.start(ADMIN, {"input": [{"url": "in.ndjson"}]}, url="x")
    advance, deaths = hub.jobs.table.advance, 0
    while True:
        claimed = await hub.jobs.table.claim(["bulk-import"])
        assert claimed is not None
        calls = 0

        async def dying(*arguments: Any, **more: Any) -> None:
            nonlocal calls
            calls += 1
            await advance(*arguments, **more)
            if calls == 2:
                raise Crash

        monkeypatch.setattr(hub.jobs.table, "advance", dying)
        try:
            await hub.bulk_import(claimed)
        except Crash:
            deaths += 1
            await silence(hub)
            continue
        break
    assert deaths > 2
    async with hub.database.connection() as tx:
        rows = await tx.fetch("SELECT resource_type, count(*), max(version) FROM resource GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in rows] == [("Observation", 30, 1), ("Patient", 5, 1)]
    report = await hub.jobs.show(ADMIN, str(job.id))
    assert (report.job.done, report.job.rejected, report.issue_count) == (35, 1, 1)


async def test_a_whole_portion_of_bad_lines_leaves_the_good_ones_in(hub: Hub, tmp_path: Path) -> None:
    lines = [json.dumps(one if n % 3 else {**one, "gender": 7}) for n, one in enumerate(resources(30, 0))]
    (tmp_path / "in.ndjson").write_text("\n".join(lines))
    job = await hub.bulk_import.start(ADMIN, {"input": [{"url": "in.ndjson"}]}, url="x")
    assert await hub.jobs.run_next()
    report = await hub.jobs.show(ADMIN, str(job.id))
    assert (report.job.done, report.job.rejected) == (20, 10)


async def test_the_memory_of_an_export_does_not_grow_with_its_size(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STREAM_ROWS", 50)

    async def peak() -> int:
        await begin(hub)
        tracemalloc.start()
        assert await hub.jobs.run_next()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    await bring_in(hub, tmp_path, 5, 40)
    await peak()  # what is made on first use is made now
    few = await peak()
    await bring_in(hub, tmp_path, 40, 40)
    many = min(await peak(), await peak())  # what something else took in the meantime is none of it
    assert many < 1.5 * few + 200_000


async def test_a_portion_ends_by_bytes_however_few_resources_that_is(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STREAM_BYTES", 2000)
    await bring_in(hub, tmp_path, 2, 60)
    sizes: list[int] = []
    stream = hub.disclose.stream

    async def watched(*arguments: Any, **more: Any) -> Any:
        async for batch in stream(*arguments, **more):
            sizes.append(batch.count)
            yield batch

    monkeypatch.setattr(hub.disclose, "stream", watched)
    job = await begin(hub)
    assert await hub.jobs.run_next()
    assert len(await contents(hub, job)) == 122
    assert max(sizes) < 30
