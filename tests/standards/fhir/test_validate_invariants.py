"""Every invariant of R4 with severity error has something that breaks it and something that keeps it."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from healthsync.standards.fhir import constraints, invariants
from healthsync.standards.fhir.definitions import invariants as official


def _table() -> Any:
    spec = importlib.util.spec_from_file_location(
        "invariant_examples", Path(__file__).with_name("invariant_examples.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = _table()
ELEMENTS = [row for row in TABLE.EXAMPLES if row[0] not in {"ele-1"}]


def broken(where: str, element: dict[str, Any]) -> Counter[str]:
    """The keys of the rules that one element breaks."""
    resource = element if "." not in where else {"resourceType": where.partition(".")[0], **_surroundings(where)}
    if where == "Narrative":  # judged by the resource that it is of
        issues = invariants.violations({"resourceType": "Patient", "text": element}, "Patient")
        return Counter(issue.diagnostics.partition(":")[0] for issue in issues)
    sentences = [sentence for rule in invariants._plan(where)[0] for sentence in rule(element)]
    sentences += [issue.diagnostics for issue in constraints.broken(where, element, "X", resource, resource)]
    return Counter(sentence.partition(":")[0] for sentence in sentences)


def _surroundings(where: str) -> dict[str, Any]:
    if where.startswith("StructureDefinition."):
        return {"kind": "resource", "type": "Patient", "snapshot": TABLE.ONE, "differential": TABLE.ONE}
    return {"contained": [{"resourceType": "Patient", "id": "c"}]}


@pytest.mark.parametrize(("key", "where", "bad", "good"), ELEMENTS, ids=[f"{row[0]}-{row[1]}" for row in ELEMENTS])
def test_each_invariant_is_broken_by_one_element_and_kept_by_another(
    key: str, where: str, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    assert key in broken(where, bad)
    assert key not in broken(where, good)


@pytest.mark.parametrize("key", TABLE.WHOLE)
def test_each_rule_about_a_whole_resource_is_broken_by_one_and_kept_by_another(key: str) -> None:
    bad, good = TABLE.WHOLE[key]
    found = [
        {
            issue.diagnostics.partition(":")[0]
            for issue in invariants.violations({"resourceType": "Patient", **one}, "P")
        }
        for one in (bad, good)
    ]
    assert key in found[0]
    assert key not in found[1]


def test_no_invariant_is_without_an_example() -> None:
    places = {(key, where) for where, rules in official().items() for listed in rules.values() for key, _, _ in listed}
    shown = {(key, where) for key, where, _, _ in TABLE.EXAMPLES}
    unshown = {key for key, _ in places} - {key for key, _ in shown} - TABLE.WHOLE.keys() - TABLE.NEVER_BROKEN.keys()
    assert unshown == set()
    assert len({key for key, _ in places}) > 200
    assert {key for key, _ in shown} <= {key for key, _ in places}


def test_every_official_expression_can_be_compiled() -> None:
    for content in official():
        constraints.of(content)


def test_an_issue_names_the_rule_the_place_and_what_is_demanded() -> None:
    item = {"linkId": "1", "type": "display", "required": True}
    resource = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "0", "type": "group", "item": [item]}],
    }
    (issue,) = invariants.violations(resource, "Questionnaire")
    assert (issue.severity, issue.code) == ("error", "invariant")
    assert issue.expression == "Questionnaire.item[0].item[0]"
    assert issue.diagnostics.startswith("que-6: required and repeat")
