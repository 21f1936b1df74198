"""IHE PIXm and PDQm: Patient/$ihe-pix (ITI-83), the identity feed (ITI-104) and the demographics query (ITI-78)."""

from __future__ import annotations

import urllib.parse
from typing import Any

import httpx
from tests.consents import opt_out

RED, BLUE, GREEN = "urn:oid:1.3.6.1.4.1.21367.13.20.1000", "urn:oid:1.3.6.1.4.1.21367.13.20.2000", "urn:oid:1.9"
MAIDEN = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"


def person(number: str, system: str = RED, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": number}],
        "active": True,
        "name": [{"family": "MOHR", "given": ["ALICE"]}],
        "gender": "female",
        "birthDate": "1958-01-30",
        **more,
    }


async def feed(client: httpx.AsyncClient, number: str, system: str = RED, **more: Any) -> httpx.Response:
    """ITI-104: a conditional update by the number."""
    where = urllib.parse.urlencode({"identifier": f"{system}|{number}"})
    return await client.put(f"/fhir/Patient?{where}", json=person(number, system, **more))


def replaced_by(number: str) -> dict[str, Any]:
    other = {"identifier": {"system": RED, "value": number}}
    return {"active": False, "link": [{"other": other, "type": "replaced-by"}]}


async def pix(client: httpx.AsyncClient, number: str, system: str = RED, *targets: str) -> httpx.Response:
    pairs = [("sourceIdentifier", f"{system}|{number}"), *(("targetSystem", each) for each in targets)]
    return await client.get(f"/fhir/Patient/$ihe-pix?{urllib.parse.urlencode(pairs)}")


async def withhold(client: httpx.AsyncClient, patient_id: str) -> None:
    consent = opt_out(patient_id)
    (await client.post("/fhir/Consent", json=consent)).raise_for_status()


def told(answer: httpx.Response) -> tuple[list[str], set[str]]:
    assert answer.status_code == 200, answer.text
    parameters = answer.json().get("parameter", [])
    numbers = [p["valueIdentifier"]["value"] for p in parameters if p["name"] == "targetIdentifier"]
    return sorted(numbers), {p["valueReference"]["reference"] for p in parameters if p["name"] == "targetId"}


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    issue = answer.json()["issue"][0]
    return answer.status_code, issue["code"], issue["diagnostics"]


async def test_a_number_leads_to_the_other_numbers_and_patients_of_the_person(admin: httpx.AsyncClient) -> None:
    red, blue = (await feed(admin, "R-1")).json()["id"], (await feed(admin, "B-1", BLUE)).json()["id"]
    await feed(admin, "G-1", GREEN, name=[{"family": "Other", "given": ["Otho"]}], birthDate="1931-02-03")
    assert told(await pix(admin, "R-1")) == (["B-1"], {f"Patient/{red}", f"Patient/{blue}"})
    assert told(await pix(admin, "R-1", RED, BLUE)) == (["B-1"], {f"Patient/{blue}"})
    assert told(await pix(admin, "R-1", RED, RED)) == ([], set())
    assert told(await pix(admin, "R-1", RED, GREEN)) == ([], set())
    base = "http://hub/fhir"
    assert told(await pix(admin, f"Patient/{red}", base)) == (["B-1", "R-1"], {f"Patient/{blue}"})
    assert told(await pix(admin, "R-1", RED, base)) == ([], {f"Patient/{red}", f"Patient/{blue}"})
    asked = {"name": "sourceIdentifier", "valueString": f"{RED}|R-1"}
    target = {"name": "targetSystem", "valueUri": BLUE}
    body = {"resourceType": "Parameters", "parameter": [asked, target]}
    assert told(await admin.post("/fhir/Patient/$ihe-pix", json=body))[0] == ["B-1"]
    asked = {"name": "sourceIdentifier", "valueIdentifier": {"system": RED, "value": "R-1"}}
    body = {"resourceType": "Parameters", "parameter": [asked]}
    assert told(await admin.post("/fhir/Patient/$ihe-pix", json=body))[0] == ["B-1"]


async def test_what_cannot_be_answered_is_refused_in_the_words_of_the_profile(admin: httpx.AsyncClient) -> None:
    await feed(admin, "R-1")
    assert refused(await pix(admin, "R-9")) == (404, "not-found", "sourceIdentifier Patient Identifier not found")
    assert refused(await pix(admin, "R-1", "urn:oid:1.7")) == (
        400,
        "code-invalid",
        "sourceIdentifier Assigning Authority not found",
    )
    assert refused(await pix(admin, "R-1", RED, "urn:oid:1.7")) == (403, "code-invalid", "targetSystem not found")
    assert refused(await pix(admin, "Patient/nobody", "http://hub/fhir"))[0] == 404
    for question in ("", "?sourceIdentifier=R-1", f"?sourceIdentifier={RED}|", "?sourceIdentifier=a|b&targetSystem="):
        assert (await admin.get(f"/fhir/Patient/$ihe-pix{question}")).status_code == 400
    many = "&".join(f"targetSystem=urn:oid:1.2.{n}" for n in range(51))
    assert (await admin.get(f"/fhir/Patient/$ihe-pix?sourceIdentifier=a|b&{many}")).status_code == 422
    stranger = {"name": [{"family": "Marrow", "given": ["Hob"]}], "gender": "male", "birthDate": "1930-01-02"}
    (await admin.post("/fhir/Patient", json=person("R-1", **stranger))).raise_for_status()
    assert refused(await pix(admin, "R-1"))[:2] == (409, "conflict")


