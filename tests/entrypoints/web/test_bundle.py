"""batch and transaction over HTTP (http.html#transaction, #brules, #trules)."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from tests.effort import counted

from healthsync.bootstrap import build_hub
from healthsync.entrypoints.web.application import Application
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings

URN = "urn:uuid:0a0a0a0a-0000-4000-8000-00000000000"


def _organization(number: str, **more: Any) -> dict:
    return {
        "resourceType": "Organization",
        "identifier": [{"system": "urn:w", "value": number}],
        "name": "Ward",
        **more,
    }


def _entry(method: str, url: str, resource: dict | None = None, full_url: str | None = None, **request: str) -> dict:
    entry: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        entry["resource"] = resource
    if full_url is not None:
        entry["fullUrl"] = full_url
    return entry


def _bundle(kind: str, *entries: dict) -> dict:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


async def _statuses(client, bundle: dict, **headers: str) -> list[str]:
    answer = await client.post("/fhir", json=bundle, headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["response"]["status"][:3] for entry in answer.json()["entry"]]


async def test_a_transaction_runs_in_the_order_of_the_standard_and_answers_in_its_own(admin):
    await admin.put("/fhir/Organization/old", json=_organization("1", id="old"))
    bundle = _bundle(
        "transaction",
        _entry("GET", "Organization?identifier=urn:w|1,urn:w|2,urn:w|3"),
        _entry("PUT", "Organization/put", _organization("3", id="put")),
        _entry("POST", "Organization", _organization("2")),
        _entry("DELETE", "Organization/old"),
        _entry("GET", "Organization/put"),
        _entry("HEAD", "Organization/put"),
    )
    answer = (await admin.post("/fhir", json=bundle)).json()
    assert answer["type"] == "transaction-response"
    responses = [entry["response"] for entry in answer["entry"]]
    assert [each["status"] for each in responses] == [
        "200 OK",
        "201 Created",
        "201 Created",
        "204 No Content",
        "200 OK",
        "200 OK",
    ]
    assert answer["entry"][0]["resource"]["total"] == 2  # without what was deleted, with what was made
    assert responses[1]["location"] == "Organization/put/_history/1"
    assert (responses[1]["etag"], "lastModified" in responses[1]) == ('W/"1"', True)
    assert answer["entry"][4]["resource"]["id"] == "put"
    assert "resource" not in answer["entry"][5]


async def test_the_reads_of_a_transaction_see_what_it_stored_and_fail_one_by_one(admin):
    await admin.put("/fhir/Organization/gone", json=_organization("9", id="gone"))
    bundle = _bundle(
        "transaction",
        _entry("GET", "Organization/new", ifNoneMatch='W/"1"'),
        _entry("GET", "Organization/new", ifNoneMatch='W/"7"'),
        _entry("GET", "Organization/new/_history/1"),
        _entry("GET", "Organization/new/_history"),
        _entry("GET", "Organization?identifier=urn:w|1&_include=Organization:partof"),
        _entry("GET", "Organization/gone"),
        _entry("GET", "Organization/nobody"),
        _entry("GET", "Organization?colour=red"),
        _entry("GET", "Nonsense/1"),
        _entry("GET", "Organization/new/$unheard-of"),
        _entry("PUT", "Organization/new", {**_organization("1", id="new"), "partOf": {"reference": URN + "2"}}),
        _entry("POST", "Organization", _organization("2"), URN + "2"),
        _entry("DELETE", "Organization/gone"),
    )
    answer = (await admin.post("/fhir", json=bundle)).json()
    entries = answer["entry"]
    statuses = [entry["response"]["status"][:3] for entry in entries]
    assert statuses == ["304", "200", "200", "200", "200", "410", "404", "400", "404", "404", "201", "201", "204"]
    assert entries[1]["resource"]["id"] == entries[2]["resource"]["id"] == "new"
    assert [each["search"]["mode"] for each in entries[4]["resource"]["entry"]] == ["match", "include"]
    for entry, status in zip(entries, statuses, strict=True):
        assert ("outcome" in entry["response"]) == (status >= "400")
        assert ("resource" in entry) == (status == "200")
    assert (await admin.get("/fhir/Organization/new")).status_code == 200


async def test_a_transaction_that_fails_answers_none_of_its_reads(admin):
    bundle = _bundle(
        "transaction",
        _entry("GET", "Organization?_count=1"),
        _entry("POST", "Organization", {"resourceType": "Patient"}),
    )
    answer = await admin.post("/fhir", json=bundle)
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


async def test_prefer_puts_what_was_stored_into_the_answers(admin):
    bundle = _bundle(
        "transaction", _entry("POST", "Organization", _organization("1"), ifNoneExist="identifier=urn:w|1")
    )
    for prefer, shown in [
        ("return=representation", "resource"),
        ("return=minimal", None),
        ("return=OperationOutcome", "outcome"),
    ]:
        answer = (await admin.post("/fhir", json=bundle, headers={"Prefer": prefer})).json()["entry"][0]
        assert ("resource" in answer) == (shown == "resource"), prefer
        assert ("outcome" in answer["response"]) == (shown == "outcome"), prefer
    found = (await admin.post("/fhir", json=bundle, headers={"Prefer": "return=representation"})).json()["entry"][0]
    assert found["response"]["status"] == "200 OK"
    assert found["resource"]["name"] == "Ward"


async def test_entries_refer_to_each_other_in_a_circle_before_they_have_ids(admin, patient, observation):
    bundle = _bundle(
        "transaction",
        _entry(
            "PUT", "Organization/o1", {**_organization("1", id="o1"), "partOf": {"reference": URN + "2"}}, URN + "1"
        ),
        _entry("POST", "Organization", {**_organization("2"), "partOf": {"reference": URN + "1"}}, URN + "2"),
        _entry("POST", "Patient", patient, "http://other.example.org/fhir/Patient/p7"),
        _entry("POST", "Observation", {**observation("p7"), "note": [{"text": URN + "1"}]}, URN + "3"),
    )
    answer = await admin.post("/fhir", json=bundle, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    one, two, person, seen = [entry["resource"] for entry in answer.json()["entry"]]
    assert one["partOf"]["reference"] == f"Organization/{two['id']}"
    assert two["partOf"]["reference"] == "Organization/o1"
    assert seen["subject"]["reference"] == f"Patient/{person['id']}"
    assert seen["note"][0]["text"] == URN + "1"


async def test_conditional_references_and_entries_find_their_one_match(admin, patient, observation):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    known = await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
    assert known.status_code == 201
    conditional = {**observation("x"), "subject": {"reference": "Patient?identifier=urn:oid:1.2.3|MRN-000111"}}
    bundle = _bundle(
        "transaction",
        _entry("POST", "Observation", {**conditional, "performer": [{"reference": URN + "1"}]}),
        _entry("POST", "Organization", _organization("1"), URN + "1", ifNoneExist="identifier=urn:w|1"),
        _entry("PUT", "Organization?identifier=urn:w|2", _organization("2")),
        _entry("DELETE", "Organization?identifier=urn:w|3"),
    )
    answer = await admin.post("/fhir", json=bundle, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    entries = answer.json()["entry"]
    assert [entry["response"]["status"][:3] for entry in entries] == ["201", "200", "201", "204"]
    assert entries[0]["resource"]["subject"]["reference"] == f"Patient/{id_}"
    assert entries[0]["resource"]["performer"][0]["reference"] == "Organization/o1"
    nobody = {**conditional, "subject": {"reference": "Patient?identifier=urn:oid:1.2.3|none"}}
    assert (
        await admin.post("/fhir", json=_bundle("transaction", _entry("POST", "Observation", nobody)))
    ).status_code == 404
    assert (await admin.post("/fhir/Observation", json=conditional)).status_code == 400  # only inside a transaction


async def test_a_conditional_reference_finds_what_the_same_transaction_creates(admin):
    pointing = _entry(
        "POST", "Organization", {**_organization("9"), "partOf": {"reference": "Organization?identifier=urn:w|1"}}
    )
    answer = await admin.post(
        "/fhir",
        json=_bundle("transaction", pointing, _entry("POST", "Organization", _organization("1"))),
        headers={"Prefer": "return=representation"},
    )
    assert answer.status_code == 200, answer.text
    child, parent = [entry["resource"] for entry in answer.json()["entry"]]
    assert child["partOf"]["reference"] == f"Organization/{parent['id']}"
    twice = [_entry("POST", "Organization", _organization("2")) for _ in range(2)]
    other = _entry(
        "POST", "Organization", {**_organization("9"), "partOf": {"reference": "Organization?identifier=urn:w|2"}}
    )
    assert (await admin.post("/fhir", json=_bundle("transaction", other, *twice))).status_code == 412


async def test_two_conditional_creates_of_one_transaction_make_one_resource(admin):
    entries = [
        _entry("POST", "Organization", _organization("1"), URN + str(n), ifNoneExist="identifier=urn:w|1")
        for n in range(2)
    ]
    pointing = _entry("POST", "Organization", {**_organization("9"), "partOf": {"reference": URN + "1"}})
    answer = (await admin.post("/fhir", json=_bundle("transaction", *entries, pointing))).json()["entry"]
    assert [entry["response"]["status"][:3] for entry in answer] == ["201", "200", "201"]
    assert answer[0]["response"]["location"] == answer[1]["response"]["location"]
    assert (await admin.get("/fhir/Organization?identifier=urn:w|1")).json()["total"] == 1


async def test_patches_and_versions_inside_a_bundle(admin):
    await admin.put("/fhir/Organization/o1", json=_organization("1", id="o1"))
    await admin.put("/fhir/Organization/o2", json=_organization("2", id="o2"))
    operations = base64.b64encode(json.dumps([{"op": "replace", "path": "/name", "value": "Annex"}]).encode()).decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": operations}
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Organization.name"},
        {"name": "value", "valueString": "House"},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    bundle = _bundle(
        "transaction",
        _entry("PATCH", "Organization/o1", binary, ifMatch='W/"1"'),
        _entry("PATCH", "Organization?identifier=urn:w|2", parameters),
    )
    assert await _statuses(admin, bundle) == ["200", "200"]
    assert (await admin.get("/fhir/Organization/o1")).json()["name"] == "Annex"
    assert (await admin.get("/fhir/Organization/o2")).json()["name"] == "House"
    assert (await admin.post("/fhir", json=bundle)).status_code == 412  # o1 is at version 2 now
    reads = _bundle(
        "batch",
        _entry("GET", "Organization/o1", ifNoneMatch='W/"2"'),
        _entry("GET", "Organization/o1/_history/1"),
        _entry("GET", "Organization/o1/_history"),
        _entry("PUT", "Organization/o1", _organization("1", id="o1"), ifMatch='W/"7"'),
        _entry("DELETE", "Organization/o1", ifMatch='W/"7"'),
        _entry("PATCH", "Organization/nobody", parameters),
    )
    assert await _statuses(admin, reads) == ["304", "200", "200", "412", "412", "404"]


UNFIT = [
    ([_entry("PUT", "Organization/o1", _organization("1", id="o1")), _entry("DELETE", "Organization/o1")], 422),
    (
        [
            _entry("POST", "Organization", _organization("1"), URN + "1"),
            _entry("POST", "Organization", _organization("2"), URN + "1"),
        ],
        422,
    ),
    ([_entry("POST", "Organization", {**_organization("1"), "partOf": {"reference": URN + "9"}})], 404),
    ([_entry("POST", "", _bundle("batch"))], 400),
    ([_entry("POST", "Organization", _organization("1")), _entry("POST", "Patient", _organization("2"))], 400),
    ([_entry("POST", "Organization")], 400),
    ([_entry("PUT", "Organization", _organization("1"))], 400),
    ([_entry("PUT", "Organization/o1", _organization("1", id="o2"))], 400),
    ([_entry("POST", "Nonsense", {"resourceType": "Nonsense"})], 404),
    ([_entry("DELETE", "Organization")], 400),
    ([_entry("BREW", "Organization")], 400),
    ([_entry("PATCH", "Organization/o1", _organization("1"))], 400),
    ([_entry("POST", "Organization/o1/$meta-add", {"resourceType": "Parameters"})], 400),
    ([_entry("POST", "AuditEvent", {"resourceType": "AuditEvent"})], 405),
]
"""Entries, and the status that a transaction with them deserves."""


async def test_a_transaction_that_cannot_be_carried_out_stores_nothing(admin):
    good = _entry("POST", "Organization", _organization("5"))
    for entries, status in UNFIT:
        answer = await admin.post("/fhir", json=_bundle("transaction", good, *entries))
        assert answer.status_code == status, (entries, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome"
    assert (await admin.get("/fhir/Organization?_summary=count")).json()["total"] == 0


async def test_a_batch_goes_on_after_a_bad_entry_and_says_what_was_wrong(admin):
    bundle = _bundle(
        "batch",
        _entry("POST", "Organization", _organization("1")),
        _entry("POST", "Organization", {"resourceType": "Organization"}),
        _entry("GET", "Organization/nobody"),
        _entry("GET", "Nonsense/1"),
        _entry("GET", "nothing/at/all/of/this"),
        _entry("POST", "Organization/_search?identifier=urn:w|1"),
        _entry("GET", "Organization?colour=red"),
        _entry("GET", "metadata"),
        {"resource": _organization("2")},
        "no entry",  # type: ignore[arg-type]
        _entry("POST", "", _bundle("batch")),
        _entry("PUT", "Organization?identifier=urn:w|1", _organization("1", name="Annex")),
    )
    answer = (await admin.post("/fhir", json=bundle)).json()
    assert answer["type"] == "batch-response"
    statuses = [entry["response"]["status"][:3] for entry in answer["entry"]]
    assert statuses == ["201", "422", "404", "404", "404", "200", "400", "200", "400", "400", "400", "200"]
    for entry, status in zip(answer["entry"], statuses, strict=True):
        assert ("outcome" in entry["response"]) == (status >= "400")
    assert answer["entry"][5]["resource"]["total"] == 1


async def test_operations_run_in_a_batch_as_outside(admin, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}
    bundle = _bundle(
        "batch",
        _entry("GET", f"Patient/{id_}/$everything"),
        _entry("POST", f"Patient/{id_}/$meta-add", meta),
        _entry("GET", f"Patient/{id_}/$meta"),
        _entry("GET", f"Patient/{id_}/$unheard-of"),
    )
    assert await _statuses(admin, bundle) == ["200", "200", "200", "404"]
    assert (await admin.get("/fhir/Patient?_tag=x")).json()["total"] == 1


async def test_roles_and_consent_hold_inside_a_bundle(admin, client_as, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    nurse = await client_as("nurse")
    batch = _bundle("batch", _entry("GET", f"Patient/{id_}"), _entry("PUT", f"Patient/{id_}", {**patient, "id": id_}))
    assert await _statuses(nurse, batch) == ["200", "403"]
    transaction = _bundle("transaction", _entry("PUT", f"Patient/{id_}", {**patient, "id": id_}))
    assert (await nurse.post("/fhir", json=transaction)).status_code == 403
    billing = await client_as("billing")
    shown = (await billing.post("/fhir", json=_bundle("batch", _entry("GET", f"Patient/{id_}")))).json()
    assert "birthDate" not in shown["entry"][0]["resource"]


async def test_other_bundles_are_refused_with_a_sentence(admin):
    for kind in ["collection", "searchset", "history", "document", "message", "", None, ["batch"]]:
        answer = await admin.post("/fhir", json={"resourceType": "Bundle", "type": kind})
        assert (answer.status_code, "batch or transaction" in answer.text) == (400, True), kind
    assert (await admin.post("/fhir", json={"resourceType": "Patient"})).status_code == 400
    assert (await admin.post("/fhir", json={"resourceType": "Bundle", "type": "batch", "entry": {}})).status_code == 400


async def test_an_empty_bundle_is_answered_by_an_empty_one(admin):
    for kind in ("batch", "transaction"):
        answer = await admin.post("/fhir", json={"resourceType": "Bundle", "type": kind})
        assert answer.json() == {"resourceType": "Bundle", "type": f"{kind}-response"}


@pytest.mark.shows("fhir.bundle_entries")
async def test_a_bundle_with_more_entries_than_configured_is_too_large(database, tmp_path, hub):
    file = tmp_path / "healthsync.yaml"
    file.write_text("healthsync: {fhir: {bundle_entries: 2}}")
    small = build_hub(load_settings(file, environ={}), hub.keyring, database, SystemClock())

    async def ready() -> dict:
        return {}

    _, key = await small.register_client("x", ["admin"])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=Application(small, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as client:
        entries = [_entry("GET", "metadata")] * 3
        answer = await client.post("/fhir", json=_bundle("batch", *entries))
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (413, "too-long")
        assert (await client.post("/fhir", json=_bundle("batch", *entries[:2]))).status_code == 200
    await small.close()


async def test_work_grows_with_the_entries_not_with_their_square(admin):
    async def calls(entries: int) -> int:
        listed = [
            _entry(
                "POST",
                "Organization",
                {**_organization(f"{entries}-{n}"), "partOf": {"reference": f"{URN}{entries}-{max(n - 1, 0)}"}},
                f"{URN}{entries}-{n}",
            )
            for n in range(entries)
        ]
        with counted() as effort:
            answer = await admin.post("/fhir", json=_bundle("transaction", *listed), timeout=60)
        assert answer.status_code == 200, answer.text
        return effort.calls

    await calls(20)
    few, many = await calls(100), await calls(1000)
    assert many < 12 * few, (few, many)
