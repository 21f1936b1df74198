"""Subscribers are told of changes (FHIR R4 subscription.html; Subscriptions R5 Backport 1.1).

    (1) queue       events of the log wait for each subscription that listens to them, in the order of the log
    (2) claim       one subscription with something to do, for this process and a while
    (3) who         is the subscriber still a client, with roles and a purpose that allow it? If not, it is switched off
    (4) gate        each change is disclosed to him or not, now: roles, consent, criteria, redaction, audit
    (5) number      what concerns him gets its number before a byte leaves, so that a repetition is known as one
    (6) tell        over the channel; a failure waits and doubles, and in the end puts the subscription into error
    (7) settle      what was taken, and when to try again

A process that is killed leaves its lease behind: another one repeats the turn when it has run out. So a notification
arrives at least once, and those of one subscription in order.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote
from uuid import UUID

from healthsync.domains.access import AccessService, Requester, purpose_of_use
from healthsync.domains.audit import Action
from healthsync.domains.subscriptions import (
    CHANGE_CHANNEL,
    Change,
    ChannelKind,
    NotificationType,
    NumberedEvent,
    Settled,
    Status,
    Subscription,
    SubscriptionRefused,
    SubscriptionService,
    TellingPolicy,
    notification,
    satisfied,
)
from healthsync.errors import Conflict, HealthSyncError, InvalidInput, NotFound, Refused, Unavailable
from healthsync.exchange.disclose import Disclose, Disclosed, Refusal
from healthsync.exchange.events import EventName
from healthsync.exchange.ingest import Incoming, Ingest, Submission, submission_audit
from healthsync.exchange.ports import HookSender, MailSender
from healthsync.exchange.subscribing import HUB
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.events import EventLog
from healthsync.infrastructure.events.log import CHANNEL as EVENT_CHANNEL
from healthsync.infrastructure.telemetry import logger, metrics
from healthsync.standards.fhir import json

__all__ = ["CHANGE_CHANNEL", "EVENTS_AT_ONCE", "WAKE_CHANNELS", "NotificationType", "NotifySubscribers", "Told", "Turn"]

_log = logger(__name__)
_told = metrics.counter(
    "healthsync_subscription_notifications",
    "Notifications, by channel and what became of them.",
    ("channel", "outcome"),
)
_states = metrics.gauge("healthsync_subscriptions", "Subscriptions, by state.", ("state",))
_waiting = metrics.gauge("healthsync_subscription_changes_waiting", "Changes that subscriptions have yet to look at.")

WAKE_CHANNELS = (EVENT_CHANNEL, CHANGE_CHANNEL)
"""NOTIFY on one of these says that something may have to be queued or told."""

CONSUMER = "subscriptions"
EVENTS_AT_ONCE = 500
"""A pass of `queue` that takes fewer events has come to the end of the log."""
_LOOK_AT_ONCE = 50
_LEASE_MARGIN_SECONDS = 5.0
_IDLE_PASS_SECONDS = 30.0
_AS_THE_HUB = Requester(HUB, ("system",), "HOPERAT")
_MAIL_TEXT = (
    "Something that you asked this hub to tell you of has been stored.\n"
    "Subscription: {base}/{reference}\n"
    "This message holds no patient data unless something is attached; sign in to see more.\n"
)

Told = tuple[NumberedEvent, str]
"""An event, and the JSON text of its resource as the subscriber may see it."""


class ReceiverGone(HealthSyncError):
    """The receiver says that it is gone for good (HTTP 410)."""

    code = "deleted"


class _LeaseLost(Exception):
    """Another process has the subscription, or its owner has changed it: this turn's result is void."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A subscription that this process has for a while."""

    subscription: Subscription
    lease: UUID


Send = Callable[[Subscription, NotificationType, Sequence[Told]], Awaitable[None]]
"""Tells the subscriber. Raises Unavailable, Refused or ReceiverGone."""


