"""Messages in the hands of a program: acknowledge them, read them, turn them into FHIR."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import SystemClock
from healthsync.sdk.model import Ack, HL7Message
from healthsync.sdk.parser import HL7Parser
from healthsync.standards.hl7v2 import AckCode, AckError, ErrorCode, Message, build_ack

_CODES = {code.value: code for code in (AckCode.AA, AckCode.AE, AckCode.AR)}
_IDS = uuid.UUID("5a9b5f6e-5d0f-4b58-9a0e-6f3d0f1f7a11")  # of resources that `to_fhir` makes


class Hl7:
    """`hs.hl7`: HL7 v2."""

    def ack(self, message: HL7Message | HL7Parser | str | bytes, code: str = "AA", text: str | None = None) -> Ack:
        """The application acknowledgement of a message, to be returned by its handler (HL7 v2.5.1 §2.9.2, §2.9.3).

        In enhanced mode the sender has CA since the message was stored, and gets this one when it wants it (MSH-16). In
        original mode it has AA since then, and this one is recorded. `code` is AA, AE or AR; `text` tells the sender
        why not, without a patient's values. Raises InvalidInput for another code: CA, CE and CR are the hub's to say.
        """
        if code not in _CODES:
            raise InvalidInput("an application answers AA, AE or AR; CA, CE and CR are the hub's", code="value")
        error = None
        if code != AckCode.AA:
            error = AckError(ErrorCode.APPLICATION_INTERNAL_ERROR, text or "the application did not take the message")
        content = build_ack(
            _parsed(message),
            _CODES[code],
            control_id=secrets.token_hex(10),
            now=SystemClock().now(),
            error=error,
            application="HealthSync",
        )
        return Ack(code, content)

    def parse(self, message: HL7Message | str | bytes) -> HL7Parser:
        """The message, to be read."""
        return HL7Parser(message)


def to_fhir(message: Any, *, timezone: tzinfo | None = None) -> dict[str, Any]:
    """A message as a FHIR Bundle (collection), by the maps of the hub; a patient record (`firstName`, …) as a Patient;
    a resource as it is.

    Ids are made of the sender's numbers, the same for the same numbers, but not those of the hub: to find what the hub
    stored, search by identifier. `timezone` is that of times without an offset, UTC when absent. Raises InvalidInput
    for what is none of these, and for a type of message without a map.
    """
    if isinstance(message, Mapping):
        return dict(message) if "resourceType" in message else _patient(message)
    if not isinstance(message, HL7Message | HL7Parser | Message | str | bytes):
        raise InvalidInput("give a message, a patient record or a FHIR resource", code="structure")
    return _bundle(message, timezone)


def _patient(record: Mapping[str, Any]) -> dict[str, Any]:
    from healthsync.standards.interop import to_fhir_patient

    return to_fhir_patient(record)


def _bundle(message: Any, timezone: tzinfo | None) -> dict[str, Any]:
    from zoneinfo import ZoneInfo

    from healthsync.standards.interop import create_fhir_bundle
    from healthsync.standards.maps import MappingContext, convert

    parsed = _parsed(message)
    received_at = getattr(message, "received_at", None) or SystemClock().now()
    source = getattr(message, "source", "") or parsed.sending_facility or parsed.sending_application or "unknown"
    context = MappingContext(
        source=source,
        resource_id=lambda kind, key: str(uuid.uuid5(_IDS, f"{kind}\x1f{source}\x1f{key}")),
        timezone=timezone or ZoneInfo("UTC"),
        received_at=received_at,
    )
    return create_fhir_bundle([mapped.resource for mapped in convert(parsed, context).resources], "collection")


def _parsed(message: Any) -> Message:
    if isinstance(message, Message):
        return message
    return (message if isinstance(message, HL7Parser) else HL7Parser(message)).message
