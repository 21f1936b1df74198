"""What orders, appointments, documents and vaccinations say in fields that no single element fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.maps.outbound.datatypes import Pen, Repetition, Writer, dtm, xcn
from healthsync.standards.maps.outbound.tables import outbound_tables

_CONTROL = {
    "revoked": "CA", "entered-in-error": "CA", "on-hold": "HD", "completed": "SC", "draft": "SC", "unknown": "SC",
}  # fmt: skip
"""Where no new order goes out: what is a draft, or of unknown state, may not arrive as something to be done."""


def _order_control(order: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """ORC-1, table 0119: what is to be done with the order."""
    return _CONTROL.get(order.get("status", ""), "XO" if pen.content.changed == "UPDATE" else "NW")


def _order_timing(order: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """TQ of an order: when (TQ.4, TQ.5) and how urgent (TQ.6)."""
    period = order.get("occurrencePeriod", {})
    start, end = order.get("occurrenceDateTime") or period.get("start"), period.get("end")
    urgency = outbound_tables().codes["Priority"].get(order.get("priority", ""), ("", None))[1]
    when = [str(dtm(text, pen)) if text else None for text in (start, end)]
    return [None, None, None, *when, urgency] if any(when) or urgency else None


def _appointment_timing(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """TQ of an appointment: duration (TQ.3), start and end."""
    length = appointment.get("minutesDuration")
    when = [str(dtm(appointment[at], pen)) if at in appointment else None for at in ("start", "end")]
    return [None, None, f"M{length}" if length else None, *when]


_EVENTS = {
    "S12": "New appointment", "S13": "Rescheduled", "S14": "Modified", "S15": "Cancelled", "S26": "No show",
}  # fmt: skip


def _schedule_event(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """SCH-6, required: why the message is sent."""
    status = appointment.get("status", "")
    trigger = {"cancelled": "S15", "noshow": "S26"}.get(status, "S14" if pen.content.changed == "UPDATE" else "S12")
    return [trigger, _EVENTS[trigger], "HL70003"]


def _schedule_contact(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """SCH-16 and SCH-20, required: who answers for the booking. FHIR names nobody but those who take part."""
    for entry in appointment.get("participant", ()):
        if (found := pen.content.resolve(entry.get("actor", {}), "Practitioner")) is not None:
            return xcn(found, pen)
    return [None, "UNKNOWN"]


def _presentation(media_type: Any, _pen: Pen, _vocabulary: str) -> Repetition | None:
    """TXA-3, table 0191."""
    main = str(media_type).partition("/")[0]
    return {"text": "TX", "image": "IM", "audio": "AU"}.get(main, "AP")


def _information_source(primary: Any, _pen: Pen, _vocabulary: str) -> Repetition | None:
    """RXA-9 by the table NIP001 of the CDC: given here, or told."""
    known = ("00", "New immunization record") if primary else ("01", "Historical information - source unspecified")
    return [*known, "NIP001"]


def _vaccination_action(immunization: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """RXA-21, table 0323."""
    if immunization.get("status") == "entered-in-error":
        return "D"
    return "U" if pen.content.changed == "UPDATE" else "A"


ORDER_WRITERS: Mapping[str, Writer] = {
    "ORC-control": _order_control,
    "TQ-order": _order_timing,
    "TQ-appointment": _appointment_timing,
    "SCH-event": _schedule_event,
    "SCH-contact": _schedule_contact,
    "TXA-presentation": _presentation,
    "RXA-source": _information_source,
    "RXA-action": _vaccination_action,
}
