"""A message, its segments, fields and repetitions (HL7 v2.5.1 §2.5–2.7): views that split and unescape when asked.

Nothing is refused but a message without a usable header. No `repr` shows a value. `Message.warnings` tells what the
codec had to guess:

    bom-dropped                     a byte order mark stood before MSH
    charset-undeclared              bytes beyond ASCII and no MSH-18
    charset-unknown                 MSH-18 names no character set that we know
    charset-fallback                the bytes are not in the character set of MSH-18
    encoding-characters-fallback    MSH-2 is empty or garbled, ``^~\\&`` was taken
    leading-noise                   white space or control characters stood before MSH
    line-feed-segments              segments end with LF, LF CR or CRLF instead of CR
    lines-joined                    lines that are no segment were taken as line breaks of the segment before them
"""

from __future__ import annotations

import re

from .charsets import decode
from .errors import Hl7SyntaxError
from .notation import Notation, SegmentStarts, notation_of, part
from .paths import parse_path
from .separators import Separators
from .text import said

NULL = '""'  # §2.5.3: the sender deletes the value; an empty field says nothing about it
_HEADERS = frozenset({"MSH", "FHS", "BHS"})
_NO_HEADER = "the message does not begin with an MSH segment; check that HL7 v2 is sent here, one message a frame"
_NOISE = "\x0b\x00\ufeff \t\r\n"


class Repetition:
    """One repetition of a field: components and subcomponents, numbered from 1."""

    __slots__ = ("_components", "_notation", "_parts", "raw")

    def __init__(self, raw: str, notation: Notation) -> None:
        self.raw = raw
        self._notation = notation
        self._components: tuple[str, ...] | None = None
        self._parts: list[str] | None = None

    def __repr__(self) -> str:
        return f"<Repetition of {len(self.components)} components>"

    def __bool__(self) -> bool:
        return bool(self.raw)

    @property
    def is_empty(self) -> bool:
        """Nothing was sent."""
        return not self.raw

    @property
    def is_null(self) -> bool:
        """The sender deletes the value (``""``)."""
        return self.raw == NULL

    @property
    def components(self) -> tuple[str, ...]:
        """The components as sent, still escaped."""
        if self._components is None:
            self._components = tuple(self.raw.split(self._notation.component))
        return self._components

    def component(self, number: int, sub: int = 1) -> str:
        """The text of a component's subcomponent; "" when it is absent."""
        if (components := self._components) is None:
            components = self.components
        if number > len(components) or not (raw := components[number - 1]):
            return ""
        notation = self._notation
        if sub > 1 or notation.subcomponent in raw:
            raw = part(raw, notation.subcomponent, sub)
        return notation.text(raw) if notation.escape in raw else raw

    def part(self, component: int, sub: int = 1) -> str:
        """What a component says (see `text.said`); "" when it is absent. Read once, however often asked."""
        if sub > 1:
            return said(self.component(component, sub)) if self._notation.subcomponent in self.raw else ""
        parts = self._parts or self.parts
        return parts[component] if component < len(parts) else ""

    @property
    def parts(self) -> list[str]:
        """What each component says, at its number (at 0 stands nothing); "" for those that were not sent, up to 24."""
        if self._parts is None:
            self._parts = ["", *self._read_parts(), *_NOT_SENT]
        return self._parts

    @property
    def is_nested(self) -> bool:
        """Whether a component has subcomponents."""
        return self._notation.subcomponent in self.raw

    def _read_parts(self) -> list[str]:
        raw, notation = self.raw, self._notation
        if notation.escape in raw or notation.subcomponent in raw or '"' in raw or not raw.isprintable():
            return [said(self.component(number)) for number in range(1, len(self.components) + 1)]
        parts = raw.split(notation.component)
        return [text.strip() for text in parts] if " " in raw else parts

    def subcomponents(self, number: int) -> tuple[str, ...]:
        """The texts of a component's subcomponents; () when the component is absent or empty."""
        components = self.components
        if number > len(components) or not components[number - 1]:
            return ()
        return tuple(map(self._notation.text, components[number - 1].split(self._notation.subcomponent)))

    def inside(self, number: int) -> Repetition:
        """A component read as a field of its own: its subcomponents are the components of what is answered."""
        components, notation = self.components, self._notation
        raw = components[number - 1] if number <= len(components) else ""
        return Repetition(raw.replace(notation.subcomponent, notation.component), notation)

    def from_component(self, number: int) -> str:
        """The text from a component to the end: for data in which the sender forgot to escape delimiters."""
        return self._notation.text(self._notation.component.join(self.components[number - 1 :]))

    @property
    def text(self) -> str:
        """The whole repetition as one text: for ST, TX and FT, in which senders forget to escape delimiters."""
        return self._notation.text(self.raw)


_NOT_SENT = ("",) * 24

_LITERAL = Notation(Separators("", "", "", "", ""), "ascii")


