"""The segments beside PID and PV1 that tell of the patient: next of kin, insurance, allergies, diagnoses."""

from __future__ import annotations

from collections.abc import Mapping

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps import numbers
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.datatypes import positive_int
from healthsync.standards.maps.encounter import NULL_FLAVOR, first_repetition
from healthsync.standards.maps.identifiers import cx_identifier, key_of
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, contact_point, human_name, organization, organization_of
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part
from healthsync.standards.maps.systems import code_system
from healthsync.standards.maps.tables import tables

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
DELETED = "D"
"""Segment action code (v2 table 0206) and OBX-11: take it back."""


def coded_key(segment: Segment, number: int, scribe: Scribe) -> str:
    """What a coded field is called in a business key: system|code, or its text."""

    def named() -> str:
        rep = first_repetition(segment, number)
        return _named(rep, scribe) if rep else ""

    raw = segment.raw_field(number)
    return scribe.recurring("coded key", raw, named) if raw else ""


def _named(rep: Repetition, scribe: Scribe) -> str:
    system = code_system(part(rep, 3), scribe.source) or ""
    code = part(rep, 1)
    return f"{system}|{code}" if code else (part(rep, 2) or part(rep, 9) or part(rep, 4)).lower()


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}


UNKNOWN = {"coding": [{"system": NULL_FLAVOR, "code": "UNK", "display": "unknown"}]}


def next_of_kin(nk1: Segment, programs: Mapping[str, Program], patient: Draft, scribe: Scribe) -> None:
    """NK1 as somebody to call (Patient.contact) and, unless an institution, as a RelatedPerson.

    Key of the RelatedPerson: the person's own number, else name and relationship.
    """
    person = nk1.get(3) not in tables().contact_only
    contact = Draft({"resourceType": "Patient.contact"}, "")
    programs["NK1[Patient]"].run(nk1, contact, scribe, again=person)
    del contact.resource["resourceType"]
    if contact.resource.keys() & {"name", "telecom", "address", "organization"}:  # pat-1
        scribe.add_once(patient.resource.setdefault("contact", []), contact.resource)
    _tell_contact_of_organization(nk1, scribe)
    if person:
        _related_person(nk1, programs["NK1[RelatedPerson]"], patient, scribe)


def _tell_contact_of_organization(nk1: Segment, scribe: Scribe) -> None:
    """NK1-30 to NK1-32: whom to ask at the organisation of NK1-13."""
    employer = first_repetition(nk1, 13)
    reference = organization(employer, scribe) if employer else None
    draft = scribe.referred(reference) if reference else None
    if draft is None:  # nobody whose contact it could be (org-1)
        for number in (30, 31, 32):
            if nk1.raw_field(number):
                scribe.unmapped[f"NK1-{number}"] += 1
        return
    contact: Resource = {}
    for number, name, read in ((30, "name", human_name), (31, "telecom", contact_point), (32, "address", address)):
        told = [made for rep in nk1.valued(number) if (made := read(rep, scribe))]
        if told:
            contact[name] = told if name == "telecom" else told[0]
    contacts = draft.resource.setdefault("contact", [])
    if contact:
        scribe.add_once(contacts, contact)
    if not contacts:
        del draft.resource["contact"]


def mother(pid: Segment, patient: Draft, scribe: Scribe) -> None:
    """PID-21: the mother's numbers (guide: PID[Patient], link), with the name of PID-6."""
    numbers = [made for rep in pid.valued(21) if (made := cx_identifier(rep, scribe))]
    if not numbers:
        return
    draft = scribe.draft("RelatedPerson", f"{patient.key}|mother|{key_of(numbers[0])}")
    draft.resource.update(patient=patient.reference, identifier=numbers)
    draft.resource["relationship"] = [concept("v3-RoleCode", "MTH")]
    name = first_repetition(pid, 6)
    if name and (told := human_name(name, scribe)):
        draft.resource["name"] = [told]
    patient.resource["link"] = [{"other": draft.reference, "type": "seealso"}]


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


