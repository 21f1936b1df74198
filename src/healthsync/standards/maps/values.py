"""OBX-5 by its data type (OBX-2) as Observation.value[x] (guide: OBX[Observation], rows of OBX-5 and OBX-6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers, times
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.datatypes import unit
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.periods import period
from healthsync.standards.maps.scribe import Scribe, clean, part

Valued = tuple[str, Any]
"""Element name (`valueQuantity`, `extension`) and its value."""

ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"


def observation_value(kind: str, rep: Repetition, segment: Segment, scribe: Scribe) -> Valued | None:
    """The value of one repetition of OBX-5; None when it says nothing.

    A value that is not of its declared type is kept as text and reported: a result is never lost.
    """
    reader = _READERS.get(kind)
    if reader is not None:
        found = reader(rep, segment, scribe)
        if found is not None:
            return found
    text = clean(rep.text).strip() if kind in _TEXT or len(rep.components) == 1 else _readable(rep)
    if not text or text == '""':
        return None
    if kind not in _TEXT:
        scribe.issue("value-kept-as-text", "OBX-5")
    return "valueString", text


def _readable(rep: Repetition) -> str:
    """Components in reading order, without the separators of v2."""
    count = len(rep.components)
    return clean(" ".join(text for at in range(1, count + 1) for text in rep.subcomponents(at) if text.strip()))


def _unit(segment: Segment, scribe: Scribe) -> Resource:
    def read() -> Resource:
        rep = first_repetition(segment, 6)
        if rep is None:
            return {}
        code, text, system = part(rep, 1), part(rep, 2), part(rep, 3)
        if code in _TENS and text[:1].isdigit() and not system:  # 10^3/uL with a caret that was not escaped
            return unit("", f"{code}^{text}", "", scribe.source)
        return unit(code, text, system, scribe.source)

    raw = segment.raw_field(6)
    return scribe.recurring("unit", raw, read) if raw else {}


_TENS = frozenset({"10", "x10", "X10", "*10"})


def _quantity(number: Any, comparator: str, segment: Segment, scribe: Scribe) -> Resource:
    made: Resource = {"value": number}
    if comparator:
        made["comparator"] = comparator
    made.update(_unit(segment, scribe))
    return made


def _number(rep: Repetition, segment: Segment, scribe: Scribe) -> Valued | None:
    """NM; `<5` is no legal NM but frequent, and never the number 5."""
    found = numbers.compared(rep.component(1))
    if found is None or len(rep.components) > 1:
        return None
    comparator, number = found
    return "valueQuantity", _quantity(number, comparator, segment, scribe)


def limits(segment: Segment, scribe: Scribe) -> Resource:
    """The limits that OBX-7 tells of a number (`low-high`, `>low`, `<high`: v2.5.1 §7.4.2.7), in the unit of the value.

    Empty for any other text. Whether a limit itself is meant, the text says, which stands beside.
    """
    match = _LIMITS.fullmatch(segment.get(7))
    if match is None:
        return {}
    measure = _unit(segment, scribe)
    if match["unit"] and match["unit"] not in (measure.get("unit"), measure.get("code")):
        return {}
    sign, first, second = match["sign"], numbers.decimal(match["first"]), numbers.decimal(match["second"] or "")
    if first is None or (second is None) == (sign is None) or (second is not None and first > second):
        return {}
    low, high = (None, first) if sign and sign[0] in "<≤" else (first, second)
    return {name: {"value": number, **measure} for name, number in (("low", low), ("high", high)) if number is not None}


_LIMITS = re.compile(
    r"\s*\(?\s*(?P<sign>[<>] ?OR ?=|<=|>=|[<>≤≥])?\s*(?P<first>[+-]?[\d.]+)\s*"
    r"(?:(?:-|–|to)\s*(?P<second>[+-]?[\d.]+)\s*)?(?P<unit>[^\s\d.()-][^\s()]*)?\s*\)?\s*",
    re.ASCII | re.IGNORECASE,
)
"""Also as laboratories write them: in brackets, with `to`, `> OR = 60`, and with the unit once more."""


def _structured(rep: Repetition, segment: Segment, scribe: Scribe) -> Valued | None:
    """SN: comparator ^ number ^ separator ^ number (v2.5.1 §2.A.68)."""
    sent, first, separator, second = (part(rep, number) for number in (1, 2, 3, 4))
    low = numbers.compared(first)
    high = numbers.decimal(second)
    comparator = _SPELLINGS.get(sent, sent) or (low[0] if low else "")
    number = f"{first}+" if separator == "+" else f"{first} {separator}".strip()  # 2+ is a grade, not a sum
    shown = " ".join(text for text in (sent or comparator, number, second, clean(segment.get(6))) if text)
    made = _compared(comparator, low[1], separator, high, second, segment, scribe) if low else None
    if made is None:
        return ("valueString", shown) if first or second else None
    if sent in _MEANINGLESS:
        scribe.issue("comparator-unknown", "OBX-5")
        made[1]["extension"] = [{"url": ORIGINAL_TEXT, "valueString": shown}]
    return made


_SPELLINGS = {"=": "", "≤": "<=", "≥": ">=", '"': "", "-": ""}
_MEANINGLESS = frozenset({'"', "-"})
"""Half of a null, and a dash: SN.1 has no such comparator, and a sign stands with its number (NM) in SN.2."""


def _compared(
    comparator: str, low: Any, separator: str, high: Any, second: str, segment: Segment, scribe: Scribe
) -> Valued | None:
    """A number, a ratio or a range (guide: SN[Quantity], SN[Ratio], SN[Range]); None for what is none of them."""
    if comparator not in ("", "<", ">", "<=", ">="):
        return None
    if not separator and not second:
        return "valueQuantity", _quantity(low, comparator, segment, scribe)
    if high is None:
        return None
    measure = _unit(segment, scribe)
    if separator in (":", "/"):
        numerator: Resource = {"value": low, **({"comparator": comparator} if comparator else {}), **measure}
        return "valueRatio", {"numerator": numerator, "denominator": {"value": high, **measure}}
    if separator == "-" and not comparator:
        return "valueRange", {"low": {"value": low, **measure}, "high": {"value": high, **measure}}
    return None


def _range(rep: Repetition, segment: Segment, scribe: Scribe) -> Valued | None:
    """NR: low ^ high."""
    low, high = numbers.decimal(part(rep, 1)), numbers.decimal(part(rep, 2))
    measure = _unit(segment, scribe)
    made = {name: {"value": number, **measure} for name, number in (("low", low), ("high", high)) if number is not None}
    return ("valueRange", made) if made else None


def _concept(rep: Repetition, _segment: Segment, scribe: Scribe) -> Valued | None:
    found = codeable_concept(rep, scribe)
    return ("valueCodeableConcept", found) if found else None


def _date_time(rep: Repetition, _segment: Segment, scribe: Scribe) -> Valued | None:
    found = times.date_time(part(rep, 1), scribe.zone)
    return ("valueDateTime", found) if found else None


def _time(rep: Repetition, _segment: Segment, _scribe: Scribe) -> Valued | None:
    found = times.time_of_day(part(rep, 1))
    return ("valueTime", found) if found else None


def _period(rep: Repetition, _segment: Segment, scribe: Scribe) -> Valued | None:
    found = period(rep, scribe)
    return ("valuePeriod", found) if found else None


def _alternatives(rep: Repetition, _segment: Segment, _scribe: Scribe) -> Valued | None:
    """VR: from-to."""
    text = "-".join(text for text in (part(rep, 1), part(rep, 2)) if text)
    return ("valueString", text) if text else None


_TEXT = frozenset({"ST", "TX", "FT", ""})
NUMBERS = frozenset({"NM", "SN"})
JOINED_LINES = frozenset({"TX", "FT"})
"""Types whose repetitions are the lines of one text (v2.5.1 §2.A.78)."""

_READERS: dict[str, Callable[[Repetition, Segment, Scribe], Valued | None]] = {
    "NM": _number,
    "SN": _structured,
    "NR": _range,
    "CE": _concept,
    "CWE": _concept,
    "CNE": _concept,
    "CF": _concept,
    "IS": _concept,
    "ID": _concept,
    "DT": _date_time,
    "DTM": _date_time,
    "TS": _date_time,
    "TM": _time,
    "DR": _period,
    "VR": _alternatives,
}
