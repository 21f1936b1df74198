"""What the clinic posts: one FHIR transaction for each of its patients. Pure, by seed.

Every entry is a conditional update by the clinic's own number, so that posting a bundle again changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

from healthsync.entrypoints.demo.population import TODAY
from healthsync.entrypoints.demo.registrations import CLINIC, Registration

Resource = dict[str, Any]
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_UCUM = "http://unitsofmeasure.org"
_PROBLEMS = (("38341003", "Hypertensive disorder"), ("44054006", "Diabetes mellitus type 2"),
             ("195967001", "Asthma"), ("396275006", "Osteoarthritis"))  # fmt: skip
_DRUGS = (("314076", "lisinopril 10 MG Oral Tablet"), ("860975", "metformin hydrochloride 500 MG Oral Tablet"),
          ("197361", "amlodipine 5 MG Oral Tablet"))  # fmt: skip


def post_all(
    registrations: Sequence[Registration], opted_out: Registration | None, chance: Random
) -> tuple[tuple[Resource, ...], list[str]]:
    """The bundles, and the numbers that the clinic gave in them; `opted_out` objects to any use in the last one."""
    posted = [_bundle(known, chance) for known in registrations]
    if opted_out:
        posted.append(_objection(opted_out))
    entries = [entry["resource"] for bundle in posted for entry in bundle["entry"]]
    numbers = [resource["identifier"][0]["value"] for resource in entries]
    return tuple(posted), numbers


def _bundle(known: Registration, chance: Random) -> Resource:
    patient = f"urn:uuid:{uuid.UUID(int=chance.getrandbits(128), version=4)}"
    day = TODAY - timedelta(days=chance.randint(1, 60))
    resources = [_patient(known), *_record(known, patient, f"{day:%Y-%m-%d}", chance)]
    return _transaction(resources, patient)


def _objection(known: Registration) -> Resource:
    """A Consent that denies every use (privacy consent, opt-out)."""
    patient = "urn:uuid:00000000-0000-4000-8000-000000000001"
    consent = {
        "resourceType": "Consent",
        "status": "active",
        "scope": _concept(f"{_TERMINOLOGY}/consentscope", "patient-privacy"),
        "category": [_concept("http://loinc.org", "59284-0")],
        "policyRule": _concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTOUT"),
        "patient": {"reference": patient},
        "dateTime": f"{TODAY:%Y-%m-%d}",
        "provision": {"type": "deny"},
    }
    return _transaction([_patient(known), _numbered(consent, f"{known.number}-CONSENT")], patient)


def _transaction(resources: Sequence[Resource], patient: str) -> Resource:
    entries = []
    for resource in resources:
        number = resource["identifier"][0]
        condition = f"{resource['resourceType']}?identifier={number['system']}|{number['value']}"
        entry: Resource = {"resource": resource, "request": {"method": "PUT", "url": condition}}
        if resource["resourceType"] == "Patient":
            entry["fullUrl"] = patient
        entries.append(entry)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _patient(known: Registration) -> Resource:
    number = {"type": _concept(f"{_TERMINOLOGY}/v2-0203", "MR"), "system": CLINIC.system, "value": known.number}
    ssn = {
        "type": _concept(f"{_TERMINOLOGY}/v2-0203", "SS"),
        "system": "http://hl7.org/fhir/sid/us-ssn",
        "value": known.ssn,
    }
    name = {"use": "official", "family": known.family, "given": [part for part in (known.given, known.middle) if part]}
    address = known.address
    patient: Resource = {
        "resourceType": "Patient",
        "identifier": [number, *([ssn] if known.ssn else [])],
        "active": True,
        "name": [name | ({"suffix": [known.suffix]} if known.suffix else {})],
        "telecom": [{"system": "phone", "use": "home", "value": known.phone}],
        "gender": "female" if known.person.sex == "F" else "male",
        "birthDate": f"{known.born:%Y-%m-%d}",
        "address": [{"use": "home", "line": [address.line], "city": address.town, "state": address.state,
                     "postalCode": address.postal_code, "country": "USA"}],
    }  # fmt: skip
    if known.person.twin:
        patient["multipleBirthInteger"] = known.person.twin
    return patient


def _record(known: Registration, patient: str, day: str, chance: Random) -> Iterator[Resource]:
    """An appointment with vital signs, and a problem with its drug."""
    subject = {"subject": {"reference": patient}}
    yield _numbered({
        "resourceType": "Encounter", "status": "finished", **subject,
        "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "AMB"},
        "period": {"start": f"{day}T09:30:00-05:00", "end": f"{day}T10:00:00-05:00"},
    }, f"{known.number}-ENC")  # fmt: skip
    yield _numbered(_vital_sign("29463-7", "Body weight", chance.randint(480, 1090) / 10, "kg", day) | subject,
                    f"{known.number}-WEIGHT")  # fmt: skip
    yield _numbered(_vital_sign("8867-4", "Heart rate", chance.randint(56, 98), "/min", day) | subject,
                    f"{known.number}-PULSE")  # fmt: skip
    if chance.random() < 0.5 and known.person.age() > 25:
        code, name = chance.choice(_PROBLEMS)
        yield _numbered({
            "resourceType": "Condition", **subject, "code": _concept("http://snomed.info/sct", code, name),
            "clinicalStatus": _concept(f"{_TERMINOLOGY}/condition-clinical", "active"),
            "category": [_concept(f"{_TERMINOLOGY}/condition-category", "problem-list-item")],
            "recordedDate": day,
        }, f"{known.number}-PROBLEM")  # fmt: skip
        code, name = chance.choice(_DRUGS)
        yield _numbered({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order", **subject, "authoredOn": day,
            "medicationCodeableConcept": _concept("http://www.nlm.nih.gov/research/umls/rxnorm", code, name),
        }, f"{known.number}-ORDER")  # fmt: skip


def _vital_sign(code: str, name: str, value: float, unit: str, day: str) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [_concept(f"{_TERMINOLOGY}/observation-category", "vital-signs")],
        "code": _concept("http://loinc.org", code, name),
        "effectiveDateTime": f"{day}T09:40:00-05:00",
        "valueQuantity": {"value": value, "unit": unit, "system": _UCUM, "code": unit},
    }


def _numbered(resource: Resource, number: str) -> Resource:
    return resource | {"identifier": [{"system": f"{CLINIC.system}.1", "value": number}]}


def _concept(system: str, code: str, display: str | None = None) -> Resource:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}
