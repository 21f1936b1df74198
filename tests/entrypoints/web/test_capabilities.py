"""GET metadata (http.html#capabilities): truthful, because it is made from what is registered."""

from __future__ import annotations

from healthsync.entrypoints.web.capability_routes import operations
from healthsync.exchange.surfaces import SURFACES
from healthsync.standards.fhir import validate


async def test_the_statement_is_valid_and_names_what_is_served(client_as):
    stranger = await client_as()
    statement = (await stranger.get("/fhir/metadata")).json()
    assert [issue for issue in validate.structure(statement) if issue.is_error] == []
    assert statement["implementation"]["url"] == "http://hub/fhir"
    assert statement["patchFormat"] == ["application/json-patch+json", "application/fhir+json"]
    rest = statement["rest"][0]
    assert {each["code"] for each in rest["interaction"]} >= {"transaction", "batch", "history-system"}
    described = {each["type"]: each for each in rest["resource"]}
    assert len(described) == 146
    patient = described["Patient"]
    assert {each["code"] for each in patient["interaction"]} == {
        "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"
    }  # fmt: skip
    assert (patient["versioning"], patient["conditionalRead"]) == ("versioned", "full-support")
    assert patient["conditionalCreate"] is patient["conditionalUpdate"] is patient["updateCreate"] is True
    assert {"everything", "meta", "meta-add", "meta-delete"} <= {each["name"] for each in patient["operation"]}
    assert "everything" not in {each["name"] for each in described["Basic"]["operation"]}
    assert {each["code"] for each in described["AuditEvent"]["interaction"]} <= {"search-type", "read"}
    assert described["AuditEvent"]["conditionalDelete"] == "not-supported"


async def test_modes_formats_and_options(client_as):
    stranger = await client_as()
    for path, kind in [
        ("/fhir/metadata?mode=full", "CapabilityStatement"),
        ("/fhir/metadata?mode=normative", "CapabilityStatement"),
        ("/fhir/metadata?mode=terminology", "TerminologyCapabilities"),
        ("/api/fhir/metadata", "CapabilityStatement"),
    ]:
        answer = await stranger.get(path)
        assert (answer.status_code, answer.json()["resourceType"]) == (200, kind)
        assert [issue for issue in validate.structure(answer.json()) if issue.is_error] == []
    assert (await stranger.options("/fhir")).json()["resourceType"] == "CapabilityStatement"
    assert (await stranger.get("/fhir/metadata?mode=partial")).status_code == 400
    summary = (await stranger.get("/fhir/metadata?_summary=true")).json()
    assert summary["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert len((await stranger.get("/fhir/metadata?_elements=status")).text) < 1000


def test_every_registered_operation_has_a_definition_that_somebody_published():
    served = {(operation.name, operation.definition) for operation in operations(SURFACES)}
    assert len(served) > 3
    published = {
        "http://hl7.org/fhir/OperationDefinition/" + name
        for name in (
            "CodeSystem-lookup", "CodeSystem-subsumes", "CodeSystem-validate-code", "ConceptMap-closure",
            "ConceptMap-translate",
            "Encounter-everything", "Observation-lastn", "Patient-everything", "Patient-match", "Patient-merge", "Resource-graph", "Resource-graphql",
            "Resource-meta", "Resource-meta-add", "Resource-meta-delete", "Resource-validate", "ValueSet-expand",
            "ValueSet-validate-code",
        )
    }  # fmt: skip
    for name, definition in served:
        assert (
            definition in published
            or "https://profiles.ihe.net/" in definition
            or "/uv/" in definition
            or "/us/" in definition
            or "urn:" in definition
        ), name
