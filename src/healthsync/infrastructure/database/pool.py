"""The connection pool and the unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from healthsync.errors import Unavailable

_UNREACHABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


class _Connection(asyncpg.Connection):
    def get_reset_query(self) -> str:
        """No session state is ever set (see the package docstring), so there is nothing to reset."""
        return ""


class Transaction:
    """One unit of work. Passed down explicitly; committed only by `Database.transaction`."""

    __slots__ = ("_after_commit", "connection", "execute", "executemany", "fetch", "fetchrow", "fetchval")

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.fetch: Callable[..., Awaitable[list[asyncpg.Record]]] = connection.fetch
        self.fetchrow: Callable[..., Awaitable[asyncpg.Record | None]] = connection.fetchrow
        self.fetchval: Callable[..., Awaitable[Any]] = connection.fetchval
        self.execute: Callable[..., Awaitable[str]] = connection.execute
        self.executemany: Callable[..., Awaitable[None]] = connection.executemany
        self._after_commit: list[Callable[[], None]] = []

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` once this unit of work has been committed (never on rollback): cache and wake-up calls."""
        self._after_commit.append(action)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone: an exception undoes the part and travels on."""
        kept = len(self._after_commit)
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            del self._after_commit[kept:]
            raise


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self.url = url
        self._listeners: list[asyncpg.Connection] = []

    @classmethod
    async def connect(
        cls, url: str, *, min_size: int = 1, max_size: int = 16, statement_timeout_seconds: float = 60
    ) -> Database:
        """Open a pool. Raises Unavailable when the server does not answer."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=min_size,
                max_size=max_size,
                connection_class=_Connection,
                server_settings={
                    "application_name": "healthsync",
                    "statement_timeout": str(int(statement_timeout_seconds * 1000)),
                    "timezone": "UTC",
                    "jit": "off",
                },
            )
        except _UNREACHABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        return cls(pool, url)

    async def close(self) -> None:
        """Close every connection, waiting for those in use."""
        for listener in self._listeners:
            await listener.close()
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """One unit of work: commits at the end of the block, rolls back on an exception.

        Raises Unavailable when the server cannot be reached or goes away.
        """
        try:
            async with self._pool.acquire() as connection:
                tx = Transaction(connection)  # type: ignore[arg-type]
                async with connection.transaction(readonly=read_only):
                    yield tx
        except _UNREACHABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
        for action in tx._after_commit:
            action()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """A connection whose statements each commit by themselves: for single reads and single writes."""
        try:
            async with self._pool.acquire() as connection:
                yield Transaction(connection)  # type: ignore[arg-type]
        except _UNREACHABLE as error:
            raise Unavailable(f"the database does not answer ({type(error).__name__})") from error

    async def listen(self, channel: str, wake: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        """Call `wake(payload)` for each NOTIFY on `channel`, on a connection of its own; returns the way to stop.

        NOTIFY is only a hint that saves latency: after a lost connection the caller still polls.
        """
        stopped = asyncio.Event()

        async def keep_listening() -> None:
            while not stopped.is_set():
                try:
                    connection = await asyncpg.connect(self.url, server_settings={"application_name": "healthsync-listen"})
                except (*_UNREACHABLE, asyncpg.PostgresError):
                    await asyncio.sleep(0.5)
                    continue
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                try:
                    await connection.add_listener(channel, lambda _c, _pid, _channel, payload: wake(payload))
                    wake("")
                    waits = [asyncio.ensure_future(lost.wait()), asyncio.ensure_future(stopped.wait())]
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    for wait in waits:
                        wait.cancel()
                except (*_UNREACHABLE, asyncpg.PostgresError):
                    await asyncio.sleep(0.5)
                finally:
                    if not connection.is_closed():
                        await connection.close(timeout=2)

        task = asyncio.create_task(keep_listening(), name=f"listen-{channel}")

        async def stop() -> None:
            stopped.set()
            await asyncio.wait([task], timeout=3)
            task.cancel()

        return stop
