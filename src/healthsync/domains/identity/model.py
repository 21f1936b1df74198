"""The nouns of identity: what a record says of a person, who is linked to whom, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

LoadPatients = Callable[[Mapping[str, int | None]], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""Fetches and unseals Patient resources by FHIR id, in the version that speaks for each while its newest is held (None:
the newest speaks); an id that no longer exists is absent from the answer."""


class SourcePatient(msgspec.Struct, frozen=True):
    """A Patient as one source sent it: the hub's number, the FHIR id and the source."""

    patient_key: int
    patient_id: str
    source: str


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """A number that an authority gave to a person (CX-1, CX-4, CX-5), normalised; `type` and `authority` may be ""."""

    authority: str
    type: str
    value: str


class Address(NamedTuple):
    """A place, normalised; each part "" when it is not told. `line` is what the address says beside the street."""

    house: str
    street: str
    line: str
    city: str
    state: str
    postal_code: str


class Demographics(msgspec.Struct, frozen=True):
    """What a record says of a person, normalised: every value it ever gave; placeholders are absent."""

    identifiers: frozenset[PatientIdentifier] = frozenset()
    ssns: frozenset[str] = frozenset()
    names: frozenset[tuple[str, str]] = frozenset()
    families: frozenset[str] = frozenset()
    first_names: frozenset[str] = frozenset()
    generations: frozenset[str] = frozenset()
    birth_dates: frozenset[date] = frozenset()
    sexes: frozenset[str] = frozenset()
    births: frozenset[str] = frozenset()
    middles: frozenset[str] = frozenset()
    family_words: frozenset[str] = frozenset()
    addresses: frozenset[Address] = frozenset()
    phones: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    subscribers: frozenset[str] = frozenset()
    """Numbers of insurance policies, with who gave them; a family shares one."""
    sources: frozenset[str] = frozenset()
    """Who says it, where what decides wants to know (`learning`)."""

    def __or__(self, other: Demographics) -> Demographics:
        """What two records of one patient say together."""
        return Demographics(*(getattr(self, name) | getattr(other, name) for name in self.__struct_fields__))


@dataclass(frozen=True, slots=True)
class Tokens:
    """The keyed tokens of one record: of its identifiers (with their types) and of its block keys.

    `locked` are the block keys on which two registrations of one person wait for each other.
    """

    patient_key: int
    identifiers: tuple[int, ...]
    types: tuple[str, ...]
    shared_identifiers: tuple[int, ...]
    block_keys: tuple[int, ...]
    locked: tuple[int, ...] = ()

    @property
    def locks(self) -> list[int]:
        """What two registrations of one person have in common, ascending."""
        return sorted({*self.shared_identifiers, *self.locked})


class Decision(StrEnum):
    """What a person or the owner of the numbers decided about two source patients; the newest stands."""

    MUST_LINK = "must-link"
    CANNOT_LINK = "cannot-link"


class LinkEventKind(StrEnum):
    """What happened to a link."""

    CREATED = "created"
    LINKED = "linked"
    UNLINKED = "unlinked"
    MERGED = "merged"
    FLAGGED = "flagged"
    RESOLVED = "resolved"
    MUST_LINK = "must-link"
    CANNOT_LINK = "cannot-link"
    PINNED = "pinned"
    UNPINNED = "unpinned"


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """One entry of the append-only log. `evidence` holds codes, never values."""

    kind: LinkEventKind
    enterprise_id: UUID
    patient_key: int
    other_patient_key: int | None
    rule: str
    evidence: tuple[str, ...]
    decided_by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Flag:
    """Two source patients that a person should look at (the same one twice: a record that contradicts its past)."""

    patient_key: int
    other_patient_key: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdentityOutcome:
    """What registering a patient did.

    `linked_to` are the patients it was matched with, `evidence` the codes that say why, `changed_members` the keys of
    all patients whose enterprise id is another one now, `members` those of everyone who belongs to the person;
    `is_held` says that the record tells of somebody else than before, and that nothing of it entered the index;
    `joined` are the persons that became one, in pairs, each by the lowest key among its patients.
    """

    enterprise_id: UUID
    created: bool
    linked_to: tuple[SourcePatient, ...] = ()
    flags: tuple[Flag, ...] = ()
    evidence: tuple[str, ...] = ()
    changed_members: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    is_held: bool = False
    joined: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """What merging, linking or unlinking did.

    `survivor` is the active patient; `retired` the one whose number went out of use now, None when none did (a merge
    with itself, or one that was done before). `reinstated` says that the survivor had been retired until now.
    """

    enterprise_id: UUID
    survivor: SourcePatient
    retired: SourcePatient | None
    reinstated: bool = False
    flags: tuple[Flag, ...] = ()
    changed_members: tuple[int, ...] = ()


class Member(msgspec.Struct, frozen=True):
    """A source patient in its person, as the tables keep it."""

    patient: SourcePatient
    enterprise_id: UUID
    linked_to: int | None = None
    retired_into: int | None = None
    fingerprint: tuple[str, ...] = ()
    keys_version: str = ""
    held: int | None = None
    """The version that speaks for it while its newest is held."""

    @property
    def key(self) -> int:
        """The hub's number of the source patient."""
        return self.patient.patient_key


@dataclass(slots=True)
class LinkState:
    """Who is whom: what the log of link events amounts to."""

    person_of: dict[int, UUID] = field(default_factory=dict)
    linked_to: dict[int, int | None] = field(default_factory=dict)
    retired_into: dict[int, int] = field(default_factory=dict)
    redirects: dict[UUID, UUID] = field(default_factory=dict)
    decisions: dict[tuple[int, int], Decision] = field(default_factory=dict)
    reviews: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)
    pins: list[tuple[int, str]] = field(default_factory=list)
    """Patients, and the elements of the golden record that are taken from them, the newest last."""

    def members(self, person: UUID) -> set[int]:
        """The patients of a person."""
        return {key for key, of in self.person_of.items() if of == person}


def pair(one: int, other: int) -> tuple[int, int]:
    """Two patient keys, the lower first."""
    return (one, other) if one <= other else (other, one)
