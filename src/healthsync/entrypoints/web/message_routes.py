"""Messages over HTTP, for administrators: list, compare, mend and replay.

Their content is not shown here: it would leave past the consent of those whom it is about. `healthsync messages show`
opens a message on the data folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.administration.inspect_messages import selection
from healthsync.exchange.administration.replay_messages import asked_by
from healthsync.standards.fhir import json

from . import answers
from .job_routes import accepted
from .requests import body_of, requester_of
from .router import Router

_MOST, _USUAL = 1000, 50
_JSON = ("application/json", "application/fhir+json")
_CRITERIA = ("state", "source", "type", "reason")


class MessageRoutes:
    """The handlers of /api/v1/healthsync/messages. `hub` is a `bootstrap.Hub`."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("healthsync.messages", self.list)
        router.add("healthsync.message", self.show)
        router.add("healthsync.messages_replay", self.replay)
        router.add("healthsync.message_compare", self.compare)
        router.add("healthsync.message_copy", self.copy)

    async def list(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET messages?state&source&type&reason&since&until&before&limit: without their content, newest first."""
        await self._operator(request, "list-messages")
        asked = dict(request.query_params)
        before = _number(asked.pop("before", None), "before", None)
        limit = min(_number(asked.pop("limit", None), "limit", _USUAL) or _USUAL, _MOST)
        wanted = _criteria(asked)
        page = await self._hub.inspect_messages.page(wanted, before=before, limit=limit)
        following = page[-1]["sequence"] if len(page) == limit else None
        return answers.plain({"messages": page, "before": following})

    async def show(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET messages/{id}: what became of it, and how good it was."""
        await self._operator(request, "list-messages")
        wanted = selection(sequences=[_sequence(names)])
        found = await self._hub.inspect_messages.page(wanted, before=None, limit=1)
        if not found:
            raise NotFound("there is no such message")
        return answers.plain(found[0])

    async def replay(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST messages/replay {sequences, state, source, type, reason, since, until, dry_run}: 202 and the address of
        the job, which tells how far it is and, in the end, what differs."""
        requester = await self._operator(request, "replay-messages")
        asked = await _document(request)
        dry_run, sequences = asked.pop("dry_run", False), asked.pop("sequences", [])
        if not isinstance(dry_run, bool):
            raise InvalidInput("dry_run is true or false", code="value")
        wanted = _criteria(asked, sequences)
        by = asked_by(None, "replay-messages", requester=requester)
        job = await self._hub.replay_messages.start(wanted, by, owner=requester.client_id, dry_run=dry_run)
        return accepted(request, self._hub, job)

    async def compare(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST messages/{id}/compare: which elements of which resources a replay would change; no values."""
        requester = await self._operator(request, "compare-messages")
        by = asked_by(None, "compare-messages", requester=requester)
        report, found = await self._hub.replay_messages.compare(selection(sequences=[_sequence(names)]), by)
        told = [
            {"resource": f"{kind}/{id_}", "new": net.before is None, "paths": [one.path for one in net.differences]}
            for (kind, id_), net in found.items()
        ]
        return answers.plain({**report.as_document(), "differences": told})

    async def copy(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST messages/{id}/copy {content, reason}: an edited copy of a dead letter, which then waits for a replay."""
        requester = await self._operator(request, "edit-message")
        asked = await _document(request)
        content, reason = asked.get("content"), asked.get("reason")
        if not isinstance(content, str) or not isinstance(reason, str):
            raise InvalidInput("write {content: the whole message, reason: a code such as a ticket}", code="required")
        by = asked_by(None, "edit-message", reason=reason, requester=requester)
        raw = content.replace("\r\n", "\r").replace("\n", "\r").encode()
        copy = await self._hub.edit_message(_sequence(names), raw, by)
        return answers.plain({"sequence": copy, "origin": _sequence(names)}, 201)

    async def _operator(self, request: Request, interaction: str) -> Any:
        requester = await requester_of(self._hub, request)
        await self._hub.operators.require(requester, interaction, "Message")
        return requester


async def _document(request: Request) -> dict[str, Any]:
    document = json.parse(await body_of(request, _JSON))
    if not isinstance(document, dict):
        raise InvalidInput("the body is a JSON object", code="structure")
    return document


def _criteria(asked: dict[str, Any], sequences: Any = ()) -> Any:
    unknown = sorted(asked.keys() - {*_CRITERIA, "since", "until"})
    if unknown:
        raise InvalidInput(f"messages are chosen by {', '.join(_CRITERIA)}, since and until", code="not-supported")
    if not isinstance(sequences, list | tuple) or not all(type(one) is int for one in sequences):
        raise InvalidInput("sequences is a list of numbers of messages", code="value")
    texts = {name: asked[name] for name in _CRITERIA if name in asked}
    if not all(isinstance(text, str) for text in texts.values()):
        raise InvalidInput(f"{', '.join(_CRITERIA)} are texts", code="value")
    times: dict[str, Any] = {name: _instant(asked[name], name) for name in ("since", "until") if name in asked}
    return selection(**texts, **times, sequences=sequences)


def _instant(text: Any, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} is a day or an instant: 2026-03-01 or 2026-03-01T12:00:00Z", code="value") from None


def _sequence(names: Mapping[str, str]) -> int:
    text = names["id"]
    if not text.isdecimal() or len(text) > 18:
        raise NotFound("there is no such message")
    return int(text)


def _number(text: str | None, name: str, absent: int | None) -> int | None:
    if text is None:
        return absent
    if not text.isdecimal() or len(text) > 18:
        raise InvalidInput(f"{name} is a number", code="value")
    return int(text)
