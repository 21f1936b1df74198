"""Extensible bindings of R4 (terminologies.html#extensible): a code from elsewhere is right only if none of the value
set fits, which nobody but the author can know; so they are warnings. Value sets that cannot be listed are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.definitions import structures, value_sets
from healthsync.standards.fhir.fhirpath.values import Node, children, member
from healthsync.standards.fhir.outcome import Issue

Systems = dict[str, list[str]]


class _Binding(NamedTuple):
    element: str
    url: str
    systems: Systems


def warnings(resource: dict[str, Any], path: str) -> Iterator[Issue]:
    """One for each coded element that has no code of its extensible value set."""
    yield from _below(fhirpath.root(resource), path, resource["resourceType"])


def _below(node: Node, path: str, type_: str) -> Iterator[Issue]:
    for binding in _bindings(node.type):
        for item in member(node, binding.element):
            if not has_code(item, binding.systems):
                told = f"a code should come from {binding.url}, unless none of it fits"
                yield Issue("warning", "code-invalid", path + item.place.removeprefix(type_), told)
    for child in children(node):
        if type(child.value) is dict and "resourceType" not in child.value:
            yield from _below(child, path, type_)


def has_code(item: Node, systems: Systems) -> bool:
    """Does a code, Coding, CodeableConcept or Quantity have a code of the value set? What is no coded type passes."""
    value = item.value
    if type(value) is str:
        return any(value in codes for codes in systems.values())
    if type(value) is not dict:
        return True
    codings = value.get("coding", ()) if item.type == "CodeableConcept" else [value]
    return any(coding.get("code") in systems.get(coding.get("system", ""), ()) for coding in codings)


@cache
def _bindings(content: str) -> tuple[_Binding, ...]:
    if content.partition(".")[0] not in structures():
        return ()
    facts = structures()[content.partition(".")[0]]["elements"].get(content, {})
    return tuple(
        _Binding(name.removesuffix("[x]"), fact["extensible"], value_sets()[fact["extensible"]])
        for name, fact in facts.items()
        if fact.get("extensible") in value_sets()
    )
