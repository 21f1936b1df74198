"""Real PostgreSQL for every test that stores: one server a session, one database a test (copied from a migrated template)."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from healthsync.infrastructure.database import Database, migrate

_counter = itertools.count()


def _bin_directory() -> Path:
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parent.parent.name))
    return system[-1].parent if system else Path(shutil.which("postgres") or "/nonexistent").parent


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a running PostgreSQL that belongs to this session, without a database name."""
    folder = Path(tempfile.mkdtemp(prefix="hs-pg-", dir="/tmp"))
    user: dict = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    bin_directory = _bin_directory()
    run = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, **user}
    subprocess.run(
        [bin_directory / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "-N"],
        check=True, stdout=subprocess.DEVNULL, **run,
    )
    server = subprocess.Popen(
        [bin_directory / "postgres", "-D", folder / "data", "-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}",
         "-c", "fsync=off", "-c", "max_connections=200"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **run,
    )
    while "ready" not in ((folder / "data/postmaster.pid").read_text() if (folder / "data/postmaster.pid").exists() else ""):
        assert server.poll() is None, "PostgreSQL did not start"
        time.sleep(0.02)
    yield f"postgresql://postgres@/{{}}?host={folder}"
    server.send_signal(2)
    server.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database from which each test's own is copied."""
    import asyncio

    async def build() -> None:
        admin = await asyncpg.connect(postgres_url.format("postgres"))
        await admin.execute("CREATE DATABASE template_healthsync")
        await admin.close()
        database = await Database.connect(postgres_url.format("template_healthsync"))
        await migrate(database)
        await database.close()

    asyncio.run(build())
    return "template_healthsync"


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{next(_counter)}"
    admin = await asyncpg.connect(postgres_url.format("postgres"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database}")
    yield postgres_url.format(name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh, migrated database."""
    database = await Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test data that stands beside the checkout; skips the test when it is not there."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared test data does not stand beside this checkout")
    return folder
