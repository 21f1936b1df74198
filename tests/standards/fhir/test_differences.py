"""Where two versions differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.standards.fhir.differences import differences

PATIENT = {
    "resourceType": "Patient",
    "meta": {"versionId": "1", "lastUpdated": "2026-03-01T12:00:00Z", "source": "urn:x"},
    "name": [{"family": "Linnet", "given": ["Ora"]}],
    "active": True,
}


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({}, []),
        ({"meta": {"versionId": "2", "lastUpdated": "2027-01-01T00:00:00Z", "source": "urn:x"}}, []),
        ({"name": [{"family": "Dove", "given": ["Ora"]}]}, ["Patient.name[0].family"]),
        ({"name": [{"family": "Linnet", "given": ["Ora", "May"]}]}, ["Patient.name[0].given[1]"]),
        ({"active": False, "gender": "female"}, ["Patient.active", "Patient.gender"]),
        ({"name": "x"}, ["Patient.name"]),
    ],
)
def test_elements_that_differ_are_named_and_what_the_server_writes_is_not(change: dict, paths: list[str]) -> None:
    assert [one.path for one in differences(PATIENT, {**PATIENT, **change})] == paths


def test_a_new_resource_differs_in_its_first_level_and_paths_can_be_counted_without_places() -> None:
    assert [one.path for one in differences(None, PATIENT)] == [
        "Patient.resourceType", "Patient.meta", "Patient.name", "Patient.active",
    ]  # fmt: skip
    (one,) = differences(PATIENT, {**PATIENT, "name": [{"family": "Linnet", "given": ["Oria"]}]})
    assert (one.element, one.before, one.after) == ("Patient.name.given", "Ora", "Oria")


_JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON, _JSON)
def test_there_are_differences_exactly_where_two_values_differ(one: object, other: object) -> None:
    assert bool(differences({"x": one}, {"x": other})) == (one != other)
