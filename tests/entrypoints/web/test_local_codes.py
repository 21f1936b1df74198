"""Maps of local codes and work items over HTTP: an administrator's business."""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.terminology import is_added
from healthsync.exchange.receive_message import Peer
from healthsync.exchange.surfaces import SURFACES

BASE = "/api/v1/healthsync/terminology"
CSV = {"Content-Type": "text/csv"}
MESSAGE = (
    b"MSH|^~\\&|LAB|MERCY|HUB|X|20260101120000||ORU^R01^ORU_R01|1|P|2.5.1\r"
    b"PID|1||P1^^^MERCY^MR||Quennell^Ottoline||19710309|F\r"
    b"OBR|1||F1|PANEL^Panel^L|||20260101110000\r"
    b"OBX|1|NM|BS-FG^Fasting^L||95|mg/dL|||||F|||20260101110000"
)


@pytest.fixture
async def waiting(hub: Hub) -> None:
    """A message came whose codes nobody knows."""
    await hub.receive_message(MESSAGE, Peer("127.0.0.1"))
    await hub.process_message()


async def test_a_map_is_put_shown_and_its_lines_are_removed(admin: Any) -> None:
    put = await admin.put(f"{BASE}/map?source=ER&to=LOINC", content="code,target\nGLU,2345-7\nK,2823-3\n", headers=CSV)
    assert put.json() == {"lines": 2, "settled": 0, "unknownTargets": []}
    assert (await admin.get(f"{BASE}/maps")).json()["maps"] == [
        {"source": "ER", "url": "urn:healthsync:local-codes:ER", "lines": 2}
    ]
    assert (await admin.request("DELETE", f"{BASE}/map?source=ER&code=K")).json() == {"removed": 1}
    shown = (await admin.get(f"{BASE}/map?source=ER")).json()
    assert [element["code"] for group in shown["group"] for element in group["element"]] == ["GLU"]
    again = await admin.put(f"{BASE}/map?source=OTHER", json=shown)
    assert again.json()["lines"] == 1


async def test_posting_replaces_the_lines_of_the_same_codes_and_putting_replaces_all(admin: Any) -> None:
    await admin.put(f"{BASE}/map?to=LOINC", content="code,target\nGLU,1-8\nK,2823-3\n", headers=CSV)
    await admin.post(f"{BASE}/map?to=LOINC", content="code,target\nGLU,2345-7\n", headers=CSV)
    codes = {e["code"]: e["target"][0]["code"] for e in (await admin.get(f"{BASE}/map")).json()["group"][0]["element"]}
    assert codes == {"GLU": "2345-7", "K": "2823-3"}
    await admin.put(f"{BASE}/map", content="LOINC: {NA: 2951-2}", headers={"Content-Type": "application/yaml"})
    (element,) = (await admin.get(f"{BASE}/map")).json()["group"][0]["element"]
    assert element["code"] == "NA"


async def test_a_work_item_is_mapped_over_http(admin: Any, waiting: None) -> None:
    work = (await admin.get(f"{BASE}/untranslated")).json()
    (item,) = [each for each in work["items"] if each["code"] == "BS-FG"]
    assert (item["element"], item["reason"], item["occurrences"]) == ("Observation.code", "unmapped", 1)
    assert {"source": item["source"], "state": "open", "codes": 2, "occurrences": 2} in work["counts"]
    mapped = await admin.post(
        f"{BASE}/untranslated/{item['id']}", json={"target": "2345-7", "system": "LOINC"}, headers=JSON
    )
    assert mapped.json()["settled"] == 1
    assert "BS-FG" not in [each["code"] for each in (await admin.get(f"{BASE}/untranslated")).json()["items"]]


JSON = {"Content-Type": "application/json"}


