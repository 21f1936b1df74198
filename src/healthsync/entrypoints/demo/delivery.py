"""Sending what the scenario tells: messages over MLLP, bundles over HTTP, both to a real hub."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from healthsync.connectors.mllp import MllpClient
from healthsync.entrypoints.demo.scenario import Dispatch
from healthsync.errors import HealthSyncError, Unavailable
from healthsync.standards.hl7v2 import AckCode

Progress = Callable[[], None]
"""Called once for everything that was sent."""


@dataclass(slots=True)
class Delivery:
    """What came of sending: messages and bundles that were taken, and what was said of the others."""

    acknowledged: int = 0
    posted: int = 0
    refusals: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP."""

    status: int
    content: bytes

    @property
    def body(self) -> Any:
        """The document that came, None when it is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError:
            return None


class Api:
    """A client of the hub's HTTP face, with an API key. One connection, one request at a time.

    Raises Unavailable when the hub does not answer.
    """

    def __init__(self, place: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(place, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}

    async def get(self, path: str) -> Answer:
        """GET a path such as /fhir/Patient."""
        return await asyncio.to_thread(self._ask, "GET", path, None)

    async def post(self, path: str, document: Any) -> Answer:
        """POST a resource."""
        return await asyncio.to_thread(self._ask, "POST", path, json.dumps(document).encode())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> Answer:
        try:
            self._connection.request(method, path, body, self._headers)
            response = self._connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as problem:
            raise Unavailable(f"the hub does not answer over HTTP ({type(problem).__name__})") from problem


async def deliver(
    mllp: str,
    dispatches: Mapping[str, Sequence[Dispatch]],
    clinic: Api,
    bundles: Sequence[Any],
    progress: Mapping[str, Progress],
) -> Delivery:
    """Send everything: one connection per hospital, in order, each message after the answer to the one before; the
    clinic meanwhile. `progress` has what to call for each, by sender."""
    delivery = Delivery()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for source, messages in dispatches.items():
            group.create_task(_send(mllp, messages, delivery, progress[source]))
        group.create_task(_post(clinic, bundles, delivery, progress["clinic"]))
    delivery.seconds = time.perf_counter() - started
    return delivery


async def _send(mllp: str, messages: Sequence[Dispatch], delivery: Delivery, progress: Progress) -> None:
    host, _, port = mllp.rpartition(":")
    try:
        async with await MllpClient.connect(host.strip("[]"), int(port)) as client:
            for message in messages:
                answer = await client.send(message.raw)
                if answer is None or answer.code in (AckCode.AA, AckCode.CA):
                    delivery.acknowledged += 1
                else:
                    delivery.refusals.append(f"{answer.control_id}: {answer.code} {answer.text}")
                progress()
    except HealthSyncError as problem:
        delivery.refusals.append(str(problem))


async def _post(clinic: Api, bundles: Sequence[Any], delivery: Delivery, progress: Progress) -> None:
    try:
        for bundle in bundles:
            answer = await clinic.post("/fhir", bundle)
            if answer.status == http.HTTPStatus.OK:
                delivery.posted += 1
            else:
                delivery.refusals.append(f"bundle {answer.status}: {_diagnostics(answer)}")
            progress()
    except HealthSyncError as problem:
        delivery.refusals.append(str(problem))


def _diagnostics(answer: Answer) -> str:
    body = answer.body
    issues = body.get("issue", []) if isinstance(body, dict) else []
    return "; ".join(issue.get("diagnostics", issue.get("code", "")) for issue in issues)
