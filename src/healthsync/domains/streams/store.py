"""Rows of handlers, deliveries, answers and publications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from healthsync.domains.streams.model import Answer, DeadLetter, Fact, HandlerState, Kind, Leased, Publication
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.streams")


async def register(
    tx: Transaction, client_id: str, application: str, handlers: Mapping[str, Sequence[str]], now: datetime
) -> None:
    """Write the handlers of an application by name, and retire those that are not among them."""
    for name, wants in handlers.items():
        await tx.execute(_SQL.register, client_id, application, name, list(wants), now)
    await tx.execute(_SQL.retire_others, client_id, application, list(handlers))


async def listening(tx: Transaction) -> list[asyncpg.Record]:
    """id, name and wants of every handler that wants something."""
    return await tx.fetch(_SQL.listening)


async def handlers_of(tx: Transaction, client_id: str, application: str) -> list[int]:
    """The numbers of an application's handlers."""
    return [row["id"] for row in await tx.fetch(_SQL.handlers_of, client_id, application)]


async def remove(tx: Transaction, application: str, name: str | None, client_id: str | None) -> list[str]:
    """Delete handlers; returns their names."""
    return [row["name"] for row in await tx.fetch(_SQL.remove, application, name, client_id)]


async def deliver(tx: Transaction, deliveries: Sequence[tuple[int, Fact]]) -> int:
    """Write deliveries (handler, fact); returns how many were new."""
    facts = [fact for _handler, fact in deliveries]
    return await tx.fetchval(
        _SQL.deliver,
        [handler for handler, _fact in deliveries],
        [fact.position for fact in facts],
        [fact.kind.value for fact in facts],
        [fact.name for fact in facts],
        [fact.subject for fact in facts],
        [msgspec.json.encode(fact.data).decode() for fact in facts],
        [fact.message_sequence for fact in facts],
        [fact.occurred_at for fact in facts],
        ["{" + ",".join(map(str, fact.lanes)) + "}" for fact in facts],
    )


async def lease(
    tx: Transaction, handlers: Sequence[int], now: datetime, limit: int, lease: str, instance: str, until: datetime
) -> list[Leased]:
    """Lock and lease what is due."""
    rows = await tx.fetch(_SQL.lease, list(handlers), now, limit, lease, instance, until)
    leased = [Leased(**{**row, "kind": Kind(row["kind"]), "data": msgspec.json.decode(row["data"])}) for row in rows]
    return sorted(leased, key=lambda one: one.id)


async def renew(tx: Transaction, instance: str, until: datetime, handlers: Sequence[int]) -> list[int]:
    """Lengthen the leases of an instance; returns which."""
    return [row["id"] for row in await tx.fetch(_SQL.renew, instance, until, list(handlers))]


async def give_back(tx: Transaction, ids: Sequence[int]) -> None:
    """Undo leases."""
    await tx.execute(_SQL.give_back, list(ids))


async def held(
    tx: Transaction, leases: Iterable[tuple[int, str]], handlers: Sequence[int]
) -> dict[int, asyncpg.Record]:
    """Lock those that are still leased so: attempts, message_sequence, subject, data."""
    pairs = list(leases)
    rows = await tx.fetch(_SQL.held, [id_ for id_, _ in pairs], [lease for _, lease in pairs], list(handlers))
    return {row["id"]: row for row in rows}


async def settle(
    tx: Transaction, outcomes: Sequence[tuple[int, str, datetime | None, str | None]], now: datetime
) -> None:
    """Write (id, state, next attempt, reason)."""
    ids, states, nexts, reasons = (list(column) for column in zip(*outcomes, strict=True))
    await tx.fetchval(_SQL.settle, now, ids, states, nexts, reasons)


async def states(tx: Transaction, client_id: str | None, application: str | None) -> list[HandlerState]:
    """Handlers with their counts."""
    rows = await tx.fetch(_SQL.states, client_id, application)
    return [HandlerState(**{**row, "wants": tuple(row["wants"])}) for row in rows]


async def dead(tx: Transaction, client_id: str | None, application: str | None, limit: int) -> list[DeadLetter]:
    """Dead letters, newest first."""
    rows = await tx.fetch(_SQL.dead, client_id, application, limit)
    return [DeadLetter(**{**row, "kind": Kind(row["kind"])}) for row in rows]


async def replay(
    tx: Transaction, now: datetime, ids: Sequence[int] | None, client_id: str | None, application: str | None
) -> list[int]:
    """Make dead letters wait again; returns which."""
    wanted = None if ids is None else list(ids)
    return [row["id"] for row in await tx.fetch(_SQL.replay, now, wanted, client_id, application)]


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete settled deliveries; returns how many."""
    return int((await tx.execute(_SQL.forget, before, limit)).rpartition(" ")[2])


async def answer(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write answers: delivery, message, source, code, sealed, key version, instant."""
    await tx.fetch(_SQL.answer, *(list(column) for column in zip(*rows, strict=True)))


async def unsent(tx: Transaction, sequences: Sequence[int]) -> list[Answer]:
    """The first answer to each message of which none was sent."""
    return [Answer(**row) for row in await tx.fetch(_SQL.unsent, list(sequences))]


async def sent(tx: Transaction, delivery_id: int, now: datetime) -> None:
    """Mark an answer as sent."""
    await tx.execute(_SQL.sent, delivery_id, now)


async def answers_to(tx: Transaction, sequence: int) -> list[Answer]:
    """Every answer to a message."""
    return [Answer(**row) for row in await tx.fetch(_SQL.answers_to, sequence)]


async def publish(tx: Transaction, *values: Any) -> int | None:
    """Write a publication (topic, client, key, instant, patients, sealed, key version); None when its key is used."""
    return await tx.fetchval(_SQL.publish, *values)


async def published_once(tx: Transaction, client_id: str, once_token: int | None) -> int:
    """The position of the publication with this key."""
    return await tx.fetchval(_SQL.published_once, client_id, once_token)


async def publications_after(tx: Transaction, topic: str, after: int, limit: int) -> list[Publication]:
    """A page of a topic."""
    return [_publication(row) for row in await tx.fetch(_SQL.publications_after, topic, after, limit)]


async def publications(tx: Transaction, positions: Sequence[int]) -> dict[int, Publication]:
    """Publications by position."""
    return {row["position"]: _publication(row) for row in await tx.fetch(_SQL.publications, list(positions))}


def _publication(row: asyncpg.Record) -> Publication:
    return Publication(**{**row, "patients": tuple(row["patients"])})
