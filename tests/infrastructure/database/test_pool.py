"""The unit of work: what commits, what survives a lost server, and that no session keeps anything."""

from __future__ import annotations

import asyncio
import re
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import asyncpg
import pytest

from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database import Database


@pytest.fixture
async def narrow(database_url):
    """A pool of one connection, so that the next user gets what the last one left."""
    database = await Database.connect(database_url, max_size=1, statement_timeout_seconds=2)
    yield database
    await database.close()


async def terminate(url: str) -> None:
    """End every session of the database, as an administrator or a crash of the server would."""
    admin = await asyncpg.connect(url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()


async def test_a_block_that_ends_commits_and_one_that_raises_does_not(database):
    async with database.transaction() as tx:
        await tx.execute("CREATE TABLE seen (what text)")
        await tx.execute("INSERT INTO seen VALUES ('kept')")
    with pytest.raises(KeyError):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO seen VALUES ('lost')")
            raise KeyError
    async with database.connection() as tx:
        assert [row["what"] for row in await tx.fetch("SELECT what FROM seen")] == ["kept"]


async def test_what_waits_for_the_commit_runs_after_it_and_never_on_rollback(database):
    ran: list[str] = []
    async with database.transaction() as tx:
        tx.after_commit(lambda: ran.append("committed"))
        with pytest.raises(KeyError):
            async with tx.savepoint():
                tx.after_commit(lambda: ran.append("undone part"))
                raise KeyError
        assert ran == []
    with pytest.raises(KeyError):
        async with database.transaction() as tx:
            tx.after_commit(lambda: ran.append("rolled back"))
            raise KeyError
    async with database.connection() as tx:
        tx.after_commit(lambda: ran.append("single statements"))
    assert ran == ["committed", "single statements"]


@pytest.mark.shows("database.statement_timeout_seconds")
async def test_every_connection_has_a_statement_timeout_that_answers_unavailable(narrow):
    for opened in (narrow.transaction, narrow.connection):
        async with opened() as tx:
            assert await tx.fetchval("SHOW statement_timeout") == "2s"
            assert await tx.fetchval("SHOW idle_in_transaction_session_timeout") == "2s"
    with pytest.raises(Unavailable, match="took longer"):
        async with narrow.transaction() as tx:
            await tx.execute("SET LOCAL statement_timeout = 50")
            await tx.execute("SELECT pg_sleep(5)")


async def test_local_settings_locks_and_cancelled_work_leave_nothing_on_the_connection(narrow):
    async with narrow.transaction() as tx:
        await tx.execute("SET LOCAL work_mem = '32MB'")
        await tx.execute("SELECT pg_advisory_xact_lock(7)")
        session = await tx.fetchval("SELECT pg_backend_pid()")

    async def cancelled() -> None:
        async with narrow.transaction() as tx:
            await tx.execute("SET LOCAL work_mem = '32MB'")
            await tx.execute("SELECT pg_advisory_xact_lock(7), pg_sleep(5)")

    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(KeyError):
        async with narrow.connection() as tx:
            await tx.execute("BEGIN")
            await tx.execute("SET LOCAL work_mem = '32MB'")
            raise KeyError

    async with narrow.transaction() as tx:
        assert await tx.fetchval("SELECT pg_backend_pid()") == session  # it is the same connection that is clean
        assert await tx.fetchval("SHOW work_mem") == "4MB"
        assert (
            await tx.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            == 0
        )


def test_no_sql_of_the_hub_sets_anything_for_a_session():
    forbidden = re.compile(
        r"\bSET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)(?:SESSION\s+)?[a-z_.]+\s*(?:=|\bTO\b)\s*['\d]"
        r"|\bset_config\([^)]*\bfalse\b|\bpg_(?:try_)?advisory_lock|^\s*LISTEN\b|\bCREATE\s+TEMP|\bPREPARE\b|WITH HOLD"
    )
    source = Path(str(files("healthsync")))
    for examples in (
        "SET work_mem = '1'",
        "SET SESSION timezone TO 'UTC'",
        "SELECT pg_advisory_lock(1)",
        "CREATE TEMP TABLE x",
    ):
        assert forbidden.search(examples)
    found = [
        f"{path.relative_to(source)}: {match[0]}"
        for path in (*source.rglob("*.sql"), *source.rglob("store.py"), *source.rglob("infrastructure/**/*.py"))
        for match in forbidden.finditer(path.read_text())
        if not re.search(r"\bUPDATE\s+\w+(?:\s+AS)?(?:\s+\w+)?\s*$", path.read_text()[: match.start()])
    ]
    assert found == []


async def test_a_server_that_goes_away_in_the_middle_is_unavailable_and_the_pool_recovers(database, database_url):
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await tx.execute("SELECT 1")
            await terminate(database_url)
            await tx.execute("SELECT 1")
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await tx.execute("SELECT 1")
            await terminate(database_url)  # only the commit notices
    with pytest.raises(Unavailable):
        async with database.connection() as tx:
            await terminate(database_url)
            await tx.fetchval("SELECT 1")
    with suppress(Unavailable):  # a connection may be handed out before its loss is known
        async with database.transaction() as tx:
            await tx.fetchval("SELECT 1")
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT 1") == 1


async def test_idle_connections_of_a_restarted_server_cost_at_most_one_unavailable_each(database, database_url):
    await terminate(database_url)
    await asyncio.sleep(0.1)
    async with database.transaction() as tx:
        assert await tx.fetchval("SELECT 1") == 1


async def test_mistakes_of_the_caller_are_not_called_unavailable(database):
    with pytest.raises(asyncpg.InterfaceError):
        async with database.transaction() as tx:
            await tx.fetchval("SELECT $1::int")
    with pytest.raises(asyncpg.DataError):
        async with database.transaction() as tx:
            await tx.fetchval("SELECT $1::int", "text")
    with pytest.raises(FileNotFoundError):
        async with database.transaction():
            Path("/nonexistent").read_text()
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as tx:
            await tx.execute("CREATE TABLE seen (what text UNIQUE)")
            await tx.execute("INSERT INTO seen VALUES ('x'), ('x')")


async def test_an_address_without_a_server_is_unavailable_and_a_wrong_one_a_matter_of_configuration(database_url):
    with tempfile.TemporaryDirectory() as empty, pytest.raises(Unavailable):
        await Database.connect(f"postgresql://healthsync@/healthsync?host={empty}")
    wrong_password = re.sub(r":[^:@/]+@", ":wrong@", database_url)
    for address in (wrong_password, re.sub(r"test_\d+", "no_such_database", database_url), "nonsense://x"):
        with pytest.raises(ConfigurationError, match="address of the database") as caught:
            await Database.connect(address)
        assert "wrong" not in str(caught.value)


async def test_a_read_only_unit_of_work_cannot_write(database):
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.transaction(read_only=True) as tx:
            await tx.execute("CREATE TABLE seen ()")


async def test_a_listener_is_woken_by_notify_and_again_after_a_lost_connection(database, database_url):
    heard: asyncio.Queue[str] = asyncio.Queue()
    stop = await database.listen("testing", heard.put_nowait)
    assert await asyncio.wait_for(heard.get(), 5) == ""
    async with database.connection() as tx:
        await tx.execute("NOTIFY testing, 'one'")
    assert await asyncio.wait_for(heard.get(), 5) == "one"
    await terminate(database_url)
    assert await asyncio.wait_for(heard.get(), 5) == ""
    async with database.connection() as tx:
        await tx.execute("NOTIFY testing, 'two'")
    assert await asyncio.wait_for(heard.get(), 5) == "two"
    await stop()
    async with database.connection() as tx:
        await tx.execute("NOTIFY testing, 'three'")
        await asyncio.sleep(0.05)
    assert heard.empty()


async def test_all_who_listen_share_one_connection_and_each_hears_its_own_channel(database, database_url):
    heard: dict[str, asyncio.Queue[str]] = {name: asyncio.Queue() for name in ("first", "same", "second")}
    stops = [
        await database.listen(channel, heard[name].put_nowait)
        for name, channel in (("first", "one"), ("same", "one"), ("second", "two"))
    ]

    async def next_of(name: str) -> str:
        return await asyncio.wait_for(heard[name].get(), 5)

    async def listening() -> int:
        async with database.connection() as tx:
            return await tx.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'healthsync-listen' AND datname = current_database()"
            )

    assert [await next_of(name) for name in heard] == ["", "", ""]
    assert await listening() == 1
    async with database.connection() as tx:
        await tx.execute("NOTIFY one, 'a'; NOTIFY two, 'b'")
    assert [await next_of(name) for name in heard] == ["a", "a", "b"]
    await stops[0]()
    async with database.connection() as tx:
        await tx.execute("NOTIFY one, 'c'")
    assert await next_of("same") == "c"
    await terminate(database_url)
    assert [await next_of("same"), await next_of("second")] == ["", ""]
    await stops[1]()
    await stops[2]()
    assert heard["first"].empty()
    async with asyncio.timeout(5):
        while await listening():
            await asyncio.sleep(0.02)
    stop = await database.listen("one", heard["first"].put_nowait)
    assert await next_of("first") == ""
    await stop()


