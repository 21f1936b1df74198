"""Links are a log. This file says what the log amounts to, and which entries an act adds to it. Pure.

A person is a tree: each member but the first joined through another (`linked_to`). Whoever leaves takes along those
that joined through it, so that merge followed by unlink restores both persons, whatever was linked in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from healthsync.domains.identity.model import Decision, Flag, LinkEvent, LinkEventKind, LinkState, pair

Codes = tuple[str, ...]

BY_RULES = "rules"
"""Who decided, when nobody did: the deterministic rules."""


def replay(events: Iterable[LinkEvent], state: LinkState | None = None) -> LinkState:
    """Who is whom after `events`, in the order of the log."""
    state = state or LinkState()
    for event in events:
        _apply(state, event)
    return state


def _apply(state: LinkState, event: LinkEvent) -> None:
    key, other = event.patient_key, event.other_patient_key
    match event.kind:
        case LinkEventKind.CREATED | LinkEventKind.LINKED:
            _move(state, key, event.enterprise_id)
            state.linked_to[key] = other
        case LinkEventKind.UNLINKED:
            state.retired_into.pop(key, None)
        case LinkEventKind.MERGED if other is not None:
            state.retired_into.pop(other, None)
            state.retired_into[key] = other
        case LinkEventKind.MUST_LINK | LinkEventKind.CANNOT_LINK if other is not None:
            state.decisions[pair(key, other)] = Decision(event.kind.value)
        case LinkEventKind.FLAGGED if other is not None:
            place = pair(key, other)
            state.reviews[place] = state.reviews.get(place, frozenset()) | frozenset(event.evidence)
        case LinkEventKind.RESOLVED if other is not None:
            state.reviews.pop(pair(key, other), None)
        case LinkEventKind.PINNED:
            pins = [(key, element) for element in event.evidence]
            state.pins = [*(pin for pin in state.pins if pin not in pins), *pins]
        case LinkEventKind.UNPINNED:
            state.pins = [pin for pin in state.pins if pin[0] != key or pin[1] not in event.evidence]


def _move(state: LinkState, key: int, person: UUID) -> None:
    """Put a patient into a person; the last to leave a person leaves a redirect behind."""
    left = state.person_of.get(key)
    state.person_of[key] = person
    state.redirects.pop(person, None)
    if left is not None and left != person and left not in state.person_of.values():
        state.redirects[left] = person


def survivor_of(key: int, retired_into: Mapping[int, int]) -> int:
    """The active patient that a number leads to."""
    while key in retired_into:
        key = retired_into[key]
    return key


def followers(key: int, linked_to: Mapping[int, int | None]) -> set[int]:
    """A patient and all that joined its person through it."""
    found = {key}
    while more := {member for member, through in linked_to.items() if through in found and member not in found}:
        found |= more
    return found


class Ledger:
    """The entries that one act adds to the log, applied to the state of the persons concerned as they are added."""

    def __init__(self, state: LinkState, *, at: datetime, decided_by: str = BY_RULES) -> None:
        self.state = state
        self.events: list[LinkEvent] = []
        self._at = at
        self._decided_by = decided_by

    def create(self, key: int, person: UUID) -> None:
        """A new person with its first member."""
        self._add(LinkEventKind.CREATED, key, None, "first-seen", (), person=person)

    def link(self, key: int, through: int, rule: str, evidence: Codes = ()) -> None:
        """A patient of no person yet joins the person of another."""
        self._add(LinkEventKind.LINKED, key, through, rule, evidence, person=self.state.person_of[through])

    def join(self, key: int, through: int, rule: str, evidence: Codes = ()) -> None:
        """The whole person of `key` joins the person of `through`, hanging on `key` now."""
        members = self.state.members(self.state.person_of[key])
        hangs_on = {member: self.state.linked_to.get(member) for member in members}
        hangs_on |= _turned(key, hangs_on)
        hangs_on[key] = through
        self._move(hangs_on, self.state.person_of[through], rule, evidence)

    def loosen(self, key: int, reason: str) -> None:
        """Nobody joined through `key` any longer: they hang on its own link, or on one of them if it was the first."""
        state = self.state
        below = sorted(member for member, through in state.linked_to.items() if through == key)
        if not below:
            return
        above = state.linked_to[key]
        heir = below[0] if above is None else above
        hangs_on = dict.fromkeys(below, heir) | ({heir: None, key: heir} if above is None else {})
        self._move(hangs_on, state.person_of[key], reason)

    def split(self, key: int, other: int, person: UUID, reason: str) -> None:
        """A patient leaves its person for `person`, and those that joined through it go along."""
        group = followers(key, self.state.linked_to)
        for member, survivor in list(self.state.retired_into.items()):
            if (member in group) != (survivor in group):
                self._add(LinkEventKind.UNLINKED, member, survivor, reason)
        self._add(LinkEventKind.UNLINKED, key, other, reason)
        self._move({member: self.state.linked_to[member] for member in group} | {key: None}, person, reason)

    def retire(self, retired: int, survivor: int, reason: str) -> None:
        """The number of `retired` goes out of use in favour of `survivor`, which is active from now on."""
        self._add(LinkEventKind.MERGED, retired, survivor, reason)

    def decide(self, one: int, other: int, decision: Decision, reason: str) -> None:
        """Two patients are, or are not, one person; what was to be looked at is settled."""
        self._add(LinkEventKind(decision.value), one, other, reason)
        self.settle(one, other, reason)

    def settle(self, one: int, other: int, reason: str) -> None:
        """What was to be looked at needs no look any more."""
        if pair(one, other) in self.state.reviews:
            self._add(LinkEventKind.RESOLVED, one, other, reason)

    def isolate(self, key: int, person: UUID, reason: str) -> None:
        """A patient leaves its person alone for `person`: who joined through it stays, and is not it."""
        others = self.state.members(self.state.person_of[key]) - {key}
        self.loosen(key, reason)
        through = self.state.linked_to[key]
        assert through is not None, "whoever is not alone hangs on somebody once nobody hangs on him"
        self.split(key, through, person, reason)
        for other in sorted(others):
            self.decide(key, other, Decision.CANNOT_LINK, reason)

    def pin(self, key: int, element: str, reason: str) -> None:
        """The golden record takes an element from this patient. What was pinned to another member of the person stays
        with that one: it counts again when the two are parted, or when this pin is taken back."""
        if [pinned for pinned, of in self.state.pins if of == element][-1:] != [key]:
            self._add(LinkEventKind.PINNED, key, None, reason, (element,))

    def unpin(self, key: int, element: str, reason: str) -> None:
        """An element is not taken from this patient any more: the pin before decides, or else the rules."""
        if (key, element) in self.state.pins:
            self._add(LinkEventKind.UNPINNED, key, None, reason, (element,))

    def flag(self, flag: Flag) -> None:
        """Two patients should be looked at; nothing when that is known."""
        known = self.state.reviews.get(pair(flag.patient_key, flag.other_patient_key), frozenset())
        if not set(flag.reasons) <= known:
            self._add(LinkEventKind.FLAGGED, flag.patient_key, flag.other_patient_key, "review", flag.reasons)

    def _move(self, hangs_on: Mapping[int, int | None], person: UUID, rule: str, evidence: Codes = ()) -> None:
        for member, through in sorted(hangs_on.items()):
            self._add(LinkEventKind.LINKED, member, through, rule, evidence, person=person)

    def _add(
        self,
        kind: LinkEventKind,
        key: int,
        other: int | None,
        rule: str,
        evidence: Codes = (),
        *,
        person: UUID | None = None,
    ) -> None:
        person = person or self.state.person_of[key]
        event = LinkEvent(kind, person, key, other, rule, evidence, self._decided_by, self._at)
        _apply(self.state, event)
        self.events.append(event)


def _turned(key: int, linked_to: Mapping[int, int | None]) -> dict[int, int | None]:
    """The path from `key` to the first member of its person, turned round so that all hang on `key`."""
    turned: dict[int, int | None] = {}
    below, here = None, key
    while here is not None:
        turned[here] = below
        below, here = here, linked_to.get(here)
    return turned
