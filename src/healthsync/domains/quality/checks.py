"""What a line of the rubric can ask: each check is a name there and a function here that makes the judgement.

A check takes what its line says and returns a function of a resource (or, of `Message`, of nothing) and the content
of the whole message. None is: there is nothing to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from healthsync.domains.quality.model import Content, Judgement, Resource, date_of
from healthsync.errors import InvalidInput
from healthsync.standards import ucum

Judge = Callable[[Any, Content], Judgement]
Reading = Callable[[Resource], list[Any]]

_STEP = re.compile(r"(\w+)(?:\[([\w-]+)\])?")
_CONFORMING = frozenset({"http://loinc.org", "http://snomed.info/sct"})
_TYPES_OF_RESULT = frozenset({"valueQuantity", "valueString", "component", "dataAbsentReason", "hasMember"})


def reading(path: str) -> Reading:
    """Reads the values at a path of the dictionary of logical tables: `name.family`, `identifier[SS].value`,
    `name.given[0]`. Raises InvalidInput for what is no path."""
    if re.fullmatch(r"\w+", path):
        return lambda resource: _each(resource.get(path))
    steps = [(match[1], match[2]) for match in map(_STEP.fullmatch, path.split(".")) if match]
    if len(steps) != path.count(".") + 1:
        raise InvalidInput(f"“{path}” is no path such as name.family or identifier[SS].value", code="value")

    def read(resource: Resource) -> list[Any]:
        found: list[Any] = [resource]
        for name, picked in steps:
            found = [value for one in found if isinstance(one, Mapping) for value in _picked(one.get(name), picked)]
        return found

    return read


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _picked(value: Any, picked: str | None) -> list[Any]:
    values = _each(value)
    if picked is None:
        return values
    if picked.isdecimal():
        return values[int(picked) : int(picked) + 1]
    return [one for one in values if picked in _kinds(one)]


def _kinds(one: Any) -> set[Any]:
    """Type, use, system and url of a repetition: what `[code]` of a path picks by."""
    if not isinstance(one, Mapping):
        return set()
    concept = one.get("type") or one.get("code")
    codes = {coding.get("code") for coding in concept.get("coding", ())} if isinstance(concept, Mapping) else set()
    return {one.get("use"), one.get("system"), str(one.get("url", "")).rpartition("/")[2], *codes}


# Completeness


def present(paths: Sequence[str]) -> Judge:
    """One of the paths has a value."""
    if all(re.fullmatch(r"\w+", path) for path in paths):
        names = frozenset(paths)
        return lambda resource, _: not names.isdisjoint(resource)
    readings = [reading(path) for path in paths]
    return lambda resource, _: any(value not in ("", None) for read in readings for value in read(resource))


def known(path: str, unknown: Sequence[str]) -> Judge:
    """The code is one that says something."""
    nothing = frozenset(unknown)
    read = reading(path)

    def judge(resource: Resource, _: Content) -> Judgement:
        values = read(resource)
        return not nothing.issuperset(values) if values else False

    return judge


def result_given(unit: bool = False) -> Judge:
    """An observation has a value, components, members or the reason why not; with `unit`, a quantity has its unit."""

    def has_result(observation: Resource, _: Content) -> Judgement:
        if observation.get("status") in ("cancelled", "registered", "entered-in-error"):
            return None
        if not _TYPES_OF_RESULT.isdisjoint(observation):
            return True
        return any(name.startswith("value") for name in observation)

    def has_unit(observation: Resource, _: Content) -> Judgement:
        quantity = observation.get("valueQuantity")
        return None if quantity is None else "unit" in quantity or "code" in quantity

    return has_unit if unit else has_result


# Accuracy


def one_of(path: str, values: Sequence[str]) -> Judge:
    """Every value is one of these."""
    allowed = frozenset(values)
    return _every(path, lambda value: value in allowed)


def like(path: str, pattern: str) -> Judge:
    """Every value matches a regular expression as a whole."""
    compiled = re.compile(pattern)
    return _every(path, lambda value: compiled.fullmatch(str(value)) is not None)


def unlike(path: str, pattern: str) -> Judge:
    """No value matches."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return _every(path, lambda value: compiled.fullmatch(str(value)) is None)


def within(path: str, minimum: date | float | None = None, maximum: date | float | str | None = None) -> Judge:
    """Every value lies between two dates or numbers; `today` is the day on which the message came."""
    read = reading(path)
    of_dates = isinstance(minimum, date) or isinstance(maximum, date) or maximum == "today"

    def judge(resource: Resource, content: Content) -> Judgement:
        values = read(resource)
        if not values:
            return None
        highest = content.received_at.date() if maximum == "today" else maximum
        return all(_lies(_as(value, of_dates), minimum, highest) for value in values)

    return judge


