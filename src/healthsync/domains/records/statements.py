"""What writes resources: new ones, new versions, and index rows for those that have none.

Each is put together from the tables that a change really touches, because PostgreSQL pays for every part of a statement
whether it has rows or not, and waits for the end of the unit of work (`infrastructure.database.deferred`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from healthsync.domains.records.errors import VersionConflict
from healthsync.domains.records.index import EMPTY, IndexRows
from healthsync.domains.records.model import Change
from healthsync.infrastructure.database import Copied, Parts, Writer


@dataclass(frozen=True, slots=True)
class IndexTable:
    """A table of the search index: its columns before `pid`, their types, and its rows in `IndexRows`."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Callable[[IndexRows], frozenset[tuple[Any, ...]]]


INDEX_TABLES = (
    IndexTable("index_token", ("hash", "system"), ("bigint", "int"), lambda rows: rows.tokens),
    IndexTable("index_reference", ("target", "path"), ("bigint", "int"), lambda rows: rows.references),
    IndexTable("index_string", ("hash", "value"), ("bigint", "text"), lambda rows: rows.strings),
    IndexTable("index_date", ("hash", "low", "high"), ("int", "timestamptz", "timestamptz"), lambda rows: rows.dates),
    IndexTable("index_number", ("hash", "low", "high"), ("bigint", "float8", "float8"), lambda rows: rows.numbers),
)

_Columns = list[list[Any]]

_HEAD = ("pid bigint", "key bigint", "resource_type text", "id text", "version int", "updated_at timestamptz",
         "patient_key bigint", "deleted boolean", "digest bytea", "present bytea")  # fmt: skip
_REPLACES = "replaces int"
_SENT_AS_THEY_ARE = frozenset({"text", "bytea"})
_CONTENT = ("packed bytea", "identity bytea", "narrative bytea", "key_scope text", "key_version int")
_WORDS = "words text"
"""The text of an array, since arrays of different length cannot be sent as one; none for no words."""


def _inserted(changes: Sequence[Change]) -> Parts:
    alone = len(changes) == 1
    parameters = _sent((*_HEAD, *_CONTENT, _WORDS), [*_heads(changes), *_contents(changes)])
    touched = _add_rows(parameters, ((c.pid, c.index, EMPTY) for c in changes), alone)
    return Parts(_insertion(alone, touched), parameters)


def _copied(changes: Sequence[Change]) -> Iterator[Copied]:
    """What `_inserted` writes. No row of an index can be there yet, since the internal number is new."""
    yield Copied("resource", _names(_HEAD), list(zip(*_heads(changes), strict=True)))
    *content, _ = _contents(changes)
    words = [c.index.words or None for c in changes]
    pids = [c.pid for c in changes]
    yield Copied("resource_content", ["pid", *_names(_CONTENT), "words"], list(zip(pids, *content, words, strict=True)))
    for table in INDEX_TABLES:
        # In the order of the index: neighbours are written together.
        rows = sorted((*row, c.pid) for c in changes for row in table.rows(c.index))
        yield Copied(table.name, [*table.columns, "pid"], rows)


def _succeeded(changes: Sequence[Change]) -> Parts:
    alone = len(changes) == 1
    columns = [*_heads(changes), [c.replaces for c in changes], *_contents(changes)]
    parameters = _sent((*_HEAD, _REPLACES, *_CONTENT, _WORDS), columns)
    gone = _add_rows(parameters, ((c.pid, c.index_before, c.index) for c in changes), alone)
    come = _add_rows(parameters, ((c.pid, c.index, c.index_before) for c in changes), alone)
    parts = _succession(alone, gone, come)
    last = f"expect_rows((SELECT count(*) FROM next_moved), ${len(parameters) + 1}::int)"
    return Parts(parts, [*parameters, len(changes)], last)


def _indexed(rows: Sequence[tuple[int, int, IndexRows]]) -> Parts:
    parameters: list[Any] = [
        _array("bigint", [pid for pid, _, _ in rows]),
        _array("bigint", [key for _, key, _ in rows]),
        [index.present for _, _, index in rows],
        [_words(index) for _, _, index in rows],
    ]
    touched = _add_rows(parameters, ((pid, index, EMPTY) for pid, _, index in rows), False)
    return Parts(_indexing(touched), parameters)


