"""Binary over HTTP, as a resource and in its own format (binary.html#rest)."""

from __future__ import annotations

from dataclasses import replace

from healthsync.domains.access import RolePolicy

CONTENT = b"%PDF-1.7 \x00\xff not really"
FHIR = {"Accept": "application/fhir+json"}


async def test_content_comes_in_and_goes_out_in_its_own_format(admin, patient):
    subject = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    headers = {"Content-Type": "application/pdf", "X-Security-Context": f"Patient/{subject}"}
    made = await admin.post("/fhir/Binary", content=CONTENT, headers={**headers, **FHIR})
    assert made.status_code == 201, made.text
    assert made.json()["contentType"] == "application/pdf"
    assert made.json()["securityContext"] == {"reference": f"Patient/{subject}"}
    path = f"/fhir/Binary/{made.json()['id']}"
    for accept in ("*/*", "application/pdf", "image/png"):
        raw = await admin.get(path, headers={"Accept": accept})
        assert (raw.content, raw.headers["Content-Type"]) == (CONTENT, "application/pdf")
        assert raw.headers["ETag"] == 'W/"1"'
        assert raw.headers["X-Security-Context"] == f"Patient/{subject}"
        assert (raw.headers["X-Content-Type-Options"], raw.headers["Content-Disposition"]) == ("nosniff", "attachment")
    for headers, query in [(FHIR, ""), ({}, "?_format=json")]:
        resource = await admin.get(path + query, headers=headers)
        assert resource.json()["resourceType"] == "Binary"
    assert (await admin.get(f"{path}?_format=xml")).status_code == 406
    assert (await admin.get(path, headers={"If-None-Match": 'W/"1"'})).status_code == 304


async def test_content_can_be_replaced_under_its_id_and_sent_as_a_resource(admin):
    text = {"Content-Type": "text/plain"}
    assert (await admin.put("/fhir/Binary/b1", content=b"one", headers=text)).status_code == 201
    assert (await admin.put("/fhir/Binary/b1", content=b"two", headers=text)).status_code == 200
    assert (await admin.get("/fhir/Binary/b1")).content == b"two"
    assert (await admin.get("/fhir/Binary/b1/_history/1")).content == b"one"
    resource = {"resourceType": "Binary", "contentType": "text/plain", "data": "dGhyZWU="}
    made = (await admin.post("/fhir/Binary", json=resource, headers=FHIR)).json()
    assert (await admin.get(f"/fhir/Binary/{made['id']}")).content == b"three"
    empty = (
        await admin.post("/fhir/Binary", json={"resourceType": "Binary", "contentType": "text/plain"}, headers=FHIR)
    ).json()
    assert (await admin.get(f"/fhir/Binary/{empty['id']}")).json()["resourceType"] == "Binary"
    assert (await admin.get("/fhir/Binary/nobody", headers={"Accept": "image/png"})).status_code == 404


async def test_fhir_that_is_no_binary_is_the_content_of_one(admin):
    for media_type in ("application/fhir+json", "application/json"):
        sent = {"content": b'{"resourceType": "Patient"}', "headers": {"Content-Type": media_type}}
        for made in (await admin.post("/fhir/Binary", **sent), await admin.put("/fhir/Binary/p", **sent)):
            path = made.headers["Location"].partition("/_history")[0]
            shown = (await admin.get(path, headers=FHIR)).json()
            assert (shown["resourceType"], shown["contentType"]) == ("Binary", media_type)
            assert (await admin.get(path, headers={"Accept": "text/html"})).content == sent["content"]
    broken = {"content": b'{"resourceType": "Patient"', "headers": {"Content-Type": "application/fhir+json"}}
    assert (await admin.post("/fhir/Binary", **broken)).status_code == 400


def _denied_for_treatment(patient_id: str) -> dict:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient_id}"},
        "policyRule": {"coding": [{"code": "OPTIN"}]},
        "provision": {"type": "deny", "purpose": [{"code": "TREAT"}]},
    }


