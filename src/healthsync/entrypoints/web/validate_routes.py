"""$validate over HTTP: POST Type/$validate, POST and GET Type/id/$validate (resource-operation-validate.html)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Refusal
from healthsync.exchange.operations.validate import MODES, Question
from healthsync.standards.fhir import json
from healthsync.standards.fhir.outcome import Issue, from_error

from . import answers
from .requests import FHIR_TYPES, body_of
from .router import Router

_PARTS = frozenset({"resource", "mode", "profile"})


class ValidateRoutes:
    """The handlers. `begin` authenticates and checks the address, as for every FHIR request."""

    def __init__(self, hub: Any, begin: Any) -> None:
        self._hub, self._begin = hub, begin

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("fhir.validate", self.validate)
        router.add("fhir.validate_instance", self.validate)
        router.add("fhir.validate_stored", self.validate_stored)

    async def validate(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST: the resource in the body, alone or among Parameters; an instance without it means what is stored."""
        requester = await self._begin(request, names, None)
        body = await body_of(request, FHIR_TYPES) if _has_body(request) else b""
        try:
            sent = json.parse(body) if body else None
            question = _question(request, names, sent)
        except InvalidInput as problem:  # what cannot be read is not valid, which is what was asked
            return answers.outcome([_fatal(problem)], 200)
        if question.resource is None and question.id is not None and question.mode != "delete":
            return await self._of_stored(requester, question)
        return answers.outcome(await self._hub.validate(requester, question), 200)

    async def validate_stored(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET: what is stored, if the requester may read it."""
        requester = await self._begin(request, names, None)
        try:
            question = _question(request, names, None)
        except InvalidInput as problem:
            return answers.outcome([_fatal(problem)], 200)
        return await self._of_stored(requester, question)

    async def _of_stored(self, requester: Any, question: Question) -> Response:
        found = await self._hub.disclose.read(requester, question.resource_type, question.id)
        if isinstance(found, Refusal):
            return answers.refusal(found)
        stored = json.parse(found.text.encode())
        asked = Question(question.resource_type, stored, question.id, question.mode, question.profiles)
        return answers.outcome(await self._hub.validate(requester, asked), 200)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _fatal(problem: InvalidInput) -> Issue:
    issue = from_error(problem)
    return Issue("fatal", issue.code, issue.expression, issue.diagnostics)


def _question(request: Request, names: Mapping[str, str], sent: dict[str, Any] | None) -> Question:
    """From the URL and the body; what the body says comes first. Raises InvalidInput for a mode that is none."""
    given: dict[str, list[Any]] = {name: request.query_params.getlist(name) for name in ("mode", "profile")}
    resource = sent
    parts = _parts(sent, names["type"])
    if parts is not None:
        resource = next((part["resource"] for part in parts if type(part.get("resource")) is dict), None)
        for name in ("mode", "profile"):
            given[name] = [_value(part) for part in parts if part.get("name") == name] or given[name]
    mode = given["mode"][0] if given["mode"] else None
    if mode not in (None, *MODES):
        raise InvalidInput(f"mode is one of {', '.join(MODES)}", code="value", expression="Parameters.parameter")
    profiles = tuple(url for url in given["profile"] if type(url) is str)
    return Question(names["type"], resource, names.get("id"), mode, profiles)


def _parts(sent: dict[str, Any] | None, resource_type: str) -> list[dict[str, Any]] | None:
    """The parameters of the operation; None when the body is the resource itself, which may be a Parameters too."""
    if sent is None or sent.get("resourceType") != "Parameters":
        return None
    listed = sent.get("parameter", [])
    parts = [part for part in listed if type(part) is dict] if type(listed) is list else []
    is_question = all(part.get("name") in _PARTS for part in parts) and (parts or resource_type != "Parameters")
    return parts if is_question or resource_type != "Parameters" else None


def _value(part: dict[str, Any]) -> Any:
    return next((value for name, value in part.items() if name.startswith("value")), None)
