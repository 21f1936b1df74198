"""FHIR → v2 → FHIR: what a message makes of a patient's resources, what is left of them when it is read again, and what
the documentation says is not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, convert
from healthsync.standards.maps.outbound import Content, Header, build, known_types, references_of, untellable

from .golden_pairs import context

HEADER = Header("CTRL0001", datetime(2024, 3, 1, 12, tzinfo=UTC), sending_facility="HUB")
PAGE = Path(__file__).parents[3] / "docs/messages/outbound.md"

Resource = dict[str, Any]

_ABOUT = {
    "ORU": ("DiagnosticReport", ("ORU^R01",)), "OUL": ("DiagnosticReport", ("ORU^R01",)),
    "ORM": ("ServiceRequest", ("ORM^O01", "OML^O21")), "OML": ("ServiceRequest", ("ORM^O01", "OML^O21")),
    "SIU": ("Appointment", ("SIU^S12",)), "MDM": ("DocumentReference", ("MDM^T02",)),
    "DFT": ("ChargeItem", ("DFT^P03",)), "VXU": ("Immunization", ("VXU^V04",)),
}  # fmt: skip
_OF_AN_ADT = ("Encounter", "Patient", "Observation", "AllergyIntolerance", "Condition", "Coverage", "Procedure")


def contents(message: Message, conversion: Conversion) -> Iterator[tuple[str, Content]]:
    """The messages that would tell what a conversion found, each with what the hub would send along."""
    resources = {m.reference: m.resource for m in conversion.resources if m.type != "Provenance"}
    roots: list[Resource] = []
    types: tuple[str, ...] = ()
    told: dict[str, Resource] = {}
    if message.message_code == "ADT":
        for each in resources.values():
            if each["resourceType"] in _OF_AN_ADT:
                told |= _along(each, resources)
        of_type = {r["resourceType"]: r for r in reversed(told.values())}
        named = f"ADT^{message.trigger}"
        types = (named if named in known_types() and named != "ADT^A40" else "ADT^A08",)
        roots = [] if conversion.merges else [of_type.get("Encounter") or of_type["Patient"]]
    elif message.message_code in _ABOUT:
        kind, types = _ABOUT[message.message_code]
        roots = [r for r in resources.values() if r["resourceType"] == kind]
    for root in roots:
        for message_type in types:
            if untellable(message_type, root) is None:
                yield message_type, Content(root, told or _along(root, resources))


def _along(root: Resource, resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """What the root refers to. Another order or report is no part of a message about this one."""
    found: dict[str, Resource] = {}
    reference = {"reference": f"{root['resourceType']}/{root['id']}"}
    waiting = [root, *(r for r in resources.values() if reference in r.get("context", {}).get("related", ()))]
    while waiting:
        resource = waiting.pop()
        if (name := f"{resource['resourceType']}/{resource['id']}") in found:
            continue
        found[name] = resource
        named = ["/".join(pair) for pair in references_of(_own(resource))]
        if resource["resourceType"] == "Location" and "partOf" in resource:
            named.append(resource["partOf"]["reference"])  # no message needs it, and what is read again has it
        waiting += [resources[name] for name in named if name in resources]
    return found


_TO_OTHERS = {"ServiceRequest": ("basedOn", "replaces"), "Observation": ("derivedFrom",), "Encounter": ("diagnosis",)}


def _own(resource: Resource) -> Resource:
    """Without the references to other orders and results, and what a visit says besides."""
    others = _TO_OTHERS.get(resource["resourceType"], ())
    return {name: value for name, value in resource.items() if name not in others}


def again(message_type: str, content: Content, header: Header = HEADER) -> Conversion:
    """What is read from the message that is written about a content."""
    return convert(Message.parse(build(message_type, content, header)), context())


def carried(message_type: str, content: Content, header: Header = HEADER) -> tuple[Counter[str], Counter[str]]:
    """What is lost and what has come in its place: see `facts`. With the only reference to a resource, the resource is."""
    ids = frozenset(resource["id"] for resource in content.all())
    before = facts(list(content.all()), ids)
    after = facts([m.resource for m in again(message_type, content, header).resources], ids)
    lost, now = before.total - after.total, after.total
    for name in before.of:
        named = f" = {name}"
        if any(fact.endswith(named) for fact in lost) and not any(fact.endswith(named) for fact in now):
            lost -= before.of[name]
    return lost, now - before.total


@dataclass(frozen=True, slots=True)
class Facts:
    """What resources say, together and by their names."""

    of: Mapping[str, Counter[str]]

    @property
    def total(self) -> Counter[str]:
        return sum(self.of.values(), Counter())


def facts(resources: list[Resource], ids: frozenset[str] = frozenset()) -> Facts:
    """What resources say, value by value: references stand for whom they mean, entries are called by their type.

    Left out is what is about the message and not in it: the hub's ids, also where v2 requires a number; who has sent it
    (Provenance, MSH-4), and other organisations that are authorities of numbers; and next of kin, which stand in Patient.contact and once more as a resource of their own.
    """
    told = [r for r in resources if r["resourceType"] not in ("Provenance", "RelatedPerson") and not _is_sender(r)]
    names = {f"{r['resourceType']}/{r['id']}": _name(r, ids) for r in told}
    found: dict[str, Counter[str]] = {}
    for resource in told:
        of_it = found.setdefault(names[f"{resource['resourceType']}/{resource['id']}"], Counter())
        for name, value in resource.items():
            if name not in ("id", "resourceType"):
                of_it.update(_values(f"{resource['resourceType']}.{name}", value, names, ids))
    return Facts(found)


def _is_sender(resource: Resource) -> bool:
    return any(number.get("system") == "urn:ietf:rfc:3986" for number in resource.get("identifier", ()))


def _name(resource: Resource, ids: frozenset[str]) -> str:
    kind = resource["resourceType"]
    if kind in ("Patient", "Specimen", "Binary"):
        return kind
    if kind in ("Observation", "DocumentReference", "Condition"):
        return f"{kind}:{resource.get('code') or resource.get('type')}"
    values = (number.get("value") for number in resource.get("identifier", ()))
    number = next((value for value in values if value and value not in ids), None)
    return f"{kind}:{number or resource.get('name') or resource.get('code')}"


_FIRST_ONLY = ("Practitioner.name",)
"""Entries without a type that v2 says once."""


def _values(path: str, value: Any, names: Mapping[str, str], ids: frozenset[str]) -> Iterator[str]:
    if isinstance(value, list):
        seen: Counter[str] = Counter()
        for inner in value:
            seen[called := _called(inner)] += 1
            if seen[called] > 1:
                called = called.replace("]", f" {seen[called]}]") or ("[further]" if path in _FIRST_ONLY else "")
            yield from _values(path + called, inner, names, ids)
    elif not isinstance(value, dict):
        yield f"{path} = {names.get(value, value) if isinstance(value, str) else value}"
    elif "reference" in value:
        yield f"{path} = {names.get(value['reference'], value['reference'])}"
    elif value.get("value") not in ids:
        for name, inner in value.items():
            if name == "assigner":  # the organisation that an authority is says what the system says
                inner = {"display": inner["display"]} if "display" in inner else {}
            yield from _values(f"{path}.{name}", inner, names, ids)


def _called(entry: Any) -> str:
    """`[ACSN]` for an entry of this type, `[patient-religion]` for an extension."""
    if not isinstance(entry, dict):
        return ""
    if isinstance(entry.get("url"), str) and "contentType" not in entry:
        return f"[{entry['url'].rpartition('/')[2]}]"
    kinds = entry.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    codings = kind.get("coding", ()) if isinstance(kind, dict) else ()
    return "".join(f"[{coding['code']}]" for coding in codings[:1])


@dataclass(frozen=True, slots=True)
class Loss:
    """A line of the documentation: an element that messages do not carry, in some versions, or carry as something else."""

    messages: frozenset[str]
    path: str
    versions: str
    before: str
    after: str

    def covers(self, message: str, version: tuple[int, ...], fact: str, *, lost: bool) -> bool:
        """Whether it says that this may be lost, or come in its place."""
        path, _, value = fact.partition(" = ")
        if message not in self.messages or not self._holds_in(version):
            return False
        if not (path == self.path or path.startswith((f"{self.path}.", f"{self.path}["))):
            return False
        return not self.after or value == (self.before if lost else self.after)

    def _holds_in(self, version: tuple[int, ...]) -> bool:
        word, _, number = self.versions.partition(" ")
        bound = tuple(int(part) for part in number.split(".")) if number else ()
        return not word or (version < bound if word == "before" else version >= bound)


@cache
def losses() -> tuple[Loss, ...]:
    """The table of the page."""
    table = PAGE.read_text(encoding="utf-8").partition("## What v2 does not carry")[2]
    rows = re.findall(r"^\| ([A-Z ,]+) \| (.+?) \|(.*?)\| .+ \|$", table, re.MULTILINE)
    return tuple(
        _loss(messages, text, versions.strip())
        for messages, elements, versions in rows
        for text in elements.split(", ")
    )


def _loss(messages: str, text: str, versions: str) -> Loss:
    match = re.fullmatch(r"`([^`]+)`(?: (\S+) → (\S+))?", text)
    assert match, f"docs/messages/outbound.md: “{text}” names no element"
    return Loss(frozenset(messages.split(", ")), match[1], versions, match[2] or "", match[3] or "")
