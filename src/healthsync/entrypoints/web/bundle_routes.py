"""POST /: batch and transaction (http.html#transaction)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.standards.fhir import json, references

from . import answers
from .fhir_routes import FhirRoutes
from .inner_requests import InnerRequests
from .requests import FHIR_TYPES, base_of, body_of, preferred
from .router import Router


class BundleRoutes:
    """The handler of the server's own address."""

    def __init__(self, hub: Any, fhir: FhirRoutes, inner: InnerRequests) -> None:
        self._hub, self._fhir, self._inner = hub, fhir, inner

    def register(self, router: Router) -> None:
        """Put the handler under its surface."""
        router.add("fhir.bundle", self.bundle)

    async def bundle(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST /: what each entry asks for is checked there."""
        requester = await self._fhir.begin(request, {}, None)
        bundle = references.localise(json.parse(await body_of(request, FHIR_TYPES)), self._fhir.own_bases(request))
        answer = await self._hub.process_bundle(
            requester,
            bundle,
            dispatch=partial(self._inner, request, requester),
            preferred=preferred(request) or "minimal",
            base=base_of(request),
        )
        return answers.fhir(json.dump(answer))