async def test_only_what_roles_and_consent_show_is_told(admin: httpx.AsyncClient, client_as: Any) -> None:
    await feed(admin, "R-1")
    hidden = (await feed(admin, "B-1", BLUE, name=[{"family": "Other", "given": ["Otho"]}])).json()["id"]
    await withhold(admin, hidden)
    assert refused(await pix(admin, "B-1", BLUE))[0] == 400
    assert refused(await pix(admin, "R-1", RED, BLUE))[0] == 403
    assert told(await pix(await client_as("billing"), "R-1"))[0] == []
    assert refused(await pix(await client_as("researcher"), "R-1"))[:2] == (403, "forbidden")
    assert (await pix(await client_as(), "R-1")).status_code == 401


async def test_questions_are_recorded_as_the_transaction_of_ihe_with_the_question_sealed(
    admin: httpx.AsyncClient,
) -> None:
    red = (await feed(admin, "R-1")).json()["id"]
    await pix(admin, "R-1")
    await pix(admin, "R-9")
    events = [e["resource"] for e in (await admin.get("/fhir/AuditEvent?_count=2")).json()["entry"]]
    codes = [coding["code"] for event in events for coding in event["subtype"]]
    assert codes == ["search", "ITI-83"] * 2
    assert f"Patient/{red}" in str(events[1])


async def test_a_feed_adds_and_revises_a_patient_by_its_number(admin: httpx.AsyncClient) -> None:
    first = await feed(admin, "R-1")
    again = await feed(admin, "R-1", name=[{"family": "MOHR", "given": ["ALISSA"]}])
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


async def test_a_duplicate_that_is_replaced_joins_the_survivor_and_its_number_is_told_no_more(
    admin: httpx.AsyncClient, hub: Any
) -> None:
    kept = (await feed(admin, "R-994")).json()["id"]
    await feed(admin, "B-1", BLUE)
    maiden = {"name": [{"family": "MAIDEN", "given": ["ALICE"]}], "birthDate": "1985-05-05"}
    gone = (await feed(admin, "R-m94", **maiden)).json()["id"]
    assert told(await pix(admin, "R-m94"))[0] == []
    answer = await feed(admin, "R-m94", **maiden, **replaced_by("R-994"))
    assert answer.status_code == 200
    golden = [(await admin.get(f"/fhir/Patient/{id_}/$golden")).json()["id"] for id_ in (kept, gone)]
    assert golden[0] == golden[1]
    assert refused(await pix(admin, "R-m94"))[0] == 404
    assert told(await pix(admin, "B-1", BLUE))[0] == ["R-994"]
    again = await feed(admin, "R-m94", **maiden, **replaced_by("R-994"))
    assert again.headers["ETag"] == answer.headers["ETag"]
    async with hub.database.connection() as tx:
        names = [row["name"] for row in await tx.fetch("SELECT name FROM event_log")]
    assert names.count("patient.merged") == 1

    back = await feed(admin, "R-m94", **maiden)
    assert back.status_code == 200
    golden = [(await admin.get(f"/fhir/Patient/{id_}/$golden")).json()["id"] for id_ in (kept, gone)]
    assert golden[0] != golden[1]
    assert told(await pix(admin, "R-m94"))[0] == []


async def test_who_is_replaced_by_a_patient_of_another_source_is_linked_and_takes_no_message_of_his(
    admin: httpx.AsyncClient, client_as: Any, hub: Any
) -> None:
    kept = (await feed(admin, "R-1")).json()["id"]
    other = await client_as("system")
    maiden = {"name": [{"family": "MAIDEN", "given": ["ALICE"]}], "birthDate": "1985-05-05"}
    gone = (await feed(other, "B-1", BLUE, **maiden)).json()["id"]
    assert (await feed(other, "B-1", BLUE, **maiden, **replaced_by("R-1"))).status_code == 200
    golden = [(await admin.get(f"/fhir/Patient/{id_}/$golden")).json()["id"] for id_ in (kept, gone)]
    assert golden[0] == golden[1]
    async with hub.database.connection() as tx:
        names = [row["name"] for row in await tx.fetch("SELECT name FROM event_log")]
        retired = await tx.fetchval("SELECT count(*) FROM identity_patient WHERE retired_into IS NOT NULL")
    assert (names.count("patient.merged"), retired) == (0, 0)


