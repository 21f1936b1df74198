"""How many records are duplicates, how many arise, and which numbers several persons use.

Rates as AHIMA defines them (Managing the Integrity of Patient Identity in HIE, 2014; MPI task force, 2004):

    duplicate rate    records that are or may be the person of another record in the same source, of all records
    creation rate     duplicates confirmed in a time, of the records registered in it
    overlay rate      updates in a time that look like another person's, of all records
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from healthsync.domains.identity.model import SourcePatient


@dataclass(frozen=True, slots=True)
class SourceDuplicates:
    """Of one source: records; those known to be one person with another of it; those suspected to be; those that are
    either; updates held."""

    source: str
    records: int
    known: int
    suspected: int
    involved: int
    held: int


@dataclass(frozen=True, slots=True)
class SharedNumber:
    """An SSN or insurance number under which several persons go: who, by reference; never the number."""

    kind: str
    persons: tuple[str, ...]
    patients: tuple[str, ...]


LEAST_OVERLAP = timedelta(days=1)
"""A transfer is written down by the day, and the night is counted at both places."""

PatientStay = tuple[str, int, datetime, datetime]
"""Encounter id, patient key, begin and end of an inpatient stay."""


@dataclass(frozen=True, slots=True)
class ImpossibleOverlap:
    """One person, inpatient at two sources for more than a day at once: a wrong link, somebody under another's name, or
    a discharge that was never told. References only; `on` is the day on which it began (UTC)."""

    person: str
    patients: tuple[str, str]
    encounters: tuple[str, str]
    on: date


def overlaps(
    stays: Iterable[PatientStay], persons: Mapping[int, str], patients: Mapping[int, SourcePatient]
) -> list[ImpossibleOverlap]:
    """The stays of one person at two sources that share more than a day, by when they began to."""
    of_person: dict[str, list[PatientStay]] = {}
    for stay in stays:
        if stay[1] in persons and stay[1] in patients:
            of_person.setdefault(persons[stay[1]], []).append(stay)
    found: list[ImpossibleOverlap] = []
    for person, own in of_person.items():
        own.sort(key=lambda stay: (stay[2], stay[0]))
        for at, (one, key, _, end) in enumerate(own):
            for other, other_key, other_begin, other_end in own[at + 1 :]:
                if other_begin >= end:
                    break
                apart = patients[key].source != patients[other_key].source
                if apart and min(end, other_end) - other_begin > LEAST_OVERLAP:
                    who = (patients[key].patient_id, patients[other_key].patient_id)
                    found.append(ImpossibleOverlap(person, who, (one, other), other_begin.date()))
    return sorted(found, key=lambda each: (each.on, each.encounters))


@dataclass(frozen=True, slots=True)
class Period:
    """What happened on a day or in a month (UTC)."""

    period: date
    registered: int
    confirmed_duplicates: int
    raised: int
    overlays: int
    overlays_restored: int
    kept_apart: int


@dataclass(frozen=True, slots=True)
class ReviewTimes:
    """Decisions of a time: how many, after how many hours, how many second readers there were and how many of them
    disagreed. `mean_hours` is None when nothing was decided."""

    decided: int
    mean_hours: float | None
    second_readings: int
    disagreements: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How things stand now."""

    records: int
    persons: int
    persons_across_sources: int
    suspected_duplicates: int
    suspected_linkages: int
    held: int


@dataclass(frozen=True, slots=True)
class IdentityReport:
    """All of it. Rates are shares from 0 to 1, None of nothing."""

    counts: Counts
    sources: Sequence[SourceDuplicates]
    shared_numbers: Sequence[SharedNumber]
    shared_total: dict[str, int]
    trend: Sequence[Period]
    review: ReviewTimes

    @property
    def duplicate_rate(self) -> float | None:
        """Suspected and known duplicates within a source, of all records."""
        return _share(sum(source.involved for source in self.sources), self.counts.records)

    @property
    def creation_rate(self) -> float | None:
        """Duplicates confirmed in the time of the trend, of the records registered in it."""
        return _share(sum(p.confirmed_duplicates for p in self.trend), sum(p.registered for p in self.trend))

    @property
    def overlay_rate(self) -> float | None:
        """Updates in the time of the trend that look like another person's, of all records."""
        return _share(sum(p.overlays for p in self.trend), self.counts.records)

    @property
    def overlap_rate(self) -> float | None:
        """Persons who have records at several sources, of all persons."""
        return _share(self.counts.persons_across_sources, self.counts.persons)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
