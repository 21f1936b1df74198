"""FHIR R4 REST (http.html) over the flows: parse, call, answer."""

from __future__ import annotations

import base64
import json as plain_json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from healthsync import __version__
from healthsync.domains.access import Requester
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, NotSupported
from healthsync.exchange.disclose import Disclosed, DisclosedPage, Refusal
from healthsync.exchange.ingest import Stored
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.standards.fhir import capability, json
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.query import CURSOR, SearchQuery
from healthsync.standards.fhir.query import parse as parse_query

from . import answers
from .requests import body_of, if_match_of, legal_id, negotiate, requester_of
from .router import Router

DEFAULT_COUNT, MAX_COUNT = 50, 1000


class FhirRoutes:
    """The handlers of /fhir. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._cursor_key: bytes = hub.keyring.derive("page cursor")
        self._base: str = hub.settings.fhir.base_url.rstrip("/")
        self._published = hub.clock.now().isoformat(timespec="seconds")

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("capabilities", "everything", "search", "search_post", "create", "read", "update", "delete"):
            router.add(f"fhir.{name}", getattr(self, name))
        for name in ("history", "vread", "bundle"):
            router.add(f"fhir.{name}", getattr(self, name))

    async def capabilities(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET metadata: what this server does, made from what is registered."""
        interactions = ("read", "vread", "update", "delete", "history-instance", "create", "search-type")
        everything = capability.Operation(
            "everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"
        )
        supported = [
            capability.ResourceSupport(
                resource_type,
                interactions,
                operations=(everything,) if resource_type == "Patient" else (),
                parameter_types=frozenset({"token", "string", "date", "reference", "uri"}),
                conditional_create=True,
            )
            for resource_type in resource_types()
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
        requester = await self._begin(request, names)
        found = await self._hub.disclose.read(requester, names["type"], names["id"])
        return self._one(request, found)

    async def vread(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history/version."""
        requester = await self._begin(request, names)
        if not names["version"].isdecimal() or len(names["version"]) > 9:
            raise NotFound("there is no such version")
        found = await self._hub.disclose.vread(requester, names["type"], names["id"], int(names["version"]))
        return self._one(request, found)

    async def history(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history: versions, newest first."""
        requester = await self._begin(request, names)
        pairs = dict(request.query_params.multi_items())
        if unknown := set(pairs) - {"_count", CURSOR, "_format", "_pretty"}:
            name = sorted(unknown)[0]
            raise NotSupported(f"history does not take the parameter {name if name.isidentifier() else '?'} yet")
        count = _count(int(pairs["_count"]) if pairs.get("_count", "").isdecimal() else None)
        before = self._open_cursor(pairs[CURSOR])[1] if CURSOR in pairs else None
        page = await self._hub.disclose.history(requester, names["type"], names["id"], before=before, count=count)
        if isinstance(page, Refusal):
            return answers.refusal(page)
        entries = [_history_entry(self._base, entry) for entry in page.entries]
        path = f"{names['type']}/{names['id']}/_history"
        return self._bundle("history", entries, page, path, [("_count", str(count))])

    async def search(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type?…"""
        requester = await self._begin(request, names)
        return await self._search(request, requester, names["type"], request.query_params.multi_items())

    async def search_post(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type/_search: the form and the URL together (http.html#search)."""
        requester = await self._begin(request, names)
        form = (await body_of(request, ("application/x-www-form-urlencoded",))).decode("utf-8", "replace")
        pairs = [*request.query_params.multi_items(), *parse_qsl(form, keep_blank_values=True)]
        return await self._search(request, requester, names["type"], pairs)

    async def everything(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Patient/id/$everything."""
        requester = await self._begin(request, {"type": "Patient", **names})
        pairs = dict(request.query_params.multi_items())
        if unknown := set(pairs) - {"_count", CURSOR, "_format", "_pretty"}:
            name = sorted(unknown)[0]
            raise NotSupported(f"$everything does not take the parameter {name if name.isidentifier() else '?'} yet")
        count = _count(int(pairs["_count"]) if pairs.get("_count", "").isdecimal() else MAX_COUNT)
        after = self._open_cursor(pairs[CURSOR])[1] if CURSOR in pairs else None
        page = await self._hub.disclose.everything(requester, names["id"], after=after, count=count)
        if isinstance(page, Refusal):
            return answers.refusal(page)
        entries = [_search_entry(self._base, entry) for entry in page.entries]
        return self._bundle(
            "searchset", entries, page, f"Patient/{names['id']}/$everything", [("_count", str(count))]
        )

    async def create(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type."""
        requester = await self._begin(request, names)
        resource = await self._resource(request, names["type"])
        condition = request.headers.get("if-none-exist")
        stored = await self._hub.write.create(requester, resource, if_none_exist=condition)
        return self._written(request, stored)

    async def update(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT Type/id, also for an id that is new here."""
        requester = await self._begin(request, names)
        resource = await self._resource(request, names["type"])
        if resource.get("id") != names["id"]:
            raise InvalidInput("the resource must carry the id of its URL", code="invalid", expression="Resource.id")
        stored = await self._hub.write.update(requester, resource, if_match=if_match_of(request))
        return self._written(request, stored)

    async def delete(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE Type/id: the current version goes, history stays."""
        requester = await self._begin(request, names)
        await self._hub.write.delete(requester, names["type"], names["id"], if_match=if_match_of(request))
        return Response(status_code=204)

    async def bundle(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /: batch and transaction."""
        requester = await self._begin(request, {})
        bundle = json.parse(await body_of(request, _FHIR_TYPES))
        return answers.fhir(json.dump(await self._hub.process_bundle(requester, bundle)))

    async def _begin(self, request: Request, names: Mapping[str, str]) -> Requester:
        """(1) who asks, (2) is this an address of R4, (3) can we answer in the format wanted?"""
        requester = await requester_of(self._hub, request)  # (1)
        if "type" in names and names["type"] not in resource_types():  # (2)
            raise InvalidInput("the URL names no resource type of FHIR R4", code="not-found")
        if "id" in names:
            legal_id(names["id"])
        negotiate(request)  # (3)
        return requester

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
        count = 0 if query.summary == "count" else _count(query.count)
        page = await self._hub.disclose.search(
            requester, query, after=after, count=count, asked=urlencode(asked), with_total=query.total != "none"
        )
        if isinstance(page, Refusal):
            return answers.refusal(page)
        entries = [_search_entry(self._base, entry) for entry in page.entries]
        if query.warnings:
            entries.append(_warning_entry(query.warnings))
        next_token = self._seal_search_cursor(asked, page.position) if page.position else None
        return self._bundle("searchset", entries, page, resource_type, [], next_token)

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

    def _bundle(
        self,
        kind: str,
        entries: Sequence[bytes],
        page: DisclosedPage,
        path: str,
        pairs: Sequence[tuple[str, str]],
        token: str | None = None,
    ) -> Response:
        """A Bundle written around texts that are already JSON, so that numbers keep their digits and cost nothing."""
        links = [{"relation": "self", "url": _url(self._base, path, pairs)}]
        if token is None and page.position is not None:
            token = self._seal_cursor([None, page.position[1]])
        if token is not None:
            links.append({"relation": "next", "url": _url(self._base, path, [*pairs, (CURSOR, token)])})
        head: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
        if page.total is not None:
            head["total"] = page.total
        head["link"] = links
        body = json.dump(head)
        if entries:
            body = body[:-1] + b',"entry":[' + b",".join(entries) + b"]}"
        return answers.fhir(body)

    def _seal_cursor(self, value: Any) -> str:
        return base64.urlsafe_b64encode(seal(self._cursor_key, plain_json.dumps(value).encode(), b"cursor")).decode()

    def _open_cursor(self, token: str) -> Any:
        try:
            return plain_json.loads(open_sealed(self._cursor_key, base64.urlsafe_b64decode(token), b"cursor"))
        except (HealthSyncError, ValueError):
            raise InvalidInput("this page link was not made by this hub; begin the search again", code="value") from None

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


def _search_entry(base: str, entry: Disclosed) -> bytes:
    url = f"{base}/{entry.resource_type}/{entry.id}"
    return f'{{"fullUrl":"{url}","resource":{entry.text},"search":{{"mode":"match"}}}}'.encode()


def _history_entry(base: str, entry: Disclosed) -> bytes:
    url = f"{base}/{entry.resource_type}/{entry.id}"
    method, status = ("DELETE", "204") if entry.deleted else ("POST", "201") if entry.version == 1 else ("PUT", "200")
    facts = {
        "fullUrl": url,
        "request": {"method": method, "url": entry.resource_type if method == "POST" else entry.reference},
        "response": {"status": status, "etag": f'W/"{entry.version}"'},
    }
    text = json.dump(facts)
    return text if entry.deleted else text[:-1] + b',"resource":' + entry.text.encode() + b"}"


def _warning_entry(warnings: Sequence[str]) -> bytes:
    issues = [{"severity": "warning", "code": "not-supported", "diagnostics": warning} for warning in warnings]
    return json.dump({"resource": {"resourceType": "OperationOutcome", "issue": issues}, "search": {"mode": "outcome"}})


def _url(base: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{base}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")
