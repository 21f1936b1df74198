"""What can be asked for, told in GraphQL's own terms (GraphQL §4, `__schema` and `__type`).

The schema is derived from the same definitions as the checks of `fields`. Types have the names of FHIR; a part of one
is named after its path (`PatientContact`); primitives are scalars of their own, so that codes may be written bare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from graphql import GraphQLEnumType, GraphQLObjectType, specified_directives
from graphql.type.introspection import introspection_types

from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.fields import RESOURCE, VIEWS, Element, elements_of, flat, type_name
from healthsync.standards.fhir.graphql.tree import Field, Fields
from healthsync.standards.fhir.search_parameters import definitions, is_indexed, until_used

ROOTS = {"__schema": "__Schema", "__type": "__Type"}
"""The fields of introspection, and what they are of."""

MOST_OBJECTS = 500_000
"""An answer has at most so many objects: types lead to fields and back, each time to thousands."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A field, an argument, or a value of an enumeration; `type` as GraphQL writes it: `[String!]`."""

    name: str
    type: str = ""
    args: tuple[_Value, ...] = ()
    defaultValue: str | None = None  # noqa: N815 - GraphQL's own name


@dataclass(frozen=True, slots=True)
class _Type:
    kind: str
    name: str | None
    fields: tuple[_Value, ...] | None = None
    interfaces: tuple[str, ...] | None = None
    possibleTypes: tuple[str, ...] | None = None  # noqa: N815
    enumValues: tuple[_Value, ...] | None = None  # noqa: N815
    ofType: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class _Directive:
    name: str
    locations: tuple[str, ...]
    args: tuple[_Value, ...] = ()
    isRepeatable: bool = False  # noqa: N815


@dataclass(frozen=True, slots=True)
class _Schema:
    known: Mapping[str, _Type]
    types: tuple[_Type, ...]
    directives: tuple[_Directive, ...]
    queryType: str = "Query"  # noqa: N815


def check(field: Field) -> None:
    """Every field must be one of GraphQL's. Raises QueryFault naming its position."""
    if field.name == "__type" and not isinstance(field.arguments.get("name"), str):
        raise QueryFault('__type needs the name of a type: __type(name: "Patient")', code="required", at=field.at)
    _check(field, ROOTS[field.name])


def _check(field: Field, kind: str) -> None:
    if not field.fields:
        raise QueryFault("say which fields of this are wanted: { … }", code="required", at=field.at)
    for inner in flat(field.fields, kind):
        if inner.name == "__typename":
            continue
        of = _kind_of(kind, inner)
        if of in _own_types() and _own_types()[of].fields is not None:
            _check(inner, of)
        elif inner.fields:
            raise QueryFault("this has no fields of its own", code="invalid", at=inner.at)


def answer(field: Field) -> dict[str, Any] | None:
    """The value of a checked field of introspection; None for a type that there is not. Raises QueryFault when it
    would grow too large."""
    telling = _Telling(_schema())
    if field.name == "__schema":
        return telling.object(field.fields, ROOTS[field.name], telling.schema)
    found = telling.schema.known.get(field.arguments["name"])
    return None if found is None else telling.object(field.fields, ROOTS[field.name], found)


