"""Appointments: SCH and the resources booked for it (HL7 v2.5.1 §10.6.3 SCH, §10.6.4 ff. RGS, AIS, AIG, AIL, AIP).

An appointment is named by its filler number (SCH-2), else its placer number (SCH-1). What is told by an older event
only fills in what is missing: see `merging.AS_OF`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers, times
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, identifier, key_of
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import location, practitioner
from healthsync.standards.maps.scribe import LOOKED_AT, Draft, Scribe, clean, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import Booking, tables

_MINUTES = {"MIN": 1, "M": 1, "": 1, "S": Decimal(1) / 60, "SEC": Decimal(1) / 60, "H": 60, "HR": 60, "D": 1440}
"""Units of SCH-10, AIS-6, AIS-8 in minutes (UCUM and what is written instead)."""
_WITHOUT_TIME = frozenset({"proposed", "cancelled", "waitlist"})
"""Statuses of an appointment that may have no time (app-3)."""
_NOT_COMING = frozenset({"Cancelled", "Deleted"})


def appointment(sch: Segment, scribe: Scribe) -> Draft | None:
    """The appointment that SCH names; None without a number, for then a change of it could not find it."""
    for number, kind in ((2, "filler"), (1, "placer")):
        rep = first_repetition(sch, number)
        if rep and (found := ei_identifier(rep, scribe)):
            return scribe.draft("Appointment", f"{kind}|{key_of(found)}")
    scribe.issue("appointment-without-number", f"{sch.name}-2")
    return None


def tell_appointment(sch: Segment, draft: Draft, booking: Booking, scribe: Scribe) -> None:
    """Status, duration, times and reasons of SCH; the segment map has told the rest."""
    resource = draft.resource
    sent = first_repetition(sch, 25)
    known = tables().concepts["FillerStatusCodes[Appointment]"].get(part(sent, 1).capitalize()) if sent else None
    if sent and known is None:
        scribe.issue("code-not-in-table", "SCH-25")
    resource["status"] = booking.status or (known[1] if known else "booked")
    event_reason = first_repetition(sch, 6)
    if event_reason and resource["status"] == "cancelled":  # app-4
        scribe.path = "SCH-6"
        if told := codeable_concept(event_reason, scribe):
            resource["cancelationReason"] = told
    elif event_reason:
        scribe.unmapped["SCH-6"] += 1
    if resource["status"] != "cancelled":
        draft.cleared.append("cancelationReason")
    _tell_duration(sch, resource)
    _tell_orders(sch, (26, 27), resource, scribe)
    if quantity := first_repetition(sch, 11):  # TQ: duration, start, end (until v2.4)
        scribe.path = "SCH-11"
        tell_times(draft, scribe.date_time(part(quantity, 4)), scribe.date_time(part(quantity, 5)))


def tell_request(arq: Segment, draft: Draft, booking: Booking, scribe: Scribe) -> None:
    """Status, duration and order of ARQ; the segment map has told the rest."""
    draft.resource["status"] = booking.status
    draft.unless["status"] = ("*",)  # a request that arrives late does not take back what was booked
    _tell_duration(arq, draft.resource)
    _tell_orders(arq, (24, 25), draft.resource, scribe)


def _tell_duration(segment: Segment, resource: Resource) -> None:
    """SCH-9 and ARQ-9, in the unit of the field behind it."""
    minutes = _minutes(segment, 9, 10)
    if minutes and minutes == int(minutes):
        resource["minutesDuration"] = int(minutes)


def _tell_orders(segment: Segment, fields: tuple[int, int], resource: Resource, scribe: Scribe) -> None:
    """The order that it fulfils stands in messages of its own; named by its placer's and filler's number."""
    based_on = [
        {"type": "ServiceRequest", "identifier": found}
        for number, kind in zip(fields, ("PLAC", "FILL"), strict=True)
        if (rep := first_repetition(segment, number)) and (found := ei_identifier(rep, scribe, kind))
    ]
    if based_on:
        resource["basedOn"] = based_on


def _minutes(segment: Segment, number: int, unit: int) -> Decimal | None:
    count = numbers.decimal(clean(segment.get(number)).strip())
    factor = _MINUTES.get(clean(segment.get(unit)).strip().upper())
    return count * factor if count is not None and factor is not None else None


def tell_times(draft: Draft, start: str | None, end: str | None) -> None:
    """The first who tells the time is believed: TQ1 and SCH before the resources booked for it."""
    resource = draft.resource
    if start and "T" in start:
        resource.setdefault("start", start)
    if end and "T" in end and resource.get("start") and not times.is_before(end, resource["start"]):
        resource.setdefault("end", end)


def timed(tq1: Segment, draft: Draft, scribe: Scribe) -> None:
    """TQ1-7 and TQ1-8, TQ1-6 (v2.5.1 §10.3.1: from v2.5 on in place of SCH-11)."""
    scribe.path = "TQ1-7"
    start = scribe.date_time(clean(tq1.get(7)).strip())
    tell_times(draft, start, scribe.date_time(clean(tq1.get(8)).strip()))
    length = first_repetition(tq1, 6)
    minutes = numbers.decimal(part(length, 1)) if length else None
    if minutes and length and part(length, 2).upper() in ("MIN", "M", "") and minutes == int(minutes):
        draft.resource.setdefault("minutesDuration", int(minutes))
    for number in range(1, len(tq1) + 1):
        if number not in (1, 6, 7, 8) and tq1.raw_field(number):
            scribe.unmapped[f"TQ1-{number}"] += 1


_BOOKINGS = frozenset({"AIS", "AIG", "AIL", "AIP"})


def settle(draft: Draft, segments: Iterable[Segment], booking: Booking, scribe: Scribe) -> None:
    """An end from the duration; without a time it is only proposed (app-2, app-3).

    What is booked is a snapshot of all, unless it comes one by one: with action codes (AIS-2, …), by an event about
    single services (S18 to S22), or not at all.
    """
    listed = [segment for segment in segments if segment.name in _BOOKINGS]
    if not listed or booking.one_by_one or any(segment.get(2) for segment in listed):
        draft.partial = ("participant", "serviceType")
    resource = draft.resource
    start = resource.get("start")
    if start and "end" not in resource:
        minutes = resource.get("minutesDuration")
        end = times.plus_minutes(start, Decimal(minutes)) if minutes else None
        if end is None:
            scribe.issue("appointment-without-end", "SCH-9")
        resource["end"] = end or start
    if not start and resource["status"] not in _WITHOUT_TIME:
        is_off = resource["status"] in ("noshow", "entered-in-error")
        resource["status"] = "cancelled" if is_off else "proposed"
        if not is_off:
            draft.unless["status"] = ("*",)
        scribe.issue("appointment-without-time", "SCH-11")
    if booking.status == "proposed":  # nobody has been asked yet but the patient, who wishes it
        for entry in resource.get("participant", ()):
            if not entry["actor"].get("reference", "").startswith("Patient/"):
                entry["status"] = "needs-action"
    if "participant" not in resource:  # required: somebody will come, nobody knows who
        resource["participant"] = [{"actor": {"display": "unknown"}, "status": "needs-action"}]
        draft.unless["participant"] = ("*",)


def takes_part(draft: Draft, actor: Resource, scribe: Scribe, status: str = "accepted", **more: Resource) -> None:
    """A participant, once; of very many (`LOOKED_AT`) once for each status."""
    participants = draft.resource.setdefault("participant", [])
    entry: Resource = {**{name: value for name, value in more.items() if value}, "actor": actor, "status": status}
    looked_at = participants[:LOOKED_AT]
    if all(known.get("actor") != actor or known.get("type") != entry.get("type") for known in looked_at):
        scribe.add_once(participants, entry)


def service(ais: Segment, draft: Draft, booking: Booking, scribe: Scribe) -> None:
    """AIS: what is booked. A service that is taken out (AIS-2 D, or the event) leaves the list."""
    rep = first_repetition(ais, 3)
    scribe.path = "AIS-3"
    told = codeable_concept(rep, scribe) if rep else None
    if told and _is_taken_out(ais, 10, booking):
        draft.cleared += [f"serviceType.{coding['code']}" for coding in told.get("coding", ())]
    elif told:
        scribe.add_once(draft.resource.setdefault("serviceType", []), told)
    _tell_offset(ais, draft, 4, 7, scribe)
    _count(ais, {1, 2, 3, 4, 5, 6, 7, 8, 10}, scribe)


def resource_booked(segment: Segment, draft: Draft, booking: Booking, scribe: Scribe) -> None:
    """AIG, AIL, AIP: something, a place or somebody that is booked."""
    at = _BOOKED[segment.name]
    kind = first_repetition(segment, at.kind)
    scribe.path = f"{segment.name}-{at.kind}"
    types = [told] if kind and (told := codeable_concept(kind, scribe)) else []
    status = "declined" if _is_taken_out(segment, at.filler_status, booking) else at.status(segment)
    scribe.path = f"{segment.name}-3"
    for rep in segment.field(3).repetitions:
        if rep.raw and not rep.is_null and (actor := at.actor(rep, scribe)):
            takes_part(draft, actor, scribe, status, type=types)  # type: ignore[arg-type]
    _tell_offset(segment, draft, at.start, at.start + 3, scribe)
    _count(segment, {1, 2, 3, at.kind, *range(at.start, at.start + 5), at.filler_status}, scribe)


def _thing(rep: Repetition, scribe: Scribe) -> Resource | None:
    """AIG-3: equipment, a room or a person that only the schedule knows: a Reference by identifier."""
    code, name = part(rep, 1), part(rep, 2)
    made: Resource = {}
    if code:
        system = code_system(part(rep, 3), scribe.source)
        made["identifier"] = {"system": system, "value": code} if system else identifier(code, "", "", "", scribe)
    if name or code:
        made["display"] = name or code
    return made or None


class _Booked:
    """In which field of AIG, AIL or AIP what stands."""

    def __init__(self, kind: int, start: int, filler_status: int) -> None:
        self.kind, self.start, self.filler_status = kind, start, filler_status

    def actor(self, rep: Repetition, scribe: Scribe) -> Resource | None:
        return {4: _thing}[self.kind](rep, scribe)

    def status(self, segment: Segment) -> str:
        sent = clean(segment.get(self.filler_status)).strip().capitalize()
        return "tentative" if sent in ("Pending", "Waitlist") else "accepted"


class _Place(_Booked):
    def actor(self, rep: Repetition, scribe: Scribe) -> Resource | None:
        return location(rep, scribe)


class _Person(_Booked):
    def actor(self, rep: Repetition, scribe: Scribe) -> Resource | None:
        return practitioner(rep, scribe)


_BOOKED: dict[str, _Booked] = {"AIG": _Booked(4, 8, 14), "AIL": _Place(4, 6, 12), "AIP": _Person(4, 6, 12)}


def _is_taken_out(segment: Segment, filler_status: int, booking: Booking) -> bool:
    """Segment action code D (table 0206), the filler's status, or an event that takes services out (S20, S22)."""
    sent = clean(segment.get(filler_status)).strip().capitalize()
    return segment.get(2) == "D" or sent in _NOT_COMING or booking.takes_out


