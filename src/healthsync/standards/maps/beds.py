"""NPU: the state of a bed (HL7 v2.5.1 §3.4.8, A20 §3.3.20)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.parties import location
from healthsync.standards.maps.scribe import Scribe, part
from healthsync.standards.maps.tables import tables


def bed_status(npu: Segment, scribe: Scribe) -> None:
    """NPU-1, NPU-2 as Location.operationalStatus (table 0116)."""
    bed, state = first_repetition(npu, 1), first_repetition(npu, 2)
    reference = location(bed, scribe) if bed else None
    draft = scribe.referred(reference) if reference else None
    if draft is None:
        scribe.issue("bed-missing", "NPU-1")
        return
    sent = part(state, 1) if state else ""
    if known := tables().concepts["BedStatus"].get(sent):
        _, code, display, system = known
        draft.resource["operationalStatus"] = {"system": system, "code": code, "display": display}
    elif sent:
        scribe.issue("code-not-in-table", "NPU-2")
