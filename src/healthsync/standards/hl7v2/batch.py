"""Files and batches of messages (HL7 v2.5.1 §2.10.3): every MSH starts a message of its own."""

from __future__ import annotations

import re

_START = rb"(?:\A(?:\xef\xbb\xbf)?[\s\0]*|%b)(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9])"
_CR_LINE, _LF_LINE = re.compile(_START % rb"\r\n*"), re.compile(_START % rb"\n")


def split_batch(payload: bytes) -> list[bytes]:
    """The messages of a file, a batch or of several MSH in one frame, in order; a plain message alone, untouched.

    Batch headers and trailers are left out: each message says for itself what it is. An empty batch gives []; bytes
    without any header are given back for the parser to refuse.
    """
    if payload.startswith(b"MSH") and payload.find(b"MSH", 3) < 0:
        return [payload]
    marks = list((_CR_LINE if b"\r" in payload else _LF_LINE).finditer(payload))
    if not marks or (len(marks) == 1 and marks[0][1] == b"MSH"):
        return [payload]
    ends = [mark.start() for mark in marks[1:]] + [len(payload)]
    return [payload[mark.start(1) : end] for mark, end in zip(marks, ends, strict=True) if mark[1] == b"MSH"]


def is_miscounted(payload: bytes) -> bool:
    """Whether a trailer tells another number than came: messages of a batch in BTS-1 (§2.15.3), batches of a file in
    FTS-1 (§2.15.7). A trailer that tells no number, and a payload without trailers, are not wrong.
    """
    if b"BTS" not in payload and b"FTS" not in payload:
        return False
    messages = batches = 0
    for mark in (_CR_LINE if b"\r" in payload else _LF_LINE).finditer(payload):
        if mark[1] == b"MSH":
            messages += 1
        elif mark[1] == b"BTS":
            batches += 1
            if _told(payload, mark.end()) not in (None, messages):
                return True
        elif mark[1] == b"FTS" and _told(payload, mark.end()) not in (None, batches or 1):
            return True
        if mark[1] in (b"BHS", b"BTS"):
            messages = 0
    return False


def _told(payload: bytes, at: int) -> int | None:
    """The number in the first field behind a segment's name."""
    field = re.match(rb"([^\r\n])\s*(\d{1,9})\s*(?:\1|[\r\n]|\Z)", payload[at : at + 24])
    return int(field[2]) if field else None
