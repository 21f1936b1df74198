"""Observation/$lastn and DocumentReference/$docref, through the gate out."""

from __future__ import annotations

import pytest
from tests.consents import opt_out

LOINC = "http://loinc.org"
LAB = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}


def observed(patient_id: str, *codes: str, at: str | None, value: int, category: dict = LAB) -> dict:
    """An observation under these LOINC codes."""
    effective = {} if at is None else {"effectiveDateTime": at}
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [category]}],
        "code": {"coding": [{"system": LOINC, "code": code} for code in codes]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "valueInteger": value,
        **effective,
    }


def document(patient_id: str, type_: str, *, date: str, period: dict | None = None, status: str = "current") -> dict:
    """A reference to a document."""
    return {
        "resourceType": "DocumentReference",
        "status": status,
        "type": {"coding": [{"system": LOINC, "code": type_}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "date": date,
        "description": f"{type_} of {date[:10]}",
        "content": [{"attachment": {"url": "urn:uuid:6d1e3b9e-30ab-4c3c-9c6a-6ba7f66f6f6e"}}],
        **({"context": {"period": period}} if period else {}),
    }


@pytest.fixture
async def patient_id(admin, patient) -> str:
    """A patient with observations."""
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    for resource in (
        observed(id_, "718-7", at="2024-01-01", value=1),
        observed(id_, "718-7", at="2024-03-01T10:00:00Z", value=3),
        observed(id_, "718-7", at="2024-02", value=2),
        observed(id_, "718-7", at=None, value=0),
        observed(id_, "2345-7", at="2023-05-05", value=10),
        observed(id_, "2339-0", "2345-7", at="2023-06-06", value=11),
        observed(id_, "2339-0", at="2023-07-07", value=12),
        observed(id_, "8867-4", at="2024-05-05", value=80, category={**LAB, "code": "vital-signs"}),
    ):
        answer = await admin.post("/fhir/Observation", json=resource)
        assert answer.status_code == 201, answer.text
    return id_


async def values(client, query: str) -> list[int]:
    """The values that $lastn answers, in order."""
    answer = await client.get(f"/fhir/Observation/$lastn?{query}")
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["type"], bundle["total"]) == ("searchset", len(bundle.get("entry", [])))
    return [entry["resource"]["valueInteger"] for entry in bundle.get("entry", [])]


async def test_the_newest_observation_of_each_code_goes_first(admin, patient_id):
    assert await values(admin, f"patient={patient_id}&category=laboratory") == [3, 12]
    assert await values(admin, f"patient={patient_id}&category=laboratory&max=2") == [3, 2, 12, 11]
    assert await values(admin, f"subject=Patient/{patient_id}&category=laboratory&max=9") == [3, 2, 1, 0, 12, 11, 10]
    assert await values(admin, f"patient={patient_id}&code={LOINC}|718-7,8867-4") == [80, 3]
    assert await values(admin, "patient=nobody&category=laboratory") == []


async def test_the_newest_observations_are_asked_for_by_post_too(admin, patient_id):
    parameters = [
        {"name": "subject", "valueReference": {"reference": f"Patient/{patient_id}"}},
        {"name": "category", "valueCoding": LAB},
        {"name": "max", "valuePositiveInt": 1},
    ]
    answer = await admin.post("/fhir/Observation/$lastn", json={"resourceType": "Parameters", "parameter": parameters})
    assert [entry["resource"]["valueInteger"] for entry in answer.json()["entry"]] == [3, 12]


async def test_a_question_that_lastn_cannot_answer_is_refused(admin):
    wrong = ("max=0", "max=1001", "max=many", "colour=red")
    for query in ("category=laboratory", "patient=x", *(f"patient=x&category=y&{part}" for part in wrong)):
        assert (await admin.get(f"/fhir/Observation/$lastn?{query}")).status_code == 400, query


async def test_more_observations_than_lastn_looks_at_are_too_costly(admin, patient_id, monkeypatch):
    monkeypatch.setattr("healthsync.exchange.operations.lastn._PAGE", 2)
    assert await values(admin, f"patient={patient_id}&category=laboratory") == [3, 12]
    monkeypatch.setattr("healthsync.exchange.operations.lastn.MOST_OBSERVATIONS", 4)
    answer = await admin.get(f"/fhir/Observation/$lastn?patient={patient_id}&category=laboratory")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "too-costly")


