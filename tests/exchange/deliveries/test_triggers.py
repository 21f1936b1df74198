"""From what happens in the hub to the message that a partner gets: triggers, gate, audit, no doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.consents import opt_out

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.deliveries import Triggers
from healthsync.entrypoints.web.application import Application
from healthsync.errors import InvalidInput, NotSupported, Unavailable
from healthsync.exchange.receive_message import Peer
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.settings import load_settings
from healthsync.standards.hl7v2 import Message

from .conftest import OPERATOR, Rig, sending

PROCESSING = {
    "hl7_processing": {
        "outbound": [{"trigger": {"table": "appointments", "operation": "INSERT"}, "generate": "SIU^S12"}]
    }
}
PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-000111"}],
    "name": [{"family": "Quennell", "given": ["Ottoline"]}],
    "gender": "female",
    "birthDate": "1971-03-09",
}
TREATMENT = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]


@pytest.fixture
async def hub(database, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub whose hl7_processing says what a partner is told, with every destination known at once."""
    (tmp_path / "hl7.yaml").write_text(yaml.safe_dump(PROCESSING))
    overrides = {"audit.heads_path": str(tmp_path / "heads"), "development": True,
                 "hl7.processing_path": str(tmp_path / "hl7.yaml"), "deliveries.keep_days": 3}  # fmt: skip
    settings = load_settings(None, environ={}, overrides=overrides)
    hub = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield hub
    await hub.close()


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of the FHIR server."""

    async def ready() -> dict[str, bool]:
        return {"database": True}

    async with hub.database.transaction() as tx:
        registered, key = await hub.access.create_client(tx, "admin", ("admin",))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=Application(hub, ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub", headers=headers) as client:
        client.name = registered.client_id
        yield client


async def store(client: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()


def appointment(patient: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2026-05-06T09:00:00+02:00",
        "end": "2026-05-06T09:30:00+02:00",
        "minutesDuration": 30,
        "participant": [{"actor": {"reference": f"Patient/{patient['id']}"}, "status": "accepted"}],
        **more,
    }


async def watching(rig: Rig) -> None:
    """Every process knows of the destination."""
    rig.deliveries._watched_at = float("-inf")


async def queue(hub: Hub) -> None:
    while await hub.send_message.queue():
        pass


async def audited(hub: Hub) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    async with hub.database.connection() as tx:
        entries = [row.entry for row in await hub.audit.search(tx)]
    return [
        (e["client"], e["outcome"], tuple(e.get("entities", ())), tuple(e.get("patients", ())))
        for e in entries
        if e["interaction"] == "send-message"
    ]


async def test_an_appointment_that_is_stored_reaches_the_partner_as_the_configuration_says(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver, application="SCHED", facility="MERCY")
    await watching(rig)
    patient = await store(client, PATIENT)
    async with sending(hub):
        booked = await store(client, appointment(patient))
        await asyncio.wait_for(receiver.arrived.wait(), 10)
        await asyncio.sleep(0.2)
    message = Message.parse(receiver.got[0])
    assert len(receiver.got) == 1
    assert (message.message_code, message.trigger, message.receiving_application) == ("SIU", "S12", "SCHED")
    assert message.get("PID-5.1") == "Quennell" and message.get("SCH-11.4") == "20260506090000+0200"
    events = await audited(hub)
    assert [(c, e, p) for c, o, e, p in events] == [
        (
            "destination/partner",
            (f"Appointment/{booked['id']}", f"Patient/{patient['id']}"),
            (f"Patient/{patient['id']}",),
        )
    ]


async def test_consent_that_is_denied_keeps_the_message_from_being_built_and_the_refusal_is_recorded(hub, client, rig):
    await rig.destination(1)
    await watching(rig)
    patient = await store(client, PATIENT)
    await store(client, opt_out(patient["id"], purpose=TREATMENT))
    await store(client, appointment(patient))
    await queue(hub)
    assert (await rig.queue()).waiting == 0
    assert [outcome for _, outcome, _, _ in await audited(hub)] == ["4"]


async def test_consent_withdrawn_while_the_message_waits_destroys_it_unsent(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    await watching(rig)
    patient = await store(client, PATIENT)
    await store(client, appointment(patient))
    await queue(hub)
    assert (await rig.queue()).waiting == 1
    await store(client, opt_out(patient["id"], purpose=TREATMENT))
    await rig.deliver()
    assert receiver.got == []
    (dead,) = await rig.stored("dead")
    assert (dead.reason_code, dead.built) == ("consent", False)
    assert sorted(outcome for _, outcome, _, _ in await audited(hub)) == ["0", "4"]
    assert await hub.manage_destinations.retry(OPERATOR, "partner", None) == [], "a retry asks the gate again"


async def test_nothing_is_queued_or_passed_over_when_the_disclosure_cannot_be_recorded(hub, client, rig, monkeypatch):
    await rig.destination(1)
    await watching(rig)
    patient = await store(client, PATIENT)
    await store(client, appointment(patient))

    async def broken(_event: object) -> None:
        raise Unavailable("the audit log cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(hub.disclose._audit, "record_and_commit", broken)
        with pytest.raises(Unavailable):
            await hub.send_message.queue()
    assert (await rig.queue()).waiting == 0
    await queue(hub)
    assert (await rig.queue()).waiting == 1


async def test_a_crash_between_gate_and_commit_queues_the_event_once(hub, client, rig, monkeypatch):
    await rig.destination(1)
    await watching(rig)
    await store(client, appointment(await store(client, PATIENT)))
    enqueue = hub.send_message._enqueue

    async def die(tx, parcels):
        await enqueue(tx, parcels)
        raise RuntimeError("killed before the commit")

    with monkeypatch.context() as patched:
        patched.setattr(hub.send_message, "_enqueue", die)
        with pytest.raises(RuntimeError):
            await hub.send_message.queue()
    await asyncio.gather(queue(hub), queue(hub))
    assert (await rig.queue()).waiting == 1


async def test_each_destination_gets_the_types_that_it_names_and_nothing_from_before_it_was_added(hub, client, rig):
    patient = await store(client, PATIENT)
    await store(client, appointment(patient))
    await rig.destination(1, "scheduling")
    await rig.destination(2, "registry", messages=["ADT^A28", "ADT^A31", "SIU^S15"])
    await watching(rig)
    booked = await store(client, appointment(patient))
    booked["status"] = "cancelled"
    await client.put(f"/fhir/Appointment/{booked['id']}", json=booked)
    other = await store(client, PATIENT | {"identifier": [{"system": "urn:oid:1.2.3", "value": "MRN-000112"}]})
    await client.put(f"/fhir/Patient/{other['id']}", json=other | {"gender": "other"})
    await queue(hub)
    assert [d.type for d in await rig.stored("waiting", "scheduling")] == ["SIU^S12"]
    assert [d.type for d in await rig.stored("waiting", "registry")] == ["SIU^S15", "ADT^A28", "ADT^A31"]


async def test_visits_become_admissions_registrations_and_discharges_by_class(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver, messages=["ADT^A01", "ADT^A03", "ADT^A04"])
    patient = await store(client, PATIENT)
    acts = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    for code in ("IMP", "AMB"):
        visit = await store(client, {
            "resourceType": "Encounter", "status": "in-progress", "class": {"system": acts, "code": code},
            "identifier": [{"system": "urn:oid:1.2.3.9", "value": f"V-{code}"}],
            "subject": {"reference": f"Patient/{patient['id']}"}, "period": {"start": "2026-05-06T09:00:00Z"},
        })  # fmt: skip
        if code == "IMP":
            visit |= {"status": "finished", "period": {"start": "2026-05-06T09:00:00Z", "end": "2026-05-08T10:00:00Z"}}
            await client.put(f"/fhir/Encounter/{visit['id']}", json=visit)
    await queue(hub)
    await rig.deliver()
    found = [Message.parse(each) for each in receiver.got]
    assert [(m.trigger, m.get("PV1-2"), m.get("PV1-45")) for m in found] == [
        ("A01", "I", ""), ("A03", "I", "20260508100000+0000"), ("A04", "O", "")
    ]  # fmt: skip


async def test_an_admission_tells_allergies_insurance_and_procedures_that_are_so(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver, messages=["ADT^A01"])
    patient, stranger = await store(client, PATIENT), await store(client, PATIENT)
    about = {"reference": f"Patient/{patient['id']}"}
    clinical, verified = ("http://terminology.hl7.org/CodeSystem/allergyintolerance-" + name
                          for name in ("clinical", "verification"))  # fmt: skip
    for name, of, known in (
        ("Pollen", about, "confirmed"),
        ("Latex", about, "refuted"),
        ("Nuts", _ref(stranger), "confirmed"),
    ):
        await store(client, {
            "resourceType": "AllergyIntolerance", "patient": of, "code": {"text": name},
            "clinicalStatus": {"coding": [{"system": clinical, "code": "active"}]},
            "verificationStatus": {"coding": [{"system": verified, "code": known}]},
        })  # fmt: skip
    for status, policy in (("active", "P-1"), ("cancelled", "P-2")):
        await store(client, {
            "resourceType": "Coverage", "status": status, "beneficiary": about, "payor": [{"display": "Acme Mutual"}],
            "identifier": [{"system": "urn:oid:1.2.3.5", "value": policy}], "policyHolder": {"display": "Harbor Works"},
        })  # fmt: skip
    visit = {
        "resourceType": "Encounter", "status": "in-progress", "subject": about,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    }  # fmt: skip
    before = await store(client, visit | {"status": "planned"})
    admitted = await client.put("/fhir/Encounter/adm-1", json=visit | {"id": "adm-1"})
    assert admitted.status_code == 201
    for name, of, status in (
        ("Suture", admitted.json(), "completed"),
        ("Cast", admitted.json(), "not-done"),
        ("Scan", before, "completed"),
    ):
        await store(client, {
            "resourceType": "Procedure", "status": status, "subject": about, "encounter": _ref(of),
            "code": {"text": name}, "performedDateTime": "2026-05-06T09:30:00Z",
        })  # fmt: skip
    await queue(hub)
    await rig.deliver()
    (message,) = [Message.parse(each) for each in receiver.got]
    assert [al1.get(3, 1, 2) for al1 in message.all("AL1")] == ["Pollen"]
    assert [pr1.get(3, 1, 2) for pr1 in message.all("PR1")] == ["Suture"]
    assert [in1.get(36) for in1 in message.all("IN1")] == ["P-1"] and message.get("IN2-69") == "Harbor Works"
    disclosed = [name for _, _, entities, _ in await audited(hub) for name in entities]
    assert sum(name.startswith(("AllergyIntolerance/", "Procedure/", "Coverage/")) for name in disclosed) == 3


def _ref(resource: dict[str, Any]) -> dict[str, str]:
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


async def test_what_came_from_the_partner_is_not_sent_back_to_it(hub, client, rig):
    await rig.destination(1, messages=["ADT^A28"], not_from=[client.name])
    await store(client, PATIENT)
    await queue(hub)
    assert (await rig.queue()).waiting == 0


async def test_what_cannot_be_built_is_a_dead_letter_that_a_retry_builds(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    await watching(rig)
    nobody = {**appointment({"id": "x"}), "participant": [{"status": "accepted", "type": [{"text": "room"}]}]}
    await store(client, nobody)
    await queue(hub)
    (dead,) = await rig.stored("dead")
    assert dead.built is False and "names none that may be sent" in dead.reason
    assert await hub.manage_destinations.retry(OPERATOR, "partner", None) == []
    assert (await rig.queue()).waiting == 0


async def test_what_v2_would_tell_as_something_else_is_no_occasion_for_a_message(hub, client, rig):
    await rig.destination(1, messages=["SIU^S12", "ORM^O01"])
    await watching(rig)
    patient = await store(client, PATIENT)
    order = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "code": {"text": "CT with contrast"},
        "subject": {"reference": f"Patient/{patient['id']}"},
    }  # fmt: skip
    await store(client, appointment(patient, status="cancelled"))
    await store(client, order | {"doNotPerform": True})
    await store(client, order | {"intent": "proposal"})
    await queue(hub)
    found = await rig.queue()
    assert (found.waiting, found.dead, await audited(hub)) == (0, 0, [])
    await store(client, order)
    await queue(hub)
    assert (await rig.queue()).waiting == 1


async def test_a_role_that_sees_a_part_sends_that_part(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver, messages=["ADT^A28"], role="billing", purpose_of_use="HPAYMT")
    await store(client, PATIENT)
    await queue(hub)
    await rig.deliver()
    message = Message.parse(receiver.got[0])
    assert message.get("PID-5.1") == "Quennell"
    assert message.get("PID-7") == message.get("PID-8") == ""


@pytest.mark.shows("deliveries.keep_days")
async def test_delivered_messages_are_kept_as_long_as_the_setting_says(hub, client, rig, partner):
    receiver = await partner()
    await rig.destination(receiver)
    await rig.put("p")
    await rig.deliver()
    for days, left in ((2, 1), (4, 0)):
        async with hub.database.connection() as tx:
            await tx.execute(f"UPDATE delivery SET settled_at = now() - interval '{days} days'")
        await hub.deliver_messages.tidy()
        assert len(await rig.stored("delivered")) == left


def test_a_document_that_is_withdrawn_sends_its_cancelling():
    (trigger,) = Triggers.load().of({"MDM^T11"})
    assert trigger.is_fired_by("resource.changed", "DocumentReference", 2)
    assert not trigger.is_fired_by("resource.changed", "DocumentReference", 1), "nobody was told of it"
    now = datetime(2026, 5, 6, tzinfo=UTC)
    assert trigger.concerns({"resourceType": "DocumentReference", "status": "entered-in-error"}, now)
    assert not trigger.concerns({"resourceType": "DocumentReference", "status": "current"}, now)


def test_an_operators_outbound_takes_the_place_of_ours_for_its_message_type():
    triggers = Triggers.load(PROCESSING)
    (ours,) = Triggers.load().of(["SIU^S15"])
    assert ours in triggers.of(["SIU^S15"])
    (theirs,) = triggers.of(["SIU^S12"])
    assert (theirs.resource, theirs.operation, theirs.status) == ("Appointment", "INSERT", frozenset())


def test_a_logical_table_that_picks_rows_picks_them_here_too():
    document = {"outbound": [{"trigger": {"table": "lab_results", "operation": "INSERT"}, "generate": "ORU^R01"}]}
    (trigger,) = Triggers.load(document).of(["ORU^R01"])
    category = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]
    }
    now = SystemClock().now()
    assert trigger.concerns({"resourceType": "Observation", "id": "1", "category": [category]}, now)
    assert not trigger.concerns({"resourceType": "Observation", "id": "1"}, now)


@pytest.mark.parametrize(
    ("table", "operation", "generate", "kind"),
    [
        ("appointmentz", "INSERT", "SIU^S12", InvalidInput),
        ("appointments", "INSERT", "SIU^S99", NotSupported),
        ("appointments", "DELETE", "SIU^S12", NotSupported),
        ("vitals", "INSERT", "SIU^S12", InvalidInput),
    ],
)
def test_an_outbound_entry_that_cannot_work_is_refused_when_it_is_loaded(table, operation, generate, kind):
    entry = {"trigger": {"table": table, "operation": operation}, "generate": generate}
    with pytest.raises(kind):
        Triggers.load({"hl7_processing": {"outbound": [entry]}})


def adt(trigger: str, number: str, control_id: str, *more: str) -> bytes:
    lines = (
        f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20260506120000+0000||ADT^{trigger}|{control_id}|P|2.5.1",
        "EVN|A01|20260506120000+0000",
        f"PID|1||{number}^^^MERCY^MR||Doe^Jane||19700101|F",
        *more,
    )
    return ("\r".join(lines) + "\r").encode()


RESULT = (
    b"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20260506130000+0000||ORU^R01|R1|P|2.5.1\r"
    b"PID|1||P1^^^MERCY^MR||Doe^Jane||19700101|F\r"
    b"OBR|1|PL1^EHR|FI1^LAB|58410-2^CBC^LN|||20260506080000+0000|||||||||||||||20260506120000+0000||HM|F\r"
    b"OBX|1|NM|718-7^Hemoglobin^LN||13.50|g/dL^g/dL^UCUM|12-16|N^Normal^HL70078|||F|||20260506080000+0000\r"
    b"NTE|1||checked twice\r"
)


async def test_what_comes_in_as_v2_goes_out_as_v2_and_says_the_same(hub, rig, partner):
    receiver = await partner()
    await rig.destination(receiver, messages=["ADT^A28", "ADT^A40", "ORU^R01"])
    await watching(rig)
    merge = adt("A40", "P1", "C3", "MRG|P2^^^MERCY^MR")
    for raw in (adt("A28", "P1", "C1"), adt("A28", "P2", "C2"), RESULT, merge):
        await hub.receive_message(raw, Peer("127.0.0.1"))
        while await hub.process_message():
            pass
    await queue(hub)
    await rig.deliver()
    first, second, result, merged = (Message.parse(each) for each in receiver.got)
    assert [(m.trigger, m.get("PID-3.1")) for m in (first, second)] == [("A28", "P1"), ("A28", "P2")]
    assert (merged.trigger, merged.get("PID-3.1"), merged.get("MRG-1.1"), merged.get("MRG-1.4")) == (
        "A40",
        "P1",
        "P2",
        "MERCY",
    )
    sent = Message.parse(RESULT)
    for path in ("OBR-2", "OBR-3.1", "OBR-4", "OBR-7", "OBR-22", "OBR-24", "OBR-25", "OBX-2", "OBX-3", "OBX-5", "OBX-6",
                 "OBX-7", "OBX-8", "OBX-11", "OBX-14", "NTE-3"):  # fmt: skip
        assert result.get(path) == sent.get(path), path
