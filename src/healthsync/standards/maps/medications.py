"""Medicines: ordered (RXO), encoded (RXE), dispensed (RXD), given (RXA), with their route (RXR) and components (RXC).

v2.5.1 §4.13 and §4.14. The guide maps RXO, RXR and TQ1; RXE, RXD and RXA of RAS are ours by the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.clinical import UNKNOWN
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.datatypes import unit
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import V2_0203
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.orders import Order, requester_of, tell_medication_status
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.tables import tables
from healthsync.standards.maps.timings import priority_of, timing_of_tq, timing_of_tq1

MAPS = (
    "ORC[MedicationRequest]", "RXO[MedicationRequest]", "RXE[MedicationRequest]", "RXR[MedicationRequest]",
    "TQ1[MedicationRequest]",
)  # fmt: skip

AMOUNT_UNKNOWN = "999"
"""RXA-6 of an amount that nobody wrote down (v2.5.1 §4.14.7.6)."""

_STRENGTHLESS = ("dose", "rateQuantity", "rateRatio")


def request(
    order: Order,
    medicine: Repetition | None,
    programs: Mapping[str, Program],
    patient: Draft,
    visit: Draft | None,
    scribe: Scribe,
) -> Draft:
    """ORC[MedicationRequest] of a medicine (RXO-1, RXE-2). Key: as of every order, placer number before filler number;
    another medicine under the same number is an order of its own.
    """
    key = order.key(patient, scribe)
    what = codeable_concept(medicine, scribe) if medicine else None
    if scribe.known("MedicationRequest", key):
        known = scribe.draft("MedicationRequest", key).resource
        if what and known.get("medicationCodeableConcept") not in (None, UNKNOWN, what):
            key = f"{key}|{part(medicine, 1) or part(medicine, 2)}"  # type: ignore[arg-type]
    draft = scribe.draft("MedicationRequest", key)
    resource = draft.resource
    resource.pop("dosageInstruction", None)  # told again in this message
    tell_medication_status(order, draft)
    resource["intent"] = "order"
    if numbers_of := identifiers(order, scribe):
        resource["identifier"] = numbers_of
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    if order.orc:
        programs["ORC[MedicationRequest]"].run(order.orc, draft, scribe)
        if rep := first_repetition(order.orc, 7):
            scribe.path = "ORC-7"
            _tell_timing(draft, timing_of_tq(rep, scribe), priority_of(rep, 6, scribe))
            if text := part(rep, 8):
                _dosage(draft).setdefault("text", text)
    if who := requester_of(order, scribe):
        resource["requester"] = who
    return draft


def identifiers(order: Order, scribe: Scribe) -> list[Resource]:
    """Placer's and filler's number, with their types."""
    found = []
    for at, kind in ((2, "PLAC"), (3, "FILL")):
        if number := order.number(at, scribe):
            told = {name: value for name, value in number.items() if name != "type"}
            found.append({"type": {"coding": [{"system": V2_0203, "code": kind}]}, **told})
    return found


def ordered(rxo: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """RXO[MedicationRequest]: what was asked for."""
    program.run(rxo, draft, scribe)
    _tell_dose(rxo, draft, (2, 3, 4), (21, 22), scribe)
    _tell_supply(rxo, draft, (11, 12), scribe)


def encoded(rxe: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """RXE[MedicationRequest]: what the pharmacy made of it. It stands before what RXO said of the same."""
    told = Draft({"resourceType": "MedicationRequest"}, "")
    program.run(rxe, told, scribe)
    if rep := first_repetition(rxe, 1):
        scribe.path = "RXE-1"
        _tell_timing(told, timing_of_tq(rep, scribe), priority_of(rep, 6, scribe))
    _tell_dose(rxe, told, (3, 4, 5), (23, 24), scribe)
    _tell_supply(rxe, told, (10, 11), scribe)
    draft.cleared += told.cleared
    _lay_over(draft.resource, told.resource)


def _lay_over(under: Resource, over: Resource) -> None:
    """What the nearer segment says stands; of a timing, what it leaves open stays as it was told before."""
    known, told = (each.get("dosageInstruction", {}).get("timing") for each in (under, over))
    if known and told:
        repeat = {**known.get("repeat", {}), **told.get("repeat", {})}
        if "boundsPeriod" in repeat:
            repeat.pop("boundsDuration", None)
        over["dosageInstruction"]["timing"] = {**known, **told, **({"repeat": repeat} if repeat else {})}
    for name, value in over.items():
        known = under.get(name)
        if isinstance(known, dict) and isinstance(value, dict) and name in ("dosageInstruction", "dispenseRequest"):
            under[name] = {**known, **value}
        elif isinstance(known, list) and isinstance(value, list):
            under[name] = [*known, *(entry for entry in value if entry not in known)]
        else:
            under[name] = value


def route(rxr: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """RXR[MedicationRequest]. A second RXR is another way to give it, for which a Dosage has no place."""
    if "route" in draft.resource.get("dosageInstruction", {}):
        scribe.unmapped["RXR"] += 1
    else:
        program.run(rxr, draft, scribe)


def timing(tq1: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """TQ1[MedicationRequest]: before what ORC-7 and RXE-1 said."""
    told = Draft({"resourceType": "MedicationRequest"}, "")
    program.run(tq1, told, scribe)
    if found := timing_of_tq1(tq1, scribe):
        told.resource.setdefault("dosageInstruction", {})["timing"] = found
    _lay_over(draft.resource, told.resource)


def component(rxc: Segment, draft: Draft, scribe: Scribe) -> None:
    """RXC: an ingredient of a compound, whose Medication is made for this order (v2.5.1 §4.14.3).

    RXC-1 is B (base) or A (additive); RXC-3 and RXC-4 are its amount in the whole.
    """
    rep = first_repetition(rxc, 2)
    scribe.path = "RXC-2"
    what = codeable_concept(rep, scribe) if rep else None
    if what is None:
        scribe.unmapped["RXC"] += 1
        return
    resource = draft.resource
    medication = scribe.draft("Medication", draft.key)
    if code := resource.pop("medicationCodeableConcept", None):
        medication.resource["code"] = code
    medication.resource["status"] = "active"
    ingredient: Resource = {"itemCodeableConcept": what}
    if rxc.get(1) in ("A", "B"):
        ingredient["isActive"] = rxc.get(1) == "A"
    if amount := quantity(rxc, 3, 4, scribe):
        ingredient["strength"] = {"numerator": amount, "denominator": {"value": 1}}
    scribe.add_once(medication.resource.setdefault("ingredient", []), ingredient)
    resource["medicationReference"] = medication.reference
    for number in range(5, len(rxc) + 1):
        if rxc.raw_field(number):
            scribe.unmapped[f"RXC-{number}"] += 1


def finish(draft: Draft, scribe: Scribe) -> None:
    """The dosage as the list that FHIR has; an order that names no medicine is about an unknown one."""
    resource = draft.resource
    dosage = resource.get("dosageInstruction")
    if isinstance(dosage, dict):
        resource["dosageInstruction"] = [dosage]
    if "medicationReference" in resource:
        if code := resource.pop("medicationCodeableConcept", None):  # RXC stood before what they are parts of
            scribe.draft_of(resource["medicationReference"]).resource["code"] = code
    elif "medicationCodeableConcept" not in resource:
        resource["medicationCodeableConcept"] = UNKNOWN
        draft.unless.update({"medicationCodeableConcept": ("*",)})


def quantity(segment: Segment, number: int, unit_of: int, scribe: Scribe) -> Resource | None:
    """A number with the unit of another field."""
    found = numbers.decimal(clean(segment.get(number)).strip())
    if found is None:
        if segment.get(number).strip() not in ("", '""'):
            scribe.issue("invalid-number", f"{segment.name}-{number}")
        return None
    return {"value": found, **unit_in(segment, unit_of, scribe)}


def unit_in(segment: Segment, number: int, scribe: Scribe) -> Resource:
    """CWE[Quantity] of a field."""
    rep = first_repetition(segment, number)
    return unit(part(rep, 1), part(rep, 2), part(rep, 3), scribe.source) if rep else {}


def _dosage(draft: Draft) -> dict[str, Any]:
    return draft.resource.setdefault("dosageInstruction", {})


def _tell_timing(draft: Draft, found: Resource | None, urgency: str | None) -> None:
    if found:
        _dosage(draft)["timing"] = found
    if urgency:
        draft.resource["priority"] = urgency


def _tell_dose(
    segment: Segment, draft: Draft, dose: tuple[int, int, int], rate: tuple[int, int], scribe: Scribe
) -> None:
    """Minimum, maximum and unit of a dose; a rate and its unit."""
    told: Resource = {}
    least, most = (quantity(segment, number, dose[2], scribe) for number in dose[:2])
    if least and most and least["value"] <= most["value"]:
        told["doseRange"] = {"low": least, "high": most}
    elif least or most:
        told["doseQuantity"] = least or most
    if amount := quantity(segment, *rate, scribe):
        told["rateQuantity"] = amount
    if told:
        _dosage(draft)["doseAndRate"] = [told]


def _tell_supply(segment: Segment, draft: Draft, supply: tuple[int, int], scribe: Scribe) -> None:
    if amount := quantity(segment, *supply, scribe):
        draft.resource.setdefault("dispenseRequest", {})["quantity"] = amount


# --- what is to be given, was dispensed, was given ---


def arranged(
    rxg: Segment, order: Order, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """RXG[MedicationRequest]: one giving that the pharmacy has arranged, and nobody has done yet (v2.5.1 §4.13.11): an
    instance of its order. Key: order and number of the giving (RXG-1).
    """
    draft = scribe.draft("MedicationRequest", f"{order.key(patient, scribe)}|give|{clean(rxg.get(1))}")
    tell_medication_status(order, draft)
    resource = draft.resource
    if resource["status"] == "unknown":
        resource["status"] = "active"
    resource["intent"] = "instance-order"
    program.run(rxg, draft, scribe)
    if rep := first_repetition(rxg, 3):
        scribe.path = "RXG-3"
        _tell_timing(draft, timing_of_tq(rep, scribe), priority_of(rep, 6, scribe))
    _tell_dose(rxg, draft, (5, 6, 7), (15, 16), scribe)
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    return draft


def dispensed(
    rxd: Segment, order: Order, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """RXD[MedicationDispense]. Key: order, number of the dispense (RXD-1) and when (RXD-3)."""
    key = f"{order.key(patient, scribe)}|{clean(rxd.get(1))}|{clean(rxd.get(3))}"
    draft = scribe.draft("MedicationDispense", key)
    resource = draft.resource
    control, status = (order.orc.get(1), order.orc.get(5)) if order.orc else ("", "")
    resource["status"] = "cancelled" if control in ("CA", "OC", "CR") or status == "CA" else "completed"
    program.run(rxd, draft, scribe)
    if amount := quantity(rxd, 4, 5, scribe):
        resource["quantity"] = amount
    resource.setdefault("medicationCodeableConcept", UNKNOWN)
    resource["subject"] = patient.reference
    if visit:
        resource["context"] = visit.reference
    return draft


def given(
    rxa: Segment, order: Order, programs: Mapping[str, Program], patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """RXA[MedicationAdministration]. Key: order, numbers of the giving (RXA-1, RXA-2) and when (RXA-3)."""
    key = "|".join([order.key(patient, scribe), *(clean(rxa.get(number)) for number in (1, 2, 3))])
    draft = scribe.draft("MedicationAdministration", key)
    resource = draft.resource
    concept = tables().concepts["CompletionStatus[MedicationAdministration.status]"].get(rxa.get(20))
    resource["status"] = concept[1] if concept else "completed" if not rxa.get(20) else "unknown"
    if rxa.get(21) == "D":
        resource["status"], draft.action = "entered-in-error", "entered-in-error"
    if order.orc:
        programs["ORC[MedicationAdministration]"].run(order.orc, draft, scribe)
    programs["RXA[MedicationAdministration]"].run(rxa, draft, scribe)
    resource.setdefault("medicationCodeableConcept", UNKNOWN)
    _tell_effective(rxa, resource, scribe)
    if rxa.get(6).strip() != AMOUNT_UNKNOWN and (amount := quantity(rxa, 6, 7, scribe)):
        resource["dosage"] = {"dose": amount}
    resource["subject"] = patient.reference
    if visit:
        resource["context"] = visit.reference
    return draft


def _tell_effective(rxa: Segment, resource: Resource, scribe: Scribe) -> None:
    """RXA-3 to RXA-4; required in FHIR: a time that nobody knows is said to be unknown."""
    scribe.path = "RXA-3"
    start = scribe.date_time(clean(rxa.get(3)).strip())
    scribe.path = "RXA-4"
    end = scribe.date_time(clean(rxa.get(4)).strip())
    if start and end and end != start and rxa.get(3) < rxa.get(4):
        resource["effectivePeriod"] = {"start": start, "end": end}
    elif start:
        resource["effectiveDateTime"] = start
    else:
        absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
        resource["_effectiveDateTime"] = {"extension": [absent]}


def route_of_given(rxr: Segment, program: Program, draft: Draft, scribe: Scribe) -> None:
    """RXR of what was given; a dosage without dose or rate is none (mad-1), the route is then counted."""
    if "dosage" in draft.resource:
        program.run(rxr, draft, scribe)
    else:
        scribe.unmapped["RXR"] += 1
