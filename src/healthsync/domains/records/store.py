"""Rows of resources, their content, history and index; the only file here that runs SQL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg

from healthsync.domains.records import statements
from healthsync.domains.records.index import IndexRows
from healthsync.domains.records.model import Change, StoredResource, Visibility, Wanted
from healthsync.infrastructure.database import Beside, Lookup, Queries, Transaction

_SQL = Queries("healthsync.domains.records")

COLUMNS = (
    "r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest,"
    " coalesce(c.packed, convert_to(c.clear, 'UTF8')) AS packed, c.identity, c.narrative, c.key_scope, c.key_version"
)
"""Of `resource r` and `resource_content c`, in the order of `StoredResource`."""
_VERSION_COLUMNS = (
    "r.pid, r.resource_type, r.id, h.version, h.updated_at, h.patient_key, h.deleted, r.digest,"
    " h.packed, h.identity, h.narrative, h.key_scope, h.key_version"
)

_SIZE = " + ".join(f"coalesce(octet_length(c.{name}), 0)" for name in ("packed", "clear", "identity", "narrative"))
"""Bytes of a content as stored, read without the content."""


def _stored(row: asyncpg.Record) -> StoredResource:
    return StoredResource(*row)


async def take_pids(tx: Transaction, count: int) -> list[int]:
    """A block of internal numbers: once given out they are gone, whatever becomes of the unit of work."""
    return [row[0] for row in await tx.look(_SQL.take_pids, count)]


Planned = tuple[str, list[Any]]
"""A statement and its parameters."""

Address = tuple[int, str, str]
"""(key, type, id) of a resource: the key finds it, type and id make sure."""


def _place(row: asyncpg.Record) -> tuple[str, str]:
    return row["resource_type"], row["id"]


_EXISTING, _PATIENT_KEYS = Lookup(_SQL.existing, _place), Lookup(_SQL.patient_keys, lambda row: ("Patient", row["id"]))

_HEAD = "r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest"
_CONTENT = " CROSS JOIN LATERAL (SELECT * FROM resource_content WHERE pid = r.pid LIMIT 1) c"
_TYPES = {str: "text", datetime: "timestamptz"}
"""Of the parameters of the gate's condition."""


async def heads(
    tx: Transaction, addresses: Sequence[Address], visibility: Visibility
) -> dict[tuple[str, str], asyncpg.Record]:
    """Version, digest, patient and state, without content; `permitted` says whether the gate's condition holds."""
    rows = await _judged(tx, _HEAD, "", addresses, visibility)
    return {(row["resource_type"], row["id"]): row for row in rows}


async def _judged(
    tx: Transaction,
    columns: str,
    joined: str,
    addresses: Sequence[Address],
    visibility: Visibility,
    beside: Beside | None = None,
) -> list[asyncpg.Record]:
    """What stands at some addresses, and whether the gate's condition holds there: the condition's parameters are
    columns of each place, so that requesters share the look."""
    given = tuple(visibility.parameters)
    places = {(kind, id_, *given): (key, kind, id_, *given) for key, kind, id_ in addresses}
    types = tuple(_TYPES[type(value)] for value in given)
    more, also = (beside.columns, beside.joined) if beside else ("", "")
    lookup = _judging(columns, f"{joined}{also}", visibility.condition, types, more)
    return await tx.look_up(lookup, places)


@cache
def _judging(columns: str, joined: str, condition: str, types: tuple[str, ...], more: str) -> Lookup:
    given = [f"given_{number}" for number, _ in enumerate(types, start=1)]
    arrays = ", ".join(
        f"${number}::text::{type_}[]" for number, type_ in enumerate(("bigint", "text", "text", *types), start=1)
    )
    told = "".join(f", wanted.{name}" for name in given)
    return Lookup(
        f"SELECT {columns}, ({_PARAMETER.sub('wanted.given_', condition)}) AS permitted{more}{told}"
        f" FROM unnest({arrays}) AS wanted ({', '.join(('key', 'kind', 'id', *given))})"
        f" CROSS JOIN LATERAL (SELECT * FROM resource WHERE key = wanted.key LIMIT 1) r{joined}"
        " WHERE r.resource_type = wanted.kind AND r.id = wanted.id",
        lambda row: (row["resource_type"], row["id"], *(row[name] for name in given)),
    )


