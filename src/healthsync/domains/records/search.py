"""How is a search answered? Criteria become conditions over `r` (table resource), and where those are coarse, a
filter.

Each criterion is a semi-join (`r.pid IN (…)`), so a resource with several matching values stands once in the
answer. Values are bound, hashes of parameter names are our own numbers. Where a parameter reads sealed elements,
the condition looks for truncated tokens and `matches` decides after decryption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from healthsync.domains.records.index import INDEXED_CHARACTERS, RecordIndex
from healthsync.domains.records.model import StoredResource, Visibility
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.query import (
    Criterion,
    DateValue,
    Modifier,
    ReferenceValue,
    SearchQuery,
    Sort,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)
from healthsync.standards.fhir.search_parameters import IndexValues

_YEARS = range(1850, 2151)
"""Years that a search for a range of sealed dates looks at."""

Bind = Callable[[Any], str]
"""Adds a parameter and gives its placeholder."""
Maker = Callable[[Bind], str]


@dataclass(slots=True)
class SearchPlan:
    """A search made ready: conditions, order, and the criteria that are decided after decryption."""

    makers: list[Maker]
    sealed: list[Criterion]
    sort_key: str = "r.pid"
    descending: bool = False
    resource_type: str = ""

    @property
    def needs_filter(self) -> bool:
        """Whether hits must be decrypted to tell them from neighbours."""
        return bool(self.sealed)

    @property
    def order(self) -> str:
        """ORDER BY: the sort key, then the internal number, so that the order is total."""
        way = " DESC" if self.descending else ""
        return f"{self.sort_key}{way}, r.pid{way}" if self.sort_key != "r.pid" else f"r.pid{way}"

    def condition(self, visibility: Visibility, after: Sequence[Any] | None) -> tuple[str, list[Any]]:
        """The whole condition and its parameters, from the position `after` on."""
        parameters = list(visibility.parameters)

        def bind(value: Any) -> str:
            parameters.append(value)
            return f"${len(parameters)}"

        terms = [f"r.resource_type = {bind(self.resource_type)}", "NOT r.deleted", f"({visibility.condition})"]
        terms += [make(bind) for make in self.makers]
        if after is not None:
            sign = "<" if self.descending else ">"
            if self.sort_key == "r.pid":
                terms.append(f"r.pid {sign} {bind(after[1])}")
            else:
                terms.append(f"({self.sort_key}, r.pid) {sign} ({bind(after[0])}, {bind(after[1])})")
        return " AND ".join(terms), parameters

    @staticmethod
    def position(row: StoredResource) -> tuple[Any, int]:
        """Where the page ends: the next one begins after it."""
        return row.sort_value, row.pid

    def matches(self, values: IndexValues) -> bool:
        """Whether a decrypted resource satisfies the criteria that its tokens could not decide."""
        return all(_satisfied(criterion, values) for criterion in self.sealed)


def plan_search(query: SearchQuery, index: RecordIndex, now: datetime) -> SearchPlan:
    """Plan a search. Raises InvalidInput (`not-supported`, `value`) for what this version cannot answer truthfully."""
    plan = SearchPlan([], [], resource_type=query.type)
    for criterion in query.criteria:
        maker, sealed = _condition(query.type, criterion, index, now)
        plan.makers.append(maker)
        if sealed:
            plan.sealed.append(criterion)
    if query.sort:
        _plan_sort(plan, query.type, query.sort, index)
    return plan


def _condition(resource_type: str, criterion: Criterion, index: RecordIndex, now: datetime) -> tuple[Maker, bool]:
    name = criterion.parameter.name
    if criterion.modifier is Modifier.MISSING:
        raise _unserved(f"{name}:missing")
    if name == "_id":
        ids = [value.code for value in criterion.values if isinstance(value, TokenValue)]
        return (lambda bind: f"r.id = ANY ({bind(ids)}::text[])"), False
    if name == "_lastUpdated":
        return _updated(criterion.values, now), False
    match criterion.parameter.type:
        case "token" | "reference" | "uri":
            hashes = [h for value in criterion.values for h in _exact_hashes(resource_type, criterion, value, index)]
            return _by_token(hashes, negated=criterion.modifier is Modifier.NOT), False
        case "string" if RecordIndex.string_is_sealed(resource_type):
            hashes = [_sealed_string(resource_type, criterion, value, index) for value in criterion.values]
            return _by_token(hashes), True
        case "string":
            # Accents and case are not in the index, nor is the end of a long text: those are looked at afterwards.
            inexact = criterion.modifier is Modifier.EXACT or _longest(criterion) > INDEXED_CHARACTERS
            return _clear_string(index.parameter(resource_type, name), criterion), inexact
        case "date" if RecordIndex.date_is_sealed(resource_type, name):
            hashes = [h for value in criterion.values for h in _sealed_dates(resource_type, name, value, index)]
            return _by_token(hashes), True
        case "date":
            return _clear_date(index.parameter(resource_type, name), criterion.values, now), False
    raise _unserved(name)


def _by_token(hashes: list[int], *, negated: bool = False) -> Maker:
    word = "NOT IN" if negated else "IN"
    return lambda bind: f"r.pid {word} (SELECT pid FROM index_token WHERE hash = ANY ({bind(hashes)}::bigint[]))"


def _exact_hashes(resource_type: str, criterion: Criterion, value: Value, index: RecordIndex) -> list[int]:
    name = criterion.parameter.name
    match value:
        case TokenValue(code=None):
            raise _unserved(f"{name} with a system and no code")
        case TokenValue(system=system, code=code):
            if criterion.modifier is Modifier.IDENTIFIER:
                name += ":identifier"
            return [index.token(resource_type, name, system, code or "")]
        case ReferenceValue(targets=targets):
            return [index.reference(resource_type, name, target) for target in targets]
        case UriValue(uri=uri):
            return [index.token(resource_type, name, None, uri)]
    raise _unserved(name)


def _sealed_string(resource_type: str, criterion: Criterion, value: Value, index: RecordIndex) -> int:
    name = criterion.parameter.name
    if not isinstance(value, StringValue) or criterion.modifier is Modifier.CONTAINS:
        raise _unserved(f"{name}:contains on encrypted text")
    if criterion.modifier is Modifier.EXACT:
        return index.name(resource_type, name, value.normalised)
    prefix = index.prefix(resource_type, name, value.normalised)
    if prefix is None:
        # A token of two letters would tell too much; a whole value of that length has one of its own.
        return index.name(resource_type, name, value.normalised)
    return prefix


def _sealed_dates(resource_type: str, name: str, value: Value, index: RecordIndex) -> list[int]:
    assert isinstance(value, DateValue)
    if value.prefix is Prefix.EQUAL:
        days = (value.high - value.low).days
        length = 10 if days <= 1 else 7 if days <= 31 else 4
        return [index.day(resource_type, name, value.low.date().isoformat()[:length])]
    first, last = _YEARS[0], _YEARS[-1]
    if value.prefix in (Prefix.GREATER, Prefix.GREATER_OR_EQUAL, Prefix.STARTS_AFTER):
        first = max(first, value.low.year)
    elif value.prefix in (Prefix.LESS, Prefix.LESS_OR_EQUAL, Prefix.ENDS_BEFORE):
        last = min(last, value.high.year)
    elif value.prefix is Prefix.APPROXIMATELY:
        first, last = max(first, value.low.year - 10), min(last, value.high.year + 10)
    return [index.day(resource_type, name, f"{year:04}") for year in range(first, last + 1)]


def _clear_string(parameter: int, criterion: Criterion) -> Maker:
    def make(bind: Bind) -> str:
        terms = []
        for value in criterion.values:
            assert isinstance(value, StringValue)
            indexed = value.normalised[:INDEXED_CHARACTERS]
            text = indexed.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            if criterion.modifier is Modifier.EXACT:
                terms.append(f"value = {bind(indexed)}")
            else:
                before = "%" if criterion.modifier is Modifier.CONTAINS else ""
                terms.append(f"value LIKE {bind(f'{before}{text}%')}")
        return f"r.pid IN (SELECT pid FROM index_string WHERE hash = {parameter} AND ({' OR '.join(terms)}))"

    return make


def _longest(criterion: Criterion) -> int:
    return max(len(value.normalised) for value in criterion.values if isinstance(value, StringValue))


def _clear_date(parameter: int, values: Sequence[Value], now: datetime) -> Maker:
    def make(bind: Bind) -> str:
        terms = " OR ".join(_date_term(value, "low", "high", bind, now) for value in values)
        return f"r.pid IN (SELECT pid FROM index_date WHERE hash = {parameter} AND ({terms}))"

    return make


def _updated(values: Sequence[Value], now: datetime) -> Maker:
    instant = "(r.updated_at + interval '1 millisecond')"
    return lambda bind: (
        "(" + " OR ".join(_date_term(value, "r.updated_at", instant, bind, now) for value in values) + ")"
    )


def _date_term(value: Value, low: str, high: str, bind: Bind, now: datetime) -> str:
    """search.html#prefix as SQL; the same table as `dates.matches`."""
    assert isinstance(value, DateValue)
    a, b = value.low, value.high
    if value.prefix is Prefix.APPROXIMATELY:
        a, b = dates.widened((a, b), now)
    start, end = bind(a), bind(b)
    within = f"({low} >= {start} AND {high} <= {end})"
    return {
        Prefix.EQUAL: within,
        Prefix.NOT_EQUAL: f"NOT {within}",
        Prefix.GREATER: f"({high} > {end} AND {start}::timestamptz IS NOT NULL)",
        Prefix.LESS: f"({low} < {start} AND {end}::timestamptz IS NOT NULL)",
        Prefix.GREATER_OR_EQUAL: f"({high} > {end} OR {within})",
        Prefix.LESS_OR_EQUAL: f"({low} < {start} OR {within})",
        Prefix.STARTS_AFTER: f"({low} >= {end} AND {start}::timestamptz IS NOT NULL)",
        Prefix.ENDS_BEFORE: f"({high} <= {start} AND {end}::timestamptz IS NOT NULL)",
        Prefix.APPROXIMATELY: f"({low} < {end} AND {high} > {start})",
    }[value.prefix]


