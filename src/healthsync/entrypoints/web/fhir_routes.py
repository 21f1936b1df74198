"""FHIR R4 REST (http.html) over the flows: parse, call, answer."""

from __future__ import annotations

import base64
import json as plain_json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync import __version__
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, NotSupported
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.exchange.ingest import Stored
from healthsync.exchange.interactions.write import if_match_version
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.standards.fhir import bundles, capability, json
from healthsync.standards.fhir.bundles import Method
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.outcome import Issue, operation_outcome
from healthsync.standards.fhir.query import CURSOR, SearchQuery
from healthsync.standards.fhir.query import parse as parse_query

from . import answers
from .requests import body_of, legal_id, negotiate, requester_of
from .router import Router

DEFAULT_COUNT, MAX_COUNT = 50, 1000

VIEWS = {"AuditEvent": ("search-type",), "Person": ("read",)}
"""Types that show what other parts of the hub hold, the audit log and the master patient index, and how."""

_CODES = {
    "read": "read",
    "vread": "vread",
    "update": "update",
    "delete": "delete",
    "history": "history-instance",
    "create": "create",
    "search": "search-type",
}


class FhirRoutes:
    """The handlers of /fhir. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._cursor_key: bytes = hub.keyring.derive("page cursor")
        self._base: str = hub.settings.fhir.base_url.rstrip("/")
        self._types: tuple[str, ...] | None = hub.settings.fhir.supported_resources
        self._interactions: tuple[str, ...] | None = hub.settings.fhir.capabilities
        self._published = hub.clock.now().isoformat(timespec="seconds")

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("capabilities", "everything", "search", "search_post", "create", "read", "update", "delete"):
            router.add(f"fhir.{name}", getattr(self, name))
        for name in ("history", "vread", "bundle"):
            router.add(f"fhir.{name}", getattr(self, name))

    async def capabilities(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET metadata: what this server does, made from what is registered."""
        offered = [code for name, code in _CODES.items() if self._interactions is None or name in self._interactions]
        everything = capability.Operation("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything")
        supported = [
            capability.ResourceSupport(
                resource_type,
                tuple(code for code in offered if code in VIEWS.get(resource_type, offered)),
                operations=(everything,) if resource_type == "Patient" else (),
                parameter_types=frozenset({"token", "string", "date", "reference", "uri"}),
                conditional_create="create" in offered and resource_type not in VIEWS,
            )
            for resource_type in self._types or resource_types()
        ]
        statement = capability.capability_statement(
            supported,
            base_url=self._base,
            software_version=__version__,
            published=self._published,
            system_interactions=("transaction", "batch"),
            security={"description": "Authorization: Bearer with an API key or a signed token (RS256, ES384)."},
        )
        return answers.fhir(json.dump(statement))

    async def read(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id."""
        requester = await self._begin(request, names, "read")
        found = await self._hub.disclose.read(requester, names["type"], names["id"])
        return self._one(request, found)

    async def vread(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history/version."""
        requester = await self._begin(request, names, "vread")
        if not names["version"].isdecimal() or len(names["version"]) > 9:
            raise NotFound("there is no such version")
        found = await self._hub.disclose.vread(requester, names["type"], names["id"], int(names["version"]))
        return self._one(request, found)

    async def history(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history: versions, newest first."""
        requester = await self._begin(request, names, "history")
        pairs = dict(request.query_params.multi_items())
        if unknown := set(pairs) - {"_count", CURSOR, "_format", "_pretty"}:
            name = sorted(unknown)[0]
            raise NotSupported(f"history does not take the parameter {name if name.isidentifier() else '?'} yet")
        count = _count(int(pairs["_count"]) if pairs.get("_count", "").isdecimal() else None)
        before = self._open_cursor(pairs[CURSOR])[1] if CURSOR in pairs else None
        page = await self._hub.disclose.history(requester, names["type"], names["id"], before=before, count=count)
        if isinstance(page, Refusal):
            return answers.refusal(page)
        token = self._seal_cursor(page.position) if page.position else None
        links = self._links(f"{names['type']}/{names['id']}/_history", [("_count", str(count))], token)
        versions = [_version(entry) for entry in page.entries]
        return answers.fhir(json.dump(bundles.history(versions, base=self._base, links=links)))

    async def search(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type?…"""
        requester = await self._begin(request, names, "search")
        return await self._search(request, requester, names["type"], request.query_params.multi_items())

    async def search_post(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type/_search: the form and the URL together (http.html#search)."""
        requester = await self._begin(request, names, "search")
        form = (await body_of(request, ("application/x-www-form-urlencoded",))).decode("utf-8", "replace")
        pairs = [*request.query_params.multi_items(), *parse_qsl(form, keep_blank_values=True)]
        return await self._search(request, requester, names["type"], pairs)

    async def everything(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Patient/id/$everything."""
        requester = await self._begin(request, {"type": "Patient", **names}, "read")
        pairs = dict(request.query_params.multi_items())
        if unknown := set(pairs) - {"_count", CURSOR, "_format", "_pretty"}:
            name = sorted(unknown)[0]
            raise NotSupported(f"$everything does not take the parameter {name if name.isidentifier() else '?'} yet")
        count = _count(int(pairs["_count"]) if pairs.get("_count", "").isdecimal() else MAX_COUNT)
        after = self._open_cursor(pairs[CURSOR])[1] if CURSOR in pairs else None
        page = await self._hub.disclose.everything(requester, names["id"], after=after, count=count)
        if isinstance(page, Refusal):
            return answers.refusal(page)
        token = self._seal_cursor(page.position) if page.position else None
        links = self._links(f"Patient/{names['id']}/$everything", [("_count", str(count))], token)
        return answers.fhir(json.dump(bundles.searchset(_found(page.entries), base=self._base, links=links)))

    async def create(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type."""
        requester = await self._begin(request, names, "create")
        resource = await self._resource(request, names["type"])
        condition = request.headers.get("if-none-exist")
        stored = await self._hub.write.create(requester, resource, if_none_exist=condition)
        return self._written(request, stored)

    async def update(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT Type/id, also for an id that is new here."""
        requester = await self._begin(request, names, "update")
        resource = await self._resource(request, names["type"])
        if resource.get("id") != names["id"]:
            raise InvalidInput("the resource must carry the id of its URL", code="invalid", expression="Resource.id")
        stored = await self._hub.write.update(
            requester, resource, if_match=if_match_version(request.headers.get("if-match"))
        )
        return self._written(request, stored)

    async def delete(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE Type/id: the current version goes, history stays."""
        requester = await self._begin(request, names, "delete")
        await self._hub.write.delete(
            requester, names["type"], names["id"], if_match=if_match_version(request.headers.get("if-match"))
        )
        return Response(status_code=204)

    async def bundle(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /: batch and transaction."""
        requester = await self._begin(request, {}, "create")
        bundle = json.parse(await body_of(request, _FHIR_TYPES))
        return answers.fhir(json.dump(await self._hub.process_bundle(requester, bundle)))

    async def _begin(self, request: Request, names: Mapping[str, str], interaction: str) -> Requester:
        """(1) who asks, (2) is this an address of R4, (3) does this hub offer it, (4) in the format wanted?"""
        requester = await requester_of(self._hub, request)  # (1)
        resource_type = names.get("type")
        if resource_type is not None and resource_type not in resource_types():  # (2)
            raise InvalidInput("the URL names no resource type of FHIR R4", code="not-found")
        if "id" in names:
            legal_id(names["id"])
        self._offered(resource_type, interaction)  # (3)
        negotiate(request)  # (4)
        return requester

    def _offered(self, resource_type: str | None, interaction: str) -> None:
        """Settlement 3: the configuration restricts what clients may use, never what partners send in."""
        if resource_type is not None and self._types is not None and resource_type not in self._types:
            raise InvalidInput(f"this hub does not offer {resource_type}", code="not-found")
        if self._interactions is not None and interaction not in self._interactions:
            raise NotSupported(f"this hub does not offer {interaction}")
        if resource_type in VIEWS and interaction in ("create", "update", "delete"):
            raise NotSupported(f"{resource_type} is a view of what the hub knows and cannot be written")

    async def _resource(self, request: Request, resource_type: str) -> dict[str, Any]:
        resource = json.parse(await body_of(request, _FHIR_TYPES))
        if resource.get("resourceType") != resource_type:
            raise InvalidInput(
                f"the body is no {resource_type}; send it to the URL of its type", expression="Resource.resourceType"
            )
        return resource

    async def _search(
        self, request: Request, requester: Requester, resource_type: str, pairs: Sequence[tuple[str, str]]
    ) -> Response:
        asked, after = list(pairs), None
        token = dict(pairs).get(CURSOR)
        if token is not None:  # the page token carries the whole query, so that no link holds a patient's values
            stored, position, after_pid = self._open_search_cursor(token)
            asked, after = [(name, value) for name, value in stored], (position, after_pid)
        query = parse_query(resource_type, asked, lenient="handling=lenient" in request.headers.get("prefer", ""))
        _refuse_unserved(query)
        if resource_type == "AuditEvent":
            return await self._audit_events(requester, query, after)
        count = 0 if query.summary == "count" else _count(query.count)
        page = await self._hub.disclose.search(
            requester, query, after=after, count=count, asked=urlencode(asked), with_total=query.total != "none"
        )
        if isinstance(page, Refusal):
            return answers.refusal(page)
        token = self._seal_search_cursor(asked, page.position) if page.position else None
        bundle = bundles.searchset(
            _found(page.entries),
            base=self._base,
            links=self._links(resource_type, [], token),
            total=page.total,
            outcome=_warnings(query.warnings) if query.warnings else None,
        )
        return answers.fhir(json.dump(bundle))

    async def _audit_events(self, requester: Requester, query: SearchQuery, after: Any) -> Response:
        before, count = after[1] if after else None, _count(query.count)
        events, position = await self._hub.show_audit.search(requester, query, before=before, count=count)
        token = self._seal_search_cursor(query.applied, (None, position)) if position is not None else None
        found = [bundles.Found("AuditEvent", event["id"], event) for event in events]
        links = self._links("AuditEvent", [], token)
        return answers.fhir(json.dump(bundles.searchset(found, base=self._base, links=links)))

    def _one(self, request: Request, found: Disclosed | Refusal) -> Response:
        if isinstance(found, Refusal):
            return answers.refusal(found)
        if request.headers.get("if-none-match") == f'W/"{found.version}"':
            return Response(status_code=304, headers=answers.version_headers(found.version, found.updated_at))
        return answers.resource(found)

    def _written(self, request: Request, stored: Stored) -> Response:
        status = 201 if stored.outcome == "created" else 200
        headers = {
            "Location": f"{self._base}/{stored.resource_type}/{stored.id}/_history/{stored.version}",
            **answers.version_headers(stored.version, stored.updated_at),
        }
        if "return=minimal" in request.headers.get("prefer", ""):
            return Response(status_code=status, headers=headers)
        return answers.fhir(json.dump(stored.resource), status, headers)

    def _links(self, path: str, pairs: Sequence[tuple[str, str]], token: str | None) -> dict[str, str]:
        links = {"self": _url(self._base, path, pairs)}
        if token is not None:
            links["next"] = _url(self._base, path, [*pairs, (CURSOR, token)])
        return links

    def _seal_cursor(self, value: Any) -> str:
        return base64.urlsafe_b64encode(seal(self._cursor_key, plain_json.dumps(value).encode(), b"cursor")).decode()

    def _open_cursor(self, token: str) -> Any:
        try:
            return plain_json.loads(open_sealed(self._cursor_key, base64.urlsafe_b64decode(token), b"cursor"))
        except (HealthSyncError, ValueError):
            raise InvalidInput(
                "this page link was not made by this hub; begin the search again", code="value"
            ) from None

    def _seal_search_cursor(self, asked: Sequence[tuple[str, str]], position: tuple[Any, int]) -> str:
        value, pid = position
        marked = ["at", value.isoformat()] if isinstance(value, datetime) else ["is", value]
        return self._seal_cursor([[list(pair) for pair in asked], marked, pid])

    def _open_search_cursor(self, token: str) -> tuple[list[tuple[str, str]], Any, int]:
        asked, (kind, value), pid = self._open_cursor(token)
        return [(name, text) for name, text in asked], datetime.fromisoformat(value) if kind == "at" else value, pid


_FHIR_TYPES = ("application/fhir+json", "application/json")


def _count(asked: int | None) -> int:
    return DEFAULT_COUNT if asked is None else min(asked, MAX_COUNT)


def _refuse_unserved(query: SearchQuery) -> None:
    if query.includes:
        raise NotSupported("_include and _revinclude are not served yet")
    if query.elements or query.summary not in (None, "false", "count"):
        raise NotSupported("_elements and _summary other than count are not served yet")


def _found(entries: Sequence[Disclosed]) -> list[bundles.Found]:
    """Texts go out as they were stored: numbers keep their digits, and nothing is parsed."""
    return [bundles.Found(e.resource_type, e.id, msgspec.Raw(e.text.encode())) for e in entries]


def _version(entry: Disclosed) -> bundles.Version:
    method = Method.DELETE if entry.deleted else Method.POST if entry.version == 1 else Method.PUT
    body = None if entry.deleted else msgspec.Raw(entry.text.encode())
    updated_at = entry.updated_at.isoformat(timespec="milliseconds")
    return bundles.Version(entry.resource_type, entry.id, entry.version, updated_at, body, method)


def _warnings(warnings: Sequence[str]) -> dict[str, Any]:
    return operation_outcome(Issue("warning", "not-supported", None, warning) for warning in warnings)


def _url(base: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{base}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")
