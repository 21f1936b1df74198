"""fhirpy (PyPI), asynchronous and synchronous: what its users do all day."""

from __future__ import annotations

import uuid

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from .conftest import Server


@pytest.fixture
def client(server: Server) -> AsyncFHIRClient:
    return AsyncFHIRClient(server.base, authorization=f"Bearer {server.key}")


@pytest.fixture
def calm_client(server: Server) -> SyncFHIRClient:
    return SyncFHIRClient(server.base, authorization=f"Bearer {server.key}")


def _family() -> str:
    return f"Fhirpy{uuid.uuid4().hex[:10]}"


def _patient(client, family: str, **more):
    return client.resource("Patient", name=[{"family": family, "given": ["Ada"]}], birthDate="1985-04-12", **more)


async def test_a_patient_is_created_read_updated_and_deleted(client: AsyncFHIRClient) -> None:
    patient = await _patient(client, _family(), gender="female").create()
    assert patient.id
    assert patient["meta"]["versionId"] == "1"

    patient["gender"] = "other"
    await patient.update()
    again = await client.reference("Patient", patient.id).to_resource()
    assert (again["gender"], again["meta"]["versionId"]) == ("other", "2")

    await patient.delete()
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", patient.id)


async def test_refresh_brings_what_another_wrote(client: AsyncFHIRClient) -> None:
    mine = await _patient(client, _family(), gender="female").create()
    theirs = await client.reference("Patient", mine.id).to_resource()
    theirs["gender"] = "unknown"
    await theirs.update()
    await mine.refresh()
    assert mine["gender"] == "unknown"


async def test_a_refresh_without_news_keeps_what_is_there(client: AsyncFHIRClient) -> None:
    patient = await _patient(client, _family()).create()
    before = dict(patient)
    await patient.refresh()
    assert dict(patient) == before


async def test_every_resource_is_found_over_several_pages(client: AsyncFHIRClient) -> None:
    family = _family()
    made = {(await _patient(client, family).create()).id for _ in range(7)}
    patients = client.resources("Patient").search(family=family).limit(3)
    assert {patient.id for patient in await patients.fetch_all()} == made
    assert len(await patients.fetch()) == 3
    assert await patients.count() == 7


