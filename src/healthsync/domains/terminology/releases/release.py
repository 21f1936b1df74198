"""What a reader of published files makes: code systems, maps and value sets, given out as they are read.

Everything that can be long is an iterable that is gone through once, in the order of the fields; what is held at one
time is an index of displays at most, never a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from healthsync.domains.terminology.model import CodeSystem, Concept, ConceptMap, Designation, MapEntry


@dataclass(frozen=True, slots=True)
class PublishedSystem:
    """A code system: its concepts in order, then what their files tell apart from them.

    edges        (code, code above)
    designations (code, designation)
    """

    header: CodeSystem
    concepts: Iterable[Concept]
    edges: Iterable[tuple[str, str]] = ()
    designations: Iterable[tuple[str, Designation]] = ()


@dataclass(frozen=True, slots=True)
class PublishedMap:
    """A concept map with its lines. `applied`: what arrives is standardised by it."""

    header: ConceptMap
    entries: Iterable[MapEntry]
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """What one set of files holds. `version` is the publisher's."""

    version: str
    systems: Sequence[PublishedSystem] = ()
    maps: Sequence[PublishedMap] = ()
    value_sets: Iterable[Mapping[str, Any]] = field(default=())
