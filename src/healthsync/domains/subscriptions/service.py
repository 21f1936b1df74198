"""The verbs of subscriptions."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from healthsync.domains.subscriptions import store
from healthsync.domains.subscriptions.model import (
    Change,
    NumberedEvent,
    Settled,
    Status,
    Subscription,
    Terms,
)
from healthsync.domains.subscriptions.topics import RESOURCE_CHANGED
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.infrastructure.database import Transaction
from healthsync.infrastructure.events import StoredEvent

CHANGE_CHANNEL = "subscription_change"
"""NOTIFY on this channel says that some subscription has something to look at."""

KEPT_EVENTS = 1000
"""How many event numbers $events looks back at least."""

_WATCH_SECONDS = 0.5


class SubscriptionService:
    """The subscriptions of one hub. `key` (32 bytes) seals their terms.

    Which types are watched is asked of the database at most every `watch_seconds` in each process; a subscription is
    activated no sooner than that after its request was committed, so that no process writes without knowing of it.
    """

    def __init__(self, clock: Clock, key: bytes, *, watch_seconds: float = _WATCH_SECONDS) -> None:
        self._clock, self._key, self._watch_seconds = clock, key, watch_seconds
        self._watched: frozenset[str] = frozenset()
        self._watched_at = float("-inf")

    async def request(
        self, tx: Transaction, id_: str, terms: Terms, ends_at: datetime | None, status: Status = Status.REQUESTED
    ) -> None:
        """Keep the terms of a subscription, new or anew; it waits for its activation."""
        columns = (
            terms.subscriber.client_id,
            status.value,
            terms.channel.kind.value,
            terms.resource_type,
            list(terms.event_names),
            self._sealed(id_, terms),
            ends_at,
            terms.channel.heartbeat_seconds,
            self._clock.now(),
            None,
        )
        await store.request(tx, id_, columns)

    async def belongs_to(self, tx: Transaction, id_: str, client_id: str) -> bool:
        """Whether a Subscription is this client's; one that is nobody's becomes his."""
        return await store.own(tx, id_, client_id) == client_id

    async def remove(self, tx: Transaction, id_: str, *, deleted: bool = False) -> None:
        """The Subscription is gone (`deleted`), is off, or asks for what this hub does not do."""
        await store.remove(tx, id_)
        if deleted:
            await store.disown(tx, id_)

    async def watched(self, tx: Transaction, resource_types: Collection[str]) -> Collection[str]:
        """Those of some types whose every change the event log must hold."""
        now = time.monotonic()
        if now - self._watched_at >= self._watch_seconds:
            self._watched = await store.watched(tx, RESOURCE_CHANGED)
            self._watched_at = now
        return self._watched.intersection(resource_types)

    async def listened_to(self, tx: Transaction) -> list[str]:
        """Names of the events that subscriptions wait for. Excludes activation until the end of `tx`."""
        await store.one_at_a_time(tx)
        return await store.listened_to(tx)

    async def queue(self, tx: Transaction, events: Sequence[StoredEvent], most_waiting: int) -> list[str]:
        """Let events wait for those whom they may concern; returns the subscriptions for which too much waits."""
        listeners = await store.listening(tx)
        pairs = [
            (listener["id"], _change(event)) for event in events for listener in listeners if _concerns(listener, event)
        ]
        # Two events may tell of one version (patient.created and resource.changed): it is told once.
        unique = {(id_, c.resource_id, c.version): (id_, c) for id_, c in pairs}
        if not unique:
            return []
        await store.queue(tx, [id_ for id_, _ in unique.values()], [change for _, change in unique.values()])
        return await store.overflowing(tx, sorted({id_ for id_, _ in unique.values()}), most_waiting)

    async def claim(self, tx: Transaction, lease: UUID, seconds: float) -> Subscription | None:
        """A subscription with something to do, for the holder of `lease` and for so long."""
        row = await store.claim(tx, self._clock.now(), lease, seconds, self._watch_seconds)
        return self._subscription(row) if row else None

    async def claim_one(
        self, tx: Transaction, id_: str, lease: UUID, seconds: float, *, due: bool = False
    ) -> Subscription | None:
        """This subscription, when nobody else has it and, with `due`, when there is something to tell."""
        row = await store.claim_one(tx, id_, self._clock.now(), lease, seconds, due)
        return self._subscription(row) if row else None

    async def activate(self, tx: Transaction, id_: str, lease: UUID) -> bool:
        """From the commit of `tx` on every change is told. False when the lease was lost."""
        await store.one_at_a_time(tx)
        return await store.activate(tx, id_, lease, self._clock.now())

    async def settle(self, tx: Transaction, id_: str, lease: UUID, settled: Settled) -> bool:
        """Write how a turn ended and give the lease back. False when it was lost: another process is at work."""
        kept = await store.settle(tx, id_, lease, settled, self._clock.now())
        if kept and settled.status is Status.OFF:
            await store.discard_waiting(tx, id_)
        return kept

    async def untold(self, tx: Transaction, id_: str, limit: int) -> list[NumberedEvent]:
        """Numbered events whose notification has not been taken."""
        return await store.untold(tx, id_, limit)

    async def waiting(self, tx: Transaction, id_: str, limit: int) -> list[Change]:
        """The oldest changes that the subscription has yet to look at."""
        return await store.waiting(tx, id_, limit)

    async def number(
        self, tx: Transaction, id_: str, lease: UUID, looked_at: Sequence[Change], concerning: Sequence[Change]
    ) -> list[NumberedEvent] | None:
        """Give the changes that concern the subscription their numbers, and take all that were looked at out of the
        queue. None when the lease was lost."""
        events: list[NumberedEvent] | None = []
        if concerning:
            events = await store.number(tx, id_, lease, concerning)
        if events is not None:
            await store.looked_at(tx, id_, [change.sequence for change in looked_at])
        return events

    async def told(self, tx: Transaction, id_: str, events: Sequence[NumberedEvent]) -> None:
        """The receiver has taken these."""
        if events:
            await store.told(tx, id_, [event.number for event in events], self._clock.now())
            await store.forget_old_events(tx, id_, events[-1].number - KEPT_EVENTS)

    async def withhold(self, tx: Transaction, id_: str, events: Sequence[NumberedEvent]) -> None:
        """These may no longer be told, though they have their numbers."""
        if events:
            await store.withhold(tx, id_, [event.number for event in events])

    async def events_between(self, tx: Transaction, id_: str, first: int, last: int, limit: int) -> list[NumberedEvent]:
        """Events by their numbers, both ends included."""
        return await store.events_between(tx, id_, first, last, limit)

    async def of_client(
        self,
        tx: Transaction,
        client_id: str,
        *,
        ids: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Subscription]:
        """The subscriptions that a client asked for."""
        return [self._subscription(row) for row in await store.of_client(tx, client_id, ids, states, limit)]

    async def is_told(self, tx: Transaction, id_: str) -> bool:
        """Whether a subscription is there and not switched off."""
        return await store.is_told(tx, id_)

    async def states(self, tx: Transaction) -> dict[str, tuple[int, int]]:
        """By status: how many subscriptions, and how many changes wait for them."""
        return {row["status"]: (row["subscriptions"], row["changes"]) for row in await store.states(tx)}

    def _sealed(self, id_: str, terms: Terms) -> bytes:
        return seal(self._key, msgspec.json.encode(terms), _place(id_))

    def _subscription(self, row: Any) -> Subscription:
        return Subscription(
            id=row["id"],
            status=Status(row["status"]),
            terms=msgspec.json.decode(open_sealed(self._key, row["terms"], _place(row["id"])), type=Terms),
            attempts=row["attempts"],
            events=row["events"],
            ends_at=row["ends_at"],
            told_at=row["told_at"],
            requested_at=row["requested_at"],
            reason=row["reason"],
        )


def _place(id_: str) -> bytes:
    return f"subscription|{id_}".encode()


def _concerns(listener: Any, event: StoredEvent) -> bool:
    resource_type = event.subject.partition("/")[0]
    return (
        event.name in listener["event_names"]
        and resource_type == listener["resource_type"]
        and int(event.xid) > int(listener["since_xid"])
    )


def _change(event: StoredEvent) -> Change:
    version = int(event.data.get("version", 0))  # an event about persons tells of none: the newest is shown
    return Change(0, event.subject.partition("/")[2], version, version == 1, event.occurred_at)
