"""Bytes as received: apart, by day, never changed, kept for their term, archived and brought back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.directory import Peer
from healthsync.domains.messages import Selection
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.exchange.administration.replay_messages import asked_by
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings

LOCAL = Peer("127.0.0.1")
ADA = asked_by("ada", "raw-zone", reason="t-1")
START = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
BUILD = Callable[..., bytes]


@pytest.fixture
async def clock() -> FixedClock:
    return FixedClock(START)


def make(database: Database, clock: FixedClock, folder: Path, **overrides: Any) -> Hub:
    options = {"audit.heads_path": str(folder / "heads"), "development": True, **overrides}
    return build_hub(load_settings(None, environ={}, overrides=options), InsecureDevelopmentKeyring(), database, clock)


@pytest.fixture
async def hub(database: Database, clock: FixedClock, tmp_path: Path):
    hub = make(database, clock, tmp_path)
    yield hub
    await hub.close()


async def send(hub: Hub, *messages: bytes) -> None:
    for message in messages:
        await hub.receive_message(message, LOCAL)
    while await hub.process_message():
        pass


async def rows(hub: Hub, query: str, *values: Any) -> list[Any]:
    async with hub.database.connection() as tx:
        return await tx.fetch(query, *values)


async def content(hub: Hub, sequence: int) -> bytes:
    return await hub.inspect_messages.content(sequence, "ada", "t-1")


async def days_of(hub: Hub, clock: FixedClock, adt: BUILD) -> None:
    """Two sources, each with a message on three days."""
    for n in range(3):
        await send(hub, adt(f"C{n}"), adt(f"D{n}", facility="CLINIC"))
        clock.at += timedelta(days=1)


async def test_each_day_has_its_partition_and_each_source_and_day_its_key(
    hub: Hub, clock: FixedClock, adt: BUILD
) -> None:
    await send(hub, adt("C1"))
    clock.at += timedelta(minutes=2)
    await send(hub, adt("C2"), adt("C3", facility="CLINIC"))
    parts = await rows(hub, "SELECT tableoid::regclass::text AS part, source FROM raw_message ORDER BY sequence")
    assert [tuple(row) for row in parts] == [
        ("raw_message_20260301", "MERCY.EPIC"), ("raw_message_20260302", "MERCY.EPIC"), ("raw_message_20260302", "CLINIC.EPIC"),
    ]  # fmt: skip
    keys = {row["scope"] for row in await rows(hub, "SELECT scope FROM data_key WHERE scope LIKE 'messages/%'")}
    assert keys == {
        "messages/MERCY.EPIC/2026-03-01",
        "messages/MERCY.EPIC/2026-03-02",
        "messages/CLINIC.EPIC/2026-03-02",
    }
    assert [await content(hub, n) for n in (1, 2, 3)] == [adt("C1"), adt("C2"), adt("C3", facility="CLINIC")]


@pytest.mark.parametrize("statement", [
    "UPDATE raw_message SET sealed = ''", "UPDATE raw_message_20260301 SET sealed = ''", "DELETE FROM raw_message",
    "DELETE FROM raw_message_20260301", "TRUNCATE raw_message", "TRUNCATE raw_message_20260301",
])  # fmt: skip
async def test_the_database_refuses_to_change_or_remove_bytes(hub: Hub, adt: BUILD, statement: str) -> None:
    await send(hub, adt("C1"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="immutable"):
        await rows(hub, statement)
    assert await content(hub, 1) == adt("C1")


async def test_bytes_are_destroyed_at_the_end_of_their_term_with_their_key_and_the_rest_stays_known(
    hub: Hub, clock: FixedClock, adt: BUILD
) -> None:
    await days_of(hub, clock, adt)
    await hub.keep_raw.keep("MERCY.EPIC", 2, ADA)
    due = await hub.keep_raw.retire(ADA, dry_run=True)
    assert [(each.source, each.day, each.because) for each in due] == [("MERCY.EPIC", date(2026, 3, 1), None)]
    assert await hub.keep_raw.retire(ADA) == due
    with pytest.raises(NotFound, match="end of their term"):
        await content(hub, 1)
    assert await content(hub, 2) == adt("D0", facility="CLINIC")
    assert await rows(hub, "SELECT FROM data_key WHERE scope = 'messages/MERCY.EPIC/2026-03-01'") == []
    kept = [m async for m in hub.inspect_messages.listed(limit=0)][-1]
    assert (kept.control_id, kept.state, kept.retired_at) == ("C0", "processed", clock.at)
    assert (await rows(hub, "SELECT lanes FROM message WHERE sequence = 1"))[0]["lanes"] == []
    assert await rows(hub, "SELECT FROM resource WHERE resource_type = 'Patient'")  # what was made of it stays
    (audited,) = await rows(hub, "SELECT entry FROM audit_event WHERE entry->>'action' = 'D'")
    assert json.loads(audited["entry"])["entities"] == ["RawMessages/MERCY.EPIC/2026-03-01"]
    before = await rows(hub, "SELECT count(*) FROM message")
    await hub.receive_message(adt("C0"), LOCAL)
    assert await rows(hub, "SELECT count(*) FROM message") == before  # a resend is still recognised


@pytest.mark.shows("retention.raw_messages")
async def test_a_day_of_which_every_source_is_due_goes_as_a_whole(
    database: Database, clock: FixedClock, tmp_path: Path, adt: BUILD
) -> None:
    hub = make(database, clock, tmp_path, **{"retention.raw_messages": "1d"})
    await days_of(hub, clock, adt)
    assert len(await hub.keep_raw.retire(ADA)) == 4
    parts = await rows(hub, "SELECT relname FROM pg_class WHERE relname ~ '^raw_message_\\d+$'")
    assert [row["relname"] for row in parts] == ["raw_message_20260303"]
    await send(hub, adt("C9"))
    await hub.close()


async def test_by_default_everything_is_kept_for_good(hub: Hub, clock: FixedClock, adt: BUILD) -> None:
    await days_of(hub, clock, adt)
    clock.at += timedelta(days=40_000)
    assert await hub.keep_raw.retire(ADA) == []


async def test_a_legal_hold_and_a_dead_letter_keep_a_day_and_say_so(hub: Hub, clock: FixedClock, adt: BUILD) -> None:
    await send(hub, adt("C1"), adt("X1", type="XYZ^Z99", facility="CLINIC"))
    clock.at += timedelta(days=9)
    for source in ("MERCY.EPIC", "CLINIC.EPIC"):
        await hub.keep_raw.keep(source, 1, ADA)
    await hub.keep_raw.hold("MERCY.EPIC", "case-7", ADA)
    assert {each.source: each.because for each in await hub.keep_raw.retire(ADA)} == {
        "MERCY.EPIC": "legal hold case-7", "CLINIC.EPIC": "1 messages wait or are dead letters",
    }  # fmt: skip
    await hub.keep_raw.hold("MERCY.EPIC", None, ADA)
    gone = [each.source for each in await hub.keep_raw.retire(ADA) if each.because is None]
    assert gone == ["MERCY.EPIC"] and await content(hub, 2)
    assert [(t.source, t.keep_days, t.hold_reason) for t in await hub.keep_raw.terms()] == [
        ("CLINIC.EPIC", 1, None), ("MERCY.EPIC", 1, None),
    ]  # fmt: skip


@pytest.mark.parametrize("plain", [False, True])
async def test_an_archive_brings_back_bytes_that_were_destroyed(
    hub: Hub, clock: FixedClock, adt: BUILD, tmp_path: Path, plain: bool
) -> None:
    await days_of(hub, clock, adt)
    files = await hub.keep_raw.export(tmp_path / "out", ADA, source="MERCY.EPIC", until=date(2026, 3, 3), plain=plain)
    assert [(file.source, file.day, file.messages) for file in files] == [
        ("MERCY.EPIC", date(2026, 3, 1), 1), ("MERCY.EPIC", date(2026, 3, 2), 1),
    ]  # fmt: skip
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.ndjson*"))
    assert (b"content" in written) == plain
    assert oct((tmp_path / "out" / files[0].path).stat().st_mode)[-3:] == "600"
    audited = await rows(hub, "SELECT entry FROM audit_event WHERE entry->>'action' = 'R'")
    assert [json.loads(row["entry"])["entities"] for row in audited] == [
        [f"RawMessages/{f.source}/{f.day}"] for f in files
    ]
    await hub.keep_raw.keep("MERCY.EPIC", 1, ADA)
    await hub.keep_raw.retire(ADA)
    brought = await hub.keep_raw.restore(tmp_path / "out", ADA)
    assert (brought.known, brought.bytes, brought.new) == (0, 2, 0)
    assert [await content(hub, n) for n in (1, 3)] == [adt("C0"), adt("C1")]
    again = await hub.keep_raw.restore(tmp_path / "out", ADA)
    assert (again.known, again.bytes, again.new) == (2, 0, 0)
    with pytest.raises(Conflict, match="already"):
        await hub.keep_raw.export(tmp_path / "out", ADA)


async def test_what_is_new_in_an_archive_waits_for_a_replay_and_takes_its_place_before_what_came_later(
    hub: Hub, clock: FixedClock, adt: BUILD, tmp_path: Path
) -> None:
    await send(hub, adt("C1", "P1"))
    await hub.keep_raw.export(tmp_path / "out", ADA)
    async with hub.database.transaction() as tx:  # as in a hub that never had it
        await tx.execute("SELECT set_config('healthsync.retiring', 'on', true)")
        for table in ("raw_message", "message", "message_quality"):
            await tx.execute(f"DELETE FROM {table}")
    clock.at += timedelta(days=1)
    await send(hub, adt("C2", "P1").replace(b"Doe", b"Dove"))
    assert (await hub.keep_raw.restore(tmp_path / "out", ADA)).new == 1
    job = await hub.replay_messages.start(Selection(reason="restored"), ADA, owner="operator", claimed=True)
    await hub.jobs.run(job)
    states = await rows(hub, "SELECT control_id, state, place FROM message ORDER BY sequence")
    assert [(row["control_id"], row["state"]) for row in states] == [("C2", "processed"), ("C1", "processed")]
    named = await rows(hub, "SELECT count(*) AS versions FROM resource_history")
    assert named and (await hub.replay_messages.compare(Selection(source="MERCY.EPIC"), ADA))[0].changed == {}


async def test_a_damaged_archive_is_refused_before_anything_is_stored(hub: Hub, adt: BUILD, tmp_path: Path) -> None:
    await send(hub, adt("C1"))
    (file,) = await hub.keep_raw.export(tmp_path / "out", ADA)
    path, manifest = tmp_path / "out" / file.path, tmp_path / "out" / "manifest.json"
    whole, told = path.read_bytes(), manifest.read_text()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InvalidInput, match="hash"):
        await hub.keep_raw.restore(tmp_path / "out", ADA)
    path.write_bytes(whole)
    manifest.write_text(told.replace('"messages": 1', '"messages": 2'))
    with pytest.raises(InvalidInput, match="changed after"):
        await hub.keep_raw.restore(tmp_path / "out", ADA)
    document = json.loads(told)
    document["files"][0]["path"] = "../elsewhere"
    manifest.write_text(json.dumps({**document, "hub": "another"}))
    with pytest.raises(InvalidInput, match="outside"):
        await hub.keep_raw.restore(tmp_path / "out", ADA)
    manifest.unlink()
    with pytest.raises(InvalidInput, match="no archive"):
        await hub.keep_raw.restore(tmp_path / "out", ADA)
