"""Bundles: reading what a batch or transaction asks for, and building the answers (bundle.html, http.html#transaction).

A transaction is carried out in the standard's order whatever the order of its entries, and its entries may refer to
each other by `fullUrl` before they have an identity. The caller decides the identities (new ids, matches of conditional
requests), gives them to `link_map`, and rewrites each resource with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import references
from healthsync.standards.fhir.definitions import resource_types

Json = dict[str, Any]
Pairs = list[tuple[str, str]]
Body = Json | msgspec.Raw
"""A resource as a dict, or as JSON text that goes out untouched."""


class Method(Enum):
    """HTTP verbs of Bundle.entry.request.method."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    PATCH = "PATCH"


# http.html#trules: delete, create, update and patch, then read and search
_ORDER = {Method.DELETE: 0, Method.POST: 1, Method.PUT: 2, Method.PATCH: 2, Method.GET: 3, Method.HEAD: 3}


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of a batch or transaction; `position` is its place in the Bundle, where its answer goes."""

    position: int
    method: Method
    path: tuple[str, ...]  # ("Patient", "1"), ("Patient", "1", "_history", "2"), ("metadata",), ()
    query: Pairs
    resource: Json | None = None
    full_url: str | None = None
    if_none_exist: Pairs | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None

    @property
    def type(self) -> str | None:
        return self.path[0] if self.path and self.path[0] in resource_types() else None

    @property
    def id(self) -> str | None:
        return self.path[1] if len(self.path) == 2 and self.type and not self.path[1].startswith(("$", "_")) else None

    @property
    def is_operation(self) -> bool:
        """`$everything`, `_search`: no interaction with one resource, and answered as its address answers."""
        return any(part.startswith("$") or part == "_search" for part in self.path)

    @property
    def writes(self) -> bool:
        """A create, update, patch or delete."""
        return self.method not in {Method.GET, Method.HEAD} and not self.is_operation

    @property
    def condition(self) -> Pairs | None:
        """The search that finds the target of a conditional create, update, patch or delete."""
        if self.method is Method.POST:
            return self.if_none_exist
        return self.query if self.writes and self.id is None else None


def kind(bundle: Json, *, most_entries: int) -> str:
    """`batch` or `transaction`.

    Raises InvalidInput: `structure` for any other Bundle, `too-long` (413) for one with more entries than are taken.
    """
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("batch", "transaction"):
        raise InvalidInput(
            "only a Bundle of type batch or transaction can be carried out; POST others to /Bundle to keep them",
            code="structure",
            expression="Bundle.type",
        )
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InvalidInput("entry must be an array", code="structure", expression="Bundle.entry")
    if len(entries) > most_entries:
        raise InvalidInput(
            f"a Bundle may have {most_entries} entries here; send it in parts",
            code="too-long",
            expression="Bundle.entry",
        )
    return bundle["type"]


def batch(bundle: Json) -> list[Entry | InvalidInput]:
    """The entries of a batch, each read on its own: a faulty one becomes its error and disturbs no other."""
    entries: list[Entry | InvalidInput] = []
    for position, entry in enumerate(bundle.get("entry", ())):
        try:
            entries.append(read_entry(entry, position))
        except InvalidInput as problem:
            entries.append(problem)
    return entries


def transaction(bundle: Json) -> list[Entry]:
    """The entries of a transaction in processing order: DELETE, POST, PUT and PATCH, GET and HEAD (http.html#trules).

    Raises InvalidInput for the first entry that cannot be read and when two entries share a fullUrl.
    """
    entries = [read_entry(entry, position) for position, entry in enumerate(bundle.get("entry", ()))]
    urls = [entry.full_url for entry in entries if entry.full_url and entry.method is not Method.GET]
    if len(set(urls)) != len(urls):
        raise InvalidInput("two entries have the same fullUrl", code="invariant", expression="Bundle.entry")
    return sorted(entries, key=lambda entry: _ORDER[entry.method])


def read_entry(entry: Any, position: int) -> Entry:
    """One entry's request, checked as far as the entry itself shows. Raises InvalidInput with its expression."""
    expression = f"Bundle.entry[{position}]"
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise InvalidInput("the entry needs a request with method and url", code="required", expression=expression)
    method = next((each for each in Method if each.value == request.get("method")), None)
    if method is None:
        raise InvalidInput("the method is not one of HTTP's", code="code-invalid", expression=f"{expression}.request")
    if not isinstance(entry.get("resource", {}), dict):
        raise InvalidInput("a resource is an object", code="structure", expression=f"{expression}.resource")
    if any(not isinstance(request.get(name, ""), str) for name in _CONDITIONS):
        raise InvalidInput("a condition of a request is text", code="structure", expression=f"{expression}.request")
    path, query = split_url(request["url"])
    found = Entry(
        position,
        method,
        path,
        query,
        entry.get("resource"),
        full_url if isinstance(full_url := entry.get("fullUrl"), str) else None,
        parse_query(request["ifNoneExist"]) if "ifNoneExist" in request else None,
        request.get("ifMatch"),
        request.get("ifNoneMatch"),
        request.get("ifModifiedSince"),
    )
    _check(found, expression)
    return found


_CONDITIONS = ("ifNoneExist", "ifMatch", "ifNoneMatch", "ifModifiedSince")


def split_url(url: str) -> tuple[tuple[str, ...], Pairs]:
    """Path and decoded query of a request url; that of an absolute one starts at its resource type."""
    path, _, query = url.partition("?")
    parts = [unquote(part) for part in re.sub(r"^https?://[^/]+", "", path).split("/") if part]
    if "://" in path:
        start = next((place for place, part in enumerate(parts) if part in resource_types()), 0)
        parts = parts[start:]
    return tuple(parts), parse_qsl(query, keep_blank_values=True)


def parse_query(text: str) -> Pairs:
    """Decoded name/value pairs in order, repeated and empty ones kept; a leading `?` or `Type?` is dropped."""
    return parse_qsl(re.sub(r"^(?:[A-Z][A-Za-z]*)?\?", "", text), keep_blank_values=True)


def _check(entry: Entry, expression: str) -> None:
    if entry.writes:
        _check_address(entry, expression)
    if entry.method in {Method.POST, Method.PUT} and entry.writes:
        if entry.resource is None:
            raise InvalidInput("the entry needs a resource", code="required", expression=expression)
        if entry.resource.get("resourceType") != entry.type:
            raise InvalidInput("url and resource differ in their type", code="invalid", expression=expression)
    if entry.method is Method.PUT and entry.id is not None and (entry.resource or {}).get("id") != entry.id:
        raise InvalidInput("the id of the resource must be that of the url", code="invalid", expression=expression)
    if entry.method is Method.PATCH and (entry.resource or {}).get("resourceType") not in ("Binary", "Parameters"):
        raise InvalidInput(
            "a patch is a Binary with a JSON Patch, or Parameters with a FHIRPath Patch",
            code="required",
            expression=expression,
        )


def _check_address(entry: Entry, expression: str) -> None:
    """A create has the address of a type, an update, patch or delete that of a resource or of a search."""
    if entry.type is None and entry.method is Method.POST and not entry.path:
        raise InvalidInput("a Bundle cannot be carried out inside another", code="not-supported", expression=expression)
    if entry.type is None:
        code = "not-found" if entry.path else "invalid"
        raise InvalidInput("the url names no resource type of R4", code=code, expression=expression)
    if entry.method is Method.POST:
        if len(entry.path) != 1:
            raise InvalidInput("a create goes to the url of its type", code="invalid", expression=expression)
    elif entry.id is None and not (len(entry.path) == 1 and entry.query):
        verb = entry.method.value
        raise InvalidInput(f"a {verb} needs Type/id or search criteria", code="invalid", expression=expression)


# --- identities and links -----------------------------------------------------------------------------------------


def link_map(entries: Iterable[Entry], identities: Mapping[int, str]) -> dict[str, str]:
    """fullUrl -> `Type/id`, to be given to `references.rewrite`; `identities` holds the target of each position.

    An entry whose fullUrl is RESTful is also found by the relative reference that resolves to it
    (bundle.html#references).
    """
    links: dict[str, str] = {}
    for entry in entries:
        target = identities.get(entry.position)
        if target is None or entry.full_url is None:
            continue
        links[entry.full_url] = target
        found = references.parse(entry.full_url)
        if found.kind is references.Kind.ABSOLUTE:
            links[f"{found.type}/{found.id}"] = target
    return links


def refuse_overlaps(identities: Iterable[str]) -> None:
    """http.html#trules: a transaction that changes one resource twice fails, conditional targets included."""
    listed = list(identities)
    if len(set(listed)) != len(listed):
        raise InvalidInput("two entries of the transaction change the same resource", code="invariant")


def conditional_references(resource: Json) -> dict[str, tuple[str, Pairs]]:
    """References like `Patient?identifier=x` -> (type, criteria); each must match one resource (http.html#trules).

    Raises InvalidInput for one to what is no resource type.
    """
    found: dict[str, tuple[str, Pairs]] = {}
    for text in references.texts(resource):
        reference = references.parse(text)
        if reference.kind is references.Kind.CONDITIONAL:
            if (kind := str(reference.type)) not in resource_types():
                raise InvalidInput("a conditional reference names no resource type of R4", code="value")
            found[text] = (kind, parse_query(text))
    return found


def unresolved(resource: Json) -> list[str]:
    """Expressions of references that still point at a `urn:uuid:` or `urn:oid:` after rewriting."""
    if not any(references.parse(text).kind is references.Kind.URN for text in references.texts(resource)):
        return []
    return [
        place for place, text in references.referenced(resource) if references.parse(text).kind is references.Kind.URN
    ]


# --- answers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource, for a history; `resource` is None where it was deleted, and `begins` says that it was
    created or brought back."""

    type: str
    id: str
    version: int
    last_updated: str  # an instant
    resource: Body | None
    method: Method
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one entry: `status` is an HTTP status such as 201, `key` the type and id that `resource` has."""

    status: int
    resource: Body | None = None
    location: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    outcome: Body | None = None
    key: tuple[str, str] | None = None


# RFC 9110 §15: Bundle.entry.response.status begins with the code and "should" carry the words
_PHRASES = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    409: "Conflict", 410: "Gone", 412: "Precondition Failed", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable",
}  # fmt: skip


