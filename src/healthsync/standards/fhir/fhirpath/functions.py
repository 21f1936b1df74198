"""The functions of FHIRPath (N1 §5) and those that FHIR adds (fhirpath.html#functions).

A function is called with its input collection and the collections of its arguments. Those that evaluate an argument
for every item (`where`) are in `evaluation`.
"""

from __future__ import annotations

import base64
import binascii
import html
import math
from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException, localcontext
from functools import lru_cache
from typing import Any

import re2

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import narrative
from healthsync.standards.fhir.fhirpath.values import (
    Node,
    Quantity,
    Temporal,
    distinct,
    equal,
    key,
    member,
    system,
)

Collection = list[Any]

LONGEST_TEXT = 1_000_000
"""Characters of a text that an expression computes."""


def _one(items: Collection, what: str = "a single item") -> Any:
    if len(items) != 1:
        raise InvalidInput(f"the FHIRPath expression needs {what} where there are several", code="value")
    return system(items[0])


def truth(items: Collection) -> bool | None:
    """A collection as a condition: one item that is no boolean counts as true (N1 §4.5)."""
    if not items:
        return None
    value = _one(items, "a single condition")
    return value if type(value) is bool else True


# --- of collections -----------------------------------------------------------------------------------------------


def _all_are(wanted: bool) -> Callable[[Collection], Collection]:
    return lambda items: [all(system(item) is wanted for item in items)]


def _any_is(wanted: bool) -> Callable[[Collection], Collection]:
    return lambda items: [any(system(item) is wanted for item in items)]


def _single(items: Collection) -> Collection:
    if len(items) > 1:
        raise InvalidInput("the FHIRPath expression needs a single item where there are several", code="value")
    return items


def _whole(items: Collection) -> int:
    value = _one(items, "a whole number")
    if type(value) is not int:
        raise InvalidInput("the FHIRPath expression needs a whole number here", code="value")
    return value


def _skip(items: Collection, count: Collection) -> Collection:
    return items[max(0, _whole(count)) :]


def _take(items: Collection, count: Collection) -> Collection:
    return items[: max(0, _whole(count))]


def _subset(items: Collection, other: Collection) -> Collection:
    return [{key(item) for item in items} <= {key(item) for item in other}]


def _intersect(items: Collection, other: Collection) -> Collection:
    kept = {key(item) for item in other}
    return distinct([item for item in items if key(item) in kept])


def _exclude(items: Collection, other: Collection) -> Collection:
    dropped = {key(item) for item in other}
    return [item for item in items if key(item) not in dropped]


def _not(items: Collection) -> Collection:
    value = truth(items)
    return [] if value is None else [not value]


# --- of single values ---------------------------------------------------------------------------------------------


def _of_text(function: Callable[..., Any]) -> Callable[..., Collection]:
    """A function of a text and of arguments that are single values; nothing comes of nothing."""

    def call(items: Collection, *arguments: Collection) -> Collection:
        if not items or any(not argument for argument in arguments):
            return []
        value = _one(items, "a single text")
        if type(value) in {Temporal, int, Decimal}:
            value = str(value)
        if type(value) is not str:
            raise InvalidInput("the FHIRPath expression needs a text here", code="value")
        result = function(value, *(_one(argument) for argument in arguments))
        return [] if result is None else result if type(result) is list else [result]

    return call


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + max(0, length)]


@lru_cache(1024)
def _regex(pattern: str) -> Any:
    """RE2 takes linear time whatever the pattern and the text."""
    options = re2.Options()
    options.dot_nl, options.log_errors = True, False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        raise InvalidInput("the regular expression in the FHIRPath expression cannot be read", code="value") from None


def bounded(length: int) -> None:
    """Raises InvalidInput before a text grows without bound."""
    if length > LONGEST_TEXT:
        raise InvalidInput("the FHIRPath expression makes a text that is too long", code="too-costly")


