"""Operations on Subscriptions, and the socket over which subscribers are told (subscription.html#websockets)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from healthsync.errors import HealthSyncError, InvalidInput, NotFound, Unavailable
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.disclose import Refusal
from healthsync.exchange.notify_subscribers import CHANGE_CHANNEL, NotificationType, Told
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.fhir import json

from . import answers
from .requests import base_of, body_of, legal_id, negotiate, requester_of
from .router import Router

_log = logger(__name__)
_sockets = metrics.gauge("healthsync_subscription_sockets", "Web sockets that are open.")

_MOST_BOUND = 100
_LONGEST_MESSAGE = 8 * 1024
_POLL_SECONDS = 2.0
_BIND_SECONDS = 30.0
_POLICY_VIOLATION, _TRY_AGAIN = 1008, 1013  # RFC 6455 §7.4.1, IANA

Asked = Mapping[str, Sequence[str]]


class SubscriptionRoutes:
    """The handlers of /fhir/Subscription/…/$…"""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def register(self, router: Router) -> None:
        """Put every handler under its surface: each may be called by GET and by POST."""
        for suffix in ("", "_post"):
            router.add(f"fhir.subscription_status{suffix}", self.status)
            router.add(f"fhir.subscriptions_status{suffix}", self.status)
            router.add(f"fhir.subscription_events{suffix}", self.events)
            router.add(f"fhir.subscription_token{suffix}", self.token)
            router.add(f"fhir.subscriptions_token{suffix}", self.token)

    async def status(self, request: Request, names: Mapping[str, str]) -> Response:
        """$status of one subscription, or of the caller's own."""
        requester, asked = await self._begin(request)
        ids = [legal_id(names["id"])] if "id" in names else list(asked.get("id", ())) or None
        states = None if "id" in names else list(asked.get("status", ())) or None
        bundle = await self._hub.subscription_operations.status(requester, ids, states)
        if "id" in names and not bundle["total"]:
            raise NotFound("there is no such subscription, it was not accepted, or another client asked for it")
        return answers.fhir(json.dump(bundle))

    async def events(self, request: Request, names: Mapping[str, str]) -> Response:
        """$events: what was told before."""
        requester, asked = await self._begin(request)
        since, until = _number(asked, "eventsSinceNumber"), _number(asked, "eventsUntilNumber")
        bundle = await self._hub.subscription_operations.events(
            requester,
            legal_id(names["id"]),
            since=since if since is not None else 1,
            until=until,
            content=next(iter(asked.get("content", ())), None),
        )
        if isinstance(bundle, Refusal):
            return answers.refusal(bundle)
        return answers.fhir(json.dump(bundle))

    async def token(self, request: Request, names: Mapping[str, str]) -> Response:
        """$get-ws-binding-token."""
        requester, asked = await self._begin(request)
        ids = [legal_id(names["id"])] if "id" in names else list(asked.get("id", ())) or None
        token = await self._hub.subscription_operations.binding_token(requester, ids, base_of(request))
        return answers.fhir(json.dump(token))

    async def _begin(self, request: Request) -> tuple[Requester, Asked]:
        requester = await requester_of(self._hub, request)
        negotiate(request)
        asked: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            asked.setdefault(name, []).append(value)
        if request.method == "POST":
            for name, value in _parameters(await body_of(request, ("application/fhir+json", "application/json"))):
                asked.setdefault(name, []).append(value)
        return requester, asked


def _parameters(body: bytes) -> list[tuple[str, str]]:
    """The simple values of a Parameters resource; an empty body has none."""
    if not body.strip():
        return []
    resource = json.parse(body)
    listed = resource.get("parameter", []) if resource.get("resourceType") == "Parameters" else []
    pairs = []
    for parameter in listed if isinstance(listed, list) else []:
        value = next((v for k, v in parameter.items() if k.startswith("value")), None)
        if isinstance(parameter.get("name"), str) and isinstance(value, str | int):
            pairs.append((parameter["name"], str(value)))
    return pairs


def _number(asked: Asked, name: str) -> int | None:
    text = next(iter(asked.get(name, ())), None)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise InvalidInput(f"{name} takes an event number", code="value")
    return int(text)


