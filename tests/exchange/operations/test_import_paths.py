"""An import that copies rows leaves what one that states them leaves, in every table; so does one that is shared."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.exchange.operations import import_crew
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database, deferred
from healthsync.settings import load_settings

_numbers = count()
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MADE_BY_CHANCE = {
    "xid", "leaf_hash", "created_at", "heartbeat_at", "started_at", "finished_at", "claim", "key", "wrapped", "request",
    "result", "position",
}  # fmt: skip
"""Columns with random or running values: numbers of transactions, nonces, keys. An audit entry's hash is of its text,
which names the job."""
_SEALED = {"identity", "narrative"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def fresh_hub(postgres_url: str, template: str, place: Path) -> AsyncIterator[Hub]:
    name = f"test_import_{next(_numbers)}"
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(postgres_url.format("postgres").replace("//healthsync:", "//postgres:"))
        stack.push_async_callback(admin.close)
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER healthsync STRATEGY file_copy")
        stack.push_async_callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
        database = await Database.connect(postgres_url.format(name))
        stack.push_async_callback(database.close)
        overrides = {"audit.heads_path": str(place / name), "development": True}
        settings = load_settings(None, environ={}, overrides=overrides)
        hub = build_hub(settings, InsecureDevelopmentKeyring(), database, FixedClock(NOON))
        stack.push_async_callback(hub.close)
        yield hub


def _people(many: int) -> list[dict[str, Any]]:
    """Every third has the name and birth date of the one before, so that links and doubts come up."""
    return [
        {"resourceType": "Patient", "id": f"p{n}", "birthDate": f"19{50 + m % 40}-01-0{1 + m % 9}", "gender": "female",
         "name": [{"family": f"Quennell{chr(97 + m % 26) * 3}", "given": [f"Ada{chr(97 + m // 26)}"]}],
         "identifier": [{"system": "urn:x", "value": f"{m:06}"}], "address": [{"postalCode": f"{10000 + m}"}]}
        for n in range(many) for m in [n - n % 3 // 2]
    ]  # fmt: skip


def _first() -> list[Any]:
    return [
        *({"resourceType": "Observation", "id": f"o{n}", "status": "final", "subject": {"reference": f"Patient/p{n % 70}"},
           "code": {"coding": [{"system": "http://loinc.org", "code": f"{n % 9}-1", "display": "Weight"}]},
           "effectiveDateTime": f"2020-0{1 + n % 9}-01T10:00:00Z", "note": [{"text": f"calm {n}"}],
           "valueQuantity": {"value": n, "unit": "kg", "code": "kg", "system": "http://unitsofmeasure.org"}}
          for n in range(300)),
        "no json",
        *_people(70),
        {"resourceType": "Patient", "id": "bad", "gender": "Quennell"},
        {"resourceType": "Organization", "id": "org", "name": "Mercy"},
        {"resourceType": "Consent", "id": "c1", "status": "active", "patient": {"reference": "Patient/p1"},
         "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
         "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
         "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
         "provision": {"type": "deny"}},
        {"resourceType": "Observation", "id": "lost", "status": "final", "code": {"text": "x"},
         "subject": {"reference": "Patient/nobody"}},
    ]  # fmt: skip


def _second() -> list[Any]:
    """Some stay as they are, some change, some are new."""
    changed = [
        {**one, "language": "en"} if n % 4 == 0 else one for n, one in enumerate(_first()) if isinstance(one, dict)
    ]
    return [*changed, *({**one, "id": f"new-{one['id']}"} for one in _first()[:120])]  # fmt: skip


async def _imported(hub: Hub, folder: Path) -> None:
    for number, lines in enumerate((_first(), _second())):
        file = folder / f"{number}.ndjson"
        file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
        job = await hub.bulk_import.start_files([file], "operator", source="import", processes=1)
        await hub.jobs.run(job)


async def _everything(hub: Hub) -> dict[str, list[str]]:
    """Every row of every table, without what is made by chance; of sealed bytes only how many there are."""
    async with hub.database.connection() as tx:
        tables = await tx.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration'"
        )
        found = {}
        for (table,) in tables:
            rows = [json.loads(row[0]) for row in await tx.fetch(f"SELECT to_jsonb(t)::text FROM {table} t")]
            found[table] = sorted(_UUID.sub("uuid", json.dumps(_told(row), sort_keys=True)) for row in rows)
        return found


def _told(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in _MADE_BY_CHANCE or isinstance(value, int)}
    kept.pop("xid", None)
    return {name: len(value) if name in _SEALED and value else value for name, value in kept.items()}


async def _documents(hub: Hub) -> dict[str, Any]:
    """What is in store, opened."""
    async with hub.database.connection() as tx:
        addresses = [tuple(row) for row in await tx.fetch("SELECT resource_type, id FROM resource")]
        rows = await hub.ingest._records.current(tx, addresses)
        opened = await hub.ingest._vault.open(tx, list(rows.values()))
    return {"/".join(key): document for key, document in zip(rows, opened, strict=True)}


async def test_copying_leaves_what_statements_leave_in_every_table_and_a_whole_audit_log(
    postgres_url: str, template_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = 0
    copied = asyncpg.Connection.copy_records_to_table

    async def counted(self: Any, table: str, **more: Any) -> Any:
        nonlocal copies
        copies += 1
        return await copied(self, table, **more)

    monkeypatch.setattr(asyncpg.Connection, "copy_records_to_table", counted)
    monkeypatch.setattr(import_crew, "_AT_ONCE", 1)  # so that both come in the same order
    async with fresh_hub(postgres_url, template_database, tmp_path) as hub:
        await _imported(hub, tmp_path)
        by_copy, opened = await _everything(hub), await _documents(hub)
        await hub.audit.sequencer.catch_up()
        assert not (await hub.audit.verify()).findings
    assert copies > 10
    monkeypatch.setattr(deferred, "LEAST_COPIED", 1_000_000)
    async with fresh_hub(postgres_url, template_database, tmp_path) as hub:
        copies = 0
        await _imported(hub, tmp_path)
        assert copies == 0
        by_statement = await _everything(hub)
        for table, rows in by_statement.items():
            assert by_copy[table] == rows, table
        assert await _documents(hub) == opened
    assert len(by_statement["resource"]) == 300 + 70 + 2 + 120
    assert by_statement["resource_history"]
    assert by_statement["consent_directive"]
    assert by_statement["identity_link_event"]
    assert len(by_statement["job_issue"]) > 3
