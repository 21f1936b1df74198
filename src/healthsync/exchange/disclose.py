"""GATE OUT: the only way by which clinical data leaves the repository.

    (1) authorise   may this requester do this with this type at all (roles, scopes)?
    (2) read        with the consent decision as a condition of the SQL: totals and pages count only what may be seen
    (3) consent     a row that the patient withholds is as if it were not there (404), but the refusal is recorded
    (4) redact      to the elements that the roles show
    (5) record      the AuditEvent, permitted or refused, is committed before the caller gets a byte

If the event cannot be written, `errors.Unavailable` is raised and nothing leaves (HTTP 503).

One file, though a long one: whoever reviews the gate sees every way out without looking elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from healthsync.domains.access import Interaction, Requester, RolePolicy, StreamRight, granted, may_use_streams
from healthsync.domains.access.scopes import visible_elements
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.consent import ConsentPolicy, ConsentService
from healthsync.domains.identity import (
    Evidence,
    GoldenRecord,
    Grade,
    IdentityService,
    ImpossibleOverlap,
    ReviewService,
    SourcePatient,
    overlaps,
)
from healthsync.domains.records import (
    EVERYTHING,
    HistoryQuery,
    Page,
    RecordsService,
    SearchPlan,
    StoredResource,
    Visibility,
    Wanted,
)
from healthsync.errors import HealthSyncError, Refused, Unavailable
from healthsync.exchange.finding import MOST_INCLUDED, WALKED_AT_ONCE, Finder, Terminology
from healthsync.exchange.recording import audit_event
from healthsync.exchange.subscribing import without_secrets
from healthsync.exchange.vault import KeyDestroyed, Vault
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.fhir import binaries, json, published, references
from healthsync.standards.fhir.care_dates import CareDates
from healthsync.standards.fhir.compartments import is_patient_data
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.outcome import Issue
from healthsync.standards.fhir.query import SearchQuery, parse
from healthsync.standards.fhir.query_values import token
from healthsync.standards.fhir.summary import reduce

if TYPE_CHECKING:
    from healthsync.domains.identity.learning import Seen

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


class Disclosed(msgspec.Struct, frozen=True):
    """One version of a resource, as the requester may see it. `text` is JSON; a deleted version has none."""

    resource_type: str
    id: str
    version: int
    updated_at: datetime
    deleted: bool
    text: str
    is_closed: bool = False
    """A Binary without its content: the requester may not read the resource that decides about it."""

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
    """A page of search or history; `position` is where the next page begins, None at the end.

    `included` came along by `_include` and `_revinclude`; `warnings` are sentences about how the search was answered.
    """

    entries: list[Disclosed] = field(default_factory=list)
    total: int | None = None
    position: Any = None
    included: list[Disclosed] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Likely:
    """A Patient that another may be: the person it belongs to, the score (0 to 1), and the grade of the match."""

    disclosed: Disclosed
    person: str
    score: float
    grade: Grade


@dataclass(frozen=True, slots=True)
class _Projection:
    """The golden record of a person out of what the requester may see of its source patients."""

    enterprise_id: str
    golden: GoldenRecord
    rows: list[StoredResource]
    patients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which resources of a type a stream goes through.

    since            changed at this instant or later
    patients         ids: only what lies in the compartments of these; None: of anyone
    of_patients_only only what lies in some patient's compartment
    deleted          what was deleted instead of what is there
    filters          at least one of these searches, when there are any
    elements         the elements to show; none named: all
    """

    resource_type: str
    since: datetime | None = None
    patients: Sequence[str] | None = None
    of_patients_only: bool = False
    deleted: bool = False
    filters: Sequence[SearchQuery] = ()
    elements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamedBatch:
    """Some resources of a stream as NDJSON, and the event that must be committed before anyone outside gets them.

    `position` is where the next batch begins, `references` name what was deleted, `issues` tell what could not be
    opened.
    """

    text: bytes
    count: int
    position: int
    references: Sequence[str]
    patient_keys: frozenset[int]
    event: AuditEvent
    issues: Sequence[Issue] = ()


@dataclass(frozen=True, slots=True)
class Composed:
    """What a message may tell: its root, what came along by `Type/id`, and whose data it is."""

    root: dict[str, Any]
    others: dict[str, dict[str, Any]]
    patient_keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Editable:
    """The whole current version of a resource that is about to be changed in part, and whose data it is."""

    resource: dict[str, Any]
    version: int
    updated_at: datetime
    patients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Something with patients' data that is no resource and leaves whole or not at all: a message, a publication.

    patients  references to those whose data it holds; None where nobody knows
    """

    entity: str
    patients: tuple[str, ...] | None
    message_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class CrossReferences:
    """The other numbers of a person, and references to the source patients that bear them."""

    identifiers: list[dict[str, Any]]
    patients: list[str]

    def named(self, names: Mapping[str, str]) -> CrossReferences:
        """The same with authorities called as they were asked for."""
        told = [{**each, "system": names.get(each["system"], each["system"])} for each in self.identifiers]
        return CrossReferences(told, self.patients)


@dataclass(frozen=True, slots=True)
class PersonNumbers:
    """Numbers of one person for a message, and whose data it holds."""

    identifiers: list[dict[str, Any]]
    patient_keys: tuple[int, ...]


class NoCrossReference(StrEnum):
    """Why no numbers are told (IHE ITI-83 §2:3.83.4.2.2). What the requester may not see is unknown to him."""

    SOURCE = "source-unknown"
    SOURCE_DOMAIN = "source-domain-unknown"
    TARGET_DOMAIN = "target-domain-unknown"
    SEVERAL_PERSONS = "several-persons"


@dataclass(frozen=True, slots=True)
class NotCrossReferenced:
    """Nothing is told, and why; `systems` are the domains that nobody has a number of."""

    why: NoCrossReference
    systems: tuple[str, ...] = ()


class Withheld(HealthSyncError):
    """What was to be changed is not shown to this requester; `event` must be recorded, whatever becomes of the rest.

    `as_if` is answered instead where a resource that is not there gets another answer than 404.
    """

    def __init__(self, refusal: Refusal, event: AuditEvent, as_if: HealthSyncError | None = None) -> None:
        super().__init__(refusal.because)
        self.code, self.event, self.as_if = refusal.code, event, as_if


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of a history; `total` where it is known, `position` is where the next page begins, None at the end.

    `begins` tells of each entry whether it made the resource, or brought it back.
    """

    entries: list[Disclosed]
    begins: list[bool]
    total: int | None
    position: tuple[datetime, int, int] | None


