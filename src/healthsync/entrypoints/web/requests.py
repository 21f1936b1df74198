"""What a request says: who sends it, in which format, with which conditions and preferences (http.html)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from healthsync.errors import HealthSyncError, InvalidInput, NotFound
from healthsync.exchange.authenticate import Requester

MAX_BODY_BYTES = 64 * 1024 * 1024

FHIR_TYPES = ("application/fhir+json", "application/json", "text/json", "application/json+fhir")
"""Media types of FHIR JSON: R4's own, the general ones, and that of the drafts before it."""

REQUESTER = "healthsync.requester"
"""Where a scope has the requester of the request around it: a Bundle's sender is recognised once."""
BASE = "healthsync.base"
"""Where a scope has the absolute address of the FHIR server."""

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9.\-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_JSON = frozenset({*FHIR_TYPES, "application/*", "*/*", "json"})
_ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"|(\*)')


class Fields(Headers):
    """The header fields of a request, read once: most of those that are asked for were not sent."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._values = {name: value.decode("latin-1") for name, value in reversed(raw)}  # of several the first

    def get(self, key: str, default: Any = None) -> Any:
        """The value of the first field of this name, which is in lower case."""
        return self._values.get(key.encode("latin-1"), default)


class HubRequest(Request):
    """A request as it came in: `fields` are its header fields."""

    def __init__(self, scope: dict[str, Any], receive: Any, fields: Fields) -> None:
        super().__init__(scope, receive)
        self._fields = fields

    @property
    def headers(self) -> Fields:
        """All of them."""
        return self._fields

    @property
    def query_params(self) -> QueryParams:
        """What stands behind the question mark: mostly nothing."""
        return super().query_params if self.scope["query_string"] else _NOTHING_ASKED


_NOTHING_ASKED = QueryParams()


class UnsupportedMediaType(HealthSyncError):
    """The body is in a format or coding that this server does not read (HTTP 415)."""

    code = "not-supported"


class NotAcceptable(HealthSyncError):
    """The answer is wanted in a format that this server does not write (HTTP 406)."""

    code = "not-supported"


def legal_id(text: str, *, is_new: bool = False) -> str:
    """An id of FHIR (datatypes.html#id). Raises NotFound for what can be none; InvalidInput where it `is_new`, since
    another one could be stored."""
    if not _ID.fullmatch(text):
        if is_new:
            raise InvalidInput("an id is made of up to 64 letters, digits, '-' and '.'", code="value")
        raise NotFound("there is no such resource, or it may not be shown to you")
    return text


async def requester_of(hub: Any, request: Request) -> Requester:
    """Authenticate the sender. Raises CredentialRefused, PurposeNotAllowed or InvalidInput."""
    if (known := request.scope.get(REQUESTER)) is not None:
        return known
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    address = client[0] if (client := request.scope.get("client")) else None
    return await hub.authenticate(
        credential.strip() if scheme.lower() == "bearer" else None, request.headers.get("x-purpose"), address
    )


def base_of(request: Request) -> str:
    """The absolute address of the FHIR server, as links in the answer begin."""
    return request.scope[BASE]


def public_base(scheme: str, host: str, configured: str) -> str:
    """`fhir.base_url` when it is a whole address; else its path behind the host that the sender spoke to.

    A host that cannot be one is not repeated.
    """
    if "://" in configured:
        return configured
    return f"{scheme}://{host}{configured}" if _HOST.fullmatch(host) else configured


# --- formats (http.html#mime-type) --------------------------------------------------------------------------------


def negotiate(request: Request) -> None:
    """FHIR JSON is what is written. Raises NotAcceptable when the sender takes only something else.

    `_format` outranks Accept. Quality 0 means not this one (RFC 9110 §12.4.2); Accept-Charset is passed over, as
    FHIR is always UTF-8.
    """
    if wanted := request.query_params.get("_format"):
        check_format(wanted)
    else:
        _check_ranges(_accepted(request))


def check_format(wanted: str) -> None:
    """The value of a `_format`, where a `+` may have been read as a blank. Raises NotAcceptable."""
    _check_ranges(wanted.replace(" ", "+"))


def _check_ranges(accepted: str) -> None:
    if not _takes_json(accepted):
        raise NotAcceptable("this server answers in application/fhir+json; XML and Turtle are not supported")


@lru_cache(64)
def _takes_json(accepted: str) -> bool:
    offers = _media_ranges(accepted)
    return not offers or any(name in _JSON and _weighs(params) and _is_r4(params) for name, params in offers)


def wants_fhir(request: Request) -> bool:
    """Whether FHIR JSON is asked for by name: a Binary is answered in its own format otherwise (binary.html#rest)."""
    if request.query_params.get("_format"):
        return True
    offers = _media_ranges(_accepted(request))
    return any(name in FHIR_TYPES and _weighs(params) for name, params in offers)


def _accepted(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))  # several fields are one list (RFC 9110 §5.3)


def media_type_in(request: Request) -> str:
    """The media type of the body as it was written, "" for none."""
    return next((name for name, _ in _content_type(request)), "")


def media_type_of(request: Request) -> str:
    """The media type of the body, "" for none. Raises UnsupportedMediaType for another charset or FHIR release."""
    name, params = next(iter(_content_type(request)), ("", {}))
    if params.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("FHIR is written in UTF-8 (http.html#mime-type)")
    if not _is_r4(params):
        raise UnsupportedMediaType("this server speaks FHIR R4 (fhirVersion=4.0)")
    return name


async def body_of(request: Request, media_types: Sequence[str]) -> bytes:
    """The body, bounded. Raises UnsupportedMediaType, or InvalidInput (`too-long`)."""
    check_media_type(request, media_types)
    return await content_of(request)


def check_media_type(request: Request, media_types: Sequence[str]) -> None:
    """Raises UnsupportedMediaType unless the body is of one of them."""
    if media_type_of(request) not in media_types:
        raise UnsupportedMediaType(f"send this as {media_types[0]}")


async def content_of(request: Request) -> bytes:
    """The body, whatever it is, bounded. Raises InvalidInput (`too-long`)."""
    size, parts, is_whole = 0, [], False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the request ended before its body did")
        parts.append(part := message.get("body", b""))
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_long()
        is_whole = not message.get("more_body", False)
    body = b"".join(parts)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    return body if coding in ("identity", "") else _decoded(body, coding)


def _decoded(body: bytes, coding: str) -> bytes:
    """What was compressed on the way; a small body may hide a large one, so that both are bounded."""
    if coding not in ("gzip", "x-gzip"):  # RFC 9110 §8.4.1.3: the same
        raise UnsupportedMediaType("a body may be compressed by gzip only (Content-Encoding)")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = decoder.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise InvalidInput("the body is not compressed by gzip as Content-Encoding says", code="structure") from None
    if len(plain) > MAX_BODY_BYTES:
        raise _too_long()
    if not decoder.eof:
        raise InvalidInput("the body ends before its gzip stream does", code="structure")
    return plain


def _too_long() -> InvalidInput:
    return InvalidInput(f"a request may have {MAX_BODY_BYTES} bytes at most", code="too-long")


def _content_type(request: Request) -> _MediaRanges:
    return _media_ranges(request.headers.get("content-type", ""))


_MediaRanges = tuple[tuple[str, Mapping[str, str]], ...]


@lru_cache(64)
def _media_ranges(text: str) -> _MediaRanges:
    """(type, parameters) of a list of media ranges; parameters in lower case, without quotes. A client sends the same
    list with each request."""
    return tuple(_read_media_ranges(text))


def _read_media_ranges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for part in text.split(","):
        name, *rest = (piece.strip() for piece in part.split(";"))
        if name:
            pairs = (piece.partition("=") for piece in rest if piece)
            yield name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def _weighs(params: Mapping[str, str]) -> bool:
    try:
        return float(params.get("q", "1")) > 0
    except ValueError:
        return True


def _is_r4(params: Mapping[str, str]) -> bool:
    return params.get("fhirversion", "4.0") in ("4.0", "4.0.1")


# --- conditions and preferences -----------------------------------------------------------------------------------


def is_unchanged(request: Request, version: int, updated_at: datetime) -> bool:
    """Whether a conditional read finds that the sender has this version already (http.html#cread).

    If-None-Match outranks If-Modified-Since (RFC 9110 §13.2.2).
    """
    tags = request.headers.get("if-none-match")
    if tags is not None:
        tags = ",".join(request.headers.getlist("if-none-match"))
        return any(star or tag == str(version) for tag, star in _ENTITY_TAG.findall(tags))
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    try:
        return updated_at.replace(microsecond=0) <= parsedate_to_datetime(since)
    except (TypeError, ValueError):  # no date, or one without a zone: the condition is ignored (RFC 9110 §13.1.3)
        return False


def preferred(request: Request) -> Literal["minimal", "representation", "OperationOutcome"] | None:
    """What a write shall answer with: `Prefer: return=…` (http.html#ops), None when the sender does not say."""
    wishes = request.headers.get("prefer", "")
    if wishes:
        wishes = ",".join(request.headers.getlist("prefer"))  # several fields are one list (RFC 7240 §2)
    for word in re.split(r"[,;\s]+", wishes) if wishes else ():
        match word.lower().replace('"', ""):
            case "return=minimal":
                return "minimal"
            case "return=representation":
                return "representation"
            case "return=operationoutcome":
                return "OperationOutcome"
    return None
