"""What writes resources: new ones, new versions, and index rows for those that have none.

Each is put together from the tables that a change really touches, because PostgreSQL pays for every part of a statement
whether it has rows or not, and waits for the end of the unit of work (`infrastructure.database.deferred`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

from healthsync.domains.records.errors import VersionConflict
from healthsync.domains.records.index import EMPTY, IndexRows
from healthsync.domains.records.model import Change
from healthsync.infrastructure.database import Copied, Parts, Writer
from healthsync.standards.fhir import dates


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

_MOVED = (
    "version int",
    "updated_at timestamptz",
    "patient_key int",
    "deleted boolean",
    "digest bytea",
    "present bytea",
)
"""What a new version changes of its head."""
_HEAD = ("pid int", "key bigint", "resource_type text", "id text", *_MOVED)
_NEXT = ("pid int", "replaces int", *_MOVED)
_SENT_AS_THEY_ARE = frozenset({"text", "bytea"})
_CONTENT = ("packed bytea", "identity bytea", "narrative bytea", "key_scope text", "key_version int")
_WORDS = "words text"
"""The text of an array, since arrays of different length cannot be sent as one; none for no words."""


def _inserted(changes: Sequence[Change], *, alone: bool) -> Parts:
    parameters = _sent((*_HEAD, *_CONTENT, _WORDS), [*_heads(changes), *_contents(changes)], alone)
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


def _succeeded(changes: Sequence[Change], *, alone: bool) -> Parts:
    columns = [[c.pid for c in changes], [c.replaces for c in changes], *_moved(changes), *_contents(changes)]
    parameters = _sent((*_NEXT, *_CONTENT, _WORDS), columns, alone)
    gone = _add_rows(parameters, ((c.pid, c.index_before, c.index) for c in changes), alone)
    come = _add_rows(parameters, ((c.pid, c.index, c.index_before) for c in changes), alone)
    parts = _succession(alone, gone, come)
    return Parts(parts, [*parameters, len(changes)], _expected(len(parameters) + 1))


def _indexed(rows: Sequence[tuple[int, int, IndexRows]]) -> Parts:
    parameters: list[Any] = [
        _array("int", [pid for pid, _, _ in rows]),
        _array("bigint", [key for _, key, _ in rows]),
        [index.present for _, _, index in rows],
        [_words(index) for _, _, index in rows],
    ]
    touched = _add_rows(parameters, ((pid, index, EMPTY) for pid, _, index in rows), False)
    return Parts(_indexing(touched), parameters)


def _add_rows(parameters: list[Any], pairs: Iterable[tuple[int, IndexRows, IndexRows]], alone: bool) -> tuple[int, ...]:
    """Add to `parameters` the index rows that stand in the first of each pair and not in the second; answers the tables
    that a statement names: of a single resource those that it touches, else all, so that there are few statements. The
    rows of several have their pids beside them."""
    several, named = list(pairs), []
    for place, table in enumerate(INDEX_TABLES):
        rows = [
            row if alone else (*row, pid) for pid, one, other in several for row in table.rows(one) - table.rows(other)
        ]
        if rows or not alone:
            named.append(place)
            parameters += _columns(table.types if alone else (*table.types, "int"), rows)
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


INSERTION = Writer(
    lambda changes: _inserted(changes, alone=len(changes) == 1),
    _conflict,
    copied=_copied,
    crowded=partial(_inserted, alone=False),
)
"""Writes changes that are new resources, with content and index rows."""
SUCCESSION = Writer(
    lambda changes: _succeeded(changes, alone=len(changes) == 1), _conflict, crowded=partial(_succeeded, alone=False)
)
"""Writes changes that are new versions: the old ones go to history, index rows change by their difference. The
statement fails when one was no longer at the version that its change replaces."""
INDEXING = Writer(_indexed)
"""Writes key and index rows for resources, (pid, key, rows), that have none."""


def _names(columns: Iterable[str]) -> list[str]:
    return [column.split(" ")[0] for column in columns]


def _sent(names: Sequence[str], columns: _Columns, alone: bool) -> list[Any]:
    """Columns as they are sent: a single row goes as plain values, which cost less than arrays of one."""
    if alone:
        return [column[0] for column in columns]
    return [_array(name.split(" ")[1], column) for name, column in zip(names, columns, strict=True)]


def _heads(changes: Sequence[Change]) -> _Columns:
    return [
        [c.pid for c in changes],
        [c.key for c in changes],
        [c.resource_type for c in changes],
        [c.id for c in changes],
        *_moved(changes),
    ]


def _moved(changes: Sequence[Change]) -> _Columns:
    return [
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


def _columns(kinds: Sequence[str], rows: list[tuple[Any, ...]]) -> Sequence[Any]:
    if not rows:
        return _no_rows(tuple(kinds))
    # In the order of the index: neighbours are written together.
    columns = zip(*sorted(rows), strict=True)
    return [_array(kind, column) for kind, column in zip(kinds, columns, strict=True)]


@cache
def _no_rows(kinds: tuple[str, ...]) -> Sequence[Any]:
    return tuple(_array(kind, ()) for kind in kinds)


def _array(kind: str, column: Iterable[Any]) -> Any:
    """A column as it is sent. Arrays of numbers and times go as text: the driver looks at each element of others three
    times before it writes it."""
    if kind in _SENT_AS_THEY_ARE:
        return list(column)
    written = _instant if kind == "timestamptz" else repr
    return "{" + ",".join(["NULL" if each is None else written(each) for each in column]) + "}"


def _instant(time: datetime) -> str:
    """As the driver writes times where rows are copied: what has no bound is infinite. Rows are deleted by what stands
    in them."""
    if time == dates.END:
        return "infinity"
    return "-infinity" if time == dates.BEGINNING else time.isoformat()


def _words(index: IndexRows) -> str | None:
    return "{" + ",".join(map(str, index.words)) + "}" if index.words else None


@dataclass(frozen=True, slots=True)
class _Rows:
    """The heads and contents that a statement writes.

    values  what stands for each column
    source  where those values come from; empty for a single row, whose values are the parameters themselves: a common
            table expression of one row would cost as much as writing it
    parts   the expression that `source` names
    """

    values: dict[str, str]
    source: str = ""
    parts: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        return f" FROM {self.source}" if self.source else ""

    def inserted(self, table: str, columns: Sequence[str]) -> str:
        names = [column.split(" ")[0] for column in columns]
        values = ", ".join(self.values[name] for name in names)
        return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values}{self.origin}"

    def assigned(self, columns: Sequence[str]) -> str:
        names = [column.split(" ")[0] for column in columns]
        return ", ".join(f"{name} = {self.values[name]}" for name in names)


class _Places:
    """Numbers the parameters of a statement in the order in which they are sent."""

    def __init__(self) -> None:
        self._next = 1

    def unnest(self, columns: Sequence[str], pid: str | None = None) -> str:
        """`(SELECT unnest($1::text::bigint[]) AS pid, …) AS new` of columns written `name type`, as `_array` sends
        them, all of one `pid` where it is given. (As an item of FROM, unnest would put each column aside before the
        first row is read.)"""
        named, first = [column.split(" ") for column in columns], self._next
        self._next += len(columns)
        lists = ", ".join(
            f"unnest(${place}::{kind if kind in _SENT_AS_THEY_ARE else f'text::{kind}'}[]) AS {name}"
            for place, (name, kind) in enumerate(named, start=first)
        )
        return f"(SELECT {lists}{f', {pid} AS pid' if pid else ''}) AS new"

    def rows(self, name: str, columns: Sequence[str], single: bool) -> _Rows:
        """One row of values, or the rows of arrays, in an expression of that name."""
        named = [column.split(" ") for column in columns]
        if not single:
            values = {column: f"new.{column}" for column, _ in named}
            parts = (f"{name} AS MATERIALIZED (SELECT * FROM {self.unnest(columns)})",)
            rows = _Rows(values, f"{name} new", parts)
        else:
            rows = _Rows({column: f"${self._next + place}::{kind}" for place, (column, kind) in enumerate(named)})
            self._next += len(columns)
        rows.values["words"] += "::smallint[]"
        return rows


@cache
def _insertion(single: bool, touched: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    rows = places.rows("new_rows", (*_HEAD, *_CONTENT, _WORDS), single)
    parts = [
        *rows.parts,
        f"new_head AS ({rows.inserted('resource', _HEAD)})",
        f"new_content AS ({rows.inserted('resource_content', ('pid', *_CONTENT, 'words'))})",
    ]
    parts += [_index_insertion(INDEX_TABLES[place], places, "new", rows if single else None) for place in touched]
    return tuple(parts)


@cache
def _succession(single: bool, gone: tuple[int, ...], come: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    rows = places.rows("next_rows", (*_NEXT, *_CONTENT, _WORDS), single)
    pid, replaces = rows.values["pid"], rows.values["replaces"]
    old = ["resource_type", "version", "updated_at", "deleted", "patient_key"]
    content = ["clear", *(column.split(" ")[0] for column in _CONTENT)]
    # Every part sees the rows as they were before the statement: history takes the old version from there.
    parts = [
        *rows.parts,
        f"next_moved AS (UPDATE resource r SET {rows.assigned(_MOVED)}{rows.origin}"
        f" WHERE r.pid = {pid} AND r.version = {replaces} RETURNING r.pid)",
        f"next_history AS (INSERT INTO resource_history (pid, {', '.join((*old, *content))})"
        f" SELECT r.pid, {', '.join((*(f'r.{name}' for name in old), *(f'c.{name}' for name in content)))}"
        f" FROM {rows.source + ', ' if rows.source else ''}resource r JOIN resource_content c ON c.pid = r.pid"
        f" WHERE r.pid = {pid} AND r.version = {replaces} ON CONFLICT DO NOTHING)",
        f"next_content AS (UPDATE resource_content c SET clear = NULL, {rows.assigned((*_CONTENT, 'words'))}"
        f"{rows.origin} WHERE c.pid = {pid})",
    ]
    parts += [_index_deletion(INDEX_TABLES[place], places, rows if single else None) for place in gone]
    parts += [_index_insertion(INDEX_TABLES[place], places, "next", rows if single else None) for place in come]
    return tuple(parts)


@cache
def _indexing(touched: tuple[int, ...]) -> tuple[str, ...]:
    places = _Places()
    rows = places.rows("index_rows", ("pid int", "key bigint", "present bytea", _WORDS), single=False)
    parts = [
        *rows.parts,
        f"index_head AS (UPDATE resource r SET {rows.assigned(('key', 'present'))}{rows.origin} WHERE r.pid = new.pid)",
        f"index_words AS (UPDATE resource_content c SET {rows.assigned(('words',))}{rows.origin}"
        f" WHERE c.pid = new.pid AND c.words IS DISTINCT FROM {rows.values['words']})",
    ]
    parts += [_index_insertion(INDEX_TABLES[place], places, "index", None) for place in touched]
    return tuple(parts)


def _index_deletion(table: IndexTable, places: _Places, of: _Rows | None) -> str:
    """Of one resource, or of those whose pids stand beside the rows."""
    same = " AND ".join(f"i.{name} = new.{name}" for name in (*table.columns, "pid"))
    return f"{table.name}_gone AS (DELETE FROM {table.name} i USING {_index_rows(table, places, of)} WHERE {same})"


def _index_insertion(table: IndexTable, places: _Places, prefix: str, of: _Rows | None) -> str:
    names = ", ".join((*table.columns, "pid"))
    insertion = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {_index_rows(table, places, of)}"
    # A new resource has no rows that a new one could meet; to look for them would be half the price of the row.
    met = "" if prefix == "new" else " ON CONFLICT DO NOTHING"
    return f"{prefix}_{table.name} AS ({insertion}{met})"


def _index_rows(table: IndexTable, places: _Places, of: _Rows | None) -> str:
    columns = [f"{name} {kind}" for name, kind in zip(table.columns, table.types, strict=True)]
    return places.unnest(columns, of.values["pid"]) if of else places.unnest([*columns, "pid int"])


def _expected(place: int) -> str:
    """The function is called only to raise: a call costs as much as the update of a row."""
    count = f"${place}::int"
    return f"(SELECT CASE WHEN count(*) <> {count} THEN expect_rows(count(*), {count}) END FROM next_moved)"
