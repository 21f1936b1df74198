"""uvicorn inside the hub's event loop: the hub owns the socket and the signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from healthsync.settings.tree import HttpTls


class WebServer(uvicorn.Server):
    """Serves an ASGI application until `stop`; requests in flight are finished."""

    def __init__(self, application: Any, host: str, port: int, tls: HttpTls | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                http="httptools",
                ws="none",
                timeout_graceful_shutdown=10,
                ssl_certfile=tls.certificate if tls else None,
                ssl_keyfile=tls.key if tls else None,
            )
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=1024)
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
