"""An operator's own mapping (`hl7_processing` of the configuration) laid over ours, field by field.

    hl7_processing:
      inbound:
        - message_type: "ADT^A01"
          mapping:
            - hl7_segment: "PID"
              target_table: "patients"
              fields: [{hl7: "PID.3", db: "mrn"}]

A field that the operator maps goes where the operator says; all others keep our map. Columns are looked up in the
dictionary of logical tables. Where a column is the element that our map feeds anyway, our richer conversion stays (a
name keeps its parts, a number its authority), and the column adds what it knows: an `mrn` without a sent type is of
type MR.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from healthsync.errors import InvalidInput
from healthsync.standards.maps.compiler import MapError, Program, compile_segment
from healthsync.standards.maps.programs import programs_of
from healthsync.standards.maps.tables import Row, tables


class Column(Protocol):
    """What is needed of a logical column: see healthsync.standards.logical_tables."""

    @property
    def fhir_type(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def derive(self) -> str | None: ...
    @property
    def select(self) -> str | None: ...


class Dictionary(Protocol):
    """The dictionary of logical tables. Raises InvalidInput, with near names, for what it does not know."""

    def column(self, table: str, column: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One line of the operator: this field of the segment feeds this column."""

    segment: str
    field: int
    component: int
    column: Column
    name: str


@dataclass(slots=True)
class OperatorMapping:
    """The operator's lines by message type (`ADT^A01`)."""

    by_type: Mapping[str, tuple[FieldMapping, ...]]
    _programs: dict[str, Mapping[str, Program]] = field(default_factory=dict)

    def category(self, code: str, trigger: str) -> str | None:
        """The Observation.category of the columns that OBX feeds.

        `lab_results` are laboratory results (`category=laboratory`).
        """
        for line in self.by_type.get(f"{code}^{trigger}", ()):
            name, _, value = (line.column.select or "").partition("=")
            if line.segment == "OBX" and name == "category":
                return value
        return None

    def programs(self, code: str, trigger: str, maps: tuple[str, ...]) -> Mapping[str, Program]:
        """These segment maps with the operator's lines for this message type; compiled once."""
        message_type = f"{code}^{trigger}"
        if message_type not in self._programs:
            lines = self.by_type.get(message_type, ())
            changed = {_map_of(line): None for line in lines}
            self._programs[message_type] = {
                **programs_of(maps),
                **{name: _compiled(name, lines, maps) for name in changed if name in maps},
            }
        return self._programs[message_type]


def load_operator_mapping(document: Mapping[str, Any], logical_tables: Dictionary) -> OperatorMapping:
    """The mapping of a configuration document (with or without its `hl7_processing` key).

    Raises InvalidInput that names the entry: an unknown table or column (with near names), a path that is no field of
    its segment, a column that the segment cannot feed.
    """
    section = document.get("hl7_processing", document)
    by_type: dict[str, tuple[FieldMapping, ...]] = {}
    for entry in section.get("inbound") or ():
        message_type = "^".join(str(_required(entry, "message_type")).split("^")[:2])
        lines = tuple(
            _line(mapping, line, logical_tables)
            for mapping in entry.get("mapping") or ()
            for line in mapping.get("fields") or ()
        )
        for line in lines:
            _row(line)  # what cannot be written is refused now, not when the first message comes
        by_type[message_type] = by_type.get(message_type, ()) + lines
    for lines in by_type.values():
        for name in {_map_of(line): None for line in lines}:
            _compiled(name, lines, (name,))
    return OperatorMapping(by_type)


def _required(entry: Mapping[str, Any], key: str) -> Any:
    if not isinstance(entry, Mapping) or not entry.get(key):
        raise InvalidInput(f"hl7_processing: an entry has no “{key}”", code="required")
    return entry[key]


_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})[.-](\d+)(?:[.-](\d+))?")
_BELOW_ANOTHER = frozenset({"NK1[Patient]"})
"""Maps whose paths do not begin at the resource: NK1 tells of an entry of Patient.contact."""


def _fed_by(segment: str) -> dict[str, str]:
    """What a segment becomes → the map that says how."""
    names = (name for name in tables().segments if name.partition("[")[0] == segment and name not in _BELOW_ANOTHER)
    return {name.partition("[")[2].rstrip("]"): name for name in names}


