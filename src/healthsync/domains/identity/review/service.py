"""The verbs of review: tasks are raised, claimed, decided and closed; doubtful updates are held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from healthsync.domains.identity.deciding import Explanation
from healthsync.domains.identity.demographics import demographics_of, is_insurance, member_number, numbers_of
from healthsync.domains.identity.links import BY_RULES
from healthsync.domains.identity.matching import UNSUPPORTED, Agreement, agreements
from healthsync.domains.identity.model import Flag, LinkEvent, LoadPatients, SourcePatient, pair
from healthsync.domains.identity.review import rules, store
from healthsync.domains.identity.review.reporting import IdentityReport
from healthsync.domains.identity.review.rules import (
    LASTING,
    Choice,
    ReviewTerms,
    Step,
    Task,
    TaskKind,
    TaskState,
    UnknownTask,
    Verdict,
)
from healthsync.domains.identity.service import IdentityService, check_reason
from healthsync.domains.identity.tokens import identifier_tokens
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Transaction


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """A task with what happened to it, and what happened to its pair: entries of the log of links, earlier tasks."""

    task: Task
    steps: Sequence[Step]
    links: Sequence[LinkEvent] = ()
    earlier: Sequence[Task] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """How the two records of a task compare: which fields agree, and what decides makes of it. No values."""

    fields: Mapping[str, Agreement]
    explanation: Explanation


class ReviewService:
    """Work about identity. Every verb runs in the caller's transaction; what a decision does to the links is done by
    the gate in, in the same transaction."""

    def __init__(
        self, identity: IdentityService, blind_index: BlindIndex, clock: Clock, terms: ReviewTerms | None = None
    ) -> None:
        self._identity, self._index, self._clock = identity, blind_index, clock
        self._terms = terms or ReviewTerms()

    # --- what registrations and merges bring

    def take(self, tx: Transaction, flags: Iterable[Flag], source: str | None = None) -> None:
        """What was flagged becomes work, once for each pair; `source` is that of a patient who was just registered."""
        decided_by, now = self._identity.version, self._clock.now()
        store.change_tasks(tx, [store.Raised(*each, source, decided_by, now) for each in rules.raised(flags)])

    async def news(self, tx: Transaction, flags: Iterable[Flag]) -> list[tuple[int, int]]:
        """The pairs of these flags of which no waiting task knows yet."""
        raised = rules.raised(flags)
        return await store.unheard_of(tx, raised) if raised else []

    async def hold(self, tx: Transaction, patient_key: int, version: int) -> None:
        """An update was flagged as of somebody else: `version`, the one before it, speaks for the patient until
        somebody decides. A version that does so already goes on."""
        await store.hold(tx, patient_key, version, self._clock.now())

    def release(self, tx: Transaction, patient_key: int) -> None:
        """The newest version of a patient speaks for him."""
        store.release(tx, patient_key)

    async def held_versions(self, tx: Transaction, patient_ids: Collection[str]) -> dict[str, int]:
        """Which version speaks for a patient, of those whose newest one waits for a decision."""
        return await store.held_versions(tx, patient_ids)

    async def look_again(
        self,
        tx: Transaction,
        patient_key: int,
        patient: Mapping[str, Any],
        flags: Sequence[Flag],
        load: LoadPatients,
        *,
        unchanged: bool = False,
    ) -> list[tuple[int, int]]:
        """A patient was registered anew with these flags: close what has no ground any more, and release him when what
        he says now agrees with what is known. With `unchanged` he says what he said before, and stays held if he is.
        Answers the pairs of what was closed."""
        flagged = {pair(flag.patient_key, flag.other_patient_key) for flag in flags}
        tasks = await self._waiting(tx, patient_key, flagged)
        doubtful = [
            task
            for task in tasks
            if pair(task.one.patient_key, task.other.patient_key) not in flagged
            and not (unchanged and task.kind is TaskKind.OVERLAY)
        ]
        closed = []
        others = {_partner(task, patient_key).patient_id for task in doubtful if task.kind is not TaskKind.OVERLAY}
        held = await store.held_versions(tx, others) if others else {}
        loaded = await load({id_: held.get(id_) for id_ in sorted(others)}) if others else {}
        for task in doubtful:
            if task.kind is TaskKind.OVERLAY:
                self.release(tx, patient_key)
            elif self._still_doubtful(task, patient, loaded.get(_partner(task, patient_key).patient_id)):
                continue
            await self._close(tx, task, "ground-gone")
            closed.append(pair(task.one.patient_key, task.other.patient_key))
        return closed

    def raises(self, tx: Transaction, patient_key: int) -> bool:
        """Whether this unit of work itself has something to decide about a patient, which nobody else sees yet."""
        return bool(store.raised_with(tx, patient_key))

    async def forget(self, tx: Transaction, patient_key: int) -> None:
        """The record of a patient was deleted: nothing is left to decide about it."""
        for task in await self._waiting(tx, patient_key, ()):
            await self._close(tx, task, "record-deleted")
        self.release(tx, patient_key)
        store.keep_numbers(tx, patient_key, [], is_new=False)

    async def settled_elsewhere(
        self, tx: Transaction, one: SourcePatient, other: SourcePatient, decided_by: str, reason: str
    ) -> None:
        """A merge, link or unlink decided about two patients: a task that asks just that is answered."""
        place = pair(one.patient_key, other.patient_key)
        await store.close_pair(tx, place, self._clock.now(), reason, decided_by)

    def keep_numbers(
        self, tx: Transaction, patient_key: int, patient: Mapping[str, Any], *, is_new: bool = False
    ) -> None:
        """Note under which keyed numbers of one person (SSN, insurance) a patient goes, for the report of those that
        several persons use."""
        ssns, identifiers = numbers_of(self._identity.one_named(patient))
        numbers = [("ssn", self._index.token("identity/ssn", ssn)) for ssn in sorted(ssns)]
        numbers += [
            ("insurance", self._index.token("identity/insurance", member_number(one)))
            for one in sorted(identifiers, key=member_number)
            if is_insurance(one)
        ]
        store.keep_numbers(tx, patient_key, numbers, is_new=is_new)

    async def keep_rematched(self, tx: Transaction, job: UUID, found: Sequence[tuple[str, int, int]]) -> None:
        """What matching stored patients again changed, or would change: (kind, lower key, higher key)."""
        await store.add_rematched(tx, job, found)

    async def rematched(self, tx: Transaction, job: UUID) -> list[tuple[str, int, int]]:
        """All that a job found, each pair once."""
        return await store.rematched(tx, job)

    async def rematched_named(self, tx: Transaction, job: UUID, kind: str, most: int) -> list[tuple[str, str]]:
        """The first pairs of a kind that a job found, by FHIR id."""
        return await store.rematched_named(tx, job, kind, most)

    # --- what stewards do

    async def tasks(
        self,
        tx: Transaction,
        *,
        states: Collection[TaskState] | None,
        kind: TaskKind | None = None,
        owner: str | None = None,
        after: int = 0,
        limit: int = 100,
        overdue: bool = False,
    ) -> list[Task]:
        """Tasks, the oldest first; with `overdue` those whose time is over."""
        wanted = None if states is None else sorted(states)
        due_at = self._clock.now() if overdue else None
        tasks = await store.tasks(tx, self._terms, wanted, kind, owner, after, limit, due_at)
        return [rules.blind(task, ())[0] for task in tasks]

    async def escalate(self, tx: Transaction, most: int) -> list[tuple[int, TaskKind]]:
        """Make urgent what waits past its time; the numbers and kinds of those that were not urgent before."""
        return await store.escalate(tx, self._terms, self._clock.now(), most)

    async def show(self, tx: Transaction, number: int) -> TaskHistory:
        """A task with its history, as a reader may see it who is asked. Raises UnknownTask."""
        task = await self._task(tx, number)
        steps = await store.steps(tx, number)
        links = await self._identity.history_of_pair(tx, task.one, task.other)
        earlier = await store.earlier_tasks(tx, self._terms, task)
        return TaskHistory(*rules.blind(task, steps), rules.blind_links(task, steps, links), earlier)

    async def claim(self, tx: Transaction, number: int, by: str) -> Task:
        """Take a task into one's hands. Raises UnknownTask, Conflict, Refused."""
        task, now = await self._task(tx, number), self._clock.now()
        claimed = rules.claim(task, by, await store.steps(tx, number), now)
        step = None if task.claimed_by == by else Step(now, "claimed", "", "", by)
        await store.set_task(tx, claimed, step)
        return rules.blind(claimed, ())[0]

    async def decide(self, tx: Transaction, number: int, choice: Choice, by: str, reason: str) -> Verdict:
        """Decide about a task; what has to be done follows from the verdict and is the caller's. Raises UnknownTask,
        InvalidInput, ReasonNotACode, Conflict, Refused."""
        check_reason(reason)
        task = await self._task(tx, number)
        sampled = rules.is_sampled(
            self._index.token("identity/second-reader", str(number)), self._terms.second_reader_share
        )
        steps = await store.steps(tx, number)
        verdict = rules.decide(task, choice, by, reason, steps, self._clock.now(), sampled=sampled)
        await store.set_task(tx, verdict.task, verdict.step)
        return verdict

    async def settle(self, tx: Transaction, task: Task, decided_by: str, reason: str) -> None:
        """What was flagged about a pair needs no look any more; the log of links says so."""
        await self._identity.settle(tx, task.one, task.other, decided_by, reason)

    async def source_patients(self, tx: Transaction, patient_ids: Collection[str]) -> dict[str, SourcePatient]:
        """The source patients of these FHIR ids, of those that are registered."""
        return await store.source_patients(tx, patient_ids)

    async def patients_with_number(
        self, tx: Transaction, identifiers: Iterable[Mapping[str, Any]]
    ) -> list[SourcePatient]:
        """The source patients, of any source, that go under one of these FHIR identifiers."""
        tokens, types = identifier_tokens(self._index, "", identifiers)
        return await store.patients_with_number(tx, tokens, types) if tokens else []

    async def report(self, tx: Transaction, since: datetime, until: datetime, by: str, most: int) -> IdentityReport:
        """How many duplicates there are and arise, `by` day or month; at most so many shared numbers."""
        return await store.report(tx, since, until, by, most)

    async def in_doubt_about(self, tx: Transaction, persons: Collection[str]) -> list[SourcePatient]:
        """The patients of other persons that a task compares with a member of these, and that nothing holds."""
        return await store.in_doubt_about(tx, persons)

    async def named(self, tx: Transaction, patient_keys: Collection[int]) -> dict[int, SourcePatient]:
        """The source patients of these numbers of the hub."""
        return await store.source_patients_by_key(tx, patient_keys)

    def evidence(self, one: Mapping[str, Any], other: Mapping[str, Any], sources: Sequence[str]) -> Evidence:
        """How two Patients of these sources compare, field by field; nothing of what they say."""
        today = self._clock.now().date()
        fields = agreements(*(demographics_of(self._identity.one_named(each), today=today) for each in (one, other)))
        return Evidence(fields, self._identity.explain(one, other, sources))

    def _still_doubtful(self, task: Task, patient: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
        if not LASTING.isdisjoint(task.reasons):
            return True
        if other is None:
            return False  # its record is deleted
        found = self._identity.compare(patient, other, (task.one.source, task.other.source))
        reasons = {*found.reasons, *(found.vetoes if task.kind is TaskKind.CONTRADICTION else ())}
        if UNSUPPORTED in task.reasons and not found.links:
            return True
        return not reasons.isdisjoint(task.reasons)

    async def _waiting(self, tx: Transaction, patient_key: int, flagged: Collection[tuple[int, int]]) -> list[Task]:
        """What nobody has decided about a patient; what this unit of work raised itself is among it unless it is
        `flagged` again."""
        if store.raised_with(tx, patient_key).difference(flagged):
            await tx.flush()
        return await store.waiting_tasks_of(tx, self._terms, patient_key)

    async def _close(self, tx: Transaction, task: Task, why: str) -> None:
        place = pair(task.one.patient_key, task.other.patient_key)
        store.change_tasks(tx, [store.Closed(task.number, place, why, self._clock.now())])
        await self.settle(tx, task, BY_RULES, why)

    async def _task(self, tx: Transaction, number: int) -> Task:
        task = await store.task(tx, self._terms, number)
        if task is None:
            raise UnknownTask
        return task


def _partner(task: Task, patient_key: int) -> SourcePatient:
    return task.other if task.one.patient_key == patient_key else task.one
