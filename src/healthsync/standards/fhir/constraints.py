"""The invariants of R4 with severity error that are written in FHIRPath, compiled when a type is first seen.

What the schema (ele-1 in part) or `invariants` (those met in almost every resource, and those whose official FHIRPath
says something else than its sentence) look at is left out here; `OWN_CODE` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.definitions import invariants, json_name
from healthsync.standards.fhir.fhirpath.evaluation import Evaluate
from healthsync.standards.fhir.fhirpath.values import member
from healthsync.standards.fhir.outcome import Issue, error
from healthsync.standards.fhir.schema import elements

OWN_CODE = frozenset(
    {"ait-1", "ait-2", "att-1", "con-4", "con-5", "cpt-2", "dom-2", "dom-3", "dom-4", "dom-5", "ele-1", "ext-1"}
    | {"obs-3", "obs-6", "obs-7", "org-1", "pat-1", "per-1", "qty-3", "que-7", "ref-1", "tim-9", "txt-1", "txt-2"}
)

_INDEFINITE = frozenset({"bdl-8", "inv-1", "mdd-1", "ras-2", "rng-2"})
"""They look at what may be absent, or compare dates of unlike precision and quantities of unlike units. Of all others
an empty result means that what they demand is not there: HL7's validator takes it so too."""

_MOST_STEPS = 2_000_000
"""Some of HL7's invariants compare each element with every other (sdf-8): for a hostile resource they are given up."""


class Constraint(NamedTuple):
    """One invariant: its key, the compiled FHIRPath and what it demands.

    `child` is the element that it is about when that has no path of its own ("" otherwise), `properties` what may hold
    this child in JSON.
    """

    child: str
    properties: frozenset[str]
    key: str
    holds: Evaluate
    sentence: str


@cache
def of(content: str) -> tuple[Constraint, ...]:
    """The invariants of a type or backbone element."""
    return tuple(
        Constraint(child, _properties(content, child), key, fhirpath.nodes(expression), f"{key}: {_sentence(human)}")
        for child, rules in invariants().get(content, {}).items()
        for key, expression, human in rules
        if key not in OWN_CODE
    )


def broken(content: str, value: dict[str, Any], path: str, resource: Any, root: Any) -> Iterator[Issue]:
    """An issue for each invariant that `value` breaks; `root` holds `resource` when that is a contained one."""
    present = [rule for rule in of(content) if not rule.child or not rule.properties.isdisjoint(value)]
    if not present:
        return
    node = fhirpath.root(value, content)
    whole = fhirpath.root(resource)
    variables = {"resource": whole, "rootResource": whole if root is resource else fhirpath.root(root)}
    environment = fhirpath.Environment({**variables, "context": node}, steps=_MOST_STEPS)
    for rule in present:
        if not rule.child:
            if not _holds(rule, node, environment):
                yield error("invariant", rule.sentence, path)
            continue
        for item in member(node, rule.child):
            if not _holds(rule, item, fhirpath.Environment({**variables, "context": item}, steps=_MOST_STEPS)):
                yield error("invariant", rule.sentence, path + item.place.removeprefix(node.place))


def _properties(content: str, child: str) -> frozenset[str]:
    facts = elements(content)
    names = [name for name in facts if name.removesuffix("[x]") == child]
    values = {json_name(name, kind) for name in names for kind in facts[name].get("types", ("",))}
    return frozenset(values | {f"_{name}" for name in values})


def _holds(constraint: Constraint, item: fhirpath.Node, environment: fhirpath.Environment) -> bool:
    try:
        answer = fhirpath.condition(constraint.holds, item, environment)
    except InvalidInput:
        return True  # it compares what cannot be compared, or too much, so that nothing can be said
    return constraint.key in _INDEFINITE if answer is None else answer


def _sentence(human: str) -> str:
    """HL7's words (CC0), as a sentence in the middle of one of ours."""
    text = human.strip().rstrip(".")
    return text[0].lower() + text[1:] if text[1:2].islower() else text