async def test_who_asks_next_gets_the_connection_used_last(database):
    async with database.connection() as tx:
        first = await tx.fetchval("SELECT pg_backend_pid()")
    async with database.connection() as tx, database.connection() as other:
        assert await tx.fetchval("SELECT pg_backend_pid()") == first
        assert await other.fetchval("SELECT pg_backend_pid()") != first


async def test_whoever_waits_is_served_though_others_go_on_asking(narrow):
    """One connection and several users who each come back at once: none is left waiting for another to have enough."""
    served = [0] * 4

    async def user(number: int) -> None:
        while min(served) < 5:
            async with narrow.connection() as tx:
                await tx.fetchval("SELECT 1")
            served[number] += 1

    async with asyncio.timeout(60):
        await asyncio.gather(*map(user, range(4)))
    assert min(served) >= 5


async def test_closing_waits_for_who_still_uses_a_connection(database_url):
    database = await Database.connect(database_url, max_size=2)
    async with database.connection() as tx:
        await tx.fetchval("SELECT 1")  # one lies at hand from here on
    async with database.connection() as tx:
        closing = asyncio.create_task(database.close())
        assert await tx.fetchval("SELECT pg_sleep(0.05)::text") == ""
        assert not closing.done()
    async with asyncio.timeout(30):
        await closing


async def test_what_a_type_is_one_connection_asks_for_all(database_url):
    """asyncpg asks anew on each connection. Statements about `pg_type` are counted by PostgreSQL itself."""
    everything = "SELECT $1::bigint[] AS a, $2::timestamptz[] AS b, $3::bytea[] AS c"
    first, second = [await Database.connect(database_url, max_size=1) for _ in range(2)]
    try:
        asked = []
        for database in (first, second):
            async with database.connection() as tx:
                row = await tx.fetchrow(everything, [1, 2], [], [b"x"])
                assert tuple(row) == ([1, 2], [], [b"x"])
                prepared = await tx.fetch("SELECT statement FROM pg_prepared_statements")
                asked.append([row["statement"] for row in prepared if "typeinfo_tree" in row["statement"]])
        assert asked[1] == []
    finally:
        await first.close()
        await second.close()


async def test_types_of_a_database_of_its_own_are_asked_for_in_each(database, database_url):
    async with database.connection() as tx:
        await tx.execute("CREATE TYPE mood AS ENUM ('glad')")
        assert await tx.fetchval("SELECT ARRAY['glad'::mood, $1]", "glad") == ["glad", "glad"]
