"""History over HTTP (http.html#history): of a resource, of a type, of all types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import NotSupported
from healthsync.exchange.disclose import Disclosed, HistoryPage, HistoryQuery, Refusal
from healthsync.standards.fhir import bundles, dates, json
from healthsync.standards.fhir.bundles import Method
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.query import CURSOR

from . import answers
from .fhir_routes import VIEWS, FhirRoutes
from .paging import page_size, whole_number
from .requests import base_of
from .router import Router

_KEPT = ("_count", "_since", "_at", "_summary", "_elements")
"""Parameters that the links repeat."""


class HistoryRoutes:
    """The handlers of `_history`."""

    def __init__(self, hub: Any, fhir: FhirRoutes) -> None:
        self._hub, self._fhir = hub, fhir

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("history", "history_type", "history_system"):
            router.add(f"fhir.{name}", getattr(self, name))

    async def history(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history."""
        requester = await self._fhir.begin(request, names, "history")
        query, count = self._asked(request)
        page = await self._hub.disclose.history(requester, names["type"], names["id"], query, count=count)
        return self._answer(request, f"{names['type']}/{names['id']}/_history", page)

    async def history_type(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/_history."""
        requester = await self._fhir.begin(request, names, "history")
        if names["type"] in VIEWS:
            raise NotSupported(f"{names['type']} is a view of what the hub knows and has no history")
        query, count = self._asked(request)
        page = await self._hub.disclose.history_of_types(requester, [names["type"]], query, count=count)
        return self._answer(request, f"{names['type']}/_history", page)

    async def history_system(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /_history."""
        requester = await self._fhir.begin(request, {}, "history")
        query, count = self._asked(request)
        types = sorted(each for each in resource_types() if self._fhir.offer.includes(each) and each not in VIEWS)
        page = await self._hub.disclose.history_of_types(requester, types, query, count=count)
        return self._answer(request, "_history", page)

    def _asked(self, request: Request) -> tuple[HistoryQuery, int]:
        """Parameters that choose and are not served refuse; unknown ones with a leading underscore do not."""
        params = request.query_params
        for name in params:
            if name == "_list" or not name.startswith("_"):
                raise NotSupported(f"a history does not take the parameter '{name if name.isidentifier() else '?'}'")
        if params.get("_sort", "-_lastUpdated") not in ("-_lastUpdated", "none"):
            raise NotSupported("a history is sorted by age, newest first")
        since = _interval(params.get("_since"))
        query = HistoryQuery(since[0] if since else None, _interval(params.get("_at")))
        if CURSOR in params:
            query = replace(query, after=self._position(params[CURSOR]))
        return query, page_size(whole_number(params["_count"]) if "_count" in params else None)

    def _position(self, token: str) -> tuple[datetime, int, int]:
        updated_at, pid, version = self._fhir.pages.open(token, "history")
        return datetime.fromisoformat(updated_at), pid, version

    def _answer(self, request: Request, path: str, page: HistoryPage | Refusal) -> Response:
        if isinstance(page, Refusal):
            return answers.refusal(page)
        base, params = base_of(request), request.query_params
        kept = [(name, params[name]) for name in _KEPT if name in params]
        links = {"self": bundles.address(base, path, kept)}
        if page.position is not None:
            updated_at, pid, version = page.position
            token = self._fhir.pages.seal([updated_at.isoformat(), pid, version], "history")
            links["next"] = bundles.address(base, path, [*kept, (CURSOR, token)])
        if params.get("_summary") == "count":
            return answers.fhir(json.dump(bundles.history([], base=base, links=links, total=page.total)))
        reduced = answers.reduction(params)
        versions = [self._version(*each, reduced) for each in zip(page.entries, page.begins, strict=True)]
        return answers.fhir(json.dump(bundles.history(versions, base=base, links=links, total=page.total)))

    def _version(self, entry: Disclosed, begins: bool, reduced: answers.Reduction | None) -> bundles.Version:
        """With the request that made it (http.html#history): what a POST created has an id of the hub's choosing."""
        method = Method.PUT
        if entry.deleted:
            method = Method.DELETE
        elif entry.version == 1 and self._hub.ingest.chose(entry.id):
            method = Method.POST
        updated_at = entry.updated_at.isoformat(timespec="milliseconds")
        body = None if entry.deleted else _body(entry, reduced)
        return bundles.Version(entry.resource_type, entry.id, entry.version, updated_at, body, method, begins)


def _body(entry: Disclosed, reduced: answers.Reduction | None) -> bundles.Body:
    text = entry.text.encode()
    return msgspec.Raw(text) if reduced is None else reduced(json.parse(text))


def _interval(text: str | None) -> tuple[datetime, datetime] | None:
    """A date and time of any precision stands for all of it. Raises InvalidInput (`value`)."""
    return None if text is None else dates.interval(text.replace(" ", "+"))  # a + that was not encoded
