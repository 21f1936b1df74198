"""Topics, alerts, notes and deliveries over HTTP, as programs in any language use them."""

from __future__ import annotations

import base64

import pytest
from tests.consents import opt_out

API = "/api/v1/healthsync"
RESULT = {"test_code": "2823-3", "value": 6.80, "abnormal_flag": "HH"}


async def _everything_in_store(database) -> str:
    async with database.connection() as tx:
        tables = await tx.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for table in tables for row in await tx.fetch(f'SELECT * FROM "{table["tablename"]}"')]
    return "".join(str(dict(row)) for row in rows)


# --- topics -----------------------------------------------------------------------------------------------------


async def test_what_is_published_is_read_in_its_order_from_any_position(client_as):
    app = await client_as("system")
    for number in range(3):
        answer = await app.post(f"{API}/streams/lab_results", json={"payload": {"n": number}})
        assert answer.status_code == 201, answer.text
    await app.post(f"{API}/streams/other", json={"payload": "x"})
    page = (await app.get(f"{API}/streams/lab_results?count=2")).json()
    assert [one["payload"] for one in page["publications"]] == [{"n": 0}, {"n": 1}]
    rest = (await app.get(f"{API}/streams/lab_results?after={page['position']}")).json()
    assert [one["payload"] for one in rest["publications"]] == [{"n": 2}]
    end = (await app.get(f"{API}/streams/lab_results?after={rest['position']}")).json()
    assert (end["publications"], end["position"]) == ([], rest["position"])


async def test_a_payload_keeps_its_numbers_and_lies_sealed(client_as, database):
    app = await client_as("system")
    body = '{"payload": {"patient_mrn": "MRN-QUENNELL", "value": 72.50}}'
    await app.post(f"{API}/streams/lab_results", content=body)
    assert '"value":72.50' in (await app.get(f"{API}/streams/lab_results")).text
    assert "QUENNELL" not in await _everything_in_store(database)


async def test_the_same_idempotency_key_publishes_once(client_as):
    app, other = await client_as("system"), await client_as("admin")
    sent = [
        await client.post(f"{API}/streams/t", json={"payload": 1}, headers={"Idempotency-Key": "k1"})
        for client in (app, app, other)
    ]
    positions = [answer.json()["position"] for answer in sent]
    assert positions[0] == positions[1] != positions[2]
    assert len((await app.get(f"{API}/streams/t")).json()["publications"]) == 2


