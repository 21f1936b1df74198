"""Lines of a file that another server offers by https. Whether the server may be asked is decided before."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import AsyncIterator

import httpcore

from healthsync.errors import InvalidInput, Unavailable

_TIMEOUTS = {"connect": 10.0, "read": 60.0, "write": 10.0, "pool": 10.0}
_LONGEST_LINE = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 1024 * 1024


class HttpsLines:
    """Reads NDJSON files, plain or gzip, in flat memory. No redirect is followed."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def __call__(self, url: str, offset: int) -> AsyncIterator[tuple[bytes, int]]:
        """Each line with the offset behind it; those before `offset` are read and passed over.

        Raises Unavailable when the server does not answer, InvalidInput when it refuses or sends what is no file.
        """
        place, waiting = 0, bytearray()
        async for piece in _inflated(self._pieces(url)):
            waiting += piece
            *whole, rest = bytes(waiting).split(b"\n")
            waiting = bytearray(rest)
            if len(waiting) > _LONGEST_LINE:
                raise InvalidInput(f"a line is longer than {_LONGEST_LINE} bytes", code="too-long")
            for line in whole:
                place += len(line) + 1
                if place > offset:
                    yield line, place
        if waiting and place + len(waiting) > offset:
            yield bytes(waiting), place + len(waiting)

    async def _pieces(self, url: str) -> AsyncIterator[bytes]:
        headers = [("Accept", "application/fhir+ndjson")]
        extensions = {"timeout": _TIMEOUTS}
        try:
            async with (
                httpcore.AsyncConnectionPool(ssl_context=self._tls or ssl.create_default_context()) as pool,
                pool.stream("GET", url, headers=headers, extensions=extensions) as answer,
            ):
                if answer.status != 200:
                    raise InvalidInput(f"a source answers with the status {answer.status}", code="not-found")
                async for piece in answer.aiter_stream():
                    yield piece
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as problem:
            raise Unavailable(f"a source does not answer ({type(problem).__name__})") from None


async def _inflated(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The text, whether it comes as gzip (RFC 1952) or as it is."""
    inflate, first = None, True
    async for piece in pieces:
        if first and piece:
            first = False
            inflate = zlib.decompressobj(31) if piece.startswith(_GZIP_MAGIC) else None
        if inflate is None:
            yield piece
            continue
        try:
            while piece:
                yield inflate.decompress(piece, _PIECE_BYTES)
                piece = inflate.unconsumed_tail
        except zlib.error:
            raise InvalidInput("a source sends a damaged gzip file", code="structure") from None
