"""Deciding by what is not held: a unit of work looks, decides, and makes sure at its end that it still stands.

To hold something from the first look on costs a transaction of its own for each unit, and a connection meanwhile. Where
hardly anybody else changes the same, it is cheaper to look without, to hold what was looked at when the rows are
written, and to do it all again, holding, should it have changed. So several units share their looks and their commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from healthsync.infrastructure.database.deferred import Parts, Waiting, Writer

if TYPE_CHECKING:
    from healthsync.infrastructure.database.pool import Transaction

_CHANGED = "HS002"
"""What `outdated()` raises (migration 0034)."""


class Outdated(Exception):
    """What a unit of work decided by has changed before it wrote. Nothing was written: it is to be done again without
    `repeats`, so that it holds what it looks at."""


class Guard:
    """What units of work decided by, as rows.

    hold    holds what rows name until the end of the transaction, all in one order. What several look at may be the
            same: of those the first alone may go on, and the places of the others are the answer; None holds nothing
    changed a condition, with its parameters, that is true when for any of some rows something is not as it was. The
            statement that writes asks it: it sees what was committed before everything was held
    """

    def __init__(
        self,
        changed: Callable[[Sequence[Any]], tuple[str, Sequence[Any]]],
        hold: Callable[[Transaction, Sequence[Any]], Awaitable[set[int]]] | None = None,
    ) -> None:
        self.hold = hold

        def check(rows: Sequence[Any]) -> Parts:
            condition, parameters = changed(rows)
            return Parts((), parameters, f"CASE WHEN {condition} THEN outdated() END")

        self.check = Writer(check, _translated)
        """Writes nothing, and fails the statement in which something has changed."""


Guarded = dict[Guard, list[Any]]
"""What a unit of work decided by, for each guard."""


async def hold(tx: Transaction, units: Sequence[Guarded]) -> set[int]:
    """Hold what units decided by; the places of those that must give way to one before them."""
    gone: set[int] = set()
    for guard in dict.fromkeys(guard for unit in units for guard in unit):
        if guard.hold is not None:
            rows = [(at, row) for at, unit in enumerate(units) for row in unit.get(guard, ())]
            gone |= {rows[place][0] for place in await guard.hold(tx, [row for _, row in rows])}
    return gone


def checks(guarded: Guarded) -> Waiting:
    """What asks whether all that is held is as it was."""
    return {guard.check: rows for guard, rows in guarded.items()}


def _translated(error: BaseException) -> Exception | None:
    return Outdated() if getattr(error, "sqlstate", None) == _CHANGED else None
