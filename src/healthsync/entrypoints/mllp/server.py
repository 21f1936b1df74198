"""The MLLP server: many connections, each an ordered stream of frames and of answers.

Whatever one peer does (garbage, a frame without end, one byte a minute, never reading its answers) costs itself its
connection and nobody else anything. A frame that cannot be delivered to the flow is answered all the same.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

from healthsync.entrypoints.mllp.tls import peer_of
from healthsync.errors import ConfigurationError
from healthsync.exchange.receive_message import INCOMPLETE, NO_FRAME, TOO_LARGE, FrameRefusal, Peer
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.hl7v2 import FaultReason, FrameFault, MllpDecoder, frame

_log = logger(__name__)
_open = metrics.gauge("healthsync_mllp_connections", "MLLP connections that are open.")
_closed = metrics.counter("healthsync_mllp_connections_closed", "MLLP connections that the hub closed.", ("reason",))

_MOST_IN_FLIGHT = 64
_MOST_BYTES_IN_FLIGHT = 32 * 1024 * 1024
_WATCH_SECONDS = 0.25
_LONE_FS_SECONDS = 1.0
_LINGER_SECONDS = 1.0
_FS = b"\x1c"


class Receiver(Protocol):
    """The flow behind the port; `exchange.receive_message.ReceiveMessage` is one."""

    async def __call__(self, payload: bytes, peer: Peer, later: Callable[[bytes], bool] | None = None) -> bytes | None:
        """The answer to a frame, None for none; `later` takes another one, as long as the connection is there."""
        ...

    async def refuse(self, refusal: FrameRefusal, head: bytes, size_bytes: int, peer: Peer) -> bytes | None:
        """The answer to what is no deliverable frame."""
        ...


class MllpServer:
    """A listening port. `port` 0 takes a free one; `start` tells which."""

    def __init__(
        self,
        receive: Receiver,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_message_bytes: int = 16 * 1024 * 1024,
        idle_timeout_seconds: float = 600.0,
        read_timeout_seconds: float = 30.0,
        max_connections: int = 512,
        reuse_port: bool = False,
    ) -> None:
        self.receive = receive
        self.max_message_bytes = max_message_bytes
        self.idle_timeout_seconds = idle_timeout_seconds
        self.read_timeout_seconds = read_timeout_seconds
        self.connections: set[_Connection] = set()
        self._host, self._port, self._ssl_context, self._reuse_port = host, port, ssl_context, reuse_port
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, int]:
        """Listen; returns address and port. Raises ConfigurationError when the address cannot be had."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=self._ssl_context,
                ssl_handshake_timeout=10.0 if self._ssl_context else None,
                backlog=512,
                reuse_port=self._reuse_port or None,
            )
        except OSError as error:
            raise ConfigurationError(
                f"MLLP cannot listen on {self._host}:{self._port} ({error.strerror}); choose another with --mllp"
            ) from None
        self._watcher = asyncio.create_task(self._watch(), name="mllp-watch")
        return self._server.sockets[0].getsockname()[:2]

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Take no more, answer what has arrived, close. Frames that are not answered in time are not acknowledged."""
        if self._server is not None:
            self._server.close()
        if self._watcher is not None:
            self._watcher.cancel()
        for connection in list(self.connections):
            connection.finish()
        until = asyncio.get_running_loop().time() + grace_seconds
        while self.connections and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
            for connection in list(self.connections):
                connection.watch()
        for connection in list(self.connections):
            connection.abort()

    def admit(self, connection: _Connection) -> bool:
        """Whether there is room for one more connection."""
        if len(self.connections) >= self._max_connections:
            return False
        self.connections.add(connection)
        _open.set(len(self.connections))
        return True

    def forget(self, connection: _Connection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        _open.set(len(self.connections))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for connection in list(self.connections):
                connection.watch()


class _Connection(asyncio.Protocol):
    """One peer."""

    def __init__(self, server: MllpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._decoder = MllpDecoder(server.max_message_bytes)
        self._peer = Peer("")
        self._transport: asyncio.Transport | None = None
        self._answers: deque[tuple[asyncio.Task[bytes | None], int]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._bytes_in_flight = 0
        self._paused = self._closing = self._ended = self._any_frame = False
        self._unread_since: float | None = None
        self._leaving_since: float | None = None
        self._opened_at = self._active_at = self._loop.time()
        self._frame_since: float | None = None
        self._lone_fs_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.admit(self):
            self._close("too-many-connections")
            return
        if (sock := transport.get_extra_info("socket")) is not None and sock.family != getattr(socket, "AF_UNIX", None):
            # An answer is small and somebody waits for it: Nagle's algorithm would hold it back for 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        name = transport.get_extra_info("peername")
        self._peer = peer_of(name[0] if name else "", transport.get_extra_info("ssl_object"))

    def connection_lost(self, exc: Exception | None) -> None:
        """What has arrived whole is still stored; its sender, who heard nothing, sends it again and is answered."""
        self._transport = None
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        now = self._loop.time()
        before = self._decoder.pending_bytes
        found = self._decoder.feed(data)
        self._deliver(found, now)
        if not self._decoder.pending_bytes:
            self._frame_since = None
        elif not before or found:
            self._frame_since, self._any_frame = now, True
        self._lone_fs_since = now if self._frame_since is not None and data.endswith(_FS) else None
        self._regulate()

    def eof_received(self) -> bool:
        """The peer sends no more, and may still read its answers."""
        self._ended = True
        if self._leaving_since is not None:
            return False
        self._deliver(self._decoder.finish(), self._loop.time())
        self._refuse_noise()
        self._close_when_answered()
        return True

    def pause_writing(self) -> None:
        self._unread_since = self._loop.time()
        self._regulate()

    def resume_writing(self) -> None:
        self._unread_since = None
        self._regulate()

    def watch(self) -> None:
        """Called a few times a second: end what takes too long."""
        now, server = self._loop.time(), self._server
        if self._unread_since is not None and now - self._unread_since > server.read_timeout_seconds:
            self._count_close("answers-not-read")
            self.abort()
        elif self._leaving_since is not None and now - self._leaving_since > _LINGER_SECONDS:
            self.abort()
        elif self._closing:
            return
        elif self._paused:  # we read nothing, so the peer cannot be late
            self._active_at = now
            self._frame_since = now if self._frame_since is not None else None
        elif self._lone_fs_since is not None and now - self._lone_fs_since > _LONE_FS_SECONDS:
            self._frame_since = self._lone_fs_since = None
            self._deliver(self._decoder.finish(), now)  # a sender that ends frames with FS alone waits for its answer
        elif self._frame_since is not None and now - self._frame_since > server.read_timeout_seconds:
            self._deliver(self._decoder.finish(), now)
            self._close_when_answered("read-timeout")
        elif not self._any_frame and self._decoder.noise_bytes and now - self._opened_at > server.read_timeout_seconds:
            self._refuse_noise()
            self._close_when_answered("no-frame")
        elif self._frame_since is None and not self._answers and now - self._active_at > server.idle_timeout_seconds:
            self._close("idle-timeout")

    def finish(self) -> None:
        """Take no more; close when everything that has arrived is answered."""
        self._close_when_answered()

    def abort(self) -> None:
        """Close without waiting."""
        if self._transport is not None:
            self._transport.abort()

    def _deliver(self, found: list[bytes | FrameFault], now: float) -> None:
        for item in found:
            self._active_at, self._any_frame = now, True
            if isinstance(item, FrameFault):
                refusal = TOO_LARGE if item.reason is FaultReason.OVERSIZE else INCOMPLETE
                answering = self._server.receive.refuse(refusal, item.head, item.bytes_seen, self._peer)
                self._answer(answering, len(item.head))
            else:
                self._answer(self._server.receive(item, self._peer, self._later), len(item))

    def _later(self, answer: bytes) -> bool:
        """An application acknowledgement, behind the answers that wait; False when the peer is gone."""
        if self._transport is None or self._closing or self._transport.is_closing():
            return False
        self._answer(_ready(answer), 0)
        return True

    def _refuse_noise(self) -> None:
        if self._decoder.noise_bytes and not self._any_frame:
            self._answer(self._server.receive.refuse(NO_FRAME, b"", self._decoder.noise_bytes, self._peer), 0)

    def _answer(self, answering: Coroutine[Any, Any, bytes | None], size: int) -> None:
        self._answers.append((self._loop.create_task(answering), size))
        self._bytes_in_flight += size
        if self._writer is None:
            self._writer = self._loop.create_task(self._write_answers())

    async def _write_answers(self) -> None:
        """Write the answers in the order of the frames, each when it is there."""
        try:
            while self._answers:
                task, size = self._answers[0]
                answer = await task
                self._answers.popleft()
                self._bytes_in_flight -= size
                if answer is not None and self._transport is not None and not self._transport.is_closing():
                    self._transport.write(frame(answer))
                self._regulate()
        except Exception:
            _log.exception("a frame could not be answered", peer=self._peer.address)
            self._closing = True
        finally:
            self._writer = None
        if self._closing:
            self._leave()

    def _regulate(self) -> None:
        """Read only as fast as the hub stores and the peer takes its answers: TCP then slows the sender down."""
        full = len(self._answers) >= _MOST_IN_FLIGHT or self._bytes_in_flight >= _MOST_BYTES_IN_FLIGHT
        stop = (full or self._unread_since is not None or self._closing) and self._leaving_since is None
        if self._transport is None or stop == self._paused or self._transport.is_closing():
            return
        self._paused = stop
        if stop:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _close_when_answered(self, reason: str | None = None) -> None:
        if reason:
            self._count_close(reason)
        self._closing = True
        self._regulate()
        if self._writer is None:
            self._leave()

    def _leave(self) -> None:
        """Say the last word, then listen a moment longer: closing on a peer that still sends would reset the
        connection, and with it the answer that the peer has not read yet."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._ended or not self._transport.can_write_eof():
            self._transport.close()  # what is written is still sent
        elif self._leaving_since is None:
            self._leaving_since = self._loop.time()
            self._transport.write_eof()
            self._regulate()

    def _close(self, reason: str) -> None:
        self._count_close(reason)
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _count_close(self, reason: str) -> None:
        _closed.labels(reason=reason).inc()
        _log.info("connection closed", reason=reason, peer=self._peer.address)


async def _ready(answer: bytes) -> bytes:
    return answer
