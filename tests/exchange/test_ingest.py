"""The gate in, fed by HL7 v2 messages through the real flows and by submissions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.consents import opt_out

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.audit import Action
from healthsync.domains.directory import Peer
from healthsync.entrypoints.worker import Worker
from healthsync.errors import Conflict, InvalidInput
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.ingest import Incoming, InvalidResource, Submission, submission_audit
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings

PEER = Peer("127.0.0.1")
ADMIN = Requester("tester", ("admin",), "TREAT")
_number = iter(range(10_000))


def adt(
    trigger: str, mrn: str, *, name="Quennell^Ottoline", birth="19710309", extra="", facility="ZHOSP", more=""
) -> bytes:
    lines = [
        f"MSH|^~\\&|ZHIS|{facility}|HUB|HIE|20240301115530+0000||ADT^{trigger}|C{next(_number)}|P|2.5.1",
        f"EVN|{trigger}|20240301115500+0000",
        f"PID|1||{mrn}^^^{facility}^MR||{name}^^^^^L||{birth}|F|||4 Weir Lane^^Holbrook^MA^02343^USA^H{more}",
        *(extra.splitlines() or ["PV1|1|N"]),
    ]
    return "\r".join(lines).encode() + b"\r"


@pytest.fixture
def send(hub):
    async def send(*messages: bytes) -> None:
        for message in messages:
            answer = await hub.receive_message(message, PEER)
            assert answer is not None
            assert b"MSA|AA" in answer
        await Worker(hub.process_message, hub.database).drain()
        async with hub.database.connection() as tx:
            unfinished = await tx.fetch("SELECT state, reason_code, reason FROM message WHERE state <> 'processed'")
        assert unfinished == []

    return send


async def _found(hub, resource_type: str, query: str = "") -> list[dict]:
    from urllib.parse import parse_qsl

    from healthsync.standards.fhir import json
    from healthsync.standards.fhir.query import parse

    page = await hub.disclose.search(ADMIN, parse(resource_type, parse_qsl(query)), after=None, count=100, asked=query)
    return [json.parse(entry.text.encode()) for entry in page.entries]


async def _counts(hub) -> dict[str, int]:
    async with hub.database.connection() as tx:
        return {
            table: await tx.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("resource", "resource_history", "index_token", "index_date")
        }


async def test_a_resend_with_another_control_id_changes_nothing(hub, send):
    visit = "PV1|1|I|W1^101^A^ZHOSP||||1234^Doc^Tor|||MED||||||||||V77^^^ZHOSP^VN\nDG1|1||I10^Hypertension^I10||20240301|A\nAL1|1|DA|PEN^Penicillin^L|SV|Hives"
    await send(adt("A01", "P1", extra=visit))
    before = await _counts(hub)
    await send(adt("A01", "P1", extra=visit))
    after = await _counts(hub)
    assert after["resource"] - before["resource"] == 1, "only the Provenance of the second message is new"
    assert after["resource_history"] == before["resource_history"]


async def test_an_empty_field_keeps_and_a_null_field_deletes(hub, send):
    await send(adt("A28", "P1", more="||^PRN^PH^^1^206^5550173"))
    await send(adt("A31", "P1"))
    [patient] = await _found(hub, "Patient", "identifier=P1")
    assert patient["telecom"]
    await send(adt("A31", "P1", more='||""'))
    [patient] = await _found(hub, "Patient", "identifier=P1")
    assert "telecom" not in patient


async def test_a_patient_keeps_the_numbers_that_a_later_message_does_not_repeat(hub, send):
    await send(adt("A28", "P1^^^ZHOSP^MR~X9"), adt("A31", "P1"))
    [patient] = await _found(hub, "Patient", "identifier=P1")
    assert {number["value"] for number in patient["identifier"]} == {"P1", "X9"}
    assert await _found(hub, "Patient", "identifier=X9")


async def test_two_facilities_have_two_records_of_one_person(hub, send):
    await send(adt("A28", "P1"), adt("A28", "Q1", facility="ZCLIN"))
    patients = await _found(hub, "Patient", "family=quennell")
    assert len(patients) == 2
    async with hub.database.connection() as tx:
        keys = [row["pid"] for row in await tx.fetch("SELECT pid FROM resource WHERE resource_type = 'Patient'")]
        assert len(set((await hub.identity.enterprise_ids(tx, keys)).values())) == 1


async def test_a_merge_retires_the_old_record_and_late_results_reach_the_survivor(hub, send):
    merge = "PV1|1|N\nMRG|A1^^^ZHOSP^MR"
    await send(adt("A28", "A1"), adt("A28", "B1"), adt("A40", "B1", extra=merge))
    [survivor] = [p for p in await _found(hub, "Patient", "identifier=B1") if p.get("active", True)]
    [retired] = [p for p in await _found(hub, "Patient", "identifier=A1") if not p.get("active", True)]
    assert retired["link"][0]["other"]["reference"] == f"Patient/{survivor['id']}"
    result = "OBR|1||F1^LAB|PN^Panel^L|||20240301080000+0000|||||||||||||||20240301100000+0000||LAB|F\nOBX|1|NM|GLU^Glucose^L||5.50|mmol/L|||||F"
    await send(adt("A28", "A1", extra=result).replace(b"ADT^A28", b"ORU^R01"))
    [observation] = await _found(hub, "Observation", "code=GLU")
    assert observation["subject"]["reference"] == f"Patient/{survivor['id']}"
    assert str(observation["valueQuantity"]["value"]) == "5.50"


def oru(mrn: str, value: str, *, status="F", filler="F1", at="20240301080000+0000", **patient) -> bytes:
    """A laboratory's result of one glucose."""
    order = f"OBR|1||{filler}^LAB|PN^Panel^L|||{at}|||||||||||||||{at}||LAB|{status}"
    text = f"{order}\nOBX|1|NM|GLU^Glucose^L||{value}|mmol/L|||||{status}"
    return adt("A28", mrn, extra=text, **patient).replace(b"ADT^A28", b"ORU^R01")


