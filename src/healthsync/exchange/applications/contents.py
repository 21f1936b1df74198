"""What is handed out beside resources: messages, publications and alerts, found, and opened when the gate says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from healthsync.domains.alerts import AlertService
from healthsync.domains.messages import MessageService
from healthsync.domains.privacy import DataKeys
from healthsync.domains.streams import Kind, Leased, StreamService
from healthsync.errors import NotFound
from healthsync.exchange.disclose import Parcel
from healthsync.infrastructure.database import Transaction

ALERTS = "alerts"
"""Scope of the data key of alerts."""


def scope_of_topic(topic: str) -> str:
    """Scope of the data key of a topic's publications."""
    return f"streams/{topic}"


@dataclass(frozen=True, slots=True)
class Found:
    """Something sealed: whose data it is, and how it opens. `open` raises SealBroken."""

    parcel: Parcel
    open: Callable[[], bytes]


class OpenContents:
    """Finds the contents of deliveries."""

    def __init__(
        self, messages: MessageService, streams: StreamService, alerts: AlertService, data_keys: DataKeys
    ) -> None:
        self._messages, self._streams, self._alerts, self._data_keys = messages, streams, alerts, data_keys

    async def find(self, tx: Transaction, leased: Sequence[Leased]) -> dict[int, Found]:
        """By delivery; what is gone, or whose key was destroyed, is absent."""
        messages = [one for one in leased if one.kind is Kind.HL7]
        publications = [one for one in leased if one.kind is Kind.TOPIC]
        alerts = [one for one in leased if one.kind is Kind.EVENT]
        return {
            **await self._find_messages(tx, messages),
            **await self._find_publications(tx, publications),
            **await self._find_alerts(tx, alerts),
        }

    async def _find_messages(self, tx: Transaction, leased: Sequence[Leased]) -> dict[int, Found]:
        found: dict[int, Found] = {}
        for one in leased:
            assert one.message_sequence is not None
            try:
                message = await self._messages.sealed(tx, one.message_sequence)
            except NotFound:
                continue
            keys = await self._data_keys.of_versions(tx, [message.key] if message.key else [])
            if message.key in keys:
                patients = tuple(one.data["patients"]) if one.data["state"] == "processed" else None
                parcel = Parcel(one.subject, patients, one.message_sequence)
                found[one.id] = Found(parcel, lambda message=message, keys=keys: self._messages.open(message, keys))
        return found

    async def _find_publications(self, tx: Transaction, leased: Sequence[Leased]) -> dict[int, Found]:
        here = await self._streams.publications(tx, [_number(one) for one in leased])
        found: dict[int, Found] = {}
        for one in leased:
            if (publication := here.get(_number(one))) is None:
                continue
            place = (scope_of_topic(publication.topic), publication.key_version)
            key = (await self._data_keys.of_versions(tx, [place])).get(place)
            if key is not None:
                parcel = Parcel(one.subject, publication.patients)
                found[one.id] = Found(
                    parcel, lambda publication=publication, key=key: self._streams.open_publication(publication, key)
                )
        return found

    async def _find_alerts(self, tx: Transaction, leased: Sequence[Leased]) -> dict[int, Found]:
        here = await self._alerts.by_id(tx, [one.subject.partition("/")[2] for one in leased])
        found: dict[int, Found] = {}
        for one in leased:
            if (alert := here.get(one.subject.partition("/")[2])) is None:
                continue
            place = (ALERTS, alert.key_version)
            key = (await self._data_keys.of_versions(tx, [place])).get(place)
            if key is not None:
                parcel = Parcel(one.subject, alert.patients, alert.message_sequence)
                found[one.id] = Found(parcel, lambda alert=alert, key=key: self._alerts.open(alert, key))
        return found


def _number(one: Leased) -> int:
    return int(one.subject.partition("/")[2])