async def test_consent_and_roles_hold_for_lastn_and_docref(admin, client_as, patient_id):
    consent = opt_out(patient_id)
    await admin.post("/fhir/DocumentReference", json=document(patient_id, "34133-9", date="2024-01-01T00:00:00Z"))
    physician, researcher = await client_as("physician"), await client_as("researcher")
    assert await values(physician, f"patient={patient_id}&category=laboratory") == [3, 12]
    docref = f"/fhir/DocumentReference/$docref?patient={patient_id}"
    assert (await physician.get(docref)).json()["total"] == 1
    assert (await admin.post("/fhir/Consent", json=consent)).status_code == 201
    assert await values(physician, f"patient={patient_id}&category=laboratory") == []
    assert (await physician.get(docref)).json()["total"] == 0
    assert (await researcher.get(docref)).status_code == 403
    assert (await researcher.get(f"/fhir/Observation/$lastn?patient={patient_id}&code=x")).status_code == 403


async def test_each_use_of_lastn_is_recorded_with_its_patient(admin, hub, database, patient_id):
    await values(admin, f"patient={patient_id}&category=laboratory")
    async with database.connection() as tx:
        rows = await hub.audit.search(tx)
    assert any(row.entry["interaction"] == "search-type" and f"Patient/{patient_id}" in str(row.entry) for row in rows)


@pytest.fixture
async def documents(admin, patient_id) -> str:
    """The patient's documents; his id."""
    for resource in (
        document(
            patient_id, "34133-9", date="2023-01-01T00:00:00Z", period={"start": "2022-12-01", "end": "2022-12-31"}
        ),
        document(patient_id, "34133-9", date="2024-01-01T00:00:00Z", period={"start": "2023-12-01"}),
        document(patient_id, "18842-5", date="2023-06-01T00:00:00Z"),
        document(patient_id, "34133-9", date="2025-01-01T00:00:00Z", status="superseded"),
    ):
        answer = await admin.post("/fhir/DocumentReference", json=resource)
        assert answer.status_code == 201, answer.text
    return patient_id


DOCREF = [
    ("", ["34133-9 of 2024-01-01"]),
    ("&type=18842-5", ["18842-5 of 2023-06-01"]),
    (f"&type={LOINC}|34133-9", ["34133-9 of 2024-01-01"]),
    ("&start=2022-01-01", ["34133-9 of 2024-01-01", "18842-5 of 2023-06-01", "34133-9 of 2023-01-01"]),
    ("&start=2023", ["34133-9 of 2024-01-01", "18842-5 of 2023-06-01"]),
    ("&start=2022-12-15&end=2022-12-20", ["34133-9 of 2023-01-01"]),
    ("&start=2023-01-01&end=2023-06-01", ["18842-5 of 2023-06-01"]),
    ("&end=2022-11", []),
]


async def test_documents_are_found_by_the_time_of_care_and_type(admin, documents):
    for query, expected in DOCREF:
        answer = await admin.get(f"/fhir/DocumentReference/$docref?patient={documents}{query}")
        assert answer.status_code == 200, answer.text
        assert [e["resource"]["description"] for e in answer.json().get("entry", [])] == expected, query


async def test_a_document_on_demand_is_not_made_and_the_answer_says_so(admin, documents):
    parameters = [
        {"name": "patient", "valueId": documents},
        {"name": "type", "valueCodeableConcept": {"coding": [{"system": LOINC, "code": "34133-9"}]}},
        {"name": "on-demand", "valueBoolean": True},
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    entries = (await admin.post("/fhir/DocumentReference/$docref", json=body)).json()["entry"]
    assert [entry["search"]["mode"] for entry in entries] == ["match", "outcome"]
    assert "on demand" in entries[1]["resource"]["issue"][0]["diagnostics"]


async def test_a_question_that_docref_cannot_answer_is_refused(admin):
    for query in ("", "patient=a&patient=b", "patient=x&start=yesterday", "patient=x&on-demand=maybe", "patient=x&a=b"):
        assert (await admin.get(f"/fhir/DocumentReference/$docref?{query}")).status_code == 400, query
