"""docs/fhir/conformance.md says what the hub does: each line has a request, sent to a hub, that shows it."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.entrypoints.web.application import Application
from healthsync.exchange.surfaces import SURFACES
from healthsync.infrastructure.clock import SystemClock
from healthsync.settings import load_settings
from healthsync.standards.fhir import search_parameters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fhir" / "conformance.md"
_OPERATION = re.compile(r"\$[a-z-]+")
_ROW = re.compile(r"^\| (?P<feature>.+?) \| (?P<state>yes|no|partly) \| (?P<note>.*?) ?\|$")

# --- the page -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the page."""

    number: int
    section: str
    feature: str
    state: str
    note: str


def _lines() -> list[Line]:
    lines, section = [], ""
    for number, text in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith("## "):
            section = text[3:]
        if match := _ROW.match(text):
            lines.append(Line(number, section, match["feature"].replace("`", ""), match["state"], match["note"]))
    return lines


LINES = _lines()


# --- the hub that is asked ----------------------------------------------------------------------------------------

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
P1 = {"reference": "Patient/p1"}


def _coded(system: str, code: str, **more: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], **more}


def _measured(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _div(text: str) -> dict[str, Any]:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}


KNOWN: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {
            "tag": [{"system": "urn:tags", "code": "t1"}],
            "security": [{"system": "urn:labels", "code": "s1"}],
            "profile": ["http://example.org/fhir/StructureDefinition/some-patient"],
            "source": "urn:somewhere",
        },
        "text": _div("Ottoline is a gardener"),
        "identifier": [
            {
                "type": _coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
                "system": "urn:oid:1.2.3",
                "value": "MRN-1",
            }
        ],
        "name": [{"family": "Quennell", "given": ["Ottoline"]}],
        "gender": "female",
        "birthDate": "1971-03-09",
        "generalPractitioner": [{"reference": "Practitioner/d1"}],
        "managingOrganization": {"reference": "Organization/o1"},
    },
    {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Tor"}]},
    {
        "resourceType": "MedicationDispense",
        "id": "md",
        "status": "completed",
        "contained": [{"resourceType": "Medication", "id": "m", "code": _coded("urn:drugs", "inside")}],
        "medicationReference": {"reference": "#m"},
    },
    {"resourceType": "Organization", "id": "o2", "name": "Above"},
    {"resourceType": "Organization", "id": "o1", "name": "A, B and sons", "partOf": {"reference": "Organization/o2"}},
    {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": P1,
        "period": {"start": "2024-05-06"},
    },
    {
        "resourceType": "Observation",
        "id": "v1",
        "status": "final",
        "category": [_coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": _coded(LOINC, "8867-4"),
        "subject": P1,
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2024-05-06T07:08:09Z",
        "valueQuantity": _measured(72, "/min"),
    },
    {
        "resourceType": "Observation",
        "id": "b1",
        "status": "final",
        "code": _coded(LOINC, "85354-9"),
        "subject": {**P1, "identifier": {"system": "urn:oid:1.2.3", "value": "MRN-1"}},
        "component": [{"code": _coded(LOINC, "8480-6"), "valueQuantity": _measured(120, "mm[Hg]")}],
    },
    {
        "resourceType": "Condition",
        "id": "c1",
        "code": _coded(SNOMED, "38341003", text="Hypertension"),
        "subject": P1,
    },
    {
        "resourceType": "Condition",
        "id": "c2",
        "code": _coded("http://example.org/fhir/CodeSystem/kinds", "a1"),
        "subject": P1,
    },
    {
        "resourceType": "RiskAssessment",
        "id": "r1",
        "status": "final",
        "subject": P1,
        "prediction": [{"probabilityDecimal": 0.8}],
    },
    {
        "resourceType": "Location",
        "id": "l1",
        "name": "Ward",
        "position": {"longitude": -71.0, "latitude": 42.0},
    },
    {
        "resourceType": "List",
        "id": "li",
        "status": "current",
        "mode": "working",
        "entry": [{"item": P1}],
    },
    {"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": [{"entity": P1}]},
    {
        "resourceType": "Provenance",
        "id": "pr",
        "target": [P1],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/d1"}}],
    },
    {
        "resourceType": "CodeSystem",
        "id": "cs",
        "url": "http://example.org/fhir/CodeSystem/kinds",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a", "display": "Alpha", "concept": [{"code": "a1"}]}],
    },
    {
        "resourceType": "ValueSet",
        "id": "vs",
        "url": "http://example.org/fhir/ValueSet/kinds",
        "status": "active",
        "compose": {"include": [{"system": SNOMED, "concept": [{"code": "38341003"}]}]},
    },
    {
        "resourceType": "ConceptMap",
        "id": "cm",
        "url": "http://example.org/fhir/ConceptMap/kinds",
        "status": "active",
        "sourceCanonical": "http://example.org/fhir/ValueSet/kinds",
        "group": [
            {
                "source": "http://example.org/fhir/CodeSystem/kinds",
                "target": "urn:other",
                "element": [{"code": "a", "target": [{"code": "b", "equivalence": "equivalent"}]}],
            }
        ],
    },
]


SETTINGS = "healthsync: {subscriptions: {email: {host: mail.example.org, sender: hub@example.org}}}"
"""What an operator says beside the defaults, so that what waits for it is there to be asked."""


@pytest.fixture
async def client(hub, database, tmp_path, monkeypatch):
    """A client that may do everything, on a hub that knows a few resources."""
    monkeypatch.setattr("healthsync.domains.search_parameters.service.GRACE_SECONDS", 0.0)  # there is one process

    async def ready() -> dict[str, bool]:
        return {}

    file = tmp_path / "healthsync.yaml"
    file.write_text(SETTINGS)
    overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True}
    asked = build_hub(load_settings(file, environ={}, overrides=overrides), hub.keyring, database, SystemClock())
    _, key = await asked.register_client("conformance", ["admin"])
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=Application(asked, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as client:
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in KNOWN
        ]
        answer = await client.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text
        client.hub = asked  # type: ignore[attr-defined]  # whose jobs a test may run
        yield client
    await asked.close()


