"""Under which values a resource is found: the official R4 search parameters, compiled (search.html).

Every parameter names elements by a FHIRPath of a small dialect: paths, `|`, `where(x='y')`,
`where(resolve() is Patient)`, `ofType(X)`. For each resource type all paths are merged into one tree over the
properties of its JSON. The tree is typed by the StructureDefinitions, so that each leaf knows at compile time how its
values are indexed, and a resource is walked once for all its parameters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates, references
from healthsync.standards.fhir.definitions import json_name, search_parameters, structures, value_sets


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type. `targets` are the types that a reference may point at."""

    name: str
    type: str  # token | string | date | reference | uri | number | quantity | composite | special
    url: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()  # of a composite: (url of the parameter, expression)
    usage: str = "normal"  # or phonetic, nearby


@dataclass(slots=True)
class IndexValues:
    """What a resource is found under, by kind of parameter. Names are those of the search parameters.

    `strings` are normalised (`normalise`), `exact` holds the same texts as written, for `:exact`. A reference is
    `Type/id` or a URL, without version; a logical one (Reference.identifier) is a token under `name:identifier`.
    Dates are half-open intervals. Numbers and quantities are closed ranges, None where unbounded.
    """

    tokens: list[tuple[str, str | None, str]] = field(default_factory=list)
    strings: list[tuple[str, str]] = field(default_factory=list)
    exact: list[tuple[str, str]] = field(default_factory=list)
    dates: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    references: list[tuple[str, str]] = field(default_factory=list)
    uris: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, Decimal | None, Decimal | None]] = field(default_factory=list)
    quantities: list[tuple[str, Decimal | None, Decimal | None, str | None, str | None, str | None]] = field(
        default_factory=list
    )


def index(resource: dict[str, Any]) -> IndexValues:
    """Every value under which `resource` is found, each once. `_id` and `_lastUpdated` belong to the store.

    The resource is expected to be structurally valid; what has no meaning (an impossible date) is left out.
    """
    values = IndexValues()
    _tree(resource["resourceType"]).visit(resource, values)
    for kind in (each.name for each in fields(values)):
        entries = getattr(values, kind)
        if len(entries) > 1:
            setattr(values, kind, list(dict.fromkeys(entries)))
    return values


def referenced_under(resource: dict[str, Any], names: frozenset[str]) -> list[str]:
    """Targets of the reference parameters `names` alone: what `index` would put under them."""
    values = IndexValues()
    _tree(resource["resourceType"], names).visit(resource, values)
    return [target for _, target in values.references]


@cache
def definitions(resource_type: str) -> dict[str, Parameter]:
    """Name -> parameter, for everything that a search on `resource_type` may name, `_id` and its like included."""
    bases = {resource_type, "Resource", "DomainResource"}
    return {
        facts["code"]: _parameter(facts, resource_type) for facts in search_parameters() if bases & {*facts["base"]}
    }


def definition(resource_type: str, name: str) -> Parameter | None:
    """The parameter called `name` of this resource type, or None."""
    return definitions(resource_type).get(name)


def normalise(text: str) -> str:
    """Text as string searches compare it: no case, no accents, single spaces (search.html#string)."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def _parameter(facts: dict[str, Any], resource_type: str) -> Parameter:
    return Parameter(
        name=facts["code"],
        type=facts["type"],
        url=facts["url"],
        expression=" | ".join(_terms(facts.get("expression", ""), resource_type)),
        targets=tuple(facts.get("target", ())),
        components=tuple((part["definition"], part["expression"]) for part in facts.get("component", ())),
        usage=facts.get("usage", "normal"),
    )


# --- from expressions to trees ------------------------------------------------------------------------------------

Emitter = Callable[[Any, "list[str]", IndexValues], None]

_STEP = re.compile(r"(\w+)(?:\(((?:[^()]|\(\))*)\))?")
_DECEASED = "Patient.deceased.exists() and Patient.deceased != false"


class _Node:
    """A place in the JSON of a resource: what to do with the value there, and where to go on from it."""

    __slots__ = ("children", "guards", "sinks")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.guards: dict[tuple[str, str], _Node] = {}  # a where(): (property, value) -> the way on
        self.sinks: dict[Emitter, list[str]] = {}  # how to index the value -> under which parameters

    def child(self, name: str) -> _Node:
        return self.children.setdefault(name, _Node())

    def visit(self, value: Any, values: IndexValues) -> None:
        for emit, names in self.sinks.items():
            emit(value, names, values)
        for (name, wanted), node in self.guards.items():
            if _guard_holds(value, name, wanted):
                node.visit(value, values)
        if self.children:
            children = self.children
            for name, child in value.items():
                node = children.get(name)
                if node is None:
                    continue
                if type(child) is list:
                    for item in child:
                        if item is not None:
                            node.visit(item, values)
                else:
                    node.visit(child, values)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path has come to: the node of the tree, the FHIR type and the structure path of its content."""

    node: _Node
    type: str
    content: str
    codes: str | None = None


