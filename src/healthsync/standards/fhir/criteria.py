"""The filters of a search as a tree: one name and one value of a URL become one node (search.html).

    family=smith,smyth                          Criterion, satisfied by any of its values
    subject:Patient.name=peter                  Chain: what the subject must be like (search.html#chaining)
    _has:Observation:patient:code=1234-4        Has: what must refer here (search.html#has)

A step of a chain that names no type stands for every type that the reference allows and that knows the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import references, word_expression
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.query_values import (
    MissingValue,
    Modifier,
    ReferenceValue,
    TokenValue,
    Value,
    printable,
    read_values,
    split,
    split_values,
    too_costly,
    unescape,
    unreadable,
    unserved,
)
from healthsync.standards.fhir.search_parameters import Parameter, definition, is_indexed, unserved_because

DEEPEST_CHAIN = 6
"""Steps of chains and `_has` in one criterion."""
MOST_READINGS = 2000
"""Criteria that one search is read as, with every type that a chain without types may mean."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One filter: satisfied when any of `values` is (with NOT and NOT_IN: when none is)."""

    parameter: Parameter
    modifier: Modifier | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Some target of `parameter` is of one of these types and satisfies the node beside it."""

    parameter: Parameter
    inner: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Has:
    """Some resource of `type` refers here by `parameter` and satisfies `inner`."""

    type: str
    parameter: Parameter
    inner: Node


@dataclass(frozen=True, slots=True)
class And:
    """All hold of the same resource."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold; a resource without the value is among those."""

    node: Node


@dataclass(frozen=True, slots=True)
class ListMember:
    """An entry of the List with this id, or of a functional list (`$current-problems`; search.html#list)."""

    id: str


@dataclass(frozen=True, slots=True)
class ThisResource:
    """The one resource at an address; `_id` asks the same of several types at once."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class WordSearch:
    """All words of one of `alternatives` stand in the narrative (`text`) or anywhere (`content`).

    `phrases[i]` belong to `alternatives[i]`: words joined by a blank that follow each other. Words are normalised
    (`words.words`).
    """

    kind: Literal["text", "content"]
    alternatives: tuple[tuple[str, ...], ...]
    phrases: tuple[tuple[str, ...], ...] = ()


Node = Criterion | Chain | Has | And | Or | Not | ListMember | ThisResource | WordSearch


def localised(node: Node, base: str) -> Node:
    """The node with references through the server's own address made relative, as they are stored."""
    match node:
        case Criterion(values=values) if any(isinstance(value, ReferenceValue) and value.url for value in values):
            return replace(node, values=tuple(_localised_value(value, base) for value in values))
        case And(nodes=nodes) | Or(nodes=nodes):
            return type(node)(tuple(localised(each, base) for each in nodes))
        case Not(node=inner):
            return Not(localised(inner, base))
        case Chain(inner=inner):
            return replace(node, inner=tuple((each, localised(rest, base)) for each, rest in inner))
        case Has(inner=inner):
            return replace(node, inner=localised(inner, base))
    return node


def _localised_value(value: Value, base: str) -> Value:
    if not isinstance(value, ReferenceValue) or value.url is None:
        return value
    found = references.parse(value.url)
    if found.base != base or found.type is None:
        return value
    return ReferenceValue(found.type, found.id, None, (f"{found.type}/{found.id}",))


class UnknownParameter(InvalidInput):
    """The resource type has no such search parameter; `name` is fit for a message."""

    def __init__(self, resource_type: str, name: str) -> None:
        self.name = printable(name)
        whom = resource_type or "this kind of search"
        super().__init__(f"{whom} has no search parameter '{self.name}'", code="not-supported")


@dataclass(slots=True)
class Budget:
    """What one search may still cost to read."""

    readings: int = MOST_READINGS

    def spend(self) -> None:
        """One criterion more. Raises InvalidInput (`too-costly`)."""
        self.readings -= 1
        if self.readings < 0:
            too_costly("chains without types mean too many kinds of resource; name them, as in 'subject:Patient.name'")


