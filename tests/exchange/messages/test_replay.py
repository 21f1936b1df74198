"""Messages read anew: nothing is doubled, and no old message undoes a newer one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.directory import Peer
from healthsync.domains.messages import Selection
from healthsync.domains.messages.model import MessageState
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.exchange.administration.replay_messages import asked_by
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import JobState
from healthsync.settings import load_settings

LOCAL = Peer("127.0.0.1")
ADA = asked_by("ada", "replay-messages")
EVERYTHING = Selection(source="MERCY.EPIC")


def adt(
    control: str, patient: str = "P1", family: str = "Doe", *, event: str = "A08", more: str = "", extra: str = ""
) -> bytes:
    return (
        f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000+0000||ADT^{event}|{control}|P|2.5.1\r"
        f"PID|1||{patient}^^^MERCY^MR||{family}^Jane||19700101|F{more}\r{extra}"
    ).encode()


def oru(control: str, value: str, patient: str = "P1", family: str = "Doe") -> bytes:
    return (
        f"MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000+0000||ORU^R01|{control}|P|2.5.1\rPID|1||{patient}^^^MERCY^MR||{family}^Jane\r"
        f"OBR|1||F-{patient}^LAB|24323-8^Panel^LN|||20240301080000+0000\rOBX|1|NM|2345-7^Glucose^LN||{value}|mg/dL^^UCUM|||||F\r"
    ).encode()


async def send(hub: Hub, *messages: bytes, process: bool = True) -> None:
    for message in messages:
        await hub.receive_message(message, LOCAL)
    while process and await hub.process_message():
        pass


async def rows(hub: Hub, query: str, *values: Any) -> list[Any]:
    async with hub.database.connection() as tx:
        return await tx.fetch(query, *values)


async def states(hub: Hub) -> dict[int, str]:
    return {row["sequence"]: row["state"] for row in await rows(hub, "SELECT sequence, state FROM message")}


async def replay(hub: Hub, selection: Selection, **how: Any) -> dict[str, Any]:
    job = await hub.replay_messages.start(selection, ADA, owner="operator", claimed=True, **how)
    await hub.jobs.run(job)
    ended = (await hub.jobs.inspect(str(job.id))).job
    assert ended.state is JobState.COMPLETED, ended.failure
    return dict(ended.result or {})


async def versions(hub: Hub) -> dict[tuple[str, str], int]:
    found = await rows(hub, "SELECT resource_type, id, version FROM resource WHERE NOT deleted")
    return {(row["resource_type"], row["id"]): row["version"] for row in found}


async def resources(hub: Hub, resource_type: str) -> list[dict[str, Any]]:
    """All of a type as an administrator reads them."""
    from healthsync.domains.access import Requester

    requester = Requester("test", ("admin",), "TREAT")
    found = []
    for row in await rows(
        hub, "SELECT id FROM resource WHERE resource_type = $1 AND NOT deleted ORDER BY pid", resource_type
    ):
        disclosed = await hub.disclose.read(requester, resource_type, row["id"])
        found.append(json.loads(disclosed.text))  # type: ignore[union-attr]
    return found


@pytest.fixture
async def remapped(hub: Hub, database: Database, tmp_path: Path) -> AsyncIterator[Hub]:
    """The same hub after an operator mapped PID-23 to the city."""
    mapping = tmp_path / "hl7_processing.yaml"
    mapping.write_text(
        "hl7_processing: {inbound: [{message_type: ADT^A08, mapping: [{hl7_segment: PID, target_table: patients,"
        " fields: [{hl7: PID.23, db: city}]}]}]}\n"
    )
    overrides = {"audit.heads_path": str(tmp_path / "heads2"), "development": True, "hl7.processing_path": str(mapping)}
    settings = load_settings(None, environ={}, overrides=overrides)
    changed = build_hub(settings, InsecureDevelopmentKeyring(), database, SystemClock())
    yield changed
    await changed.close()


async def test_reading_everything_anew_under_the_same_maps_writes_nothing(hub: Hub) -> None:
    await send(
        hub, adt("C1", event="A01"), adt("C2", family="Dove"), oru("C3", "5"), oru("C4", "6"), adt("C5", "P2", "Roe")
    )
    before, history = await versions(hub), await rows(hub, "SELECT count(*) FROM resource_history")
    events = await rows(hub, "SELECT count(*) FROM event_log")
    report = await replay(hub, EVERYTHING)
    assert (report["messages"], report["failed"], report["created"], report["changed"]) == (5, 0, {}, {})
    assert report["unchanged"]["Patient"] == 2
    assert await versions(hub) == before
    assert await rows(hub, "SELECT count(*) FROM resource_history") == history
    assert await rows(hub, "SELECT count(*) FROM event_log") == events


async def test_after_a_map_was_changed_replay_brings_what_is_new_once_and_reports_it(hub: Hub, remapped: Hub) -> None:
    await send(hub, adt("C1", more="|" * 15 + "Harbor"), adt("C2", "P2"))
    before = await versions(hub)
    dry = await replay(remapped, EVERYTHING, dry_run=True)
    assert dry["changed"] == {"Patient": 1} and await versions(hub) == before
    report = await replay(remapped, EVERYTHING)
    assert {name: report[name] for name in ("messages", "failed", "changed")} == {
        "messages": 2,
        "failed": 0,
        "changed": {"Patient": 1},
    }
    assert set(report["paths"]) == {"Patient.address"}
    assert report["unchanged"]["Patient"] == 1
    assert sorted(one.get("address", [{}])[0].get("city", "") for one in await resources(hub, "Patient")) == [
        "",
        "Harbor",
    ]
    after = await versions(hub)
    assert set(after) == set(before) and sum(after.values()) == sum(before.values()) + 1
    again = await replay(remapped, EVERYTHING)
    assert again["changed"] == again["created"] == {} and await versions(hub) == after


async def test_an_old_message_that_is_read_anew_does_not_undo_a_newer_one(hub: Hub) -> None:
    await send(
        hub,
        adt("C1", family="Old"),
        adt("C2", family="New"),
        oru("C3", "5", family="New"),
        oru("C4", "6", family="New"),
    )
    before = await versions(hub)
    report = await replay(hub, Selection(sequences=(1,)))
    assert report["messages"] == 4  # with the younger ones of the patient
    assert await versions(hub) == before
    assert [one["name"][0]["family"] for one in await resources(hub, "Patient")] == ["New"]
    assert [float(one["valueQuantity"]["value"]) for one in await resources(hub, "Observation")] == [6.0]


async def test_a_practitioner_whom_messages_of_several_patients_name_keeps_what_the_newest_said(hub: Hub) -> None:
    def visit(control: str, patient: str, name: str) -> bytes:
        return adt(
            control,
            patient,
            event="A01",
            extra=f"PV1|1|I|W^1^A||||4711^{name}^Helen||||||||||||V{patient}^^^MERCY^VN\r",
        )

    await send(hub, visit("C1", "P1", "Marsh"), visit("C2", "P2", "Stone"), adt("C3", "P1"))
    before = await versions(hub)
    for _ in range(2):
        report = await replay(hub, EVERYTHING)
        assert (report["failed"], report["changed"], report["created"]) == (0, {}, {})
    assert report["kept"] == {"Practitioner": 1} and await versions(hub) == before
    (practitioner,) = await resources(hub, "Practitioner")
    assert practitioner["name"][0]["family"] == "Stone"


async def test_a_dead_letter_takes_its_place_before_what_came_later(hub: Hub) -> None:
    """Only what the younger message does not say is the older one's."""
    quality = hub.quality.bands
    hub.quality.bands = replace(quality, minimum=90, good=90, excellent=90, rejects=True)
    poor = adt("C1", family="Old").replace(b"19700101", b"19700132").replace(b"|F", b"|F|||1 Elm^^Harbor")
    await send(hub, poor)
    hub.quality.bands = quality
    await send(hub, adt("C2", family="New"))
    assert await states(hub) == {1: "dead", 2: "processed"}
    report = await replay(hub, Selection(MessageState.DEAD))
    assert (report["messages"], report["failed"], await states(hub)) == (2, 0, {1: "processed", 2: "processed"})
    (patient,) = await resources(hub, "Patient")
    assert (patient["name"][0]["family"], patient["address"][0]["city"], patient["birthDate"]) == (
        "New",
        "Harbor",
        "1970-01-01",
    )


async def test_what_cannot_be_read_stays_dead_and_says_why_and_the_others_go_on(hub: Hub) -> None:
    await send(hub, adt("C1").replace(b"ADT^A08", b"XYZ^Z99"), adt("C2"))
    report = await replay(hub, Selection(MessageState.DEAD))
    assert (report["messages"], report["failed"]) == (2, 1)
    assert report["failures"][0]["sequence"] == 1 and report["failures"][0]["code"] == "not-supported"
    assert await states(hub) == {1: "dead", 2: "processed"}
    with pytest.raises(NotFound):
        await hub.replay_messages.start(Selection(source="nobody"), ADA, owner="operator")
    with pytest.raises(InvalidInput, match="say which"):
        await hub.replay_messages.start(Selection(), ADA, owner="operator")


async def test_merges_that_are_read_anew_change_nothing(hub: Hub) -> None:
    def merge(control: str, survivor: str, retired: str) -> bytes:
        return adt(control, survivor, event="A40", extra=f"MRG|{retired}^^^MERCY^MR\r")

    await send(hub, adt("C1", "A"), adt("C2", "B"), merge("C3", "B", "A"), oru("C4", "5", "A"), merge("C5", "A", "B"))
    before = {one["id"]: (one.get("active"), one.get("link")) for one in await resources(hub, "Patient")}
    numbers = await versions(hub)
    report = await replay(hub, EVERYTHING)
    assert (report["messages"], report["failed"], report["changed"]) == (5, 0, {})
    assert {one["id"]: (one.get("active"), one.get("link")) for one in await resources(hub, "Patient")} == before
    assert await versions(hub) == numbers


async def test_an_edited_copy_is_processed_in_the_place_of_the_original_which_stays_as_it_was(hub: Hub) -> None:
    broken = adt("C1", family="Old", more="|||1 Elm^^Harbor").replace(b"ADT^A08", b"ADT^Z99")
    await send(hub, broken, adt("C2", family="New"))
    edit = asked_by("ada", "edit-message", reason="ticket-88")
    copy = await hub.edit_message(1, broken.replace(b"ADT^Z99", b"ADT^A08"), edit)
    assert await states(hub) == {1: "dead", 2: "processed", copy: "dead"}
    (listed,) = [one async for one in hub.inspect_messages.listed(limit=1)]
    assert (listed.sequence, listed.origin, listed.edited_by, listed.reason_code) == (copy, 1, "ada", "edited")
    report = await replay(hub, Selection(sequences=(copy,)))
    assert (report["messages"], report["failed"]) == (2, 0)
    assert await states(hub) == {1: "replaced", 2: "processed", copy: "processed"}
    (patient,) = await resources(hub, "Patient")
    assert (patient["name"][0]["family"], patient["address"][0]["city"]) == ("New", "Harbor")
    assert await hub.inspect_messages.content(1, "ada", "ticket-88") == broken
    audited = await rows(hub, "SELECT entry FROM audit_event WHERE entry->>'interaction' = 'edit-message'")
    entry = json.loads(audited[0]["entry"])
    assert (entry["user"], entry["reason"], entry["entities"]) == ("ada", "ticket-88", ["Message/1"])
    assert (await replay(hub, EVERYTHING))["changed"] == {}  # the copy keeps its place
    with pytest.raises(Conflict, match="only dead letters"):
        await hub.edit_message(2, broken, edit)
    with pytest.raises(InvalidInput, match="no HL7"):
        await hub.edit_message(1, b"hello", edit)
    with pytest.raises(NotFound):
        await hub.edit_message(99, broken, edit)


async def test_a_comparison_tells_where_and_leaves_everything_as_it_is(hub: Hub, remapped: Hub) -> None:
    await send(hub, adt("C1", more="|" * 15 + "Harbor"))
    before = await versions(hub)
    by = asked_by("ada", "compare-messages", reason="ticket-88")
    report, found = await remapped.replay_messages.compare(Selection(sequences=(1,)), by)
    (((kind, _), net),) = found.items()
    assert kind == "Patient" and [(one.path, one.before) for one in net.differences] == [("Patient.address", None)]
    assert "Harbor" not in json.dumps(report.as_document())
    assert await versions(hub) == before
    (row,) = await rows(hub, "SELECT entry FROM audit_event WHERE entry->>'interaction' = 'compare-messages'")
    assert json.loads(row["entry"])["patients"]


async def test_a_message_that_a_worker_processes_meanwhile_is_not_undone(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(hub, adt("C1", family="Old"), adt("C2", family="New"))
    understand, arrived = hub.process_message.understand, False

    async def with_company(tx: Any, message: Any, rules: Any) -> Any:
        nonlocal arrived
        found = await understand(tx, message, rules)
        if not arrived and message.sequence == 1:
            arrived = True
            await asyncio.create_task(send(hub, adt("C3", family="Newest")))
        return found

    monkeypatch.setattr(type(hub.process_message), "understand", lambda self, *arguments: with_company(*arguments))
    report = await replay(hub, Selection(sequences=(1,)))
    assert arrived and (report["messages"], report["failed"]) == (3, 0)
    assert [one["name"][0]["family"] for one in await resources(hub, "Patient")] == ["Newest"]


async def test_a_replay_goes_on_where_a_worker_left_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    await send(hub, *(adt(f"C{n}", f"P{n}") for n in range(4)))
    job = await hub.replay_messages.start(EVERYTHING, ADA, owner="operator", claimed=True)
    whole, seen = hub.replay_messages.group, 0

    async def dies(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise asyncio.CancelledError
        return await whole(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(type(hub.replay_messages), "group", dies)
        with pytest.raises(asyncio.CancelledError):
            await hub.replay_messages(job)
    await hub.jobs.table.release(job)
    claimed = await hub.jobs.table.claim_one(job.id)
    assert claimed is not None
    assert (await hub.replay_messages(claimed))["messages"] == 4
