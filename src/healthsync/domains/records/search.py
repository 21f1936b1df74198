"""How is a search answered? Criteria become terms (`search_terms`), and the plan chooses what to begin with.

PostgreSQL is not left to guess. Where the hits of one term come from an index in the order of `pid`, or are known to be
few, that term *drives* and the others test each candidate; where all hits are many, resources are walked in order and
tested until the page is full. So the time of a page depends on the page, not on the size of the store.

What SQL cannot decide (sealed elements, exact text) is decided by `matches` after decryption.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthsync.domains.records.index import RecordIndex
from healthsync.domains.records.model import StoredResource, Visibility
from healthsync.domains.records.search_terms import (
    Codes,
    Contained,
    Keys,
    OfType,
    Resolved,
    Sql,
    Targets,
    Term,
    TermMaker,
)
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import matching, search_parameters
from healthsync.standards.fhir.criteria import And, Criterion, Not, Or
from healthsync.standards.fhir.query import Sort
from healthsync.standards.fhir.search_parameters import IndexValues

FEW = 2_000
"""Hits that are collected and sorted rather than walked by."""

Position = list[Any]
"""Where a page ends: the sort values of its last row and its `pid`, in JSON's types."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an order in SQL. `cast` is the SQL type of its values, `last` what stands for "no value"."""

    expression: str
    descending: bool
    cast: str


