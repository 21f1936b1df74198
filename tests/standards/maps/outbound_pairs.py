"""Golden messages: what is written about one invented patient of a small hospital.

python -m tests.standards.maps.outbound_pairs     # write every message anew; read the diff before you keep it
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from healthsync.standards.maps.outbound import Content, Header, build

GOLDEN = Path(__file__).parent / "golden_outbound"
TERMS = "http://terminology.hl7.org/CodeSystem"
HEADER = Header(
    "HS0123456789ABCDEF01",
    datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC),
    "2.5.1",
    "HealthSync",
    "HUB",
    "EPIC",
    "MERCY",
    "T",
)


def number(value: str, kind: str | None = None, system: str = "urn:oid:2.16.840.1.113883.19.5") -> dict[str, Any]:
    made: dict[str, Any] = {"system": system, "value": value}
    return made | ({"type": {"coding": [{"system": f"{TERMS}/v2-0203", "code": kind}]}} if kind else {})


def concept(code: str, display: str, system: str = "http://loinc.org") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def ref(target: str) -> dict[str, str]:
    return {"reference": target}


RESOURCES: dict[str, dict[str, Any]] = {
    f"{each['resourceType']}/{each['id']}": each
    for each in (
        {
            "resourceType": "Patient", "id": "pat",
            "identifier": [number("70|01", "MR"), number("523111234", "SS", "http://hl7.org/fhir/sid/us-ssn")],
            "name": [{"use": "official", "family": "O'Hara & Søn", "given": ["Ana^Lu", "Mae"], "suffix": ["Jr"]}],
            "gender": "other", "birthDate": "1971-03",
            "address": [{"use": "home", "line": ["4 Weir Lane", "Flat 2"], "city": "Holbrook", "postalCode": "02343"}],
            "telecom": [{"system": "phone", "use": "mobile", "value": "+1 617 555 0100"},
                        {"system": "email", "value": "ana@example.org"},
                        {"system": "phone", "use": "work", "value": "+1 617 555 0199"}],
            "contact": [{"name": {"family": "Quist", "given": ["Bo"]},
                         "relationship": [concept("FRND", "friend", f"{TERMS}/v3-RoleCode")]}],
            "generalPractitioner": [ref("Practitioner/doc")],
        },
        {"resourceType": "Patient", "id": "old", "identifier": [number("69999", "MR")],
         "name": [{"family": "Ohara", "given": ["Ana"]}]},
        {"resourceType": "Practitioner", "id": "doc",
         "identifier": [number("D-77"), number("1234567893", "NPI", "http://hl7.org/fhir/sid/us-npi")],
         "name": [{"family": "Okafor", "given": ["Ada"], "prefix": ["Dr"]}]},
        {"resourceType": "Organization", "id": "org", "identifier": [number("LAB7")], "name": "Harbor Laboratory"},
        {"resourceType": "Location", "id": "loc", "name": "Room 12", "identifier": [number("NEO/12/A")],
         "physicalType": {"coding": [{"code": "bd"}]}},
        {"resourceType": "Encounter", "id": "enc", "status": "in-progress", "subject": ref("Patient/pat"),
         "class": {"system": f"{TERMS}/v3-ActCode", "code": "IMP"}, "identifier": [number("V9", "VN")],
         "location": [{"status": "active", "location": ref("Location/loc")}],
         "participant": [{"type": [concept("ATND", "attender", f"{TERMS}/v3-ParticipationType")],
                          "individual": ref("Practitioner/doc")}],
         "period": {"start": "2026-05-06T07:00:00+02:00"}},
        {"resourceType": "Specimen", "id": "spm", "identifier": [number("S-5", "PGN")],
         "type": concept("BLD", "Whole blood", f"{TERMS}/v2-0487"),
         "collection": {"collectedDateTime": "2026-05-06T07:30:00Z"}},
        {"resourceType": "Observation", "id": "obs", "status": "final", "code": concept("718-7", "Hemoglobin"),
         "valueQuantity": {"value": Decimal("13.50"), "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
         "referenceRange": [{"low": {"value": Decimal("12.0")}, "high": {"value": Decimal(16)}}],
         "interpretation": [concept("N", "Normal", f"{TERMS}/v3-ObservationInterpretation")],
         "effectiveDateTime": "2026-05-06T07:30:00Z", "performer": [ref("Organization/org")],
         "note": [{"text": "checked\ntwice"}]},
        {"resourceType": "Observation", "id": "bp", "status": "amended", "code": concept("85354-9", "Blood pressure"),
         "effectiveDateTime": "2026-05-06T07:30:00Z",
         "component": [{"code": concept("8480-6", "Systolic"), "valueQuantity": {"value": 120, "unit": "mmHg"}},
                       {"code": concept("8462-4", "Diastolic"), "valueQuantity": {"value": 80, "unit": "mmHg"}}]},
        {"resourceType": "DiagnosticReport", "id": "rep", "status": "corrected", "subject": ref("Patient/pat"),
         "identifier": [number("P-77", "PLAC"), number("F-100", "FILL")], "encounter": ref("Encounter/enc"),
         "code": concept("58410-2", "CBC"), "effectiveDateTime": "2026-05-06T07:30:00Z",
         "issued": "2026-05-06T09:00:00.123Z", "result": [ref("Observation/obs"), ref("Observation/bp")],
         "basedOn": [ref("ServiceRequest/req")],
         "specimen": [ref("Specimen/spm")], "resultsInterpreter": [ref("Practitioner/doc")]},
        {"resourceType": "ServiceRequest", "id": "req", "status": "active", "intent": "order", "priority": "stat",
         "subject": ref("Patient/pat"), "encounter": ref("Encounter/enc"), "identifier": [number("P-77", "PLAC")],
         "code": concept("58410-2", "CBC"), "authoredOn": "2026-05-06T07:00:00Z", "requester": ref("Practitioner/doc"),
         "occurrenceDateTime": "2026-05-06T08:00:00Z", "specimen": [ref("Specimen/spm")],
         "reasonCode": [{"text": "fatigue"}], "note": [{"text": "fasting"}]},
        {"resourceType": "Appointment", "id": "app", "status": "booked", "start": "2026-05-07T09:00:00+02:00",
         "end": "2026-05-07T09:30:00+02:00", "minutesDuration": 30, "reasonCode": [{"text": "eye exam"}],
         "serviceType": [concept("OPH", "Ophthalmology", "http://example.org/services")],
         "participant": [{"status": "accepted", "actor": ref(f"{name}")}
                         for name in ("Patient/pat", "Practitioner/doc", "Location/loc")]},
        {"resourceType": "DocumentReference", "id": "doc1", "status": "current", "docStatus": "final",
         "type": concept("18842-5", "Discharge summary"), "subject": ref("Patient/pat"), "date": "2026-05-08T10:00:00Z",
         "author": [ref("Practitioner/doc")], "masterIdentifier": number("DOC-1"),
         "context": {"encounter": [ref("Encounter/enc")]},
         "content": [{"attachment": {"contentType": "application/pdf", "data": "JVBERi0=", "title": "Summary"}}]},
        {"resourceType": "ChargeItem", "id": "chg", "status": "billable", "subject": ref("Patient/pat"),
         "context": ref("Encounter/enc"), "identifier": [number("C-1")], "occurrenceDateTime": "2026-05-06",
         "code": concept("92004", "Eye exam", "http://www.ama-assn.org/go/cpt"), "quantity": {"value": 1},
         "priceOverride": {"value": Decimal("120.50"), "currency": "USD"},
         "performer": [{"actor": ref("Practitioner/doc")}], "reason": [concept("H40.9", "Glaucoma", "http://hl7.org/fhir/sid/icd-10-cm")]},
        {"resourceType": "Immunization", "id": "imm", "status": "completed", "patient": ref("Patient/pat"),
         "vaccineCode": concept("140", "Influenza", "http://hl7.org/fhir/sid/cvx"), "occurrenceDateTime": "2026-05-06",
         "primarySource": True, "lotNumber": "L7", "expirationDate": "2027-01-01",
         "doseQuantity": {"value": Decimal("0.5"), "unit": "mL", "system": "http://unitsofmeasure.org", "code": "mL"},
         "manufacturer": {"display": "Acme"}, "site": concept("LA", "Left arm", f"{TERMS}/v3-ActSite"),
         "route": concept("IM", "Intramuscular", f"{TERMS}/v3-RouteOfAdministration"),
         "performer": [{"actor": ref("Practitioner/doc")}]},
    )
}  # fmt: skip

ROOTS = {
    "ADT^A01": "Encounter/enc", "ADT^A28": "Patient/pat", "ADT^A40": "Patient/pat", "ORU^R01": "DiagnosticReport/rep",
    "ORM^O01": "ServiceRequest/req", "OML^O21": "ServiceRequest/req", "SIU^S12": "Appointment/app",
    "MDM^T02": "DocumentReference/doc1", "DFT^P03": "ChargeItem/chg", "VXU^V04": "Immunization/imm",
}  # fmt: skip


def content(message_type: str, **changes: Any) -> Content:
    retired = RESOURCES["Patient/old"] if message_type == "ADT^A40" else None
    at = datetime(2026, 5, 6, 7, 0, tzinfo=UTC)
    others = {} if message_type.startswith("ADT") else RESOURCES
    others = others or {
        k: v for k, v in RESOURCES.items() if k.split("/")[0] in ("Patient", "Practitioner", "Location")
    }
    return Content(RESOURCES[ROOTS[message_type]] | changes, others, "INSERT", at, retired)


def written(message_type: str, header: Header = HEADER, **changes: Any) -> str:
    """The message with line breaks."""
    return build(message_type, content(message_type, **changes), header).decode().replace("\r", "\n")


def file_of(message_type: str) -> Path:
    return GOLDEN / f"{message_type.lower().replace('^', '_')}.hl7"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in ROOTS:
        file_of(name).write_text(written(name), encoding="utf-8")
