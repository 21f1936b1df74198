"""Work about identity: the rules of a task, pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from healthsync.domains.identity import Choice, Flag, SourcePatient, Step, Task, TaskKind, TaskState
from healthsync.domains.identity.review.rules import CLAIM_LASTS, Verdict, blind, claim, decide, is_sampled, raised
from healthsync.errors import Conflict, InvalidInput, Refused
from healthsync.infrastructure.crypto.blind_index import BlindIndex

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TASK = Task(
    number=1, one=SourcePatient(1, "p1", "east"), other=SourcePatient(2, "p2", "east"), kind=TaskKind.DUPLICATE,
    reasons=("name+birth-date-only",), rules="rules-2", owner="east", state=TaskState.OPEN, raised_at=NOW, due_at=NOW,
)  # fmt: skip
OVERLAY = replace(TASK, kind=TaskKind.OVERLAY, other=TASK.one)


class Readers:
    """A task in the hands of several people, one after the other."""

    def __init__(self, task: Task, *, sampled: bool) -> None:
        self.task, self.sampled, self.steps, self.effects = task, sampled, list[Step](), list[Choice]()

    def say(self, by: str, choice: Choice, at: datetime = NOW) -> Verdict:
        verdict = decide(self.task, choice, by, "papers-seen", self.steps, at, sampled=self.sampled)
        self.task = verdict.task
        self.steps.append(verdict.step)
        self.effects += [verdict.effect] if verdict.effect else []
        return verdict


def test_two_flags_of_one_pair_are_one_piece_of_work() -> None:
    flags = [
        Flag(2, 1, ("ssn-only",)),
        Flag(1, 2, ("link-contradicted", "ssn-conflict")),
        Flag(3, 3, ("overlay-suspected",)),
    ]
    assert raised(flags) == [
        (1, 2, "contradiction", ("ssn-only", "link-contradicted", "ssn-conflict")),
        (3, 3, "overlay", ("overlay-suspected",)),
    ]


def test_two_numbers_of_one_authority_are_work_of_their_own_kind() -> None:
    assert raised([Flag(1, 2, ("second-number-of-authority",))])[0][2] == "second-number"


def test_a_decision_that_is_not_in_the_sample_is_done_and_final() -> None:
    readers = Readers(TASK, sampled=False)
    readers.say("ann", Choice.LINK)
    assert (readers.task.state, readers.task.decision, readers.effects) == (
        TaskState.DECIDED,
        Choice.LINK,
        [Choice.LINK],
    )
    with pytest.raises(Conflict):
        readers.say("bob", Choice.APART)


def test_a_second_reader_who_agrees_confirms_and_nothing_is_done_twice() -> None:
    readers = Readers(TASK, sampled=True)
    readers.say("ann", Choice.LINK)
    assert readers.task.state is TaskState.SECOND
    readers.say("bob", Choice.LINK)
    assert (readers.task.state, readers.effects) == (TaskState.DECIDED, [Choice.LINK])


@pytest.mark.parametrize(
    ("third", "effects"), [(Choice.LINK, [Choice.LINK]), (Choice.APART, [Choice.LINK, Choice.APART])]
)
def test_a_second_reader_who_disagrees_reopens_and_a_third_person_decides(third: Choice, effects: list[Choice]) -> None:
    readers = Readers(TASK, sampled=True)
    readers.say("ann", Choice.LINK)
    readers.say("bob", Choice.APART)
    assert readers.task.state is TaskState.OPEN
    for reader in ("ann", "bob"):
        with pytest.raises(Refused):
            readers.say(reader, third)
    readers.say("eve", third)
    assert (readers.task.state, readers.task.decision, readers.effects) == (TaskState.DECIDED, third, effects)


@pytest.mark.parametrize("choice", [Choice.ACCEPT, Choice.RESTORE])
def test_an_overlay_in_the_sample_stays_held_until_two_agree(choice: Choice) -> None:
    readers = Readers(OVERLAY, sampled=True)
    readers.say("ann", choice)
    assert readers.effects == []
    readers.say("bob", choice)
    assert readers.effects == [choice]


def test_nobody_is_his_own_second_reader() -> None:
    readers = Readers(TASK, sampled=True)
    readers.say("ann", Choice.LINK)
    with pytest.raises(Refused):
        readers.say("ann", Choice.LINK)
    with pytest.raises(Refused):
        claim(readers.task, "ann", readers.steps, NOW)


def test_a_second_reader_is_not_told_what_the_first_said() -> None:
    readers = Readers(TASK, sampled=True)
    readers.say("ann", Choice.LINK)
    task, (step,) = blind(readers.task, readers.steps)
    assert (task.decision, step.code, step.reason, step.by) == (None, "", "", "ann")
    readers.say("bob", Choice.LINK)
    assert blind(readers.task, readers.steps)[0].decision is Choice.LINK


def test_who_is_not_sure_leaves_the_task_to_others_and_may_come_back() -> None:
    readers = Readers(claim(TASK, "ann", [], NOW), sampled=False)
    readers.say("ann", Choice.NOT_SURE)
    assert (readers.task.state, readers.task.claimed_by, readers.effects) == (TaskState.OPEN, None, [])
    readers.say("ann", Choice.APART)
    assert readers.effects == [Choice.APART]


def test_what_somebody_claimed_nobody_else_decides_until_the_claim_has_lapsed() -> None:
    claimed = claim(TASK, "ann", [], NOW)
    for at, free in ((NOW + CLAIM_LASTS - timedelta(seconds=1), False), (NOW + CLAIM_LASTS, True)):
        readers = Readers(claimed, sampled=False)
        if free:
            assert readers.say("bob", Choice.LINK, at).task.state is TaskState.DECIDED
        else:
            with pytest.raises(Conflict):
                readers.say("bob", Choice.LINK, at)


@pytest.mark.parametrize(
    ("task", "choice"), [(TASK, Choice.ACCEPT), (TASK, Choice.RESTORE), (OVERLAY, Choice.LINK), (OVERLAY, Choice.APART)]
)
def test_an_overlay_is_no_pair_and_a_pair_no_overlay(task: Task, choice: Choice) -> None:
    with pytest.raises(InvalidInput):
        Readers(task, sampled=False).say("ann", choice)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_the_share_of_second_readings_is_what_was_asked(share: float) -> None:
    index = BlindIndex(b"k" * 32)
    tokens = [index.token("identity/second-reader", str(number)) for number in range(2_000)]
    assert sum(is_sampled(token, share) for token in tokens) / len(tokens) == pytest.approx(share, abs=0.03)
