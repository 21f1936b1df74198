"""The connection pool and the unit of work.

One file, though a long one: when a connection goes back, what waits to be written and which error becomes which are one
question.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import asyncpg

from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database import deferred, guards
from healthsync.infrastructure.database.deferred import Waiting, Writer
from healthsync.infrastructure.database.guards import Guard, Guarded, Outdated
from healthsync.infrastructure.together import Together
from healthsync.infrastructure.turns import Turns

_CONNECT_SECONDS = 10
_ACQUIRE_SECONDS = 30
_LISTEN_AGAIN_SECONDS = 0.5

_MOST_ROWS_TOGETHER = 100
"""Rows of a unit of work that may travel with those of others: a large one would keep them waiting."""
_MOST_UNITS, _MOST_LOOKUPS = 100, 200
_AT_HAND = 4
"""Connections that go from one user to the next without asyncpg's pool, whose giving and taking back costs as much as a
small statement; those beyond are the pool's, which closes what is idle for long."""
_MOST_PLACES = 20
_STATEMENTS_AT_ONCE, _STATEMENT_PATIENCE_SECONDS = 2, 0.02
"""Shared statements follow each other: the more travel with one, the less does each pay for its making and its commit.
A second one goes beside one that lasts."""
_LOCK_PATIENCE_MS = 200
"""What waits longer for a lock is written alone, so that those who travel with it need not wait."""

_KEPT_STATEMENTS = 400
"""Of each connection: searches have many forms."""
_PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
"""Planning anew for each value costs as much as the statement itself. The hub's statements name their indexes by their
form (decision 19), so that a plan for any value is the plan for each. It must hold for whatever is in the tables by
then, so it uses indexes even where a table was empty when it was made."""

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
_IN_EACH_OTHERS_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
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

    async def _introspect_types(self, typeoids: Collection[int], timeout: float | None) -> Any:
        """What asyncpg must know of a type that a connection meets for the first time: three statements, and 10 ms of
        planning. Of PostgreSQL's own types (here arrays) the answer is always the same, so that one connection asks for
        all. Should asyncpg come to name this otherwise, each asks for itself again."""
        if max(typeoids) >= _FIRST_OWN_TYPE:
            return await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]
        for oid in typeoids:
            if oid not in _KNOWN_TYPES:
                _KNOWN_TYPES[oid], _ = await super()._introspect_types([oid], timeout)  # type: ignore[misc]
        return [row for oid in typeoids for row in _KNOWN_TYPES[oid]], _NO_NEED_TO_PREPARE_AGAIN


_FIRST_OWN_TYPE = 16384
"""Lower numbers are those of PostgreSQL's own types, the same in every database (FirstNormalObjectId)."""
_KNOWN_TYPES: dict[int, Sequence[asyncpg.Record]] = {}
_NO_NEED_TO_PREPARE_AGAIN = SimpleNamespace(name="named")
"""asyncpg looks whether it was asked by a statement without a name: that would have replaced the one at hand."""


