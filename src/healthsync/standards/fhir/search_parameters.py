"""Under which values a resource is found: the official R4 search parameters, compiled (search.html).

Every parameter names elements by a FHIRPath of a small dialect: paths, `|`, `where(x='y')`,
`where(resolve() is Patient)`, `ofType(X)`, `[0]`. For each resource type all paths are merged into one tree over the
properties of its JSON. The tree is typed by the StructureDefinitions, so that each leaf knows at compile time how its
values are indexed, and a resource is walked once for all its parameters.

A value is indexed once, under its *path* (`telecom[system=phone]`, `name.family`); a parameter knows the paths that it
stands for. So `subject` and `patient` share their entries, as `code` and `combo-code` or `name` and `family` do.

A hub may know more parameters (`own_parameters`); the process keeps them in a registry that `use` replaces as a whole.

One file, though a long one: the tree, what compiles it and what walks it are changed together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from healthsync.standards.fhir.definitions import json_name, resource_types, search_parameters, structures
from healthsync.standards.fhir.index_values import (
    PARTS,
    Bound,
    Emitter,
    IndexValues,
    deceased,
    emitter,
    normalise,
    sounding,
)

__all__ = [
    "CONTAINED",
    "IndexValues",
    "Parameter",
    "combines_root_elements",
    "component_values",
    "components",
    "definition",
    "definitions",
    "index",
    "index_of",
    "is_indexed",
    "is_official_path",
    "leaves_of",
    "normalise",
    "pair_places",
    "pairs",
    "referenced_under",
    "revision",
    "unserved_because",
    "until_used",
    "use",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type.

    `paths` are the index keys of its values. `targets` are the types that a reference may point at; a value of another
    type that stands under the same path is not this parameter's.
    """

    name: str
    type: str  # token | string | date | reference | uri | number | quantity | composite | special
    url: str
    expression: str
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()  # of a composite: (url of the parameter, expression)
    usage: str = "normal"  # or phonetic, nearby
    paths: tuple[str, ...] = ()
    canonical: bool = False
    """Of a reference parameter: some of its values are canonicals."""
    number: int | None = None
    """Of an added parameter: its place behind the official ones."""
    percent: int | None = None
    """Of an added parameter that cannot be searched by yet: how much is indexed."""


class _Registry:
    """What `use` has set for this process."""

    added: tuple[Mapping[str, Any], ...] = ()
    revision = 0


_registry = _Registry()
_caches: list[Any] = []


def use(added: Sequence[Mapping[str, Any]]) -> None:
    """Make these the parameters beside the official ones, in the place of those before.

    Each has what an official one has, and `number`, `percent`, `state`: active; indexing (has values, but cannot be
    searched by yet); announced or retired (has values only for `index(…, leaving=True)`).
    """
    _registry.added = tuple(added)
    _registry.revision += 1
    for cached in _caches:
        cached.cache_clear()


def revision() -> int:
    """A number that grows with every `use`."""
    return _registry.revision


_Function = TypeVar("_Function", bound=Callable[..., Any])


def until_used(function: _Function) -> _Function:
    """Cache what a function makes of the parameters until `use` replaces some."""
    cached = cache(function)
    _caches.append(cached)
    return cached  # type: ignore[return-value]


def index(resource: dict[str, Any], *, whole: bool = False, leaving: bool = False, once: bool = True) -> IndexValues:
    """Every value under which `resource` is found, each `once`, or as often as it stands there. `_id` and
    `_lastUpdated` belong to the store.

    The resource is expected to be structurally valid; what has no meaning (an impossible date) is left out. `whole`
    adds what only an exact comparison looks at (`IndexValues`), `leaving` what it may have been indexed under besides.
    """
    values = IndexValues(whole)
    compiled = _compiled(resource["resourceType"])
    (compiled.leaving if leaving else compiled.root).visit(resource, values)
    if (values.local or values.inline) and not whole:
        _index_contained(resource, values)
    if once:
        values.deduplicate()
    return values