def parameter_of(resource_type: str, name: str) -> Parameter | None:
    """The parameter of this name; "" stands for a search across types, which knows the parameters of all."""
    return definition(resource_type or "Resource", name)


def read_node(resource_type: str, name: str, text: str, budget: Budget, depth: int = 0) -> Node:
    """Read one name and value of a search on `resource_type`.

    Raises UnknownParameter, InvalidInput (`not-supported`, `value`, `too-costly`).
    """
    budget.spend()
    if depth > DEEPEST_CHAIN:
        too_costly(f"a chain is longer than {DEEPEST_CHAIN} steps")
    if name.startswith("_has:"):
        return _read_has(resource_type, name, text, budget, depth)
    head, dot, rest = name.partition(".")
    root, _, modifier = head.partition(":")
    if root in _SPECIAL:
        if dot or modifier:
            unserved(f"'{root}' takes no modifier and no chain")
        return _SPECIAL[root](text)
    parameter = parameter_of(resource_type, root)
    if parameter is None:
        raise UnknownParameter(resource_type, root)
    if not is_indexed(parameter):
        unserved(unserved_because(parameter))
    if dot:
        return Chain(parameter, _read_targets(parameter, modifier, rest, text, budget, depth + 1))
    if root == "url" and not modifier and "|" in text:
        return _read_versioned_url(resource_type, parameter, text)
    return read_criterion(resource_type, parameter, modifier, text)


def read_criterion(resource_type: str, parameter: Parameter, modifier_text: str, text: str) -> Criterion:
    """A criterion on the resource itself. Raises InvalidInput (`not-supported`, `value`, `too-costly`)."""
    if modifier_text == Modifier.MISSING.value:
        if text not in {"true", "false"}:
            unreadable(parameter.name, "':missing' takes true or false")
        return missing(parameter, text == "true")
    modifier, target = _modifier(parameter, modifier_text)
    return Criterion(parameter, modifier, read_values(resource_type, parameter, modifier, target, text))


def _read_versioned_url(resource_type: str, parameter: Parameter, text: str) -> Node:
    """`url|version`: the version is an element of its own (search.html#uri)."""
    version = definition(resource_type, "version")
    nodes = []
    for part in split_values(text):
        url, *rest = split(part, "|")
        node: Node = read_criterion(resource_type, parameter, "", url)
        if rest and version is not None:
            node = And((node, Criterion(version, None, (TokenValue(None, unescape("|".join(rest))),))))
        nodes.append(node)
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def missing(parameter: Parameter, absent: bool) -> Criterion:
    """Resources without (or with) any value of a parameter."""
    return Criterion(parameter, Modifier.MISSING, (MissingValue(absent),))


def target_types(parameter: Parameter, wanted: str = "") -> tuple[str, ...]:
    """The types a chain goes to: the one that is `wanted`, or all that the parameter allows.

    Raises InvalidInput: `not-supported` when it is no reference, `value` when it cannot refer to that type.
    """
    if parameter.type != "reference":
        unserved(f"'{parameter.name}' is no reference, so no chain can go on from it")
    if not wanted:
        return parameter.targets or tuple(sorted(resource_types()))
    if wanted not in resource_types():
        unserved(f"'{parameter.name}:{printable(wanted)}' names no resource type")
    if parameter.targets and wanted not in parameter.targets:
        unreadable(parameter.name, f"it cannot refer to {wanted}")
    return (wanted,)


def referring(resource_type: str, source: str, name: str) -> Parameter:
    """The reference parameter by which `source` refers to `resource_type` ("": to anything).

    Raises InvalidInput (`not-supported`).
    """
    parameter = definition(source, name) if source in resource_types() else None
    if parameter is None or parameter.type != "reference":
        unserved("'_has' takes the name of a resource type and of a reference parameter of it")
    if not is_indexed(parameter):
        unserved(unserved_because(parameter))
    if resource_type and parameter.targets and resource_type not in parameter.targets:
        unserved(f"'_has': {source} does not refer to {resource_type} by '{parameter.name}'")
    return parameter


