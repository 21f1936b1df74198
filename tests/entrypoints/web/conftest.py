"""A client that talks ASGI to a whole hub, as programs with API keys do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from healthsync.bootstrap import Hub
from healthsync.entrypoints.web.application import Application


async def _ready() -> dict[str, bool]:
    return {"database": True}


@pytest.fixture
def application(hub: Hub) -> Application:
    """The HTTP face of the hub."""
    return Application(hub, _ready)


@pytest.fixture
async def client_as(hub: Hub, application: Application) -> AsyncIterator[Callable[..., Awaitable[httpx.AsyncClient]]]:
    """Make a client with an API key of the given roles; none for a stranger."""
    opened: list[httpx.AsyncClient] = []

    async def make(*roles: str, **headers: str) -> httpx.AsyncClient:
        if roles:
            async with hub.database.transaction() as tx:
                _, key = await hub.access.create_client(tx, "-".join(roles), roles)
            headers["Authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(app=application)
        client = httpx.AsyncClient(
            transport=transport, base_url="http://hub", headers={"Content-Type": "application/fhir+json", **headers}
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
async def admin(client_as: Callable[..., Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """A client that may do everything."""
    return await client_as("admin")


@pytest.fixture
def patient() -> dict[str, Any]:
    """A made-up patient."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-000111"}],
        "name": [{"family": "Quennell", "given": ["Ottoline", "May"]}],
        "gender": "female",
        "birthDate": "1971-03-09",
        "telecom": [{"system": "phone", "value": "+1 617 555 0100"}],
        "address": [{"line": ["4 Weir Lane"], "city": "Holbrook", "postalCode": "02343"}],
    }


@pytest.fixture
def observation() -> Callable[[str], dict[str, Any]]:
    """An observation of a patient, with a decimal whose last zero matters."""

    def make(patient_id: str) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
            "subject": {"reference": f"Patient/{patient_id}"},
            "effectiveDateTime": "2024-05-06T07:08:09Z",
            "valueQuantity": {"value": 13.5, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
            "note": [{"text": "taken at the bedside"}],
        }

    return make
