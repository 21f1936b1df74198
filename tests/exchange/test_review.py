"""Doubts become work, and updates of somebody else wait: through the real gates."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub, build_hub
from healthsync.domains.audit import Action
from healthsync.domains.identity import Task, TaskKind, UnknownPatient, UnknownTask, replay
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.administration.report_identity import document
from healthsync.exchange.administration.steward_identity import Choice, TaskState, view_document
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Disclosed, Refusal
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.settings import load_settings
from healthsync.standards.fhir import json

ANN, BOB, EVE = Actor("ann"), Actor("bob"), Actor("eve")
ADMIN = Requester("tester", ("admin",), "TREAT")
HOSPITAL, CLINIC, PAYER = "urn:oid:1.1", "urn:oid:1.2", "urn:oid:1.9"
WAITING = [TaskState.OPEN, TaskState.CLAIMED, TaskState.SECOND]
JANE = {"family": "Holm", "first": "Signe", "born": "1967-12-13"}
JOHN = {"family": "Borg", "first": "Anders", "born": "1942-02-02", "sex": "male"}


def person(
    id_: str,
    number: str,
    *others: tuple[str, str, str],
    authority: str = HOSPITAL,
    family: str = "Holm",
    first: str = "Signe",
    born: str = "1967-12-13",
    sex: str | None = "female",
) -> dict[str, Any]:
    """A Patient; `others` are (system, value, type) of further numbers."""
    numbers = [(authority, number, "MR"), *others]
    patient = {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": s, "value": v, "type": {"coding": [{"code": t}]}} for s, v, t in numbers],
        "name": [{"family": family, "given": [first]}],
        "birthDate": born,
    }
    return patient if sex is None else {**patient, "gender": sex}


def ssn(value: str) -> tuple[str, str, str]:
    return ("http://hl7.org/fhir/sid/us-ssn", value, "SS")


async def opened(database: Database, folder: Path, **settings: Any) -> Hub:
    fixed = {"audit.heads_path": str(folder / "heads"), "mpi.review.second_reader_share": 0}
    loaded = load_settings(None, environ={}, overrides={**fixed, **settings})
    return build_hub(loaded, InsecureDevelopmentKeyring(), database, SystemClock())


@pytest.fixture
async def hub(database: Database, tmp_path: Path) -> Any:
    """A hub that asks no second reader."""
    hub = await opened(database, tmp_path)
    yield hub
    await hub.close()


async def put(hub: Hub, *patients: dict[str, Any], source: str = "east", mode: Any = "update") -> None:
    async with hub.database.transaction() as tx:
        incoming = [Incoming(patient, mode) for patient in patients]
        await hub.ingest(tx, Submission(source, incoming, submission_audit(Action.UPDATE, "update")))


async def tasks(hub: Hub, *states: TaskState) -> list[Task]:
    return await hub.steward_identity.tasks(ANN, states=states or WAITING)


async def read(hub: Hub, id_: str) -> dict[str, Any]:
    found = await hub.disclose.read(ADMIN, "Patient", id_)
    assert isinstance(found, Disclosed)
    return json.parse(found.text.encode())


async def golden(hub: Hub, id_: str) -> dict[str, Any]:
    """The golden record, without version and time."""
    found = await hub.disclose.golden(ADMIN, id_)
    assert isinstance(found, Disclosed)
    return {name: value for name, value in json.parse(found.text.encode()).items() if name != "meta"}


async def person_of(hub: Hub, *ids: str) -> list[str]:
    async with hub.database.connection() as tx:
        rows = {r[0]: r[1] for r in await tx.fetch("SELECT patient_id, enterprise_id::text FROM identity_patient")}
    return [rows[id_] for id_ in ids]


async def events(hub: Hub, name: str) -> list[str]:
    async with hub.database.connection() as tx:
        return [row[0] for row in await tx.fetch("SELECT subject FROM event_log WHERE name = $1 ORDER BY 1", name)]


async def log_is_the_tables(hub: Hub) -> bool:
    async with hub.database.connection() as tx:
        state = replay(await hub.identity.log(tx))
        persons = {r[0]: r[1] for r in await tx.fetch("SELECT patient_key, enterprise_id FROM identity_patient")}
        reviews = {(r[0], r[1]): frozenset(r[2]) for r in await tx.fetch("SELECT * FROM identity_review")}
    return state.person_of == persons and state.reviews == reviews


# --- tasks


async def test_a_doubt_is_one_task_however_often_it_arises(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "2", sex=None))
    await put(hub, {**person("b", "2", sex=None), "telecom": [{"system": "phone", "value": "1"}]})
    (task,) = await tasks(hub)
    assert (task.kind, task.owner, task.state) == (TaskKind.SECOND_NUMBER, "east", TaskState.OPEN)
    assert {task.one.patient_id, task.other.patient_id} == {"a", "b"}
    assert task.due_at > task.raised_at


@pytest.mark.shows("mpi.review.due_hours")
@pytest.mark.shows("mpi.review.overlay_due_hours")
async def test_a_task_says_until_when_it_is_to_be_decided(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **{"mpi.review.due_hours": 5, "mpi.review.overlay_due_hours": 2})
    await put(hub, person("a", "1"), person("b", "2", authority=CLINIC, sex=None))
    await put(hub, person("a", "1", **JOHN))
    due = {task.kind: (task.due_at - task.raised_at).total_seconds() / 3600 for task in await tasks(hub)}
    assert due == {TaskKind.DUPLICATE: 5, TaskKind.OVERLAY: 2}
    await hub.close()


async def test_the_evidence_of_a_task_says_which_fields_agree_and_no_value(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    view = await hub.steward_identity.show(ANN, task.number)
    assert task.kind is TaskKind.LINKAGE
    fields = view.evidence.fields
    assert (fields["name"], fields["birth-date"], fields["sex"]) == ("agrees", "agrees", "missing")
    assert [step.act for step in view.steps] == ["raised"]
    assert "Holm" not in str(view)
    async with hub.database.connection() as tx:
        interactions = [row.entry["interaction"] for row in await hub.audit.search(tx)]
    assert "identity-task" in interactions


async def test_a_task_shows_its_waterfall_down_to_the_total_that_is_held_against_the_thresholds(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    told = view_document(await hub.steward_identity.show(ANN, task.number))
    waterfall = told["waterfall"]
    levels = {step["field"]: step["level"] for step in reversed(waterfall["steps"])}
    assert (levels["given"], levels["birth_date"], levels["sex"], levels["ssn"]) == (
        "exact",
        "exact",
        "missing",
        "missing",
    )
    assert waterfall["steps"][-1]["total"] == waterfall["total"]
    assert waterfall["total"] > waterfall["thresholds"]["review"]
    assert waterfall["model"] == told["rules"] == "rules-2+cms-3.4.0+online-1", (
        "what raised it, and what explains it now"
    )
    assert "Holm" not in str(told)


async def test_a_task_shows_what_happened_to_its_pair_before(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    for first in ("Signe", "Ragnhild", "Signe"):
        await put(hub, person("b", "7", authority=CLINIC, family="Holn", first=first), source="west")
    (task,) = await tasks(hub)
    told = view_document(await hub.steward_identity.show(ANN, task.number))
    assert [event["kind"] for event in told["pairHistory"]] == ["flagged", "resolved", "flagged"]
    assert [(each["state"], each["decision"]) for each in told["earlierTasks"]] == [("closed", None)]


async def test_a_second_reader_is_not_told_by_the_log_what_the_first_said(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **{"mpi.review.second_reader_share": 1})
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.LINK, "papers-seen")
    shown = await hub.steward_identity.show(BOB, task.number)
    assert [told.event.kind for told in shown.links] == ["linked", "flagged"]
    await hub.steward_identity.decide(BOB, task.number, Choice.LINK, "papers-seen")
    shown = await hub.steward_identity.show(BOB, task.number)
    assert "must-link" in [told.event.kind for told in shown.links]
    await hub.close()


async def test_a_task_of_the_weights_stays_while_they_doubt(hub: Hub) -> None:
    """What raised a task says too whether its ground is gone: a link stays no more than probable by a new number."""
    await put(hub, person("a", "1"))
    west = person("b", "7", authority=CLINIC, sex=None)
    await put(hub, west, source="west")
    assert [task.reasons for task in await tasks(hub)] == [("probable",)]
    await put(hub, west | {"telecom": [{"system": "phone", "value": "8595550133"}]}, source="west")
    assert [task.reasons for task in await tasks(hub)] == [("probable",)]
    await put(hub, person("b", "7", ssn("219-09-1234"), authority=CLINIC), source="west")
    await put(hub, person("a", "1", ssn("219-09-1234")))
    assert await tasks(hub) == [], "now it is certain"


async def test_records_of_a_task_are_read_through_the_gate_with_role_and_consent(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    steward = Requester("s", ("steward",), "HOPERAT")
    assert all(isinstance(one, Disclosed) for one in await hub.steward_identity.records(steward, task.number))
    nobody = Requester("r", ("researcher",), "HRESCH")
    assert all(isinstance(one, Refusal) for one in await hub.steward_identity.records(nobody, task.number))


async def test_a_link_that_is_decided_is_made_announced_and_stands(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.LINK, "papers-seen")
    one, other = await person_of(hub, "a", "b")
    assert one == other
    assert await events(hub, "patient.matched")
    assert await tasks(hub) == []
    assert await log_is_the_tables(hub)


async def test_what_a_person_keeps_apart_the_rules_do_not_bring_together_or_ask_again(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.APART, "other-mother")
    await put(hub, person("b", "7", ssn("219-09-1234"), authority=CLINIC), source="west")
    await put(hub, person("a", "1", ssn("219-09-1234")))
    one, other = await person_of(hub, "a", "b")
    assert one != other
    assert await tasks(hub) == []
    with pytest.raises(Conflict):
        await hub.steward_identity.decide(BOB, task.number, Choice.LINK, "papers-seen")


async def test_a_task_whose_ground_is_gone_closes_itself_and_says_so(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    await put(hub, person("b", "7", authority=CLINIC, **JANE | {"first": "Ragnhild"}), source="west")
    (task,) = await tasks(hub, TaskState.CLOSED)
    steps = (await hub.steward_identity.show(ANN, task.number)).steps
    assert [(step.act, step.code, step.by) for step in steps][-1] == ("closed", "ground-gone", "rules")
    assert await log_is_the_tables(hub)


async def test_a_task_about_a_deleted_record_closes_itself(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    await put(hub, {"resourceType": "Patient", "id": "b"}, mode="delete")
    assert await tasks(hub) == []
    assert await log_is_the_tables(hub)


async def test_a_merge_that_decides_a_pair_closes_its_task(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "2", sex=None))
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    (task,) = await tasks(hub, TaskState.CLOSED)
    steps = (await hub.steward_identity.show(ANN, task.number)).steps
    assert [(step.act, step.code, step.by) for step in steps][-1] == ("closed", "decided-elsewhere", "ann")


@pytest.mark.shows("mpi.review.second_reader_share")
async def test_a_second_reader_who_disagrees_makes_a_third_decide(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **{"mpi.review.second_reader_share": 1})
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.LINK, "papers-seen")
    assert (await hub.steward_identity.show(BOB, task.number)).task.decision is None
    await hub.steward_identity.decide(BOB, task.number, Choice.APART, "other-mother")
    one, other = await person_of(hub, "a", "b")
    assert one == other, "the first decision holds until a third person has decided"
    await hub.steward_identity.decide(EVE, task.number, Choice.APART, "other-mother")
    one, other = await person_of(hub, "a", "b")
    assert one != other
    assert await log_is_the_tables(hub)
    await hub.close()


async def test_a_claim_holds_against_others_and_an_unknown_task_is_said_to_be_none(hub: Hub) -> None:
    await put(hub, person("a", "1"), person("b", "2", sex=None))
    (task,) = await tasks(hub)
    await hub.steward_identity.claim(ANN, task.number)
    await hub.steward_identity.claim(ANN, task.number)
    with pytest.raises(Conflict):
        await hub.steward_identity.claim(BOB, task.number)
    with pytest.raises(UnknownTask):
        await hub.steward_identity.show(ANN, 999)
    assert [s.act for s in (await hub.steward_identity.show(ANN, task.number)).steps] == ["raised", "claimed"]


# --- due times


async def test_a_task_past_its_time_is_escalated_once_listed_as_overdue_and_announced(
    database: Database, tmp_path: Path
) -> None:
    hub = await opened(database, tmp_path, **{"mpi.review.due_hours": 5, "mpi.review.overlay_due_hours": 2})
    await put(hub, person("a", "1"), person("b", "2", authority=CLINIC, sex=None))
    await put(hub, person("a", "1", **JOHN))
    assert await hub.escalate_reviews() == 0
    await age(hub, hours=3)
    assert await hub.escalate_reviews() == 1, "the overlay is due earlier"
    (overlay,) = await hub.steward_identity.tasks(ANN, states=WAITING, overdue=True)
    assert (overlay.kind, overlay.priority, overlay.state) == (TaskKind.OVERLAY, "urgent", TaskState.OPEN)
    assert [task.priority for task in await tasks(hub) if task.kind is not TaskKind.OVERLAY] == ["routine"]
    assert await events(hub, "identity.review.overdue") == [overlay.reference]
    assert [s.act for s in (await hub.steward_identity.show(ANN, overlay.number)).steps] == ["raised", "escalated"]
    await age(hub, hours=3)
    assert (await hub.escalate_reviews(), await hub.escalate_reviews()) == (1, 0)
    async with hub.database.connection() as tx:
        assert "identity-escalate" in [row.entry["interaction"] for row in await hub.audit.search(tx)]
    await hub.close()


async def test_a_task_that_was_decided_is_never_overdue(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.LINK, "papers-seen")
    await age(hub, hours=1000)
    assert await hub.escalate_reviews() == 0
    assert await hub.steward_identity.tasks(ANN, states=WAITING, overdue=True) == []


async def age(hub: Hub, *, hours: int) -> None:
    """Let so many hours go by for every task."""
    async with hub.database.transaction() as tx:
        await tx.execute("UPDATE identity_task SET raised_at = raised_at - make_interval(hours => $1)", hours)


# --- overlays


async def test_an_update_of_somebody_else_is_kept_and_feeds_neither_golden_record_nor_index(hub: Hub) -> None:
    await put(hub, person("a", "1", ssn("219-09-1234")))
    before = await golden(hub, "a")
    await put(hub, person("a", "1", ssn("219-09-7777"), **JOHN))
    assert await golden(hub, "a") == before
    assert (await read(hub, "a"))["name"][0]["family"] == "Borg", "what the source said last is not hidden"
    assert await events(hub, "patient.held") == ["Patient/a"]
    await put(hub, person("c", "9", ssn("219-09-1234"), authority=CLINIC), source="west")
    await put(hub, person("d", "9", ssn("219-09-7777"), authority=PAYER, **JOHN), source="north")
    a, c, d = await person_of(hub, "a", "c", "d")
    assert a == c, "she is still found by what was known of her"
    assert a != d, "nobody is linked with her by what is in doubt"


async def test_an_accepted_update_is_taken_in_and_links_as_it_would_have(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("d", "9", ssn("219-09-7777"), authority=CLINIC, **JOHN), source="west")
    await put(hub, person("a", "1", ssn("219-09-7777"), **JOHN))
    (task,) = await tasks(hub)
    await hub.steward_identity.decide(ANN, task.number, Choice.ACCEPT, "name-changed")
    assert (await golden(hub, "a"))["name"][0]["family"] == "Borg"
    a, d = await person_of(hub, "a", "d")
    assert a == d
    assert await log_is_the_tables(hub)


async def test_a_restored_record_reads_as_before_and_what_was_held_stays_in_the_history(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    before = await golden(hub, "a")
    await put(hub, person("a", "1", **JOHN))
    (task,) = await tasks(hub)
    view = await hub.steward_identity.show(ANN, task.number)
    assert view.versions == ("Patient/a", "Patient/a/_history/1")
    await hub.steward_identity.decide(ANN, task.number, Choice.RESTORE, "wrong-chart")
    assert await golden(hub, "a") == before
    assert ((await read(hub, "a"))["name"][0]["family"], (await read(hub, "a"))["meta"]["versionId"]) == ("Holm", "3")
    held = await hub.disclose.vread(ADMIN, "Patient", "a", 2)
    assert isinstance(held, Disclosed)
    assert "Borg" in held.text
    assert await tasks(hub) == []
    assert await log_is_the_tables(hub)


async def test_a_source_that_takes_its_mistake_back_needs_nobody(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("a", "1", **JOHN))
    await put(hub, {**person("a", "1", **JOHN), "active": True})
    (held,) = await tasks(hub)
    await put(hub, {**person("a", "1", family="Holm-Berg"), "active": True})
    assert await tasks(hub) == []
    assert (await golden(hub, "a"))["name"][0]["family"] == "Holm-Berg"
    assert (await hub.steward_identity.show(ANN, held.number)).task.state is TaskState.CLOSED
    assert await log_is_the_tables(hub)


async def matched(hub: Hub, patient: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(id, grade, family name) of those that $match answers with."""
    found = await hub.disclose.likely(ADMIN, "$match", patient, most=10, asked="")
    assert isinstance(found, list)
    told = [(one, json.parse(one.disclosed.text.encode())) for one in found]
    return [(doc["id"], one.grade, doc["name"][0]["family"]) for one, doc in told]


