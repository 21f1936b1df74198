"""PATCH over HTTP in both formats, and the meta operations (http.html#patch, fhirpatch.html)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.consents import opt_out

from healthsync.exchange.operations import meta_in_use

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def _created(client, resource: dict) -> str:
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def _operation(kind: str, path: str, **parts: Any) -> dict:
    listed = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": [*listed, *({"name": name, **part} for name, part in parts.items())]}


def _parameters(*operations: dict) -> dict:
    return {"resourceType": "Parameters", "parameter": list(operations)}


async def _refuse_consent(admin, patient_id: str) -> None:
    await _created(
        admin,
        opt_out(patient_id),
    )


async def test_a_json_patch_makes_a_version_and_keeps_the_digits_of_the_rest(admin, patient, observation):
    id_ = await _created(admin, patient)
    text = json.dumps(observation(id_)).replace("13.5", "13.50")
    made = (await admin.post("/fhir/Observation", content=text)).json()["id"]
    operations = [{"op": "replace", "path": "/status", "value": "amended"}, {"op": "remove", "path": "/note/0"}]
    answer = await admin.patch(f"/fhir/Observation/{made}", json=operations, headers=JSON_PATCH)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.headers["Location"].endswith(f"/Observation/{made}/_history/2")
    assert answer.json()["status"] == "amended"
    assert "note" not in answer.json()
    assert '"value":13.50' in (await admin.get(f"/fhir/Observation/{made}")).text


async def test_a_fhirpath_patch_changes_what_its_paths_find(admin, patient):
    id_ = await _created(admin, patient)
    patch = _parameters(
        _operation("replace", "Patient.name.where(family = 'Quennell').given[1]", value={"valueString": "June"}),
        _operation(
            "add", "Patient", name={"valueString": "maritalStatus"}, value={"valueCodeableConcept": {"text": "single"}}
        ),
        _operation("delete", "Patient.telecom[0]"),
        _operation("insert", "Patient.name[0].given", index={"valueInteger": 0}, value={"valueString": "Ada"}),
        _operation("move", "Patient.name[0].given", source={"valueInteger": 0}, destination={"valueInteger": 2}),
    )
    answer = await admin.patch(f"/fhir/Patient/{id_}", json=patch)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["name"][0]["given"] == ["Ottoline", "June", "Ada"]
    assert found["maritalStatus"] == {"text": "single"}
    assert "telecom" not in found
    assert (await admin.get("/fhir/Patient?given=june")).json()["total"] == 1


async def test_a_patch_that_does_not_fit_changes_nothing(admin, patient):
    id_ = await _created(admin, patient)
    for operations, status in [
        ([{"op": "test", "path": "/gender", "value": "male"}], 422),
        ([{"op": "replace", "path": "/nickname", "value": "x"}], 422),
        ([{"op": "replace", "path": "/id", "value": "other"}], 422),
        ([{"op": "replace", "path": "/resourceType", "value": "Practitioner"}], 422),
        ([{"op": "add", "path": "/nickname", "value": "x"}], 400),
        ([{"op": "replace", "path": "/gender", "value": "lady"}], 400),
        ([{"op": "conjure", "path": "/gender"}], 400),
        ({"op": "test"}, 400),
    ]:
        answer = await admin.patch(f"/fhir/Patient/{id_}", json=operations, headers=JSON_PATCH)
        assert answer.status_code == status, (operations, answer.text)
    for operation, status in [
        (_operation("replace", "Patient.maritalStatus", value={"valueString": "x"}), 422),
        (_operation("delete", "Patient.name.given"), 422),
        (_operation("replace", "Patient.name.where(", value={"valueString": "x"}), 400),
        (_operation("add", "Patient", name={"valueString": "gender"}, value={"valueCode": "male"}), 422),
        (_operation("replace", "Patient.gender", value={"valueCode": "lady"}), 400),
        (_operation("explode", "Patient.gender"), 400),
    ]:
        answer = await admin.patch(f"/fhir/Patient/{id_}", json=_parameters(operation))
        assert answer.status_code == status, (operation, answer.text)
        assert answer.json()["issue"][0]["diagnostics"]
    assert (await admin.get(f"/fhir/Patient/{id_}")).headers["ETag"] == 'W/"1"'


async def test_other_patch_formats_unknown_and_deleted_resources_and_old_versions_are_refused(admin, patient):
    id_ = await _created(admin, patient)
    harmless = [{"op": "replace", "path": "/gender", "value": "other"}]
    for media_type in ("application/merge-patch+json", "application/fhir+xml", "application/xml-patch+xml"):
        answer = await admin.patch(f"/fhir/Patient/{id_}", content=b"{}", headers={"Content-Type": media_type})
        assert answer.status_code == 415
    assert (await admin.patch("/fhir/Patient/nobody", json=harmless, headers=JSON_PATCH)).status_code == 404
    assert (
        await admin.patch(f"/fhir/Patient/{id_}", json=harmless, headers={**JSON_PATCH, "If-Match": 'W/"2"'})
    ).status_code == 412
    minimal = {**JSON_PATCH, "If-Match": 'W/"1"', "Prefer": "return=minimal"}
    answer = await admin.patch(f"/fhir/Patient/{id_}", json=harmless, headers=minimal)
    assert (answer.status_code, answer.content) == (200, b"")
    same = await admin.patch(f"/fhir/Patient/{id_}", json=harmless, headers=JSON_PATCH)
    assert (same.status_code, same.headers["ETag"]) == (200, 'W/"2"')
    await admin.delete(f"/fhir/Patient/{id_}")
    assert (await admin.patch(f"/fhir/Patient/{id_}", json=harmless, headers=JSON_PATCH)).status_code == 410


async def test_plain_json_replaces_properties_as_fhirpy_sends_them(admin, patient):
    path = f"/fhir/Patient/{await _created(admin, patient)}"
    plain = {"Content-Type": "application/json"}
    answer = await admin.patch(path, json={"gender": "other", "telecom": None}, headers=plain)
    assert (answer.status_code, answer.json()["gender"], "telecom" in answer.json()) == (200, "other", False)
    assert (await admin.patch(path, json={"gender": "lady"}, headers=plain)).status_code == 400
    assert (await admin.patch(path, json={"gender": "other"})).status_code == 400  # FHIR's own type is strict


async def test_a_conditional_patch_changes_the_one_that_it_finds(admin):
    organization = {"resourceType": "Organization", "identifier": [{"system": "urn:w", "value": "1"}], "name": "Ward"}
    patch = [{"op": "replace", "path": "/name", "value": "Annex"}]
    url = "/fhir/Organization?identifier=urn:w|1"
    assert (await admin.patch(url, json=patch, headers=JSON_PATCH)).status_code == 404
    id_ = await _created(admin, organization)
    answer = await admin.patch(url, json=patch, headers=JSON_PATCH)
    assert (answer.status_code, answer.json()["id"], answer.json()["name"]) == (200, id_, "Annex")
    await _created(admin, organization)
    assert (await admin.patch(url, json=patch, headers=JSON_PATCH)).status_code == 412
    assert (await admin.patch("/fhir/Organization", json=patch, headers=JSON_PATCH)).status_code == 400


async def test_patches_at_the_same_moment_are_all_applied(admin):
    id_ = await _created(admin, {"resourceType": "Organization", "name": "Ward", "alias": ["a"]})
    patches = [[{"op": "add", "path": "/alias/-", "value": f"b{number}"}] for number in range(3)]
    answers = await asyncio.gather(
        *(admin.patch(f"/fhir/Organization/{id_}", json=patch, headers=JSON_PATCH) for patch in patches)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert set((await admin.get(f"/fhir/Organization/{id_}")).json()["alias"]) == {"a", "b0", "b1", "b2"}


async def test_a_patch_is_for_those_who_may_update_and_see_the_whole_resource(admin, client_as, patient, hub):
    id_ = await _created(admin, patient)
    harmless = [{"op": "test", "path": "/gender", "value": "female"}]
    nurse, physician = await client_as("nurse"), await client_as("physician")
    assert (await nurse.patch(f"/fhir/Patient/{id_}", json=harmless, headers=JSON_PATCH)).status_code == 403
    assert (await physician.patch(f"/fhir/Patient/{id_}", json=harmless, headers=JSON_PATCH)).status_code == 200
    await _refuse_consent(admin, id_)
    assert (await physician.patch(f"/fhir/Patient/{id_}", json=harmless, headers=JSON_PATCH)).status_code == 404
    async with hub.database.connection() as tx:
        rows = await hub.audit.search(tx)
    seen = [(row.entry["interaction"], row.entry["outcome"], row.entry.get("reason")) for row in rows]
    assert ("patch", "4", "consent") in seen
    assert ("patch", "0", None) in seen


def _meta(**sets: Any) -> dict:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": sets}]}


async def test_meta_operations_add_and_take_away_tags_as_sets(admin):
    id_ = await _created(admin, {"resourceType": "Organization", "name": "Ward", "meta": {"tag": [{"code": "a"}]}})
    path = f"/fhir/Organization/{id_}"

    async def tags(answer) -> list:
        assert answer.status_code == 200, answer.text
        assert answer.json()["parameter"][0]["name"] == "return"
        return [tag["code"] for tag in answer.json()["parameter"][0]["valueMeta"].get("tag", [])]

    assert await tags(await admin.get(f"{path}/$meta")) == ["a"]
    more = _meta(tag=[{"code": "a", "display": "again"}, {"code": "b"}], profile=["http://example.org/p"])
    assert await tags(await admin.post(f"{path}/$meta-add", json=more)) == ["a", "b"]
    assert (await admin.get(path)).headers["ETag"] == 'W/"2"'
    assert (await admin.get("/fhir/Organization?_tag=b")).json()["total"] == 1
    assert await tags(await admin.post(f"{path}/$meta-delete", json=_meta(tag=[{"code": "a"}]))) == ["b"]
    assert (await admin.get(path)).json()["meta"]["profile"] == ["http://example.org/p"]
    assert (await admin.post(f"{path}/$meta-add", json={"resourceType": "Parameters"})).status_code == 400
    assert (await admin.get("/fhir/Organization/nobody/$meta")).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"tag": [{"system": {}, "code": "b"}]}, {"tag": [{"system": "a", "code": [[]]}]}, {"security": [{"code": {"a": 1}}]},
        {"tag": [None]}, {"tag": {"system": "a"}}, {"profile": [["x"]]}, {"profile": [{"x": 1}]},
    ],
    ids=str,
)  # fmt: skip
async def test_what_can_be_no_tag_label_or_profile_is_refused(admin, wrong):
    path = f"/fhir/Organization/{await _created(admin, {'resourceType': 'Organization', 'name': 'Ward'})}"
    assert (await admin.post(f"{path}/$meta-add", json=_meta(**wrong))).status_code == 400
    assert (await admin.post(f"{path}/$meta-delete", json=_meta(**wrong))).status_code in (200, 400)
    bare = {"resourceType": "Parameters", "parameter": 1}
    assert (await admin.post(f"{path}/$meta-add", json=bare)).status_code == 400
    assert (await admin.get(path)).headers["ETag"] == 'W/"1"'
    patched = [{"op": "add", "path": f"/meta/{name}", "value": value} for name, value in wrong.items()]
    assert (await admin.patch(path, json=patched, headers=JSON_PATCH)).status_code in (
        200,
        400,
    )  # empty parts fall away


async def test_meta_of_a_type_and_of_the_hub_is_what_its_resources_have(admin, client_as, patient, monkeypatch):
    """resource-operation-meta.html: at a type or the server all profiles, labels and tags that are in use there, once
    each; of these what the requester may see."""
    ward = {"resourceType": "Organization", "name": "Ward"}
    for code in ("a", "b", "a"):
        await _created(admin, {**ward, "meta": {"tag": [{"system": "urn:t", "code": code}], "profile": ["urn:p"]}})
    id_ = await _created(admin, {**patient, "meta": {"security": [{"system": "urn:s", "code": "hidden"}]}})
    physician = await client_as("physician")

    async def told(path: str, method: str = "GET") -> dict[str, list[str]]:
        answer = await physician.request(method, f"/fhir/{path}")
        assert answer.status_code == 200, answer.text
        meta = answer.json().get("parameter", [{}])[0].get("valueMeta", {})
        return {name: [each if name == "profile" else each["code"] for each in meta[name]] for name in meta}

    assert await told("Organization/$meta") == {"profile": ["urn:p"], "tag": ["a", "b"]}
    assert await told("$meta") == {"profile": ["urn:p"], "security": ["hidden"], "tag": ["a", "b"]}
    assert await told("$meta", "POST") == await told("$meta")
    assert await told("Account/$meta") == {}
    await _refuse_consent(admin, id_)
    assert await told("Patient/$meta") == {}
    assert (await physician.get("/fhir/Nonsense/$meta")).status_code == 404
    nobody = await client_as("billing")
    assert (await nobody.get("/fhir/Observation/$meta")).status_code == 403
    monkeypatch.setattr(meta_in_use, "MOST_RESOURCES", 1)
    monkeypatch.setattr(meta_in_use, "_PAGE", 1)
    answer = await physician.get("/fhir/Organization/$meta")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "too-costly")


async def test_only_an_administrator_takes_a_security_label_away(admin, client_as):
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    body = {"resourceType": "Organization", "name": "Ward", "meta": {"security": [label]}}
    path = f"/fhir/Organization/{await _created(admin, body)}"
    physician = await client_as("physician")
    assert (await physician.post(f"{path}/$meta-delete", json=_meta(security=[label]))).status_code == 403
    remove = [{"op": "remove", "path": "/meta/security"}]
    assert (await physician.patch(path, json=remove, headers=JSON_PATCH)).status_code == 403
    assert (await physician.post(f"{path}/$meta-add", json=_meta(tag=[{"code": "x"}]))).status_code == 200
    assert (await admin.post(f"{path}/$meta-delete", json=_meta(security=[label]))).status_code == 200
    assert "security" not in (await admin.get(path)).json()["meta"]


async def test_an_update_keeps_tags_and_labels_that_it_does_not_repeat(admin, client_as):
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    body = {
        "resourceType": "Organization",
        "name": "Ward",
        "meta": {"security": [label], "tag": [{"code": "a"}], "profile": ["http://example.org/old"]},
    }
    id_ = await _created(admin, body)
    physician = await client_as("physician")
    new = {"resourceType": "Organization", "id": id_, "name": "Annex", "meta": {"tag": [{"code": "b"}]}}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": {**new, "name": "House"}, "request": {"method": "PUT", "url": f"Organization/{id_}"}}],
    }
    assert (await physician.put(f"/fhir/Organization/{id_}", json=new)).status_code == 200
    assert (await physician.post("/fhir", json=bundle)).status_code == 200
    found = (await admin.get(f"/fhir/Organization/{id_}")).json()
    assert (found["name"], found["meta"]["versionId"]) == ("House", "3")
    assert found["meta"]["security"] == [label]
    assert sorted(tag["code"] for tag in found["meta"]["tag"]) == ["a", "b"]
    assert "profile" not in found["meta"]
    assert (await admin.get("/fhir/Organization?_tag=a")).json()["total"] == 1
