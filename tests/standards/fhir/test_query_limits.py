"""What one search may cost: limits, and hostile input that is read in bounded time or refused."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import query
from healthsync.standards.fhir.query import Criterion, Include

MEGABYTES = 10_000_000


def refused(resource_type: str, *pairs: tuple[str, str]) -> str:
    with pytest.raises(InvalidInput) as problem:
        query.parse(resource_type, pairs)
    assert len(str(problem.value)) < 300
    return problem.value.code


def at_most(seconds: float, work: Callable[[], object]) -> None:
    began = time.process_time()
    work()
    assert time.process_time() - began < seconds


def test_a_search_has_at_most_sixty_criteria() -> None:
    pairs = [("identifier", str(number)) for number in range(61)]
    assert len(query.parse("Patient", pairs[:60]).criteria) == 60
    assert refused("Patient", *pairs) == "too-costly"


def test_a_criterion_has_at_most_five_hundred_values_of_two_thousand_characters() -> None:
    (criterion,) = query.parse("Patient", [("identifier", ",".join(["x"] * 500))]).criteria
    assert isinstance(criterion, Criterion)
    assert len(criterion.values) == 500
    assert refused("Patient", ("identifier", ",".join(["x"] * 501))) == "too-costly"
    assert len(query.parse("Patient", [("family", "x" * 2000)]).criteria) == 1
    assert refused("Patient", ("family", "x" * 2001)) == "too-costly"
    assert refused("Patient", ("_list", ",".join(["x"] * 501))) == "too-costly"


def test_a_search_has_at_most_twenty_includes_and_ten_sort_keys() -> None:
    include = ("_include", "Patient:link")
    assert query.parse("Patient", [include] * 20).includes[0] == Include("Patient", "link", None, False, False)
    assert refused("Patient", *[include] * 21) == "too-costly"
    keys = [
        "identifier",
        "family",
        "given",
        "birthdate",
        "gender",
        "active",
        "email",
        "phone",
        "language",
        "name",
        "link",
    ]
    assert refused("Patient", ("_sort", ",".join(keys))) == "too-costly"


def test_a_chain_goes_at_most_six_steps() -> None:
    steps = "partof:Organization."
    assert query.parse("Organization", [(steps * 6 + "name", "x")]).criteria
    assert refused("Organization", (steps * 7 + "name", "x")) == "too-costly"
    has = "_has:Organization:partof:"
    assert query.parse("Organization", [(has * 6 + "name", "x")]).criteria
    assert refused("Organization", (has * 7 + "name", "x")) == "too-costly"
    assert refused("Organization", (has * 100_000 + "name", "x")) == "too-costly"


def test_chains_without_types_may_not_multiply() -> None:
    assert refused("Provenance", ("target.focus.focus.focus.focus", "x")) == "too-costly"
    assert refused("AuditEvent", ("entity.entity.entity.entity.name", "x")) == "too-costly"
    assert refused("Provenance", *[("target.subject.identifier", "x")] * 60) == "too-costly"
    filtered = ("_filter", " and ".join(["target.subject.identifier eq x"] * 90))
    assert refused("Provenance", filtered) == "too-costly"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("family", "x" * MEGABYTES),
        ("family", "x," * (MEGABYTES // 2)),
        ("family", "\\," * (MEGABYTES // 2)),
        ("family:contains", "(a+)+" * 1000),
        ("identifier", "|" * MEGABYTES),
        ("birthdate", "1" * MEGABYTES),
        ("_filter", "(" * MEGABYTES),
        ("_filter", "not(" * 900),
        ("_filter", 'given eq "' + "\\\\" * 1900),
        ("_filter", "a[" * 1900),
        ("_text", "(" * MEGABYTES),
        ("_text", "(" * 1900),
        ("_text", '"' * 1900),
        ("_text", "(a or b) " * 200),
        ("_text", " ".join(f"w{number}" for number in range(400))),
        ("_text", ",".join(["(a or b) (c or d) (e or f) (g or h) (i or j)"] * 40)),
        ("_content", "a or " * 390 + "b"),
        ("_sort", "x," * (MEGABYTES // 2)),
        ("_elements", "x," * (MEGABYTES // 2)),
        ("_count", "1" * MEGABYTES),
        ("_include", ":" * MEGABYTES),
        ("_type", "x," * (MEGABYTES // 2)),
        ("_list", "x" * MEGABYTES),
        ("_has:" * (MEGABYTES // 5), "x"),
        ("organization." * (MEGABYTES // 13), "x"),
        ("x" * MEGABYTES, "x"),
        ("family:" + "x" * MEGABYTES, "x"),
    ],
    ids=lambda value: f"{value[:20]}…{len(value)}",
)
def test_hostile_input_is_refused_in_bounded_time(name: str, text: str) -> None:
    at_most(2, lambda: refused("Patient", (name, text)))


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        ("a", "\\"),
        ("", "a"),
        ('"', "\\"),
        ('x eq "', "a"),
        ("", "("),
        ("1e", "1"),
        ("", "-"),
        ("", " "),
        ("", "|"),
        ("", "$"),
        ("", "a "),
        ("", '"'),
    ],
)
def test_any_value_of_the_longest_length_is_read_in_bounded_time(start: str, repeated: str) -> None:
    text = (start + repeated * 2000)[:2000]
    names = ["family", "identifier", "birthdate", "organization", "_text", "_content", "_filter", "_profile", "_list"]
    for name in names:
        at_most(0.5, lambda name=name: _read("Patient", name, text))
    for name in ("value-quantity", "code-value-quantity", "subject"):
        at_most(0.5, lambda name=name: _read("Observation", name, text))
    at_most(0.5, lambda: _read("Location", "near", text))
    at_most(0.5, lambda: _read("RiskAssessment", "probability", text))


def _read(resource_type: str, name: str, text: str) -> None:
    try:
        query.parse(resource_type, [(name, text)])
    except InvalidInput as problem:
        assert problem.code in {"value", "not-supported", "too-costly"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("shoe-size", "Mustermann"), ("family:Mustermann", "x"), ("birthdate", "Mustermann"), ("_filter", "given eq Mustermann x"),
     ("_sort", "Mustermann!"), ("_text", "-Mustermann"), ("near", "Mustermann"), ("_has:Mustermann:patient:code", "Mustermann"),
     ("_list", "$Mustermann!"), ("_include", "Mustermann:x"), ("identifier:of-type", "Mustermann")],
)  # fmt: skip
def test_no_refusal_repeats_a_value(name: str, text: str) -> None:
    with pytest.raises(InvalidInput) as problem:
        query.parse("Patient", [(name, text)])
    assert "Mustermann" not in str(problem.value).replace("':Mustermann'", "")  # what looks like a modifier is named
