"""uvicorn inside the hub's event loop: the hub owns the socket and the signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from healthsync.errors import ConfigurationError
from healthsync.settings.tree import HttpTls

MOST_HEAD_BYTES = 64 * 1024
MOST_HEAD_SECONDS = 20.0
MOST_SOCKET_MESSAGE_BYTES = 16 * 1024  # clients of sockets say only what they bind to


class WebServer(uvicorn.Server):
    """Serves an ASGI application until `stop`; requests in flight are finished.

    Raises ConfigurationError when the address cannot be had.
    """

    def __init__(self, application: Any, host: str, port: int, tls: HttpTls | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                http=BoundedHttp,
                ws="websockets-sansio",
                ws_max_size=MOST_SOCKET_MESSAGE_BYTES,
                timeout_graceful_shutdown=10,
                ssl_certfile=tls.certificate if tls else None,
                ssl_keyfile=tls.key if tls else None,
            )
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise ConfigurationError(
                f"HTTP cannot listen on {host}:{port} ({why}); choose another with --http"
            ) from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to `serve`, which has more to stop than this server."""
        yield

    async def start(self) -> tuple[str, int]:
        """Begin to answer; returns address and port."""
        self._task = asyncio.create_task(self.serve(sockets=[self._socket]), name="web-server")
        while not self.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)
        return self._socket.getsockname()[:2]

    async def stop(self) -> None:
        """Take no more requests, finish those under way."""
        self.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=12)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn waits for the head of a request for ever and takes any size of it; here both have an end."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is expected."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """It has ended; from here on the application reads the body, which it bounds itself."""
        self._expect_no_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that goes on."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is expected."""
        self._expect_no_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._expect_no_head()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(MOST_HEAD_SECONDS, self._give_up)

    def _expect_no_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._expect_no_head()
        if not self.transport.is_closing():
            self.send_400_response("the head of a request is too long, or takes too long")
