"""Looking for people's values where none may stand: database files, write-ahead log, logs, metrics, dumps.

A *needle* is a value (a name, a number, a date). It is looked for as it may have been written: in any case, as UTF-8,
Latin-1, UTF-16 or JSON escapes, as hex, as base64 wherever in the encoded text it begins; dates and phone numbers in
their usual notations. What is compressed or encrypted is not opened.

How: wherever an occurrence of seven bytes or more begins, it covers a whole piece of four bytes at an offset divisible
by four. So of every variant four pieces are put into a set, one for each place at which it may begin, and every fourth
offset of the file is looked up there, which Python does in C; only where a piece is found, its variants are compared.
"""

from __future__ import annotations

import base64
import json
import mmap
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

SHORTEST = 7
"""Bytes of the shortest needle: anything shorter occurs by chance, and is not found by looking at every fourth byte."""

_PIECE = 4
_CHUNK = 1 << 14


@dataclass(frozen=True, slots=True)
class Leak:
    """A value that was found: where, how it was written, and which needle it was (its place in the list, no text)."""

    where: str
    offset: int
    form: str
    needle: int


@dataclass(frozen=True, slots=True)
class _Variant:
    form: str
    needle: int
    is_number: bool
    """A number is found only where it stands alone: inside hex or a longer number any digits occur by chance."""


def notations(value: str) -> tuple[str, ...]:
    """The usual ways to write a date (given as YYYY-MM-DD), a US phone number (ten digits) or social security number
    (nine digits); other text as it is. Raises ValueError for a value too short to look for."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        year, month, day = value.split("-")
        return value, f"{year}{month}{day}", f"{month}/{day}/{year}"
    if re.fullmatch(r"\d{10}", value):
        area, exchange, line = value[:3], value[3:6], value[6:]
        return (value, f"({area}){exchange}-{line}", f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}",
                f"{area} {exchange}{line}", f"{area} {exchange} {line}")  # fmt: skip
    if re.fullmatch(r"\d{9}", value):
        return value, f"{value[:3]}-{value[3:5]}-{value[5:]}"
    if len(value) < SHORTEST:
        raise ValueError(f"a needle has {SHORTEST} characters at least: shorter ones occur by chance")
    return (value,)


class LeakScanner:
    """Needles, made ready to be looked for in any amount of data."""

    def __init__(self, needles: Iterable[str | date]) -> None:
        self._any_case: dict[bytes, _Variant] = {}
        self._exact: dict[bytes, _Variant] = {}
        count = 0
        for count, needle in enumerate(needles, 1):
            for text in notations(str(needle)):
                self._add(text, count - 1)
        self.needles = count
        self._any_case_pieces, self._exact_pieces = _Pieces(self._any_case), _Pieces(self._exact)
        self._longest = max(map(len, (*self._any_case, *self._exact)), default=0)

    def _add(self, text: str, needle: int) -> None:
        is_number = not re.search(r"[^\d]", text)
        for encoded, form in _plain(text):
            self._any_case.setdefault(encoded, _Variant(form, needle, is_number))
        for cased in {text, text.upper(), text.lower(), text.title()}:
            raw = cased.encode()
            self._any_case.setdefault(raw.hex().encode(), _Variant("hex", needle, False))
            for encoded in _base64(raw):
                self._exact.setdefault(encoded, _Variant("base64", needle, False))

    def scan(self, data: bytes | mmap.mmap, where: str) -> Iterator[Leak]:
        """Every needle in `data`, at most once per chunk and form."""
        for start in range(0, len(data), _CHUNK):
            chunk = data[max(0, start - 1) : start + _CHUNK + self._longest]
            lowered = chunk.lower()
            for text, variants, pieces in ((lowered, self._any_case, self._any_case_pieces),
                                           (chunk, self._exact, self._exact_pieces)):  # fmt: skip
                for variant in pieces.candidates(text):
                    hit = variants[variant]
                    if (at := _found(text, variant, hit.is_number)) is not None:
                        yield Leak(where, max(0, start - 1) + at, hit.form, hit.needle)

    def scan_file(self, path: Path, where: str | None = None) -> Iterator[Leak]:
        """Every needle in a file; one that cannot be read any more has gone."""
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from self.scan(data, where or str(path))
        except (FileNotFoundError, ValueError):  # ValueError: an empty file cannot be mapped
            return

    def scan_folder(self, folder: Path, without: Sequence[Path] = ()) -> Iterator[Leak]:
        """Every needle in the files below a folder, but for the files or folders of `without`."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not any(path == w or w in path.parents for w in without):
                yield from self.scan_file(path, str(path.relative_to(folder)))


def _plain(text: str) -> Iterator[tuple[bytes, str]]:
    """A text in the encodings in which it stands readable, in small letters."""
    for cased in {text, text.lower(), text.upper()}:
        yield cased.encode().lower(), "text"
        yield cased.encode("utf-16-le").lower(), "utf-16"
        yield cased.encode("utf-16-be").lower(), "utf-16"
        yield json.dumps(cased)[1:-1].encode().lower(), "json"
        if (latin := cased.encode("latin-1", "ignore")) and len(latin) == len(cased):
            yield latin.lower(), "latin-1"


def _base64(raw: bytes) -> Iterator[bytes]:
    """The characters of base64 that depend on `raw` alone, for each of the three places at which it may begin."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        first, last = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        yield encoded[first:last]
        yield encoded[first:last].replace(b"+", b"-").replace(b"/", b"_")


class _Pieces:
    """Which variants to compare where a piece of four bytes is found."""

    def __init__(self, variants: Collection[bytes]) -> None:
        common = Counter(piece for variant in variants for piece in set(_pieces(variant)))
        self._variants: dict[int, set[bytes]] = {}
        for variant in variants:
            pieces = _pieces(variant)
            for begin in range(_PIECE):
                rarest = min(pieces[begin::_PIECE], key=common.__getitem__)
                self._variants.setdefault(rarest, set()).add(variant)
        self._known = frozenset(self._variants)

    def candidates(self, text: bytes) -> set[bytes]:
        """The variants that may stand in `text`."""
        whole = memoryview(text[: len(text) - len(text) % _PIECE]).cast("I")
        return {variant for piece in self._known.intersection(whole) for variant in self._variants[piece]}


def _pieces(variant: bytes) -> list[int]:
    """All pieces of four bytes, as numbers of this machine."""
    return [int.from_bytes(variant[at : at + _PIECE], sys.byteorder) for at in range(len(variant) - _PIECE + 1)]


def _found(text: bytes, variant: bytes, alone: bool) -> int | None:
    at = text.find(variant)
    while at >= 0:
        if not alone or (text[at - 1 : at] not in _DIGITS and text[at + len(variant) :][:1] not in _DIGITS):
            return at
        at = text.find(variant, at + 1)
    return None


_DIGITS = frozenset(bytes([byte]) for byte in b"0123456789abcdef")
