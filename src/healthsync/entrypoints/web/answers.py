"""Answers in FHIR's words: resources with their headers, OperationOutcomes with their status."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.exchange.ingest import Stored
from healthsync.exchange.interactions.failures import issues_of, status_of
from healthsync.exchange.offer import NotOffered
from healthsync.standards.fhir import binaries, json, summary
from healthsync.standards.fhir.outcome import Issue, from_error, http_status, operation_outcome

__all__ = ["FHIR_JSON", "Issue", "from_error", "status_of"]

FHIR_JSON = "application/fhir+json"

_OF_FHIR = {"Cache-Control": "no-store", "Content-Type": f"{FHIR_JSON}; charset=utf-8"}
"""The charset is said although JSON has only one (http.html#mime-type: responses SHALL)."""

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Reduction = Callable[[dict[str, Any]], dict[str, Any]]
"""Leaves of a resource what `_summary` and `_elements` ask for."""


def fhir(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A FHIR JSON answer. Patient data must not stay in caches on the way (RFC 9111 §5.2.2.5)."""
    return Response(body, status, {**_OF_FHIR, **(headers or {})}, FHIR_JSON)


def resource(found: Disclosed, reduced: Reduction | None = None) -> Response:
    """One resource with ETag and Last-Modified (http.html#versions); untouched as it was stored, or in part."""
    text = found.text.encode()
    body = text if reduced is None else json.dump(reduced(json.parse(text)))
    return fhir(body, headers=version_headers(found.version, found.updated_at))


def binary(found: Disclosed) -> Response:
    """The content of a Binary in its own format (binary.html#rest); as a resource when there is none to show.

    Whoever stored it chose the format: a browser must not take it for a page of this server.
    """
    content = binaries.content(json.parse(found.text.encode()))
    if content is None:
        return resource(found)
    body, media_type, context = content
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
        **version_headers(found.version, found.updated_at),
        **({"X-Security-Context": context} if context else {}),
    }
    answer = Response(body, 200, headers)
    answer.headers["Content-Type"] = media_type
    return answer


def not_modified(found: Disclosed) -> Response:
    """The sender has this version already (http.html#cread)."""
    return Response(status_code=304, headers=version_headers(found.version, found.updated_at))


def written(stored: Stored, preferred: str, base: str, body: bytes | None = None) -> Response:
    """What a write answers (http.html#ops): nothing, what was stored, or what was thought of it.

    `body` is what is shown instead of what was stored, where the sender did not send it himself.
    """
    status = 201 if stored.outcome == "created" else 200
    headers = {
        "Location": f"{base}/{stored.resource_type}/{stored.id}/_history/{stored.version}",
        **version_headers(stored.version, stored.updated_at),
    }
    match preferred:
        case "minimal":
            return Response(status_code=status, headers=headers)
        case "OperationOutcome":
            return outcome(stored.warnings, status, headers)
        case _:
            return fhir(json.dump(stored.resource) if body is None else body, status, headers)


def version_headers(version: int, updated_at: datetime) -> dict[str, str]:
    """ETag and Last-Modified of a version."""
    return {"ETag": f'W/"{version}"', "Last-Modified": _http_date(int(updated_at.timestamp()))}


@lru_cache(256)
def _http_date(second: int) -> str:
    """An instant in whole seconds (RFC 9110 §5.6.7); what was just written is one of the last."""
    return formatdate(second, usegmt=True)


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
    if isinstance(problem, NotOffered):
        headers["Allow"] = ", ".join(problem.allow)
    return outcome(issues_of(problem), status, headers)


def unexpected() -> Response:
    """A fault of ours: the log has the class, the stranger gets a sentence."""
    return outcome([Issue("fatal", "exception", None, "the hub failed on this request; it was logged")], 500)


def plain(value: Any, status: int = 200) -> Response:
    """A JSON answer that is no FHIR."""
    return Response(json.dump(value), status, {"Cache-Control": "no-store"}, "application/json")


def reduction(params: Mapping[str, str]) -> Reduction | None:
    """What `_summary` and `_elements` ask for, None for the whole resource. Raises InvalidInput (`value`)."""
    wanted, elements = summary.summary_of(params.get("_summary")), summary.elements_of(params.get("_elements"))
    if wanted == "count":
        raise InvalidInput("_summary=count is for searches; a resource cannot be counted", code="value")
    return partial(summary.reduce, summary=wanted, elements=elements) if wanted or elements else None


def name_exchange(fields: Headers, answer: Response) -> None:
    """Repeat the names that the sender gave to this exchange, if they can be names; a request that has none gets one
    (http.html#custom)."""
    request_id, correlation = fields.get("x-request-id", ""), fields.get("x-correlation-id", "")
    answer.headers["x-request-id"] = request_id if _NAME.fullmatch(request_id) else str(uuid.uuid4())
    if _NAME.fullmatch(correlation):
        answer.headers["x-correlation-id"] = correlation


def pretty(answer: Response) -> Response:
    """The same, written for people (`_pretty=true`); numbers keep their digits."""
    if answer.media_type == FHIR_JSON and answer.body:
        answer.body = msgspec.json.format(bytes(answer.body), indent=2)
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer
