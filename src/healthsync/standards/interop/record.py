"""Reading a plain patient record: which fields it has, and what may stand in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from healthsync.errors import InvalidInput

GENDERS = {
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("female", "f", "woman"), "female"),
    **dict.fromkeys(("other", "o", "a", "x", "nonbinary", "non-binary"), "other"),
    **dict.fromkeys(("unknown", "u", "n"), "unknown"),
}
"""Words for administrative gender (http://hl7.org/fhir/administrative-gender; letters: HL7 table 0001)."""

_LEGAL_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")
_ADDRESS_PARTS = {
    "line": ("line", "street", "line1", "address1"),
    "line2": ("line2", "address2"),
    "city": ("city",),
    "state": ("state",),
    "postalCode": ("postalCode", "zip", "zipCode"),
    "country": ("country",),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; `line` holds all of it where the record has one text."""

    line: tuple[str, ...] = ()
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient as the record tells it; "" and None where it says nothing."""

    id: str = ""
    mrn: str = ""
    mrn_system: str = ""
    first_name: str = ""
    middle_name: str = ""
    last_name: str = ""
    born: str = ""
    """`YYYY`, `YYYY-MM` or `YYYY-MM-DD`, a date that exists."""
    gender: str | None = None
    email: str = ""
    phone: str = ""
    address: Address | None = None


def read_record(record: Mapping[str, Any]) -> PatientRecord:
    """The record behind a mapping with camelCase or snake_case keys.

    Raises InvalidInput (`value`, with the field) for a date that does not exist, an unknown gender, an id that is none
    or a field that is no text; (`required`) when nothing in it tells a patient.
    """
    gender = _text(record, "gender")
    read = PatientRecord(
        id=_id(_text(record, "id")),
        mrn=_text(record, "mrn"),
        mrn_system=_text(record, "mrnSystem"),
        first_name=_text(record, "firstName"),
        middle_name=_text(record, "middleName"),
        last_name=_text(record, "lastName"),
        born=_birth_date(_value(record, "dateOfBirth")),
        gender=_gender(gender) if gender else None,
        email=_text(record, "email"),
        phone=_text(record, "phone"),
        address=_address(_value(record, "address")),
    )
    if not (read.mrn or read.first_name or read.last_name or read.id):
        raise InvalidInput("a patient has at least one of id, mrn, firstName and lastName", code="required")
    return read


def fault(field: str, sentence: str) -> InvalidInput:
    """What is wrong with a field, without its value."""
    return InvalidInput(f"{field} {sentence}", code="value", expression=field)


def _value(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    return record.get(_SNAKE.sub("_", name).lower()) if value is None else value


def _text(record: Mapping[str, Any], name: str) -> str:
    value = _value(record, name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise fault(name, "is a text")
    return str(value).strip()


def _id(text: str) -> str:
    if text and not _LEGAL_ID.fullmatch(text):
        raise fault("id", "has at most 64 letters, digits, dots and hyphens (datatypes.html#id)")
    return text


def _gender(text: str) -> str:
    known = GENDERS.get(text.lower())
    if known is None:
        raise fault("gender", "is male, female, other or unknown")
    return known


def _birth_date(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    text = value.strip().partition("T")[0] if isinstance(value, str) else ""
    if not is_date(text):
        raise fault("dateOfBirth", "is a date that exists: YYYY-MM-DD, YYYY-MM or YYYY")
    return text


def is_date(text: str) -> bool:
    """Whether a text is a FHIR date that exists (datatypes.html#date)."""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text + "-01-01"[len(text) - 4 :])
    except ValueError:
        return False
    return True


def _address(value: Any) -> Address | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return Address(line=(value.strip(),)) if value.strip() else None
    if not isinstance(value, Mapping):
        raise fault("address", "is a text, or line, city, state, postalCode and country")
    part = {name: _address_part(value, names) for name, names in _ADDRESS_PARTS.items()}
    lines = tuple(text for text in (*part["line"], *part["line2"]) if text)
    single = {name: " ".join(texts) for name, texts in part.items()}
    read = Address(lines, single["city"], single["state"], single["postalCode"], single["country"])
    return read if read != Address() else None


def _address_part(address: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    value = next((found for name in names if (found := _value(address, name)) not in (None, "")), None)
    texts = value if isinstance(value, list | tuple) else [] if value is None else [value]
    if not all(isinstance(text, str | int) and not isinstance(text, bool) for text in texts):
        raise fault("address", f"has a text as {names[0]}")
    return tuple(str(text).strip() for text in texts)
