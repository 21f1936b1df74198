"""Kick-off requests of bulk export and import (Bulk Data Access IG 2.0): checked, queued, answered with an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput, NotSupported
from healthsync.exchange.operations.bulk_export import Level, read_parameters
from healthsync.infrastructure.jobs import Job, TooManyJobs
from healthsync.standards.fhir import json
from healthsync.standards.fhir.outcome import from_error

from . import answers
from .job_routes import address_of
from .requests import body_of, legal_id, negotiate, requester_of
from .router import Router

TOO_MANY_RETRY_SECONDS = 60
_BODY_TYPES = ("application/fhir+json", "application/json")


class BulkRoutes:
    """The handlers of $export and $import. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for level in ("system", "patient", "group"):
            router.add(f"fhir.export_{level}", getattr(self, f"export_{level}"))
            router.add(f"fhir.export_{level}_post", getattr(self, f"export_{level}"))
        router.add("fhir.import", self.import_)

    async def export_system(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET and POST $export: everything."""
        return await self._export(request, "system")

    async def export_patient(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET and POST Patient/$export: the compartments of all patients."""
        return await self._export(request, "patient")

    async def export_group(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET and POST Group/id/$export: the compartments of the members."""
        return await self._export(request, "group", legal_id(names["id"]))

    async def import_(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST $import: files of the import folder, or of allowed hosts."""
        requester = await requester_of(self._hub, request)
        _require_async(request)
        negotiate(request)
        body = json.parse(await body_of(request, _BODY_TYPES))
        return await _kicked_off(
            request,
            self._hub,
            self._hub.bulk_import.start(
                requester, body, url=_url(request, self._hub), webhook=request.headers.get("x-webhook")
            ),
        )

    async def _export(self, request: Request, level: Level, group: str | None = None) -> Response:
        requester = await requester_of(self._hub, request)
        _require_async(request)
        negotiate(request)
        pairs = request.query_params.multi_items()
        if request.method == "POST":
            pairs += read_parameters(json.parse(await body_of(request, _BODY_TYPES)))
        elif any(name == "patient" for name, _ in pairs):
            raise NotSupported("$export takes the parameter patient by POST, so that no URL names a patient")
        return await _kicked_off(
            request,
            self._hub,
            self._hub.bulk_export.start(
                requester,
                level,
                pairs,
                url=_url(request, self._hub),
                asked=urlencode(pairs),
                group=group,
                lenient="handling=lenient" in _preferences(request),
                webhook=request.headers.get("x-webhook"),
            ),
        )


async def _kicked_off(request: Request, hub: Any, start: Any) -> Response:
    try:
        job: Job = await start
    except TooManyJobs as problem:
        return answers.outcome([from_error(problem)], 429, {"Retry-After": str(TOO_MANY_RETRY_SECONDS)})
    return Response(status_code=202, headers={"Content-Location": address_of(request, hub, job.id)})


def _preferences(request: Request) -> set[str]:
    return {part.strip() for value in request.headers.getlist("prefer") for part in value.replace(";", ",").split(",")}


def _require_async(request: Request) -> None:
    if "respond-async" not in _preferences(request):
        raise InvalidInput("this takes long; send Prefer: respond-async and poll the Content-Location", code="required")


def _url(request: Request, hub: Any) -> str:
    """The address that was asked, as the manifest repeats it."""
    return (
        address_of(request, hub, None).removesuffix("/jobs")
        + request.url.path
        + (f"?{request.url.query}" if request.url.query else "")
    )