STOAT = {"name": "Stoat^Amy", "birth": "19800101"}


async def test_a_number_of_an_order_that_is_given_anew_overwrites_nothing_of_another_patient(hub, send):
    await send(oru("P1", "5.5"), oru("P2", "30", **STOAT))
    for number, value in (("P1", "5.5"), ("P2", "30")):
        [patient] = await _found(hub, "Patient", f"identifier={number}")
        [result] = await _found(hub, "Observation", f"patient={patient['id']}")
        [report] = await _found(hub, "DiagnosticReport", f"patient={patient['id']}")
        assert str(result["valueQuantity"]["value"]) == value
        assert report["result"] == [{"reference": f"Observation/{result['id']}"}]
    await send(oru("P2", "31", status="C", **STOAT), oru("P1", "5.5", status="W"))
    told = {o["status"]: str(o["valueQuantity"]["value"]) for o in await _found(hub, "Observation")}
    assert told == {"corrected": "31", "entered-in-error": "5.5"}


async def test_a_visit_that_is_sent_for_another_patient_stays_the_first_ones_too(hub, send):
    await send(adt("A01", "P1", **visit("V1")), adt("A08", "P2", **visit("V1"), **STOAT))
    visits = await _found(hub, "Encounter", "identifier=V1")
    assert len({v["subject"]["reference"] for v in visits}) == 2


async def test_a_correction_after_a_merge_replaces_what_came_under_the_retired_number(hub, send):
    await send(adt("A28", "A1"), adt("A28", "B1", **STOAT), oru("B1", "5.5", **STOAT))
    await send(adt("A40", "A1", extra="MRG|B1^^^ZHOSP^MR"), oru("A1", "6.5", status="C"))
    [result] = await _found(hub, "Observation")
    assert (result["status"], str(result["valueQuantity"]["value"])) == ("corrected", "6.5")


