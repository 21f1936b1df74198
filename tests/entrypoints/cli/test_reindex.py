"""`healthsync reindex`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthsync.bootstrap import open_hub
from healthsync.domains.search_parameters import service
from healthsync.entrypoints.cli import main
from healthsync.standards.fhir import search_parameters


@pytest.fixture(autouse=True)
def only_official_parameters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(service, "GRACE_SECONDS", 0.0)
    yield
    search_parameters.use(())


def test_reindex_fills_the_index_and_ends_the_waiting_of_parameters(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "hub"
    CliRunner().invoke(main, ["init", str(folder), "--development"])
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    resources = [
        {"resourceType": "Location", "id": "l", "name": "Ward"},
        {"resourceType": "SearchParameter", "id": "abode", "url": "urn:abode", "name": "abode", "status": "active",
         "description": "x", "code": "abode", "base": ["Location"], "type": "string", "expression": "Location.name"},
    ]  # fmt: skip
    lines = tmp_path / "in.ndjson"
    lines.write_text("".join(json.dumps(each) + "\n" for each in resources))
    brought = CliRunner().invoke(main, ["import", str(lines), "--data", str(folder), "--json"])
    assert brought.exit_code == 0, brought.output

    result = CliRunner().invoke(main, ["reindex", "--data", str(folder), "--json"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(result.stdout.splitlines()[-1]) == {"resources": 2}

    async def state() -> str:
        async with open_hub(folder) as hub, hub.database.connection() as tx:
            return await tx.fetchval("SELECT state FROM search_parameter")

    assert asyncio.run(state()) == "active"
