"""The demonstration, in order: a hub, its partners, the town's messages, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.demo import inspection
from healthsync.entrypoints.demo.delivery import Api, Delivery, deliver
from healthsync.entrypoints.demo.house import RunningHub, serving, write_mark
from healthsync.entrypoints.demo.registrations import CLINIC, HOSPITALS
from healthsync.entrypoints.demo.scenario import Scenario, stories
from healthsync.entrypoints.demo.screen import Screen
from healthsync.entrypoints.demo.summary import Identity, Messages, Summary, timeline
from healthsync.errors import ConfigurationError
from healthsync.exchange.administration.inspect_messages import InspectMessages
from healthsync.exchange.administration.onboard_partner import OnboardPartner
from healthsync.exchange.administration.score_identity import IdentityFindings, Record, ScoreIdentity

CLIENTS = {"physician": "physician", "researcher": "researcher", "clinic": "system", "operator": "admin"}
"""Clients of the API that the demonstration registers, with their roles."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it plays: an empty data folder with settings and keys, and where the hub shall listen."""

    folder: Path
    http: str
    mllp: str
    database_url: str | None
    seed: int


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client of the API."""

    id: str
    key: str


async def play(stage: Stage, scenario: Scenario, screen: Screen, at_end: Callable[[Summary], Any]) -> bool:
    """Run the whole; `at_end(summary)` is awaited while the hub still serves. Returns whether all promises held."""
    started = time.perf_counter()
    with screen.working("a hub with its own PostgreSQL and keys, three hospitals and a clinic"):
        async with open_hub(stage.folder, stage.database_url) as hub:
            clients = await _register(hub)
        first_start = time.perf_counter() - started
    write_mark(stage.folder, _mark(stage, scenario, clients))
    async with serving(stage.folder, stage.http, stage.mllp, stage.database_url) as running:
        screen.say(f"[green]✓[/] healthsync serve: FHIR at http://{running.http}/fhir, MLLP at {running.mllp}")
        async with open_hub(stage.folder, stage.database_url) as hub:
            with ExitStack() as stack:
                apis = {name: Api(running.http, client.key) for name, client in clients.items()}
                for api in apis.values():
                    stack.callback(api.close)
                summary = await _observe(stage, scenario, screen, hub, running, apis, clients, first_start, started)
        await at_end(summary)
    return summary.held


async def _register(hub: Hub) -> dict[str, Client]:
    """The partners and the clients, before the hub serves. Raises ConfigurationError when its database is not empty."""
    messages = InspectMessages(database=hub.database, messages=hub.messages, data_keys=hub.data_keys, audit=hub.audit)
    partners = OnboardPartner(database=hub.database, directory=hub.directory, audit=hub.audit)
    if await messages.counted(state=None, source=None) or await partners.partners():
        raise ConfigurationError("the database of --database holds data already; give the demonstration an empty one")
    for source in HOSPITALS:
        await partners.add(
            source.name,
            operator="demo",
            sending_application=source.application,
            sending_facility=source.facility,
            organisation=source.title,
        )
    clients = {}
    for name, role in CLIENTS.items():
        client, key = await hub.register_client(name, [role], CLINIC.title if name == "clinic" else None)
        clients[name] = Client(client.client_id, key)
    return clients


async def _observe(
    stage: Stage,
    scenario: Scenario,
    screen: Screen,
    hub: Hub,
    running: RunningHub,
    apis: dict[str, Api],
    clients: dict[str, Client],
    first_start: float,
    started: float,
) -> Summary:
    began = time.perf_counter()
    delivery, states = await _send_all(scenario, screen, hub, running, apis["clinic"])
    processed_seconds = time.perf_counter() - began
    memory = running.memory_bytes()
    with screen.working("who is who, compared with the truth"):
        findings = await ScoreIdentity(database=hub.database, identity=hub.identity)(_truth(scenario, clients))
    with screen.working("reading as a physician, a researcher, and about somebody who objected"):
        ids = findings.patient_ids
        shown = ids[_record(scenario.shown, clients)]
        opted_out = ids.get(_record(scenario.opted_out, clients)) if scenario.opted_out else None
        resources = await inspection.count_resources(apis["physician"])
        _, story = await inspection.read_everything(apis["physician"], shown)
        reads = await inspection.read_as_all(
            hub, apis["physician"], apis["researcher"], clients["researcher"].id, shown, opted_out
        )
    alerts = await inspection.count_alerts(hub)
    with screen.working("proving the audit log"):
        audit = await inspection.prove_audit(hub)
    with screen.working("looking for names, numbers and dates in the database, its files, logs and metrics"):
        leaks = await inspection.look_for_leaks(hub, stage.folder, apis["operator"], scenario.needles)
    titles = {source.name: source.title for source in HOSPITALS} | {clients["clinic"].id: CLINIC.title}
    return Summary(
        seed=stage.seed,
        messages=_messages(scenario, delivery, states, processed_seconds),
        bundles=len(scenario.bundles),
        bundles_stored=delivery.posted,
        resources=resources,
        identity=_identity(findings),
        reads=reads,
        critical_results=scenario.critical_results,
        critical_alerts=alerts,
        audit=audit,
        leaks=leaks,
        timeline=timeline(story, titles),
        first_start_seconds=first_start,
        start_seconds=running.start_seconds,
        memory_bytes=memory,
        seconds=time.perf_counter() - started,
        next=_next(stage, running, clients, shown),
    )


async def _send_all(
    scenario: Scenario, screen: Screen, hub: Hub, running: RunningHub, clinic: Api
) -> tuple[Delivery, dict[str, int]]:
    with screen.bars() as bar:
        totals = {name: len(sent) for name, sent in scenario.dispatches.items()} | {"clinic": len(scenario.bundles)}
        counting = {name: _counter(bar(f"{name} sends", total)) for name, total in totals.items()}
        delivery = await deliver(
            running.mllp, dict(scenario.dispatches), clinic, scenario.bundles, lambda name: counting[name]
        )
        stored = scenario.messages - scenario.resends
        done = bar("stored as FHIR", stored)
        states = await inspection.wait_until_processed(hub, lambda waiting: done(stored - waiting))
    return delivery, states


def _counter(show: Callable[[int], None]) -> Callable[[], None]:
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1
        show(count)

    return one_more


def _messages(scenario: Scenario, delivery: Delivery, states: dict[str, int], seconds: float) -> Messages:
    return Messages(
        sent=scenario.messages,
        resent=scenario.resends,
        acknowledged=delivery.acknowledged,
        stored=sum(states.values()),
        processed=states["processed"],
        dead=states["dead"],
        seconds=delivery.seconds,
        processed_seconds=seconds,
        by_source={name: dict(counts) for name, counts in stories(scenario)},
        refusals=delivery.refusals,
    )


def _identity(findings: IdentityFindings) -> Identity:
    score = findings.score
    return Identity(
        records=score.records,
        persons_true=score.persons_known,
        persons_found=score.persons_found,
        precision=score.precision,
        recall=score.recall,
        false_links=findings.false_links,
        missed_links=findings.missed_links,
        to_review=findings.to_review,
    )


def _record(key: Record, clients: dict[str, Client]) -> Record:
    """The clinic's numbers are known to the hub under the id of its client."""
    source, system, number = key
    return (clients["clinic"].id if source == CLINIC.name else source), system, number


