"""The search index and the keys of the master patient index, made anew from the resources: for what an older version
stored, before anyone searches it."""

from __future__ import annotations

from collections.abc import Callable

from healthsync.exchange.ingest import Ingest
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger

_BATCH = 500

_log = logger(__name__)


async def rebuild_index(database: Database, ingest: Ingest, progress: Callable[[int], None] | None = None) -> int:
    """Index every resource that has no index rows yet; answers how many there were.

    Each batch is a commit of its own, so that it goes on where it was stopped; several hubs may do it together.
    """
    total = 0
    while True:
        async with database.transaction() as tx:
            count = await ingest.reindex(tx, _BATCH)
        if not count:
            break
        total += count
        if progress is not None:
            progress(total)
    if total:
        _log.info("the search index was made anew", count=total)
    await _rekey(database, ingest)
    return total


async def _rekey(database: Database, ingest: Ingest) -> None:
    total = 0
    while True:
        async with database.transaction() as tx:
            count = await ingest.rekey(tx, _BATCH)
        if not count:
            break
        total += count
    if total:
        _log.info("the keys of the master patient index were made anew", count=total)
