"""Binary over HTTP, as a resource and in its own format (binary.html#rest)."""

from __future__ import annotations

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
