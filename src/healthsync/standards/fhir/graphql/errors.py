"""What can be wrong with a query."""

from __future__ import annotations

from healthsync.errors import InvalidInput


class QueryFault(InvalidInput):
    """A query is wrong at a place: `line` and `column` count from 1, None where there is none."""

    def __init__(self, message: str, *, code: str = "invalid", at: tuple[int, int] | None = None) -> None:
        super().__init__(message, code=code)
        self.at = at