def _truth(scenario: Scenario, clients: dict[str, Client]) -> dict[Record, str]:
    return {_record(key, clients): person for key, person in scenario.truth.items()}


def _mark(stage: Stage, scenario: Scenario, clients: dict[str, Client]) -> dict[str, Any]:
    """What only the demonstration knows: who is who, the values that nobody else may read, and the keys."""
    return {
        "made_by": "healthsync demo",
        "seed": stage.seed,
        "clients": {name: {"client_id": client.id, "api_key": client.key} for name, client in clients.items()},
        "truth": [
            {"source": source, "system": system, "value": value, "person": person}
            for (source, system, value), person in _truth(scenario, clients).items()
        ],
        "values": [str(needle) for needle in scenario.needles],
    }


def _next(stage: Stage, running: RunningHub, clients: dict[str, Client], patient: str) -> dict[str, str]:
    base, key = f"http://{running.http}", clients["physician"].key
    data = f"--data {stage.folder}"
    return {
        "a physician's key": key,
        "read the patient": f'curl -H "Authorization: Bearer {key}" "{base}/fhir/Patient/{patient}/\\$everything"',
        "every message": f"healthsync messages list {data}",
        "the audit proof": f"healthsync audit verify {data}",
        "send your own": f"healthsync send --to {running.mllp} FILE.hl7",
        "metrics": f"{base}/metrics",
        "serve it again": f"healthsync serve {data}",
        "the truth": f"{stage.folder / 'demo.json'} (who is who, all keys)",
    }
