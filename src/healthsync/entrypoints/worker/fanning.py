"""The loop that puts what happened into the queues of handlers. Several may run: they take turns."""

from __future__ import annotations

import asyncio

from healthsync.errors import Unavailable
from healthsync.exchange.applications.fan_out import EVENTS_AT_ONCE, WAKE_CHANNEL, FanOut
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger

_log = logger(__name__)
_LEAST_SECONDS = 0.02
_OUTAGE_SECONDS = 1.0
_TIDY_SECONDS = 60.0


class Fanning:
    """Fans out whenever something is written and every `poll_seconds`; while nobody listens only the time wakes it."""

    def __init__(self, fan_out: FanOut, database: Database, *, poll_seconds: float = 1.0) -> None:
        self._fan_out, self._database, self._poll_seconds = fan_out, database, poll_seconds
        self._tidied_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Fan out until `stop` is set."""
        wake = asyncio.Event()
        stop_listening = await self._database.listen(WAKE_CHANNEL, lambda _payload: wake.set())
        try:
            while not stop.is_set():
                wake.clear()
                await self._once()
                await self._pause(stop, wake)
        finally:
            await stop_listening()

    async def _once(self) -> None:
        try:
            while await self._fan_out() >= EVENTS_AT_ONCE:
                continue
            now = asyncio.get_running_loop().time()
            if now - self._tidied_at > _TIDY_SECONDS:
                self._tidied_at = now
                await self._fan_out.tidy()
        except Unavailable:
            _log.warning("the database does not answer; handlers hear of it later")
            await asyncio.sleep(_OUTAGE_SECONDS)
        except Exception:  # a fault outside any handler: say so, and go on
            _log.exception("fanning out failed; it is tried again")
            await asyncio.sleep(_OUTAGE_SECONDS)

    async def _pause(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """A little at least, so that a busy log is read in batches."""
        await asyncio.sleep(_LEAST_SECONDS)
        events = (stop, wake) if self._fan_out.someone_listens else (stop,)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
