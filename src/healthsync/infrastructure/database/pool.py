"""The connection pool and the unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database import deferred
from healthsync.infrastructure.database.deferred import Later

_CONNECT_SECONDS = 10
_ACQUIRE_SECONDS = 30
_LISTEN_AGAIN_SECONDS = 0.5

# The server said itself that it cannot serve now, or asyncpg that the connection is gone.
_SERVER_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
# Said of a lost connection, but also of a wrong argument (InterfaceError) or by the caller's own files (OSError).
_PERHAPS_GONE = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_TROUBLE = (*_SERVER_GONE, *_PERHAPS_GONE, asyncpg.QueryCanceledError)
_ADDRESS_REFUSED = (
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class _Connection(asyncpg.Connection):
    def get_reset_query(self) -> str:
        """No session state is ever set (see the package docstring), so there is nothing to reset."""
        return ""


class Transaction:
    """One unit of work. Passed down explicitly; committed only by `Database.transaction` and `Database.unit_of_work`.

    `later` keeps a write for the end of the unit, where all that were kept travel as one statement. Whatever else is
    asked of the transaction in between is asked after they were written, so that nothing can tell the difference.
    """

    def __init__(self, connection: asyncpg.Connection, *, lazy: bool = False) -> None:
        self.connection = connection
        self._after_commit: list[Callable[[], None]] = []
        self._waiting: list[Later] = []
        self._began: Any = None
        self._lazy = lazy

    async def fetch(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        """All rows of a statement."""
        await self._ready()
        return await self.connection.fetch(query, *parameters)

    async def fetchrow(self, query: str, *parameters: Any) -> asyncpg.Record | None:
        """The first row of a statement."""
        await self._ready()
        return await self.connection.fetchrow(query, *parameters)

    async def fetchval(self, query: str, *parameters: Any) -> Any:
        """The first value of the first row."""
        await self._ready()
        return await self.connection.fetchval(query, *parameters)

    async def execute(self, query: str, *parameters: Any, timeout: float | None = None) -> str:
        """Run a statement for what it does."""
        await self._ready()
        return await self.connection.execute(query, *parameters, timeout=timeout)

    async def executemany(self, query: str, parameters: Any) -> None:
        """Run a statement for each of several rows."""
        await self._ready()
        await self.connection.executemany(query, parameters)

    async def look(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        """All rows of a statement that only reads and locks nothing: it does not make a lazy unit of work begin.

        Under READ COMMITTED, in which the hub works, each statement sees what was committed before it, whether a
        transaction is open or not.
        """
        if self._waiting:
            await self._ready()
        return await self.connection.fetch(query, *parameters)

    async def begin(self) -> None:
        """From here on everything stands or falls together (a lazy unit of work begins; another one has begun)."""
        if self._lazy and self._began is None:
            self._began = self.connection.transaction()
            await self._began.start()

    def later(self, write: Later) -> None:
        """Keep a write for the end of the unit of work."""
        self._waiting.append(write)

    async def flush(self) -> None:
        """Write now what waits."""
        await self._ready()

    async def _ready(self) -> None:
        await self.begin()
        if self._waiting:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for group in deferred.groups(waiting):
            statement, parameters = deferred.together(group)
            try:
                await self.connection.fetchrow(statement, *parameters, timeout=deferred.timeout(group))
            except (asyncpg.PostgresError, TimeoutError, *_PERHAPS_GONE) as error:
                raise deferred.translated(group, error) from error

    async def _end(self) -> None:
        """Write what waits and commit. A single statement is a transaction by itself."""
        if self._waiting and self._lazy and self._began is None and len(deferred.groups(self._waiting)) > 1:
            await self.begin()
        if self._waiting:
            await self._write_waiting()
        if self._began is not None:
            await self._began.commit()

    async def _undo(self) -> None:
        self._waiting.clear()
        if self._began is not None:
            await self._began.rollback()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` once this unit of work has been committed (never on rollback): cache and wake-up calls."""
        self._after_commit.append(action)

    def _committed(self) -> None:
        for action in self._after_commit:
            action()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone: an exception undoes the part and travels on."""
        await self._ready()
        kept = len(self._after_commit)
        try:
            async with self.connection.transaction():
                yield
                await self._ready()
        except BaseException:
            del self._after_commit[kept:]
            self._waiting.clear()
            raise


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self.url = url
        self._listeners: set[_Listener] = set()

    @classmethod
    async def connect(
        cls, url: str, *, min_size: int = 1, max_size: int = 16, statement_timeout_seconds: float = 60
    ) -> Database:
        """Open a pool whose statements end after `statement_timeout_seconds`.

        Raises Unavailable when nothing answers there, ConfigurationError when the address or its password is wrong.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=min_size,
                max_size=max_size,
                timeout=_CONNECT_SECONDS,
                connection_class=_Connection,
                server_settings={
                    "application_name": "healthsync",
                    "statement_timeout": str(int(statement_timeout_seconds * 1000)),
                    "idle_in_transaction_session_timeout": str(int(statement_timeout_seconds * 1000)),
                    "timezone": "UTC",
                    "jit": "off",
                    # Planning anew for each value costs as much as the statement itself. The hub's statements name
                    # their indexes by their form (decision 19), so that a plan for any value is the plan for each.
                    "plan_cache_mode": "force_generic_plan",
                },
            )
        except _ADDRESS_REFUSED as error:
            raise ConfigurationError(
                f"the address of the database is refused ({type(error).__name__}); check the host, user, password and "
                "name of the database in it"
            ) from None
        except _TROUBLE as error:
            raise _unavailable(error) from error
        return cls(pool, url)

    async def close(self) -> None:
        """Close every connection, waiting for those in use."""
        for listener in list(self._listeners):
            await listener.stop()
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """One unit of work: commits at the end of the block, rolls back on an exception.

        Raises Unavailable when the server cannot be reached, goes away, or a statement takes longer than allowed. After
        an Unavailable from the commit itself it is not known whether the work was committed.
        """
        async with self._acquired() as tx, tx.connection.transaction(readonly=read_only):
            yield tx
            await tx._end()
        tx._committed()

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[Transaction]:
        """A transaction that begins with its first statement that does more than look (`Transaction.look`).

        Where all its writes were kept for the end (`Transaction.later`) it is one statement and needs no round trips to
        begin and to commit. Raises what `transaction` raises.
        """
        async with self._acquired(lazy=True) as tx:
            try:
                yield tx
                await tx._end()
            except BaseException:
                with suppress(*_TROUBLE):
                    await tx._undo()
                raise
        tx._committed()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Transaction]:
        """A connection whose statements each commit by themselves: for single reads and single writes."""
        async with self._acquired() as tx:
            yield tx
            await tx._end()
        tx._committed()

    async def ping(self) -> tuple[str, int]:
        """Version of the server and size of the database in bytes. Raises Unavailable when it does not answer."""
        async with self.connection() as tx:
            row = await tx.fetchrow("SELECT current_setting('server_version'), pg_database_size(current_database())")
            assert row is not None
            return row[0], row[1]

    async def listen(self, channel: str, wake: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        """Call `wake(payload)` for each NOTIFY on `channel`, on a connection of its own; returns the way to stop.

        NOTIFY is only a hint that saves latency: `wake("")` follows each (re)connection, as hints may have been lost.
        """
        listener = _Listener(self.url, channel, wake)
        self._listeners.add(listener)

        async def stop() -> None:
            self._listeners.discard(listener)
            await listener.stop()

        return stop

    @asynccontextmanager
    async def _acquired(self, *, lazy: bool = False) -> AsyncIterator[Transaction]:
        try:
            connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
        except _TROUBLE as error:
            raise _unavailable(error) from error
        try:
            yield Transaction(connection, lazy=lazy)  # type: ignore[arg-type]
        except _TROUBLE as error:
            if isinstance(error, _PERHAPS_GONE) and not _is_closed(connection):
                raise
            if not isinstance(error, asyncpg.QueryCanceledError):
                with suppress(*_PERHAPS_GONE):
                    connection.terminate()  # whatever state it is in, nobody gets it again
            raise _unavailable(error) from error
        finally:
            with suppress(*_PERHAPS_GONE):  # a lost connection is dropped by the pool
                await self._pool.release(connection)


def _unavailable(error: BaseException) -> Unavailable:
    """asyncpg's own texts are not repeated: they may hold the values of a statement."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("a statement took longer than the database allows")
    return Unavailable(f"the database does not answer ({type(error).__name__})")


def _is_closed(connection: Any) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken the lost connection back already
        return True


class _Listener:
    """Keeps one LISTEN alive across restarts of the server."""

    def __init__(self, url: str, channel: str, wake: Callable[[str], None]) -> None:
        self._url, self._channel, self._wake = url, channel, wake
        self._task = asyncio.create_task(self._keep_listening(), name=f"listen-{channel}")

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep_listening(self) -> None:
        while True:
            with suppress(*_PERHAPS_GONE, asyncpg.PostgresError):
                await self._listen_until_lost()
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _listen_until_lost(self) -> None:
        settings = {"application_name": "healthsync-listen"}
        connection = await asyncpg.connect(self._url, server_settings=settings, timeout=_CONNECT_SECONDS)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(
                self._channel, lambda _connection, _pid, _channel, payload: self._wake(payload)
            )
            self._wake("")
            await lost.wait()
        finally:
            connection.terminate()
