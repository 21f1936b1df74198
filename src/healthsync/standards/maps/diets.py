"""Diets: ODS as a NutritionOrder (v2.5.1 §4.8.1). The guide has no map of ODS."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import times
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.medications import identifiers
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.orders import Order, requester_of
from healthsync.standards.maps.scribe import Draft, Scribe, clean
from healthsync.standards.maps.tables import tables


def nutrition_order(
    ods: Segment,
    order: Order,
    program: Program,
    patient: Draft,
    visit: Draft | None,
    event_text: str,
    scribe: Scribe,
) -> Draft:
    """ODS-1 says what ODS-3 are: diets (D), supplements (S) or preferences (P); ODS-4 is the instruction."""
    draft = scribe.draft("NutritionOrder", f"{order.key(patient, scribe)}|{clean(ods.get(1))}")
    resource = draft.resource
    sent, control = (order.orc.get(5), order.orc.get(1)) if order.orc else ("", "")
    concepts = tables().concepts
    found = concepts["OrderStatus"].get(sent) or concepts["OrderControlCode[ServiceRequest.status]"].get(control)
    resource["status"] = found[1] if found else "unknown"
    resource["intent"] = "order"
    if numbers := identifiers(order, scribe):
        resource["identifier"] = numbers
    resource["patient"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    scribe.path = "ORC-9"
    written = scribe.date_time(clean(order.orc.get(9)).strip()) if order.orc else None
    if when := written or times.date_time(event_text, scribe.zone):
        resource["dateTime"] = when
    else:
        absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
        resource["_dateTime"] = {"extension": [absent]}
    who = requester_of(order, scribe)
    if who and who.get("reference", "Practitioner").startswith("Practitioner"):
        resource["orderer"] = who
    program.run(ods, draft, scribe)
    _tell_diet(ods, draft, scribe)
    return draft


def _tell_diet(ods: Segment, draft: Draft, scribe: Scribe) -> None:
    scribe.path = "ODS-3"
    reps = [rep for rep in ods.field(3).repetitions if rep.raw and not rep.is_null]
    codes = [found for rep in reps if (found := codeable_concept(rep, scribe))]
    text = clean(ods.field(4).repetitions[0].text).strip() if ods.field(4).raw else ""
    resource, kind = draft.resource, ods.get(1)
    if kind == "P":
        if codes:
            resource["foodPreferenceModifier"] = codes
        if text:
            resource["note"] = [{"text": text}]
    elif kind == "S":
        supplements: list[Resource] = [{"type": code} for code in codes] or [{}]
        if text:
            supplements[0]["instruction"] = text
        resource["supplement"] = [entry for entry in supplements if entry]
    else:
        diet = {**({"type": codes} if codes else {}), **({"instruction": text} if text else {})}
        if diet:
            resource["oralDiet"] = diet
