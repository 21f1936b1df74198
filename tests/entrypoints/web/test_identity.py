"""Who is who over HTTP: review, merge, pins, report; Patient/$merge."""

from __future__ import annotations

from typing import Any

import pytest
from tests.boosting import needs_boosting
from tests.consents import opt_out
from tests.exchange.couples import PAIRS, review

from healthsync.bootstrap import Hub
from healthsync.domains.identity.learning import training

BASE = "/api/v1/healthsync/identity"


def _patient(number: str, system: str = "urn:oid:1.1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": system, "value": number, "type": {"coding": [{"code": "MR"}]}}],
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "birthDate": "1971-03-09",
        **more,
    }


@pytest.fixture
async def two(admin: Any) -> list[str]:
    """Two records of one source with the same name and birth date: a doubt."""
    return [(await admin.post("/fhir/Patient", json=_patient(number))).json()["id"] for number in ("1", "2")]


def _named(name: str, id_: str) -> dict[str, Any]:
    return {"name": name, "valueReference": {"reference": f"Patient/{id_}"}}


def _merge(source: str, target: str, *more: dict[str, Any]) -> dict[str, Any]:
    asked = [_named("source-patient", source), _named("target-patient", target), *more]
    return {"resourceType": "Parameters", "parameter": asked}


async def test_two_records_of_one_source_under_one_number_are_listed_and_merged(client_as: Any, admin: Any) -> None:
    ids = [(await admin.post("/fhir/Patient", json=_patient("7"))).json()["id"] for _ in range(2)]
    steward = await client_as("steward")
    pair = {"patients": [f"Patient/{id_}" for id_ in ids], "source": "admin", "onePerson": True, "merged": False}
    (told,) = (await steward.get(f"{BASE}/doubles")).json()["doubles"]
    assert {**told, "source": "admin"} == pair
    assert (await steward.post(f"{BASE}/doubles", json={})).status_code == 400
    (told,) = (await steward.post(f"{BASE}/doubles", json={"reason": "one-authority"})).json()["doubles"]
    assert told["merged"]
    assert (await steward.get(f"{BASE}/doubles")).json()["doubles"] == []
    assert (await admin.get(f"/fhir/Patient/{ids[1]}")).json()["active"] is False


async def test_a_steward_finds_looks_at_claims_and_decides_a_task(client_as: Any, two: list[str], hub: Hub) -> None:
    steward = await client_as("steward")
    (task,) = (await steward.get(f"{BASE}/review")).json()["tasks"]
    assert sorted(task["patients"]) == sorted(f"Patient/{id_}" for id_ in two)
    shown = (await steward.get(f"{BASE}/review/{task['id']}")).json()
    assert (shown["evidence"]["name"], shown["choices"]) == ("agrees", ["link", "apart", "not-sure"])
    assert {step["field"] for step in shown["waterfall"]["steps"]} >= {"given", "birth_date", "ssn", "household"}
    assert "Quennell" not in str(shown)
    records = (await steward.get(f"{BASE}/review/{task['id']}/records")).json()["records"]
    assert [record["name"][0]["family"] for record in records] == ["Quennell", "Quennell"]
    assert (await steward.get(f"{BASE}/review?overdue=true")).json()["tasks"] == []
    assert (await steward.post(f"{BASE}/review/{task['id']}", json={"claim": True})).json()["state"] == "claimed"
    said = {"decision": "apart", "reason": "other-mother"}
    assert (await steward.post(f"{BASE}/review/{task['id']}", json=said)).json()["decision"] == "apart"
    assert (await steward.get(f"{BASE}/review")).json()["tasks"] == []
    events = (await steward.get(f"{BASE}/history/{two[0]}")).json()["events"]
    assert "cannot-link" in [event["kind"] for event in events]
    async with hub.database.connection() as tx:
        seen = {row.entry["interaction"] for row in await hub.audit.search(tx)}
    assert {"identity-tasks", "identity-task", "identity-task-records", "identity-claim", "identity-decide"} <= seen


async def test_consent_withholds_a_record_from_stewards_too(admin: Any, client_as: Any, two: list[str]) -> None:
    assert (await admin.post("/fhir/Consent", json=opt_out(two[0]))).status_code == 201
    steward = await client_as("steward")
    (task,) = (await steward.get(f"{BASE}/review")).json()["tasks"]
    records = (await steward.get(f"{BASE}/review/{task['id']}/records")).json()["records"]
    assert None in records


STRANGERS = [
    ("GET", "review", ("physician", "privacy")),
    ("GET", "review/1", ("physician",)),
    ("GET", "review/1/records", ("physician",)),
    ("POST", "review/1", ("physician",)),
    ("POST", "merge", ("physician",)),
    ("POST", "unmerge", ("physician",)),
    ("POST", "split", ("physician",)),
    ("POST", "pins", ("physician",)),
    ("DELETE", "pins", ("physician",)),
    ("GET", "history/a", ("physician",)),
    ("GET", "report", ("physician", "steward")),
    ("POST", "rematch", ("physician", "steward", "privacy")),
    ("POST", "models", ("physician", "steward", "privacy")),
    ("GET", "models", ("physician", "steward", "privacy")),
    ("PUT", "models/active", ("physician", "steward", "privacy")),
]