def _read_has(resource_type: str, name: str, text: str, budget: Budget, depth: int) -> Has:
    parts = name.split(":", 3)
    if len(parts) < 4 or not parts[3]:
        unreadable("_has", "it is written _has:Type:reference:parameter")
    parameter = referring(resource_type, parts[1], parts[2])
    return Has(parts[1], parameter, read_node(parts[1], parts[3], text, budget, depth + 1))


def _read_targets(
    parameter: Parameter, wanted: str, rest: str, text: str, budget: Budget, depth: int
) -> tuple[tuple[str, Node], ...]:
    """The rest of a chain on each type it may go to. A type that does not know it cannot satisfy it."""
    types = target_types(parameter, wanted)
    found: list[tuple[str, Node]] = []
    refusal: InvalidInput | None = None
    for each in types:
        try:
            found.append((each, read_node(each, rest, text, budget, depth)))
        except InvalidInput as problem:
            if problem.code == "too-costly":
                raise
            if refusal is None or isinstance(refusal, UnknownParameter):
                refusal = problem
    if found:
        return tuple(found)
    if isinstance(refusal, UnknownParameter):
        unserved(f"no resource that '{parameter.name}' refers to has a search parameter '{refusal.name}'")
    assert refusal is not None
    raise refusal


_ALLOWED: dict[str, frozenset[Modifier]] = {
    "string": frozenset({Modifier.EXACT, Modifier.CONTAINS}),
    "token": frozenset(
        {Modifier.NOT, Modifier.TEXT, Modifier.IN, Modifier.NOT_IN, Modifier.ABOVE, Modifier.BELOW, Modifier.OF_TYPE}
    ),
    "reference": frozenset({Modifier.IDENTIFIER, Modifier.ABOVE, Modifier.BELOW}),
    "uri": frozenset({Modifier.ABOVE, Modifier.BELOW}),
}
_ALLOWED_OF_ID = frozenset({Modifier.NOT})  # an id is of no code system and has no text
_BY_NAME = {modifier.value: modifier for modifier in Modifier} | {"ofType": Modifier.OF_TYPE}


def _modifier(parameter: Parameter, text: str) -> tuple[Modifier | None, str | None]:
    """The modifier, or the target type of `subject:Patient`."""
    if not text:
        return None, None
    if parameter.type == "reference" and text in resource_types():
        return None, target_types(parameter, text)[0]
    known = _BY_NAME.get(text)
    phonetic = parameter.usage == "phonetic"
    allowed = _ALLOWED_OF_ID if parameter.name == "_id" else _ALLOWED.get(parameter.type, frozenset())
    if known is None or phonetic or known not in allowed:
        unserved(f"the modifier ':{printable(text)}' does not fit the parameter '{parameter.name}'")
    return known, None


# --- parameters that are no values of elements --------------------------------------------------------------------


def _read_text(text: str) -> WordSearch:
    return WordSearch("text", *word_expression.read("_text", text))


def _read_content(text: str) -> WordSearch:
    return WordSearch("content", *word_expression.read("_content", text))


def _read_list(text: str) -> Node:
    members = tuple(ListMember(_list_id(part)) for part in split_values(text))
    return members[0] if len(members) == 1 else Or(members)


def _list_id(text: str) -> str:
    plain = text.removeprefix("$") if text.startswith("$") else text.removeprefix("List/")
    if not 1 <= len(plain) <= 64 or not plain.isascii() or not plain.replace("-", "").replace(".", "").isalnum():
        unreadable("_list", "it takes the id of a List, or the name of a functional list")
    return text.removeprefix("List/")


_SPECIAL = {"_text": _read_text, "_content": _read_content, "_list": _read_list}