async def _uploaded(client, context: str) -> str:
    headers = {"Content-Type": "application/pdf", "X-Security-Context": context, **FHIR}
    made = await client.post("/fhir/Binary", content=CONTENT, headers=headers)
    assert made.status_code == 201, made.text
    return f"/fhir/Binary/{made.json()['id']}"


async def test_a_binary_is_shown_to_whom_the_resource_of_its_security_context_is_shown(
    admin, client_as, patient, observation
):
    subject = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    about = (await admin.post("/fhir/Observation", json=observation(subject))).json()["id"]
    paths = [
        await _uploaded(admin, f"Patient/{subject}"),
        await _uploaded(admin, f"Observation/{about}"),
        await _uploaded(admin, f"http://hub/fhir/Observation/{about}"),
    ]
    physician = await client_as("physician")
    for path in paths:
        assert (await physician.get(path)).content == CONTENT
    await admin.post("/fhir/Consent", json=_denied_for_treatment(subject))
    for path in paths:
        for suffix in ("", "/_history", "/_history/1"):
            assert (await physician.get(path + suffix)).status_code == 404, (path, suffix)
        assert (await physician.put(path, content=b"other", headers={"Content-Type": "text/plain"})).status_code == 404
        assert (await admin.get(path)).content == CONTENT
    ids = ",".join(path.rpartition("/")[2] for path in paths)
    assert (await physician.get(f"/fhir/Binary?_id={ids}")).json()["total"] == 0


async def test_a_binary_whose_context_the_roles_do_not_open_keeps_its_content_everywhere(
    admin, client_as, hub, monkeypatch
):
    await admin.put("/fhir/Basic/b1", json={"resourceType": "Basic", "id": "b1", "code": {"text": "x"}})
    path = await _uploaded(admin, "Basic/b1")
    only_binaries = {"nurse": {"Binary": frozenset("rs")}}
    monkeypatch.setattr(hub.disclose, "_roles", replace(RolePolicy.load(), interactions=only_binaries))
    nurse = await client_as("nurse")
    assert (await nurse.get(path)).status_code == 404
    assert (await nurse.get(f"{path}/_history/1")).status_code == 404
    (version,) = (await nurse.get(f"{path}/_history")).json()["entry"]
    assert "data" not in version["resource"]
    assert version["resource"]["meta"]["tag"][-1]["code"] == "SUBSETTED"


async def test_a_binary_whose_context_is_not_here_or_gone_or_elsewhere_is_shown_to_nobody(admin, hub):
    basic = {"resourceType": "Basic", "id": "late", "code": {"text": "x"}}
    path, elsewhere = await _uploaded(admin, "Basic/late"), await _uploaded(admin, "https://elsewhere.example/Basic/1")
    assert [(await admin.get(each)).status_code for each in (path, elsewhere)] == [404, 404]
    await admin.put("/fhir/Basic/late", json=basic)
    assert (await admin.get(path)).content == CONTENT
    await admin.delete("/fhir/Basic/late")
    assert (await admin.get(path)).status_code == 404
    async with hub.database.connection() as tx:
        reasons = [row.entry.get("reason") for row in await hub.audit.search(tx)]
    assert reasons.count("security-context") == 3


async def test_a_binary_and_its_context_may_come_in_one_transaction(admin, client_as, patient, observation):
    subject = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    binary = {
        "resourceType": "Binary",
        "contentType": "text/plain",
        "data": "b25l",
        "securityContext": {"reference": "urn:uuid:0b4a5a3e-0d0c-4a3a-9d35-5d0f9b7e1c11"},
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:0b4a5a3e-0d0c-4a3a-9d35-5d0f9b7e1c11",
                "resource": observation(subject),
                "request": {"method": "POST", "url": "Observation"},
            },
            {"resource": binary, "request": {"method": "POST", "url": "Binary"}},
        ],
    }
    answer = await admin.post("/fhir", json=bundle, headers=FHIR)
    assert answer.status_code == 200, answer.text
    path = "/fhir/" + answer.json()["entry"][1]["response"]["location"].partition("/_history")[0]
    assert (await admin.get(path)).content == b"one"
    await admin.post("/fhir/Consent", json=_denied_for_treatment(subject))
    assert (await (await client_as("physician")).get(path)).status_code == 404
