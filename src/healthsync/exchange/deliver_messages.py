"""HL7 v2 out: from the queue to the partner.

    (1) claim     one destination with something to do, for this process; a beat keeps it as long as the process lives
    (2) take      the oldest messages that may go: none overtakes an older one of its lane
    (3) gate      those whose patients have withdrawn their consent since are not sent, and their content goes
    (4) count     the attempt, in a commit of its own: a message that brings the hub down is known by its count
    (5) send      and wait for the answer that names this message; each lane one after the other
    (6) settle    before the next of the lane leaves: delivered, again later, or dead

A process that is killed between (5) and (6) leaves the message waiting: it is sent again under the same control id, by
which the partner knows it. A partner that gives no usable answer is left alone, longer each time; then one message
tries (circuit breaker). No message pays for that: only answers AE and CE count against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.deliveries import (
    MOST_BEGUN,
    WAITING_CHANNEL,
    Circuit,
    DeliveryService,
    DeliveryState,
    Destination,
    SealingKey,
    Settlement,
    Standing,
    Waiting,
    answered,
    window,
)
from healthsync.domains.privacy import DataKeys
from healthsync.errors import ConfigurationError, HealthSyncError, Unavailable
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.ports import MessageLink, OpenLink
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.telemetry import logger, metrics

WAKE_CHANNEL = WAITING_CHANNEL
"""NOTIFY on this channel says that something waits."""

_log = logger(__name__)
_delivered = metrics.counter(
    "healthsync_deliveries", "Attempts to deliver a message, by what came of them.", ("destination", "outcome")
)
_depth = metrics.gauge("healthsync_delivery_queue_depth", "Messages that wait or are dead.", ("destination", "state"))
_oldest = metrics.gauge("healthsync_delivery_oldest_seconds", "Age of the oldest message that waits.", ("destination",))
_failing = metrics.gauge("healthsync_destination_failures", "Failures in a row of a destination.", ("destination",))
_seconds = metrics.histogram("healthsync_delivery_seconds", "Time from sending a message to its answer.")

LEASE_SECONDS = 10.0
"""After this time without a sign of life another process takes a destination over."""
_BEAT_SECONDS = 3.0
_AT_ONCE = 50
_LOOK_SECONDS = 1.0
_IDLE_SECONDS = 30.0
_CONSENT_SECONDS = 1.0
_WITHHELD = Settlement(
    DeliveryState.DEAD, 0, reason_code="consent", destroys=True,
    reason="the patient has withdrawn the consent since it was queued; what it held was destroyed",
)  # fmt: skip
_GONE = Settlement(
    DeliveryState.DEAD, 0, reason_code="deleted", destroys=True,
    reason="the key of this destination's messages was destroyed; a retry builds the message anew",
)  # fmt: skip


class _LeaseLost(Exception):
    """The destination is another process's, paused or removed."""


class _NoAnswer(Exception):
    """The partner gave no usable answer, or cannot be reached."""


@dataclass(slots=True, eq=False)
class Turn:
    """A destination that this process serves."""

    standing: Standing
    lease: UUID
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    @property
    def destination(self) -> Destination:
        """Where the messages go."""
        return self.standing.destination

    @property
    def name(self) -> str:
        """Of the destination."""
        return self.standing.destination.name


def requester_of(destination: Destination) -> Requester:
    """As whom the gate sees a destination."""
    return Requester(
        f"destination/{destination.name}",
        (destination.role,),
        destination.purpose_of_use,
        organisation=destination.organisation,
    )


