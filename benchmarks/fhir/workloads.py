"""The five workloads, as others publish them, so that figures can be set side by side.

W1 CRUD and W3 search mix are those of HealthSamurai's fhir-server-performance-benchmark, W2 its Synthea import; W4 (a
durable transaction of two resources) and W5 ($everything) are those of Blaze's load tests. Every answer's status is
checked; what is not as expected is counted as a failure by operation and status, and makes no operation.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from benchmarks.fhir.client import Answer, Broken, Connection, Target, connections
from benchmarks.fhir.population import Population, bodies

Resource = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What a run did. `units` is what the workload counts: requests, resources, searches, transactions."""

    units: int = 0
    requests: int = 0
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    latencies: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def all_latencies(self) -> list[float]:
        """Of all operations together, in seconds."""
        return list(itertools.chain.from_iterable(self.latencies.values()))

    async def ask(
        self, connection: Connection, operation: str, request: bytes, expected: Sequence[int]
    ) -> Answer | None:
        """Send, time and check; None for an answer that was not expected."""
        started = time.perf_counter()
        self.requests += 1
        try:
            answer = await connection.send(request)
        except (Broken, OSError, TimeoutError) as problem:
            self.failures[f"{operation} {type(problem).__name__}"] += 1
            return None
        if answer.status not in expected:
            self.failures[f"{operation} {answer.status}"] += 1
            return None
        self.latencies[operation].append(time.perf_counter() - started)
        return answer


Iteration = Callable[[Connection, Tally], Awaitable[None]]


async def run(target: Target, clients: int, iteration: Iteration, seconds: float) -> Tally:
    """Every client repeats the iteration until the time is over, and finishes the one that it began."""
    tally = Tally()
    started = time.perf_counter()
    deadline = started + seconds

    async def client(connection: Connection) -> None:
        while time.perf_counter() < deadline:
            await iteration(connection, tally)

    async with connections(target, clients) as opened:
        await asyncio.gather(*map(client, opened))
    tally.seconds = time.perf_counter() - started
    return tally


# W1

CRUD_TYPES = (
    "Patient", "Location", "Organization", "Practitioner", "Encounter", "Observation", "MedicationRequest", "Claim",
    "ExplanationOfBenefit",
)  # fmt: skip


class Crud:
    """W1: nine types are created, read, updated with one change, and deleted in reverse: 36 requests an iteration."""

    def __init__(self, target: Target, population: Population) -> None:
        self._target = target
        found = population.one_of_each(CRUD_TYPES)
        self._seeds = {name: json.dumps(_seed(found[name])) for name in CRUD_TYPES}

    async def __call__(self, connection: Connection, tally: Tally) -> None:
        """One iteration. Requests count when they are answered as expected."""
        made: dict[str, Resource] = {}
        for name in CRUD_TYPES:
            body = _joined(json.loads(self._seeds[name]), made)
            request = self._target.request("POST", name, json.dumps(body).encode())
            answer = await tally.ask(connection, f"create {name}", request, (201,))
            if answer is None:
                return
            made[name] = answer.json()
        for name in CRUD_TYPES:
            await tally.ask(
                connection, f"read {name}", self._target.request("GET", f"{name}/{made[name]['id']}"), (200,)
            )
        for name in CRUD_TYPES:
            body = json.dumps(_changed(made[name])).encode()
            request = self._target.request("PUT", f"{name}/{made[name]['id']}", body)
            await tally.ask(connection, f"update {name}", request, (200,))
        for name in reversed(CRUD_TYPES):
            request = self._target.request("DELETE", f"{name}/{made[name]['id']}")
            await tally.ask(connection, f"delete {name}", request, (200, 204))

    async def measure(self, clients: int, seconds: float) -> Tally:
        """Requests."""
        tally = await run(self._target, clients, self, seconds)
        tally.units = tally.requests - tally.failures.total()
        return tally


def _seed(resource: Resource) -> Resource:
    """Without an id, and without references to what this iteration does not make."""
    return {name: value for name, value in _without_urns(resource).items() if name not in ("id", "meta")}


