"""A unit of work: what waits for its end is written together, in order, and all of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from healthsync.errors import Conflict
from healthsync.infrastructure.database import Copied, Database, Lookup, Parts, Writer
from healthsync.infrastructure.database.deferred import LEAST_COPIED
from healthsync.infrastructure.turns import Turns


def _known(error: BaseException) -> Exception | None:
    taken = isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "note_pkey"
    return Conflict("taken") if taken else None


NOTE = Writer(
    lambda rows: Parts(
        ("note_added AS (INSERT INTO note SELECT * FROM unnest($1::int[], $2::text[]))",),
        [[id_ for id_, _ in rows], [text for _, text in rows]],
    ),
    _known,
    copied=lambda rows: [Copied("note", ["id", "text"], rows)],
)
OTHER = Writer(lambda ids: Parts(("other_added AS (INSERT INTO other SELECT unnest($1::int[]))",), [list(ids)]))
CHANGE = Writer(
    lambda ids: Parts(
        ("changed AS (UPDATE note SET text = 'x' WHERE id = ANY ($1::int[]) RETURNING 1)",),
        [list(ids), len(ids)],
        "expect_rows((SELECT count(*) FROM changed), $2::int)",
    )
)
FIND = Lookup("SELECT id, text FROM note WHERE id = ANY ($1::text::int[])", lambda row: row["id"])


@pytest.fixture
async def notes(database: Database) -> AsyncIterator[Database]:
    async with database.connection() as tx:
        await tx.execute("CREATE TABLE note (id int PRIMARY KEY, text text)")
        await tx.execute("CREATE TABLE other (id int PRIMARY KEY)")
    yield database


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Every statement that is sent with parameters."""
    statements: list[str] = []
    execute = asyncpg.Connection._execute

    async def counted(self, query, *parameters, **more):
        statements.append(query)
        return await execute(self, query, *parameters, **more)

    monkeypatch.setattr(asyncpg.Connection, "_execute", counted)
    return statements


async def _notes(database: Database) -> list[int]:
    async with database.connection() as tx:
        return [row["id"] for row in await tx.fetch("SELECT id FROM note ORDER BY id")]


async def test_writes_that_wait_are_one_statement_without_begin_and_commit(notes: Database, asked: list[str]):
    async with notes.unit_of_work() as tx:
        tx.later(NOTE, [(1, "a")])
        tx.later(OTHER, [7])
        tx.later(NOTE, [(2, "b")])
    assert len(asked) == 1
    assert await _notes(notes) == [1, 2]


async def test_a_statement_in_between_sees_what_waited(notes: Database):
    async with notes.unit_of_work() as tx:
        tx.later(NOTE, [(1, "")])
        assert await tx.fetchval("SELECT count(*) FROM note") == 1
        tx.later(NOTE, [(2, "")])
        assert len(await tx.look("SELECT id FROM note")) == 2
        tx.later(NOTE, [(3, "")])
        assert len(await tx.look_up(FIND, {3: (3,), 4: (4,)})) == 1


async def test_looking_beside_leaves_waiting_what_waits(notes: Database, asked: list[str]):
    async with notes.unit_of_work() as tx:
        tx.later(NOTE, [(1, "")])
        assert await tx.look_up(FIND, {1: (1,)}, beside=True) == []
        assert [row[0] for row in await tx.look_beside("SELECT count(*) FROM note")] == [0]
        assert not tx.connection.is_in_transaction()
    assert len(asked) == 3
    assert await _notes(notes) == [1]


@pytest.mark.parametrize("unit", ["unit_of_work", "transaction"])
async def test_an_exception_in_the_block_undoes_everything(notes: Database, unit: str):
    with pytest.raises(ZeroDivisionError):
        async with getattr(notes, unit)() as tx:
            tx.later(NOTE, [(1, "")])
            await tx.flush()
            tx.later(NOTE, [(2, "")])
            raise ZeroDivisionError
    assert await _notes(notes) == []


@pytest.mark.parametrize("unit", ["unit_of_work", "transaction", "connection"])
async def test_an_error_at_the_end_undoes_all_that_waited_and_has_the_name_that_its_writer_gives_it(
    notes: Database, unit: str
):
    with pytest.raises(Conflict):
        async with getattr(notes, unit)() as tx:
            tx.later(OTHER, [7])
            tx.later(NOTE, [(1, ""), (1, "")])
    assert await _notes(notes) == []


async def test_expected_rows_that_are_not_there_fail_the_statement(notes: Database):
    with pytest.raises(asyncpg.PostgresError, match="expected 1 rows, found 0"):
        async with notes.unit_of_work() as tx:
            tx.later(NOTE, [(1, "")])
            tx.later(CHANGE, [9])
    assert await _notes(notes) == []


async def test_looking_does_not_begin_and_writing_does(notes: Database):
    async with notes.unit_of_work() as tx:
        await tx.look("SELECT 1")
        assert not tx.connection.is_in_transaction()
        await tx.execute("INSERT INTO note VALUES (1)")
        assert tx.connection.is_in_transaction()
    assert await _notes(notes) == [1]


async def test_a_savepoint_undoes_what_waited_inside_it_alone(notes: Database):
    async with notes.unit_of_work() as tx:
        tx.later(NOTE, [(1, "")])
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                tx.later(NOTE, [(2, "")])
                raise ZeroDivisionError
        tx.later(NOTE, [(3, "")])
    assert await _notes(notes) == [1, 3]