# --- requests that show a feature ---------------------------------------------------------------------------------

Shown = Callable[[httpx.Response], bool]


@dataclass(frozen=True, slots=True)
class Probe:
    """A request, and what its answer must be for the feature to be there."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    status: tuple[int, ...] = (200,)
    shows: Shown | None = None

    async def __call__(self, client: httpx.AsyncClient) -> bool:
        content = None if self.body is None else self.body if isinstance(self.body, str) else json.dumps(self.body)
        answer = await client.request(self.method, f"/fhir{self.path}", content=content, headers=self.headers)
        return answer.status_code in self.status and (self.shows is None or self.shows(answer))


def get(path: str, shows: Shown | None = None, **more: Any) -> Probe:
    return Probe("GET", path, shows=shows, **more)


def post(path: str, body: Any, shows: Shown | None = None, **more: Any) -> Probe:
    return Probe("POST", path, body, shows=shows, **{"status": (200, 201, 202), **more})


def found(*ids: str) -> Shown:
    """The matches are exactly these."""

    def shows(answer: httpx.Response) -> bool:
        entries = answer.json().get("entry", [])
        matches = [e["resource"]["id"] for e in entries if e.get("search", {}).get("mode", "match") == "match"]
        return sorted(matches) == sorted(ids)

    return shows


def holds(*ids: str) -> Shown:
    """These are among the entries, as a match or beside one."""
    return lambda answer: set(ids) <= {e["resource"].get("id") for e in answer.json().get("entry", [])}


def search(query: str, *ids: str) -> Probe:
    return get(f"/{query}", found(*ids))


def lacks(*names: str) -> Shown:
    def shows(answer: httpx.Response) -> bool:
        document = answer.json()
        shown = document["entry"][0]["resource"] if document["resourceType"] == "Bundle" else document
        return not set(names) & set(shown)

    return shows


def no_body(answer: httpx.Response) -> bool:
    return answer.content == b""


def a_bundle(*entries: tuple[str, str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {**({"resource": body} if body else {}), "request": {"method": method, "url": url, **more}}
            for method, url, body in entries
        ],
    }


Ask = Callable[[httpx.AsyncClient], Awaitable[bool]]


def every(*probes: Ask) -> Ask:
    """All of them together show the feature."""

    async def probe(client: httpx.AsyncClient) -> bool:
        return all([await each(client) for each in probes])

    return probe


def _patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


MATCHED = _patient(identifier=[{"system": "urn:oid:1.2.3", "value": "MRN-1"}])
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FHIRPATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Patient.gender"},
                {"name": "value", "valueCode": "female"},
            ],
        }
    ],
}
ADD_ACTIVE = [{"op": "add", "path": "/active", "value": True}]
MRN_2 = {"identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-2"}]}
URN = "urn:uuid:9e5c3f5a-1f7c-4a57-9d0e-0c6c1f7a0001"
ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
NEW_OBSERVATION = {"resourceType": "Observation", "status": "final", "code": _coded(LOINC, "718-7"), "subject": P1}


def _urn_bundle() -> dict[str, Any]:
    bundle = a_bundle(
        ("POST", "Patient", _patient(gender="male")),
        ("POST", "Observation", {**NEW_OBSERVATION, "subject": {"reference": URN}}),
    )
    bundle["entry"][0]["fullUrl"] = URN
    return bundle


def _circle() -> dict[str, Any]:
    one, other = (
        {"resourceType": "Organization", "id": a, "name": a, "partOf": {"reference": f"Organization/{b}"}}
        for a, b in (("x1", "x2"), ("x2", "x1"))
    )
    return a_bundle(("PUT", "Organization/x1", one), ("PUT", "Organization/x2", other))


def _answered(status: str, position: int = 0) -> Shown:
    return lambda answer: answer.json()["entry"][position]["response"]["status"].startswith(status)


def _coding(name: str, value: str, kind: str = "valueCode") -> dict[str, Any]:
    return {"name": name, kind: value}


def _subscription(
    channel: str, endpoint: str | None, *, topic: bool = False, content: str | None = None
) -> dict[str, Any]:
    payload: dict[str, Any] = {"payload": "application/fhir+json"} if topic else {}
    if content:
        extension = [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": content}]
        payload["_payload"] = {"extension": extension}
    subscription: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "conformance",
        "criteria": "urn:healthsync:topic:patient-created" if topic else "Observation?code=718-7",
        "channel": {"type": channel, **({"endpoint": endpoint} if endpoint else {}), **payload},
    }
    if topic:
        subscription["meta"] = {"profile": [f"{BACKPORT}/backport-subscription"]}
    return subscription


def export(path: str, body: Any = None, *, then: str = "DELETE") -> Ask:
    """A kick-off that is accepted, and what its status address takes; a client may have a few exports at a time."""

    async def probe(client: httpx.AsyncClient) -> bool:
        content = json.dumps(body) if body else None
        begun = await client.request("POST" if body else "GET", f"/fhir{path}", content=content, headers=ASYNC)
        if begun.status_code != 202:
            return False
        status = begun.headers["content-location"]
        answered = await client.request(then, status)
        await client.delete(status)
        return answered.status_code in (200, 202)

    return probe


async def _pages(client: httpx.AsyncClient) -> bool:
    seen, url = [], "/fhir/Organization?_count=1&_sort=_id"
    while url:
        page = (await client.get(url)).json()
        seen += [entry["resource"]["id"] for entry in page.get("entry", [])]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return len(seen) == len(set(seen)) and {"o1", "o2"} <= set(seen)


async def _unmodified(client: httpx.AsyncClient) -> bool:
    told = (await client.get("/fhir/Practitioner/d1")).headers["last-modified"]
    return (await client.get("/fhir/Practitioner/d1", headers={"If-Modified-Since": told})).status_code == 304


async def _own_parameter(client: httpx.AsyncClient) -> bool:
    parameter = {
        "resourceType": "SearchParameter",
        "url": "http://example.org/fhir/SearchParameter/abode",
        "name": "abode",
        "status": "active",
        "description": "Where a location has its ward.",
        "code": "abode",
        "base": ["Location"],
        "type": "string",
        "expression": "Location.name",
    }
    created = await client.post("/fhir/SearchParameter", content=json.dumps(parameter))
    hub: Hub = client.hub  # type: ignore[attr-defined]
    try:
        return (
            created.status_code == 201
            and await hub.jobs.run_next()  # what a worker does in the background
            and (await client.get("/fhir/Location?abode=ward")).status_code == 200
        )
    finally:
        await client.delete(f"/fhir/SearchParameter/{created.json()['id']}")
        search_parameters.use(())


def subscribe(channel: str, endpoint: str | None, **more: Any) -> Probe:
    """A Subscription that the hub accepts; one that it cannot serve is stored with the status `error`."""

    def accepted(answer: httpx.Response) -> bool:
        return answer.json()["status"] in ("requested", "active")

    return post("/Subscription", _subscription(channel, endpoint, **more), accepted, status=(201,))


def _of_subscription(path: str) -> Ask:
    """An operation on a topic's Subscription that was accepted."""

    async def probe(client: httpx.AsyncClient) -> bool:
        asked = _subscription("websocket", None, topic=True, content="id-only")
        made = await client.post("/fhir/Subscription", content=json.dumps(asked))
        return made.status_code == 201 and await get(path.format(made.json()["id"]))(client)

    return probe


