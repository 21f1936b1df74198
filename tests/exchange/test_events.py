"""What is announced, under which name, by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

import healthsync
from healthsync.exchange.events import EventName, events_of

DOCUMENTED = {
    "patient.events": ["patient.created", "patient.updated", "patient.merged", "patient.matched"],
    "clinical.events": [
        "observation.created", "medication.prescribed", "encounter.admitted", "encounter.discharged", "document.received",
    ],
    "admin.events": ["consent.granted", "consent.revoked", "access.logged", "connector.status.changed"],
}  # fmt: skip


def interpreted(code: str, status: str = "final") -> dict:
    return {"status": status, "interpretation": [{"coding": [{"code": "N"}]}, {"coding": [{"code": code}]}]}


def source_of(name: EventName) -> str:
    return Path(healthsync.__file__).parent.joinpath(*name.emitted_by.split(".")).with_suffix(".py").read_text()


OURS = {
    "resource.changed",
    "subscription.status.changed",
    "message.settled",
    "topic.published",
    "alert.raised",
    "patient.unmerged",
    "patient.held",
    "identity.review.overdue",
}


def test_all_fifteen_names_of_the_requirements_exist_and_those_of_ours():
    in_topics = [name for names in DOCUMENTED.values() for name in names]
    assert {name.value for name in EventName} - OURS == {*in_topics, "raw.message.received", "alert.critical.lab"}
    assert len(EventName) == 15 + len(OURS)


@pytest.mark.parametrize("topic", DOCUMENTED)
def test_each_name_belongs_to_the_topic_of_the_requirements(topic: str):
    named = [name.value for name in EventName if name.topic == topic]
    assert [name for name in named if name not in OURS] == DOCUMENTED[topic]


@pytest.mark.parametrize("name", EventName)
def test_each_name_says_what_happened_and_who_announces_it(name: EventName):
    assert name.meaning.endswith(".")
    assert name.emitted_by.startswith("later: ") or source_of(name)


RULED = {
    "patient.created", "patient.updated", "observation.created", "medication.prescribed", "encounter.admitted",
    "encounter.discharged", "document.received", "alert.critical.lab",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in EventName if not name.emitted_by.startswith("later: ")])
def test_the_flow_that_is_said_to_announce_it_does(name: EventName):
    source = source_of(name)
    assert f"EventName.{name.name}" in source or (name.value in RULED and "events_of(" in source)


@pytest.mark.parametrize(
    ("resource_type", "created", "resource", "before", "expected"),
    [
        ("Patient", True, {}, None, ["patient.created"]),
        ("Patient", False, {}, None, ["patient.updated"]),
        ("Patient", False, {}, {}, ["patient.updated"]),
        ("Observation", True, {"status": "final"}, None, ["observation.created"]),
        ("Observation", False, {"status": "final"}, None, []),
        ("Observation", True, interpreted("HH"), None, ["observation.created", "alert.critical.lab"]),
        ("Observation", True, interpreted("LL"), None, ["observation.created", "alert.critical.lab"]),
        ("Observation", True, interpreted("AA"), None, ["observation.created", "alert.critical.lab"]),
        ("Observation", True, interpreted("H"), None, ["observation.created"]),
        ("Observation", False, interpreted("HH"), interpreted("H"), ["alert.critical.lab"]),
        ("Observation", False, interpreted("HH"), interpreted("HH"), []),
        ("Observation", True, interpreted("HH", "entered-in-error"), None, []),
        ("Observation", True, interpreted("HH", "cancelled"), None, []),
        ("MedicationRequest", True, {"status": "active", "intent": "order"}, None, ["medication.prescribed"]),
        ("MedicationRequest", True, {"status": "active", "intent": "proposal"}, None, []),
        ("MedicationRequest", True, {"status": "draft", "intent": "order"}, None, []),
        ("Encounter", True, {"status": "planned"}, None, []),
        ("Encounter", True, {"status": "in-progress"}, None, ["encounter.admitted"]),
        ("Encounter", False, {"status": "in-progress"}, {"status": "planned"}, ["encounter.admitted"]),
        ("Encounter", False, {"status": "in-progress"}, {"status": "arrived"}, []),
        ("Encounter", False, {"status": "finished"}, {"status": "in-progress"}, ["encounter.discharged"]),
        ("Encounter", False, {"status": "finished"}, {"status": "finished"}, []),
        ("Encounter", False, {"status": "cancelled"}, {"status": "in-progress"}, []),
        ("DocumentReference", True, {"status": "current"}, None, ["document.received"]),
        ("DocumentReference", True, {"status": "entered-in-error"}, None, []),
        ("DocumentReference", False, {"status": "current"}, None, []),
        ("Basic", True, {}, None, []),
    ],
)
def test_a_stored_resource_announces(
    resource_type: str, created: bool, resource: dict, before: dict | None, expected: list[str]
):
    assert events_of(resource_type, created, resource, before) == expected
