"""The verbs of streams."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from healthsync.domains.streams import store
from healthsync.domains.streams.model import (
    Answer,
    DeadLetter,
    Fact,
    HandlerState,
    Leased,
    NewAnswer,
    Publication,
    Registration,
    SealingKey,
    Settling,
)
from healthsync.domains.streams.retrying import RetryTerms
from healthsync.domains.streams.wanting import read_want, wants
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import BlindIndex, open_sealed, seal
from healthsync.infrastructure.database import Transaction

DELIVERY_CHANNEL = "stream_delivery"
"""NOTIFY on this channel says that something may be due."""


class StreamService:
    """The streams of one hub. `hub_id` is part of what every sealed payload is bound to."""

    def __init__(self, blind_index: BlindIndex, clock: Clock, hub_id: str, terms: RetryTerms) -> None:
        self._blind_index, self._clock, self._hub_id, self.terms = blind_index, clock, hub_id, terms

    # --- handlers and what waits for them ---

    async def register(
        self, tx: Transaction, client_id: str, application: str, handlers: Sequence[Registration]
    ) -> None:
        """The handlers that an application has now; each hears of what is fanned out after the commit."""
        named = {handler.name: [str(want) for want in handler.wants] for handler in handlers}
        await store.register(tx, client_id, application, named, self._clock.now())

    async def handlers_of(self, tx: Transaction, client_id: str, application: str) -> list[int]:
        """The numbers of an application's handlers; none when it was never registered."""
        return await store.handlers_of(tx, client_id, application)

    async def fan_out(self, tx: Transaction, facts: Sequence[Fact]) -> int:
        """A delivery for each handler that wants one of `facts`; returns how many handlers listen at all."""
        handlers = [(row["id"], [read_want(text) for text in row["wants"]]) for row in await store.listening(tx)]
        deliveries = [
            (handler, fact)
            for fact in facts
            for handler, wanted in handlers
            if any(wants(want, fact) for want in wanted)
        ]
        if deliveries:
            await store.deliver(tx, deliveries)
        return len(handlers)

    async def lease(self, tx: Transaction, handlers: Sequence[int], instance: str, limit: int) -> list[Leased]:
        """At most `limit` due deliveries for an instance, oldest first; they come back when it falls silent."""
        now = self._clock.now()
        until = now + timedelta(seconds=self.terms.lease_seconds)
        return await store.lease(tx, handlers, now, limit, str(uuid.uuid4()), instance, until)

    async def renew(self, tx: Transaction, handlers: Sequence[int], instance: str) -> list[int]:
        """An instance lives: it keeps what it has. Returns what that is."""
        until = self._clock.now() + timedelta(seconds=self.terms.lease_seconds)
        return await store.renew(tx, instance, until, handlers)

    async def give_back(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Deliveries that were leased and not handed out: they are due as before."""
        if ids:
            await store.give_back(tx, ids)

    async def withhold(self, tx: Transaction, ids: Sequence[int], reason: str) -> None:
        """Deliveries that the gate does not let out, or whose subject is gone."""
        if ids:
            await store.settle(tx, [(id_, "withheld", None, reason) for id_ in ids], self._clock.now())

    async def settle(
        self, tx: Transaction, handlers: Sequence[int], endings: Sequence[Settling]
    ) -> dict[int, tuple[int | None, dict[str, Any]]]:
        """Write how handlings ended. Answers those that counted, by id, with (message sequence, data of the event);
        the lease of any other has run out and somebody else has it."""
        held = await store.held(tx, [(one.id, one.lease) for one in endings], handlers)
        now = self._clock.now()
        outcomes = [self._outcome(one, held[one.id]["attempts"]) for one in endings if one.id in held]
        if outcomes:
            await store.settle(tx, outcomes, now)
        return {id_: (row["message_sequence"], msgspec.json.decode(row["data"])) for id_, row in held.items()}

    def _outcome(self, ending: Settling, attempts: int) -> tuple[int, str, datetime | None, str | None]:
        """Id, state, next attempt and reason."""
        if ending.failed_for is None:
            return ending.id, "done", None, None
        jitter = secrets.randbelow(1000) / 1000
        again = self.terms.next_attempt(attempts, self._clock.now(), jitter)
        return ending.id, "dead" if again is None else "waiting", again, ending.failed_for

    async def states(
        self, tx: Transaction, client_id: str | None = None, application: str | None = None
    ) -> list[HandlerState]:
        """Handlers with what waits for them."""
        return await store.states(tx, client_id, application)

    async def dead(
        self, tx: Transaction, client_id: str | None = None, application: str | None = None, limit: int = 1000
    ) -> list[DeadLetter]:
        """Dead letters, newest first."""
        return await store.dead(tx, client_id, application, limit)

    async def replay(
        self,
        tx: Transaction,
        ids: Sequence[int] | None = None,
        *,
        client_id: str | None = None,
        application: str | None = None,
    ) -> list[int]:
        """Make dead letters wait again, all of them when none is named; returns which do."""
        return await store.replay(tx, self._clock.now(), ids, client_id, application)

    async def remove(
        self, tx: Transaction, application: str, name: str | None = None, client_id: str | None = None
    ) -> list[str]:
        """Delete handlers of an application with all that waits for them; returns their names."""
        return await store.remove(tx, application, name, client_id)

    async def forget(self, tx: Transaction, older_than: timedelta, limit: int) -> int:
        """Delete what was settled long ago; returns how many deliveries."""
        return await store.forget(tx, self._clock.now() - older_than, limit)

    # --- answers to messages ---

    async def answer(self, tx: Transaction, answers: Sequence[NewAnswer], keys: dict[str, SealingKey]) -> None:
        """Keep what handlers answered; `keys` are those of the messages, by source."""
        now = self._clock.now()
        rows = [
            (
                one.delivery_id,
                one.message_sequence,
                one.source,
                one.code,
                seal(keys[one.source].key, one.content, self._answer_place(one.source, one.delivery_id)),
                keys[one.source].version,
                now,
            )
            for one in answers
        ]
        if rows:
            await store.answer(tx, rows)

    async def unsent(self, tx: Transaction, sequences: Sequence[int]) -> list[Answer]:
        """The first answer to each of these messages, as far as there is one and none was sent."""
        return await store.unsent(tx, sequences)

    async def sent(self, tx: Transaction, answer: Answer) -> None:
        """An answer was written to its sender."""
        await store.sent(tx, answer.delivery_id, self._clock.now())

    async def answers_to(self, tx: Transaction, sequence: int) -> list[Answer]:
        """Every answer to a message, oldest first."""
        return await store.answers_to(tx, sequence)

    def open_answer(self, answer: Answer, key: SealingKey) -> bytes:
        """The bytes of an answer. Raises SealBroken."""
        return open_sealed(key.key, answer.sealed, self._answer_place(answer.source, answer.delivery_id))

    def _answer_place(self, source: str, delivery_id: int) -> bytes:
        return f"{self._hub_id}|answer|{source}|{delivery_id}".encode()

    # --- own topics ---

    def lane_of_key(self, topic: str, key: str) -> int:
        """The lane of a publication's key, which may be a patient's number: a keyed token."""
        return self._blind_index.token("stream key", f"{topic}\x1f{key}")

    async def publish(
        self,
        tx: Transaction,
        topic: str,
        client_id: str,
        content: bytes,
        key: SealingKey,
        *,
        patients: Sequence[str] = (),
        once_key: str | None = None,
    ) -> tuple[int, bool]:
        """Seal and store; returns the position and whether it is new. A `once_key` that was used gives the old one."""
        now = self._clock.now()
        sealed = seal(key.key, content, self._place(topic, client_id))
        once = None if once_key is None else self._blind_index.token("publication once", once_key)
        position = await store.publish(tx, topic, client_id, once, now, list(patients), sealed, key.version)
        if position is not None:
            return position, True
        return await store.published_once(tx, client_id, once), False

    async def publications_after(self, tx: Transaction, topic: str, after: int, limit: int) -> list[Publication]:
        """A page of a topic, oldest first, from behind a position."""
        return await store.publications_after(tx, topic, after, limit)

    async def publications(self, tx: Transaction, positions: Sequence[int]) -> dict[int, Publication]:
        """Publications by position; one that is gone is absent."""
        return await store.publications(tx, positions) if positions else {}

    def open_publication(self, publication: Publication, key: SealingKey) -> bytes:
        """The payload. Raises SealBroken."""
        return open_sealed(key.key, publication.sealed, self._place(publication.topic, publication.client_id))

    def _place(self, topic: str, client_id: str) -> bytes:
        return f"{self._hub_id}|publication|{topic}|{client_id}".encode()
