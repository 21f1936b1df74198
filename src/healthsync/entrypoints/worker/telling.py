"""The loop that tells subscribers. Several may run, in one process or in many: each turn belongs to one of them."""

from __future__ import annotations

import asyncio

from healthsync.errors import Unavailable
from healthsync.exchange.notify_subscribers import EVENTS_AT_ONCE, WAKE_CHANNELS, NotifySubscribers, Turn
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger

_log = logger(__name__)
_AT_ONCE = 16
_TURNS_IN_A_ROW = 100
_LEAST_SECONDS = 0.1
_OUTAGE_SECONDS = 1.0
_OBSERVE_SECONDS = 5.0


class Telling:
    """Queues what happened and tells what is due, whenever something is written and every `poll_seconds`.

    Turns run beside each other, so that a receiver which answers slowly holds nobody else up.
    """

    def __init__(self, notify: NotifySubscribers, database: Database, *, poll_seconds: float = 1.0) -> None:
        self._notify, self._database, self._poll_seconds = notify, database, poll_seconds
        self._turns: set[asyncio.Task[None]] = set()
        self._observed_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until `stop` is set; turns under way are finished."""
        wake = asyncio.Event()
        stops = [await self._database.listen(channel, lambda _payload: wake.set()) for channel in WAKE_CHANNELS]
        try:
            while not stop.is_set():
                wake.clear()
                await self._once(wake)
                await self._pause(stop, wake)
        finally:
            for stop_listening in stops:
                await stop_listening()
            if self._turns:
                await asyncio.wait(self._turns)

    async def _once(self, wake: asyncio.Event) -> None:
        try:
            while await self._notify.queue() >= EVENTS_AT_ONCE:
                continue
            while len(self._turns) < _AT_ONCE and (turn := await self._notify.claim()) is not None:
                self._begin(turn, wake)
            await self._observe()
        except Unavailable:
            _log.warning("the database does not answer; subscribers are told later")
            await asyncio.sleep(_OUTAGE_SECONDS)
        except Exception:  # a fault outside any turn: say so, and go on
            _log.exception("telling subscribers failed; it is tried again")
            await asyncio.sleep(_OUTAGE_SECONDS)

    def _begin(self, turn: Turn, wake: asyncio.Event) -> None:
        task = asyncio.create_task(self._tell(turn))
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)
        task.add_done_callback(lambda _task: wake.set())  # more may wait for the same subscription

    async def _tell(self, turn: Turn) -> None:
        """Turn after turn of one subscription, as long as something is due and it is fair to the others."""
        try:
            for _ in range(_TURNS_IN_A_ROW):
                await self._notify.tell(turn)
                if (following := await self._notify.claim_one(turn.subscription.id, due=True)) is None:
                    return
                turn = following
            await self._notify.release(turn)
        except Unavailable:
            _log.warning("the database does not answer; a turn is repeated when its lease has run out")
        except Exception:  # the turn is repeated when its lease has run out
            _log.exception("a turn failed", subject=turn.subscription.reference)

    async def _observe(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._observed_at > _OBSERVE_SECONDS:
            self._observed_at = now
            await self._notify.observe()

    async def _pause(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """A little at least, so that a busy log is read in batches; then until something is written.

        While nobody listens, what is written concerns nobody: then only time wakes.
        """
        await asyncio.sleep(_LEAST_SECONDS)
        events = (stop, wake) if self._notify.someone_listens else (stop,)
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
