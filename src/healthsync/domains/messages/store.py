"""Rows of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from healthsync.domains.messages.model import (
    Arrival,
    Claimed,
    DayOfRaw,
    MessageState,
    Raw,
    RawTerm,
    Read,
    SealedMessage,
    Selection,
    Settlement,
    StoredMessage,
    day_of,
)
from healthsync.domains.messages.replaying import Standing
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.messages")


async def accept(
    tx: Transaction, arrivals: Sequence[Arrival], digests: Sequence[bytes], sealed: Sequence[tuple[int, bytes]]
) -> list[asyncpg.Record]:
    """Insert arrivals; returns (sequence, digest, warnings) of those that were new."""
    return await tx.fetch(
        _SQL.accept,
        [a.received_at for a in arrivals],
        [a.source for a in arrivals],
        [a.control_id for a in arrivals],
        [a.type for a in arrivals],
        digests,
        [ciphertext for _version, ciphertext in sealed],
        [version for version, _ciphertext in sealed],
        [a.size_bytes for a in arrivals],
        [a.truncated for a in arrivals],
        [_array(a.lanes) for a in arrivals],
        [a.acknowledgement for a in arrivals],
        [_array(a.warnings) for a in arrivals],
        [a.state.value for a in arrivals],
        [a.reason_code for a in arrivals],
        [a.reason for a in arrivals],
    )


async def by_digest(tx: Transaction, digests: Sequence[bytes]) -> list[asyncpg.Record]:
    """(sequence, digest, warnings, acknowledgement) of messages that are in store."""
    return await tx.fetch(_SQL.by_digest, digests)


async def add_day(tx: Transaction, day: date) -> None:
    """Make room for the bytes of a day."""
    await tx.execute(_SQL.add_day, day)


async def due(tx: Transaction, now: datetime, limit: int, *, only_heads: bool) -> list[Claimed]:
    """Lock and read the oldest messages that are due, without their bytes."""
    query = _SQL.due_heads_of_lanes if only_heads else _SQL.oldest_due
    rows = await tx.fetch(query, now, limit)
    return [Claimed(**{**row, "lanes": frozenset(row["lanes"]), "raw": None}) for row in rows]


async def raw_of(tx: Transaction, messages: Iterable[SealedMessage]) -> dict[int, Raw]:
    """The bytes of messages, by sequence; those that were destroyed are absent."""
    by_day: dict[date, list[SealedMessage]] = {}
    for message in messages:
        by_day.setdefault(day_of(message.received_at), []).append(message)
    found: dict[int, Raw] = {}
    for day, of_day in by_day.items():
        for row in await tx.fetch(
            _of_day(_SQL.raw_of_day, day), [m.source for m in of_day], [m.sequence for m in of_day]
        ):
            found[row["sequence"]] = Raw(row["sealed"], row["key_version"], row["key_of_day"])
    return found


async def found(tx: Transaction, sequences: Sequence[int]) -> list[SealedMessage]:
    """Messages by their numbers, without their bytes."""
    return [SealedMessage(**row, raw=None) for row in await tx.fetch(_SQL.found, sequences)]


async def blocked(tx: Transaction, claimed: Iterable[Claimed]) -> set[int]:
    """Those that wait for an older message which is not among them."""
    pairs = [(message.sequence, lane) for message in claimed for lane in message.lanes]
    return {row["sequence"] for row in await tx.fetch(_SQL.blocked, *_columns(pairs))}


async def begin_attempts(tx: Transaction, sequences: Sequence[int]) -> None:
    """Count an attempt."""
    await tx.execute(_SQL.begin_attempts, sorted(sequences))


async def settle(tx: Transaction, settlements: Mapping[int, Settlement], now: datetime) -> None:
    """Write how attempts ended."""
    s = list(settlements.values())
    await tx.execute(
        _SQL.settle,
        now,
        list(settlements),
        [one.state.value for one in s],
        [one.attempts for one in s],
        [one.next_attempt_at for one in s],
        [one.reason_code for one in s],
        [one.reason for one in s],
        [one.stored_resources for one in s],
        [msgspec.json.encode(one.unmapped).decode() for one in s],
        [_array(one.warnings) for one in s],
    )


async def leave_lanes(tx: Transaction, claimed: Iterable[Claimed]) -> None:
    """Take settled messages out of their lanes."""
    pairs = [(message.sequence, lane) for message in claimed for lane in message.lanes]
    await tx.execute(_SQL.leave_lanes, *_columns(pairs))


async def set_attempts(tx: Transaction, counts: Mapping[int, int]) -> None:
    """Correct the count of attempts."""
    await tx.execute(_SQL.set_attempts, list(counts), list(counts.values()))


async def forget_attempts(tx: Transaction, sequences: Sequence[int]) -> None:
    """Settled messages need no count."""
    await tx.execute(_SQL.forget_attempts, sequences)


async def listed(tx: Transaction, selection: Selection, before: int, limit: int) -> list[StoredMessage]:
    """A page of messages, newest first."""
    rows = await tx.fetch(_chosen(_SQL.listed), *_said(selection), before, limit)
    return [_stored(row) for row in rows]


async def counted(tx: Transaction, selection: Selection) -> int:
    """How many messages there are."""
    return await tx.fetchval(_chosen(_SQL.counted), *_said(selection))


async def first_chosen(tx: Transaction, selection: Selection) -> list[tuple[str, int]]:
    """The sources of a selection, each with the place of its first message."""
    rows = await tx.fetch(_chosen(_SQL.first_chosen), *_said(selection))
    return [(row["source"], row["first"]) for row in rows]


async def standings(tx: Transaction, selection: Selection, source: str, after: int, limit: int) -> list[Standing]:
    """Where messages of a source stand, behind a sequence."""
    rows = await tx.fetch(_chosen(_SQL.standings), *_said(selection), source, after, limit)
    return [_standing(row, row["chosen"]) for row in rows]


async def standings_now(
    tx: Transaction, chosen: Mapping[int, bool], lanes: Iterable[int], source: str, after: int
) -> list[Standing]:
    """Where messages stand now, in order, with what came to their lanes behind a sequence."""
    rows = await tx.fetch(_SQL.standings_now, list(chosen), list(lanes), source, after)
    return [_standing(row, chosen.get(row["sequence"], False)) for row in rows]


async def last(tx: Transaction) -> int:
    """The number of the newest message."""
    return await tx.fetchval(_SQL.last)


async def read_anew(tx: Transaction, found: Sequence[Read], now: datetime) -> None:
    """Write what reading anew found out."""
    await tx.execute(
        _SQL.read_anew,
        now,
        [one.sequence for one in found],
        [one.stored_resources for one in found],
        [msgspec.json.encode(one.unmapped).decode() for one in found],
        [_array(one.warnings) for one in found],
    )
    await tx.execute(_SQL.replace_origins, [one.sequence for one in found])


async def still_dead(tx: Transaction, failures: Sequence[tuple[int, str, str]]) -> None:
    """Write why dead letters (sequence, code, sentence) stay dead."""
    await tx.execute(_SQL.still_dead, *([*column] for column in zip(*failures, strict=True)))


async def add_copy(
    tx: Transaction, arrival: Arrival, origin: int, digest: bytes, sealed: tuple[int, bytes], edited_by: str
) -> int:
    """Insert an edited copy; returns its sequence."""
    sequence = await tx.fetchval(
        _SQL.add_copy, arrival.received_at, origin, arrival.control_id, arrival.type, digest, arrival.size_bytes,
        list(arrival.lanes), arrival.reason, edited_by,
    )  # fmt: skip
    await add_raw(tx, arrival.source, arrival.received_at, sequence, Raw(sealed[1], sealed[0]))
    return sequence


async def days(tx: Transaction) -> list[date]:
    """The days of the raw zone."""
    return [row["day"] for row in await tx.fetch(_SQL.days)]


async def sources_of_day(tx: Transaction, day: date, source: str | None) -> list[DayOfRaw]:
    """Whose bytes a day holds."""
    rows = await tx.fetch(_of_day(_SQL.sources_of_day, day), source)
    return [DayOfRaw(day=day, **row) for row in rows]


async def destroy(tx: Transaction, day: date, sources: Sequence[str], now: datetime, *, whole: bool) -> None:
    """Destroy the bytes of sources and a day; `whole`: they are all that the day has."""
    await tx.execute(_SQL.retiring)
    for source in sources:
        if not whole:
            await tx.execute(_of_day(_SQL.destroy_bytes, day), source)
        await tx.execute(_SQL.retired, source, _start(day), _start(day + timedelta(days=1)), now)
    if whole:
        await tx.execute(_SQL.destroy_day.format(partition=f"raw_message_{day:%Y%m%d}"))


async def has_old_bytes(tx: Transaction, source: str) -> bool:
    """Whether something is left under the source's key of older versions."""
    return await tx.fetchval(_SQL.has_old_bytes, source)


