"""create, update and delete over HTTP, also by condition (http.html#create, #update, #delete, #cond-update)."""

from __future__ import annotations

import asyncio
from itertools import product

import httpx
import pytest
from tests.consents import opt_out

from healthsync.bootstrap import build_hub
from healthsync.entrypoints.web.application import Application
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings


def _organization(number: str, **more) -> dict:
    return {
        "resourceType": "Organization",
        "identifier": [{"system": "urn:w", "value": number}],
        "name": "Ward",
        **more,
    }


async def _created(client, resource: dict) -> str:
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_create_chooses_the_id_and_tells_where_the_resource_is(admin):
    answer = await admin.post("/fhir/Organization", json=_organization("1", id="mine", meta={"versionId": "9"}))
    body = answer.json()
    assert answer.status_code == 201
    assert body["id"] != "mine"
    assert body["meta"]["versionId"] == "1"
    assert answer.headers["Location"] == f"http://hub/fhir/Organization/{body['id']}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in answer.headers
    assert (await admin.get(answer.headers["Location"])).json() == body


async def test_prefer_chooses_what_a_write_answers(admin):
    cases = [
        ("return=minimal", None),
        ("return=representation", "Organization"),
        ("return=OperationOutcome", "OperationOutcome"),
        ("handling=strict; return=minimal", None),
        ("return=novel", "Organization"),
    ]
    for method, (number, (prefer, kind)) in product(("POST", "PUT"), enumerate(cases)):
        path = "/fhir/Organization" + (f"/o{number}" if method == "PUT" else "")
        body = _organization(str(number), **({"id": f"o{number}"} if method == "PUT" else {}))
        answer = await admin.request(method, path, json=body, headers={"Prefer": prefer})
        assert answer.status_code == 201
        assert "Location" in answer.headers
        assert (answer.json()["resourceType"] if answer.content else None) == kind


async def test_bodies_that_are_none_are_refused_and_kept_nowhere(admin):
    json_type = {"Content-Type": "application/fhir+json"}
    for method, path, content, headers, status in [
        ("POST", "Organization", b"", json_type, 400),
        ("POST", "Organization", b"[]", json_type, 400),
        ("POST", "Organization", b'{"resourceType":"Organization","name":"\\u0000"}', json_type, 400),
        ("POST", "Organization", b'{"resourceType":"Organization","name":"\\ud800"}', json_type, 400),
        ("POST", "Organization", b'{"resourceType":"Organization"}', json_type, 422),
        ("POST", "Organization", b'{"resourceType":"Patient"}', json_type, 400),
        ("POST", "Organization", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "Organization", b"{}", {"Content-Type": "application/fhir+json; charset=utf-16"}, 415),
        ("POST", "Organization", b"{}", {"Content-Type": "application/fhir+json; fhirVersion=5.0"}, 415),
        ("PUT", "Organization/o1", b'{"resourceType":"Organization","name":"x"}', json_type, 400),
        ("PUT", "Organization/o1", b'{"resourceType":"Organization","id":"o2","name":"x"}', json_type, 400),
        ("PUT", "Organization/bad_id", b'{"resourceType":"Organization","id":"bad_id","name":"x"}', json_type, 400),
        ("PUT", "Organization", b'{"resourceType":"Organization","name":"x"}', json_type, 400),
        ("DELETE", "Organization", b"", json_type, 400),
    ]:
        answer = await admin.request(method, f"/fhir/{path}", content=content, headers=headers)
        assert answer.status_code == status, (path, content, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await admin.get("/fhir/Organization?_summary=count")).json()["total"] == 0
    odd = {"Content-Type": "Application/JSON; Charset=UTF-8"}
    body = b'{"resourceType":"Organization","name":"x"}'
    assert (await admin.post("/fhir/Organization", content=body, headers=odd)).status_code == 201


