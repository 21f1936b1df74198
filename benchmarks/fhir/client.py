"""HTTP/1.1 on connections that stay open, one request in flight on each; no parsing beyond what a workload looks at."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

TIMEOUT_SECONDS = 300.0
_decode = msgspec.json.Decoder().decode


class Broken(ConnectionError):
    """The server closed a connection or did not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Names of headers are lower case only here: `header` looks them up."""

    status: int
    head: bytes
    content: bytes

    def header(self, name: str) -> str:
        """The value of a header; empty without it."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("latin-1").lower() == name:
                return value.strip().decode("latin-1")
        return ""

    @property
    def body(self) -> bytes:
        """The content, unpacked."""
        return gzip.decompress(self.content) if b"gzip" in self.head and self.content else self.content

    def json(self) -> Any:
        """The body as JSON."""
        return _decode(self.body)


@dataclass(frozen=True, slots=True)
class Target:
    """A FHIR server: its base URL, and the headers that every request carries."""

    base: str
    token: str = ""
    accept_encoding: str = "gzip"

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        url = urlsplit(self.base)
        if url.scheme != "http" or url.hostname is None:
            raise ValueError(f"{self.base} is no http:// address; the driver speaks plain HTTP on the same machine")
        return url.hostname, url.port or 80

    @property
    def path(self) -> str:
        """The path of the base URL, without a slash at its end."""
        return urlsplit(self.base).path.rstrip("/")

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A request as bytes; `path` is relative to the base. In headers `_` stands for `-`."""
        host, port = self.place
        lines = [
            f"{method} {self.path}{'/' if path and not path.startswith('?') else ''}{path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Accept: application/fhir+json",
            f"Accept-Encoding: {self.accept_encoding}",
            "Cache-Control: no-cache",
        ]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if body:
            lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join((*lines, "", "")).encode() + body


class Connection(asyncio.Protocol):
    """One connection: `await connection.send(request)` gives the answer. It opens again after the server closed it."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parts: list[bytes] = []
        self._size = self._wanted = 0

    async def send(self, request: bytes) -> Answer:
        """Raises Broken when the connection ends instead of an answer, TimeoutError after five minutes."""
        if self._transport is None or self._transport.is_closing():
            await asyncio.get_running_loop().create_connection(lambda: self, *self._target.place)
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._parts, self._size, self._wanted = [], 0, 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Broken("the server closed a connection"))

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._wanted:  # a large answer is joined once, not at every piece
            return
        buffer = b"".join(self._parts)
        self._parts = [buffer]
        try:
            answer, self._wanted = _parse(buffer)
        except ValueError:
            self.close()
            return
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._parts, self._size, self._wanted = [], 0, 0
            self._waiting.set_result(answer)


def _parse(buffer: bytes) -> tuple[Answer | None, int]:
    """The answer when it is whole, else how many bytes there must at least be (RFC 9112 §6.3)."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None, len(buffer) + 1
    head, start = buffer[:end], end + 4
    status = int(head[9:12])
    if status in (204, 304):
        return Answer(status, head, b""), 0
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        size = int(lower[at + 17 :].partition(b"\r\n")[0])
        whole = len(buffer) >= start + size
        return (Answer(status, head, buffer[start : start + size]) if whole else None), start + size
    if b"transfer-encoding: chunked" not in lower:
        raise ValueError("an answer without a length")
    content = _unchunked(buffer, start)
    return (Answer(status, head, content) if content is not None else None), len(buffer) + 1


def _unchunked(buffer: bytes, at: int) -> bytes | None:
    if not buffer.endswith(b"\r\n0\r\n\r\n"):
        return b"" if buffer[at:] == b"0\r\n\r\n" else None
    parts = []
    while True:
        end = buffer.find(b"\r\n", at)
        size = int(buffer[at:end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(buffer[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
        if at > len(buffer):
            return None


@asynccontextmanager
async def connections(target: Target, count: int) -> AsyncIterator[Sequence[Connection]]:
    """Connections, closed afterwards."""
    opened = [Connection(target) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()
