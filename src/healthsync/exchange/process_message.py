"""HL7 v2 through: from stored bytes to FHIR.

    (1) claim       the oldest due messages whose older neighbours in their lanes are done, or are in this batch
    (2) count       the attempt, in a commit of its own: a message that brings the hub down is known by its count
    (3) understand  open the bytes, parse, map; fill in from the operator's tables, bring to normal forms, add
                    standard codes beside local ones; judge how good it is
    (4) ingest      validate, identify, store, audit, events, behind a savepoint: one that fails undoes only itself
    (5) settle      states, lanes, counts; one commit for the batch

Between (1) and the commit the messages are locked, so several workers may run: a message whose older neighbour is
with another worker is not taken. What fails holds back the younger ones of its own lanes until its next attempt.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from healthsync.domains.audit import Action
from healthsync.domains.directory import DirectoryService
from healthsync.domains.enrichment import EnrichmentTables, enriched
from healthsync.domains.messages import (
    ACCEPTED_CHANNEL,
    Claimed,
    MessageService,
    MessageState,
    SealedMessage,
    Selection,
    Settlement,
    day_of,
    failed,
    runnable,
)
from healthsync.domains.privacy import DataKeys
from healthsync.domains.quality import Action as Verdict
from healthsync.domains.quality import Bands, Content, MessageScore, QualityService
from healthsync.exchange.events import EventName
from healthsync.exchange.ingest import Incoming, Ingest, IngestResult, Submission, submission_audit
from healthsync.exchange.normal_forms import ConventionsOf, in_normal_forms
from healthsync.exchange.standardise import Standardise
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction, is_deadlock
from healthsync.infrastructure.events import Event, EventLog
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.infrastructure.telemetry import logger, metrics, span
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.hl7v2 import Message, codec_of
from healthsync.standards.maps import Conversion, MappingContext, OperatorMapping, convert
from healthsync.standards.normalise import AS_SENT

WAKE_CHANNEL = ACCEPTED_CHANNEL
"""NOTIFY on this channel says that there is something to process."""

_log = logger(__name__)
_processed = metrics.counter(
    "healthsync_messages_processed", "Attempts to process a message, by how they ended.", ("outcome",)
)
_seconds = metrics.histogram("healthsync_message_process_seconds", "Time that one message took, without its commit.")
_points = metrics.histogram(
    "healthsync_message_quality", "Points of a message, by source.", ("source",), buckets=(25, 50, 59, 74, 89, 100)
)
_judged = metrics.counter(
    "healthsync_messages_judged", "Messages by source and what followed from their points.", ("source", "action")
)
_DEADLOCKS = 5
_backlog = metrics.gauge("healthsync_messages_in_state", "Messages that wait, and dead letters.", ("state",))


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What is known of sources when a message is read: character sets of those that do not name them in their
    messages, and bands of quality of those that have a contract."""

    encodings: Mapping[str, str]
    bands: Mapping[str, Bands]


@dataclass(frozen=True, slots=True)
class Understood:
    """A message as the gate will get it, and what was noticed on the way. `score` is None when nothing was judged."""

    submission: Submission
    unmapped: Mapping[str, int]
    warnings: tuple[str, ...]
    score: MessageScore | None

    @property
    def refusal(self) -> str | None:
        """Why it is not to be stored, for the operator; None when it is."""
        if self.score is None or self.score.action is not Verdict.REJECT:
            return None
        failed = ", ".join(sorted(self.score.score.failed))
        return f"its quality is {self.score.score.points} of 100, less than is asked of this source; see {failed}"


