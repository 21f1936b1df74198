"""What goes into a conversion and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal

from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.normalise import AS_SENT, Conventions

if TYPE_CHECKING:
    from healthsync.standards.maps.operator import OperatorMapping

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What a message does not say about itself.

    `resource_id` gives the legal FHIR id of a (type, business key); equal keys must give equal ids. `timezone` is that
    of the sender: v2 times without an offset are local times of the sending system (HL7 v2.5.1 §2.A.22). `conventions`
    say how it writes what v2 does not allow, such as dates with slashes; `authorities` which names mean one authority.
    """

    source: str
    resource_id: Callable[[str, str], str]
    timezone: tzinfo
    received_at: datetime
    operator: OperatorMapping | None = None
    conventions: Conventions = AS_SENT
    authorities: Authorities = NO_AUTHORITIES


@dataclass(frozen=True, slots=True)
class MappedResource:
    """One FHIR resource of a message, with what the store needs to know to bring it in: see `merging.merged`.

    key       stable business key inside (source, type): a resend has the same
    cleared   top-level elements that the sender deleted with `""`
    unless    element → stored values that stand against a change (`("*",)`: any value). A late admission does not
              reopen a finished visit, an update without a class does not change it.
    partial   elements merged entry by entry, because several events each tell a part (Encounter.period)
    action    "merge" as a rule; "entered-in-error" where the sender took the resource back
    as_of     when this was so, for what has no rule of its own for messages that come late: see `merging.merged`
    """

    resource: Resource
    key: str
    cleared: tuple[str, ...] = ()
    unless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partial: tuple[str, ...] = ()
    action: Literal["merge", "entered-in-error"] = "merge"
    as_of: str = ""

    @property
    def type(self) -> str:
        return self.resource["resourceType"]

    @property
    def id(self) -> str:
        return self.resource["id"]

    @property
    def reference(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"


@dataclass(frozen=True, slots=True)
class PatientMerge:
    """The sender says that two of its patient numbers are one person (HL7 v2.5.1 §3.3.40) or that a number changed."""

    survivor_key: str
    survivor_id: str
    survivor_identifiers: tuple[Resource, ...]
    retired_key: str
    retired_id: str
    retired_identifiers: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class PatientLink:
    """Two patient numbers are, or are not, one person (HL7 v2.5.1 §3.3.24 A24, §3.3.37 A37); both stay in use."""

    kind: Literal["link", "unlink"]
    identifiers: tuple[Resource, ...]
    other_identifiers: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class RecordMerge:
    """A visit or account has another number now, or was one with another (HL7 v2.5.1 §3.3.41 A41, §3.3.42 A42).

    What is stored under the retired one belongs to the survivor from now on.
    """

    resource_type: Literal["Encounter", "Account"]
    survivor_id: str
    retired_id: str


@dataclass(frozen=True, slots=True)
class RecordMove:
    """A visit or account was filed under a wrong patient (HL7 v2.5.1 §3.3.44 A44, §3.3.45 A45).

    It and what refers to it belong from now on to the patient that the message names.
    """

    resource_type: Literal["Encounter", "Account"]
    id: str
    patient_id: str
    patient_identifiers: tuple[Resource, ...]


Correction = PatientMerge | PatientLink | RecordMerge | RecordMove
"""What a message says about numbers that were given before."""


@dataclass(frozen=True, slots=True)
class MappingIssue:
    """Something in the message that could not be taken as it stands: where and of what kind, never the value."""

    code: str
    path: str


@dataclass(slots=True)
class Conversion:
    """A message as FHIR: `resources` in dependency order, Patient first.

    `unmapped` counts what was sent and has no map, by path (`PID-10`, `ZPI`); it stays readable in the stored message.
    """

    resources: list[MappedResource]
    merges: list[Correction]
    event_at: datetime | None
    unmapped: dict[str, int]
    issues: list[MappingIssue]
