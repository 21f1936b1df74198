"""Is this resource what FHIR R4 says it may be? (validation.html: structure, cardinality, values, bindings, invariants)

Most resources are found right at once, by a stricter schema (`screen`). The others are looked at in layers, each over
resources that passed the one before:

(1) the generated JSON Schema (`schema`), run in Rust: properties, types, cardinality, required bindings;
(2) `invariants`: reference targets, contained resources, extensions, every invariant of severity error;
(3) `narrative`: nothing in a text may run or be fetched when a clinician looks at it;
(4) `bindings`, when warnings are asked for: codes that should come from another value set.

Profiles are looked at by `profiles`. Not looked at: whether a referenced resource exists.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs

from healthsync.standards.fhir import bindings, invariants, json
from healthsync.standards.fhir.definitions import json_name, resource_types, structures
from healthsync.standards.fhir.outcome import Issue, error
from healthsync.standards.fhir.schema import PLAIN_DIGITS, Schema, resource_schema
from healthsync.standards.fhir.screen import screen_schema

MOST_ISSUES = 50
"""A resource with more faults than this is told about the first ones only."""

MOST_NAMED = 12
"""Codes that are named when none of them was sent."""

MOST_COMPILED = 40
"""Schemas of either kind that are kept: each takes 6 ms to compile and about half a megabyte."""


def structure(
    resource: dict[str, Any], known_modifiers: Collection[str] = (), written: bytes | None = None
) -> list[Issue]:
    """Everything that is wrong with `resource`; empty when it may be stored.

    `known_modifiers` are the urls of modifier extensions that are understood besides those of R4; any other one is
    refused. Expressions are FHIRPaths (`Patient.name[0].given[1]`), codes are those of
    http://hl7.org/fhir/issue-type, and no sentence repeats a value of the resource. `written` is its JSON, where that
    is there already.
    """
    resource_type = resource.get("resourceType")
    is_known = isinstance(resource_type, str) and resource_type in resource_types()
    if is_known and _is_plainly_right(resource, written):
        return []
    issues: list[Issue] = []
    _examine(resource, str(resource_type) if is_known else "Resource", issues, known_modifiers)
    return issues[:MOST_ISSUES]


def examine(resource: dict[str, Any], known_modifiers: Collection[str] = ()) -> list[Issue]:
    """As `structure`, and what should be better though it may be stored: codes outside an extensible binding."""
    issues = structure(resource, known_modifiers)
    if issues:
        return issues
    return [issue for path, inner in with_inner(resource) for issue in bindings.warnings(inner, path)]


def with_inner(resource: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """A resource and all that it contains or carries, each with its path."""
    path = path or resource["resourceType"]
    yield path, resource
    for position, inner in enumerate(resource.get("contained", ())):
        yield f"{path}.contained[{position}]", inner
    for place, inner in _carried(resource, path):
        yield from with_inner(inner, place)


def _examine(resource: dict[str, Any], path: str, issues: list[Issue], known_modifiers: Collection[str]) -> None:
    if not _fits_schema(resource, path, issues):
        return
    before = len(issues)
    for position, inner in enumerate(resource.get("contained", ())):
        _fits_schema(inner, f"{path}.contained[{position}]", issues)
    if len(issues) == before:
        issues.extend(invariants.violations(resource, path, known_modifiers))
    for place, inner in _carried(resource, path):
        _examine(inner, place, issues, known_modifiers)


def _is_plainly_right(resource: dict[str, Any], written: bytes | None) -> bool:
    """Whether a resource is right in a way that is seen at once, as most are."""
    if not _screen(resource["resourceType"]).is_valid(resource):
        return False
    written = written or json.dump(resource)
    for inner in resource.get("contained", ()):
        if inner["resourceType"] not in resource_types() or not _screen(inner["resourceType"]).is_valid(inner):
            return False
        if not invariants.plainly_holds(inner, resource, written):
            return False
    return invariants.plainly_holds(resource, resource, written)


def _fits_schema(resource: dict[str, Any], path: str, issues: list[Issue]) -> bool:
    resource_type = resource.get("resourceType")
    if type(resource_type) is not str or resource_type not in resource_types():
        issues.append(error("structure", "resourceType must name a resource type of FHIR R4", path))
        return False
    schema, validator = _compiled(resource_type)
    if validator.is_valid(resource):
        return True
    for fault in validator.iter_errors(resource):
        issues.extend(_issues(fault, schema, path))
        if len(issues) > MOST_ISSUES:
            break
    return False


def _carried(resource: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resources inside Bundles and Parameters."""
    if resource["resourceType"] == "Bundle":
        for position, entry in enumerate(resource.get("entry", ())):
            if "resource" in entry:
                yield f"{path}.entry[{position}].resource", entry["resource"]
    elif resource["resourceType"] == "Parameters":
        yield from _parameter_resources(resource.get("parameter", ()), f"{path}.parameter")