def none_leaving(resource_type: str) -> bool:
    """Whether `leaving` adds nothing to the values of a type."""
    compiled = _compiled(resource_type)
    return compiled.leaving is compiled.root


CONTAINED = ">"
"""Between the path of a reference to a contained resource, the type of that, and the path of a value in it:
`subject>Patient.name.family`. The type itself is a token under `subject>`."""

MOST_CONTAINED = 1_000
"""Values of one kind by which a contained resource is found: each reference to it has them anew."""

_CHAINED = ("tokens", "strings", "dates", "references", "uris", "numbers", "quantities", "translations")


def _index_contained(resource: dict[str, Any], values: IndexValues) -> None:
    """What a chain may ask about contained resources (search.html#contained), and those that stand in a Bundle."""
    inner = {each["id"]: each for each in resource.get("contained", ()) if "id" in each}
    local = [(path, inner[id_]) for path, id_ in dict.fromkeys(values.local) if id_ in inner]
    for path, found in [*local, *values.inline]:
        kind, own = found["resourceType"], IndexValues()
        _compiled(kind).root.visit(found, own)
        values.tokens.append((f"{path}{CONTAINED}", None, kind))
        for name in _CHAINED:
            entries = getattr(own, name)[:MOST_CONTAINED]
            getattr(values, name).extend((f"{path}{CONTAINED}{kind}.{at}", *rest) for at, *rest in entries)


def index_of(resource: dict[str, Any], names: frozenset[str], *, whole: bool = False) -> IndexValues:
    """What `index` finds, of the parameters `names` alone. What has several values may stand there twice."""
    values = IndexValues(whole)
    _tree_of(resource["resourceType"], names).visit(resource, values)
    return values


def referenced_under(resource: dict[str, Any], names: frozenset[str]) -> list[str]:
    """Targets of the reference parameters `names` alone: what `index` would put under their paths."""
    return [target for _, target in index_of(resource, names).references]


def definitions(resource_type: str) -> dict[str, Parameter]:
    """Name -> parameter, for everything that a search on `resource_type` may name, `_id` and its like included."""
    return _compiled(resource_type).parameters


def definition(resource_type: str, name: str) -> Parameter | None:
    """The parameter called `name` of this resource type, or None."""
    return _compiled(resource_type).parameters.get(name)


def is_indexed(parameter: Parameter) -> bool:
    """Can a search name it? Not `_text`, `_content` and `_query`, which are no values of elements, and none that is
    still being indexed."""
    return (bool(parameter.paths) and parameter.percent is None) or parameter.name in _OF_THE_STORE


def unserved_because(parameter: Parameter) -> str:
    """Why a search cannot name a parameter."""
    if parameter.percent is not None:
        return f"the parameter '{parameter.name}' is still being indexed, {parameter.percent} %; search by it later"
    return f"the parameter '{parameter.name}' is not supported by this server"


def is_official_path(resource_type: str, kind: str, path: str) -> bool:
    """Whether an official parameter of this type (string, date) has its values under a path."""
    return path in _compiled(resource_type).official.get(kind, ())


def leaves_of(resource_type: str, facts: Mapping[str, Any]) -> list[list[str]]:
    """For each term of an expression that starts at a type: the paths at which it finds values of the parameter's type.

    Raises KeyError for an element that there is not.
    """
    parameter = _parameter(facts, resource_type)
    start = _Place(_Node(), "", resource_type, resource_type)
    terms = _terms(parameter.expression, resource_type)
    return [[place.path for _, place in _leaves(start, term, parameter)] for term in terms]


def components(resource_type: str, parameter: Parameter) -> tuple[Parameter, ...]:
    """The parameters that a composite is made of, narrowed to the elements that it combines."""
    return _composite(resource_type, parameter.name).parts