MATCH_GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a searchset: `mode` is match, include or outcome; `grade` is a code of match-grade."""

    type: str
    id: str
    resource: Body
    mode: str = "match"
    score: float | None = field(default=None)
    grade: str | None = field(default=None)


def searchset(
    found: Sequence[Found],
    *,
    base: str,
    links: Mapping[str, str],
    total: int | None = None,
    outcome: Json | None = None,
) -> Json:
    """A searchset. `links` maps self, next, … to URLs; `outcome` carries warnings about how the search was read."""
    entries: list[Json] = [_found(each, base) for each in found]
    if outcome is not None:
        entries.append({"resource": outcome, "search": {"mode": "outcome"}})
    return _bundle("searchset", links, entries, total)


def collection(resources: Iterable[tuple[str, str, Body]], *, base: str) -> Json:
    """A collection of resources, each with its type and id."""
    entries: list[Json] = [{"fullUrl": full_url(base, *key), "resource": body} for *key, body in resources]
    return _bundle("collection", {}, entries, None)


def history(versions: Sequence[Version], *, base: str, links: Mapping[str, str], total: int | None = None) -> Json:
    """A history, newest first as given: each version with the request that made it."""
    return _bundle("history", links, [_version(version, base) for version in versions], total)


def responses(bundle_type: str, answers: Sequence[Response], *, base: str) -> Json:
    """A `batch-response` or `transaction-response`; answers stand in the order of the request's entries."""
    return _bundle(f"{bundle_type}-response", {}, [_response(answer, base) for answer in answers], None)


