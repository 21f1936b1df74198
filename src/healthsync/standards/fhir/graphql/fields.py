"""Which fields has a type? From the R4 definitions: elements by their JSON names, and what GraphQL adds to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, resource_types, structures
from healthsync.standards.fhir.graphql.errors import QueryFault
from healthsync.standards.fhir.graphql.tree import Field, Fields, Fragment

RESOURCE = "Resource"
"""The place of a resource of any type."""

VIEWS = frozenset({"AuditEvent", "Person"})
"""Types that are no documents in store: they are searched over REST."""

CONNECTION, EDGE = "Connection", "Edge"
_CONNECTION_FIELDS = {"count", "offset", "pagesize", "pageSize", "edges", "first", "previous", "next", "last"}
_EDGE_FIELDS = {"mode", "score", "resource"}


@dataclass(frozen=True, slots=True)
class Element:
    """A property in JSON. `place` is where its own properties are defined, "" for a primitive, which is of `kind`."""

    name: str
    place: str
    repeats: bool
    kind: str = ""
    is_choice: bool = False


def element_of(place: str, name: str) -> Element | None:
    """The property `name` of what stands at `place` (`Patient`, `Patient.contact`, `HumanName`)."""
    return elements_of(place).get(name)


@cache
def elements_of(place: str) -> dict[str, Element]:
    """The properties of what stands at `place`, by name."""
    found: dict[str, Element] = {}
    root = place.partition(".")[0]
    elements = structures().get(root, {}).get("elements", {})
    for name, facts in elements.get(place, {}).items():
        repeats, like = facts.get("max") == "*", facts.get("like")
        if like is not None:
            found[name] = Element(name, like, repeats)
            continue
        for kind in facts.get("types", ()):
            member = json_name(name, kind)
            inner = f"{place}.{name}"
            where = inner if inner in elements else "" if kind in PRIMITIVES else kind
            found[member] = Element(member, where, repeats, kind if not where else "", member != name)
            if not where:
                found[f"_{member}"] = Element(f"_{member}", "Element", repeats)
    if place == "Element" and not found:
        found = {"id": Element("id", "", False, "string"), "extension": Element("extension", "Extension", True)}
    return found


@cache
def type_name(place: str) -> str:
    """The name in GraphQL of what stands at a place: `PatientContact`, `HumanName`, `PatientConnection`."""
    kind, _, resource_type = place.partition(":")
    return f"{resource_type}{kind}" if resource_type else "".join(p[:1].upper() + p[1:] for p in place.split("."))


def flat(fields: Fields, place: str | None) -> list[Field]:
    """The fields of an object at `place`, those of fragments on other types left out; None leaves out none."""
    found: list[Field] = []
    for one in fields:
        if isinstance(one, Field):
            found.append(one)
        elif place is None or one.type_name in (None, "Resource", "DomainResource", type_name(place)):
            found += flat(one.fields, place)
    return found


def is_introspection(field: Field) -> bool:
    """Whether a field at the root asks for the schema."""
    return field.name in ("__schema", "__type")


def lists_of(name: str) -> tuple[str, str] | None:
    """(type, List or Connection) of `ConditionList` and `ConditionConnection`."""
    for kind in ("List", CONNECTION):
        resource_type = name.removesuffix(kind)
        if resource_type != name and resource_type in resource_types():
            return resource_type, kind
    return None


def check_fields(fields: Fields, places: Collection[str], *, root: bool = False) -> None:
    """Every field must exist at one of the places where it may come to stand. Raises QueryFault naming its position.

    What is asked of the schema is checked by `document.check_introspection`.
    """
    for field, inner in _with_places(fields, places):
        if field.name == "__typename":
            continue
        if root:
            if not is_introspection(field):
                _check_root(field)
        else:
            _check_field(field, inner)


def _with_places(fields: Fields, places: Collection[str]) -> Iterator[tuple[Field, Collection[str]]]:
    for one in fields:
        if isinstance(one, Fragment):
            yield from _with_places(one.fields, _narrowed(one.type_name, places))
        else:
            yield one, places


def _narrowed(name: str | None, places: Collection[str]) -> Collection[str]:
    if name is None or (name == "Query" and not places):
        return places
    if matching := {place for place in places if type_name(place) == name}:
        return matching
    if name in structures() and (RESOURCE in places or name in ("Resource", "DomainResource")):
        return {name} if name in resource_types() else places
    if name not in structures():
        raise QueryFault("a fragment is on a type that does not stand here", code="invalid")
    return {name}


def _check_root(field: Field) -> None:
    if field.name in resource_types():
        if set(field.arguments) not in ({"id"}, {"_id"}):
            raise QueryFault("a single resource is asked for by its id: Patient(id: …)", code="required", at=field.at)
        check_fields(_some(field), {field.name})
    elif not _check_list(field, reverse=False):
        raise QueryFault("a query begins with a type, TypeList or TypeConnection", code="not-supported", at=field.at)


def _check_list(field: Field, *, reverse: bool) -> bool:
    listed = lists_of(field.name)
    if listed is None:
        return False
    resource_type, kind = listed
    if reverse != ("_reference" in field.arguments):
        told = "needs the argument _reference" if reverse else "takes _reference inside a resource only"
        raise QueryFault(f"{field.name} {told}", code="required", at=field.at)
    if reverse and {"cursor", "_cursor", "id", "_id"} & set(field.arguments):
        raise QueryFault("inside a resource a list takes no cursor and no id", code="not-supported", at=field.at)
    check_fields(_some(field), {resource_type} if kind == "List" else {f"{CONNECTION}:{resource_type}"})
    return True


def _check_field(field: Field, places: Collection[str]) -> None:
    known = False
    for place in places:
        kind, _, resource_type = place.partition(":")
        if kind in (CONNECTION, EDGE):
            known |= _check_page(field, kind, resource_type)
        elif place == RESOURCE:
            known |= _check_any_resource(field)
        elif (element := element_of(place, field.name)) is not None:
            _check_element(field, element)
            known = True
        elif place == "Reference" and field.name == "resource":
            _check_reference(field)
            known = True
        elif place in resource_types():
            known |= field.name == "resourceType" or _check_list(field, reverse=True)
    if not known:
        raise QueryFault("a field does not exist here", code="not-supported", at=field.at)


def _check_page(field: Field, kind: str, resource_type: str) -> bool:
    if kind == CONNECTION and field.name == "edges":
        check_fields(_some(field), {f"{EDGE}:{resource_type}"})
    elif kind == EDGE and field.name == "resource":
        check_fields(_some(field), {resource_type})
    return field.name in (_CONNECTION_FIELDS if kind == CONNECTION else _EDGE_FIELDS)


def _check_any_resource(field: Field) -> bool:
    """A resource whose type is known when it is read: some type must have the field."""
    if field.name in ("resourceType", "id", "meta"):
        return True
    holders = [t for t in resource_types() if element_of(t, field.name) is not None]
    for holder in holders[:1]:
        element = element_of(holder, field.name)
        if element is not None and bool(element.place) != bool(field.fields):
            _check_element(field, element)
    return bool(holders) or (lists_of(field.name) is not None and _check_list(field, reverse=True))


def _check_reference(field: Field) -> None:
    if set(field.arguments) - {"optional", "type"}:
        raise QueryFault("resource takes the arguments optional and type", code="not-supported", at=field.at)
    wanted = field.arguments.get("type")
    if wanted is not None and wanted not in resource_types():
        raise QueryFault("resource(type:) names no type of FHIR R4", code="value", at=field.at)
    check_fields(_some(field), {wanted or RESOURCE})


def _check_element(field: Field, element: Element) -> None:
    if element.place:
        check_fields(_some(field), {element.place})
        for name in field.arguments:
            if name not in ("fhirpath", "_offset", "_count") and element_of(element.place, name) is None:
                raise QueryFault("an argument is no property of this element", code="not-supported", at=field.at)
        return
    if field.fields:
        raise QueryFault("a primitive has no fields of its own", code="invalid", at=field.at)
    if field.arguments:
        raise QueryFault("a primitive takes no arguments", code="not-supported", at=field.at)


def _some(field: Field) -> Sequence[Field | Fragment]:
    if not field.fields:
        raise QueryFault("say which fields of this are wanted: { … }", code="required", at=field.at)
    return field.fields
