"""Where do the elements stand that a FHIRPath finds? Places, not values: a patch changes what stands there.

    find(patient, "Patient.name.where(use = 'official').given[0]")

The expression may be any FHIRPath that yields elements of the resource itself; computed values stand nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.definitions import json_name, structures

Json = dict[str, Any]

LONGEST_PATH = 1_000
_STEP = re.compile(r"(?P<name>[^.\[]+)(?:\[(?P<index>\d+)\])?")
_UNBOUNDED = re.compile(r"\b(?:matches|matchesFull|replaceMatches|repeat)\s*\(")
"""A regular expression of a stranger can run for years, and a recursion too."""


@dataclass(frozen=True, slots=True)
class Described:
    """A property as the definitions know it. `path` is where its own properties are described, "" for a primitive."""

    name: str
    path: str
    repeats: bool
    types: tuple[str, ...]
    """More than one for value[x], whose property has the type in its name (json.html#choice)."""

    @property
    def is_choice(self) -> bool:
        return self.name.endswith("[x]")

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties in JSON that may hold it."""
        return tuple(json_name(self.name, kind) for kind in self.types) if self.is_choice else (self.name,)

    def property_for(self, kind: str) -> str:
        """The property in JSON for a value of a type, written as properties spell it: `Quantity`, `DateTime`."""
        return self.name.removesuffix("[x]") + kind if self.is_choice else self.name


@dataclass(frozen=True, slots=True)
class Element:
    """An element and its place: property `name` of `holder`, item `index` of it when it repeats; the root has none."""

    value: Any
    path: str
    holder: Json | None = None
    name: str = ""
    index: int | None = None
    described: Described | None = None


def find(resource: Json, path: str) -> list[Element]:
    """The elements that a FHIRPath finds, in order.

    Raises InvalidInput (`value`, `not-supported`) for text that is no path, or one that is too long to be trusted.
    """
    if len(path) > LONGEST_PATH or _UNBOUNDED.search(path):
        raise InvalidInput(
            f"a path has {LONGEST_PATH} characters at most, no regular expression and no repeat()", code="not-supported"
        )
    places = fhirpath.locate(path)(resource)
    return [element for place in places if (element := _at(resource, place)) is not None]


def _at(resource: Json, place: str) -> Element | None:
    """The element at `Patient.name[0].given[1]`; None where it belongs to no element of the definitions."""
    element = Element(resource, resource["resourceType"])
    for step in _STEP.finditer(place.partition(".")[2]):
        known = described(element, step["name"])
        holder = _properties(element)
        name = next((each for each in known.properties if each in holder or f"_{each}" in holder), "") if known else ""
        if known is None or not name:
            return None
        index = int(step["index"]) if step["index"] is not None else None
        value = holder.get(name)
        value = value[index] if index is not None and value is not None else value
        path = known.path or next((kind for kind in known.types if json_name(known.name, kind) == name), "")
        if isinstance(value, dict) and "resourceType" in value:
            path = str(value["resourceType"])  # a contained resource is described by its own type
        element = Element(value, path or (known.types[0] if known.types else ""), holder, name, index, known)
    return element


def _properties(element: Element) -> Json:
    """The object with the properties of an element; those of a primitive stand beside it, in `_name`."""
    if isinstance(element.value, dict) or element.holder is None:
        return element.value
    beside = element.holder.get(f"_{element.name}")
    if isinstance(beside, list) and element.index is not None:
        beside = beside[element.index] if element.index < len(beside) else None
    return beside if isinstance(beside, dict) else {}


def properties(element: Element) -> Json:
    """The object with the properties of an element, to be changed; a primitive gets one when it has none yet."""
    found = _properties(element)
    if not found and not isinstance(element.value, dict) and element.holder is not None:
        if element.index is None:
            return element.holder.setdefault(f"_{element.name}", found)
        beside = element.holder.setdefault(f"_{element.name}", [])
        beside.extend([None] * (element.index + 1 - len(beside)))
        beside[element.index] = found
    return found


def described(parent: Element, name: str) -> Described | None:
    """A property of an element, by its name in FHIRPath (`value`) or JSON (`valueQuantity`); None for an unknown."""
    return property_of(parent.path, name) or (None if isinstance(parent.value, dict) else property_of("Element", name))


@lru_cache(4096)
def property_of(path: str, name: str) -> Described | None:
    """As `described`, for any element whose properties are described at `path`."""
    structure = structures().get(path.partition(".")[0])
    elements: Json = structure["elements"].get(path, {}) if structure else {}
    for element in (name, f"{name}[x]"):
        if element in elements:
            return _described(path, element, elements[element])
    for element, facts in elements.items():
        if element.endswith("[x]") and name in [json_name(element, kind) for kind in facts["types"]]:
            return _described(path, element, facts)
    return None


def _described(path: str, element: str, facts: Json) -> Described:
    types = tuple(facts.get("types", ()))
    own = facts.get("like") or f"{path}.{element}"
    if own not in structures().get(path.partition(".")[0], {"elements": {}})["elements"]:
        own = types[0] if len(types) == 1 and types[0] in structures() else ""
    return Described(element, own, facts.get("max") == "*", types)