def _plan_sort(plan: SearchPlan, resource_type: str, sort: Sequence[Sort], index: RecordIndex) -> None:
    if len(sort) > 1:
        raise _unserved("_sort by several keys")
    key = sort[0]
    plan.descending = key.descending
    name = key.name
    if name == "_lastUpdated":
        plan.sort_key = "r.updated_at"
    elif name == "_id":
        plan.sort_key = "r.id"
    elif key.parameter is None:
        raise _unserved(f"_sort by {name}")
    elif key.parameter.type == "date" and not RecordIndex.date_is_sealed(resource_type, name):
        # A resource without the value stays in the answer, at the end.
        last = "'-infinity'" if key.descending else "'infinity'"
        hash_ = index.parameter(resource_type, name)
        bound = "max(d.high)" if key.descending else "min(d.low)"
        value = f"SELECT {bound} FROM index_date d WHERE d.hash = {hash_} AND d.pid = r.pid"
        plan.sort_key = f"COALESCE(({value}), {last}::timestamptz)"
    elif key.parameter.type == "string" and not RecordIndex.string_is_sealed(resource_type):
        hash_ = index.parameter(resource_type, name)
        bound, last = ("max", "''") if key.descending else ("min", "U&'\\FFFF'")
        plan.sort_key = (
            f"COALESCE((SELECT {bound}(s.value) FROM index_string s WHERE s.hash = {hash_} AND s.pid = r.pid), {last})"
        )
    else:
        raise _unserved(f"_sort by {name}, which is encrypted or has no order here")


def _satisfied(criterion: Criterion, values: IndexValues) -> bool:
    name = criterion.parameter.name
    if criterion.parameter.type == "date":
        targets = [(low, high) for parameter, low, high in values.dates if parameter == name]
        return any(_date_satisfied(value, target) for value in criterion.values for target in targets)
    if criterion.modifier is Modifier.EXACT:
        texts = {text for parameter, text in values.exact if parameter == name}
        return any(isinstance(value, StringValue) and value.text in texts for value in criterion.values)
    texts = {text for parameter, text in values.strings if parameter == name}
    fits = str.__contains__ if criterion.modifier is Modifier.CONTAINS else str.startswith
    return any(
        isinstance(value, StringValue) and any(fits(text, value.normalised) for text in texts)
        for value in criterion.values
    )


def _date_satisfied(value: Value, target: dates.Interval) -> bool:
    if not isinstance(value, DateValue):
        return False
    search = (value.low, value.high)
    if value.prefix is Prefix.APPROXIMATELY:
        margin = timedelta(days=3652)
        search = (value.low - margin, value.high + margin)
    return dates.matches(value.prefix, search, target)


def _unserved(what: str) -> InvalidInput:
    return InvalidInput(f"this server cannot search by {what} yet", code="not-supported")
