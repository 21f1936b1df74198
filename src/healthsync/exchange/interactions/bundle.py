"""batch and transaction (http.html#transaction).

A transaction is one submission: every identity is resolved first (urn:uuid references, conditions), then all is stored in
one commit or nothing. A batch is a row of independent requests, each with its own answer.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from healthsync.domains.access import Interaction, Requester
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, NotSupported
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.exchange.ingest import Incoming, InvalidResource, PreconditionFailed, Stored
from healthsync.exchange.interactions.write import Write
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.fhir import json, references
from healthsync.standards.fhir.outcome import from_error, http_status, operation_outcome
from healthsync.standards.fhir.query import parse as parse_query

_LETTERS = {"POST": Interaction.CREATE, "PUT": Interaction.UPDATE, "DELETE": Interaction.DELETE}
_MODES = {"POST": "create", "PUT": "update", "DELETE": "delete"}
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3}
_ETAG = re.compile(r'^(?:W/)?"(\d+)"$')
_DEFAULT_PAGE = 50


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a Bundle: its place, what it asks and what it carries."""

    position: int
    method: str
    resource_type: str
    id: str | None
    query: str
    full_url: str | None
    resource: dict[str, Any] | None
    if_none_exist: str | None
    if_match: int | None

    @property
    def place(self) -> str:
        """FHIRPath of the entry, for errors."""
        return f"Bundle.entry[{self.position}]"


class ProcessBundle:
    """Runs batches and transactions."""

    def __init__(self, database: Database, write: Write, disclose: Disclose) -> None:
        self._database, self._write, self._disclose = database, write, disclose

    async def __call__(self, requester: Requester, bundle: Mapping[str, Any]) -> dict[str, Any]:
        """The response Bundle.

        A transaction raises what its first bad entry deserves, and stores nothing; a batch answers entry by entry.
        """
        kind = bundle.get("type")
        entries = bundle.get("entry", [])
        if bundle.get("resourceType") != "Bundle" or kind not in ("batch", "transaction") or not isinstance(entries, list):
            raise InvalidInput("send a Bundle of type batch or transaction here", code="invalid", expression="Bundle.type")
        if kind == "transaction":
            answers = await self._transaction(requester, [_read(p, entry) for p, entry in enumerate(entries)])
        else:
            answers = [await self._alone(requester, position, entry) for position, entry in enumerate(entries)]
        return {"resourceType": "Bundle", "type": f"{kind}-response", "entry": answers}

    async def _transaction(self, requester: Requester, entries: Sequence[_Entry]) -> list[dict[str, Any]]:
        """(1) authorise all, (2) resolve every identity, (3) point the references there, (4) store together, (5) read."""
        for entry in entries:  # (1)
            if entry.method in _LETTERS:
                await self._write.authorise(requester, _LETTERS[entry.method], entry.resource_type)
        writes = sorted((e for e in entries if e.method != "GET"), key=lambda e: _ORDER[e.method])
        answers: dict[int, dict[str, Any]] = {}
        async with self._database.transaction() as tx:
            known: dict[int, Stored] = {}
            ids: dict[int, str] = {}
            for entry in writes:  # (2)
                found = await self._condition(tx, requester, entry)
                if found is not None and entry.method == "POST":
                    known[entry.position] = found
                ids[entry.position] = found.id if found else entry.id or str(uuid.uuid4())
            moved = {e.full_url: f"{e.resource_type}/{ids[e.position]}" for e in writes if e.full_url}  # (3)
            incoming = [_incoming(e, ids[e.position], moved) for e in writes if e.position not in known]
            _refuse_overlap(incoming)
            stored = await self._write.submit(tx, requester, "transaction", incoming) if incoming else []  # (4)
        done = iter(stored)
        for entry in writes:
            answers[entry.position] = _written(known.get(entry.position) or next(done))
        for entry in entries:
            if entry.method == "GET":  # (5)
                answers[entry.position] = await self._read(requester, entry)
        return [answers[entry.position] for entry in entries]

    async def _alone(self, requester: Requester, position: int, raw: Any) -> dict[str, Any]:
        try:
            entry = _read(position, raw)
            if entry.method == "GET":
                return await self._read(requester, entry)
            return (await self._transaction(requester, [entry]))[0]
        except HealthSyncError as problem:
            issues = problem.issues if isinstance(problem, InvalidResource) else [from_error(problem)]
            status = 412 if isinstance(problem, PreconditionFailed) else http_status(problem.code)
            return {"response": {"status": str(status), "outcome": operation_outcome(issues)}}

    async def _condition(self, tx: Transaction, requester: Requester, entry: _Entry) -> Stored | None:
        """What an If-None-Exist or a conditional update or delete finds."""
        condition = entry.if_none_exist if entry.method == "POST" else entry.query
        if not condition:
            return None
        found = await self._write.match(tx, requester, entry.resource_type, condition)
        if entry.method == "DELETE" and found is None:
            raise NotFound(f"{entry.place} finds nothing to delete")
        own = (entry.resource or {}).get("id")
        if found is not None and entry.method == "PUT" and own is not None and own != found.id:
            raise InvalidInput(f"{entry.place} carries another id than the resource that its condition finds")
        return found

    async def _read(self, requester: Requester, entry: _Entry) -> dict[str, Any]:
        if entry.id is None:
            query = parse_query(entry.resource_type, parse_qsl(entry.query, keep_blank_values=True))
            count = min(query.count if query.count is not None else _DEFAULT_PAGE, 1000)
            page = await self._disclose.search(requester, query, after=None, count=count, asked=entry.query)
            if isinstance(page, Refusal):
                return _refused(page)
            hits = [{"resource": json.parse(e.text.encode()), "search": {"mode": "match"}} for e in page.entries]
            bundle = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "entry": hits}
            return {"resource": bundle, "response": {"status": "200"}}
        found = await self._disclose.read(requester, entry.resource_type, entry.id)
        if isinstance(found, Refusal):
            return _refused(found)
        return {"resource": json.parse(found.text.encode()), "response": _response("200", found)}


