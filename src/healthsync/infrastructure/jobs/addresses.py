"""Which addresses of other machines a client may have the hub ask."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from healthsync.errors import InvalidInput


def require_allowed(url: str, hosts: Collection[str]) -> str:
    """The URL, when it is https and its host (with the port, unless 443) is named. Raises InvalidInput.

    Without this a client could have the hub call whatever the hub's network reaches (CWE-918).
    """
    try:
        parts = urlsplit(url)
        place = parts.hostname if parts.port in (None, 443) else f"{parts.hostname}:{parts.port}"
    except ValueError:
        place, parts = None, urlsplit("")
    if parts.scheme != "https" or place not in hosts or parts.username is not None or parts.fragment:
        raise InvalidInput("this address is not allowed; it must be https, on a host that the hub's settings name",
                           code="security")  # fmt: skip
    return url
