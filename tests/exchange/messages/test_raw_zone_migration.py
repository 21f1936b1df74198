"""Messages that an older version stored are still read, under the keys that it sealed them with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from healthsync.bootstrap import build_hub
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring, seal
from healthsync.infrastructure.database import Database, migrate
from healthsync.infrastructure.database.migrate import migrations
from healthsync.settings import load_settings

RAW = b"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301||ADT^A01|C1|P|2.5.1\rPID|1||P1^^^MERCY^MR||Doe^Jane\r"


async def older(database: Database) -> None:
    """A database as migration 13 leaves it."""
    async with database.transaction() as tx:
        await tx.execute(
            "CREATE TABLE schema_migration (number int, phase text, name text NOT NULL, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (number, phase, name))"
        )
        for one in migrations():
            if one.number < 14:
                await tx.execute(one.sql)
                await tx.execute(
                    "INSERT INTO schema_migration VALUES ($1, $2, $3, $4)", one.number, one.phase, one.name, one.digest
                )


@pytest.fixture
async def empty(postgres_url: str):
    admin = await asyncpg.connect(postgres_url.format("postgres"))
    await admin.execute("CREATE DATABASE before_raw_zone")
    database = await Database.connect(postgres_url.format("before_raw_zone"))
    yield database
    await database.close()
    await admin.execute("DROP DATABASE before_raw_zone WITH (FORCE)")
    await admin.close()


async def test_messages_of_an_older_version_are_carried_over_and_read_and_processed(
    empty: Database, tmp_path: Path
) -> None:
    await older(empty)
    settings = load_settings(None, environ={}, overrides={"audit.heads_path": str(tmp_path / "h"), "development": True})
    hub = build_hub(settings, InsecureDevelopmentKeyring(), empty, SystemClock())
    async with empty.transaction() as tx:
        key = await hub.data_keys.for_scope(tx, "messages/MERCY.EPIC")
        for n, state in enumerate(("processed", "accepted", "dead")):
            digest = bytes([n]) * 16
            place = b"test-hub|message|MERCY.EPIC|" + digest
            await tx.execute(
                "INSERT INTO message (received_at, source, control_id, type, digest, raw, key_version, size_bytes, lanes, state)"
                " VALUES ($1, 'MERCY.EPIC', $2, 'ADT^A01', $3, $4, 1, $5, '{}', $6)",
                datetime(2026, 2, 1 + n, tzinfo=UTC), f"C{n}", digest, seal(key.key, RAW, place), len(RAW), state,
            )  # fmt: skip
    assert (await migrate(empty))[0] == "0014_pre_raw_zone_and_quality"
    assert [await hub.inspect_messages.content(n, "ada", "t-1") for n in (1, 2, 3)] == [RAW] * 3
    assert await hub.process_message() == 1
    async with empty.connection() as tx:
        parts = await tx.fetch("SELECT tableoid::regclass::text AS part FROM raw_message ORDER BY sequence")
        states = await tx.fetch("SELECT state FROM message ORDER BY sequence")
        assert (
            await tx.fetchval("SELECT pg_get_serial_sequence('message', 'sequence')::regclass::text")
            == "message_sequence_seq"
        )
    assert [row["part"] for row in parts] == ["raw_message_20260201", "raw_message_20260202", "raw_message_20260203"]
    assert [row["state"] for row in states] == ["processed", "processed", "dead"]
    await hub.close()
