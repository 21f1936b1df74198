"""The verbs of the repository: `exchange.ingest` writes through it, `exchange.disclose` reads for others."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import structs

from healthsync.domains.records import history, sorting, store
from healthsync.domains.records.history import HistoryOfOne, HistoryQuery
from healthsync.domains.records.index import EMPTY, IndexRows, RecordIndex
from healthsync.domains.records.model import EVERYTHING, Change, Page, StoredResource, Visibility, Wanted
from healthsync.domains.records.search import Position, SearchPlan
from healthsync.errors import InvalidInput
from healthsync.infrastructure.database import Beside, Transaction

_PID_BLOCK = 500
_KEPT_PATIENT_IDS = 200_000
_KEPT_VERSIONS, _FEW_CHANGES, _MOST_TOKENS_KEPT = 500, 3, 100
"""Versions whose index rows are remembered, since what changes often changes soon: some 4 MB, 12 at most."""

STREAM_BYTES, STREAM_ROWS = 4 * 1024 * 1024, 1000
"""The largest batch of a stream, in bytes as stored and in resources."""

MOST_DECRYPTED, MOST_SORTED = 20_000, 5_000
"""Resources that one search may open to find its hits, and to sort them."""

_LARGER_BATCH = 1_000

_INPATIENT = ("IMP", "ACUTE", "NONAC")
_NO_STAY = ("planned", "cancelled", "entered-in-error")
_GOING_ON = ("arrived", "triaged", "in-progress", "onleave")

_PROBE_HOLDS_SECONDS, _KEPT_PROBES = 60, 10_000

Look = Callable[[Sequence[StoredResource]], Awaitable[list[dict[str, Any]]]]
"""Decrypts rows, which this domain cannot."""


class RecordsService:
    """The FHIR repository of this hub."""

    NOTHING = EMPTY
    """Index rows of a resource that is not there."""

    def __init__(self, index: RecordIndex) -> None:
        self.index = index
        self._pids: deque[int] = deque()
        self._patient_ids: dict[int, str] = {}
        self._patient_keys: dict[str, int] = {}
        self._written: dict[tuple[int, int], IndexRows] = {}
        self._probed: dict[tuple[Any, ...], tuple[int, float]] = {}

    async def take_pids(self, tx: Transaction, count: int) -> list[int]:
        """Internal numbers for new resources: taken in blocks, so that most calls need no database."""
        while len(self._pids) < count:
            self._pids.extend(await store.take_pids(tx, _PID_BLOCK))
        return [self._pids.popleft() for _ in range(count)]

    async def inpatient_stays(
        self, tx: Transaction, since: datetime, until: datetime
    ) -> list[tuple[str, int, datetime, datetime]]:
        """(id, patient key, begin, end) of the inpatient encounters that meet a time, by patient and begin. One whose
        end nobody told is a stay only while it is going on."""

        def tokens(path: str, codes: Sequence[str]) -> list[int]:
            return [self.index.token("Encounter", path, code) for code in codes]

        path = self.index.date_path("Encounter", "period")
        inpatient, no_stay, going_on = (
            tokens("class", _INPATIENT),
            tokens("status", _NO_STAY),
            tokens("status", _GOING_ON),
        )
        return await store.stays(tx, path, inpatient, no_stay, going_on, since, until)

    async def current(
        self,
        tx: Transaction,
        references: Sequence[tuple[str, str]],
        visibility: Visibility = EVERYTHING,
        beside: Beside | None = None,
    ) -> dict[tuple[str, str], StoredResource]:
        """The current versions of (type, id) by these, deleted ones too; look at `permitted`."""
        rows = await self.read_many(tx, references, visibility, beside)
        return {(row.resource_type, row.id): row for row in rows}

    async def heads(self, tx: Transaction, references: Sequence[tuple[str, str]], visibility: Visibility = EVERYTHING):
        """Version, digest, patient and state of (type, id), without content, and whether it is `permitted`."""
        return await store.heads(tx, self._addresses(references), visibility) if references else {}

    def _addresses(self, references: Iterable[tuple[str, str]]) -> list[store.Address]:
        return [(self.index.key(f"{kind}/{id_}"), kind, id_) for kind, id_ in references]

    async def take_turns(self, tx: Transaction, names: Sequence[str]) -> None:
        """One transaction at a time for each of these names, until it ends."""
        await store.take_turns(tx, sorted({_turn(name) for name in names}))

    def write(self, tx: Transaction, changes: Sequence[Change]) -> None:
        """Store new resources and new versions, at the end of the unit of work.

        VersionConflict is raised then when a version in store is no longer the one that a change replaces.
        """
        if len(changes) <= _FEW_CHANGES:
            tx.after_commit(lambda: self._remember_rows(changes))
        new = [change for change in changes if change.replaces is None]
        next_versions = [change for change in changes if change.replaces is not None]
        if new:
            store.insert(tx, new)
            patients = {change.id: change.pid for change in new if change.resource_type == "Patient"}
            if patients:
                tx.after_commit(lambda: self._remember_patients(patients))
        if next_versions:
            store.replace(tx, next_versions)

    def rows_before(self, row: StoredResource, document: dict[str, Any]) -> IndexRows:
        """The index rows of a version that is replaced: made anew, or kept since it was written a moment ago."""
        kept = self._written.pop((row.pid, row.version), None)
        if kept is not None and self.index.are_all(kept, row.resource_type):
            return kept
        return self.index.rows(document, leaving=True)

    def _remember_rows(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if not change.deleted and len(change.index.tokens) <= _MOST_TOKENS_KEPT:
                self._written[change.pid, change.version] = change.index
        while len(self._written) > _KEPT_VERSIONS:
            del self._written[next(iter(self._written))]

    async def patient_keys(self, tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
        """Internal numbers of source patients by id; unknown ids are absent."""
        found = {id_: self._patient_keys[id_] for id_ in ids if id_ in self._patient_keys}
        missing = [id_ for id_ in ids if id_ not in found]
        if missing:
            fresh = await store.patient_keys(tx, self._addresses(("Patient", id_) for id_ in missing))
            tx.after_commit(lambda: self._remember_patients(fresh))
            found |= fresh
        return found

    def _remember_patients(self, keys: Mapping[str, int]) -> None:
        """The pair of id and number never changes, so that it is kept in memory once it is committed."""
        for kept in (self._patient_keys, self._patient_ids):
            if len(kept) > _KEPT_PATIENT_IDS:
                kept.clear()
        self._patient_keys.update(keys)
        self._patient_ids.update({pid: id_ for id_, pid in keys.items()})

    async def patient_ids(self, tx: Transaction, keys: Sequence[int]) -> dict[int, str]:
        """Ids of source patients by internal number. The pair never changes, so it is kept in memory."""
        missing = [key for key in keys if key not in self._patient_ids]
        if missing:
            if len(self._patient_ids) > _KEPT_PATIENT_IDS:
                self._patient_ids.clear()
            self._patient_ids.update(await store.patient_ids(tx, missing))
        return {key: self._patient_ids[key] for key in keys if key in self._patient_ids}

    async def existing(self, tx: Transaction, references: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of (type, id) exist and are not deleted."""
        return await store.existing(tx, self._addresses(references)) if references else set()

    async def hold(self, tx: Transaction, references: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of (type, id) exist and are not deleted; none of these is until the end of the transaction."""
        return await store.hold(tx, self._addresses(sorted(references))) if references else set()

    async def referrers(self, tx: Transaction, references: Sequence[tuple[str, str]]) -> list[tuple[str, int]]:
        """How many current resources of each type refer to (type, id)."""
        return await store.referrers(tx, [key for key, _, _ in self._addresses(references)])

    async def read(
        self, tx: Transaction, resource_type: str, id_: str, visibility: Visibility
    ) -> StoredResource | None:
        """The current version, deleted or not; look at `permitted` and `deleted`."""
        rows = await self.read_many(tx, [(resource_type, id_)], visibility)
        return rows[0] if rows else None

    async def read_many(
        self,
        tx: Transaction,
        references: Sequence[tuple[str, str]],
        visibility: Visibility,
        beside: Beside | None = None,
    ) -> list[StoredResource]:
        """The current versions of (type, id) that are or were here; look at `permitted` and `deleted`."""
        return await store.read(tx, self._addresses(references), visibility, beside) if references else []

    async def vread(
        self, tx: Transaction, resource_type: str, id_: str, version: int, visibility: Visibility
    ) -> StoredResource | None:
        """One version, judged by the patient that it names."""
        return await store.vread(tx, self._addresses([(resource_type, id_)])[0], version, visibility)

    async def history(
        self, tx: Transaction, resource_type: str, id_: str, visibility: Visibility, query: HistoryQuery, *, count: int
    ) -> HistoryOfOne:
        """A page of the versions of one resource, newest first, among those that may be shown."""
        address = self._addresses([(resource_type, id_)])[0]
        here, permitted, asked = await store.tally(tx, history.tally(address, visibility, query))
        rows = await store.select(tx, history.of_one(address, visibility, query, count + 1)) if asked else []
        return HistoryOfOne(Page(rows[:count], more=len(rows) > count), here, permitted, asked)

    async def history_of_types(
        self, tx: Transaction, types: Sequence[str], visibility: Visibility, query: HistoryQuery, *, count: int
    ) -> Page:
        """A page of the versions of all resources of some types, newest first, among those that may be shown."""
        rows = await store.select(tx, history.of_types(types, visibility, query, count + 1))
        return Page(rows[:count], more=len(rows) > count)

    async def search(
        self,
        tx: Transaction,
        plan: SearchPlan,
        visibility: Visibility,
        look: Look,
        *,
        after: Position | None,
        count: int,
        counted: int = 0,
    ) -> Page:
        """A page of the resources that a plan finds, from the position `after` on; where SQL decides, `Page.seen` tells
        how many there are, counted no further than `counted`.

        Where SQL could not decide, `look` (which decrypts) tells hits from neighbours; the page is filled from as many
        rows as that takes. Raises InvalidInput (`too-costly`) when that would be more than `MOST_DECRYPTED`.
        """
        await self._choose(tx, plan, visibility)
        if plan.sealed_sort:
            return await self._sorted(tx, plan, visibility, look, after=after, count=count)
        if not plan.needs_filter:
            statement = plan.page(visibility, store.COLUMNS, after, count + 1, counted=counted)
            rows, seen = await store.page(tx, statement)
            seen = (len(rows) if seen is None else seen) if counted else None
            return Page(rows[:count], more=len(rows) > count, seen=seen)
        found: list[StoredResource] = []
        batch, looked = 2 * count + 2, 0
        while True:
            rows, _ = await store.page(tx, plan.page(visibility, store.COLUMNS, after, batch))
            found.extend(await _kept(rows, plan, look))
            if len(found) > count or len(rows) < batch:
                return Page(found[:count], more=len(found) > count)
            looked += len(rows)
            _bound(looked)
            after, batch = plan.position(rows[-1]), min(4 * batch, _LARGER_BATCH)

    async def _sorted(
        self,
        tx: Transaction,
        plan: SearchPlan,
        visibility: Visibility,
        look: Look,
        *,
        after: Position | None,
        count: int,
    ) -> Page:
        """A page in the order of sealed elements: all hits are decrypted and sorted."""
        rows, _ = await store.page(tx, plan.page(visibility, store.COLUMNS, None, MOST_SORTED + 1))
        if len(rows) > MOST_SORTED:
            raise InvalidInput(
                f"more than {MOST_SORTED} resources would have to be sorted by an encrypted element; add criteria",
                code="too-costly",
            )
        documents = await look(rows)
        hits = [(row, document) for row, document in zip(rows, documents, strict=True) if plan.matches(document)]
        ordered = sorted((sorting.place(plan.sealed_sort, document, row), row) for row, document in hits)
        if after is not None:
            ordered = [each for each in ordered if each[0] > sorting.reopened(plan.sealed_sort, after)]
        page = [structs.replace(row, sort_value=place.texts()) for place, row in ordered[:count]]
        return Page(page, more=len(ordered) > count)

    async def count(
        self, tx: Transaction, plan: SearchPlan, visibility: Visibility, look: Look, *, most: int | None = None
    ) -> int | None:
        """How many resources a plan finds, among those that the requester may see; None when more than `most`."""
        if not plan.needs_filter or most is not None:
            number = await store.number(tx, plan.counting(visibility, None if most is None else most + 1))
            if most is not None and number > most:
                return None
            if not plan.needs_filter:
                return number
        total, looked, after = 0, 0, None
        unsorted = replace(plan, keys=[], sealed_sort=[])
        while True:
            rows, _ = await store.page(tx, unsorted.page(visibility, store.COLUMNS, after, _LARGER_BATCH))
            total += len(await _kept(rows, plan, look))
            if len(rows) < _LARGER_BATCH:
                return total
            looked += len(rows)
            _bound(looked)
            after = plan.position(rows[-1])[-1:]

    async def _choose(self, tx: Transaction, plan: SearchPlan, visibility: Visibility) -> None:
        """Find out which term has the fewest hits, where that is not plain."""
        contenders = plan.contenders()
        if contenders:
            counts = [await self._counted(tx, plan.probe(term, visibility)) for term in contenders]
            plan.choose(list(zip(counts, contenders, strict=True)))

    async def _counted(self, tx: Transaction, statement: tuple[str, list[Any]]) -> int:
        """What a probe counts, or counted a moment ago: that may be out of date, since it only chooses the way."""
        text, parameters = statement
        asked = (text, *(tuple(each) if isinstance(each, list) else each for each in parameters))
        known = self._probed.get(asked)
        if known is None or time.monotonic() - known[1] > _PROBE_HOLDS_SECONDS:
            if len(self._probed) >= _KEPT_PROBES:
                self._probed.clear()
            known = self._probed[asked] = await store.number(tx, statement), time.monotonic()
        return known[0]

    async def referring(
        self,
        tx: Transaction,
        references: Sequence[str],
        paths: Sequence[tuple[str, str]] | None,
        types: Sequence[str],
        visibility: Visibility,
        *,
        limit: int,
    ) -> list[StoredResource]:
        """Resources of some types that refer to `references` under one of `paths` (type, path), None: under any."""
        keys = [self.index.key(reference) for reference in references]
        numbers = None if paths is None else [self.index.path(*path) for path in paths]
        return await store.referring(tx, keys, numbers, types, visibility, limit=limit)

    async def any_token(self, tx: Transaction, hashes: Sequence[int]) -> bool:
        """Whether any resource is indexed under one of these tokens."""
        return await store.any_token(tx, hashes)

    async def stream(
        self, tx: Transaction, wanted: Wanted, visibility: Visibility, *, after: int
    ) -> AsyncIterator[list[StoredResource]]:
        """All resources that are wanted and visible, by internal number, from behind `after` on.

        A server-side cursor goes ahead over numbers and sizes; contents follow in batches of `STREAM_BYTES` at most, or
        of one resource that alone is larger.
        """
        async for pids in store.stream(tx, wanted, visibility, after=after, bytes_=STREAM_BYTES, rows=STREAM_ROWS):
            yield await store.contents(tx, pids)

    async def present(self, tx: Transaction, types: Sequence[str], deleted_since: datetime | None) -> list[str]:
        """Those of some types that have resources, or of which some were deleted since an instant, in their order."""
        return await store.present(tx, types, deleted_since)

    async def any_withheld(self, tx: Transaction, patient_keys: Sequence[int], visibility: Visibility) -> bool:
        """Whether one of these patients is not visible."""
        return await store.any_withheld(tx, patient_keys, visibility)

    async def compartment(
        self,
        tx: Transaction,
        patient_keys: Sequence[int],
        visibility: Visibility,
        *,
        types: Sequence[str] = (),
        since: datetime | None = None,
        after: int | None,
        count: int,
    ) -> Page:
        """A page of the resources of some source patients, in order of arrival; no types means all."""
        rows = await store.compartment(tx, patient_keys, types, since, visibility, after=after or 0, limit=count + 1)
        return Page(rows[:count], more=len(rows) > count)

    async def without_index(self, tx: Transaction, count: int) -> list[StoredResource]:
        """Resources whose index rows are still to be made, locked for the caller."""
        return await store.without_index(tx, count)

    async def next_pids(self, tx: Transaction, types: Sequence[str], *, after: int, count: int) -> list[int]:
        """The next internal numbers of resources of some types, deleted ones left out."""
        return await store.next_pids(tx, types, after, count)

    async def locked(self, tx: Transaction, pids: Sequence[int], *, wait: bool) -> list[StoredResource]:
        """Current versions, which nobody changes until the transaction ends; without `wait`, those that somebody
        changes just now are left out."""
        return await store.locked(tx, pids, wait=wait)

    async def count_of(self, tx: Transaction, types: Sequence[str]) -> int:
        """How many resources of some types there are."""
        return await store.count_of(tx, types)

    def make_index(self, tx: Transaction, rows: Sequence[tuple[StoredResource, IndexRows]]) -> None:
        """Give resources their key and the index rows that they lack."""
        keys = [self.index.key(row.reference) for row, _ in rows]
        store.make_index(tx, [(row.pid, key, index) for key, (row, index) in zip(keys, rows, strict=True)])


def _bound(looked: int) -> None:
    if looked >= MOST_DECRYPTED:
        raise InvalidInput(
            f"more than {MOST_DECRYPTED} encrypted resources would have to be looked at; add criteria",
            code="too-costly",
        )


async def _kept(rows: list[StoredResource], plan: SearchPlan, look: Look) -> list[StoredResource]:
    if not plan.needs_filter or not rows:
        return rows
    return [row for row, document in zip(rows, await look(rows), strict=True) if plan.matches(document)]


def _turn(name: str) -> int:
    """The number of an advisory lock; it is never stored."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
