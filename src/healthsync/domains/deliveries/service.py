"""The verbs of deliveries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from healthsync.domains.deliveries import store
from healthsync.domains.deliveries.model import (
    Circuit,
    DeliveryState,
    Destination,
    DestinationState,
    Occasion,
    Parcel,
    Queue,
    SealingKey,
    Settlement,
    Standing,
    StoredDelivery,
    Waiting,
)
from healthsync.domains.deliveries.triggers import Triggers
from healthsync.errors import Conflict, NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import BlindIndex, open_sealed, seal
from healthsync.infrastructure.database import Transaction

WAITING_CHANNEL = "delivery_waiting"
"""NOTIFY on this channel says that something waits to be sent."""

WATCH_SECONDS = 0.5
"""Every process knows of a new destination after this time."""

_LAST = 2**63 - 1
_PAGE = 100
_MOST_DETAIL_BYTES = 4000
_SET_ASIDE = "an operator took it out of the queue; retry puts it back at its place"


class DeliveryService:
    """The destinations of one hub and what is on its way to them."""

    def __init__(self, clock: Clock, blind_index: BlindIndex, hub_id: str) -> None:
        self._clock, self._blind_index, self._hub_id = clock, blind_index, hub_id
        self._watched: frozenset[str] = frozenset()
        self._watched_at = float("-inf")

    # --- destinations ---

    async def add(self, tx: Transaction, destination: Destination) -> Standing:
        """Register a destination; changes are sent from now on. Raises Conflict when the name is taken."""
        if not await store.add(tx, destination, self._clock.now()):
            raise Conflict(f"a destination named {destination.name} exists; remove it first or choose another name")
        return await self.standing(tx, destination.name)

    async def standings(self, tx: Transaction) -> list[Standing]:
        """All destinations by name."""
        return await store.standings(tx)

    async def watched(self, tx: Transaction, triggers: Triggers) -> frozenset[str]:
        """The resource types whose every change some destination needs, as it was half a second ago at most: it is
        asked with every write."""
        if time.monotonic() - self._watched_at >= WATCH_SECONDS:
            messages = {message for each in await store.standings(tx) for message in each.destination.messages}
            self._watched, self._watched_at = frozenset(triggers.watched(messages)), time.monotonic()
        return self._watched

    async def standing(self, tx: Transaction, name: str) -> Standing:
        """One destination. Raises NotFound."""
        if not (found := await store.standings(tx, name)):
            raise NotFound(f"no destination is named {name}; see: healthsync destination list")
        return found[0]

    def circuit(self, standing: Standing) -> Circuit:
        """Whether anything is sent to it now."""
        return standing.circuit(self._clock.now())

    async def remove(self, tx: Transaction, name: str, *, discard: bool) -> Queue:
        """Take a destination out, and with `discard` what waits for it. Returns what was discarded.

        Raises NotFound, or Conflict when something waits or is dead and may not be discarded.
        """
        if not await store.lock(tx, name):
            raise NotFound(f"no destination is named {name}; see: healthsync destination list")
        queue = (await store.queues(tx, name))[name]
        if (queue.waiting or queue.dead) and not discard:
            raise Conflict(
                f"{queue.waiting} messages wait for {name} and {queue.dead} are dead letters; deliver or discard them"
            )
        await store.remove(tx, name)
        return queue

    async def set_state(self, tx: Transaction, name: str, state: DestinationState) -> None:
        """Pause or resume. Raises NotFound."""
        if not await store.set_state(tx, name, state):
            raise NotFound(f"no destination is named {name}; see: healthsync destination list")

    async def queues(self, tx: Transaction, name: str | None = None) -> Mapping[str, Queue]:
        """What waits and what died, by destination."""
        return await store.queues(tx, name)

    # --- into the queue ---

    def control_id(self, occasion: Occasion) -> str:
        """MSH-10 of the message about an occasion: 20 characters (§2.15.9.10), the same whenever it is built."""
        told = (occasion.destination, occasion.type, occasion.subject, str(occasion.version), occasion.retired or "")
        return "HS" + self._blind_index.digest("control id", "\x1f".join(told).encode()).hex()[:18].upper()

    async def enqueue(self, tx: Transaction, parcels: Sequence[Parcel], keys: Mapping[str, SealingKey]) -> int:
        """Let messages wait, in this order; one that was queued before is passed over. `keys` are by destination.

        Returns how many were new.
        """
        if not parcels:
            return 0
        sealed = [
            self._sealed(p, keys[p.occasion.destination]) if p.payload is not None else (None, None) for p in parcels
        ]
        return len(await store.enqueue(tx, parcels, [self._lane(p) for p in parcels], sealed, self._clock.now()))

    async def fill(self, tx: Transaction, sequence: int, parcel: Parcel, key: SealingKey) -> None:
        """Give a dead delivery the content that was built for it now."""
        await store.fill(tx, sequence, self._sealed(parcel, key), parcel.patient_keys, self._lane(parcel))

    # --- out of the queue ---

    async def claim(self, tx: Transaction, lease: UUID, seconds: float) -> Standing | None:
        """A destination with something to do, for the holder of `lease` and for so long."""
        return await store.claim(tx, lease, self._clock.now(), seconds)

    async def renew(self, tx: Transaction, name: str, lease: UUID, seconds: float) -> Standing | None:
        """The destination as it stands, for so long again; None when it is no longer the holder's to serve."""
        return await store.renew(tx, name, lease, self._clock.now(), seconds)

    async def release(self, tx: Transaction, name: str, lease: UUID) -> None:
        """Give it back."""
        await store.release(tx, name, lease)

    async def due(self, tx: Transaction, destination: Destination, limit: int) -> list[Waiting]:
        """The oldest that may be sent now, in their order; none overtakes an older one of its lane that waits."""
        find = store.oldest if destination.is_in_order else store.oldest_of_lanes
        return await find(tx, destination.name, limit, self._clock.now())

    async def begin(self, tx: Transaction, sequences: Sequence[int]) -> None:
        """Count an attempt of each. `tx` commits before the first byte leaves."""
        await store.begin_attempts(tx, sequences)

    async def not_attempted(self, tx: Transaction, sequences: Sequence[int]) -> None:
        """Take the count back: they were not sent, or left without an answer through no fault of theirs."""
        await store.not_attempted(tx, sequences)

    def open(self, waiting: Waiting, key: SealingKey) -> bytes:
        """The bytes of a message. Raises SealBroken."""
        return open_sealed(key.key, waiting.payload, self._place(waiting.destination, waiting.control_id))

    async def settle(
        self, tx: Transaction, waiting: Waiting, settlement: Settlement, key: SealingKey | None = None
    ) -> None:
        """Write how an attempt ended; what the partner wrote is kept, sealed, where there is a key."""
        detail, sealed = settlement.detail.encode()[:_MOST_DETAIL_BYTES], None
        if detail and key is not None:
            sealed = seal(key.key, detail, self._place(waiting.destination, waiting.control_id) + b"|detail")
        await store.settle(tx, waiting.sequence, settlement, sealed, self._clock.now())

    async def failed(
        self, tx: Transaction, standing: Standing, lease: UUID, reason: str, jitter: float
    ) -> Standing | None:
        """The partner gave no usable answer: it is left alone until `retry_at`. None when the lease was lost."""
        now = self._clock.now()
        wait = standing.destination.retry.wait_seconds(standing.failures + 1, jitter)
        return await store.failed(tx, standing.destination.name, lease, now, now + timedelta(seconds=wait), reason)

    async def recovered(self, tx: Transaction, name: str) -> None:
        """The partner answers again."""
        await store.recovered(tx, name)

    # --- for operators ---

    async def listed(
        self, tx: Transaction, name: str, state: DeliveryState, *, before: int | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        """A page of deliveries without their content, newest first. Raises NotFound for the destination."""
        await self.standing(tx, name)
        return await store.listed(tx, name, state, _LAST if before is None else before, limit)

    async def content(
        self, tx: Transaction, name: str, sequence: int
    ) -> tuple[str, int | None, bytes | None, bytes | None]:
        """(control id, version of the key, sealed message, sealed answer) of a delivery. Raises NotFound."""
        if (row := await store.one(tx, name, sequence)) is None:
            raise NotFound(f"{name} has no message {sequence}; see: healthsync destination show {name}")
        return row["control_id"], row["key_version"], row["payload"], row["detail"]

    def open_content(
        self, name: str, control_id: str, key: SealingKey, payload: bytes | None, detail: bytes | None
    ) -> tuple[bytes, str]:
        """The message and what the partner wrote. Raises SealBroken."""
        place = self._place(name, control_id)
        message = open_sealed(key.key, payload, place) if payload is not None else b""
        return message, open_sealed(key.key, detail, place + b"|detail").decode(
            "utf-8", "replace"
        ) if detail is not None else ""

    async def unbuilt(self, tx: Transaction, name: str, sequences: Sequence[int] | None) -> list[tuple[int, Occasion]]:
        """Dead deliveries that have no content: a retry builds them."""
        return await store.unbuilt(tx, name, sequences, _PAGE)

    async def retry(self, tx: Transaction, name: str, sequences: Sequence[int] | None) -> list[int]:
        """Dead letters back at their old place, all (None) or some; returns those that wait now."""
        return await store.retry(tx, name, sequences)

    async def set_aside(self, tx: Transaction, name: str, sequence: int) -> None:
        """Take a waiting message out of the queue. Raises NotFound."""
        if not await store.set_aside(tx, name, sequence, self._clock.now(), _SET_ASIDE):
            raise NotFound(f"message {sequence} does not wait for {name}; see: healthsync destination show {name}")

    async def forget(self, tx: Transaction, keep: timedelta, limit: int = 1000) -> int:
        """Delete what was delivered longer ago than `keep`; returns how many."""
        return await store.forget(tx, self._clock.now() - keep, limit)

    def _sealed(self, parcel: Parcel, key: SealingKey) -> tuple[int, bytes]:
        assert parcel.payload is not None
        place = self._place(parcel.occasion.destination, parcel.control_id)
        return key.version, seal(key.key, parcel.payload, place)

    def _lane(self, parcel: Parcel) -> int | None:
        return self._blind_index.token("delivery lane", parcel.patient) if parcel.patient else None

    def _place(self, destination: str, control_id: str) -> bytes:
        return f"{self._hub_id}|delivery|{destination}|{control_id}".encode()
