"""The files of a PostgreSQL cluster: where they lie, how they are made, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthsync.errors import ConfigurationError, Unavailable
from healthsync.infrastructure.database.account import Account, blocking_folder
from healthsync.infrastructure.database.binaries import Binaries, open_folder

SHELTER = Path("/var/lib/healthsync")
ROLE = DATABASE = "healthsync"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# For a laptop; an operator may change them in the cluster's postgresql.conf. Index pages of random keys are written
# whole to the log after each checkpoint: PostgreSQL's own compression took a quarter of the CPU of a registration.
_INITIAL_SETTINGS = """
# ---- HealthSync: sizes for one modest machine; change them as you like -------------------------------
shared_buffers = 64MB
work_mem = 4MB
maintenance_work_mem = 64MB
max_connections = 100
max_wal_size = 512MB
checkpoint_timeout = 15min
wal_level = logical
wal_compression = {compression}
autovacuum_max_workers = 2
autovacuum_naptime = 10s  # a young store needs statistics soon; each new set of them voids the plans of every statement
huge_pages = off
jit = off
"""
_ACCESS = "# HealthSync: the socket only, and only with the password of the data folder\nlocal all all scram-sha-256\n"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder in which a server lives, and the account that it runs as."""

    folder: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """PGDATA."""
        return self.folder / "cluster"

    @property
    def major(self) -> int | None:
        """The major version that wrote the cluster; None before it is made."""
        try:
            return int((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise ConfigurationError(
                f"{self.cluster / 'PG_VERSION'} is damaged; restore the cluster from your backup"
            ) from None


def find_place(data_folder: Path, inside: Path, shelter: Path) -> Path:
    """The folder of the server: `inside` the data folder, unless a record there says that it had to go to `shelter`.

    Raises ConfigurationError when the record points to a cluster that belongs to another data folder.
    """
    record = inside / "place"
    if not record.exists():
        return inside
    place = Path(record.read_text().strip())
    owner = place / "belongs_to"
    if not owner.exists():
        raise ConfigurationError(f"{record} names {place}, which is not there; restore it from your backup")
    known = Path(owner.read_text().strip())
    if known != data_folder and (known / "postgres" / "place").exists():
        raise ConfigurationError(
            f"the database at {place} belongs to {known}; {data_folder} is a copy of it. "
            f"Remove {record} to begin with an empty database, or use {known}"
        )
    owner.write_text(f"{data_folder}\n")
    return place


def choose_place(data_folder: Path, inside: Path, account: Account, shelter: Path) -> Path:
    """Where a new cluster goes: `inside`, or below `shelter` (recorded `inside`) when `account` cannot enter there."""
    if not account.is_other or blocking_folder(account, inside) is None:
        return inside
    place = shelter / "clusters" / secrets.token_hex(8)
    open_folder(place)
    (place / "belongs_to").write_text(f"{data_folder}\n")
    (inside / "place").write_text(f"{place}\n")
    return place


def create_cluster(home: Home, binaries: Binaries, password: str, *, durable: bool = True) -> None:
    """Make the cluster, its role and its database; whole or not at all. Raises ConfigurationError."""
    for unfinished in home.folder.glob("cluster.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    new = home.folder / f"cluster.new-{secrets.token_hex(4)}"  # an initdb whose starter was killed may still write
    new.mkdir(mode=0o700)
    home.account.give(new)
    initdb = [binaries.folder / "initdb", "-D", new, "-U", "postgres", "-A", "reject", "-E", "UTF8", "--locale=C", "-k"]
    _run([*initdb, *([] if durable else ["--no-sync"])], home.account)
    with (new / "postgresql.conf").open("a") as settings:
        settings.write(_INITIAL_SETTINGS.format(compression="lz4" if _knows_lz4(new, binaries, home) else "on"))
    (new / "pg_hba.conf").write_text(_ACCESS)
    statements = (
        f"ALTER ROLE postgres PASSWORD '{password}'\n"
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
    )
    fsync = "on" if durable else "off"
    _run(
        [binaries.folder / "postgres", "--single", "-D", new, "-c", f"fsync={fsync}", "postgres"],
        home.account,
        statements,
    )
    new.rename(home.cluster)


def _knows_lz4(cluster: Path, binaries: Binaries, home: Home) -> bool:
    """Whether PostgreSQL was built with LZ4: it refuses a setting that it does not know."""
    asked = [binaries.folder / "postgres", "-D", cluster, "-C", "wal_compression", "-c", "wal_compression=lz4"]
    answer = subprocess.run(
        asked, check=False, capture_output=True, cwd="/", env=ENVIRONMENT, **home.account.spawn_options()
    )
    return answer.returncode == 0


def _run(command: list[Any], account: Account, standard_input: str = "") -> None:
    done = subprocess.run(
        command,
        check=False,
        input=standard_input,
        capture_output=True,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        **account.spawn_options(),
    )
    complaint = [line for line in done.stderr.splitlines() if "ERROR" in line or "FATAL" in line or "error:" in line]
    if done.returncode or complaint:
        said = (complaint or done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ConfigurationError(f"PostgreSQL's {Path(command[0]).name} failed as user {account.name}: {said}")


async def leftovers_gone(cluster: Path) -> None:
    """Wait until no process of an earlier server lives in `cluster`, urging them on, and clear its stale pid file.

    Call it only while holding the lock of the data folder: then whatever lives there is a server without an owner.
    Raises Unavailable when a process does not end.
    """
    started = time.monotonic()
    postmaster = _recorded_postmaster(cluster)
    while pids := _processes_in(cluster, postmaster):
        waited = time.monotonic() - started
        patience = 20 if postmaster in pids else 3  # a postmaster may be writing its last checkpoint
        if waited > patience + 10:
            raise Unavailable(f"processes {pids} of an earlier PostgreSQL in {cluster} do not end; end them by hand")
        urge = signal.SIGKILL if waited > patience + 5 else signal.SIGQUIT if waited > patience else signal.SIGINT
        for pid in pids if waited > patience else [pid for pid in pids if pid == postmaster]:
            with suppress(ProcessLookupError):
                os.kill(pid, urge)
        await asyncio.sleep(0.02)
    # The dead postmaster may stay a zombie (a container whose first process reaps nobody): PostgreSQL would then
    # take its pid file for a living server for ever.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _recorded_postmaster(cluster: Path) -> int | None:
    try:
        return abs(int((cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
    except (FileNotFoundError, ValueError):
        return None


def _processes_in(cluster: Path, postmaster: int | None) -> list[int]:
    """The processes whose working directory is `cluster`, as every process of a PostgreSQL server has it."""
    if not Path("/proc/self/cwd").exists():
        return [postmaster] if postmaster and _lives(postmaster) else []
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # not a process, already gone, a zombie, or not ours to see
            if process.name.isdigit() and (process / "cwd").readlink() == cluster:
                found.append(int(process.name))
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
