"""Orders: ORC with OBR as a ServiceRequest (guide: ORC[ServiceRequest], OBR[ServiceRequest], TQ1[ServiceRequest])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps.clinical import UNKNOWN, coded_key
from healthsync.standards.maps.codes import code as fhir_code
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, eip_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, contact_point, of_an_organization, organization, practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.tables import tables
from healthsync.standards.maps.timings import priority_of, timing_of_tq, timing_of_tq1

ENDED = ("completed", "revoked", "cancelled", "stopped", "entered-in-error")
"""What a new order (NW) that arrives late does not undo."""

_TOLD_BY_THE_ORDER = ("code", "intent", "note")
"""What a result repeats of its order, and does not change in it."""


@dataclass(slots=True)
class Order:
    """The segments that speak of one order."""

    orc: Segment | None
    obr: Segment | None = None

    def number(self, at: int, scribe: Scribe) -> Resource | None:
        """Placer's (2) or filler's (3) number; ORC before OBR, which repeats it."""
        for segment in (self.orc, self.obr):
            if segment and (rep := first_repetition(segment, at)) and (found := ei_identifier(rep, scribe)):
                return found
        return None

    def key(self, patient: Draft, scribe: Scribe) -> str:
        """Placer number, else filler number, else what was ordered when for whom."""
        for at in (2, 3):
            if number := self.number(at, scribe):
                return f"{number['system']}|{number['value']}"
        test = coded_key(self.obr, 4, scribe) if self.obr else ""
        when = clean((self.obr.get(7) if self.obr else "") or (self.orc.get(9) if self.orc else ""))
        return f"{patient.key}|{test}|{when}"


def service_request(
    order: Order,
    programs: Mapping[str, Program],
    patient: Draft,
    visit: Draft | None,
    scribe: Scribe,
    *,
    of_result: bool = False,
) -> Draft:
    """The ServiceRequest of an order.

    Key: placer number, else filler number. A second OBR for another test under the same number is an order of its own,
    unless it is `of_result`: then it answers the one order, and what it repeats of it changes nothing in it.
    """
    key = order.key(patient, scribe)
    if scribe.known("ServiceRequest", key):
        first = scribe.draft("ServiceRequest", key)
        if of_result:
            _count(order, programs, scribe)
            return first
        if not _is_for_the_same(order, first, scribe):
            key = f"{key}|{coded_key(order.obr, 4, scribe)}" if order.obr else key
    draft = scribe.draft("ServiceRequest", key)
    resource = draft.resource
    resource["status"] = "unknown"
    resource["intent"] = "order"
    _tell_identifiers(order, resource, scribe)
    _tell_status(order, draft, "OrderControlCode[ServiceRequest.status]", "OrderStatus")
    if order.orc:
        programs["ORC[ServiceRequest]"].run(order.orc, draft, scribe)
    if order.obr:
        programs["OBR[ServiceRequest]"].run(order.obr, draft, scribe, again=of_result)
        if order.obr.get(11) == "G":
            resource["intent"] = "reflex-order"
    _tell_requester(order, resource, scribe)
    _tell_when(order, resource, scribe)
    _tell_parent(order, resource, scribe)
    if "code" not in resource:  # an event about an order that was sent before
        resource["code"] = UNKNOWN
        draft.unless["code"] = ("*",)
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    if of_result:
        draft.unless.update(dict.fromkeys(_TOLD_BY_THE_ORDER, ("*",)))
    return draft


def _is_for_the_same(order: Order, draft: Draft, scribe: Scribe) -> bool:
    rep = first_repetition(order.obr, 4) if order.obr else None
    return rep is None or draft.resource.get("code") in (UNKNOWN, codeable_concept(rep, scribe))


def _count(order: Order, programs: Mapping[str, Program], scribe: Scribe) -> None:
    """The order was told by an earlier OBR: of this ORC only what no row takes is counted."""
    if order.orc:
        programs["ORC[ServiceRequest]"].run(order.orc, Draft({"resourceType": "ServiceRequest"}, ""), scribe)


def _tell_identifiers(order: Order, resource: Resource, scribe: Scribe) -> None:
    found = []
    for at, kind in ((2, "PLAC"), (3, "FILL")):
        if number := order.number(at, scribe):
            kind_of = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": kind}]}
            found.append({"type": kind_of, **{name: value for name, value in number.items() if name != "type"}})
    if found:
        resource["identifier"] = found


def _tell_status(order: Order, draft: Draft, by_control: str, by_status: str) -> None:
    """ORC-5, else ORC-1 (guide). What says nothing of it (RE, SC) leaves the status as it is known."""
    sent, control = (order.orc.get(5), order.orc.get(1)) if order.orc else ("", "")
    concepts = tables().concepts
    found = concepts[by_status].get(sent) or concepts[by_control].get(control)
    if found is None:
        draft.unless["status"] = ("*",)
        return
    draft.resource["status"] = found[1]
    if found[1] == "entered-in-error":
        draft.action = "entered-in-error"
    elif control == "NW" and not sent:
        draft.unless["status"] = ENDED


def tell_medication_status(order: Order, draft: Draft) -> None:
    """Status of a MedicationRequest, by the same fields."""
    draft.resource["status"] = "unknown"
    _tell_status(order, draft, "OrderControlCode[MedicationRequest.status]", "OrderStatus[MedicationRequest.status]")


def requester_of(order: Order, scribe: Scribe) -> Resource | None:
    """Who ordered (ORC-12, else OBR-16; address ORC-24), in which facility (ORC-21 with address and telephone)."""
    who = None
    for segment, number in ((order.orc, 12), (order.obr, 16)):
        rep = first_repetition(segment, number) if segment else None
        if who is None and rep:
            scribe.path = f"{segment.name}-{number}"  # type: ignore[union-attr]
            who = practitioner(rep, scribe)
    if order.orc and (lives := order.orc.valued(24)):
        _tell_address(who, lives, scribe)
    where = _facility(order.orc, scribe) if order.orc else None
    if where is None or who is None:
        return who or where
    if "reference" not in who:
        return who
    draft = scribe.draft("PractitionerRole", f"{who['reference']}|{where['reference']}")
    draft.resource.update(practitioner=who, organization=where)
    return draft.reference


def _tell_address(who: Resource | None, lives: Iterable[Repetition], scribe: Scribe) -> None:
    """ORC-24, counted where nobody of the directory has ordered."""
    scribe.path = "ORC-24"
    addresses = [told for rep in lives if (told := address(rep, scribe))]
    if who is None or "reference" not in who or not addresses:
        scribe.unmapped["ORC-24"] += 1
    else:
        scribe.draft_of(who).resource.setdefault("address", addresses)


def _facility(orc: Segment, scribe: Scribe) -> Resource | None:
    rep = first_repetition(orc, 21)
    if rep is None or (reference := organization(rep, scribe)) is None:
        return None
    told = scribe.draft_of(reference).resource
    for number, name, read in ((22, "address", address), (23, "telecom", contact_point)):
        scribe.path = f"ORC-{number}"
        found = [of_an_organization(made) for rep in orc.valued(number) if (made := read(rep, scribe))]
        if found:
            told.setdefault(name, found)
    return reference


def _tell_requester(order: Order, resource: Resource, scribe: Scribe) -> None:
    if requester := requester_of(order, scribe):
        resource["requester"] = requester


def _tell_when(order: Order, resource: Resource, scribe: Scribe) -> None:
    """ORC-7 or OBR-27 (TQ, up to v2.4), the date of OBR-6, the priority of OBR-5; TQ1 comes behind."""
    for segment, number in ((order.orc, 7), (order.obr, 27)):
        if segment and (rep := first_repetition(segment, number)):
            scribe.path = f"{segment.name}-{number}"
            timing = timing_of_tq(rep, scribe)
            if timing and ("code" in timing or "occurrenceDateTime" not in resource):
                resource["occurrenceTiming"] = timing
            if text := part(rep, 8):
                resource.setdefault("note", []).append({"text": text})
            if urgency := priority_of(rep, 6, scribe):
                resource.setdefault("priority", urgency)
            break
    if "occurrenceTiming" in resource:
        resource.pop("occurrenceDateTime", None)
    if order.obr and (rep := first_repetition(order.obr, 5)) and "priority" not in resource:
        scribe.path = "OBR-5"
        if urgency := fhir_code(rep, scribe, "ExtendedPriorityCodes"):
            resource["priority"] = urgency


def timing(tq1: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """TQ1[ServiceRequest]: when, how often, how urgent; before what ORC-7 said. A start that OBR-6 told is no news."""
    resource = draft.resource
    program.run(tq1, resource_draft := Draft({"resourceType": "ServiceRequest"}, ""), scribe)
    told = {name: value for name, value in resource_draft.resource.items() if name != "resourceType"}
    for note in told.pop("note", ()):
        resource.setdefault("note", []).append(note)
    resource.update(told)
    found = timing_of_tq1(tq1, scribe)
    if found and found != {"repeat": {"boundsPeriod": {"start": resource.get("occurrenceDateTime")}}}:
        resource.pop("occurrenceDateTime", None)
        resource["occurrenceTiming"] = found


def _tell_parent(order: Order, resource: Resource, scribe: Scribe) -> None:
    """The parent order (OBR-29, else ORC-8): a Reference where it is in this message, else its number."""
    for segment, number in ((order.obr, 29), (order.orc, 8)):
        rep = first_repetition(segment, number) if segment else None
        if rep is None:
            continue
        found = [
            named for half, kind in ((1, "PLAC"), (2, "FILL")) if (named := eip_identifier(rep, scribe, half, kind))
        ]
        known = next((n for n in found if scribe.known("ServiceRequest", f"{n['system']}|{n['value']}")), None)
        if known:
            parent = scribe.draft("ServiceRequest", f"{known['system']}|{known['value']}")
            if parent.resource is not resource:
                resource["basedOn"] = [parent.reference]
        elif found:
            resource["basedOn"] = [{"type": "ServiceRequest", "identifier": named} for named in found]
        return
