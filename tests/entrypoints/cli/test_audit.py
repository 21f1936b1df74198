"""`healthsync audit`: exit code and sentence are the answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthsync.bootstrap import open_hub
from healthsync.domains.audit import Action, AuditEvent, Outcome
from healthsync.entrypoints.cli import init
from healthsync.entrypoints.cli.audit import command


@pytest.fixture
def hub_folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub with three signed events and one that waits."""
    folder = tmp_path / "hub"
    CliRunner().invoke(init.command, [str(folder), "--development"], standalone_mode=False)
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    asyncio.run(record(folder))
    return folder


async def record(folder: Path) -> None:
    event = AuditEvent(action=Action.READ, interaction="read", outcome=Outcome.PERMITTED)
    async with open_hub(folder) as hub:
        for _ in range(3):
            await hub.audit.record_and_commit(event)
        await hub.audit.sequencer.catch_up()
        await hub.audit.record_and_commit(event)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False, catch_exceptions=False)


def test_an_honest_hub_is_verified(hub_folder: Path):
    result = call("verify", "--data", hub_folder)
    assert result.return_value == 0
    assert result.output.startswith("The audit log holds: 3 events agree with 1 signed heads")
    answer = json.loads(
        call("verify", "--data", hub_folder, "--json", "--heads", hub_folder / "audit/heads/heads.jsonl").output
    )
    assert answer["holds"] is True and answer["findings"] == []
    assert (answer["events"], answer["waiting"], answer["heads"], answer["signed_size"]) == (3, 1, 1, 3)


def test_an_export_is_verified_without_the_hub_and_a_forged_one_is_not(hub_folder: Path, tmp_path: Path):
    out = tmp_path / "audit.ndjson"
    answer = json.loads(call("export", "--data", hub_folder, "--out", out, "--json").output)
    assert answer["events"] == 4
    assert out.stat().st_mode & 0o777 == 0o600
    given = (
        "verify",
        "--export",
        out,
        "--heads",
        hub_folder / "audit/heads/heads.jsonl",
        "--public-key",
        answer["public_key"],
    )
    assert call(*given).return_value == 0

    out.write_text(out.read_text().replace('"action":"R"', '"action":"C"', 2))
    result = call(*given)
    assert result.return_value == 1
    assert result.output.splitlines() == [
        "The audit log does NOT hold: 2 contradiction(s) in 3 events against 1 signed heads. First: the event of leaf 0 "
        "(position 1) was changed",
        "  event-changed: the event of leaf 1 (position 2) was changed",
    ]
    answer = json.loads(call(*given, "--json").output)
    assert [finding["code"] for finding in answer["findings"]] == ["event-changed", "event-changed"]


def test_an_export_goes_to_standard_output_when_asked(hub_folder: Path):
    lines = call("export", "--data", hub_folder, "--out", "-").stdout.splitlines()
    assert [json.loads(line).get("leaf_index") for line in lines] == [0, 1, 2, None]
    assert call("export", "--data", hub_folder, "--out", hub_folder / "out").output.startswith("4 events written to")


def test_an_export_alone_proves_nothing(tmp_path: Path):
    (tmp_path / "empty").touch()
    with pytest.raises(Exception, match="give --heads"):
        call("verify", "--export", tmp_path / "empty")
