"""Rows of destinations and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from healthsync.domains.deliveries.model import (
    DeliveryState,
    Destination,
    DestinationState,
    Occasion,
    Parcel,
    Queue,
    Settlement,
    Standing,
    StoredDelivery,
    Tls,
    Waiting,
)
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.deliveries")


async def add(tx: Transaction, destination: Destination, now: datetime) -> bool:
    """Write a destination; False when the name is taken."""
    terms = msgspec.json.encode(asdict(destination)).decode()
    return await tx.fetchval(_SQL.add_destination, destination.name, terms, now) is not None


async def standings(tx: Transaction, name: str | None = None) -> list[Standing]:
    """All destinations, or one."""
    return [_standing(row) for row in await tx.look_beside(_SQL.destinations, name)]  # they are written at once


async def lock(tx: Transaction, name: str) -> bool:
    """Hold a destination; False when there is none."""
    return await tx.fetchval(_SQL.lock_destination, name) is not None


async def remove(tx: Transaction, name: str) -> bool:
    """Delete a destination with its queue."""
    return await tx.fetchval(_SQL.remove_destination, name) is not None


async def set_state(tx: Transaction, name: str, state: DestinationState) -> bool:
    """Pause or resume."""
    found = await tx.fetchval(_SQL.set_state, name, state.value) is not None
    await tx.execute(_SQL.wake)
    return found


async def claim(tx: Transaction, lease: UUID, now: datetime, seconds: float) -> Standing | None:
    """A destination with something to do."""
    row = await tx.fetchrow(_SQL.claim, now, lease, seconds)
    return _standing(row) if row else None


async def renew(tx: Transaction, name: str, lease: UUID, now: datetime, seconds: float) -> Standing | None:
    """The destination, when it is still ours."""
    row = await tx.fetchrow(_SQL.renew, name, lease, now, seconds)
    return _standing(row) if row else None


async def release(tx: Transaction, name: str, lease: UUID) -> None:
    """Give it back."""
    await tx.execute(_SQL.release, name, lease)


async def failed(
    tx: Transaction, name: str, lease: UUID, now: datetime, retry_at: datetime, reason: str
) -> Standing | None:
    """Note a failure; None when the lease was lost."""
    row = await tx.fetchrow(_SQL.failed, name, lease, now, retry_at, reason)
    return _standing(row) if row else None


async def recovered(tx: Transaction, name: str) -> None:
    """Forget the failures."""
    await tx.execute(_SQL.recovered, name)


async def enqueue(
    tx: Transaction,
    parcels: Sequence[Parcel],
    lanes: Sequence[int | None],
    sealed: Sequence[tuple[int | None, bytes | None]],
    now: datetime,
) -> set[str]:
    """Insert parcels; returns the control ids of those that are new."""
    rows = await tx.fetch(
        _SQL.enqueue,
        now,
        [p.occasion.destination for p in parcels],
        [p.control_id for p in parcels],
        [p.occasion.type for p in parcels],
        [p.occasion.subject for p in parcels],
        [p.occasion.version for p in parcels],
        [p.occasion.changed for p in parcels],
        [p.occasion.retired for p in parcels],
        lanes,
        ["{" + ",".join(map(str, p.patient_keys)) + "}" for p in parcels],
        [payload for _, payload in sealed],
        [version for version, _ in sealed],
        [(DeliveryState.DEAD if p.payload is None else DeliveryState.WAITING).value for p in parcels],
        [p.reason_code for p in parcels],
        [p.reason for p in parcels],
    )
    return {row["control_id"] for row in rows}


async def fill(
    tx: Transaction, sequence: int, sealed: tuple[int, bytes], patient_keys: Iterable[int], lane: int | None
) -> None:
    """Give a dead delivery its content."""
    version, payload = sealed
    await tx.execute(_SQL.fill, sequence, payload, version, list(patient_keys), lane)


async def oldest(tx: Transaction, name: str, limit: int, now: datetime) -> list[Waiting]:
    """The oldest, up to the first that is not due."""
    rows = await tx.fetch(_SQL.oldest, name, limit)
    due = []
    for row in rows:
        if row["next_attempt_at"] is not None and row["next_attempt_at"] > now:
            break
        due.append(_waiting(row))
    return due


async def oldest_of_lanes(tx: Transaction, name: str, limit: int, now: datetime) -> list[Waiting]:
    """The oldest that may be sent beside each other."""
    return [_waiting(row) for row in await tx.fetch(_SQL.oldest_of_lanes, name, limit, now)]


async def begin_attempts(tx: Transaction, sequences: Sequence[int]) -> None:
    """Count an attempt."""
    await tx.execute(_SQL.begin_attempts, sequences)


async def not_attempted(tx: Transaction, sequences: Sequence[int]) -> None:
    """Take the count back."""
    await tx.execute(_SQL.not_attempted, sequences)


async def settle(tx: Transaction, sequence: int, s: Settlement, detail: bytes | None, now: datetime) -> None:
    """Write how an attempt ended."""
    await tx.execute(
        _SQL.settle, sequence, s.state.value, s.attempts, s.next_attempt_at, s.answer, s.reason_code, s.reason, detail,
        now, s.destroys,
    )  # fmt: skip


async def queues(tx: Transaction, name: str | None = None) -> dict[str, Queue]:
    """What waits and what died, by destination."""
    rows = await tx.fetch(_SQL.queues, name)
    return {row["name"]: Queue(row["waiting"], row["dead"], row["oldest_at"]) for row in rows}


async def listed(tx: Transaction, name: str, state: DeliveryState, before: int, limit: int) -> list[StoredDelivery]:
    """A page, newest first."""
    rows = await tx.fetch(_SQL.listed, name, state.value, before, limit)
    return [StoredDelivery(**{**row, "state": DeliveryState(row["state"])}) for row in rows]


async def one(tx: Transaction, name: str, sequence: int) -> asyncpg.Record | None:
    """One delivery, unopened."""
    return await tx.fetchrow(_SQL.one, sequence, name)


async def unbuilt(
    tx: Transaction, name: str, sequences: Sequence[int] | None, limit: int
) -> list[tuple[int, Occasion]]:
    """Dead deliveries without content: what they were to tell."""
    rows = [dict(row) for row in await tx.fetch(_SQL.unbuilt, name, sequences, limit)]
    return [(row.pop("sequence"), Occasion(**row)) for row in rows]


async def retry(tx: Transaction, name: str, sequences: Sequence[int] | None) -> list[int]:
    """Dead letters back; returns which."""
    return [row["sequence"] for row in await tx.fetch(_SQL.retry, name, sequences)]


async def set_aside(tx: Transaction, name: str, sequence: int, now: datetime, reason: str) -> bool:
    """Out of the queue; False when it does not wait."""
    return await tx.fetchval(_SQL.set_aside, name, sequence, now, reason) is not None


async def forget(tx: Transaction, before: datetime, limit: int) -> int:
    """Delete what was delivered before an instant; returns how many."""
    return int((await tx.execute(_SQL.forget, before, limit)).rpartition(" ")[2])


def _standing(row: asyncpg.Record) -> Standing:
    values: dict[str, Any] = dict(row)
    name, terms = values.pop("name"), msgspec.json.decode(values.pop("terms"))
    tls = Tls(**terms["tls"]) if terms.get("tls") else None
    terms |= {"name": name, "tls": tls, "messages": tuple(terms["messages"]), "not_from": tuple(terms["not_from"])}
    terms["domains"] = tuple(terms.get("domains", ()))
    return Standing(Destination(**terms), **{**values, "state": DestinationState(values["state"])})


def _waiting(row: asyncpg.Record) -> Waiting:
    values = {name: value for name, value in row.items() if name != "next_attempt_at"}
    return Waiting(**{**values, "patient_keys": tuple(row["patient_keys"])})