class DeliverMessages:
    """The flow. `keep` is how long a delivered message stays in store."""

    def __init__(
        self,
        *,
        database: Database,
        deliveries: DeliveryService,
        disclose: Disclose,
        audit: AuditService,
        data_keys: DataKeys,
        clock: Clock,
        open_link: OpenLink,
        keep: timedelta,
    ) -> None:
        self._database, self._deliveries, self._disclose, self._audit = database, deliveries, disclose, audit
        self._data_keys, self._clock, self._open_link, self._keep = data_keys, clock, open_link, keep
        self._turns: set[Turn] = set()

    # (1)
    async def claim(self) -> Turn | None:
        """A destination with something to do; None when nobody waits."""
        lease = uuid.uuid4()
        async with self._database.connection() as tx:
            standing = await self._deliveries.claim(tx, lease, LEASE_SECONDS)
        return Turn(standing, lease) if standing is not None else None

    def wake(self) -> None:
        """Something was queued: those that are idle look again."""
        for turn in self._turns:
            turn.wake.set()

    async def serve(self, turn: Turn, stop: asyncio.Event, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        """Deliver to one destination until it has been idle for a while, is no longer ours, or `stop` is set.

        A message in flight is waited for. A partner that connects to us is waited for as long as the hub runs.
        """
        self._turns.add(turn)
        try:
            async with self._beating(turn), AsyncExitStack() as stack:
                try:
                    link = await stack.enter_async_context(self._open_link(turn.destination))
                except (ConfigurationError, Unavailable) as problem:  # a TLS file, a port in use
                    await self._fail(turn, str(problem))
                    await self._pause(turn, stop)
                    return
                await self._serve(turn, link, stop, idle_seconds)
        except _LeaseLost:
            _log.info("a destination is no longer served by this process", destination=turn.name)
        finally:
            self._turns.discard(turn)
            await self._release(turn)

    async def drain(self) -> None:
        """Deliver what is due now to everybody (retries that wait stay), for one-shot use."""
        while (turn := await self.claim()) is not None:
            await self.serve(turn, asyncio.Event(), idle_seconds=0)

    async def tidy(self) -> int:
        """Forget what was delivered long ago; returns how many."""
        async with self._database.connection() as tx:
            return await self._deliveries.forget(tx, self._keep)

    async def observe(self) -> None:
        """Tell the metrics what waits, how old it is, and who does not answer."""
        async with self._database.connection() as tx:
            queues = await self._deliveries.queues(tx)
            standings = await self._deliveries.standings(tx)
        now = self._clock.now()
        for name, queue in queues.items():
            _depth.labels(destination=name, state="waiting").set(queue.waiting)
            _depth.labels(destination=name, state="dead").set(queue.dead)
            _oldest.labels(destination=name).set((now - queue.oldest_at).total_seconds() if queue.oldest_at else 0)
        for standing in standings:
            _failing.labels(destination=standing.destination.name).set(standing.failures)

    async def _serve(self, turn: Turn, link: MessageLink, stop: asyncio.Event, idle_seconds: float) -> None:
        idle_since = time.monotonic()
        while not stop.is_set():
            _require(turn)
            turn.wake.clear()
            if turn.standing.circuit(self._clock.now()) is Circuit.OPEN:
                if not idle_seconds:
                    return
                await self._pause(turn, stop)
                continue
            due = await self._due(turn)
            if due:
                await self._wait_for_partner(turn, link, stop)
                if stop.is_set():
                    return
                try:
                    await self._send_all(turn, due, link)
                except _NoAnswer as problem:
                    await self._fail(turn, str(problem))
                idle_since = time.monotonic()
            elif not turn.destination.listen and time.monotonic() - idle_since >= idle_seconds:
                return
            else:
                await _first_of(_LOOK_SECONDS, stop, turn.wake)

    async def _wait_for_partner(self, turn: Turn, link: MessageLink, stop: asyncio.Event) -> None:
        """A partner that connects to us may be away for days; the lease is kept meanwhile."""
        if not turn.destination.listen:
            return
        ready = asyncio.ensure_future(link.ready())
        try:
            while not ready.done() and not stop.is_set():
                _require(turn)
                await asyncio.wait([ready], timeout=_LOOK_SECONDS)
        finally:
            ready.cancel()

    # (2)
    async def _due(self, turn: Turn) -> list[Waiting]:
        """A message whose attempts never ended is dead: it may be what brings the hub down."""
        limit = 1 if turn.standing.failures else _AT_ONCE * turn.destination.max_connections
        async with self._database.connection() as tx:
            due = window(await self._deliveries.due(tx, turn.destination, limit))
        if due and due[0].begun >= MOST_BEGUN:
            told = f"the hub ended {due[0].begun} times while it sent this message; see its log, then retry it"
            settlement = Settlement(DeliveryState.DEAD, due[0].attempts, reason_code="poison", reason=told)
            await self._settle(turn, due[0], settlement)
            return await self._due(turn)
        return due

    async def _send_all(self, turn: Turn, due: Sequence[Waiting], link: MessageLink) -> None:
        """The lanes beside each other, each in order. Raises _NoAnswer when the partner gave no usable answer."""
        keys = await self._keys(turn, due)
        due = await self._permitted(turn, await self._legible(turn, due, keys))  # (3)
        if not due:
            return
        async with self._database.connection() as tx:  # (4)
            await self._deliveries.begin(tx, [waiting.sequence for waiting in due])
        batch = _Batch(due, keys, asyncio.Semaphore(turn.destination.max_connections))
        lanes: dict[object, list[Waiting]] = {}
        for waiting in due:
            lane = None if turn.destination.is_in_order else waiting.lane or (waiting.sequence,)
            lanes.setdefault(lane, []).append(waiting)
        ends = await asyncio.gather(*(self._lane(turn, lane, batch, link) for lane in lanes.values()),
                                    return_exceptions=True)  # fmt: skip
        if batch.open:
            async with self._database.connection() as tx:
                await self._deliveries.not_attempted(tx, sorted(batch.open))
        faults = [end for end in ends if isinstance(end, BaseException)]
        if faults:  # our own before the partner's
            raise next((fault for fault in faults if not isinstance(fault, _NoAnswer)), faults[0])

    async def _lane(self, turn: Turn, lane: Sequence[Waiting], batch: _Batch, link: MessageLink) -> None:
        for waiting in lane:
            async with batch.connections:
                if batch.over or not await self._one(turn, waiting, batch, link):
                    return

    async def _one(self, turn: Turn, waiting: Waiting, batch: _Batch, link: MessageLink) -> bool:
        """Send one message; False when the younger ones of its lane must wait."""
        _require(turn)
        key = batch.keys[waiting.key_version]
        if time.monotonic() - batch.asked_at > _CONSENT_SECONDS and not await self._permitted(turn, [waiting]):
            batch.open.discard(waiting.sequence)
            return True
        try:
            settlement = await self._attempt(turn, waiting, key, link)  # (5)
        except _NoAnswer:
            batch.over = True
            raise
        except BaseException:  # our own fault, perhaps of this message: its count stays
            batch.over = True
            batch.open.discard(waiting.sequence)
            raise
        await self._settle(turn, waiting, settlement, key)  # (6)
        batch.open.discard(waiting.sequence)
        return settlement.state is not DeliveryState.WAITING

    # (3)
    async def _permitted(self, turn: Turn, due: Sequence[Waiting]) -> list[Waiting]:
        """Those that consent still lets go; the others are dead, and the refusal is recorded."""
        requester = requester_of(turn.destination)
        everyone = sorted({key for waiting in due for key in waiting.patient_keys})
        if not everyone or not await self._disclose.withholds(requester, everyone):
            return list(due)
        permitted = []
        for waiting in due:
            if not await self._disclose.withholds(requester, waiting.patient_keys):
                permitted.append(waiting)
                continue
            event = audit_event(requester, Action.READ, "send-message", Outcome.REFUSED, [waiting.subject],
                                reason="consent")  # fmt: skip
            await self._audit.record_and_commit(event)
            await self._settle(turn, waiting, _WITHHELD)
        return permitted

    async def _legible(self, turn: Turn, due: Sequence[Waiting], keys: Mapping[int, SealingKey]) -> list[Waiting]:
        """Those whose key is there; what was sealed under one that was destroyed is gone."""
        for waiting in due:
            if waiting.key_version not in keys:
                await self._settle(turn, waiting, _GONE)
        return [waiting for waiting in due if waiting.key_version in keys]

    async def _keys(self, turn: Turn, due: Sequence[Waiting]) -> dict[int, SealingKey]:
        scope = key_scope(turn.name)
        async with self._database.connection() as tx:
            found = await self._data_keys.of_versions(tx, {(scope, waiting.key_version) for waiting in due})
        return {version: key for (_, version), key in found.items()}

    # (5)
    async def _attempt(self, turn: Turn, waiting: Waiting, key: SealingKey, link: MessageLink) -> Settlement:
        try:
            message = self._deliveries.open(waiting, key)
        except HealthSyncError as problem:  # a broken seal
            return Settlement(DeliveryState.DEAD, waiting.attempts, reason_code=problem.code, reason=str(problem))
        started = time.perf_counter()
        try:
            answer = await link.send(message)
        except Unavailable as problem:
            raise _NoAnswer(str(problem)) from None
        _seconds.observe(time.perf_counter() - started)
        policy, jitter = turn.destination.retry, random.random()  # noqa: S311 - spreads waits
        return answered(waiting, answer.code, answer.text, policy, self._clock.now(), jitter)

    # (6)
    async def _settle(
        self, turn: Turn, waiting: Waiting, settlement: Settlement, key: SealingKey | None = None
    ) -> None:
        async with self._database.connection() as tx:
            await self._deliveries.settle(tx, waiting, settlement, key)
        if turn.standing.failures and settlement.answer is not None:
            await self._recover(turn)
        outcome = "retried" if settlement.state is DeliveryState.WAITING else settlement.state.value
        _delivered.labels(destination=turn.name, outcome=outcome).inc()
        if settlement.state is DeliveryState.DEAD:
            _log.warning("a message is a dead letter", destination=turn.name, sequence=waiting.sequence,
                         reason=settlement.reason_code)  # fmt: skip

    async def _recover(self, turn: Turn) -> None:
        failures = turn.standing.failures
        async with self._database.connection() as tx:
            await self._deliveries.recovered(tx, turn.name)
        turn.standing = Standing(turn.destination, turn.standing.state, turn.standing.created_at)
        _log.info("a destination answers again", destination=turn.name, attempts=failures)

    async def _fail(self, turn: Turn, reason: str) -> None:
        """Only the first failure is told in the log: a partner that is down must not flood it."""
        _delivered.labels(destination=turn.name, outcome="unanswered").inc()
        async with self._database.connection() as tx:
            jitter = random.random()  # noqa: S311 - spreads waits
            standing = await self._deliveries.failed(tx, turn.standing, turn.lease, reason, jitter)
        if standing is None:
            raise _LeaseLost
        turn.standing = standing
        if standing.failures == 1:
            _log.warning("a destination gives no usable answer; its messages wait", destination=turn.name)

    async def _pause(self, turn: Turn, stop: asyncio.Event) -> None:
        """Until the wait is over; `resume` ends it early."""
        while turn.standing.circuit(self._clock.now()) is Circuit.OPEN and not stop.is_set() and not turn.lost:
            assert turn.standing.retry_at is not None
            left = (turn.standing.retry_at - self._clock.now()).total_seconds()
            await _first_of(min(max(left, 0.01), _LOOK_SECONDS), stop)

    @asynccontextmanager
    async def _beating(self, turn: Turn) -> AsyncIterator[None]:
        """Keep the lease, and see what changes about the destination, while the block runs."""
        beat = asyncio.create_task(self._beat(turn))
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.wait([beat])

    async def _beat(self, turn: Turn) -> None:
        renewed_at = time.monotonic()
        while not turn.lost:
            await _first_of(_BEAT_SECONDS, turn.wake)
            try:
                async with self._database.connection() as tx:
                    standing = await self._deliveries.renew(tx, turn.name, turn.lease, LEASE_SECONDS)
            except Unavailable:
                turn.lost = time.monotonic() - renewed_at > LEASE_SECONDS
                continue
            renewed_at = time.monotonic()
            if standing is None or standing.destination != turn.destination:
                turn.lost = True
            elif standing.failures == turn.standing.failures:
                turn.standing = standing
            await asyncio.sleep(_BEAT_SECONDS / 4)

    async def _release(self, turn: Turn) -> None:
        with contextlib.suppress(Unavailable):
            async with self._database.connection() as tx:
                await self._deliveries.release(tx, turn.name, turn.lease)


@dataclass(slots=True)
class _Batch:
    """Messages that are sent in one go."""

    due: Sequence[Waiting]
    keys: dict[int, SealingKey]
    connections: asyncio.Semaphore
    asked_at: float = field(default_factory=time.monotonic)
    over: bool = False
    open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.open = {waiting.sequence for waiting in self.due}


def key_scope(destination: str) -> str:
    """The scope of the data key that seals a destination's messages."""
    return f"deliveries/{destination}"


def _require(turn: Turn) -> None:
    if turn.lost:
        raise _LeaseLost


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
