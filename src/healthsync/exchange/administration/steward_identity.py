"""What stewards do about who is who: look at tasks, decide, merge, take merges back, pin.

Tasks tell codes: which fields agree, never what they say. Who wants to see the two records reads them through the gate
out, in his own role. Whatever changes links passes the gate in, so that consents, events and the records follow in the
same commit. Each look and each act is in the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import (
    Choice,
    Evidence,
    Explanation,
    IdentityService,
    LinkEvent,
    ReviewService,
    SourcePatient,
    Step,
    Task,
    TaskHistory,
    TaskKind,
    TaskState,
    UnknownPatient,
)
from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.exchange.ingest import Decided, Incoming, Ingest, Submission
from healthsync.infrastructure.database import Database, Transaction

__all__ = ["Actor", "Choice", "Step", "StewardIdentity", "Task", "TaskKind", "TaskState", "TaskView", "Told"]

SOURCE = "steward"
"""Where versions of records come from that a decision made."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task, its history, that of its pair, and how the two records compare field by field. `versions` say which are
    compared: of an overlay, the version that is held and the one that speaks meanwhile."""

    task: Task
    steps: Sequence[Step]
    evidence: Evidence
    versions: tuple[str, str]
    links: Sequence[Told] = ()
    earlier: Sequence[Task] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the log of links, with its patients by reference."""

    event: LinkEvent
    patient: str
    other: str | None


@dataclass(frozen=True, slots=True)
class Double:
    """Two records of one source under one number: whether they are one person's, and were merged just now."""

    one: SourcePatient
    other: SourcePatient
    is_one_person: bool
    is_merged: bool


_MOST_DOUBLES = 1000