class _Telling:
    """One answer."""

    def __init__(self, schema: _Schema) -> None:
        self.schema, self._left = schema, MOST_OBJECTS
        self._plans: dict[tuple[int, str], tuple[Fields, dict[str, Field]]] = {}
        self._told: dict[tuple[int, str], tuple[dict[str, Any], int]] = {}

    def object(self, fields: Fields, kind: str, value: Any) -> dict[str, Any]:
        """The fields of one object. Those without a value are null: so GraphQL wants it, as FHIR does not."""
        self._spend(1)
        told: dict[str, Any] = {}
        for key, asked in self._plan(fields, kind).items():
            if asked.name == "__typename":
                told[key] = kind
                continue
            found = getattr(value, asked.name, False if asked.name == "isDeprecated" else None)
            told[key] = self._value(asked, found, _kind_of(kind, asked)) if asked.fields else found
        return told

    def _plan(self, fields: Fields, kind: str) -> dict[str, Field]:
        key = id(fields), kind  # kept with the fields, so that no others can come to have the number
        if key not in self._plans:
            self._plans[key] = fields, _merged(flat(fields, kind))
        return self._plans[key][1]

    def _value(self, asked: Field, found: Any, kind: str) -> Any:
        if found is None:
            return None
        if isinstance(found, tuple):
            return [self._value(asked, each, kind) for each in found]
        return self._named(asked, found) if isinstance(found, str) else self.object(asked.fields, kind, found)

    def _named(self, asked: Field, written: str) -> dict[str, Any]:
        """A type by its name is told once and repeated, at the price of telling it."""
        key = id(asked), written
        if key in self._told:
            told, price = self._told[key]
            self._spend(price)
            return told
        before = self._left
        told = self.object(asked.fields, "__Type", self._type(written))
        self._told[key] = told, before - self._left
        return told

    def _spend(self, objects: int) -> None:
        self._left -= objects
        if self._left < 0:
            raise QueryFault(f"the answer has more than {MOST_OBJECTS} objects", code="too-costly")

    def _type(self, written: str) -> _Type:
        if written.endswith("!"):
            return _Type("NON_NULL", None, ofType=written[:-1])
        if written.startswith("["):
            return _Type("LIST", None, ofType=written[1:-1])
        return self.schema.known[written]


def _kind_of(kind: str, asked: Field) -> str:
    """What a field of GraphQL's own types is of. Raises QueryFault for one that there is not."""
    for field in _own_types()[kind].fields or ():
        if field.name == asked.name:
            return _bare(field.type)
    raise QueryFault("a field does not exist here", code="not-supported", at=asked.at)


def _merged(fields: Sequence[Field]) -> dict[str, Field]:
    """Fields of the same key are one: fragments repeat each other."""
    found: dict[str, Field] = {}
    for field in fields:
        if (known := found.get(field.key)) is not None and known.fields is not field.fields:
            inner = (*known.fields, *field.fields)
            field = Field(field.name, field.key, field.arguments, field.directives, inner, field.at)
        found[field.key] = field
    return found


def _bare(written: str) -> str:
    return written.strip("[]!")


# --- the schema


@cache
def _own_types() -> dict[str, _Type]:
    """The types in which GraphQL describes types."""
    found = {}
    for name, described in introspection_types.items():
        if isinstance(described, GraphQLObjectType):
            fields = tuple(
                _Value(field, str(each.type), tuple(_Value(arg, str(a.type)) for arg, a in each.args.items()))
                for field, each in described.fields.items()
            )
            found[name] = _Type("OBJECT", name, fields, ())
        elif isinstance(described, GraphQLEnumType):
            found[name] = _Type("ENUM", name, enumValues=tuple(_Value(value) for value in described.values))
    return found


def _directives() -> tuple[_Directive, ...]:
    shared = [each for each in specified_directives if each.name in ("skip", "include")]
    taken = [
        _Directive(
            each.name,
            tuple(location.name for location in each.locations),
            tuple(_Value(name, str(arg.type)) for name, arg in each.args.items()),
        )
        for each in shared
    ]
    return (
        *taken,
        *(_Directive(name, ("FIELD",)) for name in ("flatten", "first", "singleton")),
        _Directive("slice", ("FIELD",), (_Value("path", "String"), _Value("fhirpath", "String"))),
    )


@until_used
def _schema() -> _Schema:
    resources = sorted(resource_types())
    types: dict[str, _Type] = {}
    _add(types, _Type("OBJECT", "Query", tuple(_root_fields(resources)), ()))
    _add(types, _Type("INTERFACE", RESOURCE, _COMMON, (), tuple(resources)))
    for resource_type in resources:
        if resource_type not in VIEWS:
            for page in _pages(resource_type):
                _add(types, page)
    places = [*resources, "Reference"]
    for place in places:  # grows while it is gone through
        fields = []
        for element in elements_of(place).values():
            if element.place and type_name(element.place) not in types and element.place not in places:
                places.append(element.place)
            fields.append(_element_field(element))
        if place == "Reference":
            fields.append(_Value("resource", RESOURCE, (_Value("type", "code"), _Value("optional", "Boolean"))))
        if place in resource_types():
            fields += [_Value("resourceType", "code"), *_referring(place)]
        interfaces = (RESOURCE,) if place in resource_types() else ()
        _add(types, _Type("OBJECT", type_name(place), tuple(fields), interfaces))
    for scalar in sorted({_bare(ref) for each in types.values() for ref in _mentioned(each)} - types.keys()):
        _add(types, _Type("SCALAR", scalar))
    known = {**types, **_own_types()}
    return _Schema(known, tuple(known.values()), _directives())


