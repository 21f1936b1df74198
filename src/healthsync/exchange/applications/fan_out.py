"""From the event log to what waits for each handler.

    (1) take      the next events, in their order
    (2) deliver   one row for each handler that wants one
    (3) move      the place in the log

One commit, so that a fact comes to each handler's queue once, whatever dies in between.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from healthsync.domains.streams import Fact, Kind, StreamService
from healthsync.exchange.events import EventName
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.events import EventLog, StoredEvent
from healthsync.infrastructure.events.log import CHANNEL

WAKE_CHANNEL = CHANNEL
EVENTS_AT_ONCE = 500

_CONSUMER = "applications"
_NOT_FOR_HANDLERS = frozenset(
    {
        EventName.RESOURCE_CHANGED,  # of the subscriptions
        EventName.SUBSCRIPTION_STATUS_CHANGED,
        EventName.RAW_MESSAGE_RECEIVED,  # a message is handed out when it is known whose data it is
        EventName.ACCESS_LOGGED,
        EventName.CONNECTOR_STATUS_CHANGED,
    }
)
_NAMES = frozenset(EventName) - _NOT_FOR_HANDLERS
_FORGOTTEN_AT_ONCE = 5_000


class FanOut:
    """The flow. Several may run, in one process or in many: they take turns. `keep` is how long settled deliveries
    stay."""

    def __init__(self, database: Database, events: EventLog, streams: StreamService, keep: timedelta) -> None:
        self._database, self._events, self._streams, self._keep = database, events, streams, keep
        self.someone_listens = True
        """Whether any handler was registered when it was last looked."""

    async def __call__(self) -> int:
        """Deliver the next events; returns how many there were."""
        async with self._database.transaction() as tx:
            events = await self._events.take(tx, _CONSUMER, _NAMES, limit=EVENTS_AT_ONCE)  # (1), (3)
            self.someone_listens = bool(await self._streams.fan_out(tx, list(map(_fact, events))))  # (2)
        return len(events)

    async def tidy(self) -> int:
        """Forget some of what was settled long ago; returns how many deliveries."""
        async with self._database.transaction() as tx:
            return await self._streams.forget(tx, self._keep, _FORGOTTEN_AT_ONCE)


def _fact(event: StoredEvent) -> Fact:
    match event.name:
        case EventName.MESSAGE_SETTLED:
            sequence = int(event.subject.partition("/")[2])
            return _made(event, Kind.HL7, event.data["type"], tuple(event.data["lanes"]), sequence)
        case EventName.TOPIC_PUBLISHED:
            return _made(event, Kind.TOPIC, event.data["topic"], tuple(event.data["lanes"]), None)
        case _:
            return _made(event, Kind.EVENT, event.name, (_lane(event.subject),), None)


def _made(event: StoredEvent, kind: Kind, name: str, lanes: tuple[int, ...], sequence: int | None) -> Fact:
    data = {key: value for key, value in event.data.items() if key != "lanes"}
    return Fact(event.position, kind, name, event.subject, event.occurred_at, data, lanes, sequence)


def _lane(subject: str) -> int:
    """What happens to one resource is told in its order."""
    return int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8).digest(), signed=True)
