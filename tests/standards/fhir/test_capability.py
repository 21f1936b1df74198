"""capabilitystatement.html, terminologycapabilities.html"""

from __future__ import annotations

from healthsync.standards.fhir import validate
from healthsync.standards.fhir.capability import (
    EVERY_TYPE,
    Operation,
    ResourceSupport,
    Server,
    capability_statement,
    terminology_capabilities,
)

EVERYTHING = Operation("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything", ("Patient",))
SERVER = Server(
    base_url="http://127.0.0.1/fhir",
    software_version="0.1.0",
    published="2026-11-25T00:00:00Z",
    interactions=("transaction", "batch", "search-system"),
    operations=(Operation("export", "http://example.org/export", system=True),),
    patch_formats=("application/json-patch+json",),
    security="a key",
    oauth=True,
)


def statement() -> dict:
    return capability_statement(
        SERVER,
        [
            ResourceSupport(
                "Patient",
                ("read", "vread", "search-type"),
                (EVERYTHING,),
                conditional_create=True,
                conditional_delete="single",
                includes=True,
                reference_policy=("literal",),
            ),
            ResourceSupport("Basic", ("create",)),
            ResourceSupport("Observation", ("search-type",)),
        ],
    )


def test_a_statement_is_valid_fhir() -> None:
    systems = {"http://example.org/one": ["2", "1"], "http://example.org/none": []}
    for resource in (statement(), terminology_capabilities(SERVER, systems, ("count", "filter"))):
        assert [issue for issue in validate.structure(resource) if issue.is_error] == []


def test_a_statement_names_what_is_registered_and_nothing_else() -> None:
    rest = statement()["rest"][0]
    described = {resource["type"]: resource for resource in rest["resource"]}
    assert list(described) == ["Basic", "Observation", "Patient"]
    patient, basic, observation = described["Patient"], described["Basic"], described["Observation"]
    assert patient["operation"] == [{"name": "everything", "definition": EVERYTHING.definition}]
    assert (patient["conditionalRead"], patient["conditionalDelete"]) == ("full-support", "single")
    assert (patient["readHistory"], basic["readHistory"]) == (True, False)
    assert (basic["conditionalRead"], basic["conditionalDelete"]) == ("not-supported", "not-supported")
    assert "searchParam" not in basic
    assert "searchInclude" not in observation
    assert {"*", "Patient:general-practitioner"} <= set(patient["searchInclude"])
    assert {"Observation:patient", "Observation:subject"} <= set(patient["searchRevInclude"])
    names = [parameter["name"] for parameter in patient["searchParam"]]
    assert {"_id", "_lastUpdated", "birthdate", "identifier", "family"} <= set(names)
    assert [each["code"] for each in rest["interaction"]] == ["transaction", "batch", "search-system"]
    assert {"_id", "_tag"} <= {each["name"] for each in rest["searchParam"]}
    assert rest["operation"][0]["name"] == "export"


def test_an_empty_server_has_no_empty_lists() -> None:
    empty = capability_statement(Server("http://h", "1", "2026"), [])
    assert empty["rest"] == [{"mode": "server"}]
    assert "patchFormat" not in empty


def test_an_operation_knows_where_it_is_called() -> None:
    everywhere = Operation("meta", "urn:meta", EVERY_TYPE)
    assert everywhere.is_of("Basic")
    assert EVERYTHING.is_of("Patient")
    assert not EVERYTHING.is_of("Basic")
    assert not SERVER.operations[0].is_of("Basic")
