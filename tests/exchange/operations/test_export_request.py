"""What the parameters of $export mean; no database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from healthsync.errors import HealthSyncError
from healthsync.exchange.operations.bulk_export import read_parameters, read_request
from healthsync.exchange.operations.bulk_import import read_sources


@pytest.mark.parametrize(("pairs", "level"), [
    ([("_type", "Unicorn")], "system"), ([("_type", "AuditEvent")], "system"), ([("_type", "Organization")], "patient"),
    ([("_since", "yesterday")], "system"), ([("_since", "2026-01-01")], "system"), ([("_since", "2026-01-01T00:00:00")], "system"),
    ([("_outputFormat", "text/csv")], "system"), ([("includeAssociatedData", "x")], "system"), ([("unheard", "of")], "group"),
    ([("_typeFilter", "Patient")], "system"), ([("_typeFilter", "Patient?nonsense=1")], "system"),
    ([("_typeFilter", "Patient?_sort=family")], "system"), ([("_typeFilter", "Unicorn?name=x")], "system"),
    ([("patient", "Patient/1")], "system"), ([("patient", "Group/1")], "patient"), ([("patient", "Patient/a b")], "patient"),
])  # fmt: skip
def test_what_is_not_understood_refuses(pairs, level):
    with pytest.raises(HealthSyncError):
        read_request(pairs, level, lenient=False)


def test_parameters_are_read_as_the_guide_says():
    request = read_request(
        [("_type", "Patient,Observation"), ("_type", "Patient"), ("_since", "2026-01-31T01:00:00 01:00"), ("_elements", "id,Patient.name"),
         ("_typeFilter", "Observation?category=laboratory&date=ge2020"), ("_outputFormat", "application/fhir ndjson"),
         ("patient", "Patient/1"), ("patient", "Patient/2,Patient/1")],
        "patient", lenient=False,
    )  # fmt: skip
    assert request.types == ("Patient", "Observation")
    assert request.since == datetime(2026, 1, 31, tzinfo=UTC)
    assert request.elements == ("id", "Patient.name")
    assert request.filters == (("Observation", (("category", "laboratory"), ("date", "ge2020"))),)
    assert request.patients == ("1", "2")


def test_lenient_handling_drops_what_is_not_supported_and_keeps_what_is():
    request = read_request([("unheard", "of"), ("_type", "Unicorn,Patient")], "system", lenient=True)
    assert request.types == ("Patient",)
    with pytest.raises(HealthSyncError):
        read_request([("_type", "Unicorn")], "system", lenient=True)
    with pytest.raises(HealthSyncError):
        read_request([("_since", "yesterday")], "system", lenient=True)


def test_a_parameters_resource_gives_its_pairs():
    assert read_parameters({"resourceType": "Parameters", "parameter": [
        {"name": "_type", "valueString": "Patient"}, {"name": "_since", "valueInstant": "2026-01-31T00:00:00Z"},
        {"name": "patient", "valueReference": {"reference": "Patient/1"}},
    ]}) == [("_type", "Patient"), ("_since", "2026-01-31T00:00:00Z"), ("patient", "Patient/1")]  # fmt: skip


@pytest.mark.parametrize("parameter", [
    {"name": "_type"}, {"name": "_type", "valueString": "a", "valueCode": "b"}, {"name": "x", "valueReference": {}}, {"valueString": "a"},
    {"name": "x", "valueInteger": 7}, "text", None,
])  # fmt: skip
def test_a_parameter_that_is_none_refuses(parameter):
    with pytest.raises(HealthSyncError):
        read_parameters({"resourceType": "Parameters", "parameter": [parameter]})


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}])
def test_a_body_that_is_no_parameters_resource_refuses(resource):
    with pytest.raises(HealthSyncError):
        read_parameters(resource)


def test_sources_of_an_import_are_read_from_both_forms():
    manifest = {"inputFormat": "application/fhir+ndjson", "input": [{"type": "Patient", "url": "a"}, {"url": "b"}]}
    assert read_sources(manifest) == ["a", "b"]
    part = [{"name": "type", "valueCode": "Patient"}, {"name": "url", "valueUri": "a"}]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "input", "part": part}]}
    assert read_sources(parameters) == ["a"]
