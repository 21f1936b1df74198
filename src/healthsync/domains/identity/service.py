"""The verbs of the master patient index.

One file, though a long one: every verb locks, decides, logs and saves by the same steps, which stand at the end.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from msgspec import structs

from healthsync.domains.identity import store
from healthsync.domains.identity.block_keys import LARGEST_BLOCK, Block, version_of
from healthsync.domains.identity.deciding import ByRules, Decider, Explanation
from healthsync.domains.identity.demographics import demographics_of
from healthsync.domains.identity.errors import ReasonNotACode, UnknownPatient
from healthsync.domains.identity.golden import GoldenRecord, SourceRecord, golden_record
from healthsync.domains.identity.links import BY_RULES, Ledger, followers, survivor_of
from healthsync.domains.identity.matching import (
    UNSUPPORTED,
    Candidate,
    Compare,
    Comparison,
    Match,
    Profile,
    is_supported,
    remembering,
    resolve,
    vetoes_between,
)
from healthsync.domains.identity.model import (
    Decision,
    Demographics,
    Flag,
    IdentityOutcome,
    LinkEvent,
    LinkEventKind,
    LinkState,
    LoadPatients,
    Member,
    MergeOutcome,
    SourcePatient,
    Tokens,
    pair,
)
from healthsync.domains.identity.survivorship import Survivorship
from healthsync.domains.identity.tokens import (
    OVERLAY_FIELDS,
    contradicted,
    fingerprint_of,
    identifier_tokens,
    tokens_of,
)
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto.blind_index import BlindIndex
from healthsync.infrastructure.database import Transaction
from healthsync.infrastructure.telemetry import metrics
from healthsync.infrastructure.turns import Turns
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities

if TYPE_CHECKING:
    from healthsync.domains.identity.learning import Seen

MOST_CANDIDATES = 60
"""Patients that a record is compared with, those first that share most keys."""

NOBODY = 0
"""The key of a record that is not registered."""

_KEPT_READINGS = 2_000
"""Patients whose reading is kept in memory, with the document: about 10 kB each."""

_PATIENCE_SECONDS = 5.0
"""How long a registration waits for those of this process that may be of the same person, before it takes a connection
and waits for the database's locks."""

_hot_keys = metrics.counter(
    "healthsync_identity_hot_keys", "Block keys passed over because too many patients have them."
)

_REASON = re.compile(r"[A-Za-z0-9-]{1,40}")


def check_reason(reason: str) -> None:
    """Raises ReasonNotACode for what could be words about a patient."""
    if not _REASON.fullmatch(reason):
        raise ReasonNotACode


