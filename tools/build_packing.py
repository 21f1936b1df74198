"""Train the dictionary that resources are packed with: `standards/fhir/data/packing-N.dictionary`.

    python tools/build_packing.py

The samples are made here: resources of the commonest types as systems write them, filled with numbers at random. A new
dictionary gets a new number and the old one stays, because what it packed is read with it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import zstandard

TARGET = Path(__file__).parent.parent / "src" / "healthsync" / "standards" / "fhir" / "data" / "packing-1.dictionary"
BYTES, SAMPLES = 48 * 1024, 12_000
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
LOINC, SNOMED, RXNORM = "http://loinc.org", "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM, CVX, ICD = "http://unitsofmeasure.org", "http://hl7.org/fhir/sid/cvx", "http://hl7.org/fhir/sid/icd-10-cm"
CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"

RESULTS = [
    ("8302-2", "Body Height", "cm", "vital-signs"), ("29463-7", "Body Weight", "kg", "vital-signs"),
    ("39156-5", "Body Mass Index", "kg/m2", "vital-signs"), ("8867-4", "Heart rate", "/min", "vital-signs"),
    ("9279-1", "Respiratory rate", "/min", "vital-signs"), ("8310-5", "Body temperature", "Cel", "vital-signs"),
    ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", "vital-signs"),
    ("72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported", "{score}", "survey"),
    ("2339-0", "Glucose [Mass/volume] in Blood", "mg/dL", "laboratory"),
    ("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", "laboratory"),
    ("38483-4", "Creatinine [Mass/volume] in Blood", "mg/dL", "laboratory"),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", "laboratory"),
    ("6299-2", "Urea Nitrogen [Mass/volume] in Blood", "mg/dL", "laboratory"),
    ("49765-1", "Calcium [Mass/volume] in Blood", "mg/dL", "laboratory"),
    ("2947-0", "Sodium [Moles/volume] in Blood", "mmol/L", "laboratory"),
    ("6298-4", "Potassium [Moles/volume] in Blood", "mmol/L", "laboratory"),
    ("2069-3", "Chloride [Moles/volume] in Blood", "mmol/L", "laboratory"),
    ("20565-8", "Carbon dioxide, total [Moles/volume] in Blood", "mmol/L", "laboratory"),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", "laboratory"),
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", "laboratory"),
    ("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count", "%", "laboratory"),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", "laboratory"),
    ("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "10*6/uL", "laboratory"),
    ("777-3", "Platelets [#/volume] in Blood by Automated count", "10*3/uL", "laboratory"),
    ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", "laboratory"),
    ("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", "laboratory"),
    ("18262-6", "Low Density Lipoprotein Cholesterol", "mg/dL", "laboratory"),
    ("2085-9", "High Density Lipoprotein Cholesterol", "mg/dL", "laboratory"),
    ("33914-3", "Estimated Glomerular Filtration Rate", "mL/min/{1.73_m2}", "laboratory"),
]  # fmt: skip
PROBLEMS = [
    ("38341003", "Hypertension"), ("44054006", "Diabetes mellitus type 2 (disorder)"), ("195967001", "Asthma"),
    ("10509002", "Acute bronchitis (disorder)"), ("444814009", "Viral sinusitis (disorder)"),
    ("162864005", "Body mass index 30+ - obesity (finding)"), ("55822004", "Hyperlipidemia"),
    ("271737000", "Anemia (disorder)"), ("72892002", "Normal pregnancy"), ("15777000", "Prediabetes"),
]  # fmt: skip
DRUGS = [
    ("314076", "lisinopril 10 MG Oral Tablet"), ("860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("197361", "Amlodipine 5 MG Oral Tablet"), ("313782", "Acetaminophen 325 MG Oral Tablet"),
    ("308136", "Hydrochlorothiazide 25 MG Oral Tablet"), ("310798", "Simvastatin 20 MG Oral Tablet"),
]  # fmt: skip
VISITS = [
    ("185349003", "Encounter for check up (procedure)"), ("185345009", "Encounter for symptom"),
    ("162673000", "General examination of patient (procedure)"), ("50849002", "Emergency room admission (procedure)"),
    ("308335008", "Patient encounter procedure"), ("430193006", "Medication Reconciliation (procedure)"),
]  # fmt: skip
VACCINES = [("140", "Influenza, seasonal, injectable, preservative free"), ("113", "Td (adult) preservative free"),
            ("08", "Hep B, adolescent or pediatric"), ("03", "MMR"), ("133", "Pneumococcal conjugate PCV 13")]  # fmt: skip


class Samples:
    """Resources of the commonest types."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def make(self) -> list[dict[str, Any]]:
        """All samples, weighted as types come in practice."""
        kinds: list[tuple[int, Callable[[], dict[str, Any]]]] = [
            (40, self.observation), (8, self.panel), (10, self.encounter), (8, self.claim), (8, self.explanation),
            (6, self.condition), (6, self.medication_request), (5, self.immunization), (5, self.procedure),
            (4, self.report), (3, self.patient), (2, self.practitioner), (2, self.organization), (2, self.location),
            (2, self.care_plan), (2, self.allergy), (2, self.service_request), (2, self.document), (2, self.appointment),
        ]  # fmt: skip
        weighted = [make for weight, make in kinds for _ in range(weight)]
        return [self._random.choice(weighted)() for _ in range(SAMPLES)]

    def _id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _day(self) -> str:
        r = self._random
        return f"{r.randint(1995, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"

    def _time(self, zone: str | None = None) -> str:
        r = self._random
        zone = zone or r.choice(["Z", "+00:00", "-05:00", "-04:00", "+01:00"])
        return f"{self._day()}T{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}{r.choice(['', '.000'])}{zone}"

    def _head(self, kind: str) -> dict[str, Any]:
        meta: dict[str, Any] = {"versionId": str(self._random.choice([1, 1, 1, 2, 3]))}
        meta["lastUpdated"] = self._time("Z")
        if self._random.random() < 0.5:
            meta["profile"] = [f"{CORE}{kind.lower()}"]
        meta["source"] = "urn:healthsync:source:" + self._random.choice(["loader", "laboratory", "clinic", "admin"])
        return {"resourceType": kind, "id": self._id(), "meta": meta}

    def _to(self, kind: str) -> dict[str, str]:
        return {"reference": f"{kind}/{self._id()}"}

    def _concept(self, system: str, pair: tuple[str, ...], *, text: bool = True) -> dict[str, Any]:
        concept: dict[str, Any] = {"coding": [{"system": system, "code": pair[0], "display": pair[1]}]}
        if text and self._random.random() < 0.7:
            concept["text"] = pair[1]
        return concept

    def _coded(self, system: str, code: str, display: str = "") -> dict[str, Any]:
        coding = {"system": TERMINOLOGY + system, "code": code}
        return {"coding": [coding | ({"display": display} if display else {})]}

    def _number(self) -> float:
        return round(self._random.uniform(0.1, 300), self._random.choice([0, 1, 2, 4, 14]))

    def _quantity(self, unit: str) -> dict[str, Any]:
        return {"value": self._number(), "unit": unit, "system": UCUM, "code": unit}

    def _money(self) -> dict[str, Any]:
        return {"value": round(self._random.uniform(1, 900), 2), "currency": "USD"}

    def _period(self) -> dict[str, str]:
        return {"start": self._time(), "end": self._time()}

    def observation(self) -> dict[str, Any]:
        code, name, unit, category = self._random.choice(RESULTS)
        coded = self._coded("observation-category", category, category)
        at = self._time()
        body: dict[str, Any] = {
            "status": self._random.choice(["final", "final", "preliminary", "corrected"]), "category": [coded],
            "code": self._concept(LOINC, (code, name)), "subject": self._to("Patient"), "encounter": self._to("Encounter"),
            "effectiveDateTime": at, "issued": at.replace("Z", ".000Z"),
        }  # fmt: skip
        if self._random.random() < 0.3:
            body["performer"] = [self._to("Organization")]
            body["interpretation"] = [self._coded("v3-ObservationInterpretation", self._random.choice("NHL"), "Normal")]
            body["referenceRange"] = [{"low": {"value": 1.5, "unit": unit}, "high": {"value": 9.5, "unit": unit}}]
        return self._head("Observation") | body | {"valueQuantity": self._quantity(unit)}

    def panel(self) -> dict[str, Any]:
        body = self.observation()
        del body["valueQuantity"]
        body["code"] = self._concept(LOINC, ("85354-9", "Blood Pressure"))
        parts = [("8462-4", "Diastolic Blood Pressure"), ("8480-6", "Systolic Blood Pressure")]
        body["component"] = [
            {"code": self._concept(LOINC, part), "valueQuantity": self._quantity("mm[Hg]")} for part in parts
        ]
        return body

    def encounter(self) -> dict[str, Any]:
        return self._head("Encounter") | {
            "status": self._random.choice(["finished", "in-progress", "planned"]),
            "class": {"system": TERMINOLOGY + "v3-ActCode", "code": self._random.choice(["AMB", "IMP", "EMER", "WELLNESS"])},
            "type": [self._concept(SNOMED, self._random.choice(VISITS))],
            "subject": self._to("Patient"),
            "participant": [
                {"type": [self._coded("v3-ParticipationType", "PPRF", "primary performer")], "period": self._period(),
                 "individual": self._to("Practitioner")}
            ],
            "period": self._period(),
            "reasonCode": [self._concept(SNOMED, self._random.choice(PROBLEMS), text=False)],
            "location": [{"location": self._to("Location"), "status": "active"}],
            "serviceProvider": self._to("Organization"),
        }  # fmt: skip

    def condition(self) -> dict[str, Any]:
        return self._head("Condition") | {
            "clinicalStatus": self._coded("condition-clinical", self._random.choice(["active", "resolved"])),
            "verificationStatus": self._coded("condition-ver-status", "confirmed"),
            "category": [self._coded("condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
            "code": self._random.choice([
                self._concept(SNOMED, self._random.choice(PROBLEMS)), self._concept(ICD, ("E11.9", "Type 2 diabetes mellitus"))
            ]),
            "subject": self._to("Patient"), "encounter": self._to("Encounter"),
            "onsetDateTime": self._time(), "abatementDateTime": self._time(), "recordedDate": self._time(),
        }  # fmt: skip

    def medication_request(self) -> dict[str, Any]:
        return self._head("MedicationRequest") | {
            "status": self._random.choice(["active", "stopped", "completed"]), "intent": "order",
            "medicationCodeableConcept": self._concept(RXNORM, self._random.choice(DRUGS)),
            "subject": self._to("Patient"), "encounter": self._to("Encounter"), "authoredOn": self._time(),
            "requester": self._to("Practitioner"), "reasonReference": [self._to("Condition")],
            "dosageInstruction": [
                {"sequence": 1, "timing": {"repeat": {"frequency": 1, "period": 1.0, "periodUnit": "d"}},
                 "asNeededBoolean": False, "doseAndRate": [
                    {"type": self._coded("dose-rate-type", "ordered", "Ordered"), "doseQuantity": {"value": 1.0}}]}
            ],
        }  # fmt: skip

    def immunization(self) -> dict[str, Any]:
        return self._head("Immunization") | {
            "status": "completed", "vaccineCode": self._concept(CVX, self._random.choice(VACCINES)),
            "patient": self._to("Patient"), "encounter": self._to("Encounter"), "occurrenceDateTime": self._time(),
            "primarySource": True, "location": self._to("Location"),
        }  # fmt: skip

    def procedure(self) -> dict[str, Any]:
        return self._head("Procedure") | {
            "status": "completed", "code": self._concept(SNOMED, self._random.choice(VISITS)),
            "subject": self._to("Patient"), "encounter": self._to("Encounter"), "performedPeriod": self._period(),
            "reasonReference": [self._to("Condition")], "location": self._to("Location"),
        }  # fmt: skip

    def report(self) -> dict[str, Any]:
        panels = [("51990-0", "Basic Metabolic Panel"), ("57698-3", "Lipid Panel"), ("58410-2", "Complete blood count")]
        at = self._time()
        return self._head("DiagnosticReport") | {
            "status": "final",
            "category": [{"coding": [{"system": TERMINOLOGY + "v2-0074", "code": "LAB", "display": "Laboratory"}]}],
            "code": self._concept(LOINC, self._random.choice(panels)), "subject": self._to("Patient"),
            "encounter": self._to("Encounter"), "effectiveDateTime": at, "issued": at, "performer": [self._to("Organization")],
            "result": [self._to("Observation") for _ in range(self._random.randint(3, 10))],
        }  # fmt: skip

    def claim(self) -> dict[str, Any]:
        return self._head("Claim") | {
            "status": "active", "type": self._coded("claim-type", self._random.choice(["institutional", "pharmacy", "professional"])),
            "use": "claim", "patient": self._to("Patient"), "billablePeriod": self._period(), "created": self._time(),
            "provider": self._to("Organization"), "priority": self._coded("processpriority", "normal"),
            "prescription": self._to("MedicationRequest"),
            "diagnosis": [{"sequence": 1, "diagnosisReference": self._to("Condition")}],
            "insurance": [{"sequence": 1, "focal": True, "coverage": self._to("Coverage")}],
            "item": [{"sequence": 1, "productOrService": self._concept(SNOMED, self._random.choice(VISITS)),
                      "encounter": [self._to("Encounter")], "net": self._money()}],
            "total": self._money(),
        }  # fmt: skip

    def explanation(self) -> dict[str, Any]:
        amounts = ["Line Beneficiary Part B Deductible Amount", "Line Provider Payment Amount", "Line Coinsurance Amount",
                   "Line Submitted Charge Amount", "Line Allowed Charge Amount"]  # fmt: skip
        codes = [
            "line_bene_ptb_ddctbl_amt",
            "line_prvdr_pmt_amt",
            "line_coinsrnc_amt",
            "line_sbmtd_chrg_amt",
            "line_alowd_chrg_amt",
        ]
        variable = "https://bluebutton.cms.gov/resources/variables/"
        adjudication = [
            {"category": {"coding": [{"system": "https://bluebutton.cms.gov/resources/codesystem/adjudication",
             "code": variable + code, "display": name}]}, "amount": self._money()}
            for code, name in zip(codes, amounts, strict=True)
        ]  # fmt: skip
        return self._head("ExplanationOfBenefit") | {
            "status": "active", "type": self._coded("claim-type", "professional"), "use": "claim",
            "patient": self._to("Patient"), "billablePeriod": self._period(), "created": self._time(),
            "insurer": {"display": "Medicare"}, "provider": self._to("Practitioner"), "referral": {"reference": "#referral"},
            "claim": self._to("Claim"), "outcome": "complete",
            "careTeam": [{"sequence": 1, "provider": self._to("Practitioner"), "role": self._coded("claimcareteamrole", "primary", "Primary Care Practitioner")}],
            "diagnosis": [{"sequence": 1, "diagnosisReference": self._to("Condition"), "type": [self._coded("ex-diagnosistype", "principal")]}],
            "insurance": [{"focal": True, "coverage": {"reference": "#coverage", "display": "Medicare"}}],
            "item": [{"sequence": 1, "category": {"coding": [{"system": variable + "line_cms_type_srvc_cd", "code": "1", "display": "Medical care"}]},
                      "productOrService": self._concept(SNOMED, self._random.choice(VISITS)), "servicedPeriod": self._period(),
                      "locationCodeableConcept": self._coded("ex-serviceplace", "21", "Inpatient Hospital"),
                      "encounter": [self._to("Encounter")], "net": self._money(), "adjudication": adjudication}],
            "total": [{"category": self._coded("adjudication", "submitted", "Submitted Amount"), "amount": self._money()}],
            "payment": {"amount": self._money()},
        }  # fmt: skip

    def patient(self) -> dict[str, Any]:
        extension = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
        cdc = "urn:oid:2.16.840.1.113883.6.238"
        race = {"url": "ombCategory", "valueCoding": {"system": cdc, "code": "2106-3", "display": "White"}}
        return self._head("Patient") | {
            "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Generated</div>'},
            "extension": [{"url": extension + "race", "extension": [race, {"url": "text", "valueString": "White"}]},
                          {"url": extension + "ethnicity", "extension": [{"url": "text", "valueString": "Not Hispanic or Latino"}]},
                          {"url": extension + "birthsex", "valueCode": self._random.choice("MF")}],
            "identifier": [{"use": "usual", "type": self._coded("v2-0203", "MR", "Medical Record Number"), "system": "urn:oid:2.16.840.1",
                            "value": self._id()}, {"type": self._coded("v2-0203", "SS", "Social Security Number"),
                            "system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-99-9999"}],
            "active": True, "name": [{"use": "official", "family": "Doe", "given": ["Jane", "Ann"], "prefix": ["Mrs."]}],
            "telecom": [{"system": "phone", "value": "555-555-5555", "use": "home"}], "gender": self._random.choice(["male", "female"]),
            "birthDate": self._day(), "address": [{"use": "home", "line": ["1 Main Street"], "city": "Boston", "state": "MA",
                                                   "postalCode": "02118", "country": "US"}],
            "maritalStatus": self._coded("v3-MaritalStatus", "M", "M"), "multipleBirthBoolean": False,
            "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US", "display": "English"}]}}],
            "managingOrganization": self._to("Organization"),
        }  # fmt: skip

    def practitioner(self) -> dict[str, Any]:
        return self._head("Practitioner") | {
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": str(self._random.randint(10**9, 10**10 - 1))}],
            "active": True, "name": [{"family": "Smith", "given": ["John"], "prefix": ["Dr."]}], "gender": "female",
            "telecom": [{"system": "email", "value": "john.smith@example.com", "use": "work"}],
            "address": [{"line": ["1 Main Street"], "city": "Boston", "state": "MA", "postalCode": "02118", "country": "US"}],
        }  # fmt: skip

    def organization(self) -> dict[str, Any]:
        return self._head("Organization") | {
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": str(self._random.randint(10**9, 10**10 - 1))}],
            "active": True, "type": [self._coded("organization-type", "prov", "Healthcare Provider")],
            "name": "GENERAL HOSPITAL", "telecom": [{"system": "phone", "value": "5555555555"}],
            "address": [{"line": ["1 Main Street"], "city": "BOSTON", "state": "MA", "postalCode": "02118", "country": "US"}],
        }  # fmt: skip

    def location(self) -> dict[str, Any]:
        return self._head("Location") | {
            "status": "active", "name": "3 West", "mode": "instance", "physicalType": self._coded("location-physical-type", "wa", "Ward"),
            "managingOrganization": self._to("Organization"), "partOf": self._to("Location"),
            "position": {"longitude": -71.06, "latitude": 42.33},
        }  # fmt: skip

    def care_plan(self) -> dict[str, Any]:
        return self._head("CarePlan") | {
            "status": "active", "intent": "order", "category": [self._concept(SNOMED, ("736285004", "Hyperlipidemia clinical management plan"))],
            "subject": self._to("Patient"), "encounter": self._to("Encounter"), "period": {"start": self._time()},
            "careTeam": [self._to("CareTeam")], "addresses": [self._to("Condition")], "goal": [self._to("Goal")],
            "activity": [{"detail": {"code": self._concept(SNOMED, ("229065009", "Exercise therapy")), "status": "in-progress"}}],
        }  # fmt: skip

    def allergy(self) -> dict[str, Any]:
        return self._head("AllergyIntolerance") | {
            "clinicalStatus": self._coded("allergyintolerance-clinical", "active", "Active"),
            "verificationStatus": self._coded("allergyintolerance-verification", "confirmed", "Confirmed"),
            "type": "allergy", "category": ["food"], "criticality": "low", "code": self._concept(SNOMED, ("91935009", "Allergy to peanuts")),
            "patient": self._to("Patient"), "recordedDate": self._time(), "reaction": [{"manifestation": [self._concept(SNOMED, ("271807003", "Skin rash"))]}],
        }  # fmt: skip

    def service_request(self) -> dict[str, Any]:
        return self._head("ServiceRequest") | {
            "status": "active", "intent": "order", "priority": "routine", "code": self._concept(LOINC, ("24323-8", "Comprehensive metabolic panel")),
            "subject": self._to("Patient"), "encounter": self._to("Encounter"), "authoredOn": self._time(), "requester": self._to("Practitioner"),
        }  # fmt: skip

    def document(self) -> dict[str, Any]:
        return self._head("DocumentReference") | {
            "status": "current", "type": self._concept(LOINC, ("34133-9", "Summary of episode note")), "subject": self._to("Patient"),
            "date": self._time(), "author": [self._to("Practitioner")], "custodian": self._to("Organization"),
            "content": [{"attachment": {"contentType": "application/pdf", "url": f"Binary/{self._id()}", "size": 10240},
                         "format": {"system": "urn:oid:1.3.6.1.4.1.19376.1.2.3", "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"}}],
            "context": {"encounter": [self._to("Encounter")], "period": self._period()},
        }  # fmt: skip

    def appointment(self) -> dict[str, Any]:
        return self._head("Appointment") | {
            "status": self._random.choice(["booked", "cancelled", "fulfilled"]), "appointmentType": self._coded("v2-0276", "ROUTINE"),
            "start": self._time(), "end": self._time(), "minutesDuration": 30, "created": self._time(),
            "participant": [{"actor": self._to("Patient"), "required": "required", "status": "accepted"},
                            {"actor": self._to("Practitioner"), "status": "accepted"}],
        }  # fmt: skip


def main() -> None:
    texts = [json.dumps(each, separators=(",", ":")).encode() for each in Samples(4).make()]
    dictionary = zstandard.train_dictionary(BYTES, texts, level=3)
    TARGET.write_bytes(dictionary.as_bytes())
    compressor = zstandard.ZstdCompressor(level=3, dict_data=dictionary)
    packed = sum(len(compressor.compress(text)) for text in texts[:2000])
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes; samples shrink to {packed / sum(map(len, texts[:2000])):.0%}")


if __name__ == "__main__":
    main()
