"""Writes that wait for the end of a unit of work, put together into one statement.

Each is a list of common table expressions; PostgreSQL carries out all data-modifying ones of a statement, whether they
are referred to or not, on one snapshot. So a resource with its index rows, its audit record and its event are one round
trip and, when nothing else has to be in the transaction, one transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_PLACE = re.compile(r"\$(\d+)")
_KEPT_STATEMENTS = 500


@dataclass(frozen=True, slots=True)
class Later:
    """A write that waits.

    parts      common table expressions, `name AS (…)`; their placeholders count from $1
    parameters the values of the placeholders
    last       an expression to select at the end: a check that raises, a notification
    translate  turns an error of the whole statement into one of the domain's own; None when it has nothing to say
    timeout    seconds after which the statement counts as failed
    """

    parts: tuple[str, ...]
    parameters: Sequence[Any]
    last: str = ""
    translate: Callable[[BaseException], Exception | None] | None = None
    timeout: float | None = None


def groups(waiting: Sequence[Later]) -> list[list[Later]]:
    """The writes in their order, in groups that can be one statement: a name may stand in it once."""
    found: list[list[Later]] = []
    taken: set[str] = set()
    for write in waiting:
        names = {part.partition(" ")[0] for part in write.parts}
        if not found or names & taken:
            found.append([])
            taken = set()
        found[-1].append(write)
        taken |= names
    return found


def together(group: Sequence[Later]) -> tuple[str, list[Any]]:
    """One statement, and its parameters."""
    parameters = [value for write in group for value in write.parameters]
    return _statement(tuple((write.parts, write.last, len(write.parameters)) for write in group)), parameters


def timeout(group: Sequence[Later]) -> float | None:
    """The shortest time that a write of the group gives the statement."""
    return min((write.timeout for write in group if write.timeout is not None), default=None)


def translated(group: Sequence[Later], error: BaseException) -> BaseException:
    """What the first write that knows the error calls it."""
    for write in group:
        if write.translate is not None and (known := write.translate(error)) is not None:
            return known
    return error


@lru_cache(_KEPT_STATEMENTS)
def _statement(group: tuple[tuple[tuple[str, ...], str, int], ...]) -> str:
    parts, last, first = [], [], 0
    for texts, final, count in group:
        parts += [_moved(text, first) for text in texts]
        if final:
            last.append(_moved(final, first))
        first += count
    return f"WITH {', '.join(parts)} SELECT {', '.join(last) or '1'}"


def _moved(text: str, first: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + first}", text) if first else text
