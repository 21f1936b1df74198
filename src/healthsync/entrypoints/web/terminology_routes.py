"""The operations of the terminology module over HTTP (terminology-service.html)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.standards.fhir import json

from . import answers
from .operation_requests import parameters_of
from .router import Handler, Router

Operation = Callable[..., Awaitable[dict[str, Any]]]

_SOLE = {"ValueSet": "valueSet", "CodeSystem": "codeSystem", "ConceptMap": "conceptMap"}
"""The parameter that is a resource, of the operations on a type."""


class TerminologyRoutes:
    """The handlers of terminology. `begin` authenticates and checks the address, as for every FHIR request."""

    def __init__(self, hub: Any, begin: Any) -> None:
        self._operations, self._begin = hub.terminology_operations, begin

    def register(self, router: Router) -> None:
        """Put every operation under its surfaces."""
        ask = self._operations
        for name, resource_type, operation in (
            ("fhir.expand", "ValueSet", ask.expand),
            ("fhir.validate_in_value_set", "ValueSet", ask.validate_in_value_set),
            ("fhir.validate_in_code_system", "CodeSystem", ask.validate_in_code_system),
            ("fhir.subsumes", "CodeSystem", ask.subsumes),
            ("fhir.translate", "ConceptMap", ask.translate),
        ):
            for surface in (name, f"{name}.post", f"{name}.instance", f"{name}.instance.post"):
                router.add(surface, self._handler(resource_type, operation))
        for surface in ("fhir.lookup", "fhir.lookup.post"):
            router.add(surface, self._handler("CodeSystem", ask.lookup))
        router.add("fhir.batch_validate", self._handler("ValueSet", ask.batch_validate))
        router.add("fhir.closure", self._closure)

    def _handler(self, resource_type: str, operation: Operation) -> Handler:
        speaks = "header_language" in inspect.signature(operation).parameters
        sole = _SOLE.get(resource_type)

        async def handle(request: Request, names: Mapping[str, str]) -> Response:
            await self._begin(request, {"type": resource_type, **names}, "read")
            asked = await parameters_of(request, sole=sole)
            instance = (names["id"],) if "id" in names else ()
            spoken = {"header_language": request.headers.get("accept-language")} if speaks else {}
            return answers.fhir(json.dump(await operation(asked, *instance, **spoken)))

        return handle

    async def _closure(self, request: Request, names: Mapping[str, str]) -> Response:
        requester = await self._begin(request, {"type": "ConceptMap", **names}, "read")
        return answers.fhir(json.dump(await self._operations.closure(await parameters_of(request), requester)))
