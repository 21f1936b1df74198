"""PV1 and PV2 as an Encounter: which visit, what the event says about it, and where the patient is."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import leaves
from healthsync.standards.maps.identifiers import cx_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import location
from healthsync.standards.maps.periods import in_order
from healthsync.standards.maps.scribe import Draft, Scribe, clean
from healthsync.standards.maps.tables import Event, tables

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
NOT_A_VISIT = "N"
"""PV1-2 "not applicable": the event is about the person (v2.5.1 §3.3.28)."""
PREADMIT = "P"


def first_repetition(segment: Segment, number: int) -> Repetition | None:
    """The first repetition that says something."""
    found = segment.valued(number)
    return found[0] if found else None


def visit_key(
    pv1: Segment, pid: Segment, patient_key: str, event: Event, event_time: str, scribe: Scribe
) -> str | None:
    """The business key of the visit, or None when PV1 speaks of none.

    Visit number (PV1-19), else alternate visit id (PV1-50), else account (PID-18) with admission time, else patient
    with admission time. Without any of them only an event that begins a visit makes one: the time of the event names
    it.
    """
    for number, kind in ((19, "visit"), (50, "alternate")):
        if (rep := first_repetition(pv1, number)) and (found := cx_identifier(rep, scribe)):
            return f"{kind}|{found['system']}|{found['value']}"
    if pv1.get(2) == NOT_A_VISIT or event.person_only:
        return None
    admitted = clean(pv1.get(44)).strip()
    if (rep := first_repetition(pid, 18)) and (found := cx_identifier(rep, scribe)):
        return f"account|{found['system']}|{found['value']}|{admitted}"
    if admitted:
        return f"patient|{patient_key}|{admitted}"
    if event.status and pv1.get(2) and event_time:
        return f"patient|{patient_key}|event|{event_time}"
    return None


def tell_visit(draft: Draft, pv1: Segment, event: Event, happened: str | None, scribe: Scribe) -> None:
    """Write class, status, period and locations as the event means them. `happened` is the FHIR time of the event."""
    draft.partial = ("period", "hospitalization")
    _tell_class(draft, pv1)
    _tell_status(draft, pv1, event)
    draft.as_of = (happened or "") if event.status else ""
    _tell_period(draft, event, happened, scribe)
    since = happened if event.moves else draft.resource.get("period", {}).get("start") if event.admits else None
    if places := _places(pv1, event, happened, since, scribe):
        draft.resource["location"] = places
    if event.moves_back:
        draft.cleared.append("location.active")
    draft.cleared += event.cancels
    if event.leave:
        _tell_leave(draft, event.leave, happened)


def _tell_leave(draft: Draft, leave: str, happened: str | None) -> None:
    if leave.startswith("no-"):
        draft.cleared.append(f"statusHistory.{leave.removeprefix('no-')}")
    elif happened:
        told = leaves.begun if leave == leaves.DEPARTURE else leaves.ended
        draft.resource["statusHistory"] = [told(happened)]


def announced_no_more(draft: Draft, event: Event) -> None:
    """What a cancelled pending event had announced may stand in its cancelling once more: it is left out."""
    gone = [path.partition(".")[2] for path in event.cancels if path.startswith("extension.")]
    if gone and "extension" in draft.resource:
        kept = [entry for entry in draft.resource["extension"] if entry["url"] not in gone]
        draft.resource["extension"] = kept
        if not kept:
            del draft.resource["extension"]


def _tell_class(draft: Draft, pv1: Segment) -> None:
    """Encounter.class is required: unknown where PV1-2 is empty, and then never in the place of a known one."""
    sent = clean(pv1.get(2)).strip()
    concept = tables().concepts["PatientClass[EncounterClass]"].get(sent)
    if concept:
        _, code, display, system = concept
        draft.resource["class"] = {"system": system, "code": code, **({"display": display} if display else {})}
        if sent in (NOT_A_VISIT, PREADMIT):  # a visit that is known to have begun is of another class
            draft.unless["class"] = ("*",)
    elif sent and sent != '""':
        draft.resource["class"] = {"system": "http://terminology.hl7.org/CodeSystem/v2-0004", "code": sent}
    else:
        draft.resource["class"] = {"system": NULL_FLAVOR, "code": "UNK", "display": "unknown"}
        draft.unless["class"] = ("*",)


def _tell_status(draft: Draft, pv1: Segment, event: Event) -> None:
    concept = tables().concepts["PatientClass[EncounterStatus]"].get(pv1.get(2))
    of_class = concept[1] if concept else "unknown"
    status, unless = event.status or of_class, event.unless
    ended = "end" in draft.resource.get("period", {}) and not event.reopens
    if ended and (event.from_class or status == "in-progress"):
        status, unless = "finished", ("cancelled",)  # guide: PV1-45 valued
    draft.resource["status"] = status
    if unless:
        draft.unless["status"] = unless


def _tell_period(draft: Draft, event: Event, happened: str | None, scribe: Scribe) -> None:
    """A discharge ends the visit at PV1-45, else when it happened; its cancelling takes the end back."""
    period = draft.resource.get("period", {})
    if event.ends and happened:
        period.setdefault("end", happened)
    scribe.path = "PV1-45"
    period = in_order(period, scribe)
    if event.reopens:
        period.pop("end", None)
        draft.cleared.append("period.end")
    if period:
        draft.resource["period"] = period


DESTINATION = 37
PLACES = {3: "active", 6: "completed", 11: "active", 42: "planned", 43: "completed"}
"""PV1 fields with locations: assigned, prior, temporary, pending, prior temporary."""


def _places(pv1: Segment, event: Event, happened: str | None, since: str | None, scribe: Scribe) -> list[Resource]:
    """Encounter.location. A transfer says since when the patient is in the new place and until when it was in the old;
    a cancelled transfer says only where the patient is again.
    """
    places: list[Resource] = []
    goes_to = 11 if (event.departs or event.moves) and pv1.get(11) else 3
    for number, status in PLACES.items():
        if (event.moves_back and number not in (3, 11)) or (number == 42 and "location.planned" in event.cancels):
            continue
        rep = first_repetition(pv1, number)
        scribe.path = f"PV1-{number}"
        reference = location(rep, scribe) if rep else None
        if reference is None or any(place["location"] == reference for place in places):
            continue
        planned = event.status == "planned" or (event.departs and number == goes_to)
        place: Resource = {"location": reference, "status": _place_status(number, status, pv1, event, planned)}
        if number == goes_to and since:
            place["period"] = {"start": since}
        elif number in (6, 43) and (event.moves or event.departs) and happened:
            place["period"] = {"end": happened}
        places.append(place)
    return places


def _place_status(number: int, status: str, pv1: Segment, event: Event, planned: bool) -> str:
    if number in (3, 11) and (planned or (number == 3 and pv1.get(2) == PREADMIT)):
        return "planned"  # guide: PV1-3 of a preadmitted patient
    return "completed" if event.ends and status == "active" else status
