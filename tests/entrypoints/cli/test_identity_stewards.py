"""What stewards do from the command line, on the data folder of a hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthsync.bootstrap import open_hub
from healthsync.domains.audit import Action
from healthsync.entrypoints.cli import init
from healthsync.entrypoints.cli.identity import command
from healthsync.errors import NotFound
from healthsync.exchange.ingest import Incoming, Submission, submission_audit


def _patient(id_: str, number: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": "urn:oid:1.1", "value": number, "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "birthDate": "1971-03-09",
    }


@pytest.fixture
def folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub that knows two records of one source, which may be one person's."""
    folder = tmp_path / "hub"
    CliRunner().invoke(init.command, [str(folder), "--development"], standalone_mode=False)
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    monkeypatch.setenv("HEALTHSYNC_MPI__REVIEW__SECOND_READER_SHARE", "0")

    async def fill() -> None:
        async with open_hub(folder) as hub, hub.database.transaction() as tx:
            incoming = [Incoming(_patient(id_, number), "update") for id_, number in (("a", "1"), ("b", "2"))]
            await hub.ingest(tx, Submission("east", incoming, submission_audit(Action.UPDATE, "update")))

    asyncio.run(fill())
    return folder


def test_a_task_is_listed_shown_claimed_and_decided_and_what_follows_is_told(folder: Path) -> None:
    def call(*arguments: str) -> str:
        asked = [*arguments, "--data", str(folder)]
        return CliRunner().invoke(command, asked, standalone_mode=False, catch_exceptions=False).output

    assert "second-number" in call("review", "list", "--owner", "east")
    assert "nothing waits" in call("review", "list", "--overdue")
    (line,) = call("review", "list", "--json").splitlines()
    number = str(json.loads(line)["id"])
    shown = call("review", "show", number)
    assert "agrees" in shown
    assert all(word in shown for word in ("prior", "birth_date", "total", "certain from 8.4", "flagged"))
    assert "Quennell" not in shown
    assert "Quennell" in call("review", "show", number, "--values", "--json")
    assert "eight hours" in call("review", "claim", number)
    decided = json.loads(call("review", "decide", number, "apart", "--reason", "other-mother", "--json"))
    assert (decided["state"], decided["decision"]) == ("decided", "apart")
    assert "nothing waits" in call("review", "list")
    assert "one person's" in call("merge", "a", "b", "--reason", "papers-seen")
    assert "two persons'" in call("unmerge", "Patient/b", "a", "--reason", "other-mother")
    assert "of its own" in call("split", "a", "--reason", "wrong-chart")
    assert "comes from a" in call("pin", "a", "birthDate", "--reason", "passport-seen")
    assert "the rules decide" in call("unpin", "a", "birthDate", "--reason", "passport-seen")
    kinds = [json.loads(line)["kind"] for line in call("history", "a", "--json").splitlines()]
    assert {"created", "flagged", "cannot-link", "must-link", "merged", "unlinked", "pinned", "unpinned"} <= set(kinds)
    assert "cannot-link" in call("history", "a")
    report = json.loads(call("report", "--by", "month", "--json"))
    assert (report["records"], report["trend"][0]["confirmedDuplicates"]) == (2, 1)
    assert "duplicate rate" in call("report")
    told = json.loads(call("rematch", "--dry-run", "--json"))
    assert (told["patients"], told["dry_run"], told["model"]) == (2, True, "rules-2+cms-3.4.0+online-1")
    assert "2 patients matched" in call("rematch")
    assert call("doubles") == ""
    with pytest.raises(NotFound):
        call("split", "nobody", "--reason", "wrong-chart")


@pytest.mark.parametrize(
    "name", ["review", "merge", "unmerge", "split", "pin", "unpin", "history", "report", "rematch"]
)
def test_each_command_explains_itself(name: str) -> None:
    told = CliRunner().invoke(command, [name, "--help"]).output
    assert len(told) > 200
    assert name in CliRunner().invoke(command, ["--help"]).output