_ACTIONS = {
    "search-type": Action.EXECUTE,
    "search-system": Action.EXECUTE,
    "$document": Action.EXECUTE,
    "$everything": Action.EXECUTE,
    "$find": Action.EXECUTE,
    "$graph": Action.EXECUTE,
    "$golden": Action.EXECUTE,
    "$ihe-pix": Action.EXECUTE,
    "query-demographics": Action.EXECUTE,
    "query-identifiers": Action.EXECUTE,
    "$match": Action.EXECUTE,
    "$idi-match": Action.EXECUTE,
    "update": Action.UPDATE,
    "patch": Action.UPDATE,
    "delete": Action.DELETE,
    "transaction": Action.EXECUTE,
}

_STEPS = 3
_MOST_OTHERS = 2000
"""How far, and how many resources, a message goes from what it is about."""

_MOST_BEARERS = 100
"""Source patients that may bear one number of one authority; they are one person or not one."""

_WITHOUT_CONTENT = frozenset({"contentType", "securityContext"})

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
        reviews: ReviewService,
        consent: ConsentService,
        audit: AuditService,
        roles: RolePolicy,
        clock: Clock,
        terminology: Terminology | None = None,
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        self._authorities = authorities
        self._database, self._vault, self._records, self._identity = database, vault, records, identity
        self._reviews = reviews
        self._consent, self._audit, self._roles, self._clock = consent, audit, roles, clock
        self._finder = Finder(vault, records, roles, clock, terminology, authorities)

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
        async with self._database.unit_of_work() if version is None else self._database.connection() as tx:  # (2)
            if version is None:
                row = await self._records.read(tx, resource_type, id_, visibility)
            else:
                row = await self._records.vread(tx, resource_type, id_, version, visibility)
            disclosed = (await self._show(tx, requester, [row]))[0] if row is not None and row.permitted else None
            patients = await self._patients(tx, row)
        if row is None and version is None:
            disclosed = _published(resource_type, id_)
        entity = f"{resource_type}/{id_}" if version is None else f"{resource_type}/{id_}/_history/{version}"
        if disclosed is None:  # (3)
            reason = "unknown" if row is None else "consent"
            await self._refuse(requester, interaction, entity, reason, patients)
            return _NOT_FOUND
        if disclosed.is_closed:
            await self._refuse(requester, interaction, entity, "security-context", patients)
            return _NOT_FOUND
        await self._permit(requester, interaction, [entity], patients)  # (5)
        if disclosed.deleted:
            return Refusal("deleted", f"{entity} was deleted")
        return disclosed

    async def history(
        self, requester: Requester, resource_type: str, id_: str, query: HistoryQuery, *, count: int
    ) -> HistoryPage | Refusal:
        """Versions of a resource, newest first, without those that consent withholds."""
        if (refusal := await self._authorise(requester, "history", Interaction.READ, resource_type)) is not None:
            return refusal
        async with self._database.transaction(read_only=True) as tx:
            found = await self._records.history(tx, resource_type, id_, self.visibility(requester), query, count=count)
            entries = await self._show(tx, requester, found.page.rows)
            patients = await self._patients(tx, *found.page.rows)
        entity = f"{resource_type}/{id_}"
        if not found.permitted:
            await self._refuse(requester, "history", entity, "consent" if found.here else "unknown", ())
            return _NOT_FOUND
        await self._permit(requester, "history", [entity], patients)
        return HistoryPage(entries, [row.begins for row in found.page.rows], found.asked, _end(found.page))

    async def history_of_types(
        self, requester: Requester, types: Sequence[str], query: HistoryQuery, *, count: int
    ) -> HistoryPage | Refusal:
        """Versions of all resources of some types, newest first, without those that consent withholds.

        Of several types those that the roles do not open are left out; a single one is refused.
        """
        shown = [each for each in types if granted(self._roles, requester, Interaction.READ, each)]
        if not shown:
            refusal = await self._authorise(requester, "history", Interaction.READ, types[0] if types else "Resource")
            return refusal or Refusal("forbidden", "the roles of this client open no history")
        async with self._database.transaction(read_only=True) as tx:
            page = await self._records.history_of_types(tx, shown, self.visibility(requester), query, count=count)
            entries = await self._show(tx, requester, page.rows)
            patients = await self._patients(tx, *page.rows)
        entities = sorted({entry.reference for entry in entries}) or (list(types) if len(types) == 1 else [])
        await self._permit(requester, "history", entities, patients)
        return HistoryPage(entries, [row.begins for row in page.rows], None, _end(page))

    async def search(
        self,
        requester: Requester,
        query: SearchQuery,
        *,
        after: Sequence[Any] | None,
        count: int,
        asked: str,
        with_total: bool = True,
        interaction: str | None = None,
    ) -> DisclosedPage | Refusal:
        """A page of a search; `asked` is the query as received, which the audit log seals under the name `interaction`.

        The total is exact or absent: it is counted to the end when `_total=accurate` or no page is wanted, otherwise as
        far as costs little. Raises InvalidInput for a search that this server cannot answer truthfully.
        """
        interaction = interaction or ("search-type" if query.type else "search-system")
        wanted = (query.type,) if query.type else self._finder.types_of(requester, query) or ("Resource",)
        refusal = await self._authorise(requester, interaction, Interaction.SEARCH, wanted[0])
        if refusal is not None:
            return refusal
        visibility = self.visibility(requester)
        try:
            async with self._database.connection() as tx:
                found = await self._finder.find(
                    tx,
                    requester,
                    query,
                    visibility,
                    after=None if after is None else list(after),
                    count=count,
                    with_total=with_total and query.total != "none",
                )
                rows = [*found.page.rows, *found.included]
                texts = [opened.text for opened in await self._vault.look(tx, rows)]
                entries = await self._shown(tx, requester, rows, texts)
                patients = await self._patients(tx, *rows)
        except Refused as refused:
            await self._refuse(requester, interaction, query.type or "Resource", "role", ())
            return Refusal("forbidden", str(refused))
        entities = [entry.reference for entry in entries] or [query.type or "Resource"]
        await self._permit(requester, interaction, entities, patients, asked)
        hits = len(found.page.rows)
        position = SearchPlan.position(found.page.rows[-1]) if found.page.more else None
        return DisclosedPage(entries[:hits], found.total, position, entries[hits:], found.warnings)

    async def everything(
        self,
        requester: Requester,
        resource_type: str,
        id_: str,
        *,
        types: Sequence[str] = (),
        since: datetime | None = None,
        care: CareDates | None = None,
        after: int | None,
        count: int,
    ) -> DisclosedPage | Refusal:
        """Patient/$everything: all that the hub holds on the person, whichever facility sent it; Encounter/$everything:
        the encounter, what refers to it and what it refers to. What supports the entries of a page is included.

        `types`, `since` and `care` narrow it, the last within each page. Types that the roles do not open are left out,
        and so is what consent withholds.
        """
        interaction = "$everything"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, resource_type)) is not None:
            return refusal
        visibility = self.visibility(requester)
        entity = f"{resource_type}/{id_}"
        opened = [t for t in types or sorted(resource_types()) if granted(self._roles, requester, Interaction.READ, t)]
        async with self._database.connection() as tx:
            row = await self._records.read(tx, resource_type, id_, visibility)
            visible = row is not None and row.permitted and not row.deleted
            page = Page()
            if row is not None and visible and resource_type == "Patient":
                enterprise = (await self._identity.enterprise_ids(tx, [row.pid]))[row.pid]
                person = [member.patient_key for member in await self._identity.members(tx, enterprise)]
                page = await self._records.compartment(
                    tx, person, visibility, types=opened, since=since, after=after, count=count
                )
            elif row is not None and visible:
                page = await self._finder.around(tx, row, opened, visibility, since=since, after=after, count=count)
            entries = await self._show(tx, requester, page.rows)
            if care is not None:
                entries = [entry for entry in entries if care.hold(json.parse(entry.text.encode()))]
            beside = frozenset(each for each in opened if not is_patient_data(each))
            supporting = await self._supporting(tx, requester, entries, beside, since, visibility)
            patients = await self._patients(tx, *page.rows)
        if not visible:
            await self._refuse(requester, interaction, entity, "unknown" if row is None else "consent", ())
            return _NOT_FOUND
        told = [entity, *(each.reference for each in (*entries, *supporting))]
        await self._permit(requester, interaction, told, patients)
        position = [page.rows[-1].pid] if page.more and page.rows else None
        return DisclosedPage(entries, position=position, included=supporting)

    async def _supporting(
        self,
        tx: Transaction,
        requester: Requester,
        entries: Sequence[Disclosed],
        types: Collection[str],
        since: datetime | None,
        visibility: Visibility,
    ) -> list[Disclosed]:
        """What records of a patient need to be understood and is nobody's data: practitioners, medications, locations,
        organizations (patient-operation-everything.html), and what these refer to. It is found in what is shown, so
        that elements which roles hide lead nowhere."""
        found: list[Disclosed] = []
        known = {entry.reference for entry in entries}
        while entries and len(found) < MOST_INCLUDED:
            named: set[str] = set()
            for entry in entries:
                named.update(references.written(entry.text))
            wanted = dict.fromkeys(
                (str(reference.type), str(reference.id))
                for text in sorted(named - known)
                if (reference := references.parse(text)).kind is references.Kind.RELATIVE and reference.type in types
            )
            known |= named
            rows = [
                row
                for row in await self._records.read_many(tx, list(wanted)[: MOST_INCLUDED - len(found)], visibility)
                if row.patient_key is None and row.permitted and not row.deleted
                and (since is None or row.updated_at >= since)
            ]  # fmt: skip
            entries = await self._show(tx, requester, rows)
            found += entries
        return found

    async def stream(
        self, requester: Requester, selection: Selection, *, after: int, interaction: str, entity: str
    ) -> AsyncGenerator[StreamedBatch, None]:
        """All resources of a selection that the requester may see now, in batches bounded in bytes and number.

        They come in the order of their internal numbers, from behind `after` on: an update moves nothing, so that who
        goes on later from the position of a batch misses nothing and gets nothing twice. (5) is the caller's: each
        batch brings its event, to be committed before its bytes can leave. Raises Refused when the roles do not open
        the type.
        """
        if not granted(self._roles, requester, Interaction.READ, selection.resource_type):
            raise Refused(f"the roles of this client do not allow reading {selection.resource_type}")
        async with self._database.transaction(read_only=True) as tx:
            async for rows in self._selected(tx, requester, selection, after):
                yield await self._streamed(tx, requester, selection, rows, interaction, entity)

    async def present(self, types: Sequence[str], *, deleted_since: datetime | None = None) -> list[str]:
        """Those of some types that have resources at all, or of which some were deleted since an instant. Nothing of
        this may be told: it counts what the requester may not see."""
        async with self._database.connection() as tx:
            return await self._records.present(tx, types, deleted_since)

    async def withholds(self, requester: Requester, patient_keys: Sequence[int]) -> bool:
        """Whether any of these patients withholds his data from the requester and purpose now."""
        async with self._database.connection() as tx:
            return await self._records.any_withheld(tx, patient_keys, self.visibility(requester))

    async def _streamed(
        self,
        tx: Transaction,
        requester: Requester,
        selection: Selection,
        rows: Sequence[StoredResource],
        interaction: str,
        entity: str,
    ) -> StreamedBatch:
        opened, issues = await self._open_each(tx, rows)
        texts = [text for _, text in opened]
        closed = await self._closed(tx, requester, [row for row, _ in opened], texts)
        elements = visible_elements(self._roles, requester, selection.resource_type)
        if elements is not None or closed:
            texts = [
                self._redact(requester, row, text, _WITHOUT_CONTENT if row.pid in closed else elements)
                for row, text in opened
            ]
        if selection.elements:
            texts = [_reduced(text, selection.elements) for text in texts]
        event = audit_event(
            requester,
            Action.READ,
            interaction,
            Outcome.PERMITTED,
            [entity, selection.resource_type],
            patients=await self._patients(tx, *rows),
        )
        return StreamedBatch(
            ("\n".join(texts) + "\n").encode() if texts else b"",
            len(texts),
            rows[-1].pid,
            [row.reference for row, _ in opened] if selection.deleted else (),
            frozenset(row.patient_key for row in rows if row.patient_key is not None),
            event,
            issues,
        )

    async def _selected(
        self, tx: Transaction, requester: Requester, selection: Selection, after: int
    ) -> AsyncGenerator[list[StoredResource], None]:
        """The rows of a selection by internal number. Of several searches each row comes once: all go in that order."""
        wanted, visibility = await self._wanted(tx, selection), self.visibility(requester)
        if not selection.filters:
            async for rows in self._records.stream(tx, wanted, visibility, after=after):
                yield rows
            return
        walks = [self._finder.walk(tx, requester, query, visibility, after=after) for query in selection.filters]
        heads = [await anext(walk, None) for walk in walks]
        batch: list[StoredResource] = []
        while present := [row for row in heads if row is not None]:
            first = min(present, key=lambda row: row.pid)
            for place, row in enumerate(heads):
                if row is not None and row.pid == first.pid:
                    heads[place] = await anext(walks[place], None)
            if wanted.includes(first):
                batch.append(first)
            if len(batch) == WALKED_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _wanted(self, tx: Transaction, selection: Selection) -> Wanted:
        keys = None
        if selection.patients is not None:
            keys = frozenset((await self._records.patient_keys(tx, selection.patients)).values())
        return Wanted(selection.resource_type, selection.since, keys, selection.of_patients_only, selection.deleted)

    async def _open_each(
        self, tx: Transaction, rows: Sequence[StoredResource]
    ) -> tuple[list[tuple[StoredResource, str]], list[Issue]]:
        """What opens, and an issue for what does not: one broken seal must not hide all others."""
        try:
            return list(zip(rows, await self._vault.open_texts(tx, rows), strict=True)), []
        except Unavailable:
            raise
        except HealthSyncError:
            opened: list[tuple[StoredResource, str]] = []
            issues: list[Issue] = []
            for row in rows:
                try:
                    opened.append((row, (await self._vault.open_texts(tx, [row]))[0]))
                except HealthSyncError as problem:
                    issues.append(Issue("error", problem.code, None, f"{row.reference} was left out: {problem}"))
            return opened, issues

    async def golden(self, requester: Requester, patient_id: str) -> Disclosed | Refusal:
        """Patient/$golden: the golden record of the person whom a source patient belongs to, as a Patient."""
        interaction, entity = "$golden", f"Patient/{patient_id}"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, "Patient")) is not None:
            return refusal
        async with self._database.transaction(read_only=True) as tx:
            row = await self._records.read(tx, "Patient", patient_id, self.visibility(requester))
            visible = row is not None and row.permitted and not row.deleted
            enterprise = (await self._identity.enterprise_ids(tx, [row.pid]))[row.pid] if row and visible else None
            person = await self._projected(tx, requester, str(enterprise)) if enterprise else None
        if person is None:
            await self._refuse(requester, interaction, entity, "unknown" if row is None else "consent", ())
            return _NOT_FOUND
        return await self._show_person(requester, interaction, entity, person, person.golden.as_patient())

    async def cross_references(
        self,
        requester: Requester,
        number: tuple[str, str] | str,
        systems: Sequence[str] | None,
        *,
        interaction: str,
        asked: str,
        with_all_patients: bool = False,
    ) -> CrossReferences | NotCrossReferenced | Refusal:
        """The other numbers of the person who bears `number` (system and value, or the id of a Patient).

        Only those of `systems` (None: of all domains) and the source patients that bear them, or `with_all_patients`.
        What roles and consent withhold takes no part, nor do numbers that were merged away or are old. An authority is
        called as it was asked for, else by the one of its names that the operator chose. `asked` is the question as
        received, which the audit log seals.
        """
        if not isinstance(number, str):
            number = self._authorities.system(number[0]), number[1]
        names = {self._authorities.system(each): each for each in systems or ()}
        systems = None if systems is None else list(names)
        if (refusal := await self._authorise(requester, interaction, Interaction.SEARCH, "Patient")) is not None:
            return refusal
        try:
            async with self._database.transaction(read_only=True) as tx:
                found, rows = await self._numbers(tx, requester, number, systems, with_all_patients)
                patients = await self._patients(tx, *rows)
        except Refused as refused:
            await self._refuse(requester, interaction, "Patient", "role", ())
            return Refusal("forbidden", str(refused))
        if isinstance(found, NotCrossReferenced):
            event = (interaction, Outcome.REFUSED, ["Patient"], (), found.why.value, asked)
        else:
            event = (interaction, Outcome.PERMITTED, [*patients] or ["Patient"], patients, None, asked)
        await self._record(requester, *event)
        return found if isinstance(found, NotCrossReferenced) else found.named(names)

    async def unknown_domains(self, requester: Requester, systems: Sequence[str]) -> tuple[str, ...]:
        """Those of some assigning authorities of whom no patient that the requester may see has a number. It tells
        nothing of anybody, and is recorded with what is asked next. Raises Refused as a search by identifier does."""
        async with self._database.connection() as tx:
            return await self._unknown_domains(tx, requester, systems)

    async def _numbers(
        self,
        tx: Transaction,
        requester: Requester,
        number: tuple[str, str] | str,
        systems: Sequence[str] | None,
        with_all_patients: bool,
    ) -> tuple[CrossReferences | NotCrossReferenced, list[StoredResource]]:
        members = await self._person_of(tx, requester, number)
        if isinstance(members, NotCrossReferenced):
            return members, []
        told, bearing = await self._borne(tx, requester, members, systems, number, with_all_patients)
        of = {system for system, _ in told}
        if unknown := await self._unknown_domains(tx, requester, [each for each in systems or () if each not in of]):
            return NotCrossReferenced(NoCrossReference.TARGET_DOMAIN, unknown), []
        references_to = [row.reference for row in bearing if row.id != number]
        return CrossReferences([told[place] for place in sorted(told)], references_to), bearing

    async def _borne(
        self,
        tx: Transaction,
        requester: Requester,
        members: Sequence[SourcePatient],
        systems: Sequence[str] | None,
        but: tuple[str, str] | str = "",
        with_all_patients: bool = False,
    ) -> tuple[dict[tuple[str, str], dict[str, Any]], list[StoredResource]]:
        """The numbers of these systems that source patients bear, by system and value, and who bears one."""
        versions = await self._speaking_versions(tx, [member.patient_id for member in members])
        rows = await self._speaking(tx, requester, versions)
        sources = {member.patient_id: member.source for member in members}
        told: dict[tuple[str, str], dict[str, Any]] = {}
        bearing: list[StoredResource] = []
        for row, shown in zip(rows, await self._show(tx, requester, rows), strict=True):
            patient = self._authorities.one_named(json.parse(shown.text.encode()), sources[row.id])
            own = _numbers_in_use(patient, systems, but=but)
            told = {**own, **told}
            if own or with_all_patients or systems is None:
                bearing.append(row)
        return told, bearing

    async def person_numbers(
        self, requester: Requester, patient_id: str, systems: Sequence[str]
    ) -> PersonNumbers | Refusal | None:
        """The numbers of some authorities by which the person of a source patient goes, for a message to `requester`;
        None where there are none, or none that he may see."""
        interaction = "send-message"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, "Patient")) is not None:
            return refusal
        async with self._database.transaction(read_only=True) as tx:
            members = await self._person_of(tx, requester, patient_id)
            if isinstance(members, NotCrossReferenced):
                return None
            told, bearing = await self._borne(tx, requester, members, systems)
            patients = await self._patients(tx, *bearing)
        if not told:
            return None
        await self._permit(requester, interaction, [row.reference for row in bearing], patients)
        keys = sorted({row.patient_key for row in bearing if row.patient_key is not None})
        return PersonNumbers([told[place] for place in sorted(told)], tuple(keys))

    async def _person_of(
        self, tx: Transaction, requester: Requester, number: tuple[str, str] | str
    ) -> list[SourcePatient] | NotCrossReferenced:
        """The source patients, their numbers in use, of the one person who bears a number."""
        name, value = ("_id", number) if isinstance(number, str) else ("identifier", token(*number))
        rows = await self.match(tx, requester, parse("Patient", [(name, value)]), most=_MOST_BEARERS)
        persons = await self._identity.enterprise_ids(tx, [row.pid for row in rows])
        bearers = {row.pid for row in rows}
        people = [await self._identity.active_members(tx, person) for person in sorted(set(persons.values()))]
        people = [members for members in people if any(member.patient_key in bearers for member in members)]
        if len(people) == 1:
            return people[0]
        if people:
            return NotCrossReferenced(NoCrossReference.SEVERAL_PERSONS)
        if isinstance(number, str) or not await self._unknown_domains(tx, requester, [number[0]]):
            return NotCrossReferenced(NoCrossReference.SOURCE)
        return NotCrossReferenced(NoCrossReference.SOURCE_DOMAIN, (number[0],))

    async def _unknown_domains(self, tx: Transaction, requester: Requester, systems: Sequence[str]) -> tuple[str, ...]:
        asked = {system: parse("Patient", [("identifier", token(system, ""))]) for system in systems}
        return tuple([system for system in asked if not await self.match(tx, requester, asked[system], most=1)])

    async def likely(
        self, requester: Requester, interaction: str, patient: dict[str, Any], *, most: int, asked: str
    ) -> list[Likely] | Refusal:
        """The Patients, the likeliest first, that `patient` (of which nothing is stored) may be: Patient/$match.

        It is compared with what the requester may see, by the elements that the roles show: neither consent nor a
        hidden element can be found out by asking. `asked` is the question as received, which the audit log seals.
        """
        if (refusal := await self._authorise(requester, interaction, Interaction.SEARCH, "Patient")) is not None:
            return refusal
        rows: dict[str, StoredResource] = {}
        shown: dict[str, Disclosed] = {}
        async with self._database.unit_of_work() as tx:  # its looks are shared with those of others

            async def load(asked: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
                unseen = {id_: held for id_, held in asked.items() if id_ not in rows}
                open_ = await self._speaking(tx, requester, unseen)
                rows.update({row.id: row for row in open_})
                shown.update({each.id: each for each in await self._show(tx, requester, open_)})
                return {id_: json.parse(shown[id_].text.encode()) for id_ in asked if id_ in shown}

            elements = visible_elements(self._roles, requester, "Patient")
            told = patient if elements is None else {name: patient[name] for name in patient.keys() & elements}
            candidates = await self._identity.match(tx, told, load, most=most)
            survivors = [one.patient.patient_id for one in candidates if one.patient.patient_id not in rows]
            await load(await self._speaking_versions(tx, survivors))  # who shares no key itself
            likely = [
                Likely(shown[id_], str(one.enterprise_id), one.comparison.score, one.comparison.grade)
                for one in candidates
                if (id_ := one.patient.patient_id) in shown
            ]
            patients = await self._patients(tx, *(rows[one.disclosed.id] for one in likely))
        entities = [one.disclosed.reference for one in likely] or ["Patient"]
        await self._permit(requester, interaction, entities, patients, asked)
        return likely

    async def _person(self, requester: Requester, enterprise_id: str) -> Disclosed | Refusal:
        """The golden record of a person, as a Person."""
        if (refusal := await self._authorise(requester, "read", Interaction.READ, "Person")) is not None:
            return refusal
        entity = f"Person/{enterprise_id}"
        async with self._database.transaction(read_only=True) as tx:
            known = await self._identity.members(tx, enterprise_id)
            person = await self._projected(tx, requester, enterprise_id)
        if person is None:
            await self._refuse(requester, "read", entity, "consent" if known else "unknown", ())
            return _NOT_FOUND
        return await self._show_person(requester, "read", entity, person, person.golden.as_person())

    async def _speaking_versions(self, tx: Transaction, ids: Sequence[str]) -> dict[str, int | None]:
        """For those whose newest version may be of somebody else, the version before it; None: the newest speaks."""
        held = await self._reviews.held_versions(tx, ids) if ids else {}
        return {id_: held.get(id_) for id_ in ids}

    async def _speaking(
        self, tx: Transaction, requester: Requester, asked: Mapping[str, int | None]
    ) -> list[StoredResource]:
        """What stands for patients where persons are compared and told of, as far as the requester may see it."""
        return await self._speaking_as(tx, self.visibility(requester), asked)

    async def _speaking_as(
        self, tx: Transaction, visibility: Visibility, asked: Mapping[str, int | None]
    ) -> list[StoredResource]:
        """The same for a visibility."""
        newest = [("Patient", id_) for id_, at in asked.items() if at is None]
        held = {id_: at for id_, at in asked.items() if at is not None}
        former = [await self._records.vread(tx, "Patient", id_, at, visibility) for id_, at in held.items()]
        rows = [*await self._records.read_many(tx, newest, visibility, self._vault.keys_beside), *former]
        return [row for row in rows if row is not None and row.permitted and not row.deleted]

    async def _projected(self, tx: Transaction, requester: Requester, enterprise_id: str) -> _Projection | None:
        """A projection over the source patients of a person that the requester may see; None where he may see none."""
        members = await self._identity.members(tx, enterprise_id)
        versions = await self._speaking_versions(tx, [member.patient_id for member in members])
        found = await self._speaking(tx, requester, versions)
        rows = {row.id: row for row in found}
        shown = {member: rows[member.patient_id] for member in members if member.patient_id in rows}
        if not shown:
            return None
        as_shown = await self._show(tx, requester, list(shown.values()))
        documents = [json.parse(each.text.encode()) for each in as_shown]
        return _Projection(
            enterprise_id,
            await self._identity.golden(tx, dict(zip(shown, documents, strict=True))),
            list(shown.values()),
            await self._patients(tx, *shown.values()),
        )

    async def agreement(
        self, one: tuple[str, int | None], other: tuple[str, int | None], sources: Sequence[str], event: AuditEvent
    ) -> Evidence:
        """How two patients of these sources, each by id and version (None: the newest), compare field by field. Only
        that leaves: no value, and `event` is recorded first. A patient that is not there has no fields, so that all are
        missing."""
        await self._audit.record_and_commit(event)
        documents = []
        async with self._database.connection() as tx:
            for id_, version in (one, other):
                if version is None:
                    row = await self._records.read(tx, "Patient", id_, EVERYTHING)
                else:
                    row = await self._records.vread(tx, "Patient", id_, version, EVERYTHING)
                documents += await self._vault.open(tx, [row]) if row and not row.deleted else [{}]
        return self._reviews.evidence(documents[0], documents[1], sources)

    async def seen(self, pairs: Sequence[tuple[str, str]], event: AuditEvent) -> list[Seen | None]:
        """How pairs of patients look to a model that learns: numbers from short scales of how they agree and how much
        they tell. Only that leaves, and `event` is recorded first. None for a pair of which nothing speaks any more."""
        await self._audit.record_and_commit(event)
        ids = sorted({id_ for pair in pairs for id_ in pair})
        async with self._database.transaction(read_only=True) as tx:
            rows = await self._speaking_as(tx, EVERYTHING, await self._speaking_versions(tx, ids))
            says = {row.id: document for row in rows for document in await self._opened_if_any_key(tx, row)}
        return [
            self._identity.seen(says[one], says[other]) if one in says and other in says else None
            for one, other in pairs
        ]

    async def _opened_if_any_key(self, tx: Transaction, row: StoredResource) -> list[dict[str, Any]]:
        """The document; none when its key was destroyed."""
        try:
            return await self._vault.open(tx, [row])
        except KeyDestroyed:
            return []

    async def impossible_overlaps(self, tx: Transaction, since: datetime, until: datetime) -> list[ImpossibleOverlap]:
        """Persons who were inpatients at two sources at once within a time. Only references leave, and the caller
        records whom it told of."""
        stays = await self._records.inpatient_stays(tx, since, until)
        keys = {key for _, key, _, _ in stays}
        persons = await self._identity.enterprise_ids(tx, keys)
        return overlaps(stays, persons, await self._reviews.named(tx, keys))

    async def _show_person(
        self, requester: Requester, interaction: str, entity: str, person: _Projection, document: dict[str, Any]
    ) -> Disclosed:
        updated_at = max(row.updated_at for row in person.rows)
        version = sum(row.version for row in person.rows)
        resource_type = document["resourceType"]
        document["id"] = person.enterprise_id
        document["meta"] = {"versionId": str(version), "lastUpdated": updated_at.isoformat(timespec="milliseconds")}
        if (shown := visible_elements(self._roles, requester, resource_type)) is not None:
            document = _limited(document, shown)
        await self._permit(requester, interaction, [entity], person.patients)
        text = json.dump(document).decode()
        return Disclosed(resource_type, person.enterprise_id, version, updated_at, False, text)

    async def notify(
        self,
        requester: Requester,
        resource_type: str,
        id_: str,
        version: int,
        concerns: Callable[[dict[str, Any]], bool],
    ) -> Disclosed | Refusal | None:
        """A version (0: the newest) for a notification to `requester`, who is not asking now; decided as if he were.

        None for what does not concern him, is deleted or never was: nothing leaves and nothing is recorded. `concerns`
        judges what he may see, so that criteria cannot ask for elements that his roles hide. Besides the version's own
        patient the one of the current version is asked, as with `vread` and `read` together.
        """
        interaction = "notification"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, resource_type)) is not None:
            return refusal
        visibility = self.visibility(requester)
        async with self._database.transaction(read_only=True) as tx:
            row = current = await self._records.read(tx, resource_type, id_, visibility)
            if current is not None and version and current.version != version:
                row = await self._records.vread(tx, resource_type, id_, version, visibility)
            if row is None or current is None or current.deleted or row.deleted:
                return None
            disclosed = (await self._show(tx, requester, [row]))[0]
            patients = await self._patients(tx, row)
        if not concerns(json.parse(disclosed.text.encode())):
            return None
        if not (row.permitted and current.permitted):
            await self._refuse(requester, interaction, disclosed.reference, "consent", patients)
            return _NOT_FOUND
        await self._permit(requester, interaction, [disclosed.reference], patients)
        return disclosed

    async def compose(
        self,
        requester: Requester,
        resource_type: str,
        id_: str,
        version: int | None,
        concerns: Callable[[dict[str, Any]], bool],
        references_of: Callable[[dict[str, Any]], Sequence[tuple[str, str]]],
        also: Sequence[tuple[str, str]] = (),
        beside: tuple[Sequence[str], Callable[[dict[str, Any], dict[str, Any]], bool]] | None = None,
    ) -> Composed | Refusal | None:
        """A version (None: the newest) for a message to `requester`, with what it refers to, `also` beside it.

        `beside` are types of resources of the same patient that come along without a reference, where the function
        says so of the root and the resource.

        As `notify`, for a whole message: one event names all that leaves. What roles or consent withhold of what it
        refers to is left out; what it is about itself is refused. `references_of` names what a resource needs.
        """
        interaction = "send-message"
        if (refusal := await self._authorise(requester, interaction, Interaction.READ, resource_type)) is not None:
            return refusal
        visibility = self.visibility(requester)
        async with self._database.transaction(read_only=True) as tx:
            row = current = await self._records.read(tx, resource_type, id_, visibility)
            if current is not None and version is not None and current.version != version:
                row = await self._records.vread(tx, resource_type, id_, version, visibility)
            if row is None or current is None or current.deleted or row.deleted:
                return None
            root = json.parse((await self._show(tx, requester, [row]))[0].text.encode())
            if not concerns(root):
                return None
            is_permitted = row.permitted and current.permitted
            others, rows = {}, [row]
            if is_permitted:
                told = await self._beside(tx, requester, current.patient_key, root, *beside) if beside else []
                others, found = await self._around(tx, requester, [*references_of(root), *also, *told], references_of)
                rows += found
            patients = await self._patients(tx, *rows)
        if not is_permitted:
            await self._refuse(requester, interaction, row.reference, "consent", patients)
            return _NOT_FOUND
        await self._permit(requester, interaction, [row.reference, *others], patients)
        keys = sorted({each.patient_key for each in rows if each.patient_key is not None})
        return Composed(root, others, tuple(keys))

    async def _beside(
        self,
        tx: Transaction,
        requester: Requester,
        patient_key: int | None,
        root: dict[str, Any],
        types: Sequence[str],
        belongs: Callable[[dict[str, Any], dict[str, Any]], bool],
    ) -> list[tuple[str, str]]:
        """What the requester may see of these types of a patient, and belongs to the root."""
        opened = [each for each in types if granted(self._roles, requester, Interaction.READ, each)]
        if not opened or patient_key is None:
            return []
        visibility = self.visibility(requester)
        page = await self._records.compartment(
            tx, [patient_key], visibility, types=opened, after=None, count=_MOST_OTHERS
        )
        shown = [row for row in page.rows if row.permitted and not row.deleted]
        resources = [json.parse(each.text.encode()) for each in await self._show(tx, requester, shown)]
        return [(each["resourceType"], each["id"]) for each in resources if belongs(root, each)]

    async def _around(
        self,
        tx: Transaction,
        requester: Requester,
        wanted: Sequence[tuple[str, str]],
        references_of: Callable[[dict[str, Any]], Sequence[tuple[str, str]]],
    ) -> tuple[dict[str, dict[str, Any]], list[StoredResource]]:
        """What is referred to, and what that refers to, some steps far, as far as the requester may see it."""
        others: dict[str, dict[str, Any]] = {}
        rows: list[StoredResource] = []
        asked: set[tuple[str, str]] = set()
        for _ in range(_STEPS):
            open_ = [each for each in wanted if granted(self._roles, requester, Interaction.READ, each[0])]
            new = list(dict.fromkeys(each for each in open_ if each not in asked))[: _MOST_OTHERS - len(asked)]
            if not new:
                break
            asked.update(new)
            found = await self._records.read_many(tx, new, self.visibility(requester))
            shown = [row for row in found if row.permitted and not row.deleted]
            rows += shown
            step = {e.reference: json.parse(e.text.encode()) for e in await self._show(tx, requester, shown)}
            others |= step
            wanted = [reference for each in step.values() for reference in references_of(each)]
        return others, rows

    async def editable(self, tx: Transaction, requester: Requester, resource_type: str, id_: str) -> Editable:
        """The current version for a change that keeps the rest of it: only a resource that the requester may see as a
        whole. The write records itself; its caller records `Withheld.event`.

        Raises Withheld: not-found, deleted, or forbidden where the roles show a part of the type's elements only.
        """
        entity = f"{resource_type}/{id_}"
        if visible_elements(self._roles, requester, resource_type) is not None:
            told = f"the roles of this client show {resource_type} in part only, so that it cannot be changed in part"
            raise Withheld(Refusal("forbidden", told), self._refusal(requester, "patch", entity, "role", ()))
        row = await self._records.read(tx, resource_type, id_, self.visibility(requester))
        if row is None or not row.permitted:
            reason = "unknown" if row is None else "consent"
            patients = await self._patients(tx, row)
            raise Withheld(_NOT_FOUND, self._refusal(requester, "patch", entity, reason, patients))
        if row.deleted:
            gone = Refusal("deleted", f"{entity} was deleted")
            raise Withheld(gone, self._refusal(requester, "patch", entity, "deleted", await self._patients(tx, row)))
        resource = (await self._vault.open(tx, [row]))[0]
        return Editable(resource, row.version, row.updated_at, await self._patients(tx, row))

    async def withheld(
        self,
        tx: Transaction,
        requester: Requester,
        interaction: str,
        entity: str,
        patient_key: int | None,
        as_if: HealthSyncError | None = None,
    ) -> Withheld:
        """The refusal to change what consent withholds: as if it were not there."""
        keys = [] if patient_key is None else [patient_key]
        patients = [f"Patient/{id_}" for id_ in (await self._records.patient_ids(tx, keys)).values()]
        return Withheld(_NOT_FOUND, self._refusal(requester, interaction, entity, "consent", patients), as_if)

    async def take_turns(self, tx: Transaction, conditions: Sequence[str]) -> None:
        """Writes with the same condition come one after another, each seeing what the one before it stored."""
        await self._records.take_turns(tx, conditions)

    async def match(
        self, tx: Transaction, requester: Requester, query: SearchQuery, *, most: int = 2
    ) -> list[StoredResource]:
        """At most `most` resources that a condition of a write finds, among those the requester may see: two are
        enough to tell none, one and several apart. No content leaves; the write records itself."""
        found = await self._finder.find(
            tx, requester, query, self.visibility(requester), after=None, count=most, with_total=False
        )
        return found.page.rows

    async def open_to(self, requester: Requester, right: StreamRight, interaction: str, entity: str) -> Refusal | None:
        """(1) for what is no resource: None when the roles of an API key give the right; a refusal is recorded."""
        if may_use_streams(self._roles, requester, right):
            return None
        await self._refuse(requester, interaction, entity, "role", ())
        return Refusal("forbidden", f"{interaction} needs an API key whose role gives it (applications: {right})")

    async def hand_out(
        self, tx: Transaction, requester: Requester, interaction: str, parcels: Sequence[Parcel]
    ) -> list[bool]:
        """(3) and (5) for what is no resource, after `open_to`: which of the parcels may leave.

        Every patient in a parcel must permit; where nobody knows whose data it is, the policy for those who said
        nothing decides. Permitted or refused, each is recorded with `tx`: nothing may leave before its commit.
        """
        names = {name.removeprefix("Patient/") for parcel in parcels for name in parcel.patients or ()}
        open_names = await self._permitting(tx, requester, sorted(names))
        verdicts = [self._may_leave(parcel, open_names) for parcel in parcels]
        await self._audit.record_many(
            tx,
            [
                structs.replace(
                    audit_event(
                        requester,
                        Action.READ,
                        interaction,
                        Outcome.PERMITTED if permitted else Outcome.REFUSED,
                        [parcel.entity],
                        patients=parcel.patients or (),
                        reason=None if permitted else "consent",
                    ),
                    message_sequence=parcel.message_sequence,
                )
                for parcel, permitted in zip(parcels, verdicts, strict=True)
            ],
        )
        return verdicts

    def _may_leave(self, parcel: Parcel, open_names: frozenset[str]) -> bool:
        if parcel.patients is None:
            return self._consent.policy is ConsentPolicy.OPT_OUT
        return open_names.issuperset(name.removeprefix("Patient/") for name in parcel.patients)

    async def _permitting(self, tx: Transaction, requester: Requester, ids: Sequence[str]) -> frozenset[str]:
        """Those of some patients who withhold nothing from the requester; one that nobody knows is not among them."""
        keys = await self._records.patient_keys(tx, ids) if ids else {}
        visibility = self.visibility(requester)
        if not keys or not await self._records.any_withheld(tx, list(keys.values()), visibility):
            return frozenset(keys)
        withheld = [id_ for id_, key in keys.items() if await self._records.any_withheld(tx, [key], visibility)]
        return frozenset(keys) - frozenset(withheld)

    # (1)
    async def _authorise(
        self, requester: Requester, interaction: str, needed: Interaction, resource_type: str
    ) -> Refusal | None:
        if granted(self._roles, requester, needed, resource_type):
            return None
        await self._refuse(requester, interaction, resource_type, "role", ())
        return Refusal("forbidden", f"the roles of this client do not allow {interaction} on {resource_type}")

    # (4)
    async def _show(self, tx: Transaction, requester: Requester, rows: Sequence[StoredResource]) -> list[Disclosed]:
        return await self._shown(tx, requester, rows, await self._vault.open_texts(tx, rows))

    async def _shown(
        self, tx: Transaction, requester: Requester, rows: Sequence[StoredResource], texts: Sequence[str]
    ) -> list[Disclosed]:
        closed = await self._closed(tx, requester, rows, texts)
        shown = {kind: visible_elements(self._roles, requester, kind) for kind in {row.resource_type for row in rows}}
        return [
            Disclosed(
                row.resource_type,
                row.id,
                row.version,
                row.updated_at,
                row.deleted,
                self._redact(requester, row, text, _WITHOUT_CONTENT if row.pid in closed else shown[row.resource_type]),
                row.pid in closed,
            )
            for row, text in zip(rows, texts, strict=True)
        ]

    async def _closed(
        self, tx: Transaction, requester: Requester, rows: Sequence[StoredResource], texts: Sequence[str]
    ) -> frozenset[int]:
        """The Binaries, by internal number, whose securityContext the requester may not read, or nobody can: access to
        them is that to the resource there (binary.html#security)."""
        if all(row.resource_type != "Binary" for row in rows):
            return frozenset()
        contexts = {
            row.pid: references.parse(context)
            for row, text in zip(rows, texts, strict=True)
            if row.resource_type == "Binary"
            and '"securityContext"' in text
            and (context := binaries.security_context(json.parse(text.encode())))
        }
        asked = {
            (str(each.type), str(each.id))
            for each in contexts.values()
            if each.kind is references.Kind.RELATIVE
            and granted(self._roles, requester, Interaction.READ, str(each.type))
        }
        found = await self._records.read_many(tx, sorted(asked), self.visibility(requester)) if asked else []
        readable = {(row.resource_type, row.id) for row in found if row.permitted and not row.deleted}
        return frozenset(pid for pid, each in contexts.items() if (each.type, each.id) not in readable)

    @staticmethod
    def _redact(requester: Requester, row: StoredResource, text: str, shown: frozenset[str] | None) -> str:
        if row.resource_type == "Subscription" and not row.deleted:
            text = json.dump(without_secrets(json.parse(text.encode()), requester)).decode()
        if shown is None or row.deleted:
            return text
        return json.dump(_limited(json.parse(text.encode()), shown)).decode()

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
        await self._audit.record_and_commit(self._refusal(requester, interaction, entity, reason, patients))

    def _refusal(
        self, requester: Requester, interaction: str, entity: str, reason: str, patients: Sequence[str]
    ) -> AuditEvent:
        """An id that nobody has is what the requester typed, a record number perhaps: it is sealed, as queries are."""
        unknown = reason == "unknown"
        shown, query = (entity.partition("/")[0], entity) if unknown else (entity, None)
        return self._event(requester, interaction, Outcome.REFUSED, [shown], patients, reason, query)

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
        event = self._event(requester, interaction, outcome, entities, patients, reason, query)
        await self._audit.record_and_commit(event)

    @staticmethod
    def _event(
        requester: Requester,
        interaction: str,
        outcome: Outcome,
        entities: Sequence[str],
        patients: Sequence[str],
        reason: str | None,
        query: str | None,
    ) -> AuditEvent:
        action = _ACTIONS.get(interaction, Action.READ)
        return audit_event(
            requester, action, interaction, outcome, entities, patients=patients, reason=reason, query=query
        )

    async def _patients(self, tx: Transaction, *rows: StoredResource | None) -> tuple[str, ...]:
        """References to the patients whose data these rows are."""
        keys = sorted({row.patient_key for row in rows if row is not None and row.patient_key is not None})
        return tuple(f"Patient/{id_}" for id_ in (await self._records.patient_ids(tx, keys)).values())


