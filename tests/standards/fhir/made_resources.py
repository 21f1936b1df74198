"""Resources that hold a value of every element, and for each official search parameter what must find them.

What must be found is read from the parameter's own FHIRPath expression, by the FHIRPath engine: the index is compiled
from the same expressions in another way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.definitions import json_name, resource_types, search_parameters, structures, value_sets
from healthsync.standards.fhir.fhirpath.values import Node, root
from healthsync.standards.fhir.query_values import escape
from healthsync.standards.fhir.search_parameters import Parameter, definition, is_indexed

VARIANTS = 12
"""A choice element takes its types in turn, a reference its targets."""
DEEPEST = 5
UCUM = "http://unitsofmeasure.org"

PRIMITIVES: dict[str, Any] = {
    "boolean": True, "integer": 7, "positiveInt": 7, "unsignedInt": 7, "decimal": Decimal("7.5"), "date": "2021-03-04",
    "dateTime": "2021-03-04T05:06:07Z", "instant": "2021-03-04T05:06:07Z", "time": "05:06:07", "id": "an-id",
    "string": "Ein Text", "markdown": "Ein Text", "code": "a-code", "uri": "http://example.org/uri", "xhtml": "<div/>",
    "url": "http://example.org/url", "canonical": "http://example.org/canonical|1", "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid:4e1c2b4a-2f5e-4d53-9a30-0e6c0f7b1e3d", "base64Binary": "QUFB",
}  # fmt: skip


_LEFT_OUT = frozenset({"id", "extension", "modifierExtension", "contained", "implicitRules"})


class Question(NamedTuple):
    """A value that finds a resource by a parameter, and one that does not."""

    name: str
    right: str
    wrong: str


def made(resource_type: str) -> list[dict[str, Any]]:
    """Resources of a type that together hold a value of each type of each element."""
    return [
        {"resourceType": resource_type, "id": f"made{variant}", **_object(resource_type, variant, 0)}
        for variant in range(VARIANTS)
    ]


def official(resource_type: str) -> list[tuple[Parameter, str]]:
    """The official parameters of a type that ask for single values, with their expressions."""
    found = []
    for facts in search_parameters():
        parameter = definition(resource_type, facts["code"]) if resource_type in facts["base"] else None
        if parameter is not None and is_indexed(parameter) and parameter.type not in {"composite", "special"}:
            found.append((parameter, facts["expression"]))
    return found


def questions(resource: dict[str, Any]) -> Iterator[Question]:
    """What to ask of a made resource."""
    for parameter, expression in official(resource["resourceType"]):
        for node in _found_by_expression(resource, expression):
            for right, wrong in _of_node(parameter, node):
                yield Question(parameter.name, right, wrong)


def _object(content: str, variant: int, depth: int) -> dict[str, Any]:
    """A value of every element that a search parameter may look at."""
    root_type = content.partition(".")[0]
    made: dict[str, Any] = {}
    for name, facts in structures()[root_type]["elements"].get(content, {}).items():
        types = facts.get("types", ["BackboneElement"] if "like" in facts else [])
        if name in _LEFT_OUT or not types:
            continue
        kind = types[variant % len(types)]
        value = _value(f"{content}.{name.removesuffix('[x]')}", kind, facts, variant, depth)
        if value is not None:
            made[json_name(name, kind)] = [value] if facts.get("max") == "*" else value
    return made


def _value(path: str, kind: str, facts: dict[str, Any], variant: int, depth: int) -> Any:
    if kind in PRIMITIVES:
        codes = [code for each in value_sets().get(facts.get("codes", ""), {}).values() for code in each]
        return codes[variant % len(codes)] if codes and kind == "code" else PRIMITIVES[kind]
    if depth == DEEPEST or kind == "Extension":
        return None
    if kind == "Reference":
        targets = [each for each in facts.get("targets", ()) if each in resource_types()] or ["Patient", "Group"]
        return {"reference": f"{targets[variant % len(targets)]}/other"}
    if kind == "Resource":
        types = ["Composition", "MessageHeader"]
        return {"resourceType": types[variant % 2], "id": "inside"}
    if kind in {"BackboneElement", "Element"}:
        return _object(facts.get("like", path), variant, depth + 1)
    if kind in {"Quantity", "SimpleQuantity", "Age", "Duration", "Distance", "Count"}:
        return {"value": Decimal("7.5"), "system": UCUM, "code": "mg", "unit": "mg"}
    return _object(kind, variant, depth + 1) if kind in structures() else None


_TERM = re.compile(r"\s+\|\s+")


def _found_by_expression(resource: dict[str, Any], expression: str) -> list[Node]:
    """The nodes that the official expression yields of a resource; references resolve by their text."""
    resource_type = resource["resourceType"]
    found = []
    for term in _TERM.split(expression):
        first = re.match(r"\(?(\w+)", term)
        if first is not None and (first[1] == resource_type or first[1].islower()):
            evaluate = fhirpath.nodes(term)
            environment = fhirpath.Environment({"resource": root(resource)}, resolve=_target)
            found += [each for each in evaluate(fhirpath.Scope([root(resource)], environment)) if type(each) is Node]
    return found


def _target(reference: str) -> Node | None:
    kind = reference.partition("/")[0]
    return root({"resourceType": kind, "id": "other"}) if kind in resource_types() else None


_TIMES = frozenset({"date", "dateTime", "instant"})


def _of_node(parameter: Parameter, node: Node) -> Iterator[tuple[str, str]]:
    kind, value = parameter.type, node.value
    if isinstance(value, dict):
        yield from _of_object(parameter, node.type, value)
    elif kind == "date":
        if node.type in _TIMES:  # words or an age instead of a date are not found by one
            yield value, "1900-01-01"
    elif kind == "number":
        yield str(value), "99"
    elif kind == "string":
        yield escape(value, ",|$").upper(), "Nichts"
    elif kind in {"uri", "reference"}:
        yield escape(value, ","), "http://example.org/nothing"
    else:
        yield (escape(str(value), ",|$") if type(value) is not bool else str(value).lower()), "nothing"


def _of_object(parameter: Parameter, fhir_type: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    match parameter.type:
        case "token":
            for coding in value.get("coding", [value] if "code" in value else []):
                yield f"{escape(coding.get('system', ''), ',|$')}|{coding['code']}", "urn:nothing|nothing"
            if "value" in value and fhir_type in {"Identifier", "ContactPoint"}:
                yield escape(value["value"], ",|$"), "nothing"
        case "reference":
            place = value.get("reference") or f"{value.get('resourceType')}/{value.get('id')}"
            kind = place.partition("/")[0]
            if kind in (parameter.targets or resource_types()):
                yield place, f"{kind}/nobody"
        case "quantity" if "value" in value:
            yield str(value["value"]), "99"
        case "date" if fhir_type in {"Period", "Timing"}:
            yield "gt1900", "lt1800"
        case "string":
            for name in ("family", "city", "text"):
                if name in value:
                    yield escape(value[name], ",|$"), "Nichts"
