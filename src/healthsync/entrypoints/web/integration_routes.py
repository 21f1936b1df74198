"""/api/integrations: the interoperability helpers of requirements-integration-hub.md, with bodies in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Refusal
from healthsync.standards.fhir import json

from . import answers, integration_openapi
from .requests import base_of, body_of, content_of, media_type_in, requester_of
from .router import Router

PREFIX = "/api/integrations"
_JSON = ("application/json", "application/fhir+json")
_HL7 = ("x-application/hl7-v2+er7", "application/hl7-v2", "text/plain")


class IntegrationRoutes:
    """The handlers of /api/integrations."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("openapi", "fhir_patient", "import_patient", "hl7_adt", "hl7_parse"):
            router.add(f"integrations.{name}", getattr(self, name))

    async def openapi(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET openapi.json: this API, described."""
        base = urlsplit(base_of(request))._replace(path=PREFIX).geturl()
        return answers.plain(integration_openapi.document(base))

    async def fhir_patient(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST fhir/patient: a patient record as FHIR."""
        requester = await requester_of(self._hub, request)
        made = await self._hub.interoperate.fhir_patient(requester, json.parse(await body_of(request, _JSON)))
        return answers.refusal(made) if isinstance(made, Refusal) else answers.fhir(json.dump(made))

    async def import_patient(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST fhir/patient/import: a FHIR Patient into the hub."""
        requester = await requester_of(self._hub, request)
        patient = json.parse(await body_of(request, _JSON))
        stored, record = await self._hub.interoperate.import_patient(requester, patient)
        answer = answers.plain(
            {"outcome": stored.outcome, "patient": record}, 201 if stored.outcome == "created" else 200
        )
        answer.headers["Location"] = f"{base_of(request)}/Patient/{stored.id}"
        return answer

    async def hl7_adt(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST hl7/adt: an ADT about a patient record."""
        requester = await requester_of(self._hub, request)
        made = await self._hub.interoperate.hl7_adt(requester, json.parse(await body_of(request, _JSON)))
        return answers.refusal(made) if isinstance(made, Refusal) else answers.plain(made)

    async def hl7_parse(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST hl7/parse: a message, as JSON `{"message": "MSH|…"}` or as it is, taken apart."""
        requester = await requester_of(self._hub, request)
        if media_type_in(request) in _HL7:
            message = await content_of(request)
        else:
            text = json.parse(await body_of(request, _JSON)).get("message")
            if not isinstance(text, str):
                raise InvalidInput('send {"message": "MSH|…"}, or the message itself as text/plain', code="structure")
            message = text.encode()
        return answers.plain(await self._hub.interoperate.hl7_parse(requester, message))
