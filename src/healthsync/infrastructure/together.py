"""One act for all who ask at the same time: callers that come while one is under way share the next.

Nobody waits for company: a lone caller is served at once. Every caller learns the fate of its own item; a caller that
is cancelled leaves its item in the group, because what it stands for may already have happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from healthsync.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """Serves items by `serve`, which answers with a result or an exception for each, in their order; when it raises,
    the exception is everyone's.

    most      items of one act: bounds its memory and its time
    patience  seconds after which those who wait for an act that lasts get one beside it; None: never
    """

    def __init__(
        self,
        serve: Callable[[list[T]], Awaitable[Sequence[R | BaseException]]],
        *,
        most: int,
        patience: float | None = None,
    ) -> None:
        self._serve, self._most, self._patience = serve, most, patience
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._servants: set[asyncio.Task[None] | None] = set()
        self._relief: asyncio.TimerHandle | None = None

    async def __call__(self, item: T) -> R:
        """The result for an item. Raises its exception; Unavailable when the hub stops first."""
        loop = asyncio.get_running_loop()
        fate: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, fate))
        if not self._servants:
            self._begin()
        elif self._patience is not None and self._relief is None and len(self._servants) == 1:
            self._relief = loop.call_later(self._patience, self._relieve)
        return await fate

    async def close(self) -> None:
        """Wait until everything that was asked has met its fate."""
        while servants := [servant for servant in self._servants if servant is not None]:
            await asyncio.wait(servants)

    def _begin(self) -> None:
        self._servants.add(asyncio.create_task(self._run()))

    def _relieve(self) -> None:
        self._relief = None
        if self._waiting:
            self._begin()

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        if self._relief is not None:
            self._relief.cancel()
            self._relief = None
        return group

    async def _run(self) -> None:
        group: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while self._waiting:
                group = self._take()
                await self._serve_group(group)
        finally:  # at once: who asks next must not count on a servant that has ended
            self._servants.discard(asyncio.current_task())
            if self._waiting or group:
                self._give_up(group)

    async def _serve_group(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        outcomes: Sequence[R | BaseException]
        try:
            outcomes = await self._serve([item for item, _ in group])
        except Exception as fault:  # whatever it is, all who wait must learn of it
            outcomes = [fault] * len(group)
        for (_, fate), outcome in zip(group, outcomes, strict=True):
            _settle(fate, outcome)

    def _give_up(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        """Only a servant that was cancelled itself leaves somebody waiting."""
        for _, fate in [*group, *self._waiting]:
            _settle(fate, Unavailable("the hub is stopping and takes no more work"))
        self._waiting = []


def _settle(fate: asyncio.Future[R], outcome: R | BaseException) -> None:
    if fate.done():
        return
    if isinstance(outcome, BaseException):
        fate.set_exception(outcome)
    else:
        fate.set_result(outcome)