_PARAMETER = re.compile(r"\$(?=\d)")
_JUDGED = StoredResource.__struct_fields__.index("permitted") + 1
"""Columns of a row up to the judgement."""


async def take_turns(tx: Transaction, keys: Sequence[int]) -> None:
    """Hold these keys until the transaction ends."""
    await tx.execute(_SQL.take_turns, list(keys))


def insert(tx: Transaction, changes: Sequence[Change]) -> None:
    """New resources with content and index rows, at the end of the unit of work. VersionConflict is raised then when
    another transaction was first with one."""
    tx.later(statements.INSERTION, changes)


def replace(tx: Transaction, changes: Sequence[Change]) -> None:
    """New versions in the place of the old, which go to history, at the end of the unit of work. VersionConflict is
    raised then when one was no longer the version that its change replaces."""
    tx.later(statements.SUCCESSION, changes)


def _places(addresses: Sequence[Address]) -> dict[tuple[str, str], Address]:
    return {(kind, id_): (key, kind, id_) for key, kind, id_ in addresses}


def _columns(addresses: Sequence[Address]) -> tuple[list[int], list[str], list[str]]:
    return [key for key, _, _ in addresses], [kind for _, kind, _ in addresses], [id_ for _, _, id_ in addresses]


async def patient_keys(tx: Transaction, addresses: Sequence[Address]) -> dict[str, int]:
    """Internal numbers of source patients by id."""
    return {row["id"]: row["pid"] for row in await tx.look_up(_PATIENT_KEYS, _places(addresses))}


async def patient_ids(tx: Transaction, keys: Sequence[int]) -> dict[int, str]:
    """Ids of source patients by internal number."""
    return {row["pid"]: row["id"] for row in await tx.look(_SQL.patient_ids, list(keys))}


async def existing(tx: Transaction, addresses: Sequence[Address]) -> set[tuple[str, str]]:
    """Which of these resources exist and are not deleted."""
    rows = await tx.look_up(_EXISTING, _places(addresses))
    return {(row["resource_type"], row["id"]) for row in rows}


async def hold(tx: Transaction, addresses: Sequence[Address]) -> set[tuple[str, str]]:
    """The same, and keep them from being deleted until the end of the transaction."""
    rows = await tx.fetch(_SQL.hold, *_columns(addresses))
    return {(row["resource_type"], row["id"]) for row in rows}


async def referrers(tx: Transaction, keys: Sequence[int]) -> list[tuple[str, int]]:
    """How many current resources of each type refer to these keys."""
    return [(row["resource_type"], row["count"]) for row in await tx.fetch(_SQL.referrers, list(keys))]


async def read(
    tx: Transaction, addresses: Sequence[Address], visibility: Visibility, beside: Beside | None = None
) -> list[StoredResource]:
    """The current versions, deleted or not; `permitted` says whether the gate's condition holds. What is looked at
    `beside` them may refer to `resource r` and `resource_content c`."""
    rows = await _judged(tx, COLUMNS, _CONTENT, addresses, visibility, beside)
    if beside is not None:
        beside.take(rows)
    return [StoredResource(*row[:_JUDGED]) for row in rows]


async def any_token(tx: Transaction, hashes: Sequence[int]) -> bool:
    """Whether any resource is indexed under one of these tokens."""
    return bool((await tx.look(_SQL.any_token, list(hashes)))[0][0])


async def referring(
    tx: Transaction,
    keys: Sequence[int],
    paths: Sequence[int] | None,
    types: Sequence[str],
    visibility: Visibility,
    *,
    limit: int,
) -> list[StoredResource]:
    """Current resources of some types that refer to these keys, under one of `paths` (None: any), oldest first."""
    first = len(visibility.parameters)
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM (SELECT DISTINCT x.pid FROM index_reference x"
        f" WHERE x.target = ANY (${first + 1}::bigint[])"
        f" AND (${first + 2}::int[] IS NULL OR x.path = ANY (${first + 2}))) d"
        " JOIN resource r ON r.pid = d.pid JOIN resource_content c ON c.pid = r.pid"
        f" WHERE NOT r.deleted AND r.resource_type = ANY (${first + 3}::text[]) AND ({visibility.condition})"
        f" ORDER BY r.pid LIMIT {int(limit)}",
        *visibility.parameters,
        list(keys),
        None if paths is None else list(paths),
        list(types),
    )
    return [_stored(row) for row in rows]


