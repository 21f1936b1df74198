"""/api/integrations over HTTP: what is converted, what is imported, what is refused, and how each call is recorded."""

from __future__ import annotations

import pytest

JOHN = {
    "id": "patient-123",
    "firstName": "John",
    "lastName": "Doe",
    "dateOfBirth": "1980-05-15",
    "gender": "male",
    "phone": "555-1234",
    "mrn": "MRN-12345",
    "address": "123 Main St",
}
API = "/api/integrations"


async def test_a_record_is_answered_as_a_fhir_patient(client_as):
    nurse = await client_as("nurse")
    answer = await nurse.post(f"{API}/fhir/patient", json=JOHN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert (answer.json()["resourceType"], answer.json()["birthDate"]) == ("Patient", "1980-05-15")


async def test_a_stored_patient_is_converted_through_the_gate_out(admin, client_as, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    billing, researcher = await client_as("billing"), await client_as("researcher")
    shown = (await admin.post(f"{API}/fhir/patient", json={"patientId": f"pat_{id_}"})).json()
    assert (shown["id"], shown["birthDate"]) == (id_, "1971-03-09")
    assert "birthDate" not in (await billing.post(f"{API}/fhir/patient", json={"patientId": id_})).json()
    assert (await researcher.post(f"{API}/fhir/patient", json={"patientId": id_})).status_code == 403
    assert (await admin.post(f"{API}/fhir/patient", json={"patientId": "nobody"})).status_code == 404


async def test_an_import_is_stored_once_however_often_it_comes(admin):
    fhir = (await admin.post(f"{API}/fhir/patient", json=JOHN)).json()
    first = await admin.post(f"{API}/fhir/patient/import", json=fhir)
    assert first.status_code == 201, first.text
    stored = first.json()["patient"]
    assert stored == {**JOHN, "id": stored["id"]}
    assert first.headers["location"].endswith(f"/fhir/Patient/{stored['id']}")
    again = await admin.post(f"{API}/fhir/patient/import", json={**fhir, "id": "patient-123"})
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    changed = await admin.post(f"{API}/fhir/patient/import", json={**fhir, "gender": "unknown"})
    assert (changed.status_code, changed.json()["outcome"]) == (200, "updated")
    assert (await admin.get("/fhir/Patient?family=doe")).json()["total"] == 1


async def test_what_one_client_imports_never_overwrites_what_another_did(admin, client_as):
    fhir = (await admin.post(f"{API}/fhir/patient", json=JOHN)).json()
    other = await client_as("system")
    one = (await admin.post(f"{API}/fhir/patient/import", json=fhir)).json()["patient"]["id"]
    two = (await other.post(f"{API}/fhir/patient/import", json={**fhir, "gender": "unknown"})).json()["patient"]["id"]
    assert one != two
    assert (await admin.get(f"/fhir/Patient/{one}")).json()["gender"] == "male"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Patient", "birthDate": "1980-02-30"}, 400),
        ({"resourceType": "Observation"}, 400),
        ({"firstName": "John"}, 400),
        ({"resourceType": "Patient", "identifier": "x"}, 400),
    ],
)
async def test_an_import_that_is_no_valid_patient_is_refused(admin, body, status):
    answer = await admin.post(f"{API}/fhir/patient/import", json=body)
    assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome"), answer.text


async def test_a_role_that_may_not_write_patients_imports_none(client_as):
    nurse = await client_as("nurse")
    assert (await nurse.post(f"{API}/fhir/patient/import", json={"resourceType": "Patient"})).status_code == 403


async def test_an_adt_is_made_and_parsed_again(admin):
    made = await admin.post(f"{API}/hl7/adt", json={"patient": JOHN, "event": "A04"})
    assert made.status_code == 200, made.text
    assert made.json()["messageType"] == "ADT^A04"
    parsed = (await admin.post(f"{API}/hl7/parse", json={"message": made.json()["message"]})).json()
    assert parsed["patient"] == JOHN
    assert parsed["controlId"] == made.json()["controlId"]
    assert [segment["name"] for segment in parsed["segments"]] == ["MSH", "EVN", "PID", "PV1"]


async def test_an_adt_about_a_stored_patient_passes_the_gate_out(admin, client_as, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    made = (await admin.post(f"{API}/hl7/adt", json={"patientId": id_})).json()
    assert "Quennell^Ottoline^May" in made["message"]
    assert (await (await client_as("researcher")).post(f"{API}/hl7/adt", json={"patientId": id_})).status_code == 403


async def test_a_message_may_be_sent_as_it_is(admin):
    message = "MSH|^~\\&|A|B|C|D|20240101||ADT^A04|1|P|2.5.1\rPID|1||7^^^X^MR||Doe^Jane"
    answer = await admin.post(f"{API}/hl7/parse", content=message, headers={"Content-Type": "text/plain"})
    assert answer.json()["patient"] == {"mrn": "7", "firstName": "Jane", "lastName": "Doe"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("hl7/parse", {"message": "hello"}),
        ("hl7/parse", {"message": 7}),
        ("hl7/parse", {}),
        ("hl7/adt", {}),
        ("hl7/adt", {"patient": JOHN, "event": "A99"}),
        ("hl7/adt", {"patient": [], "event": "A04"}),
        ("fhir/patient", {"gender": "masculine", "mrn": "1"}),
        ("fhir/patient", {"patientId": 7}),
        ("fhir/patient", {}),
    ],
)
async def test_what_cannot_be_read_is_answered_with_a_sentence(admin, path, body):
    answer = await admin.post(f"{API}/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["diagnostics"]


async def test_every_call_is_recorded(admin, hub):
    await admin.post(f"{API}/fhir/patient", json=JOHN)
    await admin.post(f"{API}/hl7/adt", json={"patient": JOHN})
    await admin.post(f"{API}/fhir/patient/import", json={"resourceType": "Patient"})
    async with hub.database.connection() as tx:
        seen = [row.entry["interaction"] for row in await hub.audit.search(tx)]
    assert seen == ["import-patient", "create-adt", "convert-patient"]


async def test_openapi_describes_the_four_addresses(client_as, application):
    described = (await (await client_as()).get(f"{API}/openapi.json")).json()
    assert set(described["paths"]) == {"/fhir/patient", "/fhir/patient/import", "/hl7/adt", "/hl7/parse"}
    for path in described["paths"]:
        assert application.router.find("POST", f"{API}{path}")[0] is not None
