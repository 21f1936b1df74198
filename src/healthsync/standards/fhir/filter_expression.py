"""The expression language of `_filter`, read into the same nodes as other criteria (search_filter.html).

    given eq "peter" and birthdate ge 2014-10-10
    subject.name co "pet"
    not (code in http://example.org/fhir/ValueSet/1)
    subject[active eq true].name sw "pe"

`and` and `or` have no precedence: they are read from left to right, as the standard says. Strings are compared without
case and accents, as in every other search. What a comparison says is said of one value: `ne` needs a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn

import msgspec

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.criteria import (
    And,
    Budget,
    Chain,
    Criterion,
    Node,
    Not,
    Or,
    UnknownParameter,
    missing,
    parameter_of,
    target_types,
)
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query_values import (
    CompositeValue,
    DateValue,
    Modifier,
    QuantityValue,
    TokenValue,
    UriValue,
    Value,
    components_of,
    date_value,
    number_value,
    quantity_value,
    read_reference,
    read_token,
    string_value,
    too_costly,
    unreadable,
    unserved,
)
from healthsync.standards.fhir.search_parameters import Parameter, is_indexed, unserved_because

LONGEST = 4000
"""Characters of an expression."""
DEEPEST = 20
"""Brackets, and steps of a path, within each other."""
MOST_COMPARISONS = 100


def read(resource_type: str, text: str, budget: Budget) -> Node:
    """Read the value of `_filter` in a search on `resource_type` ("": across types).

    Raises InvalidInput: `value` for what is no expression, `not-supported` for a parameter or an operator that does
    not fit it, `too-costly` beyond the limits of this module.
    """
    if len(text) > LONGEST:
        too_costly(f"'_filter' is longer than {LONGEST} characters")
    return _meaning(resource_type, _Reader(_Tokens(text)).whole(), budget)


# --- text to expression -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    filter: _Expression | None


@dataclass(frozen=True, slots=True)
class _Comparison:
    path: tuple[_Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class _Logical:
    operator: str  # and | or
    parts: tuple[_Expression, ...]


@dataclass(frozen=True, slots=True)
class _Negation:
    inner: _Expression


_Expression = _Comparison | _Logical | _Negation

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_SPACE = re.compile(r"\s*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE = re.compile(r"[^\s)\]]+")


class _Tokens:
    """The text of an expression and a place in it; each character is looked at a bounded number of times."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def accept(self, character: str) -> bool:
        if self.text.startswith(character, self.position):
            self.position += len(character)
            return True
        return False

    def space(self) -> bool:
        start = self.position
        self.position = _end(_SPACE, self.text, start)
        return self.position > start

    def name(self) -> str:
        found = _NAME.match(self.text, self.position)
        if found is None:
            _malformed("a name of a search parameter is missing")
        self.position = found.end()
        return found[0]

    def peek_name(self) -> str:
        found = _NAME.match(self.text, self.position)
        return found[0] if found else ""

    def value(self) -> str:
        """A JSON string, or what runs to the next blank or closing bracket."""
        quoted = self.text.startswith('"', self.position)
        found = (_STRING if quoted else _BARE).match(self.text, self.position)
        if found is None:
            _malformed("a value is missing or its quotation marks do not close")
        self.position = found.end()
        return _json_string(found[0]) if quoted else found[0]

    def at_end(self) -> bool:
        return self.position == len(self.text)


