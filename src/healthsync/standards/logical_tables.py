"""The dictionary of logical tables: what a table and a column of the configuration mean in FHIR.

Access rules, PHI rules, HL7 mappings, clinical rules, triggers and integrations speak of `patients.mrn` or
`vitals.heart_rate`; the hub stores FHIR. `logical_tables.yaml` holds one reviewed line for each name; operators extend
it with a file of the same form. A name that stands in neither is an error that lists near names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.shipped import shipped_yaml

MEASURED_TABLES = ("vitals", "lab_results")
"""Where a rule that names a measurement without its table (`heart_rate`, `wbc`) looks for it, in this order."""


class Sensitivity(StrEnum):
    """How much harm a disclosure does; `high` is HL7 confidentiality R, `normal` is N, `low` is L."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Identifies(StrEnum):
    """Whether a value points at a person (45 CFR 164.514(b)(2) lists the direct identifiers)."""

    NO = "no"
    INDIRECT = "indirect"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class LogicalColumn:
    """One name of the configuration and the FHIR element it stands for.

    `path` starts at the root of `fhir_type`; `[code]` picks the repetition whose type, use or system is that code.
    `datatype` is the FHIR data type there (`A|B` for a choice). `select` are the FHIR search parameters that pick the
    resources meant. `unit` is the canonical UCUM unit of comparisons. `derive` names the computation
    of a derived column.
    """

    table: str
    name: str
    fhir_type: str
    path: str
    datatype: str
    unit: str | None
    sensitivity: Sensitivity
    identifies: Identifies = Identifies.NO
    select: str | None = None
    derive: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogicalTable:
    """One table: the resource type of a row and its columns by name and by alias."""

    name: str
    fhir_type: str
    select: str | None
    columns: Mapping[str, LogicalColumn]

    def __iter__(self) -> Iterator[LogicalColumn]:
        """Each column once."""
        return (column for name, column in self.columns.items() if name == column.name)


class LogicalTables:
    """The dictionary: ours, and over it what an operator adds."""

    def __init__(self, tables: Mapping[str, LogicalTable]) -> None:
        self._tables = dict(tables)

    @classmethod
    def load(cls, extra: Mapping[str, Any] | None = None) -> LogicalTables:
        """Our dictionary, extended by `extra`: a parsed document of the same form (`tables: …`).

        An operator's column replaces ours of the same name. Raises InvalidInput when `extra` is malformed.
        """
        tables = dict(_shipped())
        for name, table in _tables_of(extra or {"tables": {}}).items():
            ours = tables.get(name)
            tables[name] = _extended(ours, table) if ours else table
        return cls(tables)

    def __iter__(self) -> Iterator[LogicalTable]:
        return iter(self._tables.values())

    def table(self, name: str) -> LogicalTable:
        """The table of this name. Raises InvalidInput that lists near names."""
        try:
            return self._tables[name]
        except KeyError:
            raise InvalidInput(f"unknown table “{name}”; {_near(name, self._tables)}", code="not-found") from None

    def column(self, table: str, column: str) -> LogicalColumn:
        """The meaning of a column, by its name or an alias. Raises InvalidInput that lists near names."""
        columns = self.table(table).columns
        try:
            return columns[column]
        except KeyError:
            raise InvalidInput(
                f"unknown column “{table}.{column}”; {_near(column, columns)}", code="not-found"
            ) from None

    def measurement(self, name: str) -> LogicalColumn:
        """The meaning of a measurement named without its table. Raises InvalidInput that lists near names."""
        measured = {
            spelling: column
            for table in reversed(MEASURED_TABLES)
            for spelling, column in self.table(table).columns.items()
            if column.unit
        }
        try:
            return measured[name]
        except KeyError:
            raise InvalidInput(f"unknown measurement “{name}”; {_near(name, measured)}", code="not-found") from None


def _near(name: str, known: Mapping[str, LogicalTable] | Mapping[str, LogicalColumn]) -> str:
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known names: {', '.join(sorted({meaning.name for meaning in known.values()}))}"


@cache
def _shipped() -> dict[str, LogicalTable]:
    return _tables_of(shipped_yaml("healthsync.standards", "logical_tables.yaml"))


def _tables_of(document: Mapping[str, Any]) -> dict[str, LogicalTable]:
    try:
        return {name: _table(name, table) for name, table in document["tables"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            "the dictionary reads `tables: {name: {fhir_type, columns: {name: {path, type, sensitivity}}}}`; "
            f"wrong or missing: {error}"
        ) from None


def _table(name: str, table: Mapping[str, Any]) -> LogicalTable:
    columns: dict[str, LogicalColumn] = {}
    for column_name, entry in table["columns"].items():
        column = LogicalColumn(
            table=name,
            name=column_name,
            fhir_type=entry.get("fhir_type", table["fhir_type"]),
            path=entry["path"],
            datatype=entry["type"],
            unit=entry.get("unit"),
            sensitivity=Sensitivity(entry["sensitivity"]),
            identifies=Identifies(entry.get("identifies", "no")),
            select=entry.get("select", table.get("select")),
            derive=entry.get("derive"),
            aliases=tuple(entry.get("aliases", ())),
        )
        for spelling in (column_name, *column.aliases):
            if spelling in columns:
                raise ValueError(f"{name}.{spelling} stands twice")
            columns[spelling] = column
    return LogicalTable(name, table["fhir_type"], table.get("select"), columns)


def _extended(ours: LogicalTable, extra: LogicalTable) -> LogicalTable:
    return LogicalTable(ours.name, extra.fhir_type, extra.select or ours.select, {**ours.columns, **extra.columns})