class NotifySubscribers:
    """The flow. `base` is the public address of the FHIR server."""

    def __init__(
        self,
        *,
        database: Database,
        subscriptions: SubscriptionService,
        disclose: Disclose,
        ingest: Ingest,
        access: AccessService,
        events: EventLog,
        clock: Clock,
        hooks: HookSender,
        mail: MailSender | None,
        policy: TellingPolicy,
        base: str,
    ) -> None:
        self._database, self._subscriptions, self._disclose = database, subscriptions, disclose
        self._ingest, self._access, self._events, self._clock = ingest, access, events, clock
        self._hooks, self._mail, self._policy, self._base = hooks, mail, policy, base
        self._passed_at = float("-inf")
        self.someone_listens = True
        """Whether the last `queue` found a subscription that waits for anything."""

    # (1)
    async def queue(self) -> int:
        """Let the next events of the log wait for those who listen; returns how many events were taken."""
        async with self._database.transaction() as tx:
            names = await self._subscriptions.listened_to(tx)
            self.someone_listens = bool(names)
            if not names and time.monotonic() - self._passed_at < _IDLE_PASS_SECONDS:
                return 0
            self._passed_at = time.monotonic()
            await self._ingest.refresh_parameters(tx)  # criteria may name parameters that were added
            events = await self._events.take(tx, CONSUMER, names, limit=EVENTS_AT_ONCE)
            full = await self._subscriptions.queue(tx, events, self._policy.max_waiting) if events else []
        for id_ in full:
            if (turn := await self.claim_one(id_)) is not None:
                await self._stop(turn, f"more than {self._policy.max_waiting} changes wait; ask again to begin anew")
        return len(events)

    # (2)
    async def claim(self) -> Turn | None:
        """A subscription with something to do; None when nothing is due."""
        lease = uuid.uuid4()
        async with self._database.transaction() as tx:
            subscription = await self._subscriptions.claim(tx, lease, self._lease_seconds())
        return Turn(subscription, lease) if subscription is not None else None

    async def claim_one(self, id_: str, *, due: bool = False) -> Turn | None:
        """This subscription, when no other process has it and, with `due`, when there is something to tell."""
        lease = uuid.uuid4()
        async with self._database.transaction() as tx:
            subscription = await self._subscriptions.claim_one(tx, id_, lease, self._lease_seconds(), due=due)
        return Turn(subscription, lease) if subscription is not None else None

    async def release(self, turn: Turn) -> None:
        """Give a subscription back whose turn did not come to its end; what has its number is told again."""
        subscription = turn.subscription
        now = self._clock.now()
        settled = Settled(subscription.status, subscription.attempts, now, subscription.reason)
        async with self._database.transaction() as tx:
            await self._subscriptions.settle(tx, subscription.id, turn.lease, settled)

    async def tell(self, turn: Turn, send: Send | None = None) -> None:
        """One turn of a subscription, from (3) to (7). `send` stands for its channel when that is a socket."""
        try:
            await self._tell(turn, send or self._send)
        except SubscriptionRefused as refused:
            await self._stop(turn, str(refused))
        except _LeaseLost:
            _log.info("a subscription was changed while it was told", subject=turn.subscription.reference)

    async def drain(self) -> int:
        """Queue and tell until nothing is due (retries that wait stay); returns the number of turns."""
        turns = 0
        while await self.queue() >= EVENTS_AT_ONCE:
            continue
        while (turn := await self.claim()) is not None:
            await self.tell(turn)
            turns += 1
        return turns

    async def close(self) -> None:
        """Close the connections to receivers."""
        await self._hooks.close()

    async def observe(self) -> None:
        """Show how many subscriptions are in each state, and how much waits."""
        async with self._database.connection() as tx:
            states = await self._subscriptions.states(tx)
        for status in Status:
            _states.labels(state=status.value).set(states.get(status.value, (0, 0))[0])
        _waiting.set(sum(changes for _, changes in states.values()))

    def _lease_seconds(self, asked: int | None = None) -> float:
        return max(self._policy.timeout_seconds, asked or 0) + _LEASE_MARGIN_SECONDS

    async def _tell(self, turn: Turn, send: Send) -> None:
        subscription = turn.subscription
        if subscription.ends_at is not None and subscription.ends_at <= self._clock.now():
            await self._stop(turn, "its end has come")
            return
        requester = await self.requester(subscription)  # (3)
        if requester is None:
            await self._stop(turn, "the client that asked for it may no longer be told")
            return
        asked = subscription.terms.channel.timeout_seconds
        if asked is not None and asked > self._policy.timeout_seconds:
            await self._lease_longer(turn, asked)
        if subscription.status is Status.REQUESTED:
            await self._begin(turn, send)
        else:
            await self._tell_due(turn, requester, send)

    async def _lease_longer(self, turn: Turn, seconds: int) -> None:
        async with self._database.transaction() as tx:
            id_ = turn.subscription.id
            if await self._subscriptions.claim_one(tx, id_, turn.lease, self._lease_seconds(seconds)) is None:
                raise _LeaseLost

    # (3)
    async def requester(self, subscription: Subscription) -> Requester | None:
        """Who would ask now if the subscriber asked; None when he could not."""
        subscriber = subscription.terms.subscriber
        roles, organisation = subscriber.roles, subscriber.organisation
        if subscriber.registered:
            async with self._database.connection() as tx:
                client = await self._access.client(tx, subscriber.client_id)
            if client is None:
                return None
            roles, organisation = client.roles, client.organisation
        try:
            purpose = purpose_of_use(self._access.policy, roles, subscriber.purpose_of_use)
        except (Refused, InvalidInput):
            return None
        scopes = subscriber.scopes
        return Requester(
            client_id=subscriber.client_id,
            roles=roles,
            purpose_of_use=purpose,
            user=subscriber.user,
            organisation=organisation,
            scopes={name: frozenset(letters) for name, letters in scopes.items()} if scopes is not None else None,
        )

    async def _begin(self, turn: Turn, send: Send) -> None:
        """A topic's web hook is proved by a handshake; every other channel is taken at its word."""
        subscription = turn.subscription
        if subscription.terms.is_topic_based and subscription.terms.channel.kind is ChannelKind.REST_HOOK:
            try:
                await send(subscription, NotificationType.HANDSHAKE, ())
            except (Unavailable, Refused, ReceiverGone) as problem:
                await self._fail(turn, problem)
                return
        await self._show(turn, Status.ACTIVE, None, self._activate)

    async def _activate(self, tx: Transaction, turn: Turn) -> bool:
        return await self._subscriptions.activate(tx, turn.subscription.id, turn.lease)

    async def _tell_due(self, turn: Turn, requester: Requester, send: Send) -> None:
        due = await self._due(turn, requester)  # (4), (5)
        if due is None:
            await self._stop(turn, "the roles of the client no longer open this type of resource")
            return
        heartbeat = not due and self._heartbeat_is_due(turn.subscription)
        if due or heartbeat:
            kind = NotificationType.HEARTBEAT if heartbeat else NotificationType.EVENT_NOTIFICATION
            subscription = turn.subscription
            if due:
                subscription = replace(subscription, events=max(subscription.events, due[-1][0].number))
            try:
                await send(subscription, kind, due)  # (6)
            except (Unavailable, Refused, ReceiverGone) as problem:
                await self._fail(turn, problem)
                return
        await self._settle(turn, due, told=bool(due) or heartbeat)  # (7)

    def _heartbeat_is_due(self, subscription: Subscription) -> bool:
        period, told_at = subscription.terms.channel.heartbeat_seconds, subscription.told_at
        return period is not None and told_at is not None and (self._clock.now() - told_at).total_seconds() >= period

    # (4)
    async def _due(self, turn: Turn, requester: Requester) -> list[Told] | None:
        """What is to be told now; None when the roles forbid the type altogether."""
        id_, most = turn.subscription.id, turn.subscription.terms.channel.max_count
        async with self._database.connection() as tx:
            untold = await self._subscriptions.untold(tx, id_, most)
            changes = [] if untold else await self._subscriptions.waiting(tx, id_, max(most, _LOOK_AT_ONCE))
        if untold:
            return await self._once_more(turn, requester, untold)
        looked_at: list[Change] = []
        found: list[tuple[Change, str]] = []
        for change in changes:
            disclosed = await self._disclosed(turn.subscription, requester, change)
            if isinstance(disclosed, Refusal) and disclosed.code == "forbidden":
                return None
            looked_at.append(change)
            if isinstance(disclosed, Disclosed):
                found.append((change, disclosed.text))
            if len(found) == most:
                break
        return await self._number(turn, looked_at, found)

    async def _once_more(self, turn: Turn, requester: Requester, untold: Sequence[NumberedEvent]) -> list[Told] | None:
        """What has its number already is decided again: consent may have been withdrawn since the last attempt."""
        due: list[Told] = []
        withheld: list[NumberedEvent] = []
        for event in untold:
            disclosed = await self._disclosed(turn.subscription, requester, event)
            if isinstance(disclosed, Refusal) and disclosed.code == "forbidden":
                return None
            if isinstance(disclosed, Disclosed):
                due.append((event, disclosed.text))
            else:
                withheld.append(event)
        async with self._database.transaction() as tx:
            await self._subscriptions.withhold(tx, turn.subscription.id, withheld)
        return due

    async def _disclosed(
        self, subscription: Subscription, requester: Requester, change: Change | NumberedEvent
    ) -> Disclosed | Refusal | None:
        terms = subscription.terms
        now = self._clock.now()
        return await self._disclose.notify(
            requester,
            terms.resource_type,
            change.resource_id,
            change.version,
            lambda resource: satisfied(terms, resource, now),
        )

    # (5)
    async def _number(self, turn: Turn, looked_at: Sequence[Change], found: Sequence[tuple[Change, str]]) -> list[Told]:
        if not looked_at:
            return []
        async with self._database.transaction() as tx:
            events = await self._subscriptions.number(
                tx, turn.subscription.id, turn.lease, looked_at, [change for change, _ in found]
            )
        if events is None:
            raise _LeaseLost
        return list(zip(events, (text for _, text in found), strict=True))

    # (6)
    async def _send(self, subscription: Subscription, kind: NotificationType, told: Sequence[Told]) -> None:
        if subscription.terms.channel.kind is ChannelKind.EMAIL:
            await self._mail_to(subscription, kind, told)
        else:
            await self._call_hook(subscription, kind, told)

    async def _call_hook(self, subscription: Subscription, kind: NotificationType, told: Sequence[Told]) -> None:
        """A topic's Bundle is POSTed, an R4 resource PUT under the endpoint as service base; else the POST is empty."""
        channel, terms = subscription.terms.channel, subscription.terms
        url, method, body = channel.endpoint or "", "POST", b""
        headers = list(channel.headers)
        if terms.is_topic_based:
            body = self.bundle(subscription, kind, told)
        elif channel.payload is not None:
            ((event, text),) = told
            method, body = "PUT", text.encode()
            url = f"{url.rstrip('/')}/{terms.resource_type}/{quote(event.resource_id)}"
        if body:
            headers.append(("Content-Type", channel.payload or "application/fhir+json"))
        timeout = channel.timeout_seconds or self._policy.timeout_seconds
        status = await self._hooks.send(method, url, headers, body, timeout)
        if status == 410:
            raise ReceiverGone("the receiver says that it is gone (HTTP 410)")
        if 300 <= status < 400:
            raise Unavailable(f"the receiver redirects (HTTP {status}), which is not followed; change the endpoint")
        if not 200 <= status < 300:
            raise Unavailable(f"the receiver answered HTTP {status}")

    async def _mail_to(self, subscription: Subscription, kind: NotificationType, told: Sequence[Told]) -> None:
        if self._mail is None:
            raise Refused("this hub no longer has a mail server (setting subscriptions.email)")
        channel = subscription.terms.channel
        attached: list[bytes] = []
        if "json" in (channel.payload or ""):
            topic = subscription.terms.is_topic_based
            attached = [self.bundle(subscription, kind, told)] if topic else [text.encode() for _, text in told]
        subject = dict(channel.headers).get("Subject", "Notification of a health information exchange")
        text = _MAIL_TEXT.format(base=self._base, reference=subscription.reference)
        attachments = [("application/fhir+json", content) for content in attached]
        timeout = channel.timeout_seconds or self._policy.timeout_seconds
        await self._mail.send(channel.endpoint or "", subject, text, attachments, timeout)

    def bundle(self, subscription: Subscription, kind: NotificationType, told: Sequence[Told]) -> bytes:
        """The Bundle of a topic's notification."""
        return json.dump(notification(subscription, kind, self._clock.now(), self._base, told))

    async def _fail(self, turn: Turn, problem: HealthSyncError) -> None:
        subscription = turn.subscription
        _told.labels(channel=subscription.terms.channel.kind.value, outcome="failed").inc()
        if isinstance(problem, ReceiverGone):
            await self._stop(turn, str(problem))
            return
        settled = self._policy.failed(subscription, str(problem), self._clock.now(), random.random())  # noqa: S311
        if settled.status is Status.ERROR:
            await self._show(turn, settled.status, settled.reason, _settling(self._subscriptions, settled))
            return
        async with self._database.transaction() as tx:
            await self._subscriptions.settle(tx, subscription.id, turn.lease, settled)

    # (7)
    async def _settle(self, turn: Turn, due: Sequence[Told], *, told: bool) -> None:
        subscription = turn.subscription
        async with self._database.transaction() as tx:
            await self._subscriptions.told(tx, subscription.id, [event for event, _ in due])
            settled = Settled(subscription.status, 0, self._clock.now(), told=told)
            await self._subscriptions.settle(tx, subscription.id, turn.lease, settled)
        if told:
            _told.labels(channel=subscription.terms.channel.kind.value, outcome="taken").inc()

    async def _stop(self, turn: Turn, reason: str) -> None:
        settled = Settled(Status.OFF, turn.subscription.attempts, self._clock.now(), reason)
        await self._show(turn, Status.OFF, reason, _settling(self._subscriptions, settled))

    async def _show(
        self, turn: Turn, status: Status, reason: str | None, settle: Callable[[Transaction, Turn], Awaitable[bool]]
    ) -> None:
        """Change the status here and in the Subscription resource, in one commit."""
        subscription = turn.subscription
        found = await self._disclose.read(_AS_THE_HUB, "Subscription", subscription.id)
        if isinstance(found, Refusal):
            raise _LeaseLost
        resource = {k: v for k, v in json.parse(found.text.encode()).items() if k != "error"}
        resource["status"] = status.value
        if reason is not None:
            resource["error"] = reason
        audit = submission_audit(Action.UPDATE, "update", client=HUB, roles=_AS_THE_HUB.roles)
        incoming = Incoming(resource, "update", if_match=found.version)
        try:
            async with self._database.transaction() as tx:
                await self._ingest(tx, Submission(HUB, [incoming], audit))
                if not await settle(tx, turn):
                    raise _LeaseLost
                data = {"status": status.value}
                await self._events.append(
                    tx, EventName.SUBSCRIPTION_STATUS_CHANGED, subject=subscription.reference, data=data
                )
        except (Conflict, NotFound):
            raise _LeaseLost from None
        _log.info("a subscription changed its state", subject=subscription.reference, state=status.value)


def _settling(subscriptions: SubscriptionService, settled: Settled) -> Callable[[Transaction, Turn], Awaitable[bool]]:
    async def settle(tx: Transaction, turn: Turn) -> bool:
        return await subscriptions.settle(tx, turn.subscription.id, turn.lease, settled)

    return settle
