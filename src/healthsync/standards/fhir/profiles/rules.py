"""StructureDefinition -> a tree of rules: what a profile demands beyond the type that it constrains (profiling.html).

A snapshot is taken as it stands. A differential without one is laid over the rules of its base profile; a base that is
a type of R4 demands nothing here, since `validate.structure` has looked at that already.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import fhirpath
from healthsync.standards.fhir.definitions import invariants, json_name, structures
from healthsync.standards.fhir.fhirpath.evaluation import Evaluate
from healthsync.standards.fhir.profiles.library import STRUCTURE_DEFINITION, Library
from healthsync.standards.fhir.schema import content_of, elements

DEEPEST = 20
"""Profiles that may build on each other in a chain, and elements that may lie within each other."""

MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule in FHIRPath; `holds` is None when the expression cannot be compiled here."""

    key: str
    severity: str
    sentence: str
    holds: Evaluate | None


@dataclass(frozen=True, slots=True)
class Slicing:
    """How the repetitions of an element are told apart (profiling.html#slicing)."""

    discriminators: tuple[tuple[str, str], ...]
    is_closed: bool
    is_open_at_end: bool
    is_ordered: bool


@dataclass(slots=True)
class Rule:
    """What is demanded of one element, or of one slice of it.

    `types` are FHIR type names (empty: any); `profiles` those that the value conforms to; `targets` those of
    references; `fixed` and `pattern` hold a list of one value, so that a JSON null is no question.
    """

    id: str
    name: str
    slice: str = ""
    min: int = 0
    max: int = MANY
    types: frozenset[str] = frozenset()
    profiles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    fixed: list[Any] = field(default_factory=list)
    pattern: list[Any] = field(default_factory=list)
    binding: tuple[str, str] | None = None
    least: list[Any] = field(default_factory=list)
    greatest: list[Any] = field(default_factory=list)
    longest: int | None = None
    invariants: tuple[Invariant, ...] = ()
    slicing: Slicing | None = None
    slices: list[Rule] = field(default_factory=list)
    children: list[Rule] = field(default_factory=list)

    @property
    def is_idle(self) -> bool:
        """Whether it demands nothing at all."""
        demands = (self.profiles, self.fixed, self.pattern, self.least, self.greatest, self.invariants)
        return not (
            self.min
            or self.max != MANY
            or self.types
            or self.targets
            or self.binding
            or self.longest is not None
            or self.slices
            or self.children
            or (self.slicing and self.slicing.is_closed)
            or any(demands)
        )

    def child(self, name: str) -> Rule | None:
        """The rule of a child element."""
        return next((rule for rule in self.children if rule.name == name), None)


def tree(library: Library, definition: dict[str, Any]) -> Rule:
    """The rules of a profile. Raises InvalidInput when a base is not loaded or bases lead in a circle."""
    by_id = _elements(library, definition, 0)
    if not by_id:
        raise InvalidInput("the profile has neither a snapshot nor a differential", code="required")
    if any(id_.count(".") > DEEPEST for id_ in by_id):
        raise InvalidInput(f"an element lies more than {DEEPEST} steps deep", code="too-costly")
    kind = definition["type"]  # a differential may leave out the element of the type itself
    return _reduced(_nested({kind: {"path": kind}, **by_id}), kind, inside_slice=False)


# --- from profile and base to one list of elements ----------------------------------------------------------------


def _elements(library: Library, definition: dict[str, Any], depth: int) -> dict[str, dict[str, Any]]:
    """Element id -> ElementDefinition."""
    if depth > DEEPEST:
        raise InvalidInput("the base profiles lead in a circle", code="processing")
    snapshot = definition.get("snapshot", {}).get("element")
    if snapshot:
        return _by_id(snapshot)
    base = definition.get("baseDefinition", "")
    inherited: dict[str, dict[str, Any]] = {}
    if base.partition("|")[0].removeprefix(STRUCTURE_DEFINITION) not in structures():
        parent = library.structure(base)
        if parent is None:
            raise InvalidInput(f"the profile builds on {base}, which is not loaded", code="not-found")
        inherited = _elements(library, parent, depth + 1)
    merged = dict(inherited)
    for id_, element in _by_id(definition.get("differential", {}).get("element", ())).items():
        merged[id_] = _overlaid(merged.get(id_, {}), element)
    return merged


def _overlaid(base: dict[str, Any], element: dict[str, Any]) -> dict[str, Any]:
    rules = [*base.get("constraint", ()), *element.get("constraint", ())]
    return {**base, **element, **({"constraint": rules} if rules else {})}


