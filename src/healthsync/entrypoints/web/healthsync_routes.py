"""The REST API of requirements-healthsync.md under /api/v1/healthsync: FHIR resources under friendlier addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.exchange.disclose import Refusal
from healthsync.standards.fhir import json

from . import answers
from .requests import legal_id, requester_of
from .router import Router

ALIAS = "pat_"
"""Prefix of patient ids in this API (settlement 1): `pat_` is no legal FHIR id, so /fhir never shows it."""


class HealthsyncRoutes:
    """The handlers of /api/v1/healthsync."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("healthsync.patient", self.patient)

    async def patient(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET patients/{id}: the Patient, its id with the prefix that it was asked for."""
        requester = await requester_of(self._hub, request)
        id_ = legal_id(names["id"].removeprefix(ALIAS))
        found = await self._hub.disclose.read(requester, "Patient", id_)
        if isinstance(found, Refusal):
            return answers.refusal(found)
        patient = json.parse(found.text.encode()) | {"id": f"{ALIAS}{found.id}"}
        return answers.fhir(json.dump(patient), headers=answers.version_headers(found.version, found.updated_at))
