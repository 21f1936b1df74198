"""The resources of one message while they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

from healthsync.standards.hl7v2 import Repetition
from healthsync.standards.hl7v2.notation import Notation
from healthsync.standards.hl7v2.text import clean
from healthsync.standards.maps import times
from healthsync.standards.maps.memory import LONGEST, memory_of, read
from healthsync.standards.maps.merging import settle
from healthsync.standards.maps.model import MappedResource, MappingContext, MappingIssue, Resource
from healthsync.standards.maps.systems import authority_system
from healthsync.standards.normalise import Normalised, normalise_date_time

__all__ = ["DEPENDENCY_ORDER", "Draft", "Scribe", "clean", "part"]

DEPENDENCY_ORDER = (
    "Patient", "Organization", "Practitioner", "Location", "PractitionerRole", "Device", "DeviceMetric",
    "RelatedPerson", "Coverage", "Account", "Schedule", "Slot", "Appointment", "Encounter", "CareTeam", "ChargeItem",
    "Procedure", "Goal", "CarePlan", "AllergyIntolerance", "Condition", "Medication", "ServiceRequest",
    "MedicationRequest", "NutritionOrder", "Specimen", "Observation", "MedicationDispense",
    "MedicationAdministration", "Immunization", "DocumentReference", "Binary", "DiagnosticReport", "Provenance",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(DEPENDENCY_ORDER)}

part = Repetition.part
"""A component's text without surrounding blanks; the null `""` inside a repetition says nothing."""


LOOKED_AT = 100
"""So many entries of a list are compared one by one; no message may take time by the square."""


class Draft:
    """A resource in the making; `cleared` and the other marks are those of MappedResource."""

    __slots__ = ("action", "as_of", "cleared", "key", "name", "partial", "resource", "told_again", "unless")

    def __init__(self, resource: Resource, key: str) -> None:
        self.resource = resource
        self.name = f"{resource['resourceType']}/{resource.get('id', '')}"
        self.key = key
        self.cleared: list[str] = []
        self.unless: dict[str, tuple[str, ...]] = {}
        self.partial: tuple[str, ...] = ()
        self.action: Any = "merge"
        self.as_of = ""
        self.told_again = False

    @property
    def reference(self) -> Resource:
        return {"reference": self.name}

    def finished(self) -> MappedResource:
        if self.told_again:
            settle(self.resource)
        cleared = (
            tuple(dict.fromkeys(name for name in self.cleared if name not in self.resource)) if self.cleared else ()
        )
        return MappedResource(self.resource, self.key, cleared, self.unless, self.partial, self.action, self.as_of)


class Scribe:
    """Writes down resources, issues and what has no map.

    `path` is the field in hand (`PID-7`): issues are filed under it.
    """

    __slots__ = (
        "_long_lists",
        "_named",
        "ctx",
        "devices",
        "drafts",
        "issues",
        "memory",
        "path",
        "places",
        "practitioners",
        "source",
        "tested",
        "unmapped",
        "zone",
    )  # fmt: skip

    def __init__(self, ctx: MappingContext, notation: Notation) -> None:
        self.ctx = ctx
        self.source = ctx.source
        self.zone = ctx.timezone
        self.memory = memory_of(ctx.source, ctx.timezone, notation, ctx.authorities)
        self.drafts: dict[tuple[str, str], Draft] = {}
        self.devices: dict[str, Draft] = {}
        """Devices by their number as it was sent: an analyser names itself in each of its results."""
        self.practitioners: dict[str, Draft] = {}
        """Persons as they were sent: the one who orders is told with the order and with its test."""
        self.places: dict[str, Draft] = {}
        """Places as they were sent."""
        self.tested: dict[str, Draft] = {}
        """The last Observation of a test (OBX-3, OBX-4): what came of it may name it."""
        self._named: dict[str, Draft] = {}
        self._long_lists: dict[int, tuple[list[Any], set[str]]] = {}
        self.unmapped: Counter[str] = Counter()
        self.issues: list[MappingIssue] = []
        self.path = ""

    def authority(self, namespace: str, universal_id: str) -> str:
        """The Identifier.system of an assigning authority."""
        return authority_system(namespace, universal_id, self.source, self.ctx.authorities)

    def draft(self, resource_type: str, key: str) -> Draft:
        """The resource of this type and key: begun now, or the one begun earlier in this message."""
        draft = self.drafts.get((resource_type, key))
        if draft is None:
            resource = {"resourceType": resource_type, "id": self.ctx.resource_id(resource_type, key)}
            draft = self.drafts[resource_type, key] = Draft(resource, key)
            self._named[draft.name] = draft
        else:
            draft.told_again = True
        return draft

    def draft_of(self, reference: Resource) -> Draft:
        """The resource in the making that a reference of this message names."""
        return self._named[reference["reference"]]

    def known(self, resource_type: str, key: str) -> bool:
        return (resource_type, key) in self.drafts

    def referred(self, reference: Resource) -> Draft | None:
        """The resource of this message that a reference leads to."""
        return self._named.get(reference.get("reference", ""))

    def add_once(self, entries: list[Any], entry: Any) -> None:
        """Add what is not there yet; to a long list by its text."""
        if len(entries) < LOOKED_AT:
            if entry not in entries:
                entries.append(entry)
            return
        if id(entries) not in self._long_lists:
            self._long_lists[id(entries)] = entries, set(map(repr, entries))
        told = self._long_lists[id(entries)][1]
        if (text := repr(entry)) not in told:
            told.add(text)
            entries.append(entry)

    def issue(self, code: str, path: str | None = None) -> None:
        self.issues.append(MappingIssue(code, path or self.path))

    def recurring(self, kind: str, text: str, make: Callable[[], Any]) -> Any:
        """What is made of a text of this kind, and of nothing else: not None. From memory where it was made before."""
        if (known := self.memory.get((kind, text))) is not None:
            return read(known)
        return self.remembered((kind, text), make) if len(text) <= LONGEST else make()

    def remembered(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is made now; kept for the next time unless there was something to report."""
        reported = len(self.issues), self.unmapped.total()
        made = make()
        if reported == (len(self.issues), self.unmapped.total()):
            self.memory.keep(key, made)
        return made

    def date_time(self, text: str) -> str | None:
        """FHIR dateTime; what is no date is left out and reported, a date in another form than v2's only reported."""
        shown = times.date_time(text, self.zone)
        if shown is None and text:
            order, today = self.ctx.conventions.date_order, self.ctx.received_at.date()
            shown = self.respelled(normalise_date_time(text, zone=self.zone, order=order, today=today))
        return shown

    def respelled(self, date: Normalised[str]) -> str | None:
        """What a date in another form means; the day only where there is no doubt."""
        known = {"ambiguous-date", "future-date"}
        self.issue("date-respelled" if date.value else date.problem if date.problem in known else "invalid-date")
        return date.value

    def resources(self) -> list[MappedResource]:
        drafts = sorted(self.drafts.values(), key=lambda draft: _RANK[draft.resource["resourceType"]])
        return [draft.finished() for draft in drafts]
