"""v2 times and numbers never pass through in their own spelling."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir import validate
from healthsync.standards.maps import numbers, times

VIENNA = ZoneInfo("Europe/Vienna")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("2024", "2024"),
        ("202403", "2024-03"),
        ("20240301", "2024-03-01"),
        ("2024030108", "2024-03-01T08:00:00+01:00"),
        ("202403010815", "2024-03-01T08:15:00+01:00"),
        ("202407010815", "2024-07-01T08:15:00+02:00"),
        ("20240301081530.1234", "2024-03-01T08:15:30.1234+01:00"),
        ("20240301081530-0500", "2024-03-01T08:15:30-05:00"),
        ("20240301081530+0000", "2024-03-01T08:15:30+00:00"),
        (" 20240301 ", "2024-03-01"),
        ("19580000", "1958"),
        ("19581200", "1958-12"),
        ("00000000", None),
        ("0000", None),
        ("00580101", None),
        ("19581345", None),
        ("20230229", None),
        ("202403012500", None),
        ("20240301081530+2500", None),
        ("1958-12-01", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_v2_time_becomes_a_fhir_time_or_nothing(sent: str, told: str | None) -> None:
    assert times.date_time(sent, VIENNA) == told


def test_a_birth_date_is_the_day_that_was_written_whatever_the_offset() -> None:
    assert times.date_only("20240301233000-0800") == "2024-03-01"


def test_an_instant_needs_a_time() -> None:
    assert times.instant("20240301", UTC) is None
    assert times.instant("20240301081500", UTC) == "2024-03-01T08:15:00+00:00"


@pytest.mark.parametrize(
    ("sent", "told"),
    [("2231", "22:31:00"), ("223100.5", "22:31:00.5"), ("08", "08:00:00"), ("2531", None), ("x", None)],
)
def test_a_v2_time_of_day_becomes_a_fhir_time(sent: str, told: str | None) -> None:
    assert times.time_of_day(sent) == told


@given(st.text(alphabet="0123456789+-. ", max_size=24))
def test_what_is_told_is_always_a_legal_fhir_date_time(sent: str) -> None:
    told = times.date_time(sent, VIENNA)
    if told is not None:
        resource = {"resourceType": "Patient", "deceasedDateTime": told}
        assert validate.structure(resource) == []


@pytest.mark.parametrize(
    ("sent", "comparator", "digits"),
    [
        ("065.88", "", "65.88"),
        ("72.50", "", "72.50"),
        ("+5", "", "5"),
        ("-0.10", "", "-0.10"),
        (".5", "", "0.5"),
        ("5.", "", "5"),
        ("<5", "<", "5"),
        ("> 630", ">", "630"),
        ("=7", "", "7"),
        ("≤3", "<=", "3"),
        (" 12 ", "", "12"),
    ],
)
def test_a_v2_number_keeps_its_digits_and_its_comparator(sent: str, comparator: str, digits: str) -> None:
    assert numbers.compared(sent) == (comparator, Decimal(digits))
    assert str(numbers.compared(sent)[1]) == digits  # type: ignore[index]


@pytest.mark.parametrize("sent", ["", "-", ".", "1e5", "1,5", "5 mg", "<>5", "NaN", "١٢"])
def test_what_is_no_number_is_none(sent: str) -> None:
    assert numbers.compared(sent) is None
