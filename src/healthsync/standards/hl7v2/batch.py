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
