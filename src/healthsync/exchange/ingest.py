"""GATE IN: the only way by which clinical data enters the repository.

    (1) validate     every resource by the R4 definitions; one fault refuses the whole submission. Where the operator
                     asks for it, what clients write gets standard codes and canonical quantities beside what was sent
    (2) identify     a patient who is known under one of his numbers keeps his record; references follow
    (3) place        each resource in the compartment of its patient; a patient that nobody knows is refused
    (4) compare      a resend changes nothing; a snapshot is merged over what is known; nobody changes what consent
                     withholds from him
    (5) store        seal, version, index
    (6) link         source patients to persons; consents follow the person
    (7) record       audit and events

All of it in the transaction of the caller: one commit, or nothing. The caller still has to commit.

One file, though a long one: whoever reviews the gate sees every way in without looking elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import structs

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.conformance import ConformanceService
from healthsync.domains.consent import ConsentService
from healthsync.domains.identity import IdentityService, LoadPatients, ReviewService, SourcePatient
from healthsync.domains.privacy import DataKey
from healthsync.domains.records import (
    EVERYTHING,
    Change,
    RecordsService,
    StoredResource,
    VersionConflict,
    Visibility,
    Wanted,
)
from healthsync.domains.terminology import TerminologyService
from healthsync.errors import Conflict, InvalidInput, NotFound
from healthsync.exchange.conformity import Conformity
from healthsync.exchange.events import EventName, events_of
from healthsync.exchange.own_parameters import ADMINISTRATOR, OwnParameters
from healthsync.exchange.reference_policy import PLACEHOLDER, ReferencePolicy
from healthsync.exchange.standardise import Standardise
from healthsync.exchange.subscribing import Subscribing
from healthsync.exchange.vault import KeyDestroyed, Vault
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.infrastructure.database import Outdated, Transaction, is_deadlock
from healthsync.infrastructure.events import Event, EventLog
from healthsync.standards.fhir import binaries, compartments, json, meta, references
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.outcome import Issue, error
from healthsync.standards.fhir.own_parameters import UnservedParameter
from healthsync.standards.fhir.summary import SUBSETTED
from healthsync.standards.maps import (
    Correction,
    MappedResource,
    PatientLink,
    PatientMerge,
    RecordMerge,
    RecordMove,
    merged,
    renumbered,
)
from healthsync.standards.units import canonical_quantities

CONSENT_STEWARDS = frozenset({"admin"})
"""Roles that record what a patient decided anew, also when he had withheld his record from them."""

Key = tuple[str, str]
_Warnings = Mapping[Key, tuple[Issue, ...]]


class InvalidResource(InvalidInput):
    """A resource breaks the R4 definitions; `issues` says where and how, without its values, and `key` which one of
    those that came together, where it is one."""

    def __init__(self, issues: Sequence[Issue], key: Key | None = None) -> None:
        first = issues[0]
        super().__init__(first.diagnostics, code=first.code, expression=first.expression)
        self.issues, self.key = list(issues), key

    def inside(self, place: str) -> InvalidResource:
        """The same faults where the resource stands in something larger."""
        return InvalidResource([issue.inside(place) for issue in self.issues])


class PreconditionFailed(Conflict):
    """If-Match names another version than the one in store (HTTP 412)."""

    code = "conflict"


ANY_VERSION, NO_VERSION = -1, -2
"""What `If-Match: *` and `If-None-Match: *` of a write expect (RFC 9110 §13.1)."""


class Hidden(NotFound):
    """A submission would change what its requester may not see; `patient_key` is whose it is."""

    def __init__(self, key: Key, patient_key: int | None) -> None:
        super().__init__("there is no such resource, or it may not be shown to you")
        self.key, self.patient_key = key, patient_key


class Known(msgspec.Struct, frozen=True):
    """What is known of a resource that is or was here; `permitted` is false for what is withheld from the requester."""

    deleted: bool
    permitted: bool
    patient_key: int | None
    row: StoredResource | None = None
    """What stands there, where few were asked for."""

    @property
    def is_here(self) -> bool:
        """Whether the requester finds it: there, and not withheld from him."""
        return self.permitted and not self.deleted


class Incoming(msgspec.Struct, frozen=True):
    """One resource that arrives, with the `id` that it shall have.

    mode     create (the id must be new), update (replaces all of it), merge (a snapshot of a message), delete
    mapped   with `merge`: how the snapshot lies over what is known
    if_match the version that the sender believes to be current; ANY_VERSION: there is one, NO_VERSION: there is none
    is_fresh the hub has made the id just now: nothing can be stored under it
    keeps    with `update`: tags and security labels that it does not repeat stay
    found    what stood under its key a moment ago, judged for the requester: it is not looked for again
    made_of  the version that the content was made of: should another stand there by now, it is to be made anew
    """

    resource: dict[str, Any]
    mode: Literal["create", "update", "merge", "delete"]
    mapped: MappedResource | None = None
    if_match: int | None = None
    is_fresh: bool = False
    keeps: bool = False
    found: Known | None = None
    made_of: int | None = None

    @property
    def key(self) -> Key:
        """(type, id)."""
        return self.resource["resourceType"], self.resource["id"]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person decided about source patients that are registered.

    link     the two are one person; both stay in use
    merge    the two are one person, and `other` goes out of use in favour of `patient`
    unlink   the two are two persons
    split    `patient` is nobody else of its person
    accept   what its newest version says is true of `patient`, though it was held
    restore  it is not: the version before it stands again
    """

    kind: Literal["link", "merge", "unlink", "split", "accept", "restore"]
    patient: SourcePatient
    other: SourcePatient
    by: str
    reason: str


class Submission(msgspec.Struct, frozen=True):
    """What arrives together and is stored together or not at all.

    `source` is the namespace of the sender's numbers; `audit` is the event that this submission is recorded by: the
    gate adds what was touched.
    """

    source: str
    resources: Sequence[Incoming]
    audit: AuditEvent
    merges: Sequence[Correction] = ()
    decided: Decided | None = None
    references: ReferencePolicy | None = None
    """How references to what is not here are taken; None asks nobody, since messages arrive in any order."""
    requester: Requester | None = None
    """The client that sends it: told when it holds a Subscription, and bound by consent: what he may not see he may not
    change. None asks nobody: a facility's own message about its own patient."""


class Stored(msgspec.Struct, frozen=True):
    """What became of one incoming resource."""

    resource_type: str
    id: str
    version: int
    updated_at: datetime
    outcome: Literal["created", "updated", "unchanged", "deleted"]
    resource: Mapping[str, Any]
    warnings: tuple[Issue, ...] = ()
    """What did not hinder it and the sender should know."""
    before: Mapping[str, Any] | None = None
    """Of what was updated: what stood in its place."""


class IngestResult(msgspec.Struct, frozen=True):
    """What was stored, in the order of the submission, and whose data it was."""

    stored: list[Stored]
    patients: tuple[str, ...]
    restated: Sequence[Stored] = ()
    """Stored resources that merges, moves and links of the submission changed besides."""


@dataclass(frozen=True, slots=True)
class Rematched:
    """What matching a patient again changed, as pairs of patient keys: persons that became one, pairs that somebody has
    to look at, pairs whose task has no ground any more."""

    joined: tuple[tuple[int, int], ...]
    flagged: tuple[tuple[int, int], ...]
    closed: tuple[tuple[int, int], ...]


class _Written(msgspec.Struct, frozen=True):
    """A new version on its way: the row, the document, and the document that it replaces."""

    change: Change
    resource: dict[str, Any]
    before: dict[str, Any] | None


class _Text(msgspec.Struct, frozen=True):
    """The JSON of a resource, kept with it, so that it is the text of none that comes later."""

    resource: dict[str, Any]
    written: bytes


