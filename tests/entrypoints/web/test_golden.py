"""Patient/[id]/$golden: the person whom a source patient belongs to."""

from __future__ import annotations

import httpx
import pytest

from healthsync.bootstrap import build_hub
from healthsync.domains.access import RolePolicy
from healthsync.entrypoints.web.application import Application
from healthsync.errors import ConfigurationError
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings

OTHER = [{"system": "urn:oid:4.5.6", "value": "X-9"}]


async def _known(client, patient) -> str:
    return (await client.post("/fhir/Patient", json=patient)).json()["id"]


async def test_a_patient_of_any_source_leads_to_the_golden_record_of_the_person(admin, patient):
    one, other = await _known(admin, patient), await _known(admin, {**patient, "identifier": OTHER})
    found = [(await admin.get(f"/fhir/Patient/{id_}/$golden")).json() for id_ in (one, other)]
    assert found[0] == found[1]
    assert found[0]["resourceType"] == "Patient"
    assert found[0]["id"] not in (one, other)
    assert {link["other"]["reference"] for link in found[0]["link"]} == {f"Patient/{one}", f"Patient/{other}"}
    assert {number["value"] for number in found[0]["identifier"]} == {"MRN-000111", "X-9"}
    told = {
        part["valueCode"] for each in found[0]["extension"] for part in each["extension"] if part["url"] == "element"
    }
    assert {"identifier", "name", "gender", "birthDate", "telecom", "address"} == told


async def test_what_the_requester_may_not_see_is_no_part_of_it(admin, client_as, patient):
    one, other = await _known(admin, patient), await _known(admin, {**patient, "identifier": OTHER})
    (await admin.delete(f"/fhir/Patient/{other}")).raise_for_status()
    assert [
        link["other"]["reference"] for link in (await admin.get(f"/fhir/Patient/{one}/$golden")).json()["link"]
    ] == [f"Patient/{one}"]
    assert (await admin.get(f"/fhir/Patient/{other}/$golden")).status_code == 404
    assert (await admin.get("/fhir/Patient/nobody/$golden")).status_code == 404
    assert (await (await client_as()).get(f"/fhir/Patient/{one}/$golden")).status_code == 401


async def test_a_role_that_sees_a_patient_in_part_sees_the_person_in_part(admin, client_as, patient):
    id_ = await _known(admin, patient)
    golden = (await (await client_as("billing")).get(f"/fhir/Patient/{id_}/$golden")).json()
    assert set(golden) == {"resourceType", "id", "meta", "identifier", "name", "active", "link"}
    assert golden["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert "extension" in (await admin.get(f"/fhir/Patient/{id_}/$golden")).json()


async def test_a_person_is_put_together_of_what_a_role_sees_of_its_patients(admin, client_as, patient, monkeypatch):
    id_ = await _known(admin, patient)
    enterprise_id = (await admin.get(f"/fhir/Patient/{id_}/$golden")).json()["id"]
    whole = (await admin.get(f"/fhir/Person/{enterprise_id}")).json()
    may = RolePolicy.load().interactions
    monkeypatch.setitem(may, "billing", {**may["billing"], "Person": frozenset("r")})
    part = (await (await client_as("billing")).get(f"/fhir/Person/{enterprise_id}")).json()
    assert part["name"] == whole["name"]
    assert "birthDate" in whole
    assert "birthDate" not in part


@pytest.mark.shows("mpi.source_trust", "mpi.survivorship_path")
async def test_trust_and_rules_decide_as_they_are_set(hub, database, tmp_path, patient):
    keys = {name: (await hub.register_client(name, ["admin"]))[1] for name in ("registry", "ward")}
    registry_id = keys["registry"].split("_")[1]
    rules, file = tmp_path / "survivorship.yaml", tmp_path / "healthsync.yaml"
    rules.write_text("elements: {address: {keep: record, order: [trusted, recent]}}")
    file.write_text(f"healthsync: {{mpi: {{survivorship_path: {rules}, source_trust: {{'{registry_id}': 5}}}}}}")
    settled = build_hub(load_settings(file, environ={}), hub.keyring, database, SystemClock())

    async def ready() -> dict:
        return {}

    def client(name: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {keys[name]}", "Content-Type": "application/fhir+json"}
        transport = httpx.ASGITransport(app=Application(settled, ready))
        return httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers)

    async with client("registry") as registry, client("ward") as ward:
        await _known(registry, {**patient, "address": [{"city": "Registered"}]})
        id_ = await _known(ward, {**patient, "identifier": OTHER, "address": [{"city": "Told"}]})
        golden = (await ward.get(f"/fhir/Patient/{id_}/$golden")).json()
    assert golden["address"] == [{"city": "Registered"}]
    assert "birthDate" not in golden
    await settled.close()


async def test_rules_that_cannot_be_read_stop_the_start_with_a_sentence(hub, database, tmp_path):
    settings = load_settings(None, environ={}, overrides={"mpi.survivorship_path": str(tmp_path / "none.yaml")})
    with pytest.raises(ConfigurationError, match=r"mpi\.survivorship_path cannot be read"):
        build_hub(settings, hub.keyring, database, SystemClock())
