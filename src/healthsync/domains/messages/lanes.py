"""Whom does a message concern, and may it be processed now?

A lane is all messages of one partner about one patient number, whatever authority stands beside it: a sender that names
it now so, now so, means one patient, and of two who share a number one waits for the other. A message stands in the
lane of every number of its PID-3 and, for merges and moves, of its MRG-1: after A40 neither the surviving nor the
retired number may be overtaken. A message without a patient stands in no lane and waits for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from healthsync.standards.hl7v2 import Message, Segment

MOST_LANES = 32
"""Of one message: a list of patients (A41 with hundreds) would otherwise hold half the hub."""

_IDENTIFIER_LISTS = (("PID", 3, 2), ("MRG", 1, 4))


def patients_of(message: Message) -> list[str]:
    """The number of every patient that the message names: PID-3, else PID-2; MRG-1, else MRG-4."""
    found: dict[str, None] = {}
    for name, number, former in _IDENTIFIER_LISTS:
        for segment in message.all(name):
            found.update(dict.fromkeys(_numbers(segment, number) or _numbers(segment, former)))
    return list(found)[:MOST_LANES]


def _numbers(segment: Segment, field: int) -> list[str]:
    values = [repetition.component(1).strip() for repetition in segment.field(field).repetitions]
    return [value for value in values if value and value != '""']


def runnable(sequences: Iterable[int], lanes: Mapping[int, Collection[int]], blocked: Collection[int]) -> Iterator[int]:
    """Those of `sequences` that may run, one after the other, oldest first.

    `blocked` are those that wait for an older message outside; whoever shares a lane with one of these waits too.
    The caller may add to `blocked` while it iterates (a message failed): the younger ones of its lanes then stay back.
    """
    held: set[int] = set()
    for sequence in sorted(sequences):
        if held.isdisjoint(lanes[sequence]) and sequence not in blocked:
            yield sequence
            if sequence not in blocked:
                continue
        held.update(lanes[sequence])
