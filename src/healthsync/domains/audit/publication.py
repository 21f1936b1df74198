"""The second place: an append-only file of signed heads, one JSON line each, outside the database.

Copy it to another machine (or let a witness fetch it) and even someone who owns the database, the file and the
signing key can no longer change what came before the last copied head.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from healthsync.domains.audit import heads
from healthsync.domains.audit.model import TreeHead


class HeadsFile:
    """The published heads of one hub. Several processes may append; a lock on the file keeps them in turn."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[TreeHead]:
        """All published heads, oldest first; none when nothing was published. Raises InvalidInput on a damaged line."""
        if not self.path.exists():
            return []
        whole, _newline, _torn = self.path.read_text(encoding="utf-8").rpartition("\n")
        return [heads.from_line(line) for line in whole.splitlines()]

    def last(self) -> TreeHead | None:
        """The youngest published head. Raises InvalidInput when the line is damaged."""
        if not self.path.exists():
            return None
        whole, _newline, _torn = self._tail().rpartition(b"\n")
        return heads.from_line(whole.splitlines()[-1].decode("utf-8", "replace")) if whole else None

    def append(self, new: Iterable[TreeHead]) -> None:
        """Publish heads that are younger than the last one, and return when they are on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = self.last()
            published = last.tree_size if last else 0
            torn = len(self._tail().rpartition(b"\n")[2])  # a crash cut this line short: it was never published
            file.truncate(self.path.stat().st_size - torn)
            file.writelines(heads.to_line(head).encode() + b"\n" for head in new if head.tree_size > published)
            file.flush()
            os.fsync(file.fileno())

    def _tail(self) -> bytes:
        """The end of the file, longer than any line."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 4096))
            return file.read()
