"""Messages and events to applications, at least once and in order.

    (1) open to   may this API key have whole messages at all?
    (2) lease     the oldest due deliveries, of each lane one; they come back when the instance falls silent
    (3) look      whose data is it, and what does the gate out say now?
    (4) record    one audit row for each that is handed out or withheld, committed before the answer
    (5) settle    done; or failed: later again, and a dead letter of that handler in the end

What is withheld is as if it had never been. A message is handed out when it has been processed (or has died), because
only then it is known whose it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from healthsync.domains.access import Requester, StreamRight
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.privacy import DataKeys
from healthsync.domains.streams import (
    DELIVERY_CHANNEL,
    DeadLetter,
    HandlerState,
    Kind,
    Leased,
    NewAnswer,
    Registration,
    Settling,
    StreamService,
    Want,
    read_want,
)
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, Refused, Unavailable
from healthsync.exchange.applications.contents import OpenContents
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.exchange.events import EventName
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.telemetry import metrics
from healthsync.standards.fhir import json
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.hl7v2 import AckCode, Message

__all__ = ["DeadLetter", "Deliveries", "Ending", "Handed", "HandlerState", "Registration", "Want", "read_want"]

MOST_AT_ONCE = 100
"""Deliveries that one request leases."""
MOST_BYTES = 8_000_000
"""Of messages and payloads in one answer; the first is handed out whatever its size."""
LONGEST_WAIT_SECONDS = 30.0

_POLL_SECONDS = 1.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,99}")
_MOST_HANDLERS = 200
_handed = metrics.counter("healthsync_handler_deliveries", "Deliveries to handlers, by how they ended.", ("outcome",))
_APPLICATION_CODES = (AckCode.AA, AckCode.AE, AckCode.AR)


@dataclass(frozen=True, slots=True)
class Handed:
    """A delivery with what is handed out: `content` of a message, `data` of an event or publication."""

    leased: Leased
    data: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How an application ended a delivery. `answer` is its application acknowledgement to a message."""

    id: int
    lease: str
    failed_for: str | None = None
    answer: bytes | None = None


