"""The tree behind the log: complete, in order, signed, published, and never over a history that was changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from pymerkle import InmemoryTree

from healthsync.domains.audit import (
    AuditEvent,
    AuditRow,
    AuditService,
    HistoryContradicted,
    canonical,
    heads,
    merkle,
    sequencer,
)
from healthsync.domains.audit.publication import HeadsFile
from healthsync.errors import InvalidInput, NotFound
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import metrics

Read = Callable[..., AuditEvent]
Write = Callable[[int], Awaitable[None]]


async def leaf_hashes(database: Database) -> list[bytes]:
    async with database.connection() as tx:
        return [
            row["leaf_hash"]
            for row in await tx.fetch(
                "SELECT leaf_hash FROM audit_event JOIN audit_leaf USING (position) ORDER BY leaf_index"
            )
        ]


def test_the_signature_covers_every_member_of_a_head(clock: FixedClock):
    head = heads.sign(b"s" * 32, "mercy", 7, b"r" * 32, clock.now())
    assert heads.is_signed(head)
    assert heads.from_line(heads.to_line(head)) == head
    line = heads.to_line(head)
    for old, new in [("mercy", "other"), (':7}', ':8}'), ("7272", "7273"), ("12:00", "12:01"), (head.public_key.hex()[:6], "000000"), (head.signature.hex()[:6], "000000")]:  # fmt: skip
        assert line.count(old) >= 1
        assert not heads.is_signed(heads.from_line(line.replace(old, new, 1)))


@pytest.mark.parametrize("line", ["", "x", "[]", "{}", '{"hub_id":1}', "3"])
def test_what_is_no_head_is_refused_with_a_remedy(line: str):
    with pytest.raises(InvalidInput, match=r"heads\.jsonl"):
        heads.from_line(line)


async def test_the_signed_root_is_that_of_an_independent_implementation(
    database: Database, write: Write, audit: AuditService, heads_file: Path
):
    for count in (1, 2, 5, 30):
        await write(count)
    published = HeadsFile(heads_file).read()
    assert [head.tree_size for head in published] == [1, 3, 8, 38]
    oracle = InmemoryTree(algorithm="sha256")
    async for row in audit.export():
        assert isinstance(row, AuditRow)
        oracle.append_entry(canonical.row_bytes(row))
    assert [oracle.get_root(head.tree_size) for head in published] == [head.root_hash for head in published]
    assert all(
        heads.is_signed(head) and head.public_key == audit.public_key and head.hub_id == "mercy" for head in published
    )


async def test_proofs_hold_across_many_batches_and_kept_subtrees(
    database: Database, audit: AuditService, read: Read, heads_file: Path
):
    for batch in (250, 10, 255, 1, 600):
        async with database.transaction() as tx:
            await audit.record_many(tx, [read()] * batch)
        await audit.sequencer.catch_up()
    async with database.connection() as tx:
        assert [tuple(row) for row in await tx.fetch("SELECT level, index FROM audit_subtree ORDER BY 1, 2")] == [
            (8, i) for i in range(4)
        ]
    leaves = await leaf_hashes(database)
    for position in (1, 250, 256, 257, 600, 1116):
        proof = await audit.prove(position)
        assert heads.is_signed(proof.head)
        assert merkle.included(
            leaves[proof.leaf_index], proof.leaf_index, proof.head.tree_size, proof.hashes, proof.head.root_hash
        )
    published = HeadsFile(heads_file).read()
    for old in published:
        for new in published:
            if old.tree_size <= new.tree_size:
                hashes = await audit.prove_consistency(old.tree_size, new.tree_size)
                assert merkle.consistent(old.tree_size, old.root_hash, new.tree_size, new.root_hash, hashes)


async def test_an_event_that_is_not_yet_in_the_tree_has_no_proof(database: Database, audit: AuditService, read: Read):
    await audit.record_and_commit(read())
    with pytest.raises(NotFound):
        await audit.prove(1)


async def test_a_transaction_that_commits_late_is_not_stepped_over(database: Database, audit: AuditService, read: Read):
    async with database.transaction() as late:
        await audit.record(late, read())
        await late.flush()
        await audit.record_and_commit(read())
        await audit.sequencer.catch_up()
        assert await leaf_hashes(database) == []
    await audit.sequencer.catch_up()
    assert len(await leaf_hashes(database)) == 2
    assert (await audit.verify()).holds


async def test_gaps_of_undone_transactions_are_normal(
    database: Database, audit: AuditService, read: Read, write: Write
):
    await write(1)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await audit.record(tx, read())
            await tx.flush()
            raise ZeroDivisionError
    await write(1)
    report = await audit.verify()
    assert report.holds and report.events == 2


async def test_many_sequencers_and_writers_build_one_tree(
    database: Database,
    audit: AuditService,
    read: Read,
    heads_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: FixedClock,
):
    monkeypatch.setattr(sequencer, "BATCH", 7)
    others = [
        sequencer.Sequencer(database, clock, signing_key=b"s" * 32, hub_id="mercy", heads_file=heads_file)
        for _ in range(3)
    ]

    async def record() -> None:
        for _ in range(20):
            await audit.record_and_commit(read())

    async def sequence(one: sequencer.Sequencer) -> None:
        for _ in range(20):
            await one.catch_up()

    await asyncio.gather(*(record() for _ in range(4)), *map(sequence, others))
    await audit.sequencer.catch_up()
    report = await audit.verify()
    assert report.holds and report.events == 80 and report.waiting == 0
    sizes = [head.tree_size for head in HeadsFile(heads_file).read()]
    assert sizes == sorted(set(sizes))


async def test_a_head_that_was_not_published_before_a_crash_is_published_later(
    write: Write, audit: AuditService, heads_file: Path
):
    await write(2)
    whole = heads_file.read_text()
    heads_file.unlink()
    await audit.sequencer.catch_up()
    assert heads_file.read_text() == whole


async def test_nothing_is_signed_over_a_history_that_was_cut(
    write: Write, audit: AuditService, superuser: asyncpg.Connection
):
    await write(5)
    for cut in (
        "DELETE FROM audit_leaf WHERE leaf_index = 4",
        "DELETE FROM audit_event WHERE position = 4",
        "TRUNCATE audit_leaf",
    ):
        await superuser.execute(cut)
        with pytest.raises(HistoryContradicted):
            await write(1)


async def test_nothing_is_signed_over_a_history_with_a_hole(
    write: Write, audit: AuditService, superuser: asyncpg.Connection
):
    await write(5)
    await superuser.execute("DELETE FROM audit_event WHERE position = 2")
    with pytest.raises(HistoryContradicted):
        await write(1)


async def test_nothing_is_signed_over_a_history_that_was_changed(write: Write, superuser: asyncpg.Connection):
    await write(5)
    await superuser.execute("UPDATE audit_event SET leaf_hash = sha256('other') WHERE position = 2")
    with pytest.raises(HistoryContradicted, match="5 leaves"):
        await write(1)


async def test_a_line_that_a_crash_cut_short_was_never_published(write: Write, audit: AuditService, heads_file: Path):
    await write(1)
    await write(1)
    first, second = heads_file.read_text().splitlines(keepends=True)
    for torn in ("{", second[:-1]):
        heads_file.write_text(first + torn)
        assert (await audit.verify()).holds
        await audit.sequencer.catch_up()
        assert heads_file.read_text() == first + second
    heads_file.write_text("{")
    await audit.sequencer.catch_up()
    assert heads_file.read_text() == first + second


async def test_a_log_from_a_server_with_higher_transaction_ids_is_not_continued(
    write: Write, superuser: asyncpg.Connection
):
    await write(2)
    await superuser.execute("UPDATE audit_event SET xid = '99999999' WHERE position = 2")
    with pytest.raises(HistoryContradicted, match="pg_resetwal"):
        await write(1)


async def test_the_sequencer_survives_the_loss_of_its_tables(
    audit: AuditService, running: asyncio.Task[None], superuser: asyncpg.Connection
):
    await superuser.execute("DROP TABLE audit_leaf")
    await asyncio.sleep(0.1)
    assert not running.done()


@pytest.fixture
async def running(audit: AuditService) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(audit.sequencer.run(pause_seconds=0.02))
    yield task
    task.cancel()
    await asyncio.wait([task])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_the_sequencer_follows_the_log_and_survives_an_outage(
    database: Database, audit: AuditService, read: Read, running: asyncio.Task[None], superuser: asyncpg.Connection
):
    await audit.record_and_commit(read())

    async def sequenced(count: int) -> bool:
        return len(await leaf_hashes(database)) == count

    await eventually(lambda: sequenced(1))
    await superuser.execute("UPDATE audit_event SET leaf_hash = sha256('other')")
    await audit.record_and_commit(read())
    await asyncio.sleep(0.1)
    assert await sequenced(1) and not running.done()
    await superuser.execute("TRUNCATE audit_leaf, audit_head, audit_event")


async def test_a_wake_up_ends_the_pause(database: Database, audit: AuditService, read: Read):
    task = asyncio.create_task(audit.sequencer.run(pause_seconds=60))
    await asyncio.sleep(0.1)
    await audit.record_and_commit(read())
    audit.sequencer.wake()

    async def sequenced() -> bool:
        return len(await leaf_hashes(database)) == 1

    await eventually(sequenced)
    task.cancel()
    await asyncio.wait([task])


async def test_the_lag_is_measured(database: Database, audit: AuditService, read: Read, clock: FixedClock):
    await audit.record_and_commit(read())
    async with database.transaction() as open_one:
        await open_one.execute("SELECT pg_current_xact_id()")
        await audit.record_and_commit(read())
        await audit.record_and_commit(read())
        clock.at = clock.at.replace(second=5)
        await audit.sequencer.catch_up()
        assert b"healthsync_audit_lag_events 2.0" in metrics.render()
        assert b"healthsync_audit_lag_seconds 5.0" in metrics.render()
    await audit.sequencer.catch_up()
    assert b"healthsync_audit_lag_events 0.0" in metrics.render()
    assert b"healthsync_audit_lag_seconds 0.0" in metrics.render()
    assert b"healthsync_audit_tree_size 3.0" in metrics.render()
