"""The files of a release as their publisher gave them out: a folder, a zip archive, or one file of it."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from healthsync.errors import InvalidInput

LONGEST_LINE = 1 << 20
"""Characters; a longer line is none of a table."""

Progress = Callable[[int], None]
"""Told the number of bytes that were read since the last time."""


class Files:
    """What lies at a path. `progress` hears of bytes as they are read."""

    def __init__(self, path: Path, progress: Progress = lambda _: None) -> None:
        if not path.exists():
            raise InvalidInput(f"there is nothing at {path.name}; name a file, a folder or a zip archive")
        self.path, self._progress = path, progress
        self._names = sorted(self._listed())

    def _listed(self) -> list[str]:
        if self.path.is_dir():
            return [str(each.relative_to(self.path)) for each in self.path.rglob("*") if each.is_file()]
        if zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                return [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        return [self.path.name]

    def find(self, pattern: str) -> str | None:
        """The first file whose name, without its folders, matches; None for none."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return next((name for name in self._names if wanted.fullmatch(re.split(r"[\\/]", name)[-1])), None)

    def find_all(self, pattern: str) -> list[str]:
        """Every file whose name matches."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return [name for name in self._names if wanted.fullmatch(re.split(r"[\\/]", name)[-1])]

    def need(self, pattern: str, what: str) -> str:
        """The file whose name matches, or the only one there is. Raises InvalidInput saying `what` is missing."""
        found = self.find(pattern)
        if found is None and len(self._names) == 1 and self._names[0] == self.path.name:
            return self._names[0]
        if found is None:
            raise InvalidInput(f"{self.path.name} holds no {what}; give the folder or archive as it was published")
        return found

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a file."""
        if self.path.is_dir():
            with (self.path / name).open("rb") as file:
                yield file
        elif zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                yield file
        else:
            with self.path.open("rb") as file:
                yield file

    def lines(self, name: str) -> Generator[str, None, None]:
        """The lines of a text in UTF-8 (or, where it is none, Latin-1), without their ends."""
        with self.opened(name) as file:
            told = 0
            for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
                if len(raw) > LONGEST_LINE or b"\0" in raw:
                    raise InvalidInput(f"{_short(name)}, line {number}: this is no table of text")
                told += len(raw)
                if number % 5000 == 0:
                    self._progress(told)
                    told = 0
                try:
                    text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    text = raw.decode("latin-1")
                yield text.rstrip("\r\n")
            self._progress(told)

    def table(self, name: str, needed: Sequence[str], *, delimiter: str) -> Iterator[dict[str, str]]:
        """The rows of a table with a head, by column. Raises InvalidInput when a needed column is missing.

        Tabs separate without quotes (SNOMED CT RF2, CPT); a comma is CSV (RFC 4180), with quotes and line ends inside.
        """
        with closing(self.lines(name)) as lines:
            if delimiter == "\t":
                rows: Iterator[list[str]] = (line.split("\t") for line in lines)
            else:
                rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
            try:
                head = next(rows, [])
                if missing := [column for column in needed if column not in head]:
                    raise InvalidInput(f"{_short(name)} has no column {missing[0]}; it is not the table that was meant")
                for row in rows:
                    if row:
                        yield dict(zip(head, row, strict=False))
            except csv.Error:
                raise InvalidInput(f"{_short(name)} is no CSV that can be read") from None

    def pipes(self, name: str, columns: int) -> Iterator[list[str]]:
        """The rows of a Rich Release Format file: no head, a pipe after each column."""
        for number, line in enumerate(self.lines(name), 1):
            row = line.split("|")
            if len(row) < columns:
                raise InvalidInput(f"{_short(name)}, line {number}: a row has {columns} columns ended by pipes (RRF)")
            yield row

    def text(self, name: str, most_bytes: int) -> io.BytesIO:
        """A whole file. Raises InvalidInput for a larger one."""
        with self.opened(name) as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise InvalidInput(f"{_short(name)} has more than {most_bytes} bytes")
        self._progress(len(data))
        return io.BytesIO(data)


def _short(name: str) -> str:
    return re.split(r"[\\/]", name)[-1]


def version_in(text: str, pattern: str) -> str | None:
    """The version that a path tells."""
    found = re.search(pattern, text)
    return found[1] if found else None
