"""Rules of R4 that a JSON Schema cannot say: reference targets, contained resources, extensions and invariants.

One walk over a resource of known structure. The invariants that are met in most resources are functions here; each
yields what it breaks, and the table at the end says where it applies. All others are FHIRPath (`constraints`). The
names are the standard's (`pat-1`). Issue texts name the rule, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, KeysView
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from healthsync.standards.fhir import constraints, dates, definitions, extensions, narrative, references
from healthsync.standards.fhir.definitions import PRIMITIVES, json_name, resource_types
from healthsync.standards.fhir.outcome import Issue, error
from healthsync.standards.fhir.schema import content_of, elements

Element = dict[str, Any]
Rule = Callable[[Element], Iterator[str]]


def violations(resource: Element, path: str, known_modifiers: Collection[str] = ()) -> list[Issue]:
    """What a structurally valid resource breaks, its contained resources included.

    `known_modifiers` are the urls of modifier extensions that are understood besides those of R4. Resources that a
    Bundle or Parameters carries are containers of their own and not looked at.
    """
    held = frozenset(inner.get("id", "") for inner in resource.get("contained", ()))
    walk = _Walk(resource, resource, held, known_modifiers)
    walk.visit(resource, _Child("", resource["resourceType"], resource["resourceType"]), path)
    for position, inner in enumerate(resource.get("contained", ())):
        walk.resource = inner
        kind = inner["resourceType"]
        walk.visit(inner, _Child("", kind, kind), f"{path}.contained[{position}]")
    if walk.contained:
        walk.issues.extend(_contained_faults(resource, _local_pointers(resource) | walk.pointers, path))
    return walk.issues


def plainly_holds(resource: Element, root: Element, written: bytes) -> bool:
    """Whether `violations` finds nothing in a resource that `screen` accepts, as far as that is seen without a walk.
    `written` is the JSON of `root`, which holds `resource` when that is a contained one."""
    kind = resource["resourceType"]
    plan = _plan(kind)
    for rule in plan.rules:
        for _fault in rule(resource):
            return False
    if plan.has_constraints and any(constraints.broken(kind, resource, kind, resource, root)):
        return False
    if "text" in resource and _narrative_faults(resource["text"], root, resource):
        return False
    return resource is not root or (_periods_hold(written) and _pointers_hold(resource, written))


def _periods_hold(written: bytes) -> bool:
    """Whether each Period is plain, as most are written, and ends behind its start."""
    ends = written.count(b'"end":')
    if not ends:
        return True
    periods = _PLAIN_PERIOD.findall(written)
    if len(periods) != ends:
        return False
    for start, end in set(periods):  # items of a claim have that of the claim
        if (len(start) != len(end) or start > end or start[_CLOCK:] != end[_CLOCK:]) and any(
            _period_in_order({"start": start.decode(), "end": end.decode()})
        ):
            return False
    return True


_PLAIN_PERIOD = re.compile(rb'"start":"([^"\\]*)","end":"([^"\\]*)"')
_CLOCK = len("2019-12-31T20:00:00")
"""Behind it stands the offset: with the same one, texts of one length are in the order of their times."""


def _pointers_hold(resource: Element, written: bytes) -> bool:
    if b'"#' not in written and "contained" not in resource:
        return True
    found = _POINTER.findall(written)
    if len(found) != written.count(b'"#'):  # an escaped one, or a text with a quote in it
        return False
    pointers = {text.decode() for text in found}
    held = {f"#{inner.get('id', '')}" for inner in resource.get("contained", ())}
    return pointers <= held and not any(_contained_faults(resource, pointers, ""))


_POINTER = re.compile(rb'"(#[^"\\]*)"')


# --- the walk -----------------------------------------------------------------------------------------------------


class _Child(NamedTuple):
    """A property that has parts: its element, what these are described by, its type and allowed reference targets."""

    element: str
    content: str
    kind: str
    targets: frozenset[str] = frozenset()
    holder: str = ""

    @property
    def path(self) -> str:
        """As the definitions write it: `Patient.birthDate`."""
        return f"{self.holder}.{self.element}" if self.element else self.content


@dataclass(slots=True)
class _Walk:
    """One pass over a resource: `contained` are the ids it holds, `pointers` the `#id` references met on the way."""

    root: Element
    resource: Element
    contained: frozenset[str]
    known_modifiers: Collection[str]
    issues: list[Issue] = field(default_factory=list)
    pointers: set[str] = field(default_factory=set)

    def visit(self, value: Element, place: _Child, path: _Path) -> None:
        plan = _plan(place.content)
        for rule in plan.rules:
            for sentence in rule(value):
                self.issues.append(error("invariant", sentence, _written(path)))
        if plan.has_constraints:
            self.issues.extend(constraints.broken(place.content, value, _written(path), self.resource, self.root))
        children = plan.children
        if children.keys().isdisjoint(value):
            return
        for name, child in value.items():
            found = children.get(name)
            if found is None:
                continue
            if type(child) is list:
                for position, item in enumerate(child):
                    if item is not None and not _is_quiet(item, found):
                        self.visit_part(item, found, place, (path, found.element, position))
            elif not _is_quiet(child, found):
                self.visit_part(child, found, place, (path, found.element, None))
            if name[0] == "_":
                self.visit_empty(value.get(name[1:]), child, _written((path, found.element, None)))

    def visit_part(self, value: Element, child: _Child, parent: _Child, path: _Path) -> None:
        content = child.content
        if content == "Reference":
            self.visit_reference(value, child.targets, path)
        elif content == "Narrative":
            self.visit_narrative(value, path)
        elif content == "Extension":
            if value.get("url") in definitions.extensions():
                self.issues.extend(extensions.faults(value, parent.path, parent.content, parent.kind, _written(path)))
            if child.element == "modifierExtension":
                self.issues.extend(extensions.unknown_modifier(value, self.known_modifiers, _written(path)))
        if len(value) == 1 and "id" in value and content != "Element":
            self.issues.append(error("invariant", _EMPTY, _written(path)))
        self.visit(value, child, path)

    def visit_narrative(self, value: Element, path: _Path) -> None:
        for sentence in _narrative_faults(value, self.root, self.resource):
            self.issues.append(error("invariant", sentence, _written(path)))

    def visit_empty(self, primitive: Any, extra: Any, path: str) -> None:
        """ele-1 for primitives: an id alone is no value, and a null on both sides is nothing (json.html#primitive)."""
        many = type(extra) is list
        for position, item in enumerate(primitive if many and primitive else ()):
            if item is None and (position >= len(extra) or extra[position] is None):
                self.issues.append(error("structure", "a null needs an extension at its place", f"{path}[{position}]"))
        for position, part in enumerate(extra if many else [extra]):
            if part is not None and len(part) == 1 and "id" in part:
                beside = primitive[position] if many and primitive and position < len(primitive) else primitive
                if beside is None or (many and not primitive):
                    self.issues.append(error("invariant", _EMPTY, f"{path}[{position}]" if many else path))

    def visit_reference(self, value: Element, allowed: frozenset[str], path: _Path) -> None:
        text = value.get("reference", "")
        if text.startswith("#"):
            self.pointers.add(text)
            if len(text) > 1 and text[1:] not in self.contained:
                told = "ref-1: there is no contained resource with this id"
                self.issues.append(error("invariant", told, _written(path)))
        elif allowed:
            told = _wrong_target(text, value.get("type"), allowed)
            if told is not None:
                self.issues.append(error("structure", told, _written(path)))


def _narrative_faults(value: Element, *of: Element) -> list[str]:
    if "div" not in value:
        return []
    of_definition = all(definitions.is_definition(each["resourceType"]) for each in of)
    return narrative.faults(value["div"], of_definition=of_definition)


_EMPTY = "ele-1: an element has a value or children; an id alone is neither"

_Path = str | tuple["_Path", str, int | None]
"""A FHIRPath, or the one above with an element and its place in a list: put into words when something is at fault."""


def _written(path: _Path) -> str:
    if type(path) is str:
        return path
    above, element, position = path
    return f"{_written(above)}.{element}" if position is None else f"{_written(above)}.{element}[{position}]"


class _Plan(NamedTuple):
    """What is done for an element: its rules, its properties that have parts, whether there are FHIRPath invariants."""

    rules: tuple[Rule, ...]
    children: dict[str, _Child]
    has_constraints: bool


@cache
def _plan(content: str) -> _Plan:
    return _Plan(RULES.get(content, ()), _children(content), bool(constraints.of(content)))


def _is_quiet(value: Element, child: _Child) -> bool:
    """Whether there is nothing to look at in a part: no rule for it, and none of its properties has parts."""
    looked_into = _looked_into(child.content)
    return looked_into is not None and len(value) > 1 and looked_into.isdisjoint(value)


@cache
def _looked_into(content: str) -> KeysView[str] | None:
    """The properties that have parts; None when the element itself is looked at whatever it holds."""
    if content in ("Reference", "Narrative", "Extension", "Element"):
        return None
    plan = _plan(content)
    return None if plan.rules or plan.has_constraints else plan.children.keys()


def _children(content: str) -> dict[str, _Child]:
    children: dict[str, _Child] = {}
    for name, facts in elements(content).items():
        element = name.removesuffix("[x]")
        for kind in facts.get("types", ("",)):
            inner = content_of(content, name, facts, kind)
            if kind in PRIMITIVES:
                children[f"_{json_name(name, kind)}"] = _Child(element, "Element", kind, frozenset(), content)
            elif inner != "Resource":
                allowed = frozenset(facts.get("targets", ())) if kind == "Reference" else frozenset()
                children[json_name(name, kind)] = _Child(element, inner, kind or "BackboneElement", allowed, content)
    return children


# --- references ---------------------------------------------------------------------------------------------------


def _wrong_target(text: str, stated: str | None, allowed: frozenset[str]) -> str | None:
    """references.html: the type of a relative or RESTful reference, or its `type`, must be one of those allowed."""
    found = references.parse(text)
    written = found.type or stated
    if written is None or written in allowed:
        return None
    if written in resource_types():
        return f"this reference may not point to {written}; allowed: {', '.join(sorted(allowed))}"
    if found.kind is references.Kind.RELATIVE:
        return "the reference names no resource type of R4"
    return None


def _contained_faults(resource: Element, mentioned: set[str], path: str) -> Iterator[Issue]:
    """dom-2 to dom-5; `mentioned` is every `#id` in the resource. What points back at its container with `#` need not
    be pointed at."""
    ids: set[str] = set()
    for position, inner in enumerate(resource["contained"]):
        place = f"{path}.contained[{position}]"
        if inner.get("id") in ids:  # resource.html#id: unique within the container
            yield error("business-rule", "another contained resource has this id already", f"{place}.id")
        ids.add(inner.get("id", ""))
        if "contained" in inner:
            yield error("invariant", "dom-2: a contained resource may not contain resources", place)
        if {"versionId", "lastUpdated"} & inner.get("meta", {}).keys():
            yield error("invariant", "dom-4: a contained resource has no version and no date of change", place)
        if "security" in inner.get("meta", {}):
            yield error("invariant", "dom-5: a contained resource has no security label", place)
        if f"#{inner.get('id', '')}" not in mentioned and "#" not in _local_pointers(inner):
            yield error("invariant", "dom-3: nothing refers to this contained resource", place)


def _local_pointers(value: Any) -> set[str]:
    """Every `#id` in it: canonicals and uris may point at a contained resource too."""
    found: set[str] = set()
    pending = [value]
    while pending:
        part = pending.pop()
        if type(part) is dict:
            pending += part.values()
        elif type(part) is list:
            pending += part
        elif type(part) is str and part.startswith("#"):
            found.add(part)
    return found


# --- the rules ----------------------------------------------------------------------------------------------------


def _has_choice(value: Element, element: str) -> bool:
    """Does a choice have a value, or what stands for one?"""
    either = (element, f"_{element}")
    return any(name.startswith(either) for name in value)


def _period_in_order(period: Element) -> Iterator[str]:
    if "start" in period and "end" in period:
        start, end = dates.interval(period["start"]), dates.interval(period["end"])
        if start[0] >= end[1]:
            yield "per-1: a period starts before it ends"


def _extension_value(extension: Element) -> Iterator[str]:
    if _has_choice(extension, "value") == ("extension" in extension):
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
    if not _has_choice(observation, "value"):
        return
    if "dataAbsentReason" in observation:
        yield "obs-6: dataAbsentReason is only for an Observation without a value"
    if "component" not in observation:
        return
    codes = _codings(observation["code"])
    if any(codes & _codings(component["code"]) for component in observation["component"]):
        yield "obs-7: when a component has the Observation's own code, the value stands in the component only"


def _codings(concept: Element) -> set[tuple[str | None, str]]:
    return {(coding.get("system"), coding["code"]) for coding in concept.get("coding", ()) if "code" in coding}


def _reference_range(reference_range: Element) -> Iterator[str]:
    if not {"low", "high", "text", "_text"} & reference_range.keys():
        yield "obs-3: a reference range needs low, high or text"


def _organization_name(organization: Element) -> Iterator[str]:
    if not {"identifier", "name", "_name"} & organization.keys():
        yield "org-1: an organization needs a name or an identifier"


def _has(concept: Element | None, system: str, *codes: str) -> bool:
    """Does a concept have one of the codes of a code system of HL7's?"""
    codings = (concept or {}).get("coding", ())
    return any(coding.get("system") == _HL7 + system and coding.get("code") in codes for coding in codings)


def _condition_status(condition: Element) -> Iterator[str]:
    clinical, verification = condition.get("clinicalStatus"), condition.get("verificationStatus")
    abated = _has_choice(condition, "abatement")
    if abated and not _has(clinical, "condition-clinical", "inactive", "resolved", "remission"):
        yield "con-4: an abated condition has the clinicalStatus inactive, resolved or remission"
    if clinical is not None and _has(verification, "condition-ver-status", "entered-in-error"):
        yield "con-5: a condition entered in error has no clinicalStatus"


def _allergy_status(allergy: Element) -> Iterator[str]:
    in_error = _has(allergy.get("verificationStatus"), "allergyintolerance-verification", "entered-in-error")
    if in_error and "clinicalStatus" in allergy:
        yield "ait-2: an allergy entered in error has no clinicalStatus"
    if not in_error and "clinicalStatus" not in allergy:
        yield "ait-1: an allergy needs a clinicalStatus unless it was entered in error"


def _timing_offset(repeat: Element) -> Iterator[str]:
    """The official FHIRPath cannot be evaluated when there are several events."""
    if not {"offset", "_offset"} & repeat.keys():
        return
    events = repeat.get("when", ())
    if not events or {"C", "CM", "CD", "CV"} & set(events):
        yield "tim-9: an offset needs a when, and not one of the meals C, CM, CD, CV"


def _enable_when_exists(condition: Element) -> Iterator[str]:
    """The official FHIRPath asks for a System.Boolean, which no element is."""
    if condition.get("operator") == "exists" and not {"answerBoolean", "_answerBoolean"} & condition.keys():
        yield "que-7: whether an answer exists is compared with a boolean"


_HL7 = "http://terminology.hl7.org/CodeSystem/"

RULES: dict[str, tuple[Rule, ...]] = {
    "AllergyIntolerance": (_allergy_status,),
    "Attachment": (_attachment_type,),
    "Condition": (_condition_status,),
    "ContactPoint": (_contact_point_system,),
    "Extension": (_extension_value,),
    "Observation": (_observation_value,),
    "Observation.referenceRange": (_reference_range,),
    "Organization": (_organization_name,),
    "Patient.contact": (_patient_contact,),
    "Period": (_period_in_order,),
    "Questionnaire.item.enableWhen": (_enable_when_exists,),
    "Timing.repeat": (_timing_offset,),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), (_quantity_system,)),
}
