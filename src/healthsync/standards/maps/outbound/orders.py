"""What orders, appointments, documents and vaccinations say in fields that no single element fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.datatypes import (
    Component,
    Pen,
    Repetition,
    Writer,
    cwe,
    dtm,
    ei,
    kind_of,
    subcomponents,
    xcn,
)
from healthsync.standards.maps.outbound.tables import outbound_tables
from healthsync.standards.maps.tables import tables

_CONTROL = {
    "revoked": "CA", "entered-in-error": "CA", "on-hold": "HD", "completed": "SC", "draft": "SC", "unknown": "SC",
}  # fmt: skip
"""Where no new order goes out: what is a draft, or of unknown state, may not arrive as something to be done."""


def _order_control(order: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """ORC-1, table 0119: what is to be done with the order."""
    return _CONTROL.get(order.get("status", ""), "XO" if pen.content.changed == "UPDATE" else "NW")


def _order_time(order: Any, pen: Pen, vocabulary: str) -> Repetition | None:
    """ORC-9: when what ORC-1 tells happened. A new order was written then; of changes, the event knows."""
    if _order_control(order, pen, vocabulary) == "NW":
        return dtm(order["authoredOn"], pen) if "authoredOn" in order else None
    happened = pen.content.occurred_at
    return dtm(happened.isoformat(timespec="seconds"), pen) if happened else None


def _parent(order: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """The parent order as EIP: the placer's number and the filler's."""
    parents = [pen.content.resolve(entry, "ServiceRequest") for entry in order.get("basedOn", ())]
    numbers = [number for parent in parents if parent for number in parent.get("identifier", ())]
    halves = [next((ei(n, pen) for n in numbers if kind_of(n) == kind), None) for kind in ("PLAC", "FILL")]
    made: list[Component] = [subcomponents(half) for half in halves]
    return made if any(made) else None


def _pattern(timing: Resource) -> tuple[str | None, str]:
    """How often, as a repeat pattern (table 0335) or as text."""
    code = timing.get("code", {})
    repeat = timing.get("repeat", {})
    known = next((c["code"] for c in code.get("coding", ()) if c.get("code")), None)
    if known or "text" in code:
        return known, code.get("text", "") if code.get("text") != known else ""
    often = tuple(repeat.get(name) for name in ("frequency", "period", "periodUnit"))
    if named := next((name for name, rate in tables().patterns.items() if rate == often), None):
        return named, ""
    unit = _PERIODS.get(repeat.get("periodUnit", ""))
    return (f"Q{repeat['period']}{unit}", "") if unit and repeat.get("frequency", 1) == 1 else (None, "")


_PERIODS = {"s": "S", "min": "M", "h": "H", "d": "D", "wk": "W", "mo": "L"}


def _repeat_pattern(timing: Any, _pen: Pen, _vocabulary: str) -> Repetition | None:
    """RPT.1, a CWE in its subcomponents."""
    code, text = _pattern(timing)
    return [[code or "", text]] if code or text else None


def _order_timing(order: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """TQ of an order: pattern (TQ.2), duration (TQ.3), when (TQ.4, TQ.5), how urgent (TQ.6), how often (TQ.12)."""
    timing = order.get("occurrenceTiming", {})
    repeat, code = timing.get("repeat", {}), _pattern(timing)
    period = order.get("occurrencePeriod") or repeat.get("boundsPeriod", {})
    start, end = order.get("occurrenceDateTime") or period.get("start"), period.get("end")
    length = repeat.get("boundsDuration", {})
    unit = _PERIODS.get(length.get("code", ""))
    made: list[Component] = [None] * 12
    made[1] = [code[0] or "", code[1]] if any(code) else None
    made[2] = f"{unit}{length['value']}" if unit and "value" in length else None
    made[3:5] = [str(dtm(text, pen)) if text else None for text in (start, end)]
    made[5] = outbound_tables().codes["ExtendedPriorityCodes"].get(order.get("priority", ""), ("", None))[1]
    made[11] = str(repeat["count"]) if "count" in repeat else None
    return made if any(made) else None


def _specimen_source(specimen: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """A specimen as SPS: type, additives, site and condition, each a CWE in subcomponents."""
    collection = specimen.get("collection", {})
    additives = (each.get("additiveCodeableConcept") for each in specimen.get("container", ()))
    told = {
        0: (specimen.get("type"), "SpecimenType"),
        1: (next(filter(None, additives), None), "Additive/Preservative"),
        3: (collection.get("bodySite"), "BodySite"),
        5: (next(iter(specimen.get("condition", ())), None), "SpecimenCondition"),
    }
    made: list[Component] = [None] * 6
    for at, (concept, vocabulary) in told.items():
        written = cwe(concept, pen, vocabulary) if concept else None
        made[at] = subcomponents(written)
    return made if any(made) else None


def _appointment_timing(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """TQ of an appointment: duration (TQ.3), start and end."""
    length = appointment.get("minutesDuration")
    when = [str(dtm(appointment[at], pen)) if at in appointment else None for at in ("start", "end")]
    return [None, None, f"M{length}" if length else None, *when]


_EVENTS = {
    "S12": "New appointment", "S13": "Rescheduled", "S14": "Modified", "S15": "Cancelled", "S26": "No show",
}  # fmt: skip


_ENDED = {"cancelled": "S15", "entered-in-error": "S15", "noshow": "S26"}


def _schedule_event(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """SCH-6, required: why the message is sent."""
    booked = "S14" if pen.content.changed == "UPDATE" else "S12"
    trigger = _ENDED.get(appointment.get("status", ""), booked)
    return [trigger, _EVENTS[trigger], "HL70003"]


def _schedule_contact(appointment: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """SCH-16 and SCH-20, required: who answers for the booking. FHIR names nobody but those who take part."""
    for entry in appointment.get("participant", ()):
        actor = entry.get("actor", {})
        if actor.keys() & {"reference", "type"} and (found := pen.content.resolve(actor, "Practitioner")) is not None:
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


def _vaccination_completion(immunization: Any, _pen: Pen, _vocabulary: str) -> Repetition | None:
    """RXA-20, table 0322. Not given: refused, unless there is no reason or one that is nobody's refusal."""
    if immunization.get("status") != "not-done":
        return "CP"
    reasons = {coding.get("code") for coding in immunization.get("statusReason", {}).get("coding", ())}
    return "RE" if "statusReason" in immunization and not reasons & _NOT_ADMINISTERED else "NA"


_NOT_ADMINISTERED = frozenset({"IMMUNE", "MEDPREC", "OSTOCK"})
"""v3-ActReason: immune already, a precaution, out of stock."""


def _vaccination_action(immunization: Any, pen: Pen, _vocabulary: str) -> Repetition | None:
    """RXA-21, table 0323."""
    if immunization.get("status") == "entered-in-error":
        return "D"
    return "U" if pen.content.changed == "UPDATE" else "A"


def _transaction_type(charge: Any, _pen: Pen, _vocabulary: str) -> Repetition | None:
    """FT1-6, table 0017: a charge, or the credit that takes one back."""
    below_zero = charge.get("priceOverride", {}).get("value", 0) < 0
    return "CG" if charge.get("status") in ("billable", "billed") and not below_zero else "CD"


ORDER_WRITERS: Mapping[str, Writer] = {
    "ORC-control": _order_control,
    "ORC-time": _order_time,
    "EIP-parent": _parent,
    "RPT": _repeat_pattern,
    "SPS": _specimen_source,
    "TQ-order": _order_timing,
    "TQ-appointment": _appointment_timing,
    "SCH-event": _schedule_event,
    "SCH-contact": _schedule_contact,
    "TXA-presentation": _presentation,
    "RXA-source": _information_source,
    "RXA-completion": _vaccination_completion,
    "RXA-action": _vaccination_action,
    "FT1-type": _transaction_type,
}
