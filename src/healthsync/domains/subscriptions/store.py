"""Rows of subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from healthsync.domains.subscriptions.model import Change, NumberedEvent, Settled
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.subscriptions")


async def one_at_a_time(tx: Transaction) -> None:
    """Hold the lock of queueing and activation until the end of `tx`."""
    await tx.execute(_SQL.one_at_a_time)


async def request(tx: Transaction, id_: str, columns: Sequence[object]) -> None:
    """Write the terms of a subscription."""
    await tx.execute(_SQL.request, id_, *columns)
    await tx.execute(_SQL.forget_other_changes, id_)


async def own(tx: Transaction, id_: str, client_id: str) -> str:
    """The client whose subscription it is; this one when it is nobody's."""
    return await tx.fetchval(_SQL.own, id_, client_id)


async def disown(tx: Transaction, id_: str) -> None:
    """Let it be nobody's."""
    await tx.execute(_SQL.disown, id_)


async def remove(tx: Transaction, id_: str) -> None:
    """Forget a subscription and everything that waits for it."""
    await tx.execute(_SQL.remove, id_)


async def watched(tx: Transaction, event_name: str) -> frozenset[str]:
    """Types for which some subscription listens to an event. (Subscriptions are written at once: none waits.)"""
    return frozenset(row["resource_type"] for row in await tx.look_beside(_SQL.watched, event_name))


async def listening(tx: Transaction) -> list[asyncpg.Record]:
    """(id, resource_type, event_names, since_xid) of subscriptions that changes are queued for."""
    return await tx.fetch(_SQL.listening)


async def listened_to(tx: Transaction) -> list[str]:
    """Names of events that any subscription waits for."""
    return [row["name"] for row in await tx.fetch(_SQL.listened_to)]


async def queue(tx: Transaction, subscription_ids: Sequence[str], changes: Sequence[Change]) -> None:
    """Let changes wait, each for the subscription in the same place."""
    await tx.execute(
        _SQL.queue,
        list(subscription_ids),
        [c.resource_id for c in changes],
        [c.version for c in changes],
        [c.created for c in changes],
        [c.occurred_at for c in changes],
    )


async def overflowing(tx: Transaction, ids: Sequence[str], most: int) -> list[str]:
    """Which of these have more waiting than `most`."""
    return [row["id"] for row in await tx.fetch(_SQL.overflowing, list(ids), most)]


async def claim(
    tx: Transaction, now: datetime, lease: UUID, seconds: float, settled_for: float
) -> asyncpg.Record | None:
    """Lease one subscription that has something to do."""
    return await tx.fetchrow(_SQL.claim, now, lease, seconds, settled_for)


async def claim_one(
    tx: Transaction, id_: str, now: datetime, lease: UUID, seconds: float, due: bool
) -> asyncpg.Record | None:
    """Lease this subscription, or lease it longer."""
    return await tx.fetchrow(_SQL.claim_one, id_, now, lease, seconds, due)


async def activate(tx: Transaction, id_: str, lease: UUID, now: datetime) -> bool:
    """Make a requested subscription active; False when the lease is lost."""
    return await tx.fetchval(_SQL.activate, id_, lease, now) is not None


async def settle(tx: Transaction, id_: str, lease: UUID, settled: Settled, now: datetime) -> bool:
    """Write how a turn ended; False when the lease is lost."""
    row = await tx.fetchval(
        _SQL.settle,
        id_,
        lease,
        settled.status.value,
        settled.attempts,
        settled.next_attempt_at,
        settled.reason,
        now if settled.told else None,
    )
    return row is not None


async def discard_waiting(tx: Transaction, id_: str) -> None:
    """Forget the changes that wait."""
    await tx.execute(_SQL.discard_waiting, id_)


async def untold(tx: Transaction, id_: str, limit: int) -> list[NumberedEvent]:
    """Numbered events that have not been taken."""
    return [NumberedEvent(**row) for row in await tx.fetch(_SQL.untold, id_, limit)]


async def waiting(tx: Transaction, id_: str, limit: int) -> list[Change]:
    """The oldest changes that wait."""
    return [Change(**row) for row in await tx.fetch(_SQL.waiting, id_, limit)]


async def looked_at(tx: Transaction, id_: str, sequences: Sequence[int]) -> None:
    """Take changes out of the queue."""
    await tx.execute(_SQL.looked_at, id_, list(sequences))


async def number(tx: Transaction, id_: str, lease: UUID, changes: Sequence[Change]) -> list[NumberedEvent] | None:
    """Give changes the next numbers; None when the lease is lost."""
    last = await tx.fetchval(_SQL.take_numbers, id_, lease, len(changes))
    if last is None:
        return None
    first = last - len(changes) + 1
    events = [
        NumberedEvent(first + place, c.resource_id, c.version, c.created, c.occurred_at)
        for place, c in enumerate(changes)
    ]
    await tx.execute(
        _SQL.number,
        id_,
        [e.number for e in events],
        [e.resource_id for e in events],
        [e.version for e in events],
        [e.created for e in events],
        [e.occurred_at for e in events],
    )
    return events


async def told(tx: Transaction, id_: str, numbers: Sequence[int], now: datetime) -> None:
    """Mark events as taken."""
    await tx.execute(_SQL.told, id_, list(numbers), now)


async def withhold(tx: Transaction, id_: str, numbers: Sequence[int]) -> None:
    """Mark events that may no longer be told."""
    await tx.execute(_SQL.withhold, id_, list(numbers))


async def forget_old_events(tx: Transaction, id_: str, upto: int) -> None:
    """Drop what $events no longer looks back to."""
    await tx.execute(_SQL.forget_old_events, id_, upto)


async def events_between(tx: Transaction, id_: str, first: int, last: int, limit: int) -> list[NumberedEvent]:
    """Events by number."""
    return [NumberedEvent(**row) for row in await tx.fetch(_SQL.events_between, id_, first, last, limit)]


async def of_client(
    tx: Transaction, client_id: str, ids: Sequence[str] | None, states: Sequence[str] | None, limit: int
) -> list[asyncpg.Record]:
    """A client's subscriptions."""
    return await tx.fetch(
        _SQL.of_client, client_id, list(ids) if ids is not None else None, list(states) if states else None, limit
    )


async def is_told(tx: Transaction, id_: str) -> bool:
    """Whether a subscription is there and not off."""
    return await tx.fetchval(_SQL.is_told, id_)


async def states(tx: Transaction) -> list[asyncpg.Record]:
    """(status, subscriptions, changes)."""
    return await tx.fetch(_SQL.states)
