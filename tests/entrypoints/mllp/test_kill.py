"""kill -9 of the hub and of its PostgreSQL at any moment under load: what was acknowledged is there, once, in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from healthsync.bootstrap import open_hub

ROUNDS, SENDERS, PATIENTS = 20, 6, 9
END = b"\x1c\r"


def adt(control_id: str, patient: int) -> bytes:
    header = f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000+0000||ADT^A08^ADT_A01|{control_id}|P|2.5.1"
    return f"{header}\rEVN|A08|20240301\rPID|1||P{patient}^^^MERCY^MR||Doe^Jane||19700101|F\r".encode()


@dataclass
class Running:
    """A hub in a process group of its own."""

    folder: Path
    process: subprocess.Popen[str] = field(init=False)
    port: int = field(init=False)

    def start(self) -> None:
        arguments = ["serve", "--data", str(self.folder), "--http", "127.0.0.1:0", "--mllp", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "healthsync", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.port = int(ready["mllp"].rpartition(":")[2])

    def kill(self, *, postgres: bool) -> None:
        if postgres:
            for pid in self.folder.rglob("postmaster.pid"):
                os.kill(int(pid.read_text().split()[0]), signal.SIGKILL)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Running]:
    subprocess.run(
        [sys.executable, "-m", "healthsync", "init", tmp_path / "hub", "--development", "--json"], check=True
    )
    running = Running(tmp_path / "hub")
    yield running
    if running.process.poll() is None:
        running.stop()


async def send_until_it_breaks(port: int, name: str, acknowledged: list[str]) -> None:
    """One message after the other; a message is counted when its AA has been read."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for n in range(100_000):
            control_id = f"{name}-{n}"
            writer.write(b"\x0b" + adt(control_id, random.randrange(PATIENTS)) + END)
            if b"MSA|AA|" in await reader.readuntil(END):
                acknowledged.append(control_id)
            await asyncio.sleep(0.01)
    except (OSError, asyncio.IncompleteReadError):
        return


async def settle(hub: Running) -> list[tuple[str, str, list[int], object]]:
    """Wait until nothing waits any more; (control id, state, lanes, settled at) in order of acceptance."""
    async with open_hub(hub.folder) as opened, asyncio.timeout(60):
        while True:
            async with opened.database.connection() as tx:
                if not await tx.fetchval("SELECT count(*) FROM message WHERE state = 'accepted'"):
                    rows = await tx.fetch("SELECT control_id, state, lanes, settled_at FROM message ORDER BY sequence")
                    return [tuple(row) for row in rows]
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_no_acknowledged_message_is_lost_or_doubled_and_lanes_stay_in_order(hub: Running) -> None:
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        await asyncio.to_thread(hub.start)
        senders = [send_until_it_breaks(hub.port, f"{number}-{n}", acknowledged) for n in range(SENDERS)]
        sending = asyncio.gather(*senders)
        await asyncio.sleep(random.uniform(0.05, 0.6))
        hub.kill(postgres=number % 2 == 1)
        await sending
    await asyncio.to_thread(hub.start)
    rows = await settle(hub)

    stored = [control_id for control_id, *_ in rows]
    assert len(acknowledged) > ROUNDS
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    assert {state for _, state, *_ in rows} == {"processed"}
    by_lane: dict[int, list[object]] = {}
    for _, _, lanes, settled_at in rows:
        for lane in lanes:
            by_lane.setdefault(lane, []).append(settled_at)
    assert len(by_lane) == PATIENTS
    assert all(times == sorted(times) for times in by_lane.values())  # type: ignore[type-var]
