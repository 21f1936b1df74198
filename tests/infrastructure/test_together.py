"""Callers who come while an act is under way share the next one, and each learns the fate of his own item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from healthsync.errors import Unavailable
from healthsync.infrastructure.together import Together


async def test_who_comes_while_an_act_is_under_way_shares_the_next():
    acts: list[list[int]] = []

    async def doubled(items: list[int]) -> Sequence[int]:
        acts.append(items)
        await asyncio.sleep(0)
        return [2 * item for item in items]

    ask = Together(doubled, most=4)
    assert await asyncio.gather(*map(ask, range(10))) == [2 * item for item in range(10)]
    assert [len(act) for act in acts] == [4, 4, 2]
    assert await ask(50) == 100


async def test_one_act_goes_beside_another_that_lasts_and_only_then():
    begun: list[list[str]] = []
    first_may_end = asyncio.Event()

    async def slow(items: list[str]) -> Sequence[str]:
        begun.append(items)
        if "slow" in items:
            await first_may_end.wait()
        return items

    ask = Together(slow, most=10, patience=0.001)
    first = asyncio.create_task(ask("slow"))
    await asyncio.sleep(0)
    assert await asyncio.gather(ask("b"), ask("c")) == ["b", "c"]
    assert begun == [["slow"], ["b", "c"]]
    first_may_end.set()
    await first
    begun.clear()
    await asyncio.gather(*map(ask, "defg"))
    assert begun == [["d", "e", "f", "g"]]


async def test_without_patience_everybody_waits_for_the_act_under_way():
    under_way = most = 0

    async def slow(items: list[int]) -> Sequence[int]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return items

    await asyncio.gather(*map(Together(slow, most=1), range(9)))
    assert most == 1


async def test_each_has_his_own_outcome_and_a_fault_of_the_act_is_everyones():
    async def picky(items: list[int]) -> Sequence[int | BaseException]:
        if 13 in items:
            raise ZeroDivisionError
        return [KeyError(item) if item < 0 else item for item in items]

    ask = Together(picky, most=10)
    outcomes = await asyncio.gather(ask(1), ask(-1), return_exceptions=True)
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], KeyError)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await ask(13)


async def test_a_servant_that_is_stopped_tells_all_who_wait():
    started = asyncio.Event()

    async def never(_items: list[str]) -> Sequence[None]:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    ask = Together(never, most=1)
    callers = [asyncio.create_task(ask("a"))]
    await started.wait()
    callers.append(asyncio.create_task(ask("b")))
    await asyncio.sleep(0)
    for servant in list(ask._servants):
        servant.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    await ask.close()


async def test_closing_waits_for_the_fate_of_all():
    async def slow(items: list[int]) -> Sequence[int]:
        await asyncio.sleep(0.001)
        return items

    ask = Together(slow, most=1)
    callers = [asyncio.create_task(ask(item)) for item in range(3)]
    await asyncio.sleep(0)
    await ask.close()
    assert [caller.result() for caller in callers] == [0, 1, 2]
