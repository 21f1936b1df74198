"""Alerts of applications: sealed, recorded and announced in one commit; listed through the gate out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from healthsync.domains.access import Requester, StreamRight
from healthsync.domains.alerts import AlertService, NewAlert, check_type
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.privacy import DataKeys
from healthsync.errors import InvalidInput, Refused
from healthsync.exchange.applications.contents import ALERTS
from healthsync.exchange.applications.publications import check_once, check_patients
from healthsync.exchange.disclose import Disclose, Parcel, Refusal
from healthsync.exchange.events import EventName
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.events import EventLog

MOST_BYTES = 256_000
"""Of one alert."""
MOST_LISTED = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as it may be seen: `content` is JSON."""

    id: str
    type: str
    raised_at: datetime
    client_id: str
    patients: tuple[str, ...]
    message_sequence: int | None
    content: bytes


class Alerts:
    """The flows."""

    def __init__(
        self,
        *,
        database: Database,
        alerts: AlertService,
        data_keys: DataKeys,
        disclose: Disclose,
        audit: AuditService,
        events: EventLog,
    ) -> None:
        self._database, self._alerts, self._data_keys = database, alerts, data_keys
        self._disclose, self._audit, self._events = disclose, audit, events

    async def send(
        self,
        requester: Requester,
        type_: str,
        content: bytes,
        *,
        patients: Sequence[str] = (),
        message_sequence: int | None = None,
        once_key: str | None = None,
    ) -> str:
        """Keep an alert whose `content` is a JSON text; answers its id. A `once_key` that this client used answers the
        old one. Raises Refused, InvalidInput.
        """
        no = await self._disclose.open_to(requester, StreamRight.ALERT, "send-alert", "Alert")
        if isinstance(no, Refusal):
            raise Refused(no.because)
        if len(content) > MOST_BYTES:
            raise InvalidInput(f"an alert has {MOST_BYTES} bytes at most", code="too-long")
        alert = NewAlert(
            type=check_type(type_),
            client_id=requester.client_id,
            content=content,
            patients=check_patients(patients),
            message_sequence=message_sequence,
            once_key=check_once(once_key),
        )
        async with self._database.transaction() as tx:
            id_, is_new = await self._alerts.send(tx, alert, await self._data_keys.for_scope(tx, ALERTS))
            event = audit_event(
                requester, Action.CREATE, "send-alert", Outcome.PERMITTED, (f"Alert/{id_}",), patients=alert.patients
            )
            await self._audit.record(tx, event)
            if is_new:
                await self._events.append(tx, EventName.ALERT_RAISED, subject=f"Alert/{id_}", data={"type": alert.type})
        return id_

    async def listed(
        self,
        requester: Requester,
        *,
        type_: str | None,
        after: tuple[datetime, str] | None,
        count: int,
        id_: str | None = None,
    ) -> tuple[list[Shown], tuple[datetime, str] | None]:
        """A page of alerts, newest first, without what consent withholds; and where the next page begins, None at the
        end. With an `id_` that one alone, or nothing. Raises Refused.
        """
        no = await self._disclose.open_to(requester, StreamRight.SEE_ALERTS, "list-alerts", "Alert")
        if isinstance(no, Refusal):
            raise Refused(no.because)
        limit = min(count, MOST_LISTED)
        async with self._database.transaction() as tx:
            if id_ is None:
                page = await self._alerts.listed(tx, type_=type_, after=after, limit=limit)
            else:
                page = list((await self._alerts.by_id(tx, [id_])).values())
            parcels = [Parcel(f"Alert/{one.id}", one.patients, one.message_sequence) for one in page]
            verdicts = await self._disclose.hand_out(tx, requester, "list-alerts", parcels)
            if not page:
                event = audit_event(requester, Action.READ, "list-alerts", Outcome.PERMITTED, ("Alert",))
                await self._audit.record(tx, event)
            keys = await self._data_keys.of_versions(tx, {(ALERTS, one.key_version) for one in page})
            shown = [
                Shown(
                    one.id,
                    one.type,
                    one.raised_at,
                    one.client_id,
                    one.patients,
                    one.message_sequence,
                    self._alerts.open(one, key),
                )
                for one, may in zip(page, verdicts, strict=True)
                if may and (key := keys.get((ALERTS, one.key_version))) is not None
            ]
        more = id_ is None and len(page) == limit
        return shown, (page[-1].raised_at, page[-1].id) if more else None
