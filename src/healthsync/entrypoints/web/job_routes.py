"""Jobs of a client: progress, results, cancelling (Bulk Data Access IG 2.0, status, file and delete requests)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from healthsync.errors import NotFound
from healthsync.exchange.administration.learn_identity import KIND as LEARN
from healthsync.exchange.administration.rematch_patients import KIND as REMATCH
from healthsync.exchange.administration.replay_messages import KIND as REPLAY
from healthsync.exchange.operations.jobs import JobReport
from healthsync.infrastructure.jobs import Job, JobState
from healthsync.standards.fhir.outcome import Issue, http_status

from . import answers
from .requests import requester_of
from .router import Router

RETRY_SECONDS = 2
ERRORS = "errors"
_NDJSON = "application/fhir+ndjson"


class JobRoutes:
    """The handlers of /jobs. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("jobs.list", self.list)
        router.add("jobs.show", self.show)
        router.add("jobs.cancel", self.cancel)
        router.add("jobs.file", self.file)

    async def list(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /jobs: the client's own, newest first."""
        requester = await requester_of(self._hub, request)
        jobs = await self._hub.jobs.listed(requester)
        return answers.plain({"jobs": [self._document(request, job) for job in jobs]})

    async def show(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /jobs/{id}: 202 with X-Progress while it runs, then 200 with the result, or why it failed."""
        requester = await requester_of(self._hub, request)
        report = await self._hub.jobs.show(requester, names["id"])
        job = report.job
        match job.state:
            case JobState.QUEUED | JobState.RUNNING:
                answer = answers.plain(self._document(request, job), 202)
                answer.headers["X-Progress"] = _progress(job)
                answer.headers["Retry-After"] = str(RETRY_SECONDS)
                return answer
            case JobState.FAILED:
                code = job.failure_code or "exception"
                return answers.outcome([Issue("error", code, None, job.failure or "")], http_status(code))
        answer = answers.plain(self._result(request, report))
        if job.expires_at is not None:
            answer.headers["Expires"] = format_datetime(job.expires_at, usegmt=True)
        return answer

    async def cancel(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE /jobs/{id}: stop it, or give its files up."""
        requester = await requester_of(self._hub, request)
        await self._hub.jobs.cancel(requester, names["id"])
        return Response(status_code=202)

    async def file(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /jobs/{id}/files/{file}: NDJSON, compressed on the way where the client takes gzip."""
        requester = await requester_of(self._hub, request)
        headers = {"Cache-Control": "no-store", "Content-Type": _NDJSON, "Vary": "Accept-Encoding"}
        if names["file"] == ERRORS:
            return StreamingResponse(await _begun(await self._hub.jobs.errors(requester, names["id"])), headers=headers)
        compressed = _takes_gzip(request)
        number = int(names["file"]) if names["file"].isdecimal() and len(names["file"]) < 9 else 0
        _, pieces = await self._hub.jobs.fetch(requester, names["id"], number, compressed=compressed)
        if compressed:
            headers["Content-Encoding"] = "gzip"
        return StreamingResponse(await _begun(pieces), headers=headers)

    def _result(self, request: Request, report: JobReport) -> dict[str, Any]:
        """The manifest of an export; of other jobs the job with its files."""
        job, address = report.job, address_of(request, self._hub, report.job.id)
        files: dict[str, Any] = {"output": [], "deleted": []}
        for file in report.files:
            kind = file.resource_type if file.purpose == "output" else "Bundle"
            entry = {"type": kind, "url": f"{address}/files/{file.number}", "count": file.lines}
            files[file.purpose].append(entry)
        errors = {"type": "OperationOutcome", "url": f"{address}/files/{ERRORS}", "count": report.issue_count}
        manifest = {
            "request": job.request.get("url"),
            "requiresAccessToken": True,
            **files,
            "error": [errors] if report.issue_count else [],
            "extension": {"job": self._document(request, job), **_report(job)},
        }
        time = (job.result or {}).get("transaction_time")
        return {"transactionTime": _instant(datetime.fromisoformat(time)), **manifest} if time else manifest

    def _document(self, request: Request, job: Job) -> dict[str, Any]:
        return {
            "id": str(job.id),
            "kind": job.kind,
            "state": job.state,
            "url": address_of(request, self._hub, job.id),
            "progress": {"resources": job.done, "rejected": job.rejected, "step": job.step},
            **{
                name: _instant(at)
                for name, at in (
                    ("created", job.created_at),
                    ("started", job.started_at),
                    ("finished", job.finished_at),
                    ("expires", job.expires_at),
                )
                if at is not None
            },
        }


def address_of(request: Request, hub: Any, id_: UUID | None) -> str:
    """The absolute address of a job (of all jobs for None): on the host of `fhir.base_url`, else as the client knows
    the hub."""
    public = urlsplit(hub.settings.fhir.base_url)
    host = public if public.scheme else urlsplit(str(request.base_url))
    return f"{host.scheme}://{host.netloc}/jobs" + (f"/{id_}" if id_ else "")


def accepted(request: Request, hub: Any, job: Job) -> Response:
    """202 and the address of a job that was started."""
    address = address_of(request, hub, job.id)
    answer = answers.plain({"job": str(job.id), "url": address}, 202)
    answer.headers["Content-Location"] = address
    return answer


def _report(job: Job) -> dict[str, Any]:
    """What a replay of messages, matching again, or learning found: counts, paths and references."""
    return {"report": dict(job.result)} if job.kind in (REPLAY, REMATCH, LEARN) and job.result is not None else {}


def _progress(job: Job) -> str:
    if job.state is JobState.QUEUED:
        return "waiting for a worker"
    rejected = f", {job.rejected} rejected" if job.rejected else ""
    return f"{job.done} resources{rejected}; {job.step or 'begun'}"


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _takes_gzip(request: Request) -> bool:
    """RFC 9110 §12.5.3, as far as gzip is concerned."""
    for offer in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = offer.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces, the first of which is there already: what fails before it still becomes an answer."""
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        raise NotFound("there is no such file, or it is not yours") from None

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_of_it()
