"""`healthsync terminology`: maps and work items from the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli import init
from healthsync.entrypoints.cli.terminology import command
from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.receive_message import Peer

MESSAGE = (
    b"MSH|^~\\&|LAB|MERCY|HUB|X|20260101120000||ORU^R01^ORU_R01|1|P|2.5.1\r"
    b"PID|1||P1^^^MERCY^MR||Quennell^Ottoline||19710309|F\r"
    b"OBR|1||F1|PANEL^Panel^L|||20260101110000\r"
    b"OBX|1|NM|BS-FG^Fasting^L||95|mg/dL|||||F|||20260101110000"
)


@pytest.fixture
def hub_folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    CliRunner().invoke(init.command, [str(folder), "--development"], standalone_mode=False)
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False, catch_exceptions=False)


def test_a_map_goes_in_from_a_spreadsheet_and_comes_out_as_a_concept_map(hub_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "glucose.csv"
    file.write_text("Source,LOINC Code\nGLU,2345-7\nGLUC,2345-7\nBS-FG,2345-7\n", encoding="utf-8")
    at = ("--data", hub_folder)
    assert "3 lines are in the map" in call("map", "add", file, "--source", "Mercy Lab", *at).output
    assert "Mercy Lab" in call("map", "list", *at).output
    shown = json.loads(call("map", "show", "--source", "Mercy Lab", *at).output)
    assert [e["code"] for e in shown["group"][0]["element"]] == ["GLU", "GLUC", "BS-FG"]
    assert "1 line is out" in call("map", "remove", "GLU", "--source", "Mercy Lab", *at).output
    with pytest.raises(NotFound):
        call("map", "remove", "GLU", "--source", "Mercy Lab", *at)
    (line,) = call("map", "list", "--json", *at).output.splitlines()
    assert json.loads(line)["lines"] == 2


def test_a_file_that_is_no_map_gets_a_sentence(hub_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text("one,two\n1,2\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="the first line names the columns"):
        call("map", "add", file, "--data", hub_folder)


def test_work_is_listed_mapped_ignored_and_opened_again(hub_folder: Path) -> None:
    async def receive() -> None:
        async with open_hub(hub_folder) as hub:
            await hub.receive_message(MESSAGE, Peer("127.0.0.1"))
            await hub.process_message()

    asyncio.run(receive())
    at = ("--data", hub_folder)
    items = {item["code"]: item for item in map(json.loads, call("work", "list", "--json", *at).output.splitlines())}
    assert items.keys() == {"BS-FG", "PANEL"}
    assert "BS-FG" in call("work", "list", *at).output
    mapped = call("work", "map", items["BS-FG"]["key"], "2345-7", "--to", "LOINC", *at)
    assert "1 work items are settled" in mapped.output
    assert "1 ignored" in call("work", "ignore", items["PANEL"]["key"], *at).output
    assert call("work", "list", "--json", *at).output == ""
    assert "1 open" in call("work", "reopen", items["PANEL"]["key"], *at).output
    assert "PANEL" in call("work", "list", "--json", *at).output
