"""Cross-origin requests of browsers (security.html#cors; the Fetch standard).

No cookie and no other standing right of a visitor opens this server, only the Authorization header that a page sets
itself: so a page may ask from anywhere unless the configuration names the origins that may.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_SENT = (
    "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, "
    "X-Correlation-Id, X-Purpose, X-Request-Id, X-Security-Context"
)
_READ = (
    "Content-Location, ETag, Expires, Last-Modified, Location, Retry-After, X-Correlation-Id, X-Progress, X-Request-Id"
)
_SECONDS = "600"


class Origins:
    """The origins whose pages may use this server: `*` for all, none for no page but its own."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._all, self._allowed = "*" in allowed, frozenset(each.lower() for each in allowed)

    def preflight(self, method: str, fields: Headers) -> Response | None:
        """The answer to a browser that asks whether a request would be allowed; None for anything else."""
        if method != "OPTIONS" or "access-control-request-method" not in fields:
            return None
        if self._told(fields.get("origin")) is None:
            return None
        told = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": _SECONDS,
        }
        return Response(status_code=204, headers=told)

    def mark(self, fields: Headers, answer: Response) -> None:
        """Let the page of a request read the answer, if it may."""
        if (origin := fields.get("origin")) is None:
            return
        if not self._all:
            answer.headers["Vary"] = "Origin"
        if (told := self._told(origin)) is not None:
            answer.headers["Access-Control-Allow-Origin"] = told
            answer.headers["Access-Control-Expose-Headers"] = _READ

    def _told(self, origin: str | None) -> str | None:
        if origin is None or not (self._all or origin.lower() in self._allowed):
            return None
        return "*" if self._all else origin
