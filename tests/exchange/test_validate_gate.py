"""What the gate in demands: R4 of everything, required profiles of clients, claimed profiles as the setting says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.audit import Action
from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.exchange.conformity import Conformity
from healthsync.exchange.ingest import Incoming, InvalidResource, Stored, Submission, submission_audit
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings
from healthsync.standards.fhir import json
from healthsync.standards.fhir.profiles import Library, Profiles

NAMED = "http://example.org/fhir/StructureDefinition/named"
DATED = "http://example.org/fhir/StructureDefinition/dated"
MODIFIER = "http://example.org/fhir/StructureDefinition/not-really"


def structure(url: str, type_: str, *elements: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "kind": "resource",
        "type": type_,
        "derivation": "constraint",
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "differential": {"element": [{"path": type_}, *elements]},
    }


PROFILES = Profiles(
    Library.of(
        [
            structure(NAMED, "Patient", {"path": "Patient.name", "min": 1}),
            structure(DATED, "Patient", {"path": "Patient.birthDate", "min": 1}),
        ]
    ),
    frozenset({MODIFIER}),
)


def patient(*claimed: str, **facts: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p",
        "active": True,
        **({"meta": {"profile": list(claimed)}} if claimed else {}),
        **facts,
    }


def gate(policy: Any = "warn", **required: list[str]) -> Conformity:
    return Conformity(None, SystemClock(), required, policy)  # type: ignore[arg-type]


def judged(
    resource: dict[str, Any], policy: Any = "warn", *, is_snapshot: bool = False, **required: list[str]
) -> list[tuple[str, str]]:
    issues = gate(policy, **required).at_the_gate(PROFILES, resource, json.dump(resource), is_snapshot=is_snapshot)
    return [(issue.severity, issue.code) for issue in issues]


@pytest.mark.parametrize(
    ("policy", "told"), [("enforce", [("error", "structure")]), ("warn", [("warning", "structure")]), ("off", [])]
)
def test_a_claimed_profile_is_taken_as_the_setting_says(policy: str, told: list[tuple[str, str]]) -> None:
    assert judged(patient(NAMED), policy) == told
    assert judged(patient(NAMED, name=[{"text": "x"}]), policy) == []


def test_a_claimed_profile_that_is_not_loaded_hinders_nothing() -> None:
    assert judged(patient("http://example.org/unknown"), "enforce") == []


@pytest.mark.parametrize("policy", ["enforce", "warn", "off"])
def test_a_required_profile_refuses_whatever_is_claimed(policy: str) -> None:
    assert judged(patient(), policy, Patient=[NAMED]) == [("error", "structure")]
    assert judged(patient(name=[{"text": "x"}]), policy, Patient=[NAMED]) == []
    assert judged({"resourceType": "Organization", "name": "x"}, policy, Patient=[NAMED]) == []


def test_one_of_several_required_profiles_suffices() -> None:
    assert judged(patient(birthDate="2000"), Patient=[NAMED, DATED]) == []
    assert judged(patient(), Patient=[NAMED, DATED]) == [("error", "structure")]


def test_a_required_profile_that_is_not_loaded_is_met_by_nothing() -> None:
    assert judged(patient(), Patient=["http://example.org/unknown"]) == [("error", "not-found")]


def test_a_snapshot_of_a_message_is_held_to_r4_only() -> None:
    assert judged(patient(NAMED), "enforce", is_snapshot=True, Patient=[DATED]) == []
    assert judged(patient(gender="x"), is_snapshot=True) == [("error", "code-invalid")]


@pytest.mark.parametrize(("url", "told"), [("http://example.org/x", [("error", "extension")]), (MODIFIER, [])])
def test_a_modifier_extension_is_refused_unless_a_package_defines_it(url: str, told: list[tuple[str, str]]) -> None:
    assert judged(patient(modifierExtension=[{"url": url, "valueBoolean": True}])) == told


# --- in a hub -----------------------------------------------------------------------------------------------------


def hub_with(database: Database, tmp_path: Path, written: str) -> Hub:
    (tmp_path / "healthsync.yaml").write_text(f"healthsync: {{fhir: {{{written}}}}}")
    overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True}
    settings = load_settings(tmp_path, environ={}, overrides=overrides)
    return build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())


async def load(database: Database) -> None:
    definition = json.dump(structure(NAMED, "Patient", {"path": "Patient.name", "min": 1})).decode()
    async with database.transaction() as tx:
        await tx.execute("INSERT INTO conformance_package VALUES ('a', '1', '', '{}', now())")
        await tx.execute(
            "INSERT INTO conformance_resource VALUES ('a', '1', 'StructureDefinition', $1, '', $2, $2, false)",
            NAMED,
            definition,
        )
        await tx.execute("UPDATE conformance_revision SET revision = revision + 1")


async def store(hub: Hub, resource: dict[str, Any]) -> Stored:
    async with hub.database.transaction() as tx:
        submission = Submission("test", [Incoming(resource, "create")], submission_audit(Action.CREATE, "create"))
        return (await hub.ingest(tx, submission)).stored[0]


@pytest.mark.shows("fhir.profile_validation")
@pytest.mark.parametrize(("policy", "told"), [("warn", ["structure"]), ("off", [])])
async def test_a_broken_claim_is_stored_and_said(
    database: Database, tmp_path: Path, policy: str, told: list[str]
) -> None:
    await load(database)
    hub = hub_with(database, tmp_path, f"profile_validation: '{policy}'")
    stored = await store(hub, patient(NAMED))
    assert stored.outcome == "created"
    assert [issue.code for issue in stored.warnings] == told
    await hub.close()


async def test_an_enforced_claim_refuses(database: Database, tmp_path: Path) -> None:
    await load(database)
    hub = hub_with(database, tmp_path, "profile_validation: enforce")
    with pytest.raises(InvalidResource):
        await store(hub, patient(NAMED))
    assert (await store(hub, patient(NAMED, name=[{"text": "x"}]))).outcome == "created"
    await hub.close()


@pytest.mark.shows("fhir.required_profiles")
async def test_a_required_profile_refuses_in_a_hub(database: Database, tmp_path: Path) -> None:
    await load(database)
    hub = hub_with(database, tmp_path, f"required_profiles: {{Patient: ['{NAMED}']}}")
    with pytest.raises(InvalidInput) as raised:
        await store(hub, patient())
    assert "named" in str(raised.value)
    await hub.close()


def test_required_profiles_name_types_of_r4(tmp_path: Path) -> None:
    (tmp_path / "healthsync.yaml").write_text("healthsync: {fhir: {required_profiles: {Patiant: ['urn:x']}}}")
    with pytest.raises(ConfigurationError, match="Patiant is no resource type"):
        load_settings(tmp_path, environ={})
