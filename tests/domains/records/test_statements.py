"""What writes resources leaves exactly the index rows of the current version, whatever the one before was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from healthsync.domains.records import Change, RecordIndex, VersionConflict
from healthsync.domains.records.index import EMPTY, IndexRows
from healthsync.domains.records.statements import INDEX_TABLES, INDEXING, INSERTION, SUCCESSION
from healthsync.infrastructure.crypto import BlindIndex
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


async def _rows_of(tx, pid: int) -> IndexRows:
    """What the tables hold of one resource."""
    found = {}
    for table in INDEX_TABLES:
        rows = await tx.fetch(f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE pid = $1", pid)
        found[table.name.removeprefix("index_") + "s"] = frozenset(tuple(row) for row in rows)
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
