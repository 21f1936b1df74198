"""Rules of R4 that a JSON Schema cannot say: reference targets and the invariants that are met most often.

Each rule is a function of an element of known structure that yields what it breaks; the table at the end says where it
applies. The names are the standard's (`pat-1`). Issue texts name the rule, never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from healthsync.standards.fhir import dates, narrative, references
from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, resource_types
from healthsync.standards.fhir.outcome import Issue, error
from healthsync.standards.fhir.schema import content_of, elements

Element = dict[str, Any]
Rule = Callable[[Element], Iterator[str]]


def violations(resource: Element, path: str) -> list[Issue]:
    """What a structurally valid resource breaks, its contained resources included.

    Resources that a Bundle or Parameters carries are containers of their own and not looked at.
    """
    walk = _Walk(frozenset(inner.get("id", "") for inner in resource.get("contained", ())))
    walk.visit(resource, resource["resourceType"], path)
    for position, inner in enumerate(resource.get("contained", ())):
        walk.visit(inner, inner["resourceType"], f"{path}.contained[{position}]")
    if walk.contained:
        walk.issues.extend(_contained_faults(resource, walk.pointers, path))
    return walk.issues


# --- the walk -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    """One pass over a resource: `contained` are the ids it holds, `pointers` the `#id` references met on the way."""

    contained: frozenset[str]
    issues: list[Issue] = field(default_factory=list)
    pointers: set[str] = field(default_factory=set)

    def visit(self, value: Element, content: str, path: str) -> None:
        for rule in _RULES.get(content, ()):
            self.issues.extend([error("invariant", sentence, path) for sentence in rule(value)])
        children = _children(content)
        for name, child in value.items():
            found = children.get(name)
            if found is None:
                continue
            label, inner, allowed = found
            if type(child) is list:
                for position, item in enumerate(child):
                    if item is not None:
                        self.visit_part(item, inner, allowed, f"{path}.{label}[{position}]")
            else:
                self.visit_part(child, inner, allowed, f"{path}.{label}")

    def visit_part(self, value: Element, content: str, allowed: frozenset[str], path: str) -> None:
        if content == "Reference":
            self.visit_reference(value, allowed, path)
        self.visit(value, content, path)

    def visit_reference(self, value: Element, allowed: frozenset[str], path: str) -> None:
        text = value.get("reference", "")
        if text.startswith("#"):
            self.pointers.add(text)
            if len(text) > 1 and text[1:] not in self.contained:
                self.issues.append(error("invariant", "ref-1: there is no contained resource with this id", path))
        elif allowed:
            self.issues.extend(_wrong_target(text, value.get("type"), allowed, path))


@cache
def _children(content: str) -> dict[str, tuple[str, str, frozenset[str]]]:
    """Property -> (element, content, allowed reference targets) for the parts that have parts themselves."""
    children: dict[str, tuple[str, str, frozenset[str]]] = {}
    for name, facts in elements(content).items():
        element = name.removesuffix("[x]")
        for kind in facts.get("types", ("",)):
            inner = content_of(content, name, facts, kind)
            if kind in PRIMITIVES:
                children[f"_{json_name(name, kind)}"] = (element, "Element", frozenset())
            elif inner != "Resource":
                allowed = frozenset(facts.get("targets", ())) if kind == "Reference" else frozenset()
                children[json_name(name, kind)] = (element, inner, allowed)
    return children


# --- references ---------------------------------------------------------------------------------------------------


def _wrong_target(text: str, stated: str | None, allowed: frozenset[str], path: str) -> Iterator[Issue]:
    """references.html: the type of a relative or RESTful reference, or its `type`, must be one of those allowed."""
    found = references.parse(text)
    written = found.type or stated
    if written is None or written in allowed:
        return
    if written in resource_types():
        listed = ", ".join(sorted(allowed))
        yield error("structure", f"this reference may not point to {written}; allowed: {listed}", path)
    elif found.kind is references.Kind.RELATIVE:
        yield error("structure", "the reference names no resource type of R4", path)


def _contained_faults(resource: Element, pointers: set[str], path: str) -> Iterator[Issue]:
    """dom-2 to dom-5. A contained resource that points back at its container with `#` need not be pointed at."""
    for position, inner in enumerate(resource["contained"]):
        place = f"{path}.contained[{position}]"
        if "contained" in inner:
            yield error("invariant", "dom-2: a contained resource may not contain resources", place)
        if {"versionId", "lastUpdated"} & inner.get("meta", {}).keys():
            yield error("invariant", "dom-4: a contained resource has no version and no date of change", place)
        if "security" in inner.get("meta", {}):
            yield error("invariant", "dom-5: a contained resource has no security label", place)
        pointer = f"#{inner.get('id', '')}"
        if pointer not in pointers and not _mentions(inner, "#") and not _mentions(resource, pointer):
            yield error("invariant", "dom-3: nothing refers to this contained resource", place)


def _mentions(value: Any, pointer: str) -> bool:
    """Does the text occur anywhere? Canonicals and uris may point at a contained resource too."""
    if type(value) is dict:
        return any(_mentions(child, pointer) for child in value.values())
    if type(value) is list:
        return any(_mentions(child, pointer) for child in value)
    return value == pointer


# --- the rules ----------------------------------------------------------------------------------------------------


def _safe_narrative(text: Element) -> Iterator[str]:
    return iter(narrative.faults(text["div"]) if "div" in text else ())


def _period_in_order(period: Element) -> Iterator[str]:
    if "start" in period and "end" in period:
        start, end = dates.interval(period["start"]), dates.interval(period["end"])
        if start[0] >= end[1]:
            yield "per-1: a period starts before it ends"


def _extension_value(extension: Element) -> Iterator[str]:
    has_value = any(name.lstrip("_").startswith("value") for name in extension)
    if has_value == ("extension" in extension):
        yield "ext-1: an extension has either a value or extensions"


def _contact_point_system(contact: Element) -> Iterator[str]:
    if "value" in contact and "system" not in contact and "_system" not in contact:
        yield "cpt-2: a contact value needs its system"


def _quantity_system(quantity: Element) -> Iterator[str]:
    if "code" in quantity and "system" not in quantity and "_system" not in quantity:
        yield "qty-3: a coded unit needs its system"


def _attachment_type(attachment: Element) -> Iterator[str]:
    if "data" in attachment and "contentType" not in attachment and "_contentType" not in attachment:
        yield "att-1: an attachment with data needs its contentType"


def _patient_contact(contact: Element) -> Iterator[str]:
    if not {"name", "telecom", "address", "organization"} & contact.keys():
        yield "pat-1: a contact needs a name, a telecom, an address or an organization"


def _observation_value(observation: Element) -> Iterator[str]:
    has_value = any(name.lstrip("_").startswith("value") for name in observation)
    if not has_value:
        return
    if "dataAbsentReason" in observation:
        yield "obs-6: dataAbsentReason is only for an Observation without a value"
    codes = _codings(observation["code"])
    if codes and any(codes & _codings(component["code"]) for component in observation.get("component", ())):
        yield "obs-7: when a component has the Observation's own code, the value stands in the component only"


def _codings(concept: Element) -> set[tuple[str | None, str]]:
    return {(coding.get("system"), coding["code"]) for coding in concept.get("coding", ()) if "code" in coding}


def _reference_range(reference_range: Element) -> Iterator[str]:
    if not {"low", "high", "text", "_text"} & reference_range.keys():
        yield "obs-3: a reference range needs low, high or text"


def _organization_name(organization: Element) -> Iterator[str]:
    if not {"identifier", "name", "_name"} & organization.keys():
        yield "org-1: an organization needs a name or an identifier"


def _condition_status(condition: Element) -> Iterator[str]:
    clinical = {code for _, code in _codings(condition.get("clinicalStatus", {}))}
    verification = {code for _, code in _codings(condition.get("verificationStatus", {}))}
    abated = any(name.lstrip("_").startswith("abatement") for name in condition)
    if abated and not clinical & {"inactive", "resolved", "remission"} and clinical:
        yield "con-4: an abated condition is inactive, resolved or in remission"
    if "entered-in-error" in verification and "clinicalStatus" in condition:
        yield "con-5: a condition entered in error has no clinicalStatus"


def _allergy_status(allergy: Element) -> Iterator[str]:
    in_error = "entered-in-error" in {code for _, code in _codings(allergy.get("verificationStatus", {}))}
    if in_error and "clinicalStatus" in allergy:
        yield "ait-2: an allergy entered in error has no clinicalStatus"
    if not in_error and "clinicalStatus" not in allergy:
        yield "ait-1: an allergy needs a clinicalStatus unless it was entered in error"


_RULES: dict[str, tuple[Rule, ...]] = {
    "AllergyIntolerance": (_allergy_status,),
    "Attachment": (_attachment_type,),
    "Condition": (_condition_status,),
    "ContactPoint": (_contact_point_system,),
    "Extension": (_extension_value,),
    "Narrative": (_safe_narrative,),
    "Observation": (_observation_value,),
    "Observation.referenceRange": (_reference_range,),
    "Organization": (_organization_name,),
    "Patient.contact": (_patient_contact,),
    "Period": (_period_in_order,),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), (_quantity_system,)),
}
