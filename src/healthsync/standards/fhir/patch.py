"""Patches of a resource (http.html#patch): JSON Patch (RFC 6902) and FHIRPath Patch (fhirpatch.html).

All answer a new document and leave the old one as it was. What comes out is not yet known to be valid: the caller
validates it like an update. Sentences name the operation by its place in the patch and never repeat a value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jsonpatch
from jsonpatch import JsonPatchException, JsonPatchTestFailed, JsonPointer, JsonPointerException

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import element_paths, json
from healthsync.standards.fhir.element_paths import Element

Json = dict[str, Any]

LARGEST_GROWTH = 2 * 1024 * 1024
"""Bytes that `copy` operations may add: each can double the document, so thirty of them would fill any memory."""

MOST_OPERATIONS = 10_000


def json_patch(resource: Json, operations: Any) -> Json:
    """The resource after a JSON Patch; arrays and objects that became empty are left out, since FHIR has none.

    Raises InvalidInput: `structure` for what is no patch, `processing` (422) for one that does not apply, a failing
    `test` included, `business-rule` when it changes type or id.
    """
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise InvalidInput("a JSON Patch is an array of operations", code="structure")
    _bounded(operations)
    document, grown = copy.deepcopy(resource), 0
    for position, operation in enumerate(operations):
        if any(str(operation.get(name, ""))[:1] not in ("", "/") for name in ("path", "from")):
            raise InvalidInput(f"operation {position} has a path that is no JSON Pointer", code="structure")
        try:
            if operation.get("op") == "copy" and isinstance(operation.get("from"), str):
                grown += len(json.dump(JsonPointer(operation["from"]).resolve(document)))
            if grown > LARGEST_GROWTH:
                raise InvalidInput(f"operation {position}: the copies of this patch are too large", code="too-costly")
            document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
        except JsonPatchTestFailed:
            raise InvalidInput(f"operation {position}: the test does not hold", code="processing") from None
        except jsonpatch.InvalidJsonPatch:
            raise InvalidInput(f"operation {position} is no operation of RFC 6902", code="structure") from None
        except (JsonPatchException, JsonPointerException, TypeError, KeyError):
            raise InvalidInput(f"operation {position} does not apply to the resource", code="processing") from None
    if not isinstance(document, dict):
        raise InvalidInput("the patch leaves no resource", code="processing")
    return _finished(resource, document)


def fhirpath_patch(resource: Json, parameters: Json) -> Json:
    """The resource after a FHIRPath Patch, given as Parameters with one `operation` for each change.

    Raises InvalidInput: `structure` or `required` for what is no patch, `value` for a path that is no FHIRPath,
    `processing` (422) for an operation that does not apply, `business-rule` when it changes type or id.
    """
    if parameters.get("resourceType") != "Parameters":
        raise InvalidInput("a FHIRPath Patch is a Parameters resource", code="structure")
    operations = parameters.get("parameter", [])
    if not isinstance(operations, list) or not operations:
        raise InvalidInput("the patch has no operation", code="required", expression="Parameters.parameter")
    _bounded(operations)
    document = copy.deepcopy(resource)
    for position, operation in enumerate(operations):
        place = f"Parameters.parameter[{position}]"
        parts = _parts(operation, place)
        kind = parts.get("type", {}).get("valueCode")
        if not isinstance(kind, str) or kind not in _OPERATIONS:
            raise InvalidInput("type is add, insert, delete, replace or move", code="code-invalid", expression=place)
        _OPERATIONS[kind](document, parts, place)
    return _finished(resource, document)


def merge_patch(resource: Json, change: Json) -> Json:
    """The resource with the properties of `change` in place of its own; null takes one away (RFC 7396).

    R4 does not have this format: it is what `fhirpy` and others send as `application/json`.
    Raises InvalidInput (`business-rule`) when it changes type or id.
    """
    return _finished(resource, _merged(resource, change))


def _merged(value: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    merged = dict(value) if isinstance(value, dict) else {}
    for name, child in change.items():
        if child is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), child)
    return merged


def _bounded(operations: Sequence[Any]) -> None:
    if len(operations) > MOST_OPERATIONS:
        raise InvalidInput(f"a patch may have {MOST_OPERATIONS} operations", code="too-long")


def _finished(before: Json, after: Json) -> Json:
    _refuse_depth(after)
    after = _without_empty(after)
    if (after.get("resourceType"), after.get("id")) != (before.get("resourceType"), before.get("id")):
        raise InvalidInput("a patch may not change the type or the id of a resource", code="business-rule")
    return after


def _refuse_depth(document: Json) -> None:
    """Operation upon operation can nest deeper than any document that would be read."""
    pending: list[tuple[Any, int]] = [(document, 1)]
    while pending:
        value, depth = pending.pop()
        if depth > json.DEEPEST:
            raise InvalidInput(f"the patch nests deeper than {json.DEEPEST} levels", code="structure")
        children = value.values() if isinstance(value, dict) else value
        pending.extend((child, depth + 1) for child in children if isinstance(child, dict | list))


def _without_empty(value: Any) -> Any:
    """FHIR knows no empty array or object (json.html); a list of primitives keeps its nulls."""
    if isinstance(value, dict):
        kept = {name: _without_empty(child) for name, child in value.items()}
        return {name: child for name, child in kept.items() if child not in ({}, [])}
    if isinstance(value, list):
        items = [_without_empty(child) for child in value]
        items = [item for item in items if item not in ({}, [])]
        return items if any(item is not None for item in items) else []
    return value


# --- the operations of FHIRPath Patch -----------------------------------------------------------------------------


def _add(document: Json, parts: Mapping[str, Json], place: str) -> None:
    parent = _one(document, parts, place)
    name = _text(parts, "name", "valueString", place)
    described = element_paths.described(parent, name)
    if described is None:
        _refuse(place, "the element has no such property")
    value, kind = _value(parts.get("value"), described.path, place)
    holder = element_paths.properties(parent)
    if described.repeats:
        values = holder.setdefault(described.name, [])
        values.append(value)
        _align(holder, described.name, len(values) - 1, None)
    elif any(each in holder for each in described.properties):
        _refuse(place, "the element is there already; use replace")
    else:
        holder[described.property_for(kind)] = value


def _insert(document: Json, parts: Mapping[str, Json], place: str) -> None:
    holder, described = _collection(document, parts, place)
    value, _ = _value(parts.get("value"), described.path, place)
    values = holder.get(described.name, [])
    position = _index(parts, "index", len(values), place)
    _align(holder, described.name, position, None)
    holder[described.name] = [*values[:position], value, *values[position:]]


def _delete(document: Json, parts: Mapping[str, Json], place: str) -> None:
    """What is not there needs no deleting: "path of the element to delete (if found)"."""
    found = _found(document, parts, place)
    if len(found) > 1:
        _refuse(place, "the path finds several elements; only a single one can be deleted")
    for element in found:
        if element.holder is None:
            _refuse(place, "the resource itself cannot be deleted by a patch")
        if element.index is None:
            element.holder.pop(element.name, None)
            element.holder.pop(f"_{element.name}", None)
        else:
            element.holder[element.name].pop(element.index)
            _take_companion(element.holder, element.name, element.index)


def _replace(document: Json, parts: Mapping[str, Json], place: str) -> None:
    element = _one(document, parts, place)
    if element.holder is None:
        _refuse(place, "the resource itself cannot be replaced by a patch; use an update")
    value, kind = _value(parts.get("value"), element.path, place)
    if element.index is not None:
        element.holder[element.name][element.index] = value
        if element.index < len(companions := element.holder.get(f"_{element.name}", [])):
            companions[element.index] = None
        return
    described = element.described
    element.holder.pop(element.name, None)
    element.holder.pop(f"_{element.name}", None)
    element.holder[described.property_for(kind) if described else element.name] = value


def _move(document: Json, parts: Mapping[str, Json], place: str) -> None:
    holder, described = _collection(document, parts, place)
    values = holder.get(described.name, [])
    source = _index(parts, "source", len(values) - 1, place)
    destination = _index(parts, "destination", len(values) - 1, place)
    values.insert(destination, values.pop(source))
    if f"_{described.name}" in holder:
        _align(holder, described.name, destination, _take_companion(holder, described.name, source))


_OPERATIONS: Mapping[str, Callable[[Json, Mapping[str, Json], str], None]] = {
    "add": _add, "insert": _insert, "delete": _delete, "replace": _replace, "move": _move,
}  # fmt: skip


# --- parts of an operation ----------------------------------------------------------------------------------------


def _parts(operation: Any, place: str) -> dict[str, Json]:
    parts = operation.get("part") if isinstance(operation, dict) else None
    if not isinstance(parts, list) or operation.get("name") != "operation":
        raise InvalidInput("a parameter of a patch is an operation with parts", code="structure", expression=place)
    if not all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in parts):
        raise InvalidInput("a part needs a name", code="structure", expression=place)
    if len({part["name"] for part in parts}) != len(parts):
        raise InvalidInput("a part occurs twice in one operation", code="structure", expression=place)
    return {part["name"]: part for part in parts}


def _text(parts: Mapping[str, Json], name: str, property_: str, place: str) -> str:
    text = parts.get(name, {}).get(property_)
    if not isinstance(text, str) or not text:
        raise InvalidInput(f"the operation needs a part '{name}' with {property_}", code="required", expression=place)
    return text


def _index(parts: Mapping[str, Json], name: str, largest: int, place: str) -> int:
    index = parts.get(name, {}).get("valueInteger")
    if type(index) is not int:
        raise InvalidInput(f"the operation needs a part '{name}' with valueInteger", code="required", expression=place)
    if not 0 <= index <= largest:
        _refuse(place, f"'{name}' lies outside of the list")
    return index


def _found(document: Json, parts: Mapping[str, Json], place: str) -> list[Element]:
    try:
        return element_paths.find(document, _text(parts, "path", "valueString", place))
    except InvalidInput as problem:
        raise InvalidInput(str(problem), code=problem.code, expression=place) from None


def _one(document: Json, parts: Mapping[str, Json], place: str) -> Element:
    found = _found(document, parts, place)
    if len(found) != 1:
        _refuse(place, "the path finds several elements" if found else "the path finds nothing")
    return found[0]


def _collection(document: Json, parts: Mapping[str, Json], place: str) -> tuple[Json, element_paths.Described]:
    """The object that holds a repeated element, and the element."""
    path, _, name = _text(parts, "path", "valueString", place).rpartition(".")
    parents = _found(document, {"path": {"valueString": path or "$this"}}, place)
    if len(parents) != 1:
        _refuse(place, "the path finds no single list")
    described = element_paths.described(parents[0], name)
    if described is None or not described.repeats:
        _refuse(place, "the path does not end in the name of a repeated element")
    return element_paths.properties(parents[0]), described


def _value(part: Json | None, path: str, place: str) -> tuple[Any, str]:
    """The value of a part and its type as properties spell it; parts stand for the properties of a backbone element."""
    if part is None:
        raise InvalidInput("the operation needs a part 'value'", code="required", expression=place)
    if isinstance(part.get("resource"), dict):
        return part["resource"], ""
    values = [name for name in part if name.startswith("value")]
    if len(values) == 1:
        return part[values[0]], values[0].removeprefix("value")
    if isinstance(part.get("part"), list) and not values:
        return _composed(part["part"], path, place), ""
    raise InvalidInput("a value is one value[x], or parts", code="structure", expression=place)


def _composed(parts: Sequence[Any], path: str, place: str) -> Json:
    made: Json = {}
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else None
        described = element_paths.property_of(path, name) if isinstance(name, str) else None
        if described is None:
            _refuse(place, "the value has a part that its type does not know")
        value, kind = _value(part, described.path, place)
        property_ = described.property_for(kind)
        if described.repeats:
            made.setdefault(property_, []).append(value)
        elif property_ in made:
            _refuse(place, "the value has a part twice that may occur once")
        else:
            made[property_] = value
    return made


def _align(holder: Json, name: str, position: int, companion: Any) -> None:
    """A list of primitives has its ids and extensions in `_name`, item by item (json.html#primitive)."""
    companions = holder.get(f"_{name}")
    if companions is not None:
        companions.extend([None] * (position - len(companions)))
        companions.insert(position, companion)


def _take_companion(holder: Json, name: str, position: int) -> Any:
    companions = holder.get(f"_{name}", [])
    return companions.pop(position) if position < len(companions) else None


def _refuse(place: str, sentence: str) -> NoReturn:
    raise InvalidInput(sentence, code="processing", expression=place)
