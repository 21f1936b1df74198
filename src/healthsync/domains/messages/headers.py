"""What of a header is kept in the clear: enough to find a message, nothing that tells of a patient."""

from __future__ import annotations

import re

from healthsync.standards.hl7v2 import Message

_CODE = re.compile(r"[A-Z0-9_]{0,12}")
_MOST_CONTROL_ID = 199  # HL7 v2.7 §2.14.9.10


def type_of(message: Message | None) -> str:
    """MSH-9 as `ADT^A01`; what does not look like codes is not repeated."""
    if message is None:
        return ""
    code, trigger = message.message_code.strip(), message.trigger.strip()
    if not (_CODE.fullmatch(code) and _CODE.fullmatch(trigger)):
        return "unknown"
    return f"{code}^{trigger}" if trigger else code


def control_id_of(message: Message) -> str:
    """MSH-10, as long as it may be."""
    return shown_text(message.control_id)[:_MOST_CONTROL_ID]


def shown_text(text: str) -> str:
    """Text that a database and a log can hold: a control character or lone surrogate becomes U+FFFD."""
    text = text.strip()
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)
