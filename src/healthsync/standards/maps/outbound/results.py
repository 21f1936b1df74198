"""Results as OBX: which type (OBX-2) a value has, and the types of documents."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from healthsync.standards.maps.documents import VALUE_ATTACHMENT
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.datatypes import Component, Pen, Repetition, Writer, cwe, dtm, nm, unit_parts

Valued = tuple[str, list[Repetition], Resource | None]
"""OBX-2, the repetitions of OBX-5, and the quantity whose unit stands in OBX-6."""


def told(observation: Resource, pen: Pen) -> Valued | None:
    """The value of an observation; components that repeat its code are repetitions (OBX-5)."""
    own = _value(observation, pen)
    if own is not None:
        return own
    parts = [part for each in observation.get("component", ()) if (part := _value(each, pen)) is not None]
    if not parts or len({kind for kind, _, _ in parts}) > 1:
        return None
    return parts[0][0], [rep for _, reps, _ in parts for rep in reps], parts[0][2]


def _value(holder: Resource, pen: Pen) -> Valued | None:
    """value[x] by the type that v2 has for it (table 0125)."""
    for name, write in _VALUES.items():
        if name in holder:
            return write(holder[name], pen)
    attached = (e["valueAttachment"] for e in holder.get("extension", ()) if e["url"] == VALUE_ATTACHMENT)
    return next((_attachment(each, pen) for each in attached), None)


def _quantity(value: Resource, pen: Pen) -> Valued | None:
    if "value" not in value:
        return None
    number = str(nm(value["value"], pen))
    if comparator := value.get("comparator"):
        return "SN", [[comparator, number]], value
    return "NM", [number], value


def _ratio(value: Resource, pen: Pen) -> Valued | None:
    above, below = value.get("numerator", {}), value.get("denominator", {})
    if "value" not in above or "value" not in below:
        return None
    return "SN", [[above.get("comparator"), str(nm(above["value"], pen)), ":", str(nm(below["value"], pen))]], above


def _range(value: Resource, pen: Pen) -> Valued | None:
    low, high = value.get("low", {}), value.get("high", {})
    if "value" in low and "value" in high:
        return "SN", [[None, str(nm(low["value"], pen)), "-", str(nm(high["value"], pen))]], low
    bound, sign = (low, ">=") if "value" in low else (high, "<=")
    return ("SN", [[sign, str(nm(bound["value"], pen))]], bound) if "value" in bound else None


def _text(value: str, _pen: Pen) -> Valued:
    return "TX" if "\n" in value or len(value) > 199 else "ST", list(pieces(value)), None


_LONGEST = 65536


def pieces(text: str) -> list[str]:
    """A text as repetitions no longer than TX and FT may be (v2.5.1 §2.A.31, §2.A.78), cut at its line breaks: the
    repetitions are lines."""
    if len(text) <= _LONGEST:
        return [text]
    made: list[list[str]] = [[]]
    for line in text.split("\n"):
        if made[-1] and sum(map(len, made[-1])) + len(made[-1]) + len(line) > _LONGEST:
            made.append([])
        made[-1].append(line)
    return ["\n".join(lines) for lines in made]


def _concept(value: Resource, pen: Pen) -> Valued | None:
    made = cwe(value, pen)
    return ("CWE" if pen.version >= (2, 5) else "CE", [made], None) if made else None


def _moment(value: str, pen: Pen) -> Valued | None:
    made = dtm(value, pen)
    kind = "DT" if len(value) <= len("2024-03-01") else "DTM" if pen.version >= (2, 6) else "TS"
    return (kind, [made], None) if made else None


def _period(value: Resource, pen: Pen) -> Valued | None:
    return "DR", [[str(dtm(value[at], pen)) if at in value else None for at in ("start", "end")]], None


def _attachment(value: Resource, pen: Pen) -> Valued | None:
    kind, made = document_type(value, pen, ""), document(value, pen, "")
    return (str(kind), [made], None) if kind and made else None


def _channel(samples: Resource, pen: Pen) -> Valued | None:
    """How samples are to be read, as CD (v2.5.1 §2.A.9): sensitivity and unit, baseline, frequency, least and most."""
    period = samples.get("period")
    if not period:
        return None
    origin = samples.get("origin", {})
    limits = [str(nm(samples[name], pen)) if name in samples else "" for name in ("lowerLimit", "upperLimit")]
    factor = str(nm(samples["factor"], pen)) if "factor" in samples else ""
    frequency = format((Decimal(1000) / Decimal(period)).normalize(), "f")
    baseline = str(nm(origin["value"], pen)) if "value" in origin else ""
    return "CD", [["1", None, [factor, *unit_parts(origin)], ["", baseline], frequency, limits]], None


def _samples(samples: Resource, _pen: Pen) -> Valued | None:
    """SampledData as NA, one channel, or MA: a repetition for each time, a component for each channel."""
    values, count = samples.get("data", "").split(), samples.get("dimensions", 1)
    told = ["" if value == "E" else value for value in values]
    rows: list[Repetition] = [list(told[at : at + count]) for at in range(0, len(told), count)]
    if count > 1:
        return "MA", rows, samples.get("origin")
    return ("NA", [list(told)], samples.get("origin")) if told else None


_VALUES: Mapping[str, Any] = {
    "valueChannel": _channel,
    "valueSampledData": _samples,
    "valueQuantity": _quantity,
    "valueRatio": _ratio,
    "valueRange": _range,
    "valueString": _text,
    "valueCodeableConcept": _concept,
    "valueDateTime": _moment,
    "valuePeriod": _period,
    "valueTime": lambda value, _pen: ("TM", [value.replace(":", "")], None),
    "valueInteger": lambda value, _pen: ("NM", [str(value)], None),
    "valueBoolean": lambda value, _pen: ("ID", ["Y" if value else "N"], None),
}

_MAIN_TYPES = {"application": "AP", "image": "IM", "audio": "AU", "text": "TEXT", "multipart": "multipart"}


def _data(value: Resource, pen: Pen) -> str | None:
    """Base64 of an Attachment, also where it lies in a Binary that came along."""
    if "data" in value:
        return value["data"]
    binary = pen.content.resolve({"reference": value["url"]}, "Binary") if "url" in value else None
    return binary.get("data") if binary else None


def plain_text(value: Resource, pen: Pen) -> str | None:
    """The text of a document that is nothing but text, and that reads the same from OBX-5."""
    if value.get("contentType", "").partition(";")[0] != "text/plain" or (data := _data(value, pen)) is None:
        return None
    try:
        text = base64.b64decode(data, validate=True).decode()
    except ValueError:
        return None
    reads_the_same = text.strip("\r\n") == text and text.strip() and "\r" not in text and len(text) <= _LONGEST
    return text if reads_the_same else None


def document_type(value: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """TX for plain text, ED for other content, RP for an address."""
    if plain_text(value, pen) is not None:
        return "TX"
    return "ED" if _data(value, pen) else "RP" if value.get("url") or value.get("title") else None


def document(value: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """Attachment as TX, as ED (v2.5.1 §2.A.24) or, without content, as RP (§2.A.65)."""
    if (text := plain_text(value, pen)) is not None:
        return text
    main, _, subtype = value.get("contentType", "").partition(";")[0].partition("/")
    if (data := _data(value, pen)) is not None:
        return [None, _MAIN_TYPES.get(main, "AP"), _subtype(subtype) or "octet-stream", "Base64", data]
    target = value.get("url") or value.get("title")
    made: list[Component] = [target, None, _MAIN_TYPES.get(main), _subtype(subtype)]
    return made if target else None


def _subtype(name: str) -> str | None:
    return {"pdf": "PDF", "jpeg": "JPEG", "rtf": "RTF"}.get(name, name) or None


def _kind(observation: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    valued = told(observation, pen)
    return valued[0] if valued else None


def _unit(observation: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    valued = told(observation, pen)
    if valued is None or valued[2] is None:
        return None
    parts = unit_parts(valued[2])
    return list(parts) if any(parts) else None


def _reference_range(observation: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """OBX-7: the text of the first range, else `low-high`, `>low` or `<high` (v2.5.1 §7.4.2.7)."""
    first = next(iter(observation.get("referenceRange", ())), {})
    low, high = (str(nm(first[at]["value"], pen)) if "value" in first.get(at, {}) else "" for at in ("low", "high"))
    if first.get("text") or not (low or high):
        return first.get("text")
    return f"{low}-{high}" if low and high else f">={low}" if low else f"<={high}"


RESULT_WRITERS: Mapping[str, Writer] = {
    "OBX-type": _kind,
    "OBX-unit": _unit,
    "OBX-range": _reference_range,
    "ED": document,
    "ED-type": document_type,
}
