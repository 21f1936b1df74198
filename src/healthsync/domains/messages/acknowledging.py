"""Which answer does the sender get, and does it want one? (HL7 v2.5.1 §2.9.2, §2.9.3)"""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.standards.hl7v2 import AckCode, Message

_ORIGINAL = (AckCode.AA, AckCode.AE, AckCode.AR)
_ENHANCED = (AckCode.CA, AckCode.CE, AckCode.CR)


@dataclass(frozen=True, slots=True)
class Answering:
    """How one message is answered. `codes` are those for taken, error (send again later), and refused (do not)."""

    codes: tuple[AckCode, AckCode, AckCode] = _ORIGINAL
    condition: str = "AL"
    """MSH-15 or MSH-16 (HL7 table 0155): AL always, NE never, ER on errors only, SU on success only."""

    @property
    def taken(self) -> AckCode:
        """AA or CA: committed and will be processed."""
        return self.codes[0]

    @property
    def error(self) -> AckCode:
        """AE or CE: not taken now; sending it again later may succeed."""
        return self.codes[1]

    @property
    def refused(self) -> AckCode:
        """AR or CR: not taken; sending it again changes nothing."""
        return self.codes[2]

    def wants(self, code: AckCode) -> bool:
        """Whether the sender wants to hear `code`."""
        return self.condition not in ("NE", "ER" if code is self.taken else "SU")


def answering(message: Message | None, preference: str | None, default: str) -> Answering:
    """The way to answer `message`: as the partner's entry says, else as the message asks, else as the hub is set.

    `preference` and `default` are `original` or `enhanced`. A message asks for enhanced mode by MSH-15 or MSH-16.
    """
    condition = message.accept_ack_type.strip().upper() if message else ""
    asked = "enhanced" if message and (condition or message.application_ack_type.strip()) else None
    if (preference or asked or default) != "enhanced":
        return Answering()
    application = message.application_ack_type.strip().upper() if message else ""
    if condition in ("NE", "ER") and application in ("AL", "SU", "ER"):
        # It waits for an application acknowledgement alone. Ours has one meaning in both modes: committed, will be
        # processed; so it is given now, and nobody waits for an answer that does not come.
        return Answering(_ORIGINAL, application)
    return Answering(_ENHANCED, condition if condition in ("AL", "NE", "ER", "SU") else "AL")
