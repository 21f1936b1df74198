"""The mapping tables: the guide's rows with our overrides laid over them, read once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from healthsync.shipped import shipped_yaml

_DATA = files("healthsync.standards.maps").joinpath("data")

Concept = tuple[str, str, str, str]
"""v2 table (`HL70001`), FHIR code, FHIR display, FHIR system."""


ONE_MAP_AT_A_TIME = frozenset({"ORC", "TQ1", "RXR"})
"""Segments that become one thing at a time: the ORC of a test is no prescription."""


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
    """What a trigger event says about the visit: see `events` in overrides/admissions.yaml.

    Without anything said (the default), the visit is told in passing, as by a result: it does not change its status.
    """

    status: str | None = None
    from_class: bool = True
    unless: tuple[str, ...] = ("*",)
    admits: bool = False
    moves: bool = False
    moves_back: bool = False
    ends: bool = False
    reopens: bool = False
    person_only: bool = False
    departs: bool = False
    leave: str = ""
    cancels: tuple[str, ...] = ()
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class Renumbering:
    """What an event with MRG, or with two PID, says about numbers: see `renumberings` in overrides/admissions.yaml."""

    merges: tuple[str, ...] = ()
    moves: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """What an event of SIU says of the appointment: see `bookings` in overrides/scheduling.yaml."""

    status: str = ""
    takes_out: bool = False
    one_by_one: bool = False
    slot: str = ""


@dataclass(frozen=True, slots=True)
class DocumentEvent:
    """What a trigger event of MDM says of the document: see `document_events` in overrides/documents.yaml."""

    relates: str = ""
    cancels: bool = False


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
    renumberings: Mapping[str, Renumbering]
    bookings: Mapping[str, Booking]
    billings: Mapping[str, str]
    """Events of BAR → Account.status, or empty where they do not change it."""
    patterns: Mapping[str, tuple[int, int, str]]
    """Repeat patterns (table 0335) → how often in which time; 0 where only the code says it."""
    mdc_units: Mapping[str, str]
    """Names and codes of MDC dimensions (ISO/IEEE 11073-10101) → UCUM."""
    vaccine_observations: Mapping[str, str]
    document_events: Mapping[str, DocumentEvent]
    master_file_events: Mapping[str, bool | None]
    """Record-level events of master files (table 0180) → whether the entry is active; None where they do not say."""

    def taken(self, name: str, maps: Iterable[str]) -> frozenset[int]:
        """The fields of a map's segment that a rule or one of these maps takes, which are read together with it."""
        segment = name.partition("[")[0]
        if segment in ONE_MAP_AT_A_TIME:
            maps = (name,)
        rows = (row for name in maps if name.partition("[")[0] == segment for row in self.segments[name])
        return self.consumed.get(segment, frozenset()) | {row.field for row in rows}


@cache
def tables() -> Tables:
    """The shipped tables."""
    guide = json.loads(_DATA.joinpath("v2_to_fhir.json").read_text(encoding="utf-8"))
    ours = _overrides()
    return Tables(
        segments={
            name: _merged(name, guide["segments"].get(name, ()), rows) for name, rows in ours["segments"].items()
        },
        consumed={name: frozenset(fields) for name, fields in ours["consumed"].items()},
        lists={name: frozenset(paths) for name, paths in ours["lists"].items()},
        concepts=_concepts(guide["concepts"], ours["concepts"]),
        systems=ours["systems"],
        categories={code: category for category, codes in ours["categories"].items() for code in codes},
        vital_signs=frozenset(ours["vital_signs"]),
        contact_only=frozenset(ours["contact_only"]),
        events={name: _event(entry) for name, entry in ours["events"].items()},
        renumberings={name: _renumbering(entry) for name, entry in ours["renumberings"].items()},
        billings={name: entry["status"] for name, entry in ours["billings"].items()},
        bookings={name: Booking(**_but_section(entry)) for name, entry in ours["bookings"].items()},
        patterns={name: tuple(row) for name, row in ours["patterns"].items()},
        mdc_units={str(name): unit for name, unit in ours["mdc_units"].items()},
        vaccine_observations=ours["vaccine_observations"],
        document_events={
            name: DocumentEvent(entry.get("relates", ""), entry.get("cancels", False))
            for name, entry in ours["document_events"].items()
        },
        master_file_events={name: entry.get("active") for name, entry in ours["master_file_events"].items()},
    )


@cache
def reasons() -> Mapping[tuple[str, int], str]:
    """(map, field) → why we map it otherwise than the guide, or where the guide leaves it open."""
    return {
        (name, int(source.partition("-")[2])): entry["because"]
        for name, fields in _overrides()["segments"].items()
        for source, entry in fields.items()
    }


def _overrides() -> dict[str, Any]:
    """The files of `data/overrides` as one: no two of them tell the same thing."""
    ours: dict[str, Any] = {}
    for name in sorted(file.name for file in _DATA.joinpath("overrides").iterdir()):
        for section, told in shipped_yaml("healthsync.standards.maps", f"data/overrides/{name}").items():
            known = ours.setdefault(section, type(told)())
            if isinstance(told, list):
                known += told
            elif section == "lists":
                known.update({name: [*known.get(name, ()), *paths] for name, paths in told.items()})
            elif twice := known.keys() & told.keys():
                raise ValueError(f"{name}: {section} is told twice for {', '.join(sorted(twice))}")
            else:
                known.update(told)
    return ours


def _event(entry: Mapping[str, Any]) -> Event:
    told = _but_section(entry)
    lists = {key: tuple(told.get(key, ())) for key in ("unless", "cancels")}
    return Event(**{"from_class": False, **told, **lists})


def _but_section(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of a table says, without the section of the standard that says so."""
    return {key: value for key, value in entry.items() if key != "section"}


def _renumbering(entry: Mapping[str, Any]) -> Renumbering:
    return Renumbering(tuple(entry.get("merges", ())), entry.get("moves", ""), entry.get("link", ""))


def _concepts(guide: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, dict[str, Concept]]:
    names = {*guide, *ours}
    return {
        name: {code: tuple(row) for code, row in {**guide.get(name, {}), **ours.get(name, {})}.items()}
        for name in names
    }


def _merged(name: str, guide: Sequence[dict[str, str]], overrides: Mapping[str, Any]) -> tuple[Row, ...]:
    """The guide's rows, those of an overridden field replaced. Rows for the segment as a whole belong to code."""
    segment = name.partition("[")[0]
    rows = []
    seen: set[str] = set()
    for entry in guide:
        source = entry.get("from", segment)
        if source == segment or source in seen:
            continue
        if source in overrides:
            seen.add(source)
            rows += [_row(source, row) for row in overrides[source]["rows"]]
        else:
            rows.append(_row(source, entry))
    extra = [source for source in overrides if source not in {entry.get("from") for entry in guide}]
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
