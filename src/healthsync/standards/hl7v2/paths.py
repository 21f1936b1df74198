"""Addresses inside a message: ``PID-3.1``, ``PID.3``, ``OBX[2]-5``, ``PID-3[2].4.2``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from healthsync.errors import InvalidInput

_NUMBER = "([1-9][0-9]{0,4})"
_PATH = re.compile(
    rf"([A-Z][A-Z0-9]{{2}})(?:\[{_NUMBER}\])?[-.]{_NUMBER}(?:\[{_NUMBER}\])?(?:[-.]{_NUMBER})?(?:[-.]{_NUMBER})?"
)


class Path(NamedTuple):
    """Segment name and numbers, each counted from 1 as in the standard; what a path leaves out is 1."""

    segment: str
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """The path that the text spells. Raises InvalidInput when it is none."""
    match = _PATH.fullmatch(text)
    if not match:
        raise InvalidInput(f"“{text}” is no HL7 v2 path; write it like PID-3.1, OBX[2]-5 or PID-3[2].4.2", code="value")
    return Path(match[1], *(int(number or 1) for number in match.groups()[1:]))
