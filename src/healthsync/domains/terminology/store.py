"""Rows of terminology, and a code system in tables that answers as `sources.Source`.

One file, though a long one: what writes the rows of a code system and what reads them agree on every column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import asyncpg
import msgspec

from healthsync.domains.terminology.errors import TooCostly
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    CompiledCodeSystem,
    CompiledConceptMap,
    Concept,
    ConceptMap,
    Designation,
    Filter,
    FilterOperator,
    LoadedRelease,
    LocalMap,
    MapEntry,
    Property,
    Unmapped,
    WorkItem,
)
from healthsync.domains.terminology.releases import PublishedMap, PublishedSystem
from healthsync.domains.terminology.sources import HIERARCHICAL, check_filters, folded, listed
from healthsync.domains.terminology.standardising import AppliedLine
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Queries, Transaction

_SQL = Queries("healthsync.domains.terminology")
_T = TypeVar("_T")

MAX_MAPS = 200
MAX_ENTRIES = 1000
"""Most concept maps and lines that one translation looks at."""


# --- writing


async def replace_code_system(tx: Transaction, origin: str, compiled: CompiledCodeSystem, now: datetime) -> None:
    """Write a code system in place of what came from the same resource before."""
    await tx.execute(_SQL.forget_code_system, origin)
    await _add_concepts(tx, await _add_system(tx, origin, compiled.header, now), compiled.concepts)


async def _add_system(tx: Transaction, origin: str, header: CodeSystem, now: datetime) -> int:
    return await tx.fetchval(
        _SQL.add_code_system,
        origin,
        header.url,
        header.version,
        header.name,
        header.title,
        header.status,
        header.content,
        header.case_sensitive,
        _json(header.properties),
        _json({name: getattr(header, name) for name in _SAID if getattr(header, name)}),
        now,
    )


_SAID = (
    *("language", "experimental", "standards_status", "supplements", "version_needed", "language_pack"),
    "property_uris",
)


async def _add_concepts(tx: Transaction, key: int, concepts: Sequence[Concept]) -> None:
    for table, rows in _rows(key, concepts).items():
        await _copy(tx, table, rows)


async def _copy(tx: Transaction, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await tx.flush()
        await tx.connection.copy_records_to_table(f"terminology_{table}", records=rows, columns=_COLUMNS[table])


async def load_system(tx: Transaction, origin: str, published: PublishedSystem, now: datetime) -> int:
    """Write a published code system as it is read, in place of what the same release was before; answers how many
    concepts it has. Raises InvalidInput for one that names a concept twice."""
    await tx.execute(_SQL.forget_code_system, origin)
    key = await _add_system(tx, origin, published.header, now)
    count = 0
    try:
        for concepts in _portions(published.concepts):
            count += len(concepts)
            await _add_concepts(tx, key, concepts)
        seen: set[int] = set()  # of hashes: publishers repeat a relationship for each path that leads over it
        for edges in _portions(published.edges):
            fresh = [edge for edge in edges if edge[0] != edge[1] and _is_new(seen, hash(edge))]
            await _copy(tx, "edge", [(key, child, parent) for child, parent in fresh])
        place = _OWN_DESIGNATIONS
        for told in _portions(published.designations):
            rows = [(key, code, place + n, *_designation(each)) for n, (code, each) in enumerate(told)]
            place += len(rows)
            await _copy(tx, "designation", rows)
    except asyncpg.UniqueViolationError:
        raise InvalidInput("the files name a concept twice; take them as they were published") from None
    return count


async def load_map(tx: Transaction, origin: str, published: PublishedMap, now: datetime) -> int:
    """Write a published map as it is read; answers how many lines it has."""
    empty = CompiledConceptMap(published.header, ())
    key, count = await replace_map(tx, origin, empty, now, applied=published.applied), 0
    for entries in _portions(published.entries):
        await _add_lines(tx, key, entries, count)
        count += len(entries)
    return count


async def begin_load(tx: Transaction) -> None:
    """What follows may take long."""
    await tx.execute(_SQL.take_your_time)


async def end_load(tx: Transaction) -> None:
    """The planner learns of what was loaded."""
    await tx.execute(_SQL.gather_statistics)


async def releases(tx: Transaction) -> list[LoadedRelease]:
    """What releases are loaded."""
    return [LoadedRelease(**row) for row in await tx.fetch(_SQL.releases)]


_EXTENSION = "extension"
"""The kind of a row that is no property, but an extension of the concept."""

_PORTION = 20_000
"""Rows that are held at one time."""

_OWN_DESIGNATIONS = 1000
"""Places of designations that stand with their concept; those that come apart from it follow."""


def _portions(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while portion := list(islice(rest, _PORTION)):
        yield portion


def _is_new(seen: set[int], value: int) -> bool:
    known = value in seen
    seen.add(value)
    return not known


_COLUMNS = {
    "concept": [
        "system_key",
        "code",
        "ordinal",
        "display",
        "definition",
        "inactive",
        "abstract",
        "folded",
        "code_fold",
    ],
    "edge": ["system_key", "child", "parent"],
    "designation": ["system_key", "code", "ordinal", "language", "use", "value", "status"],
    "property": ["system_key", "code", "ordinal", "property", "kind", "value", "coding"],
    "map_entry": [
        "map_key",
        "ordinal",
        "source_system",
        "source_code",
        "equivalence",
        "target_system",
        "target_code",
        "target_display",
        "target_version",
        "comment",
        "depends_on",
        "products",
    ],
}


def _rows(key: int, concepts: Iterable[Concept]) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {"concept": [], "edge": [], "designation": [], "property": []}
    for c in concepts:
        rows["concept"].append(
            (key, c.code, c.ordinal, c.display, c.definition, c.inactive, c.abstract, folded(c), c.code.casefold())
        )
        rows["edge"].extend((key, c.code, parent) for parent in c.parents)
        rows["designation"].extend((key, c.code, n, *_designation(d)) for n, d in enumerate(c.designations))
        told = (*c.properties, *(Property(e["url"], _EXTENSION, "", e) for e in c.extensions))
        rows["property"].extend(
            (key, c.code, n, p.code, p.kind, p.value, _json(p.coding) if p.coding else None) for n, p in enumerate(told)
        )
    return rows


def _designation(designation: Designation) -> tuple[str | None, str | None, str, str | None]:
    use = _json(designation.use) if designation.use else None
    return designation.language, use, designation.value, designation.status


async def replace_value_set(tx: Transaction, origin: str, document: Mapping[str, Any], now: datetime) -> None:
    """Write a value set in place of what came from the same resource before."""
    await tx.execute(_SQL.forget_value_set, origin)
    url, version, status = document.get("url"), document.get("version"), document.get("status", "active")
    await tx.execute(_SQL.add_value_set, origin, url, version, status, _json(document), now)


async def replace_map(
    tx: Transaction, origin: str, compiled: CompiledConceptMap, now: datetime, *, applied: bool | None
) -> int:
    """Write a concept map in place of what came from the same resource before; answers its key.

    `applied`: whether codes are standardised by it; None leaves that as it was.
    """
    before = await tx.fetchval(_SQL.forget_map, origin)
    applied = bool(before) if applied is None else applied
    header = compiled.header
    said = (header.url, header.version, header.status, header.source, header.target, _json(header.unmapped))
    key = await tx.fetchval(_SQL.add_map, origin, *said, now, applied)
    await _add_lines(tx, key, compiled.entries, 0)
    return key


async def _add_lines(tx: Transaction, key: int, entries: Iterable[MapEntry], first: int) -> None:
    rows = ((key, n, *_line(entry)) for n, entry in enumerate(entries, first))
    await tx.flush()
    await tx.connection.copy_records_to_table("terminology_map_entry", records=rows, columns=_COLUMNS["map_entry"])


def _line(entry: MapEntry) -> tuple[Any, ...]:
    target = entry.target
    where = (target.system, target.code, target.display, target.version) if target else (None,) * 4
    return (
        *(entry.source_system, entry.source_code, entry.equivalence, *where),
        *(entry.comment, _json(entry.depends_on), _json(entry.products)),
    )


async def put_local_lines(
    tx: Transaction, partner: str | None, url: str, entries: Sequence[MapEntry], now: datetime, *, whole: bool
) -> None:
    """Lines of the local map of a partner, in place of those for the same codes, or (`whole`) of all there were."""
    key = await tx.fetchval(_SQL.local_map, _local(partner), url, now, partner)
    if whole:
        await tx.execute(_SQL.clear_map, key)
    else:
        await drop_local_lines(tx, key, [(entry.source_system, entry.source_code) for entry in entries])
    await _add_lines(tx, key, entries, await tx.fetchval(_SQL.last_line, key) + 1)


async def drop_local_lines(tx: Transaction, key: int, codes: Sequence[tuple[str | None, str]]) -> int:
    """The lines of a map for (system, code) go; answers how many there were."""
    done = await tx.execute(_SQL.drop_lines, key, [system for system, _ in codes], [code for _, code in codes])
    return int(done.rpartition(" ")[2])


async def remove_local_lines(
    tx: Transaction, partner: str | None, url: str, codes: Sequence[tuple[str | None, str]], now: datetime
) -> int:
    """The lines of a local map for (system, code) go; answers how many there were."""
    return await drop_local_lines(tx, await tx.fetchval(_SQL.local_map, _local(partner), url, now, partner), codes)


def _local(partner: str | None) -> str:
    return "local:" if partner is None else f"local:{partner}"


async def forget(tx: Transaction, resource_type: str, origin: str) -> None:
    """Remove what came from one resource."""
    statements = {
        "CodeSystem": _SQL.forget_code_system,
        "ValueSet": _SQL.forget_value_set,
        "ConceptMap": _SQL.forget_map,
    }
    await tx.execute(statements[resource_type], origin)


async def unload(tx: Transaction, prefix: str) -> None:
    """Remove all whose origin begins so."""
    for statement in (_SQL.unload_code_systems, _SQL.unload_value_sets, _SQL.unload_maps):
        await tx.execute(statement, prefix)


# --- reading


async def code_systems(tx: Transaction, url: str) -> list[StoredSystem]:
    """The loaded code systems of a URL, and the language packs for them."""
    return [StoredSystem(tx, row["key"], _header(row)) for row in await tx.fetch(_SQL.code_systems, url)]


async def headers(tx: Transaction) -> list[CodeSystem]:
    """What is said of every loaded code system."""
    return [_header(row) for row in await tx.fetch(_SQL.all_code_systems)]


async def code_system_url(tx: Transaction, origin: str) -> tuple[str, str | None] | None:
    """URL and version of the code system that came from a resource."""
    row = await tx.fetchrow(_SQL.code_system_by_origin, origin)
    return None if row is None else (row["url"], row["version"])


async def value_sets(tx: Transaction, url: str) -> list[dict[str, Any]]:
    """The definitions of the loaded value sets of a URL."""
    return [msgspec.json.decode(row["document"]) for row in await tx.fetch(_SQL.value_sets, url)]


async def value_set_of(tx: Transaction, origin: str) -> dict[str, Any] | None:
    """The definition of the value set that came from a resource."""
    row = await tx.fetchrow(_SQL.value_set_by_origin, origin)
    return None if row is None else msgspec.json.decode(row["document"])


async def loaded_since(tx: Transaction, reference: str, at: datetime) -> bool:
    """Whether what a URL or Type/id means was loaded after an instant, for the first time or anew."""
    return bool(await tx.fetchval(_SQL.loaded_since, reference, at))


async def maps(
    tx: Transaction, *, url: str | None, origin: str | None, source: str | None, target: str | None
) -> list[tuple[int, ConceptMap]]:
    """Concept maps by URL, by the resource that they came from, or by the value sets that they are between."""
    if origin is not None:
        rows = await tx.fetch(_SQL.map_by_origin, origin)
    elif url is not None:
        rows = await tx.fetch(_SQL.maps_by_url, url)
    else:
        rows = await tx.fetch(_SQL.maps_between, source, target, MAX_MAPS)
    return [(row["key"], _map(row)) for row in rows]


async def entries(
    tx: Transaction, keys: Sequence[int], system: str | None, code: str, *, reverse: bool
) -> list[tuple[int, MapEntry]]:
    """The lines of maps that start (or, reversed, end) at a code."""
    statement = _SQL.entries_by_target if reverse else _SQL.entries_by_source
    rows = await tx.fetch(statement, list(keys), code, system, MAX_ENTRIES)
    return [(row["map_key"], _entry(row)) for row in rows]


async def maps_revision(tx: Transaction) -> str:
    """What changes with every change of a map by which codes are standardised."""
    return await tx.fetchval(_SQL.maps_revision)


async def applied_lines(tx: Transaction) -> list[AppliedLine]:
    """The lines by which codes are standardised, in ascending order of authority."""
    rows = await tx.fetch(_SQL.applied_lines)
    return [AppliedLine(row["partner"], row["map_url"], _entry(row)) for row in rows]


async def local_maps(tx: Transaction) -> list[LocalMap]:
    """Every local map."""
    return [
        LocalMap(row["partner"], row["url"], row["lines"], row["loaded_at"]) for row in await tx.fetch(_SQL.local_maps)
    ]


async def local_lines(tx: Transaction, partner: str | None) -> list[MapEntry]:
    """The lines of a local map."""
    return [_entry(row) for row in await tx.fetch(_SQL.local_lines, _local(partner))]


# --- work items


async def note_untranslated(
    tx: Transaction, seen: Mapping[tuple[str, str, str], tuple[str, str, int]], now: datetime
) -> None:
    """(partner, system, code) -> (element, reason, occurrences) since the last time."""
    columns = [[*key, *said] for key, said in seen.items()]
    await tx.execute(_SQL.note_untranslated, *map(list, zip(*columns, strict=True)), now)


async def work_items(
    tx: Transaction, *, state: str | None, partner: str | None, key: int | None, limit: int
) -> list[WorkItem]:
    """Work items, the most frequent first."""
    rows = await tx.fetch(_SQL.work_items, state, partner, key, limit)
    return [WorkItem(**{**row, "system": row["system"] or None}) for row in rows]


async def work_counts(tx: Transaction) -> list[tuple[str, str, int, int]]:
    """(partner, state, codes, occurrences)."""
    rows = await tx.fetch(_SQL.work_counts)
    return [(row["partner"], row["state"], row["codes"], row["occurrences"]) for row in rows]


async def settle_work_items(
    tx: Transaction, keys: Sequence[int], state: str, now: datetime | None, by: str | None
) -> None:
    """Work items that are done with, or open again."""
    await tx.execute(_SQL.settle_work_items, list(keys), state, now, by)


# --- closure tables


async def begin_closure(tx: Transaction, owner: str, name: str) -> None:
    """A closure table begins anew, empty."""
    key = await tx.fetchval(_SQL.begin_closure, owner, name)
    await tx.execute(_SQL.empty_closure_lines, key)
    await tx.execute(_SQL.empty_closure_concepts, key)


async def closure(tx: Transaction, owner: str, name: str) -> tuple[int, int] | None:
    """Key and version of a closure table, held until the commit; None when there is none."""
    row = await tx.fetchrow(_SQL.closure, owner, name)
    return None if row is None else (row["key"], row["version"])


async def closures(tx: Transaction, owner: str) -> int:
    """How many closure tables a client has."""
    return await tx.fetchval(_SQL.closures, owner)


async def closure_size(tx: Transaction, key: int) -> int:
    """How many concepts a closure table has."""
    return await tx.fetchval(_SQL.closure_size, key)


async def closure_codes(tx: Transaction, key: int, system: str) -> set[str]:
    """The codes of a system in a closure table."""
    return {row["code"] for row in await tx.fetch(_SQL.closure_codes, key, system)}


async def add_to_closure(
    tx: Transaction, key: int, version: int, system: str, codes: Sequence[str], lines: Sequence[tuple[str, str]]
) -> None:
    """Concepts, and (below, above) of what stands above what, told first in a version."""
    await tx.execute(_SQL.add_to_closure, key, system, list(codes))
    columns = [below for below, _ in lines], [above for _, above in lines]
    await tx.execute(_SQL.add_closure_lines, key, version, system, *columns)


async def raise_closure(tx: Transaction, key: int) -> int:
    """The next version of a closure table."""
    return await tx.fetchval(_SQL.raise_closure, key)


async def closure_lines(tx: Transaction, key: int, after: int) -> list[tuple[str, str, str]]:
    """(system, below, above) of a closure table after a version."""
    return [(row["system"], row["below"], row["above"]) for row in await tx.fetch(_SQL.closure_lines, key, after)]


class StoredSystem:
    """A code system in tables, seen through one transaction; see `sources.Source`."""

    def __init__(self, tx: Transaction, key: int, header: CodeSystem) -> None:
        self._tx, self._key, self.header = tx, key, header
        self._branches: dict[str, list[str] | None] = {}

    async def resolve(self, code: str) -> Concept | None:
        """See Source."""
        row = await self._tx.fetchrow(_SQL.resolve, self._key, code, not self.header.case_sensitive, code.casefold())
        return None if row is None else _concept(row)

    async def select(
        self,
        filters: Sequence[Filter],
        *,
        codes: Collection[str] | None = None,
        words: Sequence[str] = (),
        after: int = -1,
        limit: int,
    ) -> list[Concept]:
        """See Source."""
        check_filters(filters, self.header)
        parameters: list[Any] = [self._key, after]
        conditions: list[str] = []

        def parameter(value: Any) -> str:
            parameters.append(value)
            return f"${len(parameters)}"

        if codes is not None:
            conditions.append(f"c.code = ANY ({parameter(list(codes))}::text[])")
        if words:
            conditions.append(f"c.folded LIKE ALL ({parameter([_containing(word) for word in words])}::text[])")
        for entry in filters:
            branch = None if codes is not None else await self._branch(entry)
            conditions.append(_condition(entry, parameter, branch))
        statement = " AND ".join([_SQL.select_concepts, *conditions])
        try:
            rows = await self._tx.fetch(f"{statement} ORDER BY c.ordinal LIMIT {parameter(limit)}", *parameters)
        except asyncpg.InvalidRegularExpressionError:
            raise InvalidInput("a filter's regex cannot be read, or is too large") from None
        return [_concept(row) for row in rows]

    async def is_broad(self, filters: Sequence[Filter]) -> bool:
        """See Source."""
        branches = [await self._branch(entry) for entry in filters if entry.operator in _BELOW]
        return None in branches

    async def _branch(self, entry: Filter) -> list[str] | None:
        """The codes below that of a filter, itself included; None where they are many, or where it is no such filter.

        A branch that is gathered once is a list to look codes up in. From those of a broad branch it is shorter to go
        upwards: SNOMED CT has three hundred thousand concepts below its root, and no concept has more than some
        hundred above it.
        """
        if entry.operator not in _BELOW:
            return None
        if entry.value not in self._branches:
            rows = await self._tx.fetch(_SQL.descendants, self._key, entry.value, _NARROW + 1)
            self._branches[entry.value] = [row["code"] for row in rows] if len(rows) <= _NARROW else None
        return self._branches[entry.value]

    async def details(self, codes: Collection[str]) -> dict[str, Concept]:
        """See Source."""
        wanted = list(codes)
        concepts = {row["code"]: _concept(row) for row in await self._tx.fetch(_SQL.concepts, self._key, wanted)}
        gathered: dict[str, dict[str, list[Any]]] = {
            code: {"parents": [], "designations": [], "properties": [], "extensions": []} for code in concepts
        }
        for row in await self._tx.fetch(_SQL.parents, self._key, wanted):
            gathered[row["child"]]["parents"].append(row["parent"])
        for row in await self._tx.fetch(_SQL.designations, self._key, wanted):
            use = msgspec.json.decode(row["use"]) if row["use"] else None
            gathered[row["code"]]["designations"].append(Designation(row["value"], row["language"], use, row["status"]))
        for row in await self._tx.fetch(_SQL.properties, self._key, wanted):
            coding = msgspec.json.decode(row["coding"]) if row["coding"] else None
            if row["kind"] == _EXTENSION:
                gathered[row["code"]]["extensions"].append(coding)
                continue
            gathered[row["code"]]["properties"].append(Property(row["property"], row["kind"], row["value"], coding))
        return {
            code: replace(concept, **{name: tuple(values) for name, values in gathered[code].items()})
            for code, concept in concepts.items()
        }

    async def descendants(self, code: str, limit: int) -> set[str]:
        """See Source."""
        found = {row["code"] for row in await self._tx.fetch(_SQL.descendants, self._key, code, limit + 1)}
        if len(found) > limit:
            raise TooCostly(f"more than {limit} concepts lie below this one")
        return found

    async def ancestors(self, code: str) -> set[str]:
        """See Source."""
        return {row["code"] for row in await self._tx.fetch(_SQL.ancestors, self._key, code)}


# --- filters as conditions on c


_BELOW = frozenset({FilterOperator.IS_A, FilterOperator.DESCENDENT_OF, FilterOperator.IS_NOT_A})
_NARROW = 20_000
"""Concepts of a branch that is gathered; a broader one is asked from below."""


def _condition(entry: Filter, parameter: Any, branch: Sequence[str] | None) -> str:
    if entry.operator in HIERARCHICAL:
        return _hierarchy(entry, parameter, branch)
    if entry.operator is FilterOperator.EXISTS:
        return f"{_having(entry.property, parameter, 'IS NOT NULL')} = {entry.value}"
    if entry.operator is FilterOperator.EQUAL:
        return _having(entry.property, parameter, f"= {parameter(entry.value)}")
    if entry.operator is FilterOperator.REGEX:
        return _having(entry.property, parameter, f"~ {parameter(f'^(?:{entry.value})$')}")
    condition = _having(entry.property, parameter, f"= ANY ({parameter(listed(entry.value))}::text[])")
    return condition if entry.operator is FilterOperator.IN else f"NOT {condition}"


_COLUMN = {
    "concept": "c.code",
    "code": "c.code",
    "display": "c.display",
    "definition": "c.definition",
    "inactive": "c.inactive::text",
}


def _having(name: str, parameter: Any, test: str) -> str:
    """Whether any value of the property passes the test."""
    if name in _COLUMN:
        return f"coalesce({_COLUMN[name]} {test}, false)"
    if name in ("parent", "child"):
        other = "child" if name == "parent" else "parent"
        return (
            "EXISTS (SELECT 1 FROM terminology_edge e"
            f" WHERE e.system_key = $1 AND e.{other} = c.code AND e.{name} {test})"
        )
    stated = (
        "EXISTS (SELECT 1 FROM terminology_property p"
        f" WHERE p.system_key = $1 AND p.code = c.code AND p.property = {parameter(name)} AND p.value {test})"
    )
    return f"({stated} OR (c.abstract AND 'true' {test}))" if name == "notSelectable" else stated


def _hierarchy(entry: Filter, parameter: Any, branch: Sequence[str] | None) -> str:
    if branch is not None:
        below = f"c.code = ANY ({parameter(list(branch))}::text[])"
        match entry.operator:
            case FilterOperator.IS_A:
                return below
            case FilterOperator.IS_NOT_A:
                return f"NOT ({below})"
            case _:
                return f"({below} AND c.code <> {parameter(entry.value)})"
    value = parameter(entry.value)
    below = f"{value} IN ({_reach('c.code', 'child', 'parent')})"
    match entry.operator:
        case FilterOperator.GENERALIZES:
            return f"c.code IN ({_reach(value, 'child', 'parent')})"
        case FilterOperator.CHILD_OF:
            return (
                f"EXISTS (SELECT 1 FROM terminology_edge e WHERE {_EDGE} AND e.child = c.code AND e.parent = {value})"
            )
        case FilterOperator.DESCENDENT_LEAF:
            leaf = f"NOT EXISTS (SELECT 1 FROM terminology_edge e WHERE {_EDGE} AND e.parent = c.code)"
            return f"({leaf} AND c.code <> {value} AND {below})"
        case FilterOperator.IS_NOT_A:
            return f"NOT ({below})"
        case FilterOperator.IS_A:
            return below
        case _:
            return f"({below} AND c.code <> {value})"


_EDGE = "e.system_key = $1"


def _reach(start: str, at: str, to: str) -> str:
    """Codes reached from `start` along the edges, itself included."""
    return (
        f'WITH RECURSIVE r AS (SELECT {start}::text COLLATE "C" AS code UNION'
        f" SELECT e.{to} FROM r JOIN terminology_edge e ON e.system_key = $1 AND e.{at} = r.code) SELECT code FROM r"
    )


def _containing(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


# --- rows to nouns


_encoder = msgspec.json.Encoder(decimal_format="number")


def _json(value: Any) -> str:
    return _encoder.encode(value).decode()


def _header(row: asyncpg.Record) -> CodeSystem:
    return CodeSystem(
        row["url"],
        row["version"],
        row["name"],
        row["title"],
        row["status"],
        row["content"],
        row["case_sensitive"],
        msgspec.json.decode(row["properties"]),
        **msgspec.json.decode(row["said"]),
    )


def _concept(row: asyncpg.Record) -> Concept:
    return Concept(row["code"], row["display"], row["definition"], row["ordinal"], row["inactive"], row["abstract"])


def _map(row: asyncpg.Record) -> ConceptMap:
    unmapped = tuple(msgspec.convert(entry, Unmapped) for entry in msgspec.json.decode(row["unmapped"]))
    return ConceptMap(row["url"], row["version"], row["status"], row["source"], row["target"], unmapped)


def _entry(row: asyncpg.Record) -> MapEntry:
    target = None
    if row["target_code"] is not None:
        target = Coding(row["target_system"], row["target_code"], row["target_display"], row["target_version"])
    return MapEntry(
        row["source_system"],
        row["source_code"],
        row["equivalence"],
        target,
        row["comment"],
        tuple((name, value) for name, value in msgspec.json.decode(row["depends_on"])),
        tuple(msgspec.json.decode(row["products"])),
    )