async def test_a_match_and_its_answer_use_the_version_in_force_of_who_is_held(hub: Hub) -> None:
    await put(hub, person("a", "1", ssn("219-09-1234")))
    await put(hub, person("a", "1", ssn("219-09-7777"), **JOHN))
    herself = person("x", "", ssn("219-09-1234"), authority="urn:oid:5")
    himself = person("x", "", ssn("219-09-7777"), authority="urn:oid:5", **JOHN)
    assert await matched(hub, herself) == [("a", "certain", "Holm")]
    assert await matched(hub, himself) == [], "what is held is nobody's answer"


async def test_a_task_of_a_pair_compares_the_version_in_force_of_who_is_held(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, sex=None), source="west")
    await put(hub, person("a", "1", **JOHN))
    pair_ = next(task for task in await tasks(hub) if task.kind is not TaskKind.OVERLAY)
    view = await hub.steward_identity.show(ANN, pair_.number)
    assert view.evidence.fields["name"] == "agrees"
    assert "Patient/a/_history/1" in view.versions
    records = await hub.steward_identity.records(ADMIN, pair_.number)
    assert ["Holm" in one.text for one in records if isinstance(one, Disclosed)] == [True, True]


# --- merge, unmerge, split, pin


async def test_pins_made_while_two_were_merged_stay_with_their_records_after_the_unmerge(hub: Hub) -> None:
    """A pin belongs to a record: of each person what was pinned to its own member decides, and nothing of the other's."""
    number = ("urn:oid:9", "N", "MR")
    await put(hub, person("a", "1", number))
    await put(hub, person("b", "2", **JOHN))
    await put(hub, person("c", "7", number, authority=CLINIC, born="1967-12-14"), source="west")
    before = await golden(hub, "a"), await golden(hub, "b")
    usual = before[0]["birthDate"]
    pinned = {"1967-12-13": "c", "1967-12-14": "a"}[usual]
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    await hub.steward_identity.pin(ANN, pinned, "birthDate", "passport-seen")
    await hub.steward_identity.pin(ANN, "b", "gender", "passport-seen")
    assert (await golden(hub, "b"))["birthDate"] != usual
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    mine, his = await golden(hub, "a"), await golden(hub, "b")
    assert (mine["birthDate"] != usual, mine["gender"]) == (True, "female")
    assert (his["birthDate"], his["gender"]) == (JOHN["born"], "male")
    assert await person_of(hub, "a") == await person_of(hub, "c") != await person_of(hub, "b")
    await hub.steward_identity.pin(ANN, pinned, "birthDate", "passport-seen", chosen=False)
    assert (await golden(hub, "a"))["birthDate"] == usual
    assert await log_is_the_tables(hub)


