"""How a mapped resource goes over the stored one: *empty keeps, `""` deletes* (HL7 v2.5.1 §2.5.3).

An element that the message does not have is kept; one that it has replaces the stored one; one that it deletes goes.
Where several fields or messages feed one element (PID-3 and PID-19 are identifiers, each correction tells one result of
a report), its entries are merged one by one. An event that arrives late does not undo a later one: for a visit the
rules are in `unless`, for other things (a result, an appointment, an account, a problem) the time of the event is kept
beside them, and what is older only fills in what is missing. A visit keeps the time of the event that ended, cancelled
or reopened it: what is older does not undo that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from healthsync.standards.maps import leaves, times
from healthsync.standards.maps.model import MappedResource, Resource

CHOICES = ("deceased", "multipleBirth", "value", "effective", "onset", "collected", "occurrence", "medication")
"""Elements with a choice of types: of each at most one stands on a resource."""

RESULT_FORMS = ("value", "component", "dataAbsentReason")
"""How an Observation tells its result: one excludes the others (obs-6, obs-7)."""


_OF_A_VALUE = ("interpretation", "referenceRange")
"""How another value was judged says nothing of this one."""
_STATES = frozenset({"clinicalStatus", "verificationStatus", "abatementDateTime", "cancelationReason"})
"""What something was like at a time: absent now, it was so no longer."""
_PROGRESS = {"registered": 1, "partial": 2, "preliminary": 2, "final": 3} | dict.fromkeys(
    ("amended", "corrected", "appended", "cancelled", "entered-in-error"), 4
)
"""How far a result has come, by its status."""
_GATHERED = ("result", "specimen", "hasMember")
"""What a report is given by several messages, in whatever order they come."""
AS_OF = "urn:healthsync:extension:as-of"
"""Where the time of the event is kept by which a resource was told last."""


def _who(entry: Resource) -> Hashable:
    """Who takes part in an appointment (actor) or a care team (member, in this role); None in a visit."""
    person = entry.get("actor") or entry.get("member")
    if person is None:
        return None
    roles = tuple(_coded(role) for role in entry.get("role", ()))
    return person.get("reference") or person.get("identifier", {}).get("value") or person.get("display"), roles


def _coded(concept: Resource | None) -> str | None:
    """The first code of a CodeableConcept."""
    return next((coding.get("code") for coding in (concept or {}).get("coding", ())), None)


_SAME: dict[str, Callable[[Resource], Hashable]] = {
    "identifier": lambda entry: (entry.get("system"), _coded(entry.get("type")), entry.get("use") == "old"),
    "telecom": lambda entry: (entry.get("system"), entry.get("use")),
    "extension": lambda entry: entry.get("url"),
    "participant": lambda entry: _who(entry) or tuple(_coded(kind) for kind in entry.get("type", ())),
    "class": lambda entry: _coded(entry.get("type")),
    "result": lambda entry: entry.get("reference"),
    "specimen": lambda entry: entry.get("reference"),
    "guarantor": lambda entry: entry["party"]["reference"],
    "evidence": lambda entry: entry["detail"][0]["reference"],
    "basedOn": lambda entry: entry.get("reference"),
    "hasMember": lambda entry: entry.get("reference"),
    "supportingInfo": lambda entry: entry.get("reference"),
    "presentedForm": lambda entry: entry.get("url"),
}
"""Lists fed by several fields or messages → what an entry is about; a new entry replaces the stored ones about it."""


def merged(stored: Resource | None, mapped: MappedResource) -> Resource:
    """The resource to store; `stored` and `mapped` stay as they are."""
    begins_anew = stored is not None and _begins_anew(stored, mapped)
    new = _stamped(mapped) if begins_anew or _keeps_its_time(mapped) else mapped.resource
    if stored is None:
        return dict(new)
    result = dict(stored)
    is_late = _is_late(stored, mapped)
    overtaken = mapped.type == "Encounter" and _was_before(stored, mapped)
    for path in () if is_late or overtaken else mapped.cleared:
        _clear(result, path)
    for name in _OF_A_VALUE:
        if name in stored and name not in new and not is_late and any(_choice(told) in RESULT_FORMS for told in new):
            del result[name]
    for name, value in (_not_overtaken(new) if overtaken else new).items():
        if is_late and name not in _GATHERED and (name in _STATES or _is_told(stored, name)):
            if name == "identifier":
                result[name] = _with_numbers(result[name], value)
            continue
        if (against := mapped.unless.get(name)) and _is_held(stored, name, against) and not begins_anew:
            continue
        _drop_other_forms(result, name)
        if name == "location" and new["resourceType"] == "Encounter":
            if new["status"] == "planned" and stored.get("status", "planned") != "planned":
                continue  # where he was expected, told late
            result[name] = _locations(result.get(name, []), value)
        elif name == "statusHistory":
            result[name] = leaves.together(result.get(name, []), value)
        elif name == "period" and name in mapped.partial:
            result[name] = _period(result.get(name, {}), value)
        elif name in _SAME and isinstance(value, list) and not _is_snapshot(name, mapped):
            result[name] = _entries(result.get(name, []), value, _SAME[name])
        elif name in mapped.partial and isinstance(value, list):
            result[name] = result.get(name, []) + [entry for entry in value if entry not in result.get(name, [])]
        elif (name in mapped.partial or name == "meta") and isinstance(value, dict):
            result[name] = {**result.get(name, {}), **value}
        else:
            result[name] = value
    if "statusHistory" in result:
        result["status"] = leaves.status(result["status"], result["statusHistory"])
    keeps_time = mapped.as_of and mapped.type != "Encounter"  # what reopens a visit may change nothing but the time
    return stored if keeps_time and _but_for_its_time(result) == _but_for_its_time(stored) else result


def _is_late(stored: Resource, mapped: MappedResource) -> bool:
    """Whether this was so before what is stored.

    A result that has come further is not late, whatever its time: the clocks of one laboratory may differ.
    """
    if mapped.type == "Encounter" or not _was_before(stored, mapped):
        return False
    if mapped.type not in ("Observation", "DiagnosticReport"):
        return True
    return _PROGRESS.get(mapped.resource["status"], 0) <= _PROGRESS.get(stored["status"], 0)


def _was_before(stored: Resource, mapped: MappedResource) -> bool:
    told_at = _as_of(stored)
    return bool(mapped.as_of and told_at and times.is_before(mapped.as_of, told_at))


def _with_numbers(stored: list[Resource], told: list[Resource]) -> list[Resource]:
    """The stored numbers and behind them those that a late message adds."""
    known = {(number.get("system"), number.get("value")) for number in stored}
    return stored + [number for number in told if (number.get("system"), number.get("value")) not in known]


def _not_overtaken(visit: Resource) -> Resource:
    """Of an event of a visit that is told late: what is not about whether the visit goes on."""
    kept = {name: value for name, value in visit.items() if name != "status"}
    kept["period"] = {name: at for name, at in visit.get("period", {}).items() if name != "end"}
    kept["extension"] = [each for each in visit.get("extension", ()) if each.get("url") != AS_OF]
    if visit["status"] != "in-progress":
        kept.pop("location", None)  # it would say that he has left the place
    return {name: value for name, value in kept.items() if value}


def _begins_anew(stored: Resource, mapped: MappedResource) -> bool:
    """Whether the patient of a cancelled visit was admitted after all: by an event later than the cancelling."""
    if mapped.type != "Encounter" or (stored["status"], mapped.resource["status"]) != ("cancelled", "in-progress"):
        return False
    told_at = _as_of(stored)
    return bool(mapped.as_of and told_at and times.is_before(told_at, mapped.as_of)) and not mapped.cleared


def _is_told(stored: Resource, name: str) -> bool:
    """Whether this element is stored, in any of its forms."""
    if name in stored or (choice := _choice(name)) not in (*CHOICES, *RESULT_FORMS):
        return name in stored
    forms = RESULT_FORMS if choice in RESULT_FORMS else (choice,)
    return any(_choice(other) in forms for other in stored)


def _but_for_its_time(resource: Resource) -> Resource:
    extensions = [each for each in resource.get("extension", ()) if each.get("url") != AS_OF]
    return {**resource, "extension": extensions}


def _is_snapshot(name: str, mapped: MappedResource) -> bool:
    """Who takes part in an appointment is told of all at once, unless the message says that it is told one by one."""
    return name == "participant" and mapped.type == "Appointment" and name not in mapped.partial


def _stamped(mapped: MappedResource) -> Resource:
    stamp = {"url": AS_OF, "valueDateTime": mapped.as_of}
    return {**mapped.resource, "extension": [*mapped.resource.get("extension", ()), stamp]}


def _keeps_its_time(mapped: MappedResource) -> bool:
    """Whether the time of the event is kept: of a visit, when it ends, cancels or reopens it."""
    if mapped.type != "Encounter":
        return bool(mapped.as_of)
    decides = mapped.resource["status"] in ("finished", "cancelled") or "period.end" in mapped.cleared
    return decides and bool(mapped.as_of)


def _as_of(stored: Resource) -> str | None:
    return next((each["valueDateTime"] for each in stored.get("extension", ()) if each.get("url") == AS_OF), None)


def _entries(stored: list[Any], told: list[Any], about: Callable[[Any], Hashable]) -> list[Any]:
    """The stored entries in their order, those told anew in the places of the old ones, and behind them what is new."""
    anew: dict[Hashable, list[Any]] = {}
    for entry in told:
        anew.setdefault(about(entry), []).append(entry)
    topics, result = set(anew), []
    for entry in stored:
        topic = about(entry)
        result += anew.pop(topic, []) if topic in topics else [entry]
    return result + [entry for entries in anew.values() for entry in entries]


def _is_held(stored: Resource, name: str, values: tuple[str, ...]) -> bool:
    """Whether what is stored stands against the change: any value (`*`) in any of its forms, or one of these."""
    if "*" in values:
        choice = _choice(name)
        return any(_choice(other) == choice for other in stored)
    return name in stored and stored[name] in values


def _clear(result: Resource, path: str) -> None:
    head, _, rest = path.partition(".")
    if not rest:
        result.pop(head, None)
        result.pop(f"_{head}", None)
    elif head == "location":
        result[head] = [place for place in result.get(head, ()) if place.get("status") != rest]
    elif head == "extension":
        result[head] = [entry for entry in result.get(head, ()) if entry.get("url") != rest]
    elif head == "serviceType":
        result[head] = [kind for kind in result.get(head, ()) if _coded(kind) != rest]
    elif head == "statusHistory":
        result[head] = leaves.taken_back(result.get(head, ()), rest)
    elif isinstance(result.get(head), dict):
        result[head] = {name: value for name, value in result[head].items() if name != rest}
    if head in result and not result[head] and result[head] is not False:
        del result[head]


def _choice(name: str) -> str:
    """`value` for `valueQuantity` and `_valueString`; the name itself where the element has one type."""
    bare = name.lstrip("_")
    return next((choice for choice in CHOICES if bare.startswith(choice) and bare[len(choice) :][:1].isupper()), bare)


def settle(resource: Resource) -> None:
    """Of a choice that one message told in several forms, the form told last stands."""
    forms: dict[str, str] = {}
    for name in list(resource):
        choice = _choice(name)
        if choice not in CHOICES or name.startswith("_"):
            continue
        if (other := forms.get(choice)) is not None and other != name:
            del resource[other]
        forms[choice] = name
    if isinstance(collection := resource.get("collection"), dict):
        settle(collection)


def _drop_other_forms(result: Resource, name: str) -> None:
    """Remove what cannot stand beside the element: its other types, and other forms of a result."""
    choice = _choice(name)
    if choice not in CHOICES and choice not in RESULT_FORMS:
        return
    excluded = RESULT_FORMS if choice in RESULT_FORMS else (choice,)
    for other in [key for key in result if key.lstrip("_") != name.lstrip("_") and _choice(key) in excluded]:
        del result[other]


def _period(stored: Resource, told: Resource) -> Resource:
    """Both halves; where they contradict each other (per-1), what is told now."""
    both = {**stored, **told}
    ends_early = "start" in both and "end" in both and times.is_before(both["end"], both["start"])
    return dict(told) if ends_early else both


def _locations(stored: list[Resource], told: list[Resource]) -> list[Resource]:
    """The locations told now, and behind them those of before, whose stay has ended.

    When the stored current place was entered later than the one told now, the message is the late one: its place is
    history.
    """
    active = next((place for place in stored if place.get("status") == "active"), None)
    been = {place["location"]["reference"] for place in stored if place.get("status") in ("active", "completed")}
    now = [
        dict(place) for place in told if place.get("status") != "planned" or place["location"]["reference"] not in been
    ]
    if active and _later(active, next((place for place in now if place.get("status") == "active"), None)):
        now = [{**place, "status": "completed"} if place.get("status") == "active" else place for place in now]
        now.insert(0, active)
    known = {place["location"]["reference"] for place in now}
    others = [place for place in stored if place.get("location", {}).get("reference") not in known]
    if any(place.get("status") == "active" for place in now):
        others = [{**place, "status": "completed"} if place.get("status") == "active" else place for place in others]
    if any(place.get("status") == "active" and "period" in place for place in now):
        others = [place for place in others if place.get("status") != "planned"]  # he came to another place
    for place in now:
        _keep_period(place, stored)
    return now + others


def _keep_period(place: Resource, stored: list[Resource]) -> None:
    for other in stored:
        if other.get("location") == place["location"] and (
            period := {**other.get("period", {}), **place.get("period", {})}
        ):
            if place.get("status") == "active":
                period.pop("end", None)
            place["period"] = period


def _later(stored: Resource, told: Resource | None) -> bool:
    since, until = stored.get("period", {}).get("start"), (told or {}).get("period", {}).get("start")
    return bool(since and until and stored["location"] != (told or {})["location"] and times.is_before(until, since))