@cache
def _tree(resource_type: str, names: frozenset[str] | None = None) -> _Node:
    """The tree of all parameters of a type that the index serves, or of those called `names`."""
    root = _Node()
    for parameter in definitions(resource_type).values():
        if parameter.name in {"_id", "_lastUpdated"} or not is_indexed(parameter):
            continue
        if names is not None and parameter.name not in names:
            continue
        for term in _terms(parameter.expression, resource_type):
            for emit, place in _leaves(root, resource_type, term, parameter):
                place.node.sinks.setdefault(emit, []).append(parameter.name)
    return root


def is_indexed(parameter: Parameter) -> bool:
    """Is there an index behind it? Not for composites, `near`, `phonetic`, `_text`, `_content`, `_query`."""
    return (
        parameter.type not in {"composite", "special"}
        and parameter.usage == "normal"
        and bool(parameter.expression)
        and "[0]" not in parameter.expression
    )


def _terms(expression: str, resource_type: str) -> list[str]:
    """The parts of a union that start at `resource_type`; those of every resource are renamed to it."""
    terms = []
    for term in expression.split(" | "):
        root, _, rest = term.lstrip("(").partition(".")
        if root in {resource_type, "Resource", "DomainResource"}:
            terms.append(f"{resource_type}.{rest}" if root != resource_type else term.strip())
    return terms


def _leaves(root: _Node, resource_type: str, term: str, parameter: Parameter) -> list[tuple[Emitter, _Place]]:
    places = [_Place(root, resource_type, resource_type)]
    if term == _DECEASED:
        return [(_deceased, places[0])]
    for step, argument in _STEP.findall(term)[1:]:
        if step == "ofType":
            places = [place for place in places if place.type == argument]
        elif step == "where":
            guard = _guard(argument)
            places = [
                _Place(place.node.guards.setdefault(guard, _Node()), place.type, place.content) for place in places
            ]
        else:
            places = [reached for place in places for reached in _descend(place, step)]
    return [(emit, place) for place in places if (emit := _emitter(parameter.type, place)) is not None]


def _descend(place: _Place, step: str) -> list[_Place]:
    elements = structures()[place.content.partition(".")[0]]["elements"].get(place.content, {})
    name = step if step in elements else f"{step}[x]"
    facts = elements[name]
    if "like" in facts:
        return [_Place(place.node.child(step), "BackboneElement", facts["like"])]
    nested = f"{place.content}.{step}"
    return [
        _Place(
            place.node.child(json_name(name, kind)),
            kind,
            nested if kind in {"BackboneElement", "Element"} else kind,
            facts.get("codes"),
        )
        for kind in facts["types"]
    ]


def _guard(argument: str) -> tuple[str, str]:
    if argument.startswith("resolve() is "):
        return "resolve()", argument.removeprefix("resolve() is ")
    name, _, wanted = argument.partition("=")
    return name.strip(), wanted.strip(" '")


def _guard_holds(value: dict[str, Any], name: str, wanted: str) -> bool:
    if name != "resolve()":
        return value.get(name) == wanted
    text = value.get("reference")
    if type(text) is str and (found := references.parse(text).type) is not None:
        return found == wanted
    return value.get("type") == wanted


# --- from values to index entries ---------------------------------------------------------------------------------


def _emitter(parameter_type: str, place: _Place) -> Emitter | None:
    """How a value of this FHIR type is indexed for this type of parameter; None where the standard gives no way."""
    if parameter_type == "token" and place.type == "code":
        return _code(place.codes)
    return _EMITTERS.get((parameter_type, place.type))


@cache
def _code(codes: str | None) -> Emitter:
    """A code has no system of its own; that of its binding is implied (search.html#token)."""
    systems = value_sets().get(codes, {}) if codes else {}
    system = next(iter(systems)) if len(systems) == 1 else None

    def emit(value: str, names: list[str], values: IndexValues) -> None:
        values.tokens.extend([(name, system, value) for name in names])

    return emit


def _text_token(value: str, names: list[str], values: IndexValues) -> None:
    values.tokens.extend([(name, None, value) for name in names])


def _boolean(value: bool, names: list[str], values: IndexValues) -> None:
    _text_token("true" if value else "false", names, values)


def _deceased(patient: dict[str, Any], names: list[str], values: IndexValues) -> None:
    _boolean("deceasedDateTime" in patient or patient.get("deceasedBoolean") is True, names, values)


