"""Operations that find: Composition/[id]/$document, DocumentReference/$docref, List/$find, Observation/$lastn,
Patient/[id]/$golden, Patient/$ihe-pix, Patient/$match, [type]/[id]/$graph."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.exchange.disclose import Disclosed, Likely, NoCrossReference, NotCrossReferenced, Refusal
from healthsync.exchange.operations.cross_references import CrossReference
from healthsync.exchange.operations.docref import FindDocuments
from healthsync.exchange.operations.document import MakeDocument
from healthsync.exchange.operations.find_list import FindList
from healthsync.exchange.operations.graph import FollowGraph
from healthsync.exchange.operations.lastn import LastObservations
from healthsync.exchange.operations.match import MatchPatients
from healthsync.standards.fhir import bundles, json
from healthsync.standards.fhir.outcome import Issue, operation_outcome
from healthsync.standards.fhir.parameters import answer

from . import answers
from .operation_requests import parameters_of
from .paging import Pages
from .requests import base_of
from .router import Router

_NOT_CROSS_REFERENCED = {
    NoCrossReference.SOURCE: (404, "not-found", "sourceIdentifier Patient Identifier not found"),
    NoCrossReference.SOURCE_DOMAIN: (400, "code-invalid", "sourceIdentifier Assigning Authority not found"),
    NoCrossReference.TARGET_DOMAIN: (403, "code-invalid", "targetSystem not found"),
    NoCrossReference.SEVERAL_PERSONS: (409, "conflict", "sourceIdentifier is borne by several persons here"),
}
"""Status, issue type and words of the answer (IHE ITI-83 §2:3.83.4.2.2.2 to .4; the last one is ours)."""


class OperationRoutes:
    """The handlers. `begin` authenticates and checks the address, as for every FHIR request."""

    def __init__(self, hub: Any, pages: Pages, begin: Any) -> None:
        self._pages, self._begin = pages, begin
        self._golden, self._match = hub.disclose.golden, MatchPatients(hub.disclose)
        self._cross_reference = CrossReference(hub.disclose)
        self._find_list, self._follow_graph = FindList(hub.disclose), FollowGraph(hub.disclose)
        self._make_document, self._clock = MakeDocument(hub.disclose), hub.clock
        self._find_documents, self._last_observations = FindDocuments(hub.disclose), LastObservations(hub.disclose)

    def register(self, router: Router) -> None:
        """Put every handler under its surfaces."""
        for surface in ("fhir.docref", "fhir.docref.post"):
            router.add(surface, self.docref)
        for surface in ("fhir.lastn", "fhir.lastn.post"):
            router.add(surface, self.lastn)
        for surface in ("fhir.find_list", "fhir.find_list.post"):
            router.add(surface, self.find_list)
        for surface in ("fhir.document", "fhir.document.post"):
            router.add(surface, self.document)
        for surface in ("fhir.graph", "fhir.graph.post"):
            router.add(surface, self.graph)
        for surface in ("fhir.ihe_pix", "fhir.ihe_pix.post"):
            router.add(surface, self.cross_references)
        router.add("fhir.golden", self.golden)
        router.add("fhir.match", self.match)
        router.add("fhir.idi_match", self.idi_match)

    async def docref(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST DocumentReference/$docref."""
        requester = await self._begin(request, {"type": "DocumentReference"}, "search")
        found = await self._find_documents(requester, await parameters_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        return self._searchset(request, "DocumentReference/$docref", found.entries, found.warnings)

    async def lastn(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Observation/$lastn."""
        requester = await self._begin(request, {"type": "Observation"}, "search")
        found = await self._last_observations(requester, await parameters_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        return self._searchset(request, "Observation/$lastn", found)

    async def find_list(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST List/$find."""
        requester = await self._begin(request, {"type": "List"}, "search")
        found = await self._find_list(requester, await parameters_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        response = answers.resource(found)
        response.headers["Location"] = f"{base_of(request)}/{found.reference}"
        return response

    async def graph(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Type/id/$graph."""
        requester = await self._begin(request, names, "read")
        found = await self._follow_graph(requester, names["type"], names["id"], await parameters_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        return answers.fhir(json.dump(bundles.collection(_resources(found), base=base_of(request))))

    async def document(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Composition/id/$document."""
        requester = await self._begin(request, {"type": "Composition", **names}, "read")
        found = await self._make_document(requester, names["id"], await parameters_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        at = self._clock.now().isoformat(timespec="milliseconds")
        identifier = {"system": "urn:ietf:rfc:3986", "value": uuid.uuid4().urn}
        bundle = bundles.collection(_resources(found), base=base_of(request))
        return answers.fhir(json.dump({**bundle, "type": "document", "identifier": identifier, "timestamp": at}))

    async def cross_references(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Patient/$ihe-pix."""
        requester = await self._begin(request, {"type": "Patient"}, "search")
        found = await self._cross_reference(requester, await parameters_of(request), base_of(request))
        if isinstance(found, Refusal):
            return answers.refusal(found)
        if isinstance(found, NotCrossReferenced):
            status, code, told = _NOT_CROSS_REFERENCED[found.why]
            return answers.outcome([Issue("error", code, None, told)], status)
        numbers = [("targetIdentifier", "valueIdentifier", number) for number in found.identifiers]
        patients = [("targetId", "valueReference", {"reference": reference}) for reference in found.patients]
        return answers.fhir(json.dump(answer([*numbers, *patients])))

    async def golden(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Patient/[id]/$golden."""
        requester = await self._begin(request, {"type": "Patient", **names}, "read")
        found = await self._golden(requester, names["id"])
        return answers.refusal(found) if isinstance(found, Refusal) else answers.resource(found)

    async def match(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Patient/$match."""
        requester = await self._begin(request, {"type": "Patient"}, "search")
        found = await self._match(requester, await parameters_of(request, sole="resource"))
        return self._likely(request, found, "$match")

    async def idi_match(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Patient/$idi-match."""
        requester = await self._begin(request, {"type": "Patient"}, "search")
        found = await self._match(requester, await parameters_of(request, sole="resource"), weighted=True)
        return self._likely(request, found, "$idi-match")

    def _likely(self, request: Request, found: Sequence[Likely] | Refusal, operation: str) -> Response:
        if isinstance(found, Refusal):
            return answers.refusal(found)
        base = base_of(request)
        bundle = bundles.searchset(
            [
                bundles.Found(
                    "Patient",
                    one.disclosed.id,
                    msgspec.Raw(one.disclosed.text.encode()),
                    score=round(one.score, 4),
                    grade=str(one.grade),
                )
                for one in found
            ],
            base=base,
            links=self._pages.of(base).links(f"Patient/{operation}", [], None),
            total=len(found),
        )
        return answers.fhir(json.dump(bundle))

    def _searchset(
        self, request: Request, path: str, entries: Sequence[Disclosed], warnings: Sequence[str] = ()
    ) -> Response:
        """The links name no parameter, because they would hold a patient's values."""
        issues = [Issue("warning", "not-supported", None, warning) for warning in warnings]
        bundle = bundles.searchset(
            [bundles.Found(e.resource_type, e.id, msgspec.Raw(e.text.encode())) for e in entries],
            base=base_of(request),
            links=self._pages.of(base_of(request)).links(path, [], None),
            total=len(entries),
            outcome=operation_outcome(issues) if issues else None,
        )
        return answers.fhir(json.dump(bundle))


def _resources(found: Sequence[Disclosed]) -> list[tuple[str, str, msgspec.Raw]]:
    return [(each.resource_type, each.id, msgspec.Raw(each.text.encode())) for each in found]
