"""Messages read anew: dead letters after their cause was mended, the raw zone after a map was changed.

    (1) group     what was chosen, and with it the younger messages of its patients (`domains.messages.replaying`)
    (2) rehearse  read and ingest the messages of a group in order, behind a savepoint, and undo it: what differs in the
                  end from what is stored?
    (3) compare   leave what a client has written since, and what is shared with other patients; stop here when only a
                  comparison was asked
    (4) apply     bring in the end result: one new version of each resource that differs, none of the others
    (5) settle    messages, scores, audit; one commit for the group

What is in between is never seen: a reader finds the patient as he was, or as he is now. Workers go on meanwhile. A
message that they process for a patient of the group after (1) is noticed, before (4) by its row and after it by the
versions of what it wrote, and the group is done again with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import structs

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.messages import Group, MessageService, MessageState, Read, SealedMessage, Selection, takes_part
from healthsync.domains.quality import MessageScore, QualityService
from healthsync.errors import Conflict, HealthSyncError, InvalidInput, NotFound, Unavailable
from healthsync.exchange.ingest import Incoming, Ingest, Key, Stored, Submission, submission_audit
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.jobs import Job, JobTable
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.fhir import compartments
from healthsync.standards.fhir.differences import Difference, differences
from healthsync.standards.maps import Correction, MappedResource

KIND = "message-replay"
"""The kind of its jobs."""

_OF_MESSAGES = frozenset({"process-message", "replay-message"})
_WRITES = frozenset({Action.CREATE, Action.UPDATE, Action.DELETE})
_WRITTEN_WITHIN = timedelta(minutes=1)
"""From the time that a version carries until the audit log has the write."""
_MOST_EVENTS = 1000

_MOST_TRIES = 5
_MOST_FAILURES = 200
"""That a report names; the others are counted."""

_log = logger(__name__)
_replayed = metrics.counter("healthsync_messages_replayed", "Messages that were read anew.", ("outcome",))


class UnderstoodMessage(Protocol):
    """A message ready for the gate."""

    @property
    def submission(self) -> Submission: ...
    @property
    def unmapped(self) -> Mapping[str, int]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def score(self) -> MessageScore | None: ...
    @property
    def refusal(self) -> str | None: ...


class Reading(Protocol):
    """How messages are read: what `process_message` does before the gate."""

    async def rules(self, tx: Transaction) -> Any:
        """What is known of sources now."""
        ...

    async def understand(self, tx: Transaction, message: SealedMessage, rules: Any) -> UnderstoodMessage:
        """What a stored message says. Raises what makes a message impossible to process."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that could not be read: why, without values."""

    sequence: int
    code: str
    because: str


