"""Writes that wait for the end of a unit of work, put together into one statement.

A writer makes common table expressions of rows; PostgreSQL carries out all data-modifying ones of a statement, whether
they are referred to or not, on one snapshot. So a resource with its index rows, its audit record and its event are one
round trip and, when nothing else has to be in the transaction, one transaction. Since a writer takes any number of
rows, what several units of work wrote is one statement as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

_PLACE = re.compile(r"\$(\d+)")
_KEPT_STATEMENTS = 500


class Parts(msgspec.Struct, frozen=True):
    """What writes some rows.

    expressions common table expressions, `name AS (…)`; their placeholders count from $1
    parameters  the values of the placeholders
    last        an expression to select at the end: a check that raises, a notification
    """

    expressions: tuple[str, ...]
    parameters: Sequence[Any]
    last: str = ""


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows that go into a table as they are (COPY, binary)."""

    table: str
    columns: Sequence[str]
    records: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """Writes rows of one kind.

    parts     makes the parts of a statement that write all of some rows
    translate turns an error of the whole statement into one of the domain's own; None when it has nothing to say
    timeout   seconds after which the statement counts as failed
    copied    the same rows for COPY, which is cheaper for many of them and takes several round trips; None when the
              writer does more than add rows
    crowded   `parts` for a statement with more than one row of writers that have this: in few forms, since each
              combination of forms is a statement of its own, which is parsed and planned on each connection
    """

    parts: Callable[[Sequence[Any]], Parts]
    translate: Callable[[BaseException], Exception | None] | None = None
    timeout: float | None = None
    copied: Callable[[Sequence[Any]], Iterable[Copied]] | None = None
    crowded: Callable[[Sequence[Any]], Parts] | None = None


LEAST_COPIED = 50
"""Rows of one writer from which on COPY is worth its round trips."""

Waiting = dict[Writer, list[Any]]
"""The rows that wait for each writer."""


def merged(units: Sequence[Waiting]) -> Waiting:
    """The rows of several units of work."""
    together: Waiting = {}
    for unit in units:
        for writer, rows in unit.items():
            together.setdefault(writer, []).extend(rows)
    return together


def divided(waiting: Waiting) -> tuple[list[Copied], Waiting]:
    """What is copied, table by table, and what is left for the statement."""
    many = {
        writer: writer.copied(rows)
        for writer, rows in waiting.items()
        if writer.copied is not None and len(rows) >= LEAST_COPIED
    }
    rest = {writer: rows for writer, rows in waiting.items() if writer not in many}
    return [table for tables in many.values() for table in tables if table.records], rest


def statement(waiting: Waiting) -> tuple[str, list[Any]]:
    """One statement for all that waits, and its parameters."""
    is_crowded = sum(len(rows) for writer, rows in waiting.items() if writer.crowded is not None) > 1
    made = [((is_crowded and writer.crowded) or writer.parts)(rows) for writer, rows in waiting.items()]
    made.sort(key=lambda parts: parts.expressions)  # they all see one snapshot: any order means the same
    text = _text(tuple((parts.expressions, parts.last, len(parts.parameters)) for parts in made))
    return text, [value for parts in made for value in parts.parameters]


def timeout(waiting: Waiting) -> float | None:
    """The shortest time that a writer gives the statement."""
    return min((writer.timeout for writer in waiting if writer.timeout is not None), default=None)


def translated(waiting: Waiting, error: BaseException) -> BaseException:
    """What the first writer that knows the error calls it."""
    for writer in waiting:
        if writer.translate is not None and (known := writer.translate(error)) is not None:
            return known
    return error


def size(waiting: Waiting) -> int:
    """How many rows wait."""
    return sum(map(len, waiting.values()))


@lru_cache(_KEPT_STATEMENTS)
def _text(made: tuple[tuple[tuple[str, ...], str, int], ...]) -> str:
    parts, last, first = [], [], 0
    for expressions, final, count in made:
        parts += [_moved(text, first) for text in expressions]
        if final:
            last.append(_moved(final, first))
        first += count
    written = f"WITH {', '.join(parts)} " if parts else ""  # a writer may find that its rows come to nothing
    return f"{written}SELECT {', '.join(last) or '1'}"


def _moved(text: str, first: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + first}", text) if first else text