def _coding(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    code = value.get("code")
    if code is not None:
        system = value.get("system")
        values.tokens.extend([(name, system, code) for name in names])


def _codeable_concept(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    for coding in value.get("coding", ()):
        _coding(coding, names, values)


def _identifier(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    code = value.get("value")
    if code is not None:
        system = value.get("system")
        values.tokens.extend([(name, system, code) for name in names])


def _contact_point(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    if "value" in value:
        _text_token(value["value"], names, values)


def _string(value: str, names: list[str], values: IndexValues) -> None:
    normal = normalise(value)
    if normal:
        values.strings.extend([(name, normal) for name in names])
        values.exact.extend([(name, value) for name in names])


def _parts(*properties: str) -> Emitter:
    """Each part of a name or an address is found on its own (search.html#string)."""

    def emit(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
        for name in properties:
            part = value.get(name)
            for text in part if type(part) is list else (part,):
                if text is not None:
                    _string(text, names, values)

    return emit


def _date(value: str, names: list[str], values: IndexValues) -> None:
    try:
        low, high = dates.interval(value)
    except InvalidInput:
        return
    values.dates.extend([(name, low, high) for name in names])


def _period(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    if "start" not in value and "end" not in value:
        return
    try:
        low, high = dates.period(value.get("start"), value.get("end"))
    except InvalidInput:
        return
    values.dates.extend([(name, low, high) for name in names])


def _timing(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    """Only the outer limits of a Timing count (search.html#date)."""
    found = IndexValues()
    for event in value.get("event", ()):
        if event is not None:
            _date(event, [""], found)
    _period(value.get("repeat", {}).get("boundsPeriod", {}), [""], found)
    if found.dates:
        low, high = min(low for _, low, _ in found.dates), max(high for _, _, high in found.dates)
        values.dates.extend([(name, low, high) for name in names])


def _reference(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    text = value.get("reference")
    if type(text) is str and not text.startswith("#"):
        target = references.parse(text).target
        values.references.extend([(name, target) for name in names])
    if "identifier" in value:
        _identifier(value["identifier"], [f"{name}:identifier" for name in names], values)


def _canonical(value: str, names: list[str], values: IndexValues) -> None:
    """Found with and without its version."""
    for url in dict.fromkeys((value, value.partition("|")[0])):
        values.references.extend([(name, url) for name in names])


def _uri(value: str, names: list[str], values: IndexValues) -> None:
    values.uris.extend([(name, value) for name in names])


def _number(value: int | Decimal, names: list[str], values: IndexValues) -> None:
    exact = Decimal(value)
    values.numbers.extend([(name, exact, exact) for name in names])


def _number_range(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    low, high = _bound(value, "low"), _bound(value, "high")
    values.numbers.extend([(name, low, high) for name in names])


def _quantity(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    if "value" not in value:
        return
    exact = Decimal(value["value"])
    comparator = value.get("comparator", "")
    low = None if comparator.startswith("<") else exact
    high = None if comparator.startswith(">") else exact
    unit = (value.get("system"), value.get("code"), value.get("unit"))
    values.quantities.extend([(name, low, high, *unit) for name in names])


def _range(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    side = value.get("low") or value.get("high") or {}
    unit = (side.get("system"), side.get("code"), side.get("unit"))
    values.quantities.extend([(name, _bound(value, "low"), _bound(value, "high"), *unit) for name in names])


def _money(value: dict[str, Any], names: list[str], values: IndexValues) -> None:
    if "value" in value:
        exact, currency = Decimal(value["value"]), value.get("currency")
        unit = ("urn:iso:std:iso:4217", currency, currency)
        values.quantities.extend([(name, exact, exact, *unit) for name in names])


def _bound(value: dict[str, Any], side: str) -> Decimal | None:
    number = value.get(side, {}).get("value")
    return None if number is None else Decimal(number)


_EMITTERS: dict[tuple[str, str], Emitter] = {
    ("token", "CodeableConcept"): _codeable_concept,
    ("token", "Coding"): _coding,
    ("token", "ContactPoint"): _contact_point,
    ("token", "Identifier"): _identifier,
    ("token", "boolean"): _boolean,
    ("token", "id"): _text_token,
    ("token", "string"): _text_token,
    ("token", "uri"): _text_token,
    ("string", "Address"): _parts("line", "city", "district", "state", "postalCode", "country", "text"),
    ("string", "HumanName"): _parts("family", "given", "prefix", "suffix", "text"),
    ("string", "markdown"): _string,
    ("string", "string"): _string,
    ("date", "Period"): _period,
    ("date", "Timing"): _timing,
    ("date", "date"): _date,
    ("date", "dateTime"): _date,
    ("date", "instant"): _date,
    ("reference", "Reference"): _reference,
    ("reference", "canonical"): _canonical,
    ("reference", "uri"): _canonical,
    ("uri", "canonical"): _uri,
    ("uri", "uri"): _uri,
    ("uri", "url"): _uri,
    ("number", "Range"): _number_range,
    ("number", "decimal"): _number,
    ("number", "integer"): _number,
    ("quantity", "Age"): _quantity,
    ("quantity", "Duration"): _quantity,
    ("quantity", "Money"): _money,
    ("quantity", "Quantity"): _quantity,
    ("quantity", "Range"): _range,
}
