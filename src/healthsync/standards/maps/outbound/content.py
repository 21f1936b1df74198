"""What a message is about: one resource, and the resources that it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthsync.standards.maps.model import Resource

_COMES_ALONG = frozenset(
    """Account Binary Condition Device Encounter Location Observation Organization Patient Practitioner PractitionerRole
    ServiceRequest Specimen""".split()  # noqa: SIM905
)
"""Types that messages are written from; other references are left alone, but for a document's to the one before it."""


@dataclass(frozen=True, slots=True)
class Content:
    """The root of a message and what came along, by `Type/id`. `retired` is the patient that a merge gave up."""

    root: Resource
    others: Mapping[str, Resource] = field(default_factory=dict)
    changed: str = "INSERT"
    """What happened to the root: INSERT or UPDATE."""
    occurred_at: datetime | None = None
    retired: Resource | None = None

    def resolve(self, reference: Mapping[str, Any], resource_type: str) -> Resource | None:
        """The resource of this type that a Reference means: one that came along, a contained one, or what the
        Reference says of it itself (identifier, display)."""
        text = reference.get("reference")
        if isinstance(text, str):
            if (found := self._at(text)) is not None:
                return self._as_type(found, resource_type)
            if text.partition("/")[0] != resource_type:
                return None
        elif reference.get("type", resource_type) != resource_type:
            return None
        return _told(reference, resource_type)

    def _at(self, text: str) -> Resource | None:
        if text.startswith("#"):
            contained = (c for each in self.all() for c in each.get("contained", ()))
            return next((each for each in contained if each.get("id") == text[1:]), None)
        return self.others.get(text) or (self.root if text == _name(self.root) else None)

    def _as_type(self, found: Resource, resource_type: str) -> Resource | None:
        """A PractitionerRole stands for the practitioner or organisation that it names."""
        if found["resourceType"] == "PractitionerRole" and resource_type in ("Practitioner", "Organization"):
            named = found.get(resource_type.lower())
            return self.resolve(named, resource_type) if named else None
        return found if found["resourceType"] == resource_type else None

    def all(self) -> Iterator[Resource]:
        """The root, then the others."""
        yield self.root
        yield from (each for name, each in self.others.items() if name != _name(self.root))

    def of_type(self, resource_type: str) -> list[Resource]:
        """All resources of a type."""
        return [each for each in self.all() if each["resourceType"] == resource_type]

    @property
    def patient(self) -> Resource | None:
        """Whom the message is about."""
        if self.root["resourceType"] == "Patient":
            return self.root
        for name in ("subject", "patient", "beneficiary"):
            if name in self.root:
                return self.resolve(self.root[name], "Patient")
        actors = (entry.get("actor", {}) for entry in self.root.get("participant", ()))
        return next((found for actor in actors if (found := self.resolve(actor, "Patient"))), None)

    @property
    def visit(self) -> Resource | None:
        """The encounter that it belongs to."""
        if self.root["resourceType"] == "Encounter":
            return self.root
        context = self.root.get("context", {})
        named = [self.root.get("encounter"), *(context.get("encounter") or [] if isinstance(context, dict) else ())]
        named.append(context if isinstance(context, dict) and "reference" in context else None)
        return next((found for each in named if each and (found := self.resolve(each, "Encounter"))), None)


def references_of(resource: Resource) -> list[tuple[str, str]]:
    """(type, id) of what a message about this resource is written from, in the order in which it is named."""
    found: dict[tuple[str, str], None] = {}
    for text in _texts(resource):
        resource_type, _, id_ = text.partition("/")
        comes = resource_type in _COMES_ALONG or resource_type == resource["resourceType"] == "DocumentReference"
        if comes and id_ and "/" not in id_:
            found[resource_type, id_] = None
    return list(found)


_TOLD_WITHOUT = frozenset({"assigner", "partOf"})
"""Elements whose references no message needs: a number tells its authority, a place its whole path."""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        elif isinstance(value.get("url"), str) and "contentType" in value:
            yield value["url"]  # an Attachment that lies in a Binary
        for name, inner in value.items():
            if name not in _TOLD_WITHOUT:
                yield from _texts(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _texts(inner)


def _name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource.get('id')}"


def _told(reference: Mapping[str, Any], resource_type: str) -> Resource | None:
    number, display = reference.get("identifier"), reference.get("display")
    if not number and not display:
        return None
    told: Resource = {"resourceType": resource_type}
    if number:
        told["identifier"] = [number]
    if display:
        told["name"] = _named(display) if resource_type == "Practitioner" else display
    return told


def _named(display: str) -> list[Resource]:
    family, comma, given = display.partition(",")
    return [{"family": family.strip(), "given": [given.strip()]}] if comma else [{"family": display}]
