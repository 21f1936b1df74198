"""What the documents share: names resolved through the dictionary, triggers, patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from healthsync.errors import InvalidInput
from healthsync.settings.reading import Problem, Reader, setting
from healthsync.standards.logical_tables import LogicalColumn, LogicalTables


class Names:
    """The dictionary of logical tables, for a document under inspection: an unknown name becomes a problem."""

    def __init__(self, tables: LogicalTables, reader: Reader) -> None:
        self._tables = tables
        self._reader = reader

    def column(self, table: str, column: str, key: str) -> LogicalColumn | None:
        """The meaning of a column, or None and a problem noted."""
        return self._noting(key, lambda: self._tables.column(table, column))

    def measurement(self, name: str, key: str) -> LogicalColumn | None:
        """The meaning of a measurement named without its table, or None and a problem noted."""
        return self._noting(key, lambda: self._tables.measurement(name))

    def table(self, name: str, key: str) -> bool:
        """Whether the table is known; a problem is noted when it is not."""
        return self._noting(key, lambda: self._tables.table(name)) is not None

    def fault(self, key: str, message: str) -> None:
        """Note a problem at `key`."""
        self._reader.problems.append(Problem(key, self._reader.positions.get(key, "?"), message))

    def problem(self, problem: Problem) -> None:
        """Note a problem that was found in another file of the document."""
        self._reader.problems.append(problem)

    def _noting(self, key: str, look_up: Any) -> Any:
        try:
            return look_up()
        except InvalidInput as error:
            self.fault(key, str(error))
            return None


class Document(Protocol):
    """What a parsed configuration document can say of itself."""

    def describe(self, names: Names) -> Iterator[str]:
        """What was understood, a sentence each; unknown names are noted as problems."""
        ...


@dataclass(frozen=True, slots=True)
class Trigger:
    """A change in a logical table."""

    table: str = setting("A logical table.")
    operation: Literal["INSERT", "UPDATE", "DELETE"] = setting("What happened to a row.")


def pattern_faults(name: str, pattern: str) -> Iterator[tuple[str, str]]:
    """A fault at `name` when the text is not a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        yield name, f"is not a regular expression: {error}"
