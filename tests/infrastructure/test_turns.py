"""Who needs the same name acts one after the other, in the order of asking; nobody waits for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.infrastructure.turns import Turns


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 3), max_size=3), max_size=8))
def test_those_who_share_a_name_act_in_the_order_of_asking_and_never_at_once(wanted):
    async def scene() -> list[tuple[int, str]]:
        turns, seen = Turns(patience=60), list[tuple[int, str]]()

        async def act(number: int) -> None:
            leave = await turns.take(wanted[number])
            seen.append((number, "begins"))
            for _ in range(3):
                await asyncio.sleep(0)
            seen.append((number, "ends"))
            leave()

        await asyncio.gather(*map(act, range(len(wanted))))
        assert turns._last == {}, "nothing is kept of those who have left"
        return seen

    seen = asyncio.run(scene())
    for later in range(len(wanted)):
        for earlier in range(later):
            if wanted[earlier] & wanted[later]:
                assert seen.index((earlier, "ends")) < seen.index((later, "begins"))


async def test_who_needs_other_names_does_not_wait():
    turns = Turns(patience=60)
    await turns.take([1, 2])
    async with asyncio.timeout(5):
        await turns.take([3])


async def test_patience_ends_and_the_turn_of_who_is_late_is_lost():
    turns = Turns(patience=0.01)
    late = await turns.take([1])
    leave = await turns.take([1])
    late()
    leave()
    assert turns._last == {}


async def test_who_is_cancelled_while_waiting_keeps_nobody_waiting():
    turns = Turns(patience=60)
    first = await turns.take([1])
    second = asyncio.create_task(turns.take([1]))
    third = asyncio.create_task(turns.take([1]))
    await asyncio.sleep(0)
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
    first()
    async with asyncio.timeout(5):
        (await third)()
    assert turns._last == {}
