"""Who is who, for stewards: tasks, decisions, merges, pins; the report of duplicates; Patient/$merge.

GET    /api/v1/healthsync/identity/review?state=&kind=&owner=&overdue=&after=&limit=
GET    /api/v1/healthsync/identity/review/{id}            a task: reasons, which fields agree, history
GET    /api/v1/healthsync/identity/review/{id}/records    the two records, through the gate out
POST   /api/v1/healthsync/identity/review/{id}            {"decision": "link", "reason": CODE} or {"claim": true}
POST   /api/v1/healthsync/identity/merge   {"survivor": id, "retired": id, "reason": CODE, "keep_both": false}
POST   /api/v1/healthsync/identity/unmerge                {"patient": id, "other": id, "reason": CODE}
POST   /api/v1/healthsync/identity/split                  {"patient": id, "reason": CODE}
GET    /api/v1/healthsync/identity/doubles                pairs of records of one source under one number
POST   /api/v1/healthsync/identity/doubles                {"reason": CODE}: merge those that are one person's
POST   /api/v1/healthsync/identity/pins                   {"patient": id, "element": "birthDate", "reason": CODE}
DELETE /api/v1/healthsync/identity/pins                   the same body
GET    /api/v1/healthsync/identity/history/{id}           of a person, by enterprise id or by a patient's
GET    /api/v1/healthsync/identity/report?by=&since=&until=
POST   /api/v1/healthsync/identity/rematch                {"dry_run": true}: 202 and the address of a job
POST   /api/v1/healthsync/identity/models                 {"dry_run": true}: learn; 202 and the address of a job
GET    /api/v1/healthsync/identity/models                 the models that were learned
PUT    /api/v1/healthsync/identity/models/active          {"model": 3, "although_worse": false}; null: none
POST   /fhir/Patient/$merge
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.administration.learn_identity import model_document
from healthsync.exchange.administration.operators import PRIVACY, STEWARDS, Actor
from healthsync.exchange.administration.report_identity import document
from healthsync.exchange.administration.steward_identity import (
    Choice,
    StewardIdentity,
    TaskKind,
    TaskState,
    double_document,
    event_document,
    task_document,
    view_document,
)
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Refusal
from healthsync.standards.fhir import json
from healthsync.standards.fhir.outcome import operation_outcome
from healthsync.standards.fhir.parameters import Parameters

from . import answers
from .job_routes import accepted
from .quality_routes import day_of
from .requests import FHIR_TYPES, body_of, legal_id, requester_of
from .router import Router

_E = TypeVar("_E", Choice, TaskKind, TaskState)
_WAITING = "open,claimed,second"
_MOST, _USUAL = 1000, 100


class IdentityRoutes:
    """The handlers. `hub` is a `bootstrap.Hub`; `begin` authenticates and checks the address of a FHIR request."""

    def __init__(self, hub: Any, begin: Any) -> None:
        self._hub, self._begin = hub, begin
        self._stewards: StewardIdentity = hub.steward_identity

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        for name in ("tasks", "task", "records", "decide", "merge", "unmerge", "split", "history", "report", "rematch",
                     "doubles", "merge_doubles",                     "learn", "models", "use_model"):  # fmt: skip
            router.add(f"identity.{name}", getattr(self, name))
        router.add("identity.pin", self.pin)
        router.add("identity.unpin", self.unpin)
        router.add("fhir.merge", self.fhir_merge)

    async def tasks(self, request: Request, names: Mapping[str, str]) -> Response:
        """Tasks that wait, the oldest first; `after` goes on behind the last one."""
        steward, asked = await self._steward(request), request.query_params
        tasks = await self._stewards.tasks(
            steward,
            states=[_one_of(TaskState, word, "state") for word in asked.get("state", _WAITING).split(",")],
            kind=_one_of(TaskKind, asked["kind"], "kind") if "kind" in asked else None,
            owner=asked.get("owner"),
            after=_number(asked.get("after"), "after", 0),
            limit=min(_number(asked.get("limit"), "limit", _USUAL), _MOST),
            overdue=_flag(asked.get("overdue", "false"), "overdue"),
        )
        return answers.plain({"tasks": [task_document(task) for task in tasks]})

    async def task(self, request: Request, names: Mapping[str, str]) -> Response:
        """One task with its evidence and history."""
        steward = await self._steward(request)
        return answers.plain(view_document(await self._stewards.show(steward, task_number(names["id"]))))

    async def records(self, request: Request, names: Mapping[str, str]) -> Response:
        """The two records of a task as this requester may see them; null where he may not."""
        requester = await self._permitted(request)
        found = await self._stewards.records(requester, task_number(names["id"]))
        shown = [None if isinstance(one, Refusal) else msgspec.Raw(one.text.encode()) for one in found]
        return answers.plain({"records": shown})

    async def decide(self, request: Request, names: Mapping[str, str]) -> Response:
        """Claim a task, or decide about it."""
        steward, number = await self._steward(request), task_number(names["id"])
        said = await _said(request)
        if said.get("claim") is True:
            return answers.plain(task_document(await self._stewards.claim(steward, number)))
        choice = _one_of(Choice, _text(said, "decision"), "decision")
        return answers.plain(task_document(await self._stewards.decide(steward, number, choice, _text(said, "reason"))))

    async def merge(self, request: Request, names: Mapping[str, str]) -> Response:
        """Two records are one person's."""
        steward, said = await self._steward(request), await _said(request)
        await self._stewards.merge(
            steward,
            _patient(said, "survivor"),
            _patient(said, "retired"),
            _text(said, "reason"),
            keep_both=said.get("keep_both") is True,
        )
        return answers.plain({"merged": True})

    async def unmerge(self, request: Request, names: Mapping[str, str]) -> Response:
        """Two records are two persons'."""
        steward, said = await self._steward(request), await _said(request)
        reason = _text(said, "reason")
        await self._stewards.unmerge(steward, _patient(said, "patient"), _patient(said, "other"), reason)
        return answers.plain({"unmerged": True})

    async def split(self, request: Request, names: Mapping[str, str]) -> Response:
        """A record is nobody else's of its person."""
        steward, said = await self._steward(request), await _said(request)
        await self._stewards.split(steward, _patient(said, "patient"), _text(said, "reason"))
        return answers.plain({"split": True})

    async def doubles(self, request: Request, names: Mapping[str, str]) -> Response:
        """Pairs of records of one source under one number."""
        told = await self._stewards.doubles(await self._steward(request))
        return answers.plain({"doubles": [double_document(each) for each in told]})

    async def merge_doubles(self, request: Request, names: Mapping[str, str]) -> Response:
        """Merge those that are one person's."""
        steward, said = await self._steward(request), await _said(request)
        told = await self._stewards.doubles(steward, _text(said, "reason"))
        return answers.plain({"doubles": [double_document(each) for each in told]})

    async def pin(self, request: Request, names: Mapping[str, str]) -> Response:
        """The golden record takes an element from this record."""
        return await self._choose(request, chosen=True)

    async def unpin(self, request: Request, names: Mapping[str, str]) -> Response:
        """The rules decide again."""
        return await self._choose(request, chosen=False)

    async def _choose(self, request: Request, *, chosen: bool) -> Response:
        steward, said = await self._steward(request), await _said(request)
        patient, element, reason = _patient(said, "patient"), _text(said, "element"), _text(said, "reason")
        await self._stewards.pin(steward, patient, element, reason, chosen=chosen)
        return answers.plain({"pinned": chosen})

    async def history(self, request: Request, names: Mapping[str, str]) -> Response:
        """What happened to a person, oldest first."""
        steward = await self._steward(request)
        told = await self._stewards.history(steward, legal_id(names["id"]))
        return answers.plain({"events": [event_document(each) for each in told]})

    async def report(self, request: Request, names: Mapping[str, str]) -> Response:
        """Duplicates, shared numbers, rates and trend."""
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "identity-report", "IdentityReport", PRIVACY)
        report = await self._hub.report_identity(
            Actor.of(requester),
            by=request.query_params.get("by", "day"),
            since=day_of(request, "since"),
            until=day_of(request, "until"),
        )
        return answers.plain(document(report))

    async def rematch(self, request: Request, names: Mapping[str, str]) -> Response:
        """Match all stored patients again by what decides now: 202 and the address of the job, which tells how far it
        is and, in the end, what changed or, with `dry_run`, would change."""
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "identity-rematch", "Patient")
        dry_run = _bool(await _said(request), "dry_run")
        asker = Actor.of(requester)
        job = await self._hub.rematch_patients.start(asker, owner=requester.client_id, dry_run=dry_run)
        return accepted(request, self._hub, job)

    async def learn(self, request: Request, names: Mapping[str, str]) -> Response:
        """Learn from what was decided in review: 202 and the address of the job, which tells how good the model is."""
        requester = await self._administrator(request)
        dry_run = _bool(await _said(request), "dry_run")
        asker = Actor.of(requester)
        job = await self._hub.learn_identity.start(asker, owner=requester.client_id, dry_run=dry_run)
        return accepted(request, self._hub, job)

    async def models(self, request: Request, names: Mapping[str, str]) -> Response:
        """All learned models, the oldest first."""
        asker = Actor.of(await self._administrator(request))
        return answers.plain(
            {"models": [model_document(each) for each in await self._hub.learn_identity.models(asker)]}
        )

    async def use_model(self, request: Request, names: Mapping[str, str]) -> Response:
        """Choose which model decides from the next start of the hub on, or none."""
        asker, said = Actor.of(await self._administrator(request)), await _said(request)
        number = said.get("model", "")
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise InvalidInput("model is the number of a model, or null", code="value")
        await self._hub.learn_identity.use(asker, number, although_worse=_bool(said, "although_worse"))
        return answers.plain({"model": number})

    async def _administrator(self, request: Request) -> Requester:
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "identity-models", "IdentityModel")
        return requester

    async def fhir_merge(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST Patient/$merge."""
        requester = await self._begin(request, {"type": "Patient"}, "update")
        sent = await _said(request)
        merged = await self._hub.merge_patients(requester, Parameters.of_resource(sent))
        outcome = operation_outcome(merged.issues)
        parts: list[dict[str, Any]] = [{"name": "input", "resource": sent}, {"name": "outcome", "resource": outcome}]
        if merged.result is not None:
            parts.append({"name": "result", "resource": msgspec.Raw(merged.result.text.encode())})
        return answers.fhir(json.dump({"resourceType": "Parameters", "parameter": parts}))

    async def _permitted(self, request: Request) -> Requester:
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, "identity-review", "IdentityTask", STEWARDS)
        return requester

    async def _steward(self, request: Request) -> Actor:
        return Actor.of(await self._permitted(request))


def task_number(text: str) -> int:
    """The number of a task; 0, which none has, for a text that is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else 0


def _one_of(words: type[_E], text: str, name: str) -> _E:
    try:
        return words(text)
    except ValueError:
        raise InvalidInput(f"{name} is one of {', '.join(words)}", code="code-invalid") from None


def _flag(text: str, name: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} is true or false", code="value")
    return text == "true"


def _number(text: str | None, name: str, usual: int) -> int:
    if text is None:
        return usual
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise InvalidInput(f"{name} is a number", code="value")
    return int(text)


async def _said(request: Request) -> dict[str, Any]:
    said = json.parse(await body_of(request, FHIR_TYPES))
    if not isinstance(said, dict):
        raise InvalidInput("the body is a JSON object", code="structure")
    return said


def _bool(said: Mapping[str, Any], name: str) -> bool:
    value = said.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} is true or false", code="value")
    return value


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"the body says {name}, a text", code="required")
    return value


def _patient(said: Mapping[str, Any], name: str) -> str:
    return legal_id(_text(said, name).removeprefix("Patient/"))