class _Reader:
    """Recursive descent over the grammar of search_filter.html."""

    def __init__(self, tokens: _Tokens) -> None:
        self.tokens = tokens
        self.depth = 0
        self.comparisons = 0

    def whole(self) -> _Expression:
        found = self.expression()
        if not self.tokens.at_end():
            _malformed("something is left over after the expression; does every bracket open and close?")
        return found

    def expression(self) -> _Expression:
        self.deeper()
        self.tokens.space()
        found = self.operand()
        self.tokens.space()
        while (word := self.tokens.peek_name()) in {"and", "or"}:
            self.tokens.name()
            self.tokens.space()
            right = self.operand()
            self.tokens.space()
            if isinstance(found, _Logical) and found.operator == word:
                found = replace(found, parts=(*found.parts, right))
            else:
                found = _Logical(word, (found, right))
        self.depth -= 1
        return found

    def operand(self) -> _Expression:
        if self.tokens.accept("("):
            return self.bracket(")")
        if self.tokens.peek_name() == "not":
            self.tokens.name()
            self.tokens.space()
            if not self.tokens.accept("("):
                _malformed("'not' takes an expression in brackets")
            return _Negation(self.bracket(")"))
        return self.comparison()

    def bracket(self, close: str) -> _Expression:
        found = self.expression()
        if not self.tokens.accept(close):
            _malformed("a bracket does not close")
        return found

    def comparison(self) -> _Comparison:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            too_costly(f"'_filter' has more than {MOST_COMPARISONS} comparisons")
        path = self.path()
        if not self.tokens.space():
            _malformed("a path, an operator and a value stand with blanks between them")
        operator = self.tokens.name()
        if operator not in _OPERATORS:
            _malformed(f"the operator is one of {', '.join(sorted(_OPERATORS))}")
        if not self.tokens.space():
            _malformed("a path, an operator and a value stand with blanks between them")
        return _Comparison(path, operator, self.tokens.value())

    def path(self) -> tuple[_Step, ...]:
        steps = []
        while True:
            name = self.tokens.name()
            inner = self.bracket("]") if self.tokens.accept("[") else None
            steps.append(_Step(name, inner))
            if not self.tokens.accept("."):
                return tuple(steps)
            if len(steps) == DEEPEST:
                too_costly(f"'_filter' has a path of more than {DEEPEST} steps")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            too_costly(f"'_filter' has brackets deeper than {DEEPEST}")


# --- expression to criteria ---------------------------------------------------------------------------------------


def _meaning(resource_type: str, expression: _Expression, budget: Budget) -> Node:
    match expression:
        case _Logical(operator, parts):
            nodes = tuple(_meaning(resource_type, part, budget) for part in parts)
            return And(nodes) if operator == "and" else Or(nodes)
        case _Negation(inner):
            return Not(_meaning(resource_type, inner, budget))
        case _Comparison(path, "pr", value):
            return _presence(resource_type, path, value, budget)
        case _Comparison(path, operator, value):
            return _along(
                resource_type, path, lambda type_, parameter: _compare(type_, parameter, operator, value), budget
            )


def _presence(resource_type: str, path: tuple[_Step, ...], value: str, budget: Budget) -> Node:
    """`pr`: the set that the whole path leads to is empty or not; so `false` denies the way as well."""
    if value not in {"true", "false"}:
        _malformed("'pr' takes true or false")
    if len(path) == 1 and path[0].filter is None:
        return _along(resource_type, path, lambda _, parameter: missing(parameter, value == "false"), budget)
    present = _along(resource_type, path, lambda _, parameter: missing(parameter, False), budget)
    return present if value == "true" else Not(present)


def _along(resource_type: str, path: tuple[_Step, ...], leaf: Callable[[str, Parameter], Node], budget: Budget) -> Node:
    """Follow a path of references to its last parameter, and there make the node."""
    budget.spend()
    step, *rest = path
    if step.filter is not None and (resource_type, step.name) in _GROUPS:
        step, rest = _grouped(resource_type, step, rest)
    parameter = _parameter(resource_type, step.name)
    if not rest:
        if step.filter is not None:
            unserved("a filter in [] is followed by . and what to look at there")
        return leaf(resource_type, parameter)
    if parameter.type == "composite" and step.filter is not None and len(rest) == 1:
        return _combined(resource_type, parameter, step.filter, rest[0], leaf)
    return Chain(parameter, _targets(parameter, step, tuple(rest), leaf, budget))