async def test_a_pin_that_a_merge_displaced_is_back_after_the_unmerge(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "2", **JOHN))
    await hub.steward_identity.pin(ANN, "b", "birthDate", "passport-seen")
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    assert (await golden(hub, "a"))["birthDate"] == JOHN["born"], "it came along"
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    assert ((await golden(hub, "a"))["birthDate"], (await golden(hub, "b"))["birthDate"]) == (
        JANE["born"],
        JOHN["born"],
    )
    assert await log_is_the_tables(hub)


async def test_a_pin_that_a_newer_one_displaced_while_merged_is_back_after_the_unmerge(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("c", "3", ("urn:oid:9", "N", "MR"), born="1967-12-14"))
    await put(hub, person("b", "2", **JOHN))
    await hub.steward_identity.merge(ANN, "a", "c", "papers-seen", keep_both=True)
    await hub.steward_identity.pin(ANN, "c", "birthDate", "passport-seen")
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen", keep_both=True)
    await hub.steward_identity.pin(ANN, "b", "birthDate", "passport-seen")
    assert (await golden(hub, "a"))["birthDate"] == JOHN["born"], "the newest pin of the person decides"
    await hub.steward_identity.split(ANN, "b", "other-mother")
    assert ((await golden(hub, "a"))["birthDate"], (await golden(hub, "b"))["birthDate"]) == (
        "1967-12-14",
        JOHN["born"],
    )
    await hub.steward_identity.pin(ANN, "c", "birthDate", "passport-seen", chosen=False)
    assert await log_is_the_tables(hub)


