"""What the segment maps are written from: the resources of a message under the names that the tables use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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
    visit = content.visit
    if visit is not None and visit is not content.root and visit.get("status") == "entered-in-error":
        visit = None  # PV1 would tell of a visit that there is not
    if content.root["resourceType"] != "Patient" and visit is not None:
        made["Encounter"] = _visit(visit)
        if "Patient" in made and "account" in visit:
            made["Patient"] = {**made["Patient"], "account": visit["account"]}
    elif content.root["resourceType"] == "Patient":
        made["Encounter"] = _NO_VISIT
    if "Patient" in made and (accounts := content.root.get("account")):
        made["Patient"] = {**made["Patient"], "account": accounts}
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
    here = {"here": active[:1], "temporary": active[1:2], "pending": planned[:1]}
    return {**encounter, **here, "before": completed[:1], "before_temporary": completed[1:2]}


def repeated(each: str, content: Content, now: Subjects) -> list[Resource]:
    """The collections that are no path, by the names below, and `$Condition` and other types that came along."""
    if each in _COLLECTIONS:
        return _COLLECTIONS[each](content, now)
    found = content.of_type(each.removeprefix("$"))
    if each == "$Condition":
        return [made for each in found if (made := _diagnosis(each, now.get("Encounter", {})))]
    return [each for each in found if is_beside(content.root, each)] if each in BESIDE else found


def _reports(content: Content, _now: Subjects) -> list[Resource]:
    return [content.root if content.root["resourceType"] == "DiagnosticReport" else _report_of(content.root)]


def _all_lines(content: Content, _now: Subjects) -> list[Resource]:
    """All results that came along."""
    return _numbered(line for result in content.of_type("Observation") for line in _lines(result))


def _answers(content: Content, now: Subjects) -> list[Resource]:
    """What was observed or answered when the order was given."""
    return _observed(content, now["ServiceRequest"].get("supportingInfo", ()))


def _related(content: Content, now: Subjects) -> list[Resource]:
    """The results that a document is about."""
    return _observed(content, now["DocumentReference"].get("context", {}).get("related", ()))


def _observed(content: Content, entries: Iterable[Resource]) -> list[Resource]:
    told = [found for entry in entries if (found := content.resolve(entry, "Observation")) and "code" in found]
    return _numbered(line for each in told for line in _lines(each))


def _forms(content: Content, now: Subjects) -> list[Resource]:
    """Documents of the report that none of its results shows."""
    report = now["DiagnosticReport"]
    shown = [
        extension.get("valueAttachment", {}).get("url")
        for result in _found_results(content, report)
        for extension in result.get("extension", ())
    ]
    forms = (form for form in report.get("presentedForm", ()) if form.get("url") not in shown or "url" not in form)
    told = {name: report[name] for name in ("code", "status") if name in report}
    return [{"attachment": form, **told} for form in forms]


def _contents(_content: Content, now: Subjects) -> list[Resource]:
    """The contents of a document, with its type and status."""
    document = now["DocumentReference"]
    withdrawn = document.get("status") == "entered-in-error"
    status = "entered-in-error" if withdrawn else document.get("docStatus", "final")
    told = {"code": document["type"]} if "type" in document else {}
    return [{**content, **told, "status": status} for content in document.get("content", ())]


def _services(_content: Content, now: Subjects) -> list[Resource]:
    """What is booked, each with the time of the appointment."""
    appointment = now["Appointment"]
    booked = appointment.get("serviceType") or appointment.get("specialty") or []
    told = {name: appointment[name] for name in ("start", "minutesDuration", "status") if name in appointment}
    return [{**service, **told} for service in booked]


def _report_of(observation: Resource) -> Resource:
    """A single result goes out under an order of its own: its number, code, time and status."""
    taken = ("id", "identifier", "code", "status", "effectiveDateTime", "effectivePeriod", "issued", "subject")
    report = {name: observation[name] for name in taken if name in observation}
    return {**report, "resourceType": "DiagnosticReport", "result": [observation]}


def _participants(_content: Content, now: Subjects) -> list[Resource]:
    """Who and what takes part. What is named by nothing but a number or a word, of no type, is a `thing` (AIG)."""
    entries = [entry for entry in now["Appointment"].get("participant", ()) if "actor" in entry]
    return [
        entry if entry["actor"].keys() & {"reference", "type"} else {**entry, "actor": {}, "thing": entry["actor"]}
        for entry in entries
    ]


def _results(content: Content, now: Subjects) -> list[Resource]:
    """The observations of a report in order, members of panels behind them. A withdrawn report withdraws them all."""
    report = now["DiagnosticReport"]
    lines = [line for each in _found_results(content, report) for line in _lines(each)]
    if report.get("status") == "entered-in-error":
        lines = [{**line, "status": "entered-in-error"} for line in lines]
    return _numbered(lines)


def _found_results(content: Content, report: Resource) -> list[Resource]:
    found: dict[int, Resource] = {}
    for entry in report.get("result", ()):
        result = entry if "resourceType" in entry else content.resolve(entry, "Observation")
        if result is not None and "code" in result:
            found.update((id(each), each) for each in _with_members(content, result, set()))
    return list(found.values())


def _numbered(lines: Iterable[Resource]) -> list[Resource]:
    """What a code names twice gets numbers (OBX-4): each is a result of its own."""
    made = list(lines)
    many = Counter(_named(line) for line in made)
    seen: Counter[str] = Counter()
    for line in made:
        name = _named(line)
        seen[name] += 1
        if many[name] > 1 and "sub_id" not in line:
            line["sub_id"] = str(seen[name])
    return made


def _with_members(content: Content, observation: Resource, above: set[str]) -> list[Resource]:
    if (id_ := observation.get("id", "")) in above:
        return []
    members = (content.resolve(entry, "Observation") for entry in observation.get("hasMember", ()))
    below = [line for each in members if each for line in _with_members(content, each, above | {id_})]
    return [observation, *below]


def _lines(observation: Resource) -> list[Resource]:
    """An observation as OBX lines: itself, and its components of other codes (blood pressure) as lines of their own."""
    observation = {**observation, **_organisations(observation)}
    if "dataAbsentReason" in observation and observation.get("status") in _SETTLED:
        observation = {**observation, "status": "cancelled"}  # OBX-11 X: no result can be obtained
    parts = [part for part in observation.get("component", ()) if part.get("code") != observation.get("code")]
    if samples := observation.get("valueSampledData"):
        channel = {name: observation[name] for name in ("code", "status") if name in observation}
        return [{**channel, "valueChannel": samples, "sub_id": "1"}, {**observation, "sub_id": "1"}]
    if not parts:
        return [dict(observation)]
    inherited = {name: value for name, value in observation.items() if name not in _OWN}
    lines = [{**inherited, **part, "sub_id": str(number)} for number, part in enumerate(parts, 1)]
    if any(name.startswith("value") for name in observation):
        lines.insert(0, {name: value for name, value in observation.items() if name != "component"})
    elif "note" in observation:
        lines[-1]["note"] = observation["note"]
    return lines


def _organisations(observation: Resource) -> Resource:
    """The performing organisation (OBX-23), and the one before it where there are two (OBX-15)."""
    found = [each for each in observation.get("performer", ()) if _is_organisation(each)]
    return {"laboratory": found[-1:], "producer": found[:-1]} if found else {}


def _is_organisation(reference: Resource) -> bool:
    return reference.get("type") == "Organization" or reference.get("reference", "").startswith("Organization/")


_SETTLED = frozenset({"final", "amended", "corrected"})
_OWN = frozenset({"component", "note", "interpretation", "referenceRange", "code", "identifier", "dataAbsentReason"})


def _named(observation: Resource) -> str:
    return str(observation.get("code"))


def _diagnosis(condition: Resource, visit: Resource) -> Resource | None:
    """A condition with what the visit says of it: use and rank. DG1 has no word for one that was ruled out, and for one
    that is over only as a diagnosis of the visit."""
    reference = f"Condition/{condition.get('id')}"
    entries = (e for e in visit.get("diagnosis", ()) if e.get("condition", {}).get("reference") == reference)
    entry: Resource = next(entries, {})
    if _codes(condition, "verificationStatus") & {"refuted"} or (not entry and _is_over(condition)):
        return None
    told = {f"diagnosis_{name}": entry[name] for name in ("use", "rank") if name in entry}
    return {**condition, **told}


BESIDE = frozenset({"$AllergyIntolerance", "$Coverage", "$Procedure"})
"""What an ADT tells of the patient beside its root, which does not refer to it."""


def is_beside(root: Resource, each: Resource) -> bool:
    """Whether it may be told beside the root: what AL1, IN1 and PR1, which have no status, would say of it is so.

    A procedure belongs to the visit that the message is about, or to none where it is about the person.
    """
    match each["resourceType"]:
        case "AllergyIntolerance":  # the patient is allergic, now
            gone = _codes(each, "verificationStatus") & {"refuted", "entered-in-error"}
            return not gone and not _is_over(each)
        case "Coverage":
            return each.get("status") == "active"
        case "Procedure":
            visit = f"Encounter/{root.get('id')}" if root["resourceType"] == "Encounter" else None
            was_done = each.get("status") in ("completed", "entered-in-error")
            return was_done and each.get("encounter", {}).get("reference") == visit
        case _:
            return False


def _is_over(resource: Resource) -> bool:
    return bool(_codes(resource, "clinicalStatus") & {"inactive", "remission", "resolved"})


def _codes(resource: Resource, element: str) -> set[str]:
    return {coding.get("code", "") for coding in resource.get(element, {}).get("coding", ())}


_COLLECTIONS: Mapping[str, Callable[[Content, Subjects], list[Resource]]] = {
    "$reports": _reports,
    "$results": _results,
    "$forms": _forms,
    "$lines": _all_lines,
    "$answers": _answers,
    "$related": _related,
    "$contents": _contents,
    "$services": _services,
    "$participants": _participants,
}