async def test_only_stewards_decide_and_only_privacy_officers_see_the_report(client_as: Any) -> None:
    clients = {role: await client_as(role) for role in ("physician", "privacy", "steward")}
    stranger = await client_as()
    for method, path, roles in STRANGERS:
        for role in roles:
            refused = await clients[role].request(method, f"{BASE}/{path}", json={})
            assert refused.status_code == 403, (role, path)
        assert (await stranger.request(method, f"{BASE}/{path}", json={})).status_code == 401, path


async def test_records_are_merged_taken_apart_split_and_pinned(admin: Any, two: list[str]) -> None:
    one, other = two
    merged = await admin.post(f"{BASE}/merge", json={"survivor": one, "retired": other, "reason": "papers-seen"})
    assert merged.status_code == 200, merged.text
    assert (await admin.get(f"/fhir/Patient/{other}")).json()["active"] is False
    taken = {"patient": f"Patient/{other}", "other": one, "reason": "other-mother"}
    assert (await admin.post(f"{BASE}/unmerge", json=taken)).json() == {"unmerged": True}
    assert (await admin.get(f"/fhir/Patient/{other}")).json()["active"] is True
    assert (await admin.post(f"{BASE}/split", json={"patient": one, "reason": "x"})).json() == {"split": True}
    pin = {"patient": one, "element": "birthDate", "reason": "passport-seen"}
    assert (await admin.post(f"{BASE}/pins", json=pin)).json() == {"pinned": True}
    assert (await admin.request("DELETE", f"{BASE}/pins", json=pin)).json() == {"pinned": False}


MISTAKES = [
    ("GET", "review?state=forgotten", None, 400),
    ("GET", "review?limit=many", None, 400),
    ("GET", "review?overdue=perhaps", None, 400),
    ("GET", "review/999", None, 404),
    ("GET", "review/none", None, 404),
    ("POST", "review/1", {"decision": "perhaps", "reason": "x"}, 400),
    ("POST", "review/999", {"decision": "link", "reason": "papers-seen"}, 404),
    ("POST", "merge", {"survivor": "nobody", "retired": "none", "reason": "x"}, 404),
    ("POST", "merge", {"survivor": "nobody"}, 400),
    ("POST", "merge", [], 400),
    ("POST", "unmerge", {"patient": "nobody", "other": "none", "reason": "x"}, 404),
    ("POST", "split", {"patient": "nobody", "reason": "Ann said so"}, 404),
    ("POST", "pins", {"patient": "nobody", "element": "hair", "reason": "x"}, 404),
    ("GET", "history/nobody", None, 404),
    ("GET", "report?by=hour", None, 400),
    ("GET", "report?since=2026-05-05&until=2026-01-01", None, 400),
]


async def test_a_wrong_question_gets_a_clear_error(admin: Any) -> None:
    for method, path, body, status in MISTAKES:
        answer = await admin.request(method, f"{BASE}/{path}", json=body)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_reason_of_a_decision_is_a_code(admin: Any, two: list[str]) -> None:
    (task,) = (await admin.get(f"{BASE}/review")).json()["tasks"]
    told = await admin.post(f"{BASE}/review/{task['id']}", json={"decision": "link", "reason": "Mrs Quennell said so"})
    assert told.status_code == 400
    assert (await admin.get(f"{BASE}/review/{task['id']}")).json()["state"] == "open"


async def test_a_privacy_officer_gets_the_report(client_as: Any, two: list[str]) -> None:
    report = (await (await client_as("privacy")).get(f"{BASE}/report?by=month")).json()
    assert (report["records"], report["waiting"]["duplicates"], report["rates"]["duplicate"]) == (2, 2, 1.0)
    assert "Quennell" not in str(report)


async def test_matching_again_is_a_job_with_an_address_that_tells_what_would_change(
    admin: Any, two: list[str], hub: Hub
) -> None:
    started = await admin.post(f"{BASE}/rematch", json={"dry_run": True})
    assert started.status_code == 202, started.text
    address = started.headers["content-location"]
    assert (await admin.get(address)).status_code == 202
    assert (await admin.post(f"{BASE}/rematch", json={})).status_code == 429, "one at a time"
    assert await hub.jobs.run_next()
    told = (await admin.get(address)).json()["extension"]["report"]
    assert (told["dry_run"], told["patients"], told["linked"]) == (True, 2, 0)
    assert (await admin.post(f"{BASE}/rematch", json={"dry_run": "yes"})).status_code == 400


