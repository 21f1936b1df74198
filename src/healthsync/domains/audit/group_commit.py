"""One commit for all who wait: callers that arrive while a commit is under way share the next one.

Nobody waits for company: a lone caller is written at once. Every caller learns the fate of its own entry; a caller
that is cancelled leaves its entry in the group, because the access it tells of may already have been made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from healthsync.errors import Unavailable

MOST_ENTRIES = 1000  # bounds the memory and time of one statement


class GroupCommit:
    """Writes entries by `write`, which commits all that it is given, or raises Unavailable."""

    def __init__(self, write: Callable[[list[str]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, entry: str) -> None:
        """Returns when `entry` is committed. Raises Unavailable when it could not be written."""
        fate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, fate))
        if self._writer is None:
            self._writer = asyncio.create_task(self._run(), name="audit-group-commit")
        await fate

    async def close(self) -> None:
        """Wait until everything that was added has met its fate."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _run(self) -> None:
        group: list[tuple[str, asyncio.Future[None]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_ENTRIES], self._waiting[MOST_ENTRIES:]
                await self._write_group(group)
        finally:
            for _entry, fate in group + self._waiting:  # only when the writer itself was cancelled
                _settle(fate, Unavailable("the hub is stopping; the audit log takes no more entries"))
            self._waiting = []
            self._writer = None

    async def _write_group(self, group: list[tuple[str, asyncio.Future[None]]]) -> None:
        fault: Exception | None = None
        try:
            await self._write([entry for entry, _fate in group])
        except Exception as error:  # whatever it is, all who wait must learn of it
            fault = error
        for _entry, fate in group:
            _settle(fate, fault)


def _settle(fate: asyncio.Future[None], fault: Exception | None) -> None:
    if fate.done():
        return
    if fault is None:
        fate.set_result(None)
        return
    known = isinstance(fault, Unavailable)
    unavailable = Unavailable(str(fault) if known else f"the audit log cannot be written ({type(fault).__name__})")
    unavailable.__cause__ = fault
    fate.set_exception(unavailable)
