"""Messages as FHIR."""

from __future__ import annotations

import re

from healthsync.errors import InvalidInput
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps.families import USUAL_TRIGGERS, family_of
from healthsync.standards.maps.model import Conversion, MappingContext
from healthsync.standards.maps.reading import Reading

ANSWERS = frozenset(
    {
        "ACK",
        "ORR",
        "ORL",
        "ORG",
        "ORI",
        "ORP",
        "ORD",
        "ORS",
        "ORN",
        "RRE",
        "RRD",
        "RRA",
        "RRG",
        "RSP",
        "MCF",
        "ADR",
        "SRR",
        "MFK",
    }
)
"""Messages that answer another one (v2.5.1 appendix A: application acknowledgements and responses)."""


def supported(code: str, trigger: str) -> bool:
    """Whether there is a map for this message type."""
    return family_of(code, trigger) is not None


def convert(message: Message, ctx: MappingContext) -> Conversion:
    """The FHIR resources of a message. Pure: the same message and context give the same answer.

    Raises InvalidInput (`not-supported`) for a message type without a map and (`required`) for a message without PID.
    Anything else that is wrong in the message becomes an issue of the conversion.
    """
    family, trigger = family_for(message)
    return family(message, trigger, ctx).run()


def family_for(message: Message) -> tuple[type[Reading], str]:
    """The family that reads this message, and its trigger event. Raises InvalidInput as `convert` does."""
    code = message.message_code
    trigger = trigger_of(message)
    family = family_of(code, trigger)
    if family is None and code in ANSWERS:
        raise InvalidInput(
            f"{_shown(code)}^{_shown(trigger)} answers a message and tells nothing of its own; stop its sender from "
            "sending it here, nothing is lost",
            code="not-supported",
        )
    if family is None and code == "SRM":
        raise InvalidInput(
            f"SRM^{_shown(trigger)} asks for a change of an appointment and tells nothing that has happened; the SIU "
            "of the system that books it will",
            code="not-supported",
        )
    if family is None:
        raise InvalidInput(f"unsupported message type {_shown(code)}^{_shown(trigger)}", code="not-supported")
    if trigger not in family.patientless and message.first("PID") is None:
        raise InvalidInput(
            "the message has no PID segment: nobody to file it under; ask the sender for one", code="required"
        )
    return family, trigger


def trigger_of(message: Message) -> str:
    """MSH-9.2, else EVN-1 (where versions before 2.3 tell it), else what such messages usually are."""
    evn = None if message.trigger else message.first("EVN")
    told = message.trigger or (evn.get(1).strip() if evn else "")
    return told or USUAL_TRIGGERS.get(message.message_code, "")


def _shown(text: str) -> str:
    return text if re.fullmatch(r"[A-Z0-9]{1,7}", text) else "?"