@dataclass(slots=True)
class SearchPlan:
    """A search made ready."""

    types: tuple[str, ...]
    terms: list[Term]
    undecided: list[Resolved]
    index: RecordIndex
    now: datetime
    keys: list[SortKey] = field(default_factory=list)
    sealed_sort: list[Sort] = field(default_factory=list)
    """Sort keys that are encrypted: all hits are decrypted and sorted in memory."""
    driver: Term | None = None
    _looked_at: frozenset[str] = field(init=False)
    """Names of the parameters that a decrypted resource is asked about."""

    def __post_init__(self) -> None:
        self._looked_at = frozenset(name for node in self.undecided for name in _named(node))

    @property
    def needs_filter(self) -> bool:
        """Whether hits must be decrypted to tell them from neighbours."""
        return bool(self.undecided)

    def contenders(self) -> list[Term]:
        """Terms of which one may drive, once their hits are counted; none when it is plain without counting."""
        finders = [term for term in self.terms if term.rows is not None]
        if any(term.narrow and term.rows is None for term in self.terms):
            return []  # ids: the resources are looked up
        self.driver = next((term for term in finders if term.narrow), None)
        if self.driver is None and len(finders) == 1 and finders[0].streams:
            self.driver = finders[0]
        return finders if self.driver is None else []

    def choose(self, counted: Sequence[tuple[int, Term]]) -> None:
        """Choose the driver among contenders, whose hits were counted no further than `FEW` + 1."""
        ranked = sorted(counted, key=lambda each: each[0])
        fewest = next((term for hits, term in ranked if hits <= FEW), None)
        self.driver = fewest or next((term for _, term in ranked if term.streams), None)

    def probe(self, term: Term, visibility: Visibility) -> tuple[str, list[Any]]:
        """A statement that counts the hits of a finder as far as matters."""
        sql = Sql(visibility)
        assert term.rows is not None
        x = sql.alias()
        return f"SELECT count(*) FROM (SELECT 1 FROM {term.rows(sql, x)} LIMIT {FEW + 1}) few", sql.parameters

    def page(
        self, visibility: Visibility, columns: str, after: Position | None, limit: int, *, counted: int = 0
    ) -> tuple[str, list[Any]]:
        """The statement of a page, and its parameters. Its last column is the number of hits from `after` on, counted
        no further than the larger of `limit` and `counted`."""
        sql = Sql(visibility)
        source, conditions = self._source(sql, after)
        keys = [f"{key.expression} AS key{place}" for place, key in enumerate(self.keys)]
        order = [f"key{place}{' DESC' if key.descending else ''}" for place, key in enumerate(self.keys)]
        if after is not None and self.keys:
            conditions.append(self._beyond(sql, after))
        selected = ", ".join(["r.*", *keys])
        number = "r.pid" if self.driver is None else "d.pid"
        inner = (
            f"SELECT {selected} FROM {source} WHERE {' AND '.join(conditions)}"
            f" ORDER BY {', '.join([*order, number])} LIMIT {max(int(limit), int(counted))}"
        )
        sort_value = f"ARRAY[{', '.join(f'r.key{place}::text' for place in range(len(keys)))}]" if keys else "NULL"
        outer = ", ".join([*(f"r.{each}" for each in order), "r.pid"])
        if counted > limit:
            inner = f"SELECT *, count(*) OVER () AS seen FROM ({inner}) r ORDER BY {outer} LIMIT {int(limit)}"
        statement = (
            f"SELECT {columns}, true AS permitted, {sort_value} AS sort_value,"
            f" {'r.seen' if counted > limit else 'NULL::bigint'} AS seen FROM ({inner}) r"
            " CROSS JOIN LATERAL (SELECT * FROM resource_content WHERE pid = r.pid LIMIT 1) c"
            f" ORDER BY {outer}"
        )
        return statement, sql.parameters

    def counting(self, visibility: Visibility, most: int | None) -> tuple[str, list[Any]]:
        """The statement that counts hits, no further than `most`."""
        sql = Sql(visibility)
        source, conditions = self._source(sql, None)
        bound = "" if most is None else f" LIMIT {int(most)}"
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {' AND '.join(conditions)}{bound}) hits",
            sql.parameters,
        )

    def _source(self, sql: Sql, after: Position | None) -> tuple[str, list[str]]:
        in_order = after is not None and not self.keys
        conditions = []
        if self.types:
            conditions.append(f"r.resource_type = {sql.bind(self.types[0])}" if len(self.types) == 1
                              else f"r.resource_type = ANY ({sql.bind(list(self.types))}::text[])")  # fmt: skip
        conditions += ["NOT r.deleted", sql.visible("r")]
        conditions += [term.test(sql, "r") for term in self.terms if term is not self.driver]
        position = sql.bind(after[-1]) if in_order and after is not None else None
        if self.driver is None or self.driver.rows is None:
            return "resource r", conditions + ([f"r.pid > {position}::bigint"] if position else [])
        x = sql.alias()
        rows = self.driver.rows(sql, x) + (f" AND {x}.pid > {position}::bigint" if position else "")
        found = f"(SELECT DISTINCT {x}.pid FROM {rows} ORDER BY {x}.pid) d"
        if self.driver.streams:  # no DISTINCT: it would read all rows before the first
            found = f"(SELECT {x}.pid FROM {rows}{self.driver.once(sql, x) if self.driver.once else ''}) d"
        # LIMIT keeps the planner from reading all resources beside the rows, whatever it believes about their number.
        return f"{found} CROSS JOIN LATERAL (SELECT * FROM resource WHERE pid = d.pid LIMIT 1) r", conditions

    def _beyond(self, sql: Sql, after: Position) -> str:
        """Rows after a position: later in the first key, or equal there and later in the next, and so on."""
        alternatives, equal = [], []
        for key, value in zip(self.keys, after[:-1], strict=True):
            place = f"{sql.bind(value)}::text::{key.cast}"
            alternatives.append(" AND ".join([*equal, f"{key.expression} {'<' if key.descending else '>'} {place}"]))
            equal.append(f"{key.expression} = {place}")
        alternatives.append(" AND ".join([*equal, f"r.pid > {sql.bind(after[-1])}::bigint"]))
        return "(" + " OR ".join(f"({each})" for each in alternatives) + ")"

    @staticmethod
    def position(row: StoredResource) -> Position:
        """Where a page that ends with this row ends."""
        return [*(row.sort_value or ()), row.pid]

    def matches(self, resource: dict[str, Any]) -> bool:
        """Whether a decrypted resource satisfies what SQL could not decide."""
        values = search_parameters.index_of(resource, self._looked_at, whole=True)
        return all(self._holds(node, resource, values) for node in self.undecided)

    def _holds(self, node: Resolved, resource: dict[str, Any], values: IndexValues) -> bool:
        match node:
            case And(nodes=nodes):
                return all(self._holds(each, resource, values) for each in nodes)
            case Or(nodes=nodes):
                return any(self._holds(each, resource, values) for each in nodes)
            case Not(node=inner):
                return not self._holds(inner, resource, values)
            case Codes(parameter=parameter, codes=codes):
                found = [(s, c) for path, s, c in values.tokens if path in parameter.paths]
                return any(pair in codes or (None, pair[1]) in codes for pair in found)
            case Targets(parameter=parameter, keys=keys):
                return any(p in parameter.paths and self.index.key(target) in keys for p, target in values.references)
            case Contained(parameter=parameter, inner=inner):
                own = search_parameters.definition(resource["resourceType"], parameter.name) or parameter
                return any(
                    self._holds(rest, each, search_parameters.index(each, whole=True))
                    for each in matching.contained(resource, own, values)
                    for kind, rest in inner
                    if kind == each["resourceType"]
                )
            case OfType(type=type_, inner=inner):
                return resource["resourceType"] == type_ and self._holds(inner, resource, values)
            case Keys(keys=keys):
                return self.index.key(f"{resource['resourceType']}/{resource['id']}") in keys
            case _:
                return matching.satisfies(node, resource, values, self.now)


