"""When something is to be done: TQ (up to v2.4: ORC-7, OBR-27, RXE-1) and TQ1 as a FHIR Timing."""

from __future__ import annotations

import re
from decimal import Decimal

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.periods import period_of
from healthsync.standards.maps.scribe import Scribe, part
from healthsync.standards.maps.tables import tables

UCUM = "http://unitsofmeasure.org"
_UNITS = {"S": "s", "M": "min", "H": "h", "D": "d", "W": "wk", "L": "mo", "J": "wk"}
_EVERY = re.compile(r"Q(\d+)([SMHDWLJ])\d?")
_DURATION = re.compile(r"([SMHDWL])(\d+)")
_BY_UCUM = {"S": "s", "MIN": "min", "H": "h", "HR": "h", "D": "d", "DAY": "d", "WK": "wk", "MO": "mo", "A": "a"}


def timing_of_tq(rep: Repetition, scribe: Scribe) -> Resource | None:
    """TQ[Timing]: interval (TQ.2), duration (TQ.3), start and end (TQ.4, TQ.5), occurrences (TQ.12)."""
    made = _pattern(part(rep, 2))
    repeat = made.get("repeat", {})
    if bounds := period_of(part(rep, 4), part(rep, 5), scribe):
        repeat["boundsPeriod"] = bounds
    elif duration := _duration(part(rep, 3)):
        repeat["boundsDuration"] = duration
    if count := numbers.positive_int(part(rep, 12)):
        repeat["count"] = count
    if repeat:
        made["repeat"] = repeat
    return made or None


def timing_of_tq1(tq1: Segment, scribe: Scribe) -> Resource | None:
    """TQ1[Timing]: pattern (TQ1-3), times (-4), duration (-6), start and end (-7, -8), occurrences (-14)."""
    rep = first_repetition(tq1, 3)
    made = _pattern(part(rep, 1), part(rep, 1, 2)) if rep else {}
    repeat = made.get("repeat", {})
    if times := [shown for each in tq1.field(4).repetitions if (shown := _time(part(each, 1)))]:
        repeat["timeOfDay"] = times
        repeat.setdefault("frequency", len(times))
        repeat.setdefault("period", 1)
        repeat.setdefault("periodUnit", "d")
    scribe.path = "TQ1-7"
    duration = first_repetition(tq1, 6)
    if bounds := period_of(tq1.get(7).strip(), tq1.get(8).strip(), scribe):
        repeat["boundsPeriod"] = bounds
    elif duration and (length := _quantity(duration)):
        repeat["boundsDuration"] = length
    if count := numbers.positive_int(tq1.get(14)):
        repeat["count"] = count
    if repeat:
        made["repeat"] = repeat
    return made or None


def _pattern(sent: str, text: str = "") -> Resource:
    """A repeat pattern (table 0335): `BID` is twice a day, `Q6H` every six hours; anything else is text."""
    if not sent and not text:
        return {}
    key = sent.upper().replace(" ", "")
    if every := _EVERY.fullmatch(key):
        repeat: Resource = {"frequency": 1, "period": int(every[1]), "periodUnit": _UNITS[every[2]]}
        return {"code": _named(key, text), "repeat": repeat} if int(every[1]) else {"code": {"text": text or sent}}
    known = tables().patterns.get(key)
    if known is None:
        return {"code": {"text": text or sent}}
    frequency, period, unit = known
    made: Resource = {"code": _named(key, text)}
    if frequency:
        made["repeat"] = {"frequency": frequency, "period": period, "periodUnit": unit}
    return made


def _named(pattern: str, text: str) -> Resource:
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0335", "code": pattern}
    return {"coding": [coding], "text": text or pattern}


def _duration(text: str) -> Resource | None:
    """`D4` is four days (v2.5.1 §4.3.3)."""
    match = _DURATION.fullmatch(text.upper())
    if not match or not int(match[2]):
        return None
    unit = _UNITS[match[1]]
    return {"value": Decimal(match[2]), "unit": unit, "system": UCUM, "code": unit}


def _quantity(rep: Repetition) -> Resource | None:
    """CQ[Duration], where its unit is one of time."""
    number, unit = numbers.decimal(part(rep, 1)), _BY_UCUM.get(part(rep, 2).upper())
    if number is None or unit is None:
        return None
    return {"value": number, "unit": unit, "system": UCUM, "code": unit}


def _time(text: str) -> str | None:
    match = re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?.*", text)
    return f"{match[1]}:{match[2]}:{match[3] or '00'}" if match else None


def priority_of(rep: Repetition, component: int, scribe: Scribe) -> str | None:
    """The priority of a TQ component by table 0485; it may carry a delay behind its letter (`TM20`)."""
    sent = part(rep, component)
    concept = tables().concepts["ExtendedPriorityCodes"].get(sent)
    if concept is None and sent:
        scribe.issue("code-not-in-table")
    return concept[1] if concept else None
