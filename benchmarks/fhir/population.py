"""The patients that are sent: Synthea's where a folder with them is given, else made here, of the same make.

Synthea writes one transaction bundle a patient (urn:uuid references, all POST). The figures of HAPI in RESULTS.md were
taken with its files; with the made ones, compare only figures that were taken with them on both sides.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER_VARIABLE = "HEALTHSYNC_BENCH_SYNTHEA"
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "synthea"
_INFORMATION = ("hospitalInformation", "practitionerInformation")

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Population:
    """Transaction bundles: `information` (hospitals and practitioners, which name each other), then the `patients`."""

    origin: str
    information: Resource | None
    patients: tuple[Resource, ...]

    @property
    def resources(self) -> int:
        """Entries of all patients."""
        return sum(len(bundle["entry"]) for bundle in self.patients)

    def one_of_each(self, types: tuple[str, ...]) -> dict[str, Resource]:
        """The first resource of each type, from the first patient who has most of them."""
        found: dict[str, Resource] = {}
        made = made_patient(random.Random(0))
        for bundle in (*self.patients, made):
            for entry in bundle["entry"]:
                found.setdefault(entry["resource"]["resourceType"], entry["resource"])
        return {name: found[name] for name in types}


def load(folder: Path | None = None, *, made: int = 60) -> Population:
    """Synthea's patients from `folder`, from $HEALTHSYNC_BENCH_SYNTHEA or from beside the checkout; else made ones."""
    place = folder or Path(os.environ.get(FOLDER_VARIABLE, _BESIDE))
    files = sorted(place.rglob("*.json.gz")) if place.is_dir() else []
    if not files:
        chance = random.Random(36)
        return Population(f"{made} made patients", None, tuple(made_patient(chance) for _ in range(made)))
    patients = tuple(_read(file) for file in files if not file.name.startswith(_INFORMATION))
    information = [entry for file in files if file.name.startswith(_INFORMATION) for entry in _read(file)["entry"]]
    return Population(f"{len(patients)} Synthea patients", _transaction(information), patients)


def _read(file: Path) -> Resource:
    with gzip.open(file, "rb") as content:
        return json.load(content)


def as_another(bundle: Resource, number: int) -> bytes:
    """The same history of somebody else: other name, birth date and identifiers: no index takes them for one."""
    if number == 0:
        return json.dumps(bundle, ensure_ascii=False).encode()
    chance = random.Random(number * 7919 + len(bundle["entry"]))
    entries = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource = _somebody_else(resource, chance)
        entries.append({**entry, "resource": resource})
    return json.dumps({**bundle, "entry": entries}, ensure_ascii=False).encode()


def _somebody_else(patient: Resource, chance: random.Random) -> Resource:
    name = {**patient["name"][0], "family": _word(chance), "given": [_word(chance)]}
    identifiers = [{**i, "value": f"{chance.randrange(10**9):09}"} for i in patient.get("identifier", ())]
    telecom = [{**t, "value": f"555-{chance.randrange(10**7):07}"} for t in patient.get("telecom", ())]
    return {
        **patient, "name": [name], "identifier": identifiers, "telecom": telecom, "birthDate": _date(chance, 1920, 2020)
    }  # fmt: skip


# The made patient

_SYNTHEA = "https://github.com/synthetichealth/synthea"
_LOINC, _SNOMED, _UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
_ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_VITALS = (
    ("8302-2", "Body Height", "cm", 150, 195), ("29463-7", "Body Weight", "kg", 45, 120),
    ("39156-5", "Body Mass Index", "kg/m2", 17, 40), ("8867-4", "Heart rate", "/min", 50, 120),
    ("72514-3", "Pain severity", "{score}", 0, 10),
)  # fmt: skip
_LABORATORY = (
    ("718-7", "Hemoglobin", "g/dL", 9, 18), ("2345-7", "Glucose", "mg/dL", 60, 200),
    ("2160-0", "Creatinine", "mg/dL", 0.5, 3), ("2093-3", "Total Cholesterol", "mg/dL", 120, 300),
)  # fmt: skip
_CONDITIONS = (("38341003", "Hypertension"), ("44054006", "Diabetes"), ("195662009", "Acute viral pharyngitis"))
_DRUGS = (("314076", "lisinopril 10 MG Oral Tablet"), ("860975", "Metformin 500 MG Oral Tablet"))


def made_patient(chance: random.Random) -> Resource:
    """A patient with eight to thirty encounters: a transaction bundle of Synthea's make."""
    history = _History(chance)
    for _ in range(chance.randint(8, 30)):
        history.encounter()
    return _transaction(history.entries)


def _transaction(entries: list[dict[str, Any]]) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


