"""HL7 v2 out: from an event of the hub to a message that waits for its partner.

    (1) take      the next events that some destination waits for; the place in the log moves with what is queued
    (2) match     the triggers of the message types that each destination gets
    (3) gate      the resource and what the message needs, as the destination may see it; the disclosure is committed to
                  the audit log before anything is built
    (4) build     by the outbound tables, in the destination's version, under a control id that depends on nothing but
                  destination, message type and version of the resource
    (5) queue     sealed; what was queued before is not queued again

(1) and (5) are one commit: an event is queued once, also when a process dies between. A message that cannot be built is
queued as a dead letter without content, and a retry builds it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from healthsync.domains.deliveries import (
    PIX_UPDATE,
    DeliveryService,
    Destination,
    Occasion,
    Parcel,
    Standing,
    Trigger,
    Triggers,
    operation_of,
)
from healthsync.domains.privacy import DataKeys
from healthsync.errors import HealthSyncError, Unavailable
from healthsync.exchange.deliver_messages import key_scope, requester_of
from healthsync.exchange.disclose import Composed, Disclose, PersonNumbers, Refusal
from healthsync.exchange.events import EventName
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.events import EventLog, StoredEvent
from healthsync.infrastructure.events.log import CHANNEL as EVENT_CHANNEL
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.maps.outbound import (
    Content,
    Header,
    beside,
    build,
    build_pix_update,
    is_beside,
    references_of,
    untellable,
)
from healthsync.standards.maps.systems import authority_system

WAKE_CHANNEL = EVENT_CHANNEL
"""NOTIFY on this channel says that something may have to be sent."""
EVENTS_AT_ONCE = 20
"""A pass that takes fewer events has come to the end of the log. Few, because the log waits for the transaction."""

CONSUMER = "deliveries"
_PERSONS_CHANGE = {EventName.PATIENT_MATCHED, EventName.PATIENT_MERGED, EventName.PATIENT_UNMERGED}
"""Events after which other numbers are one person's than before."""
_IDLE_PASS_SECONDS = 30.0

_log = logger(__name__)
_queued = metrics.counter(
    "healthsync_deliveries_queued", "Occasions to send a message, by what came of them.", ("destination", "outcome")
)


@dataclass(frozen=True, slots=True)
class Sender:
    """What MSH-3 and MSH-4 of our messages say."""

    application: str
    facility: str


