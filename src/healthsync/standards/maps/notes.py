"""NTE: notes on what the segment before them became."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.encounter import first_repetition
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.parties import practitioner
from healthsync.standards.maps.scribe import Draft, Scribe, clean

_R5_NOTES = {
    "DiagnosticReport": "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note",
    "Appointment": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.note",
}
"""Resources that have a note from R5 on."""


def note(nte: Segment, draft: Draft, scribe: Scribe) -> None:
    """NTE comments the segment before it. Where R4 has no note (DiagnosticReport): R5's, as an extension."""
    rep = first_repetition(nte, 3)
    text = (
        "\n".join(clean(rep.text) for rep in nte.field(3).repetitions if rep.raw and not rep.is_null).strip()
        if rep
        else ""
    )
    if not text:
        return
    made: Resource = {"text": text}
    resource = draft.resource
    author = first_repetition(nte, 5)
    if author and (who := practitioner(author, scribe)):
        made.update({"authorReference": who} if "reference" in who else {"authorString": who["display"]})
    if told := scribe.date_time(nte.get(6).strip()):
        made["time"] = told
    if url := _R5_NOTES.get(resource["resourceType"]):
        resource.setdefault("extension", []).append({"url": url, "valueAnnotation": made})
    else:
        resource.setdefault("note", []).append(made)
