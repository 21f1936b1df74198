"""A hub to measure: the real command in a process of its own, on a fresh data folder, PostgreSQL with fsync."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.processes import CpuMeter
from healthsync.infrastructure.database.embedded import EmbeddedPostgres

HEALTHSYNC = (sys.executable, "-m", "healthsync")
_READY_SECONDS = 120
_STOP_SECONDS = 60


@dataclass(slots=True)
class RunningHub:
    """A hub that answered `ready`, after `start_seconds`."""

    data_folder: Path
    process: asyncio.subprocess.Process
    http: str
    mllp: str
    start_seconds: float

    @property
    def cpu(self) -> CpuMeter:
        """The meter over all its processes."""
        return CpuMeter(self.process.pid)

    async def api_key(self, role: str = "physician") -> str:
        """A new client's key."""
        out = await run_command(
            "client", "create", f"benchmark-{role}", "--role", role, "--data", str(self.data_folder), "--json"
        )
        return json.loads(out)["api_key"]

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the hub's database, to look at what it stored."""
        server = EmbeddedPostgres(self.data_folder)
        connection = await asyncpg.connect(await server.start())
        try:
            yield connection
        finally:
            await connection.close()
            await server.stop()

    async def stop(self) -> None:
        """End it as an operator would."""
        if self.process.returncode is None:
            self.process.terminate()
            await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)


@asynccontextmanager
async def data_folder() -> AsyncIterator[Path]:
    """A fresh data folder with development settings, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="healthsync-bench-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user, who must be able to enter
    try:
        await run_command("init", str(folder / "hub"), "--development")
        yield folder / "hub"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def start_hub(folder: Path, *options: str, command: Sequence[str] = HEALTHSYNC) -> RunningHub:
    """Start `healthsync serve` (or another `command` that serves) and wait until it is ready."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, "serve", "--data", str(folder), "--http", "127.0.0.1:0", "--mllp", "127.0.0.1:0", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _READY_SECONDS)
    ready = json.loads(line)
    return RunningHub(folder, process, ready["http"], ready["mllp"], time.perf_counter() - started)


@asynccontextmanager
async def running_hub(*options: str, command: Sequence[str] = HEALTHSYNC) -> AsyncIterator[RunningHub]:
    """A hub on a fresh data folder, stopped and removed afterwards."""
    async with data_folder() as folder:
        hub = await start_hub(folder, *options, command=command)
        try:
            yield hub
        finally:
            await hub.stop()


async def run_command(*arguments: str) -> str:
    """Run one `healthsync` command; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *HEALTHSYNC, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"healthsync {_first(arguments)} failed: {complaint.decode().strip()}")
    return out.decode()


def _first(arguments: Sequence[str]) -> str:
    return " ".join(arguments[:2])
