"""What people have to decide about identity, as work. Pure.

A *task* is a pair of source patients (one patient twice for an overlay) with the reasons why somebody has to look, and
a history that only grows. There is at most one that waits for a pair. Kinds, by who has to do what:

    duplicate      two records of one source may be one person: the source's own
    linkage        records of two sources may be one person
    second-number  an authority gave what seems to be one person two numbers: the source's own
    contradiction  two records are linked, and one of them says now what the other cannot be, or the link would not be
                   made any more by what decides today
    overlay        an update of a known number tells of somebody else; it is held until somebody decides

A task that waits past its time is *escalated*, once: it is urgent from then on, and announced.

States: open → claimed → decided; closed when its ground is gone or somebody decided otherwise; second while another
person is asked the same, without being told what the first said. Two who disagree make a third decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from healthsync.domains.identity.matching import SECOND_NUMBER, UNSUPPORTED
from healthsync.domains.identity.model import Flag, LinkEvent, SourcePatient, pair
from healthsync.errors import Conflict, InvalidInput, NotFound, Refused

CLAIM_LASTS = timedelta(hours=8)
"""After so long somebody else may take over what was claimed and left."""

OVERLAY, CONTRADICTED = "overlay-suspected", "link-contradicted"
LASTING = frozenset({"merged-against-decision"})
"""Reasons that no later version of a record takes away."""


class TaskKind(StrEnum):
    """What a task is about."""

    DUPLICATE = "duplicate"
    LINKAGE = "linkage"
    SECOND_NUMBER = "second-number"
    CONTRADICTION = "contradiction"
    OVERLAY = "overlay"


class TaskState(StrEnum):
    """Where a task stands."""

    OPEN = "open"
    CLAIMED = "claimed"
    SECOND = "second"
    DECIDED = "decided"
    CLOSED = "closed"


WAITING = (TaskState.OPEN, TaskState.CLAIMED, TaskState.SECOND)


class Choice(StrEnum):
    """What a person can say: of a pair, of an overlay, of either."""

    LINK = "link"
    APART = "apart"
    ACCEPT = "accept"
    RESTORE = "restore"
    NOT_SURE = "not-sure"


class UnknownTask(NotFound):
    """No task has this number."""

    def __init__(self) -> None:
        super().__init__("there is no such task; healthsync identity review list shows those that wait")


@dataclass(frozen=True, slots=True)
class ReviewTerms:
    """Within what time a task is to be decided, and the share (0 to 1) of decisions that a second person is asked."""

    due: timedelta = timedelta(hours=72)
    overlay_due: timedelta = timedelta(hours=24)
    second_reader_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work. `owner` is the source whose it is; None: the stewards'."""

    number: int
    one: SourcePatient
    other: SourcePatient
    kind: TaskKind
    reasons: tuple[str, ...]
    rules: str
    owner: str | None
    state: TaskState
    raised_at: datetime
    due_at: datetime
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    decision: Choice | None = None
    settled_at: datetime | None = None
    escalated_at: datetime | None = None

    @property
    def priority(self) -> str:
        """In the codes of http://hl7.org/fhir/R4/valueset-request-priority.html: urgent once nobody decided in time."""
        return "urgent" if self.escalated_at else "routine"

    @property
    def reference(self) -> str:
        """How the audit log names it."""
        return f"IdentityTask/{self.number}"

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What can be said."""
        pair_ = (Choice.ACCEPT, Choice.RESTORE) if self.kind is TaskKind.OVERLAY else (Choice.LINK, Choice.APART)
        return (*pair_, Choice.NOT_SURE)


@dataclass(frozen=True, slots=True)
class Step:
    """An entry of a task's history; codes, no words."""

    at: datetime
    act: str
    code: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a decision makes of a task: its new state, the entry of its history, and what is to be done (None: nothing
    beyond what is done already)."""

    task: Task
    step: Step
    effect: Choice | None


def raised(flags: Iterable[Flag]) -> list[tuple[int, int, str, tuple[str, ...]]]:
    """(lower key, higher key, kind, reasons) of each pair, once. The kind `match` is a duplicate or a linkage, as the
    sources of the two say."""
    reasons: dict[tuple[int, int], dict[str, None]] = {}
    for flag in flags:
        reasons.setdefault(pair(flag.patient_key, flag.other_patient_key), {}).update(dict.fromkeys(flag.reasons))
    return [(*place, _kind(said), tuple(said)) for place, said in reasons.items()]


def _kind(reasons: Mapping[str, None]) -> str:
    if OVERLAY in reasons:
        return TaskKind.OVERLAY.value
    if CONTRADICTED in reasons or UNSUPPORTED in reasons:
        return TaskKind.CONTRADICTION.value
    return TaskKind.SECOND_NUMBER.value if SECOND_NUMBER in reasons else "match"


def claim(task: Task, by: str, steps: Sequence[Step], at: datetime) -> Task:
    """The task in the hands of a person. Raises Conflict when it is in another's, Refused for who read it before."""
    _check_reader(task, by, steps, at)
    # A second reading stays one while it is claimed: the state tells which of the two it is.
    state = TaskState.SECOND if task.state is TaskState.SECOND else TaskState.CLAIMED
    return replace(task, state=state, claimed_by=by, claimed_at=at)


