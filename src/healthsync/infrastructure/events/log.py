"""Append, take, consume."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Parts, Queries, Transaction, Writer

CHANNEL = "event_log"
_sql = Queries("healthsync.infrastructure.events")


@dataclass(frozen=True, slots=True)
class Event:
    """A fact: its name, the reference it is about, and details that are references and codes only."""

    name: str
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it stands in the log."""

    position: int
    xid: str
    name: str
    subject: str
    data: dict[str, Any]
    occurred_at: datetime


def _appended(rows: Sequence[tuple[Event, datetime]]) -> Parts:
    columns = [
        [event.name for event, _ in rows],
        [event.subject for event, _ in rows],
        [msgspec.json.encode(event.data).decode() for event, _ in rows],
        [now for _, now in rows],
    ]
    return Parts((f"events_appended AS ({_sql.append})",), columns, _sql.notify)


_APPENDING = Writer(_appended)


class EventLog:
    """The log of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def append(self, tx: Transaction, name: str, *, subject: str, data: Mapping[str, Any] | None = None) -> None:
        """Write one event; it exists, and wakes consumers, when `tx` commits."""
        await self.append_many(tx, [Event(name, subject, data or {})])

    async def append_many(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Write events in this order, at the end of the unit of work."""
        if events:
            now = self._clock.now()
            tx.later(_APPENDING, [(event, now) for event in events])

    async def take(
        self, tx: Transaction, consumer: str, names: Collection[str], *, limit: int = 500
    ) -> list[StoredEvent]:
        """The next events of `consumer`, oldest first; its place moves with the commit of `tx`.

        Another worker of the same consumer waits until then. Events of other names are passed over for good. Raises
        ConfigurationError when the log comes from a server with higher transaction ids.
        """
        place = await self._place(tx, consumer)
        horizon = await tx.fetchval(_sql.horizon)
        if int(place["xid"]) > int(horizon):
            raise ConfigurationError(
                "the event log was loaded from a dump into a server with lower transaction ids, on which its order "
                "depends; restore a physical backup, or raise the ids of this server with pg_resetwal --epoch"
            )
        rows = await tx.fetch(_sql.next_events, place["xid"], place["position"], horizon, list(names), limit)
        events = [StoredEvent(**{**row, "data": msgspec.json.decode(row["data"])}) for row in rows]
        reached = rows[-1] if len(rows) == limit else await tx.fetchrow(_sql.last_event, horizon)
        if reached is not None and (reached["xid"], reached["position"]) != (place["xid"], place["position"]):
            await tx.execute(_sql.move_consumer, consumer, reached["xid"], reached["position"])
        return events

    async def _place(self, tx: Transaction, consumer: str) -> asyncpg.Record:
        while (place := await tx.fetchrow(_sql.lock_consumer, consumer)) is None:
            await tx.execute(_sql.register_consumer, consumer)
        return place

    async def consume(
        self,
        consumer: str,
        names: Collection[str],
        handle: Callable[[Transaction, list[StoredEvent]], Awaitable[None]],
        *,
        limit: int = 500,
        poll_seconds: float = 1.0,
    ) -> None:
        """Hand batches to `handle` until cancelled; its effects and the consumer's place commit together.

        An exception of `handle` undoes the batch and travels on: the batch is the next one again. New events arrive
        by NOTIFY, at the latest after `poll_seconds`.
        """
        wake = asyncio.Event()
        stop_listening = await self._database.listen(CHANNEL, lambda _payload: wake.set())
        try:
            while True:
                wake.clear()
                async with self._database.transaction() as tx:
                    events = await self.take(tx, consumer, names, limit=limit)
                    if events:
                        await handle(tx, events)
                if len(events) < limit:
                    await _wait(wake, poll_seconds)
        finally:
            await stop_listening()

    async def waiting(self, tx: Transaction, consumer: str, names: Collection[str]) -> int:
        """How many committed events `consumer` has yet to take: the lag to watch."""
        return await tx.fetchval(_sql.waiting, consumer, list(names))


async def _wait(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