async def vread(tx: Transaction, address: Address, version: int, visibility: Visibility) -> StoredResource | None:
    """One version; judged by the patient that this version names."""
    rows = await _versions(tx, address, visibility, f"AND h.version = {int(version)}", limit=1)
    return rows[0] if rows else None


async def tally(tx: Transaction, statement: Planned) -> tuple[int, int, int]:
    """How many versions of a resource are here, may be shown, and are asked for."""
    text, parameters = statement
    row = await tx.fetchrow(text, *parameters)
    assert row is not None
    return row["here"], row["permitted"], row["asked"]


async def _versions(
    tx: Transaction, address: Address, visibility: Visibility, bound: str, *, limit: int
) -> list[StoredResource]:
    first = len(visibility.parameters)
    # The condition speaks of `r`; a version is judged by its own patient, so `r` here is the version's row.
    condition = visibility.condition.replace("r.patient_key", "h.patient_key")
    rows = await tx.fetch(
        f"SELECT {_VERSION_COLUMNS}, ({condition}) AS permitted FROM resource r JOIN ("
        " SELECT pid, version, updated_at, deleted, patient_key, coalesce(packed, convert_to(clear, 'UTF8')) AS packed,"
        " identity, narrative, key_scope, key_version FROM resource_history UNION ALL"
        " SELECT x.pid, x.version, x.updated_at, x.deleted, x.patient_key,"
        " coalesce(c.packed, convert_to(c.clear, 'UTF8')), c.identity, c.narrative, c.key_scope, c.key_version"
        " FROM resource x JOIN resource_content c ON c.pid = x.pid) h ON h.pid = r.pid"
        f" WHERE r.key = ${first + 1} AND r.resource_type = ${first + 2} AND r.id = ${first + 3} {bound}"
        f" ORDER BY h.version DESC LIMIT {int(limit)}",
        *visibility.parameters,
        *address,
    )
    return [_stored(row) for row in rows]


async def select(tx: Transaction, statement: Planned) -> list[StoredResource]:
    """The rows of a planned search."""
    text, parameters = statement
    return [_stored(row) for row in await tx.look(text, *parameters)]


async def page(tx: Transaction, statement: Planned) -> tuple[list[StoredResource], int | None]:
    """The rows of a page of a search, and how many hits were counted."""
    text, parameters = statement
    rows = await tx.look(text, *parameters)
    return [StoredResource(*row[:-1]) for row in rows], rows[0][-1] if rows else 0


async def compartment(
    tx: Transaction,
    patient_keys: Sequence[int],
    types: Sequence[str],
    since: datetime | None,
    visibility: Visibility,
    *,
    after: int,
    limit: int,
) -> list[StoredResource]:
    """Current resources of some source patients, in order of arrival; no types means all."""
    first = len(visibility.parameters)
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM (SELECT * FROM resource r WHERE r.patient_key = ANY (${first + 1}::bigint[])"
        f" AND r.pid > ${first + 2} AND NOT r.deleted"
        f" AND (${first + 3}::text[] IS NULL OR r.resource_type = ANY (${first + 3}))"
        f" AND (${first + 4}::timestamptz IS NULL OR r.updated_at >= ${first + 4}) AND ({visibility.condition})"
        f" ORDER BY r.pid LIMIT {int(limit)}) r JOIN resource_content c ON c.pid = r.pid ORDER BY r.pid",
        *visibility.parameters,
        list(patient_keys),
        after,
        list(types) or None,
        since,
    )
    return [_stored(row) for row in rows]


async def number(tx: Transaction, statement: Planned) -> int:
    """What a counting statement counts."""
    text, parameters = statement
    return (await tx.look(text, *parameters))[0][0]


async def stream(
    tx: Transaction, wanted: Wanted, visibility: Visibility, *, after: int, bytes_: int, rows: int
) -> AsyncIterator[list[int]]:
    """The internal numbers of a stream, in portions whose contents take `bytes_` at most (one alone may take more)."""
    condition, parameters = _stream_condition(wanted, visibility, after)
    cursor = await tx.connection.cursor(
        f"SELECT r.pid, {_SIZE} AS size FROM (SELECT pid FROM resource r WHERE {condition} ORDER BY r.pid) r"
        " CROSS JOIN LATERAL (SELECT * FROM resource_content WHERE pid = r.pid LIMIT 1) c",
        *parameters,
    )
    portion: list[int] = []
    taken = 0
    while found := await cursor.fetch(rows):
        for pid, size in found:
            if portion and (taken + size > bytes_ or len(portion) == rows):
                yield portion
                portion, taken = [], 0
            portion.append(pid)
            taken += size
    if portion:
        yield portion


