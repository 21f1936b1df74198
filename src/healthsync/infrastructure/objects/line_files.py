"""Files of lines, plain or gzip, read from any line on in flat memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from healthsync.errors import InvalidInput

LONGEST_LINE = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


def lines_of(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each line with the offset behind it, in bytes of the text, from `offset` on.

    Raises InvalidInput when the file cannot be read, is damaged, or has a line longer than `LONGEST_LINE`.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            yield from _lines(gzip.GzipFile(fileobj=file) if compressed else file, offset)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as problem:
        raise InvalidInput(f"{path.name} cannot be read ({type(problem).__name__})", code="not-found") from None


def lines_at(path: Path, offsets: Iterable[int]) -> Iterator[bytes]:
    """The lines that begin at these rising offsets."""
    wanted = iter(offsets)
    following = next(wanted, None)
    if following is None:
        return
    place = following
    for line, behind in lines_of(path, place):
        if place == following:
            yield line
            following = next(wanted, None)
        if following is None:
            return
        place = behind


def _lines(file: BinaryIO, offset: int) -> Iterator[tuple[bytes, int]]:
    file.seek(offset)
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise InvalidInput(f"a line is longer than {LONGEST_LINE} bytes", code="too-long")
        offset += len(line)
        yield line, offset
