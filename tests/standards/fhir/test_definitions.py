"""The distilled definitions are complete, small, and explained."""

from __future__ import annotations

import gzip
from importlib.resources import files

import pytest

from healthsync.standards.fhir import definitions

DATA = files("healthsync.standards.fhir") / "data"
NAMES = ("structures", "value_sets", "search_parameters", "compartments")


def test_all_concrete_resource_types_of_r4_are_there() -> None:
    assert len(definitions.resource_types()) == 146
    assert {"Patient", "Bundle", "Parameters"} <= definitions.resource_types()
    assert not {"Resource", "DomainResource", "HumanName"} & definitions.resource_types()


def test_the_structures_are_those_of_hl7_and_not_a_modified_copy() -> None:
    elements = definitions.structures()["Meta"]["elements"]["Meta"]
    assert set(elements) == {"id", "extension", "versionId", "lastUpdated", "source", "profile", "security", "tag"}
    assert "url" not in definitions.structures()["Binary"]["elements"]["Binary"]


def test_only_search_parameters_of_4_0_1_are_kept() -> None:
    assert len(definitions.search_parameters()) == 1377


def test_only_five_required_bindings_are_too_large_to_be_listed() -> None:
    bound = {
        facts["codes"]
        for structure in definitions.structures().values()
        for elements in structure["elements"].values()
        for facts in elements.values()
        if "codes" in facts
    }
    assert {url.rpartition("/")[2] for url in bound - definitions.value_sets().keys()} == {
        "currencies", "mimetypes", "spdx-license", "ucum-units", "LL379-9",
    }  # fmt: skip


def test_no_licensed_code_system_is_shipped() -> None:
    systems = {system for value_set in definitions.value_sets().values() for system in value_set}
    assert not {"http://loinc.org", "http://snomed.info/sct", "http://www.ama-assn.org/go/cpt"} & systems


@pytest.mark.parametrize("name", NAMES)
def test_a_data_file_is_deterministic_and_named_in_the_notice(name: str) -> None:
    data = (DATA / f"{name}.json.gz").read_bytes()
    assert data[4:8] == b"\0\0\0\0"  # no time stamp (RFC 1952)
    assert gzip.decompress(data)[:1] in {b"{", b"["}
    assert name in (DATA / "NOTICE").read_text()


def test_the_data_is_small() -> None:
    assert sum(len((DATA / f"{name}.json.gz").read_bytes()) for name in NAMES) < 600_000


@pytest.mark.parametrize(
    ("element", "kind", "name"),
    [
        ("value[x]", "Quantity", "valueQuantity"),
        ("deceased[x]", "boolean", "deceasedBoolean"),
        ("name", "HumanName", "name"),
    ],
)
def test_the_json_name_of_a_choice_carries_its_type(element: str, kind: str, name: str) -> None:
    assert definitions.json_name(element, kind) == name