class StewardIdentity:
    """The flow. Reasons are codes of letters, digits and hyphens (else ReasonNotACode)."""

    def __init__(
        self,
        *,
        database: Database,
        identity: IdentityService,
        reviews: ReviewService,
        ingest: Ingest,
        disclose: Disclose,
        audit: AuditService,
    ) -> None:
        self._database, self._identity, self._reviews = database, identity, reviews
        self._ingest, self._disclose, self._audit = ingest, disclose, audit

    # --- tasks

    async def tasks(
        self,
        steward: Actor,
        *,
        states: Sequence[TaskState],
        kind: TaskKind | None = None,
        owner: str | None = None,
        after: int = 0,
        limit: int = 100,
        overdue: bool = False,
    ) -> list[Task]:
        """Tasks behind `after`, the oldest first; with `overdue` those whose time is over."""
        await self._audit.record_and_commit(_event(steward, Action.EXECUTE, "identity-tasks", "IdentityTask"))
        async with self._database.connection() as tx:
            return await self._reviews.tasks(
                tx, states=states, kind=kind, owner=owner, after=after, limit=limit, overdue=overdue
            )

    async def show(self, steward: Actor, number: int) -> TaskView:
        """A task with its evidence. Raises UnknownTask."""
        found, places = await self._compared(number)
        task = found.task
        event = _event(steward, Action.READ, "identity-task", task.reference, patients=(task.one, task.other))
        sources = (task.one.source, task.other.source)
        evidence = await self._disclose.agreement(places[0], places[1], sources, event)
        one, other = (f"Patient/{id_}" + (f"/_history/{v}" if v else "") for id_, v in places)
        named = {each.patient_key: f"Patient/{each.patient_id}" for each in (task.one, task.other)}
        links = [Told(each, named[each.patient_key], named.get(each.other_patient_key or 0)) for each in found.links]
        return TaskView(task, found.steps, evidence, (one, other), links, found.earlier)

    async def records(self, requester: Requester, number: int) -> list[Disclosed | Refusal]:
        """The two records of a task, each as the requester's roles and the patient's consent show it. Raises
        UnknownTask."""
        event = _event(Actor.of(requester), Action.READ, "identity-task-records", f"IdentityTask/{number}")
        await self._audit.record_and_commit(event)
        _, places = await self._compared(number)
        return [
            await self._disclose.read(requester, "Patient", id_)
            if version is None
            else await self._disclose.vread(requester, "Patient", id_, version)
            for id_, version in places
        ]

    async def claim(self, steward: Actor, number: int) -> Task:
        """Take a task into one's hands. Raises UnknownTask, Conflict, Refused."""
        async with self._database.transaction() as tx:
            task = await self._reviews.claim(tx, number, steward.name)
            await self._audit.record(tx, _event(steward, Action.UPDATE, "identity-claim", task.reference))
        return task

    async def decide(self, steward: Actor, number: int, choice: Choice, reason: str) -> Task:
        """Decide about a task, and do what follows in the same commit. Raises UnknownTask, InvalidInput, Conflict,
        Refused."""
        async with self._database.transaction() as tx:
            verdict = await self._reviews.decide(tx, number, choice, steward.name, reason)
            task = verdict.task
            event = _event(steward, Action.UPDATE, "identity-decide", task.reference, patients=(task.one, task.other))
            if verdict.effect is None:
                await self._audit.record(tx, event)
            else:
                kind = _ACTS[verdict.effect]
                await self._submit(tx, Decided(kind, task.other, task.one, steward.name, reason), event)
        return task

    async def _compared(self, number: int) -> tuple[TaskHistory, list[tuple[str, int | None]]]:
        """A task, and the versions of which it asks whether they are of one person."""
        async with self._database.transaction() as tx:
            found = await self._reviews.show(tx, number)
            one, other = found.task.one.patient_id, found.task.other.patient_id
            held = await self._reviews.held_versions(tx, [one, other])
        asks_of_held = found.task.kind is TaskKind.OVERLAY
        return found, [(one, None if asks_of_held else held.get(one)), (other, held.get(other))]

    # --- links

    async def merge(
        self,
        steward: Actor,
        survivor_id: str,
        retired_id: str,
        reason: str,
        *,
        keep_both: bool = False,
        result: Incoming | None = None,
        requester: Requester | None = None,
        is_preview: bool = False,
    ) -> None:
        """Two records are one person's. Of one source, one goes out of use in favour of the other; with `keep_both`
        both stay in use, as records of two sources always do.

        `result` is what the survivor shall say from now on, stored in the same commit for `requester`; `is_preview`
        does all of it and leaves nothing but the record that it was asked. Raises UnknownPatient, InvalidInput.
        """
        event = _event(steward, Action.UPDATE, "identity-merge")
        try:
            async with self._database.transaction() as tx:
                survivor, retired = await self._patients(tx, survivor_id, retired_id)
                _check_merge(survivor, retired, keep_both=keep_both)
                decided = Decided("link" if keep_both else "merge", survivor, retired, steward.name, reason)
                await self._submit(tx, decided, event, [result] if result else (), requester)
                if is_preview:
                    await tx.flush()
                    raise _Undone(
                        _event(steward, Action.EXECUTE, "identity-merge-preview", patients=(survivor, retired))
                    )
        except _Undone as undone:
            await self._audit.record_and_commit(undone.event)

    async def doubles(self, steward: Actor, reason: str | None = None) -> list[Double]:
        """Pairs of records of one source that go under one number, up to a thousand. With a reason those that are one
        person's are merged, the younger into the older; the others wait for `rematch` or somebody's decision."""
        async with self._database.connection() as tx:
            pairs = await self._identity.doubles(tx, _MOST_DOUBLES)
        named = tuple({each.patient_key: each for one, other, _ in pairs for each in (one, other)}.values())
        await self._audit.record_and_commit(_event(steward, Action.READ, "identity-doubles", patients=named))
        retired: set[int] = set()
        told: list[Double] = []
        for one, other, is_one_person in pairs:
            if (
                is_merged := reason is not None
                and is_one_person
                and retired.isdisjoint((one.patient_key, other.patient_key))
            ):
                await self.merge(steward, one.patient_id, other.patient_id, str(reason))
                retired.add(other.patient_key)
            told.append(Double(one, other, is_one_person, is_merged))
        return told

    async def unmerge(self, steward: Actor, patient_id: str, other_id: str, reason: str) -> None:
        """Two records are two persons', whatever linked or merged them: each person is again what it would have been
        without. Raises UnknownPatient, InvalidInput."""
        if patient_id == other_id:
            told = "these are not two records; to take one from all others of its person, split it"
            raise InvalidInput(told, code="business-rule")
        await self._put_right(steward, "unlink", "identity-unmerge", patient_id, other_id, reason)

    async def split(self, steward: Actor, patient_id: str, reason: str) -> None:
        """A record is nobody else's of its person. Raises UnknownPatient."""
        await self._put_right(steward, "split", "identity-split", patient_id, patient_id, reason)

    async def _put_right(
        self,
        steward: Actor,
        kind: Literal["unlink", "split"],
        interaction: str,
        one_id: str,
        other_id: str,
        reason: str,
    ) -> None:
        async with self._database.transaction() as tx:
            one, other = await self._patients(tx, one_id, other_id)
            decided = Decided(kind, one, other, steward.name, reason)
            await self._submit(tx, decided, _event(steward, Action.UPDATE, interaction))

    async def pin(self, steward: Actor, patient_id: str, element: str, reason: str, *, chosen: bool = True) -> None:
        """The golden record takes an element from this record, or (not `chosen`) the rules decide again. Raises
        UnknownPatient, InvalidInput."""
        async with self._database.transaction() as tx:
            (patient,) = await self._patients(tx, patient_id)
            act = self._identity.pin if chosen else self._identity.unpin
            await act(tx, patient, element, steward.name, reason)
            interaction = "identity-pin" if chosen else "identity-unpin"
            await self._audit.record(tx, _event(steward, Action.UPDATE, interaction, patients=(patient,)))

    async def history(self, steward: Actor, id_: str) -> list[Told]:
        """What happened to a person, named by its enterprise id or by the id of one of its patients, oldest first.
        Raises NotFound."""
        async with self._database.connection() as tx:
            known = await self._reviews.source_patients(tx, [id_])
            persons = await self._identity.enterprise_ids(tx, [one.patient_key for one in known.values()])
            person = next(iter(persons.values()), id_)
            events = await self._identity.history(tx, person)
            keys = {key for event in events for key in (event.patient_key, event.other_patient_key) if key is not None}
            names = {key: f"Patient/{one.patient_id}" for key, one in (await self._reviews.named(tx, keys)).items()}
            patients = tuple((await self._reviews.named(tx, keys)).values())
        await self._audit.record_and_commit(_event(steward, Action.READ, "identity-history", patients=patients))
        if not events:
            raise NotFound("no person and no patient is known here by that id")
        return [
            Told(e, names[e.patient_key], None if e.other_patient_key is None else names[e.other_patient_key])
            for e in events
        ]

    async def patient_with(self, identifiers: Sequence[Mapping[str, Any]]) -> str:
        """The id of the one patient that goes under all these FHIR identifiers; of several that were merged, the active
        one. Raises NotFound, or InvalidInput when there are several."""
        async with self._database.connection() as tx:
            each = [set(await self._reviews.patients_with_number(tx, [identifier])) for identifier in identifiers]
            found = set.intersection(*each)
            survivors = await self._identity.taken_over_by(tx, [patient.patient_key for patient in found])
        active = [id_ for id_, survivor in survivors.items() if survivor is None]
        if len(active) > 1:
            raise InvalidInput("several patients go under these identifiers", code="multiple-matches")
        if not active:
            raise NotFound("no patient is known here under these identifiers")
        return active[0]

    async def _patients(self, tx: Transaction, *ids: str) -> list[SourcePatient]:
        found = await self._reviews.source_patients(tx, ids)
        for id_ in ids:
            if id_ not in found:
                raise UnknownPatient(id_)
        return [found[id_] for id_ in ids]

    async def _submit(
        self,
        tx: Transaction,
        decided: Decided,
        event: AuditEvent,
        resources: Sequence[Incoming] = (),
        requester: Requester | None = None,
    ) -> None:
        submission = Submission(source=SOURCE, resources=resources, audit=event, decided=decided, requester=requester)
        await self._ingest(tx, submission)