def _parameter_resources(parameters: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for position, parameter in enumerate(parameters):
        if "resource" in parameter:
            yield f"{path}[{position}].resource", parameter["resource"]
        yield from _parameter_resources(parameter.get("part", ()), f"{path}[{position}].part")


@lru_cache(MOST_COMPILED)
def _screen(resource_type: str) -> jsonschema_rs.Draft202012Validator:
    return _validator(screen_schema(resource_type, invariants.RULES))


@lru_cache(MOST_COMPILED)
def _compiled(resource_type: str) -> tuple[Schema, jsonschema_rs.Draft202012Validator]:
    """Compiled when a type is first seen."""
    schema = resource_schema(resource_type)
    return schema, _validator(schema)


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    """The plain regex engine runs in linear time whatever the text."""
    keywords: dict[str, type[jsonschema_rs.KeywordValidator]] = {PLAIN_DIGITS: _PlainDigits}
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=jsonschema_rs.RegexOptions(), keywords=keywords)


class _PlainDigits:
    """An integer has no point and no exponent: what has them was read as a Decimal (`json.parse`)."""

    def __init__(self, parent_schema: Schema, value: Any, schema_path: list[str | int]) -> None: ...

    def validate(self, instance: Any) -> None:
        if type(instance) is Decimal and instance == instance.to_integral_value():  # else the type is at fault
            raise ValueError


# --- from schema errors to issues ---------------------------------------------------------------------------------


def _issues(fault: jsonschema_rs.ValidationError, schema: Schema, root: str) -> Iterator[Issue]:
    path = _expression(root, fault.instance_path)
    title = _title(schema, fault.schema_path)
    kind = fault.kind
    match kind:
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties():
            for name in kind.unexpected:
                yield error("structure", f"there is no element {_printable(name)} here", path)
        case jsonschema_rs.ValidationErrorKind.Required():
            yield _missing(kind.property, path, fault.schema_path, title)
        case jsonschema_rs.ValidationErrorKind.OneOfMultipleValid():
            yield error("structure", f"at most one type of {title} may be given", f"{path}.{_element(str(title))}")
        case jsonschema_rs.ValidationErrorKind.AnyOf() | jsonschema_rs.ValidationErrorKind.OneOfNotValid() if title:
            yield error("structure", f"{title} is required", path)
        case jsonschema_rs.ValidationErrorKind.AnyOf():  # an item of a list of primitives: its value is at fault
            for inner in kind.context[0]:
                yield from _value_issue(inner, path)
        case _:
            yield from _value_issue(fault, path)


def _missing(name: str, path: str, schema_path: list[str | int], title: str | None) -> Issue:
    if "then" in schema_path:
        return error("structure", f"a null in {title} needs its extension in {name}", f"{path}.{_element(str(title))}")
    if name == "coding":
        return error("code-invalid", "a coding from the required value set is missing", path)
    return error("structure", f"{name} is required", path)


