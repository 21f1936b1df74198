"""FHIRPath over FHIR R4 (http://hl7.org/fhirpath/N1, fhirpath.html): expressions compiled once into functions.

    names = compile("name.where(use = 'official').given")
    names(patient)                                  -> ["Anna", "Maria"]
    locate("name.where(use = 'official')")(patient) -> ["Patient.name[0]"]

`syntax` reads, `evaluation` compiles, `functions` and `values` compute. An evaluation changes nothing, reads no clock
and follows references inside the resource or Bundle only. Not supported: `defineVariable`, `elementDefinition`,
`slice`, `checkModifiers`, `subsumes`, and static checks of names (`name.givn` yields nothing).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from healthsync.standards.fhir.fhirpath import syntax
from healthsync.standards.fhir.fhirpath.evaluation import Environment, Evaluate, Scope, compiled
from healthsync.standards.fhir.fhirpath.functions import truth
from healthsync.standards.fhir.fhirpath.values import Node, Quantity, Temporal, root

__all__ = ["Environment", "Expression", "Node", "compile", "condition", "locate", "nodes", "root"]

MOST_COMPILED = 4096

Expression = Callable[..., list[Any]]
"""(resource, **variables) -> the collection that the expression yields; `%name` in it is the variable `name`."""


@lru_cache(MOST_COMPILED)
def nodes(expression: str) -> Evaluate:
    """The compiled expression as it is used inside the hub: (scope) -> nodes and System values.

    Raises InvalidInput for text that is not FHIRPath, or calls what does not exist.
    """
    return compiled(syntax.parse(expression))


@lru_cache(MOST_COMPILED)
def compile(expression: str) -> Expression:
    """The function of an expression. Raises InvalidInput for one that is not FHIRPath; so does a failing evaluation.

    Objects in the answer are those of the resource itself (do not change them), decimals keep every digit, dates,
    times and computed quantities are texts.
    """
    evaluate = nodes(expression)

    def call(resource: Any, **variables: Any) -> list[Any]:
        values = (_plain(item) for item in evaluate(_scope(resource, variables)))
        return [value for value in values if value is not None]

    return call


@lru_cache(MOST_COMPILED)
def locate(expression: str) -> Callable[..., list[str]]:
    """As `compile`, but yields where the elements stand: `Patient.name[0].given[1]`; nothing for computed values."""
    evaluate = nodes(expression)

    def call(resource: Any, **variables: Any) -> list[str]:
        return [item.place for item in evaluate(_scope(resource, variables)) if type(item) is Node]

    return call


def condition(evaluate: Evaluate, node: Node, environment: Environment) -> bool | None:
    """Does an invariant hold for the element? None when nothing comes of it (three-valued logic, N1 §6.5)."""
    return truth(evaluate(Scope([node], environment)))


def _scope(resource: Any, variables: dict[str, Any]) -> Scope:
    items = [
        item if type(item) is Node else root(item) for item in (resource if type(resource) is list else [resource])
    ]
    now = variables.pop("now", None)
    named = {"context": items, "resource": items, "rootResource": items, **variables}
    return Scope(items, Environment(named, now=now))


def _plain(item: Any) -> Any:
    if type(item) is Node:
        return item.value
    return str(item) if type(item) in {Temporal, Quantity} else item
