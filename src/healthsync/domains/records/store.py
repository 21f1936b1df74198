"""Rows of resources, their content, history and index; the only file here that runs SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from healthsync.domains.records.errors import VersionConflict
from healthsync.domains.records.model import Change, StoredResource, Visibility
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.records")

_COLUMNS = (
    "r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest,"
    " c.clear, c.identity, c.narrative, c.key_scope, c.key_version"
)
_VERSION_COLUMNS = (
    "r.pid, r.resource_type, r.id, h.version, h.updated_at, h.patient_key, h.deleted, r.digest,"
    " h.clear, h.identity, h.narrative, h.key_scope, h.key_version"
)


def _stored(row: asyncpg.Record) -> StoredResource:
    return StoredResource(*row)


async def take_pids(tx: Transaction, count: int) -> list[int]:
    """A block of internal numbers."""
    return [row[0] for row in await tx.fetch(_SQL.take_pids, count)]


async def current(tx: Transaction, references: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StoredResource]:
    """The current versions of (type, id), deleted ones too."""
    rows = await tx.fetch(_SQL.current, [t for t, _ in references], [i for _, i in references])
    return {(row["resource_type"], row["id"]): _stored(row) for row in rows}


async def heads(tx: Transaction, references: Sequence[tuple[str, str]]) -> dict[tuple[str, str], asyncpg.Record]:
    """Version, digest, patient and state of (type, id), without content."""
    rows = await tx.fetch(_SQL.heads, [t for t, _ in references], [i for _, i in references])
    return {(row["resource_type"], row["id"]): row for row in rows}


async def insert(tx: Transaction, changes: Sequence[Change]) -> None:
    """New resources with content and index rows. Raises VersionConflict when another transaction was first with one."""
    try:
        await _insert(tx, changes)
    except asyncpg.UniqueViolationError:
        raise VersionConflict("someone else created the resource at the same time; read it and repeat") from None


async def _insert(tx: Transaction, changes: Sequence[Change]) -> None:
    await tx.execute(
        _SQL.insert,
        [c.pid for c in changes],
        [c.resource_type for c in changes],
        [c.id for c in changes],
        [c.version for c in changes],
        [c.updated_at for c in changes],
        [c.patient_key for c in changes],
        [c.deleted for c in changes],
        [c.digest for c in changes],
        *_content_columns(changes),
        *_columns(((hash_, c.pid) for c in changes for hash_ in c.index.tokens), 2),
        *_columns(((hash_, value, c.pid) for c in changes for hash_, value in c.index.strings), 3),
        *_columns(((hash_, low, high, c.pid) for c in changes for hash_, low, high in c.index.dates), 4),
    )


async def keep_history(tx: Transaction, pids: Sequence[int]) -> None:
    """Copy the versions that are about to be replaced."""
    await tx.execute(_SQL.keep_history, list(pids))


async def supersede(tx: Transaction, changes: Sequence[Change]) -> set[int]:
    """Set the new heads; answers the pids that were still at the version the change was made from."""
    rows = await tx.fetch(
        _SQL.supersede,
        [c.pid for c in changes],
        [c.replaces for c in changes],
        [c.version for c in changes],
        [c.updated_at for c in changes],
        [c.patient_key for c in changes],
        [c.deleted for c in changes],
        [c.digest for c in changes],
    )
    return {row["pid"] for row in rows}


async def replace_content(tx: Transaction, changes: Sequence[Change]) -> None:
    """The content of new versions, and the difference of their index rows."""
    gone = [(c.pid, c.index_before, c.index) for c in changes]
    come = [(c.pid, c.index, c.index_before) for c in changes]
    await tx.execute(
        _SQL.replace_content,
        [c.pid for c in changes],
        *_content_columns(changes),
        *(column for difference in (gone, come) for column in _index_difference(difference)),
    )


def _content_columns(changes: Sequence[Change]) -> tuple[list[Any], ...]:
    return (
        [c.content.clear for c in changes],
        [c.content.identity for c in changes],
        [c.content.narrative for c in changes],
        [c.content.key_scope for c in changes],
        [c.content.key_version for c in changes],
    )


def _index_difference(pairs: Sequence[tuple[int, Any, Any]]) -> Iterable[list[Any]]:
    """Columns of the index rows that stand in the first of each pair and not in the second."""
    yield from _columns(((h, pid) for pid, one, other in pairs for h in one.tokens - other.tokens), 2)
    yield from _columns(((h, v, pid) for pid, one, other in pairs for h, v in one.strings - other.strings), 3)
    yield from _columns(((h, lo, hi, pid) for pid, one, other in pairs for h, lo, hi in one.dates - other.dates), 4)


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into `width` columns, as unnest takes them."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


async def patient_keys(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    """Internal numbers of source patients by id."""
    return {row["id"]: row["pid"] for row in await tx.fetch(_SQL.patient_keys, list(ids))}


async def patient_ids(tx: Transaction, keys: Sequence[int]) -> dict[int, str]:
    """Ids of source patients by internal number."""
    return {row["pid"]: row["id"] for row in await tx.fetch(_SQL.patient_ids, list(keys))}


async def existing(tx: Transaction, references: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of (type, id) exist and are not deleted."""
    rows = await tx.fetch(_SQL.existing, [t for t, _ in references], [i for _, i in references])
    return {(row["resource_type"], row["id"]) for row in rows}


