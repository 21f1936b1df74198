"""Which messages are read anew together, and in which order?

A message that is read anew would lay what it said over what younger messages of its patients have said since. So it
is never read alone: with it come the younger ones of all its lanes, of their lanes, and so on, in the order of their
places. What the youngest says holds in the end, as it did the first time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from healthsync.domains.messages.model import MessageState


@dataclass(frozen=True, slots=True)
class Standing:
    """A message of a source, as far as its order is concerned. `chosen`: it was asked for."""

    sequence: int
    place: int
    """Where it stands among the messages of its patients: its number, or that of the message it is a copy of."""
    lanes: tuple[int, ...]
    state: MessageState
    chosen: bool
    readable: bool
    """Whether its bytes are there, and whole."""


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that are read anew together, in this order."""

    source: str
    members: tuple[Standing, ...]

    @property
    def first(self) -> int:
        """The place of the oldest: it names the group."""
        return self.members[0].place

    @property
    def lanes(self) -> frozenset[int]:
        """All lanes that its messages stand in."""
        return frozenset(lane for member in self.members for lane in member.lanes)


def takes_part(standing: Standing) -> bool:
    """Whether a message is read anew when its lane is: what was processed, and dead letters that were asked for."""
    return standing.state is MessageState.PROCESSED or (standing.state is MessageState.DEAD and standing.chosen)


def groups(source: str, messages: Iterable[Standing]) -> list[Group]:
    """The groups of a source, the oldest first. `messages` are all of the source from the first chosen one on."""
    of_lane: dict[int, list[Standing]] = {}
    alone: list[list[Standing]] = []
    for one in sorted(messages, key=lambda one: (one.place, one.sequence)):
        if not takes_part(one) and one.state is not MessageState.ACCEPTED:
            continue
        touched = {id(group): group for lane in one.lanes if (group := of_lane.get(lane)) is not None}
        if not touched and not (one.chosen and takes_part(one)):
            continue
        together, *others = sorted(touched.values(), key=len, reverse=True) or [[]]
        for other in others:
            together += other
        together.append(one)
        for lane in {lane for member in (one, *(m for other in others for m in other)) for lane in member.lanes}:
            of_lane[lane] = together
        if not one.lanes:
            alone.append(together)
    found = {id(group): group for group in (*of_lane.values(), *alone)}
    in_order = (sorted(group, key=lambda one: (one.place, one.sequence)) for group in found.values())
    return sorted((Group(source, tuple(group)) for group in in_order), key=lambda group: group.first)