def _without_urns(value: Any) -> Any:
    if isinstance(value, dict):
        if str(value.get("reference", "")).startswith("urn:") or "?" in str(value.get("reference", "")):
            return {"display": value.get("display", "somebody")}
        return {name: _without_urns(inner) for name, inner in value.items()}
    return [_without_urns(inner) for inner in value] if isinstance(value, list) else value


def _joined(body: Resource, made: dict[str, Resource]) -> Resource:
    """With the references that the workload's specification names."""

    def to(name: str) -> Resource:
        return {"reference": f"{name}/{made[name]['id']}"}

    match body["resourceType"]:
        case "Encounter":
            body["subject"], body["serviceProvider"] = to("Patient"), to("Organization")
            body["location"] = [{"location": to("Location")}]
            body["participant"] = [{"individual": to("Practitioner")}]
        case "Observation":
            body["encounter"], body["subject"] = to("Encounter"), to("Patient")
        case "MedicationRequest":
            body["encounter"], body["requester"] = to("Encounter"), to("Practitioner")
            body["subject"] = to("Patient")
        case "Claim":
            body["patient"], body["provider"] = to("Patient"), to("Organization")
            body["prescription"] = to("MedicationRequest")
            body["item"][0]["encounter"] = [to("Encounter")]
        case "ExplanationOfBenefit":
            referral, coverage = body["contained"]
            referral["subject"], referral["requester"] = to("Patient"), to("Practitioner")
            referral["performer"] = [to("Practitioner")]
            coverage["beneficiary"] = to("Patient")
            body["patient"], body["provider"], body["claim"] = to("Patient"), to("Practitioner"), to("Claim")
            body["careTeam"][0]["provider"] = to("Practitioner")
            body["item"][0]["encounter"] = [to("Encounter")]
    return body


def _changed(body: Resource) -> Resource:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    match body["resourceType"]:
        case "Encounter":
            change = {"status": "in-progress" if body["status"] == "planned" else "planned"}
        case "Location" | "Organization":
            change = {"name": f"{body['name']} {now}"}
        case "MedicationRequest":
            change = {"status": "draft" if body["status"] == "on-hold" else "on-hold"}
        case "Observation":
            change = {"issued": now}
        case "Patient" | "Practitioner":
            change = {"gender": "other" if body.get("gender") == "unknown" else "unknown"}
        case _:
            change = {"created": now}
    return {**body, **change}


# W2


class Import:
    """W2: Synthea's transaction bundles, each once; `copies` sends them again as other people."""

    def __init__(self, target: Target, population: Population) -> None:
        self._target, self._population = target, population
        self.parts: dict[str, int] = {}

    async def measure(self, clients: int, copies: int = 1, limit: int | None = None) -> Tally:
        """Resources: the entries of the bundles that were answered 200."""
        tally = Tally()
        informed = Tally()
        waiting = itertools.islice(list(bodies(self._population, copies)), limit)
        async with connections(self._target, clients) as opened:
            if self._population.information:
                body = json.dumps(self._population.information).encode()
                await informed.ask(opened[0], "information", self._target.request("POST", "", body), (200,))
            started = time.perf_counter()
            await asyncio.gather(*(self._client(connection, waiting, tally) for connection in opened))
        tally.seconds = time.perf_counter() - started
        tally.failures += informed.failures
        return tally

    async def _client(self, connection: Connection, waiting: Iterator[tuple[int, bytes]], tally: Tally) -> None:
        for entries, body in waiting:
            if await tally.ask(connection, "bundle", self._target.request("POST", "", body), (200,)):
                tally.units += entries


# W3

_LOINC = "http://loinc.org"
_CODES = ("8302-2", "29463-7", "8480-6", "8462-4", "8867-4", "39156-5", "72514-3", "718-7", "99999-9")
_PREFIXES = ("", "eq", "lt", "gt", "ge", "le", "sa", "eb")
_QUANTITY_PREFIXES = ("", "eq", "lt", "gt", "ge", "le")
_AMOUNTS = (30, 60, 70, 80, 100, 120, 140, 160, 180, 200, 99999)
_CODE_VALUES = ("8867-4$gt100", "39156-5$ge30", "8302-2$lt150", "29463-7$gt90", "8867-4$gt99999")
_COMPONENT_VALUES = ("8480-6$gt140", "8462-4$lt70", "8480-6$ge160", "8462-4$gt90", "8480-6$gt99999")
_NOBODY = "00000000-0000-0000-0000-000000000000"


