"""A question over MLLP → its answer on the same connection: PDQ (QBP^Q22, IHE ITI-21) and PIX (QBP^Q23, IHE ITI-9).

    (1) read      what is asked; what is not understood is answered AE with its place (ERR-2)
    (2) who asks  the partner with the role and purpose that the operator gave it; without one it is answered AR
    (3) ask       the gate out: roles, consent and audit as for every reader
    (4) answer    RSP^K22 or RSP^K23

Nothing is stored but the audit record, which seals the question: a query leaves nothing to be processed later. The
database away is AE with a sentence, within `timeout_seconds`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.domains.directory import Partner, Peer
from healthsync.errors import InvalidInput, Refused, Unavailable
from healthsync.exchange.disclose import Disclose, DisclosedPage, NoCrossReference, NotCrossReferenced, Refusal
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import SealBroken, open_sealed, seal
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.fhir import json as fhir_json
from healthsync.standards.fhir import query as fhir_search
from healthsync.standards.fhir.query_values import token
from healthsync.standards.hl7v2 import AckCode, ErrorCode, Message, build_ack
from healthsync.standards.maps.outbound import QueryAnswer, build_response
from healthsync.standards.maps.queries import KINDS, PatientQuery, Place, QueryFault, QueryNotUnderstood, read_query

MOST_PATIENTS = 100
"""Patients of one answer; the rest comes with DSC."""

_MOST_AT_ONCE = 8
_MOST_WAITING = 1024
_NOBODY_IN_PARTICULAR = "TREAT"

_log = logger(__name__)
_answered = metrics.counter(
    "healthsync_queries_answered", "Queries over MLLP by kind, and how they were answered (QAK-2).", ("kind", "outcome")
)
_seconds = metrics.histogram("healthsync_query_seconds", "From the end of a query over MLLP to its answer.")

_INTERACTIONS = {"demographics": "query-demographics", "identifiers": "query-identifiers"}
_UNKNOWN = ErrorCode.UNKNOWN_KEY_IDENTIFIER
_WHY: dict[NoCrossReference, QueryFault] = {
    NoCrossReference.SOURCE: QueryFault(_UNKNOWN, ("QPD", 1, 3, 1, 1), "nobody is known by the number in QPD-3"),
    NoCrossReference.SOURCE_DOMAIN: QueryFault(_UNKNOWN, ("QPD", 1, 3, 1, 4), "the authority in QPD-3 is not known"),
    NoCrossReference.SEVERAL_PERSONS: QueryFault(
        ErrorCode.DUPLICATE_KEY_IDENTIFIER,
        ("QPD", 1, 3, 1, 1),
        "the number in QPD-3 is borne by several persons here; the operator has to look at them",
    ),
}


def is_query(message: Message) -> bool:
    """Whether this is a question that is answered here, or takes one back (QCN^J01)."""
    code, trigger = message.message_code.strip(), message.trigger.strip()
    return (code == "QBP" and trigger in KINDS) or (code == "QCN" and trigger == "J01")


class AnswerQuery:
    """The flow. `pointer_key` (32 bytes) seals continuation pointers; `application` and `facility` name the hub."""

    def __init__(
        self,
        *,
        disclose: Disclose,
        audit: AuditService,
        clock: Clock,
        pointer_key: bytes,
        application: str,
        facility: str,
        timeout_seconds: float = 10.0,
        authorities: Authorities = NO_AUTHORITIES,
    ) -> None:
        self._authorities = authorities
        self._disclose, self._audit, self._clock, self._key = disclose, audit, clock, pointer_key
        self._application, self._facility, self._timeout_seconds = application, facility, timeout_seconds
        self._turn = asyncio.Semaphore(_MOST_AT_ONCE)
        self._waiting = 0

    async def __call__(self, message: Message, partner: Partner, peer: Peer) -> bytes:
        """The answer to a message for which `is_query` holds."""
        control_id, application, facility = secrets.token_hex(10), self._application, self._facility
        if message.message_code.strip() == "QCN":  # a pointer holds all that goes on: nothing is kept to be cancelled
            return build_ack(
                message,
                AckCode.AA,
                control_id=control_id,
                now=self._clock.now(),
                application=application,
                facility=facility,
            )
        answer = await self._in_turn(message, partner, peer)
        return build_response(
            message,
            answer,
            control_id=control_id,
            at=self._clock.now(),
            application=application,
            facility=facility,
        )

    async def _in_turn(self, message: Message, partner: Partner, peer: Peer) -> QueryAnswer:
        """The answer, while a few others are being looked for; AE in good time when there is none."""
        started, kind = time.perf_counter(), KINDS[message.trigger.strip()]
        self._waiting += 1
        try:
            if self._waiting > _MOST_WAITING:
                raise Unavailable("too many queries wait")
            async with asyncio.timeout(self._timeout_seconds), self._turn:
                answer = await self._answer(message, _requester(partner, peer), kind)
        except (Unavailable, TimeoutError):
            _log.warning("a query cannot be answered now", source=partner.name, kind=kind)
            answer = _refused(AckCode.AE, "the hub cannot answer now; ask again later")
        except Exception:
            _log.exception("a query cannot be answered", source=partner.name, kind=kind)
            answer = _refused(AckCode.AE, "the hub failed on this query; it was logged")
        finally:
            self._waiting -= 1
        _answered.labels(kind=kind, outcome=answer.status.lower()).inc()
        _seconds.observe(time.perf_counter() - started)
        return answer

    async def _answer(self, message: Message, requester: Requester, kind: str) -> QueryAnswer:
        question = message.first("QPD")
        asked = question.raw if question is not None else ""
        if not requester.roles:
            await self._record_refusal(requester, kind, "role", asked)
            return _refused(
                AckCode.AR,
                "this sender may not ask about patients; the operator allows it with: healthsync partner queries",
            )
        try:
            query = read_query(message, requester.client_id, self._authorities)
            if kind == "demographics":
                return await self._demographics(requester, query, asked)
            return await self._identifiers(requester, query, asked)
        except QueryNotUnderstood as problem:
            await self._record_refusal(requester, kind, "not-understood", asked)
            return QueryAnswer(AckCode.AE, [problem.fault])
        except Refused as problem:
            await self._record_refusal(requester, kind, "role", asked)
            return _refused(AckCode.AR, str(problem))

    async def _identifiers(self, requester: Requester, query: PatientQuery, asked: str) -> QueryAnswer:
        found = await self._disclose.cross_references(
            requester, query.number, query.domains or None, interaction=_INTERACTIONS[query.kind], asked=asked
        )
        if isinstance(found, Refusal):
            return _refused(AckCode.AR, found.because)
        if not isinstance(found, NotCrossReferenced):
            return QueryAnswer(AckCode.AA, numbers=found.identifiers)
        if found.why is NoCrossReference.TARGET_DOMAIN:
            return QueryAnswer(AckCode.AE, _unknown_domains(query, found.systems))
        return QueryAnswer(AckCode.AE, [_WHY[found.why]])

    async def _demographics(self, requester: Requester, query: PatientQuery, asked: str) -> QueryAnswer:
        interaction = _INTERACTIONS[query.kind]
        after = self._position(requester, query, asked)
        if unknown := await self._disclose.unknown_domains(requester, query.domains):
            await self._record_refusal(requester, query.kind, NoCrossReference.TARGET_DOMAIN.value, asked)
            return QueryAnswer(AckCode.AE, _unknown_domains(query, unknown))
        criteria = list(query.criteria)
        if query.domains:
            criteria.append(("identifier", ",".join(token(system, "") for system in query.domains)))

        async def search(*in_use: tuple[str, str]) -> DisclosedPage | Refusal:
            return await self._disclose.search(
                requester,
                fhir_search.parse("Patient", [*criteria, *in_use]),
                after=after[0],
                count=min(query.limit or MOST_PATIENTS, MOST_PATIENTS),
                asked=asked,
                interaction=interaction,
            )

        try:
            found = await search(("active:not", "false"))  # PID cannot say that a number was merged away
            if isinstance(found, Refusal):  # the role does not see it either, or may not ask at all
                found = await search()
        except InvalidInput as problem:
            fault = QueryFault(ErrorCode.DATA_TYPE_ERROR, ("QPD", 1, 3), str(problem))
            raise QueryNotUnderstood(fault) from None
        if isinstance(found, Refusal):
            return _refused(AckCode.AR, found.because)
        return self._page(requester, query, asked, found, after[1])

    def _page(
        self, requester: Requester, query: PatientQuery, asked: str, found: DisclosedPage, shown: int
    ) -> QueryAnswer:
        shown += len(found.entries)
        pointer = ""
        if found.position is not None:
            place = json.dumps([list(found.position), shown]).encode()
            pointer = base64.urlsafe_b64encode(seal(self._key, place, _binding(requester, asked))).decode().rstrip("=")
        total = shown if found.position is None else found.total
        return QueryAnswer(
            AckCode.AA,
            patients=[
                _of_domains(self._authorities.one_named(fhir_json.parse(each.text.encode())), query.domains)
                for each in found.entries
            ],
            total=total,
            remaining=None if total is None else max(total - shown, 0),
            pointer=pointer,
        )

    def _position(self, requester: Requester, query: PatientQuery, asked: str) -> tuple[list[Any] | None, int]:
        """Where a former answer left off, and how many patients had been shown. Raises QueryNotUnderstood for a pointer
        of another query or partner."""
        if not query.pointer:
            return None, 0
        try:
            sealed = base64.urlsafe_b64decode(query.pointer + "=" * (-len(query.pointer) % 4))
            place, shown = json.loads(open_sealed(self._key, sealed, _binding(requester, asked)))
        except (SealBroken, ValueError):
            told = "this pointer does not belong to this query; ask again from the beginning"
            raise QueryNotUnderstood(QueryFault(_UNKNOWN, ("DSC", 1, 1), told)) from None
        return place, shown

    async def _record_refusal(self, requester: Requester, kind: str, reason: str, asked: str) -> None:
        await self._audit.record_and_commit(
            audit_event(
                requester,
                Action.EXECUTE,
                _INTERACTIONS[kind],
                Outcome.REFUSED,
                ["Patient"],
                reason=reason,
                query=asked,
            )
        )


def _requester(partner: Partner, peer: Peer) -> Requester:
    return Requester(
        client_id=partner.name,
        roles=(partner.query_role,) if partner.query_role else (),
        purpose_of_use=partner.query_purpose or _NOBODY_IN_PARTICULAR,
        organisation=partner.organisation,
        source_address=peer.address,
    )


def _refused(code: AckCode, told: str) -> QueryAnswer:
    return QueryAnswer(code, [QueryFault(ErrorCode.APPLICATION_INTERNAL_ERROR, (), told)])


def _unknown_domains(query: PatientQuery, unknown: tuple[str, ...]) -> list[QueryFault]:
    """An ERR for each domain, at its repetition (ITI TF-2 §3.9.4.2.2.6, §3.21.4.2.2.5)."""
    field = query.domains_field
    places: list[Place] = [
        ("QPD", 1, field, number) for number, domain in enumerate(query.domains, 1) if domain in unknown
    ]
    return [QueryFault(_UNKNOWN, place, f"this authority in QPD-{field} is not known") for place in places]


def _of_domains(patient: dict[str, Any], domains: tuple[str, ...]) -> dict[str, Any]:
    """The patient with the numbers of the domains that were asked for; none asked for: with all."""
    if not domains:
        return patient
    return {**patient, "identifier": [n for n in patient.get("identifier", ()) if n.get("system") in domains]}


def _binding(requester: Requester, asked: str) -> bytes:
    return f"{requester.client_id}\x1f{asked}".encode()
