"""Every official search parameter finds what its own FHIRPath expression yields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from healthsync.standards.fhir import query
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.matching import satisfies
from healthsync.standards.fhir.search_parameters import IndexValues, index

from .made_resources import made, official, questions

NOW = datetime(2026, 11, 27, tzinfo=UTC)
NOT_ASKED = {
    ("Patient", "deceased"): "the expression yields a truth, no element; tested beside the index",
}


@pytest.mark.parametrize("resource_type", sorted(resource_types()))
def test_every_official_parameter_finds_what_its_expression_yields(resource_type: str) -> None:
    wrong, asked = set(), set()
    for resource in made(resource_type):
        values = index(resource, whole=True)
        for question in questions(resource):
            asked.add(question.name)
            if not _finds(resource, values, question.name, question.right):
                wrong.add(("not found by", question.name, question.right))
            if _finds(resource, values, question.name, question.wrong):
                wrong.add(("found by", question.name, question.wrong))
    assert wrong == set()
    expected = {parameter.name for parameter, _ in official(resource_type)}
    assert expected - asked == {name for type_, name in NOT_ASKED if type_ == resource_type}


def _finds(resource: dict[str, Any], values: IndexValues, name: str, value: str) -> bool:
    (node,) = query.parse(resource["resourceType"], [(name, value)]).criteria
    return satisfies(node, resource, values, NOW)