class Deliveries:
    """The flows for applications; operators have `administration.tend_handlers`."""

    def __init__(
        self,
        *,
        database: Database,
        streams: StreamService,
        contents: OpenContents,
        data_keys: DataKeys,
        disclose: Disclose,
        audit: AuditService,
    ) -> None:
        self._database, self._streams, self._contents = database, streams, contents
        self._data_keys, self._disclose, self._audit = data_keys, disclose, audit
        self._waiters: set[asyncio.Event] = set()
        self._ended = False
        self._stop_listening: Callable[[], Awaitable[None]] | None = None

    async def register(self, requester: Requester, application: str, handlers: Sequence[Registration]) -> None:
        """The handlers of an application from now on. Raises Refused, InvalidInput for names that are none."""
        await self._open(requester, "register-handlers")
        names = [handler.name for handler in handlers]
        if not all(map(_NAME.fullmatch, (application, *names))):
            raise InvalidInput("names of applications and handlers are those of Python: no spaces", code="value")
        if len(set(names)) < len(names) or len(names) > _MOST_HANDLERS:
            raise InvalidInput(f"an application has at most {_MOST_HANDLERS} handlers, each with its own name")
        event = audit_event(requester, Action.UPDATE, "register-handlers", Outcome.PERMITTED, ("Handler",))
        async with self._database.transaction() as tx:
            await self._streams.register(tx, requester.client_id, application, handlers)
            await self._audit.record(tx, event)

    async def lease(
        self,
        requester: Requester,
        application: str,
        instance: str,
        *,
        limit: int,
        wait_seconds: float,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> list[Handed]:
        """What is due for the handlers of an application; waits for it a while, unless whoever asked is `gone`.

        Raises Refused, NotFound.
        """
        await self._open(requester, "deliver")  # (1)
        handlers = await self._handlers(requester, application)
        until = time.monotonic() + min(wait_seconds, LONGEST_WAIT_SECONDS)
        wake = asyncio.Event()
        await self._listen(wake)
        try:
            while True:
                wake.clear()
                async with self._database.transaction() as tx:  # (2)
                    leased = await self._streams.lease(tx, handlers, instance, min(limit, MOST_AT_ONCE))
                if leased and (handed := await self._hand_out(requester, leased)):
                    return handed
                left = until - time.monotonic()
                if not leased and (left <= 0 or self._ended):
                    return []
                if not leased:
                    await _first(wake, min(left, _POLL_SECONDS))
                if gone is not None and await gone():
                    return []
        finally:
            await self._leave(wake)

    @property
    def lease_seconds(self) -> float:
        """How long an instance may be silent about what it has."""
        return self._streams.terms.lease_seconds

    async def renew(self, requester: Requester, application: str, instance: str) -> list[int]:
        """The instance lives; answers the deliveries that it still has. Raises Refused, NotFound."""
        await self._open(requester, "deliver")
        handlers = await self._handlers(requester, application)
        async with self._database.connection() as tx:
            return await self._streams.renew(tx, handlers, instance)

    async def settle(self, requester: Requester, application: str, endings: Sequence[Ending]) -> list[int]:
        """How deliveries ended; answers the ids of those that counted: the lease of any other had run out.

        Raises Refused, NotFound, InvalidInput for an answer that is no application acknowledgement.
        """
        await self._open(requester, "deliver")
        handlers = await self._handlers(requester, application)
        codes = {one.id: _code(one.answer) for one in endings if one.answer is not None}
        async with self._database.transaction() as tx:
            settling = [Settling(one.id, one.lease, one.failed_for) for one in endings]
            held = await self._streams.settle(tx, handlers, settling)  # (5)
            await self._keep_answers(tx, requester, endings, codes, held)
        for one in endings:
            if one.id in held:
                _handed.labels(outcome="failed" if one.failed_for else "done").inc()
        return sorted(held)

    async def states(self, requester: Requester, application: str) -> list[HandlerState]:
        """The handlers of an application with what waits for them. Raises Refused, NotFound."""
        await self._open(requester, "deliver")
        await self._handlers(requester, application)
        async with self._database.connection() as tx:
            return await self._streams.states(tx, requester.client_id, application)

    async def dead(self, requester: Requester, application: str) -> list[DeadLetter]:
        """The dead letters of an application, newest first. Raises Refused, NotFound."""
        await self._open(requester, "deliver")
        await self._handlers(requester, application)
        async with self._database.connection() as tx:
            return await self._streams.dead(tx, requester.client_id, application)

    async def replay(self, requester: Requester, application: str, ids: Sequence[int] | None) -> list[int]:
        """Dead letters wait again: these, or all of the application. Answers which. Raises Refused, NotFound."""
        await self._open(requester, "replay-deliveries")
        await self._handlers(requester, application)
        event = audit_event(requester, Action.EXECUTE, "replay-deliveries", Outcome.PERMITTED, ("Handler",))
        async with self._database.transaction() as tx:
            replayed = await self._streams.replay(tx, ids, client_id=requester.client_id, application=application)
            await self._audit.record(tx, event)
        return replayed

    # --- (1) ---

    async def _open(self, requester: Requester, interaction: str) -> None:
        if isinstance(
            no := await self._disclose.open_to(requester, StreamRight.HANDLE, interaction, "Message"), Refusal
        ):
            raise Refused(no.because)

    async def _handlers(self, requester: Requester, application: str) -> list[int]:
        async with self._database.connection() as tx:
            handlers = await self._streams.handlers_of(tx, requester.client_id, application)
        if not handlers:
            event = audit_event(requester, Action.EXECUTE, "deliver", Outcome.REFUSED, ("Handler",), reason="unknown")
            await self._audit.record_and_commit(event)
            raise NotFound("this client has registered no such application; register its handlers first")
        return handlers

    # --- (3), (4) ---

    async def _hand_out(self, requester: Requester, leased: Sequence[Leased]) -> list[Handed]:
        try:
            sealed = [one for one in leased if one.kind is not Kind.EVENT or one.name == EventName.ALERT_RAISED]
            handed = await self._parcels(requester, sealed)
            for one in leased:
                if one not in sealed:
                    handed += await self._event(requester, one)
        except BaseException:
            await asyncio.shield(self._give_back([one.id for one in leased]))
            raise
        return sorted(handed, key=lambda one: one.leased.id)

    async def _parcels(self, requester: Requester, leased: Sequence[Leased]) -> list[Handed]:
        """What was sealed by this hub and is no resource: messages, publications, alerts."""
        if not leased:
            return []
        async with self._database.transaction() as tx:
            found = await self._contents.find(tx, leased)
            here = [one for one in leased if one.id in found]
            verdicts = await self._disclose.hand_out(tx, requester, "deliver", [found[one.id].parcel for one in here])
            permitted = [one for one, may in zip(here, verdicts, strict=True) if may]
            handed, late = self._opened(permitted, found)
            await self._streams.give_back(tx, [one.id for one in late])
            gone = [one.id for one in leased if one.id not in found]
            refused = [one.id for one, may in zip(here, verdicts, strict=True) if not may]
            await self._streams.withhold(tx, gone, "gone")
            await self._streams.withhold(tx, refused, "consent")
        _handed.labels(outcome="withheld").inc(len(refused) + len(gone))
        return handed

    @staticmethod
    def _opened(permitted: Sequence[Leased], found: Mapping[int, Any]) -> tuple[list[Handed], Sequence[Leased]]:
        """Opened until the answer is full, and those for which there is no room."""
        handed: list[Handed] = []
        room = MOST_BYTES
        for place, one in enumerate(permitted):
            content = found[one.id].open()
            room -= len(content)
            if room < 0 and handed:
                return handed, permitted[place:]
            if one.kind is Kind.HL7:
                handed.append(Handed(one, one.data, content))
            else:
                handed.append(Handed(one, {**one.data, "payload": msgspec.Raw(content)}))
        return handed, ()

    async def _event(self, requester: Requester, one: Leased) -> list[Handed]:
        """An event with the resource that it is about, as the requester may see it now."""
        resource_type, _, id_ = one.subject.partition("/")
        if resource_type not in resource_types():
            return [Handed(one, one.data)]
        if "version" in one.data:
            shown = await self._disclose.notify(requester, resource_type, id_, one.data["version"], lambda _: True)
        else:
            shown = await self._disclose.read(requester, resource_type, id_)
        if isinstance(shown, Disclosed):
            return [Handed(one, {**one.data, "resource": json.parse(shown.text.encode())})]
        async with self._database.transaction() as tx:
            await self._streams.withhold(tx, [one.id], "consent" if isinstance(shown, Refusal) else "gone")
        _handed.labels(outcome="withheld").inc()
        return []

    async def _give_back(self, ids: Sequence[int]) -> None:
        try:
            async with self._database.transaction() as tx:
                await self._streams.give_back(tx, ids)
        except Unavailable:
            return  # the leases run out by themselves

    # --- (5) ---

    async def _keep_answers(
        self,
        tx: Transaction,
        requester: Requester,
        endings: Sequence[Ending],
        codes: Mapping[int, AckCode],
        held: Mapping[int, tuple[int | None, dict[str, Any]]],
    ) -> None:
        answers = []
        for one in endings:
            sequence, data = held.get(one.id, (None, {}))
            if sequence is not None and one.answer is not None:
                answers.append(NewAnswer(one.id, sequence, data["source"], codes[one.id].value, one.answer))
        keys = {
            source: await self._data_keys.for_scope(tx, f"messages/{source}")
            for source in {answer.source for answer in answers}
        }
        await self._streams.answer(tx, answers, dict(keys))
        for answer in answers:
            event = audit_event(
                requester,
                Action.CREATE,
                "application-acknowledgement",
                Outcome.PERMITTED,
                (f"Message/{answer.message_sequence}",),
                reason=answer.code,
            )
            await self._audit.record(tx, event)

    # --- waiting ---

    async def _listen(self, wake: asyncio.Event) -> None:
        self._waiters.add(wake)
        if self._stop_listening is None:
            self._stop_listening = await self._database.listen(DELIVERY_CHANNEL, self._wake_all)

    async def _leave(self, wake: asyncio.Event) -> None:
        self._waiters.discard(wake)

    async def end_waiting(self) -> None:
        """The hub stops: nobody waits any longer."""
        self._ended = True
        self._wake_all("")

    async def close(self) -> None:
        """Listen no more."""
        if (stop := self._stop_listening) is not None:
            self._stop_listening = None
            await stop()

    def _wake_all(self, _payload: str) -> None:
        for waiter in self._waiters:
            waiter.set()


def _code(answer: bytes) -> AckCode:
    """MSA-1 of an application acknowledgement. Raises InvalidInput."""
    try:
        told = Message.parse(answer).get("MSA-1")
    except HealthSyncError:
        told = ""
    code = next((each for each in _APPLICATION_CODES if each == told), None)
    if code is None:
        raise InvalidInput("an answer is an acknowledgement whose MSA-1 is AA, AE or AR", code="value")
    return code


async def _first(wake: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await wake.wait()
    except TimeoutError:
        return