class _Connections:
    """A pool of which the connections last used lie at hand. Whoever waits for the pool is served first."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._at_hand: list[Any] = []
        self._waiting = 0

    async def take(self) -> Any:
        while self._at_hand:
            if not _is_closed(connection := self._at_hand.pop()):  # the pool drops the others by itself
                return connection
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
        finally:
            self._waiting -= 1

    def keep(self, connection: Any) -> bool:
        """Take back a connection whose last statement ended and in which no transaction is open, for the next to have
        it as it is; False when it should go back to the pool."""
        if self._waiting or len(self._at_hand) >= _AT_HAND:
            return False
        self._at_hand.append(connection)
        return True

    async def give_back(self, connection: Any) -> None:
        """Whatever state it is in, the pool puts it right."""
        with suppress(*_PERHAPS_GONE):  # a lost connection is dropped by the pool
            await self._pool.release(connection)

    async def close(self) -> None:
        self._waiting += 1  # what is still in use goes back to the pool, which waits for it
        while self._at_hand:
            await self._pool.release(self._at_hand.pop())
        await self._pool.close()


class _Acquired:
    """A connection for a block; errors that tell of a lost or overloaded server become Unavailable."""

    def __init__(self, pool: _Connections) -> None:
        self._pool = pool
        self._connection: Any = None

    async def __aenter__(self) -> Any:
        try:
            self._connection = await self._pool.take()
        except _TROUBLE as error:
            raise _unavailable(error) from error
        return self._connection

    async def __aexit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        connection = self._connection
        if error is None:
            if not self._pool.keep(connection):
                await self._pool.give_back(connection)
            return
        is_lost = isinstance(error, _TROUBLE) and not (isinstance(error, _PERHAPS_GONE) and not _is_closed(connection))
        if is_lost and not isinstance(error, asyncpg.QueryCanceledError):
            with suppress(*_PERHAPS_GONE):
                connection.terminate()  # whatever state it is in, nobody gets it again
        await self._pool.give_back(connection)
        if is_lost:
            raise _unavailable(error) from error


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A statement that finds rows at each of several places, and only reads.

    query   takes the text of an array for each column of a place (`$1::text::bigint[]`): of others the driver looks at
            each element three times before it sends it
    place   the place that a row was found at
    """

    query: str
    place: Callable[[asyncpg.Record], Hashable]


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What else a look brings along, so that nobody has to ask for it next.

    columns further columns, each behind a comma
    joined  the joins that they come from; what they may refer to is said where the look is made
    take    told of the rows
    """

    columns: str
    joined: str
    take: Callable[[Sequence[asyncpg.Record]], None]


Places = Mapping[Any, Sequence[Any]]
"""Places, and the values of their columns."""


class _WriteAlone(Exception):
    """What was written together failed, for the sake of one or of all."""


class Transaction:
    """One unit of work. Passed down explicitly; committed only by `Database.transaction` and `Database.unit_of_work`.

    `later` keeps rows for the end of the unit, where all that were kept are written by one statement. Whatever else is
    asked of the transaction in between is asked after they were written, so that nothing can tell the difference.
    `at_end` keeps rows that nothing else in the unit reads for its very end: rows that others may write at the same
    time are then locked by one statement, in the writer's order, and not for longer than the commit takes.
    """

    def __init__(self, connection: asyncpg.Connection | None) -> None:
        self._connection = connection
        self._after_commit: list[Callable[[], None]] = []
        self._waiting: Waiting = {}
        self._ends: Waiting = {}

    @property
    def is_repeatable(self) -> bool:
        """Whether it can decide by what it does not hold (`guard`): it is repeated should that have changed."""
        return False

    @property
    def is_guarded(self) -> bool:
        """Whether it has decided by what it does not hold."""
        return False

    @property
    def connection(self) -> asyncpg.Connection:
        """The connection that it runs on."""
        assert self._connection is not None, "this unit of work has asked nothing yet"
        return self._connection

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
        """All rows of a statement that only reads and locks nothing: it does not make a unit of work begin.

        Under READ COMMITTED, in which the hub works, each statement sees what was committed before it, whether a
        transaction is open or not.
        """
        return await self.fetch(query, *parameters)

    async def look_beside(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        """The same, of tables that nothing that waits will change: it goes on waiting."""
        return await self.connection.fetch(query, *parameters)

    async def look_up(self, lookup: Lookup, places: Places, *, beside: bool = False) -> list[asyncpg.Record]:
        """The rows at some places, as `look` (or `look_beside`) would find them."""
        look = self.look_beside if beside else self.look
        return await look(lookup.query, *_columns(places))

    async def begin(self) -> None:
        """From here on everything stands or falls together."""

    async def in_turn(self, turns: Turns, names: Collection[Hashable]) -> None:
        """Wait for the turn for some names, and keep it until the end; at once where something is in hand already, for
        which others may be waiting."""

    def later(self, writer: Writer, rows: Sequence[Any]) -> None:
        """Keep rows for the end of the unit of work."""
        self._waiting.setdefault(writer, []).extend(rows)

    def at_end(self, writer: Writer, rows: Sequence[Any]) -> None:
        """Keep rows for the commit, in order; what is asked before does not see them."""
        self._ends.setdefault(writer, []).extend(rows)

    def kept_for_end(self, writer: Writer) -> Sequence[Any]:
        """The rows that wait for the commit."""
        return self._ends.get(writer, ())

    def guard(self, guard: Guard, row: Any) -> None:
        """What was decided by, though it is not held: it is held before the first row is written, until the commit. Who
        learns then that it has changed gets Outdated, and nothing was written."""
        raise AssertionError("only a unit of work that can be repeated decides by what it does not hold")

    async def flush(self) -> None:
        """Write now what waits, also for the commit."""
        self._also_for_end()
        await self._ready()

    def _also_for_end(self) -> None:
        """What waited for the commit is written with the rest."""
        if self._ends:
            self._waiting, self._ends = deferred.merged([self._waiting, self._ends]), {}

    async def _ready(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            await _write(self.connection, waiting)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run `action` once this unit of work has been committed (never on rollback): cache and wake-up calls."""
        self._after_commit.append(action)

    def committed(self) -> None:
        """Tell whoever wanted to know, once."""
        for action in self._after_commit:
            action()
        self._after_commit = []

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail alone: an exception undoes the part and travels on."""
        await self._ready()
        kept, ends = len(self._after_commit), {writer: list(rows) for writer, rows in self._ends.items()}
        try:
            async with self.connection.transaction():
                yield
                await self._ready()
        except BaseException:
            del self._after_commit[kept:]
            self._waiting, self._ends = {}, ends
            raise


class _UnitOfWork(Transaction):
    """A transaction that has no connection until it asks something, and begins no sooner than it must."""

    def __init__(self, database: Database, *, repeats: bool) -> None:
        super().__init__(None)
        self._database = database
        self._repeats = repeats
        self._guarded: Guarded = {}
        self._acquired: _Acquired | None = None
        self._began: Any = None
        self._leave: Callable[[], None] | None = None

    @property
    def is_repeatable(self) -> bool:
        return self._repeats and self._began is None and not self._waiting

    @property
    def is_guarded(self) -> bool:
        return bool(self._guarded)

    def guard(self, guard: Guard, row: Any) -> None:
        assert self._repeats and self._began is None, "what is written already cannot be decided anew"
        self._guarded.setdefault(guard, []).append(row)

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        """Write what waits and commit, or undo; the connection goes back in either case."""
        fault = error
        try:
            if error is None:
                await self._end()
        except BaseException as problem:
            fault = problem
            raise
        finally:
            if fault is not None:
                with suppress(*_TROUBLE):
                    await self._undo()
            try:
                if self._acquired is not None:
                    await self._acquired.__aexit__(type(fault), fault, None)
            finally:
                if self._leave is not None:
                    self._leave()
        if error is None:
            self.committed()

    async def look(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        if self._waiting:
            await self._ready()
        await self._connect()
        return await self.connection.fetch(query, *parameters)

    async def look_beside(self, query: str, *parameters: Any) -> list[asyncpg.Record]:
        await self._connect()
        return await super().look_beside(query, *parameters)

    async def look_up(self, lookup: Lookup, places: Places, *, beside: bool = False) -> list[asyncpg.Record]:
        if self._connection is None and (beside or not self._waiting) and len(places) <= _MOST_PLACES:
            return await self._database.look_up(lookup, places)
        return await super().look_up(lookup, places, beside=beside)

    async def in_turn(self, turns: Turns, names: Collection[Hashable]) -> None:
        if self._connection is None and self._leave is None:
            self._leave = await turns.take(names)

    async def begin(self) -> None:
        if self._began is None:
            await self._connect()
            self._began = self.connection.transaction()
            await self._began.start()
            guarded, self._guarded = self._guarded, {}
            if guarded:
                await guards.hold(Transaction(self.connection), [guarded])
                await _write(self.connection, guards.checks(guarded))

    async def _connect(self) -> None:
        if self._connection is None:
            acquired = self._database.acquired()
            self._connection = await acquired.__aenter__()
            self._acquired = acquired

    async def _ready(self) -> None:
        await self.begin()
        await super()._ready()

    async def _end(self) -> None:
        """Write what waits and commit. What was only kept for the end travels with that of other units."""
        self._also_for_end()
        if self._began is not None:
            await super()._ready()
            await self._began.commit()
        elif self._waiting:
            waiting, self._waiting = self._waiting, {}
            await self._database.write(waiting, self.committed, self._guarded)

    async def _undo(self) -> None:
        """Nothing of it happened."""
        self._waiting, self._ends = {}, {}
        if self._began is not None:
            await self._began.rollback()


class _Statements:
    """A connection for single statements."""

    def __init__(self, acquired: _Acquired) -> None:
        self._acquired = acquired

    async def __aenter__(self) -> Transaction:
        self._tx = Transaction(await self._acquired.__aenter__())
        return self._tx

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        fault = error
        try:
            if error is None:
                await self._tx.flush()
        except BaseException as problem:
            fault = problem
            raise
        finally:
            await self._acquired.__aexit__(type(fault), fault, None)
        if error is None:
            self._tx.committed()


def is_deadlock(error: BaseException) -> bool:
    """Whether PostgreSQL ended a statement because two transactions waited for each other (40P01)."""
    return isinstance(error, asyncpg.DeadlockDetectedError)


class Database:
    """The connections to one PostgreSQL database."""

    def __init__(self, pool: asyncpg.Pool, shared: asyncpg.Pool, url: str) -> None:
        self._pool, self._shared = _Connections(pool), _Connections(shared)
        self.url = url
        self._listener = _Listener(url)
        self._writing = Together(self._write_together, most=_MOST_UNITS, patience=_STATEMENT_PATIENCE_SECONDS)
        self._looking: dict[Lookup, Together[Places, list[asyncpg.Record]]] = {}

    @classmethod
    async def connect(
        cls, url: str, *, min_size: int = 1, max_size: int = 16, statement_timeout_seconds: float = 60
    ) -> Database:
        """Open a pool whose statements end after `statement_timeout_seconds`.

        Raises Unavailable when nothing answers there, ConfigurationError when the address or its password is wrong.
        """
        milliseconds = str(int(statement_timeout_seconds * 1000))
        settings = {
            "application_name": "healthsync",
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "timezone": "UTC",
            "jit": "off",
            **_PLANNED_ONCE,
        }
        pool = await _pool(url, settings, min_size, max_size)
        shared = await _pool(url, settings | {"lock_timeout": str(_LOCK_PATIENCE_MS)}, 0, _STATEMENTS_AT_ONCE)
        return cls(pool, shared, url)

    async def close(self) -> None:
        """Close every connection, waiting for those in use."""
        await self._listener.close()
        for together in (self._writing, *self._looking.values()):
            await together.close()
        await self._shared.close()
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """One unit of work: commits at the end of the block, rolls back on an exception.

        Raises Unavailable when the server cannot be reached, goes away, or a statement takes longer than allowed. After
        an Unavailable from the commit itself it is not known whether the work was committed.
        """
        async with self.acquired() as connection, connection.transaction(readonly=read_only):
            tx = Transaction(connection)
            yield tx
            await tx.flush()
        tx.committed()

    def unit_of_work(self, *, repeats: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that begins with its first statement that does more than look (`Transaction.look`).

        Where all its writes were kept for the end (`Transaction.later`) it needs no round trips to begin and to commit,
        and shares its only statement with units of work that end at the same time. Raises what `transaction` raises;
        with `repeats` also Outdated, after which it is to be done once more without.
        """
        return _UnitOfWork(self, repeats=repeats)

    def connection(self) -> AbstractAsyncContextManager[Transaction]:
        """A connection whose statements each commit by themselves: for single reads and single writes."""
        return _Statements(self.acquired())

    async def look_up(self, lookup: Lookup, places: Places) -> list[asyncpg.Record]:
        """The rows at some places, asked for together with all who are about to ask the same, or do while somebody
        looks."""
        if lookup not in self._looking:
            self._looking[lookup] = Together(partial(self._look_together, lookup), most=_MOST_LOOKUPS)
        return await self._looking[lookup](places)

    async def write(self, waiting: Waiting, committed: Callable[[], None], guarded: Guarded) -> None:
        """Write and commit what waits, together with what others write at the same time, and call `committed` then.

        Raises what the writers make of an error, Unavailable as `transaction` does; Outdated when what is guarded has
        changed.
        """
        if deferred.size(waiting) <= _MOST_ROWS_TOGETHER:
            with suppress(_WriteAlone):
                return await self._writing((waiting, committed, guarded))
        async with self.acquired() as connection:
            if await _write_guarded(connection, [(waiting, committed, guarded)]):
                raise Outdated
        committed()

    async def _write_together(self, units: list[_Unit]) -> list[BaseException | None]:
        try:
            async with _Acquired(self._shared) as connection:
                gone = await _write_guarded(connection, units)
        except Exception as error:
            cause = error.__cause__ or error
            if len(units) == 1 and not isinstance(cause, _IN_EACH_OTHERS_WAY):
                raise
            if isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, _TROUBLE):
                raise _WriteAlone from None  # nothing was written
            return [deferred.translated(unit, error) for unit, _, _ in units]
        for at, (_, committed, _) in enumerate(units):
            if at not in gone:
                committed()
        return [Outdated() if at in gone else None for at in range(len(units))]

    async def _look_together(self, lookup: Lookup, asked: list[Places]) -> list[list[asyncpg.Record]]:
        places = {place: values for each in asked for place, values in each.items()}
        async with self.acquired() as connection:
            rows = await connection.fetch(lookup.query, *_columns(places))
        if len(asked) == 1:
            return [rows]
        found: dict[Hashable, list[asyncpg.Record]] = {}
        for row in rows:
            found.setdefault(lookup.place(row), []).append(row)
        return [[row for place in each for row in found.get(place, ())] for each in asked]

    async def ping(self) -> tuple[str, int]:
        """Version of the server and size of the database in bytes. Raises Unavailable when it does not answer."""
        async with self.connection() as tx:
            row = await tx.fetchrow("SELECT current_setting('server_version'), pg_database_size(current_database())")
            assert row is not None
            return row[0], row[1]

    async def listen(self, channel: str, wake: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        """Call `wake(payload)` for each NOTIFY on `channel`; returns the way to stop.

        NOTIFY is only a hint that saves latency: `wake("")` follows each (re)connection, as hints may have been lost.
        """
        ear = self._listener.begin(channel, wake)

        async def stop() -> None:
            await self._listener.end(ear)

        return stop

    def acquired(self) -> _Acquired:
        """A connection for the block."""
        return _Acquired(self._pool)


async def _pool(url: str, settings: Mapping[str, str], min_size: int, max_size: int) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=_CONNECT_SECONDS,
            connection_class=_Connection,
            server_settings=dict(settings),
            statement_cache_size=_KEPT_STATEMENTS,
        )
    except _ADDRESS_REFUSED as error:
        raise ConfigurationError(
            f"the address of the database is refused ({type(error).__name__}); check the host, user, password and "
            "name of the database in it"
        ) from None
    except _TROUBLE as error:
        raise _unavailable(error) from error


