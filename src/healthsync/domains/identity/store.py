"""Rows of persons, members, tokens and link events."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from healthsync.domains.identity.model import (
    Decision,
    Flag,
    LinkEvent,
    LinkEventKind,
    LinkState,
    Member,
    SourcePatient,
    Tokens,
)
from healthsync.infrastructure.database import Guard, Lookup, Parts, Queries, Transaction, Writer

_SQL = Queries("healthsync.domains.identity")
_CANDIDATES = Lookup(f"{_SQL.sharing}\n{_SQL.candidates}", lambda row: row["record"])
_CANDIDATES_AND_MEMBERS = Lookup(f"{_SQL.sharing}\n{_SQL.candidates_and_members}", lambda row: row["near"])
_SETTLED = Lookup(_SQL.settled, lambda row: row["patient_key"])
_MEMBERS_WITH = Lookup(_SQL.members_with, lambda row: row["patients"])


@dataclass(frozen=True, slots=True)
class Change:
    """What one act changed, as rows."""

    at: datetime
    persons: dict[UUID, UUID | None]
    members: list[Member]
    events: list[LinkEvent]
    decisions: dict[tuple[int, int], Decision]
    reviews: dict[tuple[int, int], Iterable[str]]
    pins: dict[tuple[int, str], bool] = field(default_factory=dict)


async def find_source_patient(
    tx: Transaction, source: str, tokens: Sequence[int], types: Sequence[str], follow_merges: bool
) -> SourcePatient | None:
    """The patient of `source` under the first of these identifiers that is known, or its survivor."""
    row = await tx.fetchrow(_SQL.find_source_patient, source, tokens, types, follow_merges)
    return SourcePatient(*row) if row else None


async def known_patient(
    tx: Transaction, key: int, fingerprint: Sequence[str], locks: Sequence[int]
) -> tuple[UUID | None, tuple[str, ...]]:
    """Person (None: unknown) and fingerprint of a patient; `locks` are held if `fingerprint` is another one."""
    row = await tx.fetchrow(_SQL.known_patient, key, fingerprint, locks)
    return (row["enterprise_id"], tuple(row["fingerprint"] or ())) if row else (None, ())


async def is_settled(tx: Transaction, key: int, fingerprint: Sequence[str]) -> bool:
    """Whether this is still the fingerprint of a patient, and nothing is to be decided about him."""
    return bool(await tx.look_up(_SETTLED, {key: (key, _array(fingerprint))}))


@dataclass(frozen=True, slots=True)
class Near:
    """A patient that shares keys with a record, its person, the patient that it was retired into, and the version that
    speaks for it while its newest is held."""

    patient: SourcePatient
    enterprise_id: UUID
    retired_into: int | None
    held: int | None


async def candidates(tx: Transaction, tokens: Tokens, *, block: int, most: int) -> tuple[list[Near], int]:
    """At most `most` patients that share a number or a block key, those first that share most, and how many keys were
    passed over because more than `block` patients have them."""
    rows = await _sharing(tx, _CANDIDATES, tokens, block, most)
    return [_near(row) for row in rows if row["patient_key"] is not None], rows[0]["hot"] or 0


Rows = Sequence[asyncpg.Record]


async def candidates_and_members(
    tx: Transaction, tokens: Tokens, *, block: int, most: int
) -> tuple[list[Near], int, Rows]:
    """The same, and all members of their persons, as `persons_among` reads them."""
    rows = await _sharing(tx, _CANDIDATES_AND_MEMBERS, tokens, block, most)
    near = sorted((row for row in rows if row["place"] is not None), key=lambda row: row["place"])
    return [_near(row) for row in near], rows[0]["hot"] or 0, rows


async def _sharing(tx: Transaction, lookup: Lookup, tokens: Tokens, block: int, most: int) -> Rows:
    record = tokens.patient_key or next(_NOBODY_YET)
    numbers, keys = _array(tokens.shared_identifiers), _array(tokens.block_keys)
    return await tx.look_up(lookup, {record: (record, numbers, keys, block, most)})


def _near(row: asyncpg.Record) -> Near:
    return Near(_source_patient(row), row["enterprise_id"], row["retired_into"], row["held"])


_NOBODY_YET = count(-1, -1)
"""Keys for records that are not registered: who asks for several at once tells them apart by theirs."""


async def survivors(tx: Transaction, keys: Collection[int]) -> dict[int, SourcePatient]:
    """The active patient that each of these leads to."""
    return {row[0]: SourcePatient(row[1], row[2], row[3]) for row in await tx.fetch(_SQL.survivors, list(keys))}


async def persons_of(
    tx: Transaction, keys: Collection[int], also: Collection[int] = ()
) -> tuple[list[Member], LinkState]:
    """All members of the persons of `keys`, with these persons locked, and of those of `also`, and how they are linked
    as it is now."""
    wanted = list(keys)
    locked: set[UUID] = set()
    while wanted and (rows := await tx.fetch(_SQL.lock_persons, wanted)):
        locked |= {row["enterprise_id"] for row in rows}
        rows = await _members_with(tx, {*keys, *also})
        if {row["enterprise_id"] for row in rows if row["patient_key"] in keys} <= locked:  # nobody moved meanwhile
            return _persons(tx, rows)
    return _persons(tx, await _members_with(tx, also) if also else [])


def persons_among(tx: Transaction, rows: Rows, keys: Collection[int]) -> tuple[list[Member], LinkState]:
    """The same of `keys`, as candidates were told with their members, and nothing is locked."""
    persons = {row["enterprise_id"] for row in rows if row["patient_key"] in keys}
    return _persons(tx, [row for row in rows if row["enterprise_id"] in persons])


async def _members_with(tx: Transaction, keys: Collection[int]) -> list[asyncpg.Record]:
    group = _array(sorted(keys))
    return await tx.look_up(_MEMBERS_WITH, {group: (group,)})


class Seen(NamedTuple):
    """What a new patient was decided by while nothing of it was held: whom it met under its numbers and keys, and the
    persons that it may join, each with its members, who wrote them, and which of their versions is held."""

    tokens: Tokens
    met: tuple[int, ...]
    persons: Mapping[UUID, str]


def seen(tokens: Tokens, met: Iterable[int], rows: Rows, persons: Collection[UUID]) -> Seen:
    """That of a patient with these tokens who met `met`, and may join these persons, whose members are among `rows`."""
    of_persons: dict[UUID, list[asyncpg.Record]] = {person: [] for person in persons}
    for row in rows:
        if row["enterprise_id"] in of_persons:
            of_persons[row["enterprise_id"]].append(row)
    return Seen(tokens, tuple(met), {person: _told(members) for person, members in of_persons.items()})


def _told(members: Rows) -> str:
    return ",".join(
        f"{row['patient_key']}:{row['written_by']}" + ("" if row["held"] is None else f":{row['held']}")
        for row in members
    )


async def _hold(tx: Transaction, rows: Sequence[Seen]) -> set[int]:
    """Hold tokens and persons as a registration does that holds them from the start. Who shares one with a row before
    gives way to it."""
    keys = {token for row in rows for token in row.tokens.locks}
    persons = sorted({str(person) for row in rows for person in row.persons})
    await tx.fetch(_SQL.hold_seen, _array(sorted(keys)), _array(persons))
    taken: set[int | UUID] = set()
    gives_way = set()
    for place, row in enumerate(rows):
        names = {*row.tokens.locks, *row.persons}
        if not taken.isdisjoint(names):
            gives_way.add(place)
        taken |= names
    return gives_way


def _changed(rows: Sequence[Seen]) -> tuple[str, Sequence[Any]]:
    persons = [of_person for row in rows for of_person in row.persons.items()]
    return _SQL.changed, [
        _texts(_array(row.tokens.locked) for row in rows),
        _texts(_array(row.tokens.shared_identifiers) for row in rows),
        _texts(_array(row.met) for row in rows),
        _array(person for person, _ in persons),
        _texts(members for _, members in persons),
    ]


UNCHANGED = Guard(_changed, _hold)
"""Of Seen: nobody came under one of the tokens since, and nothing changed about a member."""


def _persons(tx: Transaction, rows: Sequence[asyncpg.Record]) -> tuple[list[Member], LinkState]:
    members = [_member(row) for row in rows]
    state = LinkState(
        person_of={member.key: member.enterprise_id for member in members},
        linked_to={member.key: member.linked_to for member in members},
        retired_into={member.key: member.retired_into for member in members if member.retired_into is not None},
    )
    for row in rows:
        key = row["patient_key"]
        if row["decided"]:
            decided = msgspec.json.decode(row["decided"], type=dict[int, Decision])
            among = {(key, other): kind for other, kind in decided.items() if other in state.person_of}
            state.decisions.update(among)
        if row["flagged"]:
            flagged = msgspec.json.decode(row["flagged"], type=dict[int, frozenset[str]])
            state.reviews.update({(key, other): why for other, why in flagged.items() if other in state.person_of})
    for place, reasons, _ in tx.kept_for_end(_REVIEWS):
        if state.person_of.keys() >= set(place):
            state.reviews[place] = frozenset(reasons)
    return members, state


async def keyed_by_others(tx: Transaction, version: str, count: int) -> list[Member]:
    """Patients whose block keys are of another version, held until the end of the transaction."""
    return [_member(row) for row in await tx.fetch(_SQL.keyed_by_others, version, count)]


async def matched_next(tx: Transaction, after: int, count: int) -> list[SourcePatient]:
    """Patients of whom something is known, by key from behind `after`."""
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.matched_next, after, count)]


async def matched_count(tx: Transaction) -> int:
    """How many patients something is known of."""
    return await tx.fetchval(_SQL.matched_count)


def save_keys(tx: Transaction, member: Member, tokens: Tokens | None) -> None:
    """Replace the tokens of a known patient at the end of the unit of work."""
    _later(tx, acts=[{"members": [_member_row(member)]}])
    if tokens:
        _save_tokens(tx, tokens, is_new=False)


def save(tx: Transaction, change: Change, tokens: Tokens | None = None, *, is_new: bool = False) -> None:
    """Write one act at the end of the unit of work; `tokens` replace those of the patient at hand, who `is_new`."""
    at = change.at
    act = {
        "persons": [
            {"enterprise_id": person, "merged_into": into, "created_at": at} for person, into in change.persons.items()
        ],
        "members": [_member_row(member) for member in change.members],
        "events": [_event_row(event) for event in change.events],
        "decisions": [_paired(place, kind=kind) for place, kind in change.decisions.items()],
    }
    _later(
        tx,
        acts=[act] if any(act.values()) else [],
        pinned=[pin for pin, holds in change.pins.items() if holds],
        unpinned=[pin for pin, holds in change.pins.items() if not holds],
    )
    reviews = [(place, sorted(reasons), at) for place, reasons in change.reviews.items() if reasons or not is_new]
    if reviews:
        tx.at_end(_REVIEWS, reviews)
    if tokens:
        _save_tokens(tx, tokens, is_new=is_new)


def _save_tokens(tx: Transaction, tokens: Tokens, *, is_new: bool) -> None:
    key = tokens.patient_key
    numbers = [(key, *number) for number in zip(tokens.identifiers, tokens.types, strict=True)]
    keys = [(key, token) for token in tokens.block_keys]
    if is_new:
        _later(tx, identifiers=numbers, new_block_keys=keys)
    else:
        _later(tx, identifiers=numbers, block_keys=keys)
        _later(tx, old_identifiers=[(key, numbers)], old_block_keys=[(key, keys)])


def withdraw(tx: Transaction, patient_key: int) -> None:
    """Remove the tokens of a patient at the end of the unit of work, so that a later registration is a change."""
    gone = [patient_key]
    _later(tx, withdrawn_identifiers=gone, withdrawn_block_keys=gone, withdrawn_fingerprint=gone)


def _later(tx: Transaction, **rows: Sequence[object]) -> None:
    """Rows of the named writers, where there are any."""
    for name, of_one in rows.items():
        if of_one:
            tx.later(_WRITERS[name], of_one)


def _writer(name: str, parameters: Callable[[Sequence[Any]], Sequence[Any]]) -> Writer:
    text = f"identity_{name} AS ({getattr(_SQL, f'save_{name}')})"
    return Writer(lambda rows: Parts((text,), parameters(rows)))


_RECORDS = re.compile(r"SELECT \* FROM jsonb_to_recordset\(\$1::jsonb\)\s+AS row \(([^)]*)\)")


def _acted(acts: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]]) -> Parts:
    """Rows travel as JSON, but a single one of a single act, as a registration has it, as plain values: that takes half
    the time. Of several acts all do, so that there are few statements, which are planned anew after each ANALYZE."""
    texts: list[str] = []
    parameters: list[Any] = []
    for name in ("persons", "members", "events", "decisions"):
        if rows := [row for act in acts for row in act.get(name, ())]:
            is_plain = len(rows) == len(acts) == 1
            text, columns = _recorded(name, is_plain, len(parameters) + 1)
            texts.append(text)
            parameters += [rows[0][column] for column in columns] if is_plain else [_json(rows)]
    return Parts(tuple(texts), parameters)


@cache
def _recorded(name: str, is_plain: bool, first: int) -> tuple[str, tuple[str, ...]]:
    """What writes the records of a table, with its first placeholder, and the columns in the order of the others."""
    text = f"identity_{name} AS ({getattr(_SQL, f'save_{name}')})"
    if not is_plain:
        return text.replace("$1", f"${first}"), ()
    records = _RECORDS.search(text)
    assert records is not None
    columns = [column.split() for column in records[1].split(",")]
    values = ", ".join(f"${place}::{kind}" for place, (_, kind) in enumerate(columns, first))
    return text.replace(records[0], f"SELECT {values}"), tuple(column for column, _ in columns)


def _reviewed(rows: Sequence[tuple[tuple[int, int], list[str], datetime]]) -> Parts:
    """The last that was said of each pair stands."""
    last = {place: (reasons, at) for place, reasons, at in rows}
    flagged = [_paired(place, reasons=why, raised_at=at) for place, (why, at) in last.items() if why]
    settled = [_paired(place) for place, (why, _) in last.items() if not why]
    written = [("flagged", _SQL.save_flagged, flagged)] if flagged else []
    written += [("settled", _SQL.save_settled, settled)] if settled else []
    texts = (f"identity_{name} AS ({text.replace('$1', f'${at}')})" for at, (name, text, _) in enumerate(written, 1))
    return Parts(tuple(texts), [_json(rows) for _, _, rows in written])


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


def _kept(rows: Sequence[tuple[int, Sequence[tuple[Any, ...]]]], count: int) -> list[list[Any]]:
    """Patients, and the columns of all that they keep."""
    return [[key for key, _ in rows], *_columns([kept for _, several in rows for kept in several], count)]


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()


_WRITERS = {
    "acts": Writer(_acted),
    "identifiers": _writer("identifiers", lambda rows: _columns(rows, 3)),
    "block_keys": _writer("block_keys", lambda rows: _columns(rows, 2)),
    "new_block_keys": _writer("new_block_keys", lambda rows: _columns(rows, 2)),
    "pinned": _writer("pinned", lambda rows: _columns(rows, 2)),
    "unpinned": _writer("unpinned", lambda rows: _columns(rows, 2)),
    "old_identifiers": _writer("old_identifiers", lambda rows: _kept(rows, 3)),
    "old_block_keys": _writer("old_block_keys", lambda rows: _kept(rows, 2)),
    **{
        name: _writer(name, lambda rows: [list(rows)])
        for name in ("withdrawn_identifiers", "withdrawn_block_keys", "withdrawn_fingerprint")
    },
}


_REVIEWS = Writer(_reviewed)
"""Pairs with why they are to be looked at, written at the end of the unit of work."""


async def vacant_person(tx: Transaction, keys: Collection[int]) -> UUID | None:
    """The enterprise id that one of these patients had last, if nobody has it now."""
    return await tx.fetchval(_SQL.vacant_person, list(keys))


async def enterprise_ids(tx: Transaction, keys: Collection[int]) -> dict[int, UUID]:
    """The person of each patient that is known."""
    rows = await tx.fetch(_SQL.enterprise_ids, list(keys))
    return {row["patient_key"]: row["enterprise_id"] for row in rows}


async def current_person(tx: Transaction, enterprise_id: UUID) -> UUID | None:
    """The person that an enterprise id leads to."""
    return await tx.fetchval(_SQL.current_person, enterprise_id)


async def members(tx: Transaction, enterprise_id: UUID) -> list[SourcePatient]:
    """The patients of a person."""
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.members, enterprise_id)]


async def taken_over_by(tx: Transaction, keys: Collection[int]) -> dict[str, str | None]:
    """By FHIR id, into whom each patient was merged; None for one that is active."""
    return {row[0]: row[1] for row in await tx.fetch(_SQL.taken_over_by, list(keys))}


async def active_members(tx: Transaction, enterprise_id: UUID) -> list[SourcePatient]:
    """The patients of a person whose numbers are in use."""
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.active_members, enterprise_id)]


async def bearers(tx: Transaction, tokens: Sequence[int], types: Sequence[str]) -> list[SourcePatient]:
    """Up to two patients of any source who bear one of these numbers."""
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.bearers, tokens, types)]


async def doubles(tx: Transaction, most: int) -> list[tuple[SourcePatient, SourcePatient, bool]]:
    """Pairs of records of one source under one number, the older first, and whether they are one person's."""
    rows = await tx.fetch(_SQL.doubles, most)
    return [(SourcePatient(*row[:3]), SourcePatient(*row[3:6]), row[6]) for row in rows]


