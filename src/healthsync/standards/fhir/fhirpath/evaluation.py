"""Syntax tree -> a function: every node becomes a closure over the closures of its parts, compiled once.

One file, though a long one: the nodes share how collections, empty ones above all, are treated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, DecimalException
from functools import cmp_to_key
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.fhirpath import syntax, types
from healthsync.standards.fhir.fhirpath.functions import FUNCTIONS, Collection, bounded, contains, truth
from healthsync.standards.fhir.fhirpath.values import (
    Node,
    Quantity,
    Temporal,
    children,
    distinct,
    equal,
    key,
    member,
    root,
    same_members,
    system,
)

MOST_STEPS = 1_000_000
"""Items that an evaluation may look at: expressions come from strangers too."""

_LARGEST_NUMBER = 10**1000

_STRUCTURE_DEFINITION = "http://hl7.org/fhir/StructureDefinition/"
_CONSTANTS = {"ucum": "http://unitsofmeasure.org", "sct": "http://snomed.info/sct", "loinc": "http://loinc.org"}


@dataclass(slots=True)
class Environment:
    """What an expression may ask of its surroundings.

    variables    `%name`: a node, a value, a resource or a list of these
    resolve      reference -> the resource's node, or None; without it, contained resources and those of the Bundle
    member_of    (value set, node) -> is it in there? None when that cannot be said
    conforms_to  (profile, node) -> does it conform? None when the profile is not known
    now          the time of `now()` and `today()`
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    resolve: Callable[[str], Node | None] | None = None
    member_of: Callable[[str, Node], bool | None] | None = None
    conforms_to: Callable[[str, Node], bool | None] | None = None
    now: datetime | None = None
    steps: int = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Raises InvalidInput when the evaluation has looked at too much."""
        self.steps -= steps
        if self.steps < 0:
            raise InvalidInput("the FHIRPath expression takes too many steps on this resource", code="too-costly")


class Scope:
    """`$this`, `$index`, `$total` and the environment."""

    __slots__ = ("environment", "index", "this", "total", "variables")

    def __init__(
        self,
        this: Collection,
        environment: Environment,
        index: int = 0,
        total: Collection | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.this, self.environment, self.index = this, environment, index
        self.total = total or []
        self.variables = environment.variables if variables is None else variables

    def around(self, items: Collection) -> Scope:
        """The scope of an argument that looks at the whole input."""
        return Scope(items, self.environment, 0, self.total, self.variables)

    def inside(self, item: Any, index: int, total: Collection | None = None) -> Scope:
        return Scope([item], self.environment, index, self.total if total is None else total, self.variables)


Evaluate = Callable[[Scope], Collection]


def compiled(tree: syntax.Node) -> Evaluate:
    """The function of a tree."""
    match tree:
        case syntax.Literal(value):
            constant: Collection = [] if value is None else [value]
            return lambda _: constant
        case syntax.TemporalLiteral(text):
            temporal = Temporal.parse(text)
            if temporal is None:
                raise InvalidInput("the FHIRPath expression holds a date or time that does not exist", code="value")
            return lambda _: [temporal]
        case syntax.QuantityLiteral(number, unit, is_calendar):
            quantity = Quantity(number, unit, is_calendar)
            return lambda _: [quantity]
        case syntax.Constant(name):
            return _constant(name)
        case syntax.Special("$this"):
            return lambda scope: scope.this
        case syntax.Special("$index"):
            return lambda scope: [scope.index]
        case syntax.Special(_):
            return lambda scope: scope.total
        case syntax.Member(of, name):
            return _first_member(name) if of is None else _member(compiled(of), name)
        case syntax.Index(of, position):
            return _indexed(compiled(of), compiled(position))
        case syntax.Sign(operator, operand):
            return _signed(operator, compiled(operand))
        case syntax.TypeTest(operator, operand, type_name):
            return _typed(operator, compiled(operand), type_name)
        case syntax.Binary("and" | "or" | "xor" | "implies" as operator, left, right):
            return _logical(operator, compiled(left), compiled(right))
        case syntax.Binary(operator, left, right):
            return _binary(operator, compiled(left), compiled(right))
        case syntax.Call(of, name, arguments):
            return _call(_this if of is None else compiled(of), name, arguments)
    raise AssertionError(tree)


def _this(scope: Scope) -> Collection:
    return scope.this


# --- paths --------------------------------------------------------------------------------------------------------


def _constant(name: str) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        if name in scope.variables:
            return _nodes(scope.variables[name])
        text = _CONSTANTS.get(name)
        if name.startswith("vs-"):
            text = f"http://hl7.org/fhir/ValueSet/{name[3:]}"
        if name.startswith("ext-"):
            text = _STRUCTURE_DEFINITION + name[4:]
        if text is None:
            raise InvalidInput("the FHIRPath expression names a %variable that is not defined here", code="value")
        return [text]

    return evaluate


def _nodes(value: Any) -> Collection:
    if value is None:
        return []
    if type(value) is list:
        return [node for item in value for node in _nodes(item)]
    return [root(value) if type(value) is dict else value]


def _member(of: Evaluate, name: str) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        items = of(scope)
        found = member(items[0], name) if len(items) == 1 else [child for item in items for child in member(item, name)]
        scope.environment.spend(len(items) + len(found))
        return found

    return evaluate


def _first_member(name: str) -> Evaluate:
    """`Patient.name` on a Patient: a path may begin with the type of what it is evaluated on (N1 §3.1)."""

    def evaluate(scope: Scope) -> Collection:
        return [child for item in scope.this for child in member(item, name)]

    if not name[0].isupper():
        return evaluate

    def begin(scope: Scope) -> Collection:
        same = [item for item in scope.this if type(item) is Node and types.is_type(item, name)]
        return same or evaluate(scope)

    return begin


def _indexed(of: Evaluate, position: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        items, wanted = of(scope), position(scope)
        if not wanted:
            return []
        place = system(wanted[0])
        if type(place) is not int:
            raise InvalidInput("an index in a FHIRPath expression is a whole number", code="value")
        return [items[place]] if 0 <= place < len(items) else []

    return evaluate


def _typed(operator: str, of: Evaluate, type_name: str) -> Evaluate:
    name = types.checked(type_name)

    def evaluate(scope: Scope) -> Collection:
        items = of(scope)
        if operator == "ofType":
            return [item for item in items if types.is_exactly(item, name)]
        if len(items) > 1:
            raise InvalidInput(f"the FHIRPath operator '{operator}' needs a single item", code="value")
        if operator == "as":
            return [item for item in items if types.is_exactly(item, name)]
        return [types.is_type(item, name) for item in items]

    return evaluate


# --- operators ----------------------------------------------------------------------------------------------------


def _signed(operator: str, operand: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        values = [system(item) for item in operand(scope)]
        if not values:
            return []
        if len(values) > 1 or type(values[0]) not in {int, Decimal, Quantity}:
            raise InvalidInput("a sign in a FHIRPath expression stands before a single number", code="value")
        value = values[0]
        if operator == "+":
            return [value]
        return [Quantity(-value.value, value.unit, value.is_calendar) if type(value) is Quantity else -value]

    return evaluate


def _logical(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    """Three-valued (N1 §6.5). What the left side decides alone leaves the right side unevaluated."""

    def evaluate(scope: Scope) -> Collection:
        one = truth(left(scope))
        if (operator == "and" and one is False) or (operator == "or" and one is True):
            return [one]
        if operator == "implies" and one is False:
            return [True]
        two = truth(right(scope))
        match operator:
            case "and":
                result = False if two is False else None if None in (one, two) else True
            case "or":
                result = True if two is True else None if None in (one, two) else False
            case "xor":
                result = None if None in (one, two) else one != two
            case _:
                result = two if one is True else True if two is True else None
        return [] if result is None else [result]

    return evaluate


def _binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    function = _OPERATORS[operator]

    def evaluate(scope: Scope) -> Collection:
        one, two = left(scope), right(scope)
        scope.environment.spend(len(one) + len(two))
        return function(one, two)

    return evaluate


def _equals(left: Collection, right: Collection) -> Collection:
    if not left or not right:
        return []
    if len(left) != len(right):
        return [False]
    results = [equal(one, two) for one, two in zip(left, right, strict=True)]
    return [False] if False in results else [] if None in results else [True]


def _differs(left: Collection, right: Collection) -> Collection:
    return [not result for result in _equals(left, right)]


def _equivalent(left: Collection, right: Collection) -> Collection:
    return [len(left) == len(right) and same_members(left, right)]


def _comparison(holds: Callable[[int], bool]) -> Callable[[Collection, Collection], Collection]:
    def compare(left: Collection, right: Collection) -> Collection:
        if not left or not right:
            return []
        order = _order(_single(left), _single(right))
        return [] if order is None else [holds(order)]

    return compare


def _single(items: Collection) -> Any:
    if len(items) > 1:
        raise InvalidInput("the FHIRPath expression compares or computes with several items at once", code="value")
    return system(items[0])


def _order(one: Any, two: Any) -> int | None:
    if type(one) is Temporal or type(two) is Temporal:
        one = Temporal.parse(one) if type(one) is str else one
        two = Temporal.parse(two) if type(two) is str else two
        if type(one) is Temporal and type(two) is Temporal:
            return one.order(two)
    elif type(one) is Quantity and type(two) is Quantity:
        both = one.common(two)
        return None if both is None else _order(*both)
    elif (type(one) is str and type(two) is str) or {type(one), type(two)} <= {int, Decimal}:
        return _sign(one, two)
    if type(one) is Node or type(two) is Node:  # a quantity without a value, a primitive with an extension only
        return None
    raise InvalidInput("the FHIRPath expression compares values of different kinds", code="value")


def _sign(one: Any, two: Any) -> int:
    return (one > two) - (one < two)


def _arithmetic(operator: str) -> Callable[[Collection, Collection], Collection]:
    def compute(left: Collection, right: Collection) -> Collection:
        if not left or not right:
            return []
        one, two = _single(left), _single(right)
        try:
            result = _computed(operator, one, two)
        except (DecimalException, ZeroDivisionError, OverflowError):
            return []
        return [] if result is None else [result]

    return compute


def _computed(operator: str, one: Any, two: Any) -> Any:
    if type(one) is str and type(two) is str and operator == "+":
        bounded(len(one) + len(two))
        return one + two
    if type(one) is Temporal and type(two) is Quantity and operator in {"+", "-"}:
        return one.plus(two, 1 if operator == "+" else -1)
    if Quantity in {type(one), type(two)}:
        return _with_quantities(operator, one, two)
    if not {type(one), type(two)} <= {int, Decimal}:
        raise InvalidInput(f"the FHIRPath operator '{operator}' does not work on these values", code="value")
    return _of_numbers(operator, one, two)


def _of_numbers(operator: str, one: Any, two: Any) -> Any:
    if max(abs(one), abs(two)) > _LARGEST_NUMBER:
        raise InvalidInput("the FHIRPath expression computes with a number that is too large", code="too-costly")
    match operator:
        case "+":
            return one + two
        case "-":
            return one - two
        case "*":
            return one * two
        case "/":
            return Decimal(one) / Decimal(two)
        case "div":
            return int(Decimal(one) / Decimal(two))
    return one - two * int(Decimal(one) / Decimal(two))


def _with_quantities(operator: str, one: Any, two: Any) -> Quantity | None:
    if type(one) is not Quantity or type(two) is not Quantity:
        if type(one) is Quantity:
            return _scaled(operator, one, two)
        return _scaled("*" if operator == "*" else "", two, one)
    if operator in {"+", "-"}:
        if one.unit != two.unit:
            return None
        value = one.value + two.value if operator == "+" else one.value - two.value
        return Quantity(value, one.unit, one.is_calendar)
    if operator == "*":
        units = [unit for unit in (one.unit, two.unit) if unit != "1"]
        return Quantity(one.value * two.value, ".".join(units) or "1")
    if operator == "/":
        unit = "1" if one.unit == two.unit else one.unit if two.unit == "1" else f"{one.unit}/{two.unit}"
        return Quantity(one.value / two.value, unit)
    return None


def _scaled(operator: str, quantity: Quantity, number: Any) -> Quantity:
    if operator not in {"*", "/"} or type(number) not in {int, Decimal}:
        raise InvalidInput("the FHIRPath expression computes with a quantity and a value of another kind", code="value")
    value = quantity.value * number if operator == "*" else quantity.value / number
    return Quantity(value, quantity.unit, quantity.is_calendar)


def _joined(left: Collection, right: Collection) -> Collection:
    texts = [_single(items) if items else "" for items in (left, right)]
    if any(type(text) is not str for text in texts):
        raise InvalidInput("the FHIRPath operator '&' joins texts", code="value")
    bounded(sum(map(len, texts)))
    return ["".join(texts)]


def _in(left: Collection, right: Collection) -> Collection:
    if not left:
        return []
    _single(left)
    return [contains(right, left[0])]


_OPERATORS: dict[str, Callable[[Collection, Collection], Collection]] = {
    "=": _equals,
    "!=": _differs,
    "~": _equivalent,
    "!~": lambda left, right: [not _equivalent(left, right)[0]],
    "<": _comparison(lambda order: order < 0),
    ">": _comparison(lambda order: order > 0),
    "<=": _comparison(lambda order: order <= 0),
    ">=": _comparison(lambda order: order >= 0),
    "|": lambda left, right: distinct(left + right),
    "in": _in,
    "contains": lambda left, right: _in(right, left),
    "&": _joined,
    **{operator: _arithmetic(operator) for operator in ("+", "-", "*", "/", "div", "mod")},
}


# --- functions ----------------------------------------------------------------------------------------------------


def _call(of: Evaluate, name: str, arguments: tuple[syntax.Node, ...]) -> Evaluate:
    if name in {"is", "as", "ofType"} and len(arguments) == 1:
        return _typed(name, of, _type_name(arguments[0]))
    if name == "sort":
        return _sort(of, arguments)
    special = _SPECIAL.get(name)
    if special is not None:
        counts, build = special
        _check_count(name, counts, arguments)
        return build(of, *(compiled(argument) for argument in arguments))
    if name not in FUNCTIONS:
        raise InvalidInput("the FHIRPath expression calls a function that does not exist", code="not-supported")
    counts, function = FUNCTIONS[name]
    _check_count(name, counts, arguments)
    inner = [compiled(argument) for argument in arguments]
    if not inner:
        return lambda scope: function(of(scope))
    return lambda scope: function(of(scope), *[argument(scope) for argument in inner])


def _check_count(name: str, counts: frozenset[int], arguments: tuple[syntax.Node, ...]) -> None:
    if len(arguments) not in counts:
        wanted = " or ".join(str(count) for count in sorted(counts))
        raise InvalidInput(f"the FHIRPath function {name} takes {wanted} arguments", code="value")


def _type_name(tree: syntax.Node) -> str:
    match tree:
        case syntax.Member(None, name):
            return name
        case syntax.Member(syntax.Member(None, namespace), name):
            return f"{namespace}.{name}"
    raise InvalidInput("is, as and ofType take the name of a type", code="value")


def _each(of: Evaluate, scope: Scope) -> list[tuple[Any, Scope]]:
    items = of(scope)
    scope.environment.spend(len(items))
    return [(item, scope.inside(item, index)) for index, item in enumerate(items)]


def _children(of: Evaluate) -> Evaluate:
    return lambda scope: _below(of(scope), scope.environment)


def _descendants(of: Evaluate) -> Evaluate:
    """Everything below, not the items themselves."""

    def evaluate(scope: Scope) -> Collection:
        found: Collection = []
        level = of(scope)
        while level := _below(level, scope.environment):
            found += level
        return found

    return evaluate


def _below(items: Collection, environment: Environment) -> Collection:
    found = [child for item in items for child in children(item)]
    environment.spend(len(found))
    return found


def _where(of: Evaluate, criteria: Evaluate) -> Evaluate:
    return lambda scope: [item for item, inside in _each(of, scope) if truth(criteria(inside)) is True]


def _select(of: Evaluate, projection: Evaluate) -> Evaluate:
    return lambda scope: [found for _, inside in _each(of, scope) for found in projection(inside)]


def _exists(of: Evaluate, criteria: Evaluate | None = None) -> Evaluate:
    if criteria is None:
        return lambda scope: [bool(of(scope))]
    return lambda scope: [any(truth(criteria(inside)) is True for _, inside in _each(of, scope))]


def _all(of: Evaluate, criteria: Evaluate) -> Evaluate:
    return lambda scope: [all(truth(criteria(inside)) is True for _, inside in _each(of, scope))]


def _repeat(of: Evaluate, projection: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        found: dict[Any, Any] = {}
        pending = of(scope)
        while pending:
            scope.environment.spend(len(pending))
            new: Collection = []
            for index, item in enumerate(pending):
                for result in projection(scope.inside(item, index)):
                    identity = _identity(result)
                    if identity not in found:
                        found[identity] = result
                        new.append(result)
            pending = new
        return list(found.values())

    return evaluate


def _identity(item: Any) -> Any:
    """Two elements with the same content are two results of `repeat`; the same element reached twice is one."""
    return item.place if type(item) is Node and item.parent is not None else key(item)


def _aggregate(of: Evaluate, step: Evaluate, first: Evaluate | None = None) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        total = first(scope) if first is not None else []
        for index, item in enumerate(of(scope)):
            scope.environment.spend(1)
            total = step(scope.inside(item, index, total))
        return total

    return evaluate


def _iif(of: Evaluate, condition: Evaluate, then: Evaluate, otherwise: Evaluate | None = None) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        items = of(scope)
        if len(items) > 1:
            raise InvalidInput("iif needs a single item", code="value")
        inside = scope if items is scope.this else scope.around(items)
        found = condition(inside)
        if found and type(system(found[0])) is not bool:
            raise InvalidInput("the first argument of iif is a condition", code="value")
        if truth(found) is True:
            return then(inside)
        return otherwise(inside) if otherwise is not None else []

    return evaluate


def _sort(of: Evaluate, arguments: tuple[syntax.Node, ...]) -> Evaluate:
    """A minus before a key means descending, for texts too (N2 sort)."""
    keys = [
        (compiled(argument.operand), -1)
        if isinstance(argument, syntax.Sign) and argument.operator == "-"
        else (compiled(argument), 1)
        for argument in arguments
    ] or [(_this, 1)]

    def evaluate(scope: Scope) -> Collection:
        items = of(scope)
        scope.environment.spend(len(items) * len(keys))
        return sorted(items, key=cmp_to_key(lambda one, two: _compared(one, two, scope, keys)))

    return evaluate


def _compared(one: Any, two: Any, scope: Scope, keys: list[tuple[Evaluate, int]]) -> int:
    for sort_key, direction in keys:
        first, second = sort_key(scope.inside(one, 0)), sort_key(scope.inside(two, 0))
        order = _order(_single(first), _single(second)) if first and second else len(first) - len(second)
        if order:
            return order * direction
    return 0


def _type(of: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        names = [types.name_of(item) for item in of(scope)]
        return [Node({"namespace": namespace, "name": name}, "") for namespace, name in names]

    return evaluate


def _resolve(of: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        return [found for item in of(scope) if (found := _resolved(item, scope)) is not None]

    return evaluate


def _resolved(item: Any, scope: Scope) -> Node | None:
    text = system(item)
    if type(text) is Node:
        text = (text.value or {}).get("reference") if type(text.value) is dict else None
    if type(text) is not str:
        return None
    if scope.environment.resolve is not None:
        return scope.environment.resolve(text)
    return _resolved_inside(text, _nodes(scope.variables.get("rootResource")))


def _resolved_inside(text: str, roots: Collection) -> Node | None:
    """A contained resource, or one of the Bundle that is looked at."""
    for whole in roots:
        if text.startswith("#"):
            candidates = [whole] if text == "#" else member(whole, "contained")
            found = [node for node in candidates if text == "#" or node.value.get("id") == text[1:]]
        else:
            found = [
                resource
                for entry in member(whole, "entry")
                for resource in member(entry, "resource")
                if text in {entry.value.get("fullUrl"), f"{resource.type}/{resource.value.get('id')}"}
            ]
        if found:
            return found[0]
    return None


def _member_of(of: Evaluate, value_set: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        ask, items = scope.environment.member_of, of(scope)
        if ask is None or not items:
            return []
        answer = ask(str(_single(value_set(scope))), items[0])
        return [] if answer is None else [answer]

    return evaluate


def _conforms_to(of: Evaluate, profile: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Collection:
        items, url = of(scope), str(_single(profile(scope)))
        if not items:
            return []
        name = url.removeprefix(_STRUCTURE_DEFINITION)
        answer = types.is_type(items[0], name) if name in types.known() else None
        if answer is None and scope.environment.conforms_to is not None:
            answer = scope.environment.conforms_to(url, items[0])
        if answer is None:
            raise InvalidInput("the FHIRPath expression names a profile that is not loaded", code="not-found")
        return [answer]

    return evaluate


def _clock(form: Callable[[datetime], Temporal]) -> Callable[[Evaluate], Evaluate]:
    def build(_: Evaluate) -> Evaluate:
        def evaluate(scope: Scope) -> Collection:
            if scope.environment.now is None:
                raise InvalidInput("the FHIRPath expression asks for the time, which is not given here", code="value")
            return [form(scope.environment.now)]

        return evaluate

    return build


def _moment(text: str, kind: str) -> Temporal:
    found = Temporal.parse(text, kind)
    assert found is not None
    return found


_SPECIAL: dict[str, tuple[frozenset[int], Callable[..., Evaluate]]] = {
    "children": (frozenset({0}), _children),
    "descendants": (frozenset({0}), _descendants),
    "where": (frozenset({1}), _where),
    "select": (frozenset({1}), _select),
    "exists": (frozenset({0, 1}), _exists),
    "all": (frozenset({1}), _all),
    "repeat": (frozenset({1}), _repeat),
    "aggregate": (frozenset({1, 2}), _aggregate),
    "iif": (frozenset({2, 3}), _iif),
    "type": (frozenset({0}), _type),
    "resolve": (frozenset({0}), _resolve),
    "memberOf": (frozenset({1}), _member_of),
    "conformsTo": (frozenset({1}), _conforms_to),
    "now": (frozenset({0}), _clock(lambda now: _moment(now.isoformat(timespec="milliseconds"), "DateTime"))),
    "today": (frozenset({0}), _clock(lambda now: _moment(now.date().isoformat(), "Date"))),
    "timeOfDay": (frozenset({0}), _clock(lambda now: _moment(now.time().isoformat("milliseconds"), "Time"))),
}
