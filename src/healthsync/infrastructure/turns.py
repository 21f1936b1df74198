"""Turns inside a process: whoever needs a name that others have waits for those who came before, with empty hands.

A lock of the database keeps processes apart, but who waits for it keeps a connection meanwhile, and all that it has
locked. A turn is taken before: among the requests of one process nobody waits with a connection. It is courtesy, and
the lock is what protects: a turn lost to impatience or to a caller that is cancelled costs only time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable
from functools import partial


class Turns:
    """Each waits for all who asked before it for one of its names, and for `patience` seconds at most. Since it waits
    for nobody who came later, no two wait for each other."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def are_taken(self, names: Collection[Hashable]) -> bool:
        """Whether somebody has one of them or waits for it."""
        return bool(self._last) and any(name in self._last for name in names)

    async def take(self, names: Collection[Hashable]) -> Callable[[], None]:
        """Wait for the turn; it lasts until what is returned is called."""
        mine = asyncio.get_running_loop().create_future()
        before = {self._last[name] for name in names if name in self._last}
        self._last.update(dict.fromkeys(names, mine))
        leave = partial(self._leave, mine, names)
        if before:
            try:
                await asyncio.wait(before, timeout=self._patience)
            except BaseException:
                leave()
                raise
        return leave

    def _leave(self, mine: asyncio.Future[None], names: Collection[Hashable]) -> None:
        for name in names:
            if self._last.get(name) is mine:
                del self._last[name]
        mine.set_result(None)