async def test_a_record_is_not_taken_apart_from_itself(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    with pytest.raises(InvalidInput, match="split"):
        await hub.steward_identity.unmerge(ANN, "a", "a", "other-mother")


async def test_an_unmerge_gives_both_records_back_and_tells_it(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "2", **JOHN))
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    retired = await read(hub, "b")
    assert (retired["active"], retired["link"][0]["other"]["reference"]) == (False, "Patient/a")
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    assert (await read(hub, "b"))["active"] is True
    assert "link" not in await read(hub, "b")
    a, b = await person_of(hub, "a", "b")
    assert a != b
    assert (await events(hub, "patient.merged"), len(await events(hub, "patient.unmerged"))) == (["Patient/a"], 1)
    assert await log_is_the_tables(hub)


async def test_whom_a_wrong_merge_kept_apart_finds_his_person_when_it_is_taken_back(hub: Hub) -> None:
    region, other = ("urn:oid:9", "N", "PE"), ("urn:oid:9", "Z", "PE")
    await put(hub, person("a", "1", region, ssn("219-09-1234")))
    await put(hub, person("b", "2", other, **JANE | {"first": "Maja"}))
    await put(hub, person("y", "7", other, ssn("219-09-7777"), authority=CLINIC, first="Maja"), source="west")
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    await put(hub, person("n", "4", region, ssn("219-09-1234"), authority=PAYER), source="north")
    a, b, y, n = await person_of(hub, "a", "b", "y", "n")
    assert a == b == y != n, "the wrong SSN of one of them forbids it"
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    a, b, y, n = await person_of(hub, "a", "b", "y", "n")
    assert (a == n, b == y, a == b) == (True, True, False)
    assert await tasks(hub) == []
    assert await log_is_the_tables(hub)


