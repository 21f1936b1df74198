"""FHIR REST through the whole hub: gate in, store, gate out."""

from __future__ import annotations

import re

import pytest


async def _created(client, resource: dict) -> str:
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_created_resource_is_read_back_with_its_version(admin, patient):
    created = await admin.post("/fhir/Patient", json=patient)
    assert created.status_code == 201
    assert created.headers["ETag"] == 'W/"1"'
    id_ = created.json()["id"]
    assert created.headers["Location"].endswith(f"/Patient/{id_}/_history/1")
    read = await admin.get(f"/fhir/Patient/{id_}")
    assert read.json() == created.json()
    assert read.json()["name"] == patient["name"]


async def test_a_decimal_keeps_its_digits(admin, patient, observation):
    id_ = await _created(admin, patient)
    body = observation(id_)
    text = __import__("json").dumps(body).replace("13.5", "13.50")
    created = await admin.post("/fhir/Observation", content=text)
    read = await admin.get(f"/fhir/Observation/{created.json()['id']}")
    assert '"value":13.50' in read.text


async def test_an_update_makes_a_version_and_keeps_the_old_one(admin, patient):
    id_ = await _created(admin, patient)
    changed = {**patient, "id": id_, "name": [{"family": "Quennell-Ames"}]}
    updated = await admin.put(f"/fhir/Patient/{id_}", json=changed)
    assert (updated.status_code, updated.headers["ETag"]) == (200, 'W/"2"')
    first = await admin.get(f"/fhir/Patient/{id_}/_history/1")
    assert first.json()["name"] == patient["name"]
    history = (await admin.get(f"/fhir/Patient/{id_}/_history")).json()
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["2", "1"]


async def test_the_same_content_again_makes_no_version(admin, patient):
    id_ = await _created(admin, patient)
    same = {**patient, "id": id_, "name": [{"family": "Ames"}]}
    await admin.put(f"/fhir/Patient/{id_}", json=same)
    again = await admin.put(f"/fhir/Patient/{id_}", json=same)
    assert again.headers["ETag"] == 'W/"2"'


async def test_if_match_of_another_version_is_refused(admin, patient):
    id_ = await _created(admin, patient)
    answer = await admin.put(f"/fhir/Patient/{id_}", json={**patient, "id": id_}, headers={"If-Match": 'W/"7"'})
    assert answer.status_code == 412


async def test_a_deleted_resource_is_gone_but_its_history_stays(admin, patient):
    id_ = await _created(admin, patient)
    assert (await admin.delete(f"/fhir/Patient/{id_}")).status_code == 204
    assert (await admin.get(f"/fhir/Patient/{id_}")).status_code == 410
    assert (await admin.get("/fhir/Patient?family=quennell")).json()["total"] == 0
    assert (await admin.get(f"/fhir/Patient/{id_}/_history/1")).json()["name"] == patient["name"]


@pytest.mark.parametrize(
    "query",
    [
        "identifier=MRN-000111",
        "identifier=urn:oid:1.2.3|MRN-000111",
        "family=quennell",
        "family=QUENN",
        "family=Que",
        "family:exact=Quennell",
        "given=ottoline",
        "name=May",
        "birthdate=1971-03-09",
        "birthdate=1971",
        "birthdate=ge1971-03-01&birthdate=lt1972",
        "phone=%2B1 617 555 0100",
        "address-city=holbrook",
        "gender=female",
        "family=quennell,other",
        "_lastUpdated=gt2020-01-01",
    ],
)
async def test_search_on_sealed_elements_finds_the_patient(admin, patient, query):
    id_ = await _created(admin, patient)
    found = (await admin.get(f"/fhir/Patient?{query}")).json()
    assert found["total"] == 1, found
    assert found["entry"][0]["resource"]["id"] == id_


@pytest.mark.parametrize(
    "query",
    [
        "identifier=MRN-000112",
        "identifier=urn:oid:9.9|MRN-000111",
        "family=quennells",
        "family:exact=quennell",
        "birthdate=1971-03-08",
        "birthdate=lt1971",
        "gender=male",
        "gender:not=female",
        "_id=nobody",
    ],
)
async def test_search_does_not_find_what_was_not_asked_for(admin, patient, query):
    await _created(admin, patient)
    assert (await admin.get(f"/fhir/Patient?{query}")).json()["total"] == 0


async def test_an_unknown_filter_is_refused_and_an_unknown_control_only_warned_of(admin, patient):
    await _created(admin, patient)
    refused = await admin.get("/fhir/Patient?colour=red")
    assert refused.status_code == 400
    warned = (await admin.get("/fhir/Patient?_colour=red")).json()
    assert warned["total"] == 1
    assert warned["entry"][-1]["search"]["mode"] == "outcome"