def dated(path: str, form: str = "YYYY-MM-DD") -> Judge:
    """Every value is a whole date of the calendar."""
    del form  # the only one there is
    return _every(path, lambda value: len(str(value)) >= 10 and date_of(str(value)) is not None)


def _every(path: str, fits: Callable[[Any], bool]) -> Judge:
    read = reading(path)

    def judge(resource: Resource, _: Content) -> Judgement:
        values = read(resource)
        return all(map(fits, values)) if values else None

    return judge


def _as(value: Any, of_dates: bool) -> Any:
    if of_dates:
        return date_of(str(value))
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None


def _lies(value: Any, low: Any, high: Any) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def coded(path: str = "code", systems: Sequence[str] = ()) -> Judge:
    """The concept has a code of a terminology that others know."""
    conforming = frozenset(systems) or _CONFORMING

    def judge(resource: Resource, _: Content) -> Judgement:
        concept = resource.get(path)
        if concept is None:
            return None
        return any(coding.get("system") in conforming for coding in concept.get("coding", ()))

    return judge


def measured() -> Judge:
    """The unit of a quantity is one of UCUM."""

    def judge(observation: Resource, _: Content) -> Judgement:
        quantity = observation.get("valueQuantity")
        if quantity is None or not ("unit" in quantity or "code" in quantity):
            return None
        return quantity.get("system") == "http://unitsofmeasure.org" and _is_unit(quantity.get("code", ""))

    return judge


@lru_cache(maxsize=4096)
def _is_unit(code: str) -> bool:
    return ucum.is_valid(code)


def plausible(ranges: Mapping[str, tuple[Decimal, Decimal, str]]) -> Judge:
    """The value of a measurement, by its LOINC code, lies between two values; compared in their unit (settlement 15).

    A value in a unit that cannot be converted is not judged here: whether a unit is one is another rule.
    """

    def judge(observation: Resource, _: Content) -> Judgement:
        quantity = observation.get("valueQuantity")
        if quantity is None or "value" not in quantity:
            return None
        for coding in observation.get("code", {}).get("coding", ()):
            limits = ranges.get(coding.get("code")) if coding.get("system") == "http://loinc.org" else None
            if limits is not None:
                return _plausible(quantity, limits)
        return None

    return judge


def _plausible(quantity: Mapping[str, Any], limits: tuple[Decimal, Decimal, str]) -> Judgement:
    low, high, unit = limits
    value = quantity["value"]
    value = value if isinstance(value, Decimal) else Decimal(str(value))
    if quantity.get("code") != unit:
        value = ucum.convert(value, quantity.get("code", ""), unit)
    return None if value is None else low <= value <= high


def taken(codes: Sequence[str] = ()) -> Judge:
    """Everything that the message says could be taken as it stands (no field was left out as unreadable)."""
    counted = frozenset(codes)

    def judge(_: Any, content: Content) -> Judgement:
        faults = sum(code in counted for code in content.issues) if counted else len(content.issues)
        return max(0.0, 1 - faults / 4) if faults else True

    return judge


def not_from_the_future(hours: int = 24) -> Judge:
    """What is told happened before it was told."""
    tolerance = timedelta(hours=hours)

    def judge(_: Any, content: Content) -> Judgement:
        return None if content.event_at is None else content.event_at <= content.received_at + tolerance

    return judge


# Consistency


def in_order(earlier: str, later: str) -> Judge:
    """One date is not after the other, as far as both are precise."""
    first, second = reading(earlier), reading(later)

    def judge(resource: Resource, _: Content) -> Judgement:
        pairs = [(str(one), str(other)) for one in first(resource) for other in second(resource)]
        return all(_ordered(one, other) for one, other in pairs) if pairs else None

    return judge


def _ordered(one: str, other: str) -> bool:
    precision = min(len(one), len(other), 10)
    if precision < 10 or len(one) <= 10 or len(other) <= 10:
        return one[:precision] <= other[:precision]
    first, second = _instant(one), _instant(other)
    return first is None or second is None or first <= second


def after_birth(path: str) -> Judge:
    """It happened in the lifetime of the patient of the message."""
    read = reading(path)

    def judge(resource: Resource, content: Content) -> Judgement:
        if content.born_on is None or not (values := read(resource)):
            return None
        return all((on := date_of(str(value))) is None or on >= content.born_on for value in values)

    return judge


