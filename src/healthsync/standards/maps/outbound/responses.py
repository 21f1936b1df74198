"""What is told of numbers: answers to questions about patients, RSP^K22 (PDQ, IHE ITI-21) and RSP^K23 (PIX, IHE ITI-9),
and the PIX Update Notification (ADT^A31, IHE ITI-10).

An answer is MSH, MSA, ERR, QAK, the QPD of the question as it was sent, a PID for each patient, DSC when there is more
(HL7 v2.5.1 §3.3.57, §3.3.58, §5.4). PID is written by the tables of all other messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healthsync.standards.hl7v2 import AckCode, Hl7SyntaxError, Message, MessageBuilder, Repetition, codec_of
from healthsync.standards.maps.model import Resource
from healthsync.standards.maps.outbound.content import Content
from healthsync.standards.maps.outbound.datatypes import Pen, cx
from healthsync.standards.maps.outbound.message import Header, begun, patient_segments
from healthsync.standards.maps.outbound.tables import VERSIONS, version_number
from healthsync.standards.maps.queries import QueryFault

_STRUCTURES = {"Q22": ("K22", "RSP_K21"), "Q23": ("K23", "RSP_K23")}
_UTF_8 = "UNICODE UTF-8"


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What is answered.

    code      MSA-1: AA, or AE and AR with faults
    patients  each as a PID (PDQ)
    numbers   identifiers of the one patient (PIX)
    total     how many patients there are, where that is known; `remaining` after these
    pointer   where the next answer begins, for DSC-1
    """

    code: AckCode
    faults: Sequence[QueryFault] = ()
    patients: Sequence[Resource] = ()
    numbers: Sequence[Resource] = ()
    total: int | None = None
    remaining: int | None = None
    pointer: str = ""

    @property
    def status(self) -> str:
        """QAK-2 (table 0208): OK, NF no data found, AE, AR."""
        if self.code is not AckCode.AA:
            return self.code.value
        return "OK" if self.patients or self.numbers else "NF"


def build_response(
    query: Message, answer: QueryAnswer, *, control_id: str, at: datetime, application: str, facility: str
) -> bytes:
    """The answer to a QBP in its delimiters, version and character set; in UTF-8 where that set lacks a character.

    `application` and `facility` name the hub where the query names no receiver.
    """
    charset = query.get("MSH-18")
    wanted = charset if charset and codec_of(charset) is not None else _UTF_8
    own = (application, facility)
    try:
        return _written(query, answer, wanted, control_id, at, own)
    except Hl7SyntaxError:
        return _written(query, answer, _UTF_8, control_id, at, own)


def build_pix_update(numbers: Sequence[Resource], header: Header, occurred_at: datetime) -> bytes:
    """Which numbers are one person's from now on: ADT^A31 without a name, and without a visit (ITI TF-2 §3.10.4.1)."""
    builder = begun("ADT^A31", header, "ADT_A05")
    builder.segment("EVN", {2: _at(header.at), 6: _at(occurred_at)})
    builder.segment("PID", _of_numbers(numbers, header.version, header.sending_facility or header.sending_application))
    builder.segment("PV1", {2: "N"})
    return builder.encode()


def _at(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S%z")


def _written(
    query: Message, answer: QueryAnswer, charset: str, control_id: str, at: datetime, own: tuple[str, str]
) -> bytes:
    version = query.version if query.version in VERSIONS else "2.5.1"
    trigger, structure = _STRUCTURES[query.trigger.strip()]
    header = query.segments[0]
    builder = MessageBuilder(
        "RSP",
        trigger,
        structure,
        control_id=control_id,
        at=at,
        sending_application=_parts(header.valued(5)) or own[0],
        sending_facility=_parts(header.valued(6)) or own[1],
        receiving_application=_parts(header.valued(3)),
        receiving_facility=_parts(header.valued(4)),
        processing_id=query.get("MSH-11") or "P",
        version=version,
        charset=charset,
        separators=query.separators,
    )
    field = query.separators.field
    builder.copied(field.join(("MSA", answer.code.value, header.raw_field(10).replace("\n", " "))))
    for fault in answer.faults:
        builder.segment("ERR", _error(fault))
    question = query.first("QPD")
    name = question.valued(1) if question is not None else ()
    tag = question.get(2) if question is not None else ""
    shown = len(answer.patients) + bool(answer.numbers)
    counts = (answer.total, shown, answer.remaining) if answer.total is not None else (None, None, None)
    builder.segment("QAK", {1: tag, 2: answer.status, 3: _parts(name), 4: counts[0], 5: counts[1], 6: counts[2]})
    if question is not None:
        builder.copied(question.raw)
    for number, patient in enumerate(answer.patients, 1):
        patient_segments(builder, patient, version, number, owner=own[1] or own[0])
    if answer.numbers:
        builder.segment("PID", _of_numbers(answer.numbers, version, own[1] or own[0]))
    if answer.pointer:
        builder.segment("DSC", {1: answer.pointer, 2: "I"})
    return builder.encode()


def _of_numbers(numbers: Sequence[Resource], version: str, owner: str) -> dict[int, Any]:
    """PID of a PIX answer: numbers, and no name. ITI TF-2 §3.9.4.2.2.6: PID-5 is empty, then says that it is none."""
    pen = Pen(Content({"resourceType": "Patient"}, {}), version_number(version), (owner, "", ""))
    return {3: [written for number in numbers if (written := cx(number, pen))], 5: ["", ["", "", "", "", "", "", "S"]]}


def _error(fault: QueryFault) -> dict[int, Any]:
    """ERR-2 location, ERR-3 code (table 0357), ERR-4 severity, ERR-8 text for the user (HL7 v2.5.1 §2.15.5)."""
    code = [fault.code.value, fault.code.meaning, "HL70357"]
    return {2: [[str(part) for part in fault.place]], 3: [code], 4: "E", 8: fault.text}


def _parts(repetitions: Sequence[Repetition]) -> list[list[list[str]]] | None:
    """A field of the query, to be written again."""
    return [
        [list(each.subcomponents(number)) for number in range(1, len(each.components) + 1)] for each in repetitions
    ] or None