class _Work(msgspec.Struct):
    """One submission on its way through the steps."""

    now: datetime
    incoming: list[Incoming]
    texts: dict[int, _Text] = {}
    """By `id()` of a resource that comes in: several steps look at its JSON."""
    patient_keys: dict[str, int] = {}
    new_patients: set[int] = set()
    compartments: dict[Key, list[str]] = {}
    keys: dict[int | None, DataKey] = {}
    changes: list[Change] = []
    written: dict[Key, _Written] = {}
    stored: list[Stored] = []
    warnings: Mapping[Key, tuple[Issue, ...]] = {}
    restated: list[Stored] = []
    touched: set[int] = set()

    def text_of(self, resource: dict[str, Any]) -> bytes:
        """Its JSON."""
        text = self.texts.get(id(resource))
        if text is None:
            text = self.texts[id(resource)] = _Text(resource, json.dump(resource))
        return text.written


class Ingest:
    """The gate in."""

    def __init__(
        self,
        *,
        vault: Vault,
        records: RecordsService,
        identity: IdentityService,
        reviews: ReviewService,
        consent: ConsentService,
        audit: AuditService,
        events: EventLog,
        blind_index: BlindIndex,
        clock: Clock,
        subscribing: Subscribing,
        terminology: TerminologyService,
        conformity: Conformity,
        own_parameters: OwnParameters,
        standardise: Standardise | None = None,
    ) -> None:
        """`standardise` is for what clients write; messages come here standardised."""
        self._vault, self._records, self._identity, self._consent = vault, records, identity, consent
        self._reviews = reviews
        self._audit, self._events, self._blind, self._clock = audit, events, blind_index, clock
        self._subscribing, self._terminology, self._conformity = subscribing, terminology, conformity
        self._own_parameters, self._standardise = own_parameters, standardise

    async def report(self) -> None:
        """Behind a commit: write down which codes no map translated."""
        if self._standardise is not None:
            await self._standardise.report()

    def resource_id(self, resource_type: str, source: str, key: str) -> str:
        """The id of what a sender knows by `key`: the same for every resend, and telling nothing of the key."""
        digest = self._blind.digest("resource id", f"{resource_type}\x1f{source}\x1f{key}".encode())
        return str(uuid.UUID(bytes=digest, version=4))

    def new_id(self) -> str:
        """An id of the hub's choosing for what is created: a random UUID that bears a keyed mark at its end."""
        chosen = uuid.uuid4().bytes[:_RANDOM_BYTES]
        return str(uuid.UUID(bytes=chosen + self._mark(chosen)))

    def chose(self, id_: str) -> bool:
        """Whether this hub chose an id, and no client, sender or other hub."""
        try:
            written = uuid.UUID(id_).bytes
        except ValueError:
            return False
        return self._mark(written[:_RANDOM_BYTES]) == written[_RANDOM_BYTES:]

    def _mark(self, chosen: bytes) -> bytes:
        return self._blind.digest("chosen id", chosen)[: 16 - len(chosen)]

    async def stored(self, tx: Transaction, keys: Sequence[Key]) -> set[Key]:
        """Which of these are here, and not deleted. It tells nothing of anybody to a client."""
        heads = await self._records.heads(tx, keys)
        return {key for key, head in heads.items() if not head["deleted"]}

    async def states(self, tx: Transaction, requester: Requester, keys: Sequence[Key]) -> dict[Key, Known]:
        """Which resources were ever here, and whether they still are and may be shown."""
        visibility = self._seen_by(requester)
        if len(keys) > _FEW:
            rows, heads = {}, await self._records.heads(tx, keys, visibility)
        else:
            rows = await self._records.current(tx, keys, visibility)
            heads = {key: row.head for key, row in rows.items()}
        return {
            key: Known(head["deleted"], _may_change(requester, key, head), head["patient_key"], rows.get(key))
            for key, head in heads.items()
        }

    def _seen_by(self, requester: Requester | None) -> Visibility:
        """What consent leaves of the repository for who submits."""
        if requester is None:
            return EVERYTHING
        return Visibility(*self._consent.sql_predicate("r.patient_key", requester.purpose_of_use, 1))

    async def __call__(self, tx: Transaction, submission: Submission) -> IngestResult:
        """Bring a submission in. Raises InvalidResource, InvalidInput, Conflict, PreconditionFailed or Hidden."""
        await self._own_parameters.refresh(tx)
        # What (7) needs is mostly known then: to ask for it there would write all that waits, and the events apart.
        await self._subscribing.changes(tx, ())
        if len(submission.resources) > _FEW:
            await tx.begin()  # what takes long must be seen by who waits for writers that know an older index
        work = _Work(self._clock.now(), list(submission.resources))
        await self._validate(tx, work)  # (1)
        if self._standardise is not None:
            work.incoming = await self._standard(tx, self._standardise, submission)
            work.texts.clear()  # they were changed in place
        work.incoming = [self._judged(entry, submission) for entry in work.incoming]
        await self._identify(tx, submission, work)  # (2)
        await self._place(tx, submission, work)  # (3)
        await self._compare_and_seal(tx, submission, work)  # (4)
        # (5) As late as can be, so that what is stored travels with its record; but merges change resources that this
        # submission may just have brought, and who asks what still refers to a deleted one must see the new versions.
        replaced = self._replaced(work)
        corrects = bool(submission.merges or replaced) or submission.decided is not None
        early = corrects or self._keeps_some(submission, work)
        if early:
            self._store(tx, work)
            await self._keep_referenced(tx, submission, work)
        linked = await self._link(tx, submission, work, replaced)  # (6)
        if not early:
            self._store(tx, work)
        patients = await self._record(tx, submission, work, linked)  # (7)
        stored = work.stored[: len(submission.resources)]  # without the placeholders behind them
        if work.warnings:
            stored = [structs.replace(s, warnings=work.warnings.get((s.resource_type, s.id), ())) for s in stored]
        return IngestResult(stored, patients, work.restated)

    def _judged(self, entry: Incoming, submission: Submission) -> Incoming:
        """A Subscription gets the status that this hub gives it."""
        if entry.resource["resourceType"] != "Subscription" or entry.mode == "delete":
            return entry
        judged = self._subscribing.judged(entry.resource, submission.requester, submission.source)
        return structs.replace(entry, resource=judged)

    async def reindex(self, tx: Transaction, count: int) -> int:
        """Make the search index of up to `count` resources that have none; answers how many there were."""
        await self._own_parameters.refresh(tx)
        rows = await self._records.without_index(tx, count)
        documents = await self._open_all(tx, rows)
        index = self._records.index
        made = [
            (row, _NOTHING if row.deleted or document is None else index.rows(document))
            for row, document in zip(rows, documents, strict=True)
        ]
        if made:
            self._records.make_index(tx, made)
        return len(made)

    async def rekey(self, tx: Transaction, count: int) -> int:
        """Key up to `count` patients anew for the master patient index whose keys an older version made."""
        return await self._identity.rekey(tx, count, self._load_speaking(tx))

    async def rematch(self, tx: Transaction, patients: Sequence[SourcePatient], audit: AuditEvent) -> list[Rematched]:
        """Match stored patients again, of whom nothing changed, by what decides today. What a person decided or pinned
        stands, and an update that is held stays so. `audit` is recorded with whom it concerned, if anybody."""
        found: list[Rematched] = []
        events: list[Event] = []
        for patient in patients:
            load = self._load_speaking(tx)
            held = await self._reviews.held_versions(tx, [patient.patient_id])
            document = (await load({patient.patient_id: held.get(patient.patient_id)})).get(patient.patient_id)
            if document is None:
                continue
            key = patient.patient_key
            outcome = await self._identity.register(
                tx, key, patient.patient_id, patient.source, document, load, again=True
            )
            flagged = await self._reviews.news(tx, outcome.flags)
            self._reviews.take(tx, outcome.flags)
            closed = await self._reviews.look_again(tx, key, document, outcome.flags, load, unchanged=True)
            if outcome.linked_to:
                await self._consent.align(tx, outcome.members)
                person = {"person": str(outcome.enterprise_id)}
                events.append(Event(EventName.PATIENT_MATCHED, f"Patient/{patient.patient_id}", person))
            if outcome.joined or flagged or closed:
                found.append(Rematched(outcome.joined, tuple(flagged), tuple(closed)))
        if found:
            keys = {key for one in found for place in (*one.joined, *one.flagged, *one.closed) for key in place}
            named = (await self._reviews.named(tx, keys)).values()
            told = tuple(sorted(f"Patient/{patient.patient_id}" for patient in named))
            await self._audit.record(tx, structs.replace(audit, entities=(*audit.entities, *told), patients=told))
            await self._events.append_many(tx, events)
        return found

    def _load_speaking(self, tx: Transaction) -> LoadPatients:
        """What stands for patients in store, as far as its key is there."""

        async def load(asked: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
            rows = await self._speaking(tx, asked)
            return {
                row.id: document
                for row, document in zip(rows, await self._open_all(tx, rows), strict=True)
                if document is not None
            }

        return load

    async def _open_all(self, tx: Transaction, rows: Sequence[StoredResource]) -> Sequence[dict[str, Any] | None]:
        try:
            return await self._vault.open(tx, rows)
        except KeyDestroyed:
            return [await self._open_if_any_key(tx, row) for row in rows]

    async def _open_if_any_key(self, tx: Transaction, row: StoredResource) -> dict[str, Any] | None:
        """The document; None when its key was destroyed: nobody finds it any more, and the others are not held up."""
        try:
            return (await self._vault.open(tx, [row]))[0]
        except KeyDestroyed:
            return None

    async def refresh_parameters(self, tx: Transaction) -> None:
        """Know the search parameters as they were a second ago at the latest."""
        await self._own_parameters.refresh(tx)

    async def fill_index(
        self, tx: Transaction, types: Sequence[str], *, after: int, count: int
    ) -> tuple[int | None, int, list[int]]:
        """Add the index rows that resources of some types lack: of `count`, by internal number from behind `after`.

        Answers the number to go on from (None: these were the last), how many were done, and the numbers of those that
        somebody is just writing, which are left out.
        """
        await self._own_parameters.refresh(tx)
        pids = await self._records.next_pids(tx, types, after=after, count=count)
        filled = await self._fill(tx, pids, wait=False)
        return pids[-1] if len(pids) == count else None, len(filled), [pid for pid in pids if pid not in filled]

    async def count_of(self, tx: Transaction, types: Sequence[str]) -> int:
        """How many resources of some types there are."""
        return await self._records.count_of(tx, types)

    async def fill_index_of(self, tx: Transaction, pid: int) -> None:
        """The same for one resource, when whoever is writing it has ended."""
        await self._fill(tx, [pid], wait=True)

    async def _fill(self, tx: Transaction, pids: Sequence[int], *, wait: bool) -> set[int]:
        rows = await self._records.locked(tx, pids, wait=wait)
        live = [row for row in rows if not row.deleted]
        documents = await self._open_all(tx, live)
        index = self._records.index
        made = [(row, index.rows(doc)) for row, doc in zip(live, documents, strict=True) if doc is not None]
        if made:
            self._records.make_index(tx, made)
        return {row.pid for row in rows}

    async def recompile_terminology(self, tx: Transaction) -> int:
        """Compile every stored CodeSystem, ValueSet and ConceptMap anew; answers how many there were."""
        count = 0
        for resource_type in sorted(TerminologyService.RESOURCE_TYPES):
            async for rows in self._records.stream(tx, Wanted(resource_type), EVERYTHING, after=0):
                for resource in await self._vault.open(tx, rows):
                    await self._terminology.record(tx, resource)
                    count += 1
        return count

    # (1)
    async def _validate(self, tx: Transaction, work: _Work) -> None:
        profiles = await self._conformity.profiles(tx)
        for entry in work.incoming:
            if entry.mode == "delete":
                continue
            text = work.text_of(entry.resource)
            issues = self._conformity.at_the_gate(profiles, entry.resource, text, is_snapshot=entry.mapped is not None)
            errors = [issue for issue in issues if issue.is_error]
            if errors := errors or _no_addresses(entry.resource, text):
                raise InvalidResource(errors, entry.key)
            if issues:
                work.warnings = {**work.warnings, entry.key: tuple(issues)}

    async def _standard(self, tx: Transaction, standardise: Standardise, submission: Submission) -> list[Incoming]:
        written = {at: each for at, each in enumerate(submission.resources) if each.mode in ("create", "update")}
        await standardise(tx, submission.source, [each.resource for each in written.values()])
        return [
            structs.replace(each, resource=canonical_quantities(each.resource)[0])
            if at in written and each.key[0] == "Observation"
            else each
            for at, each in enumerate(submission.resources)
        ]

    # (2)
    async def _identify(self, tx: Transaction, submission: Submission, work: _Work) -> None:
        """A number that was merged away leads to its survivor; a message that takes a merge back means the number.

        What is said of the patient under a retired number stays with its own record, so that the survivor is what he
        would be without it; what else the message tells is the survivor's, with the number that it was sent for.
        """
        moved: dict[str, str] = {}
        own: dict[str, str] = {}
        former: dict[str, dict[str, Any]] = {}
        follows = not any(isinstance(each, PatientLink) and each.kind == "unlink" for each in submission.merges)
        for entry in work.incoming:
            if entry.mode != "merge" or entry.resource["resourceType"] != "Patient":
                continue
            known = await self._identity.find_source_patient(
                tx, submission.source, entry.resource.get("identifier", []), follow_merges=follows
            )
            if known is not None:
                work.patient_keys[known.patient_id] = known.patient_key
                if known.patient_id != (id_ := entry.resource["id"]):
                    moved[f"Patient/{id_}"] = f"Patient/{known.patient_id}"
                    if follows and (retired := await self._retired(tx, submission, entry, known)):
                        own[id_] = retired.patient_id
                        work.patient_keys[retired.patient_id] = retired.patient_key
                        former[f"Patient/{id_}"] = renumbered.number_of(entry.resource)
        await self._stand_in_for_retired(tx, submission, work)
        if not moved:
            return
        for position, entry in enumerate(work.incoming):
            resource = references.rewrite(renumbered.filed_for(entry.resource, former), moved)
            new_id = moved.get(f"{resource['resourceType']}/{resource['id']}")
            if resource["resourceType"] == "Patient" and resource["id"] in own:
                resource = renumbered.out_of_use({**resource, "id": own[resource["id"]]})
            elif new_id is not None:
                resource = {**resource, "id": new_id.partition("/")[2]}
            work.incoming[position] = structs.replace(entry, resource=resource)

    async def _retired(
        self, tx: Transaction, submission: Submission, entry: Incoming, known: SourcePatient
    ) -> SourcePatient | None:
        """The patient out of use whom the first number of a message means; None where that number is in use."""
        numbers = entry.resource.get("identifier", [])
        named = await self._identity.find_source_patient(tx, submission.source, numbers, follow_merges=False)
        return named if named is not None and named.patient_key != known.patient_key else None

    async def _stand_in_for_retired(self, tx: Transaction, submission: Submission, work: _Work) -> None:
        """A number may be merged away before it was ever heard of: what comes for it later must find the survivor."""
        for merge in submission.merges:
            if not isinstance(merge, PatientMerge):
                continue
            if await self._identity.find_source_patient(tx, submission.source, merge.retired_identifiers) is None:
                numbers = [dict(number) for number in merge.retired_identifiers]
                resource = {"resourceType": "Patient", "id": merge.retired_id, "identifier": numbers}
                work.incoming.append(Incoming(resource, "merge", MappedResource(resource, merge.retired_key)))

    # (3)
    async def _place(self, tx: Transaction, submission: Submission, work: _Work) -> None:
        """Find the internal number of every patient named; new ones in this submission get theirs now."""
        arriving = {e.resource["id"] for e in work.incoming if e.resource["resourceType"] == "Patient"}
        work.compartments = {e.key: compartments.patients_of(e.resource) for e in work.incoming}
        if any(resource_type == "Binary" for resource_type, _ in work.compartments):
            await self._place_binaries(tx, work)
        named = arriving.union(*work.compartments.values())
        fresh = {e.resource["id"] for e in work.incoming if e.is_fresh and e.resource["resourceType"] == "Patient"}
        unknown = [patient for patient in named - fresh if patient not in work.patient_keys]
        work.patient_keys.update(await self._records.patient_keys(tx, unknown))
        if submission.references is not None:
            arriving |= await self._follow(tx, submission.references, work)
        new = sorted(patient for patient in arriving if patient not in work.patient_keys)
        pids = await self._records.take_pids(tx, len(new))
        work.patient_keys.update(zip(new, pids, strict=True))
        work.new_patients.update(pids)
        for (resource_type, id_), patients in work.compartments.items():
            for patient in patients:
                if patient not in work.patient_keys:
                    raise InvalidInput(
                        f"{resource_type}/{id_} names Patient/{patient}, who is not known here; send the patient first",
                        code="not-found",
                    )

    async def _place_binaries(self, tx: Transaction, work: _Work) -> None:
        """A Binary lies where the resource lies that its securityContext names: in this submission, or in store."""
        beside: dict[Key, Key] = {}
        for entry in work.incoming:
            if entry.key[0] == "Binary" and entry.mode != "delete" and not work.compartments[entry.key]:
                context = references.parse(binaries.security_context(entry.resource) or "")
                if context.kind is references.Kind.RELATIVE:
                    beside[entry.key] = (str(context.type), str(context.id))
        stored = [key for key in beside.values() if key not in work.compartments]
        heads = await self._records.heads(tx, sorted(set(stored)))
        owners = {key: head["patient_key"] for key, head in heads.items() if head["patient_key"] is not None}
        names = await self._records.patient_ids(tx, sorted(set(owners.values()))) if owners else {}
        for key, context_key in beside.items():
            if context_key in work.compartments:
                work.compartments[key] = work.compartments[context_key]
            elif context_key in owners:
                work.compartments[key] = [names[owners[context_key]]]

    async def _follow(self, tx: Transaction, policy: ReferencePolicy, work: _Work) -> set[str]:
        """Judge where references lead; answers the patients for whom placeholders were added."""
        arriving = {e.key: None if e.mode == "delete" else e.resource for e in work.incoming}
        look = self._records.hold if policy.keeps_referenced else self._records.existing
        verdict = await policy.judge(
            arriving,
            {e.key: work.text_of(e.resource) for e in work.incoming},
            work.patient_keys,
            lambda keys: look(tx, keys),
            lambda keys: self._records.heads(tx, keys),
        )
        if verdict.faults:
            raise InvalidResource(verdict.faults)
        work.warnings = _together(work.warnings, verdict.warnings)
        for resource in verdict.stand_ins:
            entry = Incoming(resource, "create")
            work.incoming.append(entry)
            work.compartments[entry.key] = compartments.patients_of(resource)
        return {resource["id"] for resource in verdict.stand_ins if resource["resourceType"] == "Patient"}

    # (4)
    async def _told_apart(
        self, tx: Transaction, submission: Submission, work: _Work, heads: Mapping[Key, Any]
    ) -> dict[str, str]:
        """What a message names by a number under which something of somebody else is stored → an id of its own.

        Laboratories give numbers anew after a while, and a visit may be sent for the wrong patient: nothing that is
        known of one person is overwritten by what is said of another. Corrections (HL7 v2 A44, A45) say what moves.
        """
        if submission.merges:
            return {}
        meant = {
            e.key: owner
            for e in work.incoming
            if e.mode == "merge"
            and e.key[0] != "Patient"
            and (head := heads.get(e.key)) is not None
            and head["patient_key"] is not None
            and (owners := [work.patient_keys[id_] for id_ in work.compartments[e.key]])
            and head["patient_key"] not in owners
            for owner in owners[:1]
        }
        if not meant:
            return {}
        keys = {*meant.values(), *(heads[key]["patient_key"] for key in meant)}
        person = await self._identity.enterprise_ids(tx, sorted(keys))
        return {
            "/".join(key): f"{key[0]}/{self.resource_id(key[0], submission.source, f'{key[1]} of patient {owner}')}"
            for key, owner in meant.items()
            if person.get(owner) is None or person.get(owner) != person.get(heads[key]["patient_key"])
        }

    @staticmethod
    def _rename(work: _Work, named: Mapping[str, str]) -> None:
        """Bring what arrives in under other ids; what refers to it follows."""
        for position, entry in enumerate(work.incoming):
            id_ = named.get("/".join(entry.key), "/".join(entry.key)).partition("/")[2]
            resource = {**references.rewrite(entry.resource, named), "id": id_}
            work.incoming[position] = structs.replace(entry, resource=resource)
        work.compartments = {
            (key[0], named.get("/".join(key), "/".join(key)).partition("/")[2]): patients
            for key, patients in work.compartments.items()
        }

    async def _compare_and_seal(self, tx: Transaction, submission: Submission, work: _Work) -> None:
        keys = sorted({entry.key for entry in work.incoming})
        known = {e.key: e.found.row for e in work.incoming if e.found is not None and e.found.row is not None}
        asked = sorted({entry.key for entry in work.incoming if not entry.is_fresh} - known.keys())
        digests = {id(e): self._blind.digest("content", _content(e, work.text_of(e.resource))) for e in work.incoming}
        visibility = self._seen_by(submission.requester)
        is_small = len(asked) <= _FEW  # then one look at heads and contents together
        if is_small:
            known |= await self._records.current(tx, asked, visibility)
        heads: dict[Key, Any] = {key: row.head for key, row in known.items()}
        if not is_small:
            heads |= await self._records.heads(tx, asked, visibility)
        _check_all_open(submission.requester, heads)
        if named := await self._told_apart(tx, submission, work, heads):
            self._rename(work, named)
            return await self._compare_and_seal(tx, submission, work)
        if not is_small:
            changed = [e.key for e in work.incoming if not _same(heads.get(e.key), digests[id(e)], e)]
            known |= await self._records.current(tx, sorted({key for key in changed if key in heads} - known.keys()))
        contents = dict(zip(known, await self._vault.open(tx, list(known.values())), strict=True))
        fresh = iter(await self._records.take_pids(tx, len({k for k in keys if k not in heads and k[0] != "Patient"})))
        for entry in work.incoming:
            head = heads.get(entry.key)
            _check_expectation(entry, head["version"] if head and not head["deleted"] else None)
            if entry.key in work.written:
                await self._again(tx, entry, work)
            elif head is not None and _same(head, digests[id(entry)], entry):
                unchanged = _with_meta(entry.resource, head["version"], head["updated_at"], submission.source)
                work.stored.append(Stored(*entry.key, head["version"], head["updated_at"], "unchanged", unchanged))
            else:
                before = known.get(entry.key)
                pid = before.pid if before else self._new_pid(entry, work, fresh)
                await self._change(
                    tx, submission, work, entry, before, contents.get(entry.key), pid, digests[id(entry)]
                )

    @staticmethod
    def _new_pid(entry: Incoming, work: _Work, fresh: Any) -> int:
        if entry.mode == "delete":
            raise NotFound(f"{entry.key[0]}/{entry.key[1]} is not known here")
        return work.patient_keys[entry.resource["id"]] if entry.key[0] == "Patient" else next(fresh)

    async def _change(
        self,
        tx: Transaction,
        submission: Submission,
        work: _Work,
        entry: Incoming,
        before: StoredResource | None,
        content: dict[str, Any] | None,
        pid: int,
        digest: bytes,
    ) -> None:
        resource_type, id_ = entry.key
        live = content if before is not None and not before.deleted else None
        resource = _merged(live, entry) if entry.mapped is not None else entry.resource
        if entry.keeps and live is not None:
            resource = meta.carried(live, resource, _PASSING_TAGS)
        if entry.mapped is not None and before is not None and resource == live:
            # The snapshot told nothing new, though not in the words of the last one.
            work.stored.append(Stored(resource_type, id_, before.version, before.updated_at, "unchanged", resource))
            return
        version = before.version + 1 if before else 1
        resource = _with_meta(resource, version, work.now, submission.source)
        patients = work.compartments[entry.key]
        patient_key = pid if resource_type == "Patient" else work.patient_keys[patients[0]] if patients else None
        deleted = entry.mode == "delete"
        sealed = self._vault.seal(_tombstone(resource) if deleted else resource, await self._key(tx, work, patient_key))
        index = self._records.index
        change = Change(
            pid=pid,
            key=index.key(f"{resource_type}/{id_}"),
            resource_type=resource_type,
            id=id_,
            version=version,
            updated_at=work.now,
            patient_key=patient_key if not (deleted and before) else before.patient_key,
            digest=digest,
            content=sealed,
            deleted=deleted,
            replaces=before.version if before else None,
            index=_NOTHING if deleted else index.rows(resource),
            index_before=self._records.rows_before(before, live)
            if before is not None and live is not None
            else _NOTHING,
        )
        work.changes.append(change)
        work.written[entry.key] = _Written(change, resource, live)
        outcome = "deleted" if deleted else "updated" if live is not None else "created"
        work.stored.append(Stored(resource_type, id_, version, work.now, outcome, resource, before=live))

    async def _again(self, tx: Transaction, entry: Incoming, work: _Work) -> None:
        """The same resource a second time in one submission: a message repeats itself, a transaction may not."""
        if entry.mapped is None:
            raise InvalidInput(f"{entry.key[0]}/{entry.key[1]} stands twice in one transaction", code="duplicate")
        first = work.written[entry.key]
        resource = _with_meta(_merged(first.resource, entry), first.change.version, work.now, "")
        change = structs.replace(
            first.change,
            content=self._vault.seal(resource, await self._key(tx, work, first.change.patient_key)),
            index=self._records.index.rows(resource),
        )
        work.changes[work.changes.index(first.change)] = change
        work.written[entry.key] = _Written(change, resource, first.before)
        work.stored = [
            structs.replace(one, resource=resource) if (one.resource_type, one.id) == entry.key else one
            for one in work.stored
        ]

    async def _key(self, tx: Transaction, work: _Work, patient_key: int | None) -> DataKey:
        """A new key enters the shared cache only at commit, so that this submission remembers it itself."""
        key = work.keys.get(patient_key)
        if key is None:
            if patient_key is not None and patient_key in work.new_patients:
                key = self._vault.fresh_key(patient_key)
            else:
                key = await self._vault.key_for(tx, patient_key)
            work.keys[patient_key] = key
        return key

    @staticmethod
    def _keeps_some(submission: Submission, work: _Work) -> bool:
        policy = submission.references
        keeps = policy is not None and policy.keeps_referenced
        return keeps and any(written.change.deleted for written in work.written.values())

    async def _keep_referenced(self, tx: Transaction, submission: Submission, work: _Work) -> None:
        """Asked when the new versions are in: what refers to each other may go together."""
        policy = submission.references
        gone = [key for key, written in work.written.items() if written.change.deleted]
        if not gone or policy is None or not policy.keeps_referenced:
            return
        if because := policy.in_use(await self._records.referrers(tx, gone)):
            raise Conflict(because)

    # (5)
    def _store(self, tx: Transaction, work: _Work) -> None:
        if fresh := [work.keys[pid] for pid in sorted(work.new_patients) if pid in work.keys]:
            self._vault.keep_keys(tx, fresh)
        self._records.write(tx, work.changes)

    # (6)
    @staticmethod
    def _replaced(work: _Work) -> list[_Written]:
        """The Patients of whom a client says now that another takes their place, or does no longer."""
        said = [work.written[e.key] for e in work.incoming if e.mapped is None and e.key in work.written]
        return [
            one
            for one in said
            if one.resource["resourceType"] == "Patient"
            and not one.change.deleted
            and renumbered.replaced_by(one.resource) != renumbered.replaced_by(one.before or {})
        ]

    async def _link(
        self, tx: Transaction, submission: Submission, work: _Work, replaced: Sequence[_Written]
    ) -> list[Event]:
        linked: list[Event] = []

        for (resource_type, id_), written in work.written.items():
            if resource_type == "Patient" and not written.change.deleted:
                patient = SourcePatient(written.change.pid, id_, submission.source)
                linked += await self._register(tx, work, patient, written.resource, written.change.replaces)
            elif resource_type == "Patient":
                self._identity.withdraw(tx, written.change.pid)
                await self._reviews.forget(tx, written.change.pid)
        for written in replaced:
            linked.extend(await self._replace(tx, submission, work, written))
        for correction in submission.merges:
            linked.extend(await self._correct(tx, submission, work, correction))
        if submission.decided is not None:
            linked.extend(await self._decided(tx, submission, work, submission.decided))
        for (resource_type, _), written in work.written.items():
            if resource_type == "Consent" and written.change.patient_key is not None:
                linked.extend(await self._apply_consent(tx, written.change, written.resource))
            elif resource_type == "Subscription":
                requester, source, deleted = submission.requester, submission.source, written.change.deleted
                await self._subscribing.apply(tx, written.resource, requester, source, deleted)
            elif resource_type == "SearchParameter":
                await self._take_parameter(tx, submission, work, written)
            elif resource_type in _DEFINITIONS:
                await self._take_definition(tx, submission, written)
        return linked

    async def _register(
        self,
        tx: Transaction,
        work: _Work,
        patient: SourcePatient,
        resource: Mapping[str, Any],
        replaces: int | None,
    ) -> list[Event]:
        """Who a patient is, now that he says this. What is in doubt becomes work; an update of somebody else waits."""

        async def load(asked: Mapping[str, int | None]) -> dict[str, dict[str, Any]]:
            return await self._spoken_for(tx, work, asked)

        key, told = patient.patient_key, f"Patient/{patient.patient_id}"
        is_new = key in work.new_patients
        is_known = not is_new and not self._reviews.raises(tx, key)
        if is_known and await self._identity.is_settled(tx, key, patient.source, resource):
            return []
        outcome = await self._identity.register(
            tx, key, patient.patient_id, patient.source, resource, load, is_new=is_new
        )
        self._reviews.take(tx, outcome.flags, patient.source)
        if outcome.is_held and replaces is not None:
            await self._reviews.hold(tx, key, replaces)
            return [Event(EventName.PATIENT_HELD, told, {"speaks": f"{told}/_history/{replaces}"})]
        if not is_new:
            await self._reviews.look_again(tx, key, resource, outcome.flags, load)
        self._reviews.keep_numbers(tx, key, resource, is_new=is_new)
        if outcome.linked_to or outcome.changed_members:
            await self._consent.align(tx, outcome.members)
        person = {"person": str(outcome.enterprise_id)}
        return [Event(EventName.PATIENT_MATCHED, told, person)] if outcome.linked_to else []

    async def _spoken_for(
        self, tx: Transaction, work: _Work, asked: Mapping[str, int | None]
    ) -> dict[str, dict[str, Any]]:
        """What stands for patients: what this submission brings, what is in store, or the version before one that is
        held. It is kept opened, and nobody may change it."""
        own = {id_: w.resource for (_, id_), w in work.written.items() if id_ in asked and asked[id_] is None}
        rows = await self._speaking(tx, {id_: held for id_, held in asked.items() if id_ not in own})
        return own | {opened.stored.id: opened.document for opened in await self._vault.look(tx, rows)}

    async def _speaking(self, tx: Transaction, asked: Mapping[str, int | None]) -> list[StoredResource]:
        """The versions that stand for patients in store: the newest, or of those that are held the one before."""
        newest = [("Patient", id_) for id_, held in asked.items() if held is None]
        rows = await self._records.current(tx, newest, beside=self._vault.keys_beside)
        held = {id_: version for id_, version in asked.items() if version is not None}
        former = [await self._records.vread(tx, "Patient", id_, version, EVERYTHING) for id_, version in held.items()]
        return [*rows.values(), *(row for row in former if row is not None)]

    async def _take_definition(self, tx: Transaction, submission: Submission, written: _Written) -> None:
        """What defines codes is compiled for all; an administrator alone decides what is standardised or valid."""
        resource, deleted = written.resource, written.change.deleted
        trusted = submission.requester is None or ADMINISTRATOR in submission.requester.roles
        if written.change.resource_type in TerminologyService.RESOURCE_TYPES:
            await self._terminology.take(tx, resource, deleted=deleted, applied=trusted)
        await self._conformity.take(tx, resource, counts=trusted and not deleted)

    async def _take_parameter(self, tx: Transaction, submission: Submission, work: _Work, written: _Written) -> None:
        """A SearchParameter is a document that anyone may keep here; whether searches use it is another question."""
        try:
            await self._own_parameters.take(tx, written.resource, submission.requester, deleted=written.change.deleted)
        except UnservedParameter as why:
            await self._own_parameters.take(tx, written.resource, submission.requester, deleted=True)
            told = f"it is stored, but searches do not use it: {why}"
            key = (written.change.resource_type, written.change.id)
            issue = Issue("warning", "not-supported", why.expression, told)
            work.warnings = _together(work.warnings, {key: (issue,)})

    async def _align_consents(self, tx: Transaction, enterprise_id: UUID) -> None:
        members = await self._identity.members(tx, enterprise_id)
        await self._consent.align(tx, [member.patient_key for member in members])

    async def _correct(
        self, tx: Transaction, submission: Submission, work: _Work, correction: Correction
    ) -> list[Event]:
        match correction:
            case PatientMerge():
                return await self._merge(tx, submission, work, correction)
            case PatientLink():
                return await self._relate(tx, submission, work, correction)
            case RecordMerge():
                await self._merge_records(tx, submission, work, correction)
            case RecordMove():
                await self._move(tx, submission, work, correction)
        return []

    async def _merge(self, tx: Transaction, submission: Submission, work: _Work, merge: PatientMerge) -> list[Event]:
        """Two numbers of a sender are one person (HL7 v2.5.1 §3.3.40): the retired record points at the survivor. One
        that had gone out of use in favour of what is retired now is in use again: the sender's last word holds."""
        source = submission.source
        survivor = await self._identity.find_source_patient(tx, source, merge.survivor_identifiers, follow_merges=False)
        retired = await self._identity.find_source_patient(tx, source, merge.retired_identifiers)
        if survivor is None or retired is None or survivor.patient_key == retired.patient_key:
            return []  # nothing is known under the retired number, or both are one record already: nobody vanishes
        return await self._join(tx, submission, work, Decided("merge", survivor, retired, source, "sender-merge"))

    async def _decided(self, tx: Transaction, submission: Submission, work: _Work, decided: Decided) -> list[Event]:
        work.touched |= {decided.patient.patient_key, decided.other.patient_key}
        match decided.kind:
            case "merge":
                return await self._join(tx, submission, work, decided)
            case "link" | "unlink" | "split":
                return await self._put_right(tx, submission, work, decided)
            case "accept":
                return await self._accept(tx, work, decided)
            case "restore":
                return await self._restore(tx, submission, work, decided)

    async def _join(
        self, tx: Transaction, submission: Submission, work: _Work, decided: Decided, *, is_told: bool = False
    ) -> list[Event]:
        """Merge; with `is_told` the retired Patient says already who took over."""
        survivor, retired = decided.patient, decided.other
        outcome = await self._identity.merge(tx, survivor, retired, decided.by, decided.reason)
        await self._reviews.settled_elsewhere(tx, survivor, retired, decided.by, decided.reason)
        self._reviews.take(tx, outcome.flags)
        await self._align_consents(tx, outcome.enterprise_id)
        if outcome.retired is not None:
            retiring = {} if is_told else {outcome.retired: outcome.survivor.patient_id}
            await self._tell_of_links(tx, submission, work, {outcome.survivor: None, **retiring})
        return [
            Event(
                EventName.PATIENT_MERGED,
                f"Patient/{outcome.survivor.patient_id}",
                {"retired": f"Patient/{retired.patient_id}"},
            )
        ]

    async def _replace(self, tx: Transaction, submission: Submission, work: _Work, written: _Written) -> list[Event]:
        """A Patient whom a client says to be replaced by another of his source is merged into him, of another source
        linked with him (IHE ITI-104 §2:3.104.4.2); one who is said to be active again is a person of his own."""
        itself = SourcePatient(written.change.pid, written.change.id, submission.source)
        if (other := renumbered.replaced_by(written.resource)) is not None:
            survivor = await self._named(tx, submission, work, other)
            if survivor is None or survivor.patient_key == itself.patient_key:
                return []
            stored = await self._reviews.source_patients(tx, [itself.patient_id, survivor.patient_id])
            if len({patient.source for patient in stored.values()}) > 1:  # each goes on sending under its own number
                link = Decided("link", survivor, itself, submission.source, "sender-link")
                return await self._put_right(tx, submission, work, link)
            merge = Decided("merge", survivor, itself, submission.source, "sender-merge")
            return await self._join(tx, submission, work, merge, is_told=True)
        former = renumbered.replaced_by(written.before or {}) or {}
        survivor = await self._named(tx, submission, work, former) if written.resource.get("active") else None
        if survivor is None:
            return []
        unlink = Decided("unlink", itself, survivor, submission.source, "sender-unlink")
        return await self._put_right(tx, submission, work, unlink)

    async def _named(
        self, tx: Transaction, submission: Submission, work: _Work, other: Mapping[str, Any]
    ) -> SourcePatient | None:
        """Whom Patient.link.other means, by reference or by number, among those that the sender may see. Raises
        InvalidInput for a number by which nobody is known: the merge would be lost."""
        target = references.parse(other.get("reference", ""))
        if target.kind is references.Kind.RELATIVE and target.type == "Patient":
            id_ = str(target.id)
            key = work.patient_keys.get(id_) or (await self._records.patient_keys(tx, [id_])).get(id_)
            found = None if key is None else SourcePatient(key, id_, submission.source)
        else:
            numbers = [other["identifier"]] if "identifier" in other else []
            found = await self._identity.bearer(tx, submission.source, numbers)
        if found is not None and not await self._is_open(tx, submission, found):
            found = None
        if found is None and "identifier" in other:
            told = (
                "Patient.link says who replaces this patient by a number by which nobody is known here; send him first"
            )
            raise InvalidInput(told, code="business-rule", expression="Patient.link.other")
        return found

    async def _is_open(self, tx: Transaction, submission: Submission, patient: SourcePatient) -> bool:
        key = ("Patient", patient.patient_id)
        head = (await self._records.heads(tx, [key], self._seen_by(submission.requester))).get(key)
        return head is not None and head["permitted"] and not head["deleted"]

    async def _relate(self, tx: Transaction, submission: Submission, work: _Work, link: PatientLink) -> list[Event]:
        """Two patients of a sender are one person, or are not (HL7 v2.5.1 §3.3.24, §3.3.37). No value is copied either
        way; who had been merged is active again."""
        source, follows = submission.source, link.kind == "link"
        found = [
            await self._identity.find_source_patient(tx, source, numbers, follow_merges=follows)
            for numbers in (link.identifiers, link.other_identifiers)
        ]
        one, other = found
        if one is None or other is None or one.patient_key == other.patient_key:
            return []
        return await self._put_right(
            tx, submission, work, Decided(link.kind, one, other, source, f"sender-{link.kind}")
        )

    async def _put_right(self, tx: Transaction, submission: Submission, work: _Work, decided: Decided) -> list[Event]:
        """A link that somebody made or took back: persons, consents, and who is active follow."""
        one, other, told = decided.patient, decided.other, f"Patient/{decided.patient.patient_id}"
        both = [one.patient_key, other.patient_key]
        before = await self._identity.enterprise_ids(tx, both)
        survivors = await self._survivors(tx, before.values()) if decided.kind != "link" else {}
        if decided.kind == "split":
            outcome = await self._identity.split(tx, one, decided.by, decided.reason)
        else:
            decide = self._identity.link if decided.kind == "link" else self._identity.unlink
            outcome = await decide(tx, one, other, decided.by, decided.reason)
            await self._reviews.settled_elsewhere(tx, one, other, decided.by, decided.reason)
        self._reviews.take(tx, outcome.flags)
        persons = {*before.values(), *(await self._identity.enterprise_ids(tx, both)).values()}
        for person in persons:
            await self._align_consents(tx, UUID(person))
        if decided.kind == "link":
            return [Event(EventName.PATIENT_MATCHED, told, {"person": str(outcome.enterprise_id)})]
        await self._tell_who_is_active(tx, submission, work, {*both, *outcome.changed_members})
        for retired, survivor in (await self._survivors(tx, persons)).items():
            if (former := survivors.get(retired, survivor)) != survivor:
                await self._give_back(tx, submission, work, retired, former, survivor)
        asked = await self._ask_again(tx, work, persons)
        person = {"person": str(outcome.enterprise_id), "other": f"Patient/{other.patient_id}"}
        unmerged = [Event(EventName.PATIENT_UNMERGED, told, person)] if outcome.changed_members else []
        return [*unmerged, *asked]

    async def _survivors(self, tx: Transaction, persons: Iterable[str]) -> dict[str, str]:
        """Each patient of these persons → the one in use for him, himself as a rule."""
        members = [member for person in sorted(set(persons)) for member in await self._identity.members(tx, person)]
        by = await self._identity.taken_over_by(tx, [member.patient_key for member in members])
        survivors = {}
        for id_ in by:
            survivors[id_] = id_
            while (further := by.get(survivors[id_])) is not None:
                survivors[id_] = further
        return survivors

    async def _give_back(
        self, tx: Transaction, submission: Submission, work: _Work, retired: str, former: str, survivor: str
    ) -> None:
        """What came under the number of `retired` while `former` stood for him is now `survivor`'s."""
        rows = await self._records.current(tx, [("Patient", retired)])
        (patient,) = await self._vault.open(tx, list(rows.values())) or [{}]
        filed = await self._records.referring(tx, [f"Patient/{former}"], None, _FILED, EVERYTHING, limit=_MOST_REFILED)
        await self._restate(
            tx, submission, work, filed, lambda old: renumbered.given_back(old, patient, former, survivor)
        )

    async def _accept(self, tx: Transaction, work: _Work, decided: Decided) -> list[Event]:
        """What was held is taken in as if nothing had been known of the patient before."""
        patient = decided.patient
        (row,) = (await self._records.current(tx, [("Patient", patient.patient_id)])).values()
        (document,) = await self._vault.open(tx, [row])
        self._reviews.release(tx, patient.patient_key)
        self._identity.withdraw(tx, patient.patient_key)
        await self._identity.settle(tx, patient, patient, decided.by, decided.reason)
        return await self._register(tx, work, patient, document, row.version)

    async def _restore(self, tx: Transaction, submission: Submission, work: _Work, decided: Decided) -> list[Event]:
        """The version that spoke for the patient meanwhile is the newest again; what was held stays in the history."""
        patient = decided.patient
        held = await self._reviews.held_versions(tx, [patient.patient_id])
        former = await self._records.vread(tx, "Patient", patient.patient_id, held[patient.patient_id], EVERYTHING)
        assert former is not None, "a version that is held is a version of the history"
        (document,) = await self._vault.open(tx, [former])
        rows = await self._records.current(tx, [("Patient", patient.patient_id)])
        await self._restate(tx, submission, work, rows.values(), lambda _: document)
        self._reviews.release(tx, patient.patient_key)
        await self._identity.settle(tx, patient, patient, decided.by, decided.reason)
        version = work.restated[-1].version
        return [Event(EventName.PATIENT_UPDATED, f"Patient/{patient.patient_id}", {"version": version})]

    async def _tell_of_links(
        self, tx: Transaction, submission: Submission, work: _Work, taken_over_by: Mapping[SourcePatient, str | None]
    ) -> None:
        """Patient.link tells who took over; a patient whom nobody took over is active."""
        by = {patient.patient_id: survivor for patient, survivor in taken_over_by.items()}
        rows = await self._records.current(tx, [("Patient", id_) for id_ in by])
        await self._restate(tx, submission, work, rows.values(), lambda old: renumbered.taken_over(old, by[old["id"]]))

    async def _ask_again(self, tx: Transaction, work: _Work, persons: Collection[str]) -> list[Event]:
        """Whoever was in doubt because of a link that is taken back is registered anew: it may have kept him apart from
        one of the two persons."""
        events: list[Event] = []
        for patient in await self._reviews.in_doubt_about(tx, persons):
            documents = await self._spoken_for(tx, work, {patient.patient_id: None})
            if patient.patient_id in documents:
                self._identity.withdraw(tx, patient.patient_key)
                events += await self._register(tx, work, patient, documents[patient.patient_id], None)
        return events

    async def _tell_who_is_active(
        self, tx: Transaction, submission: Submission, work: _Work, keys: Collection[int]
    ) -> None:
        """After a link was taken back: whoever was out of use on its account is active again."""
        by = await self._identity.taken_over_by(tx, keys)
        rows = await self._records.current(tx, [("Patient", id_) for id_ in by])

        def told(patient: dict[str, Any]) -> dict[str, Any]:
            survivor = by[patient["id"]]
            is_replaced = any(link.get("type") == "replaced-by" for link in patient.get("link", ()))
            return renumbered.taken_over(patient, survivor) if survivor or is_replaced else patient

        live = [row for row in rows.values() if not row.deleted]
        await self._restate(tx, submission, work, live, told)

    async def _merge_records(self, tx: Transaction, submission: Submission, work: _Work, merge: RecordMerge) -> None:
        """What is filed under a retired visit or account number belongs to the survivor (HL7 v2.5.1 §3.3.41 ff.)."""
        survivor, retired = (merge.resource_type, merge.survivor_id), (merge.resource_type, merge.retired_id)
        rows = await self._records.current(tx, [survivor, retired])
        if len(rows) < 2 or any(row.deleted for row in rows.values()):
            return  # nothing is known under the retired number
        documents = dict(zip(rows, await self._vault.open(tx, list(rows.values())), strict=True))
        stays, goes = documents[survivor], documents[retired]
        states = {
            merge.survivor_id: renumbered.filled(stays, goes),
            merge.retired_id: renumbered.retired(goes, stays),
        }
        await self._restate(tx, submission, work, rows.values(), lambda old: states[old["id"]])
        patients = renumbered.other_patients(goes, stays)
        mapping = {"/".join(retired): "/".join(survivor), **patients}
        await self._refile(tx, submission, work, [retired], lambda old: references.rewrite(old, mapping))

    async def _move(self, tx: Transaction, submission: Submission, work: _Work, move: RecordMove) -> None:
        """A visit or account, and what refers to it, belong to another patient (HL7 v2.5.1 §3.3.44, §3.3.45)."""
        found = await self._identity.find_source_patient(tx, submission.source, move.patient_identifiers)
        patient = found.patient_id if found else move.patient_id
        await self._refile(
            tx, submission, work, [(move.resource_type, move.id)], lambda old: renumbered.moved(old, patient)
        )

    async def _refile(
        self,
        tx: Transaction,
        submission: Submission,
        work: _Work,
        keys: Sequence[Key],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        """Change all that refers to these records, and to the visits and accounts among what changed."""
        waiting, seen = list(keys), set(keys)
        while waiting:
            asked = ["/".join(key) for key in waiting]
            rows = await self._records.referring(tx, asked, None, _FILED, EVERYTHING, limit=_MOST_REFILED)
            changed = await self._restate(tx, submission, work, rows, change)
            waiting = [key for key in changed if key[0] in ("Encounter", "Account") and key not in seen]
            seen.update(waiting)

    async def _restate(
        self,
        tx: Transaction,
        submission: Submission,
        work: _Work,
        rows: Iterable[StoredResource],
        change: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> list[Key]:
        """New versions of stored resources that a correction changes; answers which did change."""
        kept = list(rows)
        pairs = [
            (row, before, after)
            for row, before in zip(kept, await self._vault.open(tx, kept), strict=True)
            if (after := change(before)) != before
        ]
        owners = {row.pid: next(iter(compartments.patients_of(after)), None) for row, _, after in pairs}
        unknown = sorted({id_ for id_ in owners.values() if id_ and id_ not in work.patient_keys})
        work.patient_keys.update(await self._records.patient_keys(tx, unknown))
        changes, restated = [], list[Stored]()
        index = self._records.index
        for row, before, after in pairs:
            owner = owners[row.pid]
            patient_key = row.pid if row.resource_type == "Patient" else work.patient_keys[owner] if owner else None
            resource = _with_meta(after, row.version + 1, work.now, submission.source)
            restated.append(
                Stored(row.resource_type, row.id, row.version + 1, work.now, "updated", resource, before=before)
            )
            changes.append(
                Change(
                    pid=row.pid,
                    key=index.key(row.reference),
                    resource_type=row.resource_type,
                    id=row.id,
                    version=row.version + 1,
                    updated_at=work.now,
                    patient_key=patient_key,
                    digest=b"",  # the next snapshot of it is compared, not passed over
                    content=self._vault.seal(resource, await self._key(tx, work, patient_key)),
                    replaces=row.version,
                    index=index.rows(resource),
                    index_before=self._records.rows_before(row, before),
                )
            )
            work.touched |= {key for key in (patient_key, row.patient_key) if key is not None}
        self._records.write(tx, changes)
        work.restated += restated
        return [(one.resource_type, one.id) for one in restated]

    async def _apply_consent(self, tx: Transaction, change: Change, resource: Mapping[str, Any]) -> list[Event]:
        assert change.patient_key is not None
        enterprise = (await self._identity.enterprise_ids(tx, [change.patient_key]))[change.patient_key]
        person = [member.patient_key for member in await self._identity.members(tx, enterprise)]
        consent = {**resource, "status": "inactive"} if change.deleted else resource
        directive = await self._consent.record(tx, consent, change.patient_key, person)
        granted = directive is not None and directive.decision == "permit"
        name = EventName.CONSENT_GRANTED if granted else EventName.CONSENT_REVOKED
        return [Event(name, f"Consent/{change.id}", {"because": directive.because if directive else "inactive"})]

    # (7)
    async def _record(
        self, tx: Transaction, submission: Submission, work: _Work, linked: list[Event]
    ) -> tuple[str, ...]:
        touched = {w.change.patient_key for w in work.written.values() if w.change.patient_key is not None}
        touched |= work.touched
        names = {key: id_ for id_, key in work.patient_keys.items()}
        if unnamed := sorted(touched - names.keys()):
            names.update(await self._records.patient_ids(tx, unnamed))
        patients = tuple(sorted(f"Patient/{names[key]}" for key in touched if key in names))
        asked = submission.audit
        touched_now = (f"{s.resource_type}/{s.id}" for s in (*work.stored, *work.restated))
        entities = (*asked.entities, *touched_now)
        await self._audit.record(tx, structs.replace(asked, entities=entities, patients=patients))
        facts = [
            Event(name, f"{resource_type}/{id_}", {"version": w.change.version})
            for (resource_type, id_), w in work.written.items()
            if not w.change.deleted
            for name in events_of(resource_type, w.before is None, w.resource, w.before)
        ]
        live = [(*key, w.change.version) for key, w in work.written.items() if not w.change.deleted]
        restated = [(one.resource_type, one.id, one.version) for one in work.restated]
        changes = await self._subscribing.changes(tx, [*live, *restated])
        await self._events.append_many(tx, [*facts, *linked, *changes])
        return patients


def is_overtaken(problem: BaseException) -> bool:
    """Whether a submission failed because others were first with what it decided by: as a whole it may be repeated."""
    return isinstance(problem, VersionConflict | Outdated) or is_deadlock(problem)


def submission_audit(action: Action, interaction: str, **details: Any) -> AuditEvent:
    """The audit event of a submission that was permitted."""
    return AuditEvent(action=action, interaction=interaction, outcome=Outcome.PERMITTED, **details)


def _content(entry: Incoming, written: bytes) -> bytes:
    """What tells a resend from news: the resource and, for a snapshot, what it deletes."""
    cleared = entry.mapped.cleared if entry.mapped is not None else ()
    return written + "\x1f".join(("", *cleared)).encode()


def _together(one: _Warnings, other: _Warnings) -> _Warnings:
    return {key: (*one.get(key, ()), *other.get(key, ())) for key in {**one, **other}}


def _no_addresses(resource: dict[str, Any], written: bytes) -> list[Issue]:
    """References stay readable in store, so that one must be an address: any other text might tell who somebody is."""
    if references.are_local(written) or all(
        references.parse(text).is_address for text in set(references.texts(resource, written))
    ):
        return []
    told = "a reference is Type/id, an absolute URL, a urn or #id; a condition is followed in a transaction only"
    return [
        error("value", told, expression)
        for expression, text in references.referenced(resource)
        if not references.parse(text).is_address
    ]


def _same(head: Any, digest: bytes, entry: Incoming) -> bool:
    return head is not None and not head["deleted"] and entry.mode != "delete" and head["digest"] == digest


def _check_all_open(requester: Requester | None, heads: Mapping[Key, Any]) -> None:
    """Before anything else is compared: whether a version or a content is the one in store tells about it too."""
    for key, head in heads.items():
        if not _may_change(requester, key, head):
            raise Hidden(key, head["patient_key"])


def _may_change(requester: Requester | None, key: Key, head: Any) -> bool:
    """What consent withholds nobody changes. But a Consent that closes its own record to everybody must not stay for
    ever: a steward replaces or withdraws it, unseen."""
    is_steward = requester is not None and not CONSENT_STEWARDS.isdisjoint(requester.roles)
    return head["permitted"] or (key[0] == "Consent" and is_steward)


def _check_expectation(entry: Incoming, version: int | None) -> None:
    reference = f"{entry.key[0]}/{entry.key[1]}"
    if entry.mode == "create" and version is not None:
        raise Conflict(f"{reference} exists already")
    if entry.made_of is not None and entry.made_of != version:
        raise VersionConflict("the resource was changed by someone else; read it again and repeat")
    if entry.if_match == NO_VERSION:
        if version is not None:
            raise PreconditionFailed(f"{reference} is here already")
    elif entry.if_match == ANY_VERSION:
        if version is None:
            raise PreconditionFailed(f"{reference} is not here")
    elif entry.if_match is not None and entry.if_match != version:
        raise PreconditionFailed(f"{reference} is not at version {entry.if_match}; read it again and repeat")


def _with_meta(resource: Mapping[str, Any], version: int, now: datetime, source: str) -> dict[str, Any]:
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": _instant(now)}
    if resource["resourceType"] != "Binary":
        meta.setdefault("source", _address_of(source))
    return {**resource, "meta": meta}


@lru_cache(16)
def _instant(now: datetime) -> str:
    """All resources of a submission have one."""
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(64)
def _address_of(source: str) -> str:
    return f"urn:healthsync:source:{quote(source, safe='')}"


def _merged(live: dict[str, Any] | None, entry: Incoming) -> dict[str, Any]:
    """The snapshot over what is known. A patient keeps the numbers that this message does not repeat."""
    assert entry.mapped is not None
    same = entry.mapped.resource is entry.resource
    resource = merged(live, entry.mapped if same else replace(entry.mapped, resource=entry.resource))
    if live is not None and resource["resourceType"] == "Patient" and "identifier" in live:
        told = resource.get("identifier", [])
        places = {(number.get("system"), number.get("value")) for number in told}
        kept = [n for n in live["identifier"] if (n.get("system"), n.get("value")) not in places]
        resource["identifier"] = [*told, *kept]
    return resource


def _tombstone(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {name: resource[name] for name in ("resourceType", "id", "meta")}


_FEW = 3
_RANDOM_BYTES = 12
_MOST_REFILED = 50_000
_FILED = tuple(sorted(resource_types() - {"Patient", "Provenance", "AuditEvent"}))
"""What follows a visit or account to another number or patient; a Provenance tells what a message once wrote."""
_PASSING_TAGS = frozenset((tag["system"], tag["code"]) for tag in (PLACEHOLDER, SUBSETTED))
_DEFINITIONS = TerminologyService.RESOURCE_TYPES | ConformanceService.RESOURCE_TYPES
_NOTHING = RecordsService.NOTHING
