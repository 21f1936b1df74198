"""What handlers get and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class HL7Message:
    """A message as the hub received it. Its `str` is its text; `HL7Parser(message)` reads it."""

    type: str
    """MSH-9 as `ORU^R01`."""
    content: bytes = field(repr=False)
    """The bytes as received."""
    source: str = ""
    """The partner that sent it, as the hub's directory names it."""
    sequence: int | None = None
    """The hub's number for it."""
    state: str = "processed"
    """`processed`; `dead` when the hub could not turn it into FHIR (`healthsync messages list` says why)."""
    received_at: datetime | None = None
    patients: tuple[str, ...] = ()
    """References to the patients whose data it brought, such as `Patient/7d1f…`."""
    attempt: int = 1
    """How often the hub has handed it to this handler, this time included."""

    def __str__(self) -> str:
        from healthsync.standards.hl7v2 import Message

        return self.content.decode(Message.parse(self.content).charset, "replace")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, or was published under a topic."""

    name: str
    """`patient.merged`, or the topic."""
    subject: str
    """What it is about: `Patient/7d1f…`, `Publication/3`."""
    occurred_at: datetime
    data: Any = field(repr=False)
    """The resource as this API key may see it now; of an alert or a publication what was sent."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the hub says about it: references and codes."""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Ack:
    """An application acknowledgement: what a handler returns to answer a message (`hs.hl7.ack`)."""

    code: str
    """AA, AE or AR (HL7 table 0008)."""
    content: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Publication:
    """Something that was published under a topic."""

    position: int
    published_at: datetime
    client: str
    payload: Any = field(repr=False)
