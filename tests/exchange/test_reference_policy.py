"""What a reference to something that is not here means, by policy (fhir.reference_integrity)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.exchange.reference_policy import (
    PLACEHOLDER,
    ReferenceIntegrity,
    ReferencePolicy,
    can_stand_in,
    stand_in,
)
from healthsync.standards.fhir import json, validate

BASE = "https://hub.example.org/fhir"
HERE = {("Practitioner", "here"), ("Encounter", "here")}
WERE = HERE | {("Practitioner", "deleted")}


def observation(**elements) -> dict:
    code = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": code, **elements}


async def judge(mode: str, *resources: dict, deleted=(), patients=(), **by_type: str):
    async def existing(keys):
        return {key for key in keys if key in HERE}

    async def known(keys):
        return {key for key in keys if key in WERE}

    arriving = {(r["resourceType"], r["id"]): r for r in resources} | dict.fromkeys(deleted)
    policy = ReferencePolicy(ReferenceIntegrity(mode), BASE, {t: ReferenceIntegrity(m) for t, m in by_type.items()})
    written = {key: json.dump(resource) for key, resource in arriving.items()}
    return await policy.judge(arriving, written, patients, existing, known)


def to(*texts: str) -> dict:
    return observation(performer=[{"reference": text} for text in texts])


PASSES = [
    "Practitioner/here",
    "Practitioner/here/_history/7",
    f"{BASE}/Practitioner/here",
    "https://elsewhere.example.org/fhir/Practitioner/nobody",
    "urn:uuid:9e5c3f5a-1f7c-4a57-9d0e-0c6c1f7a0001",
    "urn:oid:1.2.3",
    "#inside",
    "Person/of-the-index",
    "AuditEvent/of-the-log",
]


@pytest.mark.parametrize("text", PASSES)
async def test_what_is_here_or_elsewhere_passes_under_every_policy(text):
    for mode in ReferenceIntegrity:
        verdict = await judge(mode, to(text))
        assert not verdict.faults
        assert not verdict.warnings
        assert not verdict.stand_ins


@pytest.mark.parametrize("text", ["Practitioner/nobody", f"{BASE}/Practitioner/nobody", "Practitioner/deleted",
                                  "Practitioner/nobody/_history/1"])  # fmt: skip
async def test_enforce_refuses_what_is_not_here_and_says_where_it_stands(text):
    verdict = await judge("enforce", to("Practitioner/here", text))
    assert [(i.severity, i.code, i.expression) for i in verdict.faults] == [
        ("error", "business-rule", "Observation.performer[1]")
    ]
    assert "nobody" not in verdict.faults[0].diagnostics


async def test_warn_tells_each_place_and_refuses_nothing():
    verdict = await judge("warn", to("Practitioner/nobody", "Practitioner/here", "Organization/nobody"))
    assert not verdict.faults
    [(key, issues)] = verdict.warnings.items()
    assert key == ("Observation", "o")
    assert [(i.severity, i.expression) for i in issues] == [
        ("warning", "Observation.performer[0]"),
        ("warning", "Observation.performer[2]"),
    ]


async def test_off_looks_at_nothing():
    verdict = await judge("off", observation(subject={"reference": "Group/nobody", "type": "Patient"}))
    assert (verdict.faults, verdict.warnings, verdict.stand_ins) == ([], {}, [])


async def test_a_logical_reference_passes_and_is_kept():
    resource = observation(subject={"type": "Patient", "identifier": {"system": "urn:x", "value": "1"}})
    assert not (await judge("enforce", resource)).faults
    assert resource["subject"]["identifier"]["value"] == "1"


async def test_resources_of_one_submission_may_point_at_each_other_in_a_circle():
    one = {"resourceType": "Provenance", "id": "a", "target": [{"reference": "Observation/o"}]}
    other = observation(focus=[{"reference": "Provenance/a"}])
    assert not (await judge("enforce", one, other)).faults
    assert (await judge("enforce", one)).faults


async def test_pointing_at_what_the_same_submission_deletes_is_refused():
    verdict = await judge("enforce", to("Practitioner/here"), deleted=[("Practitioner", "here")])
    assert verdict.faults
    assert (await judge("placeholder", to("Practitioner/here"), deleted=[("Practitioner", "here")])).faults


async def test_placeholders_are_made_once_for_each_missing_target():
    verdict = await judge("placeholder", to("Practitioner/nobody", "Organization/x", "Practitioner/nobody"))
    assert not verdict.faults
    assert [(r["resourceType"], r["id"]) for r in verdict.stand_ins] == [
        ("Organization", "x"),
        ("Practitioner", "nobody"),
    ]
    for resource in verdict.stand_ins:
        assert resource["meta"]["tag"] == [PLACEHOLDER]
        assert not [issue for issue in validate.structure(resource) if issue.is_error]


async def test_a_placeholder_never_revives_what_was_deleted():
    verdict = await judge("placeholder", to("Practitioner/deleted", "Practitioner/nobody"))
    assert [issue.expression for issue in verdict.faults] == ["Observation.performer[0]"]
    assert not verdict.stand_ins


async def test_where_an_empty_resource_would_be_invalid_no_placeholder_is_made():
    verdict = await judge("placeholder", observation(encounter={"reference": "Encounter/nobody"}))
    assert [issue.expression for issue in verdict.faults] == ["Observation.encounter"]


@pytest.mark.parametrize(("resource_type", "possible"), [
    ("Patient", True), ("Practitioner", True), ("Organization", True), ("Location", True), ("Device", True),
    ("Encounter", False), ("Observation", False), ("Condition", False),
])  # fmt: skip
def test_only_types_that_may_be_empty_have_placeholders(resource_type, possible):
    assert can_stand_in(resource_type) is possible
    if possible:
        assert stand_in(resource_type, "x")["id"] == "x"


@pytest.mark.parametrize("mode", ["enforce", "warn", "placeholder"])
@pytest.mark.parametrize(
    ("reference", "fits"),
    [
        ({"reference": "Practitioner/here", "type": "Practitioner"}, True),
        ({"reference": "Practitioner/here", "type": "http://hl7.org/fhir/StructureDefinition/Practitioner"}, True),
        ({"reference": "Practitioner/here", "type": "Organization"}, False),
        ({"reference": f"{BASE}/Practitioner/here", "type": "Patient"}, False),
        ({"reference": "https://elsewhere.example.org/Practitioner/1", "type": "Patient"}, False),
        ({"reference": "urn:uuid:9e5c3f5a-1f7c-4a57-9d0e-0c6c1f7a0001", "type": "Patient"}, True),
        ({"reference": "Practitioner/here", "type": "http://example.org/OurOwnKind"}, True),
    ],
)
async def test_the_type_of_a_reference_agrees_with_its_literal(mode, reference, fits):
    verdict = await judge(mode, observation(performer=[reference]))
    assert [issue.expression for issue in verdict.faults] == ([] if fits else ["Observation.performer[0]"])


async def test_patients_whom_the_gate_has_found_are_asked_for_by_enforce_only():
    resource = observation(subject={"reference": "Patient/p"})
    assert not (await judge("warn", resource, patients=["p"])).warnings
    assert (await judge("warn", resource)).warnings
    assert (await judge("enforce", resource, patients=["p"])).faults


async def test_contained_resources_are_looked_into():
    role = {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/nobody"}}
    verdict = await judge("enforce", observation(contained=[role], performer=[{"reference": "#r"}]))
    assert [issue.expression for issue in verdict.faults] == ["Observation.contained[0].practitioner"]


targets = st.sampled_from(["Practitioner/here", "Practitioner/nobody", "Organization/nobody", "Encounter/nobody", "#x"])


@given(st.lists(targets, max_size=6))
async def test_enforce_refuses_exactly_where_warn_warns(texts):
    refused = await judge("enforce", to(*texts))
    warned = await judge("warn", to(*texts))
    told = [issue.expression for issues in warned.warnings.values() for issue in issues]
    assert [issue.expression for issue in refused.faults] == told


@given(st.lists(targets, max_size=6))
async def test_after_the_placeholders_nothing_is_missing(texts):
    verdict = await judge("placeholder", to(*texts))
    if not verdict.faults:
        assert not (await judge("enforce", to(*texts), *verdict.stand_ins)).faults


async def test_the_type_of_the_resource_that_refers_decides_where_the_policy_names_it():
    provenance = {"resourceType": "Provenance", "id": "a", "target": [{"reference": "Organization/nobody"}]}
    dangling = to("Practitioner/nobody")
    verdict = await judge("warn", dangling, provenance, Provenance="enforce")
    assert [issue.expression for issue in verdict.faults] == ["Provenance.target[0]"]
    verdict = await judge("enforce", dangling, provenance, Provenance="placeholder", Observation="warn")
    assert not verdict.faults
    assert list(verdict.warnings) == [("Observation", "o")]
    assert [stand_in["resourceType"] for stand_in in verdict.stand_ins] == ["Organization"]
    assert not (await judge("enforce", dangling, Observation="off")).faults


def test_what_is_referred_to_is_kept_for_the_types_that_enforce_it():
    referrers = [("Observation", 2), ("Provenance", 1)]
    assert ReferencePolicy(ReferenceIntegrity.WARN, BASE).in_use(referrers) is None
    assert not ReferencePolicy(ReferenceIntegrity.WARN, BASE).keeps_referenced
    policy = ReferencePolicy(ReferenceIntegrity.WARN, BASE, {"Provenance": ReferenceIntegrity.ENFORCE})
    assert policy.keeps_referenced
    told = policy.in_use(referrers)
    assert told is not None
    assert "1 Provenance" in told
    assert "Observation" not in told
    assert policy.in_use([("Observation", 2)]) is None