async def pins(tx: Transaction, keys: Collection[int]) -> list[tuple[int, str]]:
    """The patients among these from which an element is taken, with the element."""
    return [tuple(row) for row in await tx.fetch(_SQL.pins, list(keys))]


async def history(tx: Transaction, enterprise_id: UUID) -> list[LinkEvent]:
    """The log entries of a person and its members."""
    return [_event(row) for row in await tx.fetch(_SQL.history, enterprise_id)]


async def history_of_pair(tx: Transaction, one: int, other: int) -> list[LinkEvent]:
    """The log entries that name both patients."""
    return [_event(row) for row in await tx.fetch(_SQL.history_of_pair, one, other)]


async def log(tx: Transaction) -> list[LinkEvent]:
    """The whole log."""
    return [_event(row) for row in await tx.fetch(_SQL.log)]


async def open_reviews(tx: Transaction, limit: int) -> list[Flag]:
    """Pairs to be looked at, oldest first."""
    return [Flag(row[0], row[1], tuple(row[2])) for row in await tx.fetch(_SQL.open_reviews, limit)]


def _array(values: Iterable[object]) -> str:
    """Numbers, or other things that need no quotes, as PostgreSQL reads an array."""
    return "{" + ",".join(map(str, values)) + "}"


def _texts(values: Iterable[str]) -> str:
    """The same of texts without quotes and backslashes."""
    return _array(f'"{value}"' for value in values)


def _paired(place: tuple[int, int], **columns: object) -> dict[str, object]:
    return {"patient_key": place[0], "other_patient_key": place[1], **columns}


def _member(row: asyncpg.Record) -> Member:
    return Member(
        _source_patient(row),
        row["enterprise_id"],
        row["linked_to"],
        row["retired_into"],
        tuple(row["fingerprint"]),
        row["keys_version"],
        row["held"],
    )


def _source_patient(row: asyncpg.Record) -> SourcePatient:
    return SourcePatient(row["patient_key"], row["patient_id"], row["source"])


def _member_row(member: Member) -> dict[str, Any]:
    patient = member.patient
    return {
        "patient_key": patient.patient_key,
        "patient_id": patient.patient_id,
        "source": patient.source,
        "enterprise_id": member.enterprise_id,
        "linked_to": member.linked_to,
        "retired_into": member.retired_into,
        "fingerprint": member.fingerprint,
        "keys_version": member.keys_version,
    }


def _event_row(event: LinkEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in LinkEvent.__slots__}


def _event(row: asyncpg.Record) -> LinkEvent:
    kind, person, key, other, rule, evidence, decided_by, at = row
    return LinkEvent(LinkEventKind(kind), person, key, other, rule, tuple(evidence), decided_by, at)
