"""An entry of a Bundle as a request of its own: what only reads, and every operation, goes through the same routes,
parsers and gates as outside of a Bundle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.exchange.authenticate import Requester
from healthsync.standards.fhir import bundles, json
from healthsync.standards.fhir.bundles import Entry, Method
from healthsync.standards.fhir.outcome import error, operation_outcome

from .answers import FHIR_JSON
from .requests import BASE, REQUESTER
from .router import Router

Answer = Callable[[Any, Request, Mapping[str, str], str], Awaitable[Response]]
"""Calls a handler and turns its errors into answers."""

_PASSED_ON = (b"prefer", b"x-purpose", b"host")


class InnerRequests:
    """Answers entries of a Bundle by the routes of the server."""

    def __init__(self, router: Router, answer: Answer) -> None:
        self._router, self._answer = router, answer

    async def __call__(self, outer: Request, requester: Requester, entry: Entry) -> bundles.Response:
        """The answer to one entry, for the requester of the Bundle around it."""
        path = "/".join(("/fhir", *entry.path))
        route, names, allowed = self._router.find(entry.method.value, path)
        if route is None:
            told = "this address does not take this method" if allowed else "there is nothing at this address"
            issue = error("not-supported" if allowed else "not-found", told, f"Bundle.entry[{entry.position}].request")
            return bundles.Response(405 if allowed else 404, outcome=operation_outcome([issue]))
        request = _request(outer, requester, entry, path)
        answer = await self._answer(route.handler, request, names, route.surface.name)
        is_one = route.surface.name in ("fhir.read", "fhir.vread")
        key = (names["type"], names["id"]) if is_one else None
        return _response(answer, key, with_body=entry.method is not Method.HEAD)


def _request(outer: Request, requester: Requester, entry: Entry, path: str) -> Request:
    is_form = entry.path[-1:] == ("_search",)
    conditions = {
        b"if-match": entry.if_match,
        b"if-none-match": entry.if_none_match,
        b"if-modified-since": _http_date(entry.if_modified_since),
    }
    headers = [pair for pair in outer.scope["headers"] if pair[0] in _PASSED_ON]
    headers += [(name, value.encode("latin-1", "replace")) for name, value in conditions.items() if value is not None]
    headers.append((b"content-type", b"application/x-www-form-urlencoded" if is_form else FHIR_JSON.encode()))
    body = json.dump(entry.resource) if entry.resource is not None and not is_form else b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        **outer.scope,
        "method": entry.method.value,
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(entry.query).encode(),
        "headers": headers,
        REQUESTER: requester,
        BASE: outer.scope[BASE],
    }
    return Request(scope, receive)


def _http_date(instant: str | None) -> str | None:
    """An entry says an instant where the header field has a date of HTTP (Bundle.entry.request.ifModifiedSince)."""
    try:
        return format_datetime(datetime.fromisoformat(instant or "").astimezone(UTC), usegmt=True)
    except (ValueError, OverflowError):
        return instant


def _response(answer: Response, key: tuple[str, str] | None, *, with_body: bool) -> bundles.Response:
    headers = answer.headers
    body = msgspec.Raw(bytes(answer.body)) if answer.body and answer.media_type == FHIR_JSON else None
    failed = answer.status_code >= 400
    modified = headers.get("last-modified")
    return bundles.Response(
        answer.status_code,
        resource=body if with_body and not failed else None,
        location=headers.get("location"),
        etag=headers.get("etag"),
        last_modified=parsedate_to_datetime(modified).isoformat() if modified else None,
        outcome=body if failed else None,
        key=key,
    )