def _add(types: dict[str, _Type], added: _Type) -> None:
    types[str(added.name)] = added


def _mentioned(described: _Type) -> Iterator[str]:
    for field in described.fields or ():
        yield field.type
        yield from (arg.type for arg in field.args)


_COMMON = (_Value("resourceType", "code"), _Value("id", "String"), _Value("meta", "Meta"))
"""What is asked of a resource whatever its type."""


def _element_field(element: Element) -> _Value:
    named = type_name(element.place) if element.place else _scalar(element.kind)
    arguments = _choosing(element.place) if element.place else ()
    return _Value(element.name, f"[{named}]" if element.repeats else named, arguments)


@cache
def _choosing(place: str) -> tuple[_Value, ...]:
    """The arguments that choose among the values of an element, save those of each type of a choice: an extension alone
    has fifty, and is everywhere."""
    own = [each for each in elements_of(place).values() if each.kind and not each.is_choice]
    return (
        *(_Value("fhirpath", "String"), _Value("_offset", "Int"), _Value("_count", "Int")),
        *(_Value(each.name, f"[{_scalar(each.kind)}]") for each in own),
    )


def _scalar(kind: str) -> str:
    return _BUILT_IN.get(kind, kind)


_BUILT_IN = {"boolean": "Boolean", "id": "ID", "integer": "Int", "string": "String"}


def _root_fields(resources: Sequence[str]) -> Iterator[_Value]:
    for resource_type in resources:
        yield _Value(resource_type, resource_type, (_Value("id", "ID!"),))
        if resource_type not in VIEWS:
            asked = _search_arguments(resource_type)
            yield _Value(f"{resource_type}List", f"[{resource_type}]", asked)
            paged = (*asked, _Value("cursor", "String"))
            yield _Value(f"{resource_type}Connection", f"{resource_type}Connection", paged)


def _pages(resource_type: str) -> tuple[_Type, _Type]:
    numbers = [_Value(name, "Int") for name in ("count", "offset", "pagesize")]
    cursors = [_Value(name, "String") for name in ("first", "previous", "next", "last")]
    edges = _Value("edges", f"[{resource_type}Edge]")
    edge = (_Value("mode", "code"), _Value("score", "decimal"), _Value("resource", resource_type))
    return (
        _Type("OBJECT", f"{resource_type}Connection", (*numbers, *cursors, edges), ()),
        _Type("OBJECT", f"{resource_type}Edge", edge, ()),
    )


def _referring(resource_type: str) -> Iterator[_Value]:
    """The lists of what points at a resource: with what every one takes, for there are thousands."""
    for name in _referrers()[resource_type]:
        yield _Value(f"{name}List", f"[{name}]", (_Value("_reference", "code!"), *_OF_EVERY_LIST))


@cache
def _referrers() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {each: [] for each in resource_types()}
    for name in sorted(resource_types() - VIEWS):
        targets = {target for parameter in definitions(name).values() for target in parameter.targets}
        for target in targets & found.keys():
            found[target].append(name)
    return found


@until_used
def _search_arguments(resource_type: str) -> tuple[_Value, ...]:
    known = sorted((p for p in definitions(resource_type).values() if is_indexed(p)), key=lambda p: p.name)
    return (
        *(_Value(_argument(p.name), f"[{_ARGUMENTS.get(p.type, 'String')}]") for p in known),
        *_OF_EVERY_LIST,
    )


_OF_EVERY_LIST = (
    *(_Value("_filter", "String"), _Value("_sort", "[String]")),
    *(_Value("_count", "Int"), _Value("fhirpath", "String")),
)


def _argument(parameter: str) -> str:
    return parameter[0] + parameter[1:].replace("-", "_")


_ARGUMENTS = {"token": "code", "number": "decimal"}
"""Search parameters whose values may be written bare."""