async def test_a_work_item_is_ignored_and_opened_again(admin: Any, waiting: None) -> None:
    item = (await admin.get(f"{BASE}/untranslated")).json()["items"][0]
    ignored = await admin.post(f"{BASE}/untranslated/{item['id']}", json={"state": "ignored"}, headers=JSON)
    assert ignored.json()["state"] == "ignored"
    assert item["id"] in [
        each["id"] for each in (await admin.get(f"{BASE}/untranslated?state=ignored")).json()["items"]
    ]
    await admin.post(f"{BASE}/untranslated/{item['id']}", json={"state": "open"}, headers=JSON)
    assert (await admin.get(f"{BASE}/untranslated?state=ignored")).json()["items"] == []


MISTAKES = [
    ("POST", "untranslated/999", {"target": "2345-7", "system": "LOINC"}, 404),
    ("POST", "untranslated/abc", {"state": "ignored"}, 404),
    ("POST", "untranslated/1", {"state": "mapped"}, 400),
    ("POST", "untranslated/1", {"target": "2345-7"}, 400),
    ("POST", "untranslated/1", [], 400),
    ("POST", "untranslated/1", {"target": 5, "system": "LOINC"}, 400),
    ("GET", "untranslated?state=lost", None, 400),
    ("GET", "untranslated?limit=0", None, 400),
    ("GET", "untranslated?limit=many", None, 400),
    ("DELETE", "map", None, 400),
    ("DELETE", "map?code=none", None, 404),
    ("PUT", "map", {"resourceType": "Patient"}, 400),
]


async def test_every_mistake_gets_a_sentence(admin: Any) -> None:
    for method, path, body, status in MISTAKES:
        content = {} if body is None else {"json": body, "headers": JSON}
        answer = await admin.request(method, f"{BASE}/{path}", **content)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["issue"][0]["diagnostics"]


async def test_only_an_administrator_comes_near_the_maps(client_as: Any) -> None:
    surfaces = [surface for surface in SURFACES if surface.name.startswith("codes.")]
    for roles, status in (((), 401), (("physician",), 403), (("system",), 403)):
        client = await client_as(*roles)
        for surface in surfaces:
            answer = await client.request(surface.method, surface.path.replace("{id}", "1"), content=b"{}")
            assert answer.status_code == status, surface.name


@pytest.mark.parametrize(("role", "count"), [("admin", 1), ("system", 0)])
async def test_a_concept_map_is_applied_when_an_administrator_wrote_it(
    client_as: Any, hub: Hub, role: str, count: int
) -> None:
    concept_map = {
        "resourceType": "ConceptMap",
        "id": "lab",
        "url": "http://example.org/lab",
        "status": "active",
        "group": [
            {
                "target": "http://loinc.org",
                "element": [{"code": "BS-FG", "target": [{"code": "2345-7", "equivalence": "equivalent"}]}],
            }
        ],
    }
    answer = await (await client_as(role)).put("/fhir/ConceptMap/lab", json=concept_map)
    assert answer.status_code == 201, answer.text
    await hub.receive_message(MESSAGE, Peer("127.0.0.1"))
    await hub.process_message()
    found = (await (await client_as("admin")).get("/fhir/Observation")).json()
    codings = found["entry"][0]["resource"]["code"]["coding"]
    assert sum(map(is_added, codings)) == count


async def test_changes_are_recorded(admin: Any, hub: Hub) -> None:
    await admin.put(f"{BASE}/map?source=ER&to=LOINC", content="code,target\nGLU,2345-7\n", headers=CSV)
    found = (await admin.get("/fhir/AuditEvent?_count=5")).text
    assert "put-local-codes" in found


async def test_a_refusal_is_recorded(admin: Any, client_as: Any) -> None:
    physician = await client_as("physician")
    for answer in (await physician.get(f"{BASE}/maps"), await physician.delete(f"{BASE}/map?code=GLU")):
        assert answer.status_code == 403, answer.text
    entries = (await admin.get("/fhir/AuditEvent?_count=10")).json()["entry"]
    refused = [one["resource"] for one in entries if "local-codes" in str(one["resource"].get("subtype"))]
    assert [one["outcome"] for one in refused] == ["4", "4"]
