"""What applications of the SDK ask over HTTP: deliveries by long poll, own topics, alerts, notes for the audit log.

Each request is authenticated by itself, so that a key that was taken away ends a stream at once; a client asks for
no more than it can handle, so that nothing piles up between the hub and it (decision 26).
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from healthsync.errors import InvalidInput
from healthsync.exchange.applications.deliveries import (
    LONGEST_WAIT_SECONDS,
    MOST_AT_ONCE,
    DeadLetter,
    Ending,
    Handed,
    HandlerState,
    Registration,
    read_want,
)
from healthsync.standards.fhir import json

from . import answers
from .requests import body_of, requester_of
from .router import Router

_JSON = ("application/json", "application/fhir+json")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_INSTANCE = re.compile(r"[!-~]{1,100}")
_PAGE = 100


class ApplicationRoutes:
    """The handlers."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface."""
        router.add("applications.register", self.register_handlers)
        for name in ("states", "lease", "renew", "settle", "dead", "replay"):
            router.add(f"applications.{name}", getattr(self, name))
        router.add("streams.publish", self.publish)
        router.add("streams.read", self.read_topic)
        router.add("alerts.send", self.send_alert)
        router.add("alerts.list", self.list_alerts)
        router.add("audit.note", self.note)

    # --- deliveries ---

    async def register_handlers(self, request: Request, names: Mapping[str, str]) -> Response:
        """PUT applications/{application}: its handlers from now on."""
        requester, body = await self._begin(request)
        handlers = [_registration(each) for each in _list(body, "handlers")]
        await self._hub.deliveries.register(requester, names["application"], handlers)
        return answers.plain(
            {
                "application": names["application"],
                "handlers": [handler.name for handler in handlers],
                "lease_seconds": self._hub.deliveries.lease_seconds,
            }
        )

    async def lease(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST applications/{application}/lease: what is due, or what comes within `wait_seconds`."""
        requester, body = await self._begin(request)
        handed = await self._hub.deliveries.lease(
            requester,
            names["application"],
            _instance(body),
            limit=int(_number(body, "limit", 10, 1, MOST_AT_ONCE)),
            wait_seconds=_number(body, "wait_seconds", 0, 0, LONGEST_WAIT_SECONDS),
            gone=request.is_disconnected,
        )
        return answers.plain({"deliveries": [_delivery(one) for one in handed]})

    async def renew(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST applications/{application}/renew: the instance lives."""
        requester, body = await self._begin(request)
        kept = await self._hub.deliveries.renew(requester, names["application"], _instance(body))
        return answers.plain({"held": sorted(kept)})

    async def settle(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST applications/{application}/settle: how deliveries ended."""
        requester, body = await self._begin(request)
        endings = [_ending(each) for each in _list(body, "results")]
        counted = await self._hub.deliveries.settle(requester, names["application"], endings)
        late = sorted({one.id for one in endings} - set(counted))
        return answers.plain({"settled": counted, "late": late})

    async def states(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET applications/{application}: its handlers with what waits for them."""
        requester = await requester_of(self._hub, request)
        states = await self._hub.deliveries.states(requester, names["application"])
        return answers.plain({"application": names["application"], "handlers": [_state(one) for one in states]})

    async def dead(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET applications/{application}/dead: what its handlers failed at too often."""
        requester = await requester_of(self._hub, request)
        dead = await self._hub.deliveries.dead(requester, names["application"])
        return answers.plain({"dead": [_dead(one) for one in dead]})

    async def replay(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST applications/{application}/replay: dead letters wait again."""
        requester, body = await self._begin(request)
        ids = None if "ids" not in body else [_id(each) for each in _list(body, "ids")]
        replayed = await self._hub.deliveries.replay(requester, names["application"], ids)
        return answers.plain({"replayed": replayed})

    # --- topics, alerts, notes ---

    async def publish(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST streams/{topic}: publish `payload`."""
        requester, body = await self._begin(request)
        if "payload" not in body:
            raise InvalidInput('send {"payload": …}, and key and patients if you like', code="required")
        position = await self._hub.publications.publish(
            requester,
            names["topic"],
            json.dump(body["payload"]),
            key=_optional_text(body, "key"),
            patients=_list(body, "patients") if "patients" in body else (),
            once_key=request.headers.get("idempotency-key"),
        )
        return answers.plain({"topic": names["topic"], "position": position}, 201)

    async def read_topic(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET streams/{topic}?after=&count=: a page of a topic."""
        requester = await requester_of(self._hub, request)
        after, count = _query_number(request, "after", 0), _query_number(request, "count", _PAGE)
        page, position = await self._hub.publications.read(requester, names["topic"], after=after, count=max(count, 1))
        published = [
            {
                "position": one.position,
                "published_at": one.published_at,
                "client": one.client_id,
                "payload": msgspec.Raw(one.payload),
            }
            for one in page
        ]
        return answers.plain({"topic": names["topic"], "publications": published, "position": position})

    async def send_alert(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST alerts: an alert; `type` is a code, what else it says is sealed."""
        requester, body = await self._begin(request)
        sequence = body.pop("message_sequence", None)
        patients = _list(body, "patients") if "patients" in body else []
        body.pop("patients", None)
        id_ = await self._hub.alerts.send(
            requester,
            _text(body, "type"),
            json.dump(body),
            patients=patients,
            message_sequence=None if sequence is None else _id(sequence),
            once_key=request.headers.get("idempotency-key"),
        )
        answer = answers.plain({"id": id_, "type": body["type"]}, 201)
        answer.headers["Location"] = f"/api/v1/healthsync/alerts?id={id_}"
        return answer

    async def list_alerts(self, request: Request, names: Mapping[str, str]) -> Response:
        """GET alerts?type=&count=&after=: alerts, newest first; ?id=: one of them."""
        requester = await requester_of(self._hub, request)
        id_ = request.query_params.get("id")
        page, following = await self._hub.alerts.listed(
            requester,
            type_=request.query_params.get("type"),
            after=_cursor(request.query_params.get("after")),
            count=max(_query_number(request, "count", _PAGE), 1),
            id_=None if id_ is None else _uuid(id_),
        )
        shown = [
            {
                **json.parse(one.content),
                "id": one.id,
                "raised_at": one.raised_at,
                "client": one.client_id,
                "patients": one.patients,
                "message_sequence": one.message_sequence,
            }
            for one in page
        ]
        after = None if following is None else f"{following[0].isoformat()}_{following[1]}".replace("+00:00", "Z")
        return answers.plain({"alerts": shown, "after": after})

    async def note(self, request: Request, names: Mapping[str, str]) -> Response:
        """POST audit: what was done with data outside the hub."""
        requester, body = await self._begin(request)
        await self._hub.note_use(requester, body)
        return answers.plain({"recorded": True}, 201)

    async def _begin(self, request: Request) -> tuple[Any, dict[str, Any]]:
        requester = await requester_of(self._hub, request)
        body = await body_of(request, _JSON)
        return requester, json.parse(body)


# --- bodies -------------------------------------------------------------------------------------------------------


def _registration(value: Any) -> Registration:
    if not isinstance(value, dict):
        raise _wrong("handlers", 'are like {"name": "process_lab_result", "wants": ["hl7:ORU^R01"]}')
    wants = [read_want(each) if isinstance(each, str) else read_want("") for each in _list(value, "wants")]
    return Registration(_text(value, "name"), tuple(wants))


def _ending(value: Any) -> Ending:
    if not isinstance(value, dict):
        raise _wrong("results", 'are like {"id": 7, "lease": "…", "failed_for": "ValueError"}')
    failed_for, answer = _optional_text(value, "failed_for"), _optional_text(value, "answer")
    if failed_for is not None and not _CODE.fullmatch(failed_for):
        raise _wrong("failed_for", "is a code such as the class of an exception, never its text")
    try:
        content = None if answer is None else base64.b64decode(answer, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("answer", "is an acknowledgement in base64") from None
    return Ending(_id(value.get("id")), _lease(value), failed_for, content)


def _lease(value: Mapping[str, Any]) -> str:
    try:
        return str(uuid.UUID(_text(value, "lease")))
    except ValueError:
        raise _wrong("lease", "is the lease of the delivery") from None


def _instance(body: Mapping[str, Any]) -> str:
    instance = _text(body, "instance")
    if not _INSTANCE.fullmatch(instance):
        raise _wrong("instance", "names this instance of the application: at most 100 characters without spaces")
    return instance


def _id(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise _wrong("id", "is a positive number")
    return value


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list) or len(value) > 1000:
        raise _wrong(name, "is a list of at most 1000")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, "is a text")
    return value


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _number(body: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name, default)
    try:
        number = float(value) if not isinstance(value, bool | str) else None
    except (TypeError, OverflowError):
        number = None
    if number is None or not least <= number <= most:
        raise _wrong(name, f"is a number from {least} to {most}")
    return number


def _query_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise _wrong(name, "is a number")
    return int(text)


def _cursor(text: str | None) -> tuple[datetime, str] | None:
    if text is None:
        return None
    instant, _, id_ = text.partition("_")
    try:
        return datetime.fromisoformat(instant).astimezone(UTC), str(uuid.UUID(id_))
    except (ValueError, OverflowError):
        raise _wrong("after", "is what the page before answered") from None


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise _wrong("id", "is the id of an alert") from None


def _wrong(name: str, sentence: str) -> InvalidInput:
    return InvalidInput(f"{name} {sentence}", code="value", expression=name)


# --- answers ------------------------------------------------------------------------------------------------------


def _delivery(one: Handed) -> dict[str, Any]:
    leased = one.leased
    document: dict[str, Any] = {
        "id": leased.id,
        "lease": leased.lease,
        "handler": leased.handler,
        "kind": leased.kind,
        "name": leased.name,
        "subject": leased.subject,
        "attempt": leased.attempts,
        "occurred_at": leased.occurred_at,
        "data": one.data,
    }
    if one.content is not None:
        document["sequence"] = leased.message_sequence
        document["content"] = base64.b64encode(one.content).decode()
    return document


def _state(one: HandlerState) -> dict[str, Any]:
    return {
        "name": one.name,
        "wants": one.wants,
        "waiting": one.waiting,
        "leased": one.leased,
        "dead": one.dead,
        "oldest_at": one.oldest_at,
    }


def _dead(one: DeadLetter) -> dict[str, Any]:
    return {
        "id": one.id,
        "handler": one.handler,
        "kind": one.kind,
        "name": one.name,
        "subject": one.subject,
        "occurred_at": one.occurred_at,
        "settled_at": one.settled_at,
        "attempts": one.attempts,
        "reason": one.reason_code,
    }
