"""Several writers of one resource at one moment: without If-Match each succeeds and the last one wins (http.html#update);
with If-Match one succeeds. Nobody hears of the others."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

MANY = 12
JSON_PATCH = {"Content-Type": "application/json-patch+json"}

BODIES = {
    "Organization": {"resourceType": "Organization", "id": "x1", "name": "Ward"},
    "Patient": {
        "resourceType": "Patient",
        "id": "x1",
        "name": [{"family": "Moreau", "given": ["Ada"]}],
        "birthDate": "1974-05-06",
        "identifier": [{"system": "urn:mrn", "value": "77"}],
    },
    "ValueSet": {"resourceType": "ValueSet", "id": "x1", "status": "active", "url": "urn:vs:1"},
    "CodeSystem": {
        "resourceType": "CodeSystem", "id": "x1", "status": "active", "url": "urn:cs:1", "content": "complete",
        "concept": [{"code": "a"}],
    },
    "SearchParameter": {
        "resourceType": "SearchParameter", "id": "x1", "status": "active", "url": "urn:sp:1", "name": "x", "code": "x",
        "description": "x", "base": ["Organization"], "type": "string", "expression": "Organization.alias",
    },
    "StructureDefinition": {
        "resourceType": "StructureDefinition", "id": "x1", "status": "draft", "url": "urn:sd:1", "name": "X",
        "kind": "resource", "abstract": False, "type": "Organization", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Organization",
        "differential": {"element": [{"id": "Organization", "path": "Organization"}]},
    },
}  # fmt: skip


def _told(body: dict, number: int) -> dict:
    return {**body, "language": "en", "text": {"status": "additional", "div": f"{_DIV}{number}</div>"}}


_DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


async def _at_once(*requests) -> Counter[int]:
    return Counter(answer.status_code for answer in await asyncio.gather(*requests))


async def _versions(admin: httpx.AsyncClient, path: str) -> list[dict]:
    history = (await admin.get(f"/fhir/{path}/_history?_count=100")).json()
    return [each["resource"] for each in history["entry"] if "resource" in each]


@pytest.mark.parametrize("resource_type", BODIES)
async def test_updates_at_one_moment_are_all_stored_and_one_of_them_creates(admin, resource_type):
    path, body = f"/fhir/{resource_type}/x1", BODIES[resource_type]
    answers = await _at_once(*(admin.put(path, json=_told(body, number)) for number in range(MANY)))
    assert answers == {201: 1, 200: MANY - 1}
    stored = await _versions(admin, f"{resource_type}/x1")
    assert [each["meta"]["versionId"] for each in stored] == [str(number) for number in range(MANY, 0, -1)]
    assert len({each["text"]["div"] for each in stored}) == MANY


async def test_of_updates_at_one_moment_that_name_the_same_version_one_is_stored(admin):
    path, body = "/fhir/Organization/x1", BODIES["Organization"]
    assert (await admin.put(path, json=body)).status_code == 201
    named = {"If-Match": 'W/"1"'}
    answers = await _at_once(*(admin.put(path, json=_told(body, n), headers=named) for n in range(MANY)))
    assert answers == {200: 1, 412: MANY - 1}
    unborn = {"If-None-Match": "*"}
    new = {**body, "id": "x2"}
    answers = await _at_once(
        *(admin.put("/fhir/Organization/x2", json=_told(new, n), headers=unborn) for n in range(MANY))
    )
    assert answers == {201: 1, 412: MANY - 1}


async def test_patches_at_one_moment_are_all_applied_and_of_those_that_name_a_version_one(admin):
    path = "/fhir/Organization/x1"
    await admin.put(path, json={**BODIES["Organization"], "alias": ["a"]})
    patches = [[{"op": "add", "path": "/alias/-", "value": f"b{number}"}] for number in range(MANY)]
    assert await _at_once(*(admin.patch(path, json=patch, headers=JSON_PATCH) for patch in patches)) == {200: MANY}
    assert set((await admin.get(path)).json()["alias"]) == {"a", *(f"b{number}" for number in range(MANY))}
    named = {**JSON_PATCH, "If-Match": f'W/"{MANY + 1}"'}
    answers = await _at_once(*(admin.patch(path, json=patch, headers=named) for patch in patches))
    assert answers == {200: 1, 412: MANY - 1}


@pytest.mark.parametrize(("headers", "status"), [({}, 200), ({"If-Match": 'W/"1"'}, 412)])
async def test_a_patch_is_made_anew_of_what_somebody_writes_after_it_was_read(admin, hub, monkeypatch, headers, status):
    path, body = "/fhir/Organization/x1", BODIES["Organization"]
    await admin.put(path, json=body)
    read = hub.disclose.editable

    async def read_too_soon(*asked):
        found = await read(*asked)
        monkeypatch.setattr(hub.disclose, "editable", read)
        assert (await admin.put(path, json={**body, "alias": ["a"]})).status_code == 200
        return found

    monkeypatch.setattr(hub.disclose, "editable", read_too_soon)
    patch = [{"op": "replace", "path": "/name", "value": "Annex"}]
    assert (await admin.patch(path, json=patch, headers={**JSON_PATCH, **headers})).status_code == status
    stored = (await admin.get(path)).json()
    assert (stored["name"], stored["alias"]) == ("Annex" if status == 200 else "Ward", ["a"])


async def test_deletes_at_one_moment_delete_once(admin):
    path = "/fhir/Organization/x1"
    await admin.put(path, json=BODIES["Organization"])
    assert await _at_once(*(admin.delete(path) for _ in range(MANY))) == {204: MANY}
    assert (await admin.get(path)).status_code == 410
    history = (await admin.get(f"{path}/_history")).json()
    assert history["total"] == 2


async def test_of_deletes_at_one_moment_that_name_a_version_one_deletes(admin):
    path = "/fhir/Organization/x1"
    await admin.put(path, json=BODIES["Organization"])
    answers = await _at_once(*(admin.delete(path, headers={"If-Match": 'W/"1"'}) for _ in range(MANY)))
    assert answers == {204: 1, 412: MANY - 1}


async def test_conditional_writes_at_one_moment_mean_one_resource(admin):
    numbered = {"resourceType": "Organization", "identifier": [{"system": "urn:w", "value": "1"}]}
    url = "/fhir/Organization?identifier=urn:w|1"
    answers = await _at_once(*(admin.put(url, json=_told(numbered, number)) for number in range(MANY)))
    assert answers == {201: 1, 200: MANY - 1}
    assert (await admin.get(url)).json()["total"] == 1
    id_ = (await admin.get(url)).json()["entry"][0]["resource"]["id"]
    patch = [{"op": "add", "path": "/alias", "value": ["x"]}]
    mixed = [
        *(admin.put(url, json=_told(numbered, MANY + number)) for number in range(4)),
        *(admin.put(f"/fhir/Organization/{id_}", json=_told({**numbered, "id": id_}, 50 + n)) for n in range(4)),
        *(admin.patch(url, json=patch, headers=JSON_PATCH) for _ in range(4)),
    ]
    assert await _at_once(*mixed) == {200: 12}
    assert await _at_once(*(admin.delete(url) for _ in range(MANY))) == {204: MANY}
    assert (await admin.get(url)).json()["total"] == 0


async def test_transactions_at_one_moment_are_all_stored(admin):
    def transaction(number: int) -> dict:
        ids = ["x1", "x2"] if number % 2 else ["x2", "x1"]
        entries = [
            {
                "resource": _told({**BODIES["Organization"], "id": id_}, number),
                "request": {"method": "PUT", "url": f"Organization/{id_}"},
            }
            for id_ in ids
        ]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    assert await _at_once(*(admin.post("/fhir", json=transaction(number)) for number in range(MANY))) == {200: MANY}
    one, other = await _versions(admin, "Organization/x1"), await _versions(admin, "Organization/x2")
    assert [each["text"] for each in one] == [each["text"] for each in other], "each stored both or neither"
    assert len(one) == MANY
