"""What a FHIRPath expression computes with: elements of resources and values of the System types (N1 §2.1, §5).

System values are Python's: `bool`, `int` (Integer), `Decimal`, `str`, and here `Temporal` and `Quantity`. An element
is a `Node`: its JSON, its FHIR type and where it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from healthsync.errors import InvalidInput
from healthsync.standards import ucum
from healthsync.standards.fhir import json
from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, structures
from healthsync.standards.fhir.schema import content_of, elements


class Node:
    """An element of a resource.

    value    its JSON; None for a primitive that has only extensions
    type     the FHIR type (`HumanName`, `code`), or the path of a backbone element (`Patient.contact`)
    extra    of a primitive: the object with its id and extensions (`_birthDate`)
    """

    __slots__ = ("extra", "name", "parent", "position", "type", "value")

    def __init__(
        self,
        value: Any,
        type_: str,
        parent: Node | None = None,
        name: str = "",
        position: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.value, self.type, self.parent, self.name = value, type_, parent, name
        self.position, self.extra = position, extra

    @property
    def place(self) -> str:
        """`Patient.name[0].given[1]`."""
        own = self.name if self.position is None else f"{self.name}[{self.position}]"
        return f"{self.parent.place}.{own}" if self.parent is not None else own or self.type


def root(resource: Any, type_: str | None = None) -> Node:
    """The node to begin with: a resource, or an element of the given type."""
    kind = type_ or (resource.get("resourceType") if type(resource) is dict else None) or ""
    return Node(resource, kind, name=kind)


class _Property(NamedTuple):
    name: str
    sibling: str | None
    content: str


@cache
def _properties(content: str) -> dict[str, tuple[_Property, ...]]:
    """Element name -> the JSON properties that may hold it (several for a choice)."""
    if content in PRIMITIVES:
        content = "Element"
    if content.partition(".")[0] not in structures():
        return {}
    found: dict[str, tuple[_Property, ...]] = {}
    for name, facts in elements(content).items():
        found[name.removesuffix("[x]")] = tuple(
            _Property(
                json_name(name, kind),
                f"_{json_name(name, kind)}" if kind in PRIMITIVES else None,
                content_of(content, name, facts, kind),
            )
            for kind in facts.get("types", ("",))
        )
    return found


def member(node: Any, name: str) -> list[Node]:
    """The children of that name. A value that no definition describes is read as it stands."""
    if type(node) is not Node:
        return []
    value = node.value if type(node.value) is dict else node.extra
    if not value:
        return []
    properties = _properties(node.type).get(name)
    if properties is None:
        return [] if _properties(node.type) else _listed(node, name, value.get(name), None, "")
    found: list[Node] = []
    for prop, sibling, content in properties:
        if prop in value or (sibling is not None and sibling in value):
            found += _listed(node, name, value.get(prop), value.get(sibling) if sibling else None, content)
    return found


def _listed(parent: Node, name: str, value: Any, extra: Any, content: str) -> list[Node]:
    if type(value) is not list and type(extra) is not list:
        return [] if value is None and not extra else [Node(value, _kind(value, content), parent, name, None, extra)]
    values, extras = value or [], extra or []
    length = max(len(values), len(extras))
    return [
        Node(
            values[position] if position < len(values) else None,
            _kind(values[position], content) if position < len(values) else content,
            parent,
            name,
            position,
            extras[position] if position < len(extras) else None,
        )
        for position in range(length)
    ]


def _kind(value: Any, content: str) -> str:
    """Where anything may stand, the resource says what it is."""
    return value.get("resourceType", content) if content in {"Resource", ""} and type(value) is dict else content


def children(node: Any) -> list[Node]:
    """Every child element, in the order of the definition."""
    if type(node) is not Node:
        return []
    names = _properties(node.type)
    value = node.value if type(node.value) is dict else node.extra
    if not names:
        names = [name for name in value or () if name != "resourceType"]
    return [child for name in names for child in member(node, name)]


# --- System values ------------------------------------------------------------------------------------------------

_TEMPORAL = re.compile(
    r"(?:([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?)?"
    r"(T)?(?:([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_TIME_TYPES = {"date": "Date", "dateTime": "DateTime", "instant": "DateTime", "time": "Time"}
_DEFINITE_DURATIONS = {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}
_DAYS = {"week": 7, "day": 1}
_SECONDS = {"hour": 3600, "minute": 60, "second": 1, "millisecond": Decimal("0.001")}


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Date, DateTime or Time with its precision: `parts` holds what is known, seconds as Decimal."""

    kind: str
    parts: tuple[int | Decimal, ...]
    offset: int | None
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str, kind: str | None = None) -> Temporal | None:
        """None for a text that is not a date, a date with time or a time."""
        found = _TEMPORAL.fullmatch(text if kind != "Time" or text.startswith("T") else f"T{text}")
        if found is None or (found[1] is None and (found[5] is None or found[8])):
            return None
        if (found[5] and found[1] and not found[3]) or (found[5] and not found[4]):
            return None
        found_kind = "Time" if found[1] is None else "DateTime" if found[4] else "Date"
        if kind not in {None, found_kind} and not (kind == "DateTime" and found_kind == "Date"):
            return None
        if not _exists(found.group(1, 2, 3), found.group(5, 6, 7)):
            return None
        numbers = [int(part) for part in found.group(1, 2, 3, 5, 6) if part]
        seconds = [Decimal(found[7])] if found[7] else []
        offset = None
        if zone := found[8]:
            offset = 0 if zone == "Z" else int(zone[:3]) * 60 + int(f"{zone[0]}{zone[4:]}")
        return cls(kind or found_kind, (*numbers, *seconds), offset, text)

    def order(self, other: Temporal) -> int | None:
        """-1, 0, 1; None when the shorter one could mean either (N1 §6.2)."""
        if "Time" in {self.kind, other.kind} and self.kind != other.kind:
            raise InvalidInput("a time and a date cannot be compared", code="value")
        mine, theirs = self.parts, other.parts
        if len(mine) > 3 and len(theirs) > 3 and self.kind != "Time":
            if (self.offset is None) != (other.offset is None):
                return None
            if self.offset is not None:
                mine, theirs = self._in_utc(), other._in_utc()
        for one, two in zip(mine, theirs, strict=False):
            if one != two:
                return -1 if one < two else 1
        return 0 if len(mine) == len(theirs) else None

    def plus(self, quantity: Quantity, sign: int) -> Temporal:
        """Date arithmetic (N1 §6.6.3): calendar units, or those of UCUM that are of one length."""
        unit = quantity.unit if quantity.is_calendar else _DEFINITE_DURATIONS.get(quantity.unit, "")
        if unit in _SECONDS and (self.kind == "Time" or len(self.parts) > 3):
            return self._after(sign * quantity.value * _SECONDS[unit])
        whole = sign * int(quantity.value)
        if self.kind == "Time" or not unit:
            raise InvalidInput("this unit of time cannot be added here", code="value")
        if unit in {"year", "month"}:
            return self._months_later(whole * (12 if unit == "year" else 1))
        days = whole * _DAYS[unit] if unit in _DAYS else int(whole * _SECONDS[unit] / 86400)
        if len(self.parts) < 3:
            return self._months_later(int(days / 30) if len(self.parts) == 2 else int(days / 365) * 12)
        return self.with_parts(_checked_date(self.parts, days), self.offset)

    def _months_later(self, months: int) -> Temporal:
        year, month, *rest = (*self.parts, 1) if len(self.parts) == 1 else self.parts
        count = int(year) * 12 + int(month) - 1 + months
        year, month = divmod(count, 12)
        if not 1 <= year <= 9999:
            raise InvalidInput("the date is out of range", code="value")
        if rest:
            last = (
                (date(year + month // 11, (month + 1) % 12 + 1, 1) if year < 9999 or month < 11 else date.max)
                - timedelta(days=0 if year == 9999 and month == 11 else 1)
            ).day
            rest[0] = min(int(rest[0]), last)
        return self.with_parts((year, month + 1, *rest)[: len(self.parts)], self.offset)

    def _after(self, seconds: Decimal) -> Temporal:
        clock = self.parts if self.kind == "Time" else self.parts[3:]
        padded = (*clock, 0, 0, 0)[:3]
        days, rest = divmod(padded[0] * 3600 + padded[1] * 60 + padded[2] + seconds, 86400)
        new = (int(rest // 3600), int(rest % 3600 // 60), Decimal(rest % 60))[: len(clock)]
        parts = new if self.kind == "Time" else (*_checked_date(self.parts, int(days))[:3], *new)
        return self.with_parts(parts, self.offset)

    def with_parts(self, parts: tuple[int | Decimal, ...], offset: int | None) -> Temporal:
        """The same kind of time with other parts."""
        return Temporal(self.kind, parts, offset, _written(self.kind, parts, offset))

    def _in_utc(self) -> tuple[int | Decimal, ...]:
        year, month, day, hour, minute = (*(int(part) for part in self.parts[:5]), 0)[:5]
        moment = datetime(year, month, day, hour, minute, tzinfo=UTC) - timedelta(minutes=self.offset or 0)
        shifted = (moment.year, moment.month, moment.day, moment.hour, moment.minute, *self.parts[5:])
        return shifted[: len(self.parts)]


def _exists(days: tuple[str | None, ...], clock: tuple[str | None, ...]) -> bool:
    hour, minute, second = (Decimal(part or 0) for part in clock)
    try:
        date(int(days[0] or 2000), int(days[1] or 1), int(days[2] or 1))
    except ValueError:
        return False
    return hour < 24 and minute < 60 and second < 61


def _checked_date(parts: tuple[int | Decimal, ...], days: int) -> tuple[int | Decimal, ...]:
    try:
        moved = date(*(int(part) for part in parts[:3])) + timedelta(days=days)
    except (OverflowError, ValueError):
        raise InvalidInput("the date is out of range", code="value") from None
    return (moved.year, moved.month, moved.day, *parts[3:])


def _written(kind: str, parts: tuple[int | Decimal, ...], offset: int | None) -> str:
    days = () if kind == "Time" else parts[:3]
    clock = parts if kind == "Time" else parts[3:]
    text = "-".join(f"{int(part):0{4 if place == 0 else 2}d}" for place, part in enumerate(days))
    times = ":".join(_two_digits(part) for part in clock)
    zone = "" if offset is None else "Z" if offset == 0 else f"{'+' if offset > 0 else '-'}"
    if offset:
        zone += f"{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    return times if kind == "Time" else f"{text}T{times}{zone}" if times else text


def _two_digits(part: int | Decimal) -> str:
    text = str(part)
    return f"0{text}" if part < 10 else text


_DURATIONS = {"a": "year", "mo": "month", **_DEFINITE_DURATIONS}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a UCUM unit, or with a unit of the calendar (`is_calendar`: a year is not always 365.25 days)."""

    value: Decimal
    unit: str
    is_calendar: bool = False

    def __str__(self) -> str:
        if not self.is_calendar:
            return f"{self.value} '{self.unit}'"
        return f"{self.value} {self.unit}{'' if self.value == 1 else 's'}"

    def common(self, other: Quantity) -> tuple[Decimal, Decimal] | None:
        """Both values in one unit; None when the units do not measure the same."""
        mine, theirs = self._ucum(), other._ucum()
        if mine == theirs:
            return self.value, other.value
        one, two = ucum.canonical(self.value, mine), ucum.canonical(other.value, theirs)
        return (one[0], two[0]) if one is not None and two is not None and one[1] == two[1] else None

    def _ucum(self) -> str:
        if not self.is_calendar:
            return self.unit
        return next(ucum for ucum, word in _DURATIONS.items() if word == self.unit)

    @property
    def is_vague(self) -> bool:
        """Years and months as UCUM units are averages, so that they equal no calendar duration (N1 §2.1.6.1)."""
        return not self.is_calendar and self.unit in {"a", "mo"}


System = bool | int | Decimal | str | Temporal | Quantity


def system(item: Any) -> Any:
    """The System value of an element, where it has one; complex elements stay what they are (N1 §4.1)."""
    if type(item) is not Node:
        return item
    value, kind = item.value, item.type
    if type(value) is str:
        if kind in _TIME_TYPES:
            return Temporal.parse(value, _TIME_TYPES[kind]) or value
        return value
    if type(value) is float:
        return Decimal(str(value))
    if type(value) is int and kind == "decimal":
        return Decimal(value)
    if type(value) is dict and kind in {"Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"}:
        return _quantity(value, item)
    return item if value is None or type(value) is dict else value


def _quantity(value: dict[str, Any], item: Node) -> Any:
    if type(value.get("value")) not in {int, float, Decimal} or "comparator" in value:
        return item
    if value.get("system") not in {None, "http://unitsofmeasure.org"}:
        return item
    number = Decimal(str(value["value"]))
    return Quantity(number, value.get("code") or value.get("unit") or "1")


def equal(one: Any, two: Any) -> bool | None:
    """`=` on two items; None when that cannot be said (N1 §6.1.1)."""
    one, two = system(one), system(two)
    if type(one) is Temporal or type(two) is Temporal:
        one, two = _as_temporal(one, two), _as_temporal(two, one)
        if type(one) is not Temporal or type(two) is not Temporal:
            return False
        if "Time" in {one.kind, two.kind} and one.kind != two.kind:
            return False
        order = one.order(two)
        return None if order is None else order == 0
    if type(one) is Quantity or type(two) is Quantity:
        one, two = _as_quantity(one), _as_quantity(two)
        if type(one) is not Quantity or type(two) is not Quantity:
            return False
        both = one.common(two)
        if both is None or ((one.is_vague or two.is_vague) and one.is_calendar != two.is_calendar):
            return None
        return both[0] == both[1]
    if type(one) is Node or type(two) is Node:
        return type(one) is Node and type(two) is Node and _content(one) == _content(two)
    if (type(one) is bool) != (type(two) is bool) or (type(one) is str) != (type(two) is str):
        return False
    return one == two


def _as_temporal(value: Any, other: Any) -> Any:
    return Temporal.parse(value) or value if type(value) is str and type(other) is Temporal else value


def _as_quantity(value: Any) -> Any:
    return Quantity(Decimal(value), "1") if type(value) in {int, Decimal} else value


def _content(node: Node) -> Any:
    value = node.value
    return {key: child for key, child in value.items() if key != "id"} if type(value) is dict else (value, node.extra)


def equivalent(one: Any, two: Any) -> bool:
    """`~` on two items: case and white space of text, digits of decimals and order do not count (N1 §6.1.2)."""
    one, two = system(one), system(two)
    if type(one) is str and type(two) is str:
        return " ".join(one.casefold().split()) == " ".join(two.casefold().split())
    if type(one) in {int, Decimal} and type(two) in {int, Decimal}:
        return _nearly_equal(Decimal(one), Decimal(two))
    if type(one) is Quantity and type(two) is Quantity:
        both = one.common(two)
        return both is not None and equivalent(*both)
    if type(one) is Node and type(two) is Node:
        mine, theirs = children(one), children(two)
        return same_members(mine, theirs, named=True) if mine or theirs else _content(one) == _content(two)
    return equal(one, two) is True


def _nearly_equal(one: Decimal, two: Decimal) -> bool:
    digits = min(_decimal_places(one), _decimal_places(two))
    return round(one, digits) == round(two, digits)


def same_members(one: list[Any], two: list[Any], *, named: bool = False) -> bool:
    """Do two collections hold equivalent items, in any order? With `named`, under the same element names."""
    rest = list(two)
    for item in one:
        found = next(
            (
                place
                for place, other in enumerate(rest)
                if (not named or item.name == other.name) and equivalent(item, other)
            ),
            None,
        )
        if found is None:
            return False
        del rest[found]
    return not rest


def _decimal_places(number: Decimal) -> int:
    return max(0, -int(number.normalize().as_tuple().exponent))


def key(item: Any) -> Any:
    """Hashable; equal for items that are `=`, as far as sets of them need it."""
    value = system(item)
    if type(value) is Node:
        return json.dump(value.value if value.value is not None else value.extra)
    return (type(value) is bool, type(value) is str, value)


def distinct(items: list[Any]) -> list[Any]:
    """Each item once, in the order of first occurrence."""
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(key(item), item)
    return list(found.values())
