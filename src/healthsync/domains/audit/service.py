"""The verbs of the audit log."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from healthsync.domains.audit import canonical, fhir_view, heads, sequencer, store
from healthsync.domains.audit.model import Action, AuditEvent, AuditRow, MissingRow, Outcome, Proof, TreeHead
from healthsync.domains.audit.publication import HeadsFile
from healthsync.domains.audit.verification import Report, Verifier
from healthsync.errors import NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.infrastructure.database import Database, Transaction

_TREATMENT_PAYMENT_OPERATIONS = frozenset({"TREAT", "ETREAT", "HPAYMT", "HOPERAT"})


class AuditService:
    """The audit log of one hub.

    `query_key` (32 bytes) seals search strings, `signing_key` (a 32-byte Ed25519 seed) signs tree heads, and
    `heads_file` is the published list of them, outside the database.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        query_key: bytes,
        signing_key: bytes,
        hub_id: str,
        heads_file: Path,
    ) -> None:
        self._database = database
        self._clock = clock
        self._query_key = query_key
        self._hub_id = hub_id
        self._published = HeadsFile(heads_file)
        self.public_key = heads.public_key(signing_key)
        self.sequencer = sequencer.Sequencer(
            database, clock, signing_key=signing_key, hub_id=hub_id, heads_file=heads_file
        )

    async def record(self, tx: Transaction, event: AuditEvent) -> None:
        """Write the event with the access, at the end of its unit of work; Unavailable is raised then when it cannot be
        written, and nothing of the unit of work happened."""
        await self.record_many(tx, [event])

    async def record_many(self, tx: Transaction, events: Iterable[AuditEvent]) -> None:
        """Write events with the access, as `record` does."""
        entries = [self._entry(event) for event in events]
        if entries:
            store.insert(tx, entries)

    async def record_and_commit(self, event: AuditEvent) -> None:
        """Write and commit the event together with those of other callers; returns after the commit.

        Raises Unavailable when it could not be written, or when that is not known: the answer must not leave then.
        """
        await store.insert_and_commit(self._database, [self._entry(event)])

    async def search(
        self,
        tx: Transaction,
        *,
        patient: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        agent: str | None = None,
        before: int | None = None,
        count: int = 100,
    ) -> list[AuditRow]:
        """Rows that meet every condition, youngest first. `patient` is a reference, `agent` a client or user.

        The next page begins `before` the position of the last row.
        """
        return await store.search(
            tx,
            patient=patient,
            since=since and canonical.instant(since),
            until=until and canonical.instant(until),
            agent=agent,
            before=before,
            count=count,
        )

    async def accounting_of_disclosures(
        self, tx: Transaction, patient: str, *, since: datetime, until: datetime
    ) -> AsyncIterator[AuditRow]:
        """Every disclosure about a patient that 45 CFR 164.528 makes us account for, youngest first."""
        before = None
        while page := await self.search(tx, patient=patient, since=since, until=until, before=before):
            for row in page:
                if is_accountable(row.entry):
                    yield row
            before = page[-1].position

    def as_fhir(self, row: AuditRow, *, with_query: bool = False) -> dict[str, Any]:
        """The row as FHIR R4 AuditEvent; the search string is opened only when asked for."""
        return fhir_view.as_fhir(row, self._hub_id, query=self.open_query(row.entry) if with_query else None)

    def open_query(self, entry: dict[str, Any]) -> str | None:
        """The search string of an entry; None when it has none. Raises SealBroken when it was changed or moved."""
        if "query" not in entry:
            return None
        sealed = base64.b64decode(entry["query"])
        return open_sealed(self._query_key, sealed, self._query_place(entry["recorded_at"])).decode()

    async def prove(self, position: int) -> Proof:
        """Proof that an event stands under the youngest head. Raises NotFound while it is not sequenced."""
        async with self._database.transaction() as tx:
            await store.read_isolated(tx)
            leaf_index = await store.leaf_of_event(tx, position)
            if leaf_index is None:
                raise NotFound("this event is not in the tree; ask again in a second")
            head = await store.last_head(tx)
            hashes = await sequencer.prove_inclusion(tx, leaf_index, head.tree_size)
        return Proof(leaf_index, tuple(hashes), head)

    async def prove_consistency(self, old: int, new: int) -> list[bytes]:
        """The hashes that prove that the log of `new` leaves begins with that of `old` (RFC 9162 section 2.1.4)."""
        async with self._database.transaction() as tx:
            await store.read_isolated(tx)
            return await sequencer.prove_consistency(tx, old, new)

    async def export(self) -> AsyncGenerator[AuditRow | MissingRow, None]:
        """The whole log in one state: the leaves in order, then the events that wait for the sequencer."""
        async with self._database.transaction() as tx:
            await store.read_isolated(tx)
            async for row in store.all_rows(tx):
                yield row

    async def verify(self, kept: Iterable[TreeHead] = ()) -> Report:
        """Compare the log with the heads published, in the database, and `kept` elsewhere; writes nothing."""
        published = [*kept, *self._published.read()]  # before the log, which then can only be younger
        async with self._database.transaction() as tx:
            await store.read_isolated(tx)
            verifier = Verifier(
                published + await store.heads_after(tx, 0), public_key=self.public_key, hub_id=self._hub_id
            )
            async for row in store.all_rows(tx):
                verifier.feed(row)
        return verifier.report()

    def _entry(self, event: AuditEvent) -> str:
        recorded_at = canonical.instant(self._clock.now())
        sealed_query = None
        if event.query is not None:
            query = event.query.encode("utf-8", "backslashreplace")
            sealed = seal(self._query_key, query, self._query_place(recorded_at))
            sealed_query = base64.b64encode(sealed).decode()
        return canonical.entry(event, recorded_at, sealed_query)

    def _query_place(self, recorded_at: str) -> bytes:
        return f"{self._hub_id} audit query {recorded_at}".encode()


def is_accountable(entry: dict[str, Any]) -> bool:
    """Whether 45 CFR 164.528(a)(1)(i) counts it: data left, and not for treatment, payment or operations."""
    left = entry["outcome"] == Outcome.PERMITTED and entry["action"] in (Action.READ, Action.EXECUTE)
    return left and entry.get("purpose_of_use") not in _TREATMENT_PAYMENT_OPERATIONS