async def test_records_of_two_sources_are_linked_and_none_goes_out_of_use(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, **JOHN), source="west")
    with pytest.raises(InvalidInput, match="two sources"):
        await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen", keep_both=True)
    a, b = await person_of(hub, "a", "b")
    assert a == b
    assert (await read(hub, "b")).get("active", True)


async def test_who_is_split_off_leaves_alone_and_the_others_stay_together(hub: Hub) -> None:
    number = ("urn:oid:9", "N", "MR")
    for id_, source in (("a", "east"), ("b", "west"), ("c", "north")):
        await put(hub, person(id_, f"{id_}1", number, authority=f"urn:oid:{source}"), source=source)
    await hub.steward_identity.split(ANN, "b", "wrong-chart")
    a, b, c = await person_of(hub, "a", "b", "c")
    assert a == c != b
    assert await events(hub, "patient.unmerged") == ["Patient/b"]
    await put(hub, {**person("b", "b1", number, authority="urn:oid:west"), "active": True}, source="west")
    assert (await person_of(hub, "b")) == [b], "the rules do not link it again"
    await hub.steward_identity.split(ANN, "b", "wrong-chart")
    assert await log_is_the_tables(hub)


async def test_a_pin_decides_and_is_taken_back(hub: Hub) -> None:
    number = ("urn:oid:9", "N", "MR")
    await put(hub, person("a", "1", number))
    await put(hub, person("b", "7", number, authority=CLINIC, born="1967-12-14"), source="west")
    usual = (await golden(hub, "a"))["birthDate"]
    pinned = {"1967-12-13": "b", "1967-12-14": "a"}[usual]
    await hub.steward_identity.pin(ANN, pinned, "birthDate", "passport-seen")
    assert (await golden(hub, "a"))["birthDate"] != usual
    await hub.steward_identity.pin(ANN, pinned, "birthDate", "passport-seen", chosen=False)
    assert (await golden(hub, "a"))["birthDate"] == usual
    told = await hub.steward_identity.history(ANN, "a")
    assert [one.event.kind for one in told][-2:] == ["pinned", "unpinned"]
    with pytest.raises(NotFound):
        await hub.steward_identity.history(ANN, "nobody")
    with pytest.raises(UnknownPatient):
        await hub.steward_identity.pin(ANN, "nobody", "birthDate", "passport-seen")