# Units of work that end at the same time


async def _write(database: Database, *ids: int, after: list[int] | None = None) -> None:
    async with database.unit_of_work() as tx:
        tx.later(NOTE, [(id_, "") for id_ in ids])
        tx.after_commit(lambda: after.extend(ids) if after is not None else None)


async def test_units_that_end_at_the_same_time_share_their_statements(notes: Database, asked: list[str]):
    after: list[int] = []
    await asyncio.gather(*(_write(notes, id_, after=after) for id_ in range(30)))
    assert len(asked) <= 3
    assert await _notes(notes) == list(range(30))
    assert sorted(after) == list(range(30))


async def test_one_that_fails_fails_alone(notes: Database):
    await _write(notes, 7)
    after: list[int] = []
    outcomes = await asyncio.gather(*(_write(notes, id_, after=after) for id_ in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Conflict if id_ == 7 else type(None) for id_ in range(20)]
    assert await _notes(notes) == list(range(20))
    assert sorted(after) == [id_ for id_ in range(20) if id_ != 7]


async def test_one_that_waits_for_a_lock_does_not_hold_up_the_others(notes: Database):
    async with notes.transaction() as holder:
        await holder.execute("INSERT INTO note VALUES (3)")
        held = asyncio.create_task(_write(notes, 3))
        await asyncio.gather(*(_write(notes, id_) for id_ in (1, 2, 4)))
        assert not held.done()
    with pytest.raises(Conflict):
        await held
    assert await _notes(notes) == [1, 2, 3, 4]


async def test_a_large_unit_does_not_travel_with_small_ones(notes: Database, asked: list[str]):
    await asyncio.gather(_write(notes, *range(1000, 2000)), _write(notes, 1), _write(notes, *range(2000, 3000)))
    assert len(asked) == 3
    assert len(await _notes(notes)) == 2001


async def test_a_caller_who_is_gone_leaves_no_half_of_his_work(notes: Database):
    tasks = [asyncio.create_task(_write(notes, id_, 100 + id_)) for id_ in range(8)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    found = await _notes(notes)
    assert (3 in found) == (103 in found)
    assert {0, 1, 2, 4, 5, 6, 7} <= set(found)


async def test_lookups_at_the_same_time_are_one_statement_and_everyone_gets_his_own(notes: Database, asked: list[str]):
    await _write(notes, 1, 2, 3)
    asked.clear()

    async def found(*ids: int) -> list[int]:
        async with notes.unit_of_work() as tx:
            return [row["id"] for row in await tx.look_up(FIND, {id_: (id_,) for id_ in ids})]

    assert await asyncio.gather(found(1), found(2, 9), found(9), found(3, 1)) == [[1], [2], [], [3, 1]]
    assert len(asked) <= 2


def _many() -> list[tuple[int, str]]:
    return [(id_, "") for id_ in range(LEAST_COPIED)]


async def test_many_rows_of_a_transaction_are_copied_and_few_are_not(notes: Database, asked: list[str]):
    async with notes.transaction() as tx:
        tx.later(NOTE, _many())
        tx.later(OTHER, [7])
        assert await tx.fetchval("SELECT count(*) FROM note") == LEAST_COPIED
    assert not [text for text in asked if "note_added" in text]
    async with notes.transaction() as tx:
        tx.later(NOTE, [(-1, "")])
    assert [text for text in asked if "note_added" in text]


async def test_many_rows_with_no_transaction_around_them_are_one_statement(notes: Database, asked: list[str]):
    async with notes.unit_of_work() as tx:
        tx.later(NOTE, _many())
    assert len(asked) == 1
    assert len(await _notes(notes)) == LEAST_COPIED


async def test_a_copy_that_fails_has_the_name_that_its_writer_gives_it_and_leaves_nothing(notes: Database):
    with pytest.raises(Conflict):
        async with notes.transaction() as tx:
            tx.later(OTHER, [7])
            tx.later(NOTE, [*_many(), (0, "")])
    assert await _notes(notes) == []


async def test_a_unit_that_waits_for_its_turn_has_no_connection_and_gives_the_turn_back_however_it_ends(
    notes: Database, asked: list[str]
):
    turns = Turns(patience=60)

    async def second() -> None:
        async with notes.unit_of_work() as tx:
            await tx.in_turn(turns, ["person"])
            await tx.fetch("SELECT 'second'")

    async with notes.unit_of_work() as tx:
        await tx.in_turn(turns, ["person"])
        await tx.fetch("SELECT 'first'")
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.05)
        assert "SELECT 'second'" not in asked, "it waits"
        await tx.in_turn(turns, ["person"])  # again, with a connection in hand: it has the turn, and waits for nobody
    async with asyncio.timeout(10):
        await waiting
    with pytest.raises(KeyError):
        async with notes.unit_of_work() as tx:
            await tx.in_turn(turns, ["person"])
            raise KeyError
    async with asyncio.timeout(10):
        await second()


async def test_a_unit_that_holds_a_connection_waits_for_no_turn(notes: Database):
    turns = Turns(patience=60)
    await turns.take(["person"])
    async with asyncio.timeout(10):
        async with notes.unit_of_work() as tx:
            await tx.fetch("SELECT 1")
            await tx.in_turn(turns, ["person"])
        async with notes.transaction() as tx:
            await tx.in_turn(turns, ["person"])