_Unit = tuple[Waiting, Callable[[], None], Guarded]
"""What a unit of work writes, whom to tell of the commit, and what must still be as it was."""


async def _write_guarded(connection: asyncpg.Connection, units: Sequence[_Unit]) -> set[int]:
    """One statement for all units but those that must give way to one before them, the places of which are answered.
    It fails where what another one decided by has changed."""
    guarded = [of_unit for _, _, of_unit in units]
    if not any(guarded):
        await _write(connection, _together(units))
        return set()
    async with connection.transaction():
        gone = await guards.hold(Transaction(connection), guarded)
        stays = [unit for at, unit in enumerate(units) if at not in gone]
        checked = deferred.merged([guards.checks(of_unit) for _, _, of_unit in stays])
        await _write(connection, checked | _together(stays))  # the guards say first what an error means
    return gone


def _together(units: Sequence[_Unit]) -> Waiting:
    return units[0][0] if len(units) == 1 else deferred.merged([waiting for waiting, _, _ in units])


async def _write(connection: asyncpg.Connection, waiting: Waiting) -> None:
    """One statement for all that waits; within a transaction many new rows are copied before it. Raises what the
    writers make of an error."""
    copied, rest = deferred.divided(waiting) if connection.is_in_transaction() else ([], waiting)
    seconds = deferred.timeout(waiting)
    try:
        for rows in copied:
            await connection.copy_records_to_table(
                rows.table, columns=rows.columns, records=rows.records, timeout=seconds
            )
        if rest:
            statement, parameters = deferred.statement(rest)
            await connection.fetchrow(statement, *parameters, timeout=seconds)
    except (asyncpg.PostgresError, TimeoutError, *_PERHAPS_GONE) as error:
        raise deferred.translated(waiting, error) from error


