"""FHIR → v2 → FHIR: what a message makes of a patient's resources, and what is left of them when it is read again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import Conversion, convert
from healthsync.standards.maps.outbound import Content, Header, build, known_types

from .golden_pairs import context

HEADER = Header("CTRL0001", datetime(2024, 3, 1, 12, tzinfo=UTC), sending_facility="HUB")


def contents(message: Message, conversion: Conversion) -> Iterator[tuple[str, Content]]:
    """The messages that would tell what a conversion found: one for the visit or person, or one for each report."""
    resources = {m.reference: m.resource for m in conversion.resources if m.type != "Provenance"}
    of_type = [m.resource for m in conversion.resources]
    if message.message_code == "ORU":
        yield from (("ORU^R01", Content(r, resources)) for r in of_type if r["resourceType"] == "DiagnosticReport")
        return
    if message.message_code != "ADT":
        return
    named = f"{message.message_code}^{message.trigger}"
    root = next((r for r in of_type if r["resourceType"] == "Encounter"), None)
    root = root or next(r for r in of_type if r["resourceType"] == "Patient")
    sent = named if named in known_types() and named != "ADT^A40" else "ADT^A08"
    yield sent, Content(root, resources)


def again(message_type: str, content: Content, header: Header = HEADER) -> Conversion:
    """What is read from the message that is written about a content."""
    return convert(Message.parse(build(message_type, content, header)), context())


def facts(resources: list[dict[str, Any]]) -> Counter[str]:
    """What resources say, value by value, without the hub's ids: references stand for whom they mean."""
    names = {f"{r['resourceType']}/{r['id']}": _name(r) for r in resources}
    found: Counter[str] = Counter()
    for resource in resources:
        here = resource["resourceType"]
        for name, value in resource.items():
            if name not in ("id", "resourceType"):
                found.update(_values(f"{here}.{name}", value, names))
    return found


def _name(resource: dict[str, Any]) -> str:
    number = next(iter(resource.get("identifier", [])), {})
    return f"{resource['resourceType']}:{number.get('value') or resource.get('name') or resource.get('code')}"


def _values(path: str, value: Any, names: dict[str, str]) -> Iterator[str]:
    if isinstance(value, dict):
        if "reference" in value:
            yield f"{path} = {names.get(value['reference'], value['reference'])}"
            return
        for name, inner in value.items():
            yield from _values(f"{path}.{name}", inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(path, inner, names)
    else:
        yield f"{path} = {value}"