def _targets(
    parameter: Parameter,
    step: _Step,
    rest: tuple[_Step, ...],
    leaf: Callable[[str, Parameter], Node],
    budget: Budget,
) -> tuple[tuple[str, Node], ...]:
    found: list[tuple[str, Node]] = []
    refusal: InvalidInput | None = None
    for each in target_types(parameter):
        try:
            node = _along(each, rest, leaf, budget)
            if step.filter is not None:
                node = And((_meaning(each, step.filter, budget), node))
            found.append((each, node))
        except InvalidInput as problem:
            if problem.code == "too-costly":
                raise
            if refusal is None or isinstance(refusal, UnknownParameter):
                refusal = problem
    if not found:
        assert refusal is not None
        raise refusal
    return tuple(found)


def _combined(
    resource_type: str,
    composite: Parameter,
    expression: _Expression,
    last: _Step,
    leaf: Callable[[str, Parameter], Node],
) -> Node:
    """`code-value-quantity[code eq X].value-quantity gt 5`: both of the same repetition of the element."""
    parts = {part.name: part for part in components_of(resource_type, composite)}
    wanted = _equalities(expression)
    if wanted is None or last.filter is not None or {*wanted, last.name} != {*parts} or last.name in wanted:
        unserved(f"'{composite.name}[…]' takes an 'eq' for each of its components but the last, which follows the dot")
    values: dict[str, Value] = {}
    for name, value in wanted.items():
        values[name] = _component(_compare(resource_type, parts[name], "eq", value), composite)
    values[last.name] = _component(leaf(resource_type, parts[last.name]), composite)
    return Criterion(composite, None, (CompositeValue(tuple((part, values[name]) for name, part in parts.items())),))


def _grouped(resource_type: str, step: _Step, rest: list[_Step]) -> tuple[_Step, list[_Step]]:
    """The names that search_filter.html#params adds, as the composite parameters that mean the same."""
    composite, names = _GROUPS[resource_type, step.name]
    renamed = [replace(each, name=names.get(each.name, each.name)) for each in rest]
    assert step.filter is not None
    return _Step(composite, _renamed(step.filter, names)), renamed


def _renamed(expression: _Expression, names: dict[str, str]) -> _Expression:
    match expression:
        case _Logical(parts=parts):
            return replace(expression, parts=tuple(_renamed(part, names) for part in parts))
        case _Negation(inner):
            return _Negation(_renamed(inner, names))
        case _Comparison(path=(first, *rest)):
            return replace(expression, path=(replace(first, name=names.get(first.name, first.name)), *rest))
    return expression


def _equalities(expression: _Expression) -> dict[str, str] | None:
    """Component -> value, when the expression is nothing but `name eq value` joined by `and`."""
    parts = expression.parts if isinstance(expression, _Logical) and expression.operator == "and" else (expression,)
    found = {}
    for part in parts:
        if not isinstance(part, _Comparison) or part.operator != "eq" or len(part.path) != 1 or part.path[0].filter:
            return None
        found[part.path[0].name] = part.value
    return found if len(found) == len(parts) else None


def _component(node: Node, composite: Parameter) -> Value:
    """The single value of a comparison, as a composite carries it."""
    if not isinstance(node, Criterion) or node.modifier is not None:
        unserved(f"this operator cannot be used on a component of '{composite.name}'")
    return node.values[0]


def _parameter(resource_type: str, name: str) -> Parameter:
    parameter = parameter_of(resource_type, name)
    if parameter is None:
        raise UnknownParameter(resource_type, name)
    if not is_indexed(parameter):
        unserved(unserved_because(parameter))
    return parameter


_GROUPS = {
    ("Group", "characteristic"): ("characteristic-value", {"code": "characteristic", "value": "value"}),
    ("DocumentReference", "relatesTo"): ("relationship", {"code": "relation", "target": "relatesto"}),
}
_SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
"""Names that stand for their system in a token (search_filter.html)."""

# --- operators by type of parameter -------------------------------------------------------------------------------