def component_values(resource: dict[str, Any], parameter: Parameter) -> list[tuple[IndexValues, ...]]:
    """For every element that a composite looks at: the values of each of its components there.

    Values stand under the paths that `components` gives.
    """
    composite = _composite(resource["resourceType"], parameter.name)
    found = []
    for steps, trees, _ in composite.contexts:
        for element in _elements(resource, steps):
            combined = []
            for tree, from_resource in trees:
                values = IndexValues(whole=True)
                tree.visit(resource if from_resource else element, values)
                combined.append(values)
            found.append(tuple(combined))
    return found


def combines_root_elements(resource_type: str, parameter: Parameter) -> bool:
    """Whether a composite combines elements of the resource itself, so that its parts may be asked for apart."""
    return all(not steps for steps, _, _ in _composite(resource_type, parameter.name).contexts)


def pairs(resource: dict[str, Any], indexed: IndexValues) -> Iterator[tuple[str, str, Bound, Bound]]:
    """Codes and amounts that stand together in an element: (place, code, low, high), by the composites that ask so.
    `indexed` is what `index` found, codes and amounts of the resource itself among it."""
    for place, (steps, codes, amounts, (of_codes, of_amounts)) in _pairs_of(resource["resourceType"]).items():
        if not steps:
            for path, low, high, *_ in indexed.quantities:
                if path in of_amounts:
                    yield from ((place, code, low, high) for at, _, code in indexed.tokens if at in of_codes)
        elif steps[0] in resource:
            for element in _elements(resource, steps):
                values = IndexValues()
                amounts.visit(element, values)
                if values.quantities:
                    codes.visit(element, values)
                    for _, _, code in values.tokens:
                        yield from ((place, code, low, high) for _, low, high, *_ in values.quantities)


def pair_places(resource_type: str, parameter: Parameter) -> tuple[str, ...]:
    """The places under which `pairs` finds all that a composite is about; none where it does not."""
    places = tuple(_place_of_pair(paths) for _, _, paths in _composite(resource_type, parameter.name).contexts)
    known = _pairs_of(resource_type)
    return places if all(place in known for place in places) else ()


_OF_THE_STORE = frozenset({"_id", "_lastUpdated"})


# --- from expressions to trees ------------------------------------------------------------------------------------

_STEP = re.compile(r"(%?\w+)(?:\(((?:[^()]|\(\))*)\))?(\[0\])?")
_DECEASED = "Patient.deceased.exists() and Patient.deceased != false"
_RESOLVE = "resolve() is "


