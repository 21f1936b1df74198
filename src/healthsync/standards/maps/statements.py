"""What registration says of a patient and FHIR keeps as Observations: a living will, a cause of death, an accident."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean

LOINC = "http://loinc.org"
LIVING_WILL = ("75320-2", "Advance directive")
CAUSE_OF_DEATH = ("69453-9", "Cause of death [US Standard Certificate of Death]")
AUTOPSY = ("85699-7", "Autopsy was performed")
ACCIDENT = ("11374-6", "Injury incident description Narrative")


def statement(about: Draft, code: tuple[str, str], value: Resource, scribe: Scribe) -> Draft:
    """A statement about the patient, or about his visit. Key: of whom, and what is stated."""
    draft = scribe.draft("Observation", f"{about.key}|statement|{code[0]}")
    resource = draft.resource
    resource.update(status="final", code={"coding": [{"system": LOINC, "code": code[0], "display": code[1]}]}, **value)
    return draft


def _coded(segment: Segment, number: int, scribe: Scribe, vocabulary: str = "") -> Resource | None:
    rep = first_repetition(segment, number)
    scribe.path = f"{segment.name}-{number}"
    return codeable_concept(rep, scribe, vocabulary) if rep else None


def living_will(pd1: Segment, patient: Draft, scribe: Scribe) -> None:
    """PD1-7 (guide: PD1[Observation-LivingWill])."""
    if told := _coded(pd1, 7, scribe, "LivingWillCode"):
        made = statement(patient, LIVING_WILL, {"valueCodeableConcept": told}, scribe)
        made.resource["subject"] = patient.reference


def death(pda: Segment, patient: Draft, scribe: Scribe) -> None:
    """PDA: cause of death, who certified it and when, autopsy (v2.5.1 §3.4.15)."""
    for number, code in ((1, CAUSE_OF_DEATH), (6, AUTOPSY)):
        told = _coded(pda, number, scribe, "Yes/NoIndicator" if number == 6 else "")
        if told is None:
            continue
        resource = statement(patient, code, {"valueCodeableConcept": told}, scribe).resource
        resource["subject"] = patient.reference
        scribe.path = "PDA-4"
        if number == 1 and (certified := scribe.date_time(clean(pda.get(4)).strip())):
            resource["effectiveDateTime"] = certified
        by = first_repetition(pda, 5 if number == 1 else 8)
        if by and (who := practitioner(by, scribe)):
            resource["performer"] = [who]
    for number in _valued(pda, {1, 4, 5, 6, 8}):
        scribe.unmapped[f"PDA-{number}"] += 1


def accident(acc: Segment, patient: Draft, visit: Draft | None, scribe: Scribe) -> None:
    """ACC: kind of accident, when, what happened (v2.5.1 §6.5.9)."""
    kind, what = _coded(acc, 2, scribe), clean(acc.get(9)).strip()
    if kind is None and not what:
        scribe.unmapped["ACC"] += 1
        return
    value: Resource = {"valueCodeableConcept": kind} if kind else {"valueString": what}
    resource = statement(visit or patient, ACCIDENT, value, scribe).resource
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    scribe.path = "ACC-1"
    if happened := scribe.date_time(clean(acc.get(1)).strip()):
        resource["effectiveDateTime"] = happened
    if kind and what:
        resource["note"] = [{"text": what}]
    for number in _valued(acc, {1, 2, 9}):
        scribe.unmapped[f"ACC-{number}"] += 1


def disability(db1: Segment, patient: Draft, scribe: Scribe) -> None:
    """DB1 of the patient (DB1-2 PT) who is disabled (DB1-4 Y), as patient-disability (v2.5.1 §3.4.11)."""
    if db1.get(2) not in ("", "PT") or db1.get(4) != "Y":
        scribe.unmapped["DB1"] += 1
        return
    url = "http://hl7.org/fhir/StructureDefinition/patient-disability"
    entry = {"url": url, "valueCodeableConcept": {"text": "disabled"}}
    scribe.add_once(patient.resource.setdefault("extension", []), entry)
    for number in _valued(db1, {1, 2, 4}):
        scribe.unmapped[f"DB1-{number}"] += 1


def _valued(segment: Segment, taken: set[int]) -> list[int]:
    return [at for at in range(1, len(segment) + 1) if at not in taken and segment.raw_field(at)]
