"""HL7 v2 to one destination over MLLP: connections that the hub opens, or that the partner opens to it (reverse MLLP).

    async with open_link(where) as link:
        await link.ready()                  somebody is there
        answer = await link.send(message)   Acknowledgement of this very message

A connection on which anything unexpected happens is closed: an answer that comes late, for another message, or that is
none, must never be taken for that of the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from healthsync.connectors.mllp import Acknowledgement, acknowledgements
from healthsync.errors import ConfigurationError, InvalidInput, Unavailable
from healthsync.standards.hl7v2 import FrameFault, Message, MllpDecoder, frame

_CHUNK_BYTES = 64 * 1024
_MOST_ANSWER_BYTES = 1024 * 1024
_REMEMBERED = 256


class ConnectionOver(Unavailable):
    """The connection ended before the answer came."""


@dataclass(frozen=True, slots=True)
class Where:
    """A partner's address and how to speak to it. `tls` paths are PEM files; None speaks in clear."""

    host: str
    port: int
    listen: bool
    max_connections: int
    connect_timeout_seconds: float
    ack_timeout_seconds: float
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None


class Connection:
    """One connection: a message goes out, its own answer comes back, or the connection is over."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_seconds: float) -> None:
        self._reader, self._writer, self._timeout_seconds = reader, writer, timeout_seconds
        self._decoder = MllpDecoder(max_message_bytes=_MOST_ANSWER_BYTES)
        self._answers: deque[Acknowledgement] = deque()
        self._answered: deque[str] = deque(maxlen=_REMEMBERED)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    @property
    def is_open(self) -> bool:
        """Whether it looks usable: neither closed by us nor ended by the partner."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    async def send(self, message: bytes) -> Acknowledgement:
        """Send a message and wait for its answer. Raises Unavailable, and closes, when none comes or a wrong one;
        `ConnectionOver` when the connection ended before anything came."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                self._writer.write(frame(message))
                await self._writer.drain()
                return await self._answer_to(Message.parse(message).control_id)
        except TimeoutError:
            self._abort()
            raise Unavailable(f"no answer within {self._timeout_seconds:g} s") from None
        except OSError as problem:
            self._abort()
            raise ConnectionOver(f"the connection broke ({type(problem).__name__})") from None
        except InvalidInput:
            self._abort()
            raise Unavailable("the answer is no acknowledgement") from None
        except BaseException:
            self._abort()  # a wrong answer; or cancelled with a message in flight, whose answer may still come
            raise

    async def _answer_to(self, control_id: str) -> Acknowledgement:
        """The answer whose MSA-2 is this id. One to an earlier message of this connection is a repetition."""
        while True:
            while not self._answers:
                await self._read()
            answer = self._answers.popleft()
            if answer.control_id == control_id:
                self._answered.append(control_id)
                return answer
            if answer.control_id not in self._answered:
                raise Unavailable("the answer is for another message")

    async def _read(self) -> None:
        data = await self._reader.read(_CHUNK_BYTES)
        for item in self._decoder.feed(data) if data else self._decoder.finish():
            if isinstance(item, FrameFault):
                raise Unavailable("the answer is no whole MLLP frame")
            self._answers.extend(acknowledgements(item))
        if self._decoder.noise_bytes:
            raise Unavailable("the answer is no MLLP frame")
        if not data and not self._answers:
            raise ConnectionOver("the partner closed the connection without an answer")

    def close(self) -> None:
        """End it."""
        self._writer.close()

    def _abort(self) -> None:
        """End it now: a partner that does not read would keep what is still to be written, and the connection."""
        self._writer.transport.abort()


class Dialling:
    """Connections that the hub opens, at most so many; a connection serves one message at a time."""

    def __init__(self, where: Where, tls: ssl.SSLContext | None) -> None:
        self._where, self._tls = where, tls
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._free = asyncio.Semaphore(where.max_connections)

    async def ready(self) -> None:
        """The partner is called when there is something to say."""

    async def send(self, message: bytes) -> Acknowledgement:
        """Over a connection that is free, or a new one. Raises Unavailable.

        A partner may end a connection between two messages at any time: one that was used before and is over is no
        fault, and a new one is tried.
        """
        async with self._free:
            while (connection := self._used()) is not None:
                try:
                    return await self._send_over(connection, message)
                except ConnectionOver:
                    continue
            return await self._send_over(await self._connect(), message)

    async def _send_over(self, connection: Connection, message: bytes) -> Acknowledgement:
        answer = await connection.send(message)
        self._idle.append(connection)
        return answer

    def _used(self) -> Connection | None:
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        where = self._where
        name = (where.server_name or where.host) if self._tls else None
        try:
            async with asyncio.timeout(where.connect_timeout_seconds):
                reader, writer = await asyncio.open_connection(
                    where.host, where.port, ssl=self._tls, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"nobody answers at {where.host}:{where.port} ({type(error).__name__})") from None
        self._all = {each for each in self._all if each.is_open}
        connection = Connection(reader, writer, where.ack_timeout_seconds)
        self._all.add(connection)
        return connection

    async def close(self) -> None:
        """End all connections."""
        for connection in self._all:
            connection.close()


class Listening:
    """Connections that the partner opens (reverse MLLP); one too many is closed at once."""

    def __init__(self, where: Where, tls: ssl.SSLContext | None) -> None:
        self._where, self._tls = where, tls
        self._idle: asyncio.Queue[Connection] = asyncio.Queue()
        self._all: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises Unavailable when the address cannot be had."""
        where = self._where
        try:
            self._server = await asyncio.start_server(self._welcome, where.host, where.port, ssl=self._tls)
        except OSError as error:
            raise Unavailable(
                f"{where.host}:{where.port} cannot be listened on ({type(error).__name__}); is it in use?"
            ) from None

    @property
    def port(self) -> int:
        """Where it listens, also when a free port was asked for."""
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._all = {each for each in self._all if each.is_open}
        if len(self._all) >= self._where.max_connections:
            writer.close()
            return
        connection = Connection(reader, writer, self._where.ack_timeout_seconds)
        self._all.add(connection)
        self._idle.put_nowait(connection)

    async def ready(self) -> None:
        """Wait until the partner is connected and has not gone again."""
        self._idle.put_nowait(await self._connected())

    async def send(self, message: bytes) -> Acknowledgement:
        """Over a connection of the partner. Raises Unavailable when it is not there."""
        try:
            async with asyncio.timeout(self._where.connect_timeout_seconds):
                connection = await self._connected()
        except TimeoutError:
            raise Unavailable("the partner is not connected") from None
        answer = await connection.send(message)
        self._idle.put_nowait(connection)
        return answer

    async def _connected(self) -> Connection:
        while not (connection := await self._idle.get()).is_open:
            self._all.discard(connection)
        return connection

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for connection in self._all:
            connection.close()
        if self._server is not None:
            self._server.close()


Link = Dialling | Listening


@asynccontextmanager
async def open_link(where: Where) -> AsyncIterator[Link]:
    """The way to a destination, closed at the end. Raises ConfigurationError for TLS files that cannot be read,
    Unavailable when the address to listen on cannot be had."""
    tls = _context(where) if where.tls else None
    link = Listening(where, tls) if where.listen else Dialling(where, tls)
    if isinstance(link, Listening):
        await link.start()
    try:
        yield link
    finally:
        with contextlib.suppress(OSError):
            await link.close()


def _context(where: Where) -> ssl.SSLContext:
    """TLS 1.2 or later. The partner's certificate is checked: against `ca`, and when the hub calls, with its name."""
    try:
        if where.listen:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=where.ca)
            context.verify_mode = ssl.CERT_REQUIRED if where.ca else ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=where.ca)
        if where.certificate and where.key:
            context.load_cert_chain(where.certificate, where.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"a TLS file of the destination cannot be read ({type(error).__name__}); its paths are relative to where "
            "the hub was started, so give whole ones"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
