"""A message written by its map: segments in order, fields by their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import MessageBuilder
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.content import Content
from healthsync.standards.maps.outbound.datatypes import WRITERS, Pen, Repetition, Writer
from healthsync.standards.maps.outbound.orders import ORDER_WRITERS
from healthsync.standards.maps.outbound.paths import values
from healthsync.standards.maps.outbound.results import RESULT_WRITERS, told
from healthsync.standards.maps.outbound.scene import Subjects, repeated, subjects
from healthsync.standards.maps.outbound.tables import (
    Group,
    Line,
    SegmentMap,
    Source,
    Version,
    message_map,
    outbound_tables,
    require_version,
    version_number,
)

_WRITERS: dict[str, Writer] = {**WRITERS, **RESULT_WRITERS, **ORDER_WRITERS}


@dataclass(frozen=True, slots=True)
class Header:
    """MSH: who sends to whom, under which number, in which version. `at` is the time of the message (MSH-7)."""

    control_id: str
    at: datetime
    version: str = "2.5.1"
    sending_application: str = "HEALTHSYNC"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing_id: str = "P"
    character_encoding: str = "UNICODE UTF-8"


def missing(message_type: str, content: Content) -> str | None:
    """Why a message of this type cannot be written about this content, as a sentence; None when it can."""
    found = message_map(message_type)
    if content.root["resourceType"] not in found.about:
        return f"{message_type} is about {' or '.join(found.about)}, not {content.root['resourceType']}"
    if content.patient is None:
        return f"{message_type} needs a patient, and {content.root['resourceType']} names none that may be sent"
    if message_type == "ADT^A40" and content.retired is None:
        return "ADT^A40 needs the patient that was given up"
    return None


def build(message_type: str, content: Content, header: Header) -> bytes:
    """The message. Raises NotSupported for a type without a map, InvalidInput for a version that does not know it and
    for content that it cannot be about (`missing`) or that its character set cannot write."""
    found = message_map(message_type)
    require_version(message_type, header.version)
    if (why := missing(message_type, content)) is not None:
        raise InvalidInput(why, code="business-rule")
    version = version_number(header.version)
    code, _, trigger = message_type.partition("^")
    builder = MessageBuilder(
        code,
        trigger,
        found.structure if version >= (2, 3, 1) else "",
        control_id=header.control_id,
        at=header.at,
        sending_application=header.sending_application,
        sending_facility=header.sending_facility,
        receiving_application=header.receiving_application,
        receiving_facility=header.receiving_facility,
        processing_id=header.processing_id,
        version=header.version,
        charset=header.character_encoding,
    )
    own = (header.sending_facility or header.sending_application, "", "")
    writing = _Writing(builder, Pen(content, version, own), version)
    writing.parts(found.parts, subjects(content, trigger, header.at.isoformat(timespec="seconds")), 1)
    return builder.encode()


def patient_segments(builder: MessageBuilder, patient: Resource, version: str, number: int, *, owner: str) -> None:
    """Append PID and PD1 of a patient, the `number`th of the message, as the maps of all messages write them.

    `owner` is the authority of numbers that the sender gives itself. Raises InvalidInput for an unknown version.
    """
    content = Content(patient, {})
    writing = _Writing(builder, Pen(content, version_number(version), (owner, "", "")), version_number(version))
    parts = message_map("ADT^A28").parts
    known = [part for part in parts if isinstance(part, SegmentMap) and part.segment in ("PID", "PD1")]
    writing.parts(known, {"Patient": patient}, number)


class _Writing:
    """One pass over the map."""

    def __init__(self, builder: MessageBuilder, pen: Pen, version: Version) -> None:
        self._builder, self._pen, self._version = builder, pen, version

    def parts(self, parts: Sequence[SegmentMap | Group], now: Subjects, number: int) -> None:
        for part in parts:
            if isinstance(part, SegmentMap):
                self._segment(part, now, number)
                continue
            for place, value in enumerate(self._each(part, now), 1):
                self.parts(part.parts, {**now, part.name: value}, place)

    def _each(self, group: Group, now: Subjects) -> list[Any]:
        if group.path is None:
            return repeated(group.each, self._pen.content, now)
        return values(now, group.path, self._pen.content.resolve)

    def _segment(self, segment: SegmentMap, now: Subjects, number: int) -> None:
        """Segments that say nothing besides their number and constants are left out, but for the required."""
        if (subject := now.get(segment.subject)) is None:
            return
        if segment.segment in ("SPM", "TQ1") and self._version < (2, 5):
            return
        fields: dict[int, Any] = {}
        told_something = False
        for line in segment.lines:
            if not line.since <= self._version < line.until:
                continue
            value, is_content = self._field(line, segment.segment, subject, number)
            if value is not None:
                fields[line.field] = value
                told_something |= is_content
        if told_something or segment.segment in ("PID", "RGS"):
            self._builder.segment(segment.segment, fields)

    def _field(self, line: Line, segment: str, subject: Any, number: int) -> tuple[Any, bool]:
        for source in line.sources:
            if source.is_number:
                return str(number), False
            if source.constant is not None:
                return source.constant, False
            if repetitions := self._repetitions(source, subject):
                single = f"{segment}-{line.field}" in outbound_tables().single
                return repetitions[:1] if single else repetitions, True
        return None, False

    def _repetitions(self, source: Source, subject: Any) -> list[Repetition]:
        assert source.path is not None
        if source.converter == "OBX-value":
            valued = told(subject, self._pen)
            return valued[1] if valued else []
        write = _WRITERS[source.converter]
        found = values(subject, source.path, self._pen.content.resolve)
        made = (write(value, self._pen, source.vocabulary) for value in found)
        return [repetition for repetition in made if repetition]
