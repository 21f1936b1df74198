"""/destinations: for administrators, without message content."""

from __future__ import annotations

TERMS = {"name": "mercy", "host": "127.0.0.1", "port": 2576, "messages": ["SIU^S12"], "ack_timeout_seconds": 2.5}
CALLS = [
    ("GET", "/destinations"),
    ("POST", "/destinations"),
    ("GET", "/destinations/mercy"),
    ("DELETE", "/destinations/mercy"),
    ("POST", "/destinations/mercy/pause"),
    ("POST", "/destinations/mercy/resume"),
    ("GET", "/destinations/mercy/deliveries"),
    ("POST", "/destinations/mercy/retry"),
    ("POST", "/destinations/mercy/skip"),
]


async def test_an_administrator_adds_shows_pauses_resumes_and_removes(admin):
    added = await admin.post("/destinations", json=TERMS)
    assert added.status_code == 201, added.text
    assert added.json()["ack_timeout_seconds"] == 2.5
    assert (await admin.get("/destinations/mercy")).json() == added.json()
    assert (await admin.post("/destinations/mercy/pause")).status_code == 204
    assert (await admin.get("/destinations")).json()["destinations"][0]["state"] == "paused"
    assert (await admin.post("/destinations/mercy/resume")).status_code == 204
    assert (await admin.get("/destinations/mercy/deliveries")).json() == {"deliveries": []}
    assert (await admin.post("/destinations/mercy/retry")).json() == {"retried": 0, "sequences": []}
    assert (await admin.post("/destinations", json=TERMS)).status_code == 409
    assert (await admin.delete("/destinations/mercy")).json() == {"discarded": 0}
    assert (await admin.get("/destinations/mercy")).status_code == 404


async def test_strangers_and_other_roles_are_refused(client_as):
    stranger, physician = await client_as(), await client_as("physician")
    for method, path in CALLS:
        body = {"content": b"{}"} if method == "POST" else {}
        assert (await stranger.request(method, path, **body)).status_code == 401, path
        answer = await physician.request(method, path, json={**TERMS, "sequence": 1} if method == "POST" else None)
        assert answer.status_code == 403, path


WRONG = [
    ({"port": "2576"}, "“port” is of type int"),
    ({"port": True}, "“port” is of type int"),
    ({"messages": "SIU^S12"}, "list of texts"),
    ({"messages": [1]}, "list of texts"),
    ({"messages": 7}, "list of texts"),
    ({"messages": []}, "nothing says what it gets"),
    ({"messages": ["ZZZ^Z01"]}, "no map builds ZZZ^Z01"),
    ({"colour": "red"}, "has no “colour”"),
    ({"tls": {"colour": 1}}, "has no “colour”"),
    ({"tls": "yes"}, "tls is an object"),
    ({"host": "hl7.example"}, "cross the network in clear"),
    ({"name": "a b"}, "name is a letter"),
    ({"ack_timeout_seconds": 0}, "0.05 to 3600"),
]


async def test_terms_that_do_not_hold_are_refused_with_a_sentence(admin):
    for changes, sentence in WRONG:
        answer = await admin.post("/destinations", json={**TERMS, **changes})
        assert 400 <= answer.status_code < 500, answer.text
        assert sentence in answer.text, changes


async def test_a_request_that_names_no_message_is_refused(admin):
    await admin.post("/destinations", json=TERMS)
    for content in (b"", b"[]", b"{", b'{"sequence": "x"}', b'{"sequence": -1}', b'{"sequence": 1e40}'):
        answer = await admin.post("/destinations/mercy/skip", content=content)
        assert answer.status_code in (400, 422), content
    for query in ("before=x", "count=-1", "state=lost", "count=99999999999999999999"):
        assert (await admin.get(f"/destinations/mercy/deliveries?{query}")).status_code in (400, 422), query
    assert (await admin.post("/destinations/mercy/skip", json={"sequence": 1})).status_code == 404