def _tell_offset(segment: Segment, draft: Draft, start: int, length: int, scribe: Scribe) -> None:
    """When this resource is needed: told where the appointment has no time of its own."""
    scribe.path = f"{segment.name}-{start}"
    begins = scribe.date_time(clean(segment.get(start)).strip())
    offset, minutes = _minutes(segment, start + 1, start + 2), _minutes(segment, length, length + 1)
    if begins is None or "T" not in begins or offset:  # a resource with an offset comes later than the patient
        return
    tell_times(draft, begins, times.plus_minutes(begins, minutes) if minutes else None)


def _count(segment: Segment, taken: set[int], scribe: Scribe) -> None:
    for number in range(1, len(segment) + 1):
        if number not in taken and segment.raw_field(number):
            scribe.unmapped[f"{segment.name}-{number}"] += 1


def blocked(sch: Segment, booking: Booking, draft: Draft, scribe: Scribe) -> None:
    """S23 and S24: slots of a schedule that are blocked or open again; no patient has an appointment there."""
    scribe.drafts.pop(("Appointment", draft.key), None)
    resource = draft.resource
    if "start" not in resource:
        scribe.issue("slot-without-time", "SCH-11")
        return
    actors = [entry["actor"] for entry in resource.get("participant", ()) if "reference" in entry["actor"]]
    named = first_repetition(sch, 5)
    name = (part(named, 1) or part(named, 2)) if named else ""
    told = name or "|".join(sorted(actor["reference"] for actor in actors))
    schedule = scribe.draft("Schedule", f"schedule|{told}")
    schedule.resource["actor"] = actors or [{"display": name or "unknown"}]
    if name:
        schedule.resource["identifier"] = [identifier(name, "", "", "", scribe)]
    slot = scribe.draft("Slot", draft.key)
    slot.as_of = draft.as_of
    slot.resource.update(
        identifier=resource.get("identifier", []),
        schedule=schedule.reference,
        status=booking.slot,
        start=resource["start"],
        end=resource["end"],
    )
