"""The ASGI application: finds the route, calls its handler, turns errors into answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import HealthSyncError, InvalidInput, NotFound
from healthsync.exchange.authenticate import CredentialRefused
from healthsync.infrastructure.telemetry import logger, metrics, span

from . import answers
from .application_routes import ApplicationRoutes
from .bulk_routes import BulkRoutes
from .bundle_routes import BundleRoutes
from .capability_routes import CapabilityRoutes
from .destination_routes import DestinationRoutes
from .fhir_routes import PATCH_TYPES, FhirRoutes
from .graphql_routes import GraphqlRoutes
from .healthsync_routes import HealthsyncRoutes
from .history_routes import HistoryRoutes
from .identity_routes import IdentityRoutes
from .inner_requests import InnerRequests
from .integration_routes import IntegrationRoutes
from .job_routes import JobRoutes
from .local_code_routes import LocalCodeRoutes
from .message_routes import MessageRoutes
from .meta_routes import MetaRoutes
from .operation_routes import OperationRoutes
from .origins import Origins
from .quality_routes import QualityRoutes
from .requests import BASE, Fields, HubRequest, NotAcceptable, UnsupportedMediaType, public_base
from .router import Router
from .search_routes import SearchRoutes
from .subscription_routes import SubscriptionRoutes, SubscriptionSockets
from .terminology_routes import TerminologyRoutes
from .validate_routes import ValidateRoutes

_log = logger(__name__)
_requests = metrics.counter("healthsync_http_requests", "HTTP requests, by surface and status.", ("surface", "status"))
_seconds = metrics.histogram("healthsync_http_seconds", "Time from the request's head to the answer.", ("surface",))


class Application:
    """HTTP face of a hub."""

    def __init__(self, hub: Any, ready: Callable[[], Any], others_metrics: Callable[[], Iterable[Path]] = list) -> None:
        self._ready, self._others_metrics = ready, others_metrics
        self._address: str = hub.settings.fhir.address
        self.router = Router()
        fhir = FhirRoutes(hub)
        fhir.register(self.router)
        HistoryRoutes(hub, fhir).register(self.router)
        MetaRoutes(hub, fhir).register(self.router)
        BundleRoutes(hub, fhir, InnerRequests(self.router, self._answer)).register(self.router)
        CapabilityRoutes(hub, fhir, self.router).register(self.router)
        search = SearchRoutes(hub, fhir.pages, fhir.begin)
        search.register(self.router)
        HealthsyncRoutes(hub, fhir, search, self.router).register(self.router)
        BulkRoutes(hub).register(self.router)
        JobRoutes(hub).register(self.router)
        MessageRoutes(hub).register(self.router)
        IdentityRoutes(hub, fhir.begin).register(self.router)
        QualityRoutes(hub).register(self.router)
        DestinationRoutes(hub).register(self.router)
        SubscriptionRoutes(hub).register(self.router)
        GraphqlRoutes(hub).register(self.router)
        TerminologyRoutes(hub, fhir.begin).register(self.router)
        LocalCodeRoutes(hub).register(self.router)
        OperationRoutes(hub, fhir.pages, fhir.begin).register(self.router)
        ValidateRoutes(hub, fhir.begin).register(self.router)
        IntegrationRoutes(hub).register(self.router)
        ApplicationRoutes(hub).register(self.router)
        self._origins = Origins(hub.settings.http.origins)
        self._own_parameters = hub.own_parameters
        self._sockets = SubscriptionSockets(hub)
        self._socket_paths = {f"{base}/websocket" for base in ("/fhir", "/api/fhir", hub.settings.fhir.base_path)}
        self.router.add("metrics", self._metrics)
        self.router.add("livez", self._livez)
        self.router.add("readyz", self._readyz)
        self.router.alias("/api/fhir", "/fhir")
        if hub.settings.fhir.base_path != "/fhir":
            self.router.alias(hub.settings.fhir.base_path, "/fhir")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI 3. Lifespan is the business of `serve`."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        fields = Fields(scope["headers"])
        scope[BASE] = public_base(scope.get("scheme", "http"), fields.get("host", ""), self._address)
        route, names, allowed = self.router.find(scope["method"], scope["path"])
        name = route.surface.name if route else "none"
        if (preflight := self._origins.preflight(scope["method"], fields)) is not None:
            response = preflight
        elif route is None:
            response = _nowhere(allowed)
        else:
            with span("http request", surface=name):
                response = await self._answer(route.handler, HubRequest(scope, receive, fields), names, name)
        answers.name_exchange(fields, response)
        self._origins.mark(fields, response)
        if b"_pretty=true" in scope.get("query_string", b""):
            response = answers.pretty(response)
        if scope["method"] == "HEAD":
            response.body = b""  # the head is that of a GET, with its Content-Length (RFC 9110 §9.3.2)
        await response(scope, receive, send)
        _counted(name, response.status_code).inc()
        _timed(name).observe(time.perf_counter() - started)

    async def _socket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] in self._socket_paths:
            await self._sockets(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async def _answer(self, handler: Any, request: Request, names: Mapping[str, str], name: str) -> Response:
        try:
            _refuse_nul(request.scope)
            if name not in _OF_THE_PROCESS:
                await self._own_parameters.refresh_before_reading()
            return await handler(request, names)
        except CredentialRefused as problem:
            return answers.error(problem)
        except UnsupportedMediaType as problem:
            told = {"Accept-Patch": ", ".join(PATCH_TYPES[:2])} if request.method == "PATCH" else None  # RFC 5789 §2.2
            return answers.outcome([answers.from_error(problem)], 415, told)
        except NotAcceptable as problem:
            return answers.outcome([answers.from_error(problem)], 406)
        except HealthSyncError as problem:
            response = answers.error(problem)
            if response.status_code >= 500:
                _log.error("a request failed", surface=name, reason=problem.code, exc_info=problem)
            return response
        except Exception as problem:
            _log.error("a request failed unexpectedly", surface=name, exc_info=problem)
            return answers.unexpected()

    async def _metrics(self, request: Request, names: Mapping[str, str]) -> Response:
        return Response(metrics.render(self._others_metrics()), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _livez(self, request: Request, names: Mapping[str, str]) -> Response:
        return answers.plain({"status": "alive"})

    async def _readyz(self, request: Request, names: Mapping[str, str]) -> Response:
        checks: dict[str, bool] = await self._ready()
        return answers.plain({"status": "ready" if all(checks.values()) else "not ready", "checks": checks},
                             200 if all(checks.values()) else 503)  # fmt: skip


@cache
def _counted(surface: str, status: int) -> Any:
    return _requests.labels(surface=surface, status=str(status))


@cache
def _timed(surface: str) -> Any:
    return _seconds.labels(surface=surface)


_OF_THE_PROCESS = frozenset({"metrics", "livez", "readyz"})
"""Surfaces that must answer without a database."""


def _refuse_nul(scope: Mapping[str, Any]) -> None:
    """No text that is stored has the NUL character, and PostgreSQL does not even compare with it."""
    if "\0" in scope["path"]:
        raise NotFound("there is nothing at this address")
    if b"%00" in scope["query_string"]:
        raise InvalidInput("a parameter may not contain the NUL character", code="value")


def _nowhere(allowed: set[str]) -> Response:
    if allowed:
        problem = answers.Issue("error", "not-supported", None, "this address does not take this method")
        methods = allowed | ({"HEAD"} if "GET" in allowed else set())
        return answers.outcome([problem], 405, {"Allow": ", ".join(sorted(methods))})
    return answers.error(NotFound("there is nothing at this address; FHIR is under /fhir"))
