"""HL7 v2: frames, messages, batches, acknowledgements.

    MllpDecoder().feed(data)                      the payloads in a stream of frames
    split_batch(payload)                          the messages in a payload
    Message.parse(raw).get("PID-3.1")             a message, read where it is asked
    MessageBuilder("ADT", "A01", …).encode()      a message to send
    build_ack(raw, AckCode.AA, …)                 the answer

Pure: bytes in, values out; no socket, no clock, no store.
"""

from __future__ import annotations

from .ack import AckCode, AckError, ErrorCode, build_ack
from .batch import is_miscounted, split_batch
from .builder import MessageBuilder, timestamp
from .charsets import codec_of
from .errors import Hl7SyntaxError
from .escapes import escape, unescape
from .message import NULL, Field, Message, Repetition, Segment
from .mllp import FaultReason, FrameFault, MllpDecoder, frame
from .paths import Path, parse_path
from .separators import DEFAULT_SEPARATORS, Separators

__all__ = [
    "DEFAULT_SEPARATORS",
    "NULL",
    "AckCode",
    "AckError",
    "ErrorCode",
    "FaultReason",
    "Field",
    "FrameFault",
    "Hl7SyntaxError",
    "Message",
    "MessageBuilder",
    "MllpDecoder",
    "Path",
    "Repetition",
    "Segment",
    "Separators",
    "build_ack",
    "codec_of",
    "escape",
    "frame",
    "is_miscounted",
    "parse_path",
    "split_batch",
    "timestamp",
    "unescape",
]