def _line(mapping: Mapping[str, Any], line: Mapping[str, Any], logical_tables: Dictionary) -> FieldMapping:
    segment, table = str(_required(mapping, "hl7_segment")), str(_required(mapping, "target_table"))
    path, name = str(_required(line, "hl7")), str(_required(line, "db"))
    match = _FIELD.fullmatch(path)
    if not match or match[1] != segment:
        raise InvalidInput(
            f"hl7_processing: “{path}” is no field of {segment}; write it like {segment}.3", code="value"
        )
    fed = _fed_by(segment)
    if not fed:
        mapped = sorted({name.partition("[")[0] for name in tables().segments})
        raise InvalidInput(
            f"hl7_processing: segment {segment} has no map; mapped are {', '.join(mapped)}", code="not-supported"
        )
    column = logical_tables.column(table, name)
    made = FieldMapping(segment, int(match[2]), int(match[3] or 1), column, f"{table}.{name}")
    if column.fhir_type not in fed:
        raise InvalidInput(
            f"hl7_processing: {path} cannot feed {made.name}: {segment} becomes {' or '.join(fed)}, "
            f"the column stands on {column.fhir_type}",
            code="business-rule",
        )
    return made


def _map_of(line: FieldMapping) -> str:
    return _fed_by(line.segment)[line.column.fhir_type]


def _compiled(name: str, lines: tuple[FieldMapping, ...], maps: tuple[str, ...]) -> Program:
    found = tables()
    rows = list(found.segments[name])
    for line in lines:
        if _map_of(line) == name and (row := _row(line)) is not None:
            rows = [other for other in rows if other.field != line.field] + [row]
    try:
        return compile_segment(name, rows, found.taken(name, maps), found.lists)
    except MapError as error:
        raise InvalidInput(f"hl7_processing: {error}", code="business-rule") from None


_BY_TYPE = {
    "Identifier": "CX[Identifier]",
    "HumanName": "XPN[HumanName]",
    "Address": "XAD[Address]",
    "ContactPoint": "XTN[ContactPoint]",
    "CodeableConcept": "CWE[CodeableConcept]",
    "Coding": "CWE[Coding]",
    "code": "CWE[code]",
    "string": "ST[string]",
    "date": "DTM[date]",
    "dateTime": "DTM[dateTime]",
    "instant": "DTM[instant]",
    "boolean": "ID[boolean]",
    "integer": "NM[positiveInt]",
    "positiveInt": "NM[positiveInt]",
    "Annotation": "ST[Annotation]",
}
_VOCABULARIES = {
    "gender": "AdministrativeSex",
    "maritalStatus": "MaritalStatus",
    "interpretation": "InterpretationCodes",
}


def _row(line: FieldMapping) -> Row | None:
    """The row that writes the operator's column, or None where ours does so already. Raises InvalidInput."""
    column = line.column
    if column.derive:
        raise InvalidInput(
            f"hl7_processing: {line.name} is computed from other columns; map those", code="business-rule"
        )
    head, kind, rest = _path(column.path)
    ours = [row for row in tables().segments[_map_of(line)] if row.field == line.field]
    same = any(re.split(r"[.\[]", row.to)[0] == head for row in ours) or _by_rule(ours, head)
    if head == "identifier":
        return Row(line.field, "identifier[1]", converter=f"CX[Identifier-{kind}]" if kind else "CX[Identifier]")
    if same and line.component == 1:
        return None
    if head == "telecom":
        return Row(line.field, "telecom[1]", converter="XTN[ContactPoint]")
    if kind is not None and not kind.isdigit():
        raise InvalidInput(f"hl7_processing: {line.name} cannot be written by a field mapping", code="business-rule")
    converter = _BY_TYPE.get(column.datatype)
    if converter is None:
        raise InvalidInput(
            f"hl7_processing: {line.name} is of type {column.datatype}, which a single field cannot fill",
            code="business-rule",
        )
    if line.component > 1:
        converter = f"ST[component-{line.component}]"
    return Row(line.field, f"{head}{rest}", converter=converter, vocabulary=_VOCABULARIES.get(head, ""))


def _by_rule(ours: list[Row], head: str) -> bool:
    """Fields that a rule in code takes (`$observation`) and the element it writes."""
    written = {"value": "value", "status": "status", "class": "class", "location": "location", "unit": "valueQuantity"}
    return any(row.to.startswith("$") and written.get(row.converter) == head for row in ours)


def _path(path: str) -> tuple[str, str | None, str]:
    """(element, `[code]` behind it, the rest without indexes): `identifier[MR].value` → identifier, MR, .value."""
    match = re.fullmatch(r"(\w+)(?:\[([\w-]+)\])?((?:\.\w+(?:\[\w+\])?)*)", path)
    if not match:
        return path, None, ""
    return match[1], match[2], re.sub(r"\[\w+\]", "", match[3])
