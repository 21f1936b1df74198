"""The demonstration, in order: a hub, its partners, the town's messages, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from healthsync.bootstrap import Hub, open_hub
from healthsync.entrypoints.demo import inspection
from healthsync.entrypoints.demo.delivery import Api, Delivery, deliver
from healthsync.entrypoints.demo.house import MARK, RunningHub, serving, write_mark
from healthsync.entrypoints.demo.registrations import CLINIC, HOSPITALS
from healthsync.entrypoints.demo.scenario import Scenario, stories
from healthsync.entrypoints.demo.screen import Screen
from healthsync.entrypoints.demo.summary import Identity, Messages, Reads, Summary, timeline
from healthsync.errors import ConfigurationError
from healthsync.exchange.administration.onboard_partner import OnboardPartner
from healthsync.exchange.administration.score_identity import IdentityFindings, Record, ScoreIdentity

CLIENTS = {"physician": "physician", "researcher": "researcher", "clinic": "system", "operator": "admin"}
"""Clients of the API that the demonstration registers, with their roles."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it plays: an empty data folder with settings and keys, where the hub shall listen, and whether it ends
    after the summary."""

    folder: Path
    http: str
    mllp: str
    database_url: str | None
    seed: int
    exits: bool


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
            summary = await _Performance(stage, scenario, screen, running, hub, clients).run()
        seconds = time.perf_counter() - started
        summary = replace(summary, first_start_seconds=first_start, seconds=seconds)
        await at_end(summary)
    return summary.held


async def _register(hub: Hub) -> dict[str, Client]:
    """The partners and the clients, before the hub serves. Raises ConfigurationError when its database is not empty."""
    partners = OnboardPartner(database=hub.database, directory=hub.directory, audit=hub.audit)
    if await inspection.count_messages(hub) or await partners.partners():
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


class _Performance:
    """What happens between a hub that serves and the summary."""

    def __init__(
        self,
        stage: Stage,
        scenario: Scenario,
        screen: Screen,
        running: RunningHub,
        hub: Hub,
        clients: Mapping[str, Client],
    ) -> None:
        self._stage, self._scenario, self._screen = stage, scenario, screen
        self._running, self._hub, self._clients = running, hub, clients
        self._apis = {name: Api(running.http, client.key) for name, client in clients.items()}

    async def run(self) -> Summary:
        """(1) send, (2) find out who is who, (3) read, (4) prove, (5) look for leaks."""
        hub, scenario, working = self._hub, self._scenario, self._screen.working
        delivery, messages = await self._send()  # (1)
        memory = self._running.memory_bytes()
        with working("who is who, compared with the truth"):  # (2)
            findings = await ScoreIdentity(database=hub.database, identity=hub.identity)(
                _truth(scenario, self._clients)
            )
        shown = findings.patient_ids.get(_record(scenario.shown, self._clients), "not-stored")
        with working("reading as a physician, as a researcher, and about somebody who objected"):  # (3)
            reads = await self._read(findings, shown)
            resources = await inspection.count_resources(self._apis["physician"])
            _, story = await inspection.read_everything(self._apis["physician"], shown)
            alerts = await inspection.count_alerts(hub)
        with working("proving the audit log"):  # (4)
            audit = await inspection.prove_audit(hub)
        with working("looking for people's values in the database, its files, logs and metrics"):  # (5)
            leaks = await inspection.look_for_leaks(hub, self._stage.folder, self._apis["operator"], scenario.needles)
        for api in self._apis.values():
            api.close()
        return Summary(
            seed=self._stage.seed,
            messages=messages,
            bundles=len(scenario.bundles),
            bundles_stored=delivery.posted,
            resources=resources,
            identity=_identity(findings),
            reads=reads,
            critical_results=scenario.critical_results,
            critical_alerts=alerts,
            audit=audit,
            leaks=leaks,
            timeline=timeline(story, self._titles()),
            start_seconds=self._running.start_seconds,
            memory_bytes=memory,
            next=_next(self._stage, self._running, self._clients, shown),
        )

    async def _send(self) -> tuple[Delivery, Messages]:
        """Send everything, and wait until it is stored."""
        scenario, began = self._scenario, time.perf_counter()
        stored = scenario.messages - scenario.resends
        totals = {name: len(sent) for name, sent in scenario.dispatches.items()} | {"clinic": len(scenario.bundles)}
        with self._screen.bars() as bar:
            counting = {name: _counter(bar(f"{name} sends", total)) for name, total in totals.items()}
            delivery = await deliver(
                self._running.mllp, scenario.dispatches, self._apis["clinic"], scenario.bundles, counting
            )
            done = bar("stored as FHIR", stored)
            states = await inspection.wait_until_processed(self._hub, lambda waiting: done(stored - waiting))
        return delivery, _messages(scenario, delivery, states, time.perf_counter() - began)

    async def _read(self, findings: IdentityFindings, shown: str) -> Reads:
        objected = self._scenario.opted_out
        return await inspection.read_as_all(
            self._hub,
            self._apis["physician"],
            self._apis["researcher"],
            researcher_id=self._clients["researcher"].id,
            shown=shown,
            opted_out=findings.patient_ids.get(_record(objected, self._clients)) if objected else None,
        )

    def _titles(self) -> dict[str, str]:
        return {source.name: source.title for source in HOSPITALS} | {self._clients["clinic"].id: CLINIC.title}


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


def _record(key: Record, clients: Mapping[str, Client]) -> Record:
    """The clinic's numbers are known to the hub under the id of its client."""
    source, system, number = key
    return (clients["clinic"].id if source == CLINIC.name else source), system, number


def _truth(scenario: Scenario, clients: Mapping[str, Client]) -> dict[Record, str]:
    return {_record(key, clients): person for key, person in scenario.truth.items()}


def _mark(stage: Stage, scenario: Scenario, clients: Mapping[str, Client]) -> dict[str, Any]:
    """What only the demonstration knows: who is who, the values that nobody else may read, and the keys."""
    return {
        "made_by": "healthsync demo",
        "seed": stage.seed,
        "clients": {name: {"client_id": client.id, "api_key": client.key} for name, client in clients.items()},
        "truth": [
            {"source": source, "system": system, "value": value, "person": person}
            for (source, system, value), person in _truth(scenario, clients).items()
        ],
        "values": scenario.needles,
    }


def _next(stage: Stage, running: RunningHub, clients: Mapping[str, Client], patient: str) -> dict[str, str]:
    base, key, data = f"http://{running.http}", clients["physician"].key, f"--data {stage.folder}"
    while_it_serves = {
        "a physician's key": key,
        "read the patient": f'curl -H "Authorization: Bearer {key}" "{base}/fhir/Patient/{patient}/\\$everything"',
        "send your own": f"healthsync send --to {running.mllp} FILE.hl7",
        "metrics": f"{base}/metrics",
    }
    always = {
        "every message": f"healthsync messages list {data}",
        "the audit proof": f"healthsync audit verify {data}",
        "serve it again": f"healthsync serve {data}",
        "the truth": f"{stage.folder / MARK} (who is who, and all keys)",
    }
    return always if stage.exits else while_it_serves | always