class SubscriptionSockets:
    """Everyone who listens over a web socket in this process."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._listeners: set[asyncio.Event] = set()
        self._stop_listening: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket until either side closes it."""
        socket = WebSocket(scope, receive, send)
        try:
            requester = await self._requester(socket)
        except HealthSyncError:
            await socket.close(_POLICY_VIOLATION)  # before the handshake: HTTP 403
            return
        await socket.accept()
        wake = asyncio.Event()
        await self._listen(wake)
        try:
            await _Conversation(self._hub, socket, requester, wake).run()
        except WebSocketDisconnect:
            return
        except Unavailable:
            await _close(socket, _TRY_AGAIN)
        except Exception:
            _log.exception("a web socket failed")
            await _close(socket, _TRY_AGAIN)
        finally:
            await self._leave(wake)

    async def _requester(self, socket: WebSocket) -> Requester | None:
        """Who connects; None without a header, since browsers cannot set one: he binds with a token."""
        scheme, _, credential = socket.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        address = socket.client.host if socket.client else None
        key = credential.strip() if scheme.lower() == "bearer" else None
        return await self._hub.authenticate(key, socket.headers.get("x-purpose"), address)

    async def _listen(self, wake: asyncio.Event) -> None:
        self._listeners.add(wake)
        _sockets.set(len(self._listeners))
        if self._stop_listening is None:
            self._stop_listening = await self._hub.database.listen(CHANGE_CHANNEL, self._wake_all)

    async def _leave(self, wake: asyncio.Event) -> None:
        self._listeners.discard(wake)
        _sockets.set(len(self._listeners))
        if not self._listeners and (stop := self._stop_listening) is not None:
            self._stop_listening = None
            await stop()

    def _wake_all(self, _payload: str) -> None:
        for wake in self._listeners:
            wake.set()


class _Conversation:
    """One socket: `bind :id` and `bind-with-token :token` in; `bound :id`, `ping :id` and notifications out."""

    def __init__(self, hub: Any, socket: WebSocket, requester: Requester | None, wake: asyncio.Event) -> None:
        self._hub, self._socket, self._requester, self._wake = hub, socket, requester, wake
        self._bound: dict[str, bool] = {}

    async def run(self) -> None:
        """Until the socket is closed. Raises what went wrong."""
        halves = [asyncio.create_task(half) for half in (self._hear(), self._tell())]
        try:
            ended, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            ended.pop().result()
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)

    async def _hear(self) -> None:
        while True:
            message = await self._message()
            word, _, argument = message.strip().partition(" ")
            if len(message) > _LONGEST_MESSAGE or word not in ("bind", "bind-with-token"):
                await self._socket.close(_POLICY_VIOLATION, "this socket takes: bind :id, bind-with-token :token")
                raise WebSocketDisconnect
            try:
                await self._bind(word, argument.strip())
            except HealthSyncError as problem:
                await self._socket.close(_POLICY_VIOLATION, str(problem)[:120])
                raise WebSocketDisconnect from None

    async def _message(self) -> str:
        """What the client says next; one that says nothing and is bound to nothing is not kept."""
        try:
            async with asyncio.timeout(None if self._bound else _BIND_SECONDS):
                return await self._socket.receive_text()
        except TimeoutError:
            await self._socket.close(_POLICY_VIOLATION, "nothing was bound")
            raise WebSocketDisconnect from None

    async def _bind(self, word: str, argument: str) -> None:
        operations = self._hub.subscription_operations
        if word == "bind":
            if self._requester is None:
                raise NotFound("connect with an Authorization header, or bind with a token")
            wanted = [await operations.socket_subscription(self._requester.client_id, argument)]
        else:
            binding = operations.binding(argument)
            wanted = [await operations.socket_subscription(binding.client_id, id_) for id_ in binding.subscriptions]
        for subscription in wanted:
            if len(self._bound) >= _MOST_BOUND:
                raise InvalidInput(f"one socket carries {_MOST_BOUND} subscriptions at most", code="too-costly")
            self._bound[subscription.id] = True
            if subscription.terms.is_topic_based:
                await self._send(subscription, NotificationType.HANDSHAKE, ())
            else:
                await self._socket.send_text(f"bound {subscription.id}")
        self._wake.set()

    async def _tell(self) -> None:
        while True:
            self._wake.clear()
            for id_ in list(self._bound):
                while (turn := await self._hub.notify_subscribers.claim_one(id_, due=True)) is not None:
                    await self._one(turn)
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self._still_open()

    async def _one(self, turn: Any) -> None:
        try:
            await self._hub.notify_subscribers.tell(turn, self._send)
        except BaseException:
            # What has its number is told again over the next socket.
            await asyncio.shield(self._hub.notify_subscribers.release(turn))
            raise

    async def _still_open(self) -> None:
        """A subscription that was switched off or deleted is bound no longer; a socket without any is closed."""
        gone = [id_ for id_ in self._bound if not await self._hub.subscription_operations.is_told(id_)]
        for id_ in gone:
            del self._bound[id_]
        if gone and not self._bound:
            await self._socket.close(_POLICY_VIOLATION, "the subscription is off")

    async def _send(self, subscription: Any, kind: NotificationType, told: Sequence[Told]) -> None:
        if subscription.terms.is_topic_based:
            await self._socket.send_text(self._hub.notify_subscribers.bundle(subscription, kind, told).decode())
        else:
            for _event in told:
                await self._socket.send_text(f"ping {subscription.id}")


async def _close(socket: WebSocket, code: int) -> None:
    try:
        await socket.close(code)
    except (RuntimeError, WebSocketDisconnect, OSError):
        return
