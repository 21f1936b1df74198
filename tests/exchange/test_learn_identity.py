"""A model learns from what stewards decided, and decides where the weights doubt: through the real gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.boosting import needs_boosting

from healthsync.bootstrap import Hub, _learned, build_hub
from healthsync.domains.identity.learning import training
from healthsync.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from healthsync.exchange.administration.learn_identity import model_document
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.administration.steward_identity import TaskKind, view_document
from healthsync.exchange.operations.jobs import OPERATOR
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.jobs import JobState
from healthsync.settings import load_settings

from .couples import FAMILIES, PAIRS, couple, review
from .test_review import ANN, opened, person_of, put, tasks

pytestmark = needs_boosting

ADMIN = Actor("root")


@pytest.fixture(autouse=True)
def _few_reviews_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LEAST_PAIRS", 2 * PAIRS)
    monkeypatch.setattr(training, "LEAST_OF_EACH", PAIRS)
    monkeypatch.setattr(training, "LEAST_IN_LEAF", 5)


async def learn(hub: Hub, *, dry_run: bool = False) -> Mapping[str, Any]:
    job = await hub.learn_identity.start(ADMIN, owner=OPERATOR, dry_run=dry_run, claimed=True)
    await hub.jobs.run(job)
    ended = (await hub.jobs.inspect(str(job.id))).job
    assert ended.state is JobState.COMPLETED, ended.failure
    assert ended.result is not None
    return ended.result


async def anew(hub: Hub, database: Database, folder: Path, **settings: Any) -> Hub:
    """The hub, started anew with a learned model."""
    await hub.close()
    fixed = {
        "audit.heads_path": str(folder / "heads"),
        "mpi.review.second_reader_share": 0,
        "mpi.learned.enabled": True,
    }
    loaded, keyring = load_settings(None, environ={}, overrides={**fixed, **settings}), InsecureDevelopmentKeyring()
    return build_hub(loaded, keyring, database, SystemClock(), await _learned(loaded, keyring, database))


async def audited(hub: Hub, interaction: str) -> list[dict[str, Any]]:
    async with hub.database.connection() as tx:
        return [row.entry for row in await hub.audit.search(tx) if row.entry["interaction"] == interaction]


async def test_a_model_learns_is_chosen_decides_and_is_named_in_links_and_tasks(
    database: Database, tmp_path: Path
) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    told = await learn(hub)
    assert (told["number"], told["reviews"]["pairs"], told["reviews"]["links"]) == (1, 2 * PAIRS, PAIRS)
    assert told["worse"] == []
    assert told["model"]["log_loss"] < told["weights"]["log_loss"]
    await hub.learn_identity.use(ADMIN, 1)
    (stored,) = await hub.learn_identity.models(ADMIN)
    assert (stored.is_active, stored.fault, stored.trained_by) == (True, None, "root")

    hub = await anew(hub, database, tmp_path, **{"mpi.learned.auto_merge_threshold": 70})
    assert hub.identity.version.endswith(told["version"])
    for at, is_one in ((60, False), (61, True)):
        one, other = couple(at, is_one=is_one)
        await put(hub, one)
        await put(hub, other, source="west")
    apart, same = await person_of(hub, "a60", "b60"), await person_of(hub, "a61", "b61")
    assert apart[0] != apart[1], "the weights alone would have linked these two as well"
    assert same[0] == same[1]
    waiting = {task.one.patient_id: task for task in await tasks(hub)}
    assert set(waiting) == {"a60", "a61"}
    assert all(task.rules.endswith(told["version"]) for task in waiting.values())
    view = view_document(await hub.steward_identity.show(ANN, waiting["a60"].number))
    assert view["waterfall"]["model"].endswith(told["version"])
    assert "address" in {step["field"] for step in view["waterfall"]["steps"]}
    assert view["waterfall"]["steps"][-1]["total"] == pytest.approx(view["waterfall"]["total"])
    async with hub.database.connection() as tx:
        linked = await tx.fetchval("SELECT evidence FROM identity_link_event WHERE rule = 'probable' ORDER BY sequence DESC LIMIT 1")  # fmt: skip
    assert f"model:{told['version']}" in linked
    await hub.close()


async def test_each_look_at_a_reviewed_pair_and_each_act_is_in_the_audit_log(
    database: Database, tmp_path: Path
) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    await hub.learn_identity.use(ADMIN, 1)
    await hub.learn_identity.use(ADMIN, None)
    learnt = await audited(hub, "identity-learn")
    named = {entity for entry in learnt for entity in entry["entities"]}
    assert {"Patient/a0", "Patient/b47", "IdentityModel/1"} <= named
    assert all(entry["user"] == "root" for entry in learnt)
    used = [entry["entities"] for entry in await audited(hub, "identity-use-model")]
    assert sorted(used) == [["IdentityModel/1"], ["IdentityModel/none"]]
    await hub.close()


async def test_a_dry_run_tells_the_same_and_keeps_nothing(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    tried = await learn(hub, dry_run=True)
    assert tried["dry_run"] is True
    assert await hub.learn_identity.models(ADMIN) == []
    told = await learn(hub)
    assert {**tried, "number": 1, "dry_run": False} == dict(told)
    assert (await learn(hub))["number"] == 1, "the same reviews give the same model, which is kept once"
    assert len(await hub.learn_identity.models(ADMIN)) == 1
    await hub.close()


async def test_nothing_that_a_record_says_stands_in_the_tables_of_models(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    async with database.connection() as tx:
        document = (await tx.fetchval("SELECT document FROM identity_model")).lower()
    assert "east" in document, "names of sources are told"
    for at in range(2 * PAIRS):
        assert FAMILIES[at] not in document
        assert f'a{at}"' not in document
    for value in ("signe", "salem", "everett", "birch", "40501", "98201", "1950-"):
        assert value not in document
    assert json.loads(document)["trees"]
    await hub.close()


async def test_too_few_decisions_are_refused_and_only_decisions_count(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub, but=frozenset({0, 1}))
    with pytest.raises(InvalidInput, match=rf"there are {2 * PAIRS - 2} decided pairs"):
        await hub.learn_identity.start(ADMIN, owner=OPERATOR)
    async with hub.database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM job") == 0
    await hub.close()


async def test_what_was_decided_last_about_a_pair_is_learned_and_deleted_records_are_left_out(
    database: Database, tmp_path: Path
) -> None:
    hub = await opened(database, tmp_path)
    await review(hub, pairs=PAIRS + 1)
    before = await learn(hub, dry_run=True)
    await hub.steward_identity.unmerge(ANN, "a1", "b1", "other-mother")
    after = await learn(hub, dry_run=True)
    assert after["reviews"]["links"] == before["reviews"]["links"] - 1
    async with hub.database.transaction() as tx:
        hub.identity.withdraw(tx, await tx.fetchval("SELECT patient_key FROM identity_patient WHERE patient_id = 'a2'"))
    assert (await learn(hub, dry_run=True))["reviews"]["pairs"] == after["reviews"]["pairs"] - 1
    await hub.close()


async def test_a_second_reader_is_waited_for(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **{"mpi.review.second_reader_share": 1})
    await review(hub)
    with pytest.raises(InvalidInput, match="there are 0 decided pairs"):
        await hub.learn_identity.start(ADMIN, owner=OPERATOR)
    await hub.close()


async def test_a_model_that_judges_worse_is_not_chosen_unless_that_is_said(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    await hub.learn_identity.use(ADMIN, 1)
    for at in range(2 * PAIRS):  # somebody turned every decision round
        if at % 2:
            await hub.steward_identity.unmerge(ANN, f"a{at}", f"b{at}", "other-mother")
        else:
            await hub.steward_identity.merge(ANN, f"a{at}", f"b{at}", "papers-seen", keep_both=True)
    await review(hub, 100, 8)
    told = await learn(hub)
    version = told["since"]["version"]
    assert version in told["worse"]
    assert told["since"]["model"]["pairs"] == 16
    with pytest.raises(InvalidInput, match=f"worse than .*{version}"):
        await hub.learn_identity.use(ADMIN, 2)
    await hub.learn_identity.use(ADMIN, 2, although_worse=True)
    assert [one.is_active for one in await hub.learn_identity.models(ADMIN)] == [False, True]
    await hub.learn_identity.use(ADMIN, 1)
    assert [one.is_active for one in await hub.learn_identity.models(ADMIN)] == [True, False]
    with pytest.raises(NotFound):
        await hub.learn_identity.use(ADMIN, 9)
    await hub.close()


async def test_a_model_that_somebody_else_wrote_never_decides(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    await hub.learn_identity.use(ADMIN, 1)
    async with database.transaction() as tx:
        with pytest.raises(Exception, match="append-only"):
            async with tx.savepoint():
                await tx.execute("UPDATE identity_model SET trained_by = 'eve'")
        await tx.execute("ALTER TABLE identity_model DISABLE TRIGGER append_only")
        await tx.execute("UPDATE identity_model SET document = replace(document, '\"east\":0', '\"east\":1')")
    (stored,) = await hub.learn_identity.models(ADMIN)
    assert model_document(stored)["fault"] == "it is not as this hub wrote it"
    with pytest.raises(Conflict, match="cannot decide"):
        await hub.learn_identity.use(ADMIN, 1)
    hub = await anew(hub, database, tmp_path)
    assert "learned" not in hub.identity.version
    await hub.close()


@pytest.mark.shows("mpi.learned.enabled")
async def test_without_being_switched_on_or_chosen_no_model_decides(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    hub = await anew(hub, database, tmp_path)
    assert "learned" not in hub.identity.version
    await hub.learn_identity.use(ADMIN, 1)
    hub = await anew(hub, database, tmp_path)
    assert "learned" in hub.identity.version
    await hub.close()
    hub = await opened(database, tmp_path)
    assert "learned" not in hub.identity.version
    await hub.close()


async def test_a_hub_that_decides_otherwise_than_by_weights_learns_nothing(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path, **{"mpi.profile": "exchange"})
    with pytest.raises(InvalidInput, match="beside the statistical weights"):
        await hub.learn_identity.start(ADMIN, owner=OPERATOR)
    await hub.close()
    with pytest.raises(ConfigurationError, match="beside the weights"):
        await opened(database, tmp_path, **{"mpi.profile": "exchange", "mpi.learned.enabled": True})


async def test_no_model_links_what_a_person_keeps_apart(database: Database, tmp_path: Path) -> None:
    hub = await opened(database, tmp_path)
    await review(hub)
    await learn(hub)
    await hub.learn_identity.use(ADMIN, 1, although_worse=True)
    hub = await anew(hub, database, tmp_path, **{"mpi.learned.auto_merge_threshold": 50})
    await hub.steward_identity.unmerge(ANN, "a1", "b1", "other-mother")
    one, other = couple(1, is_one=True)
    await put(hub, {**other, "telecom": [{"system": "phone", "value": "8595550133"}]}, source="west")
    await put(hub, {**one, "telecom": [{"system": "phone", "value": "8595550133"}]})
    a, b = await person_of(hub, "a1", "b1")
    assert a != b
    assert not [task for task in await tasks(hub) if task.kind is TaskKind.OVERLAY]
    await hub.close()