async def terms(tx: Transaction) -> list[RawTerm]:
    """Terms and holds."""
    return [RawTerm(**row) for row in await tx.fetch(_SQL.terms)]


async def set_term(tx: Transaction, term: RawTerm, now: datetime) -> None:
    """Write a term."""
    await tx.execute(_SQL.set_term, term.source, term.keep_days, term.hold_reason, now, term.changed_by)


async def lock_source_term(tx: Transaction, source: str) -> None:
    """Be the only one who decides about a source's bytes."""
    await tx.execute(_SQL.lock_source_term, source)


async def page_of_day(
    tx: Transaction, source: str, day: date, after: int, limit: int
) -> list[tuple[SealedMessage, str, str]]:
    """Messages with their bytes, control id and state, in order."""
    rows = await tx.fetch(_of_day(_SQL.page_of_day, day), source, after, limit)
    return [
        (
            SealedMessage(
                row["sequence"], row["source"], row["type"], row["received_at"], row["digest"],
                Raw(row["sealed"], row["key_version"], row["key_of_day"]),
            ),
            row["control_id"],
            row["state"],
        )
        for row in rows
    ]  # fmt: skip


async def known_digests(tx: Transaction, digests: Sequence[bytes]) -> dict[bytes, asyncpg.Record]:
    """(sequence, received_at, retired) of messages that are here, by digest."""
    return {row["digest"]: row for row in await tx.fetch(_SQL.known_digests, digests)}


