"""Indexing what is stored for an added search parameter, and `healthsync reindex` for everything.

    (1) wait      until every process knows the parameter and removes its rows, then until every one writes them
    (2) fill      resources of its types in the order of their numbers: the rows that they lack, in commits of a batch
                  with the place to go on from; who writes meanwhile writes the rows himself
    (3) activate  searches may use it

Steps (1) are those of an index that is built beside its writers (as PostgreSQL's CREATE INDEX CONCURRENTLY); they make
sure that no row outlives its value and none is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from healthsync.domains.search_parameters import AddedParameter, SearchParameterService
from healthsync.exchange.ingest import Ingest
from healthsync.exchange.own_parameters import JOB_KIND as KIND
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import Job, JobTable
from healthsync.standards.fhir.definitions import resource_types

__all__ = ["KIND", "Reindex"]

BATCH = 200
_STEP_PERCENT = 5
_ASK_AGAIN_SECONDS = 0.2


class Reindex:
    """Indexes for a parameter (`Handler` of the kind `reindex`)."""

    def __init__(
        self, *, database: Database, table: JobTable, ingest: Ingest, parameters: SearchParameterService
    ) -> None:
        self._database, self._table, self._ingest, self._parameters = database, table, ingest, parameters

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Index one parameter from the job's position on. A parameter that is dropped meanwhile ends the job."""
        number: int = job.request["number"]
        async with self._database.connection() as tx:
            parameter = await self._parameters.find(tx, number)
        if parameter is None or parameter.round != job.request["round"]:
            return {"state": "dropped"}
        if parameter.state == "active":  # and a worker died before it could say so
            return {"state": "active", "resources": job.done}
        if not await self._ready(parameter):  # (1)
            return {"state": "dropped"}
        types = parameter.facts["base"]
        position = job.position or {"after": 0, "done": 0}
        total = await self._count(types)
        after: int | None = position["after"]
        done: int = position["done"]
        while after is not None:  # (2)
            behind, filled = await self._fill(types, after)
            done += filled
            async with self._database.transaction() as tx:
                await self._parameters.progress(tx, [number], _percent(done, total))
                position = {"after": after if behind is None else behind, "done": done}
                await self._table.advance(tx, job, position, step="fill", done=filled)
            after = behind
        async with self._database.transaction() as tx:  # (3)
            if not await self._parameters.activate(tx, parameter):
                return {"state": "dropped"}
        return {"state": "active", "resources": done}

    async def everything(self, progress: Callable[[int, int], None]) -> int:
        """Add what any resource lacks, and activate every parameter that waits; answers how many resources there are.

        `progress` is told how many of how many are done.
        """
        async with self._database.connection() as tx:
            waiting = await self._parameters.unfinished(tx)
        ready = [parameter for parameter in waiting if await self._ready(parameter)]
        types = sorted(resource_types())
        total, done = await self._count(types), 0
        after: int | None = 0
        while after is not None:
            after, filled = await self._fill(types, after)
            done += filled
            async with self._database.transaction() as tx:
                await self._parameters.progress(tx, [each.number for each in ready], _percent(done, total))
            progress(done, total)
        async with self._database.transaction() as tx:
            for parameter in ready:
                await self._parameters.activate(tx, parameter)
        return done

    async def _ready(self, parameter: AddedParameter) -> bool:
        """Wait until every process knows the parameter, let them write its rows, wait until every one does."""
        await self._settle()
        async with self._database.transaction() as tx:
            if not await self._parameters.begin_indexing(tx, parameter):
                return False
        await self._settle()
        return True

    async def _settle(self) -> None:
        async with self._database.connection() as tx:
            since = await self._parameters.now(tx)
        while True:
            async with self._database.connection() as tx:
                if await self._parameters.is_settled(tx, since):
                    return
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _fill(self, types: Sequence[str], after: int) -> tuple[int | None, int]:
        """A batch; answers the number to go on from (None: it was the last) and how many were done."""
        async with self._database.transaction() as tx:
            behind, filled, busy = await self._ingest.fill_index(tx, types, after=after, count=BATCH)
        for pid in busy:  # one at a time, so that it never waits for one resource while it holds another
            async with self._database.transaction() as tx:
                await self._ingest.fill_index_of(tx, pid)
        return behind, filled + len(busy)

    async def _count(self, types: Sequence[str]) -> int:
        async with self._database.connection() as tx:
            return await self._ingest.count_of(tx, types)


def _percent(done: int, total: int) -> int:
    """In steps, since every step makes each process read the parameters again."""
    return min(done * 100 // total // _STEP_PERCENT * _STEP_PERCENT, 95) if total else 0
