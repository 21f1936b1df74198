"""How the core reaches the hub: over HTTP from anywhere, or by a call inside the hub's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

from healthsync.errors import ConfigurationError, Unavailable

_CONNECT_SECONDS = 10.0


class Transport(Protocol):
    """Sends one request."""

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Unavailable when none comes."""
        ...

    async def close(self) -> None:
        """End all connections."""
        ...


class HttpTransport:
    """HTTP/1.1 to the address of a hub, over connections that are kept."""

    def __init__(self, url: str, *, verify: str | bool = True) -> None:
        import ssl

        import httpcore

        base = httpcore.URL(url.rstrip("/"))
        if base.scheme not in (b"http", b"https") or not base.host:
            raise ConfigurationError("url is the address of a hub, such as https://hub.example.org")
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        self._url = url.rstrip("/")
        self._trouble = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=context, max_connections=32, keepalive_expiry=30)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Unavailable when none comes."""
        seconds = dict.fromkeys(("read", "write", "pool"), timeout_seconds) | {"connect": _CONNECT_SECONDS}
        try:
            answer = await self._pool.request(
                method,
                f"{self._url}{path}",
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": seconds},
            )
        except self._trouble as error:
            raise Unavailable(f"the hub at {self._url} does not answer ({type(error).__name__})") from None
        return answer.status, answer.content

    async def close(self) -> None:
        """End all connections."""
        await self._pool.aclose()


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class InsideTransport:
    """Calls the hub's ASGI application: the same routes and gates without a socket."""

    def __init__(self, application: Asgi) -> None:
        self._application = application

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Unavailable when it takes too long."""
        parts: list[bytes] = []
        started: dict[str, Any] = {}
        requests = iter(({"type": "http.request", "body": body, "more_body": False},))

        async def receive() -> MutableMapping[str, Any]:
            if (message := next(requests, None)) is not None:
                return message
            return await asyncio.Event().wait() and {}  # nobody hangs up

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                parts.append(message.get("body", b""))

        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": None,
            "server": None,
        }
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._application(scope, receive, send)
        except TimeoutError:
            raise Unavailable("the hub takes too long to answer") from None
        return started["status"], b"".join(parts)

    async def close(self) -> None:
        """Nothing is open."""
