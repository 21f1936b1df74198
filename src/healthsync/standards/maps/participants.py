"""PRT: who or what takes part in what the segment before it tells (v2.7 §7.4.4; guide: message maps, PRT)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import organization, practitioner
from healthsync.standards.maps.scribe import Draft, Scribe

ORDERING = "OP"
INTERPRETING = "PRI"
DELETED = "D"


def tell(prt: Segment, about: Draft | None, order: Draft | None, device: Program, scribe: Scribe) -> bool:
    """Write the participant down; False where what it is about has no place for one in this role."""
    if about is None or prt.get(2) == DELETED:
        return False
    if first_repetition(prt, 10):
        return _device(prt, about, device, scribe)
    who = _who(prt, scribe)
    if who is None:
        return False
    role, kind = prt.get(4), about.resource["resourceType"]
    if role == ORDERING:
        ordered = order or (about if kind in ("ServiceRequest", "MedicationRequest") else None)
        if ordered is None or ordered.resource.get("requester", who) != who:
            return False
        ordered.resource["requester"] = who
    elif kind == "DiagnosticReport":
        _add(about, "resultsInterpreter" if role == INTERPRETING else "performer", who, scribe)
    elif kind == "Observation":
        _add(about, "performer", who, scribe)
    elif kind == "Immunization":
        function = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0443", "code": role}]}
        _add(about, "performer", {**({"function": function} if role else {}), "actor": who}, scribe)
    else:
        return False
    return True


def _who(prt: Segment, scribe: Scribe) -> Resource | None:
    """The person (PRT-5), else the organisation (PRT-8)."""
    for number, read in ((5, practitioner), (8, organization)):
        scribe.path = f"PRT-{number}"
        if (rep := first_repetition(prt, number)) and (found := read(rep, scribe)):
            return found
    return None


def _add(draft: Draft, element: str, entry: Resource, scribe: Scribe) -> None:
    scribe.add_once(draft.resource.setdefault(element, []), entry)


def _device(prt: Segment, about: Draft, program: Program, scribe: Scribe) -> bool:
    """PRT-10 as a Device; an Observation was made with it."""
    rep = first_repetition(prt, 10)
    number = ei_identifier(rep, scribe) if rep else None
    if number is None:
        return False
    draft = scribe.draft("Device", f"{number['system']}|{number['value']}")
    program.run(prt, draft, scribe)
    if about.resource["resourceType"] == "Observation":
        about.resource["device"] = draft.reference
    return True
