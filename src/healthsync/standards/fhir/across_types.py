"""One criterion on several resource types at once (`_type`): what is common to what it means on each of them.

A parameter that the types find at different elements loses its `paths`: they are those of the resource looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from healthsync.standards.fhir.criteria import And, Chain, Criterion, Node, Not, Or
from healthsync.standards.fhir.query_values import ReferenceValue, Value, unserved
from healthsync.standards.fhir.search_parameters import Parameter


def merged(nodes: Sequence[Node]) -> Node:
    """The node that says of each type what `nodes` say one by one.

    Raises InvalidInput (`not-supported`) where the parameter does not mean the same in all of them.
    """
    first = nodes[0]
    if all(node == first for node in nodes):
        return first
    if all(isinstance(node, Criterion) for node in nodes):
        return _criterion([node for node in nodes if isinstance(node, Criterion)])
    if all(isinstance(node, Chain) for node in nodes):
        return _chain([node for node in nodes if isinstance(node, Chain)])
    if isinstance(first, Not):
        return Not(merged([node.node for node in nodes if isinstance(node, Not)]))
    if isinstance(first, And | Or):
        columns = zip(*(node.nodes for node in nodes if isinstance(node, And | Or)), strict=True)
        return type(first)(tuple(merged(column) for column in columns))
    unserved("this criterion does not mean the same in all of the types; search them one by one")


def _criterion(nodes: Sequence[Criterion]) -> Criterion:
    parameter = _parameter([node.parameter for node in nodes])
    values = zip(*(node.values for node in nodes), strict=True)
    return replace(nodes[0], parameter=parameter, values=tuple(_value(parameter, column) for column in values))


def _chain(nodes: Sequence[Chain]) -> Chain:
    inner = {target: node for chain in nodes for target, node in chain.inner}
    return Chain(_parameter([node.parameter for node in nodes]), tuple(inner.items()))


def _parameter(parameters: Sequence[Parameter]) -> Parameter:
    first = parameters[0]
    if any((each.name, each.type, each.usage) != (first.name, first.type, first.usage) for each in parameters):
        unserved(f"'{first.name}' does not mean the same in all of the types; search them one by one")
    paths = first.paths if all({*each.paths} == {*first.paths} for each in parameters) else ()
    targets = dict.fromkeys(target for each in parameters for target in each.targets)
    return replace(first, paths=paths, targets=tuple(targets), canonical=any(each.canonical for each in parameters))


def _value(parameter: Parameter, values: Sequence[Value]) -> Value:
    first = values[0]
    if all(value == first for value in values):
        return first
    if not isinstance(first, ReferenceValue):
        unserved(f"'{parameter.name}' does not mean the same in all of the types; search them one by one")
    # A bare id: the types that it may be of, in any of the types that are searched.
    targets = dict.fromkeys(t for value in values if isinstance(value, ReferenceValue) for t in value.targets)
    return ReferenceValue(None, first.id, first.url, tuple(targets))
