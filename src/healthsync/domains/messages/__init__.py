"""Every HL7 v2 message that came in: its bytes, its state, its answer, its place in the order.

    accepted ──► processed          stored as FHIR; a replay reads it anew
        │            ▲
        │            │ replay, in its place among the messages of its patients
        └──► dead ───┤              cannot be processed; the reason says why, the bytes stay
              │      │
              └──► replaced         an edited copy was processed in its place

The bytes lie apart, in the raw zone: a partition for each day, a key for each source and day, never changed.

Invariants: a message is acknowledged only after its bytes are committed; the same bytes of the same partner are one
message; of the messages about one patient none is processed before an older one that still waits; a message that
fails holds back its own patients and nobody else.
"""

from healthsync.domains.messages.acknowledging import Answering, answering
from healthsync.domains.messages.headers import control_id_of, shown_text, type_of
from healthsync.domains.messages.lanes import patients_of, runnable
from healthsync.domains.messages.model import (
    Arrival,
    Claimed,
    DayOfRaw,
    MessageState,
    MessageWarning,
    RawTerm,
    Read,
    Receipt,
    Restored,
    SealedMessage,
    SealingKey,
    Selection,
    Settlement,
    StoredMessage,
    day_of,
    key_scope,
)
from healthsync.domains.messages.replaying import Group, takes_part
from healthsync.domains.messages.retry import failed
from healthsync.domains.messages.service import ACCEPTED_CHANNEL, MessageService

__all__ = [
    "ACCEPTED_CHANNEL",
    "Answering",
    "Arrival",
    "Claimed",
    "DayOfRaw",
    "Group",
    "MessageService",
    "MessageState",
    "MessageWarning",
    "RawTerm",
    "Read",
    "Receipt",
    "Restored",
    "SealedMessage",
    "SealingKey",
    "Selection",
    "Settlement",
    "StoredMessage",
    "answering",
    "control_id_of",
    "day_of",
    "failed",
    "key_scope",
    "patients_of",
    "runnable",
    "shown_text",
    "takes_part",
    "type_of",
]
