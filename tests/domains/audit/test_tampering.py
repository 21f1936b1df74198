"""A superuser changes the log in every way there is, and is found by a verifier that has only the export and the heads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from healthsync.domains.audit import AuditEvent, AuditService, Report, export, heads, store, verification, verify
from healthsync.domains.audit.publication import HeadsFile
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database

Read = Callable[..., AuditEvent]
Write = Callable[[int], Awaitable[None]]


@pytest.fixture
def offline(audit: AuditService, heads_file: Path) -> Callable[[], Awaitable[Report]]:
    """What someone finds who has only the exported lines, the published heads and the public key."""

    async def check() -> Report:
        lines = [export.to_line(row) async for row in audit.export()]
        published = HeadsFile(heads_file).read()
        return verify(map(export.from_line, lines), published, public_key=audit.public_key, hub_id="mercy")

    return check


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


async def test_an_untouched_log_holds(write: Write, audit: AuditService, offline: Callable, read: Read):
    for count in (3, 1, 4):
        await write(count)
    await audit.record_and_commit(read())
    for report in (await offline(), await audit.verify()):
        assert report.holds
        assert (report.events, report.waiting, report.heads, report.signed_size) == (8, 1, 3, 8)
        assert report.sentence() == (
            "The audit log holds: 8 events agree with 3 signed heads, the last of 2026-03-01 12:00:00 UTC over 8; "
            "1 wait for the sequencer."
        )


async def test_an_empty_log_holds(audit: AuditService, offline: Callable):
    report = await offline()
    assert report.holds
    assert report.sentence() == "The audit log holds: 0 events agree with 0 signed heads."


SWAP = """UPDATE audit_event SET (entry, leaf_hash) = (SELECT entry, leaf_hash FROM audit_event o WHERE o.position = 5 - audit_event.position)
    WHERE position IN (2, 3)"""

TAMPERING = {
    "a byte of an entry is flipped": (
        "UPDATE audit_event SET entry = jsonb_set(entry, '{user}', '\"Practitioner/8\"') WHERE position = 3", {"event-changed"}),
    "a member is added to an entry": (
        "UPDATE audit_event SET entry = entry || '{\"break_glass\": true}' WHERE position = 3", {"event-changed"}),
    "a member is taken from an entry": (
        "UPDATE audit_event SET entry = entry - 'purpose_of_use' WHERE position = 3", {"event-changed"}),
    "an entry and its hash are changed": (
        "UPDATE audit_event SET (entry, leaf_hash) = ROW(entry - 'user', sha256('x')) WHERE position = 3", {"event-changed", "root"}),
    "only the hash is changed": (
        "UPDATE audit_event SET leaf_hash = sha256('x') WHERE position = 3", {"event-changed", "root"}),
    "the transaction id is changed": (
        "UPDATE audit_event SET xid = '1' WHERE position = 3", {"event-changed", "order"}),
    "the first event is deleted": ("DELETE FROM audit_event WHERE position = 1", {"event-deleted", "root"}),
    "a middle event is deleted": ("DELETE FROM audit_event WHERE position = 3", {"event-deleted", "root"}),
    "the last event is deleted": ("DELETE FROM audit_event WHERE position = 6", {"event-deleted", "root"}),
    "an event is deleted with its leaf": (
        "DELETE FROM audit_event WHERE position = 3; DELETE FROM audit_leaf WHERE position = 3", {"leaf-missing", "root", "truncated"}),
    "an event is deleted and the leaves close up": (
        "DELETE FROM audit_event WHERE position = 3; DELETE FROM audit_leaf WHERE position = 3;"
        "UPDATE audit_leaf SET leaf_index = leaf_index - 1 WHERE leaf_index = 3; UPDATE audit_leaf SET leaf_index = leaf_index - 1 WHERE leaf_index = 4;"
        "UPDATE audit_leaf SET leaf_index = leaf_index - 1 WHERE leaf_index = 5", {"root", "truncated"}),
    "the tail is cut after a signed head, heads in the database too": (
        "DELETE FROM audit_event WHERE position > 3; DELETE FROM audit_leaf WHERE leaf_index > 2; DELETE FROM audit_head WHERE tree_size > 3",
        {"truncated"}),
    "the leaves are taken off, so that events look unsequenced": (
        "DELETE FROM audit_leaf WHERE leaf_index > 2; DELETE FROM audit_head WHERE tree_size > 3", {"truncated"}),
    "two entries are swapped": (SWAP, {"event-changed", "root"}),
    "two leaves are swapped": (
        "UPDATE audit_leaf SET leaf_index = -1 WHERE leaf_index = 1; UPDATE audit_leaf SET leaf_index = 1 WHERE leaf_index = 2;"
        "UPDATE audit_leaf SET leaf_index = 2 WHERE leaf_index = -1", {"order", "root"}),
    "an event is put behind the sequencer's back": (
        "INSERT INTO audit_event (position, xid, entry, leaf_hash) OVERRIDING SYSTEM VALUE SELECT 0, '1', entry, leaf_hash FROM audit_event WHERE position = 1",
        {"event-changed", "event-inserted"}),
    "everything is deleted": ("TRUNCATE audit_event, audit_leaf, audit_subtree, audit_head", {"truncated"}),
    "an entry has no time": ("UPDATE audit_event SET entry = entry - 'recorded_at' WHERE position = 3", {"event-changed", "clock"}),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERING)
async def test_it_is_found_when(
    write: Write, offline: Callable, audit: AuditService, superuser: asyncpg.Connection, tampering: str
):
    await write(3)
    await write(3)
    statement, expected = TAMPERING[tampering]
    await superuser.execute(statement)
    report = await offline()
    assert codes(report) == expected
    assert not report.holds and "does NOT hold" in report.sentence()
    assert expected <= codes(await audit.verify())


async def test_it_is_found_when_any_column_is_edited(write: Write, offline: Callable, superuser: asyncpg.Connection):
    await write(4)
    columns = await superuser.fetch(
        "SELECT attname, atttypid::regtype::text AS type FROM pg_attribute WHERE attrelid = 'audit_event'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    edits = {"bigint": "{0} + 100", "xid8": "'9999'", "jsonb": "{0} || '{{\"a\": 1}}'", "bytea": "sha256({0})"}
    assert len(columns) == 4
    await superuser.execute("ALTER TABLE audit_event ALTER position DROP IDENTITY")
    for column in columns:
        name, edit = column["attname"], edits[column["type"]]
        assert (await offline()).holds
        await superuser.execute("CREATE TABLE kept AS TABLE audit_event")
        await superuser.execute(f"UPDATE audit_event SET {name} = {edit.format(name)} WHERE position = 2")
        assert not (await offline()).holds, f"editing {name} is not found"
        await superuser.execute("TRUNCATE audit_event; INSERT INTO audit_event TABLE kept; DROP TABLE kept")


async def rewrite(audit: AuditService, superuser: asyncpg.Connection, database: Database) -> None:
    """Forge an event, and build a whole new tree with valid hashes and heads signed by the stolen key."""
    await superuser.execute("CREATE TABLE kept AS SELECT entry FROM audit_event ORDER BY position")
    await superuser.execute("TRUNCATE audit_event, audit_leaf, audit_subtree, audit_head RESTART IDENTITY")
    audit._published.path.rename(audit._published.path.with_suffix(".true"))
    entries = [row["entry"] for row in await superuser.fetch("SELECT entry::text FROM kept")]
    entries[2] = entries[2].replace("Practitioner/7", "Practitioner/8")
    forged = [msgspec.json.encode(msgspec.json.decode(entry), order="deterministic").decode() for entry in entries]
    async with database.transaction() as tx:
        store.insert(tx, forged)
    await audit.sequencer.catch_up()
    assert (await audit.verify()).holds  # in itself the forgery is perfect


async def test_a_perfect_forgery_contradicts_the_heads_that_others_hold(
    write: Write,
    offline: Callable,
    audit: AuditService,
    superuser: asyncpg.Connection,
    database: Database,
    heads_file: Path,
):
    await write(3)
    await write(3)
    await rewrite(audit, superuser, database)
    heads_file.with_suffix(".true").replace(heads_file)
    report = await offline()
    assert codes(report) == {"root"}
    assert report.findings[0].detail == "the 3 leaves are not those that were signed; the head of 0 agreed"
    assert "split-view" in codes(await audit.verify())


async def test_two_heads_of_one_size_are_a_split_view(
    write: Write, audit: AuditService, offline: Callable, heads_file: Path, clock: FixedClock
):
    await write(3)
    other = heads.sign(b"s" * 32, "mercy", 3, b"x" * 32, clock.now())
    with heads_file.open("a") as file:
        file.write(heads.to_line(other) + "\n")
    assert codes(await offline()) == {"split-view"}


async def test_a_restored_backup_contradicts_the_published_heads(
    write: Write, audit: AuditService, offline: Callable, superuser: asyncpg.Connection
):
    await write(3)
    await superuser.execute("CREATE SCHEMA backup")
    for table in ("audit_event", "audit_leaf", "audit_head"):
        await superuser.execute(f"CREATE TABLE backup.{table} AS TABLE {table}")
    await write(2)
    for table in ("audit_event", "audit_leaf", "audit_head"):
        await superuser.execute(f"TRUNCATE {table}")
        await superuser.execute(
            f"INSERT INTO {table} {'OVERRIDING SYSTEM VALUE' if table == 'audit_event' else ''} TABLE backup.{table}"
        )
    assert codes(await offline()) == {"truncated"}
    assert codes(await audit.verify()) == {"truncated"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"public_key": heads.public_key(b"t" * 32)}, "key-changed"),
        ({"signature": bytes(64)}, "signature"),
        ({"hub_id": "other"}, "signature"),
    ],
)
async def test_a_head_that_is_not_the_hubs_is_found(
    write: Write, audit: AuditService, change: dict, expected: str, heads_file: Path
):
    await write(3)
    (head,) = HeadsFile(heads_file).read()
    rows = [row async for row in audit.export()]
    assert codes(verify(rows, [replace(head, **change)], public_key=audit.public_key)) == {expected}


async def test_heads_of_another_hub_or_key_are_found_without_knowing_the_key(
    write: Write, audit: AuditService, clock: FixedClock, heads_file: Path
):
    await write(3)
    await write(1)
    first, second = HeadsFile(heads_file).read()
    rows = [row async for row in audit.export()]
    assert verify(rows, [first, second]).holds
    other_hub = heads.sign(b"s" * 32, "other", 4, second.root_hash, clock.now())
    other_key = heads.sign(b"t" * 32, "mercy", 4, second.root_hash, clock.now())
    assert codes(verify(rows, [first, other_hub])) == {"other-hub"}
    assert codes(verify(rows, [first, other_key])) == {"key-changed"}
    assert codes(verify(rows, [first, other_key], public_key=audit.public_key)) == {"key-changed"}


async def test_a_clock_that_was_moved_back_is_found(
    write: Write, audit: AuditService, clock: FixedClock, offline: Callable
):
    await write(2)
    clock.at -= timedelta(hours=1)
    await write(2)
    report = await offline()
    assert codes(report) == {"clock"}
    assert (
        len(report.findings) == 3
    )  # two events dated before the head that precedes them, and a head older than another


async def test_an_event_that_is_back_dated_or_post_dated_is_found(
    write: Write, audit: AuditService, clock: FixedClock, offline: Callable, read: Read
):
    await write(2)
    true = clock.at
    for wrong in (timedelta(minutes=-11), timedelta(minutes=11)):
        clock.at = true + wrong
        await audit.record_and_commit(read())
    clock.at = true
    await audit.sequencer.catch_up()
    report = await offline()
    assert [finding.detail.split(") ")[1] for finding in report.findings] == [
        "is dated before the head that precedes it", "is dated after the head that covers it",
    ]  # fmt: skip


async def test_clocks_that_differ_a_little_are_no_contradiction(
    write: Write, clock: FixedClock, offline: Callable, audit: AuditService, read: Read
):
    await write(2)
    clock.at -= timedelta(minutes=9)
    await audit.record_and_commit(read())
    clock.at += timedelta(minutes=9)
    await audit.sequencer.catch_up()
    assert (await offline()).holds


async def test_an_unsequenced_event_that_was_changed_is_found(
    audit: AuditService, read: Read, superuser: asyncpg.Connection, offline: Callable
):
    await audit.record_and_commit(read())
    await superuser.execute("UPDATE audit_event SET entry = entry - 'user'")
    assert codes(await offline()) == {"event-changed"}


async def test_findings_are_bounded(
    database: Database, audit: AuditService, read: Read, superuser: asyncpg.Connection, offline: Callable
):
    async with database.transaction() as tx:
        await audit.record_many(tx, [read()] * 300)
    await audit.sequencer.catch_up()
    await superuser.execute("UPDATE audit_event SET entry = entry - 'user'")
    assert len((await offline()).findings) == verification.MOST_FINDINGS


async def test_a_log_longer_than_a_page_is_read_whole(
    database: Database, audit: AuditService, read: Read, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "PAGE", 10)
    async with database.transaction() as tx:
        await audit.record_many(tx, [read()] * 25)
    await audit.sequencer.catch_up()
    await asyncio.gather(*(audit.record_and_commit(read()) for _ in range(21)))
    report = await audit.verify()
    assert report.holds and (report.events, report.waiting) == (25, 21)


@pytest.mark.parametrize(
    "line",
    ["", "x", "[]", "{}", '{"entry":{},"position":1,"xid":1}', '{"entry":{},"position":1,"xid":1,"leaf_hash":"zz"}'],
)
def test_what_is_no_export_is_refused_with_a_remedy(line: str):
    with pytest.raises(InvalidInput, match="healthsync audit export"):
        export.from_line(line)