US_CORE = {
    "Patient": (["_id=p1"], ["identifier=MRN-1"], ["name=quennell"], ["birthdate=1971-03-09", "name=quennell"],
                ["gender=female", "name=quennell"]),
    "AllergyIntolerance": (["patient=p1"],),
    "CarePlan": (["patient=p1", "category=assess-plan"],),
    "CareTeam": (["patient=p1", "status=active"],),
    "Condition": (["patient=p1"],),
    "Coverage": (["patient=p1"],),
    "Device": (["patient=p1"],),
    "DiagnosticReport": (["patient=p1", "category=LAB"], ["patient=p1", "code=58410-2"],
                         ["patient=p1", "category=LAB", "date=ge2024"]),
    "DocumentReference": (["patient=p1", "category=clinical-note"],
                          ["patient=p1", "category=clinical-note", "date=ge2024"], ["patient=p1", "type=34133-9"]),
    "Encounter": (["patient=p1", "date=ge2024"],),
    "Goal": (["patient=p1"],),
    "Immunization": (["patient=p1"],),
    "Location": (["name=ward"], ["address=holbrook"]),
    "MedicationDispense": (["patient=p1"],),
    "MedicationRequest": (["patient=p1", "intent=order"], ["patient=p1", "intent=order", "status=active"]),
    "Observation": (["patient=p1", "category=vital-signs"], ["patient=p1", "code=8867-4"],
                    ["patient=p1", "category=vital-signs", "date=ge2024"]),
    "Organization": (["name=above"], ["address=holbrook"]),
    "Practitioner": (["name=tor"], ["identifier=1234567893"]),
    "PractitionerRole": (["specialty=208D00000X"], ["practitioner=d1"]),
    "Procedure": (["patient=p1", "date=ge2024"],),
    "QuestionnaireResponse": (["patient=p1"],),
    "RelatedPerson": (["patient=p1"],),
    "ServiceRequest": (["patient=p1", "category=387713003"], ["patient=p1", "category=387713003", "authored=ge2024"]),
    "Specimen": (["_id=s1"],),
}  # fmt: skip


