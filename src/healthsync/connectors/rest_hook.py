"""HTTP requests to receivers that a client named: never to an address inside unless the operator named the host.

The address that was checked is the address that is connected to (a name may resolve otherwise a moment later), no
redirect is followed, no proxy and no cookie is used, and of the answer only the status is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import cast

import httpcore

from healthsync.errors import Refused, Unavailable

_MOST_ADDRESSES = 8
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_TROUBLE = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, TimeoutError)


class AddressRefused(Refused):
    """The receiver's name leads to an address that this hub does not send to."""


@cache
def _public_authorities() -> ssl.SSLContext:
    """TLS that trusts the authorities of the machine. Reading them takes a while: once a process."""
    return ssl.create_default_context()


class RestHooks:
    """Sends notifications over HTTP. `allows(host, port)` tells whether the operator named a receiver."""

    def __init__(self, allows: Callable[[str, int], bool], *, tls: ssl.SSLContext | None = None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or _public_authorities(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=15,
            network_backend=_GuardedNetwork(allows),
        )

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout_seconds: float
    ) -> int:
        """The HTTP status of the answer.

        Raises Unavailable when none comes in time, AddressRefused when the receiver's address may not be sent to.
        """
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), timeout_seconds)
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._pool.stream(
                    method, url, headers=list(headers), content=body, extensions={"timeout": timeout}
                ) as answer,
            ):
                return answer.status
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            OSError,
            TimeoutError,
        ) as error:
            # The texts of others may repeat the URL, which is the receiver's secret.
            raise Unavailable(f"the receiver did not answer ({type(error).__name__})") from None

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.aclose()


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves and checks a name, then connects to the address that was checked."""

    def __init__(self, allows: Callable[[str, int], bool]) -> None:
        self._allows = allows
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of `host` that answers."""
        addresses = await _addresses(host, port)
        if not self._allows(host, port) and not all(map(is_public, addresses)):
            raise AddressRefused(
                "the receiver's address lies inside; the operator can name its host in subscriptions.allowed_hosts"
            )
        last: Exception = httpcore.ConnectError("the name leads to no address")
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def connect_unix_socket(self, *_arguments: object, **_options: object) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused("a receiver is reached over TCP")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet (RFC 6890): not private, loopback, link-local, multicast …"""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF) if parsed in _NAT64 else None
        parsed = parsed.ipv4_mapped or parsed.sixtofour or translated or parsed
    return parsed.is_global and not parsed.is_multicast


async def _addresses(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the name leads to no address") from None
    return [str(entry[4][0]) for entry in found]
