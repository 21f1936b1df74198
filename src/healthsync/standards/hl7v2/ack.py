"""Acknowledgements (HL7 v2.5.1 §2.9; segments: §2.15.8 MSA, §2.15.5 ERR).

The answer is made from the header alone, also from one that is damaged or missing: somebody is waiting for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from .builder import timestamp
from .errors import Hl7SyntaxError
from .escapes import escape
from .message import Message, Segment
from .paths import parse_path
from .separators import DEFAULT_SEPARATORS, Separators


class AckCode(StrEnum):
    """HL7 table 0008: A. is the application's word, C. means committed to safe storage (enhanced mode, §2.9.2)."""

    AA = "AA"
    AE = "AE"
    AR = "AR"
    CA = "CA"
    CE = "CE"
    CR = "CR"

    @property
    def is_accept(self) -> bool:
        """The sender need not send the message again."""
        return self in (AckCode.AA, AckCode.CA)


class ErrorCode(StrEnum):
    """HL7 table 0357, message error condition codes."""

    SEGMENT_SEQUENCE_ERROR = "100"
    REQUIRED_FIELD_MISSING = "101"
    DATA_TYPE_ERROR = "102"
    TABLE_VALUE_NOT_FOUND = "103"
    UNSUPPORTED_MESSAGE_TYPE = "200"
    UNSUPPORTED_EVENT_CODE = "201"
    UNSUPPORTED_PROCESSING_ID = "202"
    UNSUPPORTED_VERSION_ID = "203"
    UNKNOWN_KEY_IDENTIFIER = "204"
    DUPLICATE_KEY_IDENTIFIER = "205"
    APPLICATION_RECORD_LOCKED = "206"
    APPLICATION_INTERNAL_ERROR = "207"

    @property
    def meaning(self) -> str:
        """The table's description, such as “Required field missing”."""
        return self.name.replace("_", " ").capitalize().removesuffix(" id")


@dataclass(frozen=True, slots=True)
class AckError:
    """Why a message was not accepted, at a path such as PID-3.1. `text` is for strangers: no patient's values."""

    code: ErrorCode
    text: str
    path: str | None = None
    severity: str = "E"  # table 0516: E error, W warning, I information, F fatal


class _Header(NamedTuple):
    """What an answer repeats of the message it answers, as sent and still escaped."""

    separators: Separators = DEFAULT_SEPARATORS
    codec: str = "ascii"
    sender: tuple[str, str] = ("", "")
    receiver: tuple[str, str] = ("", "")
    trigger: str = ""
    control_id: str = ""
    processing_id: str = "P"
    version: str = "2.5.1"
    charset: str = ""

    def is_before(self, *version: int) -> bool:
        """Whether the sender's version of the standard is older than this one."""
        return _version_number(self.version) < version


@lru_cache(maxsize=64)
def _version_number(text: str) -> tuple[int, ...]:
    number = re.match(r"[0-9]{1,3}(?:\.[0-9]{1,3})*", text)
    return tuple(map(int, number[0].split("."))) if number else (2, 5, 1)


def build_ack(
    received: bytes | Message,
    code: AckCode,
    *,
    control_id: str,
    now: datetime,
    error: AckError | None = None,
    application: str = "",
    facility: str = "",
) -> bytes:
    """The acknowledgement of a message, in its delimiters, version and character set.

    MSA-2 is its MSH-10 exactly as sent. `control_id` is the answer's own MSH-10; `application` and `facility` name the
    hub where the message names no receiver. An error is told in ERR from v2.5 on (§2.15.5), before that in MSA-3.
    """
    header = _read_header(received)
    hub = (escape(application, header.separators), escape(facility, header.separators))
    segments = [_msh(header, hub, control_id, now), _msa(header, code, error)]
    if error and not header.is_before(2, 5):
        segments.append(_err(header, error))
    return "".join(f"{segment}\r" for segment in segments).encode(header.codec, "replace")


def _read_header(received: bytes | Message) -> _Header:
    try:
        message = received if isinstance(received, Message) else Message.parse(_from_header(received))
    except Hl7SyntaxError:
        return _Header()
    msh = message.segments[0]
    return _Header(
        separators=message.separators,
        codec=message.charset,
        sender=(_one_line(msh, 3), _one_line(msh, 4)),
        receiver=(_one_line(msh, 5), _one_line(msh, 6)),
        trigger=escape(message.trigger, message.separators),
        control_id=_one_line(msh, 10),
        processing_id=_one_line(msh, 11) or "P",
        version=_one_line(msh, 12) or "2.5.1",
        charset=_one_line(msh, 18),
    )


def _from_header(received: bytes) -> bytes:
    """Leave out what stands before the first MSH: the parser refuses it, the answer does not mind."""
    start = re.search(rb"MSH(?=[^A-Za-z0-9\s])", received)
    return received[start.start() :] if start else received


def _one_line(msh: Segment, field: int) -> str:
    return msh.field(field).raw.replace("\n", " ")


def _msh(header: _Header, hub: tuple[str, str], control_id: str, now: datetime) -> str:
    separators = header.separators
    structure = "ACK" if header.trigger and not header.is_before(2, 3, 1) else ""
    message_type = separators.component.join(filter(None, ("ACK", header.trigger, structure)))
    fields = [
        f"MSH{separators.field}{separators.encoding_characters}",
        header.receiver[0] or hub[0],
        header.receiver[1] or hub[1],
        *header.sender,
        timestamp(now),
        "",
        message_type,
        escape(control_id, separators),
        header.processing_id,
        header.version,
        *["", "", "", "", "", header.charset],
    ]
    return separators.field.join(fields).rstrip(separators.field)


def _msa(header: _Header, code: AckCode, error: AckError | None) -> str:
    fields = ["MSA", code.value, header.control_id]
    if error and header.is_before(2, 5):
        fields.append(escape(error.text, header.separators))
    return header.separators.field.join(fields)


def _err(header: _Header, error: AckError) -> str:
    """ERR-2 location, ERR-3 code (table 0357), ERR-4 severity, ERR-8 text for the user."""
    separators = header.separators
    code = separators.component.join((error.code.value, error.code.meaning, "HL70357"))
    fields = ("ERR", "", _location(error, separators), code, error.severity, "", "", "", escape(error.text, separators))
    return separators.field.join(fields)


def _location(error: AckError, separators: Separators) -> str:
    """ERL (§2.A.28): segment, its number, field, repetition; component and subcomponent unless they are the first."""
    if error.path is None:
        return ""
    *parts, component, subcomponent = map(str, parse_path(error.path))
    if subcomponent != "1":
        parts += [component, subcomponent]
    elif component != "1":
        parts += [component]
    return separators.component.join(parts)
