"""What is sealed, under which key, and that it opens only in its own place."""

from __future__ import annotations

import asyncio
import json as plain_json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from healthsync.domains.privacy import (
    HUB_SCOPE,
    DataKey,
    DataKeys,
    SealingPolicy,
    SensitivityClass,
    seal_resource,
    store,
    unseal_members,
)
from healthsync.errors import Unavailable
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.crypto.field_cipher import SealBroken
from healthsync.standards.fhir import json
from healthsync.standards.fhir.definitions import patient_compartment, structures
from healthsync.standards.fhir.packing import unpack

POLICY = SealingPolicy.load()
OF_DEFINITIONS = {
    "ElementDefinition", "Contributor", "Population", "ProdCharacteristic", "ProductShelfLife", "ParameterDefinition",
    "DataRequirement", "TriggerDefinition", "Expression", "RelatedArtifact",
}  # fmt: skip
"""Data types of definitions, which are about no one."""
KEY = DataKey("patient/7", 1, bytes(range(32)))


def _resource(resource_type: str, **elements) -> dict:
    return {"resourceType": resource_type, "id": "x1", "meta": {"versionId": "1"}, **elements}


def _sealed(resource: dict, key: DataKey = KEY):
    return seal_resource(POLICY, resource, key=key, hub_id="hub")


def _opened(sealed, *, reference="Patient/x1", version=1, key=KEY, hub_id="hub") -> dict:
    return json.parse(unseal_members(sealed, reference=reference, version=version, key=key, hub_id=hub_id).encode())


@pytest.mark.parametrize(
    ("resource_type", "element", "value", "expected"),
    [
        ("Patient", "name", [{"family": "X"}], "identity"),
        ("Patient", "birthDate", "1990-01-01", "identity"),
        ("Patient", "_birthDate", {"extension": []}, "identity"),
        ("Patient", "gender", "female", None),
        ("Patient", "link", [{"other": {"reference": "Patient/2"}}], None),
        ("Patient", "text", {"div": "<div/>"}, "narrative"),
        ("RelatedPerson", "name", [{"family": "X"}], "identity"),
        ("Practitioner", "name", [{"family": "X"}], "identity"),
        ("Organization", "name", "Mercy", None),
        ("Location", "name", "W1-101", None),
        ("Encounter", "identifier", [{"value": "V1"}], "identity"),
        ("Encounter", "subject", {"reference": "Patient/1"}, None),
        ("Encounter", "subject", {"reference": "Patient/1", "display": "Ann X"}, "narrative"),
        ("Encounter", "subject", {"identifier": {"value": "1"}}, "narrative"),
        ("Encounter", "participant", [{"individual": {"reference": "Practitioner/1", "display": "Dr Y"}}], "narrative"),
        ("Coverage", "payor", [{"display": "Ann X"}], "narrative"),
        ("Observation", "code", {"coding": [{"code": "1", "display": "Glucose"}], "text": "Glucose"}, None),
        ("Observation", "code", {"text": "what the patient calls the spins"}, "narrative"),
        ("Observation", "valueString", "walks his dog", "narrative"),
        ("Observation", "valueQuantity", {"value": 1, "unit": "mg"}, None),
        ("Observation", "component", [{"code": {"coding": [{}]}, "valueString": "free"}], "narrative"),
        ("Observation", "component", [{"code": {"coding": [{}]}, "valueInteger": 1}], None),
        ("Observation", "referenceRange", [{"text": "1-2"}], None),
        ("Observation", "note", [{"text": "n"}], "narrative"),
        ("Observation", "effectiveDateTime", "2024-01-01", None),
        ("Observation", "status", "final", None),
        ("DiagnosticReport", "conclusion", "all is well", "narrative"),
        ("DiagnosticReport", "conclusionCode", [{"text": "odd"}], "narrative"),
        ("Goal", "statusReason", "he moved away", "narrative"),
        ("Device", "serialNumber", "S1", "identity"),
        ("CarePlan", "activity", [{"detail": {"kind": "Task", "status": "completed"}}], None),
        ("CarePlan", "activity", [{"detail": {"description": "rest"}}], "narrative"),
        ("MedicationRequest", "dosageInstruction", [{"text": "take one"}], "narrative"),
        ("Condition", "extension", [{"url": "x", "valueString": "y"}], "narrative"),
        ("Condition", "contained", [{"resourceType": "Patient"}], "narrative"),
        ("ValueSet", "title", "Colours", None),
        ("Goal", "description", {"text": "run"}, "narrative"),
        ("Binary", "data", "QUJD", "narrative"),
        ("Task", "input", [{"type": {"coding": [{}]}, "referenceRange": {"text": "x"}}], None),
    ],
)  # fmt: skip
def test_direct_identifiers_and_free_text_are_sealed_and_codes_are_not(resource_type, element, value, expected):
    assert POLICY.class_of(resource_type, element, value) == expected


def test_every_string_that_can_stand_in_a_patients_resource_was_judged():
    of_patients = {"Patient", "Medication", "Device", *patient_compartment()}
    judged = POLICY.free_text | POLICY.parts | set(POLICY.readable) | set(POLICY.any_type)
    unjudged = set()
    for name, structure in structures().items():
        if structure["kind"] == "resource" and name not in of_patients:
            continue
        if name in OF_DEFINITIONS or name.startswith("Substance"):
            continue
        named = set(POLICY.types.get(name, {}))
        for path, elements in structure["elements"].items():
            for element, facts in elements.items():
                if {"string", "markdown", "xhtml"} & set(facts.get("types", ())):
                    text = element.replace("[x]", "String")
                    if text not in judged and not {element, path.split(".")[-1]} & named:
                        unjudged.add(f"{path}.{text}")
    assert unjudged == set()


