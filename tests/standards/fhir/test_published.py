"""What HL7 published with R4 is complete, readable, and holds nothing that may not be shipped."""

import pytest

from healthsync.standards.fhir import published

LICENSED = (
    "http://snomed.info/sct",
    "http://www.ama-assn.org/go/cpt",
    "http://nucc.org/provider-taxonomy",
    "http://dicom.nema.org/resources/ontology/DCM",
)


def test_the_archive_holds_the_terminology_of_r4_with_v2_and_v3():
    index = published.index()
    assert {kind: len(entries) for kind, entries in index.items()} == {
        "CodeSystem": 1052,
        "ValueSet": 1274,
        "ConceptMap": 17,
    }
    for kind, url in (
        ("CodeSystem", "http://hl7.org/fhir/administrative-gender"),
        ("CodeSystem", "http://terminology.hl7.org/CodeSystem/v2-0203"),
        ("CodeSystem", "http://terminology.hl7.org/CodeSystem/v3-ActReason"),
        ("ValueSet", "http://hl7.org/fhir/ValueSet/observation-status"),
    ):
        resource = published.resource(kind, url)
        assert resource is not None
        assert (resource["resourceType"], resource["url"]) == (kind, url)


def test_no_resource_lists_codes_of_a_licensed_code_system():
    for url in LICENSED:
        assert "concept" not in (published.resource("CodeSystem", url) or {})
    for url in published.index()["ValueSet"]:
        compose = (published.resource("ValueSet", url) or {}).get("compose", {})
        for part in (*compose.get("include", ()), *compose.get("exclude", ())):
            assert "concept" not in part or part["system"] not in LICENSED, url


@pytest.mark.parametrize("kind", ["CodeSystem", "ValueSet", "ConceptMap"])
def test_what_was_not_published_is_none(kind):
    assert published.resource(kind, "http://example.org/unknown") is None
