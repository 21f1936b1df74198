"""One value of a search, read by the type of its parameter (search.html#ptypes); escapes, prefixes, limits.

Patient?birthdate=ge1980,1975        two values of type date, the first with a prefix
Observation?code=http://loinc.org|1234-5    a token: system and code
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal
from enum import Enum
from typing import NoReturn

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates, references, search_parameters
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.search_parameters import Parameter, normalise

MOST_VALUES = 500
"""Values joined by comma in one criterion."""
LONGEST_VALUE = 2000
"""Characters of one value."""


class Modifier(Enum):
    """How a criterion deviates from the default of its type (search.html#modifiers).

    `EQUALS` and `ENDS` compare normalised text as a whole and at its end; only `_filter` asks for them (`eq`, `ew`).
    """

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
    EQUALS = "_filter eq"
    ENDS = "_filter ew"


@dataclass(frozen=True, slots=True)
class TokenValue:
    """`system` None: in any system; "": explicitly without one. `code` None: any code of that system."""

    system: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class TypedValue:
    """An identifier by its type (`:of-type`): a coding of Identifier.type, and Identifier.value."""

    system: str
    code: str
    value: str


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
    """A URI, compared character by character; of `:in` and `:not-in` the value set, by URL or as `ValueSet/id`."""

    uri: str


@dataclass(frozen=True, slots=True)
class MissingValue:
    """`:missing=true` asks for resources without any value, `false` for those with one."""

    missing: bool


@dataclass(frozen=True, slots=True)
class CompositeValue:
    """`code$value`: each part holds of the same repetition of the element (search.html#composite)."""

    parts: tuple[tuple[Parameter, Value], ...]


@dataclass(frozen=True, slots=True)
class NearValue:
    """Location.near: within so many kilometres of a position in degrees, WGS84 (location.html#search)."""

    latitude: float
    longitude: float
    distance_km: float


Value = (
    TokenValue
    | TypedValue
    | StringValue
    | DateValue
    | ReferenceValue
    | NumberValue
    | QuantityValue
    | UriValue
    | MissingValue
    | CompositeValue
    | NearValue
)


def read_values(
    resource_type: str, parameter: Parameter, modifier: Modifier | None, target: str | None, text: str
) -> tuple[Value, ...]:
    """The values of one criterion, joined by comma; `target` is the type that `subject:Patient` asks for.

    Raises InvalidInput: `value` for what cannot be read, `too-costly` beyond the limits of this module.
    """
    parts = split_values(text)
    if parameter.type == "composite":
        components = components_of(resource_type, parameter)
        return tuple(_composite(parameter, components, part) for part in parts)
    return tuple(read_value(parameter, modifier, target, part) for part in parts)


def split_values(text: str) -> list[str]:
    """The values of a criterion, still escaped. Raises InvalidInput (`too-costly`) for too many or too long ones."""
    if len(text) > MOST_VALUES * (LONGEST_VALUE + 1):
        too_costly(f"a value is longer than {LONGEST_VALUE} characters")
    parts = split(text, ",")
    if len(parts) > MOST_VALUES:
        too_costly(f"a criterion has more than {MOST_VALUES} values")
    if any(len(part) > LONGEST_VALUE for part in parts):
        too_costly(f"a value is longer than {LONGEST_VALUE} characters")
    return parts


def read_value(parameter: Parameter, modifier: Modifier | None, target: str | None, text: str) -> Value:
    """One value, still escaped, of any type but composite. Raises InvalidInput (`value`)."""
    if not text.strip():
        unreadable(parameter.name, "it has no value")
    if modifier is not None and (read := _BY_MODIFIER.get(modifier)) is not None:
        return read(parameter, text)
    if parameter.type == "reference":
        return read_reference(parameter, target, text)
    return _BY_TYPE[parameter.type](parameter, text)


# --- one reader a type --------------------------------------------------------------------------------------------


_SPECIAL_VALUES = "http://hl7.org/fhir/special-values"
"""The system that booleans are said to be of (search.html#token); nobody stores it."""


def read_token(parameter: Parameter, text: str) -> TokenValue:
    """`code`, `system|code`, `|code` or `system|` (search.html#token)."""
    if text == "|":
        unreadable(parameter.name, "it takes code, system|code, |code or system|")
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return TokenValue(None, parts[0])
    if parts[0] == _SPECIAL_VALUES:
        return TokenValue(None, "|".join(parts[1:]) or None)
    # An unescaped bar inside the code is the sender's slip; the first one divides.
    return TokenValue(parts[0], "|".join(parts[1:]) or None)


def string_value(parameter: Parameter, plain: str) -> StringValue:
    """A text that carries no escapes. One of accents alone is empty when compared, and would fit everything."""
    normalised = normalise(plain)
    if not normalised:
        unreadable(parameter.name, "it has no value")
    return StringValue(plain, normalised)


def date_value(parameter: Parameter, prefix: Prefix, text: str) -> DateValue:
    """A date without its prefix."""
    try:
        return DateValue(prefix, *dates.interval(text.replace(" ", "+")))  # a bare + in a URL arrives as a space
    except InvalidInput as problem:
        unreadable(parameter.name, str(problem))


_REFERENCE = re.compile(r"(?:([A-Z][A-Za-z]+)/)?([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def read_reference(parameter: Parameter, target: str | None, text: str) -> ReferenceValue:
    """`id`, `Type/id`, either with a version (which is not compared), or a URL (search.html#reference)."""
    plain = unescape(text)
    match = _REFERENCE.fullmatch(plain)
    if match is None:
        return ReferenceValue(None, None, plain, (references.parse(plain).target,))
    written, identifier = match.groups()
    if written and target and written != target:
        unreadable(parameter.name, f"the modifier says {target} and the value another type")
    only = parameter.targets[0] if len(parameter.targets) == 1 else None
    known = written or target or only
    types = (known,) if known else parameter.targets
    return ReferenceValue(known, identifier, None, tuple(f"{each}/{identifier}" for each in types))


_EXACT = Context(prec=250)  # more digits than a number here can have
_NUMBER = re.compile(r"[+-]?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,3})?", re.ASCII)


def number_value(parameter: Parameter, prefix: Prefix, text: str) -> NumberValue:
    """A number without its prefix, and the range that its digits imply."""
    if not _NUMBER.fullmatch(text):
        unreadable(parameter.name, "it takes a number such as 5.4 or 5.40e-3")
    value = Decimal(text)
    # search.html#number: half a unit of the last digit written, on both sides
    margin = Decimal((0, (5,), int(value.as_tuple().exponent) - 1))
    return NumberValue(prefix, value, _EXACT.subtract(value, margin), _EXACT.add(value, margin))


def quantity_value(parameter: Parameter, prefix: Prefix, text: str) -> QuantityValue:
    """`number` or `number|system|code`, without prefix (search.html#quantity)."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) not in {1, 3}:
        unreadable(parameter.name, "it takes number, or number|system|code")
    number = number_value(parameter, prefix, parts[0])
    system, code = (parts[1], parts[2]) if len(parts) == 3 else ("", "")
    return QuantityValue(number, system or None, code or None)


def _typed(parameter: Parameter, text: str) -> TypedValue:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        unreadable(parameter.name, "':of-type' takes system|code|value, where system and code are of Identifier.type")
    return TypedValue(*parts)


def components_of(resource_type: str, composite: Parameter) -> tuple[Parameter, ...]:
    """What a composite combines; a reference among it knows the types that it may point at."""
    found = []
    for part in search_parameters.components(resource_type, composite):
        alone = search_parameters.definition(resource_type, part.name)
        found.append(replace(part, targets=alone.targets) if alone is not None and not part.targets else part)
    return tuple(found)


_RELATIONSHIPS = frozenset({"appends", "replaces", "signs", "transforms"})
"""valueset-document-relationship-type.html. The definition of R4 has the document first, its description the code."""


def _composite(parameter: Parameter, components: tuple[Parameter, ...], text: str) -> CompositeValue:
    parts = split(text, "$")
    if parameter.name == "relationship" and unescape(parts[0]).rpartition("|")[2] in _RELATIONSHIPS:
        parts.reverse()
    if len(parts) != len(components):
        unreadable(parameter.name, f"it takes {'$'.join(each.name for each in components)}")
    return CompositeValue(
        tuple((each, read_value(each, None, None, part)) for each, part in zip(components, parts, strict=True))
    )


_KILOMETRES = {"km": 1.0, "m": 0.001, "mi_us": 1.609347219, "[mi_us]": 1.609347219, "[mi_i]": 1.609344}
_DEFAULT_KILOMETRES = 50.0
_POSITION = re.compile(r"-?\d{1,9}(\.\d{1,20})?", re.ASCII)


def _near(parameter: Parameter, text: str) -> NearValue:
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4 or not all(_POSITION.fullmatch(part) for part in parts[:3] if part):
        unreadable(parameter.name, "it takes latitude|longitude, and perhaps |distance|units")
    if not parts[0] or not parts[1]:
        unreadable(parameter.name, "it needs latitude and longitude")
    latitude, longitude = float(parts[0]), float(parts[1])
    if abs(latitude) > 90 or abs(longitude) > 180:
        unreadable(parameter.name, "the latitude is within 90 degrees, the longitude within 180")
    factor = _KILOMETRES.get((parts[3] if len(parts) == 4 else "") or "km")
    if factor is None:
        unreadable(parameter.name, "the units are km, m or [mi_us]")
    distance = float(parts[2]) * factor if len(parts) > 2 and parts[2] else _DEFAULT_KILOMETRES
    if distance < 0:
        unreadable(parameter.name, "the distance is not negative")
    return NearValue(latitude, longitude, distance)


def _string(parameter: Parameter, text: str) -> StringValue:
    return string_value(parameter, unescape(text))


def _date(parameter: Parameter, text: str) -> DateValue:
    return date_value(parameter, *_prefix(text))


def _number(parameter: Parameter, text: str) -> NumberValue:
    return number_value(parameter, *_prefix(unescape(text)))


def _quantity(parameter: Parameter, text: str) -> QuantityValue:
    return quantity_value(parameter, *_prefix(text))


def _uri(_: Parameter, text: str) -> UriValue:
    return UriValue(unescape(text))


def _prefix(text: str) -> tuple[Prefix, str]:
    if text[:2].isalpha():
        prefix = next((prefix for prefix in Prefix if prefix.value == text[:2]), None)
        if prefix is not None:
            return prefix, text[2:]
    return Prefix.EQUAL, text


_BY_MODIFIER: dict[Modifier, Callable[[Parameter, str], Value]] = {
    Modifier.IDENTIFIER: read_token,
    Modifier.TEXT: _string,
    Modifier.IN: _uri,
    Modifier.NOT_IN: _uri,
    Modifier.OF_TYPE: _typed,
}
_BY_TYPE: dict[str, Callable[[Parameter, str], Value]] = {
    "token": read_token,
    "string": _string,
    "date": _date,
    "uri": _uri,
    "number": _number,
    "quantity": _quantity,
    "special": _near,
}


# --- escaping and refusals ----------------------------------------------------------------------------------------


def split(text: str, separator: str) -> list[str]:
    """Split at each separator that has no backslash before it; the parts stay escaped (search.html#escaping)."""
    if "\\" not in text:
        return text.split(separator)
    parts, start = [], 0
    for found in re.finditer(rf"\\.|{re.escape(separator)}", text, re.DOTALL):
        if found[0] == separator:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def unescape(text: str) -> str:
    r"""Undo `\,`, `\|`, `\$` and `\\`; any other backslash is meant literally."""
    return re.sub(r"\\([,|$\\])", r"\1", text) if "\\" in text else text


def escape(text: str, separators: str) -> str:
    r"""The text as a value of a search, in which none of `separators` and no backslash has its meaning."""
    return re.sub(rf"([{re.escape(separators)}\\])", r"\\\1", text)


DIVIDERS = ",$|"
"""What divides a value of a search into parts."""


def token(system: str, code: str) -> str:
    """`system|code` as the value of a token parameter; without a code, any of the system."""
    return f"{escape(system, DIVIDERS)}|{escape(code, DIVIDERS)}"


def printable(name: str) -> str:
    """A name from the outside, fit for a message: a misplaced value must not come back in full."""
    return name if re.fullmatch(r"[\w.:-]{1,40}", name, re.ASCII) else "?"


def unserved(sentence: str) -> NoReturn:
    """Understood, and not served."""
    raise InvalidInput(sentence, code="not-supported")


def unreadable(name: str, because: str) -> NoReturn:
    """A value that is none of its type."""
    raise InvalidInput(f"the search parameter '{name}' cannot be read: {because}", code="value") from None


def too_costly(sentence: str) -> NoReturn:
    """Beyond a limit that keeps one search from taking the server for itself."""
    raise InvalidInput(f"{sentence}; ask for less", code="too-costly")
