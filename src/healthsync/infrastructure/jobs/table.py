"""The table of jobs: add, claim, advance, end, remove."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.infrastructure.database import Database, Queries, Transaction
from healthsync.infrastructure.jobs.addresses import require_allowed
from healthsync.infrastructure.jobs.model import ClaimLost, Job, JobFile, JobState, Notice, TooManyJobs

WAKE_CHANNEL = "job"
_SQL = Queries("healthsync.infrastructure.jobs")
_ISSUES_PAGE = 1000
_PURGE_PAGE = 20


class KeyWrapping(Protocol):
    """What a job's key needs from a key provider."""

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """Wrap a key; returns the version of the wrapping key and the wrapped bytes."""
        ...

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """Unwrap a key."""
        ...


class JobTable:
    """Jobs of one database. A claim is lost after `lease` without a sign of life; results stay for `keep`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keyring: KeyWrapping,
        *,
        lease: timedelta,
        keep: timedelta,
        webhook_hosts: Collection[str] = (),
    ) -> None:
        self._database, self._clock, self._keyring = database, clock, keyring
        self.lease, self._keep, self._webhook_hosts = lease, keep, webhook_hosts

    async def add(
        self,
        tx: Transaction,
        kind: str,
        owner: str,
        request: Mapping[str, Any],
        *,
        webhook: str | None = None,
        most_unfinished: int | None = None,
        claimed: bool = False,
    ) -> Job:
        """A new job. With `claimed` it is the caller's own to run, and no worker takes it while the caller lives.

        Raises InvalidInput for a webhook that is not allowed, TooManyJobs when the owner has `most_unfinished` of this
        kind at work already.
        """
        if webhook is not None:
            require_allowed(webhook, self._webhook_hosts)
        if most_unfinished is not None:
            await tx.execute(_SQL.lock_owner, f"{kind} {owner}")
            if len(await tx.fetch(_SQL.unfinished, owner, kind)) >= most_unfinished:
                raise TooManyJobs(
                    f"{most_unfinished} {kind} jobs of this client are at work; wait for one or cancel it"
                )
        id_, key, now = uuid.uuid4(), os.urandom(32), self._clock.now()
        claim = uuid.uuid4() if claimed else None
        state = JobState.RUNNING if claimed else JobState.QUEUED
        await tx.execute(
            _SQL.add, id_, kind, state, owner, *self._keyring.wrap(key), _sealed(key, id_, "request", request), webhook,
            now, claim, now if claimed else None, int(claimed),
        )  # fmt: skip
        await tx.execute("SELECT pg_notify($1, '')", WAKE_CHANNEL)
        return _fresh(id_, kind, state, owner, key, request, claim, now)

    async def claim(self, kinds: Collection[str]) -> Job | None:
        """The next job of these kinds for this worker, new or left behind by one that fell silent."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            row = await tx.fetchrow(_SQL.claim, uuid.uuid4(), now, list(kinds), now - self.lease)
        return self._job(row) if row else None

    async def claim_one(self, id_: UUID) -> Job | None:
        """This job, unless somebody is at it."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            row = await tx.fetchrow(_SQL.claim_one, uuid.uuid4(), now, id_, now - self.lease)
        return self._job(row) if row else None

    async def heartbeat(self, job: Job) -> bool:
        """A sign of life; False when the job is no longer the caller's."""
        async with self._database.connection() as tx:
            return bool(await tx.fetchval(_SQL.heartbeat, job.id, job.claim, self._clock.now()))

    async def hold_position(self, tx: Transaction, job: Job) -> Mapping[str, Any] | None:
        """Where the work stands, which nobody moves until the transaction ends: for work that several share under one
        claim. Raises ClaimLost."""
        row = await tx.fetchrow(_SQL.hold_position, job.id, job.claim)
        if row is None:
            raise ClaimLost(f"job {job.id} was cancelled or is another worker's")
        return _opened(job.key, job.id, "position", row["position"]) if row["position"] is not None else None

    async def advance(
        self,
        tx: Transaction,
        job: Job,
        position: Mapping[str, Any],
        *,
        step: str = "",
        done: int = 0,
        rejected: int = 0,
    ) -> None:
        """Keep where the work stands, in the commit of its effects. Raises ClaimLost, which undoes them."""
        sealed = _sealed(job.key, job.id, "position", position)
        now = self._clock.now()
        if not await tx.fetchval(_SQL.advance, job.id, job.claim, sealed, step, done, rejected, now):
            raise ClaimLost(f"job {job.id} was cancelled or is another worker's")

    async def complete(self, tx: Transaction, job: Job, result: Mapping[str, Any]) -> None:
        """The job is done. Raises ClaimLost."""
        await self._end(tx, job, JobState.COMPLETED, _sealed(job.key, job.id, "result", result), None, None)

    async def fail(self, tx: Transaction, job: Job, code: str, because: str) -> None:
        """The job cannot be done; `because` holds no values. Raises ClaimLost."""
        await self._end(tx, job, JobState.FAILED, None, code, because)

    async def release(self, job: Job) -> None:
        """Let another worker go on; a claim that is lost already is no error."""
        async with self._database.connection() as tx:
            await tx.execute(_SQL.release, job.id, job.claim)

    async def cancel(self, tx: Transaction, id_: UUID) -> bool:
        """End a job that has not ended, or give up the results of one that has; False when there is nothing to end."""
        now = self._clock.now()
        ended = await tx.fetchrow(_SQL.cancel, id_, now, now + self._keep)
        if ended is not None:
            await self._notify(tx, id_, ended["webhook"])
            return True
        return bool(await tx.fetchval(_SQL.discard, id_, now))

    async def find(self, tx: Transaction, id_: UUID) -> Job | None:
        """One job."""
        row = await tx.fetchrow(_SQL.job, id_)
        return self._job(row) if row else None

    async def listed(self, tx: Transaction, owner: str | None = None, limit: int = 50) -> list[Job]:
        """The newest jobs, of one owner or of all."""
        return [self._job(row) for row in await tx.fetch(_SQL.jobs, owner, limit)]

    async def unfinished(self, tx: Transaction, owner: str, kind: str) -> list[Job]:
        """What an owner has at work of a kind, oldest first."""
        return [self._job(row) for row in await tx.fetch(_SQL.unfinished, owner, kind)]

    async def add_file(self, tx: Transaction, job: Job, file: JobFile) -> None:
        """A file, there from the commit on."""
        await tx.execute(
            _SQL.add_file, job.id, file.number, file.purpose, file.resource_type, file.object, file.lines, file.bytes,
            list(file.patient_keys),
        )  # fmt: skip

    async def files(self, tx: Transaction, job: Job) -> list[JobFile]:
        """The files of a job, without the patients in them."""
        return [JobFile(**row) for row in await tx.fetch(_SQL.files, job.id)]

    async def file(self, tx: Transaction, job: Job, number: int) -> JobFile | None:
        """One file, with the patients in it."""
        row = await tx.fetchrow(_SQL.file, job.id, number)
        return JobFile(**row) if row else None

    async def add_issues(self, tx: Transaction, job: Job, issues: Sequence[Mapping[str, Any]]) -> None:
        """What went wrong with single resources: issues without values."""
        if issues:
            await tx.execute(_SQL.add_issues, job.id, [msgspec.json.encode(issue).decode() for issue in issues])

    async def issue_count(self, tx: Transaction, job: Job) -> int:
        """How many issues a job has."""
        return await tx.fetchval(_SQL.issue_count, job.id)

    async def issues(self, job: Job) -> AsyncIterator[dict[str, Any]]:
        """All issues, in the order in which they were found."""
        after = 0
        while True:
            async with self._database.connection() as tx:
                page = await tx.fetch(_SQL.issues, job.id, after, _ISSUES_PAGE)
            for row in page:
                yield msgspec.json.decode(row["issue"])
            if len(page) < _ISSUES_PAGE:
                return
            after = page[-1]["number"]

    async def settled_until(self) -> datetime:
        """An instant up to which every change is committed and can be seen, now at the latest.

        A change carries the time of a transaction that had begun; one that is still at work may come to light later
        under an earlier time, and whoever asks for changes since now would miss it.
        """
        now = self._clock.now()
        async with self._database.connection() as tx:
            oldest = await tx.fetchval(_SQL.settled_until)
        return min(now, oldest) if oldest is not None else now

    async def due_notices(self, backoff_seconds: float, limit: int = 20) -> list[Notice]:
        """Webhooks to call now. Each is due again later, until it is settled."""
        async with self._database.transaction() as tx:
            return [
                Notice(**row) for row in await tx.fetch(_SQL.due_notices, self._clock.now(), backoff_seconds, limit)
            ]

    async def settle(self, notice: Notice) -> None:
        """A webhook was told, or is given up."""
        async with self._database.connection() as tx:
            await tx.execute(_SQL.settle_notice, notice.id)

    async def purge(self, tx: Transaction, delete_objects: Any, only: UUID | None = None) -> int:
        """Remove the files of cancelled jobs, and jobs whose time is over; returns how many were dealt with.

        `delete_objects(prefix)` waits until the objects under it are gone. Files go before their rows: what is
        interrupted is done again.
        """
        rows = await tx.fetch(_SQL.to_purge, self._clock.now(), only, _PURGE_PAGE)
        for row in rows:
            await delete_objects(f"{row['id']}/")
            await tx.execute(_SQL.remove if row["expired"] else _SQL.forget_files, row["id"])
        return len(rows)

    async def _end(
        self, tx: Transaction, job: Job, state: JobState, result: bytes | None, code: str | None, because: str | None
    ) -> None:
        now = self._clock.now()
        row = await tx.fetchrow(_SQL.finish, job.id, job.claim, state, result, code, because, now, now + self._keep)
        if row is None:
            raise ClaimLost(f"job {job.id} was cancelled or is another worker's")
        await self._notify(tx, job.id, row["webhook"])

    async def _notify(self, tx: Transaction, id_: UUID, webhook: str | None) -> None:
        if webhook is not None:
            await tx.execute(_SQL.add_notice, id_, self._clock.now())

    def _job(self, row: Any) -> Job:
        key = self._keyring.unwrap(row["key_version"], row["key"])
        opened = {
            name: _opened(key, row["id"], name, row[name]) if row[name] is not None else None
            for name in ("request", "position", "result")
        }
        same = {name: row[name] for name in Job.__slots__ if name not in ("key", "state", *opened)}
        return Job(**same, **opened, key=key, state=JobState(row["state"]))  # type: ignore[arg-type]


def _fresh(
    id_: UUID,
    kind: str,
    state: JobState,
    owner: str,
    key: bytes,
    request: Mapping[str, Any],
    claim: UUID | None,
    now: Any,
) -> Job:
    return Job(
        id=id_, kind=kind, state=state, owner=owner, key=key, request=request, position=None, result=None, step="",
        done=0, rejected=0, failure_code=None, failure=None, attempts=int(claim is not None), claim=claim,
        created_at=now, started_at=now if claim else None, finished_at=None, expires_at=None, purged=False,
    )  # fmt: skip


def _sealed(key: bytes, id_: UUID, what: str, value: Mapping[str, Any]) -> bytes:
    return seal(key, msgspec.json.encode(value), f"job {id_} {what}".encode())


def _opened(key: bytes, id_: UUID, what: str, sealed: bytes) -> Any:
    return msgspec.json.decode(open_sealed(key, sealed, f"job {id_} {what}".encode()))