def decide(
    task: Task, choice: Choice, by: str, reason: str, steps: Sequence[Step], at: datetime, *, sampled: bool
) -> Verdict:
    """What a person's decision makes of a task; `sampled` says that a second person is to be asked.

    The first decision about a pair takes effect at once, and holds until a third person has decided when the second
    disagrees. About an overlay the second is waited for: the update is held meanwhile, which is safe.

    Raises InvalidInput for a choice of another kind, Conflict for a task that is settled or in another's hands, Refused
    for who read it before.
    """
    if choice not in task.choices:
        raise InvalidInput(f"a task of kind {task.kind} is decided by one of {', '.join(task.choices)}", code="value")
    _check_reader(task, by, steps, at)
    free = replace(task, claimed_by=None, claimed_at=None)
    if choice is Choice.NOT_SURE:
        state = TaskState.SECOND if task.state is TaskState.SECOND else TaskState.OPEN
        return Verdict(replace(free, state=state), Step(at, "not-sure", choice, reason, by), None)
    waits = task.kind is TaskKind.OVERLAY
    settled = replace(free, state=TaskState.DECIDED, decision=choice, settled_at=at)
    if task.state is TaskState.SECOND:
        if choice is task.decision:
            return Verdict(settled, Step(at, "confirmed", choice, reason, by), choice if waits else None)
        return Verdict(replace(free, state=TaskState.OPEN), Step(at, "reopened", choice, reason, by), None)
    step = Step(at, "decided", choice, reason, by)
    if sampled and not any(step.act == "reopened" for step in steps):
        second = replace(settled, state=TaskState.SECOND, settled_at=None)
        return Verdict(second, step, None if waits else choice)
    return Verdict(settled, step, choice if waits or choice is not task.decision else None)


def is_sampled(token: int, share: float) -> bool:
    """Whether a keyed token (64 bits) falls into a share of all: nobody can tell before which decisions are asked
    again, and it is the same ones whoever computes it."""
    return token & 0xFFFFFFFF < share * (1 << 32)


def readings(steps: Sequence[Step]) -> list[Step]:
    """The decisions that were given, in order."""
    return [step for step in steps if step.act in ("decided", "confirmed", "reopened")]


def blind(task: Task, steps: Sequence[Step]) -> tuple[Task, list[Step]]:
    """A task as a second reader may see it: without what the first said."""
    if task.state is not TaskState.SECOND:
        return task, list(steps)
    return replace(task, decision=None), [
        replace(step, code="", reason="") if step.act == "decided" else step for step in steps
    ]


def blind_links(task: Task, steps: Sequence[Step], links: Sequence[LinkEvent]) -> list[LinkEvent]:
    """What happened to the pair as a second reader may see it: without what followed from the first answer."""
    first = [step.at for step in steps if step.act == "decided"]
    if task.state is not TaskState.SECOND or not first:
        return list(links)
    return [event for event in links if event.at < first[-1]]


def _check_reader(task: Task, by: str, steps: Sequence[Step], at: datetime) -> None:
    if task.state not in WAITING:
        raise Conflict(f"this task is {task.state}; nothing is to be decided any more")
    if any(step.by == by for step in readings(steps)):
        raise Refused("you have decided about this already; now another person is asked")
    if task.claimed_by not in (None, by) and task.claimed_at is not None and at < task.claimed_at + CLAIM_LASTS:
        raise Conflict("somebody else has claimed this task")
