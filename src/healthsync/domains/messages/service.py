"""The verbs of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from uuid import uuid4

from healthsync.domains.messages import store
from healthsync.domains.messages.lanes import patients_of, runnable
from healthsync.domains.messages.model import (
    Arrival,
    Claimed,
    DayOfRaw,
    MessageState,
    Raw,
    RawTerm,
    Read,
    Receipt,
    Restored,
    SealedMessage,
    SealingKey,
    Selection,
    Settlement,
    StoredMessage,
    day_of,
)
from healthsync.domains.messages.replaying import Group, Standing, groups
from healthsync.errors import NotFound
from healthsync.infrastructure.crypto import BlindIndex, open_sealed, seal
from healthsync.infrastructure.database import Transaction
from healthsync.standards.hl7v2 import Message

ACCEPTED_CHANNEL = "message_accepted"
"""NOTIFY on this channel says that something waits."""

EVERYTHING = Selection()

_LAST = 2**63 - 1
_PAGE = 10_000


class MessageService:
    """The messages of one hub. `hub_id` is part of what every sealed message is bound to."""

    def __init__(self, blind_index: BlindIndex, hub_id: str) -> None:
        self._blind_index = blind_index
        self._hub_id = hub_id
        self._days: set[date] = set()

    def lanes(self, source: str, message: Message) -> tuple[int, ...]:
        """Tokens of the patients that `message` of `source` concerns."""
        return tuple(
            self._blind_index.token("message lane", f"{source}\x1f{number}") for number in patients_of(message)
        )

    async def accept(
        self, tx: Transaction, arrivals: Sequence[Arrival], keys: Mapping[str, SealingKey]
    ) -> list[Receipt]:
        """Store arrivals in their order; a resend gets the receipt of the first. `keys` are by scope (`key_scope`).

        Nothing may be answered before `tx` has committed.
        """
        await self._make_room(tx, arrivals)
        digests = [self._digest(arrival) for arrival in arrivals]
        first: dict[bytes, Arrival] = {}
        for arrival, digest in zip(arrivals, digests, strict=True):
            first.setdefault(digest, arrival)
        sealed = [
            (key.version, seal(key.key, arrival.raw, self._place(arrival.source, digest)))
            for digest, arrival in first.items()
            for key in (keys[arrival.key_scope],)
        ]
        rows = await store.accept(tx, list(first.values()), list(first), sealed)
        fresh = {row["digest"]: row for row in rows}
        known = {}
        if len(fresh) < len(arrivals):
            known = {row["digest"]: row for row in await store.by_digest(tx, digests)}
        receipts = []
        for arrival, digest in zip(arrivals, digests, strict=True):
            if (row := fresh.pop(digest, None)) is not None:
                receipts.append(Receipt(row["sequence"], arrival.acknowledgement, False, tuple(row["warnings"])))
            else:
                row = known[digest]
                receipts.append(Receipt(row["sequence"], row["acknowledgement"], True, tuple(row["warnings"])))
        return receipts

    async def _make_room(self, tx: Transaction, arrivals: Sequence[Arrival]) -> None:
        """The raw zone has a partition for each day on which something came in."""
        for day in {day_of(arrival.received_at) for arrival in arrivals} - self._days:
            await store.add_day(tx, day)
            tx.after_commit(partial(self._days.add, day))

    async def claim(self, tx: Transaction, limit: int, now: datetime, *, only_heads: bool = False) -> list[Claimed]:
        """Up to `limit` of the oldest messages that may run now, one after the other; theirs until `tx` ends.

        A message that was tried before comes alone, so that one which brings the worker down takes nobody with it.
        With `only_heads` those are found that stand behind many waiting ones.
        """
        due = await store.due(tx, now, limit, only_heads=only_heads)
        blocked = await store.blocked(tx, due)
        by_sequence = {message.sequence: message for message in due}
        lanes = {sequence: message.lanes for sequence, message in by_sequence.items()}
        claimed: list[Claimed] = []
        for sequence in runnable(by_sequence, lanes, blocked):
            message = by_sequence[sequence]
            if message.attempts and claimed:
                break
            claimed.append(message)
            if message.attempts:
                break
        raw = await store.raw_of(tx, claimed)
        return [replace(message, raw=raw.get(message.sequence)) for message in claimed]

    async def begin(self, tx: Transaction, claimed: Iterable[Claimed]) -> None:
        """Count an attempt of each. `tx` is a transaction of its own that commits before the work begins."""
        await store.begin_attempts(tx, [message.sequence for message in claimed])

    async def settle(
        self, tx: Transaction, claimed: Sequence[Claimed], settlements: Mapping[int, Settlement], now: datetime
    ) -> None:
        """Write how the attempts ended, in the transaction of the work. Those without a settlement were not tried."""
        await store.settle(tx, settlements, now)
        finished = [m for m in claimed if _is_final(settlements.get(m.sequence))]
        await store.leave_lanes(tx, finished)
        await store.forget_attempts(tx, [message.sequence for message in finished])
        counts = {
            m.sequence: s.attempts if (s := settlements.get(m.sequence)) else m.attempts
            for m in claimed
            if not _is_final(settlements.get(m.sequence))
        }
        if counts:
            await store.set_attempts(tx, counts)

    def open(self, message: SealedMessage, keys: Mapping[tuple[str, int], SealingKey]) -> bytes:
        """The bytes of a message as they were received. `keys` are by scope and version (`SealedMessage.key`).

        Raises NotFound when the bytes or their key were destroyed, SealBroken when they were changed.
        """
        if message.raw is None:
            raise NotFound(f"the bytes of message {message.sequence} were destroyed at the end of their term")
        key = keys.get(message.key) if message.key is not None else None
        if key is None:
            raise NotFound(f"the key of message {message.sequence} was destroyed; it can no longer be read")
        return open_sealed(key.key, message.raw.sealed, self._place(message.source, message.digest))

    async def sealed(self, tx: Transaction, sequence: int) -> SealedMessage:
        """A message, unopened. Raises NotFound."""
        if not (found := await self.sealed_many(tx, [sequence])):
            raise NotFound(f"there is no message {sequence}; see: healthsync messages list")
        return found[0]

    async def sealed_many(self, tx: Transaction, sequences: Sequence[int]) -> list[SealedMessage]:
        """Messages, unopened, in the order of `sequences`; those that do not exist are absent."""
        by_sequence = {message.sequence: message for message in await store.found(tx, sequences)}
        messages = [by_sequence[sequence] for sequence in sequences if sequence in by_sequence]
        raw = await store.raw_of(tx, messages)
        return [replace(message, raw=raw.get(message.sequence)) for message in messages]

    async def listed(
        self, tx: Transaction, selection: Selection = EVERYTHING, *, before: int | None = None, limit: int = 1000
    ) -> list[StoredMessage]:
        """A page of messages without their content, newest first; the next page is `before` the last sequence."""
        return await store.listed(tx, selection, _LAST if before is None else before, limit)

    async def counted(self, tx: Transaction, selection: Selection = EVERYTHING) -> int:
        """How many messages there are."""
        return await store.counted(tx, selection)

    async def groups(self, tx: Transaction, selection: Selection) -> tuple[list[Group], int]:
        """What is read anew together when `selection` is, and the number of the newest message that was looked at."""
        newest = await store.last(tx)
        found: list[Group] = []
        for source, first in await store.first_chosen(tx, selection):
            found += groups(source, await self._standings(tx, selection, source, first, newest))
        return found, newest

    async def _standings(
        self, tx: Transaction, selection: Selection, source: str, first: int, newest: int
    ) -> list[Standing]:
        """All messages of a source from a place on. A copy has a greater number than the place that it stands in."""
        found: list[Standing] = []
        after = first - 1
        while page := await store.standings(tx, selection, source, after, _PAGE):
            found += [one for one in page if first <= one.place and one.sequence <= newest]
            after = page[-1].sequence
        return found

    async def now(self, tx: Transaction, group: Group, newest: int) -> Group:
        """The group as it stands at this moment, with what came to its lanes behind `newest`."""
        chosen = {member.sequence: member.chosen for member in group.members}
        members = await store.standings_now(tx, chosen, group.lanes, group.source, newest)
        return Group(group.source, tuple(dict.fromkeys(members)))

    async def read_anew(
        self, tx: Transaction, found: Sequence[Read], failures: Sequence[tuple[int, str, str]], now: datetime
    ) -> None:
        """Write what reading messages anew found out; `failures` are (sequence, code, sentence). Dead letters that
        could be read are processed; those that an edited copy stands for are replaced."""
        if found:
            await store.read_anew(tx, found, now)
        if failures:
            await store.still_dead(tx, failures)

    async def add_copy(self, tx: Transaction, arrival: Arrival, origin: int, key: SealingKey, edited_by: str) -> int:
        """Store an edited copy of a dead letter beside it; returns its sequence. It waits, dead, for its replay."""
        await store.add_day(tx, day_of(arrival.received_at))
        content = f"{arrival.source}\0{origin}\0".encode() + arrival.raw
        digest = self._blind_index.digest(f"edited message {uuid4()}", content)
        sealed = (key.version, seal(key.key, arrival.raw, self._place(arrival.source, digest)))
        return await store.add_copy(tx, arrival, origin, digest, sealed, edited_by)

    # The raw zone: how long, and in and out of archives.

    async def days(self, tx: Transaction) -> list[date]:
        """The days of which the raw zone holds bytes, the oldest first."""
        return await store.days(tx)

    async def sources_of_day(self, tx: Transaction, day: date, source: str | None = None) -> list[DayOfRaw]:
        """Whose bytes a day holds."""
        return await store.sources_of_day(tx, day, source)

    async def terms(self, tx: Transaction) -> dict[str, RawTerm]:
        """Terms and holds that differ from the setting, by source."""
        return {term.source: term for term in await store.terms(tx)}

    async def term(self, tx: Transaction, source: str) -> RawTerm:
        """The term of a source, which nobody else changes until `tx` ends."""
        await store.lock_source_term(tx, source)
        return (await self.terms(tx)).get(source, RawTerm(source))

    async def set_term(self, tx: Transaction, term: RawTerm, now: datetime) -> None:
        """Write a term or a hold."""
        await store.set_term(tx, term, now)

    async def destroy(self, tx: Transaction, day: date, sources: Sequence[str], now: datetime, *, whole: bool) -> None:
        """Destroy the bytes of sources and a day (`whole`: all that the day has). The rows stay and say so."""
        await store.destroy(tx, day, sources, now, whole=whole)

    async def has_old_bytes(self, tx: Transaction, source: str) -> bool:
        """Whether bytes are left that a version of the hub sealed which had one key for each source."""
        return await store.has_old_bytes(tx, source)

    async def page_of_day(
        self, tx: Transaction, source: str, day: date, after: int, limit: int
    ) -> list[tuple[SealedMessage, str, str]]:
        """Messages of a source and a day, unopened, with control id and state, behind a sequence."""
        return await store.page_of_day(tx, source, day, after, limit)

    async def restore(
        self, tx: Transaction, arrival: Arrival, told: bytes | None, key: SealingKey, now: datetime
    ) -> Restored:
        """Bring a message of an archive back. `told` is the digest that the archive names, if it is of this hub.

        What is here stays as it is; where only the bytes were destroyed they come back; what is not here waits, dead,
        for a replay, which reads it in its place before what came later.
        """
        own = self._digest(arrival)
        known = await store.known_digests(tx, [own] if told is None else [told, own])
        row = known.get(told or own) or known.get(own)
        if row is not None and not row["retired"]:
            return Restored.KNOWN
        digest = own if row is None else row["digest"]
        raw = Raw(seal(key.key, arrival.raw, self._place(arrival.source, digest)), key.version)
        await store.add_day(tx, day_of(arrival.received_at))
        if row is None:
            sequence = await store.add_restored(tx, arrival, digest, now)
            await store.add_raw(tx, arrival.source, arrival.received_at, sequence, raw)
            return Restored.NEW
        await store.add_raw(tx, arrival.source, row["received_at"], row["sequence"], raw)
        await store.bytes_are_back(tx, row["sequence"], arrival.lanes)
        return Restored.BYTES

    def _digest(self, arrival: Arrival) -> bytes:
        """A frame that was not accepted must not count as seen: sent again, it is judged again."""
        kind = "message" if arrival.reason_code is None else f"refused message {arrival.reason_code}"
        return self._blind_index.digest(kind, arrival.source.encode() + b"\0" + arrival.raw)

    def _place(self, source: str, digest: bytes) -> bytes:
        return f"{self._hub_id}|message|{source}|".encode() + digest


def _is_final(settlement: Settlement | None) -> bool:
    return settlement is not None and settlement.state is not MessageState.ACCEPTED
