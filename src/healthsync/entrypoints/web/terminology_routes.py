"""The operations of the terminology module over HTTP (terminology-service.html)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.standards.fhir import json

from . import answers
from .operation_requests import parameters_of
from .router import Handler, Router

Operation = Callable[..., Awaitable[dict[str, Any]]]


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

    def _handler(self, resource_type: str, operation: Operation) -> Handler:
        async def handle(request: Request, names: Mapping[str, str]) -> Response:
            await self._begin(request, {"type": resource_type, **names}, "read")
            asked = await parameters_of(request)
            instance = (names["id"],) if "id" in names else ()
            return answers.fhir(json.dump(await operation(asked, *instance)))

        return handle