async def test_if_match_lets_a_write_through_only_on_the_version_that_was_read(admin):
    await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
    for tag, status in [('W/"2"', 412), ('W/"abc"', 412), ("three", 400), ('"1"', 200)]:
        body = _organization("1", id="o1", name="Annex")
        answer = await admin.put("/fhir/Organization/o1", json=body, headers={"If-Match": tag})
        assert answer.status_code == status, tag
    assert (
        await admin.put("/fhir/Organization/o9", json=_organization("9", id="o9"), headers={"If-Match": 'W/"1"'})
    ).status_code == 412
    for tag, status in [('W/"1"', 412), ('W/"2"', 204), ('W/"2"', 412)]:
        assert (await admin.delete("/fhir/Organization/o1", headers={"If-Match": tag})).status_code == status


async def test_what_was_read_and_sent_back_is_no_change(admin):
    made = (await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))).json()
    again = await admin.put(
        "/fhir/Organization/o1",
        json=_organization("1", id="o1", meta={"versionId": "1", "lastUpdated": made["meta"]["lastUpdated"]}),
    )
    assert (again.status_code, again.headers["ETag"]) == (200, 'W/"1"')


async def test_a_delete_is_idempotent_and_an_update_brings_the_resource_back(admin):
    assert (await admin.delete("/fhir/Organization/never")).status_code == 204
    await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
    gone = await admin.delete("/fhir/Organization/o1")
    assert (gone.status_code, gone.content, gone.headers["ETag"]) == (204, b"", 'W/"2"')
    told = await admin.delete("/fhir/Organization/o1", headers={"Prefer": "return=OperationOutcome"})
    assert (told.status_code, told.json()["issue"][0]["severity"]) == (200, "information")
    back = await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
    assert (back.status_code, back.headers["ETag"]) == (201, 'W/"3"')
    assert (await admin.get("/fhir/Organization/o1")).status_code == 200


async def test_a_conditional_create_creates_finds_or_refuses(admin):
    condition = {"If-None-Exist": "identifier=urn:w|1"}
    first = await admin.post("/fhir/Organization", json=_organization("1"), headers=condition)
    again = await admin.post("/fhir/Organization", json=_organization("1", name="Other"), headers=condition)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    await _created(admin, _organization("1"))
    third = await admin.post("/fhir/Organization", json=_organization("1"), headers=condition)
    assert (third.status_code, third.json()["issue"][0]["code"]) == (412, "multiple-matches")
    for wrong in ("colour=red", "", "_count=1", "identifier="):
        answer = await admin.post("/fhir/Organization", json=_organization("2"), headers={"If-None-Exist": wrong})
        assert answer.status_code == 400, wrong


async def test_conditional_creates_at_the_same_moment_make_one_resource(admin):
    condition = {"If-None-Exist": "identifier=urn:w|1"}
    answers = await asyncio.gather(
        *(admin.post("/fhir/Organization", json=_organization("1"), headers=condition) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.headers["Location"] for answer in answers}) == 1


async def test_a_conditional_update_follows_the_table_of_the_standard(admin):
    async def put(query: str, body: dict) -> httpx.Response:
        return await admin.put(f"/fhir/Organization?{query}", json=body)

    made = await put("identifier=urn:w|1", _organization("1"))  # no match, no id: created
    assert made.status_code == 201
    id_ = made.json()["id"]
    changed = await put("identifier=urn:w|1", _organization("1", name="Annex"))  # one match, no id
    assert (changed.status_code, changed.json()["id"], changed.json()["name"]) == (200, id_, "Annex")
    same = await put("identifier=urn:w|1", _organization("1", id=id_, name="Third"))  # one match, its id
    assert (same.status_code, same.headers["ETag"]) == (200, 'W/"3"')
    assert (await put("identifier=urn:w|1", _organization("1", id="other"))).status_code == 400
    named = await put("identifier=urn:w|2", _organization("2", id="named"))  # no match, a new id
    assert (named.status_code, named.json()["id"]) == (201, "named")
    assert (await put("identifier=urn:w|3", _organization("3", id="named"))).status_code == 409
    await _created(admin, _organization("1"))
    assert (await put("identifier=urn:w|1", _organization("1"))).status_code == 412
    assert (await put("colour=red", _organization("1"))).status_code == 400