class Field:
    """One field of a segment; false when empty."""

    __slots__ = ("_literal", "_notation", "raw")

    def __init__(self, raw: str, notation: Notation, *, literal: bool = False) -> None:
        self.raw = raw
        self._notation = notation
        self._literal = literal  # MSH-1 and MSH-2 are delimiters, not delimited

    def __repr__(self) -> str:
        return f"<Field of {len(self.raw)} characters>"

    def __bool__(self) -> bool:
        return bool(self.raw)

    @property
    def is_empty(self) -> bool:
        """Nothing was sent: the receiver keeps what it has."""
        return not self.raw

    @property
    def is_null(self) -> bool:
        """The sender deletes the value (``""``)."""
        return self.raw == NULL

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """All repetitions, empty ones among them; () for an empty field."""
        if not self.raw:
            return ()
        if self._literal:
            return (Repetition(self.raw, _LITERAL),)
        return tuple([Repetition(raw, self._notation) for raw in self.raw.split(self._notation.repetition)])

    @property
    def text(self) -> str:
        """The first subcomponent of the first component of the first repetition."""
        return self.raw if self._literal else self._notation.value(self.raw)


class Segment:
    """One segment; `index` counts from 1 among the segments of its name. Its `len` is the number of its last field."""

    __slots__ = ("_fields", "_notation", "_valued", "index", "name", "raw")

    def __init__(self, name: str, raw: str, index: int, notation: Notation) -> None:
        self.name = name
        self.raw = raw
        self.index = index
        self._notation = notation
        self._valued: dict[int, tuple[Repetition, ...]] = {}
        self._fields = raw.split(notation.field)
        if name in _HEADERS:
            self._fields.insert(1, notation.field)

    def __repr__(self) -> str:
        return f"<Segment {self.name}[{self.index}] of {len(self)} fields>"

    def __len__(self) -> int:
        return len(self._fields) - 1

    def __bool__(self) -> bool:
        return True  # a segment without fields is still a segment

    def field(self, number: int) -> Field:
        """A field by its number in the standard (MSH-1 is the field separator); an empty field when it was not sent."""
        fields = self._fields
        literal = number <= 2 and self.name in _HEADERS
        return Field(fields[number] if 0 < number < len(fields) else "", self._notation, literal=literal)

    def valued(self, number: int) -> tuple[Repetition, ...]:
        """The repetitions of a field that say something: neither empty nor ``""``. Split once, however often asked."""
        if (found := self._valued.get(number)) is None:
            fields, notation = self._fields, self._notation
            raw = fields[number] if number < len(fields) else ""
            if not raw or raw == NULL:
                found = ()
            elif notation.repetition not in raw or (number <= 2 and self.name in _HEADERS):
                found = (Repetition(raw, notation),)
            else:
                found = tuple([Repetition(r, notation) for r in raw.split(notation.repetition) if r and r != NULL])
            self._valued[number] = found
        return found

    def raw_field(self, number: int) -> str:
        """A field as sent, still escaped; "" when it was not."""
        fields = self._fields
        return fields[number] if 0 < number < len(fields) else ""

    @property
    def raw_fields(self) -> list[str]:
        """The fields as sent, field 1 at index 1; index 0 is the name."""
        return self._fields

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields 1 to n."""
        return tuple(self.field(number) for number in range(1, len(self) + 1))

    def get(self, field: int, repetition: int = 1, component: int = 1, sub: int = 1) -> str:
        """The text at an address inside the segment; "" when it is absent."""
        fields = self._fields
        if field >= len(fields):
            return ""
        raw = fields[field]
        if not raw or (field <= 2 and self.name in _HEADERS):
            return raw
        if component == repetition == sub == 1 and raw.isalnum():  # no delimiter is a letter or a digit
            return raw
        return self._notation.value(raw, repetition, component, sub)


class Message:
    """A parsed message; the bytes it came from stay as they are."""

    __slots__ = ("_by_name", "_lines", "_notation", "_segments", "raw", "warnings")

    def __init__(self, raw: bytes, lines: list[str], notation: Notation, warnings: tuple[str, ...]) -> None:
        self.raw = raw
        self.warnings = warnings
        self._notation = notation
        self._lines = lines
        self._by_name: dict[str, list[Segment]] = {}
        self._segments: tuple[Segment, ...] | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Message:
        """The message in these bytes. Raises Hl7SyntaxError when no usable MSH stands at their start."""
        text, codec, warnings = decode(raw)
        if not text.startswith("MSH"):
            text = text.lstrip(_NOISE)
            warnings = (*warnings, "leading-noise")
        notation, believable = notation_of(*_header_delimiters(text), codec)
        if not believable:
            warnings = (*warnings, "encoding-characters-fallback")
        lines, more = _segment_lines(text.rstrip("\x1c\x00\r\n"), notation.begins_segment)
        return cls(raw, lines, notation, (*warnings, *more) if more else warnings)

    def __repr__(self) -> str:
        return f"<Message {self.message_code}^{self.trigger} of {len(self._lines)} segments>"

    def encode(self) -> bytes:
        """The message as bytes, exactly those it was parsed from."""
        return self.raw

    @property
    def notation(self) -> Notation:
        """How the message is written."""
        return self._notation

    @property
    def separators(self) -> Separators:
        """The delimiters of MSH-1 and MSH-2."""
        return self._notation.separators

    @property
    def charset(self) -> str:
        """The Python codec in which the bytes were read."""
        return self._notation.charset

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments in order."""
        if self._segments is None:
            names = [line[:3] for line in self._lines]
            asked_before = {name: iter(same) for name, same in self._by_name.items()}
            self._segments = tuple(
                [
                    next(asked_before[name]) if name in asked_before else self._one_more(name, line)
                    for name, line in zip(names, self._lines, strict=True)
                ]
            )
        return self._segments

    def all(self, name: str) -> list[Segment]:
        """The segments of this name, in order."""
        return list(self._named(name))

    def first(self, name: str) -> Segment | None:
        """The first segment of this name."""
        same = self._named(name)
        return same[0] if same else None

    @property
    def _header(self) -> Segment:
        return self._named("MSH")[0]

    def _named(self, name: str) -> list[Segment]:
        same = self._by_name.get(name)
        if same is None:
            same = self._by_name[name] = []
            for line in self._lines:
                if line.startswith(name):
                    self._one_more(name, line)
        return same

    def _one_more(self, name: str, line: str) -> Segment:
        same = self._by_name.setdefault(name, [])
        segment = Segment(name, line, len(same) + 1, self._notation)
        same.append(segment)
        return segment

    def get(self, path: str) -> str:
        """The text at a path such as ``PID-3.1``, ``OBX[2]-5`` or ``PID-3[2].4.2``; "" when it is absent.

        What the path leaves out is 1: ``PID-5`` is the family name. A null is ``""`` as sent.
        Raises InvalidInput when the text is no path.
        """
        name, occurrence, field, repetition, component, sub = parse_path(path)
        same = self._by_name.get(name) or self._named(name)
        return same[occurrence - 1].get(field, repetition, component, sub) if occurrence <= len(same) else ""

    @property
    def message_code(self) -> str:
        """MSH-9.1, such as ADT."""
        return self._header.get(9)

    @property
    def trigger(self) -> str:
        """MSH-9.2, such as A01."""
        return self._header.get(9, 1, 2)

    @property
    def structure(self) -> str:
        """MSH-9.3 as sent, such as ADT_A01; "" when the sender leaves it out, as before v2.3.1."""
        return self._header.get(9, 1, 3)

    @property
    def control_id(self) -> str:
        """MSH-10 as sent, still escaped: MSA-2 repeats it character for character."""
        return self._header.field(10).raw

    @property
    def version(self) -> str:
        """MSH-12.1."""
        return self._header.get(12)

    @property
    def sending_application(self) -> str:
        """MSH-3.1."""
        return self._header.get(3)

    @property
    def sending_facility(self) -> str:
        """MSH-4.1."""
        return self._header.get(4)

    @property
    def receiving_application(self) -> str:
        """MSH-5.1."""
        return self._header.get(5)

    @property
    def receiving_facility(self) -> str:
        """MSH-6.1."""
        return self._header.get(6)

    @property
    def timestamp(self) -> str:
        """MSH-7 as text, such as 20240301120000+0000."""
        return self._header.get(7)

    @property
    def accept_ack_type(self) -> str:
        """MSH-15: AL, NE, ER, SU, or "" (original mode when MSH-16 is empty too, §2.9.2)."""
        return self._header.get(15)

    @property
    def application_ack_type(self) -> str:
        """MSH-16: AL, NE, ER, SU, or ""."""
        return self._header.get(16)


