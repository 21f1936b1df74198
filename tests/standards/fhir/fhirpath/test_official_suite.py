"""HL7's own FHIRPath test suite for R4: what passes is counted, what does not is listed with its reason."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json
from healthsync.standards.fhir.fhirpath import Environment, Node, nodes, root
from healthsync.standards.fhir.fhirpath.evaluation import Scope
from healthsync.standards.fhir.fhirpath.values import Quantity, Temporal, system

PASSING = 922

_STATIC = "names are not checked against the types: a wrong one yields nothing, as in lenient mode"

SKIPPED = {
    **dict.fromkeys(
        (
            "testSimpleFail",
            "testSimpleWithWrongContext",
            "testPolymorphismB",
            "testPolymorphismAsB",
            "testPolymorphicsB",
        ),
        _STATIC,
    ),
    "testDollarOrderNotAllowed": "the order of children() is that of the definition, so skip() has a meaning",
    "testPlusDate19": "fractions of a second are added, not cut off",
    "testMinus5": "'month' in quotes is no unit of UCUM",
    **dict.fromkeys(
        ("LowBoundaryDecimal15", "HighBoundaryDecimal15", "HighBoundaryDecimal16"),
        "expects a bound inside the interval when the number has more digits than asked for",
    ),
    "testSort10": "a patient's name without a family stands before those with one, as in SQL's ascending order",
    "from-zulip-2": "allTrue() of what is no boolean is false",
}


def _cases(shared_data: Path) -> list[ET.Element]:
    return list(ET.parse(shared_data / "fhirpath/r4/fhirpath/tests-fhir-r4.xml").getroot().iter("test"))


def _input(shared_data: Path, name: str | None) -> Any:
    if not name:
        return {}
    for folder in ("inputs/r4", "r4"):
        file = shared_data / "fhirpath" / folder / (name.rpartition(".")[0] + ".json")
        if file.exists():
            return json.parse(file.read_bytes())
    raise LookupError(name)


def _evaluate(expression: str, resource: Any) -> list[Any]:
    node = root(resource)
    variables = {"context": [node], "resource": [node], "rootResource": [node]}
    return nodes(expression)(Scope([node], Environment(variables, now=datetime.now(UTC))))


def _is(item: Any, kind: str | None, text: str) -> bool:
    value = system(item)
    if kind == "boolean" or (kind is None and type(value) is bool):
        return value is (text == "true")
    if type(value) is Temporal:
        return value.text.removeprefix("T") == text.removeprefix("@").removeprefix("T")
    if type(value) in {int, Decimal}:
        return Decimal(value) == Decimal(text)
    if type(value) is Quantity:
        return str(value) == text or f"{value.value} {value.unit}" == text
    if type(value) is Node:
        return kind == "Quantity"
    return value == text


def _outcome(test: ET.Element, shared_data: Path) -> str | None:
    """None when it passes, else what went wrong."""
    expression = test.find("expression")
    assert expression is not None
    outputs = test.findall("output")
    try:
        resource = _input(shared_data, test.get("inputfile"))
    except LookupError:
        return "input file is not there"
    try:
        found = _evaluate(expression.text or "", resource)
    except InvalidInput as problem:
        return None if expression.get("invalid") else f"refused: {problem}"
    if expression.get("invalid"):
        return f"accepted although {expression.get('invalid')} error is expected"
    if test.get("predicate") == "true":
        found = [bool(found)]
    if len(found) != len(outputs):
        return f"{len(found)} items instead of {len(outputs)}"
    pairs = list(zip(found, outputs, strict=True))
    wrong = [
        (str(item.value) if type(item) is Node else str(item), output.text)
        for item, output in pairs
        if not _is(item, output.get("type"), output.text or "")
    ]
    return str(wrong) if wrong else None


def _name(test: ET.Element) -> str:
    return test.get("name") or (test.findtext("expression") or "")[:60]


@pytest.mark.shared
def test_the_official_suite_passes_but_for_what_is_listed(shared_data: Path) -> None:
    outcomes = {(_name(test), i): _outcome(test, shared_data) for i, test in enumerate(_cases(shared_data))}
    failed = {name: said for (name, _), said in outcomes.items() if said is not None}
    assert {name: said for name, said in failed.items() if name not in SKIPPED} == {}
    assert SKIPPED.keys() - failed.keys() == set(), "these pass now"
    assert sum(said is None for said in outcomes.values()) >= PASSING