async def add_raw(tx: Transaction, source: str, received_at: datetime, sequence: int, raw: Raw) -> None:
    """Bytes into the raw zone."""
    await tx.execute(_SQL.add_raw, received_at, sequence, raw.key_version, source, raw.sealed)


async def bytes_are_back(tx: Transaction, sequence: int, lanes: Sequence[int]) -> None:
    """A message has its bytes again."""
    await tx.execute(_SQL.bytes_are_back, sequence, list(lanes))


async def add_restored(tx: Transaction, arrival: Arrival, digest: bytes, now: datetime) -> int:
    """Insert a message of an archive; returns its sequence."""
    return await tx.fetchval(
        _SQL.add_restored, arrival.received_at, arrival.source, arrival.control_id, arrival.type, digest,
        arrival.size_bytes, list(arrival.lanes), now,
    )  # fmt: skip


def _of_day(query: str, day: date) -> str:
    return query.format(low=_midnight(day), high=_midnight(day + timedelta(days=1)))


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _chosen(query: str) -> str:
    return query.replace("{chosen}", _SQL.chosen)


def _said(selection: Selection) -> tuple[Any, ...]:
    return (
        selection.state, selection.source, selection.type, selection.reason, selection.since, selection.until,
        None if selection.sequences is None else list(selection.sequences),
    )  # fmt: skip


def _standing(row: asyncpg.Record, chosen: bool) -> Standing:
    return Standing(
        row["sequence"], row["place"], tuple(row["lanes"]), MessageState(row["state"]), chosen, row["readable"]
    )


def _stored(row: asyncpg.Record) -> StoredMessage:
    values = dict(row)
    values["state"] = MessageState(row["state"])
    values["unmapped"] = msgspec.json.decode(row["unmapped"] or "{}")
    values["warnings"] = tuple(row["warnings"])
    return StoredMessage(**values)


def _midnight(day: date) -> str:
    return f"{day} 00:00:00+00"


def _array(items: Iterable[object]) -> str:
    """A PostgreSQL array literal of numbers or codes, so that one array parameter can carry many of them."""
    return "{" + ",".join(map(str, items)) + "}"


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [sequence for sequence, _lane in pairs], [lane for _sequence, lane in pairs]