def _add_rows(parameters: list[Any], pairs: Iterable[tuple[int, IndexRows, IndexRows]], alone: bool) -> tuple[int, ...]:
    """Add to `parameters` the index rows that stand in the first of each pair and not in the second; answers the tables
    that a statement names: of a single resource those that it touches, else all, so that there are few statements."""
    several, named = list(pairs), []
    for place, table in enumerate(INDEX_TABLES):
        rows = [(*row, pid) for pid, one, other in several for row in table.rows(one) - table.rows(other)]
        if rows or not alone:
            named.append(place)
            parameters += _columns(table, rows)
    return tuple(named)


def _conflict(error: BaseException) -> Exception | None:
    """Someone else was first with a resource, or changed it since it was read."""
    state = getattr(error, "sqlstate", None)
    if state == _UNIQUE_VIOLATION and getattr(error, "constraint_name", None) == "resource_by_key":
        return VersionConflict("someone else created the resource at the same time; read it and repeat")
    if state == _UNEXPECTED_ROWS:
        return VersionConflict("the resource was changed by someone else; read it again and repeat")
    return None


_UNIQUE_VIOLATION = "23505"
"""SQLSTATE of PostgreSQL, Appendix A."""
_UNEXPECTED_ROWS = "HS001"
"""What `expect_rows` raises (migration 0005)."""


INSERTION = Writer(_inserted, _conflict, copied=_copied)
"""Writes changes that are new resources, with content and index rows."""
SUCCESSION = Writer(_succeeded, _conflict)
"""Writes changes that are new versions: the old ones go to history, index rows change by their difference. The
statement fails when one was no longer at the version that its change replaces."""
INDEXING = Writer(_indexed)
"""Writes key and index rows for resources, (pid, key, rows), that have none."""


def _names(columns: Iterable[str]) -> list[str]:
    return [column.split(" ")[0] for column in columns]


def _sent(names: Sequence[str], columns: _Columns) -> list[Any]:
    """Columns as they are sent: a single row goes as plain values, which cost less than arrays of one."""
    if len(columns[0]) == 1:
        return [column[0] for column in columns]
    return [_array(name.split(" ")[1], column) for name, column in zip(names, columns, strict=True)]


def _heads(changes: Sequence[Change]) -> _Columns:
    return [
        [c.pid for c in changes],
        [c.key for c in changes],
        [c.resource_type for c in changes],
        [c.id for c in changes],
        [c.version for c in changes],
        [c.updated_at for c in changes],
        [c.patient_key for c in changes],
        [c.deleted for c in changes],
        [c.digest for c in changes],
        [c.index.present for c in changes],
    ]


def _contents(changes: Sequence[Change]) -> _Columns:
    return [
        [c.content.packed for c in changes],
        [c.content.identity for c in changes],
        [c.content.narrative for c in changes],
        [c.content.key_scope for c in changes],
        [c.content.key_version for c in changes],
        [_words(c.index) for c in changes],
    ]


def _columns(table: IndexTable, rows: list[tuple[Any, ...]]) -> _Columns:
    """Rows with their pid, as columns."""
    kinds = (*table.types, "bigint")
    # In the order of the index: neighbours are written together.
    columns = zip(*sorted(rows), strict=True) if rows else ((),) * len(kinds)
    return [_array(kind, column) for kind, column in zip(kinds, columns, strict=True)]


def _array(kind: str, column: Iterable[Any]) -> Any:
    """A column as it is sent. Arrays of numbers and times go as text: the driver looks at each element of others three
    times before it writes it."""
    if kind in _SENT_AS_THEY_ARE:
        return list(column)
    written = datetime.isoformat if kind == "timestamptz" else repr
    return "{" + ",".join(["NULL" if each is None else written(each) for each in column]) + "}"


def _words(index: IndexRows) -> str | None:
    return "{" + ",".join(map(str, index.words)) + "}" if index.words else None


