"""The log leaves as lines and is proved where there is no hub."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.verify_audit import export_audit, verify_audit, verify_export
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database


@pytest.fixture
async def audit(database: Database, tmp_path: Path) -> AuditService:
    audit = AuditService(
        database,
        FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC)),
        query_key=b"q" * 32,
        signing_key=b"s" * 32,
        hub_id="mercy",
        heads_file=tmp_path / "heads.jsonl",
    )
    event = AuditEvent(action=Action.READ, interaction="read", outcome=Outcome.PERMITTED, query="name=Smith")
    for _ in range(3):
        await audit.record_and_commit(event)
    await audit.sequencer.catch_up()
    await audit.record_and_commit(event)
    return audit


@pytest.fixture
async def lines(audit: AuditService) -> list[str]:
    out = io.StringIO()
    assert await export_audit(audit, out) == 4
    return out.getvalue().splitlines()


@pytest.mark.shows("audit.heads_path")
async def test_an_export_and_a_heads_file_are_enough(audit: AuditService, lines: list[str], tmp_path: Path):
    heads = (tmp_path / "heads.jsonl").read_text().splitlines()
    for key in (None, audit.public_key.hex()):
        report = verify_export([*lines, ""], [*heads, "\n"], key)
        assert report.holds and (report.events, report.waiting) == (3, 1)
    assert not verify_export(lines, heads, "00" * 32).holds
    assert not verify_export([lines[0].replace('"R"', '"C"'), *lines[1:]], heads).holds
    assert not verify_export(lines[:2], heads).holds
    assert not any("Smith" in line for line in lines)


async def test_a_kept_copy_of_the_heads_counts_beside_the_published_ones(audit: AuditService, tmp_path: Path):
    kept = (tmp_path / "heads.jsonl").read_text().splitlines()
    assert (await verify_audit(audit, kept)).holds
    assert (await verify_audit(audit)).holds
    changed = [kept[0].replace('"tree_size":3', '"tree_size":2')]
    assert not (await verify_audit(audit, changed)).holds


@pytest.mark.parametrize("key", ["xyz", "00" * 31])
def test_a_public_key_of_another_form_is_refused(key: str):
    with pytest.raises(InvalidInput, match="64 hexadecimal digits"):
        verify_export([], [], key)
