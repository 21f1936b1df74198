"""Nouns of quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from healthsync.errors import InvalidInput

Resource = Mapping[str, Any]


class Dimension(StrEnum):
    """What a rule asks about."""

    COMPLETENESS = "completeness"
    """Is what is needed there?"""
    ACCURACY = "accuracy"
    """Does it keep to its form, its codes and what is plausible?"""
    CONSISTENCY = "consistency"
    """Does one part agree with the other?"""
    TIMELINESS = "timeliness"
    """How old was it when it came?"""
    UNIQUENESS = "uniqueness"
    """Is it told once?"""


class Action(StrEnum):
    """What follows from a score."""

    ACCEPT = "accept"
    ACCEPT_WITH_WARNINGS = "accept-with-warnings"
    REVIEW = "review"
    """Stored, and on the list of what somebody should look at."""
    REJECT = "reject"
    """Kept as a dead letter, not stored as FHIR."""


_SEVERITY = tuple(Action)


@dataclass(frozen=True, slots=True)
class Bands:
    """From how many points on a message is excellent, good, fair. Exactly `minimum` passes.

    `rejects`: whether what is below `minimum` becomes a dead letter; without it, it is stored and up for review.
    Raises InvalidInput for bands that are out of order.
    """

    excellent: int = 90
    good: int = 75
    minimum: int = 60
    rejects: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.good <= self.excellent <= 100:
            raise InvalidInput(
                "bands rise from minimum over good to excellent, between 0 and 100 (60, 75, 90)", code="value"
            )

    def action(self, points: int, *, failed_critically: bool = False) -> Action:
        """What follows from so many points; a critical rule that failed is looked at whatever the rest says."""
        if points < self.minimum:
            return Action.REJECT if self.rejects else Action.REVIEW
        found = (
            Action.ACCEPT
            if points >= self.excellent
            else Action.ACCEPT_WITH_WARNINGS
            if points >= self.good
            else Action.REVIEW
        )
        return max(found, Action.REVIEW, key=_SEVERITY.index) if failed_critically else found


@dataclass(frozen=True, slots=True)
class Contract:
    """What a source has promised beyond what the hub asks of everyone: it raises bands, it never lowers them."""

    source: str
    excellent: int | None = None
    good: int | None = None
    minimum: int | None = None
    rejects: bool | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None

    def over(self, bands: Bands) -> Bands:
        """The bands that hold for the source. Raises InvalidInput when they would be out of order."""
        minimum = max(bands.minimum, self.minimum or 0)
        good = max(bands.good, self.good or 0, minimum)
        return Bands(
            excellent=max(bands.excellent, self.excellent or 0, good),
            good=good,
            minimum=minimum,
            rejects=bands.rejects if self.rejects is None else self.rejects,
        )


@dataclass(slots=True)
class Content:
    """What a message says, as rules see it.

    `resources` as the gate will get them; `issues` are the codes of what could not be taken as it stood; `event_at` is
    when the sender says that it happened.
    """

    resources: Sequence[Resource]
    received_at: datetime
    event_at: datetime | None = None
    issues: Sequence[str] = ()
    born_on: date | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        for resource in self.resources:
            if resource["resourceType"] == "Patient" and (born := resource.get("birthDate")):
                self.born_on = date_of(born)
                break


Judgement = bool | float | None
"""Passed or failed; between 0 and 1 for what is a matter of degree; None when there is nothing to judge."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `of` is a resource type, or `Message` for what only the whole shows."""

    id: str
    dimension: Dimension
    of: str
    weight: int
    judge: Callable[[Any, Content], Judgement]
    because: str
    source: str
    critical: bool = False
    column: str | None = None
    """Name of the logical column that it is about: a rule of the operator about the same one replaces it."""


@dataclass(frozen=True, slots=True)
class Score:
    """How good a message is: points by dimension (those that could be judged) and over all."""

    points: int
    dimensions: Mapping[Dimension, int]
    failed: Mapping[str, int]
    """Rules that found fault, with how often. No values."""
    failed_critically: bool = False


@dataclass(frozen=True, slots=True)
class MessageScore:
    """The score of a message as it is kept."""

    sequence: int
    source: str
    type: str
    received_on: date
    score: Score
    action: Action


@dataclass(frozen=True, slots=True)
class Reporting:
    """What a report is asked for. `until` is the first day that is no longer part of it."""

    since: date | None = None
    until: date | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class DayOfSource:
    """What a source sent on a day: number of messages, mean points, actions, and the rules that failed most."""

    source: str
    day: date
    messages: int
    points: float
    dimensions: Mapping[Dimension, float]
    actions: Mapping[Action, int]
    failed: Mapping[str, int]


def date_of(text: str) -> date | None:
    """The day of a FHIR date or dateTime; the first of what its precision leaves open. None for what is none."""
    try:
        return date.fromisoformat((text[:10] + "-01-01")[:10] if len(text) < 10 else text[:10])
    except ValueError:
        return None
