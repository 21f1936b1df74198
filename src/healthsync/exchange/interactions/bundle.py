"""batch and transaction (http.html#transaction).

A transaction is one submission: every identity is resolved first (new ids, conditions, references between entries),
then all is stored in one commit or nothing. A batch is a row of independent requests, each with its own answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from healthsync.domains.access import Interaction, Requester
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, NotSupported
from healthsync.exchange.disclose import Disclose, Refusal
from healthsync.exchange.ingest import Incoming, InvalidResource, PreconditionFailed, Stored
from healthsync.exchange.interactions.write import Write, if_match_version
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.fhir import bundles, references
from healthsync.standards.fhir.bundles import Entry, Found, Method, Response
from healthsync.standards.fhir.outcome import from_error, http_status, operation_outcome
from healthsync.standards.fhir.query import parse as parse_search

_INTERACTIONS = {Method.POST: Interaction.CREATE, Method.PUT: Interaction.UPDATE, Method.DELETE: Interaction.DELETE}
_MODES: dict[Method, Literal["create", "update", "delete"]] = {
    Method.POST: "create",
    Method.PUT: "update",
    Method.DELETE: "delete",
}
_DEFAULT_PAGE, _LONGEST_PAGE = 50, 1000


class ProcessBundle:
    """Runs batches and transactions. `base` is the public address of the FHIR server."""

    def __init__(self, database: Database, write: Write, disclose: Disclose, base: str) -> None:
        self._database, self._write, self._disclose, self._base = database, write, disclose, base

    async def __call__(self, requester: Requester, bundle: dict[str, Any]) -> dict[str, Any]:
        """The response Bundle.

        A transaction raises what its first bad entry deserves, and stores nothing; a batch answers entry by entry.
        """
        kind = bundles.kind(bundle)
        if kind == "transaction":
            answers = await self._transaction(requester, bundles.transaction(bundle))
        else:
            answers = [await self._alone(requester, entry) for entry in bundles.batch(bundle)]
        return bundles.responses(kind, answers)

    async def _transaction(self, requester: Requester, entries: Sequence[Entry]) -> list[Response]:
        """(1) authorise all, (2) resolve identities, (3) point the references there, (4) store together, (5) read."""
        for entry in entries:  # (1)
            _refuse_unserved(entry)
            if entry.method in _INTERACTIONS:
                await self._write.authorise(requester, _INTERACTIONS[entry.method], str(entry.type))
        writes = [entry for entry in entries if entry.method in _INTERACTIONS]
        answers: dict[int, Response] = {}
        async with self._database.transaction() as tx:
            known, ids = await self._identities(tx, requester, writes)  # (2)
            targets = {entry.position: f"{entry.type}/{ids[entry.position]}" for entry in writes}
            bundles.refuse_overlaps(targets.values())
            links = bundles.link_map(writes, targets)
            changes = [entry for entry in writes if entry.position not in known]
            incoming = [
                await self._incoming(tx, requester, entry, ids[entry.position], links) for entry in changes
            ]  # (3)
            stored = await self._write.submit(tx, requester, "transaction", incoming) if incoming else []  # (4)
        for position, found in [*known.items(), *zip((e.position for e in changes), stored, strict=True)]:
            answers[position] = _written(found)
        for entry in entries:
            if entry.method is Method.GET:  # (5)
                answers[entry.position] = await self._read(requester, entry)
        return [answers[position] for position in sorted(answers)]

    async def _alone(self, requester: Requester, entry: Entry | InvalidInput) -> Response:
        try:
            if isinstance(entry, InvalidInput):
                raise entry
            return (await self._transaction(requester, [entry]))[0]
        except HealthSyncError as problem:
            issues = problem.issues if isinstance(problem, InvalidResource) else [from_error(problem)]
            status = 412 if isinstance(problem, PreconditionFailed) else http_status(problem.code)
            return Response(status, outcome=operation_outcome(issues))

    async def _identities(
        self, tx: Transaction, requester: Requester, writes: Sequence[Entry]
    ) -> tuple[dict[int, Stored], dict[int, str]]:
        """What conditional creates found already, and the id of every entry that writes."""
        known: dict[int, Stored] = {}
        ids: dict[int, str] = {}
        for entry in writes:
            found = None
            if entry.is_conditional:
                condition = entry.if_none_exist if entry.method is Method.POST else entry.query
                found = await self._write.match(tx, requester, str(entry.type), condition or [])
                if entry.method is Method.POST and found is not None:
                    known[entry.position] = found
                if entry.method is Method.DELETE and found is None:
                    raise NotFound(f"Bundle.entry[{entry.position}] finds nothing to delete")
            written = (entry.resource or {}).get("id") if entry.method is Method.PUT else None
            if found is not None and written not in (None, found.id):
                raise InvalidInput("the resource has another id than the one that its condition finds")
            ids[entry.position] = found.id if found else entry.id or written or str(uuid.uuid4())
        return known, ids

    async def _incoming(
        self, tx: Transaction, requester: Requester, entry: Entry, id_: str, links: Mapping[str, str]
    ) -> Incoming:
        if_match = if_match_version(entry.if_match)
        if entry.method is Method.DELETE:
            return Incoming({"resourceType": entry.type, "id": id_}, "delete", if_match=if_match)
        resource = references.rewrite({**(entry.resource or {}), "id": id_}, links)
        if conditional := bundles.conditional_references(resource):
            found = {text: await self._target(tx, requester, *wanted) for text, wanted in conditional.items()}
            resource = references.rewrite(resource, found)
        if places := bundles.unresolved(resource):
            raise InvalidInput("a reference names a urn that no entry has", code="not-found", expression=places[0])
        return Incoming(resource, _MODES[entry.method], if_match=if_match)

    async def _target(self, tx: Transaction, requester: Requester, resource_type: str, condition: bundles.Pairs) -> str:
        found = await self._write.match(tx, requester, resource_type, condition)
        if found is None:
            raise InvalidInput("a conditional reference finds nothing", code="not-found")
        return f"{found.resource_type}/{found.id}"

    async def _read(self, requester: Requester, entry: Entry) -> Response:
        if entry.id is None:
            return await self._search(requester, entry)
        found = await self._disclose.read(requester, str(entry.type), entry.id)
        if isinstance(found, Refusal):
            return _refused(found)
        return Response(
            200,
            resource=msgspec.Raw(found.text.encode()),
            etag=f'W/"{found.version}"',
            last_modified=found.updated_at.isoformat(timespec="milliseconds"),
        )

    async def _search(self, requester: Requester, entry: Entry) -> Response:
        query = parse_search(str(entry.type), entry.query)
        count = min(query.count if query.count is not None else _DEFAULT_PAGE, _LONGEST_PAGE)
        page = await self._disclose.search(requester, query, after=None, count=count, asked=urlencode(entry.query))
        if isinstance(page, Refusal):
            return _refused(page)
        found = [Found(e.resource_type, e.id, msgspec.Raw(e.text.encode())) for e in page.entries]
        return Response(200, resource=bundles.searchset(found, base=self._base, links={}, total=page.total))


def _refuse_unserved(entry: Entry) -> None:
    place = f"Bundle.entry[{entry.position}]"
    if entry.type is None or entry.method in (Method.PATCH, Method.HEAD):
        raise NotSupported(f"{place}: this server runs GET, POST, PUT and DELETE of resources in a Bundle")
    if len(entry.path) > 2 or (len(entry.path) == 2 and (entry.id is None or entry.method is Method.POST)):
        raise NotSupported(f"{place}: this server does not run such a url in a Bundle yet")


def _written(stored: Stored) -> Response:
    return Response(
        {"created": 201, "deleted": 204}.get(stored.outcome, 200),
        location=f"{stored.resource_type}/{stored.id}/_history/{stored.version}",
        etag=f'W/"{stored.version}"',
        last_modified=stored.updated_at.isoformat(timespec="milliseconds"),
    )


def _refused(refusal: Refusal) -> Response:
    issue = from_error(InvalidInput(refusal.because, code=refusal.code))
    return Response(http_status(refusal.code), outcome=operation_outcome([issue]))
