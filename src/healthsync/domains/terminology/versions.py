"""Which of several versions is meant (references.html#canonical). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")

Said = Callable[[_T], tuple[str | None, str | None]]
"""(version, status) of a candidate."""

_END = (0, 1, "")
"""Stands behind the last part of a version: 1.0-ballot is before 1.0, and 1.0 before 1.0.1."""


def canonical(reference: str) -> tuple[str, str | None]:
    """URL and version of `url|version`."""
    url, _, version = reference.partition("|")
    return url, version or None


def chosen(candidates: Iterable[_T | None], version: str | None, said: Said[_T]) -> _T | None:
    """The one of the version asked for; without a version the newest that is not retired; None when there is none."""
    fitting = [c for c in candidates if c is not None and version in (None, said(c)[0])]
    return max(fitting, key=lambda candidate: _age(*said(candidate)), default=None)


def _age(version: str | None, status: str | None) -> tuple[bool, list[tuple[int, int, str]]]:
    """Retired ones last; numbers in a version are numbers (2.10 after 2.9)."""
    parts = re.findall(r"\d+|[A-Za-z]+", version or "")
    return status != "retired", [*((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts), _END]
