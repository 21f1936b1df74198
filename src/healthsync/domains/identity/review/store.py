"""Rows of tasks, held versions and shared numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from healthsync.domains.identity.model import SourcePatient
from healthsync.domains.identity.review.reporting import (
    Counts,
    IdentityReport,
    Period,
    ReviewTimes,
    SharedNumber,
    SourceDuplicates,
)
from healthsync.domains.identity.review.rules import Choice, ReviewTerms, Step, Task, TaskKind, TaskState
from healthsync.infrastructure.database import Parts, Queries, Transaction, Writer

_SQL = Queries("healthsync.domains.identity")


@dataclass(frozen=True, slots=True)
class Raised:
    """A pair, the lower key first, that asks for a task. `source` is that of the patient who was registered."""

    patient_key: int
    other_patient_key: int
    kind: str
    reasons: tuple[str, ...]
    source: str | None
    rules: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Closed:
    """A task of a pair has no ground any more."""

    task: int
    place: tuple[int, int]
    why: str
    at: datetime


def change_tasks(tx: Transaction, changes: Sequence[Raised | Closed]) -> None:
    """Raise and close tasks at the end of the unit of work: what it says of a pair last stands, and all who change the
    same tasks come to them in one order."""
    if changes:
        tx.at_end(_TASKS, changes)


def raised_with(tx: Transaction, patient_key: int) -> set[tuple[int, int]]:
    """The pairs of a patient that this unit of work raises a task about at its end."""
    raised = (each for each in tx.kept_for_end(_TASKS) if isinstance(each, Raised))
    places = {(each.patient_key, each.other_patient_key) for each in raised}
    return {place for place in places if patient_key in place}


def _changed(changes: Sequence[Raised | Closed]) -> Parts:
    raised: dict[tuple[int, int], Raised] = {}
    closed: dict[tuple[int, int], Closed] = {}
    for change in changes:
        match change:
            case Raised():
                place = (change.patient_key, change.other_patient_key)
                before = raised.get(place)
                reasons = (*before.reasons, *change.reasons) if before else change.reasons
                raised[place] = replace(change, reasons=tuple(dict.fromkeys(reasons)))
                closed.pop(place, None)
            case Closed():
                closed[change.place] = change
    texts, parameters = [], []
    for names, rows in (("raised", list(raised.values())), ("closed", list(closed.values()))):
        if rows:
            parameters.append(msgspec.json.encode(rows).decode())
            texts += [text.replace("$1", f"${len(parameters)}") for text in _PARTS[names]]
    return Parts(tuple(texts), parameters)


_PARTS = {
    "raised": [
        f"identity_{name} AS ({getattr(_SQL, name)})" for name in ("tasks_said", "tasks_raised", "tasks_raised_steps")
    ],
    "closed": [f"identity_{name} AS ({getattr(_SQL, name)})" for name in ("tasks_closed", "tasks_closed_steps")],
}
_TASKS = Writer(_changed)


async def unheard_of(tx: Transaction, raised: Sequence[tuple[int, int, str, tuple[str, ...]]]) -> list[tuple[int, int]]:
    """Those of (lower key, higher key, kind, reasons) of which no waiting task knows all the reasons."""
    rows = [{"patient_key": one, "other_patient_key": other, "reasons": why} for one, other, _, why in raised]
    return [tuple(row) for row in await tx.fetch(_SQL.unheard_of, msgspec.json.encode(rows).decode())]


async def tasks(
    tx: Transaction,
    terms: ReviewTerms,
    states: Sequence[str] | None,
    kind: str | None,
    owner: str | None,
    after: int,
    limit: int,
    due_at: datetime | None,
) -> list[Task]:
    """Tasks behind `after`, the oldest first; with `due_at` those that are due by then."""
    raised = (None, None) if due_at is None else _raised_until(terms, due_at)
    return [_task(row, terms) for row in await tx.fetch(_SQL.tasks, states, kind, owner, after, limit, *raised)]


async def escalate(tx: Transaction, terms: ReviewTerms, at: datetime, most: int) -> list[tuple[int, TaskKind]]:
    """Make urgent what waits and is due; the numbers and kinds of up to `most` tasks that were not."""
    rows = await tx.fetch(_SQL.escalate, at, *_raised_until(terms, at), most)
    return [(row[0], TaskKind(row[1])) for row in rows]


def _raised_until(terms: ReviewTerms, due_at: datetime) -> tuple[datetime, datetime]:
    return due_at - terms.due, due_at - terms.overlay_due


async def task(tx: Transaction, terms: ReviewTerms, number: int) -> Task | None:
    """One task, locked."""
    row = await tx.fetchrow(_SQL.task, number)
    return _task(row, terms) if row else None


async def earlier_tasks(tx: Transaction, terms: ReviewTerms, task: Task) -> list[Task]:
    """The tasks that there were about the same pair before."""
    rows = await tx.fetch(_SQL.earlier_tasks, task.one.patient_key, task.other.patient_key, task.number)
    return [_task(row, terms) for row in rows]


async def waiting_tasks_of(tx: Transaction, terms: ReviewTerms, patient_key: int) -> list[Task]:
    """What nobody has decided about a patient, as it stood before this unit of work."""
    return [_task(row, terms) for row in await tx.look_beside(_SQL.waiting_tasks_of, patient_key)]


async def set_task(tx: Transaction, task: Task, step: Step | None) -> None:
    """Write where a task stands, and the entry of its history."""
    await tx.execute(
        _SQL.set_task, task.number, task.state, task.claimed_by, task.claimed_at, task.decision, task.settled_at
    )
    if step is not None:
        await tx.execute(_SQL.add_step, task.number, step.at, step.act, step.code, step.reason, step.by)


async def steps(tx: Transaction, number: int) -> list[Step]:
    """The history of a task."""
    return [Step(*row) for row in await tx.fetch(_SQL.steps, number)]


async def add_rematched(tx: Transaction, job: UUID, found: Sequence[tuple[str, int, int]]) -> None:
    """What matching again changed: (kind, lower key, higher key)."""
    await tx.execute(_SQL.add_rematched, job, *_columns(found))


async def rematched(tx: Transaction, job: UUID) -> list[tuple[str, int, int]]:
    """All that a job found."""
    return [tuple(row) for row in await tx.fetch(_SQL.rematched, job)]


async def rematched_named(tx: Transaction, job: UUID, kind: str, most: int) -> list[tuple[str, str]]:
    """The first pairs of a kind that a job found, by FHIR id."""
    return [tuple(row) for row in await tx.fetch(_SQL.rematched_named, job, kind, most)]


async def close_pair(tx: Transaction, place: tuple[int, int], at: datetime, reason: str, by: str) -> None:
    """Close what waits about a pair, because it was decided elsewhere."""
    await tx.flush()
    await tx.execute(_SQL.close_pair, *place, at, reason, by)


async def source_patients(tx: Transaction, patient_ids: Collection[str]) -> dict[str, SourcePatient]:
    """The source patients of these FHIR ids."""
    rows = await tx.fetch(_SQL.source_patients, list(patient_ids))
    return {row["patient_id"]: SourcePatient(*row) for row in rows}


async def source_patients_by_key(tx: Transaction, keys: Collection[int]) -> dict[int, SourcePatient]:
    """The source patients of these numbers."""
    rows = await tx.fetch(_SQL.source_patients_by_key, list(keys))
    return {row["patient_key"]: SourcePatient(*row) for row in rows}


async def patients_with_number(tx: Transaction, tokens: Sequence[int], types: Sequence[str]) -> list[SourcePatient]:
    """The source patients of any source that have one of these numbers."""
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.patients_with_number, tokens, types)]


async def in_doubt_about(tx: Transaction, persons: Collection[str]) -> list[SourcePatient]:
    """The patients of other persons that a waiting task compares with a member of these."""
    await tx.flush()
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.in_doubt_about, list(persons))]


async def held_versions(tx: Transaction, patient_ids: Collection[str]) -> dict[str, int]:
    """Which version speaks for a patient whose newest one waits for a decision."""
    return {row[0]: row[1] for row in await tx.fetch(_SQL.held_versions, list(patient_ids))}


async def hold(tx: Transaction, patient_key: int, version: int, at: datetime) -> None:
    """From now on this version speaks for a patient."""
    await tx.execute(_SQL.hold, patient_key, version, at)


def release(tx: Transaction, patient_key: int) -> None:
    """The newest version speaks again, from the end of the unit of work."""
    tx.later(_RELEASED, [patient_key])


def keep_numbers(tx: Transaction, patient_key: int, numbers: Sequence[tuple[str, int]], *, is_new: bool) -> None:
    """The numbers, as (kind, token), that a patient has now; written at the end of the unit of work."""
    rows = [(patient_key, *number) for number in numbers]
    if rows:
        tx.later(_NUMBERS, rows)
    if not is_new:
        tx.later(_OLD_NUMBERS, [(patient_key, rows)])


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], []]


def _old(kept: Sequence[tuple[int, Sequence[Sequence[Any]]]]) -> list[list[Any]]:
    return [[key for key, _ in kept], *_columns([row for _, rows in kept for row in rows])]


_NUMBERS = Writer(lambda rows: Parts((f"identity_numbers AS ({_SQL.save_numbers})",), _columns(rows)))
_RELEASED = Writer(lambda keys: Parts((f"identity_released AS ({_SQL.release})",), [list(keys)]))
_OLD_NUMBERS = Writer(lambda kept: Parts((f"identity_old_numbers AS ({_SQL.save_old_numbers})",), _old(kept)))


def _task(row: Any, terms: ReviewTerms) -> Task:
    kind = TaskKind(row["kind"])
    due: timedelta = terms.overlay_due if kind is TaskKind.OVERLAY else terms.due
    return Task(
        number=row["task"],
        one=SourcePatient(row["patient_key"], row["patient_id"], row["source"]),
        other=SourcePatient(row["other_patient_key"], row["other_patient_id"], row["other_source"]),
        kind=kind,
        reasons=tuple(row["reasons"]),
        rules=row["rules"],
        owner=row["owner"],
        state=TaskState(row["state"]),
        raised_at=row["raised_at"],
        due_at=row["raised_at"] + due,
        claimed_by=row["claimed_by"],
        claimed_at=row["claimed_at"],
        decision=Choice(row["decision"]) if row["decision"] else None,
        settled_at=row["settled_at"],
        escalated_at=row["escalated_at"],
    )


async def report(tx: Transaction, since: datetime, until: datetime, by: str, most: int) -> IdentityReport:
    """The numbers of the report, of one snapshot; `by` is day or month."""
    shared = await tx.fetch(_SQL.shared_numbers, most)
    counts = await tx.fetchrow(_SQL.identity_counts)
    times = await tx.fetchrow(_SQL.review_times, since, until)
    assert counts is not None and times is not None, "an aggregate has a row"
    return IdentityReport(
        counts=Counts(*counts),
        sources=[SourceDuplicates(*row) for row in await tx.fetch(_SQL.identity_by_source)],
        shared_numbers=[SharedNumber(row["kind"], tuple(row["persons"]), tuple(row["patients"])) for row in shared],
        shared_total={row["kind"]: row["of_kind"] for row in shared},
        trend=[Period(*row) for row in await tx.fetch(_SQL.identity_trend, since, until, by)],
        review=ReviewTimes(*times),
    )
