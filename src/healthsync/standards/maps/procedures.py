"""PR1: what was done to the patient (HL7 v2.5.1 §6.5.4)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import numbers, times
from healthsync.standards.maps.clinical import DELETED, UNKNOWN, coded_key
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.identifiers import ei_identifier, key_of
from healthsync.standards.maps.scribe import Draft, Scribe, clean, part


def procedure(pr1: Segment, program: Program, patient: Draft, visit: Draft | None, scribe: Scribe) -> Draft | None:
    """PR1[Procedure]. Key: its identifier (PR1-19), else visit (or patient), code and time."""
    told = coded_key(pr1, 3, scribe) or clean(pr1.get(4)).strip().lower()
    number = first_repetition(pr1, 19)
    found = ei_identifier(number, scribe) if number else None
    if not told and not found:
        scribe.issue("procedure-missing", "PR1-3")
        return None
    of_whom = visit.key if visit else patient.key
    key = f"number|{key_of(found)}" if found else f"{of_whom}|{told}|{clean(pr1.get(5)).strip()}"
    draft = scribe.draft("Procedure", key)
    resource = draft.resource
    resource.update(status="completed", subject=patient.reference)
    if visit:
        resource["encounter"] = visit.reference
    program.run(pr1, draft, scribe)
    resource.setdefault("code", UNKNOWN)
    _tell_when(pr1, draft, scribe)
    _tell_modifiers(pr1, draft)
    if pr1.get(20) == DELETED:
        resource["status"] = "entered-in-error"
        draft.action = "entered-in-error"
    return draft


def _tell_when(pr1: Segment, draft: Draft, scribe: Scribe) -> None:
    """PR1-5, for PR1-7 minutes."""
    scribe.path = "PR1-5"
    start = scribe.date_time(clean(pr1.get(5)).strip())
    if start is None:
        return
    minutes = numbers.decimal(clean(pr1.get(7)).strip())
    if minutes and (end := times.plus_minutes(start, minutes)):
        draft.resource["performedPeriod"] = {"start": start, "end": end}
    else:
        draft.resource["performedDateTime"] = start


def _tell_modifiers(pr1: Segment, draft: Draft) -> None:
    """PR1-16 behind the code, as the guide writes it: `27447:RT`."""
    codes = draft.resource["code"].get("coding", ())
    modifiers = [part(rep, 1) for rep in pr1.field(16).repetitions if part(rep, 1)]
    if codes and modifiers:
        codes[0]["code"] = ":".join([codes[0]["code"], *modifiers])