class Searches:
    """W3: one search for each type and parameter, with a random modifier, prefix and value; `_count=20`.

    Of every list of values one has no hit. Values of references are ids that the server has.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._chance = random.Random(3)
        self._ids: dict[str, list[str]] = {}
        self._names: list[str] = []
        self._cities: list[str] = []

    async def prepare(self) -> None:
        """Sample what the server holds. Raises RuntimeError where it is empty."""
        async with connections(self._target, 1) as (connection,):
            for name in ("Patient", "Encounter", "Organization", "Practitioner"):
                answer = await connection.send(self._target.request("GET", f"{name}?_count=200"))
                found = [entry["resource"] for entry in answer.json().get("entry", ())]
                if not found:
                    raise RuntimeError(f"the server has no {name}; load it first (workload w2)")
                self._ids[name] = [*(resource["id"] for resource in found), _NOBODY]
                if name == "Patient":
                    names = {n["family"] for patient in found for n in patient.get("name", ()) if "family" in n}
                    cities = {a["city"] for patient in found for a in patient.get("address", ()) if "city" in a}
                    self._names = [*sorted(names), "Nobodyhasthisname"]
                    self._cities = [*sorted(cities), "Nowheretown"]

    def queries(self) -> list[tuple[str, str]]:
        """(operation, address) of the searches of one iteration."""
        chance = self._chance
        choose = chance.choice
        modifier = choose(("", ":contains"))
        code = choose((*_CODES, ",".join(chance.sample(_CODES, 3)), f"{_LOINC}|{choose(_CODES)}", f"{_LOINC}|"))
        category = choose((
            "vital-signs", "laboratory", "vital-signs,laboratory,survey", "nothing-like-it",
            "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
        ))  # fmt: skip
        amount = f"{choose(_QUANTITY_PREFIXES)}{choose(_AMOUNTS)}"
        mixed = choose((*_CODE_VALUES, *_COMPONENT_VALUES))
        pairs = [
            ("Patient", f"name{modifier}", choose(self._names)[: choose((3, 5, 20))]),
            ("Patient", f"address{modifier}", choose(self._cities)[: choose((4, 20))]),
            ("Organization", f"name{modifier}", choose(("HOSPITAL", "Health", "MEDICAL", "Nosuchplace"))),
            ("Patient", "birthdate", f"{choose(_PREFIXES)}{chance.randint(1920, 2020)}-{chance.randint(1, 12):02}-15"),
            ("Observation", "date", f"{choose(_PREFIXES)}{chance.randint(2008, 2021)}-{chance.randint(1, 12):02}-15"),
            ("Encounter", "date", f"{choose(_PREFIXES)}{chance.randint(2008, 2021)}-{chance.randint(1, 12):02}-15"),
            ("Observation", "category", category),
            ("Observation", "code", code),
            ("Encounter", "status", choose(("finished", "in-progress", "finished,planned", "cancelled"))),
            ("Encounter", "class", choose(("AMB", "EMER", "IMP,AMB", "WELLNESS", "NONE"))),
            ("Observation", "value-quantity", amount),
            ("Observation", "component-value-quantity", amount),
            ("Observation", "combo-value-quantity", amount),
            ("Observation", "code-value-quantity", choose(_CODE_VALUES)),
            ("Observation", "component-code-value-quantity", choose(_COMPONENT_VALUES)),
            ("Observation", "combo-code-value-quantity", mixed),
            *((type_, name, f"{of}/{choose(self._ids[of])}") for type_, name, of in _REFERENCES),
        ]  # fmt: skip
        return [
            (f"{type_}?{name.partition(':')[0]}", f"{type_}?{name}={quote(value, safe='|,$/-')}&_count=20")
            for type_, name, value in pairs
        ]

    async def __call__(self, connection: Connection, tally: Tally) -> None:
        """One iteration."""
        for operation, address in self.queries():
            await tally.ask(connection, operation, self._target.request("GET", address), (200,))

    async def measure(self, clients: int, seconds: float) -> Tally:
        """Searches."""
        tally = await run(self._target, clients, self, seconds)
        tally.units = tally.requests - tally.failures.total()
        return tally


_REFERENCES = (
    ("Observation", "subject", "Patient"), ("Observation", "encounter", "Encounter"),
    ("Observation", "performer", "Practitioner"), ("Encounter", "subject", "Patient"),
    ("Encounter", "participant", "Practitioner"), ("MedicationRequest", "subject", "Patient"),
    ("MedicationRequest", "encounter", "Encounter"), ("MedicationRequest", "requester", "Practitioner"),
)  # fmt: skip


# W4

_PAIR = (
    '{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:6f0ed2e4-4d6a-4b8c-9d3c-5a5b0c3b3a01",'
    '"resource":{"resourceType":"Patient","gender":"male","birthDate":"%s"},"request":{"method":"POST","url":"Patient"}},'
    '{"fullUrl":"urn:uuid:6f0ed2e4-4d6a-4b8c-9d3c-5a5b0c3b3a02","resource":{"resourceType":"Observation","status":"final",'
    '"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},'
    '"subject":{"reference":"urn:uuid:6f0ed2e4-4d6a-4b8c-9d3c-5a5b0c3b3a01"},'
    '"valueQuantity":{"value":%d,"unit":"mm[Hg]","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},'
    '"request":{"method":"POST","url":"Observation"}}]}'
)


class Pairs:
    """W4: a transaction of a Patient and an Observation, durable when it is answered."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._chance = random.Random(4)

    async def __call__(self, connection: Connection, tally: Tally) -> None:
        """One transaction."""
        chance = self._chance
        born = f"{chance.randint(1920, 2020)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        body = (_PAIR % (born, chance.randint(90, 180))).encode()
        if await tally.ask(connection, "transaction", self._target.request("POST", "", body), (200,)):
            tally.units += 1

    async def measure(self, clients: int, seconds: float) -> Tally:
        """Transactions."""
        return await run(self._target, clients, self, seconds)


