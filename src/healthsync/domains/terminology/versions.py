"""Which of several versions is meant (references.html#canonical). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
    fitting = [c for c in candidates if c is not None and fits(said(c)[0], version)]
    return max(fitting, key=lambda candidate: _age(*said(candidate)), default=None)


def by_age(candidates: Iterable[_T], said: Said[_T]) -> list[_T]:
    """The newest first."""
    return sorted(candidates, key=lambda candidate: _age(*said(candidate)), reverse=True)


def fits(version: str | None, wanted: str | None) -> bool:
    """Whether a version is the one wanted: the same, or of a pattern such as 1.0.x, whose x stands for any part."""
    if wanted in (None, "*", version):
        return True
    parts = (wanted or "").split(".")
    if version is None or not any(part in _ANY for part in parts):
        return False
    there = version.split(".")
    last_is_any = parts[-1] in _ANY and len(there) > len(parts)
    return (len(there) == len(parts) or last_is_any) and all(
        want in _ANY or want == have for want, have in zip(parts, there, strict=False)
    )


_ANY = frozenset({"x", "X", "*"})


@dataclass(frozen=True, slots=True)
class Policy:
    """Which versions a question asks for (parameters system-version, check-system-version, force-system-version and
    default-valueset-version): URL -> version or pattern."""

    default: Mapping[str, str] = field(default_factory=dict)
    check: Mapping[str, str] = field(default_factory=dict)
    force: Mapping[str, str] = field(default_factory=dict)
    value_sets: Mapping[str, str] = field(default_factory=dict)

    def wanted(self, url: str, stated: str | None) -> str | None:
        """The version of a system that is used where a definition states one, or none."""
        return self.force.get(url) or stated or self.check.get(url) or self.default.get(url)

    def refusal(self, url: str, version: str | None) -> str | None:
        """Why the version that is used may not be, None when it may."""
        required = self.check.get(url)
        if required is None or fits(version, required):
            return None
        return (
            f"The version '{version or ''}' is not allowed for system '{url}':"
            f" required to be '{required}' by a version-check parameter"
        )


def age(version: str | None) -> list[tuple[int, int, str]]:
    """What versions are in order by; numbers in a version are numbers (2.10 after 2.9)."""
    parts = re.findall(r"\d+|[A-Za-z]+", version or "")
    return [*((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts), _END]


def _age(version: str | None, status: str | None) -> tuple[bool, list[tuple[int, int, str]]]:
    """Retired ones last."""
    return status != "retired", age(version)
