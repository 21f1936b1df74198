"""ROL and PRT: who takes part in what the segment before them told (HL7 v2.5.1 §15.4.7; v2.7 §7.3.4).

After PID somebody is the patient's general practitioner or of the care team, after PV1 he takes part in the visit,
after PR1 he performs the procedure. Who leaves (action DE or D) keeps his place with an end: it was so until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import times
from healthsync.standards.maps.codes import codeable_concept
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import address, contact_point, organization, practitioner
from healthsync.standards.maps.periods import period_of
from healthsync.standards.maps.scribe import LOOKED_AT, Draft, Scribe, clean, part

if TYPE_CHECKING:
    from healthsync.standards.maps.reading import Reading

_LEFT = frozenset({"DE", "D", "UN"})
"""Tables 0287 and 0206: deleted, unlinked."""
_PRIMARY_CARE = frozenset({"PP", "FHCP"})
"""Tables 0443 and 0912: primary care provider, family health care professional."""


@dataclass(frozen=True, slots=True)
class Role:
    """Somebody in a role. `person` and `organisation` are References; `has_left` since the event at the latest."""

    code: str
    concept: Resource | None
    person: Resource | None
    organisation: Resource | None
    period: Resource | None
    has_left: bool

    @property
    def who(self) -> Resource | None:
        return self.person or self.organisation


def read(segment: Segment, scribe: Scribe) -> Role:
    """ROL-2 to ROL-14, or PRT-2 to PRT-15."""
    at = _ROL if segment.name == "ROL" else _PRT
    kind, person, employer = (first_repetition(segment, number) for number in (at.kind, at.person, at.organisation))
    scribe.path = f"{segment.name}-{at.person}"
    who = practitioner(person, scribe) if person else None
    if who and "reference" in who:
        _tell_address(segment, at, who, scribe)
    start, end = (clean(segment.get(number)).strip() for number in (at.start, at.end))
    return Role(
        code=part(kind, 1) if kind else "",
        concept=codeable_concept(kind, scribe, at.vocabulary) if kind else None,
        person=who,
        organisation=organization(employer, scribe) if employer else None,
        period=period_of(start, end, scribe),
        has_left=clean(segment.get(2)).strip() in _LEFT,
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """In which field of its segment what stands."""

    kind: int
    person: int
    organisation: int
    start: int
    end: int
    address: int
    telecom: int
    vocabulary: str


_ROL = _Places(3, 4, 14, 5, 6, 11, 12, "ProviderRole")
_PRT = _Places(4, 5, 8, 11, 12, 14, 15, "Participation")


def _tell_address(segment: Segment, at: _Places, who: Resource, scribe: Scribe) -> None:
    draft = scribe.referred(who)
    assert draft
    for number, name, read_one in ((at.address, "address", address), (at.telecom, "telecom", contact_point)):
        told = [made for rep in segment.valued(number) if (made := read_one(rep, scribe))]
        if told:
            draft.resource.setdefault(name, told)


def tell(about: Draft, role: Role, reading: Reading) -> bool:
    """Write the role down; False where this resource has no place for it."""
    who = role.who
    if who is None:
        return False
    match about.resource["resourceType"]:
        case "Patient" if role.code in _PRIMARY_CARE and not role.has_left:
            _add(about, "generalPractitioner", who, reading)
        case "Patient":
            _tell_care_team(about, role, who, reading)
        case "Encounter" | "Condition" | "Goal" if role.person is None:
            return False  # FHIR has a place for a person there, not for an organisation
        case "Encounter":
            _tell_participant(about, role, who, reading)
        case "Procedure":
            entry = {"function": role.concept, "actor": who, "onBehalfOf": role.person and role.organisation}
            _add(about, "performer", {name: value for name, value in entry.items() if value}, reading)
        case "Condition":
            about.resource.setdefault("asserter", who)
        case "Goal":
            about.resource.setdefault("expressedBy", who)
        case "CarePlan":
            _add(about, "contributor", who, reading)
        case _:
            return False
    return True


def _tell_participant(visit: Draft, role: Role, who: Resource, reading: Reading) -> None:
    """PV1 may have named him already: then the role adds since when."""
    participants = visit.resource.setdefault("participant", [])
    codes, period = _codes(role.concept), _period(role, reading)
    for entry in participants[:LOOKED_AT]:
        if entry.get("individual") == who and codes & {code for kind in entry.get("type", ()) for code in _codes(kind)}:
            entry.update({"period": period} if period else {})
            return
    entry = {"individual": who, "type": role.concept and [role.concept], "period": period}
    reading.scribe.add_once(participants, {name: value for name, value in entry.items() if value})


def _tell_care_team(patient: Draft, role: Role, who: Resource, reading: Reading) -> None:
    team = reading.scribe.draft("CareTeam", f"{patient.key}|care-team")
    team.resource.update(status="active", subject=patient.reference)
    entry: Resource = {"member": who}
    if role.concept:
        entry["role"] = [role.concept]
    if role.person and role.organisation:
        entry["onBehalfOf"] = role.organisation
    if period := _period(role, reading):
        entry["period"] = period
    _add(team, "participant", entry, reading)


def _period(role: Role, reading: Reading) -> Resource | None:
    """Who has left without a date, left when it happened."""
    period = dict(role.period or {})
    happened = times.date_time(reading.event_text, reading.scribe.zone)
    starts_later = "start" in period and happened and times.is_before(happened, period["start"])
    if role.has_left and "end" not in period and happened and not starts_later:
        period["end"] = happened
    return period or None


def _codes(concept: Resource | None) -> set[str]:
    return {coding["code"] for coding in (concept or {}).get("coding", ())}


def _add(draft: Draft, name: str, entry: Resource, reading: Reading) -> None:
    reading.scribe.add_once(draft.resource.setdefault(name, []), entry)
