"""Binary: content that is no FHIR, as a resource and in its own format (binary.html)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

Json = dict[str, Any]

_PRINTABLE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,200}")
"""What may stand in a header of an answer."""


def received(content: bytes, media_type: str, security_context: str | None, id_: str | None = None) -> Json:
    """The Binary that a body in another format than FHIR's is; `security_context` is a reference."""
    binary: Json = {"resourceType": "Binary", "contentType": media_type}
    if id_ is not None:
        binary["id"] = id_
    if security_context:
        binary["securityContext"] = {"reference": security_context}
    if content:
        binary["data"] = base64.b64encode(content).decode()
    return binary


def security_context(binary: Json) -> str | None:
    """The reference to the resource by which access to a Binary is decided (binary.html#security)."""
    context = binary.get("securityContext")
    reference = context.get("reference") if isinstance(context, dict) else None
    return reference if isinstance(reference, str) else None


def content(binary: Json) -> tuple[bytes, str, str | None] | None:
    """Content, media type and security context of a Binary; None for one that has no content to show."""
    media_type, data = binary.get("contentType"), binary.get("data")
    if not isinstance(data, str) or not isinstance(media_type, str) or not _PRINTABLE.fullmatch(media_type):
        return None
    try:
        decoded = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    context = security_context(binary)
    return decoded, media_type, context if context and _PRINTABLE.fullmatch(context) else None
