"""FHIR → v2 of resources as full and as odd as they may be, and of whole records."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import json
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps.outbound import (
    Content,
    Header,
    build,
    known_types,
    message_map,
    missing,
    references_of,
)
from healthsync.standards.maps.outbound.tables import VERSIONS

from .fhir.made_resources import VARIANTS, made

HEADER = Header("C1", datetime(2026, 5, 6, tzinfo=UTC))
MADE = {
    kind: made(kind)
    for kind in (
        "Patient", "Encounter", "Practitioner", "Organization", "Location", "Observation", "Specimen", "Condition",
        "AllergyIntolerance", "Coverage", "DiagnosticReport", "ServiceRequest", "Appointment", "DocumentReference",
        "ChargeItem", "Immunization",
    )
}  # fmt: skip


@st.composite
def _anything(draw) -> tuple[str, Content]:
    """A message about a resource that holds any of all elements, with whatever it might refer to beside it."""
    message_type = draw(st.sampled_from(known_types()))
    kinds = [*message_map(message_type).about, "Patient", "Encounter", "Practitioner", "Organization", "Location",
             "Observation", "Specimen", "Condition", "AllergyIntolerance", "Coverage"]  # fmt: skip
    resources = []
    for kind in kinds:
        whole = MADE[kind][draw(st.integers(0, VARIANTS - 1))]
        gone = draw(st.sets(st.sampled_from(sorted(whole)), max_size=6)) - {"resourceType", "id"}
        resources.append({name: value for name, value in whole.items() if name not in gone})
    root = resources[0]
    patient = {"reference": "Patient/made"}
    if root["resourceType"] != "Patient":
        root |= {name: patient for name in ("subject", "patient") if name in MADE[root["resourceType"]][0]}
    others = {f"{each['resourceType']}/{each['id']}": each for each in resources[1:]}
    others["Patient/made"] = next(each for each in resources if each["resourceType"] == "Patient")
    return message_type, Content(
        root, others, draw(st.sampled_from(["INSERT", "UPDATE"])), None, others["Patient/made"]
    )


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(_anything(), st.sampled_from(VERSIONS))
def test_no_resource_however_full_or_odd_makes_the_builder_fail(told, version):
    message_type, about = told
    try:
        message = Message.parse(build(message_type, about, replace(HEADER, version=version)))
    except InvalidInput:
        return
    names = [segment.name for segment in message.segments]
    assert names[0] == "MSH" and names.count("PID") == 1
    assert not any("None" in segment.raw or "{" in segment.raw for segment in message.segments)


@pytest.mark.shared
def test_whole_records_of_synthetic_patients_are_sent(shared_data: Path):
    sent: Counter[str] = Counter()
    for path in sorted((shared_data / "synthea").glob("*.json.gz"))[:4]:
        bundle = json.parse(gzip.decompress(path.read_bytes()))
        by_url = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
        named = {url: f"{r['resourceType']}/{r['id']}" for url, r in by_url.items()}
        resources = [_with_addresses(r, named) for r in by_url.values()]
        others = {f"{r['resourceType']}/{r['id']}": r for r in resources}
        for message_type in known_types():
            for root in resources:
                if root["resourceType"] not in message_map(message_type).about or sent[message_type] > 60:
                    continue
                about = Content(root, {n: others[n] for n in map("/".join, references_of(root)) if n in others})
                if missing(message_type, about) is None:
                    assert Message.parse(build(message_type, about, HEADER)).first("PID")
                    sent[message_type] += 1
    assert sent["ORU^R01"] and sent["ADT^A01"] and sent["VXU^V04"]


def _with_addresses(value: Any, named: dict[str, str]) -> Any:
    """Synthea refers by urn:uuid inside a Bundle; the hub stores Type/id."""
    if isinstance(value, dict):
        return {
            k: named.get(v, v) if k == "reference" and isinstance(v, str) else _with_addresses(v, named)
            for k, v in value.items()
        }
    return [_with_addresses(each, named) for each in value] if isinstance(value, list) else value
