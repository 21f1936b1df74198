"""What writes resources leaves exactly the index rows of the current version, whatever the one before was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from healthsync.domains.records import Change, RecordIndex, VersionConflict
from healthsync.domains.records.index import EMPTY, IndexRows
from healthsync.domains.records.statements import INDEX_TABLES, INDEXING, INSERTION, SUCCESSION
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.infrastructure.database.deferred import LEAST_COPIED, statement
from healthsync.standards.fhir import search_parameters

INDEX = RecordIndex(BlindIndex(bytes(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_pids = count(1)


@dataclass(frozen=True)
class Content:
    """Opaque bytes."""

    packed: bytes = b"{}"
    identity: bytes | None = None
    narrative: bytes | None = None
    key_scope: str = "hub"
    key_version: int = 1


def _new(resource: dict) -> Change:
    pid = next(_pids)
    reference = f"{resource['resourceType']}/{pid}"
    return Change(
        pid, INDEX.key(reference), resource["resourceType"], str(pid), 1, NOW, None, b"d", Content(), False, None,
        INDEX.rows(resource),
    )  # fmt: skip


def _next(before: Change, resource: dict | None) -> Change:
    index = EMPTY if resource is None else INDEX.rows(resource)
    return structs.replace(
        before, version=before.version + 1, replaces=before.version, index=index, index_before=before.index,
        deleted=resource is None, content=Content(packed=f"v{before.version + 1}".encode()),
    )  # fmt: skip


def _with_zone(value: Any) -> Any:
    """The driver reads an infinite time as the last one, without a zone."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


async def _rows_of(tx, pid: int) -> IndexRows:
    """What the tables hold of one resource."""
    found = {}
    for table in INDEX_TABLES:
        rows = await tx.fetch(f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE pid = $1", pid)
        found[table.name.removeprefix("index_") + "s"] = frozenset(tuple(map(_with_zone, row)) for row in rows)
    words = await tx.fetchval("SELECT words FROM resource_content WHERE pid = $1", pid)
    present = await tx.fetchval("SELECT present FROM resource WHERE pid = $1", pid)
    revision = search_parameters.revision() if present else EMPTY.revision
    return IndexRows(**found, words=tuple(words or ()), present=present, revision=revision)


_CODES = st.sampled_from([("http://loinc.org", "1"), ("urn:x", "1"), ("http://loinc.org", "2")])
_CONCEPTS = _CODES.map(
    lambda pair: {"coding": [{"system": pair[0], "code": pair[1], "display": f"shown as {pair[1]}"}]}
)
_OBSERVATIONS = st.fixed_dictionaries(
    {"resourceType": st.just("Observation"), "id": st.just("o"), "code": _CONCEPTS},
    optional={
        "subject": st.sampled_from(["Patient/a", "Patient/b", "Group/a"]).map(lambda text: {"reference": text}),
        "performer": st.lists(st.sampled_from(["Practitioner/a", "Practitioner/b"]).map(lambda t: {"reference": t})),
        "effectiveDateTime": st.sampled_from(["2020", "2020-01", "2021-05-05T05:05:05Z"]),
        "effectivePeriod": st.sampled_from([{"start": "2020"}, {"end": "2021-02"}, {"start": "2020", "end": "2020"}]),
        "valueQuantity": st.sampled_from(["1", "1.0", "7"]).map(lambda text: {"value": Decimal(text), "code": "mg",
                                                                             "system": "http://unitsofmeasure.org"}),
        "component": st.lists(st.builds(lambda code: {"code": code}, _CONCEPTS), max_size=2),
        "note": st.sampled_from(["calm", "calm and well", "well"]).map(lambda text: [{"text": text}]),
    },
)  # fmt: skip
_ORGANIZATIONS = st.fixed_dictionaries(
    {"resourceType": st.just("Organization"), "id": st.just("o")},
    optional={"name": st.sampled_from(["Mercy", "Mercy Hospital"]), "alias": st.lists(st.sampled_from(["A", "B"]))},
)
_PAIRS = st.one_of(st.tuples(_OBSERVATIONS, _OBSERVATIONS), st.tuples(_ORGANIZATIONS, _ORGANIZATIONS))

with_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, derandomize=True)


