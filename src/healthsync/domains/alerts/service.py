"""The verbs of alerts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from healthsync.domains.alerts import store
from healthsync.domains.alerts.model import Alert, NewAlert, SealingKey
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import BlindIndex, open_sealed, seal
from healthsync.infrastructure.database import Transaction


class AlertService:
    """The alerts of one hub."""

    def __init__(self, blind_index: BlindIndex, clock: Clock, hub_id: str) -> None:
        self._blind_index, self._clock, self._hub_id = blind_index, clock, hub_id

    async def send(self, tx: Transaction, alert: NewAlert, key: SealingKey) -> tuple[str, bool]:
        """Seal and store; returns the id and whether it is new."""
        id_ = str(uuid.uuid4())
        once = None if alert.once_key is None else self._blind_index.token("alert once", alert.once_key)
        sealed = seal(key.key, alert.content, self._place(id_))
        written = await store.raise_alert(
            tx,
            id_,
            alert.type,
            alert.client_id,
            once,
            self._clock.now(),
            list(alert.patients),
            alert.message_sequence,
            sealed,
            key.version,
        )
        if written is not None:
            return id_, True
        return await store.raised_once(tx, alert.client_id, once), False

    async def listed(
        self, tx: Transaction, *, type_: str | None = None, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> list[Alert]:
        """A page, newest first, from behind (raised_at, id)."""
        return await store.listed(tx, type_, after, limit)

    async def by_id(self, tx: Transaction, ids: Sequence[str]) -> dict[str, Alert]:
        """Some alerts; one that is gone is absent."""
        return await store.by_id(tx, ids) if ids else {}

    def open(self, alert: Alert, key: SealingKey) -> bytes:
        """The content of an alert. Raises SealBroken."""
        return open_sealed(key.key, alert.sealed, self._place(alert.id))

    def _place(self, id_: str) -> bytes:
        return f"{self._hub_id}|alert|{id_}".encode()
