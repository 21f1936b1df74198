"""How a mapped resource goes over the stored one: *empty keeps, `""` deletes* (HL7 v2.5.1 §2.5.3).

An element that the message does not have is kept; one that it has replaces the stored one; one that it deletes goes.
What only some events know (Encounter.period) is merged entry by entry, and an event that arrives late does not undo a
later one.
"""

from __future__ import annotations

from healthsync.standards.maps import times
from healthsync.standards.maps.model import MappedResource, Resource

CHOICES = ("deceased", "multipleBirth", "value", "effective", "onset", "collected")
"""Elements with a choice of types: of each at most one stands on a resource."""


def merged(stored: Resource | None, mapped: MappedResource) -> Resource:
    """The resource to store; `stored` and `mapped` stay as they are."""
    new = mapped.resource
    if stored is None:
        return dict(new)
    result = dict(stored)
    for path in mapped.cleared:
        _clear(result, path)
    for name, value in new.items():
        if name in stored and _stands_against(stored[name], mapped.unless.get(name, ())):
            continue
        _drop_other_choice(result, name)
        if name == "location" and new["resourceType"] == "Encounter":
            result[name] = _locations(result.get(name, []), value)
        elif (name in mapped.partial or name == "meta") and isinstance(result.get(name), dict):
            result[name] = {**result[name], **value}
        else:
            result[name] = value
    return result


def _stands_against(stored: object, values: tuple[str, ...]) -> bool:
    return "*" in values or stored in values


def _clear(result: Resource, path: str) -> None:
    head, _, rest = path.partition(".")
    if not rest:
        result.pop(head, None)
        result.pop(f"_{head}", None)
    elif path == "location.active":
        result["location"] = [place for place in result.get("location", ()) if place.get("status") != "active"]
    elif isinstance(result.get(head), dict):
        result[head] = {name: value for name, value in result[head].items() if name != rest}
        if not result[head]:
            del result[head]


def _drop_other_choice(result: Resource, name: str) -> None:
    for choice in CHOICES:
        if name.startswith(choice) and name[len(choice) : len(choice) + 1].isupper():
            for other in [key for key in result if key.lstrip("_").startswith(choice) and key.lstrip("_") != name]:
                if other.lstrip("_")[len(choice) : len(choice) + 1].isupper():
                    del result[other]


def _locations(stored: list[Resource], told: list[Resource]) -> list[Resource]:
    """The locations told now, and behind them those of before, whose stay has ended.

    When the stored current place was entered later than the one told now, the message is the late one: its place is
    history.
    """
    active = next((place for place in stored if place.get("status") == "active"), None)
    now = [dict(place) for place in told]
    if active and _later(active, next((place for place in now if place.get("status") == "active"), None)):
        now = [{**place, "status": "completed"} if place.get("status") == "active" else place for place in now]
        now.insert(0, active)
    known = {place["location"]["reference"] for place in now}
    before = [
        {**place, "status": "completed"} if place.get("status") in ("active", "planned") else place
        for place in stored
        if place.get("location", {}).get("reference") not in known
    ]
    for place in now:
        _keep_period(place, stored)
    return now + before


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
