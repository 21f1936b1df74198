"""The segments beside PID and PV1 as resources: next of kin, insurance, allergies, diagnoses, reports and results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.datatypes import positive_int
from healthsync.standards.maps.encounter import NULL_FLAVOR, first_repetition
from healthsync.standards.maps.identifiers import cx_identifier, ei_identifier, eip_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, organization_of, practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import tables
from healthsync.standards.maps.values import JOINED_LINES, observation_value

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
REPORT_NOTE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note"
DELETED = "D"
"""Segment action code (v2 table 0206) and OBX-11: take it back."""


def coded_key(segment: Segment, number: int, scribe: Scribe) -> str:
    """What a coded field is called in a business key: system|code, or its text."""
    rep = first_repetition(segment, number)
    if rep is None:
        return ""
    system = code_system(part(rep, 3), scribe.source) or ""
    code = part(rep, 1)
    return f"{system}|{code}" if code else (part(rep, 2) or part(rep, 9) or part(rep, 4)).lower()


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}


UNKNOWN = {"coding": [{"system": NULL_FLAVOR, "code": "UNK", "display": "unknown"}]}


# --- about the patient -----------------------------------------------------------------------------------------------


def next_of_kin(nk1: Segment, programs: Mapping[str, Program], patient: Draft, scribe: Scribe) -> None:
    """NK1 as somebody to call (Patient.contact) and, unless an institution, as a RelatedPerson.

    Key of the RelatedPerson: the person's own number, else name and relationship.
    """
    person = nk1.get(3) not in tables().contact_only
    contact = Draft({"resourceType": "Patient.contact"}, "")
    programs["NK1[Patient]"].run(nk1, contact, scribe, again=person)
    del contact.resource["resourceType"]
    contacts = patient.resource.get("contact", [])
    if (
        contact.resource.keys() & {"name", "telecom", "address", "organization"} and contact.resource not in contacts
    ):  # pat-1
        patient.resource["contact"] = [*contacts, contact.resource]
    if person:
        _related_person(nk1, programs["NK1[RelatedPerson]"], patient, scribe)


def _related_person(nk1: Segment, program: Program, patient: Draft, scribe: Scribe) -> None:
    number = next((rep for at in (33, 12) if (rep := first_repetition(nk1, at))), None)
    found = cx_identifier(number, scribe) if number else None
    name = first_repetition(nk1, 2)
    named = "^".join(part(name, at) for at in (1, 2)).lower() if name else ""
    if not found and not named.strip("^"):
        named = f"#{clean(nk1.get(1))}"  # an institution, or somebody told by relationship only
    told = f"{found['system']}|{found['value']}" if found else f"{named}|{clean(nk1.get(3))}"
    draft = scribe.draft("RelatedPerson", f"{patient.key}|{told}")
    draft.resource["patient"] = patient.reference
    program.run(nk1, draft, scribe)


def insurance(in1: Segment, program: Program, patient: Draft, scribe: Scribe) -> None:
    """IN1[Coverage]. Key: patient with company and policy number (IN1-36), else plan, else set id."""
    company, policy = first_repetition(in1, 3), clean(in1.get(36)).strip()
    told = [part(company, 1) if company else "", policy or clean(in1.get(49) or in1.get(2))]
    draft = scribe.draft("Coverage", f"{patient.key}|" + ("|".join(told) if any(told) else f"#{clean(in1.get(1))}"))
    program.run(in1, draft, scribe)
    resource = draft.resource
    resource["status"] = "active"
    resource["beneficiary"] = patient.reference
    if in1.get(17) in ("SEL", "18", "01"):
        resource["subscriber"] = patient.reference
    resource["payor"] = [_payor(in1, scribe)]
    if not _has_plan_value(resource):
        resource.pop("class", None)


def _has_plan_value(resource: Resource) -> bool:
    """Coverage.class needs its value."""
    classes = [entry for entry in resource.get("class", ()) if entry.get("value")]
    if classes:
        resource["class"] = classes
    return bool(classes)


def _payor(in1: Segment, scribe: Scribe) -> Resource:
    """The insurance company of IN1-3/4/5 as an Organization; Coverage.payor is required."""
    company = first_repetition(in1, 3)
    number = cx_identifier(company, scribe) if company else None
    name = clean(in1.get(4)).strip()
    reference = organization_of(number, "" if name == '""' else name, scribe)
    if reference is None:
        return {"display": "unknown"}
    where = first_repetition(in1, 5)
    if where and (found := address(where, scribe)):
        key = f"{number['system']}|{number['value']}" if number else f"name|{name}"
        scribe.draft("Organization", key).resource.setdefault("address", [found])
    return reference


def allergy(al1: Segment, program: Program, patient: Draft, scribe: Scribe) -> None:
    """AL1[AllergyIntolerance]. Key: patient and allergen."""
    told = coded_key(al1, 3, scribe)
    if not told:
        scribe.issue("allergen-missing", "AL1-3")
        return
    draft = scribe.draft("AllergyIntolerance", f"{patient.key}|{told}")
    draft.resource["clinicalStatus"] = concept("allergyintolerance-clinical", "active")
    draft.resource["patient"] = patient.reference
    program.run(al1, draft, scribe)


def diagnosis(dg1: Segment, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe) -> None:
    """DG1[Condition] and DG1[Encounter]. Key: visit (or patient), code and type of diagnosis."""
    told = coded_key(dg1, 3, scribe) or clean(dg1.get(4)).strip().lower()
    if not told:
        scribe.issue("diagnosis-missing", "DG1-3")
        return
    draft = scribe.draft("Condition", f"{visit.key if visit else patient.key}|{told}|{clean(dg1.get(6))}")
    resource = draft.resource
    resource["subject"] = patient.reference
    resource["category"] = [concept("condition-category", "encounter-diagnosis")]
    if visit:
        resource["encounter"] = visit.reference
    program.run(dg1, draft, scribe)
    resource.setdefault("code", UNKNOWN)
    if dg1.get(21) == DELETED:
        resource["verificationStatus"] = concept("condition-ver-status", "entered-in-error")
        draft.action = "entered-in-error"
        draft.cleared.append("clinicalStatus")  # con-5: none beside entered-in-error
        return
    resource["clinicalStatus"] = concept("condition-clinical", "active")
    draft.cleared.append("verificationStatus")  # where DG1-6 tells none: a diagnosis sent again is no error any more
    if visit:
        _diagnosis_of_visit(dg1, draft, visit, scribe)


def _diagnosis_of_visit(dg1: Segment, condition: Draft, visit: Draft, scribe: Scribe) -> None:
    entry: Resource = {"condition": condition.reference}
    kind = first_repetition(dg1, 6)
    if kind and (use := codeable_concept(kind, scribe, "DiagnosisType")):
        entry["use"] = use
    rank = first_repetition(dg1, 15)
    scribe.path = "DG1-15"
    if rank and (number := positive_int(rank, scribe)):
        entry["rank"] = number
    diagnoses = visit.resource.setdefault("diagnosis", [])
    if entry not in diagnoses:
        diagnoses.append(entry)


# --- reports and results ---------------------------------------------------------------------------------------------


def order_name(obr: Segment, orc: Segment | None, patient: Draft, scribe: Scribe) -> str:
    """What results of this order are named by: filler number, else placer number, else test, time and patient."""
    for segment, number in ((obr, 3), (orc, 3), (obr, 2), (orc, 2)):
        rep = first_repetition(segment, number) if segment else None
        if rep and (found := ei_identifier(rep, scribe)):
            return f"{found['system']}|{found['value']}"
    return f"{patient.key}|{coded_key(obr, 4, scribe)}|{clean(obr.get(7))}"


def report(
    obr: Segment, orc: Segment | None, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe
) -> Draft:
    """OBR[DiagnosticReport]. Key: order name and OBR-4."""
    draft = scribe.draft("DiagnosticReport", f"{order_name(obr, orc, patient, scribe)}|{coded_key(obr, 4, scribe)}")
    resource = draft.resource
    status = tables().concepts["ResultStatus[Non-Queries]"].get(obr.get(25))
    resource["status"] = status[1] if status else "unknown"
    if not status:
        scribe.issue("status-unknown", "OBR-25")
    program.run(obr, draft, scribe)
    if orc:
        _identifiers_of_order(orc, resource, scribe)
    if "code" not in resource:
        resource["code"] = UNKNOWN
        scribe.issue("code-missing", "OBR-4")
    resource["subject"] = patient.reference
    if visit:
        resource["encounter"] = visit.reference
    return draft


def _identifiers_of_order(orc: Segment, resource: Resource, scribe: Scribe) -> None:
    """ORC-2 and ORC-3 where OBR does not repeat them."""
    have = {number["type"]["coding"][0]["code"] for number in resource.get("identifier", ()) if "type" in number}
    for at, kind in ((2, "PLAC"), (3, "FILL")):
        rep = first_repetition(orc, at)
        if rep and kind not in have and (found := ei_identifier(rep, scribe, kind)):
            resource.setdefault("identifier", []).append(found)


class Results:
    """The OBX of one message: their keys, and which of them a note belongs to."""

    def __init__(self, program: Program, scribe: Scribe) -> None:
        self._program = program
        self._scribe = scribe
        self._seen: Counter[str] = Counter()

    def observation(self, obx: Segment, named: str, patient: Draft, visit: Draft | None, category: str | None) -> Draft:
        """OBX[Observation]. Key: order name, OBX-3 and OBX-4; the same triple again in one message gets its ordinal."""
        scribe = self._scribe
        test = coded_key(obx, 3, scribe)
        key = f"{named}|{test}|{clean(obx.get(4))}"
        self._seen[key] += 1
        if self._seen[key] > 1:
            key = f"{key}|#{self._seen[key]}"
        draft = scribe.draft("Observation", key)
        resource = draft.resource
        self._tell_status(obx, draft)
        self._program.run(obx, draft, scribe)
        if "code" not in resource:
            resource["code"] = UNKNOWN
            scribe.issue("code-missing", "OBX-3")
        resource["subject"] = patient.reference
        if visit:
            resource["encounter"] = visit.reference
        if found := _category(resource["code"], category):
            resource["category"] = [concept("observation-category", found)]
        self._tell_value(obx, resource)
        return draft

    def _tell_status(self, obx: Segment, draft: Draft) -> None:
        sent = obx.get(11)
        known = tables().concepts["ObservationResultStatusCodesInterpretation"].get(sent)
        draft.resource["status"] = known[1] if known else "unknown"
        if draft.resource["status"] == "entered-in-error":
            draft.action = "entered-in-error"
        if not known and sent != "N":
            self._scribe.issue("status-unknown", "OBX-11")

    def _tell_value(self, obx: Segment, resource: Resource) -> None:
        scribe = self._scribe
        scribe.path = "OBX-5"
        kind = obx.get(2)
        found = [
            value
            for rep in obx.field(5).repetitions
            if rep.raw and not rep.is_null and (value := observation_value(kind, rep, obx, scribe))
        ]
        if len(found) > 1 and kind in JOINED_LINES:
            found = [("valueString", "\n".join(text for _, text in found))]
        if len(found) == 1:
            _set_value(resource, *found[0])
        elif found:  # guide: OBX[Observation-Component]
            resource["component"] = [
                _set_value({"code": deepcopy(resource["code"])}, name, value) for name, value in found
            ]
        elif obx.get(11) in ("N", "X"):
            absent = "not-asked" if obx.get(11) == "N" else "not-performed"
            resource["dataAbsentReason"] = concept("data-absent-reason", absent)


def _set_value(target: Resource, name: str, value: Any) -> Resource:
    if name == "extension":
        target[name] = [*target.get(name, ()), *value]
    else:
        target[name] = value
    return target


def _category(code: Resource, of_section: str | None) -> str | None:
    """A vital sign by its LOINC code, else what the section of the service says (OBR-24)."""
    vital_signs = tables().vital_signs
    for coding in code.get("coding", ()):
        if coding.get("code") in vital_signs and coding.get("system") == "http://loinc.org":
            return "vital-signs"
    return of_section


def specimen(spm: Segment, program: Program, patient: Draft, named: str, scribe: Scribe) -> Draft:
    """SPM[Specimen]. Key: specimen number (filler's before placer's), else order name and set id."""
    rep = first_repetition(spm, 2)
    numbers = (eip_identifier(rep, scribe, half, "") for half in (2, 1)) if rep else ()
    number = next((found for found in numbers if found), None)
    told = f"{number['system']}|{number['value']}" if number else f"{named}|#{clean(spm.get(1))}"
    draft = scribe.draft("Specimen", told)
    draft.resource["subject"] = patient.reference
    program.run(spm, draft, scribe)
    return draft


def note(nte: Segment, draft: Draft, scribe: Scribe) -> None:
    """NTE comments the segment before it. R4 has no DiagnosticReport.note: there R5's, as an extension."""
    rep = first_repetition(nte, 3)
    text = (
        "\n".join(clean(rep.text) for rep in nte.field(3).repetitions if rep.raw and not rep.is_null).strip()
        if rep
        else ""
    )
    if not text:
        return
    made: Resource = {"text": text}
    resource = draft.resource
    author = first_repetition(nte, 5)
    if author and (who := practitioner(author, scribe)):
        made.update({"authorReference": who} if "reference" in who else {"authorString": who["display"]})
    if told := scribe.date_time(nte.get(6).strip()):
        made["time"] = told
    if resource["resourceType"] == "DiagnosticReport":
        resource.setdefault("extension", []).append({"url": REPORT_NOTE, "valueAnnotation": made})
    else:
        resource.setdefault("note", []).append(made)
