"""Resource against profile: walks the rules of the profile beside the resource.

The words are ours; severity, code and place of an issue are those that HL7's validator gives: a count is reported at
the element that holds (or lacks) the counted ones, everything else at the element itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import fhirpath, references
from healthsync.standards.fhir.definitions import extensions, resource_types, structures
from healthsync.standards.fhir.fhirpath import Node
from healthsync.standards.fhir.fhirpath import types as fhir_types
from healthsync.standards.fhir.fhirpath.evaluation import Environment, Scope
from healthsync.standards.fhir.fhirpath.values import member
from healthsync.standards.fhir.outcome import Issue
from healthsync.standards.fhir.profiles import valuesets
from healthsync.standards.fhir.profiles.library import STRUCTURE_DEFINITION, Library
from healthsync.standards.fhir.profiles.rules import Rule, Slicing, tree
from healthsync.standards.fhir.profiles.slicing import Slices, matches_pattern

DEEPEST = 20
"""Profiles that may be checked inside each other."""

_BY_URL = Slicing((("value", "url"),), False, False, False)
_BY_TYPE = Slicing((("type", "$this"),), False, False, False)


class Profiles:
    """The loaded profiles, compiled when they are first asked for."""

    def __init__(self, library: Library | None = None, modifiers: frozenset[str] = frozenset()) -> None:
        self.library = library or Library()
        self.modifiers = modifiers
        """The urls of modifier extensions that are understood because a package defines them."""
        self._trees: dict[str, Rule | str | None] = {}
        self._codes: dict[str, valuesets.Codes] = {}
        self._slices: dict[int, Slices] = {}

    def is_loaded(self, url: str) -> bool:
        """Whether there is a profile of this canonical URL."""
        return self.library.structure(url) is not None

    def type_of(self, url: str) -> str | None:
        """The type that a profile constrains; a type of R4 constrains itself. None when it is not loaded."""
        name = url.partition("|")[0].removeprefix(STRUCTURE_DEFINITION)
        if name in structures():
            return name
        structure = self.library.structure(url)
        return None if structure is None else structure.get("type")

    def check(
        self, resource: dict[str, Any], url: str, path: str | None = None, now: datetime | None = None
    ) -> list[Issue]:
        """What in a structurally valid resource breaks the profile, each fault once.

        Raises InvalidInput (`not-found`) when the profile is not loaded.
        """
        if self.type_of(url) is None:
            raise InvalidInput("the profile is not loaded; try: healthsync package add", code="not-found")
        kind = resource["resourceType"]
        node = Node(resource, kind, name=path or kind)
        run = Run(self, node, now)
        run.conform(node, url)
        return list(dict.fromkeys(run.issues))

    def rules(self, url: str) -> Rule | str | None:
        """The compiled rules; a sentence when they cannot be compiled; None when the profile is not loaded."""
        if url not in self._trees:
            structure = self.library.structure(url)
            try:
                self._trees[url] = None if structure is None else tree(self.library, structure)
            except InvalidInput as problem:
                self._trees[url] = str(problem)
        return self._trees[url]

    def slices(self, rule: Rule) -> Slices:
        """The slices of a rule with their tests. Rules are kept as long as this is, so that they are their own key."""
        if id(rule) not in self._slices:
            slicing = rule.slicing or (_BY_URL if rule.name in {"extension", "modifierExtension"} else _BY_TYPE)
            self._slices[id(rule)] = Slices(self, rule.slices, slicing)
        return self._slices[id(rule)]

    def codes(self, url: str) -> valuesets.Codes:
        """What is in a value set."""
        if url not in self._codes:
            self._codes[url] = valuesets.compiled(self.library, url)
        return self._codes[url]


@dataclass(slots=True)
class Run:
    """One resource on its way through one profile."""

    profiles: Profiles
    resource: Node
    now: datetime | None = None
    issues: list[Issue] = field(default_factory=list)
    depth: int = 0

    def conform(self, node: Node, url: str) -> None:
        """Hold an element or resource to a profile of its type."""
        rules = self.profiles.rules(url)
        if isinstance(rules, str):
            return self.tell("warning", "processing", node.place, f"the profile {url} was not checked: {rules}")
        if rules is None:
            return self.unknown(node, url)
        kind = self.profiles.type_of(url)
        if kind != node.type and kind not in fhir_types.ancestors(node.type):
            return self.tell("error", "structure", node.place, f"the profile {url} is for the type {kind}")
        if self.depth >= DEEPEST:
            return None
        self.depth += 1
        self.element(rules, node, url)
        self.depth -= 1
        return None

    def unknown(self, node: Node, url: str) -> None:
        name = url.partition("|")[0].removeprefix(STRUCTURE_DEFINITION)
        if name in resource_types() and name != node.type:  # R4's own, which is no profile to be loaded
            self.tell("error", "structure", node.place, f"the profile {url} is for the type {name}")
        elif name not in structures() and url not in extensions() and name not in {"SimpleQuantity", "MoneyQuantity"}:
            self.tell("information", "not-found", node.place, f"{url} is not loaded, so it was not checked")

    def conforms(self, node: Node, url: str) -> bool | None:
        """Whether there is no error; None when the profile is not loaded."""
        if self.profiles.type_of(url) is None:
            return None
        probe = Run(self.profiles, self.resource, self.now, depth=self.depth + 1)
        if probe.depth < DEEPEST:
            probe.conform(node, url)
        return not any(issue.is_error for issue in probe.issues)

    def tell(self, severity: str, code: str, place: str, sentence: str) -> None:
        self.issues.append(Issue(severity, code, place, sentence))

    # --- one element

    def element(self, rule: Rule, node: Node, profile: str) -> None:
        """Hold one element to its rule, without counting it."""
        if rule.types and not any(fhir_types.is_type(node, name) for name in rule.types):
            allowed = ", ".join(sorted(rule.types))
            return self.tell("error", "structure", node.place, f"this must be of the type {allowed} ({profile})")
        self.values(rule, node, profile)
        if rule.binding:
            self.binding(*rule.binding, node, profile)
        if rule.targets and node.type == "Reference":
            self.reference(rule.targets, node, profile)
        for url_list in [urls for kind, urls in rule.profiles.items() if fhir_types.is_type(node, kind)]:
            self.one_of(node, url_list)
        for invariant in rule.invariants:
            if invariant.holds is None:
                self.tell("information", "not-supported", node.place, f"{invariant.key} was not checked ({profile})")
            elif not self.holds(invariant.holds, node):
                told = f"{invariant.key}: {invariant.sentence} ({profile})"
                self.tell("error" if invariant.severity == "error" else "warning", "invariant", node.place, told)
        for child in rule.children:
            self.group(child, member(node, child.name), node, profile)
        return None

    def values(self, rule: Rule, node: Node, profile: str) -> None:
        if rule.fixed and node.value != rule.fixed[0]:
            self.tell("error", "value", node.place, f"{rule.id} is fixed by {profile}; send exactly that value")
        if rule.pattern and not matches_pattern(rule.pattern[0], node.value):
            self.tell("error", "value", node.place, f"{rule.id} lacks what {profile} demands of its value")
        if rule.longest is not None and type(node.value) is str and len(node.value) > rule.longest:
            self.tell("error", "too-long", node.place, f"at most {rule.longest} characters ({profile})")
        for bounds, operator in ((rule.least, ">="), (rule.greatest, "<=")):
            if bounds and not self.compares(node, operator, bounds[0]):
                word = "least" if operator == ">=" else "greatest"
                self.tell("error", "invalid", node.place, f"the value is beyond the {word} that {profile} allows")

    def compares(self, node: Node, operator: str, bound: Any) -> bool:
        evaluate = fhirpath.nodes(f"%one {operator} %two")
        other = Node(bound, node.type)
        environment = Environment({"one": node, "two": other})
        try:
            return fhirpath.condition(evaluate, node, environment) is not False
        except InvalidInput:
            return True

    def binding(self, strength: str, url: str, node: Node, profile: str) -> None:
        answer = valuesets.coded(self.profiles.codes(url), node)
        if answer is None:
            self.tell(
                "information", "not-supported", node.place, f"{url} cannot be listed here: the code was not checked"
            )
        elif not answer and strength == "required":
            self.tell("error", "code-invalid", node.place, f"a code from {url} is required ({profile})")
        elif not answer:
            told = f"a code should come from {url}, unless none of it fits ({profile})"
            self.tell("warning", "code-invalid", node.place, told)

    def reference(self, targets: tuple[str, ...], node: Node, profile: str) -> None:
        allowed = {self.profiles.type_of(url) for url in targets}
        found = self.target_type(node)
        if found is None or None in allowed or allowed & {found, "Resource"}:
            return
        listed = ", ".join(sorted(name for name in allowed if name))
        self.tell("error", "structure", node.place, f"this must point to {listed} ({profile})")

    def target_type(self, node: Node) -> str | None:
        """The type of what a reference points to, as far as the reference or the resource tells."""
        value = node.value if type(node.value) is dict else {}
        text = value.get("reference", "")
        target = self.resolve(text)
        return target.type if target is not None else references.parse(text).type or value.get("type")

    def resolve(self, text: str) -> Node | None:
        """A contained resource."""
        if not text.startswith("#") or text == "#":
            return None
        return next((found for found in member(self.resource, "contained") if found.value.get("id") == text[1:]), None)

    def one_of(self, node: Node, urls: tuple[str, ...]) -> None:
        """An element that may follow one of several profiles."""
        if len(urls) == 1:
            self.conform(node, urls[0])
        elif not any(self.conforms(node, url) is not False for url in urls):
            self.tell("error", "structure", node.place, f"this conforms to none of {', '.join(urls)}")

    def holds(self, evaluate: Any, node: Node) -> bool:
        try:
            return fhirpath.condition(evaluate, node, self.environment(node)) is True
        except InvalidInput:
            return True

    def environment(self, node: Node) -> Environment:
        """What an invariant may ask about."""
        return Environment(
            {"context": node, "resource": self.resource, "rootResource": self.resource},
            member_of=lambda url, item: valuesets.coded(self.profiles.codes(url), item),
            conforms_to=lambda url, item: self.conforms(item, url),
            now=self.now,
        )

    def at(self, path: str, node: Node) -> list[Any]:
        """What a discriminator's path leads to."""
        try:
            return fhirpath.nodes(path)(Scope([node], self.environment(node)))
        except InvalidInput:
            return []

    # --- repetitions

    def group(self, rule: Rule, items: list[Node], holder: Node, profile: str) -> None:
        """Count the repetitions of an element, give them to their slices, hold each to its rules."""
        self.count(rule, len(items), holder, profile)
        for item in items:
            self.element(rule, item, profile)
        if rule.slices:
            self.slices(rule, items, holder, profile)

    def count(self, rule: Rule, found: int, holder: Node, profile: str) -> None:
        what = f"the slice {rule.id}" if rule.slice else rule.id
        if found < rule.min:
            told = f"{what} needs at least {rule.min}, here are {found} ({profile})"
            self.tell("error", "structure", holder.place, told)
        if found > rule.max:
            self.tell("error", "structure", holder.place, f"{what} may have {rule.max}, here are {found} ({profile})")

    def slices(self, rule: Rule, items: list[Node], holder: Node, profile: str) -> None:
        slices = self.profiles.slices(rule)
        found = [slices.of(self, item) for item in items]
        self.order(slices.slicing, found, items, profile)
        for position, inner in enumerate(rule.slices):
            mine = [item for item, place in zip(items, found, strict=True) if place == position]
            if slices.can_tell(position):
                self.count(inner, len(mine), holder, profile)
            for item in mine:
                self.element(inner, item, profile)
                if inner.slices:
                    self.slices(inner, mine, holder, profile)

    def order(self, slicing: Slicing, found: list[int | None], items: list[Node], profile: str) -> None:
        highest, is_past = -1, False
        for item, place in zip(items, found, strict=True):
            if place is None:
                is_past = True
                if slicing.is_closed:
                    self.tell("error", "structure", item.place, f"this belongs to none of the slices of {profile}")
                continue
            if slicing.is_open_at_end and is_past:
                self.tell("error", "structure", item.place, f"what is not of {profile} stands at the end")
            if slicing.is_ordered and place < highest:
                self.tell("error", "structure", item.place, f"the slices are not in the order of {profile}")
            highest = max(highest, place)


def declared(resource: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The profiles that a resource claims in meta.profile, with their positions."""
    for position, url in enumerate(resource.get("meta", {}).get("profile", ())):
        if type(url) is str:
            yield url, position
