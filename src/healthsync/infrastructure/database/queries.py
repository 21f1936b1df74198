"""SQL is SQL: named queries in `queries.sql`, each with a sentence.

-- name: head_of_lane
-- The oldest message of each lane that is not finished.
SELECT …
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries:
    """The named queries of one package; each is an attribute. An unknown name raises AttributeError."""

    def __init__(self, package: str, file: str = "queries.sql") -> None:
        text = files(package).joinpath(file).read_text(encoding="utf-8")
        pieces = _NAME.split(text)
        self._queries: dict[str, str] = {}
        for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in self._queries:
                raise ValueError(f"query {name} stands twice in {package}/{file}")
            lines = body.strip().splitlines()
            if not lines or not lines[0].startswith("--"):
                raise ValueError(f"query {name} in {package}/{file} has no sentence that says what it is for")
            self._queries[name] = "\n".join(line for line in lines if not line.startswith("--")).rstrip(";\n ")

            setattr(self, name, self._queries[name])

    def __getattr__(self, name: str) -> str:
        raise AttributeError(f"no query named {name}")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Name and text of each query."""
        return iter(self._queries.items())
