"""A search as it was asked for: name/value pairs of a URL or form, read into criteria (search.html).

A misread search is a safety fault: a criterion that is dropped shows patients that were not asked for. So what filters
and is not understood refuses; only unknown *control* parameters (leading underscore) are passed over, with a warning.

    Patient?family=smith,smyth&birthdate=ge1980     two criteria (AND), the first with two values (OR)

The parts: `criteria` (what a filter means), `query_values` (one value), `filter_expression` (`_filter`),
`word_expression` (`_text`, `_content`); `matching` says whether a resource satisfies it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import filter_expression
from healthsync.standards.fhir.across_types import merged
from healthsync.standards.fhir.criteria import (
    And,
    Budget,
    Chain,
    Criterion,
    Has,
    ListMember,
    Node,
    Not,
    Or,
    UnknownParameter,
    WordSearch,
    parameter_of,
    read_node,
)
from healthsync.standards.fhir.definitions import resource_types, structures
from healthsync.standards.fhir.query_values import (
    CompositeValue,
    DateValue,
    MissingValue,
    Modifier,
    NearValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TypedValue,
    UriValue,
    Value,
    printable,
    split,
    too_costly,
    unescape,
    unreadable,
    unserved,
)
from healthsync.standards.fhir.search_parameters import Parameter, definition, is_indexed, unserved_because

__all__ = [
    "CURSOR",
    "And",
    "Chain",
    "CompositeValue",
    "Criterion",
    "DateValue",
    "Has",
    "Include",
    "ListMember",
    "MissingValue",
    "Modifier",
    "NearValue",
    "Node",
    "Not",
    "NumberValue",
    "Or",
    "QuantityValue",
    "ReferenceValue",
    "SearchQuery",
    "Sort",
    "StringValue",
    "TokenValue",
    "TypedValue",
    "UriValue",
    "Value",
    "WordSearch",
    "parse",
    "parse_condition",
    "split",
    "unescape",
]

MOST_CRITERIA = 60
MOST_INCLUDES = 20
MOST_SORT_KEYS = 10
MOST_ELEMENTS = 200

CURSOR = "_cursor"
"""The control parameter that carries the server's page token in `next` links."""


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of `_sort`; without `parameter` the key is `_id` or `_lastUpdated`."""

    name: str
    descending: bool
    parameter: Parameter | None


@dataclass(frozen=True, slots=True)
class Include:
    """`_include` (or `_revinclude`, when `reverse`): follow `parameter` ("*" for all) of `source` to `target`.

    `source` is "*" in `_include=*`: whatever is found, by all its references. With `iterate` the resources that were
    included are followed as well.
    """

    source: str
    parameter: str
    target: str | None
    reverse: bool
    iterate: bool


@dataclass(slots=True)
class SearchQuery:
    """What was asked: all `criteria` must hold. `applied` are the pairs that had an effect, for the `self` link.

    A search across types has `type` "" and the `types` of `_type` (none: every type). It names parameters that all of
    these have; one without `paths` is found at other elements in each of them. With `contained` ("true" or
    "both") the criteria are about contained resources (too), and the answer shows what contains them, or with
    `contained_type` "contained" themselves.
    """

    type: str
    criteria: list[Node] = field(default_factory=list)
    count: int | None = None
    sort: list[Sort] = field(default_factory=list)
    summary: str | None = None  # true | false | text | data | count
    elements: list[str] = field(default_factory=list)
    total: str | None = None  # none | estimate | accurate
    includes: list[Include] = field(default_factory=list)
    cursor: str | None = None  # the server's own page token
    applied: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    types: tuple[str, ...] = ()
    contained: str | None = None
    contained_type: str = "container"


def parse(
    resource_type: str,
    pairs: Iterable[tuple[str, str]],
    *,
    lenient: bool = False,
    strict: bool = False,
    contained: bool = False,
) -> SearchQuery:
    """Read the decoded name/value pairs of a search on `resource_type`, or across types when that is "".

    Raises InvalidInput: `not-supported` naming the parameter or modifier that this server does not serve (also an
    unknown filter, unless `lenient`, where it becomes a warning), `value` for a value that cannot be read or a control
    parameter that is given twice, `too-costly` beyond the limits. Lenient handling passes over a control parameter
    with a bad value and an unknown filter; a chain or `_has` that is not understood is refused even then. `strict`
    handling passes over nothing that is unknown (search.html#errors). `contained` says whether who asks can deal with
    `_contained` other than false.
    """
    query = _Reading(resource_type, list(pairs), lenient, strict).query()
    if query.contained and not contained:
        unserved("contained resources ('_contained') are searched by a search on their type only")
    return query


def parse_condition(resource_type: str, pairs: Iterable[tuple[str, str]]) -> SearchQuery:
    """Criteria of a conditional create, update or delete: only filters, at least one, and nothing is passed over.

    A condition that is misread changes or doubles somebody's record (http.html#cond-update).
    """
    reading = _Reading(resource_type, list(pairs), lenient=False)
    for name, _ in reading.pairs:
        root = name.partition(":")[0]
        if name in _CONTROLS or root in _INCLUDES or name in _NEITHER or name == "_type":
            _no_condition(name)
    found = reading.query()
    if found.warnings:
        _no_condition(next(name for name, value in reading.pairs if (name, value) not in found.applied))
    if not found.criteria:
        raise InvalidInput("a condition needs at least one search criterion", code="required")
    return found


def _no_condition(name: str) -> None:
    unserved(f"a condition is made of search criteria; '{printable(name)}' is none")


class _Reading:
    """One search being read."""

    def __init__(self, resource_type: str, pairs: list[tuple[str, str]], lenient: bool, strict: bool = False) -> None:
        self.pairs = pairs
        self.lenient, self.strict = lenient, strict
        self.budget = Budget()
        self.asked = SearchQuery(resource_type)
        self.seen: set[str] = set()

    def query(self) -> SearchQuery:
        self._read_types()
        for name, value in self.pairs:
            if self._read(name, value):
                self.asked.applied.append((name, value))
        if self.asked.contained:
            self._check_contained()
        if self.asked.summary == "text" and self.asked.includes:  # search.html#summary: they cannot be mixed
            unreadable("_summary", "with 'text' nothing can be included")
        self.asked.warnings = list(dict.fromkeys(self.asked.warnings))
        return self.asked

    def _read(self, name: str, value: str) -> bool:
        """Take one pair in; False when it was passed over."""
        root = name.partition(":")[0]
        if name in _SILENT:
            return False
        if name in _CONTROLS:
            self._once(name)
            return self._tolerated(lambda: _CONTROLS[name](self.asked, value, self.lenient), f"'{name}'")
        if root in _INCLUDES:
            return self._tolerated(lambda: _read_include(self.asked, name, value), f"an '{root}'")
        if name in _CONTAINED:  # they select: passed over, another thing would be found
            self._once(name)
            self._read_contained(name, value)
            return True
        if name == "_type":
            return True
        if root in _UNSERVED or (root.partition(".")[0] in _OF_ONE_FORM and not _is_whole(name)):
            unserved(f"the parameter '{root.partition('.')[0]}' is not supported by this server in this form")
        return self._read_filter(name, value)

    def _read_filter(self, name: str, value: str) -> bool:
        types = self.asked.types or (self.asked.type,)
        if len(self.asked.criteria) == MOST_CRITERIA:
            too_costly(f"a search has more than {MOST_CRITERIA} criteria")
        if "\0" in value:  # no text that is stored has one, and PostgreSQL takes none
            raise InvalidInput("a search value may not contain the NUL character", code="value")
        try:
            nodes = [self._node(each, name, value) for each in types]
        except UnknownParameter as unknown:
            return self._unknown(name, unknown)
        self.asked.criteria.append(merged(nodes))
        return True

    def _node(self, resource_type: str, name: str, value: str) -> Node:
        try:
            if name == "_filter":
                return filter_expression.read(resource_type, value, self.budget)
            return read_node(resource_type, name, value, self.budget)
        except UnknownParameter as unknown:
            if name.startswith("_has:") or "." in name or name == "_filter":
                # Passing over a part of an expression would change its meaning.
                raise InvalidInput(str(unknown), code="not-supported") from None
            raise

    def _unknown(self, name: str, unknown: UnknownParameter) -> bool:
        if name.startswith("_") and not self.strict:
            self.asked.warnings.append(f"the parameter '{unknown.name}' is unknown and was ignored")
        elif self.lenient:
            whom = self.asked.type or "this kind of search"
            self.asked.warnings.append(f"{whom} has no search parameter '{unknown.name}'; it was ignored")
        else:
            raise unknown
        return False

    def _tolerated(self, read: Callable[[], None], what: str) -> bool:
        """Read a parameter that filters nothing; lenient handling passes over it when it cannot be read."""
        try:
            read()
        except InvalidInput as problem:
            if not self.lenient or problem.code == "too-costly":
                raise
            self.asked.warnings.append(f"{what} could not be understood and was ignored")
            return False
        return True

    def _read_contained(self, name: str, value: str) -> None:
        """`_contained` decides whether, `_containedType` what is shown (search.html#contained)."""
        if value not in _CONTAINED[name]:
            unreadable(name, f"it takes {', '.join(_CONTAINED[name])}")
        if name == "_containedType":
            self.asked.contained_type = value
        elif value != "false":
            self.asked.contained = value

    def _check_contained(self) -> None:
        if not self.asked.type or self.asked.includes or any(key.parameter is not None for key in self.asked.sort):
            unserved("'_contained' belongs to a search on one type, without includes, in the order of _lastUpdated")

    def _once(self, name: str) -> None:
        if name in self.seen:
            unreadable(name, "it is given more than once, and only one of them could count")
        self.seen.add(name)

    def _read_types(self) -> None:
        for value in (value for name, value in self.pairs if name == "_type"):
            self._once("_type")
            types = tuple(dict.fromkeys(value.split(",")))
            if not resource_types() >= {*types}:
                unreadable("_type", "it takes the names of resource types, joined by comma")
            if not self.asked.type:
                self.asked.types = types
            elif types != (self.asked.type,):
                unserved("the parameter '_type' belongs to a search across types, not to a search on one of them")


# --- control parameters -------------------------------------------------------------------------------------------


def _read_count(query: SearchQuery, value: str, _: bool) -> None:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        unreadable("_count", "it takes a whole number")
    query.count = int(value)


def _read_sort(query: SearchQuery, value: str, lenient: bool) -> None:
    keys = value.split(",")
    if len(keys) > MOST_SORT_KEYS:
        too_costly(f"'_sort' has more than {MOST_SORT_KEYS} keys")
    names = [key.removeprefix("-") for key in keys]
    if len({*names}) < len(names):
        unreadable("_sort", "a key is given more than once")
    for key, name in zip(keys, names, strict=True):
        parameter = _sortable(query, name)
        if parameter is not None:
            own = name in {"_id", "_lastUpdated"}
            query.sort.append(Sort(name, key.startswith("-"), None if own else parameter))
        elif lenient:
            query.warnings.append(f"the search cannot be sorted by '{printable(name)}', which was ignored")
        else:
            unserved(f"cannot sort {query.type or 'across types'} by '{printable(name)}'")


def _sortable(query: SearchQuery, name: str) -> Parameter | None:
    """The parameter to sort by, when each type of the search has it and its values have an order."""
    found = [parameter_of(each, name) for each in query.types or (query.type,)]
    if all(each is not None and is_indexed(each) and each.type not in {"composite", "special"} for each in found):
        return found[0]
    return None


def _read_summary(query: SearchQuery, value: str, _: bool) -> None:
    if value not in {"true", "false", "text", "data", "count"}:
        unreadable("_summary", "it takes true, false, text, data or count")
    query.summary = value


def _read_elements(query: SearchQuery, value: str, _: bool) -> None:
    """Unknown names stay, since they select nothing; without them all elements would be shown."""
    names = value.split(",")
    if len(names) > MOST_ELEMENTS:
        too_costly(f"'_elements' has more than {MOST_ELEMENTS} names")
    query.elements.extend(dict.fromkeys(name for name in names if name))
    known = _elements_of(query.types or ((query.type,) if query.type else ()))
    unknown = [name for name in query.elements if known.isdisjoint(name.split(".")[:2])]
    if known and unknown:
        query.warnings.append("'_elements' names an element that the resource type does not have")


def _elements_of(types: Iterable[str]) -> set[str]:
    return {
        name.removesuffix("[x]")
        for each in types
        for name in structures().get(each, {}).get("elements", {}).get(each, ())
    }


def _read_total(query: SearchQuery, value: str, _: bool) -> None:
    if value not in {"none", "estimate", "accurate"}:
        unreadable("_total", "it takes none, estimate or accurate")
    query.total = value


def _read_cursor(query: SearchQuery, value: str, _: bool) -> None:
    query.cursor = value


_CONTROLS = {
    "_count": _read_count,
    "_sort": _read_sort,
    "_summary": _read_summary,
    "_elements": _read_elements,
    "_total": _read_total,
    CURSOR: _read_cursor,
}
_INCLUDES = {"_include": False, "_revinclude": True}
_SILENT = frozenset({"_format", "_pretty"})
_CONTAINED = {"_contained": ("false", "true", "both"), "_containedType": ("container", "contained")}
_NEITHER = _SILENT | _CONTAINED.keys()
# It selects resources: passing it over would change what is found.
_UNSERVED = frozenset({"_query"})
_OF_ONE_FORM = frozenset({"_filter", "_has", "_type", *_CONTAINED})


def _is_whole(name: str) -> bool:
    return name == "_filter" or name.startswith("_has:")


def _read_include(query: SearchQuery, name: str, value: str) -> None:
    plain, _, modifier = name.partition(":")
    if len(query.includes) == MOST_INCLUDES:
        too_costly(f"a search has more than {MOST_INCLUDES} includes")
    parts = value.split(":")
    if value == "*":
        parts = ["*", "*"]
    if modifier not in {"", "iterate", "recurse"} or len(parts) not in {2, 3}:
        unreadable(plain, "it takes Type:parameter or Type:parameter:Target")
    source, parameter = parts[0], parts[1]
    target = parts[2] if len(parts) == 3 and parts[2] else None
    _check_include(plain, source, parameter, target)
    query.includes.append(Include(source, parameter, target, _INCLUDES[plain], bool(modifier)))


def _check_include(plain: str, source: str, parameter: str, target: str | None) -> None:
    if source == "*" and parameter == "*":
        found = None
    elif source not in resource_types():
        unserved(f"'{plain}' names no reference parameter of a resource type")
    elif parameter == "*":
        found = None
    else:
        found = definition(source, parameter)
        if found is None or found.type != "reference":
            unserved(f"'{plain}' names no reference parameter of a resource type")
        if not is_indexed(found):
            unserved(unserved_because(found))
    if target is None:
        return
    if target not in resource_types() or (found is not None and found.targets and target not in found.targets):
        unserved(f"'{plain}': the parameter does not refer to resources of that type")
