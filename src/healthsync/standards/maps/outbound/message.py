"""A message written by its map: segments in order, fields by their lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
from healthsync.standards.maps.outbound.results import RESULT_WRITERS, pieces, told
from healthsync.standards.maps.outbound.scene import BESIDE, Subjects, repeated, subjects
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


def beside(message_type: str) -> tuple[str, ...]:
    """Types of what such a message tells of the patient although its root does not refer to it: see `is_beside`."""
    groups = (part.each for part in message_map(message_type).parts if isinstance(part, Group))
    return tuple(each.removeprefix("$") for each in groups if each in BESIDE)


def untellable(message_type: str, root: Resource, changed: str = "UPDATE") -> str | None:
    """Why this resource is no occasion for a message of this type, as a sentence; None when it is one.

    v2 has no word for a negation or a proposal, nor for the state of a visit: whoever gets the message would do what
    nobody ordered. `changed` says whether the resource is new (INSERT).
    """
    found, kind = message_map(message_type), root["resourceType"]
    if kind not in found.about:
        return f"{message_type} is about {' or '.join(found.about)}, not {kind}"
    status = root.get("status")
    if status in found.refuses or (changed == "INSERT" and status in found.takes_back):
        return f"{message_type} tells of no {kind} whose status is {status}"
    if root.get("doNotPerform"):
        return f"{message_type} cannot say that something is not to be done"
    if root.get("intent", "order") not in _ORDERS:
        return f"{message_type} tells of orders, and a {root['intent']} is none"
    if kind == "Patient" and any(link.get("type") == "replaced-by" for link in root.get("link", ())):
        return f"{message_type} would bring back a patient that was given up in a merge, which ADT^A40 tells"
    return None


_ORDERS = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})


def missing(message_type: str, content: Content) -> str | None:
    """Why a message of this type cannot be written about this content, as a sentence; None when it can."""
    if (why := untellable(message_type, content.root, content.changed)) is not None:
        return why
    if any(map(_has_modifier, content.all())):
        return f"{message_type} cannot carry a modifier extension, which may turn the meaning of the resource round"
    if content.patient is None:
        return f"{message_type} needs a patient, and {content.root['resourceType']} names none that may be sent"
    if message_type == "ADT^A40" and content.retired is None:
        return "ADT^A40 needs the patient that was given up"
    return None


def _has_modifier(value: Any) -> bool:
    """Whether it, or something in it, may mean the opposite of what it says."""
    if isinstance(value, dict):
        return "modifierExtension" in value or any(map(_has_modifier, value.values()))
    return isinstance(value, list) and any(map(_has_modifier, value))


def build(message_type: str, content: Content, header: Header) -> bytes:
    """The message. Raises NotSupported for a type without a map, InvalidInput for a version that does not know it and
    for content that it cannot be about (`missing`) or that its character set cannot write."""
    found = message_map(message_type)
    require_version(message_type, header.version)
    if (why := missing(message_type, content)) is not None:
        raise InvalidInput(why, code="business-rule")
    version = version_number(header.version)
    _, _, trigger = message_type.partition("^")
    builder = begun(message_type, header, found.structure)
    own = (header.sending_facility or header.sending_application, "", "")
    writing = _Writing(builder, Pen(content, version, own), version)
    writing.parts(found.parts, subjects(content, trigger, header.at.isoformat(timespec="seconds")), Counter())
    for segment in found.needs:
        if segment not in writing.written:
            lacking = f"{segment}-{writing.lacking[segment]}" if segment in writing.lacking else segment
            told = f"{message_type} needs {lacking}, and {content.root['resourceType']} says nothing that belongs there"
            raise InvalidInput(told, code="required")
    return builder.encode()


def begun(message_type: str, header: Header, structure: str) -> MessageBuilder:
    """A message with its MSH. Raises InvalidInput for an unknown version."""
    code, _, trigger = message_type.partition("^")
    return MessageBuilder(
        code,
        trigger,
        structure if version_number(header.version) >= (2, 3, 1) else "",
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


def patient_segments(builder: MessageBuilder, patient: Resource, version: str, number: int, *, owner: str) -> None:
    """Append PID and PD1 of a patient, the `number`th of the message, as the maps of all messages write them.

    `owner` is the authority of numbers that the sender gives itself. Raises InvalidInput for an unknown version.
    """
    content = Content(patient, {})
    writing = _Writing(builder, Pen(content, version_number(version), (owner, "", "")), version_number(version))
    parts = message_map("ADT^A28").parts
    known = [part for part in parts if isinstance(part, SegmentMap) and part.segment in ("PID", "PD1")]
    writing.parts(known, {"Patient": patient}, Counter({"PID": number - 1}))


class _Writing:
    """One pass over the map."""

    def __init__(self, builder: MessageBuilder, pen: Pen, version: Version) -> None:
        self._builder, self._pen, self._version = builder, pen, version
        self.written: set[str] = set()
        self.lacking: dict[str, int] = {}
        """Segments that were not written for want of this field."""

    def parts(self, parts: Sequence[SegmentMap | Group], now: Subjects, numbers: Counter[str], place: int = 1) -> None:
        """Write the parts. `numbers` counts the segments of the group that they stand in, groups inside count anew;
        `place` is the number of this group."""
        inside: Counter[str] = Counter()
        for part in parts:
            if isinstance(part, SegmentMap):
                self._segment(part, now, numbers, place)
                continue
            for at, value in enumerate(self._each(part, now), 1):
                self.parts(part.parts, {**now, part.name: value}, inside, at)

    def _each(self, group: Group, now: Subjects) -> list[Any]:
        if group.path is None:
            return repeated(group.each, self._pen.content, now)
        return values(now, group.path, self._pen.content.resolve)

    def _segment(self, segment: SegmentMap, now: Subjects, numbers: Counter[str], place: int) -> None:
        """A segment that says nothing besides its number and constants is left out, but for the required; and so is one
        that lacks a field which the standard requires."""
        name = segment.segment
        if (subject := now.get(segment.subject)) is None:
            return
        if name in ("SPM", "TQ1") and self._version < (2, 5):
            return
        counts = {"$set": str(numbers[name] + 1), "$place": str(place)}
        fields: dict[int, Any] = {}
        told_something = False
        for line in segment.lines:
            if not line.since <= self._version < line.until:
                continue
            value, is_content = self._field(line, name, subject, counts)
            if value is not None:
                fields[line.field] = value
                told_something |= is_content
        if lacking := [field for field in outbound_tables().required.get(name, ()) if field not in fields]:
            self.lacking.setdefault(name, lacking[0])
        elif told_something or name in ("PID", "RGS"):
            numbers[name] += 1
            self.written.add(name)
            self._builder.segment(name, fields)

    def _field(self, line: Line, segment: str, subject: Any, counts: Mapping[str, str]) -> tuple[Any, bool]:
        """The repetitions of a field, and whether they say anything of the subject."""
        also = [repetition for source in line.also for repetition in self._repetitions(source, subject)]
        for source in line.sources:
            if source.counts:
                return counts[source.counts], False
            if source.path is None:
                return [source.constant, *also], bool(also)
            if repetitions := self._repetitions(source, subject):
                single = f"{segment}-{line.field}" in outbound_tables().single
                return repetitions[:1] if single else repetitions + also, True
        repeated = [repetition for source in line.otherwise for repetition in self._repetitions(source, subject)]
        return also or repeated or None, bool(also)

    def _repetitions(self, source: Source, subject: Any) -> list[Repetition]:
        assert source.path is not None
        if source.converter == "OBX-value":
            valued = told(subject, self._pen)
            return valued[1] if valued else []
        if source.converter == "FT":
            return [piece for text in values(subject, source.path, self._pen.content.resolve) for piece in pieces(text)]
        found = values(subject, source.path, self._pen.content.resolve)
        if source.constant is not None:
            constant: list[Repetition] = [source.constant]
            return constant if found else []
        write = _WRITERS[source.converter]
        made = (write(value, self._pen, source.vocabulary) for value in found)
        return [repetition for repetition in made if repetition]
