"""Type/id/$graph (resource-operation-graph.html): what a GraphDefinition says that belongs to a resource.

    (1) define   the GraphDefinition that the caller may read
    (2) begin    the resource itself, of the type that the definition begins with
    (3) follow   each link: what its path refers to, what its parameters find; then the links of what was found

Every step passes the gate out, so that what it withholds is not there. Rules about compartments, profiles and
cardinalities of a definition are not judged: they tell a validator what a graph should be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from healthsync.domains.access import Requester
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.standards.fhir import element_paths, json, references
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.parameters import Parameters
from healthsync.standards.fhir.query import parse
from healthsync.standards.fhir.query_values import escape

MOST_RESOURCES = 1_000
MOST_QUESTIONS = 200
"""Resources of one graph, and questions that it may take to find them."""

_NAMED_AT_ONCE = 200
_ANY = frozenset({"Resource", "Any"})

Json = Mapping[str, Any]
Documents = dict[str, Json]
"""Resources by `Type/id`."""


class FollowGraph:
    """The operation."""

    def __init__(self, disclose: Disclose) -> None:
        self._disclose = disclose

    async def __call__(
        self, requester: Requester, resource_type: str, id_: str, asked: Parameters
    ) -> list[Disclosed] | Refusal:
        """The resource and all that the graph leads to, each once. Raises InvalidInput for a definition that is not
        here or begins with another type, and (`too-costly`) for more than MOST_RESOURCES or MOST_QUESTIONS."""
        named = asked.only(("graph",)).text("graph")
        if not named:
            raise InvalidInput("name the GraphDefinition by its url in the parameter graph", code="required")
        return await _Walk(self._disclose, requester).graph(named, resource_type, id_)


class References:
    """What is referred to, read through the gate for one requester, type by type."""

    def __init__(self, disclose: Disclose, requester: Requester, interaction: str) -> None:
        self._disclose, self._requester, self._interaction = disclose, requester, interaction
        self._questions = 0

    async def read(self, targets: Iterable[str]) -> list[Disclosed]:
        """Those of some `Type/id` that are here for the requester."""
        by_type: dict[str, list[str]] = {}
        for target in dict.fromkeys(targets):
            kind, _, id_ = target.partition("/")
            by_type.setdefault(kind, []).append(id_)
        found: list[Disclosed] = []
        for kind, ids in by_type.items():
            for start in range(0, len(ids), _NAMED_AT_ONCE):
                found += await self.search(kind, [("_id", ",".join(ids[start : start + _NAMED_AT_ONCE]))])
        return found

    async def search(self, resource_type: str, pairs: Sequence[tuple[str, str]]) -> list[Disclosed]:
        """The hits of a search; none where the roles do not open the type. Raises InvalidInput (`too-costly`)."""
        self._questions += 1
        if self._questions > MOST_QUESTIONS:
            raise InvalidInput(f"this asks for more than {MOST_QUESTIONS} look-ups", code="too-costly")
        page = await self._disclose.search(
            self._requester,
            parse(resource_type, pairs),
            after=None,
            count=MOST_RESOURCES,
            asked=urlencode(pairs),
            with_total=False,
            interaction=self._interaction,
        )
        if isinstance(page, Refusal):
            return []
        if page.position is not None:
            _too_many()
        return page.entries


class _Walk:
    """One graph on its way."""

    def __init__(self, disclose: Disclose, requester: Requester) -> None:
        self._disclose, self._requester = disclose, requester
        self._near = References(disclose, requester, "$graph")
        self._found: dict[str, Disclosed] = {}

    async def graph(self, named: str, resource_type: str, id_: str) -> list[Disclosed] | Refusal:
        definition = await self._definition(named)  # (1)
        if definition.get("start") not in (resource_type, *_ANY):
            raise InvalidInput(f"the graph does not begin with {resource_type}", code="invalid")
        first = await self._disclose.read(self._requester, resource_type, id_)  # (2)
        if isinstance(first, Refusal):
            return first
        await self._follow(definition.get("link", ()), self._take([first]))  # (3)
        return list(self._found.values())

    async def _definition(self, named: str) -> Json:
        reference = references.parse(named)
        if reference.kind is references.Kind.RELATIVE and reference.type == "GraphDefinition":
            found = await self._near.read([f"GraphDefinition/{reference.id}"])
        else:
            url, _, version = named.partition("|")
            pairs = [("url", escape(url, ",|")), *([("version", escape(version, ",|"))] if version else [])]
            found = await self._near.search("GraphDefinition", [*pairs, ("_sort", "-_lastUpdated")])
        if not found:
            raise InvalidInput("this hub does not know the GraphDefinition; store it first", code="not-found")
        return json.parse(found[0].text.encode())

    async def _follow(self, links: Iterable[Json], sources: Documents) -> None:
        for link in links if sources else ():
            path = link.get("path")
            named = [target for each in sources.values() for target in _referred(each, path)] if path else []
            targets = link.get("target", [])
            if path and not targets:
                self._take(await self._near.read(named))
            for target in targets:
                kind = target.get("type")
                wanted = [each for each in named if kind in _ANY or each.partition("/")[0] == kind]
                found = await self._near.read(wanted)
                if "params" in target:
                    found += await self._sought(str(kind), target["params"], sources)
                await self._follow(target.get("link", ()), self._take(found))

    async def _sought(self, resource_type: str, params: str, sources: Iterable[str]) -> list[Disclosed]:
        """What the parameters of a target find for each of some resources, which stand for `{ref}`."""
        asked = parse_qsl(params.lstrip("?"))
        if resource_type not in resource_types() or not any("{ref}" in value for _, value in asked):
            raise InvalidInput("params of a graph's target are criteria of its type with {ref}", code="value")
        found: list[Disclosed] = []
        for source in sources:
            pairs = [(name, value.replace("{ref}", source)) for name, value in asked]
            found += await self._near.search(resource_type, pairs)
        return found

    def _take(self, found: Iterable[Disclosed]) -> Documents:
        """Keep what was found; answers its documents."""
        taken = {each.reference: each for each in found}
        self._found |= taken
        if len(self._found) > MOST_RESOURCES:
            _too_many()
        return {reference: json.parse(each.text.encode()) for reference, each in taken.items()}


def _referred(document: Json, path: str) -> list[str]:
    """`Type/id` of the resources here that the elements under a path refer to."""
    values = [element.value for element in element_paths.find(dict(document), path)]
    texts = [value.get("reference", "") if isinstance(value, Mapping) else str(value) for value in values]
    parsed = [references.parse(text) for text in texts]
    return [f"{each.type}/{each.id}" for each in parsed if each.kind is references.Kind.RELATIVE]


def _too_many() -> None:
    raise InvalidInput(f"this leads to more than {MOST_RESOURCES} resources", code="too-costly")