class _History:
    """The entries of one patient's bundle, as they are made up."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.entries: list[dict[str, Any]] = []
        self.patient = self._add(_patient(chance))
        self.organization = self._add(_organization(chance))
        self.location = self._add({
            "resourceType": "Location", "status": "active", "name": f"{_word(chance)} Clinic",
            "address": _address(chance), "position": {"longitude": -71.2, "latitude": 42.3},
            "managingOrganization": {"reference": self.organization},
        })  # fmt: skip
        self.practitioner = self._add({
            "resourceType": "Practitioner", "active": True, "gender": chance.choice(("male", "female")),
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": f"{chance.randrange(10**10):010}"}],
            "name": [{"family": _word(chance), "given": [_word(chance)], "prefix": ["Dr."]}],
            "address": [_address(chance)],
        })  # fmt: skip

    def encounter(self) -> None:
        """A visit, what was seen there, and its bill."""
        chance, when = self._chance, f"{_date(self._chance, 2010, 2020)}T09:15:00-05:00"
        visit = self._add({
            "resourceType": "Encounter", "status": "finished", "class": {"system": _ACT, "code": "AMB"},
            "type": [_concept(_SNOMED, "162673000", "General examination of patient (procedure)")],
            "subject": {"reference": self.patient, "display": "patient"},
            "participant": [{"individual": {"reference": self.practitioner}}],
            "period": {"start": when, "end": when.replace("09:15", "09:45")},
            "location": [{"location": {"reference": self.location}}],
            "serviceProvider": {"reference": self.organization},
        })  # fmt: skip
        for code, name, unit, low, high in _VITALS:
            self._add(self._observation(visit, when, "vital-signs", code, name, {
                "valueQuantity": _quantity(chance, unit, low, high)}))  # fmt: skip
        self._add(self._observation(visit, when, "vital-signs", "85354-9", "Blood Pressure", {"component": [
            {"code": _concept(_LOINC, "8462-4", "Diastolic Blood Pressure"),
             "valueQuantity": _quantity(chance, "mm[Hg]", 55, 100)},
            {"code": _concept(_LOINC, "8480-6", "Systolic Blood Pressure"),
             "valueQuantity": _quantity(chance, "mm[Hg]", 95, 180)},
        ]}))  # fmt: skip
        results = [
            self._add(self._observation(visit, when, "laboratory", code, name, {
                "valueQuantity": _quantity(chance, unit, low, high)}))
            for code, name, unit, low, high in _LABORATORY
        ]  # fmt: skip
        self._add({
            "resourceType": "DiagnosticReport", "status": "final", "subject": {"reference": self.patient},
            "encounter": {"reference": visit}, "code": _concept(_LOINC, "51990-0", "Basic Metabolic Panel"),
            "effectiveDateTime": when, "issued": when, "result": [{"reference": result} for result in results],
        })  # fmt: skip
        code, name = chance.choice(_CONDITIONS)
        self._add({
            "resourceType": "Condition", "code": _concept(_SNOMED, code, name), "subject": {"reference": self.patient},
            "clinicalStatus": _concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
            "verificationStatus": _concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
            "encounter": {"reference": visit}, "onsetDateTime": when, "recordedDate": when,
        })  # fmt: skip
        self._bill(visit, when)

    def _bill(self, visit: str, when: str) -> None:
        code, name = self._chance.choice(_DRUGS)
        prescription = self._add({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order",
            "medicationCodeableConcept": _concept("http://www.nlm.nih.gov/research/umls/rxnorm", code, name),
            "subject": {"reference": self.patient}, "encounter": {"reference": visit}, "authoredOn": when,
            "requester": {"reference": self.practitioner},
        })  # fmt: skip
        use = _concept("http://terminology.hl7.org/CodeSystem/claim-type", "pharmacy")
        period = {"start": when, "end": when.replace("09:15", "09:45")}
        cost = {"value": round(self._chance.uniform(20, 400), 2), "currency": "USD"}
        claim = self._add({
            "resourceType": "Claim", "status": "active", "type": use, "use": "claim",
            "patient": {"reference": self.patient}, "billablePeriod": period,
            "created": when, "provider": {"reference": self.organization},
            "priority": _concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
            "prescription": {"reference": prescription},
            "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "Medicare"}}],
            "item": [{"sequence": 1, "productOrService": _concept(_SNOMED, "162673000", "General examination"),
                      "encounter": [{"reference": visit}]}],
            "total": cost,
        })  # fmt: skip
        self._add({
            "resourceType": "ExplanationOfBenefit", "status": "active", "type": use, "use": "claim",
            "outcome": "complete",
            "contained": [
                {"resourceType": "ServiceRequest", "id": "referral", "status": "completed", "intent": "order",
                 "subject": {"reference": self.patient}, "requester": {"reference": self.practitioner},
                 "performer": [{"reference": self.practitioner}]},
                {"resourceType": "Coverage", "id": "coverage", "status": "active", "type": {"text": "Medicare"},
                 "beneficiary": {"reference": self.patient}, "payor": [{"display": "Medicare"}]},
            ],
            "patient": {"reference": self.patient}, "billablePeriod": period, "created": when,
            "insurer": {"display": "Medicare"}, "provider": {"reference": self.practitioner},
            "referral": {"reference": "#referral"}, "claim": {"reference": claim},
            "careTeam": [{"sequence": 1, "provider": {"reference": self.practitioner}}],
            "insurance": [{"focal": True, "coverage": {"reference": "#coverage"}}],
            "item": [{"sequence": 1, "productOrService": _concept(_SNOMED, "162673000", "General examination"),
                      "servicedPeriod": period, "encounter": [{"reference": visit}]}],
            "total": [{"category": {"text": "Submitted"}, "amount": cost}], "payment": {"amount": cost},
        })  # fmt: skip

    def _observation(self, visit: str, when: str, category: str, code: str, name: str, value: Resource) -> Resource:
        return {
            "resourceType": "Observation", "status": "final",
            "category": [_concept("http://terminology.hl7.org/CodeSystem/observation-category", category, category)],
            "code": _concept(_LOINC, code, name),
            "subject": {"reference": self.patient}, "encounter": {"reference": visit},
            "effectiveDateTime": when, "issued": when.replace(":00-", ":00.000-"), **value,
        }  # fmt: skip

    def _add(self, resource: Resource) -> str:
        id_ = str(UUID(int=self._chance.getrandbits(128), version=4))
        url = f"urn:uuid:{id_}"
        self.entries.append({
            "fullUrl": url, "resource": {**resource, "id": id_},
            "request": {"method": "POST", "url": resource["resourceType"]},
        })  # fmt: skip
        return url


def _patient(chance: random.Random) -> Resource:
    race = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
    number = "http://terminology.hl7.org/CodeSystem/v2-0203"
    return {
        "resourceType": "Patient",
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">A made patient.</div>'},
        "extension": [{"url": race, "extension": [{"url": "text", "valueString": "White"}]}],
        "identifier": [
            {"system": _SYNTHEA, "value": f"{chance.getrandbits(64):016x}"},
            {"type": _concept(number, "MR"), "system": "http://hospital.smarthealthit.org",
             "value": f"{chance.randrange(10**9):09}"},
            {"type": _concept(number, "SS"), "system": "http://hl7.org/fhir/sid/us-ssn",
             "value": f"999-{chance.randrange(10, 99)}-{chance.randrange(10**4):04}"},
        ],
        "name": [{"use": "official", "family": _word(chance), "given": [_word(chance)]}],
        "telecom": [{"system": "phone", "value": f"555-{chance.randrange(10**7):07}", "use": "home"}],
        "gender": chance.choice(("male", "female")), "birthDate": _date(chance, 1920, 2019),
        "address": [_address(chance)],
        "maritalStatus": _concept("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M"),
        "multipleBirthBoolean": False,
        "communication": [{"language": _concept("urn:ietf:bcp:47", "en-US", "English")}],
    }  # fmt: skip


def _organization(chance: random.Random) -> Resource:
    return {
        "resourceType": "Organization", "active": True, "name": f"{_word(chance)} Hospital",
        "identifier": [{"system": _SYNTHEA, "value": f"{chance.getrandbits(64):016x}"}],
        "type": [_concept("http://terminology.hl7.org/CodeSystem/organization-type", "prov", "Healthcare Provider")],
        "telecom": [{"system": "phone", "value": f"555-{chance.randrange(10**7):07}"}], "address": [_address(chance)],
    }  # fmt: skip


def _address(chance: random.Random) -> Resource:
    return {
        "line": [f"{chance.randint(1, 999)} {_word(chance)} Street"], "city": _word(chance), "state": "MA",
        "postalCode": f"{chance.randint(1000, 2799):05}", "country": "US",
    }  # fmt: skip


def _concept(system: str, code: str, display: str = "") -> Resource:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display}], "text": display} if display else {"coding": [coding]}


def _quantity(chance: random.Random, unit: str, low: float, high: float) -> Mapping[str, Any]:
    return {"value": round(chance.uniform(low, high), 2), "unit": unit, "system": _UCUM, "code": unit}


def _date(chance: random.Random, first: int, last: int) -> str:
    return f"{chance.randint(first, last)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _word(chance: random.Random) -> str:
    return "".join(chance.choice("bdfgklmnprstv") + chance.choice("aeiou") for _ in range(4)).capitalize()


def bodies(population: Population, copies: int = 1) -> Iterator[tuple[int, bytes]]:
    """(entries, bundle) of every patient, `copies` times, each time other people."""
    for number in range(copies):
        for bundle in population.patients:
            yield len(bundle["entry"]), as_another(bundle, number)
