"""read and vread over HTTP: versions, conditions, formats, parts (http.html#read, #cread, #mime-type)."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

from tests.consents import opt_out


async def _created(client, resource: dict) -> str:
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_deleted_resource_is_gone_an_unknown_one_not_found_and_old_versions_stay(admin, patient):
    id_ = await _created(admin, patient)
    await admin.delete(f"/fhir/Patient/{id_}")
    for path, status in [
        (f"Patient/{id_}", 410),
        (f"Patient/{id_}/_history/2", 410),
        (f"Patient/{id_}/_history/1", 200),
        (f"Patient/{id_}/_history/3", 404),
        (f"Patient/{id_}/_history/x", 404),
        ("Patient/nobody", 404),
        ("Patient/nobody/_history/1", 404),
        ("Patient/not_legal", 404),
        ("Nonsense/1", 404),
    ]:
        answer = await admin.get(f"/fhir/{path}")
        assert answer.status_code == status, path
        assert answer.json()["resourceType"] == ("Patient" if status == 200 else "OperationOutcome")


async def test_head_answers_as_get_without_the_body(admin, patient):
    id_ = await _created(admin, patient)
    for path in (f"Patient/{id_}", "Patient/nobody", "metadata", "Patient?gender=female"):
        head, get = await admin.head(f"/fhir/{path}"), await admin.get(f"/fhir/{path}")
        assert head.status_code == get.status_code, path
        assert head.content == b""
        assert {"etag", "last-modified"} & head.headers.keys() == {"etag", "last-modified"} & get.headers.keys()


async def test_if_none_match_of_the_current_version_answers_304(admin, patient):
    id_ = await _created(admin, patient)
    for tags, status in [
        ('W/"1"', 304),
        ('"1"', 304),
        ('W/"7", W/"1"', 304),
        ("*", 304),
        ('W/"2"', 200),
        ("nonsense", 200),
    ]:
        for path in (f"/fhir/Patient/{id_}", f"/fhir/Patient/{id_}/_history/1"):
            answer = await admin.get(path, headers={"If-None-Match": tags})
            assert answer.status_code == status, tags
            assert answer.headers["ETag"] == 'W/"1"'
            assert bool(answer.content) == (status == 200)


async def test_if_modified_since_answers_304_unless_something_changed_later(admin, patient):
    id_ = await _created(admin, patient)
    read = await admin.get(f"/fhir/Patient/{id_}")
    modified = parsedate_to_datetime(read.headers["Last-Modified"])
    for since, status in [
        (read.headers["Last-Modified"], 304),
        (format_datetime(modified + timedelta(hours=1), usegmt=True), 304),
        (format_datetime(modified - timedelta(seconds=1), usegmt=True), 200),
        ("yesterday", 200),
    ]:
        answer = await admin.get(f"/fhir/Patient/{id_}", headers={"If-Modified-Since": since})
        assert answer.status_code == status, since
    both = {"If-Modified-Since": read.headers["Last-Modified"], "If-None-Match": 'W/"9"'}
    assert (await admin.get(f"/fhir/Patient/{id_}", headers=both)).status_code == 200


async def test_a_condition_tells_nobody_of_a_resource_that_consent_withholds(admin, client_as, patient):
    id_ = await _created(admin, patient)
    consent = opt_out(id_)
    await _created(admin, consent)
    physician = await client_as("physician")
    answer = await physician.get(f"/fhir/Patient/{id_}", headers={"If-None-Match": 'W/"1"'})
    assert answer.status_code == 404


async def test_summary_and_elements_show_a_part_and_say_so(admin, patient):
    whole = {
        **patient,
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a person</div>'},
        "maritalStatus": {"text": "married"},
    }
    id_ = await _created(admin, whole)

    async def read(query: str) -> dict:
        answer = await admin.get(f"/fhir/Patient/{id_}?{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    always = {"resourceType", "id", "meta"}
    for query, shown in [
        ("_summary=true", always | set(patient)),
        ("_summary=text", always | {"text"}),
        ("_summary=data", always | set(patient) | {"maritalStatus"}),
        ("_elements=name,birthDate", always | {"name", "birthDate"}),
        ("_elements=Patient.gender", always | {"gender"}),
        ("_summary=false", always | set(whole)),
    ]:
        found = await read(query)
        assert set(found) == shown, query
        tags = [tag["code"] for tag in found["meta"].get("tag", [])]
        assert tags == ([] if query == "_summary=false" else ["SUBSETTED"])
    for query in ("_summary=count", "_summary=some"):
        assert (await admin.get(f"/fhir/Patient/{id_}?{query}")).status_code == 400


async def test_pretty_is_the_same_resource_with_the_same_digits(admin, patient, observation):
    id_ = await _created(admin, patient)
    text = json.dumps(observation(id_)).replace("13.5", "13.50")
    made = (await admin.post("/fhir/Observation", content=text)).json()["id"]
    plain = await admin.get(f"/fhir/Observation/{made}")
    pretty = await admin.get(f"/fhir/Observation/{made}?_pretty=true")
    assert pretty.json() == plain.json()
    assert '"value": 13.50' in pretty.text
    assert pretty.text.count("\n") > 10
    refused = await admin.get("/fhir/Patient/nobody?_pretty=true")
    assert "\n" in refused.text


FORMATS = [
    ("application/fhir+json", "", 200),
    ("application/json", "", 200),
    ("text/json", "", 200),
    ("application/fhir+json; fhirVersion=4.0; charset=utf-8", "", 200),
    ("application/xml;q=0.9, application/json;q=0.1", "", 200),
    ("text/html, */*;q=0.1", "", 200),
    ("application/fhir+json;q=0", "", 406),
    ("application/fhir+xml", "", 406),
    ("application/fhir+json; fhirVersion=3.0", "", 406),
    ("text/turtle", "?_format=json", 200),
    ("application/fhir+json", "?_format=xml", 406),
    ("application/fhir+xml", "?_format=application/fhir%2Bjson", 200),
    ("application/fhir+xml", "?_format=application/fhir+json", 200),
    ("*/*", "?_format=text/html", 406),
]
"""Accept, query, status."""


async def test_the_format_is_negotiated(client_as):
    stranger = await client_as()
    for accept, query, status in FORMATS:
        answer = await stranger.get(f"/fhir/metadata{query}", headers={"Accept": accept})
        assert answer.status_code == status, (accept, query)
        assert answer.headers["Content-Type"].startswith("application/fhir+json")


async def test_what_no_address_is_answers_404_and_what_takes_no_method_405_with_those_it_takes(admin):
    for method, path, status, allowed in [
        ("GET", "/fhir/Patient/1/nothing", 404, None),
        ("POST", "/fhir/Patient/1", 405, {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("PUT", "/fhir/Patient/1/_history/1", 405, {"GET", "HEAD"}),
    ]:
        answer = await admin.request(method, path, json={})
        assert answer.status_code == status, path
        assert answer.json()["resourceType"] == "OperationOutcome"
        if allowed:
            assert set(answer.headers["Allow"].split(", ")) >= allowed


async def test_an_exchange_has_the_names_that_the_sender_gives_it_or_one_of_the_hub(client_as):
    stranger = await client_as()
    answer = await stranger.get(
        "/fhir/metadata?_elements=status", headers={"X-Request-Id": "a-1", "X-Correlation-Id": "b:2"}
    )
    assert (answer.headers["X-Request-Id"], answer.headers["X-Correlation-Id"]) == ("a-1", "b:2")
    odd = await stranger.get("/fhir/Patient/x", headers={"X-Request-Id": "<script>"})
    assert odd.status_code == 401
    own = [odd.headers["X-Request-Id"], (await stranger.get("/fhir/metadata")).headers["X-Request-Id"]]
    assert len({uuid.UUID(name) for name in own}) == 2, "a request without a name gets one of the hub's"
    assert "X-Correlation-Id" not in odd.headers
