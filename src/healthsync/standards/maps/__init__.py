"""HL7 v2 messages as FHIR R4: the v2-to-FHIR tables of HL7, our overrides, compiled once.

    ctx = MappingContext(source="ward-7", resource_id=ids.of, timezone=ZoneInfo("Europe/Vienna"), received_at=now)
    conversion = convert(Message.parse(frame), ctx)
    for mapped in conversion.resources:
        store(merged(stored_resource, mapped))

Everything here is pure: no clock, no store, no network.
"""

from healthsync.standards.maps.conversion import convert, supported
from healthsync.standards.maps.merging import merged
from healthsync.standards.maps.model import (
    Conversion,
    Correction,
    MappedResource,
    MappingContext,
    MappingIssue,
    PatientLink,
    PatientMerge,
    RecordMerge,
    RecordMove,
)
from healthsync.standards.maps.operator import OperatorMapping, load_operator_mapping

__all__ = [
    "Conversion",
    "Correction",
    "MappedResource",
    "MappingContext",
    "MappingIssue",
    "OperatorMapping",
    "PatientLink",
    "PatientMerge",
    "RecordMerge",
    "RecordMove",
    "convert",
    "load_operator_mapping",
    "merged",
    "supported",
]
