"""Real PostgreSQL for every test that stores: one server a session, one database a test (copied from a migrated template)."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database, migrate
from healthsync.infrastructure.database.embedded import EmbeddedPostgres
from healthsync.settings import load_settings

hypothesis.settings.register_profile("no deadline", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("no deadline")

_counter = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a running PostgreSQL that belongs to this session, with `{}` for the name of the database.

    The role is the hub's own, no superuser, so a migration or query that needs more rights than a hub has fails here.
    """
    folder = Path(tempfile.mkdtemp(prefix="hs-pg-", dir=_folder_for_databases()))
    folder.chmod(0o755)  # as root the server runs as another user, who must be able to enter
    server = EmbeddedPostgres(folder, durable=False)
    url = asyncio.run(server.start())
    asyncio.run(_execute(server.administrator_url, "ALTER ROLE healthsync CREATEDB"))
    yield url.replace("@/healthsync?", "@/{}?")
    asyncio.run(server.stop())
    shutil.rmtree(folder, ignore_errors=True)


def _folder_for_databases() -> str:
    """A folder in memory where there is room: each test makes and drops a thousand files, which ext4 is slow at."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3 else "/tmp"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database from which each test's own is copied."""

    async def build() -> None:
        await _execute(postgres_url.format("postgres"), "CREATE DATABASE template_healthsync")
        database = await Database.connect(postgres_url.format("template_healthsync"))
        await migrate(database)
        await database.close()

    asyncio.run(build())
    return "template_healthsync"


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{next(_counter)}"
    # The superuser, because only he may end an autovacuum that is just looking at the database.
    admin = await asyncpg.connect(postgres_url.format("postgres").replace("//healthsync:", "//postgres:"))
    # Copied as files: half the time of the way through the write-ahead log, and nothing here needs to survive a crash.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} OWNER healthsync STRATEGY file_copy")
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


@pytest.fixture
async def hub(database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """A whole hub on a fresh database, with insecure keys and a clock that runs."""
    settings = load_settings(
        None, environ={}, overrides={"audit.heads_path": str(tmp_path / "heads"), "development": True}
    )
    hub = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield hub
    await hub.close()