class _Undone(Exception):
    """Ends what was only to be tried: nothing of it stays but `event`, which says that it was."""

    def __init__(self, event: AuditEvent) -> None:
        super().__init__()
        self.event = event


_ACTS: Mapping[Choice, Literal["link", "unlink", "accept", "restore"]] = {
    Choice.LINK: "link",
    Choice.APART: "unlink",
    Choice.ACCEPT: "accept",
    Choice.RESTORE: "restore",
}


def _check_merge(survivor: SourcePatient, retired: SourcePatient, *, keep_both: bool) -> None:
    if survivor.patient_key == retired.patient_key:
        raise InvalidInput("a patient cannot be merged with itself", code="business-rule")
    if survivor.source != retired.source and not keep_both:
        raise InvalidInput(
            "these are records of two sources: each goes on sending under its own number, so none can go out of use; "
            "link them instead, and both stay",
            code="business-rule",
        )


def _event(
    steward: Actor, action: Action, interaction: str, *entities: str, patients: Sequence[SourcePatient] = ()
) -> AuditEvent:
    named = tuple(dict.fromkeys(f"Patient/{patient.patient_id}" for patient in patients))
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=steward.name,
        client=steward.client,
        roles=steward.roles,
        entities=(*entities, *named),
        patients=named,
    )


