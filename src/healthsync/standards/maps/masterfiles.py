"""Master files: staff (STF, PRA: HL7 v2.5.1 §15.4) and places (LOC, LDP: §8.9) as the directory knows them.

An entry is named as visits and orders name it, by the number of XCN or the path of PL: both meet in one resource.
"""

from __future__ import annotations

from collections.abc import Mapping

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import cx_identifier, identifier, key_of, preferred
from healthsync.standards.maps.parties import location
from healthsync.standards.maps.scribe import Draft, Scribe, part

_ACTIVE = {"A": True, "I": False}
"""STF-7, LDP-6 (table 0183)."""


def staff(stf: Segment, active: bool | None, programs: Mapping[str, Program], scribe: Scribe) -> Draft | None:
    """STF[Practitioner]. Key: his number in STF-2, a medical record number of staff before others, else STF-1."""
    numbers = [made for rep in stf.valued(2) if (made := cx_identifier(rep, scribe))]
    key = first_repetition(stf, 1)
    if not numbers and key and (code := part(key, 1)):
        numbers = [identifier(code, part(key, 3), "", "", scribe)]
    if not numbers:
        scribe.issue("staff-without-number", "STF-2")
        return None
    draft = scribe.draft("Practitioner", key_of(preferred(numbers)))
    draft.resource.setdefault("identifier", numbers)
    programs["STF[Practitioner]"].run(stf, draft, scribe)
    _tell_active(draft, "active", stf, 7, active, scribe)
    return draft


def practice(pra: Segment, staff: Draft, programs: Mapping[str, Program], scribe: Scribe) -> None:
    """PRA: licences of the person, and what he does in which group (PractitionerRole). Key: person and group."""
    programs["PRA[Practitioner]"].run(pra, staff, scribe)
    role = scribe.draft("PractitionerRole", f"{staff.key}|practice")
    programs["PRA[PractitionerRole]"].run(pra, role, scribe, again=True)
    if not role.resource.keys() & {"organization", "code", "specialty"}:
        del scribe.drafts["PractitionerRole", role.key]
        return
    role.as_of = staff.as_of
    role.resource["practitioner"] = staff.reference
    if "active" in staff.resource:
        role.resource["active"] = staff.resource["active"]


def place(
    segment: Segment, name: str, status_at: int, active: bool | None, programs: Mapping[str, Program], scribe: Scribe
) -> Draft | None:
    """LOC[Location] or LDP[Location]; the place of LOC-1, LDP-1 as PV1-3 names it."""
    rep = first_repetition(segment, 1)
    scribe.path = f"{segment.name}-1"
    reference = location(rep, scribe) if rep else None
    if reference is None:
        scribe.issue("location-without-name")
        return None
    draft = scribe.draft_of(reference)
    programs[name].run(segment, draft, scribe)
    _tell_active(draft, "status", segment, status_at, active, scribe)
    return draft


def _tell_active(
    draft: Draft, element: str, segment: Segment, number: int, active: bool | None, scribe: Scribe
) -> None:
    """What the entry says of itself stands before what its event (MFE-1) says; a deletion stands before both."""
    sent = segment.get(number).strip().upper() if number else ""
    if sent and sent not in _ACTIVE:
        scribe.issue("code-not-in-table", f"{segment.name}-{number}")
    told = active if active is False else _ACTIVE.get(sent, active)
    if told is None:
        return
    draft.resource[element] = told if element == "active" else "active" if told else "inactive"
