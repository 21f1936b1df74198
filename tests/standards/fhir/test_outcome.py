"""operationoutcome.html"""

from __future__ import annotations

import pytest

from healthsync.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from healthsync.standards.fhir import outcome, validate
from healthsync.standards.fhir.definitions import value_sets
from healthsync.standards.fhir.outcome import Issue


def test_an_outcome_carries_every_issue_and_is_itself_valid() -> None:
    built = outcome.operation_outcome(
        [Issue("error", "required", "Patient.name", "a name is required"), Issue("warning", "value", None, "odd")]
    )
    assert built["issue"][0] == {
        "severity": "error", "code": "required", "expression": ["Patient.name"], "diagnostics": "a name is required",
    }  # fmt: skip
    assert "expression" not in built["issue"][1]
    assert validate.structure(built) == []


def test_an_outcome_without_issues_says_that_all_is_well() -> None:
    built = outcome.operation_outcome([])
    assert built["issue"][0]["severity"] == "information"
    assert validate.structure(built) == []


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InvalidInput("x", code="structure"), 400),
        (InvalidInput("x", code="invariant"), 422),
        (InvalidInput("x", code="not-supported"), 400),
        (Refused("x"), 403),
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (Unavailable("x"), 503),
    ],
)
def test_an_error_of_ours_becomes_an_issue_and_suggests_a_status(problem: Exception, status: int) -> None:
    issue = outcome.from_error(problem)  # type: ignore[arg-type]
    assert issue.is_error
    assert outcome.http_status(issue.code) == status


def test_the_place_of_an_error_becomes_the_expression_of_its_issue() -> None:
    assert outcome.from_error(InvalidInput("x", expression="Bundle.entry[1]")).expression == "Bundle.entry[1]"


def test_every_code_with_a_status_is_an_issue_type_of_the_standard() -> None:
    (codes,) = value_sets()["http://hl7.org/fhir/ValueSet/issue-type"].values()
    assert outcome._STATUS.keys() <= set(codes)
    assert outcome.http_status("no such code") == 500
