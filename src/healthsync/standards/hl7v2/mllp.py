"""MLLP frames without a socket (HL7 Transport Specification: MLLP, release 1).

A frame is VT, the message, FS CR. On the wire one also meets noise between frames (NUL, LF after CR), an FS without
its CR, and a frame that begins before the last one has ended. Each has its answer here; no order of bytes stops the
decoder or makes it hold more than its bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

_VT, _FS, _CR, _LF, _NUL = b"\x0b", b"\x1c", 0x0D, 0x0A, 0x00
_WINDOW = 4096  # bytes looked at in one step: keeps the work linear whatever the order of VT and FS
_HEAD = 65_536  # bytes of a faulty frame that are kept as evidence


class FaultReason(StrEnum):
    """Why a frame gave no message."""

    CUT = "cut"  # another frame began, or the stream ended, before this one's end
    OVERSIZE = "oversize"  # longer than the bound; the rest of it is skipped


@dataclass(frozen=True, slots=True)
class FrameFault:
    """A frame that gave no message.

    `bytes_seen` of it came in until the fault was clear. `head` is its beginning, at most 64 KiB, as evidence; it may
    hold patient data and stays out of `repr`.
    """

    reason: FaultReason
    bytes_seen: int
    head: bytes = field(default=b"", repr=False)


def frame(payload: bytes) -> bytes:
    """The payload between VT and FS CR."""
    return b"\x0b" + payload + b"\x1c\r"


class MllpDecoder:
    """Push decoder: bytes in as they arrive, messages and faults out in order, wherever the stream is cut.

    A message longer than `max_message_bytes` is reported once and skipped. How long a half frame may stay half is for
    the caller to say, who has the clock: `pending_bytes`, `finish`.
    """

    def __init__(self, max_message_bytes: int = 16 * 1024 * 1024) -> None:
        self._limit = max_message_bytes
        self._frame: bytearray | None = None  # None between frames
        self._held_fs = False  # the last byte was an FS inside a frame: the next one decides whether it ended it
        self.noise_bytes = 0  # bytes skipped outside frames, line ends and NULs not counted

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that has begun and not ended; 0 between frames."""
        return 0 if self._frame is None else 1 + len(self._frame) + self._held_fs

    def feed(self, data: bytes) -> list[bytes | FrameFault]:
        """The messages and faults that these bytes complete."""
        found: list[bytes | FrameFault] = []
        position = 0
        while position < len(data):
            if self._frame is None:
                position = self._skip_to_frame(data, position)
            elif self._held_fs:
                position = self._after_fs(data, position, found)
            else:
                position = self._read_frame(data, position, found)
        return found

    def finish(self) -> list[bytes | FrameFault]:
        """What the bytes held amount to when no more will come: a message that ended with FS alone, or a cut frame.

        Call it at the end of the stream, and when a peer falls silent: one that sends no CR waits for its answer.
        """
        found: list[bytes | FrameFault] = []
        if self._held_fs and self._frame is not None:
            self._deliver(found)
        else:
            self._cut(found)
        self._frame = None
        return found

    def _skip_to_frame(self, data: bytes, position: int) -> int:
        start = data.find(_VT, position)
        skipped = data[position:] if start < 0 else data[position:start]
        if skipped:
            self.noise_bytes += len(skipped.translate(None, b"\r\n\0"))
        if start < 0:
            return len(data)
        self._frame = bytearray()
        return start + 1

    def _read_frame(self, data: bytes, position: int, found: list[bytes | FrameFault]) -> int:
        end = min(position + _WINDOW, len(data))
        fs = data.find(_FS, position, end)
        vt = data.find(_VT, position, end if fs < 0 else fs)
        mark = vt if vt >= 0 else fs
        stop = end if mark < 0 else mark
        taken = self._append(data[position:stop], found)
        if taken < stop - position or mark < 0:
            return position + taken
        if vt >= 0:
            self._cut(found)
            self._frame = bytearray()
        else:
            self._held_fs = True
        return mark + 1

    def _after_fs(self, data: bytes, position: int, found: list[bytes | FrameFault]) -> int:
        """FS CR ends a frame. FS with LF, NUL or the next VT behind it does so too; before anything else it is data."""
        following = data[position]
        if following in (_CR, _LF, _NUL):
            self._deliver(found)
            return position + 1
        if following == _VT[0]:
            self._deliver(found)
        else:
            self._held_fs = False
            self._append(_FS, found)
        return position

    def _append(self, part: bytes, found: list[bytes | FrameFault]) -> int:
        """How many bytes still fitted. If not all, the fault is reported and the decoder waits for the next VT."""
        assert self._frame is not None
        fitting = part[: self._limit - len(self._frame)]
        self._frame += fitting
        if len(fitting) < len(part):
            found.append(FrameFault(FaultReason.OVERSIZE, self._limit + 1, bytes(self._frame[:_HEAD])))
            self._frame = None
        return len(fitting)

    def _cut(self, found: list[bytes | FrameFault]) -> None:
        if self._frame:
            found.append(FrameFault(FaultReason.CUT, len(self._frame), bytes(self._frame[:_HEAD])))

    def _deliver(self, found: list[bytes | FrameFault]) -> None:
        assert self._frame is not None
        found.append(bytes(self._frame))
        self._frame, self._held_fs = None, False
