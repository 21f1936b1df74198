"""The loop that sends messages to partners. Several may run, in one process or in many; one serves a destination."""

from __future__ import annotations

import asyncio

from healthsync.errors import Unavailable
from healthsync.exchange.deliver_messages import WAKE_CHANNEL as WAITING_CHANNEL
from healthsync.exchange.deliver_messages import DeliverMessages, Turn
from healthsync.exchange.send_message import EVENTS_AT_ONCE, SendMessage
from healthsync.exchange.send_message import WAKE_CHANNEL as EVENT_CHANNEL
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger

_log = logger(__name__)
_LEAST_SECONDS = 0.05
_PASSES_IN_A_ROW = 10
_OUTAGE_SECONDS = 1.0
_TIDY_SECONDS = 600.0


class Sending:
    """Queues messages about what happened and serves the destinations, whenever something is written and every
    `poll_seconds`. Destinations are served beside each other: one that answers slowly holds nobody else up."""

    def __init__(
        self, send: SendMessage, deliver: DeliverMessages, database: Database, *, poll_seconds: float = 1.0
    ) -> None:
        self._send, self._deliver, self._database, self._poll_seconds = send, deliver, database, poll_seconds
        self._turns: set[asyncio.Task[None]] = set()
        self._tidied_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; messages in flight are waited for."""
        happened, queued = asyncio.Event(), asyncio.Event()
        stops = [
            await self._database.listen(EVENT_CHANNEL, lambda _payload: happened.set()),
            await self._database.listen(WAITING_CHANNEL, lambda _payload: self._wake(queued)),
        ]
        try:
            while not stop.is_set():
                happened.clear()
                queued.clear()
                if not await self._once(stop, queued):
                    await self._pause(stop, queued, happened)
        finally:
            for stop_listening in stops:
                await stop_listening()
            if self._turns:
                await asyncio.wait(self._turns)

    def _wake(self, queued: asyncio.Event) -> None:
        queued.set()
        self._deliver.wake()

    async def _once(self, stop: asyncio.Event, queued: asyncio.Event) -> bool:
        """One pass; True when the log holds more, which must not keep new destinations waiting."""
        more = False
        try:
            for _ in range(_PASSES_IN_A_ROW):
                if not (more := await self._send.queue() >= EVENTS_AT_ONCE) or stop.is_set():
                    break
            while (turn := await self._deliver.claim()) is not None:
                self._begin(turn, stop, queued)
            await self._tidy()
        except Unavailable:
            _log.warning("the database does not answer; messages to partners wait")
            await asyncio.sleep(_OUTAGE_SECONDS)
        except Exception:  # a fault outside any destination: say so, and go on
            _log.exception("sending messages failed; it is tried again")
            await asyncio.sleep(_OUTAGE_SECONDS)
        return more

    def _begin(self, turn: Turn, stop: asyncio.Event, queued: asyncio.Event) -> None:
        task = asyncio.create_task(self._serve(turn, stop))
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)
        task.add_done_callback(lambda _task: queued.set())  # something may have been queued as it ended

    async def _serve(self, turn: Turn, stop: asyncio.Event) -> None:
        try:
            await self._deliver.serve(turn, stop)
        except Unavailable:
            _log.warning("the database does not answer; a destination is served again later", destination=turn.name)
            await asyncio.sleep(_OUTAGE_SECONDS)
        except Exception:  # the destination is claimed again; what was in flight keeps its count
            _log.exception("serving a destination failed; it is tried again", destination=turn.name)
            await asyncio.sleep(_OUTAGE_SECONDS)

    async def _tidy(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._tidied_at > _TIDY_SECONDS:
            while await self._deliver.tidy():
                continue
            self._tidied_at = now

    async def _pause(self, stop: asyncio.Event, queued: asyncio.Event, happened: asyncio.Event) -> None:
        """A little at least, so that a busy log is read in batches; then until something is written.

        Without destinations, what is written concerns nobody: then only time wakes.
        """
        await asyncio.sleep(_LEAST_SECONDS)
        events = (stop, queued, happened) if self._send.someone_listens else (stop, queued)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
