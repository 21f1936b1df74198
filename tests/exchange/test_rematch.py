"""What is stored is matched again after what decides was changed: through the real gates, as a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from healthsync.bootstrap import Hub
from healthsync.domains.identity import TaskKind
from healthsync.exchange.administration import rematch_patients
from healthsync.exchange.administration.steward_identity import TaskState
from healthsync.exchange.operations.jobs import OPERATOR
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import JobState, TooManyJobs

from .test_review import (  # fmt: skip
    ANN,
    CLINIC,
    HOSPITAL,
    JOHN,
    events,
    golden,
    log_is_the_tables,
    opened,
    person,
    person_of,
    put,
    ssn,
    tasks,
)

STRICT: dict[str, Any] = {"mpi.algorithm": "deterministic", "mpi.named_rules": "none"}
PHONE = {"telecom": [{"system": "phone", "value": "8595550133"}]}


async def rematch(hub: Hub, *, dry_run: bool = False) -> Mapping[str, Any]:
    """The result of a job that ran to its end."""
    job = await hub.rematch_patients.start(ANN, owner=OPERATOR, dry_run=dry_run, claimed=True)
    await hub.jobs.run(job)
    ended = (await hub.jobs.inspect(str(job.id))).job
    assert ended.state is JobState.COMPLETED, ended.failure
    assert ended.result is not None
    return ended.result


def counts(result: Mapping[str, Any]) -> tuple[int, int, int]:
    return result["linked"], result["flagged"], result["closed"]


async def state(hub: Hub) -> list[Any]:
    """All that matching can change."""
    tables = ("identity_patient", "identity_link_event", "identity_review", "identity_task", "identity_task_step")
    async with hub.database.connection() as tx:
        return [[tuple(row) for row in await tx.fetch(f"SELECT * FROM {name} ORDER BY 1, 2")] for name in tables] + [
            await events(hub, "patient.matched")
        ]


def misspelt(id_: str = "b", number: str = "7", *others: tuple[str, str, str]) -> dict[str, Any]:
    """One whom no rule sees as Signe Holm, and the weights do."""
    return person(id_, number, *others, authority=CLINIC, family="Holn", born="1967-12-31") | PHONE


async def strict(database: Database, folder: Path) -> None:
    """Three records of one person, of which the rules alone link none."""
    hub = await opened(database, folder, **STRICT)
    await put(hub, person("a", "1") | PHONE)
    await put(hub, misspelt(), source="west")
    await put(hub, person("c", "9", authority="urn:oid:1.5", family="Holm-Berg") | PHONE, source="north")
    assert len(set(await person_of(hub, "a", "b", "c"))) == 3
    await hub.close()


async def test_who_the_new_profile_finds_to_be_one_person_is_linked_and_announced(
    database: Database, tmp_path: Path
) -> None:
    await strict(database, tmp_path)
    hub = await opened(database, tmp_path)
    result = await rematch(hub)
    assert result["linked"] >= 1
    a, c = await person_of(hub, "a", "c")
    assert a == c
    assert await events(hub, "patient.matched")
    assert ["Patient/a", "Patient/c"] in result["pairs"]["linked"]
    assert await log_is_the_tables(hub)
    async with hub.database.connection() as tx:
        told = [row.entry for row in await hub.audit.search(tx) if row.entry["interaction"] == "identity-rematch"]
    assert [("Patient/c" in str(entry), "ann" in str(entry)) for entry in told] == [(True, True), (False, True)]
    await hub.close()


async def test_a_dry_run_says_what_would_change_and_changes_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rematch_patients, "BATCH", 1)  # no batch sees what another one would have linked
    await strict(database, tmp_path)
    hub = await opened(database, tmp_path)
    before = await state(hub)
    expected = await rematch(hub, dry_run=True)
    assert await state(hub) == before
    assert counts(await rematch(hub)) == counts(expected) != (0, 0, 0)
    await hub.close()


async def test_matching_again_by_what_decided_already_changes_nothing(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await put(hub, person("a", "1") | PHONE)
    await put(hub, misspelt(), source="west")
    await put(hub, person("d", "2", ssn("219-09-1234"), **JOHN))
    await put(hub, person("d", "2", ssn("219-09-7777"), first="Nils"))
    before = await state(hub)
    assert counts(await rematch(hub)) == (0, 0, 0)
    assert await state(hub) == before
    assert [task.kind for task in await tasks(hub) if task.kind is TaskKind.OVERLAY] == [TaskKind.OVERLAY]
    await hub.close()


async def test_what_a_second_look_from_the_other_side_adds_is_added_once(database: Database, tmp_path: Path) -> None:
    """Who is ambiguous between two members of a person is seen to be so from each of them."""
    hub = await opened(database, tmp_path)
    await put(hub, person("a", "1") | PHONE)
    await put(hub, misspelt(), person("e", "8", authority=CLINIC, sex=None), source="west")
    await rematch(hub)
    before = await state(hub)
    assert counts(await rematch(hub)) == (0, 0, 0)
    assert await state(hub) == before
    await hub.close()


async def test_what_people_keep_apart_and_what_they_pinned_stands(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **STRICT)
    await put(hub, person("a", "1") | PHONE, person("c", "3", authority=HOSPITAL, **JOHN))
    await put(hub, misspelt(), source="west")
    await hub.steward_identity.unmerge(ANN, "b", "a", "other-mother")
    await hub.steward_identity.merge(ANN, "a", "c", "papers-seen")
    await hub.steward_identity.pin(ANN, "c", "birthDate", "passport-seen")
    await hub.close()
    hub = await opened(database, tmp_path, **{"mpi.auto_merge_threshold": 10, "mpi.review_threshold": 5})
    result = await rematch(hub)
    assert counts(result) == (0, 0, 0)
    a, b, c = await person_of(hub, "a", "b", "c")
    assert a == c != b
    assert (await golden(hub, "a"))["birthDate"] == JOHN["born"]
    assert await log_is_the_tables(hub)
    await hub.close()


async def test_a_link_that_nothing_speaks_for_any_more_becomes_a_task_and_nobody_is_unlinked(
    database: Database, tmp_path: Path
) -> None:
    hub = await opened(database, tmp_path)
    await put(hub, person("a", "1") | PHONE)
    await put(hub, person("b", "7", authority=CLINIC, born="1967-12-31") | PHONE, source="west")
    a, b = await person_of(hub, "a", "b")
    assert a == b
    await hub.close()
    hub = await opened(database, tmp_path, **STRICT)
    result = await rematch(hub)
    (task,) = await tasks(hub)
    assert (counts(result), task.kind, task.reasons) == ((0, 1, 0), TaskKind.CONTRADICTION, ("link-unsupported",))
    assert await person_of(hub, "a", "b") == [a, a]
    assert counts(await rematch(hub)) == (0, 0, 0), "it is asked once"
    await hub.close()
    hub = await opened(database, tmp_path)
    assert counts(await rematch(hub)) == (0, 0, 1), "its ground is gone"
    assert await tasks(hub) == []
    assert await log_is_the_tables(hub)
    await hub.close()


async def test_a_task_whose_ground_the_new_thresholds_take_away_is_closed(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await put(hub, person("a", "1"))
    await put(hub, person("b", "7", authority=CLINIC, family="Holn"), source="west")
    assert len(await tasks(hub)) == 1
    await hub.close()
    hub = await opened(database, tmp_path, **{"mpi.auto_merge_threshold": 100, "mpi.review_threshold": 100})
    assert counts(await rematch(hub, dry_run=True)) == (0, 0, 1)
    assert len(await tasks(hub)) == 1
    assert counts(await rematch(hub)) == (0, 0, 1)
    (closed,) = await tasks(hub, TaskState.CLOSED)
    assert (await hub.steward_identity.show(ANN, closed.number)).steps[-1].code == "ground-gone"
    await hub.close()


async def test_a_worker_goes_on_behind_the_last_batch(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rematch_patients, "BATCH", 1)
    await strict(database, tmp_path)
    hub = await opened(database, tmp_path)
    job = await hub.rematch_patients.start(ANN, owner=OPERATOR, claimed=True)
    async with hub.database.transaction() as tx:
        keys = [row[0] for row in await tx.fetch("SELECT patient_key FROM identity_patient ORDER BY 1")]
        await hub.jobs.table.advance(tx, job, {"after": keys[1], "done": 2, "total": 3}, done=2)
    await hub.jobs.table.release(job)
    assert await hub.jobs.run_next()
    ended = (await hub.jobs.inspect(str(job.id))).job
    assert ended.result is not None
    assert (ended.result["patients"], ended.done, ended.step) == (3, 3, "3 of 3 patients")
    await hub.close()


async def test_a_job_that_is_cancelled_writes_no_more_and_only_one_is_at_work(
    database: Database, tmp_path: Path
) -> None:
    await strict(database, tmp_path)
    hub = await opened(database, tmp_path)
    job = await hub.rematch_patients.start(ANN, owner=OPERATOR, claimed=True)
    with pytest.raises(TooManyJobs):
        await hub.rematch_patients.start(ANN, owner=OPERATOR)
    await hub.jobs.stop(str(job.id), "ann")
    before = await state(hub)
    await hub.jobs.run(job)
    assert await state(hub) == before
    await hub.close()


async def test_a_deleted_record_takes_no_part(database: Database, tmp_path: Path) -> None:
    await strict(database, tmp_path)
    hub = await opened(database, tmp_path)
    await put(hub, {"resourceType": "Patient", "id": "c"}, mode="delete", source="north")
    assert (await rematch(hub))["patients"] == 2
    await hub.close()