def address(base: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A link under the base of the server."""
    return f"{base.rstrip('/')}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def full_url(base: str, resource_type: str, resource_id: str) -> str:
    return f"{base.rstrip('/')}/{resource_type}/{resource_id}"


def _bundle(bundle_type: str, links: Mapping[str, str], entries: list[Json], total: int | None) -> Json:
    bundle: Json = {"resourceType": "Bundle", "type": bundle_type}
    if total is not None:
        bundle["total"] = total
    if links:
        bundle["link"] = [{"relation": relation, "url": url} for relation, url in links.items()]
    if entries:
        bundle["entry"] = entries
    return bundle


def _found(found: Found, base: str) -> Json:
    search: Json = {"mode": found.mode}
    if found.score is not None:
        search["score"] = found.score
    if found.grade is not None:
        search["extension"] = [{"url": MATCH_GRADE, "valueCode": found.grade}]
    return {"fullUrl": full_url(base, found.type, found.id), "resource": found.resource, "search": search}


def _version(version: Version, base: str) -> Json:
    address = f"{version.type}/{version.id}"
    entry: Json = {"fullUrl": full_url(base, version.type, version.id)}
    if version.resource is not None:
        entry["resource"] = version.resource
    entry["request"] = {
        "method": version.method.value,
        "url": version.type if version.method is Method.POST else address,
    }
    status = 204 if version.method is Method.DELETE else 201 if version.begins else 200
    entry["response"] = {
        "status": _status(status),
        "etag": f'W/"{version.version}"',
        "lastModified": version.last_updated,
    }
    return entry


def _status(code: int) -> str:
    return f"{code} {_PHRASES.get(code, '')}".strip()


def _response(answer: Response, base: str) -> Json:
    response: Json = {"status": _status(answer.status)}
    for name, value in (("location", answer.location), ("etag", answer.etag), ("lastModified", answer.last_modified)):
        if value is not None:
            response[name] = value
    if answer.outcome is not None:
        response["outcome"] = answer.outcome
    entry: Json = {"response": response}
    if answer.resource is not None:
        if answer.key is not None:  # whatever has an id has a fullUrl (bundle.html#bundle-unique)
            entry = {"fullUrl": full_url(base, *answer.key), **entry}
        entry["resource"] = answer.resource
    return entry
