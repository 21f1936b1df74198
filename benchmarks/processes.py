"""CPU time and memory of a hub: its processes, its workers and its PostgreSQL, told apart."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import suppress

import psutil


def part_of(process: psutil.Process) -> str:
    """hub, worker or database."""
    if process.name() == "postgres":
        return "database"
    command = process.cmdline()
    return "worker" if "worker" in command else "hub"


class CpuMeter:
    """CPU seconds so far of the process trees under some pids, by part, and of this process, which is the client."""

    def __init__(self, *root_pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in root_pids]

    def read(self) -> dict[str, float]:
        """Seconds by part. A process that ended is counted by its parent, which waited for it."""
        spent: defaultdict[str, float] = defaultdict(float, client=time.process_time())
        for process in {process.pid: process for root in self._roots for process in tree(root)}.values():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                spent[part_of(process)] += times.user + times.system + times.children_user + times.children_system
        return spent

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """Seconds by part since an earlier reading."""
        now = self.read()
        return {
            part: now[part] - before.get(part, 0) for part in ("hub", "worker", "database", "client") if part in now
        }


def memory_by_part(root_pid: int) -> dict[str, float]:
    """Proportional set size by part, in MB (10^6 bytes): shared pages count once over all processes."""
    sizes: defaultdict[str, float] = defaultdict(float)
    for process in tree(psutil.Process(root_pid)):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            sizes[part_of(process)] += process.memory_full_info().pss
    return {part: size / 1e6 for part, size in sizes.items()}


def tree(root: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    return [root, *root.children(recursive=True)]
