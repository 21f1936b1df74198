"""/api/v1/healthsync as requirements-healthsync.md writes it, behind the same gates as /fhir."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

API = "/api/v1/healthsync"

OBSERVATION = """
{
  "resourceType": "Observation",
  "status": "final",
  "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
  "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
  "subject": {"reference": "Patient/pat_12345"},
  "effectiveDateTime": "2024-01-15T10:30:00Z",
  "valueQuantity": {"value": 72.50, "unit": "beats/minute", "system": "http://unitsofmeasure.org", "code": "/min"}
}
"""

CONSENT = {
    "patient_id": "pat_12345",
    "consent_type": "research_data_sharing",
    "status": "active",
    "scope": {
        "purposes": ["clinical_research", "quality_improvement"],
        "data_categories": ["demographics", "diagnoses", "procedures"],
        "exclude": ["mental_health", "substance_abuse"],
    },
    "period": {"start": "2024-01-01", "end": "2036-01-01"},
    "provision": {"actor": [{"role": "researcher", "organization": "Harvard Medical School"}]},
}


@pytest.fixture
async def known(admin, patient) -> str:
    """The patient 12345."""
    answer = await admin.put("/fhir/Patient/12345", json={**patient, "id": "12345"})
    assert answer.status_code == 201
    return "12345"


async def test_a_patient_is_read_under_his_alias_and_under_his_id(admin, known):
    for id_ in ("pat_12345", "12345"):
        answer = await admin.get(f"{API}/patients/{id_}", headers={"X-Purpose": "treatment"})
        assert answer.status_code == 200
        assert answer.headers["etag"] == 'W/"1"'
        assert answer.json()["id"] == "pat_12345"
    assert (await admin.get("/fhir/Patient/12345")).json()["id"] == "12345"
    assert (await admin.get("/fhir/Patient/pat_12345")).status_code == 404


async def test_the_observation_of_the_requirement_is_stored_as_written(admin, known):
    answer = await admin.post(f"{API}/observations", content=OBSERVATION)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"http://hub{API}/observations/{body['id']}"
    assert body["subject"] == {"reference": "Patient/pat_12345"}
    assert '"value":72.50' in answer.text
    stored = await admin.get(f"/fhir/Observation/{body['id']}")
    assert stored.json()["subject"] == {"reference": "Patient/12345"}
    again = await admin.get(answer.headers["location"])
    assert again.json()["subject"] == {"reference": "Patient/pat_12345"}
    assert (await admin.get(f"{API}/encounters/{body['id']}")).status_code == 404


async def test_an_observation_may_also_name_the_patient_by_his_legal_id(admin, known):
    body = OBSERVATION.replace("pat_12345", "12345")
    answer = await admin.post(f"{API}/observations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert answer.json()["subject"]["reference"] == "Patient/pat_12345"


async def test_lists_take_fhir_filters_with_aliases(admin, known):
    created = (await admin.post(f"{API}/observations", content=OBSERVATION)).json()["id"]
    for query in ("patient_id=pat_12345", "patient=pat_12345", "subject=Patient/pat_12345", "patient=12345",
                  "patient=Patient/pat_nobody,Patient/pat_12345"):  # fmt: skip
        found = (await admin.get(f"{API}/observations?{query}&code=8867-4")).json()
        assert found["resourceType"] == "Bundle"
        [entry] = found["entry"]
        assert entry["fullUrl"] == f"http://hub{API}/observations/{created}"
        assert entry["resource"]["subject"]["reference"] == "Patient/pat_12345"
        assert (await admin.get(f"{API}/observations?{query}&code=718-7")).json()["total"] == 0


async def test_an_unknown_filter_is_refused_as_on_fhir(admin, known):
    assert (await admin.get(f"{API}/observations?shoe-size=44")).status_code == 400
    assert (await admin.get(f"{API}/practitioners?patient_id=pat_12345")).status_code == 400


async def test_logical_tables_are_views_of_their_type(admin, known):
    await admin.post(f"{API}/observations", content=OBSERVATION)
    laboratory = OBSERVATION.replace("vital-signs", "laboratory").replace("8867-4", "718-7")
    await admin.post(f"{API}/observations", content=laboratory)
    for table, code in (("vitals", "8867-4"), ("lab_results", "718-7")):
        found = (await admin.get(f"{API}/{table}?patient_id=pat_12345")).json()
        assert [e["resource"]["code"]["coding"][0]["code"] for e in found["entry"]] == [code]
        refused = await admin.post(f"{API}/{table}", content=OBSERVATION)
        assert refused.status_code == 400
        assert "observations" in refused.json()["issue"][0]["diagnostics"]


async def test_the_pages_of_a_list_are_this_apis_own_and_lose_nothing(admin, known):
    for _ in range(5):
        await admin.post(f"{API}/observations", content=OBSERVATION)
    seen, url = [], f"{API}/vitals?patient_id=pat_12345&_count=2"
    while url:
        page = (await admin.get(url)).json()
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert all(urlsplit(link).path == f"{API}/vitals" for link in links.values())
        url = links.get("next")
    assert len(seen) == len(set(seen)) == 5


async def test_a_resource_is_replaced_under_its_alias_with_the_conditions_of_fhir(admin, known):
    patient = (await admin.get(f"{API}/patients/pat_12345")).json()
    changed = {**patient, "gender": "unknown"}
    answer = await admin.put(f"{API}/patients/pat_12345", json=changed, headers={"If-Match": 'W/"1"'})
    assert (answer.status_code, answer.json()["id"], answer.headers["etag"]) == (200, "pat_12345", 'W/"2"')
    assert (await admin.put(f"{API}/patients/12345", json=changed, headers={"If-Match": 'W/"1"'})).status_code == 412
    assert (await admin.put(f"{API}/patients/pat_other", json=changed)).status_code == 400
    not_modified = await admin.get(f"{API}/patients/pat_12345", headers={"If-None-Match": 'W/"2"'})
    assert (not_modified.status_code, not_modified.content) == (304, b"")


async def test_every_collection_of_the_requirement_is_listed(admin, known):
    for table in ("encounters", "appointments", "medications", "medication_orders", "diagnoses", "conditions", "procedures",
                  "allergies", "diagnostic_reports", "coverages", "consents", "patients"):  # fmt: skip
        answer = await admin.get(f"{API}/{table}?patient_id=pat_12345")
        assert answer.status_code == 200, answer.text
        assert answer.json()["total"] == (1 if table == "patients" else 0), table


async def test_what_this_hub_does_not_do_yet_is_not_there(admin):
    for path in ("deidentify", "devices", "analytics", "research", "patients/pat_1/x"):
        assert (await admin.get(f"{API}/{path}")).status_code == 404, path
        assert (await admin.post(f"{API}/{path}", json={})).status_code == 404, path


async def test_the_consent_of_the_requirement_becomes_a_fhir_consent(admin, known):
    answer = await admin.post(f"{API}/consent", json=CONSENT, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    consent = answer.json()
    assert answer.headers["location"] == f"http://hub{API}/consent/{consent['id']}"
    assert consent["patient"] == {"reference": "Patient/pat_12345"}
    provision = consent["provision"]
    assert provision["type"] == "permit"
    assert provision["period"] == CONSENT["period"]
    assert [coding["code"] for coding in provision["purpose"]] == ["HRESCH", "HQUALIMP"]
    assert [coding["code"] for coding in provision["class"]] == ["Patient", "Condition", "Procedure"]
    assert provision["actor"][0]["reference"]["display"] == "Harvard Medical School"
    assert [inner["securityLabel"][0]["code"] for inner in provision["provision"]] == ["PSY", "ETH"]
    assert (await admin.get(f"/fhir/Consent/{consent['id']}")).json()["patient"] == {"reference": "Patient/12345"}


async def test_a_consent_about_research_leaves_treatment_open(admin, client_as, known):
    await admin.post(f"{API}/consent", json=CONSENT)
    physician = await client_as("physician")
    assert (await physician.get(f"{API}/patients/pat_12345")).status_code == 200


async def test_a_consent_may_say_no_in_plain_words_and_be_withdrawn(admin, client_as, known):
    refusal = {"patient_id": "pat_12345", "consent_type": "treatment", "provision": {"type": "deny"},
               "scope": {"purposes": ["treatment"]}}  # fmt: skip
    physician = await client_as("physician")
    consent = (await admin.post(f"{API}/consent", json=refusal)).json()
    assert (await physician.get(f"{API}/patients/pat_12345")).status_code == 404
    withdrawn = await admin.put(f"{API}/consents/{consent['id']}", json={**consent, "status": "inactive"})
    assert withdrawn.status_code == 200
    assert (await physician.get(f"{API}/patients/pat_12345")).status_code == 200


NOT_UNDERSTOOD = [
    ({"patient_id": None}, "patient_id"),
    ({"status": "maybe"}, "status"),
    ({"scope": {"purposes": ["fun"]}}, "scope.purposes"),
    ({"scope": {"exclude": ["everything"]}}, "scope.exclude"),
    ({"scope": {"porpoises": []}}, "scope.*"),
    ({"provision": {"actor": [{"role": "researcher"}]}}, "provision.actor.organization"),
    ({"period": {"start": "yesterday"}}, "Consent.provision.period.start"),
    ({"patient": "pat_12345"}, "*"),
]


async def test_a_consent_is_not_guessed(admin, known):
    for change, key in NOT_UNDERSTOOD:
        answer = await admin.post(f"{API}/consent", json={**CONSENT, **change})
        assert answer.status_code in (400, 422), change
        assert answer.json()["issue"][0]["expression"] == [key]


async def test_a_stranger_and_a_role_without_right_learn_nothing(admin, client_as, known):
    stranger, researcher = await client_as(), await client_as("researcher")
    for method, path in (("GET", "patients/pat_12345"), ("GET", "patients"), ("POST", "observations")):
        assert (await stranger.request(method, f"{API}/{path}", content=OBSERVATION)).status_code == 401
        refused = await researcher.request(method, f"{API}/{path}", content=OBSERVATION)
        assert refused.status_code == 403
        assert refused.json()["resourceType"] == "OperationOutcome"


async def test_a_role_that_sees_some_elements_sees_those_only(client_as, known):
    shown = (await (await client_as("billing")).get(f"{API}/patients/pat_12345")).json()
    assert "birthDate" not in shown
    assert shown["id"] == "pat_12345"


async def test_a_stranger_does_not_make_the_hub_read_a_body(client_as):
    stranger = await client_as()

    async def body():
        pytest.fail("the body of somebody unknown was read")
        yield b""

    assert (await stranger.post(f"{API}/observations", content=body())).status_code == 401


async def test_openapi_describes_exactly_what_is_served(client_as, application):
    described = (await (await client_as()).get(f"{API}/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    assert described["servers"] == [{"url": f"http://hub{API}"}]
    for path, item in described["paths"].items():
        for method in ("get", "post", "put"):
            route, _, _ = application.router.find(method.upper(), f"{API}{path.replace('{id}', 'x')}")
            assert route is not None or method not in item, (method, path)
    for route in application.router.routes:
        path = route.surface.path.removeprefix(API)
        if path != route.surface.path and not path.startswith("/{collection}"):
            assert described["paths"][path][route.surface.method.lower()]["summary"], path
    assert set(described["paths"]["/vitals"]) == {"get"}
    assert set(described["paths"]["/patients/{id}"]) == {"get", "put"}
    references = [text for text in json.dumps(described).split('"') if text.startswith("#/components/schemas/")]
    assert {text.rpartition("/")[2] for text in references} == set(described["components"]["schemas"])
