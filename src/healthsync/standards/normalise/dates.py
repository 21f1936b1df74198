"""Dates in the forms that people and programs write, as FHIR date and dateTime.

`01/02/2024` is two days: which one only the source can say (`DateOrder`). What can be one day only is that day whatever
the order. A year of two digits is the last one that is not in the future for a birth date, and for other dates the one
nearest to today; without a `today` it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum

from healthsync.standards.normalise.outcome import Normalised

EARLIEST_YEAR, LATEST_YEAR = 1800, 2200
"""A year beyond is a padded or mistyped one (`0058`)."""
OLDEST_YEARS = 130
"""A person born earlier is flagged."""

_MONTHS = {name: at for at, names in enumerate((
    "jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
    "sep sept september", "oct october", "nov november", "dec december"), 1) for name in names.split()}  # fmt: skip
_MONTH = "(?P<name>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_DIGITS = re.compile(r"(\d{4})(?:(\d\d)(\d\d)?)?", re.ASCII)
_NUMBERS = re.compile(r"(\d{1,4})\s*([/.\- ])\s*(\d{1,2})\s*\2\s*(\d{1,4})", re.ASCII)
_YEAR_MONTH = re.compile(
    r"(?:(?P<year>\d{4})[-/.](?P<month>\d{1,2})|(?P<month2>\d{1,2})[-/.](?P<year2>\d{4}))", re.ASCII
)
_NAMED = (
    re.compile(
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s.\-/]*{_MONTH}[\s,.\-/]*(?P<year>\d{{4}}|'?\d\d)", re.IGNORECASE
    ),
    re.compile(
        rf"{_MONTH}[\s.\-/]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s,.\-/]+(?P<year>\d{{4}}|'?\d\d)", re.IGNORECASE
    ),
    re.compile(rf"(?P<year>\d{{4}})[\s\-/.]*{_MONTH}[\s\-/.]*(?P<day>\d{{1,2}})", re.IGNORECASE),
    re.compile(rf"{_MONTH}[\s,.\-/]*(?P<year>\d{{4}})", re.IGNORECASE),
)
_TIME = re.compile(
    r"(?P<date>.*?\d)[T\s]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


class DateOrder(StrEnum):
    """In which order a source writes day, month and year."""

    MONTH_FIRST = "MDY"
    DAY_FIRST = "DMY"
    YEAR_FIRST = "YMD"


def normalise_date(text: str, *, order: DateOrder | None = None, today: date | None = None) -> Normalised[str]:
    """The FHIR date of a text, with the precision that was written.

    Problems: `not-a-date`, `impossible-date` (a thirteenth month), `ambiguous-date`, `two-digit-year`.
    """
    return _date(text, order, today, born=False)


def normalise_birth_date(text: str, *, today: date, order: DateOrder | None = None) -> Normalised[str]:
    """As `normalise_date`; a date after tomorrow is refused (`future-date`), one of 130 years ago flagged (`old-date`).

    Tomorrow is allowed: it has begun in another time zone.
    """
    found = _date(text, order, today, born=True)
    if found.value is None:
        return found
    if found.value > (today + timedelta(days=1)).isoformat()[: len(found.value)]:
        return Normalised.refused(text, "future-date")
    old = ("old-date",) if today.year - int(found.value[:4]) > OLDEST_YEARS else ()
    return Normalised(text, found.value, (*found.changes, *old))


def normalise_date_time(
    text: str, *, zone: tzinfo, order: DateOrder | None = None, today: date | None = None
) -> Normalised[str]:
    """The FHIR dateTime of a text; `zone` is that of a source that wrote none. A date alone stays a date."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return normalise_date(text, order=order, today=today)
    day = normalise_date(match["date"], order=order, today=today)
    if day.value is None or len(day.value) < len("YYYY-MM-DD"):
        return Normalised.refused(text, day.problem or "not-a-date")
    moment = _moment(day.value, match, zone)
    return Normalised(text, moment, day.changes) if moment else Normalised.refused(text, "impossible-date")


def _date(text: str, order: DateOrder | None, today: date | None, *, born: bool) -> Normalised[str]:
    written = " ".join(text.split())
    if not written:
        return Normalised(text)
    if digits := _DIGITS.fullmatch(written):
        plain = _shown(*digits.groups())
        return Normalised(text, plain) if plain else _eight_digits(text, written, order)
    if match := _YEAR_MONTH.fullmatch(written):
        shown = _shown(match["year"] or match["year2"], match["month"] or match["month2"])
        changes = () if shown == text.strip() else ("respelled",)
        return Normalised(text, shown, changes) if shown else Normalised.refused(text, "impossible-date")
    if match := _NUMBERS.fullmatch(written):
        return _three_numbers(text, match, order, today, born)
    for pattern in _NAMED:
        if match := pattern.fullmatch(written):
            return _named(text, match, today, born)
    if match := _TIME.fullmatch(written):
        day = _date(match["date"], order, today, born=born)
        return Normalised(text, day.value, (*day.changes, "time-left-out") if day.value else (), day.problem)
    return Normalised.refused(text, "not-a-date")