SELF = frozenset({"SEL", "18", "01"})
"""IN1-17, GT1-11: it is the patient (v2 table 0063, X12 1069)."""


def insurance(in1: Segment, programs: Mapping[str, Program], patient: Draft, scribe: Scribe) -> Draft:
    """IN1[Coverage]. Key: patient with company and policy number (IN1-36), else plan, else set id."""
    company, policy = first_repetition(in1, 3), clean(in1.get(36)).strip()
    told = [part(company, 1) if company else "", policy or clean(in1.get(49) or in1.get(2))]
    draft = scribe.draft("Coverage", f"{patient.key}|" + ("|".join(told) if any(told) else f"#{clean(in1.get(1))}"))
    resource = draft.resource
    classes = resource.pop("class", [])
    programs["IN1[Coverage]"].run(in1, draft, scribe)
    resource["status"] = "active"
    resource["beneficiary"] = patient.reference
    if in1.get(17) in SELF:
        resource["subscriber"] = patient.reference
    elif insured := _insured(in1, programs["IN1[RelatedPerson]"], patient, scribe):
        resource["subscriber"] = insured.reference
    resource["payor"] = [_payor(in1, scribe)]
    if holder := _policy_holder(in1, scribe):
        resource["policyHolder"] = holder
    group = first_repetition(in1, 9)
    if group and (name := part(group, 1)):
        of_group = next(
            (each for each in resource.get("class", ()) if each["type"]["coding"][0]["code"] == "group"), None
        )
        if of_group:
            of_group["name"] = name
    if order := numbers.positive_int(in1.get(22) or in1.get(1)):
        resource["order"] = order
    for told_now in resource.pop("class", ()):
        if told_now.get("value"):  # Coverage.class needs it
            scribe.add_once(classes, told_now)
    if classes:
        resource["class"] = classes
    return draft


def _insured(in1: Segment, program: Program, patient: Draft, scribe: Scribe) -> Draft | None:
    """The person whose insurance it is (IN1-16), where it is not the patient. Key: patient, name and relationship."""
    name = first_repetition(in1, 16)
    named = "^".join(part(name, at) for at in (1, 2)).lower() if name else ""
    if not named.strip("^"):
        return None
    draft = scribe.draft("RelatedPerson", f"{patient.key}|insured|{named}|{clean(in1.get(17))}")
    draft.resource["patient"] = patient.reference
    program.run(in1, draft, scribe, again=True)
    return draft


def _policy_holder(in1: Segment, scribe: Scribe) -> Resource | None:
    """The employer whose group policy it is: its number (IN1-10), else that of IN1-11, which names it."""
    number, named = first_repetition(in1, 10), first_repetition(in1, 11)
    scribe.path = "IN1-10"
    found = cx_identifier(number, scribe) if number else None
    if found is None:
        return organization(named, scribe) if named else None
    return organization_of(found, part(named, 1) if named else "", scribe)


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


def diagnosis(dg1: Segment, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe) -> Draft | None:
    """DG1[Condition] and DG1[Encounter]. Key: visit (or patient), code and type of diagnosis."""
    told = coded_key(dg1, 3, scribe) or clean(dg1.get(4)).strip().lower()
    if not told:
        scribe.issue("diagnosis-missing", "DG1-3")
        return None
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
        return draft
    resource["clinicalStatus"] = concept("condition-clinical", "active")
    draft.cleared.append("verificationStatus")  # where DG1-6 tells none: a diagnosis sent again is no error any more
    if visit:
        _diagnosis_of_visit(dg1, draft, visit, scribe)
    return draft


def _diagnosis_of_visit(dg1: Segment, condition: Draft, visit: Draft, scribe: Scribe) -> None:
    entry: Resource = {"condition": condition.reference}
    kind = first_repetition(dg1, 6)
    if kind and (use := codeable_concept(kind, scribe, "DiagnosisType")):
        entry["use"] = use
    rank = first_repetition(dg1, 15)
    scribe.path = "DG1-15"
    if rank and (number := positive_int(rank, scribe)):
        entry["rank"] = number
    scribe.add_once(visit.resource.setdefault("diagnosis", []), entry)