def _value_issue(fault: jsonschema_rs.ValidationError, path: str) -> Iterator[Issue]:
    kinds = jsonschema_rs.ValidationErrorKind
    match fault.kind:
        case kinds.Type():
            yield error("structure", f"the value must be of the JSON type {' or '.join(fault.kind.types)}", path)
        case kinds.Custom():
            yield error(
                "invalid", f"a number of type {_primitive(fault.schema_path)} has no point and no exponent", path
            )
        case kinds.Pattern():
            yield error("invalid", _not_legal(_primitive(fault.schema_path)), path)
        case kinds.Enum() if not isinstance(fault.instance, str):
            yield error("structure", "the value must be of the JSON type string", path)
        case kinds.Enum():
            yield error(
                "code-invalid", f"the code is not in the required value set{_allowed(fault.kind.options)}", path
            )
        case kinds.Contains():
            told = "no coding has system and code from the required value set"
            yield error("code-invalid", told, path.removesuffix(".coding"))
        case kinds.MinItems():
            yield error("structure", "a list may not be empty", path)
        case kinds.MinProperties():
            yield error("structure", "an object may not be empty", path)
        case kinds.Minimum() | kinds.Maximum():
            yield error("invalid", f"the number is outside the range of {_primitive(fault.schema_path)}", path)
        case _:
            yield error("structure", "the value breaks the structure of its type", path)


def _not_legal(primitive: str) -> str:
    form = _FORMS.get(primitive)
    return f"the value is not a legal {primitive}" + (f": {form}" if form else "")


_FORMS = {
    "base64Binary": "write RFC 4648 base64 without missing or surplus characters",
    "code": "no space at the ends, single spaces inside",
    "date": "write YYYY, YYYY-MM or YYYY-MM-DD, a day that exists",
    "dateTime": "write a date, or YYYY-MM-DDThh:mm:ss with Z or an offset such as +01:00",
    "id": "1 to 64 letters, digits, - or .",
    "instant": "write YYYY-MM-DDThh:mm:ss with Z or an offset such as +01:00",
    "markdown": "it may not be empty nor hold control characters",
    "oid": "write urn:oid: and the number",
    "string": "it may not be empty nor hold control characters",
    "time": "write hh:mm:ss",
    "uri": "it may hold no space",
    "url": "it may hold no space",
    "uuid": "write urn:uuid: and 32 lower-case hex digits in five groups",
}
"""What to write instead (datatypes.html#primitive)."""


def _allowed(options: Any) -> str:
    """A short list of codes is told; it is HL7's and says nothing about the patient."""
    codes = [code for code in options if isinstance(code, str)]
    return f": use {', '.join(codes)}" if 0 < len(codes) <= MOST_NAMED else ""


def _primitive(schema_path: list[str | int]) -> str:
    """`["$defs", "date", "pattern"]` is about a date."""
    return str(schema_path[1]) if len(schema_path) > 1 and schema_path[0] == "$defs" else "value"


def _title(schema: Schema, schema_path: list[str | int]) -> str | None:
    """The element that the innermost titled rule on the way is about."""
    place: Any = schema
    title = None
    for step in schema_path[:-1]:
        place = place[step]
        if isinstance(place, dict) and type(place.get("title")) is str:
            title = place["title"]
    return title.removesuffix("[x]") if title else None


def _expression(root: str, instance_path: list[str | int]) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{_element(step)}" for step in instance_path]
    return root + "".join(steps)


@cache
def _choice_elements() -> dict[str, str]:
    """valueQuantity -> value: FHIRPath knows elements, not the properties of JSON."""
    return {
        json_name(name, kind): name[:-3]
        for facts in structures().values()
        for elements in facts["elements"].values()
        for name, element in elements.items()
        if name.endswith("[x]")
        for kind in element["types"]
    }


def _element(name: str) -> str:
    name = name.removeprefix("_")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,63}", name):
        return "?"
    return _choice_elements().get(name, name)


def _printable(name: str) -> str:
    """A property name is the sender's text: only what looks like an element's name is repeated."""
    return f"'{name}'" if re.fullmatch(r"_?[a-z][A-Za-z]{0,40}", name) else "of that name"
