"""Dates as the intervals that they mean, and how search prefixes compare them (datatypes.html#date, search.html#date).

A written date is as long as its precision: `1987` is a whole year, `2019-12-31T20:00Z` a minute, `…T20:00:00Z` a
second, `….5Z` a tenth of one where somebody searches and a moment where it is stored. An interval is half open,
`low <= t < high`, in aware UTC datetimes, and never empty. `BEGINNING` and `END` stand for "open": a Period without an
end lasts longer than anything that can be written.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import NoReturn

from healthsync.errors import InvalidInput

Interval = tuple[datetime, datetime]

BEGINNING = datetime.min.replace(tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_TICK = timedelta(microseconds=1)
_FIRST, _LAST = BEGINNING + _TICK, END - _TICK
"""The bounds of what is written: nothing that is, `9999-12-31` neither, reaches as far as what is open."""

_LONGEST = len("2019-12-31T20:00:00.123456789+00:00")
"""Longer fractions are written by nobody twice, and would fill the memory."""
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class Prefix(Enum):
    """How a search value is compared with what is stored (search.html#prefix)."""

    EQUAL = "eq"
    NOT_EQUAL = "ne"
    GREATER = "gt"
    LESS = "lt"
    GREATER_OR_EQUAL = "ge"
    LESS_OR_EQUAL = "le"
    STARTS_AFTER = "sa"
    ENDS_BEFORE = "eb"
    APPROXIMATELY = "ap"


def interval(text: str) -> Interval:
    """The interval that a date, dateTime or instant means. Without an offset it is read as UTC.

    Precision beyond microseconds is cut off; what lies beyond the years 1 to 9999 is held at their bounds.
    Raises InvalidInput (`value`) for anything that is not a date of the calendar.
    """
    return _interval(text) if len(text) <= _LONGEST else _read(text)


def _read(text: str) -> Interval:
    match = _DATE.fullmatch(text)
    if match is None:
        _not_a_date()
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        if hour is None:
            return _written(*_calendar_interval(int(year), month, day))
        start = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=_zone(zone))
        return _written(*_clock_interval(start, second, fraction))
    except ValueError:
        _not_a_date()


def _written(low: datetime, high: datetime) -> Interval:
    return min(max(low, _FIRST), _LAST - _TICK), min(high, _LAST)


_interval = lru_cache(4_096)(_read)
"""The resources of a message or a visit repeat its times."""


def stored(text: str) -> Interval:
    """The interval that a date of a resource means. With a fraction of a second it is the moment that was measured,
    however many digits the sender writes: `.5000000Z`, as .NET writes it, asks for `.500Z` too."""
    low, high = interval(text)
    return (low, low + _TICK) if "." in text and low < END else (low, high)


def period(start: str | None, end: str | None) -> Interval:
    """A Period; a missing bound is open, and the end includes its whole precision (datatypes.html#Period)."""
    low = interval(start)[0] if start else BEGINNING
    high = stored(end)[1] if end else END
    return (low, high) if low < high else (low, low + _TICK if low < END else END)


def matches(prefix: Prefix, search: Interval, target: Interval) -> bool:
    """Does a stored `target` satisfy `prefix` with the `search` interval?

    ======  ==========================================================  ===================================
    prefix  search.html#prefix                                          as bounds
    ======  ==========================================================  ===================================
    eq      the search range contains the whole target                  t.low >= s.low and t.high <= s.high
    ne      it does not                                                 not eq
    gt, lt  the range above (below) the search value meets the target   t.high > s.high; t.low < s.low
    ge, le  gt or eq; lt or eq                                          gt or eq; lt or eq
    sa, eb  the target lies wholly above (below) the search range       t.low >= s.high; t.high <= s.low
    ap      the two overlap                                             t.low < s.high and t.high > s.low
    ======  ==========================================================  ===================================
    """
    (low, high), (target_low, target_high) = search, target
    within = low <= target_low and target_high <= high
    match prefix:
        case Prefix.EQUAL:
            return within
        case Prefix.NOT_EQUAL:
            return not within
        case Prefix.GREATER:
            return target_high > high
        case Prefix.LESS:
            return target_low < low
        case Prefix.GREATER_OR_EQUAL:
            return target_high > high or within
        case Prefix.LESS_OR_EQUAL:
            return target_low < low or within
        case Prefix.STARTS_AFTER:
            return target_low >= high
        case Prefix.ENDS_BEFORE:
            return target_high <= low
        case Prefix.APPROXIMATELY:
            return target_low < high and target_high > low


def widened(search: Interval, now: datetime) -> Interval:
    """The interval that `ap` looks at: a tenth of the distance to `now` on both sides (search.html#prefix)."""
    low, high = search
    margin = abs(now - low) / 10
    return _before(low, margin), _after(high, margin)


def _calendar_interval(year: int, month: str | None, day: str | None) -> Interval:
    low = datetime(year, int(month or 1), int(day or 1), tzinfo=UTC)
    if day is not None:
        return low, _after(low, _DAY)
    years, months = (0, 1) if month else (1, 0)
    months += low.month - 1
    following = (year + years + months // 12, months % 12 + 1)
    return low, datetime(*following, 1, tzinfo=UTC) if following[0] <= 9999 else END


def _clock_interval(start: datetime, second: str | None, fraction: str | None) -> Interval:
    if second is None:
        return _in_utc(start, _MINUTE)
    if second == "60":  # a leap second is legal in FHIR and unknown to Python: the first second of the next minute
        return _in_utc(start, _SECOND, _MINUTE)
    start = start.replace(second=int(second))
    if fraction is None:
        return _in_utc(start, _SECOND)
    microseconds = int(fraction[:6].ljust(6, "0"))
    return _in_utc(start.replace(microsecond=microseconds), timedelta(microseconds=10 ** max(0, 6 - len(fraction))))


def _in_utc(start: datetime, length: timedelta, offset: timedelta = timedelta()) -> Interval:
    try:
        low = start.astimezone(UTC) + offset
    except OverflowError:
        low = BEGINNING if start.year == 1 else END - _TICK
    return low, _after(low, length)


def _zone(zone: str | None) -> timezone:
    if zone is None or zone == "Z":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 14 or minutes > 59:
        raise ValueError
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)


def _after(moment: datetime, length: timedelta) -> datetime:
    return moment + length if length <= END - moment else END


def _before(moment: datetime, length: timedelta) -> datetime:
    return moment - length if length <= moment - BEGINNING else BEGINNING


def _not_a_date() -> NoReturn:
    raise InvalidInput(
        "this is not a date; write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.s]] with an offset such as Z",
        code="value",
    ) from None
