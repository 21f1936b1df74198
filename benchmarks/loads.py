"""Load generators that cost little: one asyncio protocol a connection, no parsing beyond the end of an answer.

They share the machine with the hub, so their CPU time is measured and told apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import cast

from benchmarks.harness import Load

Source = Iterator[bytes]


class _Conversation(asyncio.Protocol):
    """Sends a request, waits for its answer, sends the next one: one in flight on each connection."""

    def __init__(self, requests: Source, latencies: list[float], finished: asyncio.Future[None]) -> None:
        self._requests, self._latencies, self._finished = requests, latencies, finished
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        try:
            size = self.answer_size(self._buffer)
        except ValueError as problem:
            self._end(problem)
            return
        if size:
            self._latencies.append(time.perf_counter() - self._sent_at)
            self._buffer = self._buffer[size:]
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionError("the hub closed a connection"))

    @staticmethod
    def answer_size(buffer: bytes) -> int:
        """Bytes of the first answer, 0 while it is not whole. Raises ValueError when it is not the one expected."""
        raise NotImplementedError

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._end(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def _end(self, problem: Exception | None) -> None:
        if not self._finished.done():
            if problem is None:
                self._finished.set_result(None)
            else:
                self._finished.set_exception(problem)
        if self._transport is not None:
            self._transport.close()


class _Mllp(_Conversation):
    @staticmethod
    def answer_size(buffer: bytes) -> int:
        end = buffer.find(b"\x1c\r")
        if end < 0:
            return 0
        if b"\rMSA|AA|" not in buffer[:end]:
            raise ValueError("a message was not accepted")
        return end + 2


class _Http(_Conversation):
    @staticmethod
    def answer_size(buffer: bytes) -> int:
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return 0
        if not buffer.startswith(b"HTTP/1.1 200"):
            raise ValueError(f"a request was answered {buffer[9:12].decode('ascii', 'replace')}")
        at = buffer.find(b"content-length: ", 0, head)
        size = head + 4 + int(buffer[at + 16 : buffer.find(b"\r", at)])
        return size if len(buffer) >= size else 0


async def mllp(place: str, messages: Source, connections: int) -> Load:
    """Send messages over `connections`, each waiting for its AA."""
    return await _converse(_Mllp, place, (b"\x0b" + message + b"\x1c\r" for message in messages), connections)


async def mllp_paced(place: str, messages: Source, connections: int, rate: float) -> Load:
    """Send messages at `rate` a second over `connections`. Each is timed from when it was due."""
    host, _, port = place.rpartition(":")
    latencies: list[float] = []
    started = time.perf_counter()
    numbered = enumerate(messages)

    async def sender() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number, message in numbered:
            due = started + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            writer.write(b"\x0b" + message + b"\x1c\r")
            if b"\rMSA|AA|" not in await reader.readuntil(b"\x1c\r"):
                raise ValueError("a message was not accepted")
            latencies.append(time.perf_counter() - due)
        writer.close()

    await asyncio.gather(*(sender() for _ in range(connections)))
    return Load(len(latencies), time.perf_counter() - started, latencies)


async def http(place: str, requests: Source, connections: int) -> Load:
    """Send requests over `connections` that stay open, each waiting for its 200."""
    return await _converse(_Http, place, requests, connections)


def get(path: str, place: str, api_key: str) -> bytes:
    """A GET as bytes."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {api_key}\r\n"
        "Accept: application/fhir+json\r\nX-Purpose: TREAT\r\n\r\n"
    ).encode()


async def _converse(kind: Callable[..., _Conversation], place: str, requests: Source, connections: int) -> Load:
    loop = asyncio.get_running_loop()
    host, _, port = place.rpartition(":")
    latencies: list[float] = []
    started = time.perf_counter()
    ends = [loop.create_future() for _ in range(connections)]
    for end in ends:
        await loop.create_connection(lambda end=end: kind(requests, latencies, end), host, int(port))
    await asyncio.gather(*ends)
    return Load(len(latencies), time.perf_counter() - started, latencies)
