"""The REST API of a hub as calls: JSON in and out, refusals as the errors that they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from healthsync.errors import Conflict, HealthSyncError, InvalidInput, NotFound, NotSupported, Refused, Unavailable
from healthsync.sdk.transports import Transport
from healthsync.sdk.values import encode

BASE = "/api/v1/healthsync"

_ERRORS: Mapping[int, type[HealthSyncError]] = {
    400: InvalidInput,
    401: Refused,
    403: Refused,
    404: NotFound,
    405: NotSupported,
    409: Conflict,
    412: Conflict,
    415: NotSupported,
    422: InvalidInput,
}
_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,99}")


class Api:
    """Calls in the name of one API key. `purpose` is the purpose of use of all of them."""

    def __init__(self, transport: Transport, api_key: str, purpose: str | None, timeout_seconds: float) -> None:
        self.transport = transport
        self._timeout_seconds = timeout_seconds
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json", "Host": "hub"}
        if purpose is not None:
            self._headers["X-Purpose"] = purpose

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        once_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """The answer, decoded. Raises the error that a refusal means, with the hub's sentence; Unavailable without an
        answer, or with one that says that the hub cannot now."""
        headers = self._headers if once_key is None else {**self._headers, "Idempotency-Key": once_key}
        content = b"" if body is None else encode(body)
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        status, answer = await self.transport.send(method, f"{BASE}{path}", headers, content, seconds)
        if status < 300:
            return msgspec.json.decode(answer)
        raise _ERRORS.get(status, Unavailable)(_sentence(answer, status))


def segment(name: str) -> str:
    """A name that stands in an address. Raises InvalidInput for one that cannot."""
    if not _SEGMENT.fullmatch(name):
        raise InvalidInput("names of topics and applications are letters, digits and _ . : -", code="value")
    return name


def instant(text: str) -> datetime:
    """An instant as the hub writes it."""
    return datetime.fromisoformat(text)


def _sentence(answer: bytes, status: int) -> str:
    """What the OperationOutcome says."""
    try:
        issue = msgspec.json.decode(answer)["issue"][0]
        return str(issue.get("diagnostics") or issue["code"])
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return f"the hub answered with status {status}"
