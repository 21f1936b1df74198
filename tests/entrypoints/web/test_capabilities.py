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
    assert [each["name"] for each in described["AuditEvent"]["searchParam"]] == ["date", "patient"]


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


async def test_the_terminology_that_can_be_asked_is_told_with_its_versions(admin):
    system = {"resourceType": "CodeSystem", "url": "http://example.org/told", "status": "active"}
    for id_, more in (
        ("a", {"version": "1.9", "content": "complete"}),
        ("b", {"version": "1.10", "content": "fragment"}),
        ("c", {"version": "2", "content": "not-present"}),
        ("d", {"version": "3", "content": "complete", "url": "http://hl7.org/fhir/administrative-gender"}),
    ):
        assert (await admin.put(f"/fhir/CodeSystem/{id_}", json={**system, "id": id_, **more})).status_code == 201
    told = (await admin.get("/fhir/metadata?mode=terminology")).json()
    assert [issue for issue in validate.structure(told) if issue.is_error] == []
    systems = {each["uri"]: each.get("version") for each in told["codeSystem"]}
    assert systems["http://example.org/told"] == [
        {"code": "1.10", "isDefault": True},
        {"code": "1.9", "isDefault": False},
    ]
    genders = [each["code"] for each in systems["http://hl7.org/fhir/administrative-gender"]]
    assert genders == ["3", "4.0.1"]
    assert {"http://unitsofmeasure.org", "urn:ietf:bcp:47"} <= set(systems)
    assert {"http://snomed.info/sct", "http://loinc.org"}.isdisjoint(systems)
    names = {each["name"] for each in told["expansion"]["parameter"]}
    assert {"tx-resource", "count", "displayLanguage", "system-version"} <= names and "cache-id" not in names
    statement = (await admin.get("/fhir/metadata")).json()
    assert statement["instantiates"] == ["http://hl7.org/fhir/CapabilityStatement/terminology-server"]


def test_every_registered_operation_has_a_definition_that_somebody_published():
    served = {(operation.name, operation.definition) for operation in operations(SURFACES)}
    assert len(served) > 3
    published = {
        "http://hl7.org/fhir/OperationDefinition/" + name
        for name in (
            "CodeSystem-lookup", "CodeSystem-subsumes", "CodeSystem-validate-code", "ConceptMap-closure",
            "Composition-document", "ConceptMap-translate",
            "Encounter-everything", "List-find", "Observation-lastn", "Patient-everything", "Patient-match", "Patient-merge", "Resource-graph", "Resource-graphql",
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
