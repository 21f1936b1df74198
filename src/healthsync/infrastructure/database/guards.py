"""Deciding by what is not held: a unit of work looks, decides, and makes sure at its end that it still stands.

To hold something from the first look on costs a transaction of its own for each unit, and a connection meanwhile. Where
hardly anybody else changes the same, it is cheaper to look without, to hold what was looked at when the rows are
written, and to do it all again, holding, should it have changed. So several units share their looks and their commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from healthsync.infrastructure.database.pool import Transaction


class Outdated(Exception):
    """What a unit of work decided by has changed before it wrote. Nothing was written: it is to be done again without
    `repeats`, so that it holds what it looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Holds what rows name until the end of the transaction, all in one order, and tells of each whether it is as it
    was. What several units look at may be the same: of those the first alone may hear that it is."""

    hold: Callable[[Transaction, Sequence[Any]], Awaitable[Sequence[bool]]]


Guarded = dict[Guard, list[Any]]
"""What a unit of work decided by, for each guard."""


async def outdated(tx: Transaction, units: Sequence[Guarded]) -> set[int]:
    """The places of the units of which something has changed; what the others decided by is held now."""
    gone: set[int] = set()
    for guard in dict.fromkeys(guard for unit in units for guard in unit):
        rows = [(at, row) for at, unit in enumerate(units) for row in unit.get(guard, ())]
        stands = await guard.hold(tx, [row for _, row in rows])
        gone |= {at for (at, _), one in zip(rows, stands, strict=True) if not one}
    return gone