async def test_searches_by_date_identifier_and_reference_find_what_they_name(client: AsyncFHIRClient) -> None:
    number = uuid.uuid4().hex
    patient = await _patient(client, _family(), identifier=[{"system": "urn:example:mrn", "value": number}]).create()
    observation = await client.resource(
        "Observation",
        status="final",
        code={"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
        subject=patient.to_reference(),
        effectiveDateTime="2026-02-03T10:00:00Z",
        valueQuantity={"value": 121.5, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
    ).create()

    found = await client.resources("Patient").search(identifier=f"urn:example:mrn|{number}").get()
    assert found.id == patient.id
    of_patient = client.resources("Observation").search(subject=patient.to_reference(), date__ge="2026-02-01")
    assert (await of_patient.first()).id == observation.id
    assert await of_patient.search(date__lt="2026-02-02").first() is None
    chained = await client.resources("Observation").search(patient__identifier=f"urn:example:mrn|{number}").fetch()
    assert [one.id for one in chained] == [observation.id]


async def test_included_patients_come_with_their_observations(client: AsyncFHIRClient) -> None:
    patient = await _patient(client, _family()).create()
    await client.resource(
        "Observation", status="final", code={"text": "included"}, subject=patient.to_reference()
    ).create()
    bundle = await (
        client.resources("Observation")
        .search(subject=patient.to_reference())
        .include("Observation", "subject")
        .fetch_raw()
    )
    modes = {entry["resource"]["resourceType"]: entry["search"]["mode"] for entry in bundle["entry"]}
    assert modes == {"Observation": "match", "Patient": "include"}


async def test_a_reference_resolves_to_its_resource(client: AsyncFHIRClient) -> None:
    patient = await _patient(client, _family()).create()
    observation = await client.resource(
        "Observation", status="final", code={"text": "resolved"}, subject=patient.to_reference()
    ).create()
    read = await client.reference("Observation", observation.id).to_resource()
    assert (await read["subject"].to_resource()).id == patient.id


async def test_a_patch_of_single_elements_changes_these_only(client: AsyncFHIRClient) -> None:
    """fhirpy sends the elements as a JSON object, which is a merge patch (RFC 7396)."""
    patient = await _patient(client, _family(), gender="female").create()
    await patient.patch(gender="male", active=True)
    read = await client.get("Patient", patient.id)
    assert (read["gender"], read["active"], read["birthDate"]) == ("male", True, "1985-04-12")


async def test_get_or_create_creates_once(client: AsyncFHIRClient) -> None:
    number = uuid.uuid4().hex
    wanted = _patient(client, _family(), identifier=[{"system": "urn:example:once", "value": number}])
    found = client.resources("Patient").search(identifier=f"urn:example:once|{number}")
    first, created = await found.get_or_create(wanted)
    second, created_again = await found.get_or_create(wanted)
    assert (created, created_again) == (True, False)
    assert first.id == second.id


async def test_conditional_update_and_delete_act_on_what_is_found(client: AsyncFHIRClient) -> None:
    number = uuid.uuid4().hex
    wanted = _patient(client, _family(), identifier=[{"system": "urn:example:cond", "value": number}])
    found = client.resources("Patient").search(identifier=f"urn:example:cond|{number}")
    first, created = await found.update(wanted)
    assert created
    second, created = await found.update(_patient(client, _family(), identifier=first["identifier"]))
    assert not created
    assert second.id == first.id
    await found.delete()
    assert await found.fetch() == []


async def test_a_transaction_joins_what_names_each_other(client: AsyncFHIRClient) -> None:
    patient = f"urn:uuid:{uuid.uuid4()}"
    answer = await client.resource(
        "Bundle",
        type="transaction",
        entry=[
            {
                "fullUrl": patient,
                "resource": {"resourceType": "Patient", "name": [{"family": _family()}]},
                "request": {"method": "POST", "url": "Patient"},
            },
            {
                "resource": {
                    "resourceType": "Observation",
                    "status": "final",
                    "code": {"text": "joined"},
                    "subject": {"reference": patient},
                },
                "request": {"method": "POST", "url": "Observation"},
            },
        ],
    ).create()
    assert answer["type"] == "transaction-response"
    assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
    observation_id = answer["entry"][1]["response"]["location"].split("Observation/")[1].split("/")[0]
    observation = await client.get("Observation", observation_id)
    assert observation["subject"]["reference"].startswith("Patient/")


async def test_validation_tells_good_from_bad(client: AsyncFHIRClient) -> None:
    assert await _patient(client, _family()).is_valid()
    assert not await client.resource("Patient", gender="nonsense").is_valid()


async def test_a_refusal_is_an_operation_outcome(client: AsyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome) as refused:
        await client.resource("Patient", gender="nonsense").create()
    assert refused.value.resource["issue"][0]["severity"] == "error"


async def test_everything_of_a_patient_is_an_operation_of_the_instance(client: AsyncFHIRClient) -> None:
    patient = await _patient(client, _family()).create()
    bundle = await client.reference("Patient", patient.id).execute("$everything", method="get")
    assert patient.id in {entry["resource"]["id"] for entry in bundle["entry"]}


def test_the_synchronous_client_does_the_same(calm_client: SyncFHIRClient) -> None:
    family = _family()
    made = [_patient(calm_client, family, gender="male").create() for _ in range(5)]
    patients = calm_client.resources("Patient").search(family=family).limit(2)
    assert {patient.id for patient in patients.fetch_all()} == {patient.id for patient in made}

    first = made[0]
    first["birthDate"] = "1985-04-13"
    first.update()
    assert calm_client.reference("Patient", first.id).to_resource()["birthDate"] == "1985-04-13"
    first.delete()
    with pytest.raises(ResourceNotFound):
        calm_client.get("Patient", first.id)
    assert patients.count() == 4
