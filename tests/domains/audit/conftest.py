"""An audit log on a real database, and a superuser who can do anything to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def heads_file(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "heads.jsonl"


@pytest.fixture
async def audit(database: Database, clock: FixedClock, heads_file: Path) -> AsyncIterator[AuditService]:
    service = AuditService(
        database, clock, query_key=b"q" * 32, signing_key=b"s" * 32, hub_id="mercy", heads_file=heads_file
    )
    yield service


@pytest.fixture
def read() -> Callable[..., AuditEvent]:
    """A read of a patient, with what the test wants to differ."""

    def build(patient: str = "Patient/1", **different: Any) -> AuditEvent:
        fields: dict[str, Any] = {
            "action": Action.READ, "interaction": "read", "outcome": Outcome.PERMITTED, "client": "portal",
            "user": "Practitioner/7", "organisation": "Mercy", "roles": ("physician",), "purpose_of_use": "TREAT",
            "entities": (patient,), "patients": (patient,), "reason": "rule-3", "source_address": "10.0.0.9",
            "consent_mode": "enforced", "message_sequence": 4,
        }  # fmt: skip
        return AuditEvent(**fields | different)

    return build


@pytest.fixture
async def superuser(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that no trigger stops."""
    connection = await asyncpg.connect(database_url.replace("//healthsync:", "//postgres:"))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


@pytest.fixture
def write(audit: AuditService, read: Callable[..., AuditEvent], database: Database) -> Callable[[int], Awaitable[None]]:
    """Record this many reads, each in a transaction of its own, and let the sequencer catch up."""

    async def records(count: int) -> None:
        for _ in range(count):
            async with database.transaction() as tx:
                await audit.record(tx, read())
        await audit.sequencer.catch_up()

    return records
