"""The asynchronous-job pattern: 202 and an address, progress, cancelling, results, a webhook at the end.

A kind of long work is a `Handler`. Its flow adds a job and answers at once; a worker runs it, and keeps where it stands
in the commit of what it does, so that another worker goes on from there when this one dies. Only the client that asked
for a job can see it, and to everyone else it does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from msgspec import structs

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import HealthSyncError, NotFound, Unavailable
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import ClaimLost, DeliverNotices, Job, JobFile, JobState, JobTable
from healthsync.infrastructure.objects import Objects, open_lines
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.fhir import json
from healthsync.standards.fhir.outcome import Issue, operation_outcome

MOST_ATTEMPTS = 5
"""Workers that may die at a job, or lose the database during it, before it is given up."""
OPERATOR = "operator"
"""The owner of jobs that are started on the data folder."""

_log = logger(__name__)
_ended = metrics.counter("healthsync_jobs_ended", "Jobs that came to an end, by kind and state.", ("kind", "state"))
_NOT_FOUND = "there is no such job, or it is not yours"


class Handler(Protocol):
    """One kind of long work."""

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Do the work from `job.position` on and return the result.

        Raises ClaimLost when the job is no longer this worker's, a HealthSyncError when it cannot be done.
        """
        ...


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job with its files, as its owner sees it."""

    job: Job
    files: Sequence[JobFile]
    issue_count: int


class Jobs:
    """Jobs of clients, and what workers do with them."""

    def __init__(
        self,
        *,
        database: Database,
        table: JobTable,
        objects: Objects,
        audit: AuditService,
        disclose: Disclose,
        roles: RolePolicy,
        handlers: Mapping[str, Handler],
        elsewhere: Collection[str],
        notices: DeliverNotices,
    ) -> None:
        """`elsewhere`: kinds that no worker takes, because whoever starts one runs it."""
        self._database, self.table, self._objects, self._audit = database, table, objects, audit
        self._disclose, self._roles, self._handlers, self._notices = disclose, roles, handlers, notices
        self._claimable = sorted(handlers.keys() - set(elsewhere))

    # What clients do.

    async def show(self, requester: Requester, id_: str) -> JobReport:
        """A job and what came of it. Raises NotFound for another client's, and for one whose results are gone."""
        async with self._database.connection() as tx:
            job = await self._own(tx, requester, id_)
            return JobReport(job, await self.table.files(tx, job), await self.table.issue_count(tx, job))

    async def listed(self, requester: Requester) -> list[Job]:
        """The client's newest jobs."""
        async with self._database.connection() as tx:
            return await self.table.listed(tx, requester.client_id)

    async def cancel(self, requester: Requester, id_: str) -> None:
        """End a job, or give up its results; its files go at once. Raises NotFound."""
        async with self._database.transaction() as tx:
            job = await self._own(tx, requester, id_)
            if not await self.table.cancel(tx, job.id):
                raise NotFound(_NOT_FOUND)
            event = audit_event(requester, Action.DELETE, "cancel-job", Outcome.PERMITTED, [reference(job)])
            await self._audit.record(tx, event)
        await self.purge(job.id)

    async def fetch(
        self, requester: Requester, id_: str, number: int, *, compressed: bool
    ) -> tuple[JobFile, AsyncIterator[bytes]]:
        """A file of a completed job: NDJSON, or the gzip stream that holds it.

        (1) only the client that asked for the job; (2) its roles still allow reading the type; (3) every patient whose
        data lies in the file still consents to the purpose of the job, or the file is withheld whole; (4) the event is
        committed before the first byte. Raises NotFound, which does not tell these apart; the audit log does.
        """
        job, file = await self._file(requester, id_, number)  # (1)
        if job is None or file is None:
            await self._refuse(requester, "Job", "unknown", id_)
            raise NotFound("there is no such file, or it is not yours")
        asker = structs.replace(requester, purpose_of_use=job.request["requester"]["purpose_of_use"])
        if not granted(self._roles, requester, Interaction.READ, file.resource_type):  # (2)
            await self._refuse(asker, reference(job), "role")
            raise NotFound("there is no such file, or it is not yours")
        if await self._disclose.withholds(asker, file.patient_keys):  # (3)
            await self._refuse(asker, reference(job), "consent")
            raise NotFound("this file may no longer be shown; start the export again")
        await self._permit(asker, job, f"{file.resource_type}")  # (4)
        data = self._objects.get(file.object)
        return file, open_lines(job.key, file.object, data, compressed=compressed)

    async def errors(self, requester: Requester, id_: str) -> AsyncIterator[bytes]:
        """What went wrong with single resources: an OperationOutcome a line, without values. Raises NotFound."""
        async with self._database.connection() as tx:
            job = await self._own(tx, requester, id_)
        await self._permit(requester, job, "OperationOutcome")
        return self._error_lines(job)

    # What operators do.

    async def overview(self, limit: int) -> list[Job]:
        """The newest jobs of everyone."""
        async with self._database.connection() as tx:
            return await self.table.listed(tx, limit=limit)

    async def inspect(self, id_: str) -> JobReport:
        """Any job. Raises NotFound."""
        async with self._database.connection() as tx:
            job = await self.table.find(tx, id_of(id_))
            if job is None:
                raise NotFound(_NOT_FOUND)
            return JobReport(job, await self.table.files(tx, job), await self.table.issue_count(tx, job))

    async def stop(self, id_: str, operator: str) -> None:
        """End any job, or remove its results. Raises NotFound."""
        async with self._database.transaction() as tx:
            job = await self.table.find(tx, id_of(id_))
            if job is None or not await self.table.cancel(tx, job.id):
                raise NotFound("there is no such job, or it was cancelled already")
            event = AuditEvent(
                action=Action.DELETE,
                interaction="cancel-job",
                outcome=Outcome.PERMITTED,
                user=operator,
                entities=(reference(job),),
            )
            await self._audit.record(tx, event)
        await self.purge(job.id)

    def webhook_secret(self, client: str) -> str:
        """The secret by which a client knows that a webhook call is this hub's."""
        return self._notices.secret_of(client)

    # What workers do.

    async def run_next(self) -> bool:
        """Run the next job to its end; False when none waits."""
        job = await self.table.claim(self._claimable)
        if job is None:
            return False
        await self.run(job)
        return True

    async def run(self, job: Job) -> None:
        """Run a claimed job. When the caller is cancelled the job goes back, and another worker goes on with it."""
        if job.attempts > MOST_ATTEMPTS:
            await self._fail(job, "transient", f"given up after {MOST_ATTEMPTS} attempts; see the hub's log")
            return
        work = asyncio.ensure_future(self._handlers[job.kind](job))
        alive = asyncio.ensure_future(self._keep_claim(job))
        try:
            await asyncio.wait([work, alive], return_when=asyncio.FIRST_COMPLETED)
        finally:
            alive.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
                await self.table.release(job)  # nothing to give back when the claim was lost
        if not work.cancelled():
            try:
                await self._settle(job, work)
            except ClaimLost:
                _log.info("a job is no longer this worker's", kind=job.kind)

    async def purge(self, only: UUID | None = None) -> int:
        """Remove what is past its time, or wanted no longer, with its files."""
        async with self._database.transaction() as tx:
            return await self.table.purge(tx, self._objects.delete, only)

    async def tidy(self) -> None:
        """Call the webhooks that are due and remove what is past its time."""
        await self._notices()
        await self.purge()

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self._notices.close()

    async def _keep_claim(self, job: Job) -> None:
        """Give signs of life until the job is no longer ours."""
        while True:
            await asyncio.sleep(self.table.lease.total_seconds() / 3)
            try:
                if not await self.table.heartbeat(job):
                    return
            except Unavailable:
                continue  # if it lasts, the claim is lost, and the table says so

    async def _settle(self, job: Job, work: asyncio.Future[Mapping[str, Any]]) -> None:
        problem = work.exception()
        if problem is None:
            async with self._database.transaction() as tx:
                await self.table.complete(tx, job, work.result())
            _ended.labels(kind=job.kind, state=JobState.COMPLETED).inc()
        elif isinstance(problem, ClaimLost):
            raise problem
        elif isinstance(problem, Unavailable):
            _log.warning("a job waits for what does not answer", kind=job.kind, attempt=job.attempts)
        elif isinstance(problem, HealthSyncError):
            await self._fail(job, problem.code, str(problem))
        else:
            _log.error("a job failed unexpectedly", kind=job.kind, exc_info=problem)
            await self._fail(job, "exception", "the hub failed on this job; it was logged")

    async def _fail(self, job: Job, code: str, because: str) -> None:
        async with self._database.transaction() as tx:
            await self.table.fail(tx, job, code, because)
        _ended.labels(kind=job.kind, state=JobState.FAILED).inc()

    async def _own(self, tx: Any, requester: Requester, id_: str) -> Job:
        job = await self.table.find(tx, id_of(id_))
        if job is None or job.owner != requester.client_id or job.state is JobState.CANCELLED:
            raise NotFound(_NOT_FOUND)
        return job

    async def _file(self, requester: Requester, id_: str, number: int) -> tuple[Job | None, JobFile | None]:
        async with self._database.connection() as tx:
            try:
                job = await self._own(tx, requester, id_)
            except NotFound:
                return None, None
            if job.state is not JobState.COMPLETED:
                return None, None
            return job, await self.table.file(tx, job, number)

    async def _error_lines(self, job: Job) -> AsyncIterator[bytes]:
        async for issue in self.table.issues(job):
            told = Issue(issue["severity"], issue["code"], issue["expression"], issue["diagnostics"])
            yield json.dump(operation_outcome([told])) + b"\n"

    async def _permit(self, requester: Requester, job: Job, kind: str) -> None:
        entities = [reference(job), kind]
        event = audit_event(requester, Action.READ, "fetch-job-file", Outcome.PERMITTED, entities)
        await self._audit.record_and_commit(event)

    async def _refuse(self, requester: Requester, entity: str, reason: str, query: str | None = None) -> None:
        event = audit_event(
            requester, Action.READ, "fetch-job-file", Outcome.REFUSED, [entity], reason=reason, query=query
        )
        await self._audit.record_and_commit(event)


def reference(job: Job) -> str:
    """How the audit log names a job."""
    return f"Job/{job.id}"


def id_of(text: str) -> UUID:
    """The id of a job. Raises NotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(_NOT_FOUND) from None


def requester_document(requester: Requester) -> dict[str, Any]:
    """A requester as a job keeps it, sealed: the work is done in his name."""
    scopes = (
        {kind: sorted(letters) for kind, letters in requester.scopes.items()} if requester.scopes is not None else None
    )
    return {**structs.asdict(requester), "scopes": scopes}


def requester_of(document: Mapping[str, Any]) -> Requester:
    """The requester that a job keeps."""
    scopes = document["scopes"]
    kept = {kind: frozenset(letters) for kind, letters in scopes.items()} if scopes is not None else None
    return Requester(**{**document, "roles": tuple(document["roles"]), "scopes": kept})