# --- the report


async def test_the_report_counts_duplicates_and_names_who_shares_a_number_but_no_number(hub: Hub) -> None:
    shared = [ssn("219-09-1234"), (PAYER, "M-77", "MB")]
    await put(hub, person("a", "1", *shared))
    await put(hub, person("b", "2", *shared, **JOHN))
    await put(hub, person("c", "3", family="Lind", first="Maja", born="2001-05-05"))
    await put(hub, person("c", "3", **JOHN))
    told = document(await hub.report_identity(ANN))
    assert (told["records"], told["persons"], told["waiting"]["held"]) == (3, 3, 1)
    assert told["sharedNumbers"]["counts"] == {"ssn": 1, "insurance": 1}
    assert {tuple(each["patients"]) for each in told["sharedNumbers"]["shared"]} == {("Patient/a", "Patient/b")}
    assert (told["trend"][0]["registered"], told["trend"][0]["overlays"]) == (3, 1)
    assert told["rates"]["duplicate"] == pytest.approx(2 / 3)
    assert told["rates"]["overlay"] == pytest.approx(1 / 3)
    assert not any(value in str(told) for value in ("219-09", "M-77", "Holm"))


async def test_confirmed_duplicates_are_the_creation_rate_and_a_number_that_was_corrected_is_shared_no_more(
    hub: Hub,
) -> None:
    await put(hub, person("a", "1", ssn("219-09-1234")))
    await put(hub, person("b", "2", ssn("219-09-1234"), **JOHN))
    await hub.steward_identity.merge(ANN, "a", "b", "papers-seen")
    told = document(await hub.report_identity(ANN, by="month"))
    assert told["rates"]["creation"] == pytest.approx(1 / 2)
    assert told["sharedNumbers"]["shared"] == [], "one person may have one number twice"
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    assert document(await hub.report_identity(ANN))["sharedNumbers"]["counts"] == {"ssn": 1}
    await put(hub, person("b", "2", **JOHN))
    assert document(await hub.report_identity(ANN))["sharedNumbers"]["counts"] == {}
    with pytest.raises(InvalidInput):
        await hub.report_identity(ANN, by="hour")


