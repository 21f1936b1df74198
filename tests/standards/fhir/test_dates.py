"""datatypes.html#date, search.html#prefix: a date is an interval on both sides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir.dates import BEGINNING, END, Prefix, interval, matches, period, stored, widened
from healthsync.standards.fhir.schema import PRIMITIVE_SCHEMAS

TICK = timedelta(microseconds=1)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1987", at(1987, 1, 1), at(1988, 1, 1)),
        ("1987-12", at(1987, 12, 1), at(1988, 1, 1)),
        ("2020-02-29", at(2020, 2, 29), at(2020, 3, 1)),
        ("2019-12-31T20:00Z", at(2019, 12, 31, 20), at(2019, 12, 31, 20, 1)),
        ("2019-12-31T20:00:00Z", at(2019, 12, 31, 20), at(2019, 12, 31, 20, 0, 1)),
        ("2019-12-31T20:00:00.5Z", at(2019, 12, 31, 20, 0, 0, 500000), at(2019, 12, 31, 20, 0, 0, 600000)),
        ("2019-12-31T20:00:00.123456789Z", at(2019, 12, 31, 20, 0, 0, 123456), at(2019, 12, 31, 20, 0, 0, 123457)),
        ("2019-12-31T23:30:00-05:00", at(2020, 1, 1, 4, 30), at(2020, 1, 1, 4, 30, 1)),
        ("2019-12-31T20:00", at(2019, 12, 31, 20), at(2019, 12, 31, 20, 1)),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1, 0, 0, 1)),
        ("0001", BEGINNING + TICK, at(2, 1, 1)),
        ("9999", at(9999, 1, 1), END - TICK),
        ("9999-12", at(9999, 12, 1), END - TICK),
        ("9999-12-31", at(9999, 12, 31), END - TICK),
        ("9999-12-31T23:59:59Z", at(9999, 12, 31, 23, 59, 59), END - TICK),
        ("9999-12-31T23:59:59.999999Z", END - 2 * TICK, END - TICK),
        ("0001-01-01T00:00:00+14:00", BEGINNING + TICK, at(1, 1, 1, 0, 0, 1)),
    ],
)
def test_a_date_lasts_as_long_as_its_precision_says(text: str, low: datetime, high: datetime) -> None:
    assert interval(text) == (low, high)


@pytest.mark.parametrize("digits", ["5", "500", "500000", "5000000"])
def test_a_stored_fraction_of_a_second_is_a_moment_for_whoever_asks_with_more_digits(digits: str) -> None:
    asked = interval("2019-12-31T20:00:00.5000000Z")
    assert stored(f"2019-12-31T20:00:00.{digits}Z") == asked
    assert period("2019", f"2019-12-31T20:00:00.{digits}Z")[1] == asked[1]
    assert stored("2019-12-31T20:00:00Z") == interval("2019-12-31T20:00:00Z")


def test_a_moment_beyond_the_last_year_is_held_before_the_end_and_not_empty() -> None:
    low, high = interval("9999-12-31T23:59:59-14:00")
    assert low < high < END


@pytest.mark.parametrize(
    "text",
    [
        "", "junk", "05-05-1970", "1970-13-05", "19700505-03-04", "1970-05-05T10", "1970-02-30", "2021-02-29", "0000",
        "1970-1-1", "1970-05-05T24:00:00Z", "1970-05-05T10:61Z", "1970-05-05T10:00:61Z", "1970-05-05T10:00:00+15:00",
        "1970-05-05 10:00", "1970-05-05Z", "１９７０", "1970\n", " 1970", "1970-05-05T10:00:00.Z",
    ],
)  # fmt: skip
def test_junk_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        interval(text)
    assert refused.value.code == "value"
    assert not text.strip() or text not in str(refused.value)


YEAR_1987 = interval("1987")
EVENING = interval("2019-12-31T20:00:00Z")


@pytest.mark.parametrize(
    ("target", "search", "holds"),
    [  # the first block is case F001, the second F004
        (YEAR_1987, "gt1986-06-15", True),
        (YEAR_1987, "gt1987-06-15", True),
        (YEAR_1987, "lt1987-06-15", True),
        (YEAR_1987, "eq1987", True),
        (YEAR_1987, "eq1987-06-15", False),
        (YEAR_1987, "sa1987-06-15", False),
        (YEAR_1987, "sa1986", True),
        (YEAR_1987, "gt1987", False),
        (YEAR_1987, "ge1987", True),
        (YEAR_1987, "le1987", True),
        (YEAR_1987, "ge1988", False),
        (YEAR_1987, "eb1988", True),
        (YEAR_1987, "ne1987", False),
        (YEAR_1987, "ne1987-06-15", True),
        (YEAR_1987, "ap1987-06", True),
        (YEAR_1987, "ap1988", False),
        (EVENING, "eq2019-12-31T20:00Z", True),
        (EVENING, "gt2019-12-31T19:59Z", True),
        (EVENING, "gt2019-12-31T20:00Z", False),
        (EVENING, "lt2019-12-31T20:00Z", False),
        (EVENING, "lt2019-12-31T20:01Z", True),
        (EVENING, "gt2019-12-31T20:00:30Z", False),
        (EVENING, "eq2019-12-31T20:00:30Z", False),
    ],
)
def test_prefixes_compare_ranges(target: tuple[datetime, datetime], search: str, holds: bool) -> None:
    assert matches(Prefix(search[:2]), interval(search[2:]), target) is holds


def test_an_open_period_lasts_for_ever() -> None:
    assert period("2020-01-01", None) == (at(2020, 1, 1), END)
    assert period(None, "2020") == (BEGINNING, at(2021, 1, 1))
    assert matches(Prefix.GREATER, interval("3000"), period("2020", None))


@pytest.mark.parametrize(
    ("search", "found"),  # those of a period since 2020, one until 2020 and one without bounds that R4 finds
    [
        ("eq2020", ""), ("eq9999", ""), ("eq0001", ""),
        ("ne2020", "since until always"), ("ne9999-12-31", "since until always"),
        ("gt2019", "since until always"), ("gt2020", "since always"), ("gt9999-12-31", "since always"),
        ("gt9999-12-31T23:59:59.999999Z", "since always"),
        ("ge2020-06", "since until always"), ("ge2021", "since always"), ("ge9999-12-31", "since always"),
        ("lt2021", "since until always"), ("lt2020", "until always"), ("lt0001-01-01", "until always"),
        ("le2020-06", "since until always"), ("le2019", "until always"), ("le0001-01-01T00:00:00Z", "until always"),
        ("sa2019", "since"), ("sa2020", ""), ("sa0001", "since"),
        ("eb2021", "until"), ("eb2020", ""), ("eb9999-12-31", "until"),
        ("ap2019", "until always"), ("ap2020", "since until always"), ("ap2021", "since always"),
        ("ap9999-12-31", "since always"), ("ap0001", "until always"),
    ],
)  # fmt: skip
def test_a_period_without_a_bound_reaches_further_than_any_date(search: str, found: str) -> None:
    periods = {"since": period("2020", None), "until": period(None, "2020"), "always": period(None, None)}
    asked = Prefix(search[:2]), interval(search[2:])
    assert " ".join(name for name, target in periods.items() if matches(*asked, target)) == found


def test_a_period_that_ends_before_it_starts_is_still_an_interval() -> None:
    low, high = period("2020", "2019")
    assert low < high


moments = st.datetimes(at(2, 1, 1).replace(tzinfo=None), at(9998, 12, 31).replace(tzinfo=None), timezones=st.just(UTC))


@given(moments)
def test_each_finer_way_to_write_a_moment_lies_inside_the_coarser(moment: datetime) -> None:
    full = moment.isoformat(timespec="microseconds").replace("+00:00", "")
    texts = [full[:4], full[:7], full[:10], full[:16] + "Z", full[:19] + "Z", full[:23] + "Z", full + "Z"]
    ranges = [interval(text) for text in texts]
    for (outer_low, outer_high), (low, high) in pairwise(ranges):
        assert outer_low <= low < high <= outer_high
    assert ranges[-1] == (moment, moment + timedelta(microseconds=1))


@given(moments, st.timedeltas(timedelta(seconds=1), timedelta(days=900)), moments)
def test_prefixes_are_consistent_with_each_other(low: datetime, length: timedelta, target_low: datetime) -> None:
    search, target = (low, low + length), (target_low, target_low + timedelta(days=1))
    assert matches(Prefix.NOT_EQUAL, search, target) is not matches(Prefix.EQUAL, search, target)
    for wide, narrow in ((Prefix.GREATER_OR_EQUAL, Prefix.GREATER), (Prefix.LESS_OR_EQUAL, Prefix.LESS)):
        either = matches(narrow, search, target) or matches(Prefix.EQUAL, search, target)
        assert matches(wide, search, target) is either
    apart = matches(Prefix.STARTS_AFTER, search, target) or matches(Prefix.ENDS_BEFORE, search, target)
    assert matches(Prefix.APPROXIMATELY, search, target) is not apart


@given(
    st.sampled_from(["date", "dateTime", "instant"]).flatmap(
        lambda kind: st.from_regex(PRIMITIVE_SCHEMAS[kind]["pattern"], fullmatch=True)
    )
)
def test_every_date_that_validation_admits_is_an_interval(text: str) -> None:
    low, high = interval(text)
    assert low < high


def test_approximate_looks_a_tenth_of_the_distance_to_now_further() -> None:
    assert widened((at(2020, 1, 11), at(2020, 1, 12)), now=at(2020, 1, 21)) == (at(2020, 1, 10), at(2020, 1, 13))
    assert widened((BEGINNING, END), now=at(2020, 1, 1)) == (BEGINNING, END)