def _replace(text: str, part: str, replacement: str) -> str:
    bounded(len(text) + (text.count(part) + 1) * len(replacement))
    return text.replace(part, replacement)


def _replace_matches(text: str, pattern: str, replacement: str) -> str:
    if not pattern:
        return text
    bounded(len(text) + len(text) * len(replacement))
    template = replacement.replace("\\", "\\\\")
    for group in range(10):
        template = template.replace(f"${group}", f"\\{group}")
    return _regex(pattern).sub(template, text)


def _encode(text: str, form: str) -> str:
    data = text.encode()
    match form:
        case "hex":
            return data.hex()
        case "base64":
            return base64.b64encode(data).decode()
        case "urlbase64":
            return base64.urlsafe_b64encode(data).decode()
    raise InvalidInput("encode and decode know hex, base64 and urlbase64", code="value")


def _decode(text: str, form: str) -> str | None:
    try:
        match form:
            case "hex":
                return bytes.fromhex(text).decode()
            case "base64":
                return base64.b64decode(text, validate=True).decode()
            case "urlbase64":
                return base64.urlsafe_b64decode(text).decode()
    except (ValueError, binascii.Error):
        return None
    raise InvalidInput("encode and decode know hex, base64 and urlbase64", code="value")


def _escape(text: str, form: str) -> str:
    return html.escape(text) if form == "html" else text.replace("\\", "\\\\").replace('"', '\\"')


def _unescape(text: str, form: str) -> str:
    return html.unescape(text) if form == "html" else text.replace('\\"', '"').replace("\\\\", "\\")


def _join(items: Collection, separator: Collection = ()) -> Collection:  # type: ignore[assignment]
    texts = [system(item) for item in items]
    return [str(_one(separator) if separator else "").join(str(text) for text in texts)] if texts else []


# --- numbers ------------------------------------------------------------------------------------------------------


def _of_number(function: Callable[..., Any]) -> Callable[..., Collection]:
    def call(items: Collection, *arguments: Collection) -> Collection:
        if not items or any(not argument for argument in arguments):
            return []
        value: Any = _one(items, "a single number")
        numbers = [_one(argument, "a single number") for argument in arguments]
        quantity: Quantity | None = value if type(value) is Quantity else None
        value = value if quantity is None else quantity.value
        if any(type(number) not in {int, Decimal} for number in (value, *numbers)):
            raise InvalidInput("the FHIRPath expression needs a number here", code="value")
        try:
            results = [function(value, *numbers)]
        except (DecimalException, ValueError, OverflowError, ZeroDivisionError):
            return []
        if quantity is not None:
            return [Quantity(Decimal(result), quantity.unit, quantity.is_calendar) for result in results]
        return [result for result in results if result is not None]

    return call


def _round(value: int | Decimal, digits: int = 0) -> Decimal:
    if digits < 0:
        raise InvalidInput("round needs a number of digits of zero or more", code="value")
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _power(base: int | Decimal, exponent: int | Decimal) -> int | Decimal | None:
    if abs(exponent) > 1000 or abs(Decimal(base or 1).adjusted()) > 300:
        return None
    if type(base) is int and type(exponent) is int and exponent >= 0:
        return base**exponent
    return None if base < 0 and exponent != int(exponent) else Decimal(base) ** Decimal(exponent)


def _log(value: int | Decimal, base: int | Decimal) -> Decimal:
    return (Decimal(value).ln() / Decimal(base).ln()).quantize(Decimal("1e-15")).normalize() + Decimal("0.0")


# --- conversions (N1 §5.5) ----------------------------------------------------------------------------------------

_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1", "1.0"}), frozenset({"false", "f", "no", "n", "0", "0.0"})


def _to_boolean(value: Any) -> bool | None:
    if type(value) is bool:
        return value
    text = str(value).casefold()
    if type(value) is Decimal and value in (0, 1):
        return value == 1
    return True if text in _TRUE else False if text in _FALSE else None


