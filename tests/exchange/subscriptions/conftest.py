"""A hub that tells receivers on this machine, and a receiver that can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
import yaml
from tests.consents import opt_out

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.access import Requester
from healthsync.infrastructure.clock import FixedClock, SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings

PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-000111"}],
    "name": [{"family": "Quennell", "given": ["Ottoline"]}],
    "gender": "female",
    "birthDate": "1971-03-09",
}


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def parameters(self) -> dict[str, Any]:
        """The status of a topic's notification: name to value."""
        listed = self.json["entry"][0]["resource"]["parameter"]
        return {p["name"]: next((v for k, v in p.items() if k.startswith("value")), p.get("part")) for p in listed}


@dataclass
class Receiver:
    """An HTTP server on this machine; `answers` are the statuses to give, the last one from then on."""

    url: str = ""
    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    delay_seconds: float = 0
    requests: list[Received] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        self.requests.append(Received(scope["method"], scope["path"], headers, body))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.delay_seconds)
        location = [(b"location", f"{self.url}/elsewhere".encode())] if 300 <= status < 400 else []
        await send({"type": "http.response.start", "status": status, "headers": location})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = uvicorn.Server(uvicorn.Config(receiver, port=0, log_config=None, lifespan="off", access_log=False))
    server.capture_signals = lambda: __import__("contextlib").nullcontext()
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    receiver.port = server.servers[0].sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{receiver.port}"
    yield receiver
    server.should_exit = True
    await task


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(SystemClock().now())


@pytest.fixture
async def make_hub(database: Database, tmp_path, clock: FixedClock) -> AsyncIterator[Callable[..., Hub]]:
    """Build a hub with settings of subscriptions; no wait between a request and its activation."""
    built: list[Hub] = []

    def make(**settings: Any) -> Hub:
        document = {
            "audit": {"heads_path": str(tmp_path / "heads")},
            "fhir": {"base_url": "https://hub.example.org/fhir"},
            "subscriptions": {"allowed_hosts": ["127.0.0.1"], "timeout_seconds": 1.0, **settings},
        }
        file = tmp_path / f"healthsync-{len(built)}.yaml"
        file.write_text(yaml.safe_dump({"healthsync": document}))
        loaded = load_settings(file, environ={})
        hub = build_hub(loaded, InsecureDevelopmentKeyring(), database, clock)
        hub.notify_subscribers._subscriptions._watch_seconds = 0
        built.append(hub)
        return hub

    yield make
    for hub in built:
        await hub.close()


@pytest.fixture
def hub(make_hub: Callable[..., Hub]) -> Hub:
    return make_hub()


@pytest.fixture
def client_of(database: Database) -> Callable[..., Awaitable[Requester]]:
    """A registered client of some roles, as it would ask."""

    async def make(hub: Hub, *roles: str) -> Requester:
        async with database.transaction() as tx:
            client, _ = await hub.access.create_client(tx, "-".join(roles), roles)
        purpose = hub.access.policy.purposes[roles[0]][0]
        return Requester(client.client_id, client.roles, purpose, organisation=client.organisation)

    return make


@pytest.fixture
async def admin(hub: Hub, client_of) -> Requester:
    return await client_of(hub, "admin")


@pytest.fixture
def subscribe(hub: Hub) -> Callable[..., Awaitable[str]]:
    """Ask for a subscription and let the hub activate it; returns its id."""

    async def ask(requester: Requester, criteria: str, *, settle: bool = True, **channel: Any) -> str:
        resource = {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "test",
            "criteria": criteria,
            "channel": {"type": "rest-hook", **channel},
        }
        stored = await hub.write.create(requester, resource)
        if settle:
            await hub.notify_subscribers.drain()
        return stored.id

    return ask


BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"


@pytest.fixture
def subscribe_to_topic(hub: Hub) -> Callable[..., Awaitable[str]]:
    """Ask for a topic-based subscription; `extensions` are heartbeat, timeout and count."""

    async def ask(
        requester: Requester, topic: str, content: str, *filters: str, channel: dict[str, Any], **extensions: int
    ) -> str:
        urls = {"heartbeat": "heartbeat-period", "timeout": "timeout", "count": "max-count"}
        kinds = {"heartbeat": "valueUnsignedInt", "timeout": "valueUnsignedInt", "count": "valuePositiveInt"}
        own = [{"url": f"{BACKPORT}backport-{urls[k]}", kinds[k]: v} for k, v in extensions.items()]
        resource: dict[str, Any] = {
            "resourceType": "Subscription",
            "meta": {"profile": [f"{BACKPORT}backport-subscription"]},
            "status": "requested",
            "reason": "test",
            "criteria": f"urn:healthsync:topic:{topic}",
            "channel": {
                "type": "rest-hook",
                "payload": "application/fhir+json",
                "_payload": {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": content}]},
                **({"extension": own} if own else {}),
                **channel,
            },
        }
        if filters:
            url = f"{BACKPORT}backport-filter-criteria"
            resource["_criteria"] = {"extension": [{"url": url, "valueString": text} for text in filters]}
        stored = await hub.write.create(requester, resource)
        await hub.notify_subscribers.drain()
        return stored.id

    return ask


@pytest.fixture
def shown(hub: Hub) -> Callable[[Requester, str], Awaitable[dict[str, Any]]]:
    """The Subscription resource as it is read."""

    async def read(requester: Requester, id_: str) -> dict[str, Any]:
        return json.loads((await hub.disclose.read(requester, "Subscription", id_)).text)

    return read


@pytest.fixture
def observation() -> Callable[..., dict[str, Any]]:
    def make(patient_id: str, code: str = "718-7", **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": f"Patient/{patient_id}"},
            "valueQuantity": {"value": 13, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
            **more,
        }

    return make


@pytest.fixture
def object_to_disclosure(hub: Hub) -> Callable[..., Awaitable[str]]:
    """The patient withholds consent."""

    async def refuse(requester: Requester, patient_id: str) -> str:
        return (await hub.write.create(requester, opt_out(patient_id))).id

    return refuse
