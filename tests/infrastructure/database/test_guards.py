"""A unit of work may decide by what it does not hold: nothing of it is written once that has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from healthsync.infrastructure.database import Database, Guard, Lookup, Outdated, Parts, Transaction, Writer
from healthsync.infrastructure.turns import Turns


async def _hold(tx: Transaction, rows: Sequence[int]) -> set[int]:
    await tx.fetchval("SELECT value FROM stock FOR UPDATE")
    return set()


STILL = Guard(lambda rows: ("(SELECT value <> ANY ($1::int[]) FROM stock)", [list(rows)]), _hold)
"""What was read is what stands there; it is held until the commit."""
TAKE = Writer(lambda rows: Parts(("taken AS (INSERT INTO taken SELECT unnest($1::int[]))",), [list(rows)]))
STOCK = Lookup("SELECT 0 AS place, value FROM stock WHERE 0 = ANY ($1::text::int[])", lambda row: row["place"])


@pytest.fixture
async def stock(database: Database) -> AsyncIterator[Database]:
    async with database.connection() as tx:
        await tx.execute("CREATE TABLE stock (value int)")
        await tx.execute("CREATE TABLE taken (id int)")
        await tx.execute("INSERT INTO stock VALUES (1)")
    yield database


async def _take(database: Database, id_: int, *, between: str = "", begins: bool = False) -> None:
    async with database.unit_of_work(repeats=True) as tx:
        assert tx.is_repeatable
        ((_, value),) = await tx.look_up(STOCK, {0: (0,)})
        tx.guard(STILL, value)
        tx.later(TAKE, [id_])
        assert not tx.is_repeatable and tx.is_guarded
        if between:
            async with database.connection() as other:
                await other.execute(between)
        if begins:
            await tx.flush()


async def _taken(database: Database) -> list[int]:
    async with database.connection() as tx:
        return [row["id"] for row in await tx.fetch("SELECT id FROM taken ORDER BY id")]


@pytest.mark.parametrize("begins", [False, True])
async def test_what_still_stands_is_written_and_what_has_changed_is_not(stock: Database, begins: bool):
    await _take(stock, 1, begins=begins)
    with pytest.raises(Outdated):
        await _take(stock, 2, between="UPDATE stock SET value = 2", begins=begins)
    assert await _taken(stock) == [1]


async def test_one_that_is_outdated_does_not_keep_those_from_writing_who_end_with_it(stock: Database):
    ends: list[asyncio.Task[None]] = []
    gate = asyncio.Event()

    async def take(id_: int, value: int) -> None:
        async with stock.unit_of_work(repeats=True) as tx:
            tx.guard(STILL, value)
            tx.later(TAKE, [id_])
            await gate.wait()

    ends = [asyncio.create_task(take(id_, 7 if id_ == 3 else 1)) for id_ in range(6)]
    await asyncio.sleep(0)
    gate.set()
    fates = await asyncio.gather(*ends, return_exceptions=True)
    assert [type(fate) for fate in fates] == [Outdated if id_ == 3 else type(None) for id_ in range(6)]
    assert await _taken(stock) == [0, 1, 2, 4, 5]


async def test_who_is_outdated_tells_nobody_of_a_commit_and_leaves_the_turn_to_others(stock: Database):
    turns = Turns(patience=60)
    told: list[str] = []
    with pytest.raises(Outdated):
        async with stock.unit_of_work(repeats=True) as tx:
            tx.after_commit(lambda: told.append("committed"))
            await tx.in_turn(turns, ["person"])
            tx.guard(STILL, 7)
            tx.later(TAKE, [1])
    assert told == []
    (await turns.take(["person"]))()


async def test_a_unit_that_is_not_repeated_holds_what_it_looks_at(stock: Database):
    async with stock.unit_of_work() as tx:
        assert not tx.is_repeatable
    async with stock.transaction() as tx:
        assert not tx.is_repeatable


async def test_those_who_come_together_look_together(stock: Database, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    look = Database._look_together

    async def counted(self, lookup, places):
        asked.append(len(places))
        return await look(self, lookup, places)

    monkeypatch.setattr(Database, "_look_together", counted)
    await asyncio.gather(*(_take(stock, id_) for id_ in range(10)))
    assert asked == [10]
    assert await _taken(stock) == list(range(10))
