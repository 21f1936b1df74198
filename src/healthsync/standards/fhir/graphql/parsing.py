"""The reading of a GraphQL document, over the syntax tree of graphql-core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphql import GraphQLError, parse
from graphql.language import ast

from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.tree import Bounds, Field, Fields, Fragment

MOST_TOKENS = 20_000

_DIRECTIVES = {"flatten": set(), "first": set(), "singleton": set(), "slice": {"fhirpath", "path"}}


def read(text: str, variables: Mapping[str, Any], operation_name: str | None, bounds: Bounds) -> Fields:
    """What `document.read_document` answers."""
    try:
        document = parse(text, max_tokens=MOST_TOKENS, no_location=False)
    except GraphQLError as error:
        where = (error.locations[0].line, error.locations[0].column) if error.locations else None
        raise QueryFault("the query cannot be read: this is no GraphQL", code="structure", at=where) from None
    except RecursionError:
        raise QueryFault("the query is nested too deeply", code="too-costly") from None
    operation = _operation(document, operation_name)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, ast.FragmentDefinitionNode)}
    reading = _Reading(fragments, _variables(operation, variables), bounds)
    return reading.fields(operation.selection_set, (), 1)


def _operation(document: ast.DocumentNode, name: str | None) -> ast.OperationDefinitionNode:
    operations = [d for d in document.definitions if isinstance(d, ast.OperationDefinitionNode)]
    found = [o for o in operations if name is None or (o.name is not None and o.name.value == name)]
    if len(found) != 1:
        raise QueryFault("the document must hold one query, or operationName must name one of several", code="required")
    if found[0].operation is not ast.OperationType.QUERY:
        raise QueryFault("only queries are served; write over the REST API", code="not-supported", at=_at(found[0]))
    return found[0]


def _variables(operation: ast.OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for declared in operation.variable_definitions or ():
        name = declared.variable.name.value
        if name in given:
            values[name] = given[name]
        elif declared.default_value is not None:
            values[name] = _value(declared.default_value, {})
        if values.get(name) is None and isinstance(declared.type, ast.NonNullTypeNode):
            raise QueryFault("a variable that the query demands has no value", code="required", at=_at(declared))
        values.setdefault(name, None)
        if isinstance(values[name], dict):
            raise QueryFault("a variable must be a value or a list of values", code="value", at=_at(declared))
    return values


class _Reading:
    """One document on its way to fields."""

    def __init__(
        self, fragments: Mapping[str, ast.FragmentDefinitionNode], variables: Mapping[str, Any], bounds: Bounds
    ) -> None:
        self._fragments, self._variables, self._bounds = fragments, variables, bounds
        self._count = 0

    def fields(self, selections: ast.SelectionSetNode | None, inside: tuple[str, ...], depth: int) -> Fields:
        """The fields of a selection set; `inside` are the fragments that it stands in."""
        if selections is None:
            return ()
        if depth > self._bounds.depth:
            raise QueryFault(
                f"the query is deeper than {self._bounds.depth} levels", code="too-costly", at=_at(selections)
            )
        return tuple(self._selections(selections.selections, inside, depth))

    def _selections(
        self, selections: Sequence[ast.SelectionNode], inside: tuple[str, ...], depth: int
    ) -> Iterator[Field | Fragment]:
        for selection in selections:
            self._count += 1
            if self._count > self._bounds.fields:
                raise QueryFault(f"the query has more than {self._bounds.fields} fields", code="too-costly")
            if not self._wanted(selection):
                continue
            if isinstance(selection, ast.FieldNode):
                yield self._field(selection, inside, depth)
            elif isinstance(selection, ast.InlineFragmentNode):
                condition = selection.type_condition.name.value if selection.type_condition else None
                yield Fragment(condition, self.fields(selection.selection_set, inside, depth))
            elif isinstance(selection, ast.FragmentSpreadNode):
                yield self._spread(selection, inside, depth)

    def _field(self, node: ast.FieldNode, inside: tuple[str, ...], depth: int) -> Field:
        name = node.name.value
        return Field(
            name,
            node.alias.value if node.alias else name,
            self._arguments(node.arguments),
            {d.name.value: self._arguments(d.arguments) for d in self._shaping(node)},
            self.fields(node.selection_set, inside, depth + 1),
            _at(node),
        )

    def _shaping(self, node: ast.FieldNode) -> Iterator[ast.DirectiveNode]:
        for directive in node.directives or ():
            name = directive.name.value
            if name in ("skip", "include"):
                continue
            if name not in _DIRECTIVES or {a.name.value for a in directive.arguments or ()} - _DIRECTIVES[name]:
                raise QueryFault(
                    "directives are @flatten, @first, @singleton, @slice(path:), @skip(if:) and @include(if:)",
                    code="not-supported",
                    at=_at(directive),
                )
            yield directive

    def _spread(self, node: ast.FragmentSpreadNode, inside: tuple[str, ...], depth: int) -> Fragment:
        name = node.name.value
        fragment = self._fragments.get(name)
        if fragment is None or name in inside:
            raise QueryFault("a fragment is not defined, or contains itself", code="invalid", at=_at(node))
        type_name = fragment.type_condition.name.value
        return Fragment(type_name, self.fields(fragment.selection_set, (*inside, name), depth))

    def _wanted(self, node: ast.SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name in ("skip", "include"):
                condition = self._arguments(directive.arguments).get("if")
                if not isinstance(condition, bool):
                    raise QueryFault("@skip and @include take if: true or false", code="value", at=_at(directive))
                if condition is (name == "skip"):
                    return False
        return True

    def _arguments(self, nodes: Sequence[ast.ArgumentNode] | None) -> dict[str, Any]:
        return {node.name.value: _value(node.value, self._variables) for node in nodes or ()}


def _value(node: ast.ValueNode, variables: Mapping[str, Any]) -> Any:
    """A value as it is used in searches and filters: codes are texts, numbers keep their digits."""
    match node:
        case ast.VariableNode():
            if node.name.value not in variables:
                raise QueryFault("a variable is used that the query does not declare", code="invalid", at=_at(node))
            return variables[node.name.value]
        case ast.IntValueNode() | ast.FloatValueNode() | ast.StringValueNode() | ast.EnumValueNode():
            return node.value
        case ast.BooleanValueNode():
            return node.value
        case ast.NullValueNode():
            return None
        case ast.ListValueNode():
            return [_value(item, variables) for item in node.values]
        case _:
            raise QueryFault("an argument is a value or a list of values", code="value", at=_at(node))


def _at(node: ast.Node) -> tuple[int, int]:
    location = node.loc
    if location is None:
        return 1, 1
    found = location.source.get_location(location.start)
    return found.line, found.column
