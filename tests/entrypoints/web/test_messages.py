"""/api/v1/healthsync/messages."""

from __future__ import annotations

from typing import Any

from healthsync.domains.directory import Peer

GOOD = "MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301||ADT^A01|C1|P|2.5.1\rPID|1||P1^^^MERCY^MR||Quennell^Jane\r"
BAD = GOOD.replace("ADT^A01", "XYZ^Z99").replace("|C1|", "|C2|")
BASE = "/api/v1/healthsync/messages"


async def test_a_dead_letter_is_found_mended_compared_and_replayed_over_http(
    hub: Any, admin: Any, client_as: Any
) -> None:
    for text in (GOOD, BAD):
        await hub.receive_message(text.encode(), Peer("127.0.0.1"))
    while await hub.process_message():
        pass
    listed = (await admin.get(f"{BASE}?state=dead&reason=not-supported&type=XYZ&since=2020-01-01")).json()
    assert [one["sequence"] for one in listed["messages"]] == [2] and listed["before"] is None
    assert (await admin.get(f"{BASE}?limit=1")).json()["before"] == 2
    assert (await admin.get(f"{BASE}?limit=0")).json() == (await admin.get(BASE)).json()
    assert [one["sequence"] for one in (await admin.get(f"{BASE}?limit=1&before=2")).json()["messages"]] == [1]
    shown = (await admin.get(f"{BASE}/1")).json()
    assert shown["state"] == "processed" and shown["quality"]["action"]
    made = await admin.post(f"{BASE}/2/copy", json={"content": BAD.replace("XYZ^Z99", "ADT^A08"), "reason": "t-1"})
    assert (made.status_code, made.json()) == (201, {"sequence": 3, "origin": 2})
    compared = await admin.post(f"{BASE}/3/compare")
    assert compared.json()["messages"] == 1 and "Quennell" not in compared.text
    begun = await admin.post(f"{BASE}/replay", json={"sequences": [3]})
    assert begun.status_code == 202
    await hub.jobs.run_next()
    ended = (await admin.get(begun.headers["Content-Location"].removeprefix("http://hub"))).json()
    assert ended["extension"]["report"]["failed"] == 0 and ended["extension"]["report"]["messages"] == 1
    assert [(await admin.get(f"{BASE}/{n}")).json()["state"] for n in (2, 3)] == ["replaced", "processed"]
    for answer in (listed, shown, ended):
        assert "Quennell" not in str(answer)


async def test_what_is_asked_wrongly_is_refused_with_a_sentence(admin: Any, client_as: Any) -> None:
    for path, status in (
        ("?state=lost", 400),
        ("?since=then", 400),
        ("?limit=all", 400),
        ("?colour=red", 400),
        ("/7", 404),
        ("/x", 404),
    ):
        assert (await admin.get(BASE + path)).status_code == status, path
    for body, status in (
        ({}, 400),
        ({"sequences": ["1"]}, 400),
        ({"source": 3}, 400),
        ({"source": "x", "dry_run": 1}, 400),
        ({"source": "x"}, 404),
    ):
        assert (await admin.post(f"{BASE}/replay", json=body)).status_code == status, body
    for body, status in (({}, 400), ({"content": "x", "reason": "t"}, 400), ({"content": GOOD, "reason": "t-1"}, 404)):
        assert (await admin.post(f"{BASE}/7/copy", json=body)).status_code == status, body
    assert (await admin.post(f"{BASE}/7/compare")).status_code == 404
    nurse = await client_as("nurse")
    for method, path in (("GET", ""), ("GET", "/1"), ("POST", "/replay"), ("POST", "/1/copy"), ("POST", "/1/compare")):
        assert (await nurse.request(method, BASE + path, json={})).status_code == 403, path


async def test_what_a_client_has_written_since_the_messages_is_left_as_he_wrote_it(hub: Any, admin: Any) -> None:
    await hub.receive_message(GOOD.encode(), Peer("127.0.0.1"))
    await hub.process_message()
    (found,) = (await admin.get("/fhir/Patient")).json()["entry"]
    patient = found["resource"] | {"name": [{"family": "Corrected"}]}
    address = f"/fhir/Patient/{patient['id']}"
    assert (await admin.put(address, json=patient)).status_code == 200
    begun = await admin.post(f"{BASE}/replay", json={"since": "2020-01-01"})
    await hub.jobs.run_next()
    report = (await admin.get(begun.headers["Content-Location"].removeprefix("http://hub"))).json()["extension"][
        "report"
    ]
    assert (report["kept"], report["changed"]) == ({"Patient": 1}, {})
    assert (await admin.get(address)).json()["name"] == [{"family": "Corrected"}]
