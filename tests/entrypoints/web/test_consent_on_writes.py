"""What consent withholds from a client it cannot replace or delete by id either (security.html, http.html#update)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.access import RolePolicy

AMENDED = {"status": "amended"}


@pytest.fixture
async def withheld(admin, patient, observation) -> dict[str, Any]:
    """An Observation, as stored, of a patient who denies its use for treatment; administrators still see it."""
    patient_id = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    stored = (await admin.post("/fhir/Observation", json=observation(patient_id))).json()
    answer = await admin.post("/fhir/Consent", json=_denied_for_treatment(patient_id))
    assert answer.status_code == 201, answer.text
    return stored


def _denied_for_treatment(patient_id: str) -> dict[str, Any]:
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    purpose = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}
    rule = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient_id}"},
        "policyRule": {"coding": [rule]},
        "provision": {"type": "deny", "purpose": [purpose]},
    }


async def _refusals(hub: Hub) -> list[tuple[str, str, tuple[str, ...]]]:
    """(interaction, reason, patients) of every refusal in the audit log."""
    async with hub.database.connection() as tx:
        entries = [row.entry for row in await hub.audit.search(tx)]
    return [(e["interaction"], e.get("reason"), tuple(e.get("patients", ()))) for e in entries if e["outcome"] == "4"]


async def _treating(client_as):
    return await client_as("admin", **{"X-Purpose": "TREAT"})


def _bundle(kind: str, *entries: dict) -> dict:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def _entry(method: str, url: str, resource: dict | None = None, **request: str) -> dict:
    entry: dict = {"request": {"method": method, "url": url, **request}}
    return entry if resource is None else {**entry, "resource": resource}


async def test_an_update_of_what_is_withheld_is_answered_as_if_it_were_not_there_and_recorded(
    admin, client_as, withheld, hub
):
    path, client = f"/fhir/Observation/{withheld['id']}", await _treating(client_as)
    answer = await client.put(path, json=withheld | AMENDED)
    assert answer.status_code == 404
    assert answer.json()["issue"][0]["code"] == "not-found"
    assert (await admin.get(path)).headers["ETag"] == 'W/"1"'
    assert ("update", "consent", (withheld["subject"]["reference"],)) in await _refusals(hub)


async def test_the_content_in_store_cannot_be_guessed_by_sending_it_again(client_as, withheld):
    client = await _treating(client_as)
    assert (await client.put(f"/fhir/Observation/{withheld['id']}", json=withheld)).status_code == 404


async def test_the_version_in_store_cannot_be_guessed_by_if_match(client_as, withheld):
    path, client = f"/fhir/Observation/{withheld['id']}", await _treating(client_as)
    for version in ('W/"1"', 'W/"7"'):
        assert (await client.put(path, json=withheld | AMENDED, headers={"If-Match": version})).status_code == 404


async def test_a_delete_of_what_is_withheld_is_answered_like_one_of_nothing_and_recorded(
    admin, client_as, withheld, hub
):
    client = await _treating(client_as)
    path, nothing = f"/fhir/Observation/{withheld['id']}", "/fhir/Observation/nothing"
    for headers in ({}, {"If-Match": 'W/"1"'}, {"Prefer": "return=OperationOutcome"}):
        refused, absent = await client.delete(path, headers=headers), await client.delete(nothing, headers=headers)
        assert refused.status_code == absent.status_code
        assert refused.text.replace(withheld["id"], "nothing") == absent.text
        assert refused.headers.get("ETag") is None
    assert (await admin.get(path)).status_code == 200
    refusals = await _refusals(hub)
    assert refusals.count(("delete", "consent", (withheld["subject"]["reference"],))) == 3


async def test_a_deleted_resource_of_a_patient_who_objects_is_not_brought_back(admin, client_as, withheld):
    path, client = f"/fhir/Observation/{withheld['id']}", await _treating(client_as)
    await admin.delete(path)
    assert (await client.put(path, json=withheld | AMENDED)).status_code == 404
    assert (await admin.get(path)).status_code == 410


async def test_a_transaction_that_would_replace_what_is_withheld_stores_nothing(admin, client_as, withheld, hub):
    client = await _treating(client_as)
    url = f"Observation/{withheld['id']}"
    ward = {"resourceType": "Organization", "name": "Ward"}
    bundle = _bundle("transaction", _entry("POST", "Organization", ward), _entry("PUT", url, withheld | AMENDED))
    assert (await client.post("/fhir", json=bundle)).status_code == 404
    assert (await admin.get("/fhir/Organization?name=Ward")).json()["total"] == 0
    assert ("transaction", "consent", (withheld["subject"]["reference"],)) in await _refusals(hub)


async def test_a_large_transaction_is_held_to_consent_as_a_small_one(admin, client_as, withheld):
    client = await _treating(client_as)
    wards = [_entry("PUT", f"Organization/w{n}", {"resourceType": "Organization", "id": f"w{n}"}) for n in range(9)]
    wards = [{**ward, "resource": {**ward["resource"], "name": "Ward"}} for ward in wards]
    update = _entry("PUT", f"Observation/{withheld['id']}", withheld | AMENDED)
    assert (await client.post("/fhir", json=_bundle("transaction", *wards, update))).status_code == 404
    assert (await admin.get("/fhir/Organization/w0")).status_code == 404


async def test_a_delete_inside_a_bundle_passes_over_what_is_withheld_and_is_recorded(admin, client_as, withheld, hub):
    client = await _treating(client_as)
    for kind in ("transaction", "batch"):
        bundle = _bundle(kind, _entry("DELETE", f"Observation/{withheld['id']}"))
        answer = await client.post("/fhir", json=bundle)
        assert answer.json()["entry"][0]["response"]["status"].startswith("204")
    assert (await admin.get(f"/fhir/Observation/{withheld['id']}")).status_code == 200
    assert [reason for interaction, reason, _ in await _refusals(hub) if interaction == "delete"] == ["consent"] * 2


async def test_a_conditional_update_does_not_take_the_id_of_what_is_withheld(admin, client_as, withheld):
    client = await _treating(client_as)
    answer = await client.put("/fhir/Observation?identifier=urn:x|1", json=withheld | AMENDED)
    assert answer.status_code == 404
    assert (await admin.get(f"/fhir/Observation/{withheld['id']}")).headers["ETag"] == 'W/"1"'


async def test_where_clients_choose_no_ids_what_is_withheld_is_answered_like_an_id_that_nobody_has(
    client_as, withheld, hub, monkeypatch
):
    monkeypatch.setattr(hub.write, "update_create", False)
    client = await _treating(client_as)
    refused = await client.put(f"/fhir/Observation/{withheld['id']}", json=withheld | AMENDED)
    absent = await client.put("/fhir/Observation/nothing", json=withheld | AMENDED | {"id": "nothing"})
    assert (refused.status_code, absent.status_code) == (405, 405)
    assert refused.text.replace(withheld["id"], "nothing") == absent.text
    assert "update" in [interaction for interaction, _, _ in await _refusals(hub)]


async def test_validate_with_a_mode_tells_no_more_than_the_write_would(client_as, withheld):
    client = await _treating(client_as)
    path = f"/fhir/Observation/{withheld['id']}/$validate"
    assert (await client.post(f"{path}?mode=update", json=withheld | AMENDED)).status_code == 404
    told = [
        (
            await client.post(f"/fhir/Observation/{id_}/$validate?mode=delete", json={"resourceType": "Parameters"})
        ).json()
        for id_ in (withheld["id"], "nothing")
    ]
    assert told[0]["issue"] == told[1]["issue"]


async def test_a_consent_that_closes_its_own_record_is_withdrawn_by_an_administrator_only(admin, client_as, patient):
    patient_id = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    closed = _denied_for_treatment(patient_id)
    del closed["provision"]["purpose"]
    consent = (await admin.post("/fhir/Consent", json=closed)).json()
    path, open_ = f"/fhir/Consent/{consent['id']}", consent | {"status": "inactive"}
    assert (await admin.get(path)).status_code == 404
    physician = await client_as("physician")
    assert (await physician.put(path, json=open_)).status_code == 404
    assert (await admin.put(path, json=open_)).status_code == 200
    assert (await physician.get(f"/fhir/Patient/{patient_id}")).status_code == 200


async def test_who_sees_a_part_of_the_elements_only_neither_replaces_nor_deletes_the_whole(
    client_as, withheld, hub, monkeypatch
):
    letters = {"admin": {"Observation": frozenset("crud")}}
    parts = {"admin": {"Observation": frozenset({"status"})}}
    monkeypatch.setattr(hub.write, "_roles", replace(RolePolicy.load(), interactions=letters, elements=parts))
    client, path = await client_as("admin"), f"/fhir/Observation/{withheld['id']}"
    assert (await client.put(path, json=withheld | AMENDED)).status_code == 403
    assert (await client.delete(path)).status_code == 403
    assert {("update", "role", ()), ("delete", "role", ())} <= set(await _refusals(hub))


async def test_whose_consent_permits_still_updates_and_deletes(admin, withheld):
    path = f"/fhir/Observation/{withheld['id']}"
    assert (await admin.put(path, json=withheld | AMENDED)).status_code == 200
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 410
