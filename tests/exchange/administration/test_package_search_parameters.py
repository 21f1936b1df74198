"""The search parameters of a FHIR package are searched by as soon as they are indexed, and go with it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.search_parameters import service as parameters
from healthsync.entrypoints.web.application import Application
from healthsync.exchange.administration.manage_packages import Added, ManagePackages
from healthsync.exchange.operations import reindex
from healthsync.standards.fhir import search_parameters

URL = "http://example.org/fhir/"
RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"


@pytest.fixture(autouse=True)
def only_official_parameters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registries are of the process: leave none behind, and do not wait for processes that there are not."""
    monkeypatch.setattr(parameters, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(parameters, "LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(reindex, "_ASK_AGAIN_SECONDS", 0.01)
    yield
    search_parameters.use(())


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's."""

    async def ready() -> dict[str, bool]:
        return {}

    async with hub.database.transaction() as tx:
        _, key = await hub.access.create_client(tx, "admin", ("admin",))
    transport = httpx.ASGITransport(app=Application(hub, ready))
    headers = {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as made:
        yield made


@pytest.fixture
def packages(hub: Hub) -> ManagePackages:
    """The flow."""
    return ManagePackages(
        database=hub.database,
        conformance=hub.conformance,
        terminology=hub.terminology,
        audit=hub.audit,
        own_parameters=hub.own_parameters,
    )


def _parameter(code: str, expression: str, kind: str = "token", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter", "id": code, "url": f"{URL}SearchParameter/{code}", "name": "guide",
        "status": "active", "description": "made up", "code": code, "base": ["Patient"], "type": kind,
        "expression": expression, **more,
    }  # fmt: skip


def _mood(url: str = f"{URL}mood") -> dict[str, Any]:
    return _parameter("mood", f"Patient.extension('{url}').value.ofType(string)")


def _package(version: str, *resources: dict[str, Any]) -> bytes:
    manifest = {"name": "example.guide", "version": version, "fhirVersions": ["4.0.1"]}
    files = {"package.json": manifest, **{f"{r['resourceType']}-{r['id']}.json": r for r in resources}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, document in files.items():
            data = json.dumps(document).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


async def _add(hub: Hub, packages: ManagePackages, version: str, *resources: dict[str, Any]) -> Added:
    added = await packages.add(_package(version, *resources), "operator")
    await _index(hub)
    return added


async def _index(hub: Hub) -> None:
    while await hub.jobs.run_next():
        pass


async def _person(client: httpx.AsyncClient, id_: str, *extensions: dict[str, Any]) -> None:
    body = {"resourceType": "Patient", "id": id_, "active": True, "extension": list(extensions)}
    assert (await client.put(f"/fhir/Patient/{id_}", json=body)).status_code in (200, 201)


async def _ids(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/fhir/{query}")
    assert answer.status_code == 200, answer.text
    return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))


async def test_what_is_stored_is_indexed_for_them_in_the_background_and_the_capability_statement_lists_them(
    hub, packages, client
):
    await _person(client, "calm", {"url": f"{URL}mood", "valueString": "calm"})
    await packages.add(_package("1.0.0", _mood()), "operator")
    refused = await client.get("/fhir/Patient?mood=calm")
    assert (refused.status_code, "still being indexed" in refused.text) == (400, True)
    await _index(hub)
    await _person(client, "glad", {"url": f"{URL}mood", "valueString": "glad"})
    assert await _ids(client, "Patient?mood=calm") == ["calm"]
    assert await _ids(client, "Patient?mood=glad") == ["glad"]
    rest = (await client.get("/fhir/metadata")).json()["rest"][0]
    (patient,) = [each for each in rest["resource"] if each["type"] == "Patient"]
    assert f"{URL}SearchParameter/mood" in [each.get("definition") for each in patient["searchParam"]]


async def test_the_race_of_us_core_is_searched_by(hub, packages, client):
    expression = f"Patient.extension.where(url = '{RACE}').extension.value.code"
    added = await _add(hub, packages, "1.0.0", _parameter("race", expression))
    assert added.unsearched == []
    white = {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}}
    await _person(client, "one", {"url": RACE, "extension": [white, {"url": "text", "valueString": "White"}]})
    await _person(client, "other", {"url": f"{URL}else", "extension": [white]})
    assert await _ids(client, "Patient?race=2106-3") == ["one"]


async def test_a_value_of_an_extension_may_be_written_with_its_type_as_in_json(hub, packages, client):
    await _add(
        hub, packages, "1.0.0", _parameter("since", f"Patient.extension.where(url='{URL}mood').valueDate", "date")
    )
    await _person(client, "p", {"url": f"{URL}mood", "valueDate": "2020-02-03"})
    assert await _ids(client, "Patient?since=2020-02") == ["p"]


async def test_official_codes_are_passed_over_and_what_cannot_be_served_is_named(hub, packages):
    repeated = _parameter("family", "Patient.name.family", "string")
    draft = {**_parameter("later", "Patient.extension('urn:x').value.ofType(string)"), "status": "draft"}
    both = _parameter("pair", "Patient", "composite")
    broken = {**_parameter("broken", "Patient.active"), "base": "Patient"}
    added = await _add(hub, packages, "1.0.0", repeated, draft, both, broken, _mood())
    assert [url for url, _ in added.unsearched] == [both["url"], broken["url"]]


async def test_they_go_with_the_package_and_another_version_that_stays_says_what_they_mean(hub, packages, client):
    await _person(client, "p", {"url": f"{URL}mood", "valueString": "old"}, {"url": "urn:mood", "valueString": "new"})
    await _add(hub, packages, "1.0.0", _mood())
    await _add(hub, packages, "2.0.0", _mood("urn:mood"))
    assert (await _ids(client, "Patient?mood=old"), await _ids(client, "Patient?mood=new")) == ([], ["p"])
    await packages.remove("example.guide", "2.0.0", "operator")
    await _index(hub)
    assert (await _ids(client, "Patient?mood=old"), await _ids(client, "Patient?mood=new")) == (["p"], [])
    await packages.remove("example.guide", None, "operator")
    assert (await client.get("/fhir/Patient?mood=old")).status_code == 400


async def test_one_that_is_stored_under_the_same_url_is_not_replaced(hub, packages, client):
    stored = _parameter("temper", f"Patient.extension('{URL}mood').value.ofType(string)")
    assert (await client.put("/fhir/SearchParameter/temper", json=stored)).status_code == 201
    await _index(hub)
    added = await _add(hub, packages, "1.0.0", {**_mood(), "url": stored["url"]})
    assert [url for url, _ in added.unsearched] == [stored["url"]]
    await packages.remove("example.guide", None, "operator")
    await _person(client, "p", {"url": f"{URL}mood", "valueString": "calm"})
    assert await _ids(client, "Patient?temper=calm") == ["p"]
