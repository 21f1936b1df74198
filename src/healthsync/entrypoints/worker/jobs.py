"""The loop that runs jobs, one at a time in a process, and tidies up after those that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from healthsync.errors import Unavailable
from healthsync.exchange.operations.jobs import Jobs
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs.table import WAKE_CHANNEL
from healthsync.infrastructure.telemetry import logger

_log = logger(__name__)
_POLL_SECONDS = 5.0
_OUTAGE_SECONDS = 1.0
_HOUR_SECONDS = 3600.0


class JobWorker:
    """Runs jobs until it is told to stop; a job under way then goes back, and another worker goes on with it."""

    def __init__(
        self,
        jobs: Jobs,
        database: Database,
        *,
        hourly: Sequence[Callable[[], Awaitable[object]]] = (),
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """`hourly`: what else is to be done from time to time."""
        self._jobs, self._database, self._poll_seconds, self._hourly = jobs, database, poll_seconds, hourly

    async def run(self, stop: asyncio.Event) -> None:
        """Run jobs and tidy up until `stop` is set."""
        stopping = asyncio.ensure_future(stop.wait())
        loops = [asyncio.ensure_future(loop()) for loop in (self._run_jobs, self._tidy, self._every_hour)]
        try:
            await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, *loops):
                task.cancel()
            await asyncio.wait(loops)

    async def _run_jobs(self) -> None:
        wake = asyncio.Event()
        stop_listening = await self._database.listen(WAKE_CHANNEL, lambda _payload: wake.set())
        try:
            while True:
                wake.clear()
                if not await self._survived(self._jobs.run_next()):
                    await _first_of(wake, self._poll_seconds)
        finally:
            await stop_listening()

    async def _tidy(self) -> None:
        while True:
            await self._survived(self._jobs.tidy())
            await asyncio.sleep(self._poll_seconds)

    async def _every_hour(self) -> None:
        while True:
            for task in self._hourly:
                await self._survived(task())
            await asyncio.sleep(_HOUR_SECONDS)

    async def _survived(self, work) -> bool:
        try:
            return bool(await work)
        except Unavailable:
            _log.warning("the database does not answer; jobs wait")
        except Exception:  # a fault outside any job: say so, and do not end the worker
            _log.exception("the loop of jobs failed; it tries again")
        await asyncio.sleep(_OUTAGE_SECONDS)
        return False


async def _first_of(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
