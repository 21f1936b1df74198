"""When care happened, for `start` and `end` of $everything."""

from __future__ import annotations

import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import care_dates, search_parameters
from healthsync.standards.fhir.care_dates import CareDates


@pytest.mark.parametrize("resource_type", sorted(care_dates._PARAMETERS))
def test_the_date_of_care_of_each_type_is_an_official_search_parameter(resource_type: str) -> None:
    parameter = search_parameters.definition(resource_type, care_dates._PARAMETERS[resource_type])
    assert parameter is not None and parameter.type == "date"


@pytest.mark.parametrize(
    ("start", "end", "holds"),
    [
        ("2020", None, True),
        ("2020-03-08", None, True),
        ("2020-03-09", None, False),
        (None, "2020-03-05", True),
        (None, "2020-03-04", False),
        ("2020-03-06", "2020-03-06", True),
        ("2019", "2019-12", False),
        ("", "", True),
    ],
)
def test_a_stay_counts_when_some_of_it_lies_between_the_dates(start: str | None, end: str | None, holds: bool) -> None:
    stay = {"resourceType": "Encounter", "period": {"start": "2020-03-05", "end": "2020-03-08"}}
    assert CareDates.read(start, end).hold(stay) is holds


@pytest.mark.parametrize("resource", [{"resourceType": "Encounter"}, {"resourceType": "AllergyIntolerance"}])
def test_what_says_no_date_of_care_holds_at_all_times(resource: dict[str, str]) -> None:
    assert CareDates.read("2020", "2021").hold(resource)


def test_what_is_no_date_is_refused() -> None:
    with pytest.raises(InvalidInput):
        CareDates.read("yesterday", None)
