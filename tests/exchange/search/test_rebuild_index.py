"""Resources of an older version get their index before anyone searches them."""

from __future__ import annotations

from typing import Literal

import pytest

from healthsync.domains.audit import Action
from healthsync.exchange.administration.rebuild_index import rebuild_index
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Disclosed
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.standards.fhir.packing import unpack
from healthsync.standards.fhir.query import parse

ADMIN = Requester("tester", ("admin",), "TREAT")
PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Quennell"}], "birthDate": "1971-03-09"}
OBSERVATION = {
    "resourceType": "Observation", "id": "o", "status": "final", "subject": {"reference": "Patient/p"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}, "effectiveDateTime": "2024-05-06",
}  # fmt: skip
TABLES = ("index_token", "index_reference", "index_string", "index_date", "index_number")
QUERIES = [
    ("Patient", "family", "quen"), ("Patient", "birthdate", "1971"), ("Observation", "patient", "p"),
    ("Observation", "code", "http://loinc.org|718-7"), ("Observation", "date", "ge2024"),
    ("Observation", "patient.family", "quennell"), ("Patient", "_has:Observation:patient:code", "718-7"),
]  # fmt: skip


async def _store(hub, *resources: dict, mode: Literal["update", "delete"] = "update") -> None:
    async with hub.database.transaction() as tx:
        incoming = [Incoming(resource, mode) for resource in resources]
        await hub.ingest(tx, Submission("tester", incoming, submission_audit(Action.EXECUTE, "test")))


async def _contents(hub) -> dict[str, list]:
    async with hub.database.connection() as tx:
        found = {table: sorted(map(repr, await tx.fetch(f"SELECT * FROM {table}"))) for table in TABLES}
        heads = await tx.fetch("SELECT pid, key, present, words FROM resource JOIN resource_content USING (pid)")
        return found | {"resource": sorted(map(repr, heads))}


async def _make_old(hub) -> None:
    """As a hub before migration 0005 left it: clear text unpacked, no key, no index."""
    async with hub.database.transaction() as tx:
        for table in ("resource_content", "resource_history"):
            for row in await tx.fetch(f"SELECT ctid, packed FROM {table}"):
                clear = unpack(row["packed"]).decode()
                await tx.execute(f"UPDATE {table} SET clear = $1, packed = NULL WHERE ctid = $2", clear, row["ctid"])
        await tx.execute("UPDATE resource SET key = NULL, present = NULL")
        await tx.execute("UPDATE resource_content SET words = NULL")
        await tx.execute(f"TRUNCATE {', '.join(TABLES)}")


async def _found(hub, resource_type: str, name: str, value: str) -> list[Disclosed]:
    page = await hub.disclose.search(ADMIN, parse(resource_type, [(name, value)]), after=None, count=5, asked="")
    return page.entries


async def test_old_rows_are_indexed_as_new_ones_are(hub):
    await _store(hub, PATIENT, OBSERVATION)
    before = await _contents(hub)
    await _make_old(hub)
    assert await rebuild_index(hub.database, hub.ingest) == 2
    assert await _contents(hub) == before
    assert await rebuild_index(hub.database, hub.ingest) == 0


async def test_versions_that_follow_each_other_at_once_leave_what_an_index_made_anew_has(hub):
    """The rows of what was just written are remembered, and taken away by the next version."""
    renamed = PATIENT | {"name": [{"family": "Okonkwo"}], "birthDate": "1980-01-02"}
    amended = OBSERVATION | {"status": "amended", "subject": {"reference": "Group/g"}, "effectiveDateTime": "2023"}
    for resource in (PATIENT, OBSERVATION, renamed, amended, PATIENT, amended | {"status": "final"}):
        await _store(hub, resource)
    before = await _contents(hub)
    await _make_old(hub)
    assert await rebuild_index(hub.database, hub.ingest) == 2
    assert await _contents(hub) == before


@pytest.mark.parametrize(("resource_type", "name", "value"), QUERIES)
async def test_what_an_older_version_stored_is_found_after_the_rebuild(hub, resource_type, name, value):
    await _store(hub, PATIENT, OBSERVATION)
    await _make_old(hub)
    assert await _found(hub, resource_type, name, value) == []
    await rebuild_index(hub.database, hub.ingest)
    assert [entry.id for entry in await _found(hub, resource_type, name, value)] == [
        "p" if resource_type == "Patient" else "o"
    ]


async def test_deleted_resources_get_a_key_and_no_rows(hub):
    await _store(hub, OBSERVATION | {"subject": {"reference": "Group/g"}})
    await _store(hub, {"resourceType": "Observation", "id": "o"}, mode="delete")
    await _make_old(hub)
    assert await rebuild_index(hub.database, hub.ingest) == 1
    async with hub.database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM resource WHERE key IS NULL") == 0
        for table in TABLES:
            assert await tx.fetchval(f"SELECT count(*) FROM {table}") == 0, table
        assert await tx.fetchval("SELECT count(words) FROM resource_content") == 0


async def test_an_old_version_is_read_and_updated_after_the_rebuild(hub):
    await _store(hub, PATIENT, OBSERVATION)
    await _make_old(hub)
    await rebuild_index(hub.database, hub.ingest)
    await _store(hub, OBSERVATION | {"status": "amended"})
    one = await hub.disclose.vread(ADMIN, "Observation", "o", 1)
    two = await hub.disclose.read(ADMIN, "Observation", "o")
    assert '"final"' in one.text
    assert '"amended"' in two.text
    assert len(await _found(hub, "Observation", "status", "final")) == 0
    assert len(await _found(hub, "Observation", "status", "amended")) == 1


async def test_a_resource_whose_key_was_destroyed_does_not_stop_the_rebuild(hub):
    await _store(hub, PATIENT, OBSERVATION)
    await _make_old(hub)
    async with hub.database.transaction() as tx:
        scope = await tx.fetchval(
            "SELECT key_scope FROM resource_content c JOIN resource r USING (pid) WHERE r.resource_type = 'Patient'"
        )
        await tx.execute("DELETE FROM data_key WHERE scope = $1", scope)
    data_keys = hub.ingest._vault._data_keys
    data_keys._newest.clear()
    data_keys._by_version.clear()
    await rebuild_index(hub.database, hub.ingest)
    async with hub.database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM resource WHERE key IS NULL") == 0
