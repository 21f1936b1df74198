"""The mapping tables: the guide's rows with our overrides laid over them, read once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Concept = tuple[str, str, str, str]
"""v2 table (`HL70001`), FHIR code, FHIR display, FHIR system."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a segment map: from a field to a place in the resource.

    `to` starts with `$` where a rule in code takes the field (the row then only says that it is taken).
    """

    field: int
    to: str
    when: str = ""
    converter: str = ""
    vocabulary: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What a trigger event says about the visit: see `events` in overrides.yaml."""

    status: str | None = None
    from_class: bool = False
    unless: tuple[str, ...] = ()
    admits: bool = False
    moves: bool = False
    moves_back: bool = False
    ends: bool = False
    reopens: bool = False
    person_only: bool = False


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything the engine is driven by. `segments` by map name (`PID[Patient]`)."""

    segments: Mapping[str, tuple[Row, ...]]
    consumed: Mapping[str, frozenset[int]]
    lists: Mapping[str, frozenset[str]]
    concepts: Mapping[str, Mapping[str, Concept]]
    systems: Mapping[str, str]
    categories: Mapping[str, str]
    vital_signs: frozenset[str]
    contact_only: frozenset[str]
    events: Mapping[str, Event]
    merges: frozenset[str]

    def taken(self, segment: str) -> frozenset[int]:
        """The fields of a segment that some map or rule takes."""
        rows = (row for name, rows in self.segments.items() if name.startswith(f"{segment}[") for row in rows)
        return self.consumed.get(segment, frozenset()) | {row.field for row in rows}


@cache
def tables() -> Tables:
    """The shipped tables."""
    guide = json.loads(_text("v2_to_fhir.json"))
    ours = yaml.load(_text("overrides.yaml"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    return Tables(
        segments={
            name: _merged(name, rows, ours["segments"].get(name, {})) for name, rows in guide["segments"].items()
        },
        consumed={name: frozenset(fields) for name, fields in ours["consumed"].items()},
        lists={name: frozenset(paths) for name, paths in ours["lists"].items()},
        concepts=_concepts(guide["concepts"], ours["concepts"]),
        systems=ours["systems"],
        categories={code: category for category, codes in ours["categories"].items() for code in codes},
        vital_signs=frozenset(ours["vital_signs"]),
        contact_only=frozenset(ours["contact_only"]),
        events={name: _event(entry) for name, entry in ours["events"].items()},
        merges=frozenset(ours["merges"]),
    )


def _text(name: str) -> str:
    return files("healthsync.standards.maps").joinpath("data", name).read_text(encoding="utf-8")


def _event(entry: Mapping[str, Any]) -> Event:
    told: dict[str, Any] = {key: value for key, value in entry.items() if key != "section"}
    told["unless"] = tuple(told["unless"])
    return Event(**told)


def _concepts(guide: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, dict[str, Concept]]:
    names = {*guide, *ours}
    return {
        name: {code: tuple(row) for code, row in {**guide.get(name, {}), **ours.get(name, {})}.items()}
        for name in names
    }


def _merged(name: str, guide: list[dict[str, str]], overrides: Mapping[str, Any]) -> tuple[Row, ...]:
    """The guide's rows, those of an overridden field replaced. Rows for the segment as a whole belong to code."""
    segment = name.partition("[")[0]
    rows = []
    seen: set[str] = set()
    for entry in guide:
        source = entry["from"]
        if source == segment or source in seen:
            continue
        if source in overrides:
            seen.add(source)
            rows += [_row(source, row) for row in overrides[source]["rows"]]
        else:
            rows.append(_row(source, entry))
    extra = [source for source in overrides if source not in {entry["from"] for entry in guide}]
    rows += [_row(source, row) for source in extra for row in overrides[source]["rows"]]
    return tuple(rows)


def _row(source: str, entry: Mapping[str, str]) -> Row:
    """`location[1].location(Location)` means a reference to what the converter made; NK1[Patient] is below contact."""
    return Row(
        field=int(source.partition("-")[2]),
        to=re.sub(r"\(\w+\)$", "", entry["to"]).removeprefix("contact."),
        when=entry.get("when", ""),
        converter=entry.get("with", ""),
        vocabulary=entry.get("vocabulary", ""),
        value=entry.get("value", "").strip('" '),
    )