@with_database
@given(pairs=st.lists(_PAIRS, min_size=1, max_size=3), back=st.booleans(), then_deleted=st.booleans())
async def test_an_update_leaves_exactly_the_rows_of_the_new_version(database, pairs, back, then_deleted):
    async with database.transaction() as tx:
        first = [_new(one) for one, _ in pairs]
        tx.later(INSERTION, first)
        current = first
        for change in current:
            assert await _rows_of(tx, change.pid) == change.index
        current = [_next(change, other) for change, (_, other) in zip(first, pairs, strict=True)]
        tx.later(SUCCESSION, current)
        if back:
            current = [_next(change, one) for change, (one, _) in zip(current, pairs, strict=True)]
            await tx.flush()
            tx.later(SUCCESSION, current)
        if then_deleted:
            current = [_next(change, None) for change in current]
            await tx.flush()
            tx.later(SUCCESSION, current)
        for change in current:
            held = await _rows_of(tx, change.pid)
            assert held == change.index
        versions = await tx.fetch(
            "SELECT pid, array_agg(version ORDER BY version) AS versions FROM resource_history"
            " WHERE pid = ANY ($1::bigint[]) GROUP BY pid",
            [change.pid for change in current],
        )
        assert {row["pid"]: row["versions"] for row in versions} == {
            change.pid: list(range(1, change.version)) for change in current
        }


@with_database
@given(
    pairs=st.lists(_PAIRS, min_size=1, max_size=3),
    others=st.lists(_OBSERVATIONS | _ORGANIZATIONS, min_size=1, max_size=2),
)
async def test_new_resources_and_new_versions_of_one_statement_have_exactly_their_rows(database, pairs, others):
    async with database.transaction() as tx:
        tx.later(INSERTION, first := [_new(one) for one, _ in pairs])
        await tx.flush()
        tx.later(INSERTION, new := [_new(one) for one in others])
        tx.later(SUCCESSION, changed := [_next(change, other) for change, (_, other) in zip(first, pairs, strict=True)])
        for change in (*new, *changed):
            assert await _rows_of(tx, change.pid) == change.index


@given(units=st.lists(st.tuples(_PAIRS, st.booleans()), min_size=2, max_size=6))
def test_statements_of_several_resources_are_few_whatever_they_touch(units):
    texts = set()
    for at in range(1, len(units)):
        waiting: dict = {}
        for (one, other), is_new in units[at - 1 : at + 1]:
            change = _new(one)
            waiting.setdefault(INSERTION if is_new else SUCCESSION, []).append(
                change if is_new else _next(change, other)
            )
        texts.add((frozenset(waiting), statement(waiting)[0]))
    assert len(texts) == len({writers for writers, _ in texts})


async def test_an_old_version_goes_to_history_as_it_was(database):
    first = _new({"resourceType": "Observation", "id": "o", "status": "final"})
    second = _next(first, {"resourceType": "Observation", "id": "o", "status": "amended"})
    async with database.transaction() as tx:
        tx.later(INSERTION, [first])
        await tx.flush()  # parts of one statement do not see what the others do
        tx.later(SUCCESSION, [second])
        old = await tx.fetchrow("SELECT version, packed, clear FROM resource_history WHERE pid = $1", first.pid)
        new = await tx.fetchrow("SELECT packed, clear FROM resource_content WHERE pid = $1", first.pid)
    assert tuple(old) == (1, b"{}", None)
    assert tuple(new) == (b"v2", None)


async def test_a_change_of_another_version_than_the_current_one_is_a_conflict_and_changes_nothing(database):
    first = _new({"resourceType": "Observation", "id": "o", "status": "final"})
    other = _new({"resourceType": "Observation", "id": "o", "status": "final"})
    async with database.transaction() as tx:
        tx.later(INSERTION, [first, other])
    stale = structs.replace(_next(first, None), replaces=7)
    with pytest.raises(VersionConflict):
        async with database.transaction() as tx:
            tx.later(SUCCESSION, [_next(other, None), stale])
    async with database.connection() as tx:
        assert await tx.fetchval("SELECT array_agg(version) FROM resource") == [1, 1]
        assert await _rows_of(tx, other.pid) == other.index


async def test_who_creates_a_resource_second_learns_it(database):
    first = _new({"resourceType": "Observation", "id": "o"})
    async with database.transaction() as tx:
        tx.later(INSERTION, [first])
    with pytest.raises(VersionConflict):
        async with database.transaction() as tx:
            tx.later(INSERTION, [structs.replace(first, pid=next(_pids))])