def _columns(places: Places) -> list[str]:
    """The columns of places as PostgreSQL reads arrays (manual, 8.15.2)."""
    columns = zip(*places.values(), strict=True)
    return ["{" + ",".join([_WRITTEN[type(value)](value) for value in column]) + "}" for column in columns]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITTEN: Mapping[type, Callable[[Any], str]] = {str: _quoted, int: str, datetime: datetime.isoformat}


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


@dataclass(slots=True, eq=False)
class _Ear:
    """One who listens; what is still on its way when he has stopped does not reach him."""

    channel: str
    wake: Callable[[str], None]
    stopped: bool = False

    def hear(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        if not self.stopped:
            self.wake(payload)


class _Listener:
    """Keeps one connection that hears every channel that somebody listens to, across restarts of the server. One for
    all: PostgreSQL wakes each session of the database that listens to anything for each commit that notifies."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ears: set[_Ear] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, channel: str, wake: Callable[[str], None]) -> _Ear:
        self._ears.add(ear := _Ear(channel, wake))
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_listening(), name="listen")
        return ear

    async def end(self, ear: _Ear) -> None:
        ear.stopped = True
        self._ears.discard(ear)
        self._changed.set()
        if not self._ears:
            await self.close()

    async def close(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _keep_listening(self) -> None:
        while True:
            with suppress(*_PERHAPS_GONE, asyncpg.PostgresError):
                await self._listen_until_lost()
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def _listen_until_lost(self) -> None:
        settings = {"application_name": "healthsync-listen"}
        connection = await asyncpg.connect(self._url, server_settings=settings, timeout=_CONNECT_SECONDS)
        try:
            connection.add_termination_listener(lambda _connection: self._changed.set())
            heard: set[_Ear] = set()
            while not connection.is_closed():
                self._changed.clear()
                wanted = set(self._ears)
                for ear in heard - wanted:
                    await connection.remove_listener(ear.channel, ear.hear)
                for ear in wanted - heard:
                    await connection.add_listener(ear.channel, ear.hear)
                    ear.hear(connection, 0, ear.channel, "")
                heard = wanted
                await self._changed.wait()
        finally:
            connection.terminate()