class IdentityService:
    """Registers source patients, links them to persons, and undoes it. Every verb runs in the caller's transaction.

    The reason of a merge, link or unlink is a code (else ReasonNotACode); the patients must be registered (else
    UnknownPatient).
    """

    def __init__(
        self,
        blind_index: BlindIndex,
        clock: Clock,
        survivorship: Survivorship | None = None,
        deciding: Decider | None = None,
        own_keys: Sequence[Block] = (),
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        """`deciding` is what decides where the rules do not, `own_keys` are block keys that a document adds, and
        `authorities` says which names mean one assigning authority."""
        self._index = blind_index
        self._clock = clock
        self._survivorship = survivorship or Survivorship()
        self._compare = deciding or ByRules()
        self._authorities = authorities
        self._read = _Readings(clock, authorities)
        self._turns = Turns(_PATIENCE_SECONDS)
        self._own_keys, self._keys_version = tuple(own_keys), version_of(own_keys, authorities.version)

    async def find_source_patient(
        self,
        tx: Transaction,
        source: str,
        identifiers: Iterable[Mapping[str, Any]],
        *,
        follow_merges: bool = True,
    ) -> SourcePatient | None:
        """The active patient that `source` knows under one of these FHIR identifiers (the first that is known wins).

        A number that was merged away leads to the survivor, or with `follow_merges=False` to the retired patient to
        which it was given. An SSN, account or visit number finds nobody.
        """
        tokens, types = self._identifier_tokens(source, identifiers)
        return await store.find_source_patient(tx, source, tokens, types, follow_merges) if tokens else None

    async def register(
        self,
        tx: Transaction,
        patient_key: int,
        patient_id: str,
        source: str,
        patient: Mapping[str, Any],
        load: LoadPatients,
        *,
        is_new: bool = False,
        again: bool = False,
    ) -> IdentityOutcome:
        """Take in a source patient for the first time, or what changed about it.

        `is_new` says that the number was given out just now, so that nothing can be known under it. `again` matches a
        patient of whom nothing changed, since what decides did; a link that nothing speaks for any more is flagged.
        `load` is asked for those that share a key with it, and for the members of the persons that it may be. Two
        registrations of one new person at the same time wait for each other; whoever registers many patients in one
        transaction must be ready to repeat it after a deadlock (PostgreSQL 40P01). In a unit of work that can be
        repeated a new patient is decided about with nothing held, and what that was decided by is made sure of at the
        end (`Transaction.guard`).
        """
        itself = SourcePatient(patient_key, patient_id, source)
        said = self._said(patient, source)
        tokens = self._tokens(patient_key, source, said)
        fingerprint = fingerprint_of(self._index, patient_key, said)

        # (1) Known and unchanged: nothing to do. Else its tokens are locked now, or at the end.
        alone = is_new and not (tokens.shared_identifiers or tokens.block_keys)  # nobody can share anything with it
        if not alone:
            await tx.in_turn(self._turns, tokens.locks)
        unheld = is_new and tx.is_repeatable
        before, known_as = (
            (None, ())
            if alone or unheld
            else await store.known_patient(tx, patient_key, () if again else fingerprint, tokens.locks)
        )
        if before and known_as == fingerprint and not again:
            return IdentityOutcome(before, created=False)
        is_new = is_new and before is None  # a unit of work may ask twice who its new patient is

        # (2) Everyone it could be, and what was decided about them.
        compare, seen = remembering(self._compare), dict[str, Demographics]()
        met, rows = ([], []) if alone else await self._near(tx, tokens, with_members=unheld)
        near = await self._alike(said, met, load, compare, seen)
        keys = {key for key, how in near.items() if how.links} | (set() if is_new else {patient_key})
        known = rows if unheld else None
        ledger, members, others = await self._those(tx, keys, near, load, seen, patient_key, known)

        # (3) Another person under the old number is looked at before anything is linked.
        changed = contradicted(known_as, fingerprint)
        is_held = len(changed) >= OVERLAY_FIELDS and not again
        if is_held:
            matches, flags = (), [Flag(patient_key, patient_key, ("overlay-suspected", *changed))]
        else:
            matches, flags = _judge(patient_key, said, others, ledger.state, compare)
            while unlocked := _unlocked(matches, members, keys):  # what its records say together made the link
                keys |= unlocked
                ledger, members, others = await self._those(tx, keys, near, load, seen, patient_key, known)
                matches, flags = _judge(patient_key, said, others, ledger.state, compare)

        joins = {member.enterprise_id for member in members if member.key in keys}
        if unheld and len(joins) > 1:  # then it counts too what was decided between their members
            await tx.begin()
            return await self.register(tx, patient_key, patient_id, source, patient, load, is_new=True)
        if unheld and (tokens.locks or joins):
            tx.guard(store.UNCHANGED, store.seen(tokens, (each.patient.patient_key for each in met), rows, joins))

        if again:
            flags = [*flags, *_unsupported(patient_key, said, others, ledger.state, compare, flags)]

        # (4) Link, flag, save. Of what is held nothing enters the index: the patient goes on as he was known.
        keys_version = self._keys_version
        if is_held:
            tokens, fingerprint = None, known_as
            keys_version = next(member.keys_version for member in members if member.key == patient_key)
        joined = _joined(ledger.state, patient_key, matches)
        _link(ledger, patient_key, matches)
        for flag in flags:
            ledger.flag(flag)
        person = ledger.state.person_of[patient_key]
        moved = self._save(
            tx, ledger, members, tokens,
            Member(itself, person, fingerprint=fingerprint, keys_version=keys_version), is_new,
        )  # fmt: skip
        return IdentityOutcome(
            enterprise_id=person,
            created=before is None,
            linked_to=tuple(m.patient for match in matches for m in members if m.key == match.patient_key),
            flags=tuple(flags),
            evidence=tuple(dict.fromkeys(code for match in matches for code in match.comparison.evidence)),
            changed_members=moved,
            members=tuple(sorted(ledger.state.members(person))),
            is_held=is_held,
            joined=joined,
        )

    async def is_settled(self, tx: Transaction, patient_key: int, source: str, patient: Mapping[str, Any]) -> bool:
        """Whether a patient says nothing new about who he is, and nothing is to be decided about him: then there is
        nothing to register, and this is one look that several share."""
        said = self._said(patient, source)
        return await store.is_settled(tx, patient_key, fingerprint_of(self._index, patient_key, said))

    async def match(
        self, tx: Transaction, patient: Mapping[str, Any], load: LoadPatients, *, most: int
    ) -> list[Candidate]:
        """Who `patient`, which is not registered, may be: at most `most` registered patients, the likeliest first.

        What `load` does not return takes no part. A patient whose number was merged away stands for its survivor. What
        any candidate of a person forbids is held against that whole person.
        """
        said = self._said(patient)
        tokens = self._tokens(NOBODY, "", said)
        near, _ = await self._near(tx, tokens)
        loaded = await load({each.patient.patient_id: each.held for each in near}) if near else {}
        retired = [each.patient.patient_key for each in near if each.retired_into is not None]
        active = await store.survivors(tx, retired) if retired else {}
        found: dict[int, Candidate] = {}
        against: dict[UUID, set[str]] = {}
        for each in near:
            if (id_ := each.patient.patient_id) not in loaded:
                continue
            how = self._compare(said, self._read(each.patient, loaded[id_]))
            against.setdefault(each.enterprise_id, set()).update(how.vetoes)
            shown = active.get(each.patient.patient_key, each.patient)
            other = found.get(shown.patient_key)
            if other is None or how.score > other.comparison.score:
                found[shown.patient_key] = Candidate(shown, each.enterprise_id, how)
        judged = [_against(one, tuple(sorted(against[one.enterprise_id]))) for one in found.values()]
        return sorted(judged, key=Candidate.order)[:most]

    async def rekey(self, tx: Transaction, count: int, load: LoadPatients) -> int:
        """Key up to `count` patients anew whose block keys are of another version; answers how many there were."""
        members = await store.keyed_by_others(tx, self._keys_version, count)
        speaking = {member.patient.patient_id: member.held for member in members if member.fingerprint}
        records = await load(speaking) if speaking else {}
        for member in members:
            key, now = member.key, structs.replace(member, keys_version=self._keys_version)
            record = records.get(member.patient.patient_id)
            if record is None:  # it was deleted, or its key was destroyed
                store.save_keys(tx, now, None)
                continue
            said = self._said(record, member.patient.source)
            now = structs.replace(now, fingerprint=fingerprint_of(self._index, key, said))
            store.save_keys(tx, now, self._tokens(key, member.patient.source, said))
        return len(members)

    async def matched_next(self, tx: Transaction, after: int, count: int) -> list[SourcePatient]:
        """Patients that can be matched, by key from behind `after`."""
        return await store.matched_next(tx, after, count)

    async def matched_count(self, tx: Transaction) -> int:
        """How many there are."""
        return await store.matched_count(tx)

    def withdraw(self, tx: Transaction, patient_key: int) -> None:
        """The record of a patient was deleted: nobody is found or linked by what it said. It stays with its person, and
        is taken in anew should it come back."""
        store.withdraw(tx, patient_key)

    async def merge(
        self, tx: Transaction, survivor: SourcePatient, retired: SourcePatient, decided_by: str, reason: str
    ) -> MergeOutcome:
        """The owner of the numbers says that `retired` is `survivor` (HL7 v2 A40): one person, one active record.

        Merging again changes nothing; merging the other way round makes the former survivor the retired one. Where a
        decision keeps another member of the two persons apart, only the two records named come together, and the
        rest is flagged.
        """
        ledger, members = await self._begin(tx, survivor, retired, decided_by, reason)
        by_key = {member.key: member.patient for member in members}
        redirects = ledger.state.retired_into
        last, retired_last = (survivor_of(one.patient_key, redirects) for one in (survivor, retired))
        reversal = last == retired.patient_key != survivor.patient_key
        if last == retired_last and not reversal:
            return MergeOutcome(ledger.state.person_of[last], by_key[last], None)
        active = survivor.patient_key if reversal else last
        flags = _bring_together(ledger, active, retired.patient_key, reason)
        ledger.retire(retired.patient_key, active, reason)
        moved = self._save(tx, ledger, members)
        person = ledger.state.person_of[active]
        return MergeOutcome(person, by_key[active], by_key[retired.patient_key], reversal, flags, moved)

    async def link(
        self, tx: Transaction, one: SourcePatient, other: SourcePatient, decided_by: str, reason: str
    ) -> MergeOutcome:
        """A person decided that two source patients are one person; both stay active."""
        ledger, members = await self._begin(tx, one, other, decided_by, reason)
        flags = _bring_together(ledger, one.patient_key, other.patient_key, reason)
        moved = self._save(tx, ledger, members)
        return MergeOutcome(ledger.state.person_of[one.patient_key], one, None, False, flags, moved)

    async def unlink(
        self, tx: Transaction, patient: SourcePatient, other: SourcePatient, decided_by: str, reason: str
    ) -> MergeOutcome:
        """A person decided that two source patients are two persons; the rules will not link them again.

        `patient` leaves, and with it those that joined through it; it gets its former enterprise id back if that is
        vacant. A merge of the two is undone: the retired one is active again.
        """
        ledger, members = await self._begin(tx, patient, other, decided_by, reason)
        state = ledger.state
        leaves, stays = patient.patient_key, other.patient_key
        if leaves == stays:
            return MergeOutcome(state.person_of[leaves], patient, None)
        if state.person_of[leaves] == state.person_of[stays]:
            if stays in followers(leaves, state.linked_to):
                leaves, stays = stays, leaves
            vacant = await store.vacant_person(tx, followers(leaves, state.linked_to))
            ledger.split(leaves, stays, vacant or uuid4(), reason)
        ledger.decide(leaves, stays, Decision.CANNOT_LINK, reason)
        moved = self._save(tx, ledger, members)
        return MergeOutcome(state.person_of[patient.patient_key], patient, None, changed_members=moved)

    async def pin(self, tx: Transaction, patient: SourcePatient, element: str, decided_by: str, reason: str) -> None:
        """A person decided that the golden record takes an element from this patient, whatever the rules say. Of
        several among the members of a person the newest pin decides. Raises InvalidInput for an unknown element."""
        await self._choose(tx, patient, element, decided_by, reason, chosen=True)

    async def unpin(self, tx: Transaction, patient: SourcePatient, element: str, decided_by: str, reason: str) -> None:
        """The pin before decides again, or else the rules. Raises InvalidInput for an unknown element."""
        await self._choose(tx, patient, element, decided_by, reason, chosen=False)

    async def _choose(
        self, tx: Transaction, patient: SourcePatient, element: str, decided_by: str, reason: str, *, chosen: bool
    ) -> None:
        if element not in self._survivorship.elements:
            elements = ", ".join(self._survivorship.elements)
            raise InvalidInput(f"no element of the golden record is chosen by that name; there are {elements}")
        ledger, members = await self._begin(tx, patient, patient, decided_by, reason)
        ledger.state.pins = await store.pins(tx, [member.key for member in members])
        (ledger.pin if chosen else ledger.unpin)(patient.patient_key, element, reason)
        self._save(tx, ledger, members)

    async def split(self, tx: Transaction, patient: SourcePatient, decided_by: str, reason: str) -> MergeOutcome:
        """A person decided that a source patient is somebody else than all others of its person. Who joined through it
        stays. It gets its former enterprise id back if that is vacant; alone it stays as it is."""
        ledger, members = await self._begin(tx, patient, patient, decided_by, reason)
        state, key = ledger.state, patient.patient_key
        if len(state.members(state.person_of[key])) > 1:
            ledger.isolate(key, await store.vacant_person(tx, {key}) or uuid4(), reason)
        moved = self._save(tx, ledger, members)
        return MergeOutcome(state.person_of[key], patient, None, changed_members=moved)

    async def settle(
        self, tx: Transaction, one: SourcePatient, other: SourcePatient, decided_by: str, reason: str
    ) -> None:
        """What was flagged about two patients needs no look any more, though nobody decided whether they are one."""
        ledger, members = await self._begin(tx, one, other, decided_by, reason)
        ledger.settle(one.patient_key, other.patient_key, reason)
        self._save(tx, ledger, members)

    async def golden(self, tx: Transaction, records: Mapping[SourcePatient, Mapping[str, Any]]) -> GoldenRecord:
        """The golden record of source patients of one person, as far as they are given, with what was pinned."""
        newest = {of: key for key, of in await store.pins(tx, [patient.patient_key for patient in records])}
        return golden_record(
            [
                SourceRecord(
                    self.one_named(resource, patient.source),
                    self._survivorship.trust_in(patient.source),
                    frozenset(of for of, key in newest.items() if key == patient.patient_key),
                )
                for patient, resource in records.items()
            ],
            self._survivorship.rules,
        )

    async def enterprise_ids(self, tx: Transaction, patient_keys: Collection[int]) -> dict[int, str]:
        """The enterprise id of each patient that is registered."""
        return {key: str(person) for key, person in (await store.enterprise_ids(tx, patient_keys)).items()}

    async def taken_over_by(self, tx: Transaction, patient_keys: Collection[int]) -> dict[str, str | None]:
        """By FHIR id, into whom each patient was merged; None for one that is active."""
        return await store.taken_over_by(tx, patient_keys)

    async def members(self, tx: Transaction, enterprise_id: UUID | str) -> list[SourcePatient]:
        """The patients of a person, retired ones too; a former enterprise id leads to the present one."""
        known = _uuid(enterprise_id)
        person = await store.current_person(tx, known) if known else None
        return await store.members(tx, person) if person else []

    async def active_members(self, tx: Transaction, enterprise_id: UUID | str) -> list[SourcePatient]:
        """The patients of a person whose numbers are in use: without those that were merged into others."""
        known = _uuid(enterprise_id)
        person = await store.current_person(tx, known) if known else None
        return await store.active_members(tx, person) if person else []

    async def bearer(
        self, tx: Transaction, source: str, identifiers: Iterable[Mapping[str, Any]]
    ) -> SourcePatient | None:
        """The one patient, of `source` or else of any other, who bears one of these numbers; None for several."""
        own = await self.find_source_patient(tx, source, identifiers)
        if own is not None:
            return own
        tokens, types = self._identifier_tokens(source, identifiers)
        found = await store.bearers(tx, tokens, types) if tokens else []
        return found[0] if len(found) == 1 else None

    async def doubles(self, tx: Transaction, most: int) -> list[tuple[SourcePatient, SourcePatient, bool]]:
        """Pairs of records of one source, both in use, that go under one number of one authority, the older first, and
        whether they are one person's: what a table of names makes of records that were stored before it."""
        return await store.doubles(tx, most)

    async def history(self, tx: Transaction, enterprise_id: UUID | str) -> list[LinkEvent]:
        """What happened to a person and everyone who belongs to it now, oldest first."""
        known = _uuid(enterprise_id)
        return await store.history(tx, known) if known else []

    async def history_of_pair(self, tx: Transaction, one: SourcePatient, other: SourcePatient) -> list[LinkEvent]:
        """What the log says of two patients, oldest first."""
        return await store.history_of_pair(tx, one.patient_key, other.patient_key)

    async def log(self, tx: Transaction) -> list[LinkEvent]:
        """The whole log; `replay` turns it into the state that the tables hold."""
        return await store.log(tx)

    async def open_reviews(self, tx: Transaction, limit: int = 100) -> list[Flag]:
        """Pairs that a person should look at, oldest first."""
        return await store.open_reviews(tx, limit)

    @property
    def version(self) -> str:
        """What decides here, by its version."""
        return self._compare.version

    def compare(self, one: Mapping[str, Any], other: Mapping[str, Any], sources: Sequence[str]) -> Comparison:
        """How two Patients of these sources compare by what decides here."""
        return self._compare(*self._say((one, other), sources))

    def explain(self, one: Mapping[str, Any], other: Mapping[str, Any], sources: Sequence[str]) -> Explanation:
        """Why two Patients are judged as they are; nothing of what they say."""
        return self._compare.explain(*self._say((one, other), sources))

    def seen(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> Seen:
        """How two Patients look to a model that learns beside the weights of this hub; nothing of what they say."""
        from healthsync.domains.identity.learning import seen, weights_of  # nobody pays for it who learns nothing

        weights = weights_of(self._compare)
        assert weights is not None, "a hub that does not decide by weights learns nothing"
        return seen(weights, *self._say((one, other), ("", "")))

    def _say(self, patients: Sequence[Mapping[str, Any]], sources: Sequence[str]) -> Iterator[Demographics]:
        for patient, source in zip(patients, sources, strict=True):
            yield self._said(patient, source)

    def one_named(self, patient: Mapping[str, Any], source: str = "") -> Mapping[str, Any]:
        """A Patient whose numbers name each assigning authority by one of its names."""
        return self._authorities.one_named(patient, source)

    def _said(self, patient: Mapping[str, Any], source: str = "") -> Demographics:
        return demographics_of(self.one_named(patient, source), today=self._today(), source=source)

    def _identifier_tokens(self, source: str, identifiers: Iterable[Mapping[str, Any]]) -> tuple[list[int], list[str]]:
        if self._authorities:
            identifiers = self._authorities.numbers_one_named(identifiers, source)
        return identifier_tokens(self._index, source, identifiers)

    def _tokens(self, patient_key: int, source: str, said: Demographics) -> Tokens:
        return tokens_of(self._index, patient_key, source, said, self._own_keys)

    async def _near(
        self, tx: Transaction, tokens: Tokens, *, with_members: bool = False
    ) -> tuple[list[store.Near], store.Rows]:
        """Who shares a token with a record, and `with_members` all members of their persons."""
        if with_members:
            near, hot, rows = await store.candidates_and_members(tx, tokens, block=LARGEST_BLOCK, most=MOST_CANDIDATES)
        else:
            near, hot = await store.candidates(tx, tokens, block=LARGEST_BLOCK, most=MOST_CANDIDATES)
            rows = []
        if hot:
            _hot_keys.inc(hot)
        return near, rows

    async def _alike(
        self,
        said: Demographics,
        near: Sequence[store.Near],
        load: LoadPatients,
        compare: Compare,
        seen: dict[str, Demographics],
    ) -> dict[int, Comparison]:
        """Those of `near` that a link or a flag may concern, by key; `seen` gets what all of them say."""
        loaded = await load({each.patient.patient_id: each.held for each in near}) if near else {}
        by_id = {each.patient.patient_id: each.patient for each in near}
        seen |= {id_: self._read(by_id[id_], patient) for id_, patient in loaded.items()}
        return {
            each.patient.patient_key: how
            for each in near
            if (id_ := each.patient.patient_id) in seen and (how := compare(said, seen[id_])).rule
        }

    async def _those(
        self,
        tx: Transaction,
        keys: Collection[int],
        near: Collection[int],
        load: LoadPatients,
        seen: Mapping[str, Demographics],
        but: int,
        known: store.Rows | None,
    ) -> tuple[Ledger, list[Member], dict[int, Demographics]]:
        """The persons of `keys`, which are locked, and of `near`, which are not: whom nothing will be linked with is
        only told about, and households that arrive together need not wait for each other. With `known`, their members
        as they came with the candidates, nothing is locked before the end. `seen` is what candidates said before
        anything was locked."""
        if known is not None:
            members, state = store.persons_among(tx, known, {*keys, *near})
        else:
            members, state = await store.persons_of(tx, keys, near) if keys or near else ([], LinkState())
        speaking = {
            member.patient.patient_id: member
            for member in members
            if member.fingerprint and member.key != but  # of a deleted record nothing is left
        }
        # Who is locked now may have changed since he was opened: his fingerprint tells. Who came with the candidates
        # was opened after that, and whether he is still as he was then is made sure of at the end.
        locked = {member.enterprise_id for member in members if member.key in keys} if known is None else ()
        opened = {
            id_: seen[id_]
            for id_, one in speaking.items()
            if id_ in seen
            and (one.enterprise_id not in locked or one.fingerprint == fingerprint_of(self._index, one.key, seen[id_]))
        }
        wanted = {id_: one.held for id_, one in speaking.items() if id_ not in opened}
        loaded = await load(wanted) if wanted else {}
        opened |= {id_: self._read(speaking[id_].patient, patient) for id_, patient in loaded.items()}
        others = {speaking[id_].key: said for id_, said in opened.items()}
        return self._ledger(state, BY_RULES), members, others

    def _today(self) -> date:
        return self._clock.now().date()

    async def _begin(
        self, tx: Transaction, one: SourcePatient, other: SourcePatient, decided_by: str, reason: str
    ) -> tuple[Ledger, list[Member]]:
        check_reason(reason)
        members, state = await store.persons_of(tx, {one.patient_key, other.patient_key})
        for patient in (one, other):
            if patient.patient_key not in {member.key for member in members}:
                raise UnknownPatient(patient.patient_id)
        return self._ledger(state, decided_by), members

    def _ledger(self, state: LinkState, decided_by: str) -> Ledger:
        return Ledger(state, at=self._clock.now(), decided_by=decided_by)

    def _save(
        self,
        tx: Transaction,
        ledger: Ledger,
        members: Sequence[Member],
        tokens: Tokens | None = None,
        itself: Member | None = None,
        is_new: bool = False,
    ) -> tuple[int, ...]:
        """Write what the ledger changed; returns the keys of the members whose person is another one now."""
        state = ledger.state
        before = {member.key: member for member in members}
        after = before | ({itself.key: itself} if itself else {})
        after = {key: _as_in(state, member) for key, member in after.items()}
        touched = {pair(event.patient_key, event.other_patient_key or event.patient_key) for event in ledger.events}
        known = {member.enterprise_id for member in members}  # who has members leads nowhere else
        change = store.Change(
            at=self._clock.now(),
            persons={event.enterprise_id: None for event in ledger.events if event.enterprise_id not in known}
            | state.redirects,
            members=[one for key, one in after.items() if (was := before.get(key)) is not one and was != one],
            events=ledger.events,
            decisions={place: state.decisions[place] for place in touched & state.decisions.keys()},
            reviews={place: state.reviews.get(place, ()) for place in touched},
            pins={
                (event.patient_key, element): (event.patient_key, element) in state.pins
                for event in ledger.events
                if event.kind in (LinkEventKind.PINNED, LinkEventKind.UNPINNED)
                for element in event.evidence
            },
        )
        store.save(tx, change, tokens, is_new=is_new)
        return tuple(sorted(key for key, member in before.items() if after[key].enterprise_id != member.enterprise_id))


def _against(one: Candidate, vetoes: tuple[str, ...]) -> Candidate:
    how = one.comparison
    return one if how.vetoes == vetoes else replace(one, comparison=replace(how, vetoes=vetoes))


class _Readings:
    """What patients said of themselves when they were opened last, each read once while the same document comes again:
    those that share keys with many (a household, an employer's telephone) are candidates again and again."""

    def __init__(self, clock: Clock, authorities: Authorities) -> None:
        self._clock, self._authorities = clock, authorities
        self._day: date | None = None
        self._known: OrderedDict[str, tuple[Mapping[str, Any], Demographics]] = OrderedDict()

    def __call__(self, who: SourcePatient, patient: Mapping[str, Any]) -> Demographics:
        if self._day != (today := self._clock.now().date()):
            self._day, self._known = today, OrderedDict()
        id_ = who.patient_id
        known = self._known.get(id_)
        if known is None or (known[0] is not patient and known[0] != patient):
            said = self._authorities.one_named(patient, who.source)
            known = self._known[id_] = patient, demographics_of(said, today=today, source=who.source)
        self._known.move_to_end(id_)
        if len(self._known) > _KEPT_READINGS:
            self._known.popitem(last=False)
        return known[1]


def _as_in(state: LinkState, member: Member) -> Member:
    """A member as the state has it; most of a large person stay as they were."""
    key = member.key
    now = state.person_of[key], state.linked_to.get(key), state.retired_into.get(key)
    if now == (member.enterprise_id, member.linked_to, member.retired_into):
        return member
    return structs.replace(member, enterprise_id=now[0], linked_to=now[1], retired_into=now[2])


def _unlocked(matches: Sequence[Match], members: Sequence[Member], keys: Collection[int]) -> set[int]:
    """The patients of matches with persons none of whose members is among `keys`."""
    locked = {member.enterprise_id for member in members if member.key in keys}
    return {match.patient_key for match in matches if match.person not in locked}


def _judge(
    key: int, said: Demographics, others: Mapping[int, Demographics], state: LinkState, compare: Compare
) -> tuple[tuple[Match, ...], list[Flag]]:
    """Whom the rules link a record with, and what a person should look at."""
    own = state.person_of.get(key)
    decisions = _of_survivors(state)
    profiles = _profiles({**others, key: said}, state)
    itself = profiles.pop(key, Profile(key, {key: said}))
    persons = _persons(profiles, state)
    found = resolve(itself, persons, decisions, own=own, compare=compare)
    flags = [Flag(key, other, reasons) for other, reasons in found.flags]
    against = vetoes_between([itself], persons.get(own, ()) if own else (), decisions, compare)
    return found.matches, flags + [Flag(*place, ("link-contradicted", *vetoes)) for place, vetoes in against.items()]


def _unsupported(
    key: int,
    said: Demographics,
    others: Mapping[int, Demographics],
    state: LinkState,
    compare: Compare,
    flags: Sequence[Flag],
) -> list[Flag]:
    """A flag for a patient who is of his person only because he was linked before, unless one says so already."""
    profiles = _profiles({**others, key: said}, state)
    itself = profiles.pop(key, None)  # None: it is out of use, and its survivor speaks for it
    own = _persons(profiles, state).get(state.person_of[key], []) if key in state.person_of else []
    members = {profile.patient_key for profile in own}
    contradicted_by = {other for flag in flags for other in (flag.patient_key, flag.other_patient_key)} & members
    if itself is None or not own or contradicted_by or is_supported(itself, own, _of_survivors(state), compare):
        return []
    through = state.linked_to.get(key)
    nearest = survivor_of(through, state.retired_into) if through is not None else None
    return [Flag(key, nearest if nearest in members else min(members), (UNSUPPORTED,))]


def _joined(state: LinkState, key: int, matches: Sequence[Match]) -> tuple[tuple[int, int], ...]:
    own = state.person_of.get(key)
    first = min(state.members(own)) if own else key
    return tuple(pair(first, min(state.members(match.person))) for match in matches)


def _link(ledger: Ledger, key: int, matches: Sequence[Match]) -> None:
    """Bring a patient and the persons that it matches together, in the oldest of them."""
    state = ledger.state
    by_age = sorted(matches, key=lambda match: min(state.members(match.person)))
    if key not in state.person_of:
        if not by_age:
            ledger.create(key, uuid4())
            return
        oldest = by_age.pop(0)
        ledger.link(key, oldest.patient_key, str(oldest.comparison.rule), oldest.comparison.evidence)
    for match in by_age:
        how = (str(match.comparison.rule), match.comparison.evidence)
        if min(state.members(match.person)) < min(state.members(state.person_of[key])):
            ledger.join(key, match.patient_key, *how)
        else:
            ledger.join(match.patient_key, key, *how)


def _bring_together(ledger: Ledger, stays: int, joins: int, reason: str) -> tuple[Flag, ...]:
    """Two records become one person by decision: with their whole persons, unless another decision forbids that."""
    state = ledger.state
    ledger.decide(joins, stays, Decision.MUST_LINK, reason)
    if state.person_of[stays] == state.person_of[joins]:
        return ()
    kept_apart = [
        pair(one, other)
        for one in sorted(state.members(state.person_of[stays]))
        for other in sorted(state.members(state.person_of[joins]))
        if state.decisions.get(pair(one, other)) is Decision.CANNOT_LINK
    ]
    if kept_apart:
        ledger.loosen(joins, reason)
        ledger.split(joins, stays, uuid4(), reason)
    ledger.join(joins, stays, reason)
    flags = tuple(Flag(*place, ("merged-against-decision",)) for place in kept_apart)
    for flag in flags:
        ledger.flag(flag)
    return flags


def _profiles(said: Mapping[int, Demographics], state: LinkState) -> dict[int, Profile]:
    """Each active patient with its own record and those of the patients retired into it."""
    records: dict[int, dict[int, Demographics]] = {}
    for key, demographics in said.items():
        records.setdefault(survivor_of(key, state.retired_into), {})[key] = demographics
    return {key: Profile(key, of_one) for key, of_one in records.items()}


def _persons(profiles: Mapping[int, Profile], state: LinkState) -> dict[UUID, list[Profile]]:
    persons: dict[UUID, list[Profile]] = {}
    for key, profile in profiles.items():
        persons.setdefault(state.person_of[key], []).append(profile)
    return persons


def _of_survivors(state: LinkState) -> dict[tuple[int, int], Decision]:
    """The decisions, each about the active patients that its two numbers lead to."""
    return {
        pair(survivor_of(one, state.retired_into), survivor_of(other, state.retired_into)): decision
        for (one, other), decision in state.decisions.items()
    }


def _uuid(text: UUID | str) -> UUID | None:
    """The enterprise id that is meant; None for a text that can be none."""
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except ValueError:
        return None