async def test_a_publication_about_a_patient_who_withholds_his_data_is_left_out(admin, client_as, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    app = await client_as("system")
    await app.post(f"{API}/streams/t", json={"payload": "his", "patients": [f"Patient/{id_}"]})
    await app.post(f"{API}/streams/t", json={"payload": "nobody's"})
    consent = opt_out(id_)
    assert (await admin.post("/fhir/Consent", json=consent)).status_code == 201
    page = (await app.get(f"{API}/streams/t")).json()
    assert ([one["payload"] for one in page["publications"]], page["position"]) == (["nobody's"], 2)


# --- alerts -----------------------------------------------------------------------------------------------------


async def test_an_alert_is_kept_sealed_listed_and_announced(client_as, database, hub):
    app, physician = await client_as("system"), await client_as("physician")
    alert = {"type": "critical_lab", "patient_mrn": "MRN-QUENNELL", "result": RESULT, "recipients": ["lab_director"]}
    sent = await app.post(f"{API}/alerts", json=alert)
    assert sent.status_code == 201, sent.text
    (listed,) = (await physician.get(f"{API}/alerts")).json()["alerts"]
    assert listed["id"] == sent.json()["id"]
    assert {name: listed[name] for name in alert} == alert
    kept = await _everything_in_store(database)
    assert "QUENNELL" not in kept
    assert "alert.raised" in kept
    async with hub.database.connection() as tx:
        seen = [row.entry["interaction"] for row in await hub.audit.search(tx)]
    assert seen == ["list-alerts", "send-alert"]


async def test_alerts_are_listed_newest_first_by_type_and_by_pages(client_as):
    app = await client_as("system")
    for number in range(3):
        await app.post(f"{API}/alerts", json={"type": "critical_lab", "n": number})
    await app.post(f"{API}/alerts", json={"type": "fall_risk"})
    page = (await app.get(f"{API}/alerts?type=critical_lab&count=2")).json()
    assert [one["n"] for one in page["alerts"]] == [2, 1]
    rest = (await app.get(f"{API}/alerts", params={"type": "critical_lab", "count": 2, "after": page["after"]})).json()
    assert ([one["n"] for one in rest["alerts"]], rest["after"]) == ([0], None)


async def test_an_alert_is_found_where_it_was_said_to_be(client_as):
    app = await client_as("system")
    sent = [await app.post(f"{API}/alerts", json={"type": "critical_lab", "n": number}) for number in range(2)]
    page = (await app.get(sent[0].headers["Location"])).json()
    assert ([one["n"] for one in page["alerts"]], page["after"]) == ([0], None)
    assert (await app.get(f"{API}/alerts?id=none")).status_code == 400
    unknown = "00000000-0000-4000-8000-000000000000"
    assert (await app.get(f"{API}/alerts?id={unknown}")).json()["alerts"] == []


async def test_the_same_idempotency_key_sends_one_alert_and_is_not_kept_readable(client_as, database):
    app = await client_as("system")
    once = {"Idempotency-Key": "MRN-QUENNELL"}
    alerts = [(await app.post(f"{API}/alerts", json={"type": "x"}, headers=once)).json()["id"] for _ in range(2)]
    told = [
        (await app.post(f"{API}/streams/t", json={"payload": 1}, headers=once)).json()["position"] for _ in range(2)
    ]
    assert (alerts[0], told[0]) == (alerts[1], told[1])
    assert "QUENNELL" not in await _everything_in_store(database)


# --- notes ------------------------------------------------------------------------------------------------------


async def test_a_note_is_an_audit_event_whose_free_part_is_sealed(client_as, hub, admin):
    app = await client_as("system")
    note = {
        "action": "sync",
        "resource": "Patient",
        "resource_id": "p1",
        "destination": "Epic Quennell",
        "purpose": "treatment",
    }
    assert (await app.post(f"{API}/audit", json=note)).status_code == 201
    async with hub.database.connection() as tx:
        row = (await hub.audit.search(tx, patient="Patient/p1"))[0]
    entry = row.entry
    assert (entry["interaction"], entry["entities"], entry["purpose_of_use"]) == (
        "application:sync",
        ["Patient/p1"],
        "TREAT",
    )
    assert "Quennell" not in str(entry)
    assert "Epic Quennell" in (hub.audit.open_query(entry) or "")


# --- deliveries -------------------------------------------------------------------------------------------------


async def test_a_program_registers_leases_renews_and_settles(client_as, hub):
    app = await client_as("system")
    base = f"{API}/applications/lab"
    wants = {"handlers": [{"name": "all", "wants": ["topic:t"]}]}
    assert (await app.put(base, json=wants)).json()["handlers"] == ["all"]
    await app.post(f"{API}/streams/t", json={"payload": {"a": 1}, "key": "MRN-1"})
    while await hub.fan_out():
        pass
    (one,) = (await app.post(f"{base}/lease", json={"instance": "i1", "limit": 5})).json()["deliveries"]
    assert (one["handler"], one["kind"], one["name"], one["data"]["payload"]) == ("all", "topic", "t", {"a": 1})
    assert (await app.post(f"{base}/renew", json={"instance": "i1"})).json() == {"held": [one["id"]]}
    state = (await app.get(base)).json()["handlers"][0]
    assert (state["waiting"], state["leased"], state["dead"]) == (1, 1, 0)
    result = {"id": one["id"], "lease": one["lease"]}
    assert (await app.post(f"{base}/settle", json={"results": [result]})).json()["settled"] == [one["id"]]
    assert (await app.post(f"{base}/settle", json={"results": [result]})).json()["late"] == [one["id"]]
    assert (await app.get(base)).json()["handlers"][0]["waiting"] == 0
    assert (await app.get(f"{base}/dead")).json() == {"dead": []}
    assert (await app.post(f"{base}/replay", json={})).json() == {"replayed": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "applications/lab", {}),
        ("PUT", "applications/lab", {"handlers": [1]}),
        ("PUT", "applications/lab", {"handlers": [{"name": "a", "wants": ["x"]}]}),
        ("PUT", "applications/lab", {"handlers": [{"name": "a b", "wants": []}]}),
        ("PUT", "applications/lab", {"handlers": [{"name": "a", "wants": []}, {"name": "a", "wants": []}]}),
        ("POST", "applications/lab/lease", {}),
        ("POST", "applications/lab/lease", {"instance": "i", "limit": 0}),
        ("POST", "applications/lab/lease", {"instance": "i", "wait_seconds": "soon"}),
        ("POST", "applications/lab/settle", {"results": [{"id": 1}]}),
        ("POST", "applications/lab/settle", {"results": [{"id": 1, "lease": "x"}]}),
        (
            "POST",
            "applications/lab/settle",
            {"results": [{"id": 1, "lease": "7d1f1c1e-0000-4000-8000-000000000000", "failed_for": "Jane Doe"}]},
        ),
        ("POST", "applications/lab/replay", {"ids": ["x"]}),
        ("POST", "streams/t", {}),
        ("POST", "streams/t", {"payload": 1, "patients": ["Jane"]}),
        ("POST", "streams/1t", {"payload": 1}),
        ("GET", "streams/t?after=x", None),
        ("POST", "alerts", {}),
        ("POST", "alerts", {"type": "Jane Doe"}),
        ("POST", "alerts", {"type": "x", "message_sequence": -1}),
        ("GET", "alerts?after=x", None),
        ("POST", "audit", {}),
        ("POST", "audit", {"action": "sync", "resource_id": "Jane Doe"}),
        ("POST", "audit", {"action": "sync", "purpose": "curiosity"}),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_name_and_without_its_value(client_as, method, path, body):
    app = await client_as("system")
    answer = await app.request(method, f"{API}/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert "Jane" not in answer.text


@pytest.mark.parametrize(
    ("role", "method", "path", "body"),
    [
        ("nurse", "PUT", "applications/lab", {"handlers": []}),
        ("physician", "POST", "streams/t", {"payload": 1}),
        ("physician", "GET", "streams/t", None),
        ("nurse", "POST", "alerts", {"type": "x"}),
        ("billing", "GET", "alerts", None),
    ],
)
async def test_a_role_without_the_right_is_refused(client_as, role, method, path, body):
    answer = await (await client_as(role)).request(method, f"{API}/{path}", json=body)
    assert answer.status_code == 403, answer.text


async def test_an_answer_of_a_handler_comes_in_base64(client_as):
    app = await client_as("system")
    lease = "7d1f1c1e-0000-4000-8000-000000000000"
    results = [{"id": 1, "lease": lease, "answer": base64.b64encode(b"hello").decode()}]
    assert (
        await app.put(f"{API}/applications/lab", json={"handlers": [{"name": "a", "wants": []}]})
    ).status_code == 200
    answer = await app.post(f"{API}/applications/lab/settle", json={"results": results})
    assert (answer.status_code, "AA, AE or AR" in answer.text) == (400, True)
