"""What is a code in another system? The lines of concept maps decide (conceptmap-operation-translate.html). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from healthsync.domains.terminology.model import Coding, CompiledConceptMap, ConceptMap, MapEntry, Match, Unmapped


@dataclass(frozen=True, slots=True)
class MapInUse:
    """A concept map that a translation looks at, with its lines: in tables under `key`, or in `entries`."""

    header: ConceptMap
    key: int | None
    entries: tuple[MapEntry, ...] = ()

    @classmethod
    def of(cls, compiled: CompiledConceptMap) -> MapInUse:
        """A map that is held in memory."""
        return cls(compiled.header, None, compiled.entries)

    def is_between(self, source: str | None, target: str | None) -> bool:
        """Whether it is from one value set to the other; None is any."""
        return source in (None, self.header.source) and target in (None, self.header.target)


_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}
_NO_MATCH = frozenset({"unmatched", "disjoint"})


def matches(
    entries: Iterable[tuple[ConceptMap, MapEntry]],
    dependencies: Mapping[str, str],
    target_system: str | None,
    *,
    reverse: bool,
) -> list[Match]:
    """A match for each line that applies: its dependencies are given and its target is of the system asked for."""
    found: list[Match] = []
    for header, entry in entries:
        if any(dependencies.get(name) != value for name, value in entry.depends_on):
            continue
        target = Coding(entry.source_system, entry.source_code) if reverse else entry.target
        if target_system is not None and target is not None and target.system != target_system:
            continue
        equivalence = _REVERSED.get(entry.equivalence, entry.equivalence) if reverse else entry.equivalence
        found.append(Match(equivalence, target, header.url, entry.comment, () if reverse else entry.products))
    return found


def unmapped(header: ConceptMap, coding: Coding, own: Iterable[MapEntry], target_system: str | None) -> list[Match]:
    """What the groups of a map say of a code that they do not list; `own` are the lines that the map has for it."""
    listed = {(entry.source_system, entry.target.system if entry.target else None) for entry in own}
    return [
        _fallback(header, group, coding)
        for group in header.unmapped
        if group.mode in ("provided", "fixed")
        and group.source_system in (None, coding.system)
        and target_system in (None, group.target_system)
        and listed.isdisjoint({(group.source_system, group.target_system), (group.source_system, None)})
    ]


def _fallback(header: ConceptMap, group: Unmapped, coding: Coding) -> Match:
    if group.mode == "provided":
        return Match("equal", Coding(group.target_system, coding.code, coding.display), header.url)
    return Match("inexact", Coding(group.target_system, group.code or "", group.display), header.url)


def is_real(match: Match) -> bool:
    """Whether a match says that there is an equivalent, not that there is none."""
    return match.equivalence not in _NO_MATCH