def _stream_condition(wanted: Wanted, visibility: Visibility, after: int) -> tuple[str, list[Any]]:
    parameters = list(visibility.parameters)

    def bind(value: Any) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    terms = [f"r.resource_type = {bind(wanted.resource_type)}", f"r.pid > {bind(after)}", f"({visibility.condition})"]
    terms.append("r.deleted" if wanted.deleted else "NOT r.deleted")
    if wanted.since is not None:
        terms.append(f"r.updated_at >= {bind(wanted.since)}")
    if wanted.patient_keys is not None:
        terms.append(f"r.patient_key = ANY ({bind(sorted(wanted.patient_keys))}::bigint[])")
    elif wanted.of_patients_only:
        terms.append("r.patient_key IS NOT NULL")
    return " AND ".join(terms), parameters


async def contents(tx: Transaction, pids: Sequence[int]) -> list[StoredResource]:
    """The current versions with these internal numbers, in their order."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM resource r JOIN resource_content c ON c.pid = r.pid"
        " WHERE r.pid = ANY ($1::bigint[]) ORDER BY r.pid",
        list(pids),
    )
    return [_stored(row) for row in rows]


async def present(tx: Transaction, types: Sequence[str], deleted_since: datetime | None) -> list[str]:
    """Those of some types that have resources, or of which some were deleted since an instant, in their order."""
    if deleted_since is None:
        rows = await tx.fetch(_SQL.present, list(types))
    else:
        rows = await tx.fetch(_SQL.deleted_types, list(types), deleted_since)
    found = {row["resource_type"] for row in rows}
    return [kind for kind in types if kind in found]


async def any_withheld(tx: Transaction, patient_keys: Sequence[int], visibility: Visibility) -> bool:
    """Whether the condition does not hold for one of these patients."""
    first = len(visibility.parameters)
    return await tx.fetchval(
        f"SELECT EXISTS (SELECT FROM unnest(${first + 1}::bigint[]) AS r (patient_key)"
        f" WHERE NOT ({visibility.condition}))",
        *visibility.parameters,
        list(patient_keys),
    )


async def without_index(tx: Transaction, count: int) -> list[StoredResource]:
    """Resources whose index rows are still to be made, locked for the caller."""
    return [_stored(row) for row in await tx.fetch(_SQL.without_index, count)]


async def next_pids(tx: Transaction, types: Sequence[str], after: int, count: int) -> list[int]:
    """The next internal numbers of resources of some types, deleted ones left out."""
    return [row["pid"] for row in await tx.fetch(_SQL.next_pids, list(types), after, count)]


async def locked(tx: Transaction, pids: Sequence[int], *, wait: bool) -> list[StoredResource]:
    """Current versions, locked; without `wait`, those that somebody has locked are left out."""
    kept = await tx.fetch(_SQL.lock if wait else _SQL.lock_free, list(pids))
    # A statement of its own: the one that locks may still see the content that was there when it began.
    return await contents(tx, [row["pid"] for row in kept])


async def count_of(tx: Transaction, types: Sequence[str]) -> int:
    """How many resources of some types there are."""
    return await tx.fetchval(_SQL.count_of, list(types))


def make_index(tx: Transaction, rows: Sequence[tuple[int, int, IndexRows]]) -> None:
    """Give resources, by internal number, their key and the index rows that they lack."""
    tx.later(statements.INDEXING, rows)


async def stays(
    tx: Transaction, path: int, one_of: Sequence[int], none_of: Sequence[int], running: Sequence[int], since: datetime,
    until: datetime,
) -> list[tuple[str, int, datetime, datetime]]:  # fmt: skip
    """(id, patient key, begin, end) of what has a date under `path` within a time, by tokens."""
    rows = await tx.fetch(_SQL.stays, path, list(one_of), list(none_of), list(running), since, until)
    return [tuple(row) for row in rows]