def _header_delimiters(text: str) -> tuple[str, str]:
    """MSH-1 and MSH-2 as sent."""
    field = text[3:4]
    if not text.startswith("MSH") or not field or field.isalnum() or field.isspace() or not field.isprintable():
        raise Hl7SyntaxError(_NO_HEADER, code="structure")
    end = text.find(field, 4, 10)
    return field, text[4:end] if end > 0 else re.split(r"[\r\n]", text[4:10])[0]


def _segment_lines(text: str, begins_segment: SegmentStarts) -> tuple[list[str], tuple[str, ...]]:
    """The segments, and warnings. They end with CR (§2.5.2), after which LF is data; the end of MSH tells who errs."""
    lines, warnings = text.split("\r"), ()
    if "\n" in text:
        if "\n" in lines[0]:
            lines, warnings = re.split(r"[\r\n]+", text), ("line-feed-segments",)
        elif "\r\n" in text:
            lines, warnings = [line.strip("\n") for line in lines], ("line-feed-segments",)
    if all(map(begins_segment.__getitem__, [line[:4] for line in lines])):
        return lines, warnings
    joined = _join_lines(lines, begins_segment)
    return joined, (*warnings, "lines-joined") if len(joined) < sum(map(bool, lines)) else warnings


def _join_lines(lines: list[str], begins_segment: SegmentStarts) -> list[str]:
    """A line that is no segment is a line break in the one before it: senders write CR or LF into NTE and OBX-5."""
    segments: list[list[str]] = []
    for line in lines:
        if begins_segment[line[:4]]:
            segments.append([line])
        elif line:
            segments[-1].append(line)
    return ["\n".join(segment) for segment in segments]
