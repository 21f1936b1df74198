"""The facts that flows announce, in the past tense (requirements, "Event Topics Architecture").

An event carries references and codes, never a patient's values: who wants to know more asks the gate out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventName(StrEnum):
    """Every event of the hub."""

    PATIENT_CREATED = "patient.created"
    PATIENT_UPDATED = "patient.updated"
    PATIENT_MERGED = "patient.merged"
    PATIENT_UNMERGED = "patient.unmerged"
    PATIENT_MATCHED = "patient.matched"
    PATIENT_HELD = "patient.held"
    REVIEW_OVERDUE = "identity.review.overdue"
    OBSERVATION_CREATED = "observation.created"
    MEDICATION_PRESCRIBED = "medication.prescribed"
    ENCOUNTER_ADMITTED = "encounter.admitted"
    ENCOUNTER_DISCHARGED = "encounter.discharged"
    DOCUMENT_RECEIVED = "document.received"
    CONSENT_GRANTED = "consent.granted"
    CONSENT_REVOKED = "consent.revoked"
    ACCESS_LOGGED = "access.logged"
    CONNECTOR_STATUS_CHANGED = "connector.status.changed"
    RAW_MESSAGE_RECEIVED = "raw.message.received"
    MESSAGE_SETTLED = "message.settled"
    TOPIC_PUBLISHED = "topic.published"
    ALERT_CRITICAL_LAB = "alert.critical.lab"
    ALERT_RAISED = "alert.raised"
    RESOURCE_CHANGED = "resource.changed"
    SUBSCRIPTION_STATUS_CHANGED = "subscription.status.changed"

    @property
    def topic(self) -> str:
        """The topic that carries it, as the requirements group them."""
        return MEANINGS[self].topic

    @property
    def meaning(self) -> str:
        """What has happened, in a sentence."""
        return MEANINGS[self].meaning

    @property
    def emitted_by(self) -> str:
        """The flow that announces it now, or `later: …`."""
        return MEANINGS[self].emitted_by


@dataclass(frozen=True, slots=True)
class Meaning:
    """What stands behind a name."""

    topic: str
    meaning: str
    emitted_by: str


_INGEST = "exchange.ingest"
MEANINGS = {
    EventName.PATIENT_CREATED: Meaning("patient.events", "A source's patient was stored for the first time.", _INGEST),
    EventName.PATIENT_UPDATED: Meaning("patient.events", "A stored patient changed.", _INGEST),
    EventName.PATIENT_MERGED: Meaning(
        "patient.events", "Two patients were joined; one number went out of use.", _INGEST
    ),
    EventName.PATIENT_UNMERGED: Meaning("patient.events", "Patients that were one person are two again.", _INGEST),
    EventName.PATIENT_HELD: Meaning(
        "patient.events", "An update of a patient looks like somebody else's and waits for a decision.", _INGEST
    ),
    EventName.REVIEW_OVERDUE: Meaning(
        "admin.events",
        "A task about who is who was not decided in time.",
        "exchange.administration.escalate_reviews",
    ),
    EventName.PATIENT_MATCHED: Meaning("patient.events", "A patient was linked to a known person.", _INGEST),
    EventName.OBSERVATION_CREATED: Meaning("clinical.events", "A result or vital sign was stored.", _INGEST),
    EventName.MEDICATION_PRESCRIBED: Meaning(
        "clinical.events", "An active order for a medication was stored.", _INGEST
    ),
    EventName.ENCOUNTER_ADMITTED: Meaning("clinical.events", "An encounter began.", _INGEST),
    EventName.ENCOUNTER_DISCHARGED: Meaning("clinical.events", "An encounter ended.", _INGEST),
    EventName.DOCUMENT_RECEIVED: Meaning("clinical.events", "A document reference was stored.", _INGEST),
    EventName.CONSENT_GRANTED: Meaning("admin.events", "A consent became active.", _INGEST),
    EventName.CONSENT_REVOKED: Meaning("admin.events", "A consent is no longer active.", _INGEST),
    EventName.ACCESS_LOGGED: Meaning("admin.events", "An access was written to the audit log.", "later: audit feed"),
    EventName.CONNECTOR_STATUS_CHANGED: Meaning(
        "admin.events", "A connector came up or went down.", "later: connectors"
    ),
    EventName.RAW_MESSAGE_RECEIVED: Meaning(
        "message.events", "A message was stored as received.", "exchange.receive_message"
    ),
    EventName.RESOURCE_CHANGED: Meaning(
        "subscription.events",
        "A resource of a type that some Subscription or destination watches was stored.",
        "exchange.subscribing",
    ),
    EventName.SUBSCRIPTION_STATUS_CHANGED: Meaning(
        "subscription.events",
        "A Subscription became active, failed or was switched off.",
        "exchange.notify_subscribers",
    ),
    EventName.MESSAGE_SETTLED: Meaning(
        "message.events", "A message was processed, or became a dead letter.", "exchange.process_message"
    ),
    EventName.TOPIC_PUBLISHED: Meaning(
        "application.events", "An application published something under a topic.", "exchange.applications.publications"
    ),
    EventName.ALERT_RAISED: Meaning("alert.events", "An application sent an alert.", "exchange.applications.alerts"),
    EventName.ALERT_CRITICAL_LAB: Meaning("alert.events", "A result carries a critical interpretation.", _INGEST),
}

CRITICAL_INTERPRETATIONS = frozenset({"AA", "HH", "LL"})
"""Critical, critically high, critically low (http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation)."""

_RUNNING = frozenset({"arrived", "triaged", "in-progress", "onleave"})
_RETRACTED = frozenset({"entered-in-error", "cancelled"})


def events_of(
    resource_type: str, created: bool, resource: Mapping[str, Any], before: Mapping[str, Any] | None = None
) -> list[EventName]:
    """What the content of a stored resource tells. `before` is the version that it replaced, when there was one.

    With `before` a fact is announced when it begins to hold; without it, an update announces what holds now. Links,
    merges and consents are decided elsewhere, and announced by who decides them.
    """
    rule = _RULES.get(resource_type)
    if rule is None:
        return []
    told = rule(before, False) if before is not None else []
    return [name for name in rule(resource, created) if name not in told or name is EventName.PATIENT_UPDATED]


def _patient(_patient: Mapping[str, Any], created: bool) -> list[EventName]:
    return [EventName.PATIENT_CREATED if created else EventName.PATIENT_UPDATED]


def _observation(observation: Mapping[str, Any], created: bool) -> list[EventName]:
    if observation.get("status") in _RETRACTED:
        return []
    codes = {
        coding.get("code") for concept in observation.get("interpretation", ()) for coding in concept.get("coding", ())
    }
    critical = [EventName.ALERT_CRITICAL_LAB] if codes & CRITICAL_INTERPRETATIONS else []
    return ([EventName.OBSERVATION_CREATED] if created else []) + critical


def _medication_request(request: Mapping[str, Any], _created: bool) -> list[EventName]:
    ordered = request.get("status") == "active" and request.get("intent") in {
        "order",
        "original-order",
        "instance-order",
    }
    return [EventName.MEDICATION_PRESCRIBED] if ordered else []


def _encounter(encounter: Mapping[str, Any], _created: bool) -> list[EventName]:
    if encounter.get("status") in _RUNNING:
        return [EventName.ENCOUNTER_ADMITTED]
    return [EventName.ENCOUNTER_DISCHARGED] if encounter.get("status") == "finished" else []


def _document_reference(document: Mapping[str, Any], created: bool) -> list[EventName]:
    return [EventName.DOCUMENT_RECEIVED] if created and document.get("status") == "current" else []


_RULES = {
    "Patient": _patient,
    "Observation": _observation,
    "MedicationRequest": _medication_request,
    "Encounter": _encounter,
    "DocumentReference": _document_reference,
}
