"""The log of links: what acts add to it, and what it amounts to."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.identity.links import Ledger, followers, replay, survivor_of
from healthsync.domains.identity.model import Decision, Flag, LinkState

AT = datetime(2026, 11, 25, tzinfo=UTC)

ACT = st.tuples(
    st.sampled_from(["link", "join", "retire", "split", "loosen", "flag", "must", "cannot"]),
    st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


def ledger_of(patients: int) -> Ledger:
    """Each patient its own person."""
    ledger = Ledger(LinkState(), at=AT)
    for key in range(1, patients + 1):
        ledger.create(key, UUID(int=key))
    return ledger


def act(ledger: Ledger, kind: str, one: int, other: int) -> None:
    """One act of the service, when it makes sense."""
    state = ledger.state
    together = state.person_of[one] == state.person_of[other]
    if kind in {"link", "join"} and not together:
        ledger.join(one, other, "rule")
    elif kind == "retire" and survivor_of(other, state.retired_into) != one:
        if not together:
            ledger.join(one, other, "A40")
        ledger.retire(one, survivor_of(other, state.retired_into), "A40")
    elif kind == "split" and together and other not in followers(one, state.linked_to):
        ledger.split(one, other, uuid4(), "steward")
    elif kind == "loosen":
        ledger.loosen(one, "steward")
    elif kind == "flag":
        ledger.flag(Flag(*sorted((one, other)), ("reason",)))
    elif kind in {"must", "cannot"} and one != other:
        ledger.decide(one, other, Decision(f"{kind}-link"), "steward")


def partition(state: LinkState) -> set[frozenset[int]]:
    return {frozenset(state.members(person)) for person in state.person_of.values()}


@given(st.lists(ACT, max_size=40))
def test_replaying_the_log_gives_the_state(acts: list[tuple[str, int, int]]) -> None:
    ledger = ledger_of(12)
    for one in acts:
        act(ledger, *one)
    assert replay(ledger.events) == ledger.state


@given(st.lists(ACT, max_size=40))
def test_a_person_is_a_tree_with_one_first_member_and_redirects_lead_to_a_person(
    acts: list[tuple[str, int, int]],
) -> None:
    ledger = ledger_of(12)
    for one in acts:
        act(ledger, *one)
    state = ledger.state
    for members in partition(state):
        firsts = [key for key in members if state.linked_to[key] is None]
        assert len(firsts) == 1
        assert followers(firsts[0], state.linked_to) == members
    for former in state.redirects:
        seen = set()
        while former in state.redirects:
            assert former not in seen
            seen.add(former)
            former = state.redirects[former]
        assert state.members(former)


@given(st.lists(ACT, max_size=25), st.integers(1, 12), st.integers(1, 12), st.lists(st.integers(1, 12), max_size=6))
def test_merge_then_unlink_is_the_identity_whatever_was_linked_in_between(
    acts: list[tuple[str, int, int]], survivor: int, retired: int, latecomers: list[int]
) -> None:
    ledger = ledger_of(12)
    for one in acts:
        act(ledger, *one)
    state = ledger.state
    survivor = survivor_of(survivor, state.retired_into)
    if state.person_of[survivor] == state.person_of[retired] or retired in state.retired_into:
        return
    before, persons, redirects = partition(state), dict(state.person_of), copy.copy(state.retired_into)
    ledger.join(retired, survivor, "A40")
    ledger.retire(retired, survivor, "A40")
    for key, through in enumerate(latecomers, 101):
        ledger.link(key, through, "rule")
    ledger.split(retired, survivor, persons[retired], "steward")
    assert {frozenset(key for key in members if key < 101) for members in partition(state)} == before
    assert {key: person for key, person in state.person_of.items() if key < 101} == persons
    assert state.retired_into == redirects
    for key, through in enumerate(latecomers, 101):
        assert state.person_of[key] == persons[through], "a latecomer stays with the record that it was linked with"
    assert replay(ledger.events) == state


def test_a_flag_that_is_known_is_not_raised_again_and_a_decision_settles_it() -> None:
    ledger = ledger_of(2)
    ledger.flag(Flag(1, 2, ("twin-suspected",)))
    ledger.flag(Flag(2, 1, ("twin-suspected",)))
    assert len(ledger.events) == 3
    ledger.flag(Flag(2, 1, ("sex-conflict",)))
    assert ledger.state.reviews == {(1, 2): {"twin-suspected", "sex-conflict"}}
    ledger.decide(2, 1, Decision.CANNOT_LINK, "papers seen")
    assert ledger.state.reviews == {}
    assert ledger.state.decisions == {(1, 2): Decision.CANNOT_LINK}