def _three_numbers(
    text: str, match: re.Match[str], order: DateOrder | None, today: date | None, born: bool
) -> Normalised[str]:
    first, second, third = match[1], match[3], match[4]
    if len(first) == 4:
        shown = _shown(first, second, third) if len(third) <= 2 else None
        changes = () if shown == text.strip() else ("respelled",)
        return Normalised(text, shown, changes) if shown else Normalised.refused(text, "impossible-date")
    if len(first) == 3 or len(third) in (1, 3):
        return Normalised.refused(text, "not-a-date")
    if order is DateOrder.YEAR_FIRST and len(third) == 2:
        return _with_century(text, first, [(second, third, "year-first")], order, today, born)
    readings = [(first, second, "month-first"), (second, first, "day-first")]
    return _with_century(text, third, readings, order, today, born)


def _with_century(
    text: str,
    year: str,
    readings: list[tuple[str, str, str]],
    order: DateOrder | None,
    today: date | None,
    born: bool,
) -> Normalised[str]:
    """The one reading that is a date; of two the one of the stated order."""
    whole, assumed = _century(year, today, born)
    if whole is None:
        return Normalised.refused(text, "two-digit-year")
    found = {name: shown for month, day, name in readings if (shown := _shown(whole, month, day))}
    if assumed and born and today:
        found = {name: _not_in_future(shown, today) for name, shown in found.items()}
    if not found:
        return Normalised.refused(text, "impossible-date")
    stated = {DateOrder.MONTH_FIRST: "month-first", DateOrder.DAY_FIRST: "day-first"}.get(order) if order else None
    if len(set(found.values())) == 1:
        (shown,) = set(found.values())
        against = ("other-order",) if stated and stated not in found else ()
        return Normalised(text, shown, (*against, *assumed, "respelled"))
    if stated is None:
        return Normalised.refused(text, "ambiguous-date")
    return Normalised(text, found[stated], (stated, *assumed, "respelled"))


def _eight_digits(text: str, written: str, order: DateOrder | None) -> Normalised[str]:
    """`05151980`: what is no YYYYMMDD can be MMDDYYYY or DDMMYYYY."""
    if len(written) != 8:
        return Normalised.refused(text, "impossible-date")
    first, second, year = written[:2], written[2:4], written[4:]
    return _with_century(text, year, [(first, second, "month-first"), (second, first, "day-first")], order, None, False)


def _named(text: str, match: re.Match[str], today: date | None, born: bool) -> Normalised[str]:
    parts = match.groupdict()
    whole, assumed = _century(parts["year"].lstrip("'"), today, born)
    if whole is None:
        return Normalised.refused(text, "two-digit-year")
    shown = _shown(whole, str(_MONTHS[parts["name"].lower()]), parts.get("day"))
    if shown is None:
        return Normalised.refused(text, "impossible-date")
    if assumed and born and today:
        shown = _not_in_future(shown, today)
    return Normalised(text, shown, (*assumed, "respelled"))


def _century(year: str, today: date | None, born: bool) -> tuple[str | None, tuple[str, ...]]:
    """Four digits of a year, and that they were assumed."""
    if len(year) == 4:
        return year, ()
    if today is None:
        return None, ()
    nearest = min(_hundreds(int(year), today), key=lambda whole: abs(whole - today.year))
    latest = max(whole for whole in _hundreds(int(year), today) if whole <= today.year)
    return str(latest if born else nearest), ("century-assumed",)


def _hundreds(year: int, today: date) -> Iterator[int]:
    century = today.year // 100 * 100
    yield from (century - 100 + year, century + year, century + 100 + year)


def _not_in_future(shown: str, today: date) -> str:
    """A birthday later this year was a hundred years ago."""
    if shown <= (today + timedelta(days=1)).isoformat()[: len(shown)]:
        return shown
    earlier = _shown(str(int(shown[:4]) - 100), *shown[5:].split("-"))
    return earlier or shown


def _shown(year: str, month: str | None = None, day: str | None = None) -> str | None:
    """As FHIR writes it; None for what is no date of the calendar. Zeros for month and day mean "not known"."""
    if not EARLIEST_YEAR <= int(year) <= LATEST_YEAR:
        return None
    if month is None or int(month) == 0:
        return year if day is None or int(day) == 0 else None
    if day is None or int(day) == 0:
        return f"{year}-{int(month):02d}" if int(month) <= 12 else None
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _moment(day: str, match: re.Match[str], zone: tzinfo) -> str | None:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if half := match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "Pp" else 0)
    try:
        moment = datetime.fromisoformat(day).replace(
            hour=hour, minute=minute, second=min(second, 59), tzinfo=_offset(match["zone"]) or zone
        )
        shown = moment.strftime("%z")
    except (ValueError, OverflowError):
        return None
    clock = f"{hour:02d}:{minute:02d}:{min(second, 59):02d}{match['fraction'] or ''}"
    return f"{day}T{clock}{shown[:3]}:{shown[3:5]}" if second <= 60 else None


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text[0] not in "+-":
        return timezone.utc  # noqa: UP017
    span = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-span if text[0] == "-" else span)
