"""A unit of work: what waits for its end is written together, in order, and all of it or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from healthsync.errors import Conflict
from healthsync.infrastructure.database import Database, Later


@pytest.fixture
async def notes(database: Database) -> AsyncIterator[Database]:
    async with database.connection() as tx:
        await tx.execute("CREATE TABLE note (id int PRIMARY KEY, text text)")
        await tx.execute("CREATE TABLE other (id int PRIMARY KEY)")
    yield database


def note(id_: int, text: str = "", name: str = "note_added", **more) -> Later:
    return Later((f"{name} AS (INSERT INTO note (id, text) VALUES ($1, $2))",), [id_, text], **more)


async def _notes(database: Database) -> list[int]:
    async with database.connection() as tx:
        return [row["id"] for row in await tx.fetch("SELECT id FROM note ORDER BY id")]


async def test_writes_that_wait_are_one_statement_without_begin_and_commit(notes: Database, monkeypatch):
    asked: list[str] = []
    fetchrow = asyncpg.Connection.fetchrow

    async def counted(self, query, *parameters, **more):
        asked.append(query)
        return await fetchrow(self, query, *parameters, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetchrow", counted)
    async with notes.unit_of_work() as tx:
        tx.later(note(1, "a"))
        tx.later(Later(("other_added AS (INSERT INTO other VALUES ($1))",), [7]))
        began = tx._began
    assert began is None
    assert len(asked) == 1
    assert await _notes(notes) == [1]


async def test_a_statement_in_between_sees_what_waited(notes: Database):
    async with notes.unit_of_work() as tx:
        tx.later(note(1))
        assert await tx.fetchval("SELECT count(*) FROM note") == 1
        tx.later(note(2))
        assert len(await tx.look("SELECT id FROM note")) == 2


@pytest.mark.parametrize("unit", ["unit_of_work", "transaction"])
async def test_an_exception_in_the_block_undoes_everything(notes: Database, unit: str):
    with pytest.raises(ZeroDivisionError):
        async with getattr(notes, unit)() as tx:
            tx.later(note(1))
            await tx.flush()
            tx.later(note(2))
            raise ZeroDivisionError
    assert await _notes(notes) == []


async def test_an_error_at_the_end_undoes_all_that_waited_and_has_the_name_that_its_writer_gives_it(notes: Database):
    def known(error: BaseException) -> Exception | None:
        return Conflict("taken") if isinstance(error, asyncpg.UniqueViolationError) else None

    with pytest.raises(Conflict):
        async with notes.unit_of_work() as tx:
            tx.later(Later(("other_added AS (INSERT INTO other VALUES ($1))",), [7]))
            tx.later(note(1))
            tx.later(note(1, translate=known))
    assert await _notes(notes) == []


async def test_a_name_that_stands_twice_makes_two_statements_in_one_transaction(notes: Database):
    with pytest.raises(asyncpg.UniqueViolationError):
        async with notes.unit_of_work() as tx:
            tx.later(note(1))
            tx.later(note(2))
            tx.later(note(2))
    assert await _notes(notes) == []
    async with notes.unit_of_work() as tx:
        tx.later(note(1))
        tx.later(note(2))
    assert await _notes(notes) == [1, 2]


async def test_expected_rows_that_are_not_there_fail_the_statement(notes: Database):
    check = "expect_rows((SELECT count(*) FROM changed), $3::int)"
    update = Later(("changed AS (UPDATE note SET text = $2 WHERE id = $1 RETURNING 1)",), [9, "x", 1], check)
    with pytest.raises(asyncpg.PostgresError, match="expected 1 rows, found 0"):
        async with notes.unit_of_work() as tx:
            tx.later(note(1))
            tx.later(update)
    assert await _notes(notes) == []


async def test_looking_does_not_begin_and_writing_does(notes: Database):
    async with notes.unit_of_work() as tx:
        await tx.look("SELECT 1")
        assert tx._began is None
        await tx.execute("INSERT INTO note VALUES (1)")
        assert tx._began is not None
    assert await _notes(notes) == [1]


async def test_a_savepoint_undoes_what_waited_inside_it_alone(notes: Database):
    async with notes.unit_of_work() as tx:
        tx.later(note(1))
        with pytest.raises(ZeroDivisionError):
            async with tx.savepoint():
                tx.later(note(2))
                raise ZeroDivisionError
        tx.later(note(3))
    assert await _notes(notes) == [1, 3]
