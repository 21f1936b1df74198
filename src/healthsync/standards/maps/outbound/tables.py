"""The tables of outbound messages (`data/fhir_to_v2.yaml`), read once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from healthsync.errors import InvalidInput, NotSupported
from healthsync.shipped import shipped_yaml
from healthsync.standards.maps.outbound.paths import Path, parse
from healthsync.standards.maps.tables import tables as inbound_tables

VERSIONS = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8")
Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's value comes from: a constant (with a path: where that says something), the number of the segment,
    or a path read as a v2 data type."""

    path: Path | None = None
    converter: str = ""
    vocabulary: str = ""
    constant: str | list[Any] | None = None
    counts: str = ""
    """`$set` or `$place`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a segment: the first source that says something fills it."""

    field: int
    sources: tuple[Source, ...]
    also: tuple[Source, ...] = ()
    """What is said besides, as further repetitions."""
    otherwise: tuple[Source, ...] = ()
    """What is said in another segment too, so that this one need not be written for it."""
    since: Version = ()
    until: Version = (99,)


@dataclass(frozen=True, slots=True)
class SegmentMap:
    """`PID[Patient]`: the segment and what it is written from; `OBX[sheet/published]` is another one from the same."""

    segment: str
    subject: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Segments repeated for every value of a path; inside, `name` stands for the value."""

    each: str
    path: Path | None
    name: str
    parts: tuple[SegmentMap | Group, ...]


@dataclass(frozen=True, slots=True)
class MessageMap:
    """One message type: MSH-9.3, the types of resource it may be about, and its segments in order."""

    type: str
    structure: str
    about: tuple[str, ...]
    parts: tuple[SegmentMap | Group, ...]
    since: Version
    until: Version
    needs: tuple[str, ...] = ()
    """Segments without which it is no such message."""
    refuses: frozenset[str] = frozenset()
    """States of the resource that it would tell as something else."""
    takes_back: frozenset[str] = frozenset()
    """States that take back what was told before: not of a resource that is new."""


@dataclass(frozen=True, slots=True)
class OutboundTables:
    """Everything that the builder is driven by; `codes` by concept map: FHIR code → (v2 table, v2 code); `single` are
    fields (`PID-7`) that do not repeat; `required` those without which a segment is not written."""

    messages: Mapping[str, MessageMap]
    single: frozenset[str]
    required: Mapping[str, Sequence[int]]
    codes: Mapping[str, Mapping[str, tuple[str, str]]]
    systems: Mapping[str, str]


def version_number(text: str) -> Version:
    """`2.5.1` as (2, 5, 1). Raises InvalidInput for what is no version of HL7 v2 that is written here."""
    if text not in VERSIONS:
        raise InvalidInput(
            f"“{text}” is no version of HL7 v2 that is written here: {', '.join(VERSIONS)}", code="value"
        )
    return tuple(map(int, text.split(".")))


def known_types() -> tuple[str, ...]:
    """The message types that can be built."""
    return tuple(outbound_tables().messages)


def message_map(message_type: str) -> MessageMap:
    """The map of a message type. Raises NotSupported that names those there are."""
    try:
        return outbound_tables().messages[message_type]
    except KeyError:
        raise NotSupported(f"no map builds {message_type}; there are {', '.join(known_types())}") from None


def require_version(message_type: str, version: str) -> None:
    """Raises InvalidInput when the version of HL7 v2 does not have the message type."""
    found, number = message_map(message_type), version_number(version)
    if not found.since <= number < found.until:
        raise InvalidInput(f"HL7 v{version} has no {message_type}; choose another version or message", code="value")


@cache
def outbound_tables() -> OutboundTables:
    """The shipped tables."""
    document = shipped_yaml("healthsync.standards.maps", "data/fhir_to_v2.yaml")
    segments = {name: _segment(name, lines) for name, lines in document["segments"].items()}
    return OutboundTables(
        {name: _message(name, entry, segments) for name, entry in document["messages"].items()},
        frozenset(f"{segment}-{field}" for segment, fields in document["single"].items() for field in fields),
        document["required"],
        _codes(document["concepts"], document["prefer"]["concepts"]),
        _systems(document["prefer"]["systems"]),
    )


def _message(name: str, entry: Mapping[str, Any], segments: Mapping[str, SegmentMap]) -> MessageMap:
    return MessageMap(
        name,
        entry["structure"],
        tuple(entry["about"]),
        _parts(entry["segments"], segments),
        _version(entry.get("since", "2.3")),
        _version(entry.get("until", "99")),
        tuple(entry["needs"]),
        frozenset(entry.get("refuses", ())),
        frozenset(entry.get("takes_back", ())),
    )


def _parts(entries: Sequence[Any], segments: Mapping[str, SegmentMap]) -> tuple[SegmentMap | Group, ...]:
    return tuple(segments[entry] if isinstance(entry, str) else _group(entry, segments) for entry in entries)


def _group(entry: Mapping[str, Any], segments: Mapping[str, SegmentMap]) -> Group:
    each = entry["each"]
    name = entry.get("as") or re.split(r"->|\$", each)[-1]
    return Group(each, None if each.startswith("$") else parse(each), name, _parts(entry["write"], segments))


def _segment(name: str, lines: Mapping[int, Any]) -> SegmentMap:
    segment, _, subject = name.partition("[")
    subject, _, _variant = subject.rstrip("]").partition("/")
    return SegmentMap(segment, subject, tuple(_line(field, entry) for field, entry in lines.items()))


def _line(field: int, entry: Any) -> Line:
    bounds = entry if isinstance(entry, dict) else {}
    sources = bounds.get("from", entry)
    texts = sources if isinstance(sources, list) else [sources]
    also, otherwise = ((_source(bounds[name]),) if name in bounds else () for name in ("also", "else"))
    since, until = _version(bounds.get("since", "2")), _version(bounds.get("until", "99"))
    return Line(field, tuple(map(_source, texts)), also, otherwise, since, until)


_SOURCE = re.compile(
    r"""(?:(?P<path>\S+)\ as\ )?(?:"(?P<constant>[^"]+)"|(?P<converter>[\w-]+)(?:\((?P<vocabulary>.+)\))?)""",
    re.VERBOSE,
)


