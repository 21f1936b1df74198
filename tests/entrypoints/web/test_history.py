"""History of a resource, a type and all types (http.html#history)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import quote

from tests.consents import opt_out

from healthsync.domains.records import HistoryQuery, Visibility, history


async def _put(client, id_: str, name: str, kind: str = "Organization") -> dict:
    body = {"resourceType": kind, "id": id_, "name": name}
    answer = await client.put(f"/fhir/{kind}/{id_}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def _versions(bundle: dict) -> list[str]:
    return [
        entry["fullUrl"].rsplit("/", 1)[1] + entry["response"]["etag"][2:].strip('"')
        for entry in bundle.get("entry", [])
    ]


async def _pages(client, url: str) -> list[list[str]]:
    pages = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        pages.append(_versions(answer.json()))
        url = next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), "")
    return pages


async def test_a_history_tells_of_every_version_by_the_request_that_made_it(admin):
    await _put(admin, "a", "one")
    await _put(admin, "a", "two")
    await admin.delete("/fhir/Organization/a")
    bundle = (await admin.get("/fhir/Organization/a/_history")).json()
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    requests = [(e["request"]["method"], e["request"]["url"], e["response"]["status"][:3]) for e in bundle["entry"]]
    assert requests == [
        ("DELETE", "Organization/a", "204"),
        ("PUT", "Organization/a", "200"),
        ("PUT", "Organization/a", "201"),
    ]
    assert "resource" not in bundle["entry"][0]
    assert [entry["resource"]["name"] for entry in bundle["entry"][1:]] == ["two", "one"]
    assert {entry["fullUrl"] for entry in bundle["entry"]} == {"http://hub/fhir/Organization/a"}
    assert all("lastModified" in entry["response"] for entry in bundle["entry"])
    assert (await admin.get("/fhir/Organization/nobody/_history")).status_code == 404


async def test_a_history_tells_what_was_posted_from_what_was_put_and_what_was_brought_back(admin):
    async def made(request) -> dict:
        answer = await request
        assert answer.status_code == 201, answer.text
        return answer.json()

    body = {"resourceType": "Organization", "name": "one"}
    chosen = "6f1a1f0e-8a5e-4b8e-9a51-0d0c8a4f2b11"  # a client's own UUID
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": body, "request": {"method": "POST", "url": "Organization"}}],
    }
    if_none = {"If-None-Exist": "name=three"}
    posted = [
        (await made(admin.post("/fhir/Organization", json=body)))["id"],
        (await made(admin.post("/fhir/Organization", json={**body, "name": "three"}, headers=if_none)))["id"],
        (await admin.post("/fhir", json=transaction)).json()["entry"][0]["response"]["location"].split("/")[1],
    ]
    put = [
        (await made(admin.put(f"/fhir/Organization/{chosen}", json={**body, "id": chosen})))["id"],
        (await made(admin.put("/fhir/Organization?name=four", json={**body, "name": "four"})))["id"],
    ]
    for ids, method in ((posted, "POST"), (put, "PUT")):
        for id_ in ids:
            (entry,) = (await admin.get(f"/fhir/Organization/{id_}/_history")).json()["entry"]
            url = "Organization" if method == "POST" else f"Organization/{id_}"
            assert entry["request"] == {"method": method, "url": url}
            assert entry["response"]["status"] == "201 Created"
    assert (await admin.delete(f"/fhir/Organization/{posted[0]}")).status_code == 204
    await made(admin.put(f"/fhir/Organization/{posted[0]}", json={**body, "id": posted[0]}))
    for url in (f"/fhir/Organization/{posted[0]}/_history", "/fhir/Organization/_history?_count=1"):
        first = (await admin.get(url)).json()["entry"][0]
        assert (first["request"]["method"], first["response"]["status"]) == ("PUT", "201 Created")


async def test_histories_of_a_type_and_of_the_system_are_newest_first_and_come_in_pages(admin):
    for number in range(3):
        await _put(admin, f"a{number}", "one")
    await _put(admin, "l", "place", "Location")
    await _put(admin, "a1", "two")
    await admin.delete("/fhir/Organization/a0")
    of_type = ["a02", "a12", "a21", "a11", "a01"]
    assert await _pages(admin, "/fhir/Organization/_history") == [of_type]
    assert await _pages(admin, "/fhir/Organization/_history?_count=2") == [of_type[:2], of_type[2:4], of_type[4:]]
    assert await _pages(admin, "/fhir/_history?_count=4") == [["a02", "a12", "l1", "a21"], ["a11", "a01"]]
    assert await _pages(admin, "/fhir/Organization/a1/_history?_count=1") == [["a12"], ["a11"]]
    assert await _pages(admin, "/fhir/Patient/_history") == [[]]


async def test_pages_lose_and_double_no_version_while_others_write(admin):
    for number in range(6):
        await _put(admin, f"a{number}", "one")
    first = (await admin.get("/fhir/Organization/_history?_count=2")).json()
    for number in range(6):
        await _put(admin, f"a{number}", "two")
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    seen = [*_versions(first), *(version for page in await _pages(admin, following) for version in page)]
    assert seen == [f"a{number}1" for number in reversed(range(6))]


async def test_a_link_of_one_kind_of_page_is_none_of_another(admin):
    for number in range(3):
        await _put(admin, f"a{number}", "one")

    async def following(url: str) -> str:
        page = (await admin.get(url)).json()
        return next(link["url"] for link in page["link"] if link["relation"] == "next").rpartition("_cursor=")[2]

    of_history = await following("/fhir/Organization/_history?_count=1")
    of_search = await following("/fhir/Organization?_count=1")
    assert (await admin.get(f"/fhir/Organization/_history?_cursor={of_search}")).status_code == 400
    assert (await admin.get(f"/fhir/Organization?_cursor={of_history}")).status_code == 400
    assert (await admin.get(f"/fhir/Organization?_cursor={of_search}")).status_code == 200


async def test_since_and_at_choose_versions_by_time(admin):
    first = await _put(admin, "a", "one")
    await asyncio.sleep(0.02)
    second = await _put(admin, "a", "two")
    await _put(admin, "b", "one")
    await asyncio.sleep(0.02)
    await admin.delete("/fhir/Organization/a")
    one, two = (quote(each["meta"]["lastUpdated"]) for each in (first, second))
    for scope in ("Organization/", "", "Organization/a/"):
        others = [] if scope == "Organization/a/" else ["b1"]
        for query, expected in [
            (f"_since={two}", ["a3", *others, "a2"]),
            (f"_since={datetime.now(UTC).year + 1}-01-01T00:00:00Z", []),
            (f"_at={one}", ["a1"]),
            (f"_at={two}", ["a2"]),
            ("_at=1999", []),
            (f"_at={datetime.now(UTC).year}", ["a3", *others, "a2", "a1"]),
        ]:
            bundle = (await admin.get(f"/fhir/{scope}_history?{query}")).json()
            assert _versions(bundle) == expected, (scope, query)
    self_link = (await admin.get(f"/fhir/Organization/_history?_since={two}&_count=5")).json()["link"][0]["url"]
    assert "_since=" in self_link
    assert "_count=5" in self_link


PARAMETERS = [
    ("_since=yesterday", 400),
    ("_at=never", 400),
    ("_count=many", 400),
    ("_cursor=abc", 400),
    ("colour=red", 400),
    ("_list=1", 400),
    ("_sort=name", 400),
    ("_sort=-_lastUpdated", 200),
    ("_colour=red", 200),
    ("_count=0", 200),
    ("_count=99999999999999999999", 200),
    ("_summary=true", 200),
    ("_elements=name", 200),
    ("_format=json&_pretty=true", 200),
]
"""Query, status."""


async def test_parameters_of_a_history(admin):
    await _put(admin, "a", "one")
    for query, status in PARAMETERS:
        for scope in ("Organization/a/", "Organization/", ""):
            answer = await admin.get(f"/fhir/{scope}_history?{query}")
            assert answer.status_code == status, (scope, query)


async def test_consent_and_roles_hide_versions_from_every_history(admin, client_as, patient, observation):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    made = (await admin.post("/fhir/Observation", json=observation(id_))).json()["id"]
    await _put(admin, "a", "one")
    physician, researcher, billing = [await client_as(role) for role in ("physician", "researcher", "billing")]
    assert {entry["fullUrl"].split("/")[-2] for entry in (await physician.get("/fhir/_history")).json()["entry"]} == {
        "Organization", "Observation", "Patient"
    }  # fmt: skip
    shown = (await billing.get("/fhir/Patient/_history")).json()["entry"][0]["resource"]
    assert "birthDate" not in shown
    assert (await researcher.get("/fhir/Patient/_history")).status_code == 403
    assert _versions((await researcher.get("/fhir/_history")).json()) == ["a1"]
    await admin.post(
        "/fhir/Consent",
        json=opt_out(id_),
    )
    for path in (f"Patient/{id_}/_history", f"Observation/{made}/_history"):
        assert (await physician.get(f"/fhir/{path}")).status_code == 404
    assert _versions((await physician.get("/fhir/_history")).json()) == ["a1"]
    assert _versions((await physician.get("/fhir/Patient/_history")).json()) == []


async def test_a_page_of_a_history_walks_indexes(admin, hub):
    for number in range(3):
        await _put(admin, f"a{number}", "one")
        await _put(admin, f"a{number}", "two")
    async with hub.database.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        await tx.execute("SET LOCAL enable_bitmapscan = off")
        text, parameters = history.of_types(["Organization"], Visibility(), HistoryQuery(), 2)
        plan = "\n".join(row[0] for row in await tx.fetch(f"EXPLAIN {text}", *parameters))
    assert "Seq Scan" not in plan, plan
    for index in ("resource_by_update", "resource_deleted_by_update", "resource_history_by_update"):
        assert f"Index Scan Backward using {index}" in plan, plan