def _read(position: int, raw: Any) -> _Entry:
    """Take an entry apart. Raises InvalidInput that names the entry."""
    place = f"Bundle.entry[{position}]"
    request = raw.get("request") if isinstance(raw, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(request.get("url"), str):
        raise InvalidInput(f"{place} has no request with method and url", code="required", expression=place)
    method, (path, _, query) = request.get("method"), request["url"].partition("?")
    if method not in _ORDER:
        raise NotSupported(f"{place}: this server runs GET, POST, PUT and DELETE in a Bundle")
    segments = path.strip("/").split("/")
    resource = raw.get("resource")
    if method in ("POST", "PUT") and not isinstance(resource, dict):
        raise InvalidInput(f"{place} carries no resource", code="required", expression=place)
    if resource is not None and method in ("POST", "PUT") and resource.get("resourceType") != segments[0]:
        raise InvalidInput(f"{place}: the resource is of another type than its url says", expression=place)
    if len(segments) > 2 or (method == "POST" and len(segments) > 1):
        raise NotSupported(f"{place}: this server does not run such a url in a Bundle")
    id_ = segments[1] if len(segments) == 2 else None
    if method == "PUT" and id_ is not None and resource is not None and resource.get("id", id_) != id_:
        raise InvalidInput(f"{place}: the resource has another id than its url", expression=place)
    if method in ("PUT", "DELETE") and id_ is None and not query:
        raise InvalidInput(f"{place}: {method} needs an id or a condition", code="required", expression=place)
    etag = _ETAG.match(request.get("ifMatch") or "")
    full_url = raw.get("fullUrl")
    return _Entry(
        position, method, segments[0], id_, query, full_url if isinstance(full_url, str) else None, resource,
        request.get("ifNoneExist"), int(etag[1]) if etag else None,
    )  # fmt: skip


def _incoming(entry: _Entry, id_: str, moved: Mapping[str, str]) -> Incoming:
    if entry.method == "DELETE":
        return Incoming({"resourceType": entry.resource_type, "id": id_}, "delete", if_match=entry.if_match)
    assert entry.resource is not None
    resource = references.rewrite({**entry.resource, "id": id_}, moved)
    for expression, text in references.referenced(resource):
        if text.startswith("urn:uuid:"):
            raise InvalidInput(f"{entry.place}: {expression} names a urn that no entry has", code="not-found")
        if "?" in text and references.parse(text).kind is references.Kind.CONDITIONAL:
            raise NotSupported(f"{entry.place}: conditional references are not resolved yet")
    return Incoming(resource, _MODES[entry.method], if_match=entry.if_match)  # type: ignore[arg-type]


def _refuse_overlap(incoming: Sequence[Incoming]) -> None:
    seen: set[tuple[str, str]] = set()
    for entry in incoming:
        if entry.key in seen:
            raise InvalidInput(f"{entry.key[0]}/{entry.key[1]} stands twice in one transaction", code="duplicate")
        seen.add(entry.key)


def _written(stored: Stored) -> dict[str, Any]:
    status = {"created": "201", "deleted": "204"}.get(stored.outcome, "200")
    return {"response": _response(status, stored)}


def _response(status: str, found: Stored | Disclosed) -> dict[str, Any]:
    return {
        "status": status,
        "location": f"{found.resource_type}/{found.id}/_history/{found.version}",
        "etag": f'W/"{found.version}"',
        "lastModified": found.updated_at.isoformat(timespec="milliseconds"),
    }


def _refused(refusal: Refusal) -> dict[str, Any]:
    outcome = operation_outcome([from_error(InvalidInput(refusal.because, code=refusal.code))])
    return {"response": {"status": str(http_status(refusal.code)), "outcome": outcome}}
