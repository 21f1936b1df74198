"""FHIR out: authorised, consented, audited reads and searches."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import AsyncIterator, Sequence

from benchmarks import loads, messages
from benchmarks.harness import Aim, Options, Result, measure, scenario
from benchmarks.hubs import RunningHub, running_hub
from benchmarks.scenarios.intake import CONNECTIONS
from benchmarks.scenarios.processing import send_and_settle

_READS = Aim(2000)
_SYSTEM = "urn:oid:2.16.840.1.113883.19.5"


@scenario("reading")
async def reading(options: Options) -> AsyncIterator[Result]:
    """Reads and searches a second through `serve`, each with API key, consent condition and committed AuditEvent."""
    async with running_hub() as hub:
        patients = range(1, options.sized(500) + 1)
        await send_and_settle(hub, messages.adts(1, len(patients)))
        await send_and_settle(hub, messages.orus(1_000_001, len(patients), patients))
        key = await hub.api_key()
        paths = {kind: _paths(hub, key, kind) for kind in ("Patient", "Observation")}
        for kind, connections in itertools.product(paths, CONNECTIONS):
            aim = _READS if connections == 16 else None
            yield await _measured(
                hub, key, f"read {kind}, {connections} connections", paths[kind], connections, options,
                1000 if connections == 1 else 6000, aim,
            )  # fmt: skip
        searches = {
            "search Patient by identifier": [f"/fhir/Patient?identifier={_SYSTEM}|{n:08}" for n in patients],
            "search Patient by family and birthdate": [_by_name(n) for n in patients],
            "search Observation by patient, 30 of them": [
                f"/fhir/Observation?patient={path.rpartition('/')[2]}&_count=30" for path in paths["Patient"]
            ],
        }
        for name, queries in searches.items():
            yield await _measured(hub, key, f"{name}, 16 connections", queries, 16, options, 1000, None)


async def _measured(
    hub: RunningHub, key: str, name: str, paths: Sequence[str], connections: int, options: Options, count: int,
    aim: Aim | None,
) -> Result:  # fmt: skip
    requests = itertools.cycle([loads.get(path, hub.http, key) for path in paths])

    async def run(count: int = options.sized(count)) -> loads.Load:
        return await loads.http(hub.http, itertools.islice(requests, count), connections)

    return await measure(
        "reading", name, run, options=options, cpu=hub.cpu, unit="/s", aim=aim, warm_up=lambda: run(count=128)
    )


def _paths(hub: RunningHub, key: str, kind: str) -> list[str]:
    """Where resources of a type are: some that a search finds."""
    request = urllib.request.Request(
        f"http://{hub.http}/fhir/{kind}?_count=1000", headers={"Authorization": f"Bearer {key}", "X-Purpose": "TREAT"}
    )
    with urllib.request.urlopen(request) as answer:
        bundle = json.load(answer)
    return [f"/fhir/{kind}/{entry['resource']['id']}" for entry in bundle["entry"]]


def _by_name(patient: int) -> str:
    born = messages.birth_date(patient)
    return f"/fhir/Patient?family={messages.family(patient)}&birthdate={born[:4]}-{born[4:6]}-{born[6:]}"
