"""Stored patients matched again, after the profile, the rules or the thresholds changed.

Each patient is matched as if he arrived now, in the order of the hub's numbers: who is found to be one person is
linked, what is in doubt is flagged, a task without ground is closed, and a link that nothing speaks for any more
becomes a task. Nobody is unlinked. What people decided (must-link, cannot-link, pins) stands, and an update that is
held stays held.

A batch is a commit, with the place to go on from. A dry run does the same behind a savepoint and undoes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import IdentityService, ReviewService, SourcePatient
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.ingest import Ingest, Rematched
from healthsync.infrastructure.database import Database, Transaction, is_deadlock
from healthsync.infrastructure.jobs import Job, JobTable

__all__ = ["KIND", "RematchPatients"]

KIND = "identity-rematch"
"""The kind of its jobs."""

BATCH = 20
_MOST_TRIES = 5
MOST_NAMED = 100
"""Pairs of a kind that the result names; all are counted."""


class _Undone(Exception):
    """Ends a dry run: nothing of it stays."""


class RematchPatients:
    """The flow, and the handler of its jobs."""

    def __init__(
        self,
        *,
        database: Database,
        identity: IdentityService,
        reviews: ReviewService,
        ingest: Ingest,
        audit: AuditService,
        table: JobTable,
    ) -> None:
        self._database, self._identity, self._reviews = database, identity, reviews
        self._ingest, self._audit, self._table = ingest, audit, table

    async def start(self, by: Actor, *, owner: str, dry_run: bool = False, claimed: bool = False) -> Job:
        """A job that matches everybody again. Raises TooManyJobs while one of this owner's is at work."""
        request = {"dry_run": dry_run, "user": by.name, "client": by.client, "roles": list(by.roles)}
        async with self._database.transaction() as tx:
            await self._audit.record(tx, _event(request, Action.EXECUTE, "Patient"))
            return await self._table.add(tx, KIND, owner, request, claimed=claimed, most_unfinished=1)

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Do a job, batch by batch; another worker goes on behind the last."""
        position = job.position or {"after": 0, "done": 0, "total": await self._total()}
        while position["done"] < position["total"]:
            async with self._database.connection() as tx:
                patients = await self._identity.matched_next(tx, position["after"], BATCH)
            if not patients:
                break
            position = {
                "after": patients[-1].patient_key,
                "done": position["done"] + len(patients),
                "total": position["total"],
            }
            await self._batch(job, patients, position)
        return await self._result(job, position["done"])

    async def _total(self) -> int:
        """Whoever comes later is matched by today's rules when he comes."""
        async with self._database.connection() as tx:
            return await self._identity.matched_count(tx)

    async def _batch(self, job: Job, patients: list[SourcePatient], position: Mapping[str, Any]) -> None:
        """One batch, again when it met a registration the other way round."""
        for left in reversed(range(_MOST_TRIES)):
            try:
                async with self._database.transaction() as tx:
                    found = await self._matched(tx, job, patients)
                    await self._reviews.keep_rematched(tx, job.id, _pairs(found))
                    step = f"{position['done']} of {position['total']} patients"
                    await self._table.advance(tx, job, position, step=step, done=len(patients))
                return
            except Exception as problem:
                if not left or not is_deadlock(problem):
                    raise

    async def _matched(self, tx: Transaction, job: Job, patients: list[SourcePatient]) -> list[Rematched]:
        event = _event(job.request, Action.UPDATE, f"Job/{job.id}")
        if not job.request["dry_run"]:
            return await self._ingest.rematch(tx, patients, event)
        found: list[Rematched] = []
        try:
            async with tx.savepoint():
                found = await self._ingest.rematch(tx, patients, event)
                raise _Undone
        except _Undone:
            return found

    async def _result(self, job: Job, done: int) -> dict[str, Any]:
        """Counts, and the first pairs by reference."""
        async with self._database.connection() as tx:
            pairs = await self._reviews.rematched(tx, job.id)
            named = {
                kind: [
                    [f"Patient/{one}", f"Patient/{other}"]
                    for one, other in await self._reviews.rematched_named(tx, job.id, kind, MOST_NAMED)
                ]
                for kind in ("linked", "flagged", "closed")
            }
        linked = [(one, other) for kind, one, other in pairs if kind == "linked"]
        counts = {kind: sum(pair[0] == kind for pair in pairs) for kind in ("flagged", "closed")}
        return {
            "patients": done,
            "linked": _joined(linked),
            **counts,
            "pairs": named,
            "dry_run": job.request["dry_run"],
            "model": self._identity.version,
        }


def _pairs(found: list[Rematched]) -> list[tuple[str, int, int]]:
    return [
        (kind, *place)
        for one in found
        for kind, places in (("linked", one.joined), ("flagged", one.flagged), ("closed", one.closed))
        for place in places
    ]


def _joined(pairs: list[tuple[int, int]]) -> int:
    """How many persons fewer there are when these become one: a dry run finds the third side of a triangle too."""
    leads_to: dict[int, int] = {}

    def first(key: int) -> int:
        while key in leads_to:
            key = leads_to[key]
        return key

    count = 0
    for one, other in pairs:
        lower, higher = sorted((first(one), first(other)))
        if lower != higher:
            leads_to[higher] = lower
            count += 1
    return count


def _event(request: Mapping[str, Any], action: Action, entity: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        interaction="identity-rematch",
        outcome=Outcome.PERMITTED,
        user=request["user"],
        client=request["client"],
        roles=tuple(request["roles"]),
        entities=(entity,),
    )