def _pixm_and_pdqm() -> dict[str, Ask]:
    mrn, x = "urn:oid:1.2.3|MRN-1", "urn:oid:1.2.3|X-1"
    maiden = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    other = {"identifier": {"system": "urn:oid:1.2.3", "value": "MRN-1"}}
    numbers = [{"system": "urn:oid:1.2.3", "value": "X-1"}, {"system": "urn:oid:4", "value": "Y-1"}]
    added = Probe("PUT", f"/Patient?identifier={x}", _patient(id="x1", identifier=numbers), status=(200, 201))
    duplicate = _patient(identifier=numbers, active=False, link=[{"type": "replaced-by", "other": other}])
    removed = Probe("DELETE", f"/Patient?identifier={x}", status=(200, 204))
    own = {
        "telecom": [{"system": "phone", "value": "555"}],
        "address": [{"city": "Ham", "country": "US", "postalCode": "1", "state": "MA"}],
        "extension": [{"url": maiden, "valueString": "Tarn"}],
    }
    known = _patient(id="x2", active=True, name=[{"family": "Orr", "given": ["Mo"]}], gender="other", **own)
    asked = (
        "_id=x2", "active=true", "family=orr&given=mo", "telecom=555", "address=Ham", "address-city=Ham",
        "address-country=US", "address-postalcode=1", "address-state=MA", "gender=other", "mothersMaidenName:exact=Tarn",
    )  # fmt: skip
    return {
        "ITI-83: numbers of a person": every(
            added, get(f"/Patient/$ihe-pix?sourceIdentifier={x}&targetSystem=urn:oid:4", lambda a: "Y-1" in a.text)
        ),
        "ITI-83: unknown number, unknown domains": every(
            get("/Patient/$ihe-pix?sourceIdentifier=urn:oid:1.2.3|nobody", status=(404,)),
            get("/Patient/$ihe-pix?sourceIdentifier=urn:oid:1.99|1", status=(400,)),
            get(f"/Patient/$ihe-pix?sourceIdentifier={mrn}&targetSystem=urn:oid:1.99", status=(403,)),
        ),
        "ITI-104: add or revise a patient": added,
        "ITI-104: resolve a duplicate": every(
            added,
            Probe("PUT", f"/Patient?identifier={x}", duplicate),
            get("/Patient/x1/$golden", lambda a: "Patient/p1" in a.text),
        ),
        "ITI-104: remove a patient": every(added, removed, search(f"Patient?identifier={x}")),
        "ITI-78: every parameter": every(
            Probe("PUT", "/Patient/x2", known, status=(200, 201)), *(search(f"Patient?{each}", "x2") for each in asked)
        ),
        "ITI-78: numbers of the wanted domains alone": every(
            added, get("/Patient?_id=x1&identifier=urn:oid:4|", lambda a: "Y-1" in a.text and "X-1" not in a.text)
        ),
    }


def _us_core() -> dict[str, Any]:
    probes: dict[str, Any] = {}
    for resource_type, searches in US_CORE.items():
        for pairs in searches:
            *names, last = [pair.partition("=")[0] for pair in pairs]
            listed = f"{', '.join(names)} and {last}" if names else last
            probes[f"{resource_type} by {listed}"] = get(f"/{resource_type}?{'&'.join(pairs)}")
    return {
        **probes,
        "Provenance by _revinclude": get("/Patient?_id=p1&_revinclude=Provenance:target", holds("pr")),
        "Patient by US Core's race": get("/Patient?race=2106-3"),
        "SMART App Launch": get("/.well-known/smart-configuration"),
    }


NAMED = {
    "resourceType": "StructureDefinition", "id": "named", "url": "http://example.org/fhir/named", "name": "Named",
    "status": "active", "kind": "resource", "abstract": False, "type": "Patient", "derivation": "constraint",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "differential": {"element": [{"id": "Patient.contact", "path": "Patient.contact", "min": 1}]},
}  # fmt: skip


GRAPH = {
    "resourceType": "GraphDefinition", "id": "g", "url": "http://example.org/fhir/GraphDefinition/g", "name": "Chart",
    "status": "active", "start": "Patient",
    "link": [{"target": [{"type": "Observation", "params": "patient={ref}"}]}],
}  # fmt: skip
LETTER = {
    "resourceType": "Composition", "id": "letter", "status": "final", "type": {"text": "letter"}, "date": "2024-01-01",
    "title": "Letter", "author": [{"reference": "Practitioner/d1"}], "subject": {"reference": "Patient/p1"},
    "section": [{"title": "Results", "entry": [{"reference": "Observation/v1"}]}],
}  # fmt: skip
KEEPS_PROBLEMS = Probe(
    "PUT",
    "/List/kept",
    {
        "resourceType": "List", "id": "kept", "status": "current", "mode": "working",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "11450-4"}]},
        "entry": [{"item": {"reference": "Condition/c1"}}],
    },
    status=(200, 201),
)  # fmt: skip


def _refuses(answer: httpx.Response) -> bool:
    return any(issue["severity"] == "error" for issue in answer.json()["issue"])


