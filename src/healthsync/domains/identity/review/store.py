"""Rows of tasks, held versions and shared numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


async def raise_tasks(
    tx: Transaction, raised: Sequence[tuple[int, int, str, tuple[str, ...]]], rules: str, at: datetime
) -> list[tuple[int, int]]:
    """A task for each (lower key, higher key, kind, reasons) that has none waiting; the pairs that are news."""
    names = ("patient_key", "other_patient_key", "kind", "reasons")
    rows = [dict(zip(names, each, strict=True)) for each in raised]
    return [tuple(row) for row in await tx.fetch(_SQL.raise_tasks, msgspec.json.encode(rows).decode(), rules, at)]


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
    """What nobody has decided about a patient."""
    return [_task(row, terms) for row in await tx.fetch(_SQL.waiting_tasks_of, patient_key)]


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
    return [SourcePatient(*row) for row in await tx.fetch(_SQL.in_doubt_about, list(persons))]


async def held_versions(tx: Transaction, patient_ids: Collection[str]) -> dict[str, int]:
    """Which version speaks for a patient whose newest one waits for a decision."""
    return {row[0]: row[1] for row in await tx.fetch(_SQL.held_versions, list(patient_ids))}


async def hold(tx: Transaction, patient_key: int, version: int, at: datetime) -> None:
    """From now on this version speaks for a patient."""
    await tx.execute(_SQL.hold, patient_key, version, at)


async def release(tx: Transaction, patient_key: int) -> None:
    """The newest version speaks again."""
    await tx.execute(_SQL.release, patient_key)


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
