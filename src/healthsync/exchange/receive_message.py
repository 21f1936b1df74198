"""HL7 v2 in: durable, then acknowledged.

    (1) read        split the frame into its messages; each needs an MSH
    (2) recognise   whose message is it? a stranger's is refused and not kept
    (3) refuse      what cannot be accepted: its bytes are kept as a dead letter, where the partner is known; a question
                    about patients is answered (`answer_query`) and not kept
    (4) commit      raw bytes sealed, lanes, audit, event: one transaction for all who wait at this moment
    (5) answer      the ACK built in (3) or for (4); a resend gets the answer of the first time

No answer but a NAK leaves before (4) has committed, and a NAK for what is kept leaves after it too. The caller
writes the answers of one connection in the order of its frames.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.directory import DirectoryService, Partner, PartnerState, Peer, development_partner, recognise
from healthsync.domains.messages import (
    Answering,
    Arrival,
    MessageService,
    MessageWarning,
    Receipt,
    answering,
    control_id_of,
    shown_text,
    type_of,
)
from healthsync.domains.privacy import DataKeys
from healthsync.errors import Unavailable
from healthsync.exchange.answer_query import AnswerQuery, is_query
from healthsync.exchange.applications.answers import ApplicationAnswers, Later
from healthsync.exchange.events import EventName
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.events import Event, EventLog
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.hl7v2 import (
    AckCode,
    AckError,
    ErrorCode,
    Hl7SyntaxError,
    Message,
    build_ack,
    is_miscounted,
    split_batch,
)

_log = logger(__name__)
_received = metrics.counter(
    "healthsync_messages_received", "Messages that came in, by what became of them.", ("outcome",)
)
_seconds = metrics.histogram("healthsync_message_accept_seconds", "From the end of a frame to its answer.")

_MOST_IN_GROUP = 256
_MOST_WAITING = 1024
_DIRECTORY_FRESH_SECONDS = 1.0
_STRANGER_FRESH_SECONDS = 0.2
_KEPT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HubIdentity:
    """How this hub names itself in acknowledgements (MSH-3, MSH-4)."""

    application: str = "HealthSync"
    facility: str = "HUB"


@dataclass(frozen=True, slots=True)
class FrameRefusal:
    """Why something is not taken: code for programs, sentence for the partner, and whether to send it again."""

    code: str
    sentence: str
    send_again: bool = False


NO_MSH = FrameRefusal("no-msh", "no MSH segment at the start: this is no HL7 v2 message")
TOO_LARGE = FrameRefusal("too-large", "the message is larger than this hub takes")
INCOMPLETE = FrameRefusal("incomplete", "the frame did not end with FS CR; send it again", send_again=True)
NO_FRAME = FrameRefusal("no-frame", "bytes outside a frame: this port speaks MLLP, a message begins with VT")
UNKNOWN_PARTNER = FrameRefusal(
    "unknown-partner", "this sender is not registered here; the operator adds it with: healthsync partner add"
)
PAUSED = FrameRefusal("paused", "the operator has paused this partner; send it again later", send_again=True)
UNAVAILABLE = FrameRefusal("unavailable", "the hub cannot store messages now; send it again later", send_again=True)

QUERY = FrameRefusal(
    "query-not-answered",
    "of queries over MLLP this hub answers QBP^Q22 (PDQ) and QBP^Q23 (PIX); for others ask its FHIR API",
)
TRIAL = FrameRefusal(
    "clinical-trial",
    "messages of clinical trials (CRM, CSU) have no place in this hub; send results as ORU, visits as ADT",
)

_REFUSED_KINDS = {
    **dict.fromkeys(
        ("QBP", "QCN", "QRY", "QSB", "QSX", "QVR", "EQQ", "OSQ", "RQQ", "SPQ", "SQM", "VQQ", "VXQ", "RQA", "RQC", "RQI",
         "RQP"),
        QUERY,
    ),
    "CRM": TRIAL,
    "CSU": TRIAL,
}  # fmt: skip
"""MSH-9.1 of messages whose sender waits for more than an acknowledgement, or that nothing here could keep."""

_CONDITIONS = {
    TRIAL: ErrorCode.UNSUPPORTED_MESSAGE_TYPE,
    NO_MSH: ErrorCode.SEGMENT_SEQUENCE_ERROR,
    INCOMPLETE: ErrorCode.SEGMENT_SEQUENCE_ERROR,
    NO_FRAME: ErrorCode.SEGMENT_SEQUENCE_ERROR,
    UNKNOWN_PARTNER: ErrorCode.UNKNOWN_KEY_IDENTIFIER,
}


@dataclass(slots=True, eq=False)
class _Taken:
    """One message on its way through the steps."""

    raw: bytes
    peer: Peer
    message: Message | None
    answering: Answering
    partner: Partner | None = None
    refusal: FrameRefusal | None = None
    arrival: Arrival | None = None
    answer: bytes | None = None
    done: asyncio.Future[bytes | None] | None = None
    later: Later | None = None
    is_query: bool = False
    warnings: tuple[str, ...] = ()
    """What is to be known of the frame in which it came."""

    @property
    def outcome(self) -> str:
        return self.refusal.code if self.refusal else "accepted"


class ReceiveMessage:
    """The flow. `development` admits unknown partners from this machine."""

    def __init__(
        self,
        *,
        database: Database,
        messages: MessageService,
        directory: DirectoryService,
        data_keys: DataKeys,
        audit: AuditService,
        events: EventLog,
        clock: Clock,
        hub: HubIdentity = HubIdentity(),
        ack_mode: str = "original",
        development: bool = False,
        commit_timeout_seconds: float = 10.0,
        answers: ApplicationAnswers | None = None,
        answer_query: AnswerQuery | None = None,
    ) -> None:
        self._database, self._messages, self._directory = database, messages, directory
        self._data_keys, self._audit, self._events, self._clock = data_keys, audit, events, clock
        self._hub, self._ack_mode, self._development = hub, ack_mode, development
        self._commit_timeout_seconds, self._answers = commit_timeout_seconds, answers
        self._answer_query = answer_query
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._waiting: list[_Taken] = []
        self._writer: asyncio.Task[None] | None = None
        self._partners: list[Partner] = []
        self._recognised: dict[tuple[Peer, str, str, bool], Partner | None] = {}
        self._partners_at = float("-inf")

    async def __call__(self, payload: bytes, peer: Peer, later: Later | None = None) -> bytes | None:
        """The answer to one frame: an ACK, for a batch a batch of ACKs, or None where the sender wants none.

        Calls are taken in the order in which they were made, and wait here while the hub has enough to do. `later` is
        called with the application acknowledgement of enhanced mode, when there is one.
        """
        warnings = (MessageWarning.BATCH_MISCOUNTED,) if is_miscounted(payload) else ()
        return await self._take(split_batch(payload) or [payload], peer, None, len(payload), later, warnings)

    async def refuse(self, refusal: FrameRefusal, head: bytes, size_bytes: int, peer: Peer) -> bytes | None:
        """The answer to a frame that the transport could not deliver; its beginning is kept if the partner is known."""
        return await self._take([head[:_KEPT_BYTES]], peer, refusal, size_bytes)

    async def close(self) -> None:
        """Wait for the commits under way."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _take(
        self,
        parts: Sequence[bytes],
        peer: Peer,
        refusal: FrameRefusal | None,
        size_bytes: int,
        later: Later | None = None,
        warnings: tuple[str, ...] = (),
    ) -> bytes | None:
        started = time.perf_counter()
        batch: list[Awaitable[bytes | None]] = []
        async with self._turn:  # the lock is fair: a call that has to wait for room or the directory keeps its place
            while len(self._waiting) >= _MOST_WAITING:
                self._room.clear()
                await self._room.wait()
            for raw in parts:
                taken = await self._judge(raw, peer, refusal)
                taken.later, taken.warnings = later, warnings
                if (question := self._asked(taken)) is not None:
                    batch.append(asyncio.create_task(question, name="answer-query"))
                    continue
                self._prepare(taken, max(len(raw), size_bytes) if refusal else len(raw))
                batch.append(self._enqueue(taken))
        answers = [answer for done in batch if (answer := await done) is not None]
        _seconds.observe(time.perf_counter() - started)
        return self._batch_answer(answers) if len(answers) > 1 else (answers[0] if answers else None)

    # (1), (2)
    async def _judge(self, raw: bytes, peer: Peer, refusal: FrameRefusal | None) -> _Taken:
        try:
            message = Message.parse(raw)
        except Hl7SyntaxError:
            message, refusal = None, refusal or NO_MSH
        partner = await self._recognise(message, peer)
        preference = partner.ack_mode if partner else None
        taken = _Taken(raw, peer, message, answering(message, preference, self._ack_mode), partner, refusal)
        if partner is None:
            taken.refusal = refusal or UNKNOWN_PARTNER
        elif partner.state is PartnerState.PAUSED:
            taken.refusal = refusal or PAUSED
        elif message is not None and refusal is None and self._answer_query and is_query(message):
            taken.is_query = True
        elif message is not None:
            taken.refusal = refusal or _REFUSED_KINDS.get(message.message_code.strip())
        return taken

    def _asked(self, taken: _Taken) -> Coroutine[Any, Any, bytes] | None:
        """The answer to a question, on its way: it is not stored, and holds up no message behind it."""
        if self._answer_query is None or not taken.is_query or taken.message is None or taken.partner is None:
            return None
        _received.labels(outcome="query").inc()
        return self._answer_query(taken.message, taken.partner, taken.peer)

    async def _recognise(self, message: Message | None, peer: Peer) -> Partner | None:
        application = shown_text(message.sending_application) if message else ""
        facility = shown_text(message.sending_facility) if message else ""
        place = (peer, application, facility, message is not None)
        for fresh_seconds in (_DIRECTORY_FRESH_SECONDS, _STRANGER_FRESH_SECONDS):  # a stranger may just have been added
            await self._read_directory(fresh_seconds)
            if place not in self._recognised:
                self._recognised[place] = self._whose(peer, application, facility, message is not None)
            if (partner := self._recognised[place]) is not None:
                return partner
        return None

    def _whose(self, peer: Peer, application: str, facility: str, has_header: bool) -> Partner | None:
        if (partner := recognise(self._partners, peer, application, facility)) is not None:
            return partner
        if not (self._development and peer.is_loopback and has_header):
            return None
        made_up = development_partner(application, facility)
        return None if any(partner.name == made_up.name for partner in self._partners) else made_up

    async def _read_directory(self, fresh_seconds: float) -> None:
        """Have the directory at most `fresh_seconds` old; an older one while the database does not answer."""
        if time.monotonic() - self._partners_at < fresh_seconds:
            return
        try:
            async with asyncio.timeout(self._commit_timeout_seconds), self._database.connection() as tx:
                self._partners = await self._directory.partners(tx)
                self._recognised.clear()
        except (Unavailable, TimeoutError):
            _log.warning("the directory of partners cannot be read")
        self._partners_at = time.monotonic()

    # (3)
    def _prepare(self, taken: _Taken, size_bytes: int) -> None:
        """Build the answer and, for a known partner that is not paused, what will be stored."""
        refusal, message = taken.refusal, taken.message
        taken.answer = self._refusal_answer(taken, refusal) if refusal else self._answer(taken, taken.answering.taken)
        if taken.partner is None or refusal is PAUSED:
            return
        source = taken.partner.name
        control_id = control_id_of(message) if message else ""
        taken.arrival = Arrival(
            source=source,
            received_at=self._clock.now(),
            control_id=control_id,
            type=type_of(message),
            raw=taken.raw,
            size_bytes=size_bytes,
            lanes=self._messages.lanes(source, message) if message else (),
            acknowledgement=taken.answer,
            warnings=(
                *(message.warnings if message else ()),
                *(() if control_id else (MessageWarning.CONTROL_ID_MISSING,)),
                *taken.warnings,
            ),
            reason_code=refusal.code if refusal else None,
            reason=refusal.sentence if refusal else None,
        )

    def _enqueue(self, taken: _Taken) -> asyncio.Future[bytes | None]:
        taken.done = asyncio.get_running_loop().create_future()
        self._waiting.append(taken)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_groups(), name="accept-messages")
        return taken.done

    # (4)
    async def _write_groups(self) -> None:
        """One commit for all who wait; those who arrive meanwhile share the next one. Nobody waits for company."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST_IN_GROUP], self._waiting[_MOST_IN_GROUP:]
                self._room.set()
                await self._write_group(group)
        finally:
            self._writer = None

    async def _write_group(self, group: list[_Taken]) -> None:
        try:
            async with asyncio.timeout(self._commit_timeout_seconds), self._database.transaction() as tx:
                receipts = await self._commit(tx, group)
        except (Unavailable, TimeoutError):
            _log.error("messages cannot be stored; their senders are asked to send them again", count=len(group))
            for taken in group:
                self._turn_away(taken)
        except Exception:
            if len(group) > 1:  # one of them is at fault: let the others through
                for taken in group:
                    await self._write_group([taken])
                return
            _log.exception("a message cannot be stored")
            self._turn_away(group[0])
        else:
            for taken in group:
                receipt = receipts.get(id(taken))
                self._observe(taken, receipt)
                self._expect(taken, receipt)
                _resolve(taken, receipt.acknowledgement if receipt else taken.answer)

    async def _commit(self, tx: Transaction, group: list[_Taken]) -> dict[int, Receipt]:
        kept = [(taken, taken.arrival) for taken in group if taken.arrival is not None]
        arrivals = [arrival for _taken, arrival in kept]
        keys = {
            scope: await self._data_keys.for_scope(tx, scope)
            for scope in dict.fromkeys(arrival.key_scope for arrival in arrivals)
        }
        accepted = await self._messages.accept(tx, arrivals, keys) if arrivals else []
        receipts = {id(taken): receipt for (taken, _arrival), receipt in zip(kept, accepted, strict=True)}
        await self._audit.record_many(tx, [_audit_event(taken, receipts.get(id(taken))) for taken in group])
        await self._events.append_many(
            tx,
            [
                Event(
                    EventName.RAW_MESSAGE_RECEIVED, f"Message/{receipt.sequence}", {"source": a.source, "type": a.type}
                )
                for a, receipt in zip(arrivals, accepted, strict=True)
                if not receipt.duplicate and a.reason_code is None
            ],
        )
        return receipts

    # (5)
    def _answer(self, taken: _Taken, code: AckCode, error: AckError | None = None) -> bytes | None:
        if not taken.answering.wants(code):
            return None
        return build_ack(
            taken.message or taken.raw,
            code,
            control_id=secrets.token_hex(10),
            now=self._clock.now(),
            error=error,
            application=self._hub.application,
            facility=self._hub.facility,
        )

    def _refusal_answer(self, taken: _Taken, refusal: FrameRefusal) -> bytes | None:
        code = taken.answering.error if refusal.send_again else taken.answering.refused
        condition = _CONDITIONS.get(refusal, ErrorCode.APPLICATION_INTERNAL_ERROR)
        return self._answer(taken, code, AckError(condition, refusal.sentence))

    def _expect(self, taken: _Taken, receipt: Receipt | None) -> None:
        """In enhanced mode the application has its word later (§2.9.3)."""
        is_enhanced = taken.answering.taken is AckCode.CA and taken.refusal is None
        if self._answers and taken.later and taken.message and receipt and is_enhanced:
            self._answers.expect(receipt.sequence, taken.message, taken.later)

    def _turn_away(self, taken: _Taken) -> None:
        """It may or may not be stored, so the sender sends it again: what was stored is then recognised."""
        _received.labels(outcome=UNAVAILABLE.code).inc()
        _resolve(taken, self._refusal_answer(taken, UNAVAILABLE))

    def _batch_answer(self, answers: Sequence[bytes]) -> bytes:
        """A batch of acknowledgements (HL7 v2.5.1 §2.10.3), because one frame is answered by one frame."""
        at = self._clock.now().strftime("%Y%m%d%H%M%S+0000")
        header = f"BHS|^~\\&|{self._hub.application}|{self._hub.facility}|||{at}\r".encode()
        return header + b"".join(answers) + f"BTS|{len(answers)}\r".encode()

    def _observe(self, taken: _Taken, receipt: Receipt | None) -> None:
        duplicate = receipt is not None and receipt.duplicate
        _received.labels(outcome="duplicate" if duplicate else taken.outcome).inc()
        if taken.refusal:
            source = taken.partner.name if taken.partner else None
            _log.warning("message refused", reason=taken.refusal.code, source=source, peer=taken.peer.address)
        elif receipt and not duplicate and MessageWarning.CONTROL_ID_REUSED in receipt.warnings:
            _log.warning("control id used again with other content", source=taken.partner and taken.partner.name,
                         sequence=receipt.sequence)  # fmt: skip


def _resolve(taken: _Taken, answer: bytes | None) -> None:
    if taken.done is not None and not taken.done.done():  # the caller may have gone
        taken.done.set_result(answer)


def _audit_event(taken: _Taken, receipt: Receipt | None) -> AuditEvent:
    duplicate = receipt is not None and receipt.duplicate
    return AuditEvent(
        action=Action.CREATE,
        interaction="receive-message",
        outcome=Outcome.REFUSED if taken.refusal else Outcome.PERMITTED,
        client=taken.partner.name if taken.partner else None,
        organisation=taken.partner.organisation if taken.partner else None,
        reason=taken.refusal.code if taken.refusal else "duplicate" if duplicate else None,
        source_address=taken.peer.address,
        message_sequence=receipt.sequence if receipt else None,
    )
