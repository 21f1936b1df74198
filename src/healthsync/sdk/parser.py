"""HL7 v2 messages as a program reads them: `parser.get('PID-3.1')`, `obx[3][0][0]`, `obx[8] in ['HH', 'LL']`.

Fields, repetitions and components are texts that can also be taken apart. As a text each is its value: it compares,
hashes, sorts, formats and goes into JSON as one. By index a segment gives its fields by their number in the standard
(`obx[3]` is OBX-3), a field its repetitions, a repetition its components and a component its subcomponents, these
counted from 0 as in Python; what was not sent is an empty text, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex, TypeVar, overload

from healthsync.standards.hl7v2 import Message, Repetition, Segment

if TYPE_CHECKING:
    from healthsync.sdk.model import HL7Message

_Part = TypeVar("_Part", bound=str)

_WHOLE_TEXT = frozenset({"ST", "TX", "FT"})  # senders forget to escape delimiters in these


class _Divisible(str, Generic[_Part]):
    """A text that is also a sequence of parts. Its length and iteration are those of the parts."""

    __slots__ = ("_absent", "_parts", "_read")

    def __new__(cls, value: str, read: Callable[[], tuple[_Part, ...]], absent: Callable[[], _Part]) -> Any:
        made = super().__new__(cls, value)
        made._parts, made._read, made._absent = None, read, absent
        return made

    @property
    def parts(self) -> tuple[_Part, ...]:
        """All parts that were sent."""
        if self._parts is None:
            self._parts = self._read()
        return self._parts

    @overload
    def __getitem__(self, index: SupportsIndex) -> _Part: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[_Part, ...]: ...
    def __getitem__(self, index: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = self.parts
        if isinstance(index, slice):
            return parts[index]
        place = index.__index__()
        return parts[place] if -len(parts) <= place < len(parts) else self._absent()

    def __iter__(self) -> Iterator[_Part]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __bool__(self) -> bool:
        return str.__len__(self) > 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.parts)} parts>"  # no value: a repr ends in logs

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def __str__(self) -> str:
        return str.__str__(self)


class HL7Component(_Divisible[str]):
    """A component; its parts are subcomponents. As a text: the first of them."""

    __slots__ = ()


class HL7Repetition(_Divisible[HL7Component]):
    """One repetition of a field; its parts are components. As a text: the first of them."""

    __slots__ = ()


class HL7Field(_Divisible[HL7Repetition]):
    """A field; its parts are repetitions. As a text: its first repetition (OBX-5: see `HL7Segment`)."""

    __slots__ = ()


def _component(subcomponents: tuple[str, ...]) -> HL7Component:
    return HL7Component(subcomponents[0] if subcomponents else "", lambda: subcomponents, str)


def _no_component() -> HL7Component:
    return _component(())


def _repetition(source: Repetition | None, text: str) -> HL7Repetition:
    def read() -> tuple[HL7Component, ...]:
        if source is None:
            return ()
        return tuple(_component(source.subcomponents(n)) for n in range(1, len(source.components) + 1))

    return HL7Repetition(text, read, _no_component)


def _no_repetition() -> HL7Repetition:
    return _repetition(None, "")


class HL7Segment:
    """A segment, its fields by number: `pid[3]` is PID-3 and `msh[9]` MSH-9.

    As a text OBX-5 is what OBX-2 says that it is: all of a text (ST, TX, FT), `<5` or `1:128` of a structured number
    (SN), else its first component, or the second (a coded value without a code).
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment

    @property
    def name(self) -> str:
        """The name, such as OBX."""
        return self._segment.name

    @property
    def index(self) -> int:
        """The place among the segments of its name, counted from 1."""
        return self._segment.index

    def __getitem__(self, number: int) -> HL7Field:
        """A field by its number in the standard, 1 to n. Raises IndexError for 0 and below, which are none."""
        if number < 1:
            raise IndexError("fields are counted from 1: obx[3] is OBX-3")
        field = self._segment.field(number)
        repetitions = field.repetitions
        text = self._text(number, repetitions[0]) if repetitions else ""

        def read() -> tuple[HL7Repetition, ...]:
            return tuple(_repetition(each, self._text(number, each)) for each in repetitions)

        return HL7Field(text, read, _no_repetition)

    def __len__(self) -> int:
        """The number of the last field that was sent."""
        return len(self._segment)

    def __iter__(self) -> Iterator[HL7Field]:
        return (self[number] for number in range(1, len(self) + 1))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(self._segment)

    def _text(self, number: int, repetition: Repetition) -> str:
        kind = self._segment.get(2) if self.name == "OBX" and number == 5 else ""
        if kind in _WHOLE_TEXT:
            return repetition.text
        if kind == "SN":  # comparator, number, separator, number (§2.A.71)
            return "".join(repetition.component(n) for n in range(1, 5))
        first = repetition.component(1)
        return first or repetition.component(2) if kind else first


class HL7Parser:
    """A message that is read where it is asked.

    Takes the text or the bytes of a message, or the message that a handler was given. Raises InvalidInput when no MSH
    stands at its start.
    """

    def __init__(self, message: str | bytes | HL7Message | Message) -> None:
        if isinstance(message, Message):
            self._message = message
        else:
            content = message if isinstance(message, str | bytes) else message.content
            self._message = Message.parse(content.encode() if isinstance(content, str) else content)

    @property
    def message(self) -> Message:
        """The parsed message of `healthsync.standards.hl7v2`."""
        return self._message

    def get(self, path: str, default: str = "") -> str:
        """The text at a path such as `PID-3.1`, `PID.3`, `OBX[2]-5` or `PID-3[2].4.2`; `default` when nothing was sent.

        What a path leaves out is 1: `PID.3` is the first number itself. Raises InvalidInput when the text is no path.
        """
        return self._message.get(path) or default

    def segments(self, name: str | None = None) -> list[HL7Segment]:
        """The segments of a name, in order; all of them without one."""
        found = self._message.segments if name is None else self._message.all(name)
        return [HL7Segment(segment) for segment in found]

    def segment(self, name: str) -> HL7Segment | None:
        """The first segment of a name."""
        found = self._message.first(name)
        return None if found is None else HL7Segment(found)

    def field(self, path: str) -> HL7Field:
        """The field at a path such as `PID-3`, to be taken apart."""
        name, _, number = path.replace(".", "-").partition("-")
        segment = self.segment(name)
        return segment[int(number)] if segment is not None else HL7Field("", tuple, _no_repetition)

    @property
    def message_type(self) -> str:
        """MSH-9 as `ORU^R01`."""
        return "^".join(filter(None, (self._message.message_code, self._message.trigger)))

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self._message.control_id

    @property
    def version(self) -> str:
        """MSH-12."""
        return self._message.version

    @property
    def warnings(self) -> tuple[str, ...]:
        """What had to be guessed to read it, as codes."""
        return self._message.warnings

    def __repr__(self) -> str:
        return repr(self._message)
