"""The loop that processes accepted messages. Several may run, in one process or in many."""

from __future__ import annotations

import asyncio

from healthsync.errors import Unavailable
from healthsync.exchange.process_message import WAKE_CHANNEL, ProcessMessage
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger

_log = logger(__name__)
_OUTAGE_SECONDS = 1.0
_BACKLOG_SECONDS = 5.0


class Worker:
    """Calls the flow whenever a message was accepted, and at least every `poll_seconds` for what is due again."""

    def __init__(
        self, process: ProcessMessage, database: Database, *, batch_size: int = 50, poll_seconds: float = 0.5
    ) -> None:
        self._process, self._database = process, database
        self._batch_size, self._poll_seconds = batch_size, poll_seconds
        self._backlog_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Process until `stop` is set; the batch under way is finished."""
        wake = asyncio.Event()
        stop_listening = await self._database.listen(WAKE_CHANNEL, lambda _payload: wake.set())
        try:
            while not stop.is_set():
                wake.clear()
                if not await self._once():
                    await _first_of(wake, stop, self._poll_seconds)
        finally:
            await stop_listening()

    async def drain(self) -> int:
        """Process until nothing may run now (retries that are not due stay); returns the number of attempts."""
        total = 0
        while tried := await self._process(self._batch_size):
            total += tried
        return total

    async def _once(self) -> int:
        try:
            tried = await self._process(self._batch_size)
            await self._observe_backlog()
        except Unavailable:
            _log.warning("the database does not answer; the worker tries again")
        except Exception:  # a fault outside any message: say so, and do not end the worker
            _log.exception("the worker failed; it tries again")
        else:
            return tried
        await asyncio.sleep(_OUTAGE_SECONDS)
        return 0

    async def _observe_backlog(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._backlog_at > _BACKLOG_SECONDS:
            self._backlog_at = now
            await self._process.observe_backlog()


async def _first_of(wake: asyncio.Event, stop: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (wake, stop)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