def _by_id(listed: Any) -> dict[str, dict[str, Any]]:
    """By the id that the element has, or would have (elementdefinition.html#id)."""
    found: dict[str, dict[str, Any]] = {}
    open_slices: dict[str, str] = {}
    for element in listed:
        id_ = element.get("id") or _id_of(element, open_slices)
        found[_canonical_id(id_)] = element
    return found


def _id_of(element: dict[str, Any], open_slices: dict[str, str]) -> str:
    parts, path = [], ""
    steps = element["path"].split(".")
    for position, step in enumerate(steps):
        path = f"{path}.{step}" if path else step
        is_last = position == len(steps) - 1
        if is_last:
            for known in [known for known in open_slices if known == path or known.startswith(f"{path}.")]:
                del open_slices[known]
            if "sliceName" in element:
                open_slices[path] = element["sliceName"]
        parts.append(f"{step}:{open_slices[path]}" if path in open_slices else step)
    return ".".join(parts)


def _canonical_id(id_: str) -> str:
    """`Observation.valueQuantity.code` is short for `Observation.value[x]:valueQuantity.code`."""
    parts = id_.split(".")
    for position, part in enumerate(parts[1:], 1):
        name, _, slice_name = part.partition(":")
        if not slice_name and (choice := _choices().get(name)) and not _is_element(parts[:position], name):
            parts[position] = f"{choice}:{name}"
    return ".".join(parts)


def _is_element(above: list[str], name: str) -> bool:
    """Whether an element with this very name exists there (`valueSet` is not the `value[x]` of a ValueSet)."""
    content = _content_at(above)
    return content is None or name in elements(content) or f"{name}[x]" in elements(content)


def _content_at(parts: list[str]) -> str | None:
    content: str | None = parts[0]
    for part in parts[1:]:
        name, _, slice_name = part.partition(":")
        content = _inner(content, name, frozenset(), slice_name)
    return content


def _inner(content: str | None, name: str, types: frozenset[str], slice_name: str = "") -> str | None:
    """What describes the parts of an element; None where a profile leaves it open."""
    if content is None or content.partition(".")[0] not in structures():
        return None
    facts = elements(content).get(name)
    if facts is None:
        return None
    kinds = facts.get("types", [""])
    chosen = (
        [kind for kind in kinds if json_name(name, kind) == slice_name] or [k for k in kinds if k in types] or kinds
    )
    if len(chosen) != 1:
        return None
    inner = content_of(content, name, facts, chosen[0])
    return inner if inner.partition(".")[0] in structures() and inner != "Resource" else None


@cache
def _choices() -> dict[str, str]:
    """valueQuantity -> value[x]."""
    return {
        json_name(name, kind): name
        for facts in structures().values()
        for content in facts["elements"].values()
        for name, element in content.items()
        if name.endswith("[x]")
        for kind in element["types"]
    }


# --- from elements to rules ---------------------------------------------------------------------------------------


def _nested(by_id: dict[str, dict[str, Any]]) -> Rule:
    root: Rule | None = None
    rules: dict[str, Rule] = {}
    for id_, element in by_id.items():
        above, _, last = id_.rpartition(".")
        name, _, slice_name = last.partition(":")
        rule = _rule(id_, name, slice_name, element)
        rules[id_] = rule
        if root is None:
            root = rule
        elif slice_name:
            plain = rules.get(f"{above}.{name}") or _implied(rules, above, name)
            plain.slices.append(rule)
        else:
            _parent(rules, above).children.append(rule)
    assert root is not None
    return root


def _implied(rules: dict[str, Rule], above: str, name: str) -> Rule:
    """A slice may be written without the element that it is a slice of."""
    rule = rules[f"{above}.{name}"] = Rule(f"{above}.{name}", name.removesuffix("[x]"))
    _parent(rules, above).children.append(rule)
    return rule


def _parent(rules: dict[str, Rule], id_: str) -> Rule:
    if id_ not in rules:
        above, _, last = id_.rpartition(".")
        name, _, slice_name = last.partition(":")
        rules[id_] = Rule(id_, name.removesuffix("[x]"), slice_name)
        if above and slice_name:
            (rules.get(f"{above}.{name}") or _implied(rules, above, name)).slices.append(rules[id_])
        elif above:
            _parent(rules, above).children.append(rules[id_])
    return rules[id_]


