"""`healthsync demo`, as people run it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthsync.entrypoints.demo.house import MARK, free_place, fresh_folder
from healthsync.errors import ConfigurationError

DEMO = [sys.executable, "-m", "healthsync", "demo", "--json", "--http", "127.0.0.1:0", "--mllp", "127.0.0.1:0"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for a data folder that other users may enter, as PostgreSQL runs as one when we are root."""
    place = Path(tempfile.mkdtemp(prefix="hs-demo-", dir="/tmp"))
    place.chmod(0o755)
    yield place / "demo-data"
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_the_demonstration_keeps_its_promises_and_ends(folder: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--exit", "--persons", "20", "--data", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr + done.stdout + (folder / "hub.log").read_text()
    summary = json.loads(done.stdout)
    assert [promise["promise"] for promise in summary["promises"] if not promise["held"]] == []
    assert summary["identity"]["precision"] == 1.0 and summary["identity"]["recall"] > 0.7
    assert summary["leaks"]["bytes_searched"] > 20_000_000
    assert len({moment["source"] for moment in summary["timeline"]}) == 4
    assert oct((folder / MARK).stat().st_mode & 0o777) == "0o600"
    assert not _hubs_of(folder)


@pytest.mark.slow
def test_without_exit_it_serves_until_interrupted(folder: Path) -> None:
    playing = subprocess.Popen([*DEMO, "--persons", "10", "--data", str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert playing.stdout
        summary = json.loads(playing.stdout.readline())
        with urllib.request.urlopen(summary["next"]["metrics"]) as answer:
            assert b"healthsync_messages_processed" in answer.read()
        playing.send_signal(signal.SIGINT)
        assert playing.wait(60) == 0
        assert not _hubs_of(folder)
    finally:
        playing.kill()


@pytest.mark.slow
def test_an_interrupt_in_the_middle_leaves_nothing_running(folder: Path) -> None:
    playing = subprocess.Popen([*DEMO, "--exit", "--persons", "400", "--data", str(folder)], stdout=subprocess.DEVNULL)
    try:
        while not (folder / "hub.log").exists():
            assert playing.poll() is None
        playing.send_signal(signal.SIGTERM)
        assert playing.wait(60) == 130
        assert not _hubs_of(folder)
    finally:
        playing.kill()


@pytest.mark.slow
async def test_it_plays_in_a_database_of_yours_if_that_is_empty(folder: Path, database_url: str) -> None:
    command = [*DEMO, "--exit", "--persons", "10", "--data", str(folder), "--database", database_url]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr + done.stdout
    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "give the demonstration an empty one" in again.stderr
    assert not (folder / "postgres").exists()


def test_a_folder_that_is_not_the_demonstrations_own_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(ConfigurationError, match="not made by the demonstration"), fresh_folder(tmp_path):
        pass
    assert precious.read_text() == "years of work"


def test_a_folder_of_an_earlier_demonstration_is_made_anew(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "demo") as made:
        (made / "hub.log").write_text("old")
    with fresh_folder(tmp_path / "demo") as made:
        assert [path.name for path in made.iterdir()] == [MARK]


def test_two_demonstrations_do_not_share_a_folder(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "demo") as made:
        (made / "hub.log").write_text("mine")
        with pytest.raises(ConfigurationError, match="is running"), fresh_folder(tmp_path / "demo"):
            pass
        assert (made / "hub.log").read_text() == "mine"


def test_a_folder_in_which_a_hub_runs_is_left_alone(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "demo") as made:
        (made / "postgres").mkdir()
    with (made / "postgres" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="is running"), fresh_folder(made):
            pass
        assert (made / "postgres" / "lock").exists()


def test_a_port_that_is_taken_gives_way_to_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert free_place(f"127.0.0.1:{port}") == "127.0.0.1:0"
    assert free_place(f"127.0.0.1:{port}") == f"127.0.0.1:{port}"


def _hubs_of(folder: Path) -> list[str]:
    """Command lines of processes that still work on a data folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found