class ProcessMessage:
    """The flow. `timezone` is that of v2 times without an offset, `character_encoding` that of bytes whose MSH-18 is
    empty; a partner of the `directory` may have its own."""

    def __init__(
        self,
        *,
        database: Database,
        messages: MessageService,
        data_keys: DataKeys,
        ingest: Ingest,
        clock: Clock,
        timezone: tzinfo,
        operator: OperatorMapping | None = None,
        character_encoding: str = "UTF-8",
        directory: DirectoryService | None = None,
        retry: RetryPolicy | None = None,
        conventions: ConventionsOf = lambda _source: AS_SENT,
        enrichment: EnrichmentTables | None = None,
        standardise: Standardise | None = None,
        quality: QualityService | None = None,
        events: EventLog | None = None,
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        self._authorities = authorities
        self._database, self._messages, self._data_keys = database, messages, data_keys
        self._ingest, self._clock, self._retry = ingest, clock, retry or RetryPolicy()
        self._timezone, self._operator = timezone, operator
        self._character_encoding, self._directory = character_encoding, directory
        self._conventions, self._enrichment = conventions, enrichment or EnrichmentTables()
        self._standardise, self._quality = standardise, quality
        self._events = events

    async def __call__(self, limit: int = 50) -> int:
        """Process one batch; returns how many messages were tried, 0 when none may run now.

        Raises Unavailable when the database goes away: then nothing of the batch was stored, and all of it waits.
        """
        return await self._batch(limit, only_heads=False) or await self._batch(limit, only_heads=True)

    async def observe_backlog(self) -> None:
        """Tell the metrics how many messages wait and how many are dead."""
        async with self._database.connection() as tx:
            for state in (MessageState.ACCEPTED, MessageState.DEAD):
                _backlog.labels(state=state.value).set(await self._messages.counted(tx, Selection(state)))

    async def _batch(self, limit: int, *, only_heads: bool) -> int:
        async with self._database.transaction() as tx:
            now = self._clock.now()
            batch = await self._messages.claim(tx, limit, now, only_heads=only_heads)  # (1)
            if not batch:
                return 0
            async with self._database.transaction() as counting:  # (2)
                await self._messages.begin(counting, batch)
            settlements, scores = await self._attempt_all(tx, batch)
            if self._quality is not None:
                await self._quality.keep(tx, scores)
            await self._messages.settle(tx, batch, settlements, self._clock.now())  # (5)
            await self._announce(tx, batch, settlements)
        self._observe(batch, settlements, scores)
        if self._standardise is not None:
            await self._standardise.report()
        return len(settlements)

    async def _attempt_all(
        self, tx: Transaction, batch: Sequence[Claimed]
    ) -> tuple[dict[int, Settlement], list[MessageScore]]:
        rules = await self.rules(tx)
        by_sequence = {message.sequence: message for message in batch}
        lanes = {sequence: message.lanes for sequence, message in by_sequence.items()}
        settlements: dict[int, Settlement] = {}
        scores: list[MessageScore] = []
        waiting: set[int] = set()
        for sequence in runnable(by_sequence, lanes, waiting):
            settlements[sequence] = settlement = await self._attempt(tx, by_sequence[sequence], rules, scores)
            if settlement.state is MessageState.ACCEPTED:
                waiting.add(sequence)
        return settlements, scores

    async def rules(self, tx: Transaction) -> SourceRules:
        """What is known of sources now."""
        partners = await self._directory.partners(tx) if self._directory else []
        encodings = {partner.name: partner.character_encoding for partner in partners if partner.character_encoding}
        return SourceRules(encodings, await self._quality.bands_by_source(tx) if self._quality else {})

    async def _attempt(
        self, tx: Transaction, claimed: Claimed, rules: SourceRules, scores: list[MessageScore]
    ) -> Settlement:
        started = time.perf_counter()
        try:
            with span("process message", sequence=claimed.sequence, source=claimed.source):
                settlement, score = await self._process_at_last(tx, claimed, rules)
            scores += [score] if score is not None else []
            return settlement
        except Exception as error:
            jitter = secrets.randbelow(1000) / 1000
            settlement = failed(claimed, error, self._retry, self._clock.now(), jitter)
            level = _log.warning if settlement.state is MessageState.DEAD else _log.info
            level("a message could not be processed", sequence=claimed.sequence, source=claimed.source,
                  reason=settlement.reason_code, attempts=settlement.attempts, exc_info=error)  # fmt: skip
            return settlement
        finally:
            _seconds.observe(time.perf_counter() - started)

    async def _process_at_last(
        self, tx: Transaction, claimed: Claimed, rules: SourceRules
    ) -> tuple[Settlement, MessageScore | None]:
        """A deadlock with another worker is no fault of the message: it is tried again at once, for a few times."""
        for left in reversed(range(_DEADLOCKS)):
            try:
                async with tx.savepoint():
                    return await self._process(tx, claimed, rules)
            except Exception as error:
                if not left or not is_deadlock(error):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _process(
        self, tx: Transaction, claimed: Claimed, rules: SourceRules
    ) -> tuple[Settlement, MessageScore | None]:
        understood = await self.understand(tx, claimed, rules)  # (3)
        attempts, unmapped, warnings = claimed.attempts + 1, dict(understood.unmapped), understood.warnings
        if (because := understood.refusal) is not None:
            dead = Settlement(MessageState.DEAD, attempts, reason_code="quality", reason=because, unmapped=unmapped)
            return dead, understood.score
        result = await self._ingest(tx, understood.submission)  # (4)
        stored = sum(stored.outcome != "unchanged" for stored in result.stored)
        return Settlement(
            MessageState.PROCESSED,
            attempts,
            stored_resources=stored,
            unmapped=unmapped,
            warnings=warnings,
            patients=tuple(dict.fromkeys((*_patients(result), *result.patients))),
        ), understood.score

    async def understand(self, tx: Transaction, message: SealedMessage, rules: SourceRules) -> Understood:
        """What a stored message says, ready for the gate. Raises what makes a message impossible to process."""
        parsed = _parse(await self._open(tx, message), rules.encodings.get(message.source, self._character_encoding))
        conversion = await self._convert(tx, message, parsed)
        if self._standardise is not None:
            await self._standardise(tx, message.source, [mapped.resource for mapped in conversion.resources])
        score = self._score(message, conversion, rules)
        warnings = tuple(dict.fromkeys(issue.code for issue in conversion.issues))
        return Understood(self._submission(message, conversion), conversion.unmapped, warnings, score)

    async def _open(self, tx: Transaction, message: SealedMessage) -> bytes:
        keys = await self._data_keys.of_versions(tx, [message.key] if message.key else [])
        return self._messages.open(message, keys)

    async def _convert(self, tx: Transaction, message: SealedMessage, parsed: Message) -> Conversion:
        """The message as FHIR. What is stored under the key that another name of an authority made keeps its id."""
        source, ids = message.source, dict[tuple[str, str], str]()

        def resource_id(resource_type: str, key: str) -> str:
            if (id_ := ids.get((resource_type, key))) is None:
                id_ = ids[resource_type, key] = self._ingest.resource_id(resource_type, source, key)
            return id_

        context = MappingContext(
            source=source,
            resource_id=resource_id,
            timezone=self._timezone,
            received_at=message.received_at,
            operator=self._operator,
            conventions=self._conventions(source),
            authorities=self._authorities,
        )
        conversion = convert(parsed, context)
        if self._authorities and (former := await self._former_ids(tx, source, ids)):
            ids |= former
            conversion = convert(parsed, context)
        conversion = enriched(conversion, self._enrichment, context.resource_id)
        return in_normal_forms(conversion, context.conventions)

    async def _former_ids(
        self, tx: Transaction, source: str, ids: Mapping[tuple[str, str], str]
    ) -> dict[tuple[str, str], str]:
        """Ids of what is stored under one other key, and not under its own."""
        others = {
            (resource_type, key): [self._ingest.resource_id(resource_type, source, other) for other in keys]
            for resource_type, key in ids
            if (keys := self._authorities.other_keys(key))
        }
        wanted = [(place[0], id_) for place, those in others.items() for id_ in (ids[place], *those)]
        stored = await self._ingest.stored(tx, wanted)
        former: dict[tuple[str, str], str] = {}
        for place, those in others.items():
            here = [id_ for id_ in those if (place[0], id_) in stored]
            if len(here) == 1 and (place[0], ids[place]) not in stored:
                former[place] = here[0]
        return former

    def _score(self, message: SealedMessage, conversion: Conversion, rules: SourceRules) -> MessageScore | None:
        if self._quality is None:
            return None
        resources = [mapped.resource for mapped in conversion.resources if mapped.type != "Provenance"]
        issues = [issue.code for issue in conversion.issues]
        score = self._quality.judge(Content(resources, message.received_at, conversion.event_at, issues))
        if score is None:
            return None
        bands = rules.bands.get(message.source, self._quality.bands)
        action = bands.action(score.points, failed_critically=score.failed_critically)
        return MessageScore(message.sequence, message.source, message.type, day_of(message.received_at), score, action)

    @staticmethod
    def _submission(claimed: SealedMessage, conversion: Conversion) -> Submission:
        audit = submission_audit(
            Action.CREATE, "process-message", client=claimed.source, message_sequence=claimed.sequence
        )
        resources = [Incoming(mapped.resource, "merge", mapped) for mapped in conversion.resources]
        return Submission(claimed.source, resources, audit, conversion.merges)

    async def _announce(self, tx: Transaction, batch: Sequence[Claimed], settlements: Mapping[int, Settlement]) -> None:
        """Tell what was settled; whoever handles messages gets them then (`applications.deliveries`)."""
        if self._events is None:
            return
        ended = [(m, s) for m in batch if (s := settlements.get(m.sequence)) and s.state is not MessageState.ACCEPTED]
        await self._events.append_many(
            tx,
            [
                Event(
                    EventName.MESSAGE_SETTLED,
                    f"Message/{message.sequence}",
                    {
                        "source": message.source,
                        "type": message.type,
                        "state": settlement.state,
                        "received_at": message.received_at,
                        "lanes": sorted(message.lanes),
                        "patients": settlement.patients,
                    },
                )
                for message, settlement in ended
            ],
        )

    @staticmethod
    def _observe(batch: Sequence[Claimed], settlements: dict[int, Settlement], scores: Sequence[MessageScore]) -> None:
        for settlement in settlements.values():
            again = settlement.state is MessageState.ACCEPTED
            _processed.labels(outcome="retry" if again else settlement.state.value).inc()
        for score in scores:
            _points.labels(source=score.source).observe(score.score.points)
            _judged.labels(source=score.source, action=score.action.value).inc()
        _log.debug("messages processed", batch=len(batch), count=len(settlements))


def _patients(result: IngestResult) -> list[str]:
    return [f"Patient/{stored.id}" for stored in result.stored if stored.resource_type == "Patient"]


def _parse(raw: bytes, encoding: str) -> Message:
    """The message, read in `encoding` where it does not say its own and the bytes are valid in it."""
    message = Message.parse(raw)
    if "charset-undeclared" not in message.warnings:
        return message
    try:
        return Message.parse(raw.decode(codec_of(encoding) or encoding).encode())
    except (LookupError, UnicodeDecodeError):
        return message
