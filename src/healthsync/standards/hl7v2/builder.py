"""Writing messages (HL7 v2.5.1 §2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from .charsets import codec_of
from .errors import Hl7SyntaxError
from .escapes import escape
from .separators import DEFAULT_SEPARATORS, Separators

Scalar = str | int | Decimal | None
Component = Scalar | Sequence[Scalar]
FieldValue = Scalar | Sequence[Scalar | Sequence[Component]]

_CHARACTER_MISSING = "the character set of the message lacks a character of its text; use UNICODE UTF-8"


def timestamp(at: datetime) -> str:
    """A time as TS/DTM writes it, to the second and with its offset (§2.A.22); a time without zone stays without."""
    return at.strftime("%Y%m%d%H%M%S%z")


class MessageBuilder:
    """A message from header values and segments.

    A field is a text or a list of repetitions, a repetition a text or a list of components, a component a text or a
    list of subcomponents. Texts are escaped here. None is empty; `NULL` tells the receiver to delete the value.
    """

    def __init__(
        self,
        message_code: str,
        trigger: str = "",
        structure: str = "",
        *,
        control_id: str,
        at: datetime,
        sending_application: FieldValue = None,
        sending_facility: FieldValue = None,
        receiving_application: FieldValue = None,
        receiving_facility: FieldValue = None,
        processing_id: str = "P",
        version: str = "2.5.1",
        accept_ack_type: str = "",
        application_ack_type: str = "",
        charset: str = "UNICODE UTF-8",
        separators: Separators = DEFAULT_SEPARATORS,
    ) -> None:
        codec = codec_of(charset or "ASCII")
        if codec is None:
            raise Hl7SyntaxError(f"“{charset}” is no character set of HL7 table 0211; use UNICODE UTF-8", code="value")
        self._codec = codec
        self._separators = separators
        self._segments: list[str] = []
        self._header(
            {
                3: sending_application,
                4: sending_facility,
                5: receiving_application,
                6: receiving_facility,
                7: timestamp(at),
                9: [[message_code, trigger, structure]],
                10: control_id,
                11: processing_id,
                12: version,
                15: accept_ack_type,
                16: application_ack_type,
                18: charset,
            }
        )

    def segment(self, name: str, fields: Mapping[int, FieldValue] | None = None) -> MessageBuilder:
        """Append a segment with these fields by number."""
        self._segments.append(f"{name}{self._fields(fields or {}, 1)}")
        return self

    def copied(self, segment: str) -> MessageBuilder:
        """Append a segment that is written already, in the separators of this message."""
        self._segments.append(segment)
        return self

    def encode(self) -> bytes:
        """The message as bytes. Raises Hl7SyntaxError when its character set cannot write a character of it."""
        try:
            return "".join(f"{segment}\r" for segment in self._segments).encode(self._codec)
        except UnicodeEncodeError:
            raise Hl7SyntaxError(_CHARACTER_MISSING, code="value") from None

    def _header(self, fields: Mapping[int, FieldValue]) -> None:
        delimiters = f"{self._separators.field}{self._separators.encoding_characters}"
        self._segments.append(f"MSH{delimiters}{self._fields(fields, 3)}")

    def _fields(self, fields: Mapping[int, FieldValue], first: int) -> str:
        filled = {number: text for number, value in fields.items() if (text := self._field(value))}
        written = (filled.get(number, "") for number in range(first, max(filled, default=0) + 1))
        return "".join(self._separators.field + text for text in written)

    def _field(self, value: FieldValue) -> str:
        separators = self._separators
        return self._join(value, (separators.repetition, separators.component, separators.subcomponent))

    def _join(self, value: object, levels: tuple[str, ...]) -> str:
        if value is None:
            return ""
        if isinstance(value, str | int | Decimal):
            return escape(str(value), self._separators)
        if not levels or not levels[0] or not isinstance(value, Sequence):
            raise TypeError("a field is a text, or lists of repetitions, components and subcomponents, in this order")
        return levels[0].join(self._join(part, levels[1:]) for part in value).rstrip(levels[0])
