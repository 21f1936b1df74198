"""$validate (resource-operation-validate.html): always an OperationOutcome with 200, and nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from healthsync.standards.fhir.profiles import read

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"


async def asked(client: Any, path: str, body: Any = None, method: str = "POST") -> list[dict[str, Any]]:
    answer = (
        await client.request(method, f"/fhir/{path}", json=body)
        if body is not None
        else await client.request(method, f"/fhir/{path}")
    )
    assert answer.status_code == 200, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome["issue"]


def question(resource: Any = None, **values: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [] if resource is None else [{"name": "resource", "resource": resource}]
    kinds = {"mode": "valueCode", "profile": "valueUri"}
    return {"resourceType": "Parameters", "parameter": parts + [{"name": n, kinds[n]: v} for n, v in values.items()]}


def severities(issues: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(issue["severity"], issue["code"], issue.get("expression", [None])[0]) for issue in issues]


@pytest.fixture
async def us_core(hub, shared_data: Path) -> None:
    """US Core 3.1.1 is loaded."""
    async with hub.database.transaction() as tx:
        await hub.conformance.add(tx, read((shared_data / "us-core/hl7.fhir.us.core-311.tgz").read_bytes()))


async def test_a_valid_resource_alone_or_among_parameters_has_no_issues(admin, patient):
    for body in (patient, question(patient)):
        (issue,) = await asked(admin, "Patient/$validate", body)
        assert (issue["severity"], issue["code"]) == ("information", "informational")


async def test_every_fault_is_told_with_severity_code_place_and_remedy(admin, patient):
    broken = {**patient, "gender": "woman", "birthDate": "1.1.2000", "contact": [{"gender": "male"}]}
    issues = await asked(admin, "Patient/$validate", broken)
    assert severities(issues) == [
        ("error", "invalid", "Patient.birthDate"),
        ("error", "code-invalid", "Patient.gender"),
    ] or severities(issues) == [("error", "code-invalid", "Patient.gender"), ("error", "invalid", "Patient.birthDate")]
    assert "use female, male, other, unknown" in json.dumps(issues)
    assert "woman" not in json.dumps(issues)


async def test_a_code_outside_an_extensible_binding_is_a_warning(admin, patient):
    married = {**patient, "maritalStatus": {"coding": [{"system": "urn:own", "code": "M"}]}}
    assert severities(await asked(admin, "Patient/$validate", married)) == [
        ("warning", "code-invalid", "Patient.maritalStatus")
    ]


async def test_what_cannot_be_read_is_not_valid(admin):
    answer = await admin.post("/fhir/Patient/$validate", content=b'{"resourceType": ')
    assert answer.status_code == 200
    assert answer.json()["issue"][0]["severity"] == "fatal"
    assert severities(await asked(admin, "Patient/$validate", question()))[0][:2] == ("error", "required")
    assert severities(await asked(admin, "Patient/$validate", {"resourceType": "Group"}))[0][:2] == ("error", "invalid")
    assert severities(await asked(admin, "Patient/$validate?mode=guess", {"resourceType": "Patient"}))[0][:2] == (
        "fatal",
        "value",
    )


async def test_parameters_themselves_can_be_validated(admin):
    bare = {"resourceType": "Parameters", "parameter": [{"name": "a"}]}
    for body in (bare, question(bare)):
        assert severities(await asked(admin, "Parameters/$validate", body)) == [
            ("error", "invariant", "Parameters.parameter[0]")
        ]


async def test_a_mode_rehearses_the_interaction_and_stores_nothing(admin, patient, observation):
    orphan = observation("nobody-here")
    assert severities(await asked(admin, "Observation/$validate", orphan)) == [("information", "informational", None)]
    (issue,) = await asked(admin, "Observation/$validate", question(orphan, mode="create"))
    assert (issue["severity"], issue["code"]) == ("warning", "not-found")
    (issue,) = await asked(admin, "Patient/$validate", question(patient, mode="create"))
    assert issue["severity"] == "information"
    assert (await admin.get("/fhir/Patient?_summary=count")).json()["total"] == 0


async def test_an_update_is_rehearsed_against_its_instance(admin, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    (issue,) = await asked(
        admin, f"Patient/{id_}/$validate", question({**patient, "id": id_, "active": True}, mode="update")
    )
    assert issue["severity"] == "information"
    (issue,) = await asked(admin, f"Patient/{id_}/$validate", question({**patient, "id": "other"}, mode="update"))
    assert (issue["code"], issue["expression"]) == ("invalid", ["Patient.id"])
    (issue,) = await asked(admin, "Patient/$validate", question(patient, mode="update"))
    assert (issue["severity"], issue["code"]) == ("error", "invalid")
    assert (await admin.get(f"/fhir/Patient/{id_}")).json()["meta"]["versionId"] == "1"


async def test_a_delete_is_rehearsed_without_a_resource(admin, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    (issue,) = await asked(admin, f"Patient/{id_}/$validate?mode=delete")
    assert issue["severity"] == "information"
    assert (await admin.get(f"/fhir/Patient/{id_}")).status_code == 200
    (issue,) = await asked(admin, "Patient/never-here/$validate?mode=delete")
    assert (issue["severity"], issue["code"]) == ("error", "not-found")


async def test_what_is_stored_can_be_validated_by_who_may_read_it(admin, client_as, patient):
    id_ = (await admin.post("/fhir/Patient", json=patient)).json()["id"]
    for method in ("GET", "POST"):
        (issue,) = await asked(admin, f"Patient/{id_}/$validate", method=method)
        assert issue["severity"] == "information"
    assert (await admin.get("/fhir/Patient/unknown/$validate")).status_code == 404
    nurse = await client_as("nurse")
    assert (await nurse.get("/fhir/Coverage/c1/$validate")).status_code == 403


async def test_who_may_not_write_may_not_rehearse_it(client_as, patient):
    researcher = await client_as("researcher")
    answer = await researcher.post("/fhir/Patient/$validate", json=question(patient, mode="create"))
    assert answer.status_code == 403


async def test_each_validation_is_recorded(admin, patient, hub, database):
    await asked(admin, "Patient/$validate", patient)
    async with database.connection() as tx:
        rows = await hub.audit.search(tx)
    assert [row.entry["entities"] for row in rows if row.entry["interaction"] == "$validate"] == [["Patient"]]


async def test_profiles_are_asked_for_by_parameter_query_or_claim(admin, us_core, patient):
    nameless = {**patient, "name": [{"use": "old"}]}
    expected = ("error", "invariant", "Patient.name[0]")
    url = US_CORE + "us-core-patient"
    for path, body in (
        ("Patient/$validate", question(nameless, profile=url)),
        ("Patient/$validate", question(nameless, profile=url, mode="profile")),
        (f"Patient/$validate?profile={url}", nameless),
        ("Patient/$validate", {**nameless, "meta": {"profile": [url]}}),
    ):
        assert expected in severities(await asked(admin, path, body))
    assert expected not in severities(await asked(admin, "Patient/$validate", nameless))


async def test_a_profile_that_is_not_loaded_is_a_warning_when_claimed_and_an_error_when_asked_for(admin, patient):
    claimed = {**patient, "meta": {"profile": ["http://example.org/unknown"]}}
    assert severities(await asked(admin, "Patient/$validate", claimed)) == [
        ("warning", "structure", "Patient.meta.profile[0]")
    ]
    assert severities(await asked(admin, "Patient/$validate?profile=http://example.org/unknown", patient)) == [
        ("error", "not-found", "Patient")
    ]
    assert severities(await asked(admin, "Patient/$validate", question(patient, mode="profile")))[0][:2] == (
        "error",
        "required",
    )


async def test_the_operation_is_served_under_the_alias_too(admin, patient):
    assert (await admin.post("/api/fhir/Patient/$validate", json=patient)).status_code == 200


async def test_an_unknown_modifier_extension_is_refused_at_the_gate(admin, patient):
    answer = await admin.post(
        "/fhir/Patient", json={**patient, "modifierExtension": [{"url": "urn:x", "valueCode": "y"}]}
    )
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["code"] == "extension"


# --- profiles that are stored here as resources -------------------------------------------------------------------

OWN = "http://example.org/fhir/StructureDefinition/named-patient"


def named_patient(**elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition", "id": "named-patient", "url": OWN, "name": "Named", "status": "active",
        "kind": "resource", "abstract": False, "type": "Patient", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
        **elements,
    }  # fmt: skip


async def faults(client: Any, resource: dict[str, Any]) -> list[str]:
    return [issue["severity"] for issue in await asked(client, "Patient/$validate", resource)]


async def test_a_stored_profile_is_one_to_validate_against_until_it_goes(admin):
    claiming = {"resourceType": "Patient", "meta": {"profile": [OWN]}}
    assert await faults(admin, claiming) == ["warning"]
    for written, expected in (
        (named_patient(), ["error"]),
        (named_patient(status="retired"), ["warning"]),
        (named_patient(status="draft"), ["error"]),
        (named_patient(differential={"element": [{"id": "Patient", "path": "Patient"}]}), ["information"]),
        (named_patient(url=OWN + "-2"), ["warning"]),
    ):
        assert (await admin.put("/fhir/StructureDefinition/named-patient", json=written)).status_code in (200, 201)
        assert await faults(admin, claiming) == expected
    await admin.put("/fhir/StructureDefinition/named-patient", json=named_patient())
    assert await faults(admin, {**claiming, "name": [{"family": "x"}]}) == ["information"]
    assert (await admin.delete("/fhir/StructureDefinition/named-patient")).status_code == 204
    assert await faults(admin, claiming) == ["warning"]


async def test_a_stored_value_set_and_extension_count_for_a_stored_profile(admin):
    codes = {
        "resourceType": "ValueSet", "id": "states", "url": "http://example.org/fhir/ValueSet/states",
        "status": "active", "compose": {"include": [{"system": "urn:own", "concept": [{"code": "M"}]}]},
    }  # fmt: skip
    bound = {"path": "Patient.maritalStatus", "binding": {"strength": "required", "valueSet": codes["url"]}}
    assert (await admin.put("/fhir/ValueSet/states", json=codes)).status_code == 201
    profile = named_patient(differential={"element": [{"id": "Patient.maritalStatus", **bound}]})
    assert (await admin.put("/fhir/StructureDefinition/named-patient", json=profile)).status_code == 201

    def married(code: str) -> dict[str, Any]:
        state = {"coding": [{"system": "urn:own", "code": code}]}
        return {"resourceType": "Patient", "meta": {"profile": [OWN]}, "maritalStatus": state}

    assert "error" not in await faults(admin, married("M"))
    assert "error" in await faults(admin, married("X"))

    modifier = {
        "resourceType": "StructureDefinition", "id": "not-really", "url": "http://example.org/fhir/not-really",
        "name": "NotReally", "status": "active", "kind": "complex-type", "abstract": False, "type": "Extension",
        "context": [{"type": "element", "expression": "Patient"}], "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
        "differential": {"element": [{"id": "Extension", "path": "Extension", "isModifier": True, "isModifierReason": "no"}]},
    }  # fmt: skip
    changed = {
        "resourceType": "Patient",
        "modifierExtension": [{"url": "http://example.org/fhir/not-really", "valueBoolean": True}],
    }
    assert (await admin.post("/fhir/Patient", json=changed)).status_code == 422
    assert (await admin.put("/fhir/StructureDefinition/not-really", json=modifier)).status_code == 201
    assert (await admin.post("/fhir/Patient", json=changed)).status_code == 201


async def test_only_an_administrator_decides_what_is_valid_here(admin, client_as):
    system = await client_as("system")
    claiming = {"resourceType": "Patient", "meta": {"profile": [OWN]}}
    assert (await system.put("/fhir/StructureDefinition/named-patient", json=named_patient())).status_code == 201
    assert await faults(admin, claiming) == ["warning"]
    rewritten = named_patient(name="NamedPatient")
    assert (await admin.put("/fhir/StructureDefinition/named-patient", json=rewritten)).status_code == 200
    assert await faults(admin, claiming) == ["error"]


async def test_a_package_outranks_what_is_stored_under_the_same_url_and_version(hub, admin, us_core):
    url = US_CORE + "us-core-patient"
    mine = named_patient(url=url, version="3.1.1", differential={"element": [{"id": "Patient", "path": "Patient"}]})
    assert (await admin.put("/fhir/StructureDefinition/named-patient", json=mine)).status_code == 201
    assert "error" in await faults(admin, {"resourceType": "Patient", "meta": {"profile": [url]}})
