"""`hl7_processing`: an operator's HL7 v2 mappings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from healthsync.settings.documents.names import Names, Trigger
from healthsync.settings.reading import setting
from healthsync.standards.maps.outbound import known_types

MESSAGE_TYPE = re.compile(r"[A-Z0-9]{3}\^[A-Z0-9]{3}")
HL7_PATH = re.compile(r"([A-Z][A-Z0-9]{2})[.-]\d{1,3}(\.\d{1,3}){0,2}")


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One field of a message and the column it fills."""

    hl7: str = setting("Segment and field, such as PID.3 or PID.5.1.")
    db: str = setting("A column of the target table.")


@dataclass(frozen=True, slots=True)
class SegmentMapping:
    """The fields of one segment."""

    hl7_segment: str = setting("Segment name.")
    target_table: str = setting("A logical table.")
    fields: tuple[FieldMapping, ...] = setting("The fields.")


@dataclass(frozen=True, slots=True)
class InboundMapping:
    """Messages of one type."""

    message_type: str = setting("Code and trigger, such as ADT^A01.")
    mapping: tuple[SegmentMapping, ...] = setting("Mappings that override ours field by field.")


@dataclass(frozen=True, slots=True)
class OutboundMapping:
    """A message that a change sends out."""

    trigger: Trigger = setting("The change.")
    generate: str = setting("Code and trigger of the message.")


@dataclass(frozen=True, slots=True)
class Hl7Processing:
    """HL7 v2 mappings of an operator."""

    inbound: tuple[InboundMapping, ...] = setting("Mappings of arriving messages.", default=())
    outbound: tuple[OutboundMapping, ...] = setting(
        "Messages that changes send out, to every destination that gets this type of message.", default=()
    )


@dataclass(frozen=True, slots=True)
class Hl7ProcessingDocument:
    """HL7 v2 mappings of an operator."""

    hl7_processing: Hl7Processing = setting("HL7 v2 mappings of an operator; named by `hl7.processing_path`.")

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each segment and each outbound message."""
        for at, inbound in enumerate(self.hl7_processing.inbound):
            key = f"hl7_processing.inbound[{at}]"
            _check_message_type(inbound.message_type, names, f"{key}.message_type")
            for position, segment in enumerate(inbound.mapping):
                yield _segment_sentence(inbound.message_type, segment, names, f"{key}.mapping[{position}]")
        for at, outbound in enumerate(self.hl7_processing.outbound):
            key = f"hl7_processing.outbound[{at}]"
            if outbound.generate not in known_types():
                known = ", ".join(known_types())
                names.fault(f"{key}.generate", f"no map builds “{outbound.generate}”; there are {known}")
            if outbound.trigger.operation == "DELETE":
                told = "nothing is sent on DELETE; what is taken back is told by an UPDATE of its status"
                names.fault(f"{key}.trigger.operation", told)
            names.table(outbound.trigger.table, f"{key}.trigger.table")
            yield f"on {outbound.trigger.operation} of {outbound.trigger.table}: send {outbound.generate}"


def _check_message_type(text: str, names: Names, key: str) -> None:
    if not MESSAGE_TYPE.fullmatch(text):
        names.fault(key, f"“{text}” is not a message type; write code and trigger, such as ADT^A01")


def _segment_sentence(message_type: str, segment: SegmentMapping, names: Names, key: str) -> str:
    known = names.table(segment.target_table, f"{key}.target_table")
    said = []
    for at, one in enumerate(segment.fields):
        path = HL7_PATH.fullmatch(one.hl7)
        if not path or path[1] != segment.hl7_segment:
            names.fault(f"{key}.fields[{at}].hl7", f"“{one.hl7}” is not a field of {segment.hl7_segment}")
        meaning = names.column(segment.target_table, one.db, f"{key}.fields[{at}].db") if known else None
        target = f" ({meaning.fhir_type}.{meaning.path})" if meaning else ""
        said.append(f"{one.hl7} → {segment.target_table}.{one.db}{target}")
    return f"{message_type}: {', '.join(said)}"
