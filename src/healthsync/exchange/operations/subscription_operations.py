"""What a client may ask about its own subscriptions: $status, $events, $get-ws-binding-token (R5 Backport guide).

Another client's subscription is as if it were not there. $status and tokens hold no patient's data; the events of
$events pass the gate again, so that a consent withdrawn since hides them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from healthsync.domains.access import Requester
from healthsync.domains.subscriptions import (
    ChannelKind,
    Content,
    Status,
    Subscription,
    SubscriptionService,
    Topics,
    events_bundle,
    status_bundle,
)
from healthsync.domains.subscriptions.terms import PROFILE
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, Refused
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.crypto import open_sealed, seal
from healthsync.infrastructure.database import Database

SUBSCRIPTION_PROFILE = PROFILE
"""The profile of topic-based subscriptions, as the CapabilityStatement names it."""

MOST_EVENTS = 100
"""Events that one $events returns: the first of those asked for."""

_TOKEN_LIFE = timedelta(minutes=5)
_TOKEN = b"websocket binding"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a binding token opens: subscriptions of one client, for a while."""

    client_id: str
    subscriptions: tuple[str, ...]
    expires_at: float


class SubscriptionOperations:
    """The operations. `base` is the public address of the FHIR server, `key` (32 bytes) seals binding tokens."""

    def __init__(
        self,
        *,
        database: Database,
        subscriptions: SubscriptionService,
        disclose: Disclose,
        clock: Clock,
        topics: Topics,
        base: str,
        key: bytes,
    ) -> None:
        self._database, self._subscriptions, self._disclose = database, subscriptions, disclose
        self._clock, self._base, self._key = clock, base, key
        self.topics = topics.urls
        """The canonical URLs of the topics that can be subscribed to."""

    async def status(
        self, requester: Requester, ids: Sequence[str] | None = None, states: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The Bundle of $status: the caller's subscriptions, those of `ids` and `states` where given.

        Raises InvalidInput for a status that FHIR does not have.
        """
        if states and not set(states) <= set(Status):
            raise InvalidInput("status takes requested, active, error or off", code="value")
        async with self._database.connection() as tx:
            found = await self._subscriptions.of_client(tx, requester.client_id, ids=ids, states=states)
        return status_bundle(found, self._base)

    async def own(self, client_id: str, id_: str) -> Subscription:
        """A subscription that a client asked for. Raises NotFound."""
        async with self._database.connection() as tx:
            found = await self._subscriptions.of_client(tx, client_id, ids=[id_])
        if not found:
            raise NotFound("there is no such subscription, it was not accepted, or another client asked for it")
        return found[0]

    async def socket_subscription(self, client_id: str, id_: str) -> Subscription:
        """A subscription of a client that is told over a socket and may be. Raises NotFound."""
        subscription = await self.own(client_id, id_)
        if subscription.terms.channel.kind is not ChannelKind.WEBSOCKET or subscription.status is Status.OFF:
            raise NotFound("this subscription is off, or has another channel than websocket")
        return subscription

    async def is_told(self, id_: str) -> bool:
        """Whether a subscription is there and not switched off."""
        async with self._database.connection() as tx:
            return await self._subscriptions.is_told(tx, id_)

    async def events(
        self, requester: Requester, id_: str, *, since: int = 1, until: int | None = None, content: str | None = None
    ) -> dict[str, Any] | Refusal:
        """The Bundle of $events: what was told under the numbers `since` to `until`, as far as it may be told now.

        Raises NotFound, or InvalidInput for a content level that is none.
        """
        if isinstance(seen := await self._disclose.read(requester, "Subscription", id_), Refusal):
            return seen
        subscription = await self.own(requester.client_id, id_)
        level = _level(subscription, content)
        last = subscription.events if until is None else min(until, subscription.events)
        async with self._database.connection() as tx:
            events = await self._subscriptions.events_between(tx, id_, since, last, MOST_EVENTS)
        told = []
        resource_type = subscription.terms.resource_type
        for event in events:
            found = await self._disclose.notify(
                requester, resource_type, event.resource_id, event.version, lambda _resource: True
            )
            if isinstance(found, Refusal) and found.code == "forbidden":
                return found
            if isinstance(found, Disclosed):
                told.append((event, found.text))
        return events_bundle(subscription, self._clock.now(), self._base, told, level)

    async def binding_token(self, requester: Requester, ids: Sequence[str] | None, base: str) -> dict[str, Any]:
        """The Parameters of $get-ws-binding-token; `base` is the address at which the caller reaches the FHIR server.

        Raises NotFound when the caller has none of these for a socket.
        """
        async with self._database.connection() as tx:
            found = await self._subscriptions.of_client(tx, requester.client_id, ids=ids)
        sockets = tuple(s.id for s in found if s.terms.channel.kind is ChannelKind.WEBSOCKET)
        if not sockets or (ids is not None and set(ids) != set(sockets)):
            raise NotFound("there is no such subscription with the channel websocket that this client asked for")
        expires_at = self._clock.now() + _TOKEN_LIFE
        binding = Binding(requester.client_id, sockets, expires_at.timestamp())
        token = base64.urlsafe_b64encode(seal(self._key, msgspec.json.encode(binding), _TOKEN)).decode()
        expiration = expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "token", "valueString": token},
                {"name": "expiration", "valueDateTime": expiration},
                *({"name": "subscription", "valueString": id_} for id_ in sockets),
                {"name": "websocket-url", "valueUrl": websocket_url(base)},
            ],
        }

    def binding(self, token: str) -> Binding:
        """What a token opens. Raises Refused when it was not made here, or is too old."""
        try:
            sealed = base64.urlsafe_b64decode(token.encode())
            binding = msgspec.json.decode(open_sealed(self._key, sealed, _TOKEN), type=Binding)
        except (HealthSyncError, binascii.Error, ValueError):
            raise Refused("the token was not made by this hub") from None
        if datetime.fromtimestamp(binding.expires_at, UTC) <= self._clock.now():
            raise Refused("the token has expired; ask for another with $get-ws-binding-token")
        return binding


def websocket_url(base: str) -> str:
    """The address of the socket beside the FHIR server: wss for https."""
    scheme, separator, rest = base.partition("://")
    return f"ws{scheme.removeprefix('http')}://{rest}/websocket" if separator else f"{base}/websocket"


_LEVELS = [Content.EMPTY, Content.ID_ONLY, Content.FULL_RESOURCE]


def _level(subscription: Subscription, asked: str | None) -> Content | None:
    """Never more than the subscription itself has; `empty` for R4 criteria without payload."""
    channel = subscription.terms.channel
    own = channel.content or (Content.FULL_RESOURCE if channel.payload else Content.EMPTY)
    if asked is None:
        return own
    if asked not in set(Content):
        raise InvalidInput("content takes empty, id-only or full-resource", code="value")
    return min(own, Content(asked), key=_LEVELS.index)