async def test_a_conditional_delete_takes_one_resource_and_no_more(admin):
    assert (await admin.delete("/fhir/Organization?identifier=urn:w|1")).status_code == 204
    one = await _created(admin, _organization("1"))
    assert (await admin.delete("/fhir/Organization?identifier=urn:w|1")).status_code == 204
    assert (await admin.get(f"/fhir/Organization/{one}")).status_code == 410
    for _ in range(2):
        await _created(admin, _organization("2"))
    refused = await admin.delete("/fhir/Organization?identifier=urn:w|2")
    assert (refused.status_code, refused.json()["issue"][0]["code"]) == (412, "multiple-matches")
    assert (await admin.get("/fhir/Organization?identifier=urn:w|2&_summary=count")).json()["total"] == 2
    assert (await admin.delete("/fhir/Organization?colour=red")).status_code == 400


async def test_a_condition_needs_the_right_to_search(client_as, hub):
    async with hub.database.transaction() as tx:
        _, key = await hub.access.create_client(tx, "feed", ["physician"])
    del key
    physician = await client_as("physician")
    assert (await physician.delete("/fhir/Organization?identifier=urn:w|1")).status_code == 403
    researcher = await client_as("researcher")
    answer = await researcher.put("/fhir/Organization?identifier=urn:w|1", json=_organization("1"))
    assert answer.status_code == 403


async def test_a_condition_finds_nothing_that_consent_withholds(admin, client_as, patient):
    id_ = await _created(admin, patient)
    consent = opt_out(id_)
    await _created(admin, consent)
    physician = await client_as("physician")
    condition = {"If-None-Exist": "identifier=urn:oid:1.2.3|MRN-000111"}
    answer = await physician.post("/fhir/Patient", json=patient, headers=condition)
    assert answer.status_code == 201  # not 200, which would tell that the patient is here


async def test_a_reference_through_the_servers_own_address_is_a_relative_one(admin, patient, observation):
    id_ = await _created(admin, patient)
    for base in ("http://hub/fhir", "http://hub/api/fhir"):
        body = {**observation(id_), "subject": {"reference": f"{base}/Patient/{id_}"}}
        assert (await admin.post("/fhir/Observation", json=body)).json()["subject"]["reference"] == f"Patient/{id_}"
    assert (await admin.get(f"/fhir/Observation?subject=Patient/{id_}")).json()["total"] == 2
    far = {**observation(id_), "performer": [{"reference": "https://elsewhere.example.org/fhir/Practitioner/1"}]}
    kept = (await admin.post("/fhir/Observation", json=far)).json()
    assert kept["performer"][0]["reference"] == "https://elsewhere.example.org/fhir/Practitioner/1"


@pytest.mark.shows("fhir.update_create", "fhir.conditional_delete")
async def test_the_configuration_decides_on_chosen_ids_and_wide_deletes(database, tmp_path, hub):
    file = tmp_path / "healthsync.yaml"
    file.write_text("healthsync: {fhir: {update_create: false, conditional_delete: multiple}}")
    strict = build_hub(load_settings(file, environ={}), hub.keyring, database, SystemClock())

    async def ready() -> dict:
        return {}

    _, key = await strict.register_client("x", ["admin"])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=Application(strict, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as client:
        refused = await client.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
        assert (refused.status_code, "Allow" in refused.headers) == (405, True)
        named = await client.put("/fhir/Organization?identifier=urn:w|1", json=_organization("1", id="o1"))
        assert named.status_code == 405
        made = [await _created(client, _organization("1")) for _ in range(3)]
        body = _organization("1", id=made[0], name="Annex")
        assert (await client.put(f"/fhir/Organization/{made[0]}", json=body)).status_code == 200
        assert (await client.delete("/fhir/Organization?identifier=urn:w|1")).status_code == 204
        assert [(await client.get(f"/fhir/Organization/{id_}")).status_code for id_ in made] == [410] * 3
        statement = (await client.get("/fhir/metadata")).json()
        support = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Organization")
        assert (support["updateCreate"], support["conditionalDelete"]) == (False, "multiple")
    await strict.close()