def _published(resource_type: str, id_: str) -> Disclosed | None:
    """The terminology that HL7 published with R4 is read as if it were stored, until someone stores that id himself."""
    url = published.url_of(resource_type, id_)
    resource = None if url is None else published.resource(resource_type, url)
    if resource is None:
        return None
    meta = {"versionId": "1", "lastUpdated": published.PUBLISHED_AT.isoformat(timespec="milliseconds")}
    text = json.dump(resource | {"meta": meta}).decode()
    return Disclosed(resource_type, id_, 1, published.PUBLISHED_AT, False, text)


def _numbers_in_use(
    patient: dict[str, Any], systems: Sequence[str] | None, but: tuple[str, str] | str
) -> dict[tuple[str, str], dict[str, Any]]:
    """The numbers of a patient by system and value: those of these systems (None: of all), without the old ones."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for number in patient.get("identifier", ()):
        place = (number.get("system", ""), number.get("value", ""))
        if all(place) and place != but and number.get("use") != "old" and (systems is None or place[0] in systems):
            found[place] = number
    return found


def _limited(document: dict[str, Any], shown: frozenset[str]) -> dict[str, Any]:
    """What is left of a resource for whom roles show these elements only, tagged SUBSETTED."""
    kept = {name: value for name, value in document.items() if name in shown or name in ("resourceType", "id", "meta")}
    meta = {**kept["meta"], "tag": [*kept["meta"].get("tag", []), SUBSETTED]}
    return {**kept, "meta": meta}


def _reduced(text: str, elements: Sequence[str]) -> str:
    """What `_elements` leaves of a resource, tagged SUBSETTED."""
    return json.dump(reduce(json.parse(text.encode()), None, elements)).decode()


def _end(page: Page) -> tuple[datetime, int, int] | None:
    last = page.rows[-1] if page.more and page.rows else None
    return (last.updated_at, last.pid, last.version) if last is not None else None