def _to_integer(value: Any) -> int | None:
    if type(value) in {bool, int}:
        return int(value)
    found = type(value) is str and re2.fullmatch(r"[+-]?[0-9]{1,18}", value)
    return int(value) if found else None


def _to_decimal(value: Any) -> Decimal | None:
    if type(value) in {bool, int, Decimal}:
        return Decimal(value)
    found = type(value) is str and re2.fullmatch(r"[+-]?[0-9]{1,50}(?:\.[0-9]{1,50})?", value)
    return Decimal(value) if found else None


def _to_text(value: Any) -> str | None:
    if type(value) is bool:
        return "true" if value else "false"
    return None if type(value) is Node else str(value)


def _to_temporal(kind: str) -> Callable[[Any], Temporal | None]:
    def convert(value: Any) -> Temporal | None:
        if type(value) is str:
            parsed = Temporal.parse(value, None if kind == "Date" else kind)
        else:
            parsed = value if type(value) is Temporal else None
        if parsed is None or parsed.kind == kind:
            return parsed
        if kind == "Date" and parsed.kind == "DateTime":
            return Temporal.parse(parsed.text.partition("T")[0], "Date")
        return Temporal(kind, parsed.parts, parsed.offset, parsed.text) if kind != "Time" != parsed.kind else None

    return convert


_QUANTITY = re2.compile(
    r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*(?:'([^']+)'|(year|month|week|day|hour|minute|second|millisecond)s?)?"
)


def _to_quantity(value: Any) -> Quantity | None:
    if type(value) is Quantity:
        return value
    if type(value) is not str:
        return Quantity(Decimal(value), "1") if type(value) in {bool, int, Decimal} else None
    found = _QUANTITY.fullmatch(value)
    if not found:
        return None
    return Quantity(Decimal(str(found[1])), found[2] or found[3] or "1", found[3] is not None)


def _converting(convert: Callable[[Any], Any]) -> Callable[..., Collection]:
    def call(items: Collection, unit: Collection = ()) -> Collection:  # type: ignore[assignment]
        if not items:
            return []
        result = convert(_one(items))
        if result is not None and unit:
            both = result.common(Quantity(Decimal(1), str(_one(unit))))
            result = None if both is None else Quantity(both[0] / both[1], str(_one(unit)))
        return [] if result is None else [result]

    return call


def _converts(convert: Callable[[Any], Any]) -> Callable[..., Collection]:
    conversion = _converting(convert)
    return lambda items, *unit: [bool(conversion(items, *unit))] if items else []


# --- precision (N2 §5.7) ------------------------------------------------------------------------------------------

_LOWEST = (1, 1, 1, 0, 0, Decimal("0.000"))
_DIGITS_OF_PARTS = (4, 6, 8, 10, 12, 17)


def _boundary(is_high: bool) -> Callable[..., Collection]:
    def call(items: Collection, precision: Collection = ()) -> Collection:  # type: ignore[assignment]
        if not items:
            return []
        value, digits = _one(items), _whole(precision) if precision else None
        if type(value) is Temporal:
            result: Any = _temporal_boundary(value, digits, is_high)
        elif type(value) is Quantity:
            number = _decimal_boundary(value.value, digits, is_high)
            result = None if number is None else Quantity(number, value.unit, value.is_calendar)
        elif type(value) in {int, Decimal}:
            result = _decimal_boundary(Decimal(value), digits, is_high)
        else:
            result = None
        return [] if result is None else [result]

    return call


def _decimal_boundary(value: Decimal, digits: int | None, is_high: bool) -> Decimal | None:
    digits = 8 if digits is None else digits
    if not 0 <= digits <= 28:
        return None
    half = Decimal(5).scaleb(int(value.as_tuple().exponent) - 1)
    with localcontext() as context:
        context.prec = 60
        bound = value + half if is_high else value - half
        return bound.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING if is_high else ROUND_FLOOR)