@lru_cache(maxsize=1024)
def _source(text: str) -> Source:
    if text.startswith("$"):
        return Source(counts=text)
    match = _SOURCE.fullmatch(text)
    if match is None or not (match["path"] or match["constant"]):
        raise ValueError(f"fhir_to_v2.yaml: “{text}” is no source of a field")
    path = None if match["path"] is None else Path(()) if match["path"] == "." else parse(match["path"])
    told = match["constant"]
    constant = told.split("^") if told and "^" in told else told
    return Source(path, match["converter"] or "", match["vocabulary"] or "", constant)


def _version(text: Any) -> Version:
    return tuple(int(part) for part in str(text).split("."))


def _codes(
    ours: Mapping[str, Mapping[str, Sequence[str]]], preferred: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, tuple[str, str]]]:
    """The inbound concept maps read backwards: of several v2 codes the preferred, else the first."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for name, concepts in inbound_tables().concepts.items():
        codes = found[name] = {}
        for sent, (table, code, _display, _system) in concepts.items():
            codes.setdefault(code, (table, sent))
        table = next((row[0] for row in concepts.values()), "")
        codes.update({code: (table, str(sent)) for code, sent in preferred.get(name, {}).items()})
    found.update({name: {code: (row[0], row[1]) for code, row in rows.items()} for name, rows in ours.items()})
    return found


def _systems(preferred: Mapping[str, str]) -> dict[str, str]:
    """Addresses → names of table 0396: the preferred one, else the first that is no OID."""
    systems: dict[str, str] = {}
    for name, address in inbound_tables().systems.items():
        if not name[0].isdigit():
            systems.setdefault(address, name)
    return {**systems, **preferred}
