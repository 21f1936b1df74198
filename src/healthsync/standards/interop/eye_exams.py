"""What was found at an eye as an Observation (observation.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from healthsync.standards.interop.record import fault

_SNOMED = "http://snomed.info/sct"
_CATEGORY = {
    "coding": [
        {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "exam", "display": "Exam"}
    ]
}
_KINDS = {
    "visual_acuity": ("363983007", "Visual acuity"),
    "intraocular_pressure": ("41633001", "Intraocular pressure"),
}
"""SNOMED CT observable entities; any other kind of examination is told by its name alone."""

_EYES = {
    "right": ("18944008", "Right eye structure"),
    "left": ("8966001", "Left eye structure"),
    "both": ("40638003", "Structure of both eyes"),
}
_EYE_WORDS = {"od": "right", "os": "left", "ou": "both"}
_UNITS = {"intraocular_pressure": ("mmHg", "mm[Hg]")}
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def create_eye_exam_observation(patient_id: str, exam: Mapping[str, Any]) -> dict[str, Any]:
    """A final Observation of `Patient/patient_id` from `type`, `value`, `eye`, `date` and `notes` of an examination.

    A number is a quantity in the unit of its kind (mm[Hg] for intraocular_pressure), a text such as 20/20 stays one.
    `date` is a date, an aware datetime, or either as ISO text. Raises InvalidInput (`value`, with the field).
    """
    kind = exam.get("type")
    if not isinstance(kind, str) or not kind.strip():
        raise fault("type", "names the examination, such as visual_acuity")
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [_CATEGORY],
        "code": _code(kind.strip()),
        "subject": {"reference": f"Patient/{patient_id.removeprefix('Patient/')}"},
    }
    if (when := _effective(exam.get("date"))) is not None:
        observation["effectiveDateTime"] = when
    observation |= _value(kind.strip(), exam.get("value"))
    if (eye := exam.get("eye")) is not None:
        observation["bodySite"] = _site(eye)
    if (notes := exam.get("notes")) not in (None, ""):
        if not isinstance(notes, str):
            raise fault("notes", "is a text")
        observation["note"] = [{"text": notes}]
    return observation


def _code(kind: str) -> dict[str, Any]:
    if kind in _KINDS:
        code, display = _KINDS[kind]
        return {"coding": [{"system": _SNOMED, "code": code, "display": display}], "text": display}
    return {"text": kind.replace("_", " ").capitalize()}


def _site(eye: Any) -> dict[str, Any]:
    word = eye.strip().lower() if isinstance(eye, str) else ""
    if (known := _EYES.get(_EYE_WORDS.get(word, word))) is None:
        raise fault("eye", "is right, left or both")
    return {"coding": [{"system": _SNOMED, "code": known[0], "display": known[1]}]}


def _value(kind: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.strip():
        return {"valueString": value.strip()}
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
        if not number.is_finite():
            raise fault("value", "is a text or a finite number")
        shown, unit = _UNITS.get(kind, ("", ""))
        coded = {"unit": shown, "system": "http://unitsofmeasure.org", "code": unit} if unit else {}
        return {"valueQuantity": {"value": int(number) if isinstance(value, int) else number, **coded}}
    raise fault("value", "is a text such as 20/20, or a number")


def _effective(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = value.strip() if isinstance(value, str) else ""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise fault("date", "is a date, or a time with its offset, as ISO 8601 writes them") from None
    return text if _INSTANT.fullmatch(text) else parsed.date().isoformat()