def _temporal_boundary(value: Temporal, digits: int | None, is_high: bool) -> Temporal | None:
    if value.kind == "Time":
        own, wanted, offset = (1, 1, 1, *value.parts), (digits or 9) + 8, None
    else:
        own, wanted, offset = value.parts, digits or (8 if value.kind == "Date" else 17), value.offset
    if len(own) == 4:
        own = (*own, 0)  # FHIR has no time without minutes
    parts = [*own, *_LOWEST[len(own) :]]
    if is_high:
        highest = (0, 12, 31, 23, 59, Decimal("59.999"))
        parts = [*own, *highest[len(own) :]]
        if len(own) < 3:
            parts[2] = (date(int(parts[0]) + int(parts[1]) // 12, int(parts[1]) % 12 + 1, 1) - timedelta(days=1)).day
    if wanted not in {4, 6, 8, 10, 12, 14, 17}:
        return None
    count = _DIGITS_OF_PARTS.index(17 if wanted == 14 else wanted) + 1
    if offset is None and count > 3 and value.kind != "Time":
        offset = -720 if is_high else 840
    kept = tuple(parts[:count])
    if len(kept) == 6 and wanted == 17:
        kept = (*kept[:5], Decimal(kept[5]).quantize(Decimal("0.001")))
    return value.with_parts(kept[3:] if value.kind == "Time" else kept, offset if count > 3 else None)


def _precision(items: Collection) -> Collection:
    if not items:
        return []
    value = _one(items)
    if type(value) is Temporal:
        return [sum(character.isdigit() for character in value.text.partition("+")[0].removesuffix("Z"))]
    return [max(0, -int(Decimal(value).as_tuple().exponent))]


def _comparable(items: Collection, other: Collection) -> Collection:
    if not items or not other:
        return []
    one, two = _one(items), _one(other)
    return [type(one) is Quantity and type(two) is Quantity and one.common(two) is not None]


# --- what FHIR adds -----------------------------------------------------------------------------------------------


def _extension(items: Collection, url: Collection) -> Collection:
    wanted = _one(url)
    return [found for item in items for found in member(item, "extension") if found.value.get("url") == wanted]


def _has_value(items: Collection) -> Collection:
    return [len(items) == 1 and (type(items[0]) is not Node or _is_primitive(items[0]))]


def _is_primitive(node: Node) -> bool:
    return node.value is not None and type(node.value) is not dict


def _get_value(items: Collection) -> Collection:
    return [system(items[0])] if items and _has_value(items)[0] else []


def _html_checks(items: Collection) -> Collection:
    return [all(type(item) is not Node or not narrative.faults(str(item.value)) for item in items)]


def _trace(items: Collection, *_: Collection) -> Collection:
    """Nothing is written: what would be traced is a patient's."""
    return items


def _total(items: Collection) -> Collection:
    values = [system(item) for item in items]
    return [sum(values)] if values else []


FUNCTIONS: dict[str, tuple[frozenset[int], Callable[..., Collection]]] = {
    name: (frozenset(counts), function)
    for name, counts, function in (
        ("empty", (0,), lambda items: [not items]),
        ("not", (0,), _not),
        ("allTrue", (0,), _all_are(True)),
        ("anyTrue", (0,), _any_is(True)),
        ("allFalse", (0,), _all_are(False)),
        ("anyFalse", (0,), _any_is(False)),
        ("subsetOf", (1,), _subset),
        ("supersetOf", (1,), lambda items, other: _subset(other, items)),
        ("count", (0,), lambda items: [len(items)]),
        ("distinct", (0,), distinct),
        ("isDistinct", (0,), lambda items: [len(distinct(items)) == len(items)]),
        ("single", (0,), _single),
        ("first", (0,), lambda items: items[:1]),
        ("last", (0,), lambda items: items[-1:]),
        ("tail", (0,), lambda items: items[1:]),
        ("skip", (1,), _skip),
        ("take", (1,), _take),
        ("intersect", (1,), _intersect),
        ("exclude", (1,), _exclude),
        ("union", (1,), lambda items, other: distinct(items + other)),
        ("combine", (1,), lambda items, other: items + other),
        ("trace", (1, 2), _trace),
        ("indexOf", (1,), _of_text(str.find)),
        ("lastIndexOf", (1,), _of_text(str.rfind)),
        ("substring", (1, 2), _of_text(_substring)),
        ("startsWith", (1,), _of_text(str.startswith)),
        ("endsWith", (1,), _of_text(str.endswith)),
        ("contains", (1,), _of_text(lambda text, part: part in text)),
        ("upper", (0,), _of_text(str.upper)),
        ("lower", (0,), _of_text(str.lower)),
        ("replace", (2,), _of_text(_replace)),
        ("matches", (1,), _of_text(lambda text, pattern: _regex(pattern).search(text) is not None)),
        ("matchesFull", (1,), _of_text(lambda text, pattern: _regex(pattern).fullmatch(text) is not None)),
        ("replaceMatches", (2,), _of_text(_replace_matches)),
        ("length", (0,), _of_text(len)),
        ("toChars", (0,), _of_text(list)),
        ("trim", (0,), _of_text(str.strip)),
        ("split", (1,), _of_text(lambda text, separator: text.split(separator) if separator else list(text))),
        ("join", (0, 1), _join),
        ("encode", (1,), _of_text(_encode)),
        ("decode", (1,), _of_text(_decode)),
        ("escape", (1,), _of_text(_escape)),
        ("unescape", (1,), _of_text(_unescape)),
        ("abs", (0,), _of_number(abs)),
        ("ceiling", (0,), _of_number(math.ceil)),
        ("floor", (0,), _of_number(math.floor)),
        ("truncate", (0,), _of_number(math.trunc)),
        ("round", (0, 1), _of_number(_round)),
        ("exp", (0,), _of_number(lambda value: Decimal(value).exp())),
        ("ln", (0,), _of_number(lambda value: Decimal(value).ln())),
        ("log", (1,), _of_number(_log)),
        ("power", (1,), _of_number(_power)),
        ("sqrt", (0,), _of_number(lambda value: None if value < 0 else Decimal(value).sqrt())),
        ("sum", (0,), _total),
        ("toBoolean", (0,), _converting(_to_boolean)),
        ("toInteger", (0,), _converting(_to_integer)),
        ("toDecimal", (0,), _converting(_to_decimal)),
        ("toString", (0,), _converting(_to_text)),
        ("toDate", (0,), _converting(_to_temporal("Date"))),
        ("toDateTime", (0,), _converting(_to_temporal("DateTime"))),
        ("toTime", (0,), _converting(_to_temporal("Time"))),
        ("toQuantity", (0, 1), _converting(_to_quantity)),
        ("convertsToBoolean", (0,), _converts(_to_boolean)),
        ("convertsToInteger", (0,), _converts(_to_integer)),
        ("convertsToDecimal", (0,), _converts(_to_decimal)),
        ("convertsToString", (0,), _converts(_to_text)),
        ("convertsToDate", (0,), _converts(_to_temporal("Date"))),
        ("convertsToDateTime", (0,), _converts(_to_temporal("DateTime"))),
        ("convertsToTime", (0,), _converts(_to_temporal("Time"))),
        ("convertsToQuantity", (0, 1), _converts(_to_quantity)),
        ("lowBoundary", (0, 1), _boundary(is_high=False)),
        ("highBoundary", (0, 1), _boundary(is_high=True)),
        ("precision", (0,), _precision),
        ("comparable", (1,), _comparable),
        ("extension", (1,), _extension),
        ("hasValue", (0,), _has_value),
        ("getValue", (0,), _get_value),
        ("htmlChecks", (0,), _html_checks),
    )
}
"""Name -> (how many arguments it takes, the function)."""


def contains(items: Collection, item: Any) -> bool:
    return any(equal(candidate, item) is True for candidate in items)
