"""Finding resources for the gate out: what a search asks for is resolved, run, and what it includes is fetched.

Only `exchange.disclose` calls it, with the requester's `Visibility`, which every statement carries: totals, chains,
`_has`, lists and includes see no more than the requester may. Types and elements that his roles do not open cannot be
asked about either.

One file, though a long one: criteria are looked up by searches, and includes are followed by them, so that each needs
the other, and all of them the same refusals.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.access.scopes import visible_elements
from healthsync.domains.records import (
    Codes,
    Contained,
    Keys,
    OfType,
    Page,
    Position,
    RecordsService,
    Resolved,
    SearchPlan,
    StoredResource,
    Targets,
    TermMaker,
    Visibility,
    plan_search,
)
from healthsync.errors import InvalidInput, Refused
from healthsync.exchange import canonicals
from healthsync.exchange.vault import Vault
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.fhir import references, search_parameters
from healthsync.standards.fhir.criteria import And, Chain, Criterion, Has, ListMember, Node, Not, Or, WordSearch
from healthsync.standards.fhir.current_lists import CURRENT_LISTS, sole_patient
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.matching import is_media_type
from healthsync.standards.fhir.query import Include, SearchQuery, parse
from healthsync.standards.fhir.query_values import (
    LONGEST_VALUE,
    MOST_VALUES,
    Modifier,
    ReferenceValue,
    TokenValue,
    UriValue,
    Value,
    escape,
)

MOST_INNER = 5_000
"""Hits of a chain's end that are carried over when only decryption can tell them."""
MOST_LEVELS = 50
"""Of a hierarchy that is followed."""
MOST_INCLUDED = 1_000
"""Resources that one page includes; more are left out with a warning."""
MOST_COUNTED = 100
"""How far hits are counted when nobody asked for the exact number."""
MOST_ROUNDS = 10
"""How often `:iterate` follows what it found."""
WALKED_AT_ONCE = 200
"""Resources that a walk holds in memory."""


class Terminology(Protocol):
    """What searches ask a terminology service."""

    async def members(self, tx: Transaction, value_set: str) -> frozenset[tuple[str | None, str]] | None:
        """The codes of a value set; None when it is unknown."""
        ...

    async def descendants(self, tx: Transaction, system: str, code: str) -> Iterable[tuple[str, str]]:
        """The code and all below it."""
        ...

    async def ancestors(self, tx: Transaction, system: str, code: str) -> Iterable[tuple[str, str]]:
        """The code and all above it."""
        ...


@dataclass(slots=True)
class Found:
    """A page of hits, the resources included with it, how many hits there are (None: not counted), warnings."""

    page: Page
    included: list[StoredResource] = field(default_factory=list)
    total: int | None = None
    warnings: list[str] = field(default_factory=list)