# W5


class Everything:
    """W5: `Patient/{id}/$everything?_count=1000` of patients that the server has; counts the resources that come."""

    def __init__(self, target: Target, most: int = 10_000) -> None:
        self._target, self._most = target, most
        self._ids: list[str] = []
        self._chance = random.Random(5)

    async def prepare(self) -> None:
        """Collect the ids of patients."""
        async with connections(self._target, 1) as (connection,):
            address = "Patient?_elements=id&_count=500"
            while address and len(self._ids) < self._most:
                answer = await connection.send(self._target.request("GET", address))
                if answer.status != 200 and "_elements" in address:
                    address = "Patient?_count=500"
                    continue
                if answer.status != 200:
                    raise RuntimeError(f"the patients cannot be listed: the server answered {answer.status}")
                bundle = answer.json()
                self._ids += [entry["resource"]["id"] for entry in bundle.get("entry", ())]
                address = _next_page(bundle)
        if not self._ids:
            raise RuntimeError("the server has no Patient; load it first (workload w2)")
        self._ids = self._ids[: self._most]

    async def __call__(self, connection: Connection, tally: Tally) -> None:
        """One patient."""
        request = self._target.request("GET", f"Patient/{self._chance.choice(self._ids)}/$everything?_count=1000")
        if answer := await tally.ask(connection, "$everything", request, (200,)):
            tally.units += answer.body.count(b'"fullUrl"')

    async def measure(self, clients: int, seconds: float) -> Tally:
        """Resources."""
        return await run(self._target, clients, self, seconds)


def _next_page(bundle: Resource) -> str:
    """The address of the next page, relative to the base: whatever name the server gives itself."""
    url = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), "")
    return f"Patient?{url.partition('?')[2]}" if "/Patient?" in url else f"?{url.partition('?')[2]}" if url else ""