async def test_what_comes_for_a_retired_number_is_the_survivors_until_the_merge_is_taken_back(hub, send):
    await send(adt("A28", "A1"), adt("A28", "B1", **STOAT), adt("A40", "A1", extra="MRG|B1^^^ZHOSP^MR"))
    await send(oru("B1", "5.5", **STOAT), adt("A31", "B1", name="Stoat^Amelia", birth="19800101"))
    [survivor] = [p for p in await _found(hub, "Patient", "identifier=A1") if p.get("active", True)]
    [retired] = await _found(hub, "Patient", "identifier=B1")
    assert survivor["name"][0]["family"] == "Quennell", "his record says what was sent for his own number"
    assert (retired["name"][0]["given"], retired["active"]) == (["Amelia"], False)
    [result] = await _found(hub, "Observation")
    assert result["subject"]["reference"] == f"Patient/{survivor['id']}"
    await send(two("A37", "A1", "B1"))
    [result] = await _found(hub, "Observation")
    assert result["subject"] == {"reference": f"Patient/{retired['id']}"}
    assert [r["id"] for r in await _found(hub, "Observation", f"patient={retired['id']}")] == [result["id"]]
    await send(oru("B1", "7", filler="F2", **STOAT))
    assert len(await _found(hub, "Observation", f"patient={retired['id']}")) == 2


async def test_all_numbers_that_a_merge_names_go_out_of_use(hub, send):
    await send(*(adt("A28", number, **STOAT) for number in ("A1", "B1", "C1")))
    await send(adt("A40", "A1", extra="MRG|B1^^^ZHOSP^MR~C1^^^ZHOSP^MR", **STOAT))
    patients = {p["identifier"][0]["value"]: p.get("active", True) for p in await _found(hub, "Patient")}
    assert patients == {"A1": True, "B1": False, "C1": False}


async def test_a_merge_that_repeats_the_retired_number_in_pid_3_is_a_merge(hub, send):
    await send(adt("A28", "A1"), adt("A28", "B1"))
    await send(adt("A40", "A1^^^ZHOSP^MR~B1", extra="MRG|B1^^^ZHOSP^MR"))
    [survivor] = [p for p in await _found(hub, "Patient") if p.get("active", True)]
    assert [number["value"] for number in survivor["identifier"]] == ["A1"]


async def test_a_merge_back_leaves_one_active_record_and_none_lost(hub, send):
    await send(
        adt("A28", "A1"), adt("A28", "B1"),
        adt("A40", "A1", extra="MRG|B1^^^ZHOSP^MR"), adt("A40", "B1", extra="MRG|A1^^^ZHOSP^MR"),
    )  # fmt: skip
    patients = await _found(hub, "Patient", "family=quennell")
    assert len(patients) == 2
    in_use = {patient["identifier"][0]["value"]: patient.get("active", True) for patient in patients}
    assert in_use == {"A1": False, "B1": True}


async def test_of_merges_in_a_ring_the_last_word_of_the_sender_holds(hub, send):
    await send(*(adt("A28", number, **STOAT) for number in ("A1", "B1", "C1")))
    for survivor, retired in (("A1", "B1"), ("B1", "C1"), ("C1", "A1")):
        await send(adt("A40", survivor, extra=f"MRG|{retired}^^^ZHOSP^MR", **STOAT))
    patients = {p["identifier"][0]["value"]: p for p in await _found(hub, "Patient")}
    assert {number for number, patient in patients.items() if patient.get("active", True)} == {"C1"}
    assert "link" not in patients["C1"]
    await send(oru("B1", "5", **STOAT))
    assert len(await _found(hub, "Observation", f"patient={patients['C1']['id']}")) == 1


async def test_a_merge_with_an_unknown_number_stores_the_survivor(hub, send):
    await send(adt("A40", "B1", extra="MRG|A1^^^ZHOSP^MR"))
    [patient] = await _found(hub, "Patient", "identifier=B1")
    assert patient.get("active", True)


async def test_a_number_that_is_merged_away_before_it_was_heard_of_leads_to_the_survivor(hub, send):
    await send(adt("A40", "B1", extra="MRG|A1^^^ZHOSP^MR"))
    result = "OBR|1||F1^LAB|PN^Panel^L|||20240301080000+0000|||||||||||||||20240301100000+0000||LAB|F\nOBX|1|NM|GLU^Glucose^L||5.50|mmol/L|||||F"
    await send(adt("A28", "A1", extra=result).replace(b"ADT^A28", b"ORU^R01"))
    [survivor] = await _found(hub, "Patient", "identifier=B1")
    [observation] = await _found(hub, "Observation", "code=GLU")
    assert observation["subject"]["reference"] == f"Patient/{survivor['id']}"


