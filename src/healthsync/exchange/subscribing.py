"""A Subscription arrives: what it asks for is judged, kept in the same commit, and shown in its status and error.

A client asks with status `requested` (or `active`, which says the same); `off` and `error` end it. The hub's own
updates, by which it shows what became of a subscription, change nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from healthsync.domains.access import Requester
from healthsync.domains.subscriptions import (
    Rules,
    Subscriber,
    SubscriptionRefused,
    SubscriptionService,
    Terms,
    Topics,
    compile_terms,
)
from healthsync.errors import Refused
from healthsync.exchange.events import EventName
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction
from healthsync.infrastructure.events import Event
from healthsync.standards.fhir import dates

HUB = "healthsync"
"""The source and client name of what the hub itself writes."""

_WANTED = {"requested", "active"}


def without_secrets(document: dict[str, Any], requester: Requester) -> dict[str, Any]:
    """A Subscription for `requester`: its headers, which hold credentials, are shown to the client that wrote it."""
    channel = document.get("channel")
    source = document.get("meta", {}).get("source")
    own = f"urn:healthsync:source:{quote(requester.client_id, safe='')}"
    if not isinstance(channel, dict) or "header" not in channel or source == own or requester.client_id == HUB:
        return document
    return {**document, "channel": {name: value for name, value in channel.items() if name.strip("_") != "header"}}


class Subscribing:
    """What `ingest` asks about Subscriptions. `token_days` bounds those of signed tokens, whose end nobody reports.

    `others_watch` names the types whose every change somebody else needs in the event log (messages to partners).
    """

    def __init__(
        self,
        subscriptions: SubscriptionService,
        topics: Topics,
        rules: Rules,
        clock: Clock,
        token_days: int,
        others_watch: Callable[[Transaction], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        self._subscriptions, self._topics, self._rules = subscriptions, topics, rules
        self._clock, self._token_days, self._others_watch = clock, token_days, others_watch

    def judged(self, resource: dict[str, Any], requester: Requester | None, source: str) -> dict[str, Any]:
        """The Subscription with the status that the hub gives it: requested, off, or error with its reason."""
        if source == HUB:
            return resource
        rest = {name: value for name, value in resource.items() if name not in ("error", "_error")}
        if resource.get("status") not in _WANTED:
            return {**rest, "status": "off"}
        try:
            self._terms(resource, requester)
        except SubscriptionRefused as refused:
            return {**rest, "status": "error", "error": str(refused)}
        return {**rest, "status": "requested"}

    async def apply(
        self, tx: Transaction, resource: Mapping[str, Any], requester: Requester | None, source: str, deleted: bool
    ) -> None:
        """Keep the terms of a Subscription that was stored, in the same commit.

        Raises Refused for one that another client wrote: it may be deleted, but whoever could point it elsewhere would
        get its headers.
        """
        if source == HUB:
            return
        if deleted:
            await self._subscriptions.remove(tx, resource["id"], deleted=True)
            return
        if requester is not None and not await self._subscriptions.belongs_to(tx, resource["id"], requester.client_id):
            raise Refused("only the client that wrote a Subscription may change it; delete it, and write your own")
        if resource.get("status") != "requested":
            await self._subscriptions.remove(tx, resource["id"])
            return
        terms = self._terms(resource, requester)
        await self._subscriptions.request(tx, resource["id"], terms, self._end(resource, terms))

    async def changes(self, tx: Transaction, written: Collection[tuple[str, str, int]]) -> list[Event]:
        """`resource.changed` for those of the written (type, id, version) whose type somebody watches."""
        watched = set(await self._subscriptions.watched(tx, {resource_type for resource_type, _, _ in written}))
        if self._others_watch is not None:
            watched |= set(await self._others_watch(tx))
        return [
            Event(EventName.RESOURCE_CHANGED, f"{resource_type}/{id_}", {"version": version})
            for resource_type, id_, version in written
            if resource_type in watched
        ]

    def _terms(self, resource: Mapping[str, Any], requester: Requester | None) -> Terms:
        if requester is None:
            raise SubscriptionRefused("a Subscription is asked for by a client over FHIR REST, who is then told")
        return compile_terms(resource, _subscriber(requester), self._topics, self._rules)

    def _end(self, resource: Mapping[str, Any], terms: Terms) -> datetime | None:
        end = dates.interval(resource["end"])[0] if resource.get("end") else None
        if terms.subscriber.registered:
            return end
        last = self._clock.now() + timedelta(days=self._token_days)
        return min(end, last) if end else last


def _subscriber(requester: Requester) -> Subscriber:
    scopes = requester.scopes
    return Subscriber(
        client_id=requester.client_id,
        roles=requester.roles,
        purpose_of_use=requester.purpose_of_use,
        registered=requester.user is None,
        user=requester.user,
        organisation=requester.organisation,
        scopes={name: "".join(sorted(letters)) for name, letters in scopes.items()} if scopes is not None else None,
    )
