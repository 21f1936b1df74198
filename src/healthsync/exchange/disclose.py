"""GATE OUT: the only way by which clinical data leaves the repository.

    (1) authorise   may this requester do this with this type at all (roles, scopes)?
    (2) read        with the consent decision as a condition of the SQL: totals and pages count only what may be seen
    (3) consent     a row that the patient withholds is as if it were not there (404), but the refusal is recorded
    (4) redact      to the elements that the roles show
    (5) record      the AuditEvent, permitted or refused, is committed before the caller gets a byte

If the event cannot be written, `errors.Unavailable` is raised and nothing leaves (HTTP 503).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthsync.domains.access import Interaction, Requester, RolePolicy, granted
from healthsync.domains.access.scopes import visible_elements
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.consent import ConsentService
from healthsync.domains.identity import IdentityService, golden_record
from healthsync.domains.records import Keep, Page, RecordsService, SearchPlan, StoredResource, Visibility, plan_search
from healthsync.exchange.recording import audit_event
from healthsync.exchange.vault import Vault
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.fhir import json, search_parameters
from healthsync.standards.fhir.query import SearchQuery

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


@dataclass(frozen=True, slots=True)
class Disclosed:
    """One version of a resource, as the requester may see it. `text` is JSON; a deleted version has none."""

    resource_type: str
    id: str
    version: int
    updated_at: datetime
    deleted: bool
    text: str

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing leaves, and why: a FHIR issue code (forbidden, not-found, deleted) and a sentence."""

    code: str
    because: str


@dataclass(frozen=True, slots=True)
class DisclosedPage:
    """A page of search or history; `position` is where the next page begins, None at the end."""

    entries: list[Disclosed] = field(default_factory=list)
    total: int | None = None
    position: tuple[Any, int] | None = None


_NOT_FOUND = Refusal("not-found", "there is no such resource, or it may not be shown to you")


