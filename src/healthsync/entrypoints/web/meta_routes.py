"""$meta of a resource, a type and the hub; $meta-add and $meta-delete of a resource (resource-operations.html)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.exchange.disclose import Refusal
from healthsync.exchange.interactions.write import if_match_version
from healthsync.exchange.operations.meta_in_use import MetaInUse
from healthsync.standards.fhir import json, meta

from . import answers
from .fhir_routes import FhirRoutes
from .requests import FHIR_TYPES, body_of
from .router import Router

Json = dict[str, Any]


class MetaRoutes:
    """The handlers. A change of meta is a change of the resource: it makes a version and passes the gate in."""

    def __init__(self, hub: Any, fhir: FhirRoutes) -> None:
        self._hub, self._fhir = hub, fhir
        self._in_use = MetaInUse(hub.disclose)

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("fhir.meta", self.meta)
        router.add("fhir.meta_post", self.meta)
        for name in ("meta_type", "meta_type_post", "meta_system", "meta_system_post"):
            router.add(f"fhir.{name}", self.meta_in_use)
        router.add("fhir.meta_add", self.meta_add)
        router.add("fhir.meta_delete", self.meta_delete)

    async def meta(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Type/id/$meta."""
        requester = await self._fhir.begin(request, names, "read")
        found = await self._hub.disclose.read(requester, names["type"], names["id"])
        if isinstance(found, Refusal):
            return answers.refusal(found)
        shown = json.parse(found.text.encode()).get("meta", {})
        return answers.fhir(
            json.dump(meta.answer(shown)), headers=answers.version_headers(found.version, found.updated_at)
        )

    async def meta_in_use(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET or POST Type/$meta, $meta."""
        requester = await self._fhir.begin(request, names, "search")
        found = await self._in_use(requester, names.get("type", ""))
        return answers.refusal(found) if isinstance(found, Refusal) else answers.fhir(json.dump(meta.answer(found)))

    async def meta_add(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type/id/$meta-add."""
        return await self._change(request, names, meta.added)

    async def meta_delete(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Type/id/$meta-delete; taking a security label away needs a role that may."""
        return await self._change(request, names, meta.removed)

    async def _change(
        self, request: Request, names: Mapping[str, str], change: Callable[[Json, Json], Json]
    ) -> Response:
        requester = await self._fhir.begin(request, names, "update")
        given = meta.given(json.parse(await body_of(request, FHIR_TYPES)))
        stored = await self._hub.write.patch(
            requester,
            names["type"],
            names["id"],
            lambda resource: change(resource, given),
            if_match=if_match_version(request.headers.get("if-match")),
        )
        headers = answers.version_headers(stored.version, stored.updated_at)
        return answers.fhir(json.dump(meta.answer(stored.resource["meta"])), headers=headers)