def test_nothing_sealed_is_readable_and_all_of_it_comes_back():
    patient = _resource(
        "Patient", name=[{"family": "Quennell"}], birthDate="1971-03-09", gender="female", text={"div": "Ottoline"}
    )
    sealed = _sealed(patient)
    stored = unpack(sealed.packed) + (sealed.identity or b"") + (sealed.narrative or b"")
    for secret in (b"Quennell", b"1971-03-09", b"Ottoline"):
        assert secret not in stored
    assert _opened(sealed) == patient


def test_a_number_keeps_its_digits_through_sealing():
    observation = json.parse(
        b'{"resourceType":"Observation","id":"x1","meta":{"versionId":"1"},"valueQuantity":{"value":72.50}}'
    )
    sealed = _sealed(observation)
    assert sealed.identity is sealed.narrative is None
    assert "72.50" in unseal_members(sealed, reference="Observation/x1", version=1, key=KEY, hub_id="hub")


@pytest.mark.parametrize(
    "place",
    [
        {"reference": "Patient/x2"},
        {"version": 2},
        {"hub_id": "other"},
        {"key": replace(KEY, version=2, _subkeys={})},
        {"key": DataKey("patient/8", 1, KEY.key)},
        {"key": DataKey("patient/7", 1, bytes(32))},
    ],
    ids=["id", "version", "hub", "key version", "scope", "key"],
)
def test_a_ciphertext_that_was_moved_does_not_open(place):
    sealed = _sealed(_resource("Patient", name=[{"family": "Q"}]))
    with pytest.raises(SealBroken):
        _opened(sealed, **place)


def test_the_classes_cannot_stand_for_each_other():
    sealed = _sealed(_resource("Patient", name=[{"family": "Q"}], text={"div": "d"}))
    swapped = structs.replace(sealed, identity=sealed.narrative, narrative=sealed.identity)
    with pytest.raises(SealBroken):
        _opened(swapped)
    assert KEY.subkey(SensitivityClass.IDENTITY) != KEY.subkey(SensitivityClass.NARRATIVE)
    assert KEY.subkey("identity") is KEY.subkey("identity")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "display", "coding", "value", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["name", "note", "status", "code", "valueString", "subject", "y"]), _VALUES))
def test_splitting_and_joining_is_the_identity(elements):
    resource = _resource("Patient", **elements)
    assert _opened(_sealed(resource)) == plain_json.loads(plain_json.dumps(resource))


@pytest.fixture
def keyring():
    return InsecureDevelopmentKeyring()


async def test_a_scope_keeps_its_key_and_scopes_have_different_ones(database, keyring):
    keys = DataKeys(keyring)
    async with database.transaction() as tx:
        first = await keys.for_scope(tx, "patient/1")
        again = await keys.for_scope(tx, "patient/1")
        other = await keys.for_scope(tx, HUB_SCOPE)
    assert first == again
    assert other.key != first.key
    async with database.transaction() as tx:
        assert await keys.for_scope(tx, "patient/1") == first
        assert await DataKeys(keyring).for_scope(tx, "patient/1") == first
        for reader in (keys, DataKeys(keyring)):
            assert await reader.of_versions(tx, [("patient/1", 1)]) == {("patient/1", 1): first}


async def test_a_key_that_was_rolled_back_seals_nothing(database, keyring):
    keys = DataKeys(keyring)
    lost = None
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            lost = await keys.for_scope(tx, "patient/1")
            raise RuntimeError
    async with database.transaction() as tx:
        kept = await keys.for_scope(tx, "patient/1")
    assert lost is not None
    assert kept.key != lost.key


async def test_two_who_need_the_same_new_key_get_the_same(database, keyring):
    async def take() -> DataKey:
        async with database.transaction() as tx:
            return await DataKeys(keyring).for_scope(tx, "patient/1")

    assert len({key.key for key in await asyncio.gather(*(take() for _ in range(8)))}) == 1


async def test_a_destroyed_key_is_absent(database, keyring):
    keys = DataKeys(keyring)
    async with database.transaction() as tx:
        await keys.for_scope(tx, "patient/1")
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM data_key")
        assert await DataKeys(keyring).of_versions(tx, [("patient/1", 1)]) == {}


async def test_a_key_that_vanishes_while_it_is_made_is_an_outage_and_not_a_lost_secret(database, keyring, monkeypatch):
    async def nothing(tx, scope):
        return None

    monkeypatch.setattr(store, "newest_key", nothing)
    async with database.transaction() as tx:
        with pytest.raises(Unavailable):
            await DataKeys(keyring).for_scope(tx, "patient/1")


async def test_the_cache_is_bounded(database, keyring):
    keys = DataKeys(keyring, cached_keys=3)
    for number in range(6):
        async with database.transaction() as tx:
            await keys.for_scope(tx, f"patient/{number}")
    assert len(keys._newest) == len(keys._by_version) == 3
