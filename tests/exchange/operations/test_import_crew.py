"""Whoever stores the portions of an import, and in whatever order: each counts once, and nothing is passed over."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli import main
from healthsync.entrypoints.worker.importing import start_helper
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.operations import bulk_import, import_crew
from healthsync.exchange.operations.import_crew import Portion, beginning, is_done, moved
from healthsync.infrastructure.jobs import Job, JobState
from healthsync.infrastructure.piped import Piped, ProcessGone

PLACE = ("pass", "file", "line", "offset")


def _portion(number: int) -> Portion:
    return Portion(number, 0, [], (0, 0, 10 * (number + 1), 100 * (number + 1)))


@given(order=st.integers(1, 12).flatmap(lambda many: st.permutations(range(many))), stop=st.integers(0, 12))
def test_the_position_is_behind_what_is_stored_without_a_gap_and_knows_what_is_ahead(order: list[int], stop: int):
    position = beginning()
    for number in order[:stop]:
        assert not is_done(position, number)
        position = json.loads(json.dumps(moved(position, _portion(number))))
    stored = set(order[:stop])
    assert {number for number in range(12) if is_done(position, number)} == stored
    whole = next(number for number in range(13) if number not in stored)
    expected = _portion(whole - 1).behind if whole else (0, 0, 0, 0)
    assert tuple(position[name] for name in PLACE) == expected
    assert (position["next"], len(position["ahead"])) == (whole, len(stored) - whole)


async def test_portions_that_share_a_resource_are_stored_one_after_the_other() -> None:
    """So that of two lines about one resource the later stands at the end, by however many processes."""
    lines = [
        b'{"resourceType": "Patient", "id": "a"}',
        b'{"resourceType": "Observation", "id": "a"}',
        b'{"resourceType": "Patient", "active": true}',
        b"no json",
        b'{"resourceType": "Patient", "id": "a", "active": false}',
    ]

    async def portions() -> AsyncIterator[Portion]:
        for number, text in enumerate(lines):
            yield Portion(number, 0, [(number + 1, 0, text)], (0, 0, number + 1, 0))

    source = import_crew._Shared(portions())
    taken = [await source.take() for _ in lines[:-1]]
    last = asyncio.create_task(source.take())
    for portion in (*taken[1:], taken[0]):
        await asyncio.sleep(0)
        assert portion is not None
        assert not last.done()
        source.stored(portion)
    assert await last == Portion(4, 0, [(5, 0, lines[4])], (0, 0, 5, 0))
    assert await source.take() is None


async def test_a_process_answers_in_order_and_what_it_did_not_answer_is_told() -> None:
    program = """
import asyncio, os, signal
from healthsync.infrastructure.piped import answer_frames
async def answer(frame):
    if frame == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    return frame[::-1]
asyncio.run(answer_frames(answer))
"""
    piped = await Piped.start([sys.executable, "-c", program], os.environ)
    large = os.urandom(1_000_000)
    assert await piped.ask(b"abc") == b"cba"
    assert await piped.ask(large) == large[::-1]
    for frame in (b"die", b"too late"):
        with pytest.raises(ProcessGone):
            await piped.ask(frame)
    await piped.close()
    ending = await Piped.start([sys.executable, "-c", program], os.environ)
    assert await ending.ask(b"") == b""
    await ending.close()
    assert ending._process.returncode == 0


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers start at once and have much to do."""
    monkeypatch.setattr(bulk_import, "PORTION_LINES", 20)
    monkeypatch.setattr(import_crew, "_ALONE", 1)


