"""What a request says: who sends it, in which format, with which conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request

from healthsync.errors import HealthSyncError, InvalidInput, NotFound
from healthsync.exchange.authenticate import Requester

MAX_BODY_BYTES = 64 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_JSON = {"application/fhir+json", "application/json", "application/*", "*/*", "json", ""}


class UnsupportedMediaType(HealthSyncError):
    """The body is in a format that this server does not read (HTTP 415)."""

    code = "not-supported"


class NotAcceptable(HealthSyncError):
    """The answer is wanted in a format that this server does not write (HTTP 406)."""

    code = "not-supported"


def legal_id(text: str) -> str:
    """An id of FHIR (datatypes.html#id). Raises NotFound for what can be none."""
    if not _ID.fullmatch(text):
        raise NotFound("there is no such resource, or it may not be shown to you")
    return text


async def requester_of(hub: Any, request: Request) -> Requester:
    """Authenticate the sender. Raises CredentialRefused, PurposeNotAllowed or InvalidInput."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    address = request.client.host if request.client else None
    return await hub.authenticate(
        credential.strip() if scheme.lower() == "bearer" else None, request.headers.get("x-purpose"), address
    )


def negotiate(request: Request) -> None:
    """FHIR JSON is what is written. Raises NotAcceptable when the sender takes only something else."""
    wanted = request.query_params.get("_format")
    offers = [wanted] if wanted else request.headers.get("accept", "*/*").split(",")
    if not any(offer.partition(";")[0].strip().lower().replace(" ", "+") in _JSON for offer in offers):
        raise NotAcceptable("this server answers in application/fhir+json")


async def body_of(request: Request, media_types: Sequence[str]) -> bytes:
    """The body, bounded. Raises UnsupportedMediaType, or InvalidInput (`too-long`)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise UnsupportedMediaType(f"send this as {media_types[0]}")
    size, parts = 0, []
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise InvalidInput(f"a request may have {MAX_BODY_BYTES} bytes at most", code="too-long")
            parts.append(part)
    except ClientDisconnect:
        raise InvalidInput("the request ended before its body did") from None
    return b"".join(parts)
