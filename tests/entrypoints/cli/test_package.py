"""`healthsync package`: load, list, take out."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli import init
from healthsync.entrypoints.cli.package import command
from healthsync.errors import Conflict, InvalidInput, NotFound


@pytest.fixture
def hub_folder(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    CliRunner().invoke(init.command, [str(folder), "--development"], standalone_mode=False)
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return folder


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A package with one value set, which builds on another."""
    files: dict[str, Any] = {
        "package/package.json": {"name": "example.guide", "version": "1.0.0", "dependencies": {"other.guide": "2.0.0"}},
        "package/ValueSet-a.json": {
            "resourceType": "ValueSet",
            "id": "a",
            "url": "http://example.org/vs",
            "status": "active",
            "compose": {"include": [{"system": "urn:s", "concept": [{"code": "x"}]}]},
        },
    }
    path = tmp_path / "guide.tgz"
    with tarfile.open(path, mode="w:gz") as packed:
        for name, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False, catch_exceptions=False)


def test_a_package_is_added_listed_and_removed(hub_folder: Path, guide: Path) -> None:
    added = call("add", guide, "--data", hub_folder)
    assert "example.guide 1.0.0: 1 ValueSet" in added.output
    assert "other.guide 2.0.0" in added.output
    with pytest.raises(Conflict):
        call("add", guide, "--data", hub_folder)
    (line,) = call("list", "--data", hub_folder, "--json").output.splitlines()
    assert json.loads(line)["counts"] == {"ValueSet": 1}
    assert "example.guide" in call("list", "--data", hub_folder).output
    assert call("remove", "example.guide", "--data", hub_folder).output == "example.guide 1.0.0 is out\n"
    with pytest.raises(NotFound):
        call("remove", "example.guide", "--data", hub_folder)


def test_the_codes_of_a_package_can_be_asked_for_until_it_is_removed(hub_folder: Path, guide: Path) -> None:
    async def is_known() -> bool:
        async with open_hub(hub_folder) as hub, hub.database.connection() as tx:
            return await hub.terminology.value_set(tx, "http://example.org/vs") is not None

    call("add", guide, "--data", hub_folder)
    assert asyncio.run(is_known())
    call("remove", "example.guide", "--version", "1.0.0", "--data", hub_folder)
    assert not asyncio.run(is_known())


def test_a_file_that_is_no_package_is_refused(hub_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    path.write_bytes(b"not a package")
    with pytest.raises(InvalidInput, match="FHIR package"):
        call("add", path, "--data", hub_folder)