class Disclose:
    """The gate out."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        records: RecordsService,
        identity: IdentityService,
        consent: ConsentService,
        audit: AuditService,
        roles: RolePolicy,
        clock: Clock,
    ) -> None:
        self._database, self._vault, self._records, self._identity = database, vault, records, identity
        self._consent, self._audit, self._roles, self._clock = consent, audit, roles, clock

    def visibility(self, requester: Requester) -> Visibility:
        """What consent leaves of the repository for this requester and purpose, as a condition over `r`."""
        return Visibility(*self._consent.sql_predicate("r.patient_key", requester.purpose_of_use, 1))

    async def read(self, requester: Requester, resource_type: str, id_: str) -> Disclosed | Refusal:
        """The current version of a resource."""
        if resource_type == "Person":
            return await self._person(requester, id_)
        return await self._one(requester, "read", resource_type, id_, None)

    async def vread(self, requester: Requester, resource_type: str, id_: str, version: int) -> Disclosed | Refusal:
        """One version of a resource, judged by the patient that this version names."""
        return await self._one(requester, "vread", resource_type, id_, version)

    async def _one(
        self, requester: Requester, interaction: str, resource_type: str, id_: str, version: int | None
    ) -> Disclosed | Refusal:
        if (
            refusal := await self._authorise(requester, interaction, Interaction.READ, resource_type)
        ) is not None:  # (1)
            return refusal
        visibility = self.visibility(requester)
        async with self._database.connection() as tx:  # (2)
            if version is None:
                row = await self._records.read(tx, resource_type, id_, visibility)
            else:
                row = await self._records.vread(tx, resource_type, id_, version, visibility)
            disclosed = (await self._show(tx, requester, [row]))[0] if row is not None and row.permitted else None
            patients = await self._patients(tx, row)
        entity = f"{resource_type}/{id_}" if version is None else f"{resource_type}/{id_}/_history/{version}"
        if row is None or disclosed is None:  # (3)
            reason = "unknown" if row is None else "consent"
            await self._refuse(requester, interaction, entity, reason, patients)
            return _NOT_FOUND
        await self._permit(requester, interaction, [entity], patients)  # (5)
        if row.deleted:
            return Refusal("deleted", f"{entity} was deleted")
        return disclosed

    async def history(
        self, requester: Requester, resource_type: str, id_: str, *, before: int | None, count: int
    ) -> DisclosedPage | Refusal:
        """Versions of a resource, newest first, without those that consent withholds."""
        if (refusal := await self._authorise(requester, "history", Interaction.READ, resource_type)) is not None:
            return refusal
        visibility = self.visibility(requester)
        async with self._database.connection() as tx:
            page = await self._records.history(tx, resource_type, id_, visibility, before=before, count=count)
            shown = [row for row in page.rows if row.permitted]
            entries = await self._show(tx, requester, shown)
            patients = await self._patients(tx, *shown)
        entity = f"{resource_type}/{id_}"
        if not shown:
            await self._refuse(requester, "history", entity, "consent" if page.rows else "unknown", ())
            return _NOT_FOUND
        await self._permit(requester, "history", [entity], patients)
        return DisclosedPage(entries, position=(None, page.rows[-1].version) if page.more else None)

    async def search(
        self,
        requester: Requester,
        query: SearchQuery,
        *,
        after: Sequence[Any] | None,
        count: int,
        asked: str,
        with_total: bool = True,
    ) -> DisclosedPage | Refusal:
        """A page of a search; `asked` is the query as received, which the audit log seals.

        Raises InvalidInput for a search that this server cannot answer truthfully.
        """
        interaction = "search-type"
        if (refusal := await self._authorise(requester, interaction, Interaction.SEARCH, query.type)) is not None:
            return refusal
        plan = plan_search(query, self._records.index, self._clock.now())
        visibility = self.visibility(requester)
        async with self._database.transaction(read_only=True) as tx:
            keep = self._decrypting_filter(tx, plan)
            page = Page()
            if count > 0:
                page = await self._records.search(tx, plan, visibility, keep, after=after, count=count)
            total = None
            if with_total:
                whole = after is None and not page.more and count > 0
                total = len(page.rows) if whole else await self._records.count(tx, plan, visibility, keep)
            entries = await self._show(tx, requester, page.rows)
            patients = await self._patients(tx, *page.rows)
        entities = [entry.reference for entry in entries] or [query.type]
        await self._permit(requester, interaction, entities, patients, asked)
        position = plan.position(page.rows[-1]) if page.more else None
        return DisclosedPage(entries, total, position)

    async def everything(
        self, requester: Requester, patient_id: str, *, after: int | None, count: int
    ) -> DisclosedPage | Refusal:
        """Patient/$everything: all that the hub holds on the person, whichever facility sent it.

        Types that the roles do not open are left out, and so is what consent withholds.
        """
        interaction = "$everything"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, "Patient")) is not None:
            return refusal
        visibility = self.visibility(requester)
        entity = f"Patient/{patient_id}"
        async with self._database.transaction(read_only=True) as tx:
            row = await self._records.read(tx, "Patient", patient_id, visibility)
            visible = row is not None and row.permitted and not row.deleted
            page = Page()
            if row is not None and visible:
                enterprise = (await self._identity.enterprise_ids(tx, [row.pid]))[row.pid]
                person = [member.patient_key for member in await self._identity.members(tx, enterprise)]
                page = await self._records.compartment(tx, person, visibility, after=after, count=count)
            shown = [r for r in page.rows if granted(self._roles, requester, Interaction.READ, r.resource_type)]
            entries = await self._show(tx, requester, shown)
            patients = await self._patients(tx, *shown)
        if not visible:
            await self._refuse(requester, interaction, entity, "unknown" if row is None else "consent", ())
            return _NOT_FOUND
        await self._permit(requester, interaction, [entity, *(e.reference for e in entries)], patients)
        return DisclosedPage(entries, position=(None, page.rows[-1].pid) if page.more else None)

    async def _person(self, requester: Requester, enterprise_id: str) -> Disclosed | Refusal:
        """The golden record of a person: a projection over the source patients that the requester may see."""
        if (refusal := await self._authorise(requester, "read", Interaction.READ, "Person")) is not None:
            return refusal
        visibility = self.visibility(requester)
        entity = f"Person/{enterprise_id}"
        async with self._database.transaction(read_only=True) as tx:
            members = await self._identity.members(tx, enterprise_id)
            rows = [await self._records.read(tx, "Patient", member.patient_id, visibility) for member in members]
            shown = [row for row in rows if row is not None and row.permitted and not row.deleted]
            documents = await self._vault.open(tx, shown)
            patients = await self._patients(tx, *shown)
        if not shown:
            await self._refuse(requester, "read", entity, "consent" if members else "unknown", ())
            return _NOT_FOUND
        updated_at = max(row.updated_at for row in shown)
        version = sum(row.version for row in shown)
        person = {"resourceType": "Person", "id": enterprise_id, **golden_record(documents)}
        person["meta"] = {"versionId": str(version), "lastUpdated": updated_at.isoformat(timespec="milliseconds")}
        await self._permit(requester, "read", [entity], patients)
        return Disclosed("Person", enterprise_id, version, updated_at, False, json.dump(person).decode())

    async def match(self, tx: Transaction, requester: Requester, query: SearchQuery) -> list[StoredResource]:
        """At most two resources that a condition of a write finds, among those the requester may see: enough to tell
        none, one and several apart. No content leaves; the write records itself."""
        plan = plan_search(query, self._records.index, self._clock.now())
        page = await self._records.search(
            tx, plan, self.visibility(requester), self._decrypting_filter(tx, plan), after=None, count=2
        )
        return page.rows

    # (1)
    async def _authorise(
        self, requester: Requester, interaction: str, needed: Interaction, resource_type: str
    ) -> Refusal | None:
        if granted(self._roles, requester, needed, resource_type):
            return None
        await self._refuse(requester, interaction, resource_type, "role", ())
        return Refusal("forbidden", f"the roles of this client do not allow {interaction} on {resource_type}")

    def _decrypting_filter(self, tx: Transaction, plan: SearchPlan) -> Keep:
        async def keep(rows: Sequence[StoredResource]) -> list[bool]:
            documents = await self._vault.open(tx, rows)
            return [plan.matches(search_parameters.index(document)) for document in documents]

        return keep

    # (4)
    async def _show(self, tx: Transaction, requester: Requester, rows: Sequence[StoredResource]) -> list[Disclosed]:
        texts = await self._vault.open_texts(tx, rows)
        return [
            Disclosed(
                row.resource_type, row.id, row.version, row.updated_at, row.deleted, self._redact(requester, row, text)
            )
            for row, text in zip(rows, texts, strict=True)
        ]

    def _redact(self, requester: Requester, row: StoredResource, text: str) -> str:
        shown = visible_elements(self._roles, requester, row.resource_type)
        if shown is None or row.deleted:
            return text
        document = json.parse(text.encode())
        kept = {
            name: value for name, value in document.items() if name in shown or name in ("resourceType", "id", "meta")
        }
        meta = {**kept["meta"], "tag": [*kept["meta"].get("tag", []), SUBSETTED]}
        return json.dump({**kept, "meta": meta}).decode()

    # (5)
    async def _permit(
        self,
        requester: Requester,
        interaction: str,
        entities: Sequence[str],
        patients: Sequence[str],
        query: str | None = None,
    ) -> None:
        await self._record(requester, interaction, Outcome.PERMITTED, entities, patients, None, query)

    async def _refuse(
        self, requester: Requester, interaction: str, entity: str, reason: str, patients: Sequence[str]
    ) -> None:
        """An id that nobody has is what the requester typed, a record number perhaps: it is sealed, as queries are."""
        unknown = reason == "unknown"
        shown, query = (entity.partition("/")[0], entity) if unknown else (entity, None)
        await self._record(requester, interaction, Outcome.REFUSED, [shown], patients, reason, query)

    async def _record(
        self,
        requester: Requester,
        interaction: str,
        outcome: Outcome,
        entities: Sequence[str],
        patients: Sequence[str],
        reason: str | None,
        query: str | None,
    ) -> None:
        action = Action.EXECUTE if interaction in ("search-type", "$everything") else Action.READ
        event = audit_event(
            requester, action, interaction, outcome, entities, patients=patients, reason=reason, query=query
        )
        await self._audit.record_and_commit(event)

    async def _patients(self, tx: Transaction, *rows: StoredResource | None) -> tuple[str, ...]:
        """References to the patients whose data these rows are."""
        keys = sorted({row.patient_key for row in rows if row is not None and row.patient_key is not None})
        return tuple(f"Patient/{id_}" for id_ in (await self._records.patient_ids(tx, keys)).values())
