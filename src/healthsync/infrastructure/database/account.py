"""As whom PostgreSQL runs. It refuses to be root, so a hub started by root hands it to a lesser user."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthsync.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether the caller must change its user to act as this one."""
        return self.uid != os.geteuid()

    def spawn_options(self) -> dict[str, Any]:
        """What `subprocess` needs to start a program as this user, with none of the caller's groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def give(self, path: Path) -> None:
        """Make this user the owner of `path`."""
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account(data_folder: Path, cluster: Path) -> Account:
    """Who runs the server: the caller; for root the owner of the cluster, else of the folder, `postgres`, `nobody`.

    Raises ConfigurationError when that user has no name on this machine (initdb insists on one).
    """
    candidates: list[int | str] = [os.geteuid()]
    if candidates == [0]:
        candidates = [cluster.stat().st_uid] if cluster.exists() else [*_owner(data_folder), "postgres", "nobody"]
    entry = next(filter(None, map(_entry, candidates)), None)
    if entry is None:
        raise ConfigurationError(
            f"PostgreSQL cannot run as user {candidates[0]}, who has no name here; add it to /etc/passwd, "
            "run as a named user, or give the address of a PostgreSQL server with --database"
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _owner(folder: Path) -> list[int]:
    """Who owns `folder`, if that is somebody other than root."""
    return [uid for uid in ([folder.stat().st_uid] if folder.exists() else []) if uid != 0]


def _entry(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def blocking_folder(account: Account, folder: Path) -> Path | None:
    """The first folder on the way to `folder` that `account` may not enter, by its permission bits."""
    for step in reversed((folder, *folder.parents)):
        if not step.exists():
            return None
        status = step.stat()
        if account.uid == status.st_uid:
            bit = stat.S_IXUSR
        else:
            bit = stat.S_IXGRP if account.gid == status.st_gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return step
    return None
