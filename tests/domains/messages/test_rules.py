"""The pure rules: lanes, retries, answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.messages import (
    Answering,
    Claimed,
    MessageState,
    answering,
    failed,
    patients_of,
    runnable,
)
from healthsync.errors import InvalidInput, NotSupported, Unavailable
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.standards.hl7v2 import AckCode, Message

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(*segments: str, accept: str = "", application: str = "") -> Message:
    header = f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301||ADT^A01|C1|P|2.5.1|||{accept}|{application}"
    return Message.parse("\r".join((header, *segments)).encode())


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["PID|1||123^^^MERCY^MR"], ["123"]),
        (["PID|1||123^^^MERCY&1.2.3&ISO^MR~999^^^SSA~123^^^&1.2.3&ISO"], ["123", "999"]),
        (['PID|1||~^^^MERCY~""~ 5 ^^^MERCY'], ["5"]),
        (["PID|1|77^^^OLD"], ["77"]),
        (["PID|1|77^^^OLD|123^^^MERCY"], ["123"]),
        (["PID|1||2^^^MERCY", "MRG|1^^^MERCY"], ["2", "1"]),
        (["PID|1||1^^^MERCY", "PV1|1|I", "PID|2||2^^^MERCY"], ["1", "2"]),
        (["PV1|1|I"], []),
    ],
)
def test_a_message_concerns_every_patient_number_it_names(segments: list[str], expected: list[str]) -> None:
    assert patients_of(message(*segments)) == expected


MESSAGES = st.lists(st.frozensets(st.integers(0, 4), max_size=3), min_size=1, max_size=12).map(
    lambda lanes: dict(enumerate(lanes, 1))
)


@given(MESSAGES, st.data())
def test_nothing_overtakes_an_older_message_of_its_lanes(lanes: dict[int, frozenset[int]], data: st.DataObject) -> None:
    blocked = data.draw(st.sets(st.sampled_from(sorted(lanes))))
    ran: list[int] = []
    waiting = set(blocked)
    for sequence in runnable(list(lanes)[::-1], lanes, waiting):
        if data.draw(st.booleans()):
            ran.append(sequence)
        else:
            waiting.add(sequence)  # it failed
    assert ran == sorted(ran)
    assert not set(ran) & waiting
    for younger in ran:
        older = [s for s in lanes if s < younger and lanes[s] & lanes[younger]]
        assert set(older) <= set(ran)


@given(MESSAGES)
def test_without_failures_everything_runs(lanes: dict[int, frozenset[int]]) -> None:
    assert list(runnable(lanes, lanes, set())) == sorted(lanes)


def claimed(attempts: int = 0) -> Claimed:
    return Claimed(1, "mercy", "ADT^A01", NOW, b"", None, lanes=frozenset(), attempts=attempts)


@pytest.mark.parametrize(
    ("error", "attempts", "state", "code", "counted"),
    [
        (NotSupported("no map"), 0, MessageState.DEAD, "not-supported", 1),
        (InvalidInput("bad", code="structure"), 0, MessageState.DEAD, "structure", 1),
        (RuntimeError("Jane Doe"), 0, MessageState.ACCEPTED, "exception", 1),
        (RuntimeError("Jane Doe"), 3, MessageState.ACCEPTED, "exception", 4),
        (RuntimeError("Jane Doe"), 4, MessageState.DEAD, "exception", 5),
        (Unavailable("keys"), 0, MessageState.ACCEPTED, "transient", 0),
        (Unavailable("keys"), 99, MessageState.ACCEPTED, "transient", 99),
    ],
)
def test_what_would_fail_again_dies_at_once_and_an_outage_kills_nothing(
    error: Exception, attempts: int, state: MessageState, code: str, counted: int
) -> None:
    settlement = failed(claimed(attempts), error, RetryPolicy(max_attempts=5), NOW, 0.5)
    assert (settlement.state, settlement.reason_code, settlement.attempts) == (state, code, counted)
    assert "Jane" not in (settlement.reason or "")
    assert (settlement.next_attempt_at is None) == (state is MessageState.DEAD)


@pytest.mark.shows("worker.backoff_seconds", "worker.backoff_max_seconds")
def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    policy = RetryPolicy(first_wait_seconds=1, longest_wait_seconds=60)
    assert [policy.wait_seconds(n, 1.0) for n in (1, 2, 3, 7, 500)] == [1, 2, 4, 60, 60]
    assert policy.wait_seconds(3, 0.0) == 2
    again = failed(claimed(2), RuntimeError(), policy, NOW, 1.0).next_attempt_at
    assert again == NOW + timedelta(seconds=4)


@pytest.mark.parametrize(
    ("accept", "application", "preference", "default", "taken", "condition"),
    [
        ("", "", None, "original", AckCode.AA, "AL"),
        ("", "", None, "enhanced", AckCode.CA, "AL"),
        ("", "", "original", "enhanced", AckCode.AA, "AL"),
        ("", "", "enhanced", "original", AckCode.CA, "AL"),
        ("AL", "NE", None, "original", AckCode.CA, "AL"),
        ("", "AL", None, "original", AckCode.CA, "AL"),
        ("NE", "NE", None, "original", AckCode.CA, "NE"),
        ("NE", "AL", None, "original", AckCode.AA, "AL"),
        ("ER", "AL", None, "original", AckCode.AA, "AL"),
        ("NE", "ER", None, "original", AckCode.AA, "ER"),
        ("ER", "NE", None, "original", AckCode.CA, "ER"),
        ("ER", "", None, "original", AckCode.CA, "ER"),
        ("what", "", None, "original", AckCode.CA, "AL"),
        ("NE", "NE", "original", "original", AckCode.AA, "AL"),
    ],
)
def test_the_partner_decides_the_mode_then_the_message_then_the_hub(
    accept: str, application: str, preference: str | None, default: str, taken: AckCode, condition: str
) -> None:
    found = answering(message(accept=accept, application=application), preference, default)
    assert (found.taken, found.condition) == (taken, condition)


@pytest.mark.parametrize(
    ("condition", "on_success", "on_error"),
    [("AL", True, True), ("NE", False, False), ("ER", False, True), ("SU", True, False)],
)
def test_an_answer_is_sent_where_the_sender_wants_it(condition: str, on_success: bool, on_error: bool) -> None:
    found = Answering((AckCode.CA, AckCode.CE, AckCode.CR), condition)
    assert (found.wants(AckCode.CA), found.wants(AckCode.CE), found.wants(AckCode.CR)) == (
        on_success,
        on_error,
        on_error,
    )