def two(trigger: str, one: str, other: str) -> bytes:
    """A message about two patients."""
    second = adt(trigger, other, name="Stoat^Amy", birth="19800101").decode().split("\r")[2]
    return adt(trigger, one, extra=second)


async def _persons(hub, *numbers: str) -> list[str]:
    async with hub.database.connection() as tx:
        source = await tx.fetchval("SELECT source FROM message LIMIT 1")
        found = [
            await hub.identity.find_source_patient(
                tx, source, [{"system": "urn:healthsync:authority:ZHOSP", "value": number}]
            )
            for number in numbers
        ]
        persons = await hub.identity.enterprise_ids(tx, [one.patient_key for one in found])
        return [persons[one.patient_key] for one in found]


async def test_a_link_makes_one_person_and_an_unlink_two_and_no_value_is_copied(hub, send):
    await send(adt("A28", "A1"), adt("A28", "B1", name="Stoat^Amy", birth="19800101"), two("A24", "A1", "B1"))
    assert len(set(await _persons(hub, "A1", "B1"))) == 1
    await send(two("A37", "A1", "B1"))
    assert len(set(await _persons(hub, "A1", "B1"))) == 2
    [first], [second] = await _found(hub, "Patient", "identifier=A1"), await _found(hub, "Patient", "identifier=B1")
    assert (first["name"][0]["family"], second["name"][0]["family"]) == ("Quennell", "Stoat")
    assert [len(patient["identifier"]) for patient in (first, second)] == [1, 1]
    assert first.get("active", True)
    assert second.get("active", True)


async def test_an_unlink_after_a_merge_gives_both_numbers_their_records_back(hub, send):
    await send(adt("A28", "A1"), adt("A28", "B1", name="Stoat^Amy", birth="19800101"))
    await send(adt("A40", "A1", extra="MRG|B1^^^ZHOSP^MR"), two("A37", "A1", "B1"))
    [first], [second] = await _found(hub, "Patient", "identifier=A1"), await _found(hub, "Patient", "identifier=B1")
    assert (first["name"][0]["family"], second["name"][0]["family"]) == ("Quennell", "Stoat")
    assert second["active"] is True
    assert "link" not in second


def visit(number: str, account: str = "", more: str = "") -> dict:
    pv1 = f"PV1|1|I|W1^101^A^ZHOSP||||||||||||||||{number}^^^ZHOSP^VN|||||||||||||||||||||||||20240301080000+0000"
    return {"extra": f"{pv1}{more}", "more": f"|||||||{account}^^^ZHOSP^AN" if account else ""}


RESULT = "\nOBX|1|NM|GLU^Glucose^L||5.50|mmol/L|||||F|||20240301090000+0000"


@pytest.mark.parametrize("trigger", ["A42", "A50"])
async def test_a_visit_that_gets_another_number_keeps_its_results(hub, send, trigger):
    await send(adt("A01", "P1", **visit("V1", more="\nDG1|1||DX1^Sprain^L||20240301|A" + RESULT)))
    await send(adt(trigger, "P1", extra="MRG|P1^^^ZHOSP^MR||||V1^^^ZHOSP^VN\nPV1|1|I|||||||||||||||||V2^^^ZHOSP^VN"))
    [survivor] = await _found(hub, "Encounter", "identifier=V2")
    [retired] = [e for e in await _found(hub, "Encounter") if e["id"] != survivor["id"]]
    assert retired["status"] == "entered-in-error"
    assert retired["partOf"]["reference"] == f"Encounter/{survivor['id']}"
    assert survivor["period"]["start"] == "2024-03-01T08:00:00+00:00"
    for kind, code in (("Condition", "DX1"), ("Observation", "GLU")):
        [resource] = await _found(hub, kind, f"code={code}")
        assert resource["encounter"]["reference"] == f"Encounter/{survivor['id']}"
    await send(adt("A08", "P1", **visit("V1")))
    assert (await _found(hub, "Encounter", "status=entered-in-error"))[0]["id"] == retired["id"]