def agreeing() -> Judge:
    """Two quantities of one code, at one time and in one unit, are the same."""

    def judge(_: Any, content: Content) -> Judgement:
        values: dict[tuple[Any, ...], set[Any]] = {}
        for observation in content.resources:
            if observation["resourceType"] == "Observation" and (quantity := observation.get("valueQuantity")):
                key = (_code(observation), observation.get("effectiveDateTime"), quantity.get("unit"))
                if key[0] and key[1] and observation.get("status") != "entered-in-error":
                    values.setdefault(key, set()).add(quantity.get("value"))
        return all(len(told) == 1 for told in values.values()) if values else None

    return judge


def final_with_final_results() -> Judge:
    """A report that is final has no preliminary result."""

    def judge(report: Resource, content: Content) -> Judgement:
        results = report.get("result")
        if not results or report.get("status") != "final":
            return None
        wanted = {result.get("reference") for result in results}
        return not any(
            f"Observation/{one.get('id')}" in wanted and one.get("status") in ("preliminary", "registered")
            for one in content.resources
            if one["resourceType"] == "Observation"
        )

    return judge


def above(higher: str, lower: str) -> Judge:
    """Of two measurements of a message (LOINC codes), one is above the other."""

    def judge(_: Any, content: Content) -> Judgement:
        values = {code: value for code, value in _quantities(content.resources) if code in (higher, lower)}
        return values[higher] > values[lower] if len(values) == 2 else None

    return judge


def _quantities(resources: Iterable[Resource]) -> Iterable[tuple[str | None, Any]]:
    for resource in resources:
        if resource["resourceType"] == "Observation":
            for part in (resource, *resource.get("component", ())):
                if value := part.get("valueQuantity", {}).get("value"):
                    yield _code(part), value


# Timeliness


def recent(days: Mapping[int, float], path: str | None = None) -> Judge:
    """How old it was when it came: `days` → what is given up to that age, 0 beyond. Without a path: the event."""
    steps = sorted(days.items())
    read = reading(path) if path else None

    def judge(resource: Any, content: Content) -> Judgement:
        if read is None:
            age = None if content.event_at is None else content.received_at - content.event_at
            return None if age is None else _given(age.days, steps)
        told = [on for value in read(resource) if (on := date_of(str(value)))]
        return _given((content.received_at.date() - max(told)).days, steps) if told else None

    return judge


def _given(age: int, steps: Sequence[tuple[int, float]]) -> float:
    return next((given for days, given in steps if age <= days), 0.0)


# Uniqueness


def told_once() -> Judge:
    """No resource of the message says what another says, under another id."""

    def judge(_: Any, content: Content) -> Judgement:
        alike: dict[tuple[Any, ...], list[Resource]] = {}
        for resource in content.resources:
            if resource["resourceType"] in _ONCE:
                alike.setdefault(_gist(resource), []).append(resource)
        doubtful = [group for group in alike.values() if len(group) > 1]
        return all(len({_told(one) for one in group}) == len(group) for group in doubtful) if alike else None

    return judge


_ONCE = frozenset({"Patient", "Encounter", "Condition", "AllergyIntolerance", "Observation", "Coverage"})


def _gist(resource: Resource) -> tuple[Any, ...]:
    """Enough to tell most apart at little cost."""
    return resource["resourceType"], _code(resource), resource.get("effectiveDateTime"), resource.get("valueString")


def _told(resource: Resource) -> str:
    """What it says, without what the hub calls it and what numbers its sender gave to it."""
    return repr(sorted((k, repr(v)) for k, v in resource.items() if k not in ("id", "identifier", "meta", "extension")))


def numbered_once(path: str = "identifier") -> Judge:
    """One number of a kind from one authority: two record numbers of one hospital are two records of one patient."""

    def judge(resource: Resource, _: Content) -> Judgement:
        identifiers = resource.get(path, ())
        if not identifiers:
            return None
        kinds = Counter(
            (identifier.get("system"), kind)
            for identifier in identifiers
            if (kind := _code({"code": identifier.get("type", {})})) and not identifier.get("period", {}).get("end")
        )
        return all(count == 1 for count in kinds.values())

    return judge


def _code(resource: Resource) -> str | None:
    codings = resource.get("code", {}).get("coding")
    return codings[0].get("code") if codings else None


@lru_cache(maxsize=1024)
def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


CHECKS: Mapping[str, Callable[..., Judge]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        present, known, result_given, one_of, like, unlike, within, dated, coded, measured, plausible, taken,
        not_from_the_future, in_order, after_birth, agreeing, final_with_final_results, above, recent, told_once,
        numbered_once,
    )
}  # fmt: skip
"""The checks by the names that a rubric calls them."""