class _Places:
    """Numbers the parameters of a statement in the order in which they are sent."""

    def __init__(self) -> None:
        self._next = 1

    def unnest(self, columns: Sequence[str]) -> str:
        """`unnest($1::text::bigint[], …) AS new (pid, …)` of columns written `name type`, as `_array` sends them."""
        types = [column.split(" ")[1] for column in columns]
        names = ", ".join(column.split(" ")[0] for column in columns)
        casts = [f"{kind}[]" if kind in _SENT_AS_THEY_ARE else f"text::{kind}[]" for kind in types]
        places = ", ".join(f"${self._next + place}::{cast}" for place, cast in enumerate(casts))
        self._next += len(types)
        return f"unnest({places}) AS new ({names})"

    def rows(self, columns: Sequence[str], single: bool) -> str:
        """A source of rows: one row of values, or the rows of arrays."""
        if not single:
            return f"SELECT * FROM {self.unnest(columns)}"
        named = [column.split(" ") for column in columns]
        values = ", ".join(f"${self._next + place}::{kind} AS {name}" for place, (name, kind) in enumerate(named))
        self._next += len(columns)
        return f"SELECT {values}"


def _of(table: IndexTable) -> list[str]:
    return [*(f"{name} {kind}" for name, kind in zip(table.columns, table.types, strict=True)), "pid bigint"]


@cache
def _insertion(single: bool, touched: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    head = ", ".join(column.split(" ")[0] for column in _HEAD)
    content = ", ".join(column.split(" ")[0] for column in _CONTENT)
    parts = [
        f"new_rows AS MATERIALIZED ({places.rows((*_HEAD, *_CONTENT, _WORDS), single)})",
        f"new_head AS (INSERT INTO resource ({head}) SELECT {head} FROM new_rows)",
        f"new_content AS (INSERT INTO resource_content (pid, {content}, words)"
        f" SELECT pid, {content}, words::smallint[] FROM new_rows)",
    ]
    parts += [_index_insertion(INDEX_TABLES[place], places, "new") for place in touched]
    return tuple(parts)


@cache
def _succession(single: bool, gone: tuple[int, ...], come: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    old = "resource_type, version, updated_at, deleted, patient_key"
    content = ", ".join(column.split(" ")[0] for column in _CONTENT)
    # Every part sees the rows as they were before the statement: history takes the old version from there.
    parts = [
        f"next_rows AS MATERIALIZED ({places.rows((*_HEAD, _REPLACES, *_CONTENT, _WORDS), single)})",
        "next_moved AS (UPDATE resource r SET version = new.version, updated_at = new.updated_at,"
        " deleted = new.deleted, patient_key = new.patient_key, digest = new.digest, present = new.present"
        " FROM next_rows new WHERE r.pid = new.pid AND r.version = new.replaces RETURNING r.pid)",
        f"next_history AS (INSERT INTO resource_history (pid, {old}, clear, {content})"
        f" SELECT r.pid, {', '.join(f'r.{name}' for name in old.split(', '))}, c.clear,"
        f" {', '.join(f'c.{name}' for name in content.split(', '))}"
        " FROM next_moved m JOIN resource r ON r.pid = m.pid JOIN resource_content c ON c.pid = m.pid"
        " ON CONFLICT DO NOTHING)",
        "next_content AS (UPDATE resource_content c SET clear = NULL, "
        + ", ".join(f"{name} = new.{name}" for name in content.split(", "))
        + ", words = new.words::smallint[] FROM next_rows new WHERE c.pid = new.pid)",
    ]
    for place in gone:
        table = INDEX_TABLES[place]
        same = " AND ".join(f"i.{name} = new.{name}" for name in (*table.columns, "pid"))
        rows = places.unnest(_of(table))
        parts.append(f"{table.name}_gone AS (DELETE FROM {table.name} i USING {rows} WHERE {same})")
    parts += [_index_insertion(INDEX_TABLES[place], places, "next") for place in come]
    return tuple(parts)


@cache
def _indexing(touched: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    rows = places.rows(("pid bigint", "key bigint", "present bytea", _WORDS), single=False)
    parts = [
        f"index_rows AS MATERIALIZED ({rows})",
        "index_head AS (UPDATE resource r SET key = new.key, present = new.present"
        " FROM index_rows new WHERE r.pid = new.pid)",
        "index_words AS (UPDATE resource_content c SET words = new.words::smallint[] FROM index_rows new"
        " WHERE c.pid = new.pid AND c.words IS DISTINCT FROM new.words::smallint[])",
    ]
    parts += [_index_insertion(INDEX_TABLES[place], places, "index") for place in touched]
    return tuple(parts)


def _index_insertion(table: IndexTable, places: _Places, prefix: str) -> str:
    names = ", ".join((*table.columns, "pid"))
    rows = places.unnest(_of(table))
    insertion = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {rows} ON CONFLICT DO NOTHING"
    return f"{prefix}_{table.name} AS ({insertion})"
