"""A stricter JSON Schema of a resource type: what it accepts breaks no invariant, so that nobody has to walk it.

It is the schema of `schema`, less everything that an invariant might have to say something about and that JSON Schema
cannot judge. So it refuses much that is valid: ids of elements, most timings, references to other servers. A refusal
means nothing but that the walk (`invariants`) has to look. Left to `invariants.plainly_holds` are the root, its
narrative, its contained resources and the order of periods.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    return {**plain, "$defs": _Screen(resource_type, plain["$defs"], judged).schemas()}


class _Screen:
    """The schemas of a resource type and of all that it leads to."""

    def __init__(self, resource_type: str, plain: Schema, judged: Collection[str]) -> None:
        self._root, self._plain, self._judged = resource_type, plain, judged
        self._references: Schema = {}
        values = self._properties("Extension")
        self._values = {name: schema for name, schema in values.items() if name.startswith("value")}

    def schemas(self) -> Schema:
        made: Schema = {}
        for content, plain in self._plain.items():
            if content in PRIMITIVES:
                made[content] = plain
            elif content != "Extension":
                made[content] = self._of_root(plain) if content == self._root else self._of_part(content, plain)
        made |= self._unknown_extensions()
        return _reached(made | {each["title"]: each for each in self._references.values()}, self._root)

    def _of_root(self, plain: Schema) -> Schema:
        others = {name: schema for name, schema in plain["properties"].items() if name in _OF_THE_ROOT}
        return {**plain, "properties": self._properties(self._root) | others}

    def _of_part(self, content: str, plain: Schema) -> Schema | bool:
        rules = constraints.of(content)
        has_others = content in self._judged or any(rule.key != _SIMPLE_QUANTITY for rule in rules)
        if has_others and content not in RULES:
            return False
        properties = self._properties(content)
        for rule in rules:
            for name in rule.properties & properties.keys():
                simple = {"allOf": [properties[name], {"properties": {"comparator": False}}]}
                properties[name] = simple if "$ref" in properties[name] else False
        return {**plain, **RULES.get(content, {}), "properties": properties}

    def _properties(self, content: str) -> Schema:
        """The properties that may be judged without a walk."""
        properties: Schema = {}
        for name, facts in elements(content).items():
            for kind in facts.get("types", ("",)):
                target, property_ = content_of(content, name, facts, kind), json_name(name, kind)
                if property_ in {"id", "modifierExtension"} or target in {"Narrative", "Resource"}:
                    continue
                value = self._plain[content]["properties"][property_]
                if kind == "Extension":
                    value = _list({"anyOf": self._extensions(content)}) if content != "Extension" else False
                elif kind == "Reference":
                    value = self._reference(tuple(facts.get("targets", ())))
                    value = _list(value) if "max" in facts else value
                properties[property_] = value
        return properties

    def _reference(self, targets: tuple[str, ...]) -> Schema:
        """A Reference to one of some types, or any: in this server, of this bundle, contained, or logical."""
        key = "|".join(targets)
        name = self._references.setdefault(key, {"title": f"Reference-{len(self._references)}"})["title"]
        literal = rf"(?:{'|'.join(targets or sorted(resource_types()))})/{_ID}(?:/_history/{_ID})?"
        properties = {
            "reference": {"type": "string", "pattern": f"^(?:{literal}|urn:uuid:[0-9a-f-]+|#{_ID})$"},
            "identifier": {"$ref": "#/$defs/Identifier"},
            "display": {"$ref": "#/$defs/string"},
        }
        self._references[key] |= _closed(properties, ())
        return {"$ref": f"#/$defs/{name}"}

    def _extensions(self, content: str) -> list[Schema]:
        """What may extend an element: what R4 does not define, and what it defines for this element and a value."""
        allowed: dict[tuple[str, ...], list[str]] = {}
        for url, facts in definitions.extensions().items():
            if content in facts["contexts"]:
                values = tuple(json_name("value[x]", kind) for kind in facts.get("types", ()))
                allowed.setdefault(values, []).append(url)
        official = [
            _closed({"url": {"enum": urls}, name: self._values[name]}, ("url", name))
            for names, urls in allowed.items()
            for name in names
            if name in self._values
        ]
        if nested := allowed.get(()):
            official.append(_closed({"url": {"enum": nested}, "extension": _OF_VALUES}, ("url", "extension")))
        return [{"$ref": "#/$defs/Extension"}, {"$ref": "#/$defs/Extension-nested"}, *official]

    def _unknown_extensions(self) -> Schema:
        """Those that R4 does not define: with a value of a usual type, or with some that have one."""
        url = {**PRIMITIVE_SCHEMAS["uri"], "not": {"enum": sorted(definitions.extensions())}}
        usual = {json_name("value[x]", kind) for kind in _USUAL_VALUES}
        with_value = _closed(
            {"url": url, **{name: schema for name, schema in self._values.items() if name in usual}}, ("url",)
        )
        return {
            "Extension": {**with_value, "minProperties": 2, "maxProperties": 2},
            "Extension-nested": _closed({"url": url, "extension": _OF_VALUES}, ("url", "extension")),
        }


def _closed(properties: Schema, required: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": properties,
        "required": list(required),
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


_OF_VALUES = _list({"$ref": "#/$defs/Extension"})


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
