"""`healthsync doctor` says what is there and what is missing, and ends with 1 only when a hub cannot run."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from healthsync.entrypoints.cli import doctor, init


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a new hub, which every user may enter; its ports are any, for a hub may run on this machine."""
    monkeypatch.setenv("HEALTHSYNC_HTTP__PORT", "0")
    monkeypatch.setenv("HEALTHSYNC_HL7__MLLP__PORT", "0")
    folder = Path(tempfile.mkdtemp(prefix="hs-doctor-", dir="/tmp"))
    folder.chmod(0o755)
    assert CliRunner().invoke(init.command, [str(folder), "--development"]).exit_code == 0
    yield folder
    shutil.rmtree(folder)


def examine(folder: Path, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    result = CliRunner().invoke(doctor.command, ["--data", str(folder), "--json", *options], standalone_mode=False)
    assert result.exception is None
    return result.return_value, {finding["check"]: finding for finding in json.loads(result.output)}


def test_a_new_hub_is_well_and_its_migrations_wait_for_serve(folder):
    code, found = examine(folder)
    assert code == 0
    assert {name: finding["state"] for name, finding in found.items() if name in {"python", "clock", "keys", "settings"}} == {
        "python": "ok", "clock": "ok", "keys": "ok", "settings": "ok",
    }  # fmt: skip
    assert "migrations wait" in found["database"]["found"]
    assert found["postgresql"]["found"].startswith(("1", "2"))


def test_an_address_of_a_server_is_looked_at_instead(folder, database_url, database):
    code, found = examine(folder, "--database", database_url)
    assert code == 0
    assert found["database"]["found"].endswith("migrations up to date")
    assert not (folder / "postgres").exists()


@pytest.mark.parametrize(
    ("damage", "check", "remedy"),
    [
        (lambda folder: (folder / "keys/keyring.json").chmod(0o644), "keys", "chmod 600"),
        (lambda folder: (folder / "keys/keyring.json").unlink(), "keys", "healthsync init"),
        (lambda folder: (folder / "keys").chmod(0o777), "keys", "chmod 700"),
        (lambda folder: (folder / "healthsync.yaml").write_text("hub: ["), "settings", ""),
    ],
)
def test_what_is_wrong_is_a_fault_with_its_remedy_and_the_other_checks_still_run(folder, damage, check, remedy):
    damage(folder)
    code, found = examine(folder)
    assert code == 1
    assert found[check]["state"] == "fault"
    assert remedy in found[check]["found"] + found[check]["remedy"]
    assert found["database"]["state"] == "note"


def test_a_port_in_use_is_a_fault(folder, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("HEALTHSYNC_HTTP__PORT", str(other.getsockname()[1]))
        code, found = examine(folder)
    assert code == 1
    assert found["http port"]["state"] == "fault"


def test_without_a_hub_the_machine_is_examined(tmp_path):
    code, found = examine(tmp_path / "nothing")
    assert code == 0
    assert found["data folder"]["state"] == "note"
    assert "postgresql" in found
    result = CliRunner().invoke(doctor.command, ["--data", str(tmp_path / "nothing")], standalone_mode=False)
    assert "→ healthsync init DIR" in result.output
    assert not (tmp_path / "nothing").exists()
