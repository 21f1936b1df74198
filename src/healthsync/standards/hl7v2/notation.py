"""How a message is written, ready for reading many of its kind."""

from __future__ import annotations

import re
from functools import lru_cache

from .escapes import unescape
from .separators import Separators, read_separators

_SEGMENT_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_ABSENT = "\udfff"


class Notation:
    """How messages are written: their delimiters, and the Python codec of their character set."""

    def __init__(self, separators: Separators, charset: str) -> None:
        self.separators = separators
        self.charset = charset
        self.field = separators.field
        # A delimiter that the sender does not use is a lone surrogate here: no decoded text contains one.
        self.component = separators.component or _ABSENT
        self.repetition = separators.repetition or _ABSENT
        self.escape = separators.escape or _ABSENT
        self.subcomponent = separators.subcomponent or _ABSENT
        self.begins_segment = SegmentStarts(separators.field)

    def text(self, raw: str) -> str:
        """The value with its escape sequences resolved."""
        return unescape(raw, self.separators, self.charset) if self.escape in raw else raw

    def value(self, raw: str, repetition: int = 1, component: int = 1, sub: int = 1) -> str:
        """The text at an address inside a field; "" when it is absent."""
        if repetition > 1 or self.repetition in raw:
            raw = part(raw, self.repetition, repetition)
        if component > 1 or self.component in raw:
            raw = part(raw, self.component, component)
        if sub > 1 or self.subcomponent in raw:
            raw = part(raw, self.subcomponent, sub)
        return unescape(raw, self.separators, self.charset) if self.escape in raw else raw


class SegmentStarts(dict[str, bool]):
    """Whether a line that begins with these four characters begins a segment: its name and the field separator."""

    def __init__(self, field_separator: str) -> None:
        super().__init__()
        self._field_separator = field_separator

    def __missing__(self, start: str) -> bool:
        legal = bool(_SEGMENT_NAME.match(start)) and start[3:] in ("", self._field_separator)
        if legal:  # only these are remembered: what a sender writes must not fill the memory
            self[start] = True
        return legal


@lru_cache(maxsize=256)
def notation_of(field: str, encoding_characters: str, charset: str) -> tuple[Notation, bool]:
    """The notation, and whether MSH-2 could be believed."""
    separators, believable = read_separators(field, encoding_characters)
    return Notation(separators, charset), believable


def part(raw: str, separator: str, number: int) -> str:
    """The part of this number, counted from 1; "" when there are fewer."""
    parts = raw.split(separator, number)
    return parts[number - 1] if number <= len(parts) else ""
