"""HL7 v2 times (DT, TM, DTM, TS) as FHIR text.

v2 writes `YYYY[MM[DD[HH[MM[SS[.S…]]]]]][±ZZZZ]` (v2.5.1 §2.A.22). FHIR wants the precision that was written, and a
zone as soon as there is a time. What is no date of the calendar answers None: never guessed, never shifted to another
day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache

EARLIEST_YEAR = 1800
"""No patient, visit or result is older: a smaller year is a padded or mistyped one (`0058`)."""

_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)"
    r"(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?)?)?)?"
    r"(?P<zone>[+-]\d{4})?",
    re.ASCII,
)
_TM = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?(?:[+-]\d{4})?", re.ASCII)


@lru_cache(maxsize=4096)
def date_time(text: str, zone: tzinfo) -> str | None:
    """FHIR dateTime of a v2 DTM; `zone` is that of a sender that wrote none.

    Zeros for month and day mean "not known" and end the precision (`19580000` → `1958`). Minutes that were not sent are
    filled with zero, because FHIR has no precision between day and minute.
    """
    parts = _parts(text)
    if parts is None:
        return None
    day, hour = parts
    if hour is None:
        return day
    hours, minutes, seconds, fraction, offset = hour
    try:
        moment = datetime(*map(int, day.split("-")), hours, minutes, min(seconds, 59))  # type: ignore[arg-type]  # noqa: DTZ001
        moment = moment.replace(tzinfo=offset or zone)
        shown = moment.strftime("%z")
    except (ValueError, OverflowError):
        return None
    clock = f"{hours:02d}:{minutes:02d}:{min(seconds, 59):02d}{fraction}"
    return f"{day}T{clock}{shown[:3]}:{shown[3:5]}"


@lru_cache(maxsize=4096)
def date_only(text: str) -> str | None:
    """FHIR date of a v2 DT or DTM: the day as the sender wrote it, whatever the offset behind it."""
    parts = _parts(text)
    return parts[0] if parts else None


def instant(text: str, zone: tzinfo) -> str | None:
    """FHIR instant; a day without a time is none."""
    shown = date_time(text, zone)
    return shown if shown and "T" in shown else None


def time_of_day(text: str) -> str | None:
    """FHIR time of a v2 TM."""
    match = _TM.fullmatch(text.strip())
    if not match:
        return None
    hours, minutes, seconds = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{match[4] or ''}"


def moment(text: str, zone: tzinfo) -> datetime | None:
    """The instant at which a v2 DTM begins, aware; None when it is no date."""
    shown = date_time(text, zone)
    if shown is None:
        return None
    padded = shown + "-01" * (2 - shown.count("-")) if "T" not in shown else shown
    value = datetime.fromisoformat(padded)
    return value if value.tzinfo else value.replace(tzinfo=zone)


def is_before(first: str, second: str) -> bool:
    """Whether a FHIR dateTime ends before another begins, as far as their common precision tells."""
    if "T" in first and "T" in second:
        return datetime.fromisoformat(first) < datetime.fromisoformat(second)
    length = min(len(first), len(second), len("YYYY-MM-DD"))
    return first[:length] < second[:length]


def plus_minutes(shown: str, minutes: Decimal) -> str | None:
    """A FHIR dateTime some minutes later; None for a day without a time, and where the calendar ends."""
    if "T" not in shown:
        return None
    try:
        return (datetime.fromisoformat(shown) + timedelta(minutes=float(minutes))).isoformat()
    except OverflowError:
        return None


Hour = tuple[int, int, int, str, timezone | None]


def _parts(text: str) -> tuple[str, Hour | None] | None:
    """The day as FHIR writes it, and the time of day when one was sent; None for what is no date."""
    match = _DTM.fullmatch(text.strip())
    if not match or int(match["year"]) < EARLIEST_YEAR:
        return None
    year, month, day = match["year"], match["month"], match["day"]
    if month in (None, "00"):
        return (year, None) if day in (None, "00") else None
    if day in (None, "00"):
        return (f"{year}-{month}", None) if "01" <= month <= "12" else None
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return None
    if match["hour"] is None:
        return f"{year}-{month}-{day}", None
    hour, minute, second = int(match["hour"]), int(match["minute"] or 0), int(match["second"] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    offset = _offset(match["zone"])
    if match["zone"] and offset is None:
        return None
    fraction = f".{match['fraction']}" if match["fraction"] else ""
    return f"{year}-{month}-{day}", (hour, minute, second, fraction, offset)


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    hours, minutes = int(text[1:3]), int(text[3:5])
    if hours > 14 or minutes > 59:
        return None
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)
