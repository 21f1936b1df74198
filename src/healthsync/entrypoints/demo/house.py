"""The data folder of the demonstration, and the process of its hub."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthsync.entrypoints.serving import die_with
from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database.cluster import SHELTER, find_place
from healthsync.settings import environment_with

MARK = "demo.json"
"""The file that says that a data folder is the demonstration's own, with the truth about its people (mode 0600)."""

LOG = "hub.log"
_READY_SECONDS = 120
_STOP_SECONDS = 40


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty data folder, kept for this process alone until the end of the block.

    One that an earlier demonstration made is removed. Raises ConfigurationError for any other that is not empty, and
    for one in use.
    """
    folder = folder.absolute()
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists():
            raise ConfigurationError(f"{folder} was not made by the demonstration; name another folder with --data")
        with mark.open("rb") as file:
            _lock(file.fileno(), folder)
            _refuse_running(folder)
            _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(mark, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        _lock(file.fileno(), folder)
        yield folder


def write_mark(folder: Path, content: Mapping[str, Any]) -> None:
    """Keep what is true about the people beside the hub, outside its database."""
    (folder / MARK).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def cluster_of(folder: Path) -> Path | None:
    """Where the hub's own PostgreSQL keeps its files; None when it has none."""
    inside = folder / "postgres"
    cluster = find_place(folder, inside, SHELTER) / "cluster"
    return cluster if cluster.exists() else None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"a hub is running in {folder}; end it, or name another folder with --data") from None


def _refuse_running(folder: Path) -> None:
    """Whoever runs PostgreSQL in a data folder holds this lock."""
    with suppress(FileNotFoundError), (folder / "postgres" / "lock").open("rb") as file:
        _lock(file.fileno(), folder)


def _remove(folder: Path) -> None:
    """The folder, and its database where that had to live elsewhere."""
    with suppress(ConfigurationError):  # a record of a place that is gone
        place = find_place(folder, folder / "postgres", SHELTER)
        if place.is_relative_to(SHELTER):
            shutil.rmtree(place)
    shutil.rmtree(folder)


def free_place(wanted: str) -> str:
    """`wanted` (HOST:PORT) if nobody listens there, else any free port of the host."""
    host, _, port = wanted.rpartition(":")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError:
            return f"{host}:0"
    return wanted


@dataclass(frozen=True, slots=True)
class RunningHub:
    """Where the hub listens, and how long it took to be there."""

    pid: int
    http: str
    mllp: str
    start_seconds: float

    def memory_bytes(self) -> int | None:
        """Memory of the hub and its workers, without PostgreSQL (proportional set size); None where nobody tells."""
        if not Path("/proc/self/smaps_rollup").exists():
            return None
        return sum(map(_pss, _family(self.pid)))


@asynccontextmanager
async def serving(folder: Path, http: str, mllp: str, database_url: str | None) -> AsyncIterator[RunningHub]:
    """`healthsync serve` as a process of its own, from when it is ready to the end of the block.

    Its log goes to `hub.log`. Raises Unavailable when it ends or is not ready in time.
    """
    arguments = ["serve", "--data", str(folder), "--http", http, "--mllp", mllp]
    environment = environment_with({"database.url": database_url} if database_url else {})
    started = time.perf_counter()
    with os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "healthsync", *arguments,
            env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            start_new_session=True, preexec_fn=die_with(os.getpid()),  # Ctrl-C is for us: we then stop the hub in order
        )  # fmt: skip
    try:
        ready = await _first_line(process, folder)
        yield RunningHub(process.pid, ready["http"], ready["mllp"], time.perf_counter() - started)
    finally:
        await _stop(process)


async def _first_line(process: asyncio.subprocess.Process, folder: Path) -> dict[str, Any]:
    assert process.stdout
    try:
        async with asyncio.timeout(_READY_SECONDS):
            return json.loads(await process.stdout.readline())
    except (TimeoutError, ValueError):
        raise Unavailable(f"the hub did not start; its log is {folder / LOG}") from None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _family(pid: int) -> list[int]:
    """A process and those it started, without PostgreSQL."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            name, _, rest = entry.read_text().partition(" (")[2].rpartition(") ")
            if not name.startswith("postgres"):
                parents.setdefault(int(rest.split()[1]), []).append(int(entry.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