def stay(id_: str, patient: str, *period: str, code: str = "IMP", status: str = "finished") -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code},
        "subject": {"reference": f"Patient/{patient}"},
        "period": dict(zip(("start", "end"), period, strict=False)),
    }


async def test_who_lies_in_two_hospitals_at_once_is_reported_by_reference_with_the_trend(hub: Hub) -> None:
    number = ("urn:oid:9", "N", "MR")
    await put(hub, person("a", "1", number))
    await put(hub, person("b", "7", number, authority=CLINIC), source="west")
    await put(hub, person("d", "2", **JOHN))
    await put(hub, stay("e1", "a", "2026-03-01", "2026-03-09"), stay("e2", "a", "2026-03-02", "2026-03-05"))
    await put(hub, stay("e3", "b", "2026-03-04", "2026-03-12"), source="west")
    since, until = date(2026, 1, 1), date(2026, 7, 1)
    told = document(await hub.report_identity(ANN, by="month", since=since, until=until))["impossibleOverlaps"]
    assert {tuple(each["encounters"]) for each in told["overlaps"]} == {
        ("Encounter/e1", "Encounter/e3"), ("Encounter/e2", "Encounter/e3"),
    }  # fmt: skip
    assert (told["count"], told["trend"]) == (2, {"2026-03-01": 2})
    assert told["overlaps"][0]["patients"] == ["Patient/a", "Patient/b"]
    async with hub.database.connection() as tx:
        (entry,) = [r.entry for r in await hub.audit.search(tx) if r.entry["interaction"] == "identity-report"]
    assert "Patient/b" in str(entry)


