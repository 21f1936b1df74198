"""$graphql, system and instance (http://hl7.org/fhir/R4/graphql.html): queries over the gate out.

    (1) read       the document, within its bounds
    (2) check      every field and argument, before anything is looked up
    (3) resolve    resources, lists and references by the gate alone: what it withholds is not there
    (4) shape      the answer, as aliases and directives want it

Each resource is disclosed, redacted and recorded as by REST; a query is no way around a role or a consent. One that a
query names twice is disclosed once.
"""

from __future__ import annotations

import asyncio
import base64
import json as plain_json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from healthsync.domains.access import Requester
from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.exchange.disclose import Disclose, Disclosed, DisclosedPage, Refusal
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.standards.fhir import json, references
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.graphql import (
    VIEWS,
    Bounds,
    Field,
    Fields,
    Output,
    QueryFault,
    check_fields,
    check_introspection,
    element_of,
    flat,
    holds,
    introspect,
    is_introspection,
    kept,
    lists_of,
    read_document,
    search_pairs,
    suffixes,
    type_name,
)
from healthsync.standards.fhir.query import parse as parse_search

_AT_ONCE = 8
_LONGEST_LIST = 1000
_PAGE = 50

Resource = Mapping[str, Any]


class Graphql:
    """The operation. `base` is the public address of the FHIR server, `key` (32 bytes) seals cursors."""

    def __init__(self, disclose: Disclose, *, base: str, key: bytes, bounds: Bounds, max_reads: int) -> None:
        self._disclose, self._base, self._key = disclose, base, key
        self._bounds, self._max_reads = bounds, max_reads

    async def __call__(
        self,
        requester: Requester,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        resource: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """The `data` of the answer; `resource` is (type, id) of the instance level.

        Raises QueryFault for a query that is wrong or costs too much, InvalidInput with the gate's code for what is not
        there or not allowed.
        """
        fields = read_document(query, variables, operation_name, self._bounds)  # (1)
        check_fields(fields, {resource[0]} if resource else (), root=resource is None)  # (2)
        if resource is None:
            check_introspection(fields)
        run = _Run(self._disclose, requester, self._base, self._key, self._max_reads)
        output = Output()
        if resource is None:
            await run.root(output, fields)
        else:
            document = await run.resource(*resource)
            await run.object(output, fields, document, resource[0], document)
        return output.done()


class _Run:
    """One query: what it has read already, and what it may still read."""

    def __init__(self, disclose: Disclose, requester: Requester, base: str, key: bytes, max_reads: int) -> None:
        self._disclose, self._requester, self._base, self._key = disclose, requester, base, key
        self._left = self._max_reads = max_reads
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[tuple[str, str], asyncio.Task[Disclosed | Refusal]] = {}

    async def root(self, output: Output, fields: Fields) -> None:
        """(3) the fields of a system query."""
        for field in flat(fields, None):
            if field.name == "__typename":
                output.add(field, "", ["Query"], repeats=False)
            elif is_introspection(field):
                output.add(field, "", [await asyncio.to_thread(introspect, field)], repeats=False)
            elif field.name in resource_types():
                id_ = field.arguments.get("id", field.arguments.get("_id"))
                document = await self.resource(field.name, str(id_))
                await self._child(output, field, [document], field.name, False, "", None)
            else:
                await self._list(output, field, None)

    async def object(
        self,
        output: Output,
        fields: Fields,
        value: Resource,
        place: str,
        resource: Resource,
        *,
        inherited: bool = False,
        suffix: str = "",
    ) -> None:
        """(4) the fields of one object. `resource` is the one that it is part of, `inherited` says that a flattened
        parent made lists of its children."""
        for field in flat(fields, place):
            if field.name == "__typename":
                output.add(field, suffix, [type_name(place)], repeats=inherited)
            elif field.name == "resourceType" and "resourceType" in value:
                output.add(field, suffix, [value["resourceType"]], repeats=inherited)
            elif place == "Reference" and field.name == "resource":
                await self._follow(output, field, value, resource, inherited, suffix)
            elif place in resource_types() and lists_of(field.name) is not None:
                await self._list(output, field, value)
            elif (element := element_of(place, field.name)) is not None:
                found = value.get(field.name)
                values = found if isinstance(found, list) else [] if found is None else [found]
                repeats = element.repeats or inherited
                await self._child(output, field, values, element.place, repeats, suffix, resource)

    async def _child(
        self,
        output: Output,
        field: Field,
        values: Sequence[Any],
        place: str,
        repeats: bool,
        suffix: str,
        resource: Resource | None,
    ) -> None:
        """Put the values of a field where its directives say."""
        flattened, first = "flatten" in field.directives, "first" in field.directives
        chosen = kept(field, values, place)
        places = suffixes(field, chosen, place, suffix)
        if not place:
            for value, where in zip(chosen, places, strict=True):
                if value is not None:
                    output.add(field, where, [value], repeats=repeats and not first)
            return
        objects = [(value, where) for value, where in zip(chosen, places, strict=True) if isinstance(value, Mapping)]
        if flattened:  # one after the other, since their fields come to stand in one object
            for value, where in objects:
                actual, holder = _place_of(value, place), resource or value
                inherited = repeats and not first
                await self.object(output, field.fields, value, actual, holder, inherited=inherited, suffix=where)
            return
        targets = [Output() for _ in objects]
        await _together(
            self.object(target, field.fields, value, _place_of(value, place), resource or value)
            for target, (value, _) in zip(targets, objects, strict=True)
        )
        for target, (_, where) in zip(targets, objects, strict=True):
            output.add(field, where, [target], repeats=repeats and not first)

    async def _follow(
        self, output: Output, field: Field, reference: Resource, resource: Resource, inherited: bool, suffix: str
    ) -> None:
        """A Reference's resource (graphql.html#references)."""
        wanted = field.arguments.get("type")
        optional = field.arguments.get("optional") is True
        try:
            found = await self._target(str(reference.get("reference", "")), resource, wanted)
        except InvalidInput:
            if optional:
                return
            raise
        if found is not None:
            await self._child(output, _without_arguments(field), [found], "Resource", inherited, suffix, None)

    async def _target(self, text: str, resource: Resource, wanted: str | None) -> Resource | None:
        """The resource that a reference names; None when another type is wanted. Raises InvalidInput."""
        if text.startswith("#"):
            contained = [c for c in resource.get("contained", ()) if c.get("id") == text[1:]]
            if not contained:
                raise InvalidInput("a reference names nothing that is contained", code="not-found")
            return contained[0] if wanted in (None, contained[0].get("resourceType")) else None
        parts = text.removeprefix(f"{self._base}/").split("/")
        if len(parts) not in (2, 4) or parts[0] not in resource_types() or not references.parse(text).is_address:
            raise InvalidInput("a reference cannot be followed: it leads elsewhere, or names nothing", code="not-found")
        return await self.resource(parts[0], parts[1]) if wanted in (None, parts[0]) else None

    async def resource(self, resource_type: str, id_: str) -> Resource:
        """A resource as the gate shows it. Raises InvalidInput with the gate's code when it does not."""
        key = (resource_type, id_)
        if key not in self._known:
            self._spend()
            self._known[key] = asyncio.ensure_future(self._read(*key))
        found = await self._known[key]
        if isinstance(found, Refusal):
            raise InvalidInput(found.because, code=found.code)
        return json.parse(found.text.encode())

    async def _read(self, resource_type: str, id_: str) -> Disclosed | Refusal:
        async with self._turn:
            return await self._disclose.read(self._requester, resource_type, id_)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise QueryFault(f"the query needs more than {self._max_reads} reads and searches", code="too-costly")

    async def _list(self, output: Output, field: Field, focus: Resource | None) -> None:
        listed = lists_of(field.name)
        assert listed is not None  # checked before
        resource_type, kind = listed
        if resource_type in VIEWS:
            raise QueryFault(f"{resource_type} is asked for over REST", code="not-supported", at=field.at)
        arguments = dict(field.arguments)
        condition = arguments.pop("fhirpath", None)
        if focus is not None:
            parameter = str(arguments.pop("_reference")).replace("_", "-")
            arguments[parameter] = f"{focus['resourceType']}/{focus['id']}"
        if kind == "List":
            await self._whole_list(output, field, resource_type, search_pairs(arguments), condition)
        else:
            await self._connection(output, field, resource_type, arguments, condition)

    async def _whole_list(
        self, output: Output, field: Field, resource_type: str, pairs: list[tuple[str, str]], condition: Any
    ) -> None:
        """All that is found, or an error: a list is never cut silently (graphql.html#searching)."""
        asked = dict(pairs).get("_count")
        count = min(int(asked), _LONGEST_LIST) if asked and asked.isdecimal() else _LONGEST_LIST
        page = await self._search(resource_type, pairs, None, count, total=False, at=field.at)
        if page.position is not None and asked is None:
            told = f"{field.name} finds more than {_LONGEST_LIST}; narrow it, or page with {resource_type}Connection"
            raise QueryFault(told, code="too-costly", at=field.at)
        found = _matching(page, condition, resource_type, field)
        await self._child(output, _without_arguments(field), found, resource_type, True, "", None)

    async def _connection(
        self, output: Output, field: Field, resource_type: str, arguments: dict[str, Any], condition: Any
    ) -> None:
        token = arguments.pop("cursor", None) or arguments.pop("_cursor", None)
        after, offset = None, 0
        if token is not None:
            if arguments:
                raise QueryFault("with a cursor the search cannot be changed", code="not-supported", at=field.at)
            pairs, after, offset = self._opened(str(token), resource_type)
        else:
            pairs = search_pairs(arguments)
        asked = dict(pairs).get("_count")
        count = min(int(asked), _LONGEST_LIST) if asked and asked.isdecimal() else _PAGE
        page = await self._search(resource_type, pairs, after, count, total=True, at=field.at)
        following = None
        if page.position is not None:
            following = self._cursor(resource_type, pairs, list(page.position), offset + len(page.entries))
        facts = {
            "count": page.total,
            "offset": offset,
            "pagesize": count,
            "pageSize": count,
            "first": self._cursor(resource_type, pairs, None, 0),
            "next": following,
        }
        found = _matching(page, condition, resource_type, field)
        target = Output()
        for inner in flat(field.fields, None):
            if inner.name == "__typename":
                target.add(inner, "", [f"{resource_type}Connection"], repeats=False)
            elif inner.name == "edges":
                for document in found:
                    edge = Output()
                    await self._edge(edge, inner.fields, document, resource_type)
                    target.add(inner, "", [edge], repeats=True)
            elif facts.get(inner.name) is not None:
                target.add(inner, "", [facts[inner.name]], repeats=False)
        output.add(field, "", [target], repeats=False)

    async def _edge(self, output: Output, fields: Fields, document: Resource, resource_type: str) -> None:
        for field in flat(fields, None):
            if field.name == "__typename":
                output.add(field, "", [f"{resource_type}Edge"], repeats=False)
            elif field.name == "mode":
                output.add(field, "", ["match"], repeats=False)
            elif field.name == "resource":
                await self._child(output, field, [document], resource_type, False, "", None)

    async def _search(
        self,
        resource_type: str,
        pairs: Sequence[tuple[str, str]],
        after: Sequence[Any] | None,
        count: int,
        *,
        total: bool,
        at: tuple[int, int],
    ) -> DisclosedPage:
        self._spend()
        query = parse_search(resource_type, pairs)
        if query.includes or query.summary or query.elements or query.warnings:
            raise QueryFault("a list takes search parameters, _filter, _sort and _count", code="not-supported", at=at)
        async with self._turn:
            page = await self._disclose.search(
                self._requester, query, after=after, count=count, asked=urlencode(pairs), with_total=total
            )
        if isinstance(page, Refusal):
            raise InvalidInput(page.because, code=page.code)
        return page

    def _cursor(self, resource_type: str, pairs: Sequence[tuple[str, str]], position: Any, offset: int) -> str:
        """Sealed, since it carries the values that were asked for."""
        value = plain_json.dumps([resource_type, [list(pair) for pair in pairs], position, offset]).encode()
        return base64.urlsafe_b64encode(seal(self._key, value, b"graphql cursor")).decode()

    def _opened(self, token: str, resource_type: str) -> tuple[list[tuple[str, str]], list[Any] | None, int]:
        try:
            sealed = base64.urlsafe_b64decode(token.encode())
            stored, pairs, position, offset = plain_json.loads(open_sealed(self._key, sealed, b"graphql cursor"))
        except (HealthSyncError, ValueError):
            stored = pairs = position = offset = None
        if stored != resource_type or pairs is None:
            raise InvalidInput("this cursor was not made by this hub for this type; search anew", code="value")
        return [(name, value) for name, value in pairs], position, int(offset or 0)


def _matching(page: DisclosedPage, condition: Any, resource_type: str, field: Field) -> list[dict[str, Any]]:
    """The resources of a page; a FHIRPath is applied after paging, so that pages may be shorter."""
    found = [json.parse(entry.text.encode()) for entry in page.entries]
    if condition is None:
        return found
    return [document for document in found if holds(str(condition), document, resource_type, field)]


def _place_of(value: Resource, place: str) -> str:
    """Where a resource's own properties are defined, when the element may hold any."""
    resource_type = value.get("resourceType")
    return str(resource_type) if place == "Resource" and resource_type in resource_types() else place


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Resolve beside each other, as many at a time as the gate is asked; raises the first fault in their order."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _without_arguments(field: Field) -> Field:
    """Arguments that chose a resource do not filter its elements."""
    return Field(field.name, field.key, {}, field.directives, field.fields, field.at)
