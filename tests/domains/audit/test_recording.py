"""An event is written with its access, or the access does not happen."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthsync.domains.audit import Action, AuditEvent, AuditRow, AuditService, Outcome, canonical, merkle, store
from healthsync.errors import InvalidInput, Unavailable
from healthsync.infrastructure.clock import FixedClock
from healthsync.infrastructure.crypto.field_cipher import SealBroken
from healthsync.infrastructure.database import Database, pool

Read = Callable[..., AuditEvent]


async def rows(database: Database, audit: AuditService) -> list[AuditRow]:
    async with database.connection() as tx:
        return await audit.search(tx)


async def test_an_event_is_stored_whole(database: Database, audit: AuditService, read: Read):
    async with database.transaction() as tx:
        await audit.record(tx, read(query="name=Smith"))
    (row,) = await rows(database, audit)
    assert audit.open_query(row.entry) == "name=Smith"
    assert row.entry.pop("query")
    assert row.entry == {
        "action": "R", "interaction": "read", "outcome": "0", "client": "portal", "user": "Practitioner/7",
        "organisation": "Mercy", "roles": ["physician"], "purpose_of_use": "TREAT", "entities": ["Patient/1"],
        "patients": ["Patient/1"], "reason": "rule-3", "source_address": "10.0.0.9", "consent_mode": "enforced",
        "message_sequence": 4, "recorded_at": "2026-03-01T12:00:00.000000Z",
    }  # fmt: skip


async def test_what_is_absent_is_left_out(database: Database, audit: AuditService):
    await audit.record_and_commit(AuditEvent(action=Action.EXECUTE, interaction="$export", outcome=Outcome.REFUSED))
    (row,) = await rows(database, audit)
    assert set(row.entry) == {"action", "interaction", "outcome", "recorded_at"}
    assert audit.open_query(row.entry) is None


async def test_the_event_of_a_change_that_was_undone_is_undone(database: Database, audit: AuditService, read: Read):
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await audit.record_many(tx, [read(), read()])
            raise ZeroDivisionError
    async with database.transaction() as tx:
        await audit.record_many(tx, [])
    assert await rows(database, audit) == []


async def test_the_stored_hash_is_that_of_the_canonical_row(database: Database, audit: AuditService, read: Read):
    odd = 'Zoë " \\ / \b\f\n\r\t \x00 \x1f \x7f \u2028 \ud800 😀 \U0010ffff'
    async with database.transaction() as tx:
        await audit.record_many(tx, [read(client=odd, user=odd, roles=(odd, ""), query=odd), read(client="x" * 1000)])
    found = await rows(database, audit)
    assert len(found) == 2
    for row in found:
        assert merkle.leaf_hash(canonical.row_bytes(row)) == row.leaf_hash
    assert [row.entry["client"][:4] for row in found] == ["xxxx", "Zoë "]
    assert len(found[0].entry["client"]) == 256


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.integers(0, 2**53) | text | st.lists(text, max_size=3)


@given(st.dictionaries(st.text("abcdef_", min_size=1), values))
def test_the_canonical_form_is_rfc_8785(entry: dict):
    row = AuditRow(7, 812, entry, b"")
    expected = json.dumps(
        {"entry": entry, "position": 7, "xid": 812}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert canonical.row_bytes(row) == expected.encode()


async def test_a_search_string_is_sealed_and_bound_to_its_event(
    database: Database, audit: AuditService, read: Read, clock: FixedClock
):
    await audit.record_and_commit(read(query="family=Smith"))
    (row,) = await rows(database, audit)
    assert "Smith" not in json.dumps(row.entry)
    moved = row.entry | {"recorded_at": "2026-03-01T12:00:00.000001Z"}
    with pytest.raises(SealBroken):
        audit.open_query(moved)


@pytest.mark.parametrize(
    "field", [{"entities": ("Smith, John",)}, {"patients": ("Patient/1 ",)}, {"reason": "seen by Smith"}, {"interaction": ""},
              {"purpose_of_use": "TREAT MENT"}, {"consent_mode": "näive"}, {"entities": ("Patient/" + "1" * 65,)}],
)  # fmt: skip
def test_text_is_refused_where_references_and_codes_belong(read: Read, field: dict):
    with pytest.raises(InvalidInput) as refused:
        read(**field)
    assert next(iter(field)) in str(refused.value)
    assert "Smith" not in str(refused.value)


@pytest.mark.parametrize("entity", ["Patient", "Patient/1", "Patient/a.b-c/_history/3", "messages/12", "AuditEvent/7"])
def test_references_of_every_kind_are_taken(read: Read, entity: str):
    assert read(entities=(entity,)).entities == (entity,)


BROKEN = {
    "the table is gone": "DROP TABLE audit_event CASCADE",
    "a trigger refuses": "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'disk full'; END$$;"
    "CREATE TRIGGER no BEFORE INSERT ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION no()",
    "a constraint refuses": "ALTER TABLE audit_event ADD CHECK (position < 0)",
    "the database is read-only": "ALTER DATABASE {database} SET default_transaction_read_only = on",
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_no_event_no_answer(
    database_url: str, audit: AuditService, database: Database, read: Read, superuser: asyncpg.Connection, fault: str
):
    name = database_url.rsplit("/", 1)[-1].split("?", maxsplit=1)[0]
    await superuser.execute(BROKEN[fault].format(database=name))
    if "default" in BROKEN[fault]:
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await assert_unavailable(audit, database, read)


async def assert_unavailable(audit: AuditService, database: Database, read: Read) -> None:
    outcomes = await asyncio.gather(*(audit.record_and_commit(read()) for _ in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 20
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await audit.record(tx, read())


async def test_no_event_no_answer_without_the_privilege(
    database_url: str, superuser: asyncpg.Connection, clock: FixedClock, heads_file: Path, read: Read
):
    role = f"hub_{os.getpid()}"
    await superuser.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}; GRANT INSERT ON audit_event TO {role}"
    )
    database = await Database.connect(re.sub("//.*@", f"//{role}:secret@", database_url))
    audit = AuditService(
        database, clock, query_key=b"q" * 32, signing_key=b"s" * 32, hub_id="mercy", heads_file=heads_file
    )
    await audit.record_and_commit(read())
    await superuser.execute(f"REVOKE INSERT ON audit_event FROM {role}")
    await assert_unavailable(audit, database, read)
    await superuser.execute(f"GRANT INSERT ON audit_event TO {role}")
    await audit.record_and_commit(read())
    await database.close()
    await superuser.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


class Wire:
    """A socket between hub and server that can be cut, or go silent."""

    def __init__(self, server: str, folder: Path) -> None:
        self.server = server
        self.path = folder / ".s.PGSQL.5432"
        self.silent = False
        self.writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self.listener = await asyncio.start_unix_server(self.connected, self.path)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self.server)
        self.writers += [writer, server_writer]
        await asyncio.gather(self.pump(reader, server_writer), self.pump(server_reader, writer), return_exceptions=True)
        writer.close()
        server_writer.close()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.silent:
                writer.write(data)
                await writer.drain()
        writer.close()

    async def cut(self) -> None:
        self.listener.close()
        self.path.unlink(missing_ok=True)
        for writer in self.writers:
            writer.close()


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    folder = Path(tempfile.mkdtemp(prefix="hs-wire-"))  # short: socket paths are limited to 107 bytes
    wire = Wire(parse_qs(urlsplit(database_url).query)["host"][0] + "/.s.PGSQL.5432", folder)
    await wire.open()
    yield wire
    await wire.cut()
    shutil.rmtree(folder)


@pytest.fixture
async def wired(wire: Wire, database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url.rsplit("host=", 1)[0] + f"host={wire.path.parent}", max_size=2)
    yield database
    await wire.cut()
    database._pool._pool.terminate()


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_no_event_no_answer_when_the_server_is_gone_or_says_nothing(
    wire: Wire,
    wired: Database,
    clock: FixedClock,
    heads_file: Path,
    read: Read,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(store, "WRITE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(pool, "_ACQUIRE_SECONDS", 1)
    audit = AuditService(
        wired, clock, query_key=b"q" * 32, signing_key=b"s" * 32, hub_id="mercy", heads_file=heads_file
    )
    await audit.record_and_commit(read())
    if fault == "cut":
        await wire.cut()
    wire.silent = fault == "silent"
    outcomes = await asyncio.gather(*(audit.record_and_commit(read()) for _ in range(20)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 20


async def test_thousands_of_callers_share_commits_and_each_event_is_there_once(
    database: Database, audit: AuditService, read: Read
):
    events = [read(message_sequence=number) for number in range(3000)]
    waiting = iter(events)

    async def caller() -> None:
        for event in waiting:
            await audit.record_and_commit(event)

    started = time.process_time()
    await asyncio.gather(*(caller() for _ in range(32)))
    assert (time.process_time() - started) / len(events) < 0.001  # seconds of CPU; measured: 10 µs
    async with database.connection() as tx:
        stored = await tx.fetch("SELECT (entry ->> 'message_sequence')::int AS number, xid FROM audit_event")
    assert sorted(row["number"] for row in stored) == list(range(3000))
    assert len({row["xid"] for row in stored}) < 1500


async def test_an_event_is_committed_when_the_call_returns(database: Database, audit: AuditService, read: Read):
    for number in range(5):
        await audit.record_and_commit(read(message_sequence=number))
        assert len(await rows(database, audit)) == number + 1


async def test_a_caller_who_gives_up_leaves_its_event_in_the_log(database: Database, audit: AuditService, read: Read):
    callers = [asyncio.create_task(audit.record_and_commit(read(message_sequence=number))) for number in range(10)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert outcomes[1::2] == [None] * 5
    assert len(await rows(database, audit)) == 10


async def test_every_caller_has_an_error_of_its_own(superuser: asyncpg.Connection, audit: AuditService, read: Read):
    await superuser.execute("DROP TABLE audit_event CASCADE")
    first, second = await asyncio.gather(*(audit.record_and_commit(read()) for _ in range(2)), return_exceptions=True)
    assert first is not second


async def test_a_fault_of_ours_reaches_those_who_wait_too(audit: AuditService, read: Read, monkeypatch):
    async def broken(*_what: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Database, "write", broken)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await audit.record_and_commit(read())


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = NULL", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize(
    ("table", "column"),
    [("audit_event", "entry"), ("audit_leaf", "position"), ("audit_subtree", "hash"), ("audit_head", "root_hash")],
)
async def test_the_tables_refuse_changes_as_a_guard_rail(database: Database, table: str, column: str, statement: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        async with database.connection() as tx:
            await tx.execute(statement.format(table, column))


async def test_what_was_done_is_not_copied_into_statistics_that_no_search_of_the_log_uses(database, write):
    """PostgreSQL keeps frequent values of a column beside it, unless it is told to leave the column out."""
    await write(20)
    async with database.connection() as tx:
        await tx.execute("ANALYZE audit_event")
        known = await tx.fetch("SELECT attname FROM pg_stats WHERE tablename = 'audit_event'")
    assert {row["attname"] for row in known} == {"position", "xid"}