@needs_boosting
async def test_an_administrator_learns_from_reviews_and_chooses_what_decides(
    admin: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_few = await admin.post(f"{BASE}/models", json={})
    assert too_few.status_code == 422, too_few.text
    assert "there are 0 decided pairs" in too_few.text
    monkeypatch.setattr(training, "LEAST_PAIRS", PAIRS)  # a second reader has still to answer about some
    monkeypatch.setattr(training, "LEAST_OF_EACH", PAIRS // 2)
    monkeypatch.setattr(training, "LEAST_IN_LEAF", 5)
    await review(hub)
    started = await admin.post(f"{BASE}/models", json={})
    assert started.status_code == 202, started.text
    assert await hub.jobs.run_next()
    told = (await admin.get(started.headers["content-location"])).json()["extension"]["report"]
    (model,) = (await admin.get(f"{BASE}/models")).json()["models"]
    assert (model["version"], model["active"], model["fault"]) == (told["version"], False, None)
    used = await admin.put(f"{BASE}/models/active", json={"model": model["number"]})
    assert used.json() == {"model": model["number"]}
    assert (await admin.get(f"{BASE}/models")).json()["models"][0]["active"] is True
    assert (await admin.put(f"{BASE}/models/active", json={"model": None})).json() == {"model": None}
    assert (await admin.put(f"{BASE}/models/active", json={"model": 9})).status_code == 404
    for wrong in ({}, {"model": "1"}, {"model": True}, {"model": 1, "although_worse": "yes"}):
        assert (await admin.put(f"{BASE}/models/active", json=wrong)).status_code == 400, wrong


# --- Patient/$merge


async def test_merge_retires_the_source_and_answers_with_the_target(admin: Any, two: list[str]) -> None:
    source, target = two
    answer = await admin.post("/fhir/Patient/$merge", json=_merge(source, target))
    assert answer.status_code == 200, answer.text
    parts = {part["name"]: part["resource"] for part in answer.json()["parameter"]}
    assert (parts["result"]["id"], parts["input"]["resourceType"]) == (target, "Parameters")
    assert parts["outcome"]["issue"][0]["severity"] == "information"
    retired = (await admin.get(f"/fhir/Patient/{source}")).json()
    assert (retired["active"], retired["link"][0]["other"]["reference"]) == (False, f"Patient/{target}")


async def test_a_preview_of_merge_changes_nothing(admin: Any, two: list[str]) -> None:
    preview = {"name": "preview", "valueBoolean": True}
    answer = await admin.post("/fhir/Patient/$merge", json=_merge(*two, preview))
    assert answer.status_code == 200, answer.text
    assert (await admin.get(f"/fhir/Patient/{two[0]}")).json().get("active", True)
    assert (await admin.get(f"/fhir/Patient/{two[0]}")).json()["meta"]["versionId"] == "1"


async def test_merge_by_identifiers_stores_the_result_that_was_sent_in_the_same_commit(
    admin: Any, client_as: Any, two: list[str]
) -> None:
    source, target = two
    numbers = [
        {"name": f"{side}-patient-identifier", "valueIdentifier": {"system": "urn:oid:1.1", "value": value}}
        for side, value in (("source", "1"), ("target", "2"))
    ]
    result = {"name": "result-patient", "resource": {**_patient("2"), "id": target, "gender": "female"}}
    asked = {"resourceType": "Parameters", "parameter": [*numbers, result]}
    refused = await (await client_as("steward")).post("/fhir/Patient/$merge", json=asked)
    assert refused.status_code == 403, "a steward may merge, but not rewrite a patient"
    answer = await admin.post("/fhir/Patient/$merge", json=asked)
    assert answer.status_code == 200, answer.text
    assert (await admin.get(f"/fhir/Patient/{target}")).json()["gender"] == "female"
    assert (await admin.get(f"/fhir/Patient/{source}")).json()["active"] is False


async def test_merge_refuses_what_it_cannot_do_and_records_it(
    admin: Any, client_as: Any, two: list[str], hub: Hub
) -> None:
    source, target = two
    elsewhere = {"name": "target-patient-identifier", "valueIdentifier": {"system": "urn:oid:1.1", "value": "1"}}
    nowhere = {"name": "target-patient-identifier", "valueIdentifier": {"system": "urn:oid:1.1", "value": "9"}}
    other_id = {"name": "result-patient", "resource": {**_patient("2"), "id": source}}
    for asked, status in (
        (_merge(source, source), 422),
        (_merge(source, "nobody"), 404),
        (_merge(source, target, elsewhere), 422),
        (_merge(source, target, nowhere), 404),
        (_merge(source, target, other_id), 422),
        (_merge(source, target, {"name": "delete-source", "valueBoolean": True}), 400),
        ({"resourceType": "Parameters", "parameter": [_named("source-patient", source)]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "source-patient", "valueReference": {}}]}, 400),
        ({"resourceType": "Parameters", "parameter": [{"name": "source-patient-identifier", "valueString": "1"}]}, 400),
    ):
        answer = await admin.post("/fhir/Patient/$merge", json=asked)
        assert answer.status_code == status, answer.text
    assert (await (await client_as("physician")).post("/fhir/Patient/$merge", json=_merge(*two))).status_code == 403
    async with hub.database.connection() as tx:
        rows = [row.entry for row in await hub.audit.search(tx)]
    assert sum(entry["interaction"] == "$merge" and entry["outcome"] == "4" for entry in rows) == 10
