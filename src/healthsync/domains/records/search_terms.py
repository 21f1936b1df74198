"""How does one filter of a search look in SQL? Every node of the tree becomes a `Term`.

A term can *test* a resource (a condition over a table alias) and mostly also *find* resources (rows of an index table
that carry a `pid`). Where sealed elements or exact comparison are involved, a term is a superset of the truth
(`exact` is False) and hits are looked at after decryption. Values are bound, hashes are our own numbers.

One file, though a long one: the terms of the nodes are made of each other, and whether they are exact is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any

from healthsync.domains.records.index import INDEXED_CHARACTERS, YEARS, RecordIndex, parameter_numbers, unit_of
from healthsync.domains.records.model import Visibility
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates, references, search_parameters
from healthsync.standards.fhir.criteria import (
    And,
    Chain,
    Criterion,
    Has,
    ListMember,
    Node,
    Not,
    Or,
    ThisResource,
    WordSearch,
)
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.index_values import normalise, sounds
from healthsync.standards.fhir.matching import Bounds
from healthsync.standards.fhir.query_values import (
    CompositeValue,
    DateValue,
    Modifier,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TypedValue,
    UriValue,
    Value,
)
from healthsync.standards.fhir.search_parameters import CONTAINED, Parameter


@dataclass(frozen=True, slots=True)
class Codes:
    """A criterion whose value set or hierarchy was resolved: any of these (system, code); system None for any."""

    parameter: Parameter
    codes: frozenset[tuple[str | None, str]]


@dataclass(frozen=True, slots=True)
class Targets:
    """A chain whose end was found: some value of `parameter` points at one of these keys."""

    parameter: Parameter
    keys: frozenset[int]


@dataclass(frozen=True, slots=True)
class Keys:
    """Resources with these keys: the members of a list, or what others refer to."""

    keys: frozenset[int]


@dataclass(frozen=True, slots=True)
class Contained:
    """A chain into the resource itself: a contained one that `parameter` refers to is of a type and satisfies the node
    beside it (search.html#contained)."""

    parameter: Parameter
    inner: tuple[tuple[str, Resolved], ...]


@dataclass(frozen=True, slots=True)
class OfType:
    """The resource is of this type and satisfies the node: in a search across types the one is meant for it alone."""

    type: str
    inner: Resolved


Resolved = Node | Codes | Targets | Keys | Contained | OfType


class Sql:
    """The parameters and table aliases of one statement, and what the requester may see in any of its tables."""

    def __init__(self, visibility: Visibility) -> None:
        self.parameters: list[Any] = []
        self._visibility = visibility
        self._condition: str | None = None
        self._aliases = count(1)

    def bind(self, value: Any) -> str:
        """A placeholder for a value."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def alias(self) -> str:
        """A fresh table alias."""
        return f"x{next(self._aliases)}"

    def visible(self, alias: str) -> str:
        """The gate's condition over a table of resources."""
        if self._condition is None:  # a statement binds no parameter that it does not use
            places = [self.bind(value) for value in self._visibility.parameters]
            self._condition = re.sub(r"\$(\d+)", lambda at: places[int(at[1]) - 1], self._visibility.condition)
        return "(" + re.sub(r"\br\.", f"{alias}.", self._condition) + ")"


Test = Callable[[Sql, str], str]
"""A condition over the resource table under an alias."""
Rows = Callable[[Sql, str], str]
"""`table alias WHERE …`: index rows whose `pid` are the hits."""


@dataclass(frozen=True, slots=True)
class Term:
    """A filter in SQL.

    exact    whether SQL alone decides
    rows     how hits are found; None when they can only be tested
    streams  whether `rows` come in the order of `pid` from an index, however many there are
    narrow   whether hits are few by nature (an id, a patient's resources)
    once     a further condition on rows that stream, by which each hit stands there once
    """

    test: Test
    exact: bool = True
    rows: Rows | None = None
    streams: bool = False
    narrow: bool = False
    once: Rows | None = None


def found_by(
    rows: Rows, *, exact: bool = True, streams: bool = False, narrow: bool = False, once: Rows | None = None
) -> Term:
    """A term that finds by index rows, and tests by looking for a row of the resource."""

    def test(sql: Sql, alias: str) -> str:
        x = sql.alias()
        # OFFSET 0 keeps the planner from turning the test around: it is a lookup for each candidate.
        return f"EXISTS (SELECT 1 FROM {rows(sql, x)} AND {x}.pid = {alias}.pid OFFSET 0)"

    return Term(test, exact, rows, streams, narrow, once)


def found_under(
    table: str, hashes: Sequence[int], condition: Rows | None = None, *, exact: bool = True, streams: bool = False
) -> Term:
    """A term that finds by rows of an index table under any of some hashes; `condition`, over an alias, narrows."""
    if len(hashes) == 1:  # asked for by equality: its rows come in order

        def rows(sql: Sql, x: str) -> str:
            more = f" AND {condition(sql, x)}" if condition else ""
            return f"{table} {x} WHERE {x}.hash = {sql.bind(hashes[0])}{more}"

        once = _once_of_systems if streams and table == "index_token" else None
        return found_by(rows, exact=exact, streams=streams, once=once)

    def test(sql: Sql, alias: str) -> str:
        x = sql.alias()
        more = f" AND {condition(sql, x)}" if condition else ""
        of_any = f"{x}.hash = ANY ({sql.bind(list(hashes))}::bigint[])"
        return f"EXISTS (SELECT 1 FROM {table} {x} WHERE {of_any} AND {x}.pid = {alias}.pid{more} OFFSET 0)"

    def rows_of_each(sql: Sql, x: str) -> str:
        # A lookup for each hash, however many of them the planner expects in an array.
        h, y = sql.alias(), sql.alias()
        more = f" AND {condition(sql, y)}" if condition else ""
        each = f"SELECT {y}.pid FROM {table} {y} WHERE {y}.hash = {h}.hash{more} OFFSET 0"
        return f"unnest({sql.bind(list(hashes))}::bigint[]) {h} (hash) CROSS JOIN LATERAL ({each}) {x} WHERE true"

    return Term(test, exact, rows_of_each)


class TermMaker:
    """Makes the terms of a search."""

    def __init__(self, index: RecordIndex, now: datetime) -> None:
        self._index, self._now = index, now

    def conjuncts(self, types: Sequence[str], node: Resolved) -> list[Term]:
        """The terms that a node at the top of a search is made of: all must hold, and each may find hits by itself."""
        if isinstance(node, And):
            return [term for each in node.nodes for term in self.conjuncts(types, each)]
        if isinstance(node, Criterion) and node.modifier is None and len(node.values) == 1:
            (value,) = node.values
            if isinstance(value, CompositeValue):
                return self._composite(types, node.parameter, value)
        return [self.term(types, node)]

    def term(self, types: Sequence[str], node: Resolved) -> Term:
        """The term of a node for resources of these types. Raises InvalidInput (`not-supported`)."""
        match node:
            case And(nodes=nodes):
                return _all([self.term(types, each) for each in nodes])
            case Or(nodes=nodes):
                return _any([self.term(types, each) for each in nodes])
            case Not(node=inner):
                return _not(self.term(types, inner))
            case Chain():
                return self._chain(types, node)
            case Has():
                return self._has(node)
            case Contained(parameter=parameter, inner=inner):
                return _any([self._contained(types, parameter, *each) for each in inner])
            case OfType(type=type_, inner=inner):
                own = self.term((type_,), inner)
                return replace(
                    own,
                    test=lambda sql, alias: f"({alias}.resource_type = '{type_}' AND {own.test(sql, alias)})",
                    rows=_rows_of(inner.keys) if isinstance(inner, Keys) else own.rows,  # of the type already
                )
            case Targets(parameter=parameter, keys=keys):
                return self._references(types, parameter, keys)
            case Keys(keys=keys):
                return Term(lambda sql, alias: f"{alias}.key = ANY ({sql.bind(list(keys))}::bigint[])", narrow=True)
            case ThisResource(type=type_, id=id_):
                return self.term(types, Keys(frozenset({self._index.key(f"{type_}/{id_}")})))
            case Codes(parameter=parameter, codes=codes):
                return self._codes(types, parameter, codes)
            case WordSearch(alternatives=alternatives):
                return self._any_words(alternatives)
            case ListMember():
                raise InvalidInput("a list must be looked up before it is searched", code="exception")
            case Criterion():
                return self._criterion(types, node)

    # --- criteria on the resource itself ---

    def _criterion(self, types: Sequence[str], criterion: Criterion) -> Term:
        parameter, modifier = criterion.parameter, criterion.modifier
        if modifier is Modifier.MISSING:
            absent = bool(getattr(criterion.values[0], "missing", False))
            term = self._present(types, parameter)
            return _not(term) if absent else term
        if parameter.name == "_id":
            ids = [value.code for value in criterion.values if isinstance(value, TokenValue) and value.code]
            keys = [self._index.key(f"{each}/{id_}") for each in types for id_ in ids]
            term = self.term(types, Keys(frozenset(keys)))
            return _not(term) if modifier is Modifier.NOT else term
        if parameter.name == "_lastUpdated":
            return _any([self._updated(value) for value in criterion.values])
        term = _any([self._value(types, parameter, modifier, value) for value in criterion.values])
        return _not(term) if modifier is Modifier.NOT else term

    def _value(self, types: Sequence[str], parameter: Parameter, modifier: Modifier | None, value: Value) -> Term:
        match value:
            case CompositeValue():
                return _all(self._composite(types, parameter, value))
            case TypedValue(value=number):
                return _inexact(self._codes(types, parameter, [(None, number)]))
            case TokenValue():
                return self._token(types, parameter, modifier, value)
            case StringValue(text=text) if modifier is Modifier.TEXT:
                return self._text(types, parameter, text)
            case UriValue(uri=uri) if modifier is None:
                return self._uris(types, parameter, [uri])
            case UriValue(uri=uri) if modifier is Modifier.ABOVE:
                return _inexact(self._uris(types, parameter, _ancestors(uri)))
            case ReferenceValue(targets=targets) if modifier is None:
                keys = frozenset(self._index.key(target) for target in targets if _may_point_at(parameter, target))
                return self._references(types, parameter, keys)
            case ReferenceValue(url=None):
                raise _unserved(f"{parameter.name}:{modifier.value if modifier else ''} of resources")
            case StringValue():
                return self._string(types, parameter, modifier, value)
            case DateValue():
                return self._date(types, parameter, value)
            case NumberValue():
                return self._number(self._hashes(types, parameter), value, None)
            case QuantityValue():
                return self._quantity(types, parameter, value)
            case _ if modifier in (Modifier.IN, Modifier.NOT_IN):
                raise InvalidInput("a value set must be looked up before it is searched", code="exception")
        return _inexact(self._present(types, parameter))  # near, uri:below: the rest is decided after decryption

    def _paths(self, resource_type: str, parameter: Parameter) -> tuple[str, ...]:
        """Of a parameter of every type, the paths are those that it has in this one."""
        if parameter.paths:
            return parameter.paths
        own = search_parameters.definition(resource_type, parameter.name)
        return own.paths if own is not None else ()

    def _token(self, types: Sequence[str], parameter: Parameter, modifier: Modifier | None, value: TokenValue) -> Term:
        if value.code is None or modifier in (Modifier.BELOW, Modifier.ABOVE):  # of media types: image/* has no index
            return _inexact(self._present(types, parameter))
        if modifier is Modifier.IDENTIFIER:
            parameter = _identifiers(parameter)
        return self._codes(types, parameter, [(value.system, value.code)])

    def _codes(self, types: Sequence[str], parameter: Parameter, codes: Iterable[tuple[str | None, str]]) -> Term:
        pairs = [
            (self._index.token(each, path, code), None if system is None else self._index.system(system))
            for each in types
            for path in self._paths(each, parameter)
            for system, code in codes
        ]
        if len(pairs) == 1:
            (hash_, system), *_ = pairs
            return found_by(
                lambda sql, x: (
                    f"index_token {x} WHERE {x}.hash = {sql.bind(hash_)}"
                    + ("" if system is None else f" AND {x}.system = {sql.bind(system)}")
                ),
                streams=True,
                once=_once_of_systems if system is None else None,
            )
        anywhere = [hash_ for hash_, system in pairs if system is None]
        placed = [(hash_, system) for hash_, system in pairs if system is not None]
        return _any(
            [
                *([_token_rows(anywhere)] if anywhere else []),
                *([_placed_rows(placed)] if placed else []),
            ]
        )

    def _uris(self, types: Sequence[str], parameter: Parameter, uris: Iterable[str]) -> Term:
        hashes = [
            self._index.token(each, path, uri)
            for each in types
            for path in self._paths(each, parameter)
            for uri in uris
        ]
        return _token_rows(hashes)

    def _references(self, types: Sequence[str], parameter: Parameter, keys: frozenset[int]) -> Term:
        paths = [self._index.path(each, path) for each in types for path in self._paths(each, parameter)]
        if len(paths) == 1 and len(keys) == 1:
            (key,), path = keys, paths[0]
            return found_by(
                lambda sql, x: (
                    f"index_reference {x} WHERE {x}.target = {sql.bind(key)} AND {x}.path = {sql.bind(path)}::int"
                ),
                streams=True,
                narrow=parameter.targets in _NARROW_TARGETS,
            )
        return found_by(
            lambda sql, x: (
                f"index_reference {x} WHERE {x}.target = ANY ({sql.bind(list(keys))}::bigint[])"
                f" AND {x}.path = ANY ({sql.bind(paths)}::int[])"
            )
        )

    def _string(
        self, types: Sequence[str], parameter: Parameter, modifier: Modifier | None, value: StringValue
    ) -> Term:
        places = [(each, path) for each in types for path in self._paths(each, parameter)]
        if parameter.usage == "phonetic":
            heard = sounds(value.text)
            return _inexact(_token_rows([self._index.sound(t, p, sound) for t, p in places for sound in heard]))
        sealed = [place for place in places if RecordIndex.string_is_sealed(*place)]
        clear = [self._index.parameter(*place) for place in places if not RecordIndex.string_is_sealed(*place)]
        terms = [self._clear_string(clear, modifier, value)] if clear else []
        if sealed:
            hashes = [self._sealed_string(t, p, modifier, value) for t, p in sealed]
            usable = [hash_ for hash_ in hashes if hash_ is not None]
            # Two letters, the middle or the end of a name have no token: that would tell too much.
            whole = len(usable) == len(hashes)
            terms.append(_inexact(_token_rows(usable) if whole else self._present(types, parameter)))
        return _any(terms)

    def _sealed_string(
        self, resource_type: str, path: str, modifier: Modifier | None, value: StringValue
    ) -> int | None:
        if modifier in (Modifier.EXACT, Modifier.EQUALS):
            return self._index.name(resource_type, path, value.normalised)
        if modifier is not None:
            return None
        return self._index.prefix(resource_type, path, value.normalised)

    @staticmethod
    def _clear_string(hashes: list[int], modifier: Modifier | None, value: StringValue) -> Term:
        indexed = value.normalised[:INDEXED_CHARACTERS]
        escaped = indexed.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        # Accents and case are not in the index, nor is the end of a long text: those are looked at afterwards.
        exact = modifier is None and len(value.normalised) <= INDEXED_CHARACTERS
        patterns = {Modifier.CONTAINS: f"%{escaped}%", Modifier.ENDS: f"%{escaped}"}

        def condition(sql: Sql, x: str) -> str:
            if modifier in (Modifier.EXACT, Modifier.EQUALS):
                return f"{x}.value = {sql.bind(indexed)}"
            if modifier is not None:
                like = f"{x}.value LIKE {sql.bind(patterns[modifier])}"
                return f"({like} OR length({x}.value) = {INDEXED_CHARACTERS})"
            # A range, so that the index is used whatever plan is kept.
            return f"{x}.value >= {sql.bind(indexed)} AND {x}.value < {sql.bind(indexed + chr(0x10FFFF))}"

        return found_under("index_string", hashes, condition, exact=exact)

    # --- composites, dates, numbers ---

    def _composite(self, types: Sequence[str], parameter: Parameter, value: CompositeValue) -> list[Term]:
        """Terms that must all hold."""
        of_the_root = _of_the_root(types, parameter)
        pair = self._pair(types, parameter, value)
        if pair is not None and (pair.exact or not of_the_root):
            return [pair]
        terms = [self._value(types, part, None, inner) for part, inner in value.parts]
        return terms if of_the_root else [_inexact(term) for term in terms]

    def _pair(self, types: Sequence[str], parameter: Parameter, composite: CompositeValue) -> Term | None:
        """A code and an amount in any unit that are indexed together; their rows do not tell the system of the code."""
        match [value for _, value in composite.parts]:
            case [TokenValue(system=system, code=str(code)), QuantityValue(system=None, code=None, number=number)]:
                places = [search_parameters.pair_places(each, parameter) for each in types]
                if not all(places):
                    return None
                hashes = [self._index.pair(t, place, code) for t, of in zip(types, places, strict=True) for place in of]
                term = self._number(hashes, number, None)
                return term if system is None else _inexact(term)
        return None

    def _date(self, types: Sequence[str], parameter: Parameter, value: DateValue) -> Term:
        places = [(each, path) for each in types for path in self._paths(each, parameter)]
        sealed = [place for place in places if RecordIndex.date_is_sealed(*place)]
        clear = [self._index.date_path(*place) for place in places if place not in sealed]
        terms = [self._clear_date(clear, value)] if clear else []
        if sealed and value.prefix is Prefix.NOT_EQUAL:
            terms.append(_inexact(self._present(types, parameter)))
        elif sealed:
            days = [day for place in sealed for day in self._sealed_dates(*place, value)]
            terms.append(_inexact(_token_rows(days)))
        return _any(terms)

    def _clear_date(self, hashes: list[int], value: DateValue) -> Term:
        return found_under(
            "index_date", hashes, lambda sql, x: _date_condition(value, f"{x}.low", f"{x}.high", sql, self._now)
        )

    def _sealed_dates(self, resource_type: str, path: str, value: DateValue) -> list[int]:
        if value.prefix is Prefix.EQUAL:
            days = (value.high - value.low).days
            length = 10 if days <= 1 else 7 if days <= 31 else 4
            return [self._index.day(resource_type, path, value.low.date().isoformat()[:length])]
        first, last = YEARS[0], YEARS[-1]
        if value.prefix in (Prefix.GREATER, Prefix.GREATER_OR_EQUAL, Prefix.STARTS_AFTER):
            first = max(first, value.low.year)
        elif value.prefix in (Prefix.LESS, Prefix.LESS_OR_EQUAL, Prefix.ENDS_BEFORE):
            last = min(last, value.high.year)
        elif value.prefix is Prefix.APPROXIMATELY:
            low, high = dates.widened((value.low, value.high), self._now)
            first, last = max(first, low.year), min(last, high.year)
        years = range(min(first, YEARS[-1]), max(last, YEARS[0]) + 1)
        return [self._index.day(resource_type, path, f"{year:04}") for year in years]

    def _updated(self, value: Value) -> Term:
        assert isinstance(value, DateValue)

        def test(sql: Sql, alias: str) -> str:
            # What is shown is cut off at the millisecond: of bounds in whole ones the instant is on the same side.
            low, high = f"{alias}.updated_at", f"({alias}.updated_at + interval '1 microsecond')"
            return _date_condition(value, low, high, sql, self._now)

        return Term(test)

    def _hashes(self, types: Sequence[str], parameter: Parameter) -> list[int]:
        return [self._index.parameter(each, path) for each in types for path in self._paths(each, parameter)]

    def _quantity(self, types: Sequence[str], parameter: Parameter, value: QuantityValue) -> Term:
        if value.code is None:
            term = self._number(self._hashes(types, parameter), value.number, None)
            return term if value.system is None else _inexact(term)
        places = [(each, path) for each in types for path in self._paths(each, parameter)]
        if value.system is None:  # the unit may be a code of any system or what is printed
            return _inexact(self._number(self._hashes(types, parameter), value.number, None))
        kind, unit, change = unit_of(value.system, value.code, None)
        hashes = [self._index.number(t, p, kind, unit) for t, p in places]
        return self._number(hashes, value.number, change)

    @staticmethod
    def _number(hashes: list[int], value: NumberValue, change: Callable[[Any], Any] | None) -> Term:
        bounds = [float(each if change is None else change(each)) for each in Bounds.of(value)]
        return found_under("index_number", hashes, lambda sql, x: _number_condition(value.prefix, bounds, x, sql))

    # --- words, presence ---

    def _words(self, texts: Sequence[str]) -> Term:
        tokens = self._index.words(texts)
        if not tokens:
            return _inexact(_TRUE)
        return found_by(
            lambda sql, x: (
                f"resource_content {x} WHERE {' AND '.join(f'{x}.words && {sql.bind(t)}::smallint[]' for t in tokens)}"
            ),
            exact=False,
        )

    def _text(self, types: Sequence[str], parameter: Parameter, text: str) -> Term:
        """`:text`: the last word may be only begun, so that it narrows nothing."""
        whole = normalise(text).rpartition(" ")[0]
        present = self._present(types, parameter)
        return _inexact(self._words([whole]) if whole else present)

    def _any_words(self, alternatives: Sequence[Sequence[str]]) -> Term:
        return _any([self._words(words) for words in alternatives])

    def _present(self, types: Sequence[str], parameter: Parameter) -> Term:
        """Resources that have a value for a parameter; of a parameter of what is contained, those that contain such."""
        if any(CONTAINED in path for path in parameter.paths):
            within = {path.partition(CONTAINED)[::2] for path in parameter.paths}
            return self._containing(types, [(path, rest.partition(".")[0]) for path, rest in sorted(within)])
        if parameter.name in ("_id", "_lastUpdated"):
            return _TRUE
        if parameter.type == "composite":
            parts = [search_parameters.components(each, parameter) for each in types]
            return _inexact(_all([self._present(types, _own(types, part)) for part in parts[0]]))
        if any(parameter.name not in parameter_numbers(each) for each in types):  # dropped while the search was read
            raise _unserved(f"'{parameter.name}'")
        places = [(each, parameter_numbers(each)[parameter.name]) for each in types]

        def test(sql: Sql, alias: str) -> str:
            bits = [f"({alias}.resource_type = '{each}' AND {_bit(alias, bit)})" for each, bit in places]
            return f"({' OR '.join(bits)})"

        return Term(test)

    # --- other resources ---

    def _chain(self, types: Sequence[str], chain: Chain) -> Term:
        """Some target satisfies the rest of the chain, and is visible itself."""
        branches = [(target, self.term((target,), inner)) for target, inner in chain.inner]
        paths = [self._index.path(each, path) for each in types for path in self._paths(each, chain.parameter)]

        def wanted(sql: Sql, t: str) -> str:
            one = [f"({t}.resource_type = '{each}' AND {_inside(term, sql, t)})" for each, term in branches]
            return f"NOT {t}.deleted AND {sql.visible(t)} AND ({' OR '.join(one)})"

        def rows(sql: Sql, x: str) -> str:
            t = sql.alias()
            return (
                f"index_reference {x} WHERE {x}.path = ANY ({sql.bind(paths)}::int[])"
                f" AND {x}.target IN (SELECT {t}.key FROM resource {t} WHERE {wanted(sql, t)})"
            )

        def test(sql: Sql, alias: str) -> str:
            x, t = sql.alias(), sql.alias()
            return (
                f"EXISTS (SELECT 1 FROM index_reference {x} JOIN resource {t} ON {t}.key = {x}.target"
                f" WHERE {x}.pid = {alias}.pid AND {x}.path = ANY ({sql.bind(paths)}::int[])"
                f" AND {wanted(sql, t)} OFFSET 0)"
            )

        return Term(test, all(term.exact for _, term in branches), rows)

    def _contained(self, types: Sequence[str], parameter: Parameter, target: str, inner: Resolved) -> Term:
        """What a contained resource is found by stands in the index of the one around it."""
        paths = list(dict.fromkeys(path for each in types for path in self._paths(each, parameter)))
        moved = _moved(inner, [f"{path}{CONTAINED}{target}." for path in paths])
        if moved is None:
            return _inexact(self._containing(types, [(path, target) for path in paths]))
        term = self.term(types, moved)
        # The index does not tell whether it is one contained resource of which all hold.
        return _inexact(term) if isinstance(inner, And) else term

    def _containing(self, types: Sequence[str], places: Sequence[tuple[str, str]]) -> Term:
        """Resources that refer under a path to a contained one of a type."""
        return _token_rows(self.containing(types, places))

    def containing(self, types: Sequence[str], places: Sequence[tuple[str, str]]) -> list[int]:
        """The tokens of resources that refer under a path to a contained one of a type."""
        return [self._index.token(each, f"{path}{CONTAINED}", target) for each in types for path, target in places]

    def contained_tokens(self, types: Sequence[str], node: Contained) -> list[int]:
        """One of these stands in the index of each resource into which a chain leads."""
        paths = dict.fromkeys(path for each in types for path in self._paths(each, node.parameter))
        return self.containing(types, [(path, target) for path in paths for target, _ in node.inner])

    def _has(self, has: Has) -> Term:
        """Some resource refers here, satisfies the criterion, and is visible itself."""
        inner = self.term((has.type,), has.inner)
        paths = [self._index.path(has.type, path) for path in has.parameter.paths]

        def test(sql: Sql, alias: str) -> str:
            x, t = sql.alias(), sql.alias()
            return (
                f"{alias}.key IN (SELECT {x}.target FROM index_reference {x} JOIN resource {t} ON {t}.pid = {x}.pid"
                f" WHERE {x}.path = ANY ({sql.bind(paths)}::int[]) AND {t}.resource_type = '{has.type}'"
                f" AND NOT {t}.deleted AND {sql.visible(t)} AND {_inside(inner, sql, t)})"
            )

        return Term(test, inner.exact)


def _moved(node: Resolved, places: Sequence[str]) -> Resolved | None:
    """A node about a contained resource as one about that around it; None where only the resource itself can tell."""
    match node:
        case And(nodes=nodes) | Or(nodes=nodes):
            moved = [_moved(each, places) for each in nodes]
            return None if None in moved else type(node)(tuple(moved))  # type: ignore[arg-type]
        case Keys() | Has() | ThisResource():
            return _NOTHING  # nothing refers to what is contained, and it has no address
        case Criterion(parameter=parameter) if parameter.name in ("_id", "_lastUpdated"):
            return _NOTHING
        case Criterion(modifier=Modifier.NOT | Modifier.MISSING) | Criterion(parameter=Parameter(type="composite")):
            return None
        case Criterion() | Codes() | Targets() | Chain():
            paths = tuple(f"{place}{path}" for place in places for path in node.parameter.paths)
            return replace(node, parameter=replace(node.parameter, paths=paths))
    return None


_NOTHING = Or(())
_NARROW_TARGETS = {("Patient",), ("Encounter",)}
_TRUE = Term(lambda sql, alias: "true")


def _rows_of(keys: frozenset[int]) -> Rows:
    """Resources with these keys, among other finders."""

    def rows(sql: Sql, x: str) -> str:
        y = sql.alias()
        return (
            f"(SELECT {y}.pid FROM resource {y} WHERE {y}.key = ANY ({sql.bind(list(keys))}::bigint[])) {x} WHERE true"
        )

    return rows


def _inside(term: Term, sql: Sql, alias: str) -> str:
    """A condition inside a chain: the planner may start from it."""
    if term.rows is None:
        return term.test(sql, alias)
    x = sql.alias()
    return f"{alias}.pid IN (SELECT {x}.pid FROM {term.rows(sql, x)})"


def _token_rows(hashes: list[int]) -> Term:
    return found_under("index_token", hashes, streams=True)


def _once_of_systems(sql: Sql, x: str) -> str:
    """A code may stand in a resource with several systems: the first row counts."""
    y = sql.alias()
    return (
        f" AND NOT EXISTS (SELECT 1 FROM index_token {y}"
        f" WHERE {y}.hash = {x}.hash AND {y}.pid = {x}.pid AND {y}.system < {x}.system OFFSET 0)"
    )


def _placed_rows(pairs: list[tuple[int, int]]) -> Term:
    hashes, systems = [h for h, _ in pairs], [s for _, s in pairs]
    return found_by(
        lambda sql, x: (
            f"index_token {x} WHERE ({x}.hash, {x}.system) IN"
            f" (SELECT * FROM unnest({sql.bind(hashes)}::bigint[], {sql.bind(systems)}::int[]))"
        )
    )


def _all(terms: Sequence[Term]) -> Term:
    if len(terms) == 1:
        return terms[0]
    return Term(
        lambda sql, alias: "(" + " AND ".join(term.test(sql, alias) for term in terms) + ")",
        all(term.exact for term in terms),
    )


def _any(terms: Sequence[Term]) -> Term:
    """Terms that find stay terms that find: their rows are united."""
    if len(terms) == 1:
        return terms[0]
    if not terms:
        return Term(lambda sql, alias: "false")
    exact = all(term.exact for term in terms)
    finders = [term.rows for term in terms]

    def test(sql: Sql, alias: str) -> str:
        return "(" + " OR ".join(term.test(sql, alias) for term in terms) + ")"

    if any(rows is None for rows in finders):
        return Term(test, exact, narrow=all(term.narrow for term in terms))

    def rows(sql: Sql, x: str) -> str:
        parts = []
        for each in finders:
            assert each is not None
            y = sql.alias()
            parts.append(f"SELECT {y}.pid FROM {each(sql, y)}")
        return f"({' UNION ALL '.join(parts)}) {x} WHERE true"

    return Term(test, exact, rows)


def _not(term: Term) -> Term:
    """What is only nearly known cannot be excluded: everything is looked at."""
    if not term.exact:
        return Term(lambda sql, alias: "true", exact=False)
    return Term(lambda sql, alias: f"NOT {term.test(sql, alias)}")


def _inexact(term: Term) -> Term:
    return replace(term, exact=False)


def _identifiers(parameter: Parameter) -> Parameter:
    return replace(parameter, paths=tuple(f"{path}:identifier" for path in parameter.paths))


def _own(types: Sequence[str], part: Parameter) -> Parameter:
    return search_parameters.definition(types[0], part.name) or part


def _of_the_root(types: Sequence[str], composite: Parameter) -> bool:
    """Whether a composite combines elements of the resource itself, which stand there once."""
    return all(search_parameters.combines_root_elements(each, composite) for each in types)


def _may_point_at(parameter: Parameter, target: str) -> bool:
    """Elements are shared by parameters: `patient` is `subject` where that is a Patient."""
    kind = references.parse(target).type
    return kind is None or not parameter.targets or kind in parameter.targets


def _ancestors(uri: str) -> list[str]:
    """The URI and all that it lies under, with and without a slash at the end; what has a version is found without."""
    parts = uri.partition("|")[0].split("/")
    plain = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return [uri, *plain, *(f"{each}/" for each in plain)]


def _date_condition(value: DateValue, low: str, high: str, sql: Sql, now: datetime) -> str:
    """search.html#prefix as SQL; the same table as `dates.matches`."""
    a, b = value.low, value.high
    if value.prefix is Prefix.APPROXIMATELY:
        a, b = dates.widened((a, b), now)

    def start() -> str:
        return sql.bind(a)

    def end() -> str:
        return sql.bind(b)

    match value.prefix:
        case Prefix.EQUAL:  # the second bound of the beginning says nothing new, but ends the walk through the index
            return f"({low} >= {start()} AND {low} < {end()} AND {high} <= {end()})"
        case Prefix.NOT_EQUAL:
            return f"NOT ({low} >= {start()} AND {high} <= {end()})"
        case Prefix.GREATER:
            return f"{high} > {end()}"
        case Prefix.LESS:
            return f"{low} < {start()}"
        case Prefix.GREATER_OR_EQUAL:
            return f"({high} > {end()} OR ({low} >= {start()} AND {high} <= {end()}))"
        case Prefix.LESS_OR_EQUAL:
            return f"({low} < {start()} OR ({low} >= {start()} AND {high} <= {end()}))"
        case Prefix.STARTS_AFTER:
            return f"{low} >= {end()}"
        case Prefix.ENDS_BEFORE:
            return f"{high} <= {start()}"
        case Prefix.APPROXIMATELY:
            return f"({low} < {end()} AND {high} > {start()})"


def _number_condition(prefix: Prefix, bounds: Sequence[float], x: str, sql: Sql) -> str:
    """search.html#prefix for numbers; the same table as `Bounds.fits`. The implied range is half-open."""
    exact, low, high, least, most = bounds
    match prefix:
        case Prefix.EQUAL:
            return f"({x}.low >= {sql.bind(low)} AND {x}.low < {sql.bind(high)} AND {x}.high < {sql.bind(high)})"
        case Prefix.NOT_EQUAL:
            return f"NOT ({x}.low >= {sql.bind(low)} AND {x}.high < {sql.bind(high)})"
        case Prefix.GREATER:
            return f"{x}.high > {sql.bind(exact)}"
        case Prefix.LESS:
            return f"{x}.low < {sql.bind(exact)}"
        case Prefix.GREATER_OR_EQUAL:
            return f"{x}.high >= {sql.bind(exact)}"
        case Prefix.LESS_OR_EQUAL:
            return f"{x}.low <= {sql.bind(exact)}"
        case Prefix.STARTS_AFTER:
            return f"{x}.low > {sql.bind(exact)}"
        case Prefix.ENDS_BEFORE:
            return f"{x}.high < {sql.bind(exact)}"
        case Prefix.APPROXIMATELY:
            return f"({x}.low <= {sql.bind(most)} AND {x}.high >= {sql.bind(least)})"


def _bit(alias: str, bit: int) -> str:
    """Whether a bit of `present` is set. CASE, because rows from before a parameter was added may be too short."""
    present = f"{alias}.present"
    return f"CASE WHEN octet_length({present}) > {bit // 8} THEN get_bit({present}, {bit}) = 1 ELSE false END"


def _unserved(what: str) -> InvalidInput:
    return InvalidInput(f"this server cannot search by {what}", code="not-supported")
