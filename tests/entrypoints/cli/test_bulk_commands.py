"""`healthsync import`, `export` and `jobs`, called as a program calls them."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from healthsync.bootstrap import open_hub
from healthsync.entrypoints.cli import main


def run(*arguments: object, code: int = 0) -> list[Any]:
    """The JSON lines of a command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def data(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a hub whose database is that of the test."""
    run("init", tmp_path / "hub", "--development", "--json")
    monkeypatch.setenv("HEALTHSYNC_DATABASE__URL", database_url)
    return tmp_path / "hub"


def ndjson(path: Path, *resources: Any) -> Path:
    """A file of lines; text is written as it is."""
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in resources).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def patient(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": f"Quennell{number}"}], **more}


def observation(number: int, patient_number: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "code": {"text": "weight"},
        "subject": {"reference": f"Patient/p{patient_number}"},
    }  # fmt: skip


def test_an_import_takes_patients_first_and_gives_back_what_it_rejects(data: Path, tmp_path: Path) -> None:
    one = ndjson(tmp_path / "a.ndjson.gz", *[observation(n, n) for n in range(5)], observation(9, 77), "no json")
    two = ndjson(tmp_path / "b.ndjson", *[patient(n) for n in range(5)], patient(6, gender="Quennell"), "", patient(7))
    rejects = tmp_path / "rejects.ndjson"
    (told,) = run("import", one, two, "--rejects", rejects, "--data", data, "--json", code=1)
    assert told == {"stored": 11, "rejected": 3, "rejects": str(rejects)}
    assert rejects.stat().st_mode & 0o777 == 0o600
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(one["file"], one["line"]) for one in found] == [("a.ndjson.gz", 6), ("a.ndjson.gz", 7), ("b.ndjson", 6)]
    assert found[0]["resource"] == observation(9, 77)
    assert found[1]["text"] == "no json"
    assert found[2]["resource"]["gender"] == "Quennell"
    assert found[2]["issue"]["expression"] == "Patient.gender"
    assert "Quennell" not in json.dumps(found[2]["issue"])

    mended = ndjson(tmp_path / "mended.ndjson", patient(6, gender="female"), patient(77), observation(9, 77))
    (told,) = run("import", mended, "--rejects", tmp_path / "none", "--data", data, "--json")
    assert told == {"stored": 3, "rejected": 0, "rejects": None}
    assert not (tmp_path / "none").exists()


def test_an_import_of_one_patient_twice_keeps_the_later_line(data: Path, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "a.ndjson", patient(1, gender="female"), patient(1, gender="male"))
    (told,) = run("import", file, "--data", data, "--json")
    assert told["stored"] == 2

    async def stored() -> tuple[int, str]:
        async with open_hub(data) as hub, hub.database.connection() as tx:
            return await tx.fetchval("SELECT version FROM resource WHERE id = 'p1'")

    assert asyncio.run(stored()) == 2


def test_several_processes_share_an_import(data: Path, tmp_path: Path) -> None:
    file = ndjson(
        tmp_path / "a.ndjson",
        *[observation(n, n % 40) for n in range(700)],
        *[patient(n) for n in range(40)],
        patient(99, gender="x"),
    )
    rejects = tmp_path / "rejects"
    (told,) = run("import", file, "--workers", 2, "--rejects", rejects, "--data", data, "--json", code=1)
    assert (told["stored"], told["rejected"]) == (740, 1)

    async def stored() -> list[tuple[str, int, int]]:
        async with open_hub(data) as hub, hub.database.connection() as tx:
            rows = await tx.fetch("SELECT resource_type, count(*), max(version) FROM resource GROUP BY 1 ORDER BY 1")
            return [tuple(row) for row in rows]

    assert asyncio.run(stored()) == [("Observation", 700, 1), ("Patient", 40, 1)]


def test_an_export_writes_readable_files_for_their_owner_only(data: Path, tmp_path: Path) -> None:
    run("import", ndjson(tmp_path / "a.ndjson", patient(1), observation(1, 1)), "--data", data, "--json")
    folder = tmp_path / "out"
    (told,) = run("export", folder, "--role", "admin", "--data", data, "--json")
    assert told["resources"] == 2
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["Observation.1.ndjson", "Patient.2.ndjson", "manifest.json"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert json.loads((folder / "Patient.2.ndjson").read_text())["name"] == [{"family": "Quennell1"}]
    assert not list((data / "exports").rglob("*.sealed"))
    run("export", folder, "--role", "admin", "--data", data, "--json", code=1)
    run("export", tmp_path / "x", "--role", "nobody", "--data", data, "--json", code=1)
    run("export", tmp_path / "y", "--role", "researcher", "--purpose", "TREAT", "--data", data, "--json", code=1)


def test_an_export_in_a_role_shows_what_the_role_may_see(data: Path, tmp_path: Path) -> None:
    run("import", ndjson(tmp_path / "a.ndjson", patient(1, gender="male"), observation(1, 1)), "--data", data, "--json")
    folder = tmp_path / "out"
    run("export", folder, "--role", "billing", "--gzip", "--data", data, "--json")
    (file,) = folder.glob("*.gz")
    assert set(json.loads(gzip.decompress(file.read_bytes()))) == {"resourceType", "id", "meta", "name"}


def test_jobs_are_listed_shown_and_cancelled(data: Path, tmp_path: Path) -> None:
    run("import", ndjson(tmp_path / "a.ndjson", patient(1)), "--data", data, "--json")
    (job,) = run("jobs", "list", "--data", data, "--json")
    assert (job["kind"], job["state"], job["owner"], job["resources"]) == ("import-files", "completed", "operator", 1)
    (shown,) = run("jobs", "show", job["id"], "--data", data, "--json")
    assert shown == {**job, "files": [], "issues": 0}
    run("jobs", "cancel", job["id"], "--data", data)
    assert run("jobs", "list", "--data", data, "--json") == []
    run("jobs", "show", job["id"], "--data", data, "--json", code=1)
    run("jobs", "cancel", "nonsense", "--data", data, code=1)


def test_the_secret_of_a_client_is_its_own(data: Path) -> None:
    one, same, other = (
        CliRunner().invoke(main, ["jobs", "secret", client, "--data", str(data)]).output for client in ("a", "a", "b")
    )
    assert one == same != other
    assert len(one.strip()) == 64
