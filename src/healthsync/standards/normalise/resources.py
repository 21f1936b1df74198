"""Names, telephone numbers and addresses of FHIR resources in normal form, what was sent beside each.

The original is the extension `originalText` of the element that was changed. What has no normal form stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from healthsync.standards.normalise.addresses import normalise_address
from healthsync.standards.normalise.contacts import normalise_email, normalise_phone
from healthsync.standards.normalise.conventions import Conventions
from healthsync.standards.normalise.names import PersonName, normalised_parts, parse_name

ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/contactpoint-extension"
Element = dict[str, Any]


def normalised_resource(resource: Element, conventions: Conventions) -> Element:
    """The resource as the conventions with its source ask; the same object when nothing is to change."""
    if not conventions.changes_resources:
        return resource
    result = _with(resource, conventions)
    if contacts := resource.get("contact"):
        made = [_with(contact, conventions) for contact in contacts]
        if any(new is not old for new, old in zip(made, contacts, strict=True)):
            result = {**result, "contact": made}
    return result


def _with(element: Element, conventions: Conventions) -> Element:
    steps: list[tuple[bool, str, Callable[[Element], Element]]] = [
        (conventions.names, "name", _name),
        (conventions.phones, "telecom", lambda point: _contact_point(point, conventions.country)),
        (conventions.addresses, "address", lambda place: _address(place, conventions.country)),
    ]
    result = element
    for wanted, name, change in steps:
        value = element.get(name) if wanted else None
        if isinstance(value, dict):
            made: Any = change(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            made = [change(one) for one in value]
        else:
            continue  # the name of an organisation is text
        if made != value:
            result = {**result, name: made}
    return result


def _name(name: Element) -> Element:
    """A name in parts in title case; one that stands whole in the family name (`SMITH, JOHN`) in its parts."""
    family, given = name.get("family", ""), tuple(name.get("given", ()))
    if not family and not given:
        return name
    if family and not given and "," in family:
        parsed = parse_name(family).value or PersonName(family)
        parts = PersonName(parsed.family, parsed.given, (*name.get("prefix", ()), *parsed.prefix),
                           (*parsed.suffix, *name.get("suffix", ())))  # fmt: skip
    else:
        parts = normalised_parts(
            PersonName(family, given, tuple(name.get("prefix", ())), tuple(name.get("suffix", ())))
        )
    changed = {**name, **parts.human_name()}
    said = " ".join(
        text for text in (", ".join(filter(None, (family, " ".join(given)))), *name.get("suffix", ())) if text
    )
    return _marked(name, changed, said)


def _contact_point(point: Element, country: str) -> Element:
    value = point.get("value", "")
    if point.get("system") == "email":
        mail = normalise_email(value)
        return _marked(point, {**point, "value": mail.value}, value) if mail.value else point
    if point.get("system") not in {"phone", "fax", "sms", "pager"}:
        return point
    phone = normalise_phone(value, country).value
    if phone is None:
        return point
    changed = {**point, "value": phone.number}
    if phone.extension:
        changed["extension"] = [*point.get("extension", ()), {"url": EXTENSION, "valueString": phone.extension}]
    return _marked(point, changed, value)


def _address(place: Element, country: str) -> Element:
    parts = [str(place.get(name, "")) for name in ("city", "state", "postalCode", "country")]
    found = normalise_address(place.get("line", ()), *parts, default_country=country)
    if found.value is None:
        return place
    made = found.value
    values = {"line": list(made.lines), "city": made.city, "state": made.state, "postalCode": made.postal_code,
              "country": made.country}  # fmt: skip
    changed = {**place, **{name: value for name, value in values.items() if value}}
    return _marked(place, changed, found.original)


def _marked(sent: Element, changed: Element, original: str) -> Element:
    """The changed element with what was sent; the element itself when nothing has changed."""
    if changed == sent:
        return sent
    kept = [one for one in changed.get("extension", ()) if one.get("url") != ORIGINAL_TEXT]
    before = next((one for one in sent.get("extension", ()) if one.get("url") == ORIGINAL_TEXT), None)
    return {**changed, "extension": [*kept, before or {"url": ORIGINAL_TEXT, "valueString": original}]}