async def test_indexing_gives_rows_to_a_resource_that_had_none(database):
    change = _new({"resourceType": "Observation", "id": "o", "status": "final", "note": [{"text": "calm"}]})
    async with database.transaction() as tx:
        tx.later(INSERTION, [structs.replace(change, index=EMPTY)])
        await tx.execute("UPDATE resource SET key = NULL")
        tx.later(INDEXING, [(change.pid, change.key, change.index)])
        await tx.flush()
        tx.later(INDEXING, [(change.pid, change.key, change.index)])  # two hubs at once do no harm
        assert await _rows_of(tx, change.pid) == change.index
        assert await tx.fetchval("SELECT key FROM resource") == change.key


async def _everything(tx, pids: list[int]) -> list[tuple]:
    """All columns of what writes of new resources leave, in the order of `pids`, without the numbers themselves."""
    tables = ["resource", "resource_content", *(table.name for table in INDEX_TABLES)]
    found = []
    for table in tables:
        # resource.id is the internal number in these tests, key is made of it
        rows = await tx.fetch(
            f"SELECT place, to_jsonb(t) - '{{pid,id,key}}'::text[] AS row FROM {table} t"
            " JOIN unnest($1::int[]) WITH ORDINALITY AS wanted (pid, place) USING (pid)",
            pids,
        )
        found += sorted((table, row["place"], row["row"]) for row in rows)
    return found


@with_database
@given(resources=st.lists(st.one_of(_OBSERVATIONS, _ORGANIZATIONS), min_size=LEAST_COPIED, max_size=LEAST_COPIED + 9))
async def test_many_new_resources_are_copied_and_leave_what_statements_leave(database, resources):
    copied, stated = [_new(one) for one in resources], [_new(one) for one in resources]
    async with database.transaction() as tx:
        tx.later(INSERTION, copied)
        for change in stated:
            await tx.flush()
            tx.later(INSERTION, [change])
        one, other = ([change.pid for change in changes] for changes in (copied, stated))
        assert await _everything(tx, one) == await _everything(tx, other)


async def test_what_was_copied_with_an_open_period_goes_with_the_next_version(database):
    encounter = {"resourceType": "Encounter", "id": "o", "status": "in-progress", "period": {"start": "2020-02-02"}}
    copied = [_new(encounter) for _ in range(LEAST_COPIED)]
    ended = {**encounter, "status": "finished", "period": {"start": "2020-02-02", "end": "2020-02-03"}}
    async with database.transaction() as tx:
        tx.later(INSERTION, copied)
        following = _next(copied[0], ended)
        await tx.flush()
        tx.later(SUCCESSION, [following])
        await tx.flush()
        assert await _rows_of(tx, copied[0].pid) == following.index


async def test_who_copies_a_resource_second_learns_it_and_none_of_the_others_is_there(database):
    first = _new({"resourceType": "Observation", "id": "o"})
    async with database.transaction() as tx:
        tx.later(INSERTION, [first])
    others = [_new({"resourceType": "Observation", "id": "o"}) for _ in range(LEAST_COPIED)]
    with pytest.raises(VersionConflict):
        async with database.transaction() as tx:
            tx.later(INSERTION, [*others, structs.replace(first, pid=next(_pids))])
    async with database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM resource") == 1


@pytest.mark.parametrize("several", [False, True])
async def test_rows_that_go_are_looked_up_one_by_one_also_by_a_plan_for_empty_tables(database, several):
    """Such a plan is kept while the tables grow: one that reads an index from end to end would become slow unseen."""
    first = _new(
        {"resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/a"},
         "effectiveDateTime": "2020", "valueQuantity": {"value": Decimal(1)}, "code": {"text": "pulse"}}
    )  # fmt: skip
    text, parameters = statement({SUCCESSION: [_next(first, None)] * (1 + several)})
    async with database.connection() as tx:
        await tx.execute(f"PREPARE change AS {text}")
        lines = await tx.fetch(f"EXPLAIN (COSTS OFF) EXECUTE change ({', '.join(['NULL'] * len(parameters))})")
        await tx.execute("DEALLOCATE change")
    plan = "\n".join(line[0] for line in lines)
    assert plan.count("Delete on index_") >= 3
    for scan in ("Hash Join", "Merge Join", "Seq Scan", "Bitmap"):
        assert scan not in plan
