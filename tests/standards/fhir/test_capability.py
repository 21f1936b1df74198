"""capabilitystatement.html"""

from __future__ import annotations

from healthsync.standards.fhir import validate
from healthsync.standards.fhir.capability import Operation, ResourceSupport, capability_statement

EVERYTHING = Operation("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything")


def statement() -> dict:
    return capability_statement(
        [
            ResourceSupport("Patient", ("read", "vread", "search-type"), (EVERYTHING,), conditional_create=True),
            ResourceSupport("Basic", ("read",)),
            ResourceSupport("Observation", ("search-type",), parameter_types=frozenset({"token", "date"})),
        ],
        base_url="http://127.0.0.1/fhir",
        software_version="0.1.0",
        published="2026-11-25T00:00:00Z",
        system_interactions=("transaction", "batch"),
    )


def test_a_statement_is_valid_fhir() -> None:
    assert validate.structure(statement()) == []


def test_a_statement_names_what_is_registered_and_nothing_else() -> None:
    rest = statement()["rest"][0]
    described = {resource["type"]: resource for resource in rest["resource"]}
    assert list(described) == ["Basic", "Observation", "Patient"]
    assert described["Patient"]["operation"] == [{"name": "everything", "definition": EVERYTHING.definition}]
    assert "searchParam" not in described["Basic"]
    assert {parameter["type"] for parameter in described["Observation"]["searchParam"]} == {"token", "date"}
    names = [parameter["name"] for parameter in described["Patient"]["searchParam"]]
    assert {"_id", "_lastUpdated", "birthdate", "identifier", "family"} <= set(names)
    assert not {"phonetic", "_text", "_content", "_query"} & set(names)
    assert [each["code"] for each in rest["interaction"]] == ["transaction", "batch"]


def test_an_empty_server_has_no_empty_lists() -> None:
    empty = capability_statement([], base_url="http://h", software_version="1", published="2026")
    assert "interaction" not in empty["rest"][0]
    assert "resource" not in empty["rest"][0]
