"""A stricter JSON Schema of a resource type: what it accepts breaks no invariant, so that nobody has to walk it.

It is the schema of `schema`, less everything that an invariant might have to say something about and that JSON Schema
cannot judge. So it refuses much that is valid: extensions inside extensions, ids of elements, timings, references to
other servers. A refusal means nothing but that the walk (`invariants`) has to look. Left to `invariants.plainly_holds`
are the root, its narrative, its contained resources and the order of periods.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from healthsync.standards.fhir import constraints, definitions
from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, resource_types
from healthsync.standards.fhir.schema import PRIMITIVE_SCHEMAS, Schema, content_of, elements, resource_schema

RULES: dict[str, Schema] = {
    "Attachment": {"dependentRequired": {"data": ["contentType"]}},
    "CarePlan.activity": {"not": {"required": ["detail", "reference"]}},
    "CareTeam.participant": {"not": {"required": ["onBehalfOf"]}},
    "ContactPoint": {"dependentRequired": {"value": ["system"]}},
    "Goal.target": {"required": ["measure"]},
    "Observation.referenceRange": {"anyOf": [{"required": [name]} for name in ("low", "high", "text")]},
    "Patient.contact": {
        "anyOf": [{"required": [name]} for name in ("name", "telecom", "address", "organization")],
    },
    "Period": {},
    "Quantity": {"dependentRequired": {"code": ["system"]}},
    "Timing.repeat": {
        "propertyNames": {"enum": ["frequency", "period", "periodUnit"]},
        "dependentRequired": {"period": ["periodUnit"]},
        "dependentSchemas": {"period": {"properties": {"period": {"minimum": 0}}}},
    },
}
"""What holds where the invariants of a type or backbone element do; often more than they demand."""

_SIMPLE_QUANTITY = "sqty-1"
"""Has no comparator."""
_USUAL_VALUES = (
    "boolean", "code", "CodeableConcept", "Coding", "date", "dateTime", "decimal", "Identifier", "integer", "Period",
    "Quantity", "Reference", "string", "uri",
)  # fmt: skip
_OF_THE_ROOT = frozenset({"resourceType", "id", "text", "contained"})
_ID = "[A-Za-z0-9.-]+"
"""A longer one than an id may be is no fault of the reference; and the bound would cost most of the compiling."""


def screen_schema(resource_type: str, judged: Collection[str]) -> Schema:
    """The schema of a resource type. `judged` are the types and backbone elements that `invariants` has rules for."""
    plain = resource_schema(resource_type)
    references: Schema = {}
    strict: Schema = {}
    for content, known in plain["$defs"].items():
        if content in PRIMITIVES:
            strict[content] = known
        elif content == resource_type:
            strict[content] = _root(content, known, references)
        elif content == "Extension":
            strict[content] = _extension(known, references)
        else:
            strict[content] = _part(content, known, judged, references)
    strict |= {each["title"]: each for each in references.values()}
    return {**plain, "$defs": _reached(strict, resource_type)}


def _root(resource_type: str, plain: Schema, references: Schema) -> Schema:
    others = {name: schema for name, schema in plain["properties"].items() if name in _OF_THE_ROOT}
    return {**plain, "properties": _properties(resource_type, plain, references) | others}


def _part(content: str, plain: Schema, judged: Collection[str], references: Schema) -> Schema | bool:
    rules = constraints.of(content)
    has_others = content in judged or any(rule.key != _SIMPLE_QUANTITY for rule in rules)
    if has_others and content not in RULES:
        return False
    properties = _properties(content, plain, references)
    for rule in rules:
        for name in rule.properties & properties.keys():
            one = "$ref" in properties[name]
            properties[name] = {"allOf": [properties[name], {"properties": {"comparator": False}}]} if one else False
    return {**plain, **RULES.get(content, {}), "properties": properties}


def _properties(content: str, plain: Schema, references: Schema) -> Schema:
    """The properties that may be judged without a walk."""
    properties: Schema = {}
    for name, facts in elements(content).items():
        for kind in facts.get("types", ("",)):
            target, property_ = content_of(content, name, facts, kind), json_name(name, kind)
            if property_ in {"id", "modifierExtension"} or target in {"Narrative", "Resource"}:
                continue
            value = plain["properties"][property_]
            if kind == "Reference":
                value = _to(tuple(facts.get("targets", ())), references)
                value = {"type": "array", "minItems": 1, "items": value} if "max" in facts else value
            properties[property_] = value
    return properties


def _to(targets: tuple[str, ...], references: Schema) -> Schema:
    """A Reference to one of some types, or any: in this server, of this bundle, contained, or logical."""
    name = references.setdefault("|".join(targets), {"title": f"Reference-{len(references)}"})["title"]
    literal = rf"(?:{'|'.join(targets or sorted(resource_types()))})/{_ID}(?:/_history/{_ID})?"
    references["|".join(targets)] |= {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "reference": {"type": "string", "pattern": f"^(?:{literal}|urn:uuid:[0-9a-f-]+|#{_ID})$"},
            "identifier": {"$ref": "#/$defs/Identifier"},
            "display": {"$ref": "#/$defs/string"},
        },
    }
    return {"$ref": f"#/$defs/{name}"}


def _extension(plain: Schema, references: Schema) -> Schema:
    """One that is not of R4, with a value of a usual type."""
    usual = {json_name("value[x]", kind) for kind in _USUAL_VALUES}
    properties = {name: schema for name, schema in _properties("Extension", plain, references).items() if name in usual}
    defined = {re.escape(url.rpartition("/")[0]) for url in definitions.extensions()}
    properties["url"] = {**PRIMITIVE_SCHEMAS["uri"], "not": {"pattern": f"^(?:{'|'.join(sorted(defined))})/"}}
    return {**plain, "properties": properties, "minProperties": 2}


def _reached(schemas: Schema, root: str) -> Schema:
    """Those of some schemas that one leads to."""
    found: Schema = {}
    pending: list[Any] = [{"$ref": f"#/$defs/{root}"}]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found[name] = schemas[name]
                pending.append(schemas[name])
            pending += [child for key, child in part.items() if key != "enum"]
    return found