async def test_pages_give_every_resource_once_and_the_link_to_the_next_holds_no_patient_value(admin, patient):
    for number in range(7):
        await _created(admin, {**patient, "identifier": [{"system": "urn:x", "value": f"N{number}"}]})
    seen, url = [], "/fhir/Patient?family=quennell&_count=3"
    while url:
        page = (await admin.get(url)).json()
        assert page["total"] == 7
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        assert "quennell" not in str(url).lower()
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize("sort", ["date", "-date", "_lastUpdated", "-_lastUpdated", "_id"])
async def test_sorted_pages_lose_nothing_not_even_what_has_no_value(admin, patient, observation, sort):
    id_ = await _created(admin, patient)
    for day in range(1, 6):
        body = {**observation(id_), "effectiveDateTime": f"2024-05-0{day}"}
        if day == 3:
            del body["effectiveDateTime"]
        await _created(admin, body)
    seen, url = [], f"/fhir/Observation?patient={id_}&_sort={sort}&_count=2"
    while url:
        page = (await admin.get(url)).json()
        seen += [entry["resource"] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert len({resource["id"] for resource in seen}) == 5
    if sort.endswith("date"):
        dates = [resource.get("effectiveDateTime") for resource in seen]
        assert dates[-1] is None
        assert dates[:-1] == sorted(dates[:-1], reverse=sort.startswith("-"))


async def test_summary_count_gives_the_number_only(admin, patient):
    await _created(admin, patient)
    answer = (await admin.get("/fhir/Patient?_summary=count")).json()
    assert answer["total"] == 1
    assert "entry" not in answer


async def test_search_by_post_takes_the_form(admin, patient):
    await _created(admin, patient)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await admin.post("/fhir/Patient/_search", content="family=quennell", headers=headers)
    assert answer.json()["total"] == 1


async def test_a_transaction_resolves_its_urns_and_is_stored_together(admin, patient, observation):
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": "urn:uuid:0a0a0a0a-0000-4000-8000-00000000000b", "resource": {**observation("x"), "subject": {"reference": "urn:uuid:0a0a0a0a-0000-4000-8000-00000000000a"}}, "request": {"method": "POST", "url": "Observation"}},
            {"fullUrl": "urn:uuid:0a0a0a0a-0000-4000-8000-00000000000a", "resource": patient, "request": {"method": "POST", "url": "Patient"}},
        ],
    }  # fmt: skip
    answer = await admin.post("/fhir", json=bundle)
    assert answer.status_code == 200, answer.text
    places = [entry["response"]["location"] for entry in answer.json()["entry"]]
    observed = (await admin.get("/fhir/" + places[0].partition("/_history")[0])).json()
    assert observed["subject"]["reference"] == places[1].partition("/_history")[0]


async def test_a_transaction_with_one_bad_entry_stores_nothing(admin, patient):
    bad = {"resourceType": "Observation", "code": {}}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": patient, "request": {"method": "POST", "url": "Patient"}},
            {"resource": bad, "request": {"method": "POST", "url": "Observation"}},
        ],
    }
    assert (await admin.post("/fhir", json=bundle)).status_code in (400, 422)
    assert (await admin.get("/fhir/Patient?_summary=count")).json()["total"] == 0


async def test_a_batch_answers_each_entry_by_itself(admin, patient):
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"resource": patient, "request": {"method": "POST", "url": "Patient"}},
            {"resource": {"resourceType": "Observation"}, "request": {"method": "POST", "url": "Observation"}},
            {"request": {"method": "GET", "url": "Patient?family=quennell"}},
        ],
    }
    answers = (await admin.post("/fhir", json=bundle)).json()["entry"]
    assert [re.match(r"\d+", entry["response"]["status"])[0] for entry in answers] == ["201", "400", "200"]
    assert answers[2]["resource"]["total"] == 1


async def test_a_conditional_create_finds_the_one_that_is_there(admin, patient):
    id_ = await _created(admin, patient)
    again = await admin.post(
        "/fhir/Patient", json=patient, headers={"If-None-Exist": "identifier=urn:oid:1.2.3|MRN-000111"}
    )
    assert again.status_code == 200
    assert again.headers["Location"].startswith(f"http://hub/fhir/Patient/{id_}/")


async def test_everything_gives_the_person_across_facilities(admin, patient, observation):
    one = await _created(admin, patient)
    other = await _created(admin, {**patient, "identifier": [{"system": "urn:oid:4.5.6", "value": "X-9"}]})
    await _created(admin, observation(one))
    await _created(admin, observation(other))
    bundle = (await admin.get(f"/fhir/Patient/{one}/$everything")).json()
    kinds = sorted(entry["resource"]["resourceType"] for entry in bundle["entry"])
    assert kinds == ["Observation", "Observation", "Patient", "Patient"]


