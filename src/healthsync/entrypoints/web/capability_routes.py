"""GET metadata: what this server does, made from the routes that are registered (http.html#capabilities)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync import __version__
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.show_audit import SEARCHED_BY
from healthsync.exchange.operations.subscription_operations import SUBSCRIPTION_PROFILE, websocket_url
from healthsync.exchange.operations.terminology import EXPANSION_PARAMETERS
from healthsync.exchange.surfaces import Surface
from healthsync.standards.fhir import json
from healthsync.standards.fhir.capability import (
    EVERY_TYPE,
    Operation,
    ResourceSupport,
    Server,
    capability_statement,
    terminology_capabilities,
)
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.search_parameters import revision

from . import answers
from .fhir_routes import PATCH_TYPES, VIEWS, FhirRoutes
from .requests import base_of, negotiate
from .router import Router

# surface, its word in `fhir.capabilities`, its code in http://hl7.org/fhir/restful-interaction
_OF_TYPES = (
    ("fhir.read", "read", "read"),
    ("fhir.vread", "vread", "vread"),
    ("fhir.update", "update", "update"),
    ("fhir.patch", "patch", "patch"),
    ("fhir.delete", "delete", "delete"),
    ("fhir.history", "history", "history-instance"),
    ("fhir.history_type", "history", "history-type"),
    ("fhir.create", "create", "create"),
    ("fhir.search", "search", "search-type"),
)
_OF_SYSTEM = (
    ("fhir.bundle", None, "transaction"),
    ("fhir.bundle", None, "batch"),
    ("fhir.search_system", "search", "search-system"),
    ("fhir.history_system", "history", "history-system"),
)

_KEPT_TEXTS = 8
"""Statements kept as text: 0.7 MB each, one for each address that senders know the server by."""

_HL7 = "http://hl7.org/fhir"
_TERMINOLOGY_SERVER = f"{_HL7}/CapabilityStatement/terminology-server"
_DEFINITIONS = {
    ("", "export"): f"{_HL7}/uv/bulkdata/OperationDefinition/export",
    ("Patient", "export"): f"{_HL7}/uv/bulkdata/OperationDefinition/patient-export",
    ("Group", "export"): f"{_HL7}/uv/bulkdata/OperationDefinition/group-export",
    ("DocumentReference", "docref"): f"{_HL7}/us/core/OperationDefinition/docref",
    ("Subscription", "status"): f"{_HL7}/uv/subscriptions-backport/OperationDefinition/backport-subscription-status",
    ("Subscription", "events"): f"{_HL7}/uv/subscriptions-backport/OperationDefinition/backport-subscription-events",
    (
        "Subscription",
        "get-ws-binding-token",
    ): f"{_HL7}/uv/subscriptions-backport/OperationDefinition/backport-subscription-get-ws-binding-token",
    ("", "import"): "urn:healthsync:operation:import",
    ("Patient", "ihe-pix"): "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix",
    ("Patient", "golden"): "urn:healthsync:operation:golden",
    ("Patient", "idi-match"): f"{_HL7}/us/identity-matching/OperationDefinition/IDI-match",
    ("", "closure"): f"{_HL7}/OperationDefinition/ConceptMap-closure",
    ("ValueSet", "batch-validate-code"): "urn:healthsync:operation:batch-validate-code",
}
"""Operations that R4 itself does not define, by type ("": of the server) and name."""

_OF_SOME_TYPES = {"everything": ("Encounter", "Patient")}
"""Operations that are registered for all types at once, and answer for these."""


def operations(surfaces: Iterable[Surface]) -> tuple[Operation, ...]:
    """The operations among registered surfaces: an address `/fhir/Type/…/$name` is one, whoever serves it."""
    found: dict[tuple[str, str], Operation] = {}
    for surface in surfaces:
        _, *parts = surface.path.strip("/").split("/")
        if surface.channel != "http" or not surface.path.startswith("/fhir/") or not parts[-1].startswith("$"):
            continue
        name, owner = parts[-1][1:], parts[0] if len(parts) > 1 else ""
        standard = "Resource" if owner in ("", "{type}") else owner
        definition = _DEFINITIONS.get((owner, name), f"{_HL7}/OperationDefinition/{standard}-{name}")
        if owner == "{type}" and name in _OF_SOME_TYPES:
            for each in _OF_SOME_TYPES[name]:
                found[each, name] = Operation(name, f"{_HL7}/OperationDefinition/{each}-{name}", (each,))
            continue
        types = () if not owner else EVERY_TYPE if owner == "{type}" else (owner,)
        found[owner, name] = Operation(name, definition, types, system=not owner)
    return tuple(found[key] for key in sorted(found))


class CapabilityRoutes:
    """The handlers of `metadata`; `router` has the routes of all others by the time they are called."""

    def __init__(self, hub: Any, fhir: FhirRoutes, router: Router) -> None:
        self._hub, self._fhir, self._router = hub, fhir, router
        self._published = hub.clock.now().isoformat(timespec="seconds")
        self._text = lru_cache(_KEPT_TEXTS)(self._written)

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("fhir.capabilities", self.capabilities)
        router.add("fhir.options", self.capabilities)

    async def capabilities(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET metadata, OPTIONS /: the CapabilityStatement, or with mode=terminology the TerminologyCapabilities."""
        negotiate(request)
        mode = request.query_params.get("mode", "full")
        if mode not in ("full", "normative", "terminology"):
            raise InvalidInput("mode is full, normative or terminology", code="value")
        reduced = answers.reduction(request.query_params)
        base = base_of(request)
        if mode == "terminology":
            systems = await self._hub.terminology_operations.systems()
            text = json.dump(terminology_capabilities(self._server(base), systems, EXPANSION_PARAMETERS))
        else:
            text = self._text(base, revision())
        return answers.fhir(json.dump(reduced(json.parse(text))) if reduced else text)

    def _written(self, base: str, parameters: int) -> bytes:
        """`parameters` is the revision of the search parameters, for which a text is kept."""
        return json.dump(capability_statement(self._server(base), self._supported))

    def _server(self, base: str) -> Server:
        return Server(
            base_url=base,
            software_version=__version__,
            published=self._published,
            interactions=self._codes(_OF_SYSTEM),
            operations=tuple(operation for operation in self._operations if operation.system),
            patch_formats=PATCH_TYPES[:2],
            instantiates=(_TERMINOLOGY_SERVER,) if self._fhir.offer.includes("ValueSet") else (),
            security="Authorization: Bearer with an API key or a signed token (RS256, ES384).",
            cors=bool(self._hub.settings.http.origins),
            oauth=self._hub.settings.authentication.jwt is not None,
            websocket=websocket_url(base),
        )

    @cached_property
    def _operations(self) -> tuple[Operation, ...]:
        return operations(route.surface for route in self._router.routes)

    @cached_property
    def _supported(self) -> list[ResourceSupport]:
        return [self._support(each) for each in sorted(resource_types()) if self._fhir.offer.includes(each)]

    def _support(self, resource_type: str) -> ResourceSupport:
        offered = self._codes(_OF_TYPES)
        codes = tuple(code for code in offered if code in VIEWS.get(resource_type, offered))
        fhir = self._hub.settings.fhir
        policy = ("literal", "logical", "local") + (("enforced",) if fhir.reference_integrity == "enforce" else ())
        return ResourceSupport(
            resource_type,
            codes,
            operations=()
            if resource_type in VIEWS
            else tuple(each for each in self._operations if each.is_of(resource_type)),
            conditional_create="create" in codes,
            conditional_update="update" in codes,
            conditional_delete=fhir.conditional_delete if "delete" in codes else "not-supported",
            update_create="update" in codes and fhir.update_create,
            includes=resource_type not in VIEWS,
            reference_policy=policy if "create" in codes else (),
            profiles=(SUBSCRIPTION_PROFILE,) if resource_type == "Subscription" else (),
            topics=self._hub.subscription_operations.topics if resource_type == "Subscription" else (),
            searched_by=SEARCHED_BY if resource_type == "AuditEvent" else None,
        )

    def _codes(self, known: Iterable[tuple[str, str | None, str]]) -> tuple[str, ...]:
        """The codes of what is registered and offered."""
        served = {route.surface.name for route in self._router.routes}
        opened = self._fhir.offer.interactions
        return tuple(
            code
            for surface, word, code in known
            if surface in served and (opened is None or word is None or word in opened)
        )