@pytest.fixture
def data(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub whose database is that of the test."""
    assert CliRunner().invoke(main, ["init", str(tmp_path / "hub"), "--development", "--json"]).exit_code == 0
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return tmp_path / "hub"


def _stored_here_when(begun: asyncio.Event, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process goes on only when others are there too: they take seconds to start, and it would be done by then."""
    store = hub.bulk_import._store

    async def later(job: Job, portion: Portion) -> None:
        if portion.number > 2:
            await begun.wait()
        await store(job, portion)

    monkeypatch.setattr(hub.bulk_import, "_store", later)


PATIENTS, EACH = 40, 30


def _file(folder: Path) -> Path:
    """Observations before the patients that they need; every hundredth line is none."""
    lines: list[Any] = [
        {"resourceType": "Observation", "id": f"o{p}-{n}", "status": "final", "code": {"text": "weight"},
         "subject": {"reference": f"Patient/p{p}"}}
        for p in range(PATIENTS) for n in range(EACH)
    ] + [{"resourceType": "Patient", "id": f"p{p}", "name": [{"family": f"Quennell{p}"}]} for p in range(PATIENTS)]  # fmt: skip
    texts = [json.dumps(line) for line in lines]
    for place in range(0, len(texts), 100):
        texts.insert(place, "no json")
    (folder / "in.ndjson").write_text("\n".join(texts))
    return folder / "in.ndjson"


async def test_the_work_does_not_wait_for_a_process_that_is_slow_to_begin(
    data: Path, tmp_path: Path, small_portions: None
) -> None:
    """It ends with the import, though it never answered."""

    async def start() -> Piped:
        return await Piped.start([sys.executable, "-c", "import time; time.sleep(600)"], os.environ)

    async with open_hub(data) as hub:
        hub.bulk_import.start_helper = start
        job = await hub.bulk_import.start_files([_file(tmp_path)], "operator", source="import", processes=3)
        await hub.jobs.run(job)
        assert (await _state(hub, job)).state is JobState.COMPLETED
        assert await _stored(hub) == ALL


async def _stored(hub: Any) -> list[tuple[str, int, int]]:
    async with hub.database.connection() as tx:
        rows = await tx.fetch("SELECT resource_type, count(*), max(version) FROM resource GROUP BY 1 ORDER BY 1")
        return [tuple(row) for row in rows]


async def _state(hub: Any, job: Job) -> Job:
    async with hub.database.connection() as tx:
        found = await hub.jobs.table.find(tx, job.id)
    assert found is not None
    return found


ALL = [("Observation", PATIENTS * EACH, 1), ("Patient", PATIENTS, 1)]
REJECTS = -(-PATIENTS * (EACH + 1) // 100)


@pytest.mark.parametrize("deaths", [0, 2])
async def test_processes_share_one_job_and_one_that_is_killed_costs_nothing(
    data: Path, tmp_path: Path, small_portions: None, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    """Whether the killed one had committed what it was at or not."""
    helpers: list[Piped] = []
    begun = asyncio.Event()
    answered = 0
    ask = Piped.ask

    async def watched(self: Piped, frame: bytes) -> bytes:
        nonlocal answered
        if self not in helpers:
            helpers.append(self)
        answer = await ask(self, frame)
        answered += 1
        if answered == 2:
            begun.set()
        if helpers.index(self) < deaths and answered > 6:
            os.kill(self._process.pid, signal.SIGKILL)
        return answer

    monkeypatch.setattr(Piped, "ask", watched)
    file = _file(tmp_path)
    async with open_hub(data) as hub:
        hub.bulk_import.start_helper = lambda: start_helper(data, None)
        _stored_here_when(begun, hub, monkeypatch)
        job = await hub.bulk_import.start_files([file], "operator", source="import", processes=3)
        await hub.jobs.run(job)
        job = await _state(hub, job)
        assert await _stored(hub) == ALL
        rejects = tmp_path / "rejects"
        assert await bulk_import.write_rejects(hub.jobs.table, job, [file], rejects) == REJECTS
    assert (job.state, job.done, job.rejected) == (JobState.COMPLETED, PATIENTS * (EACH + 1), REJECTS)
    assert len(helpers) == 2
    assert answered > 4
    told = [json.loads(line)["line"] for line in rejects.read_text().splitlines()]
    assert told == sorted(told)
    assert len(set(told)) == REJECTS
    assert all(helper._process.returncode is not None for helper in helpers)


@pytest.mark.shows("bulk_data.import_processes")
@pytest.mark.parametrize("processes", [1, 2])
async def test_the_setting_says_how_many_processes_share_an_import_of_a_client(
    data: Path, tmp_path: Path, small_portions: None, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setenv("HEALTHSYNC_BULK_DATA__IMPORT_PROCESSES", str(processes))
    monkeypatch.setenv("HEALTHSYNC_BULK_DATA__IMPORT_FOLDER", str(tmp_path))
    started: list[Piped] = []

    async def start() -> Piped:
        started.append(await start_helper(data, None))
        return started[-1]

    _file(tmp_path)
    admin = Requester("c1", ("admin",), "TREAT")
    async with open_hub(data) as hub:
        hub.bulk_import.start_helper = start
        job = await hub.bulk_import.start(admin, {"input": [{"url": "in.ndjson"}]}, url="x")
        assert await hub.jobs.run_next()
        ended = await _state(hub, job)
        assert (ended.state, ended.done, ended.rejected) == (JobState.COMPLETED, PATIENTS * (EACH + 1), REJECTS)
        assert await _stored(hub) == ALL
    assert len(started) == processes - 1


async def test_an_import_that_ends_with_portions_ahead_goes_on_without_gap_or_repetition(
    data: Path, tmp_path: Path, small_portions: None
) -> None:
    async with open_hub(data) as hub:
        job = await hub.bulk_import.start_files([_file(tmp_path)], "operator", source="import")
        async with aclosing(hub.bulk_import._portions(job, 0, beginning())) as portions:
            async for number, portion in _numbered(portions):
                await hub.bulk_import._store(job, Portion(number, *portion))
        passed = await _state(hub, job)
        assert passed.position is not None
        async with aclosing(hub.bulk_import._portions(job, 1, passed.position)) as portions:
            async for number, portion in _numbered(portions):
                if number % 3 == 1:
                    for _ in range(2):  # the second time by somebody who does not know of the first
                        await hub.bulk_import._store(job, Portion(passed.position["next"] + number, *portion))
        broken = await _state(hub, job)
        assert broken.position is not None
        assert len(broken.position["ahead"]) > 10
        await hub.jobs.run(broken)
        ended = await _state(hub, job)
        assert (ended.state, ended.done, ended.rejected) == (JobState.COMPLETED, PATIENTS * (EACH + 1), REJECTS)
        assert await _stored(hub) == ALL
        async with hub.database.connection() as tx:
            portions = await tx.fetchval(
                "SELECT count(*) FROM audit_event WHERE entry->>'interaction' = 'import-files'"
            )
        assert portions == -(-PATIENTS // 20) + -(-(PATIENTS * EACH + REJECTS) // 20)


async def _numbered(portions: Any) -> Any:
    number = 0
    async for portion in portions:
        yield number, portion
        number += 1


async def test_an_import_that_is_cancelled_stops_in_every_process(
    data: Path, tmp_path: Path, small_portions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Piped] = []
    begun = asyncio.Event()
    ask = Piped.ask

    async with open_hub(data) as hub:
        job = await hub.bulk_import.start_files([_file(tmp_path)], "operator", source="import", processes=2)

        async def cancelling(self: Piped, frame: bytes) -> bytes:
            asked.append(self)
            answer = await ask(self, frame)
            begun.set()
            if len(asked) == 4:
                await hub.jobs.stop(str(job.id), "operator")
            return answer

        monkeypatch.setattr(Piped, "ask", cancelling)
        hub.bulk_import.start_helper = lambda: start_helper(data, None)
        _stored_here_when(begun, hub, monkeypatch)
        await hub.jobs.run(job)
        ended = await _state(hub, job)
        stored = await _stored(hub)
        assert ended.state is JobState.CANCELLED
        assert sum(many for _, many, _ in stored) == ended.done < PATIENTS * EACH
    assert {helper._process.returncode is not None for helper in asked} == {True}


def test_a_search_for_cycles_comes_now_and_then_though_a_portion_is_always_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: searches.append(gc.isenabled()))
    guard = bulk_import._NoSearchForCycles()
    guard.__enter__()
    for _ in range(2 * bulk_import._PORTIONS_BETWEEN_SEARCHES):
        with guard:
            assert not gc.isenabled()
    guard.__exit__()
    assert (searches, gc.isenabled()) == ([False, False], True)
