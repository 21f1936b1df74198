"""The record as an ADT, and the record that a message's PID tells (HL7 v2.5.1 §3.3.4, §3.4.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import NULL, Message, MessageBuilder, Repetition, Segment, timestamp
from healthsync.standards.interop.record import GENDERS, Address, PatientRecord, is_date, read_record

_EVENTS = {"A01": "ADT_A01", "A04": "ADT_A01", "A05": "ADT_A05", "A08": "ADT_A01", "A28": "ADT_A05", "A31": "ADT_A05"}
"""Events that say who a patient is and need nothing beyond PID and PV1, with their structures (table 0354)."""

_SEXES = {"male": "M", "female": "F", "other": "O", "unknown": "U"}  # HL7 table 0001
_CLASSES = {"A01": "I", "A05": "P"}  # PV1-2, table 0004; O for the others: a registration is no stay
_WITHOUT_VISIT = frozenset({"A28", "A31"})


def create_hl7_adt(
    patient: Mapping[str, Any],
    event: str = "A04",
    *,
    at: datetime,
    control_id: str,
    sending_application: str = "HealthSync",
    sending_facility: str = "",
    receiving_application: str = "",
    receiving_facility: str = "",
) -> str:
    """An ADT about a patient record, A04 (registration) unless another event is named; segments end with CR.

    PID-3 tells the medical record number (type MR) and the record's own id (PI); `at` is MSH-7 and EVN-2, `control_id`
    MSH-10. Raises InvalidInput for another event or a field that cannot be read.
    """
    if event not in _EVENTS:
        raise InvalidInput(f"event is one of {', '.join(_EVENTS)}", code="value", expression="event")
    record = read_record(patient)
    builder = MessageBuilder(
        "ADT",
        event,
        _EVENTS[event],
        control_id=control_id,
        at=at,
        sending_application=sending_application,
        sending_facility=sending_facility,
        receiving_application=receiving_application,
        receiving_facility=receiving_facility,
    )
    builder.segment("EVN", {1: event, 2: timestamp(at)})
    builder.segment("PID", _pid(record, sending_facility))
    builder.segment("PV1", {1: "1", 2: "N" if event in _WITHOUT_VISIT else _CLASSES.get(event, "O")})
    return builder.encode().decode("utf-8")


def _pid(record: PatientRecord, authority: str) -> dict[int, Any]:
    numbers = [
        [number, None, None, authority, kind] for number, kind in ((record.mrn, "MR"), (record.id, "PI")) if number
    ]
    phones: list[list[Any]] = [[record.phone, "PRN", "PH"]] if record.phone else []
    if record.email:
        phones.append([None, "NET", "Internet", record.email])
    return {
        1: "1",
        3: numbers,
        5: [[record.last_name, record.first_name, record.middle_name, None, None, None, "L"]],
        7: record.born.replace("-", ""),
        8: _SEXES[record.gender] if record.gender else None,
        11: [_xad(record.address)] if record.address else None,
        13: phones,
    }


def _xad(address: Address) -> list[str]:
    line, *more = address.line or ("",)
    return [line, " ".join(more), address.city, address.state, address.postal_code, address.country]


def extract_patient_from_hl7(message: str | bytes | Message) -> dict[str, Any]:
    """The patient record that PID tells; fields that it does not tell are absent.

    Raises InvalidInput when this is no HL7 v2 message or has no PID (`required`).
    """
    if isinstance(message, str):
        message = message.encode()
    parsed = message if isinstance(message, Message) else Message.parse(message)
    pid = parsed.first("PID")
    if pid is None:
        raise InvalidInput("the message has no PID segment, so it tells of no patient", code="required")
    name = _first(pid, 5)
    record = {
        "id": _number(pid, "PI"),
        "mrn": _number(pid, "MR") or _text(_first(pid, 3), 1) or _text(_first(pid, 2), 1),
        "firstName": _text(name, 2),
        "middleName": _text(name, 3),
        "lastName": _text(name, 1),
        "dateOfBirth": _iso_date(pid.get(7)),
        "gender": GENDERS.get(pid.get(8).strip().lower(), ""),
        "email": _email(pid),
        "phone": _phone(pid),
        "address": _address(_first(pid, 11)),
    }
    return {field: value for field, value in record.items() if value}


def describe_hl7(message: str | bytes | Message) -> dict[str, Any]:
    """A message as JSON: its header, its patient (None without PID), and every segment with its fields by number.

    A field is a text; a list of components where it has some; a list of repetitions of either where it has several.
    Raises InvalidInput when this is no HL7 v2 message.
    """
    if isinstance(message, str):
        message = message.encode()
    parsed = message if isinstance(message, Message) else Message.parse(message)
    return {
        "messageType": "^".join(filter(None, (parsed.message_code, parsed.trigger))),
        "structure": parsed.structure,
        "controlId": parsed.get("MSH-10"),
        "version": parsed.version,
        "sendingApplication": parsed.sending_application,
        "sendingFacility": parsed.sending_facility,
        "receivingApplication": parsed.receiving_application,
        "receivingFacility": parsed.receiving_facility,
        "timestamp": parsed.timestamp,
        "patient": extract_patient_from_hl7(parsed) if parsed.first("PID") is not None else None,
        "segments": [{"name": segment.name, "fields": _fields(segment)} for segment in parsed.segments],
        "warnings": list(parsed.warnings),
    }


def _fields(segment: Segment) -> dict[str, Any]:
    fields = {str(number): segment.field(number) for number in range(1, len(segment) + 1)}
    return {
        number: _shown([_components(each) for each in field.repetitions]) for number, field in fields.items() if field
    }


def _components(repetition: Repetition) -> Any:
    count = len(repetition.components)
    return _shown([_shown(list(repetition.subcomponents(number))) for number in range(1, count + 1)])


def _shown(parts: list[Any]) -> Any:
    """A single part stands for itself; none is an empty text."""
    return parts if len(parts) > 1 else parts[0] if parts else ""


def _first(pid: Segment, field: int) -> Repetition | None:
    return next((repetition for repetition in pid.field(field).repetitions if repetition), None)


def _text(repetition: Repetition | None, component: int) -> str:
    value = repetition.component(component).strip() if repetition is not None else ""
    return "" if value == NULL else value


def _number(pid: Segment, kind: str) -> str:
    return next((_text(each, 1) for each in pid.field(3).repetitions if each.component(5).strip() == kind), "")


def _iso_date(text: str) -> str:
    """`YYYY`, `YYYY-MM` or `YYYY-MM-DD` of a v2 date; "" for one that does not exist."""
    match = re.match(r"(\d{4})(\d{2})?(\d{2})?", text.strip(), re.ASCII)
    iso = "-".join(filter(None, match.groups())) if match else ""
    return iso if is_date(iso) else ""


def _email(pid: Segment) -> str:
    """XTN.4, or XTN.1 of an equipment type Internet, as older senders write it."""
    for point in pid.field(13).repetitions:
        if found := _text(point, 4) or (_text(point, 1) if "@" in point.component(1) else ""):
            return found
    return ""


def _phone(pid: Segment) -> str:
    """XTN.1, else XTN.12, else area code and local number (XTN.6, XTN.7)."""
    for point in pid.field(13).repetitions:
        parts = (_text(point, 6), _text(point, 7))
        found = _text(point, 1) or _text(point, 12) or "-".join(filter(None, parts))
        if found and "@" not in found:
            return found
    return ""


def _address(repetition: Repetition | None) -> Any:
    """One text where only a street was sent, as `create_hl7_adt` writes it; the parts otherwise."""
    lines = ", ".join(filter(None, (_text(repetition, 1), _text(repetition, 2))))
    names = {"city": 3, "state": 4, "postalCode": 5, "country": 6}
    parts = {name: text for name, number in names.items() if (text := _text(repetition, number))}
    return {**({"line": lines} if lines else {}), **parts} if parts else lines
