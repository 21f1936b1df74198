"""The verbs of the repository: `exchange.ingest` writes through it, `exchange.disclose` reads for others."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from healthsync.domains.records import store
from healthsync.domains.records.errors import VersionConflict
from healthsync.domains.records.index import EMPTY, RecordIndex
from healthsync.domains.records.model import Change, Page, StoredResource, Visibility
from healthsync.domains.records.search import SearchPlan
from healthsync.infrastructure.database import Transaction

_PID_BLOCK = 500
_FILTER_BATCH = 200
_KEPT_PATIENT_IDS = 200_000

Keep = Callable[[Sequence[StoredResource]], Awaitable[list[bool]]]
"""Tells which of some rows, found by truncated tokens, are hits: it decrypts, which this domain cannot."""


class RecordsService:
    """The FHIR repository of this hub."""

    NOTHING = EMPTY
    """Index rows of a resource that is not there."""

    def __init__(self, index: RecordIndex) -> None:
        self.index = index
        self._pids: deque[int] = deque()
        self._patient_ids: dict[int, str] = {}

    async def take_pids(self, tx: Transaction, count: int) -> list[int]:
        """Internal numbers for new resources: taken in blocks, so that most calls need no database."""
        while len(self._pids) < count:
            self._pids.extend(await store.take_pids(tx, _PID_BLOCK))
        return [self._pids.popleft() for _ in range(count)]

    async def current(
        self, tx: Transaction, references: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], StoredResource]:
        """The current versions of (type, id), deleted ones too."""
        return await store.current(tx, references) if references else {}

    async def heads(self, tx: Transaction, references: Sequence[tuple[str, str]]):
        """Version, digest, patient and state of (type, id), without content."""
        return await store.heads(tx, references) if references else {}

    async def write(self, tx: Transaction, changes: Sequence[Change]) -> None:
        """Store new resources and new versions.

        Raises VersionConflict when a version in store is no longer the one that a change replaces.
        """
        new = [change for change in changes if change.replaces is None]
        next_versions = [change for change in changes if change.replaces is not None]
        if new:
            await store.insert(tx, new)
        if next_versions:
            await store.keep_history(tx, [change.pid for change in next_versions])
            if len(await store.supersede(tx, next_versions)) != len(next_versions):
                raise VersionConflict("the resource was changed by someone else; read it again and repeat")
            await store.replace_content(tx, next_versions)

    async def patient_keys(self, tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
        """Internal numbers of source patients by id; unknown ids are absent."""
        return await store.patient_keys(tx, ids) if ids else {}

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
        return await store.existing(tx, references) if references else set()

    async def read(
        self, tx: Transaction, resource_type: str, id_: str, visibility: Visibility
    ) -> StoredResource | None:
        """The current version, deleted or not; look at `permitted` and `deleted`."""
        return await store.read(tx, resource_type, id_, visibility)

    async def vread(
        self, tx: Transaction, resource_type: str, id_: str, version: int, visibility: Visibility
    ) -> StoredResource | None:
        """One version, judged by the patient that it names."""
        return await store.vread(tx, resource_type, id_, version, visibility)

    async def history(
        self, tx: Transaction, resource_type: str, id_: str, visibility: Visibility, *, before: int | None, count: int
    ) -> Page:
        """Versions, newest first."""
        rows = await store.versions(tx, resource_type, id_, visibility, before=before, limit=count + 1)
        return Page(rows[:count], more=len(rows) > count)

    async def search(
        self,
        tx: Transaction,
        plan: SearchPlan,
        visibility: Visibility,
        keep: Keep,
        *,
        after: Sequence[object] | None,
        count: int,
    ) -> Page:
        """A page of the resources that a plan finds, from the position `after` on.

        Where the plan searches truncated tokens, `keep` (which decrypts) tells hits from neighbours; the page is filled
        from as many rows as that takes.
        """
        found: list[StoredResource] = []
        batch = count + 1 if not plan.needs_filter else max(count + 1, _FILTER_BATCH)
        while True:
            condition, parameters = plan.condition(visibility, after)
            rows = await store.select(tx, condition, parameters, sort_key=plan.sort_key, order=plan.order, limit=batch)
            found.extend(await _kept(rows, plan, keep))
            if len(found) > count or len(rows) < batch:
                return Page(found[:count], more=len(found) > count)
            after = plan.position(rows[-1])

    async def count(self, tx: Transaction, plan: SearchPlan, visibility: Visibility, keep: Keep) -> int:
        """How many resources a plan finds, among those that the requester may see."""
        if not plan.needs_filter:
            return await store.count(tx, *plan.condition(visibility, None))
        total, after = 0, None
        while True:
            condition, parameters = plan.condition(visibility, after)
            rows = await store.select(
                tx, condition, parameters, sort_key=plan.sort_key, order=plan.order, limit=_FILTER_BATCH
            )
            total += len(await _kept(rows, plan, keep))
            if len(rows) < _FILTER_BATCH:
                return total
            after = plan.position(rows[-1])

    async def compartment(
        self, tx: Transaction, patient_keys: Sequence[int], visibility: Visibility, *, after: int | None, count: int
    ) -> Page:
        """A page of all resources of some source patients, in order of arrival."""
        first = len(visibility.parameters)
        condition = f"r.patient_key = ANY (${first + 1}::bigint[]) AND r.pid > ${first + 2} AND NOT r.deleted"
        rows = await store.select(
            tx,
            f"{condition} AND ({visibility.condition})",
            [*visibility.parameters, list(patient_keys), after or 0],
            sort_key="r.pid",
            order="r.pid",
            limit=count + 1,
        )
        return Page(rows[:count], more=len(rows) > count)


async def _kept(rows: list[StoredResource], plan: SearchPlan, keep: Keep) -> list[StoredResource]:
    if not plan.needs_filter or not rows:
        return rows
    return [row for row, hit in zip(rows, await keep(rows), strict=True) if hit]