PROBES: dict[str, dict[str, Ask]] = {
    "Interactions": {
        "read": get("/Patient/p1"),
        "vread": get("/Patient/p1/_history/1"),
        "update": Probe("PUT", "/Practitioner/d2", {"resourceType": "Practitioner", "id": "d2"}, status=(201,)),
        "patch": every(
            Probe("PATCH", "/Patient/p1", ADD_ACTIVE, JSON_PATCH),
            Probe("PATCH", "/Patient/p1", FHIRPATH_PATCH),
        ),
        "delete": every(
            Probe("PUT", "/Practitioner/d3", {"resourceType": "Practitioner", "id": "d3"}, status=(201,)),
            Probe("DELETE", "/Practitioner/d3", status=(200, 204)),
            get("/Practitioner/d3", status=(410,)),
        ),
        "create": post("/Practitioner", {"resourceType": "Practitioner"}, status=(201,)),
        "search-type": every(
            search("Patient?_id=p1", "p1"),
            post(
                "/Patient/_search", "_id=p1", found("p1"), headers={"Content-Type": "application/x-www-form-urlencoded"}
            ),
        ),
        "search-system": get("?_type=Organization,Location&_id=o1", found("o1")),
        "history-instance": get("/Patient/p1/_history"),
        "history-type": get("/Patient/_history"),
        "history-system": get("/_history"),
        "batch": post("", {**a_bundle(("GET", "Patient/p1", None)), "type": "batch"}, _answered("200")),
        "transaction": post("", a_bundle(("POST", "Practitioner", {"resourceType": "Practitioner"})), _answered("201")),
        "capabilities": get("/metadata"),
        "search in a compartment": every(
            get("/Patient/p1/Observation?code=8867-4", found("v1")),
            get("/Patient/p1/*", holds("v1", "e1")),
            *(get(f"/{owner}/e1/*") for owner in ("Encounter", "RelatedPerson", "Practitioner", "Device")),
        ),
        "HEAD": Probe("HEAD", "/Patient/p1", shows=no_body),
    },
    "Conditions and preferences": {
        "conditional create": post(
            "/Patient", _patient(), headers={"If-None-Exist": "identifier=MRN-1"}, status=(200,)
        ),
        "conditional read, by version": get("/Practitioner/d1", headers={"If-None-Match": 'W/"1"'}, status=(304,)),
        "conditional read, by time": _unmodified,
        "conditional update": Probe("PUT", "/Patient?identifier=MRN-2", _patient(**MRN_2), status=(200, 201)),
        "conditional patch": Probe("PATCH", "/Patient?identifier=MRN-1", ADD_ACTIVE, JSON_PATCH),
        "conditional delete": every(
            Probe(
                "PUT", "/Organization/o9", {"resourceType": "Organization", "id": "o9", "name": "Ninth"}, status=(201,)
            ),
            Probe("DELETE", "/Organization?name=ninth", status=(200, 204)),
            get("/Organization/o9", status=(410,)),
        ),
        "version-aware update": Probe(
            "PUT", "/Location/l1", {"resourceType": "Location", "id": "l1"}, {"If-Match": 'W/"99"'}, status=(412,)
        ),
        "Prefer: return=minimal": post("/Patient", _patient(), no_body, headers={"Prefer": "return=minimal"}),
        "Prefer: return=representation": post(
            "/Patient",
            _patient(),
            lambda a: a.json()["resourceType"] == "Patient",
            headers={"Prefer": "return=representation"},
        ),
        "Prefer: return=OperationOutcome": post(
            "/Patient",
            _patient(),
            lambda a: a.json()["resourceType"] == "OperationOutcome",
            headers={"Prefer": "return=OperationOutcome"},
        ),
        "Prefer: handling=strict": get("/Patient?shoe-size=44", headers={"Prefer": "handling=strict"}, status=(400,)),
        "Prefer: handling=lenient": get("/Patient?shoe-size=44", headers={"Prefer": "handling=lenient"}),
        "JSON": get("/Patient/p1", headers={"Accept": "application/fhir+json"}),
        "XML": get("/Patient/p1", headers={"Accept": "application/fhir+xml"}),
        "RDF (Turtle)": get("/Patient/p1", headers={"Accept": "text/turtle"}),
        "_format": every(get("/Patient/p1?_format=json"), get("/Patient/p1?_format=nonsense", status=(406,))),
        "_pretty": get("/Patient/p1?_pretty=true", lambda a: a.text.count("\n") > 5),
        "_summary of a read": get("/Patient/p1?_summary=true", lacks("text", "generalPractitioner")),
        "_elements of a read": get("/Patient/p1?_elements=gender", lacks("birthDate", "name")),
    },
    "Transactions": {
        "references by urn:uuid": post("", _urn_bundle(), _answered("201", 1)),
        "circular references": post("", _circle(), _answered("20")),
        "conditional references": post(
            "",
            a_bundle(
                ("POST", "Observation", {**NEW_OBSERVATION, "subject": {"reference": "Patient?identifier=MRN-1"}})
            ),
            _answered("201"),
        ),
        "conditional create inside": post(
            "", a_bundle(("POST", "Patient", _patient()), ifNoneExist="identifier=MRN-1"), _answered("200")
        ),
        "conditional update inside": post(
            "", a_bundle(("PUT", "Patient?identifier=MRN-3", _patient())), _answered("201")
        ),
        "PATCH inside": post("", a_bundle(("PATCH", "Patient/p1", FHIRPATH_PATCH)), _answered("200")),
        "reads and searches inside": post(
            "", a_bundle(("GET", "Patient/p1", None), ("GET", "Patient?_id=p1", None)), _answered("200", 1)
        ),
        "reference integrity": post(
            "/Observation",
            {**NEW_OBSERVATION, "encounter": {"reference": "Encounter/nowhere"}},
            lambda a: a.json()["issue"][0]["severity"] == "warning",
            headers={"Prefer": "return=OperationOutcome"},
        ),
    },
    "Search parameters": {
        "string": search("Patient?family=quen", "p1"),
        "token": search("Condition?code=http://snomed.info/sct|38341003", "c1"),
        "date": search("Patient?birthdate=1971-03-09", "p1"),
        "number": search("RiskAssessment?probability=gt0.5", "r1"),
        "quantity": search("Observation?code=8867-4&value-quantity=72|http://unitsofmeasure.org|/min", "v1"),
        "reference": search("Observation?encounter=Encounter/e1", "v1"),
        "uri": search("ValueSet?url=http://example.org/fhir/ValueSet/kinds", "vs"),
        "composite": search("Observation?component-code-value-quantity=http://loinc.org|8480-6$gt100", "b1"),
        "special: near": search("Location?near=42.0|-71.0|5|km", "l1"),
        "prefixes": every(
            *(
                search(f"Patient?_id=p1&birthdate={prefix}{date}", "p1")
                for prefix, date in (
                    ("eq", "1971-03-09"),
                    ("ne", "1972-01-01"),
                    ("gt", "1970"),
                    ("lt", "1972"),
                    ("ge", "1971-03-09"),
                    ("le", "1971-03-09"),
                    ("sa", "1970"),
                    ("eb", "1972"),
                    ("ap", "1971-03-09"),
                )
            )
        ),
        ", and &": every(
            search("Patient?gender=female,male&family=quennell,other&_id=p1", "p1"),
            search("Patient?gender=male&family=quennell"),
        ),
        "escapes": search("Organization?name=A\\, B", "o1"),
        "_id": search("Patient?_id=p1", "p1"),
        "_lastUpdated": search("Location?_lastUpdated=gt2020-01-01&_id=l1", "l1"),
        "_tag": search("Patient?_tag=urn:tags|t1", "p1"),
        "_profile": search("Patient?_profile=http://example.org/fhir/StructureDefinition/some-patient", "p1"),
        "_security": search("Patient?_security=urn:labels|s1", "p1"),
        "_source": search("Patient?_source=urn:somewhere", "p1"),
        "_text": search("Patient?_text=gardener", "p1"),
        "_content": search("Patient?_content=gardener", "p1"),
        "_list": search("Patient?_list=li", "p1"),
        "functional lists: _list=$current-…": every(
            KEEPS_PROBLEMS, search("Condition?patient=p1&_list=$current-problems", "c1")
        ),
        "_has": search("Patient?_has:Observation:patient:code=8867-4", "p1"),
        "_filter": search("Patient?_filter=family eq quennell and gender eq female", "p1"),
        "_query": get("/Patient?_query=everyone", lambda a: "warning" not in a.text),
        "_contained, _containedType": every(
            search("Medication?code=urn:drugs|inside&_contained=true", "md"),
            search("Medication?code=urn:drugs|inside&_contained=both", "md"),
            search("Medication?code=urn:drugs|inside&_contained=true&_containedType=contained", "m"),
        ),
        "chains": every(
            search("Observation?code=8867-4&subject:Patient.family=quennell", "v1"),
            search("Observation?code=8867-4&patient.organization.partof.name=above", "v1"),
        ),
        "own SearchParameters": _own_parameter,
    },
    "Search modifiers": {
        ":exact": every(search("Patient?family:exact=Quennell", "p1"), search("Patient?family:exact=quennell")),
        ":contains": search("Organization?name:contains=bov", "o2"),
        ":missing": search("Organization?partof:missing=true&_id=o1,o2", "o2"),
        ":not": search("Observation?code:not=8867-4&_id=v1,b1", "b1"),
        ":text": search("Condition?code:text=hyper", "c1"),
        ":in": search("Condition?code:in=http://example.org/fhir/ValueSet/kinds", "c1"),
        ":not-in": search("Condition?code:not-in=http://example.org/fhir/ValueSet/kinds", "c2"),
        ":above of uri": search("ValueSet?url:above=http://example.org/fhir/ValueSet/kinds/deep", "vs"),
        ":below of uri": search("ValueSet?url:below=http://example.org/fhir/", "vs"),
        ":above of token": search("Condition?code:above=http://example.org/fhir/CodeSystem/kinds|a1", "c2"),
        ":below of token": search("Condition?code:below=http://example.org/fhir/CodeSystem/kinds|a", "c2"),
        ":above of reference": search("Patient?organization:above=o1&_id=p1", "p1"),
        ":below of reference": search("Patient?organization:below=o2&_id=p1", "p1"),
        ":identifier": search("Observation?subject:identifier=urn:oid:1.2.3|MRN-1", "b1"),
        ":of-type": search("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|MRN-1", "p1"),
        ":[type]": search("Observation?subject:Patient=p1&code=8867-4", "v1"),
    },
    "Search results": {
        "_sort": get(
            "/Organization?_id=o1,o2&_sort=-name",
            lambda a: [e["resource"]["id"] for e in a.json()["entry"]] == ["o2", "o1"],
        ),
        "_sort by several keys": get("/Organization?_id=o1,o2&_sort=active,-name", holds("o1", "o2")),
        "_count": get("/Observation?_count=1", lambda a: len(a.json()["entry"]) == 1),
        "_count=0": get("/Organization?_count=0", lambda a: "entry" not in a.json() and a.json()["total"] > 1),
        "self link": get(
            "/Organization?_id=o1&_nonsense=1", lambda a: a.json()["link"][0]["url"].endswith("/Organization?_id=o1")
        ),
        "paging": _pages,
        "_total": every(
            get("/Organization?_total=accurate", lambda a: a.json()["total"] > 1),
            get("/Organization?_total=none&_count=1", lambda a: "total" not in a.json()),
        ),
        "_include": get("/Patient?_id=p1&_include=Patient:general-practitioner", holds("p1", "d1")),
        "_include:iterate": get(
            "/Patient?_id=p1&_include=Patient:organization&_include:iterate=Organization:partof",
            holds("p1", "o1", "o2"),
        ),
        "_include=*": get("/Patient?_id=p1&_include=*", holds("p1", "d1", "o1")),
        "_include of canonicals": get("/ConceptMap?_id=cm&_include=ConceptMap:source", holds("cm", "vs")),
        "_revinclude, chains and _has over canonicals": every(
            get("/ValueSet?_id=vs&_revinclude=ConceptMap:source", holds("vs", "cm")),
            search("ConceptMap?source.status=active", "cm"),
            search("ValueSet?_has:ConceptMap:source:status=active", "vs"),
        ),
        "_revinclude": get("/Patient?_id=p1&_revinclude=Observation:patient", holds("p1", "v1")),
        "_summary=count": get(
            "/Organization?_summary=count", lambda a: "entry" not in a.json() and a.json()["total"] > 1
        ),
        "_summary=true": get("/Patient?_id=p1&_summary=true", lacks("text", "generalPractitioner")),
        "_summary=text": get("/Patient?_id=p1&_summary=text", lacks("gender", "name")),
        "_summary=data": get("/Patient?_id=p1&_summary=data", lacks("text")),
        "_elements": get("/Patient?_id=p1&_elements=gender", lacks("birthDate", "name")),
        "_score": get("/Patient?_id=p1&_sort=_score"),
        "_maxresults": get("/Organization?_maxresults=1", lambda a: len(a.json()["entry"]) == 1),
    },
    "Operations": {
        "Patient/$everything": get("/Patient/p1/$everything", holds("p1", "v1", "e1")),
        "Encounter/$everything": get("/Encounter/e1/$everything", holds("e1", "v1")),
        "$validate": every(post("/Patient/$validate", _patient(gender="female")), get("/Patient/p1/$validate")),
        "$validate by stored profiles": every(
            Probe("PUT", "/StructureDefinition/named", NAMED, status=(201,)),
            post("/Patient/$validate", _patient(meta={"profile": [NAMED["url"]]}), _refuses),
        ),
        "$meta": get("/Patient/p1/$meta"),
        "$meta of a type or the system": every(get("/Patient/$meta"), get("/$meta")),
        "$meta-add": post(
            "/Patient/p1/$meta-add",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:tags", "code": "t2"}]}}],
            },
        ),
        "$meta-delete": post(
            "/Patient/p1/$meta-delete",
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:tags", "code": "t2"}]}}],
            },
        ),
        "Observation/$lastn": get("/Observation/$lastn?patient=Patient/p1&category=vital-signs", holds("v1")),
        "ValueSet/$expand": get("/ValueSet/vs/$expand", lambda a: "38341003" in a.text),
        "ValueSet/$validate-code": get(
            f"/ValueSet/vs/$validate-code?system={SNOMED}&code=38341003", lambda a: "true" in a.text
        ),
        "CodeSystem/$lookup": get(
            "/CodeSystem/$lookup?system=http://example.org/fhir/CodeSystem/kinds&code=a", lambda a: "Alpha" in a.text
        ),
        "CodeSystem/$validate-code": get("/CodeSystem/cs/$validate-code?code=a", lambda a: "true" in a.text),
        "CodeSystem/$subsumes": get("/CodeSystem/cs/$subsumes?codeA=a&codeB=a"),
        "ConceptMap/$translate": get(
            "/ConceptMap/cm/$translate?system=http://example.org/fhir/CodeSystem/kinds&code=a",
            lambda a: "true" in a.text,
        ),
        "ValueSet/$batch-validate-code": post(
            "/ValueSet/$batch-validate-code",
            {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "url", "valueUri": "http://hl7.org/fhir/ValueSet/administrative-gender"},
                    {
                        "name": "validation",
                        "resource": {
                            "resourceType": "Parameters",
                            "parameter": [
                                {"name": "code", "valueCode": "male"},
                                {"name": "system", "valueUri": "http://hl7.org/fhir/administrative-gender"},
                            ],
                        },
                    },
                ],
            },
        ),
        "ConceptMap/$closure": post(
            "/$closure", {"resourceType": "Parameters", "parameter": [_coding("name", "x", "valueString")]}
        ),
        "DocumentReference/$docref": get("/DocumentReference/$docref?patient=p1"),
        "$graphql": every(
            post(
                "/$graphql",
                {"query": '{Patient(id: "p1") {gender}}'},
                lambda a: "female" in a.text,
                headers={"Content-Type": "application/json"},
            ),
            get("/Patient/p1/$graphql?query={gender}", lambda a: "female" in a.text),
        ),
        "Patient/$golden": get("/Patient/p1/$golden", lambda a: "seealso" in a.text),
        "Patient/$merge": every(
            post(
                "",
                a_bundle(
                    ("PUT", "Patient/m1", _patient(id="m1", gender="male")),
                    ("PUT", "Patient/m2", _patient(id="m2", gender="male")),
                ),
            ),
            post(
                "/Patient/$merge",
                {
                    "resourceType": "Parameters",
                    "parameter": [
                        {"name": "source-patient", "valueReference": {"reference": "Patient/m1"}},
                        {"name": "target-patient", "valueReference": {"reference": "Patient/m2"}},
                    ],
                },
                lambda a: "Patient/m2" in a.text,
            ),
            get("/Patient/m1", lambda a: a.json()["active"] is False),
        ),
        "Patient/$ihe-pix": get(
            "/Patient/$ihe-pix?sourceIdentifier=urn:oid:1.2.3|MRN-1", lambda a: "Patient/p1" in a.text
        ),
        "Patient/$match": post(
            "/Patient/$match",
            {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": MATCHED}]},
            lambda a: "match-grade" in a.text,
        ),
        "Composition/$document": every(
            Probe("PUT", "/Composition/letter", LETTER, status=(201,)),
            get("/Composition/letter/$document", holds("letter", "p1", "v1")),
        ),
        "List/$find": every(
            KEEPS_PROBLEMS,
            get("/List/$find?patient=p1&name=current-problems", lambda a: a.json()["id"] == "kept"),
        ),
        "$graph": every(
            Probe("PUT", "/GraphDefinition/g", GRAPH, status=(201,)),
            get(f"/Patient/p1/$graph?graph={GRAPH['url']}", holds("p1", "v1")),
        ),
        "Observation/$stats": get("/Observation/$stats?subject=Patient/p1&code=8867-4"),
        "Measure/$evaluate-measure": get("/Measure/x/$evaluate-measure"),
        "PlanDefinition/$apply": get("/PlanDefinition/x/$apply?subject=Patient/p1"),
        "Questionnaire/$populate": get("/Questionnaire/x/$populate?subject=Patient/p1"),
        "StructureMap/$transform": post("/StructureMap/$transform", {"resourceType": "Parameters"}),
        "$convert": post("/$convert", _patient()),
        "$process-message": post("/$process-message", {"resourceType": "Bundle", "type": "message"}),
    },
    "IHE PIXm and PDQm": _pixm_and_pdqm(),
    "US Core": _us_core(),
    "Bulk Data Access": {
        "system export": export("/$export"),
        "export of all patients": export("/Patient/$export"),
        "export of a group": export("/Group/g1/$export"),
        "kick-off by POST": export(
            "/$export", {"resourceType": "Parameters", "parameter": [_coding("_type", "Patient", "valueString")]}
        ),
        "_outputFormat": every(
            export("/$export?_outputFormat=application/fhir%2Bndjson"),
            get("/$export?_outputFormat=text/csv", headers=ASYNC, status=(400,)),
        ),
        "_since": export("/$export?_since=2020-01-01T00:00:00Z"),
        "_type": every(
            export("/$export?_type=Patient,Observation"), get("/$export?_type=Nonsense", headers=ASYNC, status=(400,))
        ),
        "_typeFilter": export("/$export?_type=Observation&_typeFilter=Observation%3Fcode%3D8867-4"),
        "_elements": export("/$export?_elements=Patient.gender"),
        "status request": export("/$export?_type=Patient", then="GET"),
        "delete request": export("/$export?_type=Patient", then="DELETE"),
        "patient": export(
            "/Patient/$export", {"resourceType": "Parameters", "parameter": [{"name": "patient", "valueReference": P1}]}
        ),
        "includeAssociatedData": export("/$export?includeAssociatedData=LatestProvenanceResources"),
        "organizeOutputBy": export("/$export?organizeOutputBy=Patient"),
        "allowPartialManifests": export("/$export?allowPartialManifests=true"),
        "SMART Backend Services": get("/.well-known/smart-configuration"),
        "$import": post("/$import", {"resourceType": "Parameters"}, headers=ASYNC, status=(202, 400, 422)),
    },
    "Subscriptions": {
        "R4 criteria": subscribe("websocket", None),
        "channel rest-hook": subscribe("rest-hook", "https://receiver.example.org/hook"),
        "channel websocket": subscribe("websocket", None, topic=True, content="id-only"),
        "channel email": subscribe("email", "mailto:results@example.org"),
        "channel sms": subscribe("sms", "tel:+16175550100"),
        "channel message": subscribe("message", "https://receiver.example.org/$process-message"),
        "topics of the R5 backport": subscribe(
            "rest-hook", "https://receiver.example.org/hook", topic=True, content="empty"
        ),
        "payload empty": subscribe("websocket", None, topic=True, content="empty"),
        "payload id-only": subscribe("websocket", None, topic=True, content="id-only"),
        "payload full-resource": subscribe("websocket", None, topic=True, content="full-resource"),
        "Subscription/$status": _of_subscription("/Subscription/{}/$status"),
        "Subscription/$events": _of_subscription("/Subscription/{}/$events"),
        "Subscription/$get-ws-binding-token": _of_subscription("/Subscription/{}/$get-ws-binding-token"),
    },
}