def plan_search(
    types: Sequence[str], nodes: Sequence[Resolved], sort: Sequence[Sort], index: RecordIndex, now: datetime
) -> SearchPlan:
    """Plan a search for resources of some types ("" in the query: of any).

    Raises InvalidInput (`not-supported`) for what this hub cannot answer truthfully.
    """
    maker = TermMaker(index, now)
    conjuncts = [(node, maker.conjuncts(types, node)) for node in nodes]
    undecided = [node for node, terms in conjuncts if not all(term.exact for term in terms)]
    plan = SearchPlan(tuple(types), [term for _, terms in conjuncts for term in terms], undecided, index, now)
    if any(_is_sealed(types, key) for key in sort):
        plan.sealed_sort = list(sort)
    else:
        plan.keys = [_sort_key(types, key, index) for key in sort]
    return plan


def _named(node: Resolved) -> Iterator[str]:
    """The names of the parameters that a node is about."""
    match node:
        case And(nodes=nodes) | Or(nodes=nodes):
            for each in nodes:
                yield from _named(each)
        case Not(node=inner) | OfType(inner=inner):
            yield from _named(inner)
        case (
            Criterion(parameter=parameter)
            | Codes(parameter=parameter)
            | Targets(parameter=parameter)
            | Contained(parameter=parameter)
        ):
            yield parameter.name


def _is_sealed(types: Sequence[str], key: Sort) -> bool:
    if key.parameter is None or key.name in ("_id", "_lastUpdated"):
        return False
    if key.parameter.type == "string":
        return any(RecordIndex.string_is_sealed(each, path) for each in types for path in key.parameter.paths)
    if key.parameter.type == "date":
        return any(RecordIndex.date_is_sealed(each, path) for each in types for path in key.parameter.paths)
    return key.parameter.type not in ("number", "quantity")  # tokens, references: their order is that of their text


def _sort_key(types: Sequence[str], key: Sort, index: RecordIndex) -> SortKey:
    """A resource without the value stays in the answer, at the end (search.html#sort)."""
    if key.name == "_lastUpdated":
        return SortKey("r.updated_at", key.descending, "timestamptz")
    if key.name == "_id":
        return SortKey("r.id", key.descending, "text")
    parameter = key.parameter
    if parameter is None:
        raise InvalidInput("these resources cannot be sorted by that parameter", code="not-supported")
    own = [(each, search_parameters.definition(each, key.name) or parameter) for each in types]
    number = index.date_path if parameter.type == "date" else index.parameter
    hashes = ", ".join(str(number(each, path)) for each, parameter in own for path in parameter.paths)
    table, low, high, cast, first, last = _SORTABLE[parameter.type]
    pick = f"max(s.{high})" if key.descending else f"min(s.{low})"
    none = first if key.descending else last
    value = f"SELECT {pick} FROM {table} s WHERE s.hash IN ({hashes}) AND s.pid = r.pid"
    return SortKey(f"COALESCE(({value}), {none})", key.descending, cast)


_SORTABLE = {
    "date": ("index_date", "low", "high", "timestamptz", "'-infinity'::timestamptz", "'infinity'::timestamptz"),
    "number": ("index_number", "low", "high", "float8", "'-infinity'::float8", "'infinity'::float8"),
    "quantity": ("index_number", "low", "high", "float8", "'-infinity'::float8", "'infinity'::float8"),
    "string": ("index_string", "value", "value", "text", "''", "U&'\\FFFF'"),
}
