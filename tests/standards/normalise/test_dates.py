"""Dates in every form that people write; never a guessed day."""

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.normalise import DateOrder, normalise_birth_date, normalise_date, normalise_date_time

TODAY = date(2026, 11, 27)
MDY, DMY, YMD = DateOrder.MONTH_FIRST, DateOrder.DAY_FIRST, DateOrder.YEAR_FIRST


@pytest.mark.parametrize("text", ["01/15/2024", "2024-01-15", "15-Jan-2024", "20240115"])
def test_the_four_sources_of_the_requirements_mean_one_day(text: str) -> None:
    assert normalise_date(text).value == "2024-01-15"


@pytest.mark.parametrize(
    "text",
    [
        "2024/01/15",
        "2024.1.15",
        "15.01.2024",
        "15-01-2024",
        "1/15/2024",
        "15JAN2024",
        "15 January 2024",
        "January 15, 2024",
        "Jan. 15th, 2024",
        "2024-Jan-15",
        "01152024",
        "15012024",
        "2024 01 15",
        "  2024-01-15  ",
        "JAN-15-2024",
        "15/Jan/2024",
    ],
)
def test_a_date_that_can_be_one_day_only_needs_no_order(text: str) -> None:
    for order in (None, MDY, DMY):
        assert normalise_date(text, order=order).value == "2024-01-15"


def test_a_date_that_can_be_two_days_is_refused_unless_the_source_has_stated_its_order() -> None:
    for text in ("01/02/2024", "1-2-2024", "01.02.2024", "01022024"):
        assert normalise_date(text).problem == "ambiguous-date"
        assert normalise_date(text, order=MDY).value == "2024-01-02"
        found = normalise_date(text, order=DMY)
        assert (found.value, "day-first" in found.changes) == ("2024-02-01", True)


def test_a_day_and_month_of_one_number_are_not_ambiguous() -> None:
    assert normalise_date("03/03/2024").value == "2024-03-03"


def test_a_date_against_the_stated_order_is_flagged() -> None:
    found = normalise_date("25/12/2020", order=MDY)
    assert (found.value, found.changes[0]) == ("2020-12-25", "other-order")


@pytest.mark.parametrize(
    ("text", "value"),
    [("5-15-80", "1980-05-15"), ("05/15/26", "2026-05-15"), ("12/25/26", "1926-12-25"), ("15-Jan-27", "1927-01-15")],
)
def test_two_digits_of_a_birth_year_are_the_last_that_are_not_in_the_future(text: str, value: str) -> None:
    found = normalise_birth_date(text, today=TODAY)
    assert (found.value, found.changes[0]) == (value, "century-assumed")


def test_two_digits_of_another_year_are_the_nearest_to_today_and_refused_without_one() -> None:
    assert normalise_date("12/25/27", today=TODAY).value == "2027-12-25"
    assert normalise_date("12/25/80", today=TODAY).value == "1980-12-25"
    assert normalise_date("12/25/80").problem == "two-digit-year"
    assert normalise_date("80-05-15", order=YMD, today=TODAY).value == "1980-05-15"


@pytest.mark.parametrize("text", ["2026-11-29", "20271231", "2027", "11/29/2026", "31 Dec 2090"])
def test_a_future_birth_date_is_refused(text: str) -> None:
    found = normalise_birth_date(text, today=TODAY)
    assert (found.value, found.problem) == (None, "future-date")


def test_tomorrow_has_begun_in_another_time_zone() -> None:
    assert normalise_birth_date("2026-11-28", today=TODAY).value == "2026-11-28"


def test_a_birth_date_of_130_years_ago_is_kept_and_flagged() -> None:
    assert normalise_birth_date("1890-01-01", today=TODAY).changes == ("old-date",)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2024", "2024"), ("202401", "2024-01"), ("01/2024", "2024-01"), ("Jan 2024", "2024-01"), ("19580000", "1958")],
)
def test_the_precision_that_was_written_is_kept(text: str, value: str) -> None:
    assert normalise_date(text).value == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("13/13/2024", "impossible-date"),
        ("2024-02-30", "impossible-date"),
        ("00/00/0000", "impossible-date"),
        ("20241345", "impossible-date"),
        ("0058-01-01", "impossible-date"),
        ("31 Feb 2020", "impossible-date"),
        ("unknown", "not-a-date"),
        ("1/2/3", "not-a-date"),
        ("15-Foo-2024", "not-a-date"),
        ("2024-01-15 25:00", "impossible-date"),
    ],
)
def test_what_is_no_date_is_refused_with_its_reason(text: str, problem: str) -> None:
    assert normalise_date_time(text, zone=UTC).problem == problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00+00:00"),
        ("01/15/2024 10:30 PM", "2024-01-15T22:30:00+01:00"),
        ("15-Jan-2024 12:05am", "2024-01-15T00:05:00+01:00"),
        ("2024-07-15 10:30:15.250", "2024-07-15T10:30:15.250+02:00"),
        ("2024-01-15 10:30 -0500", "2024-01-15T10:30:00-05:00"),
        ("2024-01-15", "2024-01-15"),
    ],
)
def test_a_time_without_zone_is_one_of_the_source(text: str, value: str) -> None:
    assert normalise_date_time(text, zone=ZoneInfo("Europe/Vienna")).value == value


def test_an_empty_text_says_nothing() -> None:
    assert normalise_date("  ") == normalise_date("  ") and normalise_date(" ").problem is None


@given(st.dates(date(1900, 1, 1), TODAY), st.sampled_from(["%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d", "%Y%m%d", "%d-%b-%Y"]))
def test_a_date_is_the_day_that_was_meant_or_refused(day: date, form: str) -> None:
    order = {"%m/%d/%Y": MDY, "%d/%m/%Y": DMY}.get(form)
    text = day.strftime(form)
    assert normalise_date(text, order=order, today=TODAY).value == day.isoformat()
    without = normalise_date(text, today=TODAY)
    assert without.value == day.isoformat() or without.problem == "ambiguous-date"


@given(st.text(max_size=40))
def test_whatever_is_written_a_birth_date_is_of_the_calendar_and_not_in_the_future(text: str) -> None:
    value = normalise_birth_date(text, today=TODAY, order=MDY).value
    assert value is None or value <= (TODAY + timedelta(days=1)).isoformat()
