"""RF1, PRD, CTD: who refers a patient to whom, and why (HL7 v2.5.1 §11.6)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Repetition, Segment
from healthsync.standards.maps.clinical import UNKNOWN
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, key_of, licence
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, contact_point, human_name, location
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part

REFERRAL = {"coding": [{"system": "http://snomed.info/sct", "code": "3457005", "display": "Patient referral"}]}
_STATUS = {"A": "active", "P": "active", "R": "revoked", "E": "completed", "C": "revoked"}
"""RF1-1 by table 0283: accepted, pending, rejected, expired; cancelled is said too."""
_PRIORITY = {"S": "stat", "A": "asap", "R": "routine"}
"""RF1-2 by table 0280."""


def referral(rf1: Segment, cancelled: bool, scribe: Scribe) -> Draft | None:
    """RF1[ServiceRequest]. Key: the originating number (RF1-6), else the external one (RF1-11)."""
    found = [
        (number, made)
        for number in (6, 11)
        if (rep := first_repetition(rf1, number)) and (made := ei_identifier(rep, scribe))
    ]
    if not found:
        scribe.issue("referral-without-number", "RF1-6")
        return None
    draft = scribe.draft("ServiceRequest", f"referral|{key_of(found[0][1])}")
    resource = draft.resource
    resource.update(intent="order", category=[REFERRAL], identifier=[made for _, made in found])
    sent = part(rep, 1).upper() if (rep := first_repetition(rf1, 1)) else ""
    if sent and sent[:1] not in _STATUS:
        scribe.issue("code-not-in-table", "RF1-1")
    resource["status"] = "revoked" if cancelled else _STATUS.get(sent[:1], "active")
    if priority := _PRIORITY.get(clean(rf1.get(2)).strip().upper()[:1]):
        resource["priority"] = priority
    return draft


def settle(draft: Draft) -> None:
    """A referral says what is asked for; where nobody said it, that is not known."""
    draft.resource.setdefault("code", UNKNOWN)
    draft.unless["code"] = ("*",) if draft.resource["code"] == UNKNOWN else ()


def provider(segment: Segment, request: Draft | None, scribe: Scribe) -> None:
    """PRD[Practitioner]: who refers (RP), to whom (RT), who else has part in it. Key: the first number of PRD-7."""
    who = _person(segment, _PRD, scribe)
    roles = {part(rep, 1) for rep in segment.field(1).repetitions}
    if who is None:
        scribe.unmapped[segment.name] += 1
        return
    if request is None:
        return
    if "RP" in roles:
        request.resource["requester"] = who
    elif "RT" in roles or "CP" in roles:
        scribe.add_once(request.resource.setdefault("performer", []), who)


def contact(ctd: Segment, scribe: Scribe) -> None:
    """CTD: somebody to ask about the referral; of the directory where he has a number, else kept in the message."""
    if _person(ctd, _CTD, scribe) is None:
        scribe.unmapped["CTD"] += 1


_PRD = {"name": 2, "address": 3, "location": 4, "telecom": 5, "numbers": 7}
_CTD = {"name": 2, "address": 3, "location": 4, "telecom": 5, "numbers": 7}


def _person(segment: Segment, at: dict[str, int], scribe: Scribe) -> Resource | None:
    numbers = [made for rep in segment.field(at["numbers"]).repetitions if (made := licence(rep, scribe))]
    name = first_repetition(segment, at["name"])
    shown = human_name(name, scribe) if name else None
    for number in range(1, len(segment) + 1):
        if number not in (1, *at.values()) and segment.raw_field(number):
            scribe.unmapped[f"{segment.name}-{number}"] += 1
    if not numbers:
        if shown is None:
            return None
        return {"display": ", ".join([shown.get("family", ""), *shown.get("given", ())]).strip(", ")}
    draft = scribe.draft("Practitioner", key_of(numbers[0]))
    resource = draft.resource
    resource.setdefault("identifier", numbers)
    if shown:
        resource.setdefault("name", [shown])
    for element, read in (("address", address), ("telecom", contact_point)):
        told = [made for rep in segment.field(at[element]).repetitions if rep.raw and (made := read(rep, scribe))]
        if told:
            resource.setdefault(element, told)
    if place := first_repetition(segment, at["location"]):
        _works_at(draft, segment, place, scribe)
    return draft.reference


def _works_at(person: Draft, segment: Segment, place: Repetition, scribe: Scribe) -> None:
    where = location(place, scribe)
    if where is None:
        return
    role = scribe.draft("PractitionerRole", f"{person.key}|{where['reference']}")
    role.resource.update(practitioner=person.reference, location=[where])
    codes = [
        made
        for rep in segment.field(1).repetitions
        if rep.raw and (made := codeable_concept(rep, scribe, "ProviderRole"))
    ]
    if codes:
        role.resource["code"] = codes
