"""Forward migrations: order, names, hashes, several hubs at once, and a reference that agrees with the database."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.database import Database, Queries, migrate
from healthsync.infrastructure.database.catalogue import describe
from healthsync.infrastructure.database.migrate import in_order, migrations, pending

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "schema.md"


@pytest.fixture
async def empty_database(postgres_url):
    admin = await asyncpg.connect(postgres_url.format("postgres"))
    await admin.execute("DROP DATABASE IF EXISTS empty_one WITH (FORCE)")
    await admin.execute("CREATE DATABASE empty_one TEMPLATE template0")
    database = await Database.connect(postgres_url.format("empty_one"))
    yield database
    await database.close()
    await admin.execute("DROP DATABASE empty_one WITH (FORCE)")
    await admin.close()


async def test_hubs_that_start_at_once_migrate_once(empty_database):
    everything = [str(one) for one in migrations()]
    assert await pending(empty_database) == everything
    results = await asyncio.gather(*(migrate(empty_database) for _ in range(5)))
    assert sorted(results) == [[], [], [], [], everything]
    assert await pending(empty_database) == []


async def test_a_failing_migration_leaves_the_database_as_it_was(empty_database, monkeypatch):
    module = __import__("healthsync.infrastructure.database.migrate", fromlist=["migrations"])
    broken = in_order({"0001_pre_good.sql": "CREATE TABLE good ()", "0002_pre_bad.sql": "CREATE TABLE good ()"})
    monkeypatch.setattr(module, "migrations", lambda: broken)
    with pytest.raises(asyncpg.DuplicateTableError):
        await module.migrate(empty_database)
    async with empty_database.connection() as tx:
        assert await tx.fetchval("SELECT to_regclass('good')") is None


async def test_a_migration_changed_after_it_ran_is_refused(database):
    async with database.connection() as tx:
        await tx.execute("UPDATE schema_migration SET digest = 'another' WHERE number = 1")
    with pytest.raises(ConfigurationError, match=r"0001_pre_.* was changed after it ran"):
        await migrate(database)


async def test_a_database_of_a_newer_version_is_refused(database):
    async with database.connection() as tx:
        await tx.execute(
            "INSERT INTO schema_migration (number, phase, name, digest) VALUES (9999, 'pre', 'future', '')"
        )
    with pytest.raises(ConfigurationError, match=r"newer HealthSync .*9999_pre_future"):
        await pending(database)


def test_pre_runs_before_post_of_the_same_number_and_numbers_count():
    texts = {"0010_pre_c.sql": "", "0002_post_b.sql": "", "0002_pre_a.sql": ""}
    assert [str(one) for one in in_order(texts)] == ["0002_pre_a", "0002_post_b", "0010_pre_c"]


@pytest.mark.parametrize("name", ["1_pre_x.sql", "0001_during_x.sql", "0001_pre_.sql", "0001_pre_x y.sql"])
def test_a_misnamed_migration_is_refused(name):
    with pytest.raises(ConfigurationError, match="is not named"):
        in_order({name: ""})


def test_a_number_used_twice_is_refused():
    with pytest.raises(ConfigurationError, match="have one number"):
        in_order({"0001_pre_a.sql": "", "0001_pre_b.sql": ""})


async def test_the_committed_reference_of_the_schema_agrees_with_the_migrations(database):
    assert await describe(database) == REFERENCE.read_text(), "the schema has changed: run `make docs`"


async def test_the_reference_tells_tables_columns_rules_indexes_triggers_and_functions(empty_database):
    async with empty_database.connection() as tx:
        await tx.execute(
            """
            CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, size int NOT NULL DEFAULT 1 CHECK (size > 0));
            COMMENT ON TABLE thing IS 'What is kept.';
            COMMENT ON COLUMN thing.size IS 'In bytes | octets.';
            CREATE INDEX thing_size ON thing (size);
            CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER watched AFTER DELETE ON thing FOR EACH ROW EXECUTE FUNCTION watch();
            """
        )
    text = await describe(empty_database)
    for line in (
        "## thing", "What is kept.", "| id | bigint | required `identity` |  |",
        "| size | integer | required `1` | In bytes &#124; octets. |", "- thing_pkey: `PRIMARY KEY (id)`",
        "- thing_size_check: `CHECK ((size > 0))`", "- thing_size: `CREATE INDEX btree (size)`",
        "- watched: `CREATE TRIGGER watched AFTER DELETE ON thing FOR EACH ROW EXECUTE FUNCTION watch()`", "- watch()",
    ):  # fmt: skip
        assert line in text.splitlines()


def test_named_queries_are_attributes_and_an_unknown_name_is_an_error():
    queries = Queries("healthsync.infrastructure.database", "catalogue.sql")
    assert queries.tables.startswith("SELECT") and "--" not in queries.tables
    assert {"tables", "columns"} <= {name for name, _ in queries}
    with pytest.raises(AttributeError, match="no query named nothing"):
        _ = queries.nothing


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("-- name: a\n-- One.\nSELECT 1;\n-- name: a\n-- Two.\nSELECT 2;", "stands twice"),
        ("-- name: a\nSELECT 1;", "no sentence"),
    ],
)
def test_a_query_file_with_a_fault_is_refused(tmp_path, monkeypatch, text, fault):
    (tmp_path / "queries_of_a_test").mkdir()
    (tmp_path / "queries_of_a_test" / "__init__.py").touch()
    (tmp_path / "queries_of_a_test" / "queries.sql").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "queries_of_a_test", raising=False)
    with pytest.raises(ValueError, match=fault):
        Queries("queries_of_a_test")