async def read(tx: Transaction, resource_type: str, id_: str, visibility: Visibility) -> StoredResource | None:
    """The current version, deleted or not; `permitted` says whether the gate's condition holds."""
    first = len(visibility.parameters)
    row = await tx.fetchrow(
        f"SELECT {_COLUMNS}, ({visibility.condition}) AS permitted"
        " FROM resource r JOIN resource_content c ON c.pid = r.pid"
        f" WHERE r.resource_type = ${first + 1} AND r.id = ${first + 2}",
        *visibility.parameters,
        resource_type,
        id_,
    )
    return _stored(row) if row else None


async def vread(
    tx: Transaction, resource_type: str, id_: str, version: int, visibility: Visibility
) -> StoredResource | None:
    """One version; judged by the patient that this version names."""
    rows = await _versions(tx, resource_type, id_, visibility, f"AND h.version = {int(version)}", limit=1)
    return rows[0] if rows else None


async def versions(
    tx: Transaction, resource_type: str, id_: str, visibility: Visibility, *, before: int | None, limit: int
) -> list[StoredResource]:
    """Versions, newest first, those before version `before`."""
    bound = f"AND h.version < {int(before)}" if before is not None else ""
    return await _versions(tx, resource_type, id_, visibility, bound, limit=limit)


async def _versions(
    tx: Transaction, resource_type: str, id_: str, visibility: Visibility, bound: str, *, limit: int
) -> list[StoredResource]:
    first = len(visibility.parameters)
    # The condition speaks of `r`; a version is judged by its own patient, so `r` here is the version's row.
    condition = visibility.condition.replace("r.patient_key", "h.patient_key")
    rows = await tx.fetch(
        f"SELECT {_VERSION_COLUMNS}, ({condition}) AS permitted FROM resource r JOIN ("
        " SELECT pid, version, updated_at, deleted, patient_key, clear, identity, narrative, key_scope, key_version"
        " FROM resource_history UNION ALL"
        " SELECT x.pid, x.version, x.updated_at, x.deleted, x.patient_key,"
        " c.clear, c.identity, c.narrative, c.key_scope, c.key_version"
        " FROM resource x JOIN resource_content c ON c.pid = x.pid) h ON h.pid = r.pid"
        f" WHERE r.resource_type = ${first + 1} AND r.id = ${first + 2} {bound}"
        f" ORDER BY h.version DESC LIMIT {int(limit)}",
        *visibility.parameters,
        resource_type,
        id_,
    )
    return [_stored(row) for row in rows]


async def select(
    tx: Transaction, condition: str, parameters: Sequence[Any], *, sort_key: str, order: str, limit: int
) -> list[StoredResource]:
    """The current resources for which a condition over `r` holds."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS}, true AS permitted, {sort_key} AS sort_value"
        f" FROM (SELECT * FROM resource r WHERE {condition} ORDER BY {order} LIMIT {int(limit)}) r"
        f" JOIN resource_content c ON c.pid = r.pid ORDER BY {order}",
        *parameters,
    )
    return [_stored(row) for row in rows]


async def count(tx: Transaction, condition: str, parameters: Sequence[Any]) -> int:
    """How many current resources a condition over `r` holds for."""
    return await tx.fetchval(f"SELECT count(*) FROM resource r WHERE {condition}", *parameters)