# --- the page against the hub -------------------------------------------------------------------------------------


def test_every_line_has_its_request_and_every_request_its_line():
    written = {(line.section, line.feature) for line in LINES}
    asked = {(section, feature) for section, probes in PROBES.items() for feature in probes}
    assert sorted(written - asked) == []
    assert sorted(asked - written) == []
    assert len(LINES) == len(written), "a feature stands twice"


def test_what_is_served_partly_says_within_which_limits():
    assert [line for line in LINES if line.state == "partly" and not line.note] == []


@pytest.mark.parametrize("section", PROBES)
async def test_the_page_says_what_the_hub_does(client, section):
    wrong = []
    for line in LINES:
        if line.section == section:
            served = await PROBES[section][line.feature](client)
            if served != (line.state != "no"):
                wrong.append(
                    f"line {line.number}: {line.feature} is {'served' if served else 'not served'}, not “{line.state}”"
                )
    assert not wrong, "\n".join(wrong)


async def test_the_capability_statement_says_the_same(client):
    rest = (await client.get("/fhir/metadata")).json()["rest"][0]
    patient = next(one for one in rest["resource"] if one["type"] == "Patient")
    told = {one["code"] for one in [*patient["interaction"], *rest["interaction"]]}
    codes = {"read", "vread", "update", "patch", "delete", "create", "search-type", "search-system", "history-instance",
             "history-type", "history-system", "batch", "transaction"}  # fmt: skip
    written = {line.feature for line in LINES if line.section == "Interactions" and line.state != "no"}
    assert told == written & codes


async def test_every_operation_that_is_told_or_routed_has_its_line(client):
    rest = (await client.get("/fhir/metadata")).json()["rest"][0]
    told = {f"${one['name']}" for one in rest.get("operation", [])}
    told |= {f"${one['name']}" for each in rest["resource"] for one in each.get("operation", [])}
    routed = {
        part for each in SURFACES if each.channel == "http" for part in each.path.split("/") if part.startswith("$")
    }
    written = {
        name for line in LINES if line.state != "no" for name in _OPERATION.findall(f"{line.feature} {line.note}")
    }
    assert sorted((told | routed) - written) == []
    assert sorted(routed - told) == [], "routed, but not in the CapabilityStatement"


def test_the_table_of_uscdi_is_what_the_code_does():
    spec = importlib.util.spec_from_file_location("docs_uscdi", PAGE.parents[2] / "tools" / "docs_uscdi.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.page() == tool.PAGE.read_text(encoding="utf-8"), "run: make reference"
