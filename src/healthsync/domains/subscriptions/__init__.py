"""Who wants to be told of what, over which channel, and how far the telling has come (FHIR R4 subscription.html and the
Subscriptions R5 Backport guide 1.1 for R4).

A Subscription resource is kept by `records`; here stand its terms, compiled and sealed, and three queues: changes that
a subscription has yet to look at, event numbers that were given out, and the state of its channel.

Invariants: the terms name who asked, and every notification is decided anew for him; a change is looked at in the order
of the event log; an event number belongs to one version of one resource for ever; nothing waits without a bound.
"""

from healthsync.domains.subscriptions.bundles import NotificationType, events_bundle, notification, status_bundle
from healthsync.domains.subscriptions.errors import SubscriptionRefused
from healthsync.domains.subscriptions.model import (
    Change,
    Channel,
    ChannelKind,
    Content,
    NumberedEvent,
    Settled,
    Status,
    Subscriber,
    Subscription,
    Terms,
)
from healthsync.domains.subscriptions.retry import TellingPolicy
from healthsync.domains.subscriptions.service import CHANGE_CHANNEL, SubscriptionService
from healthsync.domains.subscriptions.terms import Rules, compile_terms, satisfied
from healthsync.domains.subscriptions.topics import RESOURCE_CHANGED, Topic, Topics

__all__ = [
    "CHANGE_CHANNEL",
    "RESOURCE_CHANGED",
    "Change",
    "Channel",
    "ChannelKind",
    "Content",
    "NotificationType",
    "NumberedEvent",
    "Rules",
    "Settled",
    "Status",
    "Subscriber",
    "Subscription",
    "SubscriptionRefused",
    "SubscriptionService",
    "TellingPolicy",
    "Terms",
    "Topic",
    "Topics",
    "compile_terms",
    "events_bundle",
    "notification",
    "satisfied",
    "status_bundle",
]
