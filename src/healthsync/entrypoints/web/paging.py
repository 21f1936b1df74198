"""Pages of an answer: links, and the sealed tokens that tell where the next page begins."""

from __future__ import annotations

import base64
import json as plain_json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from healthsync.errors import HealthSyncError, InvalidInput
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.standards.fhir.query import CURSOR

DEFAULT_COUNT, MAX_COUNT = 50, 1000

Pairs = Sequence[tuple[str, str]]


class Pages:
    """Makes and reads page tokens. A token is sealed: it carries the query and with it a patient's values. Sealed for
    one purpose (search, history, …) it cannot be read for another."""

    def __init__(self, cursor_key: bytes, base: str) -> None:
        self._key, self.base = cursor_key, base

    def of(self, base: str) -> Pages:
        """The same, for links under another base: the address that a request was sent to."""
        return Pages(self._key, base)

    def links(self, path: str, pairs: Pairs, token: str | None, *, own: Pairs | None = None) -> dict[str, str]:
        """`self`, and `next` when a token tells where it begins.

        `own` are the pairs of `self` when it says more than the others: what a search was processed by, which `next`
        keeps sealed in its token.
        """
        links = {"self": self.url(path, pairs if own is None else own)}
        if token is not None:
            links["next"] = self.url(path, [*pairs, (CURSOR, token)])
        return links

    def url(self, path: str, pairs: Pairs) -> str:
        """An address under the base of the FHIR server."""
        address = f"{self.base}/{path}" if path else self.base
        return address + (f"?{urlencode(pairs)}" if pairs else "")

    def seal(self, value: Any, purpose: str = "search") -> str:
        """A token of a JSON value, without a letter that an address would have to escape."""
        sealed = seal(self._key, plain_json.dumps(value).encode(), purpose.encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, token: str, purpose: str = "search") -> Any:
        """The value of a token. Raises InvalidInput for one that this hub did not make for this purpose."""
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            return plain_json.loads(open_sealed(self._key, sealed, purpose.encode()))
        except (HealthSyncError, ValueError):
            raise InvalidInput(
                "this page link was not made by this hub; begin the search again", code="value"
            ) from None


def page_size(asked: int | None) -> int:
    """How many entries a page has."""
    return DEFAULT_COUNT if asked is None else min(asked, MAX_COUNT)


def whole_number(text: str) -> int:
    """What `_count` says. Raises InvalidInput (`value`)."""
    if not text.isascii() or not text.isdecimal():
        raise InvalidInput("_count takes a whole number", code="value")
    return int(text[:9])