class _Node:
    """A place in the JSON of a resource: what to do with the value there, and where to go on from it."""

    __slots__ = ("children", "first", "guards", "sinks")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.first: dict[str, _Node] = {}  # children of which only the first of a list counts
        self.guards: dict[tuple[str, str], _Node] = {}  # a where(): (property, value) -> the way on
        self.sinks: dict[Emitter, str] = {}  # how to index the value -> under which path

    def child(self, name: str, first: bool = False) -> _Node:
        return (self.first if first else self.children).setdefault(name, _Node())

    def visit(self, value: Any, values: IndexValues) -> None:
        """Each write pays for this walk, and most places have one of the four."""
        if self.sinks:
            for emit, path in self.sinks.items():
                emit(value, path, values)
        if self.guards:
            for (name, wanted), node in self.guards.items():
                if value.get(name) == wanted:
                    node.visit(value, values)
        if children := self.children:
            for name, child in value.items():
                if (node := children.get(name)) is None:
                    continue
                if type(child) is list:
                    for item in child:
                        if item is not None:
                            node.visit(item, values)
                else:
                    node.visit(child, values)
        if self.first:
            for name, node in self.first.items():
                for item in value.get(name, ())[:1]:
                    if item is not None:
                        node.visit(item, values)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path has come to: node of the tree, index path, FHIR type, structure path of its content, binding."""

    node: _Node
    path: str
    type: str
    content: str
    codes: str | None = None
    targets: tuple[str, ...] = ()

    def under(self, step: str) -> str:
        return f"{self.path}.{step}" if self.path else step


@dataclass(frozen=True, slots=True)
class _Compiled:
    root: _Node
    parameters: dict[str, Parameter]
    leaving: _Node
    official: dict[str, frozenset[str]]


@until_used
def _compiled(resource_type: str) -> _Compiled:
    """The tree of all parameters of a type, and the parameters with their paths; `leaving` has those too that only
    rows of older versions stand under, `official` the paths of official parameters by their type."""
    added = [facts for facts in _registry.added if resource_type in facts["base"]]
    root, parameters = _planted_all(resource_type, [facts for facts in added if facts["state"] in _WRITTEN])
    for facts in added:
        if facts["state"] == "announced":  # a search is told that it is on its way
            parameter = _planted(_Node(), resource_type, _parameter(facts, resource_type))
            parameters.setdefault(parameter.name, parameter)
    all_written = all(facts["state"] in _WRITTEN for facts in added)
    leaving = root if all_written else _planted_all(resource_type, added)[0]
    official = {
        kind: frozenset(
            path for each in parameters.values() if each.type == kind and each.number is None for path in each.paths
        )
        for kind in ("string", "date")
    }
    return _Compiled(root, parameters, leaving, official)


_WRITTEN = frozenset({"indexing", "active"})

_OF_GUIDES: tuple[Mapping[str, Any], ...] = (
    {
        "code": "mothersMaidenName",
        "base": ["Patient"],
        "type": "string",
        "url": "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-mothersMaidenName",
        "expression": "Patient.extension.where(url='http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName')"
        ".value.ofType(string)",
    },
)
"""Parameters that R4 publishes with its extensions and an implementation guide asks for: IHE PDQm, ITI-78
§2:3.78.4.1.2.1."""


def _planted_all(resource_type: str, added: Sequence[Mapping[str, Any]]) -> tuple[_Node, dict[str, Parameter]]:
    bases = {resource_type, "Resource", "DomainResource"}
    root = _Node()
    parameters: dict[str, Parameter] = {}
    for facts in (*search_parameters(), *_OF_GUIDES, *added):
        if bases & {*facts["base"]}:
            parameter = _planted(root, resource_type, _parameter(facts, resource_type))
            parameters.setdefault(parameter.name, parameter)
    return root, parameters


@until_used
def _tree_of(resource_type: str, names: frozenset[str]) -> _Node:
    root = _Node()
    for name in names:
        if (parameter := definition(resource_type, name)) is not None:
            _planted(root, resource_type, parameter)
    return root


def _parameter(facts: Mapping[str, Any], resource_type: str) -> Parameter:
    return Parameter(
        name=facts["code"],
        type=facts["type"],
        url=facts["url"],
        expression=" | ".join(_terms(facts.get("expression", ""), resource_type)),
        targets=tuple(facts.get("target", ())),
        components=tuple((part["definition"], part["expression"]) for part in facts.get("component", ())),
        usage=facts.get("usage", "normal"),
        number=facts.get("number"),
        percent=facts["percent"] if facts.get("state", "active") != "active" else None,
    )


def _terms(expression: str, resource_type: str) -> list[str]:
    """The parts of a union that start at `resource_type`; those of every resource are renamed to it."""
    terms = []
    for term in expression.split(" | "):
        root, _, rest = term.lstrip("(").partition(".")
        if root in {resource_type, "Resource", "DomainResource"}:
            terms.append(f"{resource_type}.{rest}" if root != resource_type else term.strip())
        elif root.islower():  # InsurancePlan-name says `name | alias`
            terms.append(f"{resource_type}.{term}")
    return terms


def _planted(root: _Node, resource_type: str, parameter: Parameter) -> Parameter:
    """Put the leaves of a parameter into the tree; answers the parameter with its paths and targets."""
    if parameter.name in _OF_THE_STORE:
        return parameter
    if parameter.type == "composite":
        return replace(parameter, paths=(parameter.name,))
    paths: dict[str, None] = {}
    targets: dict[str, None] = {}
    types: set[str] = set()
    for term in _terms(parameter.expression, resource_type):
        for emit, place in _leaves(_Place(root, "", resource_type, resource_type), term, parameter):
            paths[place.node.sinks.setdefault(emit, place.path)] = None
            targets.update(dict.fromkeys(place.targets))
            types.add(place.type)
    allowed = tuple(t for t in parameter.targets if t in targets) if targets else parameter.targets
    canonical = parameter.type == "reference" and not types.isdisjoint({"canonical", "uri"})
    return replace(parameter, paths=tuple(paths), targets=allowed or tuple(targets), canonical=canonical)


def _leaves(start: _Place, term: str, parameter: Parameter) -> Iterator[tuple[Emitter, _Place]]:
    if term == _DECEASED:
        yield deceased, replace(start, path="deceased")
        return
    for place in _reached(start, term):
        yield from _sinks(place, parameter)


def _reached(start: _Place, term: str) -> list[_Place]:
    """The places that a path of the dialect leads to; its first step is the resource type itself."""
    places = [start]
    for step, argument, first in _STEP.findall(term)[1:]:
        if step == "ofType":
            places = [place for place in places if place.type.lower() == argument.lower()]
        elif step == "where" and argument.startswith(_RESOLVE):
            # A reference tells its type itself: the parameter's targets decide, and the entries are shared.
            places = [replace(place, targets=(argument.removeprefix(_RESOLVE),)) for place in places]
        elif step == "where":
            name, _, wanted = (part.strip(" '") for part in argument.partition("="))
            places = [_guarded(place, name, wanted) for place in places]
        else:
            places = _stepped(places, step, bool(first))
    return places


def _stepped(places: Sequence[_Place], step: str, first: bool) -> list[_Place]:
    """The step from each of the types that a choice leaves open, as far as they have the element."""
    having = [place for place in places if _has(place, step)]
    if places and not having:
        raise KeyError(step)
    return [reached for place in having for reached in _descend(place, step, first)]


_COMPARED = frozenset({"canonical", "code", "id", "string", "uri", "url"})
"""What a `where` can compare with a text."""


def _guarded(place: _Place, name: str, wanted: str) -> _Place:
    facts = _elements_of(place)[name]
    if facts.get("max") == "*" or not {*facts["types"]} <= _COMPARED:
        raise KeyError(name)
    node = place.node.guards.setdefault((name, wanted), _Node())
    return replace(place, node=node, path=f"{place.path}[{name}={wanted}]")


def _sinks(place: _Place, parameter: Parameter) -> Iterator[tuple[Emitter, _Place]]:
    if parameter.type == "string" and place.type in PARTS:
        for part in PARTS[place.type]:
            for reached in _descend(place, part):
                yield from _sinks(reached, parameter)
    elif parameter.usage == "phonetic":
        yield sounding, replace(place, path=f"{place.path}~")
    elif (emit := emitter(parameter.type, place.type, place.codes)) is not None:
        yield emit, place


def _has(place: _Place, step: str) -> bool:
    return not {step, f"{step}[x]"}.isdisjoint(_elements_of(place))


def _elements_of(place: _Place) -> Mapping[str, Any]:
    structure = structures().get(place.content.partition(".")[0], {"elements": {}})
    return structure["elements"].get(place.content, {})


def _descend(place: _Place, step: str, first: bool = False) -> list[_Place]:
    elements = _elements_of(place)
    name = step if step in elements else f"{step}[x]"
    facts = elements[name]
    if "like" in facts:
        return [_Place(place.node.child(step, first), place.under(step), "BackboneElement", facts["like"])]
    nested = f"{place.content}.{step}"
    reached = []
    for kind in facts["types"]:
        property_ = json_name(name, kind)
        content = nested if kind in {"BackboneElement", "Element"} else kind
        targets = tuple(t for t in facts.get("targets", ()) if t in resource_types()) if kind == "Reference" else ()
        node = place.node.child(property_, first)
        reached.append(_Place(node, place.under(property_), kind, content, facts.get("codes"), targets))
    return reached


# --- composites ---------------------------------------------------------------------------------------------------

_Steps = tuple[str, ...]
_Trees = tuple[tuple[_Node, bool], ...]


@dataclass(frozen=True, slots=True)
class _Composite:
    """`contexts`: the way to an element in JSON, and for each component the tree over it (or over the resource) and the
    paths of its values."""

    parts: tuple[Parameter, ...]
    contexts: tuple[tuple[_Steps, _Trees, tuple[tuple[str, ...], ...]], ...]


@until_used
def _composite(resource_type: str, name: str) -> _Composite:
    composite = definitions(resource_type)[name]
    parts = [_by_url()[url] for url, _ in composite.components]
    expressions = [expression for _, expression in composite.components]
    if (resource_type, name) == ("DocumentReference", "relationship"):
        expressions.reverse()  # R4 names them in the wrong order: `target` is the reference, `code` the token
    contexts = []
    for term in _terms(composite.expression, resource_type):
        scratch = _Place(_Node(), "", resource_type, resource_type)
        for place in _reached(scratch, term):
            trees, paths_of_parts = [], []
            for position, expression in enumerate(expressions):
                tree, paths, from_resource = _component_tree(place, resource_type, expression, parts[position])
                parts[position] = replace(parts[position], paths=(*parts[position].paths, *paths))
                trees.append((tree, from_resource))
                paths_of_parts.append(paths)
            steps = tuple(place.path.split(".")) if place.path else ()
            contexts.append((steps, tuple(trees), tuple(paths_of_parts)))
    return _Composite(tuple(parts), tuple(contexts))


_PAIRED_TYPES = frozenset({"Observation"})
"""Types whose composites of a code and an amount are asked for so often that the pairs are indexed."""


@until_used
def _pairs_of(resource_type: str) -> dict[str, tuple[_Steps, _Node, _Node, tuple[tuple[str, ...], ...]]]:
    """By place: the way to an element, the trees of its codes and of its amounts, and the paths of both."""
    found: dict[str, tuple[_Steps, _Node, _Node, tuple[tuple[str, ...], ...]]] = {}
    for parameter in definitions(resource_type).values() if resource_type in _PAIRED_TYPES else ():
        if parameter.type == "composite" and parameter.number is None:
            composite = _composite(resource_type, parameter.name)
            if [part.type for part in composite.parts] == ["token", "quantity"]:
                for steps, ((codes, _), (amounts, _)), paths in composite.contexts:
                    found[_place_of_pair(paths)] = steps, codes, amounts, paths
    return found


def _place_of_pair(paths: tuple[tuple[str, ...], ...]) -> str:
    return "$".join(",".join(each) for each in paths)


def _component_tree(
    context: _Place, resource_type: str, expression: str, part: Parameter
) -> tuple[_Node, tuple[str, ...], bool]:
    root = _Node()
    from_resource = expression.startswith("%resource.")
    base = _Place(root, "", resource_type, resource_type) if from_resource else replace(context, node=root)
    paths: dict[str, None] = {}
    for term in expression.removeprefix("%resource.").split(" | "):
        for emit, place in _leaves(base, f"context.{term}", part):
            paths[place.node.sinks.setdefault(emit, place.path)] = None
    return root, tuple(paths), from_resource


@cache
def _by_url() -> dict[str, Parameter]:
    return {
        facts["url"]: Parameter(facts["code"], facts["type"], facts["url"], facts.get("expression", ""))
        for facts in search_parameters()
    }


def _elements(value: Any, steps: _Steps) -> Iterator[dict[str, Any]]:
    if not steps:
        yield value
        return
    children = value.get(steps[0], [])
    for child in children if type(children) is list else (children,):
        if child is not None:
            yield from _elements(child, steps[1:])