async def test_a_visit_that_was_filed_under_a_wrong_patient_moves_with_its_results_and_its_seal(hub, send, database):
    await send(adt("A01", "P1", **visit("V1", "ACC1", RESULT)), adt("A28", "P2", name="Stoat^Amy", birth="19800101"))
    move = "MRG|P1^^^ZHOSP^MR||ACC1^^^ZHOSP^AN||V1^^^ZHOSP^VN\nPV1|1|I|||||||||||||||||V1^^^ZHOSP^VN"
    await send(adt("A45", "P2", name="Stoat^Amy", birth="19800101", extra=move, more="|||||||ACC2^^^ZHOSP^AN"))
    [right] = await _found(hub, "Patient", "identifier=P2")
    [encounter] = await _found(hub, "Encounter", "identifier=V1")
    [observation] = await _found(hub, "Observation", "code=GLU")
    [account] = await _found(hub, "Account", "identifier=ACC2")
    assert encounter["subject"] == observation["subject"] == {"reference": f"Patient/{right['id']}"}
    assert encounter["account"] == [{"reference": f"Account/{account['id']}"}]
    assert await _found(hub, "Observation", f"patient={right['id']}")
    async with database.connection() as tx:
        owners = await tx.fetch(
            "SELECT DISTINCT patient_key FROM resource WHERE resource_type IN ('Encounter', 'Observation')"
        )
    assert len(owners) == 1


async def test_an_account_that_was_filed_under_a_wrong_patient_takes_its_visits_along(hub, send):
    await send(adt("A01", "P1", **visit("V1", "ACC1", RESULT)), adt("A28", "P2", name="Stoat^Amy", birth="19800101"))
    move = "MRG|P1^^^ZHOSP^MR||ACC1^^^ZHOSP^AN"
    await send(adt("A44", "P2", name="Stoat^Amy", birth="19800101", extra=move, more="|||||||ACC1^^^ZHOSP^AN"))
    [right] = await _found(hub, "Patient", "identifier=P2")
    for kind in ("Encounter", "Observation", "Account"):
        [found] = await _found(hub, kind)
        subject = found["subject"][0] if kind == "Account" else found["subject"]
        assert subject["reference"] == f"Patient/{right['id']}", kind


async def test_two_accounts_that_are_one_keep_the_visits_of_both(hub, send):
    await send(adt("A01", "P1", **visit("V1", "ACC1")), adt("A01", "P1", **visit("V2", "ACC2")))
    await send(adt("A41", "P1", extra="MRG|P1^^^ZHOSP^MR||ACC1^^^ZHOSP^AN", more="|||||||ACC2^^^ZHOSP^AN"))
    [survivor] = [a for a in await _found(hub, "Account") if a["status"] == "active"]
    [retired] = [a for a in await _found(hub, "Account") if a["status"] == "inactive"]
    assert retired["partOf"]["reference"] == f"Account/{survivor['id']}"
    visits = await _found(hub, "Encounter", f"account=Account/{survivor['id']}")
    assert len(visits) == 2


async def test_a_bed_is_closed_without_a_patient(hub, send):
    await send(adt("A20", "P1", extra="NPU|W1^101^A^ZHOSP|C"))
    message = adt("A20", "P1", extra="NPU|W1^101^B^ZHOSP|C").decode().split("\r")
    await send("\r".join([*message[:2], message[3], ""]).encode(), "\r".join([*message[:2], ""]).encode())
    beds = [place for place in await _found(hub, "Location") if place["physicalType"]["coding"][0]["code"] == "bd"]
    assert [bed["operationalStatus"]["code"] for bed in beds] == ["C", "C"]


async def test_what_was_stored_is_announced_once(hub, send, database):
    visit = "PV1|1|I|W1^101^A^ZHOSP||||||||||||||||V77^^^ZHOSP^VN"
    await send(
        adt("A01", "P1", extra=visit),
        adt("A01", "P1", extra=visit),
        adt("A08", "P1", name="Ames^Ottoline", extra=visit),
    )
    async with database.connection() as tx:
        names = [row["name"] for row in await tx.fetch("SELECT name FROM event_log ORDER BY position")]
    assert names.count("patient.created") == 1
    assert names.count("patient.updated") == 1
    assert names.count("encounter.admitted") == 1
    assert names.count("raw.message.received") == 3


