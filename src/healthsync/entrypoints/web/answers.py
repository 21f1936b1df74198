"""Answers in FHIR's words: resources with their headers, OperationOutcomes with their status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from starlette.responses import Response

from healthsync.errors import HealthSyncError
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.exchange.ingest import InvalidResource, PreconditionFailed
from healthsync.standards.fhir import json
from healthsync.standards.fhir.outcome import Issue, from_error, http_status, operation_outcome

FHIR_JSON = "application/fhir+json"


def fhir(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A FHIR JSON answer. Patient data must not stay in caches on the way (RFC 9111 §5.2.2.5)."""
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, FHIR_JSON)


def resource(found: Disclosed, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """One resource with ETag and Last-Modified (http.html#versions)."""
    return fhir(found.text.encode(), status, {**version_headers(found.version, found.updated_at), **(headers or {})})


def version_headers(version: int, updated_at: datetime) -> dict[str, str]:
    """ETag and Last-Modified of a version."""
    return {"ETag": f'W/"{version}"', "Last-Modified": format_datetime(updated_at, usegmt=True)}


def outcome(issues: Iterable[Issue], status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An OperationOutcome."""
    return fhir(json.dump(operation_outcome(issues)), status, headers)


def refusal(refused: Refusal) -> Response:
    """Why nothing leaves."""
    return outcome([Issue("error", refused.code, None, refused.because)], http_status(refused.code))


def error(problem: HealthSyncError) -> Response:
    """An error of ours: its message is written for strangers."""
    status, headers = status_of(problem), {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="healthsync"'
    if status == 503:
        headers["Retry-After"] = "5"
    issues = problem.issues if isinstance(problem, InvalidResource) else [from_error(problem)]
    return outcome(issues, status, headers)


def status_of(problem: HealthSyncError) -> int:
    """The HTTP status of an error of ours."""
    return 412 if isinstance(problem, PreconditionFailed) else http_status(problem.code)


def unexpected() -> Response:
    """A fault of ours: the log has the class, the stranger gets a sentence."""
    return outcome([Issue("fatal", "exception", None, "the hub failed on this request; it was logged")], 500)


def plain(value: Any, status: int = 200) -> Response:
    """A JSON answer that is no FHIR."""
    return Response(json.dump(value), status, {"Cache-Control": "no-store"}, "application/json")