_ORDERED = {
    "eq": Prefix.EQUAL, "ne": Prefix.NOT_EQUAL, "gt": Prefix.GREATER, "lt": Prefix.LESS, "ge": Prefix.GREATER_OR_EQUAL,
    "le": Prefix.LESS_OR_EQUAL, "ap": Prefix.APPROXIMATELY, "sa": Prefix.STARTS_AFTER, "eb": Prefix.ENDS_BEFORE,
}  # fmt: skip
_STRINGS = {"eq": Modifier.EQUALS, "co": Modifier.CONTAINS, "sw": None, "ew": Modifier.ENDS}
_TOKENS = {"eq": None, "ss": Modifier.BELOW, "sb": Modifier.ABOVE}
_VALUE_SETS = {"in": Modifier.IN, "ni": Modifier.NOT_IN}
_OPERATORS = frozenset({*_ORDERED, *_STRINGS, *_TOKENS, *_VALUE_SETS, "pr", "po", "re"})


def _compare(resource_type: str, parameter: Parameter, operator: str, value: str) -> Node:
    """One comparison on the resource itself."""
    if not value.strip():
        unreadable(parameter.name, "it has no value")
    if parameter.type in {"date", "number", "quantity"}:
        return _ordered(parameter, operator, value)
    if operator == "ne":
        return And((missing(parameter, False), Not(_compare(resource_type, parameter, "eq", value))))
    if parameter.type == "string" and parameter.usage == "phonetic" and operator == "eq":
        return Criterion(parameter, None, (string_value(parameter, value),))
    if parameter.type == "string" and operator in _STRINGS and parameter.usage != "phonetic":
        return Criterion(parameter, _STRINGS[operator], (string_value(parameter, value),))
    if parameter.type == "token" and operator in _TOKENS:
        return Criterion(parameter, _TOKENS[operator], (_token(parameter, value),))
    if parameter.type == "token" and operator in _VALUE_SETS:
        return Criterion(parameter, _VALUE_SETS[operator], (UriValue(value),))
    if parameter.type == "reference" and operator in {"eq", "re"}:
        return Criterion(parameter, None, (read_reference(parameter, None, value),))
    if parameter.type == "uri" and operator == "eq":
        return Criterion(parameter, None, (UriValue(value),))
    return _unfit(parameter, operator)


def _ordered(parameter: Parameter, operator: str, value: str) -> Node:
    if parameter.type == "date" and operator == "po":
        return _overlapping(parameter, value)
    if operator not in _ORDERED:
        _unfit(parameter, operator)
    prefix = _ORDERED[operator]
    read_ = {"date": date_value, "number": number_value, "quantity": quantity_value}[parameter.type]
    found = read_(parameter, prefix, value)
    if isinstance(found, QuantityValue):
        found = replace(found, system=_SYSTEMS.get(found.system or "", found.system))
    return Criterion(parameter, None, (found,))


def _token(parameter: Parameter, value: str) -> TokenValue:
    found = read_token(parameter, value)
    return replace(found, system=_SYSTEMS.get(found.system or "", found.system))


def _overlapping(parameter: Parameter, value: str) -> Node:
    """`po`: begins before the end of the value, and ends after its beginning."""
    asked = date_value(parameter, Prefix.EQUAL, value)
    before = DateValue(Prefix.LESS, asked.high, asked.high)
    after = DateValue(Prefix.GREATER, asked.low, asked.low)
    return And((Criterion(parameter, None, (before,)), Criterion(parameter, None, (after,))))


def _unfit(parameter: Parameter, operator: str) -> NoReturn:
    unserved(f"the operator '{operator}' does not fit '{parameter.name}', which is a {parameter.type}")


def _json_string(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeError):
        _malformed('a string is written as in JSON, with \\" and \\\\ for quotation mark and backslash')


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _malformed(because: str) -> NoReturn:
    raise InvalidInput(f"the search parameter '_filter' cannot be read: {because}", code="value") from None
