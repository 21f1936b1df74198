"""Which slice is an element of? (profiling.html#discriminator)"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from healthsync.standards.fhir.fhirpath import Node
from healthsync.standards.fhir.fhirpath import types as fhir_types
from healthsync.standards.fhir.fhirpath.values import member
from healthsync.standards.fhir.profiles import valuesets
from healthsync.standards.fhir.profiles.rules import Rule, Slicing

if TYPE_CHECKING:
    from healthsync.standards.fhir.profiles.checking import Profiles, Run

Test = Callable[["Run", Node], bool]

_STEP = re.compile(r"(?:[^.(]|\([^)]*\))+")
_CALL = re.compile(r"(\w+)\(\s*'?([^')]*)'?\s*\)")


class Slices:
    """The slices of one element, each with the tests that its discriminators make of it."""

    def __init__(self, profiles: Profiles, slices: list[Rule], slicing: Slicing) -> None:
        self.slicing = slicing
        self._tests = [_tests(profiles, rule, slicing) for rule in slices]

    def can_tell(self, position: int) -> bool:
        """Whether the discriminators say anything about this slice."""
        return bool(self._tests[position])

    def of(self, run: Run, item: Node) -> int | None:
        """The position of the slice; None when it is of none."""
        for position, tests in enumerate(self._tests):
            if tests and all(test(run, item) for test in tests):
                return position
        return None


def _tests(profiles: Profiles, rule: Rule, slicing: Slicing) -> list[Test]:
    tests = [_test(profiles, rule, kind, path) for kind, path in slicing.discriminators]
    return [] if None in tests else [test for test in tests if test is not None]


def _test(profiles: Profiles, rule: Rule, kind: str, path: str) -> Test | None:
    """None when the slice demands nothing at the path of the discriminator, so that it tells nothing."""
    steps = [] if path == "$this" else _STEP.findall(path)
    if steps and steps[-1] == "resolve()" and kind in {"type", "profile"}:
        return _target_test(profiles, rule, kind, steps[:-1])
    found = _rules_at(profiles, rule, steps)
    match kind:
        case "value" | "pattern":
            wanted = [test for one in found if (test := _value_test(profiles, one)) is not None]
            return _some(path, wanted)
        case "exists":
            if any(one.max == 0 for one in found):
                return lambda run, item: not run.at(path, item)
            return (lambda run, item: bool(run.at(path, item))) if any(one.min > 0 for one in found) else None
        case "type":
            types = [one.types or frozenset(one.profiles) for one in found]
            wanted = [_type_test(names) for names in types if names]
            return _some(path, wanted)
        case "profile":
            wanted = [_profile_test(urls) for one in found for urls in one.profiles.values()]
            return _some(path, wanted)
    return None


def _some(path: str, wanted: list[Test]) -> Test | None:
    """Some element at the path passes every test."""
    if not wanted:
        return None
    if path == "$this":
        return lambda run, item: all(test(run, item) for test in wanted)
    return lambda run, item: any(
        all(test(run, found) for test in wanted) for found in run.at(path, item) if type(found) is Node
    )


def _type_test(names: frozenset[str]) -> Test:
    return lambda run, item: any(fhir_types.is_type(item, name) for name in names)


def _profile_test(urls: tuple[str, ...]) -> Test:
    return lambda run, item: any(run.conforms(item, url) is True for url in urls)


def _target_test(profiles: Profiles, rule: Rule, kind: str, steps: list[str]) -> Test | None:
    targets = [url for one in _rules_at(profiles, rule, steps) for url in one.targets]
    types = {profiles.type_of(url) for url in targets}
    if not targets or None in types:
        return None
    path = ".".join(steps) or "$this"

    def test(run: Run, item: Node) -> bool:
        for reference in run.at(path, item):
            target = run.resolve(reference.value.get("reference", "")) if type(reference.value) is dict else None
            if kind == "profile" and target is not None:
                return any(run.conforms(target, url) is True for url in targets)
            if run.target_type(reference) in types or "Resource" in types:
                return True
        return False

    return test


# --- what a slice demands at a path -------------------------------------------------------------------------------


def _rules_at(profiles: Profiles, rule: Rule, steps: list[str]) -> list[Rule]:
    """The rules of the slice that a path leads to, through the profiles of its types as well."""
    found = [rule]
    for step in steps:
        found = [inner for one in found for inner in _step(profiles, one, step)]
    return found


def _step(profiles: Profiles, rule: Rule, step: str) -> list[Rule]:
    call = _CALL.fullmatch(step)
    if call and call[1] == "resolve":
        return [found for url in rule.targets if isinstance(found := profiles.rules(url), Rule)]
    if call and call[1] == "ofType":
        return [rule] if not rule.types or call[2] in rule.types else []
    if call and call[1] == "extension":
        holder = rule.child("extension")
        return [inner for inner in (holder.slices if holder else ()) if call[2] in _urls(inner)]
    own = rule.child(step)
    if own is not None:
        return [own, *own.slices] if own.slices else [own]
    if step == "url" and "Extension" in rule.profiles:
        return [Rule(rule.id, "url", fixed=[url.partition("|")[0]]) for url in rule.profiles["Extension"]]
    of_types = [profiles.rules(url) for urls in rule.profiles.values() for url in urls]
    return [inner for found in of_types if isinstance(found, Rule) for inner in _step(profiles, found, step)]


def _urls(rule: Rule) -> set[str]:
    url = rule.child("url")
    fixed = set(url.fixed) if url is not None else set()
    return fixed | {found.partition("|")[0] for found in rule.profiles.get("Extension", ())}


def _value_test(profiles: Profiles, rule: Rule) -> Test | None:
    """What a fixed value, a pattern or a required binding demands of an element, or of what is in it."""
    if rule.fixed:
        return lambda run, item: item.value == rule.fixed[0]
    if rule.pattern:
        return lambda run, item: matches_pattern(rule.pattern[0], item.value)
    if rule.binding and rule.binding[0] == "required":
        codes = profiles.codes(rule.binding[1])
        return lambda run, item: valuesets.coded(codes, item) is True
    inner = [(child.name, test) for child in rule.children for test in _demands(profiles, child)]
    if not inner:
        return None
    return lambda run, item: all(any(test(run, part) for part in member(item, name)) for name, test in inner)


def _demands(profiles: Profiles, rule: Rule) -> list[Test]:
    """What is demanded of an element: by itself, and by slices that must be there."""
    own = _value_test(profiles, rule)
    found = [] if own is None else [own]
    return found + [test for one in rule.slices if one.min and (test := _value_test(profiles, one)) is not None]


def matches_pattern(pattern: Any, value: Any) -> bool:
    """Everything in the pattern is in the value; items of a list in any order (elementdefinition.html#pattern)."""
    if type(pattern) is dict:
        return type(value) is dict and all(
            key in value and matches_pattern(pattern[key], value[key]) for key in pattern
        )
    if type(pattern) is list:
        return type(value) is list and all(any(matches_pattern(one, item) for item in value) for one in pattern)
    return pattern == value