class Finder:
    """Runs searches inside a transaction of the gate."""

    def __init__(
        self,
        vault: Vault,
        records: RecordsService,
        roles: RolePolicy,
        clock: Clock,
        terminology: Terminology | None,
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        self._authorities = authorities
        self._vault, self._records, self._roles, self._clock = vault, records, roles, clock
        self._terminology = terminology

    async def find(
        self,
        tx: Transaction,
        requester: Requester,
        query: SearchQuery,
        visibility: Visibility,
        *,
        after: Position | None,
        count: int,
        with_total: bool,
    ) -> Found:
        """A page of a search. Raises Refused, InvalidInput (`not-supported`, `too-costly`, `not-found`)."""
        plan = await self.plan(tx, requester, query, visibility)
        self._refuse_hidden_includes(requester, query.includes)
        look = self._look(tx)
        page = Page()
        most = None if count == 0 or query.total == "accurate" else MOST_COUNTED
        if count > 0:
            counted = MOST_COUNTED + 1 if with_total and after is None else 0
            page = await self._records.search(tx, plan, visibility, look, after=after, count=count, counted=counted)
        found = Found(page)
        if with_total:
            if after is None and not page.more and count > 0:
                found.total = len(page.rows)
            elif page.seen is not None and (page.seen <= MOST_COUNTED or most is not None):
                found.total = page.seen if page.seen <= MOST_COUNTED else None
            else:
                found.total = await self._records.count(tx, plan, visibility, look, most=most)
        if query.includes and page.rows:
            await self._include(tx, requester, query.includes, visibility, found)
        return found

    async def plan(
        self, tx: Transaction, requester: Requester, query: SearchQuery, visibility: Visibility
    ) -> SearchPlan:
        """The plan of a search, its chains, lists and value sets looked up. Raises Refused, InvalidInput."""
        types = self.types_of(requester, query)
        search = _Resolving(self, tx, requester, visibility, query.criteria)
        if query.contained:
            types, found = await search.contained(query)
            return plan_search(types, [found], query.sort, self._records.index, self._clock.now())
        nodes = [await search.resolved(types, node) for node in query.criteria]
        for key in query.sort:
            if key.parameter is not None:
                self._refuse_hidden(requester, types, key.parameter)
        return plan_search(types, nodes, query.sort, self._records.index, self._clock.now())

    def types_of(self, requester: Requester, query: SearchQuery) -> tuple[str, ...]:
        """The types that are searched: of a search across types those that the roles open."""
        if query.type:
            return (query.type,)
        return tuple(
            each
            for each in query.types or sorted(resource_types())
            if granted(self._roles, requester, Interaction.SEARCH, each)
        )

    async def walk(
        self, tx: Transaction, requester: Requester, query: SearchQuery, visibility: Visibility, *, after: int
    ) -> AsyncGenerator[StoredResource, None]:
        """All that an unsorted search finds, by internal number, from behind `after` on."""
        plan = await self.plan(tx, requester, query, visibility)
        position: Position = [after]
        while True:
            page = await self._records.search(
                tx, plan, visibility, self._look(tx), after=position, count=WALKED_AT_ONCE
            )
            for row in page.rows:
                yield row
            if not page.more:
                return
            position = plan.position(page.rows[-1])

    async def around(
        self,
        tx: Transaction,
        row: StoredResource,
        types: Sequence[str],
        visibility: Visibility,
        *,
        since: datetime | None,
        after: int | None,
        count: int,
    ) -> Page:
        """A resource with what it refers to and what refers to it, in the order of arrival."""
        documents = await self._vault.open(tx, [row])
        everything = Include("*", "*", None, reverse=False, iterate=False)
        targets = [(str(r.type), str(r.id)) for document in documents for r in _targets(everything, document)]
        rows = [row, *await self._records.read_many(tx, targets, visibility)]
        rows += await self._records.referring(tx, [row.reference], None, types, visibility, limit=MOST_INCLUDED)
        shown = {
            each.pid: each
            for each in rows
            if each.permitted
            and not each.deleted
            and each.resource_type in types
            and (since is None or each.updated_at >= since)
            and each.pid > (after or 0)
        }
        ordered = [shown[pid] for pid in sorted(shown)]
        return Page(ordered[:count], more=len(ordered) > count)

    def _look(self, tx: Transaction) -> Callable[[Sequence[StoredResource]], Any]:
        async def look(rows: Sequence[StoredResource]) -> list[dict[str, Any]]:
            return [opened.document for opened in await self._vault.look(tx, rows)]

        return look

    def _refuse_hidden(
        self, requester: Requester, types: Iterable[str], parameter: search_parameters.Parameter
    ) -> None:
        """Who may not see an element may not find out its value by asking for it."""
        for each in types:
            shown = visible_elements(self._roles, requester, each)
            if shown is None or parameter.name in ("_id", "_lastUpdated"):
                continue
            own = parameter if parameter.paths else search_parameters.definition(each, parameter.name)
            for path in own.paths if own is not None else ():
                element = path.partition(".")[0].partition("[")[0].rstrip("~")
                if element not in shown and element not in ("id", "meta"):
                    raise Refused(f"the roles of this client do not show what {parameter.name} asks about")

    def _refuse_hidden_text(self, requester: Requester, types: Iterable[str], kind: str) -> None:
        for each in types:
            shown = visible_elements(self._roles, requester, each)
            if shown is not None and (kind == "content" or "text" not in shown):
                raise Refused(f"the roles of this client do not show what _{kind} asks about")

    def _refuse_hidden_includes(self, requester: Requester, includes: Sequence[Include]) -> None:
        """What an element refers to tells what it holds."""
        for include in includes:
            if include.parameter != "*":
                parameter = search_parameters.definition(include.source, include.parameter)
                if parameter is not None:
                    self._refuse_hidden(requester, (include.source,), parameter)

    def _shows_all(self, requester: Requester, resource_type: str) -> bool:
        return visible_elements(self._roles, requester, resource_type) is None

    # --- includes ---

    async def _include(
        self,
        tx: Transaction,
        requester: Requester,
        includes: Sequence[Include],
        visibility: Visibility,
        found: Found,
    ) -> None:
        """Follow references from and to the hits; with `:iterate` also from and to what was included. A wildcard passes
        over types of which the roles hide elements: references may be among them."""
        seen = {row.reference for row in found.page.rows}
        frontier: list[StoredResource] = found.page.rows
        followed: Sequence[Include] = includes
        for _ in range(MOST_ROUNDS):
            documents = await self._vault.open(tx, frontier)
            rows = await self._referenced(tx, requester, followed, documents, visibility, seen)
            rows += await self._named(tx, requester, followed, documents, visibility)
            left = MOST_INCLUDED + 1 - len(found.included)
            rows += await self._referring(tx, requester, followed, frontier, visibility, left)
            fresh = {
                row.reference: row
                for row in rows
                if row.permitted
                and not row.deleted
                and row.reference not in seen
                and granted(self._roles, requester, Interaction.READ, row.resource_type)
            }
            seen |= fresh.keys()
            frontier = list(fresh.values())
            found.included.extend(frontier)
            followed = [each for each in includes if each.iterate]
            if len(found.included) > MOST_INCLUDED:
                del found.included[MOST_INCLUDED:]
                found.warnings.append(f"more than {MOST_INCLUDED} resources would be included; the rest was left out")
                return
            if not frontier or not followed:
                return

    async def _referenced(
        self,
        tx: Transaction,
        requester: Requester,
        includes: Sequence[Include],
        documents: Sequence[Mapping[str, Any]],
        visibility: Visibility,
        seen: set[str],
    ) -> list[StoredResource]:
        targets: dict[tuple[str, str], None] = {}
        for include in includes:
            if not include.reverse:
                for document in documents:
                    if include.parameter == "*" and not self._shows_all(requester, document["resourceType"]):
                        continue
                    for reference in _targets(include, document):
                        if f"{reference.type}/{reference.id}" not in seen:
                            targets[str(reference.type), str(reference.id)] = None
        return await self._records.read_many(tx, list(targets)[: MOST_INCLUDED + 1], visibility)

    async def _named(
        self,
        tx: Transaction,
        requester: Requester,
        includes: Sequence[Include],
        documents: Sequence[Mapping[str, Any]],
        visibility: Visibility,
    ) -> list[StoredResource]:
        """What canonicals name by url and version (references.html#canonical), of types that the roles show whole: to
        find it by its url tells what that is."""
        wanted: dict[str, dict[str, None]] = {}
        for include in includes:
            if not include.reverse:
                for document in documents:
                    if include.parameter != "*" or self._shows_all(requester, document["resourceType"]):
                        for resource_type, canonical in canonicals.named(include, document):
                            if self._shows_all(requester, resource_type):
                                wanted.setdefault(resource_type, {})[canonical] = None
        found: list[StoredResource] = []
        for resource_type, names in wanted.items():
            for query in _called(resource_type, names):
                plan = await self.plan(tx, requester, query, visibility)
                look = self._look(tx)
                page = await self._records.search(tx, plan, visibility, look, after=None, count=MOST_INCLUDED + 1)
                found += page.rows
        return found

    async def _referring(
        self,
        tx: Transaction,
        requester: Requester,
        includes: Sequence[Include],
        rows: Sequence[StoredResource],
        visibility: Visibility,
        limit: int,
    ) -> list[StoredResource]:
        found: list[StoredResource] = []
        for include in includes:
            if not include.reverse:
                continue
            wanted = [row for row in rows if include.target in (None, row.resource_type)]
            types = [include.source] if include.source != "*" else sorted(resource_types())
            paths, named = None, True
            if include.parameter == "*":
                types = [each for each in types if self._shows_all(requester, each)]
            else:
                parameter = search_parameters.definition(include.source, include.parameter)
                allowed = parameter.targets if parameter is not None else ()
                wanted = [row for row in wanted if not allowed or row.resource_type in allowed]
                paths = [(include.source, path) for path in (parameter.paths if parameter is not None else ())]
                named = parameter is not None and parameter.canonical
            if wanted:
                references_ = [row.reference for row in wanted]
                found += await self._records.referring(tx, references_, paths, types, visibility, limit=limit)
            if named:
                found += await self._naming(tx, requester, wanted, paths, types, visibility, limit)
        return found

    async def _naming(
        self,
        tx: Transaction,
        requester: Requester,
        rows: Sequence[StoredResource],
        paths: Sequence[tuple[str, str]] | None,
        types: Sequence[str],
        visibility: Visibility,
        limit: int,
    ) -> list[StoredResource]:
        """Resources of some types whose canonicals under one of `paths` (type, path; None: any) name one of `rows` by
        url and version: of types that the roles show whole, since who names it tells what its url is."""
        named = [row for row in rows if canonicals.has_url(row.resource_type)]
        shown = [row for row in named if self._shows_all(requester, row.resource_type)]
        names = {name for document in await self._vault.open(tx, shown) for name in canonicals.names_of(document)}
        if not names:
            return []
        found = await self._records.referring(tx, sorted(names), paths, types, visibility, limit=limit)
        naming = [row for row in found if row.permitted]
        documents = await self._vault.open(tx, naming)
        return [
            row
            for row, document in zip(naming, documents, strict=True)
            if any(name in names for name in canonicals.written(document, _of_type(paths, row.resource_type)))
        ]


def _targets(include: Include, document: Mapping[str, Any]) -> list[references.Reference]:
    """The local resources that an include leads to from one resource."""
    resource_type = document["resourceType"]
    if include.source not in ("*", resource_type):
        return []
    values = search_parameters.index(dict(document))
    parameter = search_parameters.definition(resource_type, include.parameter) if include.parameter != "*" else None
    if parameter is None and include.parameter != "*":
        return []
    found = []
    for path, text in values.references:
        reference = references.parse(text)
        if reference.kind is not references.Kind.RELATIVE:
            continue
        if parameter is not None and (path not in parameter.paths or reference.type not in parameter.targets):
            continue
        if include.target is None or include.target == reference.type:
            found.append(reference)
    return found


def _called(resource_type: str, names: Iterable[str]) -> Iterator[SearchQuery]:
    """Searches that together find what canonicals name."""
    urls = [text for each in names if len(text := escape(each, ",")) <= LONGEST_VALUE]
    for start in range(0, len(urls), MOST_VALUES):
        yield parse(resource_type, [("url", ",".join(urls[start : start + MOST_VALUES]))])


def _media(criterion: Criterion) -> bool:
    """Media types have their hierarchy in their names (search.html#mimetype)."""
    return criterion.modifier is Modifier.BELOW and all(is_media_type(value) for value in criterion.values)


def _resources(criterion: Criterion) -> list[str]:
    """The `Type/id` of a criterion that is about references to resources; none where it is about canonicals."""
    values = [value for value in criterion.values if isinstance(value, ReferenceValue) and value.url is None]
    return [target for value in values for target in value.targets] if len(values) == len(criterion.values) else []


def _part_of(target: str) -> search_parameters.Parameter | None:
    """The parameter by which resources of this type are part of others of it."""
    resource_type = target.partition("/")[0]
    for name in ("partof", "part-of"):
        if (parameter := search_parameters.definition(resource_type, name)) and resource_type in parameter.targets:
            return parameter
    return None


def _paths(resource_type: str, parameter: search_parameters.Parameter) -> tuple[str, ...]:
    """Of a parameter of several types, the paths are those that it has in this one."""
    own = parameter if parameter.paths else search_parameters.definition(resource_type, parameter.name)
    return own.paths if own is not None else ()


def _either(found: Resolved, beside: Sequence[Resolved | None]) -> Resolved:
    others = [node for node in beside if node is not None]
    return Or((found, *others)) if others else found  # type: ignore[arg-type]


def _refuse_many(number: int, what: str) -> None:
    if number > MOST_INNER:
        raise InvalidInput(f"more than {MOST_INNER} {what}; make it more precise", code="too-costly")


def _of_type(paths: Sequence[tuple[str, str]] | None, resource_type: str) -> frozenset[str] | None:
    return None if paths is None else frozenset(path for each, path in paths if each == resource_type)


_ALWAYS = Not(Or(()))


def _leading_to(contained: str) -> dict[str, list[search_parameters.Parameter]]:
    """Type -> its reference parameters that may lead to a resource of the type `contained`, one for each element."""
    leading: dict[str, list[search_parameters.Parameter]] = {}
    for each in sorted(resource_types()):
        found = {
            parameter.paths: parameter
            for parameter in search_parameters.definitions(each).values()
            if parameter.type == "reference" and contained in parameter.targets and parameter.paths
        }
        if found:
            leading[each] = list(found.values())
    return leading


class _Resolving:
    """One search whose criteria are looked up."""

    def __init__(
        self,
        finder: Finder,
        tx: Transaction,
        requester: Requester,
        visibility: Visibility,
        criteria: Sequence[Node],
    ) -> None:
        self._finder, self._tx, self._requester, self._visibility = finder, tx, requester, visibility
        self._criteria = criteria
        self._records, self._terminology = finder._records, finder._terminology
        self._terms = TermMaker(self._records.index, finder._clock.now())

    async def resolved(self, types: Sequence[str], node: Node) -> Resolved:
        """The node with everything looked up that SQL cannot say."""
        match node:
            case And(nodes=nodes):
                return And(tuple([await self.resolved(types, each) for each in nodes]))  # type: ignore[arg-type]
            case Or(nodes=nodes):
                return Or(tuple([await self.resolved(types, each) for each in nodes]))  # type: ignore[arg-type]
            case Not(node=inner):
                return Not(await self.resolved(types, inner))  # type: ignore[arg-type]
            case Chain():
                return await self._chain(types, node)
            case Has():
                return await self._has(types, node)
            case ListMember(id=id_) if id_.startswith("$"):
                return await self._on_current_list(types, id_)
            case ListMember(id=id_):
                return Keys(await self._members(id_))
            case WordSearch(kind=kind):
                self._finder._refuse_hidden_text(self._requester, types, kind)
                return node
            case Criterion():
                self._finder._refuse_hidden(self._requester, types, node.parameter)
                return await self._criterion(node)
        return node

    async def _criterion(self, criterion: Criterion) -> Resolved:
        match criterion.modifier:
            case Modifier.IN:
                return Codes(criterion.parameter, await self._value_sets(criterion.values))
            case Modifier.NOT_IN:
                return Not(Codes(criterion.parameter, await self._value_sets(criterion.values)))  # type: ignore[arg-type]
            case Modifier.ABOVE | Modifier.BELOW if criterion.parameter.type == "token" and not _media(criterion):
                return Codes(criterion.parameter, await self._hierarchy(criterion.modifier, criterion.values))
            case Modifier.ABOVE | Modifier.BELOW if targets := _resources(criterion):
                return Targets(criterion.parameter, await self._relatives(criterion.modifier, targets))
        return self._by_all_names(criterion)

    def _by_all_names(self, criterion: Criterion) -> Criterion:
        """A number is found under every name of its assigning authority."""
        more = [
            replace(value, system=name)
            for value in criterion.values
            if isinstance(value, TokenValue) and value.system
            for name in self._finder._authorities.names(value.system)
            if name != value.system
        ]
        return replace(criterion, values=(*criterion.values, *more)) if more else criterion

    async def _value_sets(self, values: Sequence[Value]) -> frozenset[tuple[str | None, str]]:
        codes: set[tuple[str | None, str]] = set()
        for value in values:
            assert isinstance(value, UriValue)
            found = await self._terminology.members(self._tx, value.uri) if self._terminology is not None else None
            if found is None:
                raise InvalidInput(
                    "this hub does not know the value set; store it or load its package", code="not-found"
                )
            codes |= found
        return frozenset(codes)

    async def _hierarchy(self, modifier: Modifier, values: Sequence[Value]) -> frozenset[tuple[str | None, str]]:
        codes: set[tuple[str | None, str]] = set()
        for value in values:
            assert isinstance(value, TokenValue)
            if value.system is None or value.code is None or self._terminology is None:
                raise InvalidInput(":above and :below take system|code of a known code system", code="value")
            ask = self._terminology.descendants if modifier is Modifier.BELOW else self._terminology.ancestors
            codes |= set(await ask(self._tx, value.system, value.code)) | {(value.system, value.code)}
        return frozenset(codes)

    async def _relatives(self, modifier: Modifier, targets: Sequence[str]) -> frozenset[int]:
        """The keys of resources and of what lies below or above them, by what each is part of (search.html)."""
        frontier = [target for target in targets if _part_of(target) is not None]
        if not frontier:
            told = "':above' and ':below' take references to what may be part of its like, such as Location"
            raise InvalidInput(told, code="not-supported")
        frontier = [target for target in frontier if self._may_search(target.partition("/")[0])]
        if not frontier:
            raise Refused("the roles of this client do not allow search on what the reference leads to")
        found = dict.fromkeys(targets)
        for _ in range(MOST_LEVELS):
            by_type: dict[str, list[str]] = {}
            for target in frontier:
                by_type.setdefault(target.partition("/")[0], []).append(target)
            near = [each for kind, known in by_type.items() for each in await self._next_level(modifier, kind, known)]
            frontier = [target for target in dict.fromkeys(near) if target not in found]
            found.update(dict.fromkeys(frontier))
            if not frontier:
                return frozenset(self._records.index.key(target) for target in found)
            if len(found) > MOST_INNER:
                break
        told = f"the hierarchy has more than {MOST_LEVELS} levels or {MOST_INNER} members; begin nearer to its end"
        raise InvalidInput(told, code="too-costly")

    async def _next_level(self, modifier: Modifier, resource_type: str, known: Sequence[str]) -> list[str]:
        """What is part of some resources of a type (BELOW), or what they are part of (ABOVE)."""
        parameter = _part_of(known[0])
        assert parameter is not None
        self._finder._refuse_hidden(self._requester, (resource_type,), parameter)
        if modifier is Modifier.BELOW:
            places = [(resource_type, path) for path in parameter.paths]
            rows = await self._records.referring(
                self._tx, known, places, [resource_type], self._visibility, limit=MOST_INNER + 1
            )
            return [row.reference for row in rows if row.permitted and not row.deleted]
        named = [(resource_type, target.partition("/")[2]) for target in known]
        rows = await self._records.read_many(self._tx, named, self._visibility)
        shown = [row for row in rows if row.permitted and not row.deleted]
        above = [
            target
            for document in await self._finder._vault.open(self._tx, shown)
            for target in search_parameters.referenced_under(document, frozenset({parameter.name}))
        ]
        return [target for target in above if target.partition("/")[0] == resource_type]

    async def _chain(self, types: Sequence[str], chain: Chain) -> Resolved:
        self._finder._refuse_hidden(self._requester, types, chain.parameter)
        open_ = [each for each in chain.inner if self._may_search(each[0])]
        if not open_:
            raise Refused("the roles of this client do not allow search on what the chain leads to")
        inner = [(each, await self.resolved((each,), node)) for each, node in open_]
        beside = [await self._contained(types, Contained(chain.parameter, tuple(inner)))]
        if chain.parameter.canonical:
            beside.append(await self._naming(types, chain.parameter, inner))
        if all(self._terms.term((each,), node).exact for each, node in inner):
            found: Resolved = Chain(chain.parameter, tuple(inner))  # type: ignore[arg-type]
        else:
            found = Targets(chain.parameter, frozenset([key for each in inner for key in await self._keys(*each)]))
        return _either(found, beside)

    async def _naming(
        self, types: Sequence[str], parameter: search_parameters.Parameter, inner: Iterable[tuple[str, Resolved]]
    ) -> Resolved | None:
        """The same chain over canonicals: what names by url and version a resource that satisfies it."""
        rows = [row for each, node in inner if canonicals.has_url(each) for row in await self._all(each, node)]
        places = [(each, path) for each in types for path in _paths(each, parameter)]
        naming = await self._finder._naming(
            self._tx, self._requester, rows, places, types, self._visibility, MOST_INNER + 1
        )
        _refuse_many(len(naming), "resources name what fits the end of a chain")
        return Keys(frozenset(self._records.index.key(row.reference) for row in naming)) if naming else None

    async def _contained(self, types: Sequence[str], node: Contained) -> Resolved | None:
        """The same chain into resources that contain what they refer to; None where there are none, as mostly."""
        if not all(self._finder._shows_all(self._requester, each) for each in types):
            return None
        if not await self._records.any_token(self._tx, self._terms.contained_tokens(types, node)):
            return None
        if self._terms.term(types, node).exact:
            return node
        return Keys(frozenset([key for each in types for key in await self._keys(each, node)]))

    async def contained(self, query: SearchQuery) -> tuple[tuple[str, ...], Resolved]:
        """What contains a resource that satisfies all criteria and to which a search parameter leads
        (search.html#contained), and with `both` what satisfies them itself: the types, and the node that finds them."""
        nodes = query.criteria
        asked = nodes[0] if len(nodes) == 1 else And(tuple(nodes)) if nodes else _ALWAYS
        inner = await self.resolved((query.type,), asked)
        found = [OfType(query.type, inner)] if query.contained == "both" else []
        around = {
            each: [Contained(parameter, ((query.type, inner),)) for parameter in parameters]
            for each, parameters in _leading_to(query.type).items()
            if self._may_search(each) and self._finder._shows_all(self._requester, each)
        }
        if await self._any_contained(around):
            for each, places in around.items():
                if await self._any_contained({each: places}):
                    found += [OfType(each, await self._decided(each, place)) for place in places]
        return tuple({query.type: None, **{node.type: None for node in found}}), Or(tuple(found))  # type: ignore[arg-type]

    async def _decided(self, resource_type: str, node: Contained) -> Resolved:
        """The node, or what it finds where only decryption can tell."""
        if self._terms.term((resource_type,), node).exact:
            return node
        return Keys(frozenset(await self._keys(resource_type, node)))

    async def _any_contained(self, around: Mapping[str, Sequence[Contained]]) -> bool:
        """Whether there is any resource of these types that contains what its nodes lead to."""
        tokens = [
            token
            for each, nodes in around.items()
            for node in nodes
            for token in self._terms.contained_tokens((each,), node)
        ]
        return await self._records.any_token(self._tx, tokens)

    async def _keys(self, resource_type: str, node: Resolved) -> list[int]:
        return [self._records.index.key(row.reference) for row in await self._all(resource_type, node)]

    async def _has(self, types: Sequence[str], has: Has) -> Resolved:
        if not self._may_search(has.type):
            raise Refused(f"the roles of this client do not allow search on {has.type}")
        self._finder._refuse_hidden(self._requester, (has.type,), has.parameter)
        inner = await self.resolved((has.type,), has.inner)
        beside = [await self._named(types, has, inner)] if has.parameter.canonical else []
        if self._terms.term((has.type,), inner).exact:
            return _either(Has(has.type, has.parameter, inner), beside)  # type: ignore[arg-type]
        rows = await self._all(has.type, inner)
        keys: set[int] = set()
        for document in await self._finder._vault.open(self._tx, rows):
            values = search_parameters.index(document)
            keys |= {self._records.index.key(t) for path, t in values.references if path in has.parameter.paths}
        return _either(Keys(frozenset(keys)), beside)

    async def _named(self, types: Sequence[str], has: Has, inner: Resolved) -> Resolved | None:
        """What canonicals of such resources name by url and version, of types that the roles show whole."""
        named = [each for each in canonicals.defining(has.parameter, None) if each in types]
        named = [each for each in named if self._finder._shows_all(self._requester, each)]
        if not named:
            return None
        documents = await self._finder._vault.open(self._tx, await self._all(has.type, inner))
        paths = frozenset(has.parameter.paths)
        names = dict.fromkeys(name for document in documents for name in canonicals.written(document, paths))
        nodes = [
            OfType(each, await self.resolved((each,), node))
            for each in named
            for query in _called(each, names)
            for node in query.criteria
        ]
        return Or(tuple(nodes)) if nodes else None  # type: ignore[arg-type]

    async def _all(self, resource_type: str, node: Resolved) -> list[StoredResource]:
        """All hits of one criterion, where only decryption tells them."""
        now = self._finder._clock.now()
        plan = plan_search((resource_type,), [node], [], self._records.index, now)
        look = self._finder._look(self._tx)
        page = await self._records.search(self._tx, plan, self._visibility, look, after=None, count=MOST_INNER)
        _refuse_many(len(page.rows) + page.more, f"{resource_type} resources fit the end of a chain")
        return page.rows

    async def _on_current_list(self, types: Sequence[str], name: str) -> Resolved:
        """What a functional list of the search's patient names (`current_lists`)."""
        asked = CURRENT_LISTS.get(name)
        if asked is None:
            raise InvalidInput(f"the functional lists are {', '.join(CURRENT_LISTS)}", code="not-supported")
        if len(types) != 1 or types[0] not in asked.current:
            raise InvalidInput(f"{name} is searched for among {' or '.join(asked.current)}", code="not-supported")
        patient = sole_patient(self._criteria)
        if patient is None:
            raise InvalidInput("a functional list is that of one patient: say which, with patient=", code="required")
        kept = await self._newest("List", asked.kept_for(patient)) if self._may_search("List") else None
        if kept is not None:
            return Keys(await self._members(kept.id))
        return await self.resolved(types, And(tuple(parse(types[0], asked.current[types[0]]).criteria)))

    async def _newest(self, resource_type: str, pairs: Iterable[tuple[str, str]]) -> StoredResource | None:
        """The first hit of another search."""
        query = parse(resource_type, pairs)
        plan = await self._finder.plan(self._tx, self._requester, query, self._visibility)
        look = self._finder._look(self._tx)
        page = await self._records.search(self._tx, plan, self._visibility, look, after=None, count=1)
        return page.rows[0] if page.rows else None

    async def _members(self, list_id: str) -> frozenset[int]:
        """The keys of what a List names, if the requester may see the list."""
        if not granted(self._finder._roles, self._requester, Interaction.READ, "List"):
            raise Refused("the roles of this client do not allow read on List")
        rows = await self._records.read_many(self._tx, [("List", list_id)], self._visibility)
        shown = [row for row in rows if row.permitted and not row.deleted]
        documents = await self._finder._vault.open(self._tx, shown)
        texts = [
            entry["item"]["reference"]
            for document in documents
            for entry in document.get("entry", ())
            if not entry.get("deleted") and "reference" in entry.get("item", {})
        ]
        return frozenset(self._records.index.key(references.parse(text).target) for text in texts)

    def _may_search(self, resource_type: str) -> bool:
        return granted(self._finder._roles, self._requester, Interaction.SEARCH, resource_type)
