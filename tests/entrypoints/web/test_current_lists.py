"""Functional lists (search.html#list, lifecycle.html#current): `_list=$current-…` of one patient, and List/$find."""

from __future__ import annotations

import pytest
from tests.consents import opt_out

HL7 = "http://terminology.hl7.org/CodeSystem"


def _allergy(id_: str, status: str = "active", believed: str = "confirmed", **more) -> dict:
    return {
        "resourceType": "AllergyIntolerance",
        "id": id_,
        "patient": {"reference": f"Patient/{more.pop('of', 'p')}"},
        "clinicalStatus": {"coding": [{"system": f"{HL7}/allergyintolerance-clinical", "code": status}]},
        "verificationStatus": {"coding": [{"system": f"{HL7}/allergyintolerance-verification", "code": believed}]},
        **more,
    }


def _list(id_: str, code: tuple[str, str], *entries: str, of: str = "p", status: str = "current") -> dict:
    return {
        "resourceType": "List",
        "id": id_,
        "status": status,
        "mode": "working",
        "subject": {"reference": f"Patient/{of}"},
        "code": {"coding": [{"system": code[0], "code": code[1]}]},
        **({"entry": [{"item": {"reference": entry}} for entry in entries]} if entries else {}),
    }


ALLERGIES = ("http://loinc.org", "48765-2")


@pytest.fixture
async def world(admin):
    """A patient with allergies, and another."""
    await _put(
        admin,
        {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09"},
        {"resourceType": "Patient", "id": "q", "name": [{"family": "Odell"}], "birthDate": "1950-01-02"},
        _allergy("nuts", category=["food"]),
        _allergy("penicillin", category=["medication"]),
        _allergy("milk", "resolved"),
        _allergy("dust", believed="refuted"),
        _allergy("of-another", of="q"),
    )
    return admin


async def _put(client, *resources: dict) -> None:
    for resource in resources:
        answer = await client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


async def _found(client, query: str) -> set[str]:
    answer = await client.get(f"/fhir/{query}")
    assert answer.status_code == 200, answer.text
    return {entry["resource"]["id"] for entry in answer.json().get("entry", ())}


async def test_without_a_list_the_state_of_each_resource_says_what_is_current(world):
    assert await _found(world, "AllergyIntolerance?patient=p&_list=$current-allergies") == {"nuts", "penicillin"}
    assert await _found(world, "AllergyIntolerance?patient=p&_list=$current-drug-allergies") == {"penicillin"}
    assert await _found(world, "Patient/p/AllergyIntolerance?_list=$current-allergies") == {"nuts", "penicillin"}
    assert await _found(world, "AllergyIntolerance?patient=q&_list=$current-allergies") == {"of-another"}
    assert (await world.get("/fhir/List/$find?patient=p&name=$current-allergies")).status_code == 404


async def test_the_newest_current_list_of_the_patient_decides(world):
    await _put(
        world,
        _list("older", ALLERGIES, "AllergyIntolerance/penicillin"),
        _list("newer", ALLERGIES, "AllergyIntolerance/milk", "AllergyIntolerance/of-another"),
        _list("retired", ALLERGIES, status="retired"),
        _list("anothers", ALLERGIES, of="q"),
        _list("problems", ("http://loinc.org", "11450-4")),
    )
    assert await _found(world, "AllergyIntolerance?patient=p&_list=$current-allergies") == {"milk"}
    assert await _found(world, "AllergyIntolerance?patient=q&_list=$current-allergies") == set()
    answer = await world.get("/fhir/List/$find?patient=p&name=current-allergies")
    assert (answer.status_code, answer.headers["Location"]) == (200, "http://hub/fhir/List/newer")
    assert answer.json()["id"] == "newer"


async def test_a_functional_list_shows_what_the_requester_may_see(world, client_as):
    await _put(world, _list("kept", ALLERGIES, "AllergyIntolerance/milk"))
    physician = await client_as("physician")
    assert await _found(physician, "AllergyIntolerance?patient=p&_list=$current-allergies") == {"milk"}
    await world.post("/fhir/Consent", json=opt_out("p"))
    assert await _found(physician, "AllergyIntolerance?patient=p&_list=$current-allergies") == set()
    assert (await physician.get("/fhir/List/$find?patient=p&name=current-allergies")).status_code == 404


@pytest.mark.parametrize("query", ["", "?patient=p", "?name=current-problems", "?patient=p&name=current-moods"])
async def test_a_find_names_a_patient_and_a_list_that_r4_knows(world, query):
    assert (await world.get(f"/fhir/List/$find{query}")).status_code == 400
