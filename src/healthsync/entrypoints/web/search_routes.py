"""FHIR R4 search (search.html) and $everything: read the question, ask the gate, answer in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput, NotSupported
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.standards.fhir import bundles, dates, json
from healthsync.standards.fhir.care_dates import CareDates
from healthsync.standards.fhir.compartments import within
from healthsync.standards.fhir.criteria import localised
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.matching import satisfies
from healthsync.standards.fhir.outcome import Issue, operation_outcome
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import CURSOR, SearchQuery
from healthsync.standards.fhir.query import parse as parse_query
from healthsync.standards.fhir.query_values import printable
from healthsync.standards.fhir.search_parameters import index
from healthsync.standards.fhir.summary import reduce

from . import answers
from .paging import MAX_COUNT, Pages, page_size, whole_number
from .requests import FHIR_TYPES, base_of, check_format, check_media_type, content_of
from .router import Router

_Pairs = Sequence[tuple[str, str]]


class SearchRoutes:
    """The handlers of searches. `begin` authenticates and checks the address, as for every FHIR request."""

    def __init__(self, hub: Any, pages: Pages, begin: Any) -> None:
        self._hub, self._pages, self._begin = hub, pages, begin

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("search", "search_post", "search_system", "search_system_post"):
            router.add(f"fhir.{name}", getattr(self, name))
        router.add("fhir.search_compartment", self.search_compartment)
        router.add("fhir.search_compartment_post", self.search_compartment_post)
        router.add("fhir.everything", self.everything)
        router.add("fhir.everything_post", self.everything)

    async def search(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type?…"""
        requester = await self._begin(request, names, "search")
        return await self._search(request, requester, names["type"], names["type"], request.query_params.multi_items())

    async def search_post(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type/_search: the form and the URL together (http.html#search)."""
        requester = await self._begin(request, names, "search")
        return await self._search(request, requester, names["type"], names["type"], await _form(request))

    async def search_system(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET /?_type=…"""
        requester = await self._begin(request, {}, "search")
        return await self._search(request, requester, "", "", request.query_params.multi_items())

    async def search_system_post(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /_search."""
        requester = await self._begin(request, {}, "search")
        return await self._search(request, requester, "", "", await _form(request))

    async def search_compartment(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Patient/id/Type?… (http.html#vsearch); the type may be `*`."""
        requester = await self._begin_compartment(request, names)
        return await self._in_compartment(request, requester, names, request.query_params.multi_items())

    async def search_compartment_post(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Patient/id/Type/_search."""
        requester = await self._begin_compartment(request, names)
        return await self._in_compartment(request, requester, names, await _form(request))

    async def _begin_compartment(self, request: Request, names: Mapping[str, str]) -> Requester:
        requester = await self._begin(request, {"type": names["compartment"], "id": names["id"]}, "search")
        if names["type"] != "*":
            await self._begin(request, {"type": names["type"]}, "search")
        return requester

    async def _in_compartment(
        self, request: Request, requester: Requester, names: Mapping[str, str], pairs: _Pairs
    ) -> Response:
        compartment, id_, wanted = names["compartment"], names["id"], names["type"]
        path = f"{compartment}/{id_}/{wanted}"
        return await self._search(request, requester, "" if wanted == "*" else wanted, path, pairs, (compartment, id_))

    async def everything(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Patient/id/$everything or Encounter/id/$everything."""
        resource_type, id_ = names["type"], names["id"]
        requester = await self._begin(request, names, "read")
        if resource_type not in ("Patient", "Encounter"):
            raise NotSupported("$everything is an operation of Patient and Encounter")
        pairs = request.query_params.multi_items()
        if request.method == "POST" and (body := await content_of(request)):
            check_media_type(request, FHIR_TYPES)
            pairs = [*pairs, *Parameters.of_resource(json.parse(body)).pairs()]
        return await self._everything(request, requester, resource_type, id_, pairs)

    async def _everything(
        self, request: Request, requester: Requester, resource_type: str, id_: str, pairs: _Pairs
    ) -> Response:
        asked = dict(pairs)
        after = None
        if CURSOR in asked:
            asked, after = self._pages.open(asked[CURSOR], "everything")
        if unknown := set(asked) - {"_count", "_type", "_since", "start", "end", "_format", "_pretty"}:
            name = sorted(unknown)[0]
            raise NotSupported(f"$everything does not take the parameter {name if name.isidentifier() else '?'}")
        count = page_size(whole_number(asked["_count"]) if "_count" in asked else MAX_COUNT)
        types = [each for each in asked.get("_type", "").split(",") if each]
        if any(each not in resource_types() for each in types):
            raise InvalidInput("_type names no resource type of FHIR R4", code="value")
        since = dates.interval(asked["_since"])[0] if "_since" in asked else None
        care = CareDates.read(asked.get("start"), asked.get("end")) if {"start", "end"} & asked.keys() else None
        page = await self._hub.disclose.everything(
            requester, resource_type, id_, types=types, since=since, care=care, after=after, count=count
        )
        if isinstance(page, Refusal):
            return answers.refusal(page)
        pages = self._pages.of(base_of(request))
        token = pages.seal([asked, page.position[-1]], "everything") if page.position else None
        links = pages.links(f"{resource_type}/{id_}/$everything", [("_count", str(count))], token)
        found = [*_found(page.entries), *_found(page.included, mode="include")]
        return answers.fhir(json.dump(bundles.searchset(found, base=pages.base, links=links)))

    async def _search(
        self,
        request: Request,
        requester: Requester,
        resource_type: str,
        path: str,
        pairs: _Pairs,
        compartment: tuple[str, str] | None = None,
    ) -> Response:
        asked, after = list(pairs), None
        if (here := dict(pairs).get(CURSOR)) is not None:
            # The page token carries the whole query: an address that is followed ends up in logs of proxies.
            stored, after = self._pages.open(here)
            asked = [(name, value) for name, value in stored]
        wishes = ",".join(request.headers.getlist("prefer"))
        query = parse_query(
            resource_type,
            [(name, value) for name, value in asked if value],
            lenient="handling=lenient" in wishes,
            strict="handling=strict" in wishes,
            contained=compartment is None and resource_type != "AuditEvent",
        )
        blank = dict.fromkeys(printable(name) for name, value in asked if not value)  # search.html#errors: no error
        query.warnings += [f"the parameter '{name}' has no value and was ignored" for name in blank]
        pages = self._pages.of(base_of(request))
        query.criteria = [localised(node, pages.base) for node in query.criteria]
        if compartment is not None:
            query = within(query, *compartment)
        if resource_type == "AuditEvent":
            return await self._audit_events(request, requester, query, after)
        count = 0 if query.summary == "count" else page_size(query.count)
        page = await self._hub.disclose.search(requester, query, after=after, count=count, asked=urlencode(asked))
        if isinstance(page, Refusal):
            return answers.refusal(page)
        following = pages.seal([asked, page.position]) if page.position else None
        followed = _shown(query)
        own = query.applied if here is None else [*followed, (CURSOR, here)]
        warnings = [*query.warnings, *page.warnings]
        shown = None if query.summary in (None, "false", "count") and not query.elements else query
        is_inner = query.contained is not None and query.contained_type == "contained"
        matches = _inner(page.entries, query, shown, self._hub.clock.now()) if is_inner else _found(page.entries, shown)
        bundle = bundles.searchset(
            [*matches, *_found(page.included, shown, "include")],
            base=pages.base,
            links=pages.links(path, followed, following, own=own),
            total=None if is_inner else page.total,  # what is counted are those around
            outcome=_warnings(warnings) if warnings else None,
        )
        return answers.fhir(json.dump(bundle))

    async def _audit_events(self, request: Request, requester: Requester, query: SearchQuery, after: Any) -> Response:
        before, count = after, 0 if query.summary == "count" else page_size(query.count)
        events, position = await self._hub.show_audit.search(requester, query, before=before, count=count)
        pages = self._pages.of(base_of(request))
        token = pages.seal([query.applied, position]) if position is not None else None
        found = [bundles.Found("AuditEvent", event["id"], event) for event in events]
        links = pages.links("AuditEvent", [], token, own=query.applied)
        return answers.fhir(json.dump(bundles.searchset(found, base=pages.base, links=links)))


async def _form(request: Request) -> list[tuple[str, str]]:
    """The parameters of the URL and of the body; a body that is not there needs no media type."""
    if form := await content_of(request):
        check_media_type(request, (_FORM,))
    fields = parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True)
    check_format(dict(fields).get("_format", ""))
    return [*request.query_params.multi_items(), *fields]


_FORM = "application/x-www-form-urlencoded"


def _found(entries: Sequence[Disclosed], query: SearchQuery | None = None, mode: str = "match") -> list[bundles.Found]:
    """Texts go out as they were stored: numbers keep their digits, and nothing is parsed, unless it is shortened."""
    found = []
    for entry in entries:
        body: Any = msgspec.Raw(entry.text.encode())
        if query is not None:
            body = reduce(json.parse(entry.text.encode()), query.summary, query.elements)
        found.append(bundles.Found(entry.resource_type, entry.id, body, mode))
    return found


def _inner(
    entries: Sequence[Disclosed], query: SearchQuery, shown: SearchQuery | None, now: datetime
) -> list[bundles.Found]:
    """The hits themselves: an inner one has the address of that around it and its own id (search.html#contained)."""
    found = []
    for entry in entries:
        outer = json.parse(entry.text.encode())
        hits = [(entry.id, outer)] if query.contained == "both" else []
        hits += [(f"{entry.id}#{each.get('id')}", each) for each in outer.get("contained", ())]
        for id_, hit in hits:
            values = index(hit, whole=True) if hit["resourceType"] == query.type else None
            if values is not None and all(satisfies(node, hit, values, now) for node in query.criteria):
                body = hit if shown is None else reduce(hit, shown.summary, shown.elements)
                found.append(bundles.Found(entry.resource_type, id_, body))
    return found


_SHOWN = frozenset({"_count", "_sort", "_summary", "_elements", "_total", "_include", "_revinclude", "_type"})
_SHOWN |= {"_contained", "_containedType"}


def _shown(query: SearchQuery) -> list[tuple[str, str]]:
    """What the address of the next page may repeat: how the answer is shaped, none of the values asked for."""
    return [(name, value) for name, value in query.applied if name.partition(":")[0] in _SHOWN]


def _warnings(warnings: Sequence[str]) -> dict[str, Any]:
    return operation_outcome(Issue("warning", "not-supported", None, warning) for warning in warnings)
