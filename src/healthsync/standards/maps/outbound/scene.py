"""What the segment maps are written from: the resources of a message under the names that the tables use."""

from __future__ import annotations

from collections import Counter
from typing import Any

from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.content import Content

Subjects = dict[str, Resource]


def subjects(content: Content, trigger: str, recorded: str) -> Subjects:
    """Subjects that every message has: the root, the patient, the visit, the event."""
    event: Resource = {"code": trigger, "recorded": recorded}
    if content.occurred_at is not None:
        event["occurred"] = content.occurred_at.isoformat(timespec="seconds")
    made: Subjects = {content.root["resourceType"]: content.root, "Event": event}
    if content.patient is not None:
        made["Patient"] = content.patient
    if content.retired is not None:
        made["retired"] = content.retired
    if content.root["resourceType"] != "Patient" and content.visit is not None:
        made["Encounter"] = _visit(content.visit)
        if "Patient" in made and "account" in content.visit:
            made["Patient"] = {**made["Patient"], "account": content.visit["account"]}
    elif content.root["resourceType"] == "Patient":
        made["Encounter"] = _NO_VISIT
    return made


_NO_VISIT: Resource = {"class": {"system": "http://terminology.hl7.org/CodeSystem/v2-0004", "code": "N"}}
"""PV1-2 "not applicable": the message is about the person (v2.5.1 §3.3.28)."""


def _visit(encounter: Resource) -> Resource:
    """The visit with its places sorted: where the patient is (or was last), was before, and will be."""
    places = encounter.get("location", [])
    by_status: dict[str, list[Any]] = {}
    for place in places:
        by_status.setdefault(place.get("status", "active"), []).append(place["location"])
    active, completed, planned = (by_status.get(name, []) for name in ("active", "completed", "planned"))
    if not active and encounter.get("status") == "finished":
        active, completed = completed[:1], completed[1:]
    if not active and encounter.get("class", {}).get("code") == "PRENC":
        active, planned = planned[:1], planned[1:]
    return {**encounter, "here": active[:1], "before": completed[:1], "pending": planned[:1]}


def repeated(each: str, content: Content, now: Subjects) -> list[Resource]:
    """The collections that are no path: `$reports`, `$results` (of the report), `$lines` (all results), and
    `$Condition` and other types that came along."""
    if each == "$reports":
        return [content.root if content.root["resourceType"] == "DiagnosticReport" else _report_of(content.root)]
    if each == "$results":
        return _results(content, now["DiagnosticReport"])
    if each == "$lines":
        return [line for result in content.of_type("Observation") for line in _lines(result)]
    found = content.of_type(each.removeprefix("$"))
    return [_diagnosis(each, now.get("Encounter", {})) for each in found] if each == "$Condition" else found


def _report_of(observation: Resource) -> Resource:
    """A single result goes out under an order of its own: its number, code, time and status."""
    taken = ("id", "identifier", "code", "status", "effectiveDateTime", "effectivePeriod", "issued", "subject")
    report = {name: observation[name] for name in taken if name in observation}
    return {**report, "resourceType": "DiagnosticReport", "result": [observation]}


def _results(content: Content, report: Resource) -> list[Resource]:
    """The observations of a report in order, members of panels behind them. What a code names twice gets numbers
    (OBX-4): each is a result of its own."""
    found: list[Resource] = []
    for entry in report.get("result", ()):
        result = entry if "resourceType" in entry else content.resolve(entry, "Observation")
        if result is not None:
            found += _with_members(content, result, set())
    lines = [line for each in found for line in _lines(each)]
    many = Counter(_named(line) for line in lines)
    seen: Counter[str] = Counter()
    for line in lines:
        name = _named(line)
        seen[name] += 1
        if many[name] > 1 and "sub_id" not in line:
            line["sub_id"] = str(seen[name])
    return lines


def _with_members(content: Content, observation: Resource, above: set[str]) -> list[Resource]:
    if (id_ := observation.get("id", "")) in above:
        return []
    members = (content.resolve(entry, "Observation") for entry in observation.get("hasMember", ()))
    below = [line for each in members if each for line in _with_members(content, each, above | {id_})]
    return [observation, *below]


def _lines(observation: Resource) -> list[Resource]:
    """An observation as OBX lines: itself, and its components of other codes (blood pressure) as lines of their own."""
    parts = [part for part in observation.get("component", ()) if part.get("code") != observation.get("code")]
    if not parts:
        return [dict(observation)]
    inherited = {name: value for name, value in observation.items() if name not in _OWN}
    lines = [{**inherited, **part, "sub_id": str(number)} for number, part in enumerate(parts, 1)]
    if any(name.startswith("value") for name in observation):
        lines.insert(0, {name: value for name, value in observation.items() if name != "component"})
    elif "note" in observation:
        lines[-1]["note"] = observation["note"]
    return lines


_OWN = frozenset({"component", "note", "interpretation", "referenceRange", "code", "identifier", "dataAbsentReason"})


def _named(observation: Resource) -> str:
    return str(observation.get("code"))


def _diagnosis(condition: Resource, visit: Resource) -> Resource:
    """A condition with what the visit says of it: use and rank."""
    reference = f"Condition/{condition.get('id')}"
    entries = (e for e in visit.get("diagnosis", ()) if e.get("condition", {}).get("reference") == reference)
    entry: Resource = next(entries, {})
    told = {f"diagnosis_{name}": entry[name] for name in ("use", "rank") if name in entry}
    return {**condition, **told}