@dataclass(slots=True)
class ReplayReport:
    """What came of a replay, or would come of it. Counts, types and paths; no values."""

    messages: int = 0
    """That were read: those asked for, and the younger ones of their patients."""
    failed: int = 0
    created: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    unchanged: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    """That would differ, and were left: as a client has written them since, or because they belong to no patient
    and a newer message of another patient may have told of them."""
    paths: dict[str, int] = field(default_factory=dict)
    """Elements of what changed that differ, with how often."""
    failures: list[Failure] = field(default_factory=list)
    """The first so many."""

    def add(self, outcome: GroupOutcome) -> None:
        """Count a group."""
        self.messages += outcome.messages
        self.failed += len(outcome.failures)
        self.failures += outcome.failures[: _MOST_FAILURES - len(self.failures)]
        for counts, kinds in (
            (self.created, [kind for (kind, _), one in outcome.net.items() if one.before is None]),
            (self.changed, [kind for (kind, _), one in outcome.net.items() if one.before is not None]),
            (self.unchanged, [kind for kind, _ in outcome.unchanged]),
            (self.kept, [kind for kind, _ in outcome.kept]),
            (self.paths, [each.element for one in outcome.net.values() if one.before for each in one.differences]),
        ):
            for name in kinds:
                counts[name] = counts.get(name, 0) + 1

    def as_document(self) -> dict[str, Any]:
        """For a job and for programs."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> ReplayReport:
        """The report that a job keeps."""
        return cls(**{**document, "failures": [Failure(**each) for each in document["failures"]]})


@dataclass(frozen=True, slots=True)
class Net:
    """A resource that differs in the end."""

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    version: int | None
    """The version that `before` is."""

    @property
    def differences(self) -> list[Difference]:
        """Where."""
        return differences(self.before, self.after)


@dataclass(slots=True)
class GroupOutcome:
    """What came of a group."""

    net: dict[Key, Net] = field(default_factory=dict)
    unchanged: set[Key] = field(default_factory=set)
    kept: set[Key] = field(default_factory=set)
    """What a client has written since the messages, and what belongs to no patient: messages of other patients tell
    of it too, perhaps newer ones."""
    restated: set[Key] = field(default_factory=set)
    """What the merges, links and moves of the group change besides: they bring it about again."""
    merges: list[Correction] = field(default_factory=list)
    read: list[Read] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    scores: list[MessageScore] = field(default_factory=list)
    patients: set[str] = field(default_factory=set)

    @property
    def messages(self) -> int:
        """How many were read, or could not be."""
        return len(self.read) + len(self.failures)


class _Undone(Exception):
    """Ends the rehearsal: nothing of it stays."""


class _Overtaken(Exception):
    """A worker processed a message of these patients meanwhile."""


class ReplayMessages:
    """The flow."""

    def __init__(
        self,
        *,
        database: Database,
        messages: MessageService,
        reading: Reading,
        ingest: Ingest,
        quality: QualityService,
        audit: AuditService,
        clock: Clock,
        table: JobTable,
    ) -> None:
        self._database, self._messages, self._reading, self._ingest = database, messages, reading, ingest
        self._quality, self._audit, self._clock, self._table = quality, audit, clock, table

    async def start(
        self, selection: Selection, by: AuditEvent, *, owner: str, dry_run: bool = False, claimed: bool = False
    ) -> Job:
        """A job that reads a selection anew. `by` says who asks. Raises InvalidInput for a selection of everything
        without a bound, NotFound when it is empty."""
        if selection == Selection():
            raise InvalidInput("say which messages: by number, state, source, type, reason or time", code="required")
        async with self._database.transaction() as tx:
            await self._audit.record(tx, by)
            if not await self._messages.counted(tx, selection):
                raise NotFound("no message fits; see: healthsync messages list")
            request = {"selection": _document(selection), "dry_run": dry_run, "user": by.user, "client": by.client}
            return await self._table.add(tx, KIND, owner, request, claimed=claimed)

    async def __call__(self, job: Job) -> Mapping[str, Any]:
        """Do a job, group by group; each is a commit of its own, and another worker goes on behind the last."""
        selection, dry_run = _selection(job.request["selection"]), job.request["dry_run"]
        position = job.position or {"behind": None, "report": ReplayReport().as_document()}
        report, behind = ReplayReport.of_document(position["report"]), position["behind"]
        async with self._database.connection() as tx:
            groups, newest = await self._messages.groups(tx, selection)
        total = sum(len(group.members) for group in groups)
        for group in groups:
            name = [group.source, group.first]
            if behind is not None and name <= behind:
                continue

            async def advance(tx: Transaction, outcome: GroupOutcome, name: list[Any] = name) -> None:
                report.add(outcome)
                kept = {"behind": name, "report": report.as_document()}
                step = f"{report.messages} of {total} messages"
                failed = len(outcome.failures)
                await self._table.advance(tx, job, kept, step=step, done=outcome.messages - failed, rejected=failed)

            await self.group(group, newest, dry_run=dry_run, user=job.request["user"], then=advance)
        return report.as_document() | {"dry_run": dry_run}

    async def compare(self, selection: Selection, by: AuditEvent) -> tuple[ReplayReport, dict[Key, Net]]:
        """What would differ if a selection were read anew, without doing it. `by` is recorded before anything is told.

        The resources hold values: only their paths may be shown to who may not see them.
        """
        async with self._database.connection() as tx:
            groups, newest = await self._messages.groups(tx, selection)
        if not groups:
            raise NotFound("no message fits, or its bytes are not there; see: healthsync messages list")
        report, found, patients = ReplayReport(), {}, set[str]()
        for group in groups:
            outcome = await self.group(group, newest, dry_run=True, user=by.user)
            report.add(outcome)
            found |= outcome.net
            patients |= outcome.patients
        await self._audit.record_and_commit(structs.replace(by, patients=tuple(sorted(patients))))
        return report, found

    async def group(
        self,
        group: Group,
        newest: int,
        *,
        dry_run: bool,
        user: str | None,
        then: Callable[[Transaction, GroupOutcome], Awaitable[None]] | None = None,
    ) -> GroupOutcome:
        """Read a group anew. `then` runs in the same commit. Raises Unavailable or ClaimLost, which undo it."""
        outcome = GroupOutcome()
        for left in reversed(range(_MOST_TRIES)):
            with suppress(_Overtaken, Conflict):
                async with self._database.transaction() as tx:
                    outcome = (
                        await self._once(tx, group, newest, dry_run, user)
                        if left
                        else GroupOutcome(failures=_busy(group))
                    )
                    if then is not None:
                        await then(tx, outcome)
                break
        if not dry_run:
            _replayed.labels(outcome="processed").inc(len(outcome.read))
            _replayed.labels(outcome="dead").inc(len(outcome.failures))
        return outcome

    async def _once(self, tx: Transaction, group: Group, newest: int, dry_run: bool, user: str | None) -> GroupOutcome:
        now = await self._messages.now(tx, group, newest)
        members = [member for member in now.members if takes_part(member)]
        outcome = GroupOutcome()
        unreadable = [member.sequence for member in members if not member.readable]
        if unreadable:
            outcome.failures = _without_bytes(members, unreadable)
            members = []
        try:
            async with tx.savepoint():  # (2)
                await self._rehearse(tx, [member.sequence for member in members], outcome)
                await tx.flush()
                raise _Undone
        except _Undone:
            pass
        dead = {member.sequence for member in members if member.state is MessageState.DEAD}
        outcome.kept = {
            key
            for key, net in outcome.net.items()
            if net.before is not None and (_is_shared(net) or await self._is_a_clients(tx, key, net.before, outcome))
        }
        outcome.net = {key: net for key, net in outcome.net.items() if key not in outcome.kept}
        if dry_run:  # (3)
            return outcome
        if _processed(await self._messages.now(tx, group, newest)) != _processed(now):
            raise _Overtaken
        if outcome.net:  # (4)
            await self._ingest(tx, self._result(group, outcome, user))
        failed = [(f.sequence, f.code, f.because) for f in outcome.failures if f.sequence in dead]  # (5)
        await self._messages.read_anew(tx, outcome.read, failed, self._clock.now())
        await self._quality.keep(tx, outcome.scores)
        return outcome

    async def _rehearse(self, tx: Transaction, sequences: Sequence[int], outcome: GroupOutcome) -> None:
        rules = await self._reading.rules(tx)
        touched: dict[Key, tuple[Mapping[str, Any] | None, Mapping[str, Any], int | None]] = {}
        for message in await self._messages.sealed_many(tx, sequences):
            try:
                async with tx.savepoint():
                    understood = await self._reading.understand(tx, message, rules)
                    if (because := understood.refusal) is not None:
                        raise InvalidInput(because, code="quality")
                    result = await self._ingest(tx, understood.submission)
            except (Unavailable, Conflict):
                raise
            except Exception as problem:
                outcome.failures.append(_failure(message.sequence, problem))
                continue
            outcome.merges += understood.submission.merges
            outcome.patients.update(result.patients)
            outcome.scores += [understood.score] if understood.score is not None else []
            written = [stored for stored in result.stored if stored.outcome != "unchanged"]
            outcome.read.append(Read(message.sequence, len(written), dict(understood.unmapped), understood.warnings))
            outcome.unchanged |= {(stored.resource_type, stored.id) for stored in result.stored}
            outcome.restated |= {(stored.resource_type, stored.id) for stored in result.restated}
            for stored in (*written, *result.restated):
                _track(touched, stored)
        for key, (before, after, version) in touched.items():
            if differences(before, after):
                outcome.net[key] = Net(before, after, version)
        if all(kind == "Provenance" and net.before is not None for (kind, _), net in outcome.net.items()):
            outcome.net = {}  # who told it then is no news: a number leads to another record after a merge
        outcome.unchanged -= outcome.net.keys()

    async def _is_a_clients(self, tx: Transaction, key: Key, before: Mapping[str, Any], outcome: GroupOutcome) -> bool:
        """Whether the version in store was written by a client and not by a message: the audit log knows."""
        since = datetime.fromisoformat(before["meta"]["lastUpdated"])
        for patient in sorted(outcome.patients):
            rows = await self._audit.search(
                tx, patient=patient, since=since, until=since + _WRITTEN_WITHIN, count=_MOST_EVENTS
            )
            for row in reversed(rows):  # the first of them is the write
                entry = row.entry
                writes = entry["action"] in _WRITES or entry["interaction"] == "transaction"
                if writes and "/".join(key) in entry.get("entities", ()):
                    return entry["interaction"] not in _OF_MESSAGES
        return False

    @staticmethod
    def _result(group: Group, outcome: GroupOutcome, user: str | None) -> Submission:
        """The end result of a rehearsal: each resource as it is then, in the place of the version it was made of."""
        audit = submission_audit(
            Action.UPDATE, "replay-message", client=group.source, user=user, message_sequence=group.members[0].sequence
        )
        by_merges = outcome.restated & outcome.net.keys()
        incoming = [
            Incoming(
                dict(net.after),
                "update",
                MappedResource(dict(net.after), "", cleared=tuple(net.before or ())),
                if_match=net.version,
            )
            for key, net in outcome.net.items()
            if key not in by_merges or _says_more_than_links(net)
        ]
        incoming.sort(key=lambda entry: entry.key[0] != "Patient")
        return Submission(group.source, incoming, audit, outcome.merges if by_merges else ())


def _track(touched: dict[Key, tuple[Mapping[str, Any] | None, Mapping[str, Any], int | None]], stored: Stored) -> None:
    key = (stored.resource_type, stored.id)
    if key in touched:
        before, _, version = touched[key]
    else:
        before, version = stored.before, None if stored.before is None else stored.version - 1
    touched[key] = (before, stored.resource, version)


def _is_shared(net: Net) -> bool:
    """Whether it is about no patient: an organisation, a place, a practitioner."""
    return net.after["resourceType"] != "Patient" and not compartments.patients_of(dict(net.after))


def _says_more_than_links(net: Net) -> bool:
    return any(each.element.split(".")[1] not in ("link", "active") for each in net.differences)


def _processed(group: Group) -> list[tuple[int, MessageState]]:
    return [(member.sequence, member.state) for member in group.members if member.state is MessageState.PROCESSED]


def _failure(sequence: int, problem: Exception) -> Failure:
    """The text of our own errors only: others may repeat values of the message."""
    if isinstance(problem, HealthSyncError):
        return Failure(sequence, problem.code, str(problem))
    _log.warning("a message could not be read anew", sequence=sequence, exc_info=problem)
    told = f"the hub failed at this message ({type(problem).__name__}); see its log"
    return Failure(sequence, "exception", told)


def _without_bytes(members: Sequence[Any], unreadable: Sequence[int]) -> list[Failure]:
    """A group is read whole or not at all: what a message without its bytes said would be lost under the older ones."""
    lost = f"message {unreadable[0]}, whose bytes were destroyed or kept in part only, cannot be read"
    told = {
        member.sequence: lost if member.sequence in unreadable else f"{lost}, and it stands among those of this patient"
        for member in members
    }
    return [Failure(sequence, "not-found", because) for sequence, because in told.items()]


def _busy(group: Group) -> list[Failure]:
    told = "messages of these patients keep coming in; replay again when it is quieter"
    return [Failure(member.sequence, "conflict", told) for member in group.members if member.chosen]


def asked_by(
    operator: str | None, interaction: str, *, reason: str | None = None, requester: Requester | None = None
) -> AuditEvent:
    """Who asks, for the audit log: an operator on the data folder, or a client."""
    return AuditEvent(
        action=Action.EXECUTE,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=operator if requester is None else requester.user,
        client=None if requester is None else requester.client_id,
        roles=() if requester is None else requester.roles,
        purpose_of_use="HOPERAT",
        reason=reason,
    )


def _document(selection: Selection) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(selection).items()
    }


def _selection(document: Mapping[str, Any]) -> Selection:
    return Selection(
        **{
            **document,
            "state": MessageState(document["state"]) if document["state"] else None,
            **{name: datetime.fromisoformat(at) if (at := document[name]) else None for name in ("since", "until")},
            "sequences": None if document["sequences"] is None else tuple(document["sequences"]),
        }
    )
