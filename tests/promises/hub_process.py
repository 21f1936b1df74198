"""A hub as its user runs it: a process of its own in a data folder, commands beside it, sockets to it, and signals.

Nothing here knows the inside of the hub except where PostgreSQL keeps its files and what a worker's command line
looks like, because that is what gets killed.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from healthsync.infrastructure.database.cluster import SHELTER, find_place

HEALTHSYNC = (sys.executable, "-m", "healthsync")
VT, FS, CR = b"\x0b", b"\x1c", b"\r"
PATIENCE_SECONDS = 60.0
"""For things that take a second on an idle machine."""


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS, *, every: float = 0.02) -> Any:
    """Wait until `holds()` is true and return it; fails with `what` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(every)
    return found


def healthsync(*arguments: str | Path, expect: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    done = subprocess.run(
        [*HEALTHSYNC, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=_environment(environment), check=False,
    )  # fmt: skip
    assert expect is None or done.returncode == expect, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HEALTHSYNC_")}
    return ours | more


class HubProcess:
    """A serving process of a data folder. `environment` are settings (`HEALTHSYNC_…`) for it and for commands."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.environment = folder, environment
        number = next(n for n in itertools.count() if not folder.with_suffix(f".{n}.err").exists())
        self.output, self.errors = folder.with_suffix(f".{number}.out"), folder.with_suffix(f".{number}.err")
        self.errors.touch()
        self.http = self.mllp = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def init(cls, folder: Path, *options: str, **environment: str) -> HubProcess:
        """One for a new data folder."""
        healthsync("init", folder, *options)
        return cls(folder, **environment)

    def start(self, *options: str, cwd: Path | None = None) -> float:
        """Serve on free ports; returns the seconds until the ready line."""
        began, before = time.monotonic(), self._written()
        with self.output.open("ab") as out, self.errors.open("ab") as err:
            self._process = subprocess.Popen(
                [*HEALTHSYNC, "serve", "--data", self.folder, "--http", "127.0.0.1:0", "--mllp", "127.0.0.1:0",
                 *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=_environment(self.environment), cwd=cwd,
            )  # fmt: skip
        line = until(lambda: self._ready_line(before), f"the hub is ready; {self.stderr()[-2000:]}")
        ready = json.loads(line)
        assert ready["event"] == "ready"
        self.http, self.mllp = ready["http"], ready["mllp"]
        return time.monotonic() - began

    def _written(self) -> int:
        return self.output.stat().st_size if self.output.exists() else 0

    def _ready_line(self, before: int) -> bytes:
        assert self._process is not None
        assert self._process.poll() is None, f"the hub ended with {self._process.returncode}: {self.stderr()[-2000:]}"
        line = self.output.read_bytes()[before:]
        return line if line.endswith(b"\n") else b""

    @property
    def pid(self) -> int:
        """Of the serving process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the serving process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return find_place(self.folder, self.folder / "postgres", SHELTER) / "cluster"

    @property
    def postmaster_pid(self) -> int | None:
        """The pid of PostgreSQL's first process; None when none runs."""
        with suppress(OSError, ValueError, IndexError):
            pid = int((self.cluster / "postmaster.pid").read_text().splitlines()[0])
            return pid if _lives(pid) else None
        return None

    def worker_pids(self) -> list[int]:
        """The pids of the worker processes of this data folder."""
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if {"--role", "worker", str(self.folder)} <= set(process.info["cmdline"] or ()) and _lives(process.pid)
        ]

    def stop(self) -> int:
        """SIGTERM, as service managers do; returns the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Until the serving process has ended; returns the exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """SIGKILL for the serving process alone."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.is_running:
            self.stop()
        until(lambda: not self.worker_pids() and self.postmaster_pid is None, "workers and PostgreSQL end")

    def is_ready(self) -> bool:
        """What /readyz says."""
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{self.http}/readyz", timeout=5).status_code == 200
        return False

    def stderr(self) -> str:
        """What the hub and its workers have written to standard error so far."""
        return self.errors.read_text(errors="replace")

    def run(self, *arguments: str | Path, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """A command on the data folder of this hub."""
        return healthsync(*arguments, "--data", self.folder, expect=expect, **self.environment)

    def ask(self, *arguments: str | Path) -> Any:
        """The one JSON document with which a command answers."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def lines(self, *arguments: str | Path) -> list[Any]:
        """The JSON documents, one a line, with which a command answers."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def count(self, state: str) -> int:
        """How many messages are in a state."""
        return self.ask("messages", "list", "--count", "--state", state)["count"]

    def wait_until_processed(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Until no accepted message waits."""
        until(lambda: self.count("accepted") == 0, "every accepted message is processed", seconds, every=0.3)

    def client(self, role: str = "admin", **headers: str) -> httpx.Client:
        """An HTTP client with a new key of a role."""
        key = self.ask("client", "create", role, "--role", role)["api_key"]
        return self.client_with(key, **headers)

    def client_with(self, key: str, **headers: str) -> httpx.Client:
        """An HTTP client with a key."""
        return httpx.Client(
            base_url=f"http://{self.http}",
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json", **headers},
            timeout=30,
        )

    def connect(self) -> MllpConnection:
        """An MLLP connection."""
        return MllpConnection(self.mllp)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class MllpConnection:
    """A sender's end. Written apart from the hub's own codec, so that an error there is not repeated here."""

    def __init__(self, address: str, timeout_seconds: float = 20.0) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pending = b""

    def __enter__(self) -> MllpConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def post(self, message: bytes) -> None:
        """Send a message without waiting for its answer."""
        self.socket.sendall(VT + message + FS + CR)

    def answer(self) -> Answer | None:
        """The next answer; None when the hub has hung up."""
        while FS + CR not in self._pending:
            received = self.socket.recv(65536)
            if not received:
                return None
            self._pending += received
        block, _, self._pending = self._pending.partition(FS + CR)
        assert block.startswith(VT)
        return Answer(block[1:])

    def send(self, message: bytes) -> Answer:
        """Send a message and read its answer."""
        self.post(message)
        answer = self.answer()
        assert answer is not None, "the hub hung up instead of answering"
        return answer

    def hung_up(self) -> bool:
        """Whether the hub has closed, after everything it said was read."""
        with suppress(ConnectionResetError):
            while self.answer() is not None:
                pass
        return True


class Answer:
    """An acknowledgement."""

    def __init__(self, content: bytes) -> None:
        self.text = content.decode()
        segments = {line[:3]: line.split("|") for line in self.text.split("\r") if line}
        self.code, self.control_id = segments["MSA"][1], segments["MSA"][2]
        self.error = "|".join(segments.get("ERR", []))


@contextmanager
def ended(hub: HubProcess) -> Iterator[HubProcess]:
    """Give a hub out and end it afterwards."""
    try:
        yield hub
    finally:
        hub.end()


def adt(
    control_id: str, facility: str, mrn: str, name: str = "Doe^Jane", *, phone: str = "", trigger: str = "A08"
) -> bytes:
    """An ADT about one patient."""
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|{facility}|HUB|HIE|20260301120000+0000||ADT^{trigger}^ADT_A01|{control_id}|P|2.5.1",
            f"EVN|{trigger}|20260301120000+0000",
            f"PID|1||{mrn}^^^{facility}^MR||{name}||19700101|F|||||{phone}",
            "PV1|1|O",
            "",
        )
    ).encode()


def oru(control_id: str, facility: str, mrn: str, name: str = "Doe^Jane", *, phone: str = "", value: int) -> bytes:
    """A laboratory result of one patient, with `value` as its number and its value."""
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|{facility}|HUB|HIE|20260301120000+0000||ORU^R01^ORU_R01|{control_id}|P|2.5.1",
            f"PID|1||{mrn}^^^{facility}^MR||{name}||19700101|F|||||{phone}",
            f"OBR|1||{mrn}-{value}^{facility}|718-7^Hemoglobin^LN|||20260301115900+0000|||||||||||||||20260301120000+0000||LAB|F",
            f"OBX|1|NM|718-7^Hemoglobin^LN||{value}|g/dL|||||F|||20260301115900+0000",
            "",
        )
    ).encode()
