"""The interoperability helpers of requirements-integration-hub.md as flows of the hub.

A conversion of what the caller sent looks at nothing else, and is recorded; one of a stored patient passes the gate
out; an import passes the gate in. What is imported belongs to the client that sent it: the same number or id from the
same client is the same record, and the identity of the person is a matter of links, as for every source.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from healthsync.domains.access import Interaction, Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose, Refusal
from healthsync.exchange.ingest import Incoming, Ingest, Stored
from healthsync.exchange.interactions.write import Write
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.clock import Clock
from healthsync.standards import interop
from healthsync.standards.fhir import json

_STORED = "patientId"


class Interoperate:
    """The flows. `application` and `facility` name the hub in messages that it makes (MSH-3, MSH-4)."""

    def __init__(
        self,
        *,
        disclose: Disclose,
        ingest: Ingest,
        write: Write,
        audit: AuditService,
        clock: Clock,
        application: str,
        facility: str,
    ) -> None:
        self._disclose, self._ingest, self._write, self._audit, self._clock = disclose, ingest, write, audit, clock
        self._application, self._facility = application, facility

    async def fhir_patient(self, requester: Requester, body: Mapping[str, Any]) -> dict[str, Any] | Refusal:
        """A record as a FHIR Patient, or the stored one that `patientId` names. Raises InvalidInput."""
        if _STORED in body:
            return await self._stored(requester, body)
        await self._record(requester, "convert-patient")
        return interop.to_fhir_patient(body)

    async def import_patient(self, requester: Requester, patient: dict[str, Any]) -> tuple[Stored, dict[str, Any]]:
        """Bring a FHIR Patient in; answers what was stored and its record. Raises what `Write.update` raises."""
        await self._write.authorise(requester, Interaction.CREATE, "Patient")
        if patient.get("resourceType") != "Patient":
            raise InvalidInput("send one FHIR Patient: resourceType must be Patient", code="structure")
        key = _business_key(patient)
        id_ = self._ingest.new_id() if key is None else self._ingest.resource_id("Patient", requester.client_id, key)
        if key is not None:
            await self._write.authorise(requester, Interaction.UPDATE, "Patient")
        incoming = Incoming({**patient, "id": id_}, "update", keeps=True, is_fresh=key is None)
        (stored,) = await self._write.until_done(
            [incoming.key], lambda tx: self._write.submit(tx, requester, "import-patient", [incoming])
        )
        return stored, interop.from_fhir_patient(stored.resource)

    async def hl7_adt(self, requester: Requester, body: Mapping[str, Any]) -> dict[str, Any] | Refusal:
        """An ADT about the record in `patient` (or a stored one, `patientId`) for `event`, A04 when it is absent.

        Raises InvalidInput.
        """
        record = body.get("patient")
        if _STORED in body:
            found = await self._stored(requester, body)
            if isinstance(found, Refusal):
                return found
            record = interop.from_fhir_patient(found)
        else:
            await self._record(requester, "create-adt")
        event = body.get("event", "A04")
        if not isinstance(record, Mapping) or not isinstance(event, str):
            raise InvalidInput('send {"patient": {…}, "event": "A04"}, or patientId for a stored one', code="structure")
        control_id = secrets.token_hex(10)
        message = interop.create_hl7_adt(
            record,
            event,
            at=self._clock.now(),
            control_id=control_id,
            sending_application=self._application,
            sending_facility=self._facility,
        )
        return {"message": message, "messageType": f"ADT^{event}", "controlId": control_id}

    async def hl7_parse(self, requester: Requester, message: bytes) -> dict[str, Any]:
        """A message of the caller as JSON. Raises InvalidInput when it is none."""
        await self._record(requester, "parse-message")
        return interop.describe_hl7(message)

    async def _stored(self, requester: Requester, body: Mapping[str, Any]) -> dict[str, Any] | Refusal:
        id_ = body[_STORED]
        if not isinstance(id_, str) or not id_:
            raise InvalidInput("patientId is the id of a stored patient", code="value", expression=_STORED)
        found = await self._disclose.read(requester, "Patient", id_.removeprefix("pat_"))
        return found if isinstance(found, Refusal) else json.parse(found.text.encode())

    async def _record(self, requester: Requester, interaction: str) -> None:
        event = audit_event(requester, Action.EXECUTE, interaction, Outcome.PERMITTED, ("Patient",))
        await self._audit.record_and_commit(event)


def _business_key(patient: Mapping[str, Any]) -> str | None:
    """By what the sender knows the patient: his first number, else the id that he wrote."""
    numbers = patient.get("identifier")
    for number in numbers if isinstance(numbers, list) else ():
        if isinstance(number, Mapping) and isinstance(value := number.get("value"), str) and value:
            return f"identifier {number.get('system', '')}\x1f{value}"
    return f"id {patient['id']}" if isinstance(patient.get("id"), str) else None