def _submission(*resources: dict, mode="create") -> Submission:
    return Submission("tester", [Incoming(r, mode) for r in resources], submission_audit(Action.CREATE, "create"))


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        ([{"resourceType": "Patient", "id": "p", "gender": "purple"}], InvalidResource),
        ([{"resourceType": "Patient", "id": "p"}, {"resourceType": "Observation", "id": "o"}], InvalidResource),
        (
            [{"resourceType": "Patient", "id": "p"}, {"resourceType": "Patient", "id": "p", "active": True}],
            InvalidInput,
        ),
        (
            [{"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": "Patient/none"}}],
            InvalidInput,
        ),
    ],
)
async def test_one_fault_refuses_the_whole_submission_and_leaves_nothing(hub, database, resources, error):
    with pytest.raises(error):
        async with database.transaction() as tx:
            await hub.ingest(tx, _submission(*resources))
    assert (await _counts(hub))["resource"] == 0


async def test_a_resource_and_its_event_are_one_statement_also_when_nobody_knows_yet_who_watches(
    hub, database, monkeypatch
):
    written: list[str] = []
    execute = asyncpg.Connection._execute

    async def heard(self, query, *parameters, **more):
        if "INSERT INTO resource " in query or "INSERT INTO event_log " in query:
            written.append(query)
        return await execute(self, query, *parameters, **more)

    monkeypatch.setattr(asyncpg.Connection, "_execute", heard)
    async with database.unit_of_work() as tx:
        await hub.ingest(tx, _submission({"resourceType": "Observation", "id": "o", "status": "final",
                                          "code": {"text": "pulse"}}))  # fmt: skip
    assert len(written) == 1


async def test_a_create_of_an_id_that_exists_is_a_conflict(hub, database):
    patient = {"resourceType": "Patient", "id": "p", "active": True}
    async with database.transaction() as tx:
        await hub.ingest(tx, _submission(patient))
    with pytest.raises(Conflict):
        async with database.transaction() as tx:
            await hub.ingest(tx, _submission({**patient, "active": False}))


async def test_two_writers_of_one_resource_make_two_versions_or_a_conflict_and_never_lose_one(hub, database):
    patient = {"resourceType": "Patient", "id": "p"}
    async with database.transaction() as tx:
        await hub.ingest(tx, _submission(patient))

    async def update(number: int) -> bool:
        try:
            async with database.transaction() as tx:
                await hub.ingest(tx, _submission({**patient, "name": [{"family": f"N{number}"}]}, mode="update"))
        except Conflict:
            return False
        return True

    done = await asyncio.gather(*(update(number) for number in range(6)))
    async with database.connection() as tx:
        version = await tx.fetchval("SELECT version FROM resource WHERE id = 'p'")
        kept = await tx.fetchval("SELECT count(*) FROM resource_history")
    assert version == 1 + sum(done)
    assert kept == sum(done)


async def test_index_rows_follow_the_resource(hub, database):
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09"}
    async with database.transaction() as tx:
        await hub.ingest(tx, _submission(patient))
    async with database.transaction() as tx:
        await hub.ingest(tx, _submission({**patient, "name": [{"family": "Ames"}]}, mode="update"))
    assert await _found(hub, "Patient", "family=quennell") == []
    assert len(await _found(hub, "Patient", "family=ames&birthdate=1971-03-09")) == 1
    async with database.transaction() as tx:
        await hub.ingest(tx, _submission({"resourceType": "Patient", "id": "p"}, mode="delete"))
    counts = await _counts(hub)
    assert (counts["index_token"], counts["index_date"]) == (0, 0)


async def test_the_id_of_a_resource_is_the_same_for_every_resend_and_tells_nothing(hub):
    one = hub.ingest.resource_id("Patient", "ZHIS", "MRN-0001")
    assert one == hub.ingest.resource_id("Patient", "ZHIS", "MRN-0001")
    assert one != hub.ingest.resource_id("Patient", "ZCLIN", "MRN-0001")
    assert "0001" not in one


