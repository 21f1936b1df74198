"""HL7 v2 ranges of time (DR, and start/end pairs) as FHIR Periods."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.maps import times
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.scribe import Scribe, part


def period_of(start: str, end: str, scribe: Scribe) -> Resource | None:
    if not start and not end:
        return None
    spoken = {"start": scribe.date_time(start), "end": scribe.date_time(end)}
    return in_order({name: text for name, text in spoken.items() if text}, scribe) or None


def in_order(spoken: Resource, scribe: Scribe) -> Resource:
    """A Period that begins before it ends (FHIR per-1): an end before the start is left out and reported."""
    if "start" in spoken and "end" in spoken and times.is_before(spoken["end"], spoken["start"]):
        scribe.issue("ends-before-start")
        return {"start": spoken["start"]}
    return spoken


def period(rep: Repetition, scribe: Scribe) -> Resource | None:
    """DR[Period]."""
    return period_of(part(rep, 1), part(rep, 2), scribe)