def task_document(task: Task) -> dict[str, Any]:
    """A task for programs."""
    return {
        "id": task.number,
        "kind": task.kind,
        "state": task.state,
        "reasons": task.reasons,
        "patients": [f"Patient/{task.one.patient_id}", f"Patient/{task.other.patient_id}"],
        "sources": [task.one.source, task.other.source],
        "owner": task.owner,
        "rules": task.rules,
        "raisedAt": task.raised_at.isoformat(),
        "dueAt": task.due_at.isoformat(),
        "priority": task.priority,
        "claimedBy": task.claimed_by,
        "decision": task.decision,
        "choices": task.choices,
    }


def view_document(view: TaskView) -> dict[str, Any]:
    """A task with evidence and history for programs."""
    return {
        **task_document(view.task),
        "versions": view.versions,
        "evidence": view.evidence.fields,
        "waterfall": waterfall_document(view.evidence.explanation),
        "history": [
            {"at": step.at.isoformat(), "act": step.act, "code": step.code, "reason": step.reason, "by": step.by}
            for step in view.steps
        ],
        "pairHistory": [event_document(told) for told in view.links],
        "earlierTasks": [
            {"id": task.number, "kind": task.kind, "state": task.state, "decision": task.decision}
            for task in view.earlier
        ],
    }


def waterfall_document(explanation: Explanation) -> dict[str, Any]:
    """Why two records are judged as they are, for programs."""
    judged = explanation.judged
    return {
        "model": explanation.model,
        "unit": explanation.unit,
        "prior": explanation.prior,
        "steps": [
            {"field": step.about, "level": step.level, "weight": step.bits, "total": total}
            for step, total in zip(explanation.steps, explanation.totals, strict=True)
        ],
        "total": explanation.total,
        "probability": explanation.probability,
        "thresholds": {"review": explanation.review, "link": explanation.link, "certain": explanation.certain},
        "grade": judged.grade,
        "rule": judged.rule,
        "namedRules": explanation.named,
        "against": explanation.against,
    }


def double_document(double: Double) -> dict[str, Any]:
    """A pair of records under one number, for programs."""
    return {
        "patients": [f"Patient/{each.patient_id}" for each in (double.one, double.other)],
        "source": double.one.source,
        "onePerson": double.is_one_person,
        "merged": double.is_merged,
    }


def event_document(told: Told) -> dict[str, Any]:
    """An entry of the log of links for programs."""
    event = told.event
    return {
        "at": event.at.isoformat(),
        "kind": event.kind,
        "person": f"Person/{event.enterprise_id}",
        "patient": told.patient,
        "other": told.other,
        "rule": event.rule,
        "evidence": event.evidence,
        "by": event.decided_by,
    }
