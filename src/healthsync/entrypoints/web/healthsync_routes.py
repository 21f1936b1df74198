"""The REST API of requirements-healthsync.md under /api/v1/healthsync: FHIR under friendlier addresses.

Every request is translated to the FHIR request that it means and its answer back, so roles, consent, audit, conditions
and headers are those of /fhir: there is one way in and one way out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import NotFound, NotSupported
from healthsync.standards.fhir import friendly, json
from healthsync.standards.fhir.friendly import Collection
from healthsync.standards.fhir.query import CURSOR

from . import answers, openapi
from .fhir_routes import FhirRoutes
from .openapi import PREFIX
from .requests import base_of, body_of
from .router import Router
from .search_routes import SearchRoutes

_MEDIA_TYPES = ("application/fhir+json", "application/json")

Receive = Callable[[], Awaitable[dict[str, Any]]]


class HealthsyncRoutes:
    """The handlers of /api/v1/healthsync, over those of /fhir."""

    def __init__(self, hub: Any, fhir: FhirRoutes, search: SearchRoutes, router: Router) -> None:
        self._hub, self._fhir, self._search, self._router = hub, fhir, search, router
        self._fhir_path: str = hub.settings.fhir.base_path

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("search", "create", "read", "update", "openapi"):
            router.add(f"healthsync.{name}", getattr(self, name))

    async def search(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET collection?…: a searchset, by FHIR search parameters and `patient_id`."""
        collection = _collection(names)
        pairs = friendly.criteria(collection, request.query_params.multi_items())
        if CURSOR not in request.query_params:  # a page token carries the whole query
            pairs.extend(collection.select)
        translated = Request({**request.scope, "query_string": urlencode(pairs).encode()}, request.receive)
        return self._answer(request, await self._search.search(translated, {"type": collection.type}), collection)

    async def read(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET collection/{id}."""
        collection = _collection(names)
        return self._answer(request, await self._fhir.read(request, _address(collection, names)), collection)

    async def create(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST collection: a FHIR resource; a consent also in plain words."""
        collection = _writable(names)
        translated = Request(request.scope, self._body(request, collection))
        return self._answer(request, await self._fhir.create(translated, {"type": collection.type}), collection)

    async def update(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT collection/{id}."""
        collection = _writable(names)
        translated = Request(request.scope, self._body(request, collection))
        return self._answer(request, await self._fhir.update(translated, _address(collection, names)), collection)

    async def openapi(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET openapi.json: this API, described."""
        return answers.plain(openapi.document(_base(request), self._router.routes))

    def _body(self, request: Request, collection: Collection) -> Receive:
        """The translated body, read when the FHIR handler asks for it: after it has recognised the sender."""

        async def receive() -> dict[str, Any]:
            document = json.parse(await body_of(request, _MEDIA_TYPES))
            if collection.type == "Consent" and "resourceType" not in document:
                document = friendly.consent(document, self._hub.clock.now().isoformat(timespec="seconds"))
            return {"type": "http.request", "body": json.dump(friendly.legal(document)), "more_body": False}

        return receive

    def _answer(self, request: Request, answer: Response, collection: Collection) -> Response:
        """The answer in this dialect; what is no resource (304, an OperationOutcome) passes as it is."""
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        if "location" in headers:
            made = headers["location"].partition("/_history/")[0]
            headers["location"] = self._shown_address(request, made, collection)
        body = bytes(answer.body)
        if answer.status_code < 300 and body:
            body = json.dump(self._shown(request, json.parse(body), collection))
        return Response(body, answer.status_code, headers)

    def _shown(self, request: Request, document: dict[str, Any], collection: Collection) -> dict[str, Any]:
        shown = friendly.aliased(document)
        if shown["resourceType"] != "Bundle":
            return shown
        for entry in shown.get("entry", []):
            if "fullUrl" in entry:
                entry["fullUrl"] = self._shown_address(request, entry["fullUrl"], None)
        for link in shown.get("link", []):
            query = link["url"].partition("?")[2]
            link["url"] = f"{_base(request)}/{collection.name}" + (f"?{query}" if query else "")
        return shown

    def _shown_address(self, request: Request, url: str, collection: Collection | None) -> str:
        """Where this API has what FHIR has at `url`; what it has nowhere keeps its FHIR address."""
        resource_type, _, id_ = urlsplit(url).path.removeprefix(f"{self._fhir_path}/").partition("/")
        home = collection or friendly.collection_of(resource_type)
        if home is None or home.type != resource_type:
            return url
        return f"{_base(request)}/{home.name}/{friendly.ALIAS if home.type == 'Patient' else ''}{id_}"


def _base(request: Request) -> str:
    """The address of this API, on the host of the FHIR server."""
    return urlsplit(base_of(request))._replace(path=PREFIX).geturl()


def _collection(names: Mapping[str, str]) -> Collection:
    collection = friendly.collections().get(names["collection"])
    if collection is None:
        raise NotFound("there is no such collection; GET /api/v1/healthsync/openapi.json lists them")
    return collection


def _writable(names: Mapping[str, str]) -> Collection:
    collection = _collection(names)
    if collection.is_view:
        home = friendly.collection_of(collection.type)
        raise NotSupported(f"{collection.name} is a view; write to {home.name if home else '/fhir'}")
    return collection


def _address(collection: Collection, names: Mapping[str, str]) -> dict[str, str]:
    id_ = names["id"]
    return {"type": collection.type, "id": friendly.legal_id(id_) if collection.type == "Patient" else id_}
