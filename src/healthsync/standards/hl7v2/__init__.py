"""HL7 v2: MLLP frames, messages, batches, acknowledgements. Pure: bytes in, values out.

    decoder = MllpDecoder(); decoder.feed(data)      messages out of a stream of frames
    message = Message.parse(payload)                 lazy views on the bytes; message.get("PID-3.1")
    MessageBuilder("ADT", "A01", "ADT_A01", …)       a message to send
    build_ack(payload, AckCode.AA, …)                the answer
"""

from __future__ import annotations

from .ack import AckCode, AckError, ErrorCode, build_ack
from .batch import split_batch
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
    "parse_path",
    "split_batch",
    "timestamp",
    "unescape",
]