async def test_everything_includes_what_supports_the_records_and_nobody_elses_data(
    admin, client_as, patient, observation
):
    group = await _created(admin, {"resourceType": "Organization", "name": "Group"})
    clinic = await _created(
        admin, {"resourceType": "Organization", "name": "Clinic", "partOf": {"reference": f"Organization/{group}"}}
    )
    doctor = await _created(admin, {"resourceType": "Practitioner", "name": [{"family": "Aldous"}]})
    one = await _created(admin, {**patient, "managingOrganization": {"reference": f"Organization/{clinic}"}})
    another = await _created(admin, {"resourceType": "Patient", "name": [{"family": "Ravensworth"}]})
    seen = {**observation(one), "performer": [{"reference": f"Practitioner/{doctor}"}]}
    seen["focus"] = [{"reference": f"Patient/{another}"}]
    await _created(admin, seen)
    await _created(admin, {**observation(one), "performer": [{"reference": f"Practitioner/{doctor}"}]})

    async def included(client, more: str = "") -> list[str]:
        bundle = (await client.get(f"/fhir/Patient/{one}/$everything{more}")).json()
        return [
            f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            for entry in bundle.get("entry", [])
            if entry["search"]["mode"] == "include"
        ]

    supporting = [f"Organization/{clinic}", f"Practitioner/{doctor}", f"Organization/{group}"]
    assert await included(admin) == supporting
    assert await included(admin, "?_type=Observation,Practitioner") == supporting[1:2]
    assert await included(admin, "?_since=2999-01-01T00:00:00Z") == []
    assert await included(admin, "?start=1999-01-01&end=1999-12-31") == [supporting[0], supporting[2]]
    assert f"Practitioner/{doctor}" not in await included(await client_as("billing"))
    recorded = (await admin.get(f"/fhir/AuditEvent?patient={one}")).text
    assert f"Practitioner/{doctor}" in recorded
    assert f"Patient/{another}" not in recorded


async def test_a_resource_that_comes_before_its_patient_is_kept(admin, observation):
    answer = await admin.post(
        "/fhir/Observation", json=observation("later"), headers={"Prefer": "return=OperationOutcome"}
    )
    assert (answer.status_code, answer.json()["issue"][0]["severity"]) == (201, "warning")
    assert (await admin.get("/fhir/Observation?patient=later&_summary=count")).json()["total"] == 1
    assert (await admin.get("/fhir/Patient/later")).json()["meta"]["tag"][0]["code"] == "placeholder"


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("POST", "/fhir/Patient", b"{", {}, 400),
        ("POST", "/fhir/Patient", b'{"resourceType":"Patient","resourceType":"Patient"}', {}, 400),
        ("POST", "/fhir/Patient", b'{"resourceType":"Observation"}', {}, 400),
        ("POST", "/fhir/Patient", b'{"resourceType":"Patient","nickname":"x"}', {}, 400),
        ("POST", "/fhir/Patient", b"<Patient/>", {"Content-Type": "application/fhir+xml"}, 415),
        ("GET", "/fhir/Patient/x", b"", {"Accept": "application/fhir+xml"}, 406),
        ("GET", "/fhir/Nonsense/x", b"", {}, 404),
        ("GET", "/nowhere", b"", {}, 404),
        ("PATCH", "/fhir/Patient/x", b"{}", {}, 400),
        ("GET", "/fhir/Patient/x/_history/first", b"", {}, 404),
        ("GET", "/fhir/Patient?_cursor=abc", b"", {}, 400),
        ("PUT", "/fhir/Patient/x", b'{"resourceType":"Patient","id":"y"}', {}, 400),
        ("POST", "/fhir", b'{"resourceType":"Bundle","type":"collection"}', {}, 400),
    ],
)
async def test_bad_input_gets_an_operation_outcome(admin, method, path, content, headers, status):
    answer = await admin.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_capability_statement_is_open_to_strangers_and_names_what_works(client_as):
    stranger = await client_as()
    statement = (await stranger.get("/fhir/metadata")).json()
    patient = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Patient")
    assert {i["code"] for i in patient["interaction"]} >= {"read", "vread", "create", "update", "search-type"}


async def test_the_rest_api_answers_with_its_alias(admin, patient):
    id_ = await _created(admin, patient)
    answer = await admin.get(f"/api/v1/healthsync/patients/pat_{id_}", headers={"X-Purpose": "treatment"})
    assert answer.json()["id"] == f"pat_{id_}"
    assert (await admin.get(f"/api/fhir/Patient/{id_}")).json()["id"] == id_


@pytest.mark.parametrize(
    "reference", ["Organization?identifier=urn:oid:1.2.3|MRN-000111", "MRN-000111", "name:Quennell"]
)
async def test_a_reference_that_is_no_address_is_refused_because_references_stay_readable(admin, patient, reference):
    answer = await admin.post("/fhir/Patient", json={**patient, "managingOrganization": {"reference": reference}})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Patient.managingOrganization.reference"]
    assert reference not in answer.text
