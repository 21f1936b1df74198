"""An application's own topics: what it publishes is sealed, recorded and announced in one commit, and read in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from healthsync.domains.access import Requester, StreamRight
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.privacy import DataKeys
from healthsync.domains.streams import StreamService, check_topic
from healthsync.errors import InvalidInput, Refused
from healthsync.exchange.applications.contents import scope_of_topic
from healthsync.exchange.disclose import Disclose, Parcel, Refusal
from healthsync.exchange.events import EventName
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.events import EventLog

MOST_BYTES = 1_000_000
"""Of one payload."""
MOST_READ = 1_000

_PATIENT = re.compile(r"Patient/[A-Za-z0-9.-]{1,64}")
_ONCE = re.compile(r"[!-~]{1,200}")
_MOST_PATIENTS = 100


def check_patients(patients: Sequence[str]) -> tuple[str, ...]:
    """References to patients. Raises InvalidInput when one is none."""
    if len(patients) > _MOST_PATIENTS or not all(isinstance(p, str) and _PATIENT.fullmatch(p) for p in patients):
        raise InvalidInput(
            f"patients are at most {_MOST_PATIENTS} references such as Patient/1", code="value", expression="patients"
        )
    return tuple(dict.fromkeys(patients))


def check_once(key: str | None) -> str | None:
    """The key by which a repetition is recognised. Raises InvalidInput when it can be none."""
    if key is not None and not _ONCE.fullmatch(key):
        raise InvalidInput("Idempotency-Key has at most 200 printable characters and no space", code="value")
    return key


@dataclass(frozen=True, slots=True)
class Published:
    """A publication as it is read: its payload is JSON."""

    position: int
    published_at: datetime
    client_id: str
    payload: bytes


class Publications:
    """The flows."""

    def __init__(
        self,
        *,
        database: Database,
        streams: StreamService,
        data_keys: DataKeys,
        disclose: Disclose,
        audit: AuditService,
        events: EventLog,
    ) -> None:
        self._database, self._streams, self._data_keys = database, streams, data_keys
        self._disclose, self._audit, self._events = disclose, audit, events

    async def publish(
        self,
        requester: Requester,
        topic: str,
        payload: bytes,
        *,
        key: str | None = None,
        patients: Sequence[str] = (),
        once_key: str | None = None,
    ) -> int:
        """Publish a JSON text; answers its position. What has the same `key` is handed out in its order.

        With a `once_key` of this client that was used, nothing is published and the old position is answered. Raises
        Refused, InvalidInput.
        """
        no = await self._disclose.open_to(requester, StreamRight.PUBLISH, "publish", "Publication")
        if isinstance(no, Refusal):
            raise Refused(no.because)
        known, once = check_patients(patients), check_once(once_key)
        if len(payload) > MOST_BYTES:
            raise InvalidInput(f"a payload has {MOST_BYTES} bytes at most", code="too-long")
        async with self._database.transaction() as tx:
            data_key = await self._data_keys.for_scope(tx, scope_of_topic(check_topic(topic)))
            position, is_new = await self._streams.publish(
                tx, topic, requester.client_id, payload, data_key, patients=known, once_key=once
            )
            event = audit_event(
                requester, Action.CREATE, "publish", Outcome.PERMITTED, (f"Publication/{position}",), patients=known
            )
            await self._audit.record(tx, event)
            if is_new:
                lanes = [self._streams.lane_of_key(topic, key)] if key else []
                await self._events.append(
                    tx,
                    EventName.TOPIC_PUBLISHED,
                    subject=f"Publication/{position}",
                    data={"topic": topic, "lanes": lanes},
                )
        return position

    async def read(self, requester: Requester, topic: str, *, after: int, count: int) -> tuple[list[Published], int]:
        """A page of a topic from behind a position, without what consent withholds, and where the next page begins.

        Raises Refused, InvalidInput.
        """
        no = await self._disclose.open_to(requester, StreamRight.HANDLE, "read-topic", "Publication")
        if isinstance(no, Refusal):
            raise Refused(no.because)
        async with self._database.transaction() as tx:
            page = await self._streams.publications_after(tx, check_topic(topic), after, min(count, MOST_READ))
            parcels = [Parcel(f"Publication/{one.position}", one.patients) for one in page]
            verdicts = await self._disclose.hand_out(tx, requester, "read-topic", parcels)
            if not page:
                event = audit_event(requester, Action.READ, "read-topic", Outcome.PERMITTED, ("Publication",))
                await self._audit.record(tx, event)
            scope = scope_of_topic(topic)
            keys = await self._data_keys.of_versions(tx, {(scope, one.key_version) for one in page})
            shown = [
                Published(one.position, one.published_at, one.client_id, self._streams.open_publication(one, key))
                for one, may in zip(page, verdicts, strict=True)
                if may and (key := keys.get((scope, one.key_version))) is not None
            ]
        return shown, page[-1].position if page else after
