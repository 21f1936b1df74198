"""Operations and web sockets of Subscriptions, over a real web server where there is a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import websockets

from healthsync.bootstrap import Hub
from healthsync.entrypoints.web.application import Application
from healthsync.entrypoints.web.server import WebServer

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"


def _subscription(**channel) -> dict:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": "Patient",
        "channel": {"type": "websocket", **channel},
    }


def _topic_subscription() -> dict:
    payload = {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": "id-only"}]}
    return {
        **_subscription(payload="application/fhir+json", _payload=payload),
        "meta": {"profile": [f"{BACKPORT}backport-subscription"]},
        "criteria": "urn:healthsync:topic:patient-created",
    }


@pytest.fixture
def hub(hub: Hub) -> Hub:
    hub.notify_subscribers._subscriptions._watch_seconds = 0
    return hub


@pytest.fixture
async def address(application: Application) -> AsyncIterator[str]:
    server = WebServer(application, "127.0.0.1", 0)
    host, port = await server.start()
    yield f"ws://{host}:{port}/fhir/websocket"
    await server.stop()


@pytest.fixture
def key_of(hub: Hub) -> Callable:
    async def make(role: str = "admin") -> tuple[str, str]:
        async with hub.database.transaction() as tx:
            client, key = await hub.access.create_client(tx, role, [role])
        return client.client_id, key

    return make


async def _subscribed(hub: Hub, client, resource: dict) -> str:
    answer = await client.post("/fhir/Subscription", json=resource)
    assert answer.status_code == 201, answer.text
    await hub.notify_subscribers.drain()
    return answer.json()["id"]


@asynccontextmanager
async def _socket(address: str, key: str | None = None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with websockets.connect(address, additional_headers=headers) as socket:
        yield socket


async def _next(socket) -> str:
    async with asyncio.timeout(10):
        return await socket.recv()


@pytest.fixture
async def own(hub, client_as, key_of):
    """A client and its key."""
    _, key = await key_of()
    client = await client_as()
    client.headers["Authorization"] = f"Bearer {key}"
    return client, key


async def test_a_bound_socket_is_pinged_for_each_change(hub, own, address, patient):
    client, key = own
    id_ = await _subscribed(hub, client, _subscription())
    async with _socket(address, key) as socket:
        await socket.send(f"bind {id_}")
        assert await _next(socket) == f"bound {id_}"
        for _ in range(2):
            await client.post("/fhir/Patient", json=patient)
            await hub.notify_subscribers.queue()
            assert await _next(socket) == f"ping {id_}"


async def test_what_happened_while_no_socket_was_open_is_told_when_one_binds(hub, own, address, patient):
    client, key = own
    id_ = await _subscribed(hub, client, _subscription())
    await client.post("/fhir/Patient", json=patient)
    await hub.notify_subscribers.drain()
    async with _socket(address, key) as socket:
        await socket.send(f"bind {id_}")
        assert [await _next(socket), await _next(socket)] == [f"bound {id_}", f"ping {id_}"]


async def test_a_token_binds_a_socket_without_headers_and_topics_send_bundles(hub, own, address, patient):
    client, _ = own
    id_ = await _subscribed(hub, client, _topic_subscription())
    answer = (await client.get(f"/fhir/Subscription/{id_}/$get-ws-binding-token")).json()
    values = {p["name"]: next(v for k, v in p.items() if k != "name") for p in answer["parameter"]}
    assert values["subscription"] == id_
    async with _socket(address) as socket:
        await socket.send(f"bind-with-token {values['token']}")
        handshake = json.loads(await _next(socket))
        stored = (await client.post("/fhir/Patient", json=patient)).json()["id"]
        await hub.notify_subscribers.queue()
        told = json.loads(await _next(socket))
    types = [b["entry"][0]["resource"]["parameter"][3]["valueCode"] for b in (handshake, told)]
    assert types == ["handshake", "event-notification"]
    assert told["entry"][1]["fullUrl"].endswith(f"/Patient/{stored}")


async def test_without_authorization_and_with_a_wrong_key_nothing_is_bound(hub, own, address):
    client, _ = own
    id_ = await _subscribed(hub, client, _subscription())
    with pytest.raises(websockets.InvalidStatus):
        async with _socket(address, "hs_x_y"):
            pass
    for first in (f"bind {id_}", "bind-with-token abc", "hello"):
        async with _socket(address) as socket:
            await socket.send(first)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await _next(socket)
            assert closed.value.rcvd.code == 1008


async def test_another_clients_subscription_cannot_be_bound(hub, own, address, key_of):
    client, _ = own
    id_ = await _subscribed(hub, client, _subscription())
    _, other = await key_of("physician")
    async with _socket(address, other) as socket:
        await socket.send(f"bind {id_}")
        with pytest.raises(websockets.ConnectionClosed):
            await _next(socket)


async def test_a_socket_of_a_revoked_client_is_told_nothing_more(hub, address, client_as, key_of, admin, patient):
    client_id, key = await key_of("physician")
    client = await client_as()
    client.headers["Authorization"] = f"Bearer {key}"
    id_ = await _subscribed(hub, client, _subscription())
    async with _socket(address, key) as socket:
        await socket.send(f"bind {id_}")
        assert await _next(socket) == f"bound {id_}"
        async with hub.database.transaction() as tx:
            await hub.access.revoke_client(tx, client_id)
        await admin.post("/fhir/Patient", json=patient)
        await hub.notify_subscribers.queue()
        with pytest.raises(websockets.ConnectionClosed):
            await _next(socket)
    assert (await admin.get(f"/fhir/Subscription/{id_}")).json()["status"] == "off"


async def test_a_socket_at_another_address_is_refused(address):
    with pytest.raises(websockets.InvalidStatus):
        async with _socket(address.replace("/fhir/websocket", "/elsewhere")):
            pass


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "Subscription/{}/$status",
        "Subscription/$status",
        "Subscription/{}/$get-ws-binding-token",
        "Subscription/{}/$events",
    ],
)
async def test_the_operations_answer_the_client_that_asked_and_no_stranger(hub, own, client_as, method, path):
    client, _ = own
    id_ = await _subscribed(hub, client, _topic_subscription())
    assert (await client.request(method, f"/fhir/{path.format(id_)}")).status_code == 200
    stranger = await client_as()
    assert (await stranger.request(method, f"/fhir/{path.format(id_)}")).status_code == 401
    other = await client_as("physician")
    answer = await other.request(method, f"/fhir/{path.format(id_)}")
    assert answer.status_code == 404 or answer.json()["total"] == 0


async def test_the_capability_statement_tells_where_the_socket_is_and_which_topics_there_are(client_as):
    rest = (await (await client_as()).get("/fhir/metadata")).json()["rest"][0]
    (socket,) = rest["extension"]
    assert (socket["url"].rpartition("-")[2], socket["valueUri"]) == ("websocket", "ws://hub/fhir/websocket")
    support = next(resource for resource in rest["resource"] if resource["type"] == "Subscription")
    assert support["supportedProfile"] == [f"{BACKPORT}backport-subscription"]
    assert "urn:healthsync:topic:encounter-start" in {e["valueCanonical"] for e in support["extension"]}
    assert {"status", "events", "get-ws-binding-token"} <= {o["name"] for o in support["operation"]}
    assert "graphql" in {o["name"] for o in rest["operation"]}


async def test_status_takes_parameters_by_url_and_by_body(hub, own):
    client, _ = own
    one = await _subscribed(hub, client, _topic_subscription())
    two = await _subscribed(hub, client, _subscription())
    assert (await client.get("/fhir/Subscription/$status")).json()["total"] == 2
    assert (await client.get(f"/fhir/Subscription/$status?id={one}&id={two}")).json()["total"] == 2
    body = {"resourceType": "Parameters", "parameter": [{"name": "id", "valueId": one}]}
    assert (await client.post("/fhir/Subscription/$status", json=body)).json()["total"] == 1
    assert (await client.get("/fhir/Subscription/$status?status=error")).json()["total"] == 0
    assert (await client.get("/fhir/Subscription/$status?status=x")).status_code == 400
    assert (await client.get(f"/fhir/Subscription/{one}/$events?eventsSinceNumber=x")).status_code == 400
