"""Behind the log: gives committed events their places in the tree, signs heads and publishes them.

Chaining inside the access transaction costs a factor of ten to fifteen, so the tree is built here, a second later.
What was committed and is not yet under a published head is the exposure; `lag` measures it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from healthsync.domains.audit import heads, merkle, store
from healthsync.domains.audit.errors import HistoryContradicted
from healthsync.domains.audit.merkle import Address, Range
from healthsync.domains.audit.model import TreeHead
from healthsync.domains.audit.publication import HeadsFile
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.telemetry import logger, metrics

BATCH = 5000
_log = logger(__name__)
_lag_events = metrics.gauge("healthsync_audit_lag_events", "Audit events that are committed and not yet in the tree")
_lag_seconds = metrics.gauge(
    "healthsync_audit_lag_seconds", "Age of the oldest audit event that is not yet in the tree"
)
_tree_size = metrics.gauge("healthsync_audit_tree_size", "Leaves of the audit tree under the last signed head")


class Sequencer:
    """Builds the tree of one hub. Any number of processes may run one; a database lock keeps them in turn."""

    def __init__(self, database: Database, clock: Clock, *, signing_key: bytes, hub_id: str, heads_file: Path) -> None:
        self._database = database
        self._clock = clock
        self._signing_key = signing_key
        self._hub_id = hub_id
        self._published = HeadsFile(heads_file)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Sequence now instead of at the end of the pause."""
        self._wake.set()

    async def run(self, pause_seconds: float = 1.0) -> None:
        """Sequence every `pause_seconds` until cancelled. A failure is logged, shows in the lag, and is tried again."""
        while True:
            self._wake.clear()
            try:
                await self.catch_up()
            except Exception:  # whatever it is, events are still recorded and must not stay outside the tree
                _log.exception("the audit log could not be sequenced")
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def catch_up(self) -> None:
        """Sequence, sign and publish all that is committed; afterwards the metrics tell the lag.

        Raises HistoryContradicted when the database no longer holds what was published, Unavailable when it is away.
        """
        try:
            while await self.step() == BATCH:
                pass
        except HistoryContradicted:
            await self._measure()
            raise
        await self._measure()

    async def step(self) -> int:
        """Sequence at most BATCH events; returns how many. None are when another process is at it."""
        async with self._database.transaction() as tx:
            if not await store.try_sequencer_lock(tx):
                return 0
            # (1) The published history must still be there: never sign a second one over it.
            place = await self._place(tx)
            await self._assert_published_history(tx, place.tree_size)
            # (2) Only events below the horizon: what commits later than they did also sorts after them.
            events = await store.unsequenced(tx, place, BATCH)
            if events:
                # (3) Leaves, full subtrees and the head that covers them commit together.
                await store.insert_head(tx, await self._grow(tx, place.tree_size, events))
        # (4) Published only after the commit: a head that was rolled back must not be known to anyone.
        await self._publish()
        return len(events)

    async def _place(self, tx: Transaction) -> store.Place:
        place = await store.place(tx)
        if place is None:
            raise HistoryContradicted("the event of the last leaf is gone; run: healthsync audit verify")
        if place.is_from_another_server:
            raise HistoryContradicted(
                "the log was loaded from a dump into a server with lower transaction ids, on which its order depends; "
                "restore a physical backup, or raise the ids of this server with pg_resetwal --epoch"
            )
        return place

    async def _assert_published_history(self, tx: Transaction, tree_size: int) -> None:
        last = self._published.last()
        if last is None:
            return
        if last.tree_size > tree_size or await root_at(tx, last.tree_size) != last.root_hash:
            raise HistoryContradicted(
                f"the database does not hold the log that was published with {last.tree_size} leaves; it was restored "
                "from a backup, or changed: run `healthsync audit verify`, and restore the younger state"
            )

    async def _grow(self, tx: Transaction, tree_size: int, events: list[tuple[int, bytes]]) -> TreeHead:
        hashes = await _prove(tx, [_leaves(address) for address in merkle.subtrees((0, tree_size))])
        frontier = merkle.Frontier(tree_size, hashes)
        full = [completed for _position, leaf in events for completed in frontier.append(leaf)]
        await store.insert_leaves(tx, tree_size, [position for position, _leaf in events], full)
        return heads.sign(self._signing_key, self._hub_id, frontier.size, frontier.root(), self._clock.now())

    async def _publish(self) -> None:
        last = self._published.last()
        async with self._database.connection() as tx:
            new = await store.heads_after(tx, last.tree_size if last else 0)
        if new:
            await asyncio.to_thread(self._published.append, new)
            _tree_size.set(new[-1].tree_size)

    async def _measure(self) -> None:
        async with self._database.connection() as tx:
            events, oldest = await store.lag(tx)
        _lag_events.set(events)
        waited = self._clock.now() - datetime.fromisoformat(oldest) if oldest else None
        _lag_seconds.set(waited.total_seconds() if waited else 0)


async def root_at(tx: Transaction, size: int) -> bytes:
    """Root of the tree over the first `size` leaves, from what is stored."""
    return (await _prove(tx, [(0, size)]))[0]


async def prove_inclusion(tx: Transaction, leaf_index: int, size: int) -> list[bytes]:
    """The hashes that prove a leaf under the head of `size` leaves."""
    return await _prove(tx, merkle.inclusion_ranges(leaf_index, size))


async def prove_consistency(tx: Transaction, old: int, new: int) -> list[bytes]:
    """The hashes that prove that the log of `new` leaves begins with that of `old`."""
    return await _prove(tx, merkle.consistency_ranges(old, new))


def _leaves(address: Address) -> Range:
    level, index = address
    return index << level, (index + 1) << level


async def _prove(tx: Transaction, ranges: list[Range]) -> list[bytes]:
    """Hashes of ranges: loads the kept subtrees under them, and hashes upwards."""
    wanted = [address for leaves in ranges for address in merkle.subtrees(leaves)]
    loaded = await store.hashes(tx, {kept for address in wanted for kept in _kept_below(address)})

    def subtree(address: Address) -> bytes:
        try:
            return merkle.root(loaded[kept] for kept in _kept_below(address))
        except KeyError:
            raise HistoryContradicted("leaves of the audit log are gone; run: healthsync audit verify") from None

    return merkle.prove(ranges, subtree)


def _kept_below(address: Address) -> list[Address]:
    """The subtrees of the next lower kept level that make up a full subtree."""
    level, index = address
    height = level % store.SUBTREE_LEVELS
    return [(level - height, (index << height) + place) for place in range(1 << height)]