class SendMessage:
    """The flow."""

    def __init__(
        self,
        *,
        database: Database,
        deliveries: DeliveryService,
        disclose: Disclose,
        events: EventLog,
        data_keys: DataKeys,
        clock: Clock,
        triggers: Triggers,
        sender: Sender,
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        self._authorities = authorities
        self._database, self._deliveries, self._disclose, self._events = database, deliveries, disclose, events
        self._data_keys, self._clock, self._triggers, self._sender = data_keys, clock, triggers, sender
        self._passed_at = float("-inf")
        self.someone_listens = True
        """Whether the last `queue` found a destination."""

    async def queue(self) -> int:
        """Let messages about the next events wait for their destinations; returns how many events were taken.

        Raises Unavailable when the disclosure cannot be recorded: then nothing was taken.
        """
        async with self._database.transaction() as tx:
            standings = await self._deliveries.standings(tx)
            self.someone_listens = bool(standings)
            if not standings and time.monotonic() - self._passed_at < _IDLE_PASS_SECONDS:
                return 0
            self._passed_at = time.monotonic()
            names = {name for each in standings for name in self._triggers.events(each.destination.messages)}
            if any(each.destination.domains for each in standings):
                names |= _PERSONS_CHANGE
            events = await self._events.take(tx, CONSUMER, names, limit=EVENTS_AT_ONCE)  # (1)
            parcels = [parcel for event in events for parcel in await self._parcels(event, standings)]
            await self._enqueue(tx, parcels)  # (5)
        return len(events)

    async def rebuild(self, tx: Transaction, destination: Destination, sequence: int, occasion: Occasion) -> bool:
        """Build the content of a dead delivery now; False when it is no longer to be told."""
        parcel = await self._parcel(destination, occasion, None, self._clock.now())
        if parcel is None or parcel.payload is None:
            return False
        await self._deliveries.fill(tx, sequence, parcel, await self._key(tx, destination.name))
        return True

    async def _enqueue(self, tx: Transaction, parcels: Sequence[Parcel]) -> None:
        names = {parcel.occasion.destination for parcel in parcels}
        await self._deliveries.enqueue(tx, parcels, {name: await self._key(tx, name) for name in names})

    async def _key(self, tx: Transaction, destination: str) -> Any:
        return await self._data_keys.for_scope(tx, key_scope(destination))

    # (2)
    async def _parcels(self, event: StoredEvent, standings: Sequence[Standing]) -> list[Parcel]:
        resource_type, _, _ = event.subject.partition("/")
        version = event.data.get("version")
        parcels: dict[str, Parcel] = {}
        for standing in standings:
            if event.occurred_at < standing.created_at:
                continue  # it happened before there was this destination
            destination = standing.destination
            messages = destination.messages
            if destination.domains:
                messages = tuple(each for each in messages if each != PIX_UPDATE)
                for occasion in _changes_of_persons(destination, event):
                    if (parcel := await self._parcel(destination, occasion, None, event.occurred_at)) is not None:
                        parcels[parcel.control_id] = parcel
            for trigger in self._triggers.of(messages):
                if not trigger.is_fired_by(event.name, resource_type, version):
                    continue
                occasion = Occasion(destination.name, trigger.message, event.subject, version, operation_of(version),
                                    event.data.get("retired"))  # fmt: skip
                if (parcel := await self._parcel(destination, occasion, trigger, event.occurred_at)) is not None:
                    parcels[parcel.control_id] = parcel
        return list(parcels.values())

    async def _parcel(
        self, destination: Destination, occasion: Occasion, trigger: Trigger | None, occurred_at: datetime
    ) -> Parcel | None:
        """The message about an occasion; None when nothing is to be told, or may be."""
        found = await self._gate(destination, occasion, trigger)
        if found is None:
            return None
        if isinstance(found, Refusal):
            self._count(destination, "withheld")
            return None
        control_id = self._deliveries.control_id(occasion)
        try:
            payload = self._built(destination, occasion, found, control_id, occurred_at)  # (4)
        except Unavailable:
            raise
        except Exception as problem:
            ours = isinstance(problem, HealthSyncError)
            code = problem.code if isinstance(problem, HealthSyncError) else "exception"
            told = str(problem) if ours else f"the hub failed to build it ({type(problem).__name__}); see its log"
            _log.warning("a message could not be built", destination=destination.name, subject=occasion.subject,
                         reason=code, exc_info=problem)  # fmt: skip
            self._count(destination, "unbuilt")
            return Parcel(occasion, control_id, None, reason_code=code, reason=told)
        self._count(destination, "queued")
        return Parcel(occasion, control_id, payload, _patient_of(found, occasion), found.patient_keys)

    # (3)
    async def _gate(
        self, destination: Destination, occasion: Occasion, trigger: Trigger | None
    ) -> Composed | PersonNumbers | Refusal | None:
        resource_type, _, id_ = occasion.subject.partition("/")
        if destination.domains and occasion.type == PIX_UPDATE:
            systems = [authority_system("", name, destination.name, self._authorities) for name in destination.domains]
            return await self._disclose.person_numbers(requester_of(destination), id_, systems)
        retired = [_split(occasion.retired)] if occasion.retired else []
        now = self._clock.now()

        def concerns(resource: dict[str, Any]) -> bool:
            if _is_from(destination.not_from, resource) or untellable(occasion.type, resource, occasion.changed):
                return False
            return trigger is None or trigger.concerns(resource, now)

        return await self._disclose.compose(
            requester_of(destination), resource_type, id_, occasion.version, concerns, references_of, retired,
            (beside(occasion.type), is_beside),
        )  # fmt: skip

    def _built(
        self,
        destination: Destination,
        occasion: Occasion,
        found: Composed | PersonNumbers,
        control_id: str,
        occurred_at: datetime,
    ) -> bytes:
        if isinstance(found, PersonNumbers):
            return build_pix_update(found.identifiers, self._header(destination, control_id), occurred_at)
        named = self._authorities.one_named
        others = {reference: named(each) for reference, each in found.others.items()}
        retired = others.get(occasion.retired) if occasion.retired else None
        content = Content(named(found.root), others, occasion.changed, occurred_at, retired)
        return build(occasion.type, content, self._header(destination, control_id))

    def _header(self, destination: Destination, control_id: str) -> Header:
        return Header(
            control_id,
            self._clock.now(),
            destination.version,
            self._sender.application,
            self._sender.facility,
            destination.application,
            destination.facility,
            destination.processing_id,
            destination.character_encoding,
        )

    @staticmethod
    def _count(destination: Destination, outcome: str) -> None:
        _queued.labels(destination=destination.name, outcome=outcome).inc()


def _changes_of_persons(destination: Destination, event: StoredEvent) -> list[Occasion]:
    """Of whom a PIX consumer is told after an event: of the person that changed, or of both that it is now."""
    if event.name not in _PERSONS_CHANGE:
        return []
    other = event.data.get("other")
    subjects = [event.subject, *([other] if other else [])]
    number = event.position % 2**31
    return [Occasion(destination.name, PIX_UPDATE, subject, number) for subject in subjects]


def _split(reference: str) -> tuple[str, str]:
    resource_type, _, id_ = reference.partition("/")
    return resource_type, id_


def _is_from(sources: Sequence[str], resource: Mapping[str, Any]) -> bool:
    source = str(resource.get("meta", {}).get("source", ""))
    return unquote(source.removeprefix("urn:healthsync:source:").partition("#")[0]) in sources


def _patient_of(found: Composed | PersonNumbers, occasion: Occasion) -> str | None:
    """Patient/id, by which the messages of a lane are told."""
    if isinstance(found, PersonNumbers):
        return occasion.subject
    patient = Content(found.root, found.others).patient
    return f"Patient/{patient['id']}" if patient and "id" in patient else None