async def test_two_who_create_the_same_resource_at_once_make_one_and_a_conflict(hub, database):
    practitioner = {"resourceType": "Practitioner", "id": "p", "active": True}

    async def create(second) -> str:
        try:
            async with database.transaction() as tx:
                await hub.ingest(tx, _submission(practitioner))
                second.set()
                await asyncio.sleep(0.05)
        except Conflict:
            return "conflict"
        return "created"

    started = asyncio.Event()
    outcomes = await asyncio.gather(create(started), create(started))
    assert sorted(outcomes) == ["conflict", "created"]


OTTOLINE = {
    "resourceType": "Patient", "name": [{"family": "Quennell", "given": ["Ottoline"]}], "birthDate": "1971-03-09",
    "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "521-45-1234"}],
}  # fmt: skip


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is asked of the database from now on."""
    statements: list[str] = []
    execute, simple = asyncpg.Connection._execute, asyncpg.Connection.execute

    async def counted(self, query, *parameters, **more):
        statements.append(query)
        return await execute(self, query, *parameters, **more)

    async def begun(self, query, *parameters, **more):
        statements.append(query)
        return await simple(self, query, *parameters, **more)

    monkeypatch.setattr(asyncpg.Connection, "_execute", counted)
    monkeypatch.setattr(asyncpg.Connection, "execute", begun)
    return statements


@pytest.fixture
async def beside(database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """Another process on the same database, which has met nobody yet."""
    settings = load_settings(None, environ={}, overrides={"audit.heads_path": str(tmp_path / "others")})
    hub = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield hub
    await hub.close()


async def test_a_second_registration_asks_who_it_may_be_and_what_they_say_and_holds_and_writes(hub, beside, statements):
    await hub.write.create(ADMIN, OTTOLINE)
    statements.clear()
    stored = await beside.write.create(ADMIN, {**OTTOLINE, "gender": "female"})
    about = [query for query in statements if any(name in query for name in ("identity_", "consent_", "data_key"))]
    assert len(about) == 4 and "outdated()" in about[-1], about
    async with hub.database.connection() as tx:
        both = await tx.fetch("SELECT patient_id FROM identity_patient GROUP BY enterprise_id, patient_id")
        assert await tx.fetchval("SELECT count(DISTINCT enterprise_id) FROM identity_patient") == 1
    assert len(both) == 2 and stored.id in {row["patient_id"] for row in both}


async def test_who_can_share_nothing_with_anybody_is_one_statement(hub, statements):
    await hub.write.create(ADMIN, {"resourceType": "Patient", "gender": "female", "birthDate": "1971-03-09"})
    statements.clear()
    await hub.write.create(ADMIN, {"resourceType": "Patient", "gender": "male", "birthDate": "1971-03-09"})
    assert len([query for query in statements if "identity_" in query]) == 1
    assert not any(query.startswith("BEGIN") for query in statements)


async def test_consents_follow_a_person_to_a_process_that_has_met_none(hub, beside):
    first = await hub.write.create(ADMIN, OTTOLINE)
    await hub.write.create(ADMIN, opt_out(first.id))
    second, third = [await beside.write.create(ADMIN, {**OTTOLINE, "gender": "female"}) for _ in range(2)]
    async with hub.database.connection() as tx:
        protected = await tx.fetch(
            "SELECT patient_id FROM consent_directive JOIN identity_patient USING (patient_key) ORDER BY patient_key"
        )
    assert [row["patient_id"] for row in protected] == [first.id, second.id, third.id]


async def test_an_update_that_says_nothing_new_about_who_somebody_is_takes_no_turn_and_one_look(hub, statements):
    stored = await hub.write.create(ADMIN, OTTOLINE)
    for language in ("de", "fr"):
        statements.clear()
        await hub.write.update(ADMIN, {**OTTOLINE, "id": stored.id, "language": language})
    asked = [query for query in statements if "identity_" in query]
    assert len(asked) == 1 and "identity_held" in asked[0]
    assert not any(query.startswith("BEGIN") or "advisory" in query for query in statements)

    await hub.write.update(ADMIN, {**OTTOLINE, "id": stored.id, "birthDate": "1971-03-08"})
    assert any("advisory" in query for query in statements)
