"""Settlements 2 and 3: where FHIR is served, and what of it (fhir.base_url, capabilities, supported_resources)."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx
import pytest

from healthsync.bootstrap import build_hub
from healthsync.domains.audit import Action
from healthsync.entrypoints.web.application import Application
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings


async def _ready() -> dict[str, bool]:
    return {}


@pytest.fixture
async def configured(hub, database, tmp_path):
    """A client of a hub with these settings under `fhir`, and that hub."""
    opened = []

    async def make(**fhir):
        overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True}
        file = tmp_path / "healthsync.yaml"
        import yaml

        file.write_text(yaml.safe_dump({"healthsync": {"fhir": fhir}}))
        made = build_hub(load_settings(file, environ={}, overrides=overrides), hub.keyring, database, SystemClock())
        _, key = await made.register_client("x", ["admin"])
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
        transport = httpx.ASGITransport(app=Application(made, _ready))
        client = httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers)
        opened.extend([client.aclose, made.close])
        return client, made

    yield make
    for close in opened:
        await close()


PATIENT = {"resourceType": "Patient", "id": "p1"}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "a sign"},
    "subject": {"reference": "Patient/p1"},
}


def entry(method: str, url: str, resource: dict | None = None) -> dict:
    return {"request": {"method": method, "url": url}, **({"resource": resource} if resource else {})}


@pytest.mark.shows("fhir.base_url")
@pytest.mark.parametrize(
    ("base_url", "path", "links"),
    [
        ("/fhir", "/fhir", "http://hub/fhir"),
        ("https://fhir.hospital.org/api/", "/api", "https://fhir.hospital.org/api"),
        ("https://fhir.hospital.org", "/fhir", "https://fhir.hospital.org/fhir"),
        ("https://fhir.hospital.org/fhir/r4", "/fhir/r4", "https://fhir.hospital.org/fhir/r4"),
        ("/r4", "/r4", "http://hub/r4"),
    ],
)
async def test_fhir_is_served_where_the_public_address_says_and_links_lead_there(configured, base_url, path, links):
    client, _ = await configured(base_url=base_url)
    statement = (await client.get(f"{path}/metadata")).json()
    assert urljoin("http://hub", statement["implementation"]["url"]) == links
    created = await client.put(f"{path}/Patient/p1", json=PATIENT)
    assert created.headers["location"] == f"{links}/Patient/p1/_history/1"
    found = (await client.get(f"{path}/Patient?_id=p1")).json()
    assert urljoin("http://hub", found["entry"][0]["fullUrl"]) == f"{links}/Patient/p1"
    assert all(urljoin("http://hub", link["url"]).startswith(f"{links}/Patient") for link in found["link"])
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient/p1")]}
    assert (await client.post(path, json=batch)).json()["entry"][0]["response"]["status"].startswith("200")


@pytest.mark.parametrize("base_url", ["/fhir", "https://fhir.hospital.org/api", "/fhir/r4"])
async def test_api_fhir_is_an_alias_whatever_the_address(configured, base_url):
    client, _ = await configured(base_url=base_url)
    assert (await client.put("/api/fhir/Patient/p1", json=PATIENT)).status_code == 201
    for prefix in ("/api/fhir", "/fhir"):
        assert (await client.get(f"{prefix}/Patient/p1")).status_code == 200
        assert (await client.get(f"{prefix}/metadata")).status_code == 200


async def test_with_fhir_under_api_the_other_apis_below_it_stay_where_they_are(configured):
    client, _ = await configured(base_url="https://fhir.hospital.org/api")
    await client.put("/api/Patient/p1", json=PATIENT)
    answer = await client.get("/api/v1/healthsync/patients/pat_p1")
    assert (answer.status_code, answer.json()["id"]) == (200, "pat_p1")
    listed = (await client.get("/api/v1/healthsync/patients")).json()
    assert listed["entry"][0]["fullUrl"] == "https://fhir.hospital.org/api/v1/healthsync/patients/pat_p1"
    created = await client.post("/api/v1/healthsync/observations", json=OBSERVATION)
    assert created.headers["location"].startswith("https://fhir.hospital.org/api/v1/healthsync/observations/")
    assert (await client.delete("/api/v1/healthsync/patients")).status_code == 405
    assert (await client.get("/api/v1/nothing")).status_code == 404


@pytest.mark.shows("fhir.supported_resources")
async def test_a_type_that_is_not_offered_is_nowhere_on_the_rest_surface(configured):
    client, hub = await configured(supported_resources=["Patient"])
    statement = (await client.get("/fhir/metadata")).json()
    assert [one["type"] for one in statement["rest"][0]["resource"]] == ["Patient"]
    assert (await client.put("/fhir/Patient/p1", json=PATIENT)).status_code == 201
    for method, path in (("GET", "Observation/x"), ("GET", "Observation"), ("POST", "Observation"), ("PUT", "Observation/x"),
                         ("DELETE", "Observation/x"), ("GET", "Observation/x/_history"),
                         ("GET", "Observation/x/_history/1")):  # fmt: skip
        assert (await client.request(method, f"/fhir/{path}", json=OBSERVATION)).status_code == 404, (method, path)
    assert (await client.get("/api/v1/healthsync/observations")).status_code == 404
    assert (await client.post("/api/v1/healthsync/observations", json=OBSERVATION)).status_code == 404
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [
        entry("POST", "Observation", OBSERVATION), entry("GET", "Observation?code=x"), entry("GET", "Patient/p1")]}  # fmt: skip
    answer = (await client.post("/fhir", json=batch)).json()
    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["404", "404", "200"]
    assert (await client.post("/fhir", json={**batch, "type": "transaction"})).status_code == 404
    # Partners are not clients: what they send in is stored.
    async with hub.database.transaction() as tx:
        audit = submission_audit(Action.EXECUTE, "message")
        stored = await hub.ingest(tx, Submission("partner", [Incoming({**OBSERVATION, "id": "o1"}, "update")], audit))
    assert stored.stored[0].outcome == "created"
    for path in ("Patient/p1/$everything", "Patient?_id=p1&_revinclude=Observation:patient", "Patient/p1/*", "_history",
                 "?_type=Patient,Observation&_lastUpdated=gt2000"):  # fmt: skip
        answer = await client.get(f"/fhir/{path}" if not path.startswith("?") else f"/fhir{path}")
        assert answer.status_code in (200, 404), path
        assert "Observation/o1" not in answer.text, path


@pytest.mark.shows("fhir.capabilities")
async def test_an_interaction_that_is_not_offered_is_405_and_the_answer_says_what_is_allowed(configured):
    client, _ = await configured(capabilities=["read", "search", "update"])
    statement = (await client.get("/fhir/metadata")).json()
    patient = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Patient")
    assert {one["code"] for one in patient["interaction"]} == {"read", "search-type", "update"}
    assert (await client.put("/fhir/Patient/p1", json=PATIENT)).status_code == 201
    for method, path, allow in (("POST", "Patient", "GET"), ("DELETE", "Patient/p1", "GET, PUT"),
                                ("GET", "Patient/p1/_history", "")):  # fmt: skip
        answer = await client.request(method, f"/fhir/{path}", json=PATIENT)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow), (method, path)
        assert answer.json()["issue"][0]["code"] == "not-supported"
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [
        entry("POST", "Patient", PATIENT), entry("DELETE", "Patient/p1"), entry("GET", "Patient/p1")]}  # fmt: skip
    answer = (await client.post("/fhir", json=batch)).json()
    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["405", "405", "200"]
    assert (await client.post("/api/v1/healthsync/observations", json=OBSERVATION)).status_code == 405


@pytest.mark.shows("fhir.reference_integrity")
async def test_a_writer_who_asks_for_the_outcome_is_warned_of_what_is_not_here(configured):
    client, _ = await configured(reference_integrity="warn")
    await client.put("/fhir/Patient/p1", json=PATIENT)
    dangling = {**OBSERVATION, "encounter": {"reference": "Encounter/later"}}
    answer = await client.post("/fhir/Observation", json=dangling, headers={"Prefer": "return=OperationOutcome"})
    assert answer.status_code == 201
    [issue] = answer.json()["issue"]
    assert (issue["severity"], issue["code"], issue["expression"]) == (
        "warning",
        "not-found",
        ["Observation.encounter"],
    )
    fine = await client.post("/fhir/Observation", json=OBSERVATION, headers={"Prefer": "return=OperationOutcome"})
    assert fine.json()["issue"][0]["severity"] == "information"


async def test_enforce_answers_422_with_the_place(configured):
    client, _ = await configured(reference_integrity="enforce")
    answer = await client.post("/fhir/Observation", json=OBSERVATION)
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, ["Observation.subject"])