async def test_a_merge_may_name_the_survivor_by_reference_and_come_with_him(admin: httpx.AsyncClient) -> None:
    link = [{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}]
    stranger = {"name": [{"family": "Marrow", "given": ["Hob"]}], "gender": "male"}
    entries = [
        {"resource": {**person("R-2", active=False, link=link, **stranger), "id": "gone"}},
        {"resource": {**person("R-1"), "id": "kept"}},
    ]
    for entry in entries:
        entry["request"] = {"method": "PUT", "url": f"Patient/{entry['resource']['id']}"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await admin.post("/fhir", json=bundle)
    assert answer.status_code == 200, answer.text
    golden = [(await admin.get(f"/fhir/Patient/{id_}/$golden")).json()["id"] for id_ in ("kept", "gone")]
    assert golden[0] == golden[1]


async def test_a_merge_into_nobody_known_is_refused_and_stores_nothing(admin: httpx.AsyncClient) -> None:
    await feed(admin, "R-1")
    nobody = [{"other": {"reference": "https://elsewhere.example/Patient/9"}, "type": "replaced-by"}]
    kept = await admin.put(
        "/fhir/Patient/r2", json={**person("R-2", BLUE, active=False, link=nobody, birthDate="1931-01-02"), "id": "r2"}
    )
    assert kept.status_code == 201  # a link to another server merges nothing
    itself = await feed(admin, "R-3", **{**replaced_by("R-3"), "birthDate": "1931-01-02"})
    assert itself.status_code == 201
    (await admin.delete("/fhir/Patient/r2")).raise_for_status()
    (await admin.delete(f"/fhir/Patient?identifier={RED}|R-3")).raise_for_status()
    answer = await feed(admin, "R-1", **replaced_by("R-404"))
    assert refused(answer)[:2] == (422, "business-rule")
    assert (await admin.get("/fhir/Patient?active=false")).json()["total"] == 0


async def test_a_merge_into_a_patient_who_withholds_his_record_is_refused_as_into_nobody(
    admin: httpx.AsyncClient,
) -> None:
    hidden = (await feed(admin, "R-1")).json()["id"]
    other = {"name": [{"family": "Marrow", "given": ["Hob"]}], "gender": "male", "birthDate": "1930-01-02"}
    await feed(admin, "R-2", **other)
    await withhold(admin, hidden)
    assert refused(await feed(admin, "R-2", **other, **replaced_by("R-1")))[0] == 422


async def test_a_patient_who_is_removed_is_told_no_more(admin: httpx.AsyncClient) -> None:
    await feed(admin, "R-1")
    await feed(admin, "B-1", BLUE)
    gone = await admin.delete(f"/fhir/Patient?identifier={RED}|R-1")
    assert gone.status_code in (200, 204)
    assert told(await pix(admin, "B-1", BLUE))[0] == []
    assert refused(await pix(admin, "R-1"))[0] in (400, 404)


async def test_patients_are_found_by_every_parameter_of_the_demographics_query(admin: httpx.AsyncClient) -> None:
    known = {
        "telecom": [{"system": "phone", "value": "617-555-0100"}],
        "address": [
            {"line": ["4 Weir Lane"], "city": "Holbrook", "state": "MA", "postalCode": "02343", "country": "US"}
        ],
        "extension": [{"url": MAIDEN, "valueString": "Tarn"}],
    }
    id_ = (await feed(admin, "R-1", **known)).json()["id"]
    await feed(admin, "G-1", GREEN, name=[{"family": "Other"}], gender="male", birthDate="1931-02-03", active=False)
    for question in (
        f"_id={id_}", "active=true", "family=mohr&given=ali", f"identifier={RED}|R-1", f"identifier={RED}|",
        f"identifier={RED}|,{BLUE}|", "telecom=617-555-0100", "birthdate=1958-01-30&family=MOHR", "address=Weir",
        "address=4 weir", "address-city=Holbrook", "address-country=US", "address-postalcode=02343", "address-state=MA",
        "family=MOHR&gender=female", "mothersMaidenName=tar", "mothersMaidenName:exact=Tarn", "family:exact=MOHR",
    ):  # fmt: skip
        found = (await admin.get(f"/fhir/Patient?{question}")).json()
        hits = [e["resource"]["id"] for e in found.get("entry", ())]
        assert hits == ([] if question == "address=Weir" else [id_]), question
    for question in ("mothersMaidenName=Weir", "mothersMaidenName:exact=tarn", "identifier=urn:oid:1.7|"):
        assert (await admin.get(f"/fhir/Patient?{question}")).json()["total"] == 0
    posted = await admin.post(
        "/fhir/Patient/_search",
        content="mothersMaidenName=Tarn",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert posted.json()["total"] == 1
