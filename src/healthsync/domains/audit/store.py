"""Rows of the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby

import asyncpg
import msgspec

from healthsync.domains.audit.merkle import Address
from healthsync.domains.audit.model import AuditRow, MissingRow, TreeHead
from healthsync.errors import Unavailable
from healthsync.infrastructure.database import Database, Parts, Queries, Transaction, Writer

SUBTREE_LEVELS = 8
"""Of the levels of the tree, every eighth is kept (256 leaves, 65,536, …); what lies between is hashed again."""
PAGE = 5000
WRITE_TIMEOUT_SECONDS = 10.0
"""A log that does not take an event in this time counts as unwritable."""
TOGETHER_TIMEOUT_SECONDS = 40.0
"""The same for an event that is written in one statement with thousands of resources."""

_sql = Queries("healthsync.domains.audit")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sequencer stands: the size of the tree, and the order (xid, position) of its last event."""

    tree_size: int
    xid: str
    position: int
    is_from_another_server: bool = False
    """The server has not given out this transaction id yet."""


def insert(tx: Transaction, entries: Sequence[str]) -> None:
    """Append canonical entries, in this order, at the end of the unit of work. Whatever fails that has no name of its
    own is Unavailable then, and `tx` is lost."""
    tx.later(_APPENDING, entries)


async def insert_and_commit(database: Database, entries: Sequence[str]) -> None:
    """Append canonical entries in the next statement of those who write, or in one of their own.

    Raises Unavailable; it may not be known then whether the commit was reached.
    """
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            await database.write({_APPENDING: list(entries)}, lambda: None, {})
    except Exception as fault:  # whatever it is: an access that is not recorded is not made
        raise unwritten(fault) from fault


async def try_sequencer_lock(tx: Transaction) -> bool:
    """Whether this transaction may sequence."""
    return await tx.fetchval(_sql.try_sequencer_lock)


async def place(tx: Transaction) -> Place | None:
    """Where the sequencer stands; None when the row of the last leaf is gone, which only tampering does."""
    row = await tx.fetchrow(_sql.last_leaf)
    if row is None:
        return Place(0, "0", 0)
    return Place(row["leaf_index"] + 1, row["xid"], row["position"], row["ahead"]) if row["xid"] else None


async def unsequenced(tx: Transaction, after: Place, limit: int) -> list[tuple[int, bytes]]:
    """Positions and leaf hashes of the next events."""
    return [tuple(row) for row in await tx.fetch(_sql.unsequenced, after.xid, after.position, limit)]


async def insert_leaves(
    tx: Transaction, first_index: int, positions: Sequence[int], full: Sequence[tuple[Address, bytes]]
) -> None:
    """Append leaves, and those of the full subtrees whose level is kept."""
    await tx.execute(_sql.insert_leaves, first_index, positions)
    kept = [(level, index, hashed) for (level, index), hashed in full if level and level % SUBTREE_LEVELS == 0]
    if kept:
        await tx.execute(_sql.insert_subtrees, *map(list, zip(*kept, strict=True)))


async def hashes(tx: Transaction, addresses: Collection[Address]) -> dict[Address, bytes]:
    """The hashes of full subtrees of kept levels; one that is missing is missing here."""
    found = {}
    for level, group in groupby(sorted(addresses), key=lambda address: address[0]):
        indices = [index for _level, index in group]
        rows = await (tx.fetch(_sql.subtree_hashes, level, indices) if level else tx.fetch(_sql.leaf_hashes, indices))
        found.update({(level, row["index"]): row["hash"] for row in rows})
    return found


async def insert_head(tx: Transaction, head: TreeHead) -> None:
    """Keep a signed head."""
    await tx.execute(_sql.insert_head, *astuple(head))


async def heads_after(tx: Transaction, tree_size: int) -> list[TreeHead]:
    """Heads larger than `tree_size`, smallest first."""
    return [TreeHead(**row) for row in await tx.fetch(_sql.heads_after, tree_size)]


async def last_head(tx: Transaction) -> TreeHead:
    """The largest head; there is one as soon as there is a leaf."""
    row = await tx.fetchrow(_sql.last_head)
    assert row is not None
    return TreeHead(**row)


async def leaf_of_event(tx: Transaction, position: int) -> int | None:
    """The leaf index of an event; None while it is not sequenced."""
    return await tx.fetchval(_sql.leaf_of_event, position)


async def lag(tx: Transaction) -> tuple[int, str | None]:
    """How many events wait for the sequencer, and the `recorded_at` of the oldest."""
    row = await tx.fetchrow(_sql.lag)
    assert row is not None
    return row["events"], row["oldest"]


async def read_isolated(tx: Transaction) -> None:
    """Let every statement of `tx`, of which this must be the first, see one state of the log."""
    await tx.execute(_sql.read_isolated)


async def all_rows(tx: Transaction) -> AsyncIterator[AuditRow | MissingRow]:
    """Every row: the leaves in order, then what is not sequenced."""
    for query, key in ((_sql.sequenced_page, "leaf_index"), (_sql.loose_page, "position")):
        page = await tx.fetch(query, -1, PAGE)
        while page:
            for row in page:
                yield _row(row) if row["entry"] is not None else MissingRow(row["position"], row["leaf_index"])
            page = await tx.fetch(query, page[-1][key], PAGE)


async def search(
    tx: Transaction,
    *,
    patient: str | None,
    since: str | None,
    until: str | None,
    agent: str | None,
    before: int | None,
    count: int,
) -> list[AuditRow]:
    """Rows that meet every condition that is given, youngest first."""
    conditions = (since, until, agent, before, count)
    if patient is None:
        return [_row(row) for row in await tx.fetch(_sql.search_all, *conditions)]
    return [_row(row) for row in await tx.fetch(_sql.search_patient, patient, *conditions)]


def _row(row: asyncpg.Record) -> AuditRow:
    entry = msgspec.json.decode(row["entry"])
    return AuditRow(row["position"], row["xid"], entry, row["leaf_hash"], row["leaf_index"])


def unwritten(error: BaseException) -> Unavailable:
    """Whatever keeps the log from being written; the message carries a class name and no value."""
    return Unavailable(f"the audit log cannot be written ({type(error).__name__})")


def _appended(entries: Sequence[str]) -> Parts:
    return Parts((f"audit_appended AS ({_sql.insert_events})",), [list(entries)])


_APPENDING = Writer(_appended, unwritten, TOGETHER_TIMEOUT_SECONDS)
