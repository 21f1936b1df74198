"""One resource over HTTP (http.html): read, vread, create, update, patch, delete, and their conditional forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.exchange.ingest import Stored
from healthsync.exchange.interactions.patches import JSON_PATCH, Patch, fhirpath_patch, json_patch, merge_patch
from healthsync.exchange.interactions.write import expected_version
from healthsync.exchange.offer import NotOffered, Offer
from healthsync.standards.fhir import binaries, bundles, json, references
from healthsync.standards.fhir.definitions import resource_types

from . import answers
from .paging import Pages
from .requests import (
    FHIR_TYPES,
    UnsupportedMediaType,
    base_of,
    body_of,
    content_of,
    is_unchanged,
    legal_id,
    media_type_in,
    media_type_of,
    negotiate,
    preferred,
    requester_of,
    wants_fhir,
)
from .router import Router

VIEWS = {"AuditEvent": ("read", "search-type"), "Person": ("read",)}
"""Types that show what other parts of the hub hold, the audit log and the master patient index, and how."""

PATCH_TYPES = (JSON_PATCH, *FHIR_TYPES)

_VERSION = re.compile(r"[1-9][0-9]{0,8}")

_WRITES = ("create", "update", "patch", "delete")


class FhirRoutes:
    """The handlers of /fhir that are about one resource. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._base: str = hub.settings.fhir.address
        self._path: str = hub.settings.fhir.base_path
        self.pages = Pages(hub.keyring.derive("page cursor"), self._base)
        self.offer = Offer.of(hub.settings.fhir)

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("read", "vread", "create", "update", "patch", "delete"):
            router.add(f"fhir.{name}", getattr(self, name))
        for name in ("update_where", "patch_where", "delete_where"):
            router.add(f"fhir.{name}", getattr(self, name))

    async def read(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id."""
        requester = await self.begin(request, names, "read")
        reduced = answers.reduction(request.query_params)
        if names["type"] == "AuditEvent":
            return _one(request, await self._hub.show_audit.read(requester, names["id"]), reduced)
        return _one(request, await self._hub.disclose.read(requester, names["type"], names["id"]), reduced)

    async def vread(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET Type/id/_history/version."""
        requester = await self.begin(request, names, "vread")
        reduced = answers.reduction(request.query_params)
        if not _VERSION.fullmatch(names["version"]):
            raise NotFound("there is no such version")
        found = await self._hub.disclose.vread(requester, names["type"], names["id"], int(names["version"]))
        return _one(request, found, reduced)

    async def create(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type, also with If-None-Exist. Criteria in the address are such a condition too, as fhirpy sends it:
        passed over, they would double what they mean to find."""
        requester = await self.begin(request, names, "create")
        resource = await self._resource(request, names["type"])
        condition = request.headers.get("if-none-exist", urlencode(_criteria(request)) or None)
        stored = await self._hub.write.create(requester, resource, if_none_exist=condition)
        shown = None
        if stored.outcome == "unchanged":  # what the condition found is somebody else's: the gate shows it or not
            shown = await self._hub.disclose.read(requester, stored.resource_type, stored.id)
        return self._written(request, stored, shown)

    async def update(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT Type/id, also for an id that is new here."""
        requester = await self.begin(request, names, "update")
        resource = await self._resource(request, names["type"], names["id"])
        if resource.get("id") != names["id"]:
            raise InvalidInput("the resource must carry the id of its URL", code="invalid", expression="Resource.id")
        stored = await self._hub.write.update(requester, resource, if_match=_expected(request))
        return self._written(request, stored)

    async def update_where(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT Type?criteria."""
        requester = await self.begin(request, names, "update")
        resource = await self._resource(request, names["type"])
        condition = _condition(request)
        stored = await self._hub.write.update_where(requester, resource, condition, if_match=_expected(request))
        return self._written(request, stored)

    async def patch(self, request: Request, names: Mapping[str, str]) -> Response:
        """PATCH Type/id."""
        requester = await self.begin(request, names, "patch")
        change = await self._patch(request)
        stored = await self._hub.write.patch(requester, names["type"], names["id"], change, if_match=_expected(request))
        return self._written(request, stored)

    async def patch_where(self, request: Request, names: Mapping[str, str]) -> Response:
        """PATCH Type?criteria."""
        requester = await self.begin(request, names, "patch")
        change = await self._patch(request)
        stored = await self._hub.write.patch_where(
            requester, names["type"], _condition(request), change, if_match=_expected(request)
        )
        return self._written(request, stored)

    async def delete(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE Type/id: the current version goes, history stays."""
        requester = await self.begin(request, names, "delete")
        gone = await self._hub.write.delete(requester, names["type"], names["id"], if_match=_expected(request))
        return _deleted(request, [gone] if gone is not None else [])

    async def delete_where(self, request: Request, names: Mapping[str, str]) -> Response:
        """DELETE Type?criteria."""
        requester = await self.begin(request, names, "delete")
        gone = await self._hub.write.delete_where(
            requester, names["type"], _condition(request), if_match=_expected(request)
        )
        return _deleted(request, gone)

    async def begin(self, request: Request, names: Mapping[str, str], interaction: str | None) -> Requester:
        """(1) who asks, (2) is this an address of R4, (3) does this hub offer it, (4) in the format wanted?"""
        requester = await requester_of(self._hub, request)  # (1)
        resource_type = names.get("type")
        if resource_type is not None and resource_type not in resource_types():  # (2)
            raise InvalidInput("the URL names no resource type of FHIR R4", code="not-found")
        if "id" in names:
            legal_id(names["id"], is_new=interaction == "update")
        if interaction is not None:
            self._offered(resource_type, interaction)  # (3)
        if resource_type != "Binary" or wants_fhir(request):
            negotiate(request)  # (4)
        return requester

    def own_bases(self, request: Request) -> tuple[str, ...]:
        """The addresses that mean this server: references through them are references to its own resources."""
        base = base_of(request)
        return (base, base.removesuffix(self._path) + "/api/fhir")

    def _offered(self, resource_type: str | None, interaction: str) -> None:
        self.offer.check(resource_type, interaction)
        if resource_type in VIEWS and interaction in _WRITES:
            raise NotOffered(f"{resource_type} is a view of what the hub knows and cannot be written", ("GET",))

    async def _resource(self, request: Request, resource_type: str, id_: str | None = None) -> dict[str, Any]:
        media_type = media_type_in(request)
        is_raw = resource_type == "Binary" and media_type not in (*FHIR_TYPES, "")
        body = await (content_of(request) if is_raw else body_of(request, FHIR_TYPES))
        resource = {} if is_raw else json.parse(body)
        if resource_type == "Binary" and resource.get("resourceType") != "Binary":  # content, be it FHIR itself
            context = request.headers.get("x-security-context")
            received = binaries.received(body, media_type, context, id_)
            return references.localise(received, self.own_bases(request))
        if resource.get("resourceType") != resource_type:
            raise InvalidInput(
                f"the body is no {resource_type}; send it to the URL of its type", expression="Resource.resourceType"
            )
        bases = self.own_bases(request)
        return references.localise(resource, bases) if references.may_name(body, bases) else resource

    async def _patch(self, request: Request) -> Patch:
        media_type = media_type_of(request)
        if media_type not in PATCH_TYPES:
            raise UnsupportedMediaType(f"send a patch as {JSON_PATCH}, or Parameters as {FHIR_TYPES[0]}")
        body = await body_of(request, PATCH_TYPES)
        if media_type == JSON_PATCH:
            return json_patch(body)
        document = references.localise(json.parse(body), self.own_bases(request))
        if media_type == "application/json" and document.get("resourceType") != "Parameters":
            return merge_patch(document)  # as fhirpy sends it; FHIR's own media type is read strictly
        return fhirpath_patch(document)

    def _written(self, request: Request, stored: Stored, shown: Disclosed | Refusal | None = None) -> Response:
        asked = preferred(request) or "representation"
        if isinstance(shown, Refusal):
            asked = "minimal" if asked == "representation" else asked
        body = shown.text.encode() if isinstance(shown, Disclosed) else None
        return answers.written(stored, asked, base_of(request), body)


def _one(request: Request, found: Disclosed | Refusal, reduced: answers.Reduction | None) -> Response:
    if isinstance(found, Refusal):
        return answers.refusal(found)
    if is_unchanged(request, found.version, found.updated_at):
        return answers.not_modified(found)
    if found.resource_type == "Binary" and not wants_fhir(request):
        return answers.binary(found)
    return answers.resource(found, reduced)


def _deleted(request: Request, gone: list[Stored]) -> Response:
    """204, or 200 with an OperationOutcome for who asks for one (http.html#delete)."""
    headers = {"ETag": f'W/"{gone[0].version}"'} if len(gone) == 1 else {}
    if preferred(request) != "OperationOutcome":
        return Response(status_code=204, headers=headers)
    told = f"{len(gone)} resources were deleted; their history stays" if gone else "there was nothing to delete"
    return answers.outcome([answers.Issue("information", "informational", None, told)], 200, headers)


def _expected(request: Request) -> int | None:
    return expected_version(request.headers.get("if-match"), request.headers.get("if-none-match"))


def _condition(request: Request) -> bundles.Pairs:
    """The criteria of a conditional write: of the query all but what formats the answer."""
    pairs = _criteria(request)
    if not pairs:
        raise InvalidInput("name the resource by Type/id, or give search criteria", code="required")
    return pairs


def _criteria(request: Request) -> list[tuple[str, str]]:
    return [pair for pair in request.query_params.multi_items() if pair[0] not in ("_format", "_pretty")]
