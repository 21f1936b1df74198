"""JSON Schema (2020-12) of a resource type, generated from the StructureDefinitions (json.html).

The official `fhir.schema.json` cannot say that a status is required (its extension may stand for it), that one of
several value types at most may be present, or that a list may not be empty; this one does. What it leaves to
`validate`: contained resources and those of a Bundle, whose type is known only when they are seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, structures, value_sets

Schema = dict[str, Any]

# In the standard's regular expressions \s means what it means in XML Schema: these four characters and no others.
# Read as Unicode, \S would refuse the no-break space that clinical text is full of.
_SPACE = r"[ \t\n\r]"
_SOLID = r"[^ \t\n\r]"

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_MONTH = rf"{_YEAR}-(?:0[1-9]|1[0-2])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_INSTANT = rf"{_DAY}T{_TIME}(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_BASE64 = rf"(?:[A-Za-z0-9+/]{_SPACE}*)"


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


_ANY_TEXT = _text(r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+")
_URI = _text(rf"{_SOLID}+")
_INT32 = 2**31
PLAIN_DIGITS = "plainDigits"
"""A keyword of ours: to JSON Schema 1.0 and 1e0 are integers, to FHIR they are not (datatypes.html#integer)."""
_INTEGER: Schema = {"type": "integer", PLAIN_DIGITS: True}

# datatypes.html#primitive
PRIMITIVE_SCHEMAS: dict[str, Schema] = {
    "base64Binary": _text(rf"{_SPACE}*(?:{_BASE64}{{4}})*(?:{_BASE64}{{3}}=|{_BASE64}{{2}}={_SPACE}*=)?{_SPACE}*"),
    "boolean": {"type": "boolean"},
    "canonical": _URI,
    "code": _text(rf"{_SOLID}+(?:{_SPACE}{_SOLID}+)*"),
    "date": _text(rf"{_DAY}|{_MONTH}|{_YEAR}"),
    "dateTime": _text(rf"{_INSTANT}|{_DAY}|{_MONTH}|{_YEAR}"),
    "decimal": {"type": "number"},
    "id": _text(r"[A-Za-z0-9\-.]{1,64}"),
    "instant": _text(_INSTANT),
    "integer": {**_INTEGER, "minimum": -_INT32, "maximum": _INT32 - 1},
    "markdown": _ANY_TEXT,
    "oid": _text(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"),
    "positiveInt": {**_INTEGER, "minimum": 1, "maximum": _INT32 - 1},
    "string": _ANY_TEXT,
    "time": _text(_TIME),
    "unsignedInt": {**_INTEGER, "minimum": 0, "maximum": _INT32 - 1},
    "uri": _URI,
    "url": _URI,
    "uuid": _text(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "xhtml": _ANY_TEXT,
}
_ANY_RESOURCE: Schema = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": _text("[A-Z].*")},
}


def resource_schema(resource_type: str) -> Schema:
    """The schema of one resource type with everything that it can reach.

    A rule about several properties carries a `title`: the element that it is about.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{resource_type}",
        "$defs": {name: PRIMITIVE_SCHEMAS.get(name) or _object(name) for name in _reachable(resource_type)},
    }


def elements(content: str) -> dict[str, Any]:
    """Element name -> facts of a type or backbone element (`Patient`, `Patient.contact`)."""
    return structures()[content.partition(".")[0]]["elements"][content]


def content_of(content: str, name: str, facts: dict[str, Any], kind: str) -> str:
    """Where the elements inside an element are described: its type, its own path, or the path that it repeats."""
    if "like" in facts:
        return facts["like"]
    return f"{content}.{name}" if kind in {"BackboneElement", "Element"} else kind


def _reachable(resource_type: str) -> Iterable[str]:
    found = {resource_type: None, "Element": None, "id": None}
    pending = [resource_type, "Element"]
    while pending:
        content = pending.pop()
        for name, facts in elements(content).items():
            for kind in facts.get("types", ("",)):
                target = content_of(content, name, facts, kind)
                if target == "Resource" or target in found:
                    continue
                found[target] = None
                if target not in PRIMITIVES:
                    pending.append(target)
    return found


def _object(content: str) -> Schema:
    properties: Schema = {}
    rules: list[Schema] = []
    for name, facts in elements(content).items():
        choices = [json_name(name, kind) for kind in facts.get("types", ("",))]
        for kind, choice in zip(facts.get("types", ("",)), choices, strict=True):
            properties |= _properties(content, name, facts, kind, choice)
        rules += _presence_rules(name, facts, choices)
        if "max" in facts and facts.get("types", [""])[0] in PRIMITIVES:
            rules.append(_no_bare_null(name))
    required = [name for name, facts in elements(content).items() if _is_plainly_required(name, facts)]
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties, "minProperties": 1}
    if structures().get(content, {}).get("kind") == "resource":
        properties["resourceType"] = {"const": content}
        properties["id"] = {"$ref": "#/$defs/id"}
        required.append("resourceType")
    if required:
        schema["required"] = required
    if rules:
        schema["allOf"] = rules
    return schema


def _properties(content: str, name: str, facts: dict[str, Any], kind: str, choice: str) -> Schema:
    """The property of an element, and for a primitive its sibling `_name` (json.html#primitive)."""
    target = content_of(content, name, facts, kind)
    value: Schema = _ANY_RESOURCE if target == "Resource" else {"$ref": f"#/$defs/{target}"}
    if "codes" in facts:
        value = _bound(value, kind, value_sets().get(facts["codes"], {}))
    many = "max" in facts
    if kind not in PRIMITIVES:
        return {choice: _list(value) if many else value}
    sibling = {"$ref": "#/$defs/Element"}
    if not many:
        return {choice: value, f"_{choice}": sibling}
    return {choice: _list(_or_null(value)), f"_{choice}": _list(_or_null(sibling))}


def _bound(value: Schema, kind: str, systems: dict[str, list[str]]) -> Schema:
    """A required binding: the code, or one coding of the concept, is from the value set (terminologies.html)."""
    if not systems:
        return value
    if kind == "code":
        return {"enum": sorted({code for codes in systems.values() for code in codes})}
    allowed = [
        {"properties": {"system": {"const": system}, "code": {"enum": codes}}, "required": ["system", "code"]}
        for system, codes in systems.items()
    ]
    return {
        "allOf": [
            value,
            {"title": "coding", "properties": {"coding": {"contains": {"anyOf": allowed}}}, "required": ["coding"]},
        ]
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


def _or_null(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "null"}]}


def _present(choice: str, kind: str) -> list[Schema]:
    names = (choice, f"_{choice}") if kind in PRIMITIVES else (choice,)
    return [{"required": [name]} for name in names]


def _presence_rules(name: str, facts: dict[str, Any], choices: list[str]) -> list[Schema]:
    """Required elements whose value may be replaced by an extension, and choices: one type at most (or exactly)."""
    kinds = facts.get("types", ("",))
    present = [_present(choice, kind) for choice, kind in zip(choices, kinds, strict=True)]
    if len(choices) == 1:
        return [{"title": name, "anyOf": present[0]}] if facts.get("min") and kinds[0] in PRIMITIVES else []
    options = [{"anyOf": option} if len(option) > 1 else option[0] for option in present]
    if not facts.get("min"):
        options.append({"not": {"anyOf": [schema for option in present for schema in option]}})
    return [{"title": name, "oneOf": options}]


def _is_plainly_required(name: str, facts: dict[str, Any]) -> bool:
    kinds = facts.get("types", ("",))
    return bool(facts.get("min")) and not name.endswith("[x]") and kinds[0] not in PRIMITIVES


def _no_bare_null(name: str) -> Schema:
    """A null in a list of primitives stands for a value that has only an extension; then `_name` is there."""
    return {
        "title": name,
        "if": {"properties": {name: {"contains": {"type": "null"}}}, "required": [name]},
        "then": {"required": [f"_{name}"]},
    }
