"""A search as it was asked for: name/value pairs of a URL or form, read into criteria (search.html).

A misread search is a safety fault: a criterion that is dropped shows patients that were not asked for. So what filters
and is not understood refuses; only unknown *control* parameters (leading underscore) are passed over, with a warning.

    Patient?family=smith,smyth&birthdate=ge1980     two criteria (AND), the first with two values (OR)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import NoReturn

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.search_parameters import Parameter, definition, is_indexed, normalise


class Modifier(Enum):
    """How a criterion deviates from the default of its type (search.html#modifiers)."""

    EXACT = "exact"
    CONTAINS = "contains"
    MISSING = "missing"
    NOT = "not"
    IDENTIFIER = "identifier"
    TEXT = "text"
    IN = "in"
    NOT_IN = "not-in"
    ABOVE = "above"
    BELOW = "below"
    OF_TYPE = "of-type"


_ALLOWED: dict[str, frozenset[Modifier]] = {
    "string": frozenset({Modifier.EXACT, Modifier.CONTAINS}),
    "token": frozenset(
        {Modifier.NOT, Modifier.TEXT, Modifier.IN, Modifier.NOT_IN, Modifier.ABOVE, Modifier.BELOW, Modifier.OF_TYPE}
    ),
    "reference": frozenset({Modifier.IDENTIFIER, Modifier.ABOVE, Modifier.BELOW}),
    "uri": frozenset({Modifier.ABOVE, Modifier.BELOW}),
}
_SERVED = frozenset({Modifier.EXACT, Modifier.CONTAINS, Modifier.MISSING, Modifier.NOT, Modifier.IDENTIFIER})


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`system` None: in any system; "": explicitly without one. `code` None: any code of that system."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class StringValue:
    """The text as asked for, and as default searches compare it; default searches match the start of a field."""

    text: str
    normalised: str


@dataclass(frozen=True, slots=True)
class DateValue:
    """Compare by `dates.matches(prefix, (low, high), target)`."""

    prefix: Prefix
    low: datetime
    high: datetime


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """`type` and `id` of a relative reference, `id` alone for a bare id, `url` for an absolute one or a canonical.

    `targets` are the entries of `IndexValues.references` that satisfy it: for a bare id, one per type allowed there.
    """

    type: str | None
    id: str | None
    url: str | None
    targets: tuple[str, ...]

    @property
    def target(self) -> str:
        """As `IndexValues.references` holds it; of a bare id that may be of several types only the id."""
        return self.targets[0] if len(self.targets) == 1 else self.id or ""


@dataclass(frozen=True, slots=True)
class NumberValue:
    """`low <= x < high` is the range implied by the digits written: 5.40e-3 is 0.005395 to 0.005405."""

    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class QuantityValue:
    """A number with a unit; `system` None: any; `code` None: any unit, without `system` it may be code or unit."""

    number: NumberValue
    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class UriValue:
    uri: str


@dataclass(frozen=True, slots=True)
class MissingValue:
    """`:missing=true` asks for resources without any value, `false` for those with one."""

    missing: bool


Value = TokenValue | StringValue | DateValue | ReferenceValue | NumberValue | QuantityValue | UriValue | MissingValue


@dataclass(frozen=True, slots=True)
class Criterion:
    """One filter: satisfied when any of `values` is (with NOT: when none is)."""

    parameter: Parameter
    modifier: Modifier | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of `_sort`; without `parameter` the key is `_id` or `_lastUpdated`."""

    name: str
    descending: bool
    parameter: Parameter | None


@dataclass(frozen=True, slots=True)
class Include:
    """`_include` (or `_revinclude`, when `reverse`): follow `parameter` ("*" for all) of `source` to `target`."""

    source: str
    parameter: str
    target: str | None
    reverse: bool
    iterate: bool


@dataclass(slots=True)
class SearchQuery:
    """What was asked: all `criteria` must hold. `applied` are the pairs that had an effect, for the `self` link."""

    type: str
    criteria: list[Criterion] = field(default_factory=list)
    count: int | None = None
    sort: list[Sort] = field(default_factory=list)
    summary: str | None = None  # true | false | text | data | count
    elements: list[str] = field(default_factory=list)
    total: str | None = None  # none | estimate | accurate
    includes: list[Include] = field(default_factory=list)
    cursor: str | None = None  # the server's own page token
    applied: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


CURSOR = "_cursor"
"""The control parameter that carries the server's page token in `next` links."""

_SILENT = frozenset({"_format", "_pretty"})
# They select resources: passing them over would widen the search.
_UNSERVED_FILTERS = frozenset({"_has", "_filter", "_list", "_type", "_query", "_text", "_content", "_contained"})


def parse(resource_type: str, pairs: Iterable[tuple[str, str]], *, lenient: bool = False) -> SearchQuery:
    """Read the decoded name/value pairs of a search on `resource_type`.

    Raises InvalidInput: `not-supported` naming the parameter or modifier that this server does not serve (also an
    unknown filter, unless `lenient`, where it becomes a warning), `value` for a value that cannot be read.
    """
    query = SearchQuery(resource_type)
    for name, value in pairs:
        if name in _CONTROLS:
            _CONTROLS[name](query, value)
        elif name in _SILENT:
            continue
        elif name.partition(":")[0] in _INCLUDES:
            _read_include(query, name, value)
        elif not _read_filter(query, name, value, lenient):
            continue
        query.applied.append((name, value))
    return query


def parse_condition(resource_type: str, pairs: Iterable[tuple[str, str]]) -> SearchQuery:
    """Criteria of a conditional create, update or delete: only filters, at least one, and nothing is passed over.

    A condition that is misread changes or doubles somebody's record (http.html#cond-update).
    """
    query = SearchQuery(resource_type)
    for name, value in pairs:
        if name in _CONTROLS or name.partition(":")[0] in _INCLUDES or not _read_filter(query, name, value, False):
            _unserved(f"a condition is made of search criteria; '{_printable(name)}' is none")
        query.applied.append((name, value))
    if not query.criteria:
        raise InvalidInput("a condition needs at least one search criterion", code="required")
    return query


# --- filters ------------------------------------------------------------------------------------------------------


def _read_filter(query: SearchQuery, name: str, value: str, lenient: bool) -> bool:
    """Add the criterion; False when the parameter was passed over with a warning."""
    plain, _, modifier = name.partition(":")
    root = plain.partition(".")[0]
    parameter = definition(query.type, root)
    if root in _UNSERVED_FILTERS:
        _unserved(f"the parameter '{root}' is not supported by this server")
    if parameter is None:
        return _unknown(query, name, root, lenient)
    if "." in name:
        _unserved(f"chained searches ('{root}.…') are not supported by this server yet")
    if not is_indexed(parameter):
        _unserved(f"the parameter '{root}' is not supported by this server")
    query.criteria.append(_criterion(parameter, modifier, value))
    return True


def _unknown(query: SearchQuery, name: str, root: str, lenient: bool) -> bool:
    if root.startswith("_"):
        query.warnings.append(f"the parameter '{_printable(root)}' is unknown and was ignored")
    elif lenient:
        query.warnings.append(f"{query.type} has no search parameter '{_printable(root)}'; it was ignored")
    else:
        _unserved(f"{query.type} has no search parameter '{_printable(root)}'")
    return False


def _criterion(parameter: Parameter, modifier_text: str, text: str) -> Criterion:
    if modifier_text == Modifier.MISSING.value:
        if text not in {"true", "false"}:
            _unreadable(parameter.name, "':missing' takes true or false")
        return Criterion(parameter, Modifier.MISSING, (MissingValue(text == "true"),))
    modifier, target = _modifier(parameter, modifier_text)
    values = tuple(_value(parameter, modifier, target, part) for part in split(text, ","))
    return Criterion(parameter, modifier, values)


def _modifier(parameter: Parameter, text: str) -> tuple[Modifier | None, str | None]:
    """The modifier, or the target type of `subject:Patient`."""
    if not text:
        return None, None
    if parameter.type == "reference" and text in resource_types():
        if parameter.targets and text not in parameter.targets:
            _unreadable(parameter.name, f"it cannot refer to {text}")
        return None, text
    known = next((modifier for modifier in Modifier if modifier.value == text), None)
    if known is None or known not in _ALLOWED.get(parameter.type, ()):
        _unserved(f"the modifier ':{_printable(text)}' does not fit the parameter '{parameter.name}'")
    if known not in _SERVED:
        _unserved(f"'{parameter.name}:{known.value}': this modifier is not supported by this server yet")
    return known, None


def _value(parameter: Parameter, modifier: Modifier | None, target: str | None, text: str) -> Value:
    if not text.strip():
        _unreadable(parameter.name, "it has no value")
    if modifier is Modifier.IDENTIFIER:
        return _token(parameter, text)
    match parameter.type:
        case "token":
            return _token(parameter, text)
        case "string":
            plain = unescape(text)
            return StringValue(plain, normalise(plain))
        case "date":
            return _date(parameter, text)
        case "reference":
            return _reference(parameter, target, text)
        case "uri":
            return UriValue(unescape(text))
        case "number":
            return _number(parameter, unescape(text))
        case _:
            return _quantity(parameter, text)


def _token(parameter: Parameter, text: str) -> TokenValue:
    if text == "|":
        _unreadable(parameter.name, "it takes code, system|code, |code or system|")
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return TokenValue(None, parts[0])
    # An unescaped bar inside the code is the sender's slip; the first one divides.
    return TokenValue(parts[0], "|".join(parts[1:]) or None)


def _date(parameter: Parameter, text: str) -> DateValue:
    prefix, rest = _prefix(text)
    try:
        return DateValue(prefix, *dates.interval(rest.replace(" ", "+")))  # a bare + in a URL arrives as a space
    except InvalidInput as problem:
        _unreadable(parameter.name, str(problem))


_REFERENCE = re.compile(r"(?:([A-Z][A-Za-z]+)/)?([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def _reference(parameter: Parameter, target: str | None, text: str) -> ReferenceValue:
    plain = unescape(text)
    match = _REFERENCE.fullmatch(plain)
    if match is None:
        return ReferenceValue(None, None, plain, (plain,))
    written, identifier = match.groups()
    if written and target and written != target:
        _unreadable(parameter.name, f"the modifier says {target} and the value another type")
    only = parameter.targets[0] if len(parameter.targets) == 1 else None
    known = written or target or only
    types = (known,) if known else parameter.targets
    return ReferenceValue(known, identifier, None, tuple(f"{each}/{identifier}" for each in types))


def _number(parameter: Parameter, text: str) -> NumberValue:
    prefix, rest = _prefix(text)
    try:
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", rest, re.ASCII):
            raise InvalidOperation
        value = Decimal(rest)
    except InvalidOperation:
        _unreadable(parameter.name, "it takes a number such as 5.4 or 5.40e-3")
    # search.html#number: half a unit of the last digit written, on both sides
    margin = Decimal((0, (5,), int(value.as_tuple().exponent) - 1))
    return NumberValue(prefix, value, value - margin, value + margin)


def _quantity(parameter: Parameter, text: str) -> QuantityValue:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in {1, 3}:
        _unreadable(parameter.name, "it takes number, or number|system|code")
    number = _number(parameter, parts[0])
    system, code = (parts[1], parts[2]) if len(parts) == 3 else ("", "")
    return QuantityValue(number, system or None, code or None)


def _prefix(text: str) -> tuple[Prefix, str]:
    if text[:2].isalpha():
        prefix = next((prefix for prefix in Prefix if prefix.value == text[:2]), None)
        if prefix is not None:
            return prefix, text[2:]
    return Prefix.EQUAL, text


# --- control parameters -------------------------------------------------------------------------------------------


def _read_count(query: SearchQuery, value: str) -> None:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        _unreadable("_count", "it takes a whole number")
    query.count = int(value)


def _read_sort(query: SearchQuery, value: str) -> None:
    for key in value.split(","):
        name = key.removeprefix("-")
        parameter = definition(query.type, name)
        if parameter is None or not is_indexed(parameter):
            _unserved(f"cannot sort {query.type} by '{_printable(name)}'")
        query.sort.append(Sort(name, key.startswith("-"), parameter))


def _read_summary(query: SearchQuery, value: str) -> None:
    if value not in {"true", "false", "text", "data", "count"}:
        _unreadable("_summary", "it takes true, false, text, data or count")
    query.summary = value


def _read_elements(query: SearchQuery, value: str) -> None:
    query.elements.extend(name for name in value.split(",") if name)


def _read_total(query: SearchQuery, value: str) -> None:
    if value not in {"none", "estimate", "accurate"}:
        _unreadable("_total", "it takes none, estimate or accurate")
    query.total = value


def _read_cursor(query: SearchQuery, value: str) -> None:
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


def _read_include(query: SearchQuery, name: str, value: str) -> None:
    plain, _, modifier = name.partition(":")
    parts = value.split(":")
    if modifier not in {"", "iterate", "recurse"} or len(parts) not in {2, 3}:
        _unreadable(plain, "it takes Type:parameter or Type:parameter:Target")
    source, parameter = parts[0], parts[1]
    found = definition(source, parameter) if source in resource_types() else None
    if parameter != "*" and (found is None or found.type != "reference"):
        _unserved(f"'{plain}' names no reference parameter of a resource type")
    target = parts[2] if len(parts) == 3 else None
    query.includes.append(Include(source, parameter, target, _INCLUDES[plain], bool(modifier)))


# --- escaping and refusals ----------------------------------------------------------------------------------------


def split(text: str, separator: str) -> list[str]:
    """Split at each separator that has no backslash before it; the parts stay escaped (search.html#escaping)."""
    if separator not in text:
        return [text]
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def unescape(text: str) -> str:
    r"""Undo `\,`, `\|`, `\$` and `\\`; any other backslash is meant literally."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def _printable(name: str) -> str:
    """A name from the outside, fit for a message: a misplaced value must not come back in full."""
    return name if re.fullmatch(r"[\w.:-]{1,40}", name, re.ASCII) else "?"


def _unserved(sentence: str) -> NoReturn:
    raise InvalidInput(sentence, code="not-supported")


def _unreadable(name: str, because: str) -> NoReturn:
    raise InvalidInput(f"the search parameter '{name}' cannot be read: {because}", code="value") from None