async def test_a_transfer_a_visit_and_stays_of_two_persons_are_no_overlap(hub: Hub) -> None:
    number = ("urn:oid:9", "N", "MR")
    await put(hub, person("a", "1", number), person("d", "2", **JOHN))
    await put(hub, person("b", "7", number, authority=CLINIC), source="west")
    await put(hub, stay("e1", "a", "2026-03-01", "2026-03-09"), stay("e2", "d", "2026-03-01", "2026-03-20"))
    await put(
        hub,
        stay("transfer", "b", "2026-03-09", "2026-03-12"),
        stay("visit", "b", "2026-03-03", "2026-03-05", code="AMB"),
        stay("cancelled", "b", "2026-03-03", "2026-03-05", status="cancelled"),
        stay("no-end", "b", "2026-02-03"),
        source="west",
    )
    asked = {"since": date(2026, 1, 1), "until": date(2026, 7, 1)}
    assert document(await hub.report_identity(ANN, **asked))["impossibleOverlaps"]["count"] == 0
    await put(hub, stay("no-end", "b", "2026-02-03", status="in-progress"), source="west")
    assert document(await hub.report_identity(ANN, **asked))["impossibleOverlaps"]["count"] == 1


async def test_an_empty_hub_has_no_rates(hub: Hub) -> None:
    told = document(await hub.report_identity(ANN))
    assert set(told["rates"].values()) == {None}


async def test_two_units_of_work_that_doubt_the_same_pairs_in_opposite_order_both_commit(hub: Hub) -> None:
    # Two workers with a batch each. Of two pairs of namesakes each says now that he was born when the other was: either
    # puts the pair in doubt, and neither sees what the other's worker is about to store.
    early, late = "1967-12-13", "1991-01-01"
    for id_, facts, born in (("p0", JANE, early), ("p1", JANE, late), ("q0", JOHN, early), ("q1", JOHN, late)):
        await put(hub, person(id_, id_, **{**facts, "born": born}))
    assert await tasks(hub) == []
    met = asyncio.Barrier(2)

    async def work(first: dict[str, Any], second: dict[str, Any]) -> None:
        async with hub.database.transaction() as tx:
            for change in (first, second):
                audit = submission_audit(Action.UPDATE, "update")
                await hub.ingest(tx, Submission("east", [Incoming(change, "update")], audit))
                await met.wait()  # each has brought its first, then its second change

    async with asyncio.timeout(30):
        await asyncio.gather(
            work(person("p0", "p0", **{**JANE, "born": late}), person("q0", "q0", **{**JOHN, "born": late})),
            work(person("q1", "q1", **{**JOHN, "born": early}), person("p1", "p1", **{**JANE, "born": early})),
        )
    assert {(task.one.patient_id, task.other.patient_id) for task in await tasks(hub)} == {("p0", "p1"), ("q0", "q1")}
    assert await log_is_the_tables(hub)


async def test_a_doubt_that_arises_and_goes_in_one_unit_of_work_leaves_no_task_that_waits(hub: Hub) -> None:
    await put(hub, person("a", "1"))
    await put(hub, person("b", "2", born="1991-01-01", sex="male"))
    async with hub.database.transaction() as tx:
        for born in ("1967-12-13", "1991-01-01"):  # now it might be a, and now not any more
            audit = submission_audit(Action.UPDATE, "update")
            await hub.ingest(
                tx, Submission("east", [Incoming(person("b", "2", born=born, sex="male"), "update")], audit)
            )
    assert await tasks(hub) == []
    assert [task.state for task in await tasks(hub, TaskState.CLOSED)] == [TaskState.CLOSED]
    assert await log_is_the_tables(hub)