def _rule(id_: str, name: str, slice_name: str, element: dict[str, Any]) -> Rule:
    kinds = [
        kind for kind in element.get("type", ()) if not kind.get("code", "").startswith("http://hl7.org/fhirpath/")
    ]
    codes = [kind["code"] for kind in kinds if "code" in kind]
    binding = element.get("binding", {})
    is_checked = binding.get("strength") in {"required", "extensible"} and "valueSet" in binding
    return Rule(
        id=id_,
        name=name.removesuffix("[x]"),
        slice=slice_name,
        min=element.get("min", 0),
        max=MANY if element.get("max", "*") == "*" else int(element["max"]),
        types=frozenset(codes) if name.endswith("[x]") or codes == ["Resource"] else frozenset(),
        profiles={kind["code"]: tuple(kind["profile"]) for kind in kinds if kind.get("profile")},
        targets=tuple(url for kind in kinds if kind["code"] == "Reference" for url in kind.get("targetProfile", ())),
        fixed=[value for key, value in element.items() if key.startswith("fixed")],
        pattern=[value for key, value in element.items() if key.startswith("pattern")],
        binding=(binding["strength"], binding["valueSet"]) if is_checked else None,
        least=[value for key, value in element.items() if key.startswith("minValue")],
        greatest=[value for key, value in element.items() if key.startswith("maxValue")],
        longest=element.get("maxLength"),
        invariants=tuple(_invariant(rule) for rule in element.get("constraint", ()) if rule["key"] not in _core_keys()),
        slicing=_slicing(element["slicing"]) if "slicing" in element else None,
    )


def _slicing(facts: dict[str, Any]) -> Slicing:
    return Slicing(
        tuple((found["type"], found["path"]) for found in facts.get("discriminator", ())),
        facts.get("rules") == "closed",
        facts.get("rules") == "openAtEnd",
        facts.get("ordered") is True,
    )


def _invariant(facts: dict[str, Any]) -> Invariant:
    try:
        holds = fhirpath.nodes(facts["expression"])
    except (InvalidInput, KeyError):  # a constraint may be written in XPath only
        holds = None
    return Invariant(facts["key"], facts.get("severity", "error"), facts.get("human", "").strip().rstrip("."), holds)


@cache
def _core_keys() -> frozenset[str]:
    """The invariants that every resource has been held to already, and those of R4 that are only advice."""
    own = {key for places in invariants().values() for rules in places.values() for key, _, _ in rules}
    return frozenset(own | {"dom-6"})


# --- what the type demands anyway ---------------------------------------------------------------------------------


def _reduced(rule: Rule, content: str | None, *, inside_slice: bool) -> Rule:
    """Without what R4 demands of the type itself, and without branches that then demand nothing.

    In a slice nothing is left out of what tells slices apart, so that children keep what they say.
    """
    children = []
    for child in rule.children:
        reduced = _reduced_child(child, content, inside_slice=inside_slice)
        if not reduced.is_idle:
            children.append(reduced)
    return replace(rule, children=children)


def _reduced_child(rule: Rule, content: str | None, *, inside_slice: bool) -> Rule:
    facts = _facts(content, rule.name)
    inner = _inner(content, rule.name if facts is None else facts[0], rule.types, rule.slice)
    slices = [_reduced(found, _slice_content(content, rule, found, facts), inside_slice=True) for found in rule.slices]
    rule = replace(_reduced(rule, inner, inside_slice=inside_slice), slices=slices)
    if facts is None:
        return rule
    name, known = facts
    kinds = frozenset(known.get("types", ()))
    targets = frozenset(known.get("targets", ()))
    is_core_target = frozenset(url.removeprefix(STRUCTURE_DEFINITION) for url in rule.targets) >= (
        targets or {"Resource"}
    )
    own_set = known.get("codes")
    is_core_set = rule.binding and rule.binding[0] == "required" and rule.binding[1].partition("|")[0] == own_set
    return replace(
        rule,
        min=0 if rule.min <= known.get("min", 0) else rule.min,
        max=MANY if known.get("max", "1") != "*" and rule.max == 1 else rule.max,
        types=frozenset()
        if rule.types >= kinds or (not name.endswith("[x]") and "Resource" not in kinds)
        else rule.types,
        targets=() if is_core_target else rule.targets,
        binding=None if is_core_set and not inside_slice else rule.binding,
    )


def _slice_content(
    content: str | None, rule: Rule, found: Rule, facts: tuple[str, dict[str, Any]] | None
) -> str | None:
    name = rule.name if facts is None else facts[0]
    return _inner(content, name, found.types, found.slice)


def _facts(content: str | None, name: str) -> tuple[str, dict[str, Any]] | None:
    if content is None or content.partition(".")[0] not in structures():
        return None
    known = elements(content)
    for written in (name, f"{name}[x]"):
        if written in known:
            return written, known[written]
    return None
