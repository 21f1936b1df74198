"""Is a code in a value set? Answered as far as the code systems are at hand (valueset.html#compositions).

A value set is compiled to what each code system contributes. Where a filter needs a terminology that is not loaded
(SNOMED CT, RxNorm), membership of that system's codes is unknown; codes of any other system are certainly not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from healthsync.standards.fhir.fhirpath import Node
from healthsync.standards.fhir.profiles.library import Library

DEEPEST = 20
"""Value sets that may import each other in a chain."""


@dataclass(slots=True)
class Codes:
    """System -> its codes in the value set; `unknown` are the systems of which that cannot be said."""

    listed: dict[str, set[str]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    is_open: bool = False
    """A part of the value set is not at hand at all, so that nothing can be ruled out."""

    def has(self, system: str | None, code: str | None) -> bool | None:
        """None when it cannot be said. A code without system (of the type code) is looked for in all of them."""
        if system is None:
            if any(code in codes for codes in self.listed.values()):
                return True
            return None if self.is_open or self.unknown else False
        if code in self.listed.get(system, ()):
            return True
        return None if self.is_open or system in self.unknown else False

    def add(self, other: Codes) -> None:
        """The union."""
        for system, codes in other.listed.items():
            self.listed.setdefault(system, set()).update(codes)
        self.unknown |= other.unknown
        self.is_open |= other.is_open

    def remove(self, other: Codes) -> None:
        """What is excluded; an exclusion that is not known makes unknown."""
        for system, codes in other.listed.items():
            self.listed.get(system, set()).difference_update(codes)
        for system in other.unknown:
            if self.listed.pop(system, None) is not None:
                self.unknown.add(system)


def coded(codes: Codes, item: Node) -> bool | None:
    """Does a code, string, uri, Coding, CodeableConcept or Quantity have a code of the value set?"""
    value = item.value
    if type(value) is str:
        return codes.has(None, value)
    if type(value) is not dict:
        return True
    codings = value.get("coding", ()) if item.type == "CodeableConcept" else [value]
    answers = [codes.has(coding.get("system", ""), coding["code"]) for coding in codings if "code" in coding]
    return True if True in answers else None if None in answers else False


def compiled(library: Library, url: str, depth: int = 0) -> Codes:
    """The codes of a value set as far as they are at hand."""
    resource = library.terminology("ValueSet", url)
    if resource is None or depth > DEEPEST:
        return Codes(is_open=True)
    compose = resource.get("compose")
    if compose is None:
        return _of_expansion(resource)
    codes = Codes()
    for include in compose.get("include", ()):
        codes.add(_of_part(library, include, depth))
    for exclude in compose.get("exclude", ()):
        codes.remove(_of_part(library, exclude, depth))
    return codes


def _of_expansion(resource: dict[str, Any]) -> Codes:
    codes = Codes(is_open="expansion" not in resource)
    for concept in _flat(resource.get("expansion", {}).get("contains", ()), "contains"):
        if "code" in concept and not concept.get("abstract"):
            codes.listed.setdefault(concept.get("system", ""), set()).add(concept["code"])
    return codes


def _of_part(library: Library, part: dict[str, Any], depth: int) -> Codes:
    """One include or exclude: what the system contributes and all the imported value sets hold (an intersection)."""
    pieces = [compiled(library, url, depth + 1) for url in part.get("valueSet", ())]
    if "system" in part:
        pieces.insert(0, _of_system(library, part))
    if len(pieces) == 1:
        return pieces[0]
    return _intersection(pieces)


def _intersection(pieces: list[Codes]) -> Codes:
    systems = {system for piece in pieces for system in (*piece.listed, *piece.unknown)}
    found = Codes(is_open=any(piece.is_open for piece in pieces))
    for system in systems:
        if any(piece.is_open or system in piece.unknown for piece in pieces):
            found.unknown.add(system)
        else:
            found.listed[system] = set.intersection(*(piece.listed.get(system, set()) for piece in pieces))
    return found


def _of_system(library: Library, part: dict[str, Any]) -> Codes:
    system = part["system"]
    if "concept" in part:
        return Codes({system: {concept["code"] for concept in part["concept"] if "code" in concept}})
    resource = library.terminology("CodeSystem", system) or {}
    if resource.get("content") != "complete":
        return Codes(unknown={system})
    concepts = list(_flat(resource.get("concept", ()), "concept"))
    chosen = {concept["code"] for concept in concepts if "code" in concept}
    for condition in part.get("filter", ()):
        kept = _filtered(resource, concepts, condition)
        if kept is None:
            return Codes(unknown={system})
        chosen &= kept
    return Codes({system: chosen})


def _filtered(resource: dict[str, Any], concepts: list[dict[str, Any]], condition: dict[str, Any]) -> set[str] | None:
    """The codes that a filter lets pass; None for one that is not understood here."""
    operator, value = condition.get("op"), condition.get("value", "")
    if condition.get("property") not in {"concept", "code"} or resource.get("hierarchyMeaning", "is-a") != "is-a":
        return None
    below = _Hierarchy(concepts).below
    known: dict[str, Callable[[], set[str]]] = {
        "is-a": lambda: {value, *below(value)},
        "descendent-of": lambda: below(value),
        "=": lambda: {value},
        "in": lambda: set(value.split(",")),
    }
    return known[operator]() if operator in known else None


class _Hierarchy:
    """Nesting, and the properties `parent` and `subsumedBy` that HL7's v3 code systems use."""

    def __init__(self, concepts: list[dict[str, Any]]) -> None:
        self._children: dict[str, set[str]] = {}
        for concept in concepts:
            for child in concept.get("concept", ()):
                self._children.setdefault(concept["code"], set()).add(child["code"])
            for fact in concept.get("property", ()):
                if fact.get("code") in {"parent", "subsumedBy"} and "valueCode" in fact:
                    self._children.setdefault(fact["valueCode"], set()).add(concept["code"])

    def below(self, code: str) -> set[str]:
        found: set[str] = set()
        pending = [code]
        while pending:
            new = self._children.get(pending.pop(), set()) - found
            found |= new
            pending += new
        return found


def _flat(concepts: Iterable[dict[str, Any]], children: str) -> Iterator[dict[str, Any]]:
    for concept in concepts:
        yield concept
        yield from _flat(concept.get(children, ()), children)
