"""Who saw what: search, accounting of disclosures, and the FHIR view."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest

from healthsync.domains.audit import Action, AuditEvent, AuditRow, AuditService, Outcome, is_accountable
from healthsync.domains.audit.fhir_view import as_fhir
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.database import Database

Read = Callable[..., AuditEvent]


@pytest.fixture
async def log(audit: AuditService, clock: FixedClock, read: Read) -> AuditService:
    """Six events, an hour apart from 12:00 on, at positions 1 to 6."""
    for event in (
        read("Patient/1"),
        read("Patient/2", client="lab", user=None),
        read("Patient/1", user="Practitioner/8"),
        read("Patient/1", patients=("Patient/1", "Patient/2"), purpose_of_use="HRESCH"),
        read("Patient/1", outcome=Outcome.REFUSED, purpose_of_use="HRESCH"),
        read("Patient/1", action=Action.UPDATE, interaction="update"),
    ):
        await audit.record_and_commit(event)
        clock.at += timedelta(hours=1)
    return audit


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"patient": "Patient/2"}, [4, 2]),
        ({"patient": "Patient/3"}, []),
        ({"patient": "Patient/1", "agent": "Practitioner/8"}, [3]),
        ({"agent": "lab"}, [2]),
        ({"count": 2}, [6, 5]),
        ({"count": 2, "before": 5}, [4, 3]),
        ({"patient": "Patient/1", "count": 2, "before": 5}, [4, 3]),
        ({"since": 14}, [6, 5, 4, 3]),
        ({"until": 14}, [2, 1]),
        ({"patient": "Patient/1", "since": 13, "until": 15}, [3]),
    ],
)
async def test_search_finds(
    log: AuditService, database: Database, clock: FixedClock, conditions: dict, expected: list[int]
):
    hours = {name: clock.at.replace(hour=conditions[name]) for name in ("since", "until") if name in conditions}
    async with database.connection() as tx:
        assert [row.position for row in await log.search(tx, **conditions | hours)] == expected


async def test_a_row_tells_its_leaf_once_it_is_sequenced(log: AuditService, database: Database):
    async with database.connection() as tx:
        assert [row.leaf_index for row in await log.search(tx, count=1)] == [None]
        await log.sequencer.catch_up()
        assert [row.leaf_index for row in await log.search(tx, count=1)] == [5]


async def test_the_accounting_lists_what_left_for_other_than_treatment_payment_and_operations(
    log: AuditService, database: Database, clock: FixedClock
):
    since, until = clock.at - timedelta(days=1), clock.at
    async with database.connection() as tx:
        listed = [
            row.position async for row in log.accounting_of_disclosures(tx, "Patient/2", since=since, until=until)
        ]
        assert listed == [4]
        assert [row async for row in log.accounting_of_disclosures(tx, "Patient/2", since=until, until=until)] == []


@pytest.mark.parametrize(
    ("action", "outcome", "purpose", "expected"),
    [
        ("R", "0", "HRESCH", True),
        ("E", "0", "PUBHLTH", True),
        ("R", "0", None, True),
        ("R", "0", "TREAT", False),
        ("R", "0", "HPAYMT", False),
        ("R", "0", "HOPERAT", False),
        ("R", "4", "HRESCH", False),
        ("U", "0", "HRESCH", False),
    ],
)
def test_a_disclosure_is_accountable(action: str, outcome: str, purpose: str | None, expected: bool):
    entry = {"action": action, "outcome": outcome} | ({"purpose_of_use": purpose} if purpose else {})
    assert is_accountable(entry) is expected


def coding(system: str, code: str, display: str) -> dict:
    return {"system": system, "code": code, "display": display}


DCM = "http://dicom.nema.org/resources/ontology/DCM"
TREAT = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}]


async def test_a_read_by_a_user_is_shown_as_basic_audit_prescribes(audit: AuditService, database: Database, read: Read):
    await audit.record_and_commit(read(entities=("Patient/1", "Observation/5", "Encounter"), query="name=Smith"))
    async with database.connection() as tx:
        (row,) = await audit.search(tx)
    resource = audit.as_fhir(row, with_query=True)
    assert resource == {
        "resourceType": "AuditEvent",
        "id": "1",
        "type": coding("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation"),
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R",
        "recorded": "2026-03-01T12:00:00.000000Z",
        "outcome": "0",
        "outcomeDesc": "rule-3",
        "purposeOfEvent": TREAT,
        "agent": [
            {
                "type": {"coding": [coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")]},
                "role": [{"text": "physician"}],
                "who": {"identifier": {"value": "Practitioner/7"}},
                "requestor": True,
                "purposeOfUse": TREAT,
            },
            {
                "type": {"coding": [coding(DCM, "110152", "Destination Role ID")]},
                "who": {"identifier": {"value": "portal", "assigner": {"display": "Mercy"}}},
                "requestor": False,
                "network": {"address": "10.0.0.9", "type": "2"},
            },
            {"type": {"coding": [coding(DCM, "110153", "Source Role ID")]}, "who": {"identifier": {"value": "mercy"}}, "requestor": False},
        ],
        "source": {
            "observer": {"identifier": {"value": "mercy"}},
            "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": [
            {
                "what": {"reference": "Patient/1"},
                "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "1", "Person"),
                "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "1", "Patient"),
            },
            *(
                {
                    "what": what,
                    "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object"),
                    "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "4", "Domain Resource"),
                }
                for what in ({"reference": "Observation/5"}, {"type": "Encounter"})
            ),
            {
                "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object"),
                "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "24", "Query"),
                "query": base64.b64encode(b"name=Smith").decode(),
            },
        ],
    }  # fmt: skip
    assert len(audit.as_fhir(row)["entity"]) == 3


def shown(**entry: object) -> dict:
    base = {"action": "R", "interaction": "read", "outcome": "0", "recorded_at": "2026-03-01T12:00:00.000000Z"}
    return as_fhir(AuditRow(1, 1, base | entry, b""), "mercy")


def test_a_client_without_user_is_the_requestor():
    client, hub = shown(client="lab", roles=["system"], purpose_of_use="TREAT")["agent"]
    assert client["requestor"] is True and hub["requestor"] is False
    assert client["role"] == [{"text": "system"}] and client["purposeOfUse"] == TREAT
    assert shown()["agent"][0]["who"] == {"identifier": {"value": "unknown"}}
    assert "entity" not in shown()


@pytest.mark.parametrize(
    ("entry", "type_code", "subtype", "client", "hub"),
    [
        ({"interaction": "search-type", "action": "E"}, "rest", "search-type", "110152", "110153"),
        ({"interaction": "$everything", "action": "E"}, "rest", "operation", "110152", "110153"),
        ({"interaction": "update", "action": "U"}, "rest", "update", "110150", "110152"),
        ({"interaction": "receive-message", "action": "C"}, "110107", "receive-message", "110150", "110152"),
        ({"interaction": "send-message", "action": "R"}, "110106", "send-message", "110152", "110153"),
    ],
)
def test_the_direction_of_data_shows_in_type_and_agents(
    entry: dict, type_code: str, subtype: str, client: str, hub: str
):
    resource = shown(**entry)
    assert resource["type"]["code"] == type_code
    assert resource["subtype"][0]["code"] == subtype
    assert [agent["type"]["coding"][0]["code"] for agent in resource["agent"]] == [client, hub]


@pytest.mark.parametrize(("outcome", "text"), [("0", "Success"), ("4", "Minor failure"), ("8", "Serious failure")])
def test_an_outcome_without_a_reason_is_described(outcome: str, text: str):
    assert shown(outcome=outcome)["outcomeDesc"] == text
