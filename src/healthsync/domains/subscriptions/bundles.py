"""Notifications as the Subscriptions R5 Backport guide writes them for R4: a history Bundle whose first entry is a
Parameters resource with the status (notifications.html). Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from healthsync.domains.subscriptions.model import Content, NumberedEvent, Status, Subscription
from healthsync.domains.subscriptions.terms import BACKPORT


class NotificationType(StrEnum):
    """http://hl7.org/fhir/subscription-notification-type"""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    EVENT_NOTIFICATION = "event-notification"
    QUERY_STATUS = "query-status"
    QUERY_EVENT = "query-event"


def notification(
    subscription: Subscription,
    kind: NotificationType,
    now: datetime,
    base: str,
    told: Sequence[tuple[NumberedEvent, str]] = (),
    *,
    content: Content | None = None,
    events: int | None = None,
) -> dict[str, Any]:
    """A notification. `told` are events with the JSON text of their resource, as the subscriber may see it; `content`
    is the subscription's unless given, `events` the number since it began."""
    level = content or subscription.terms.channel.content or Content.EMPTY
    status = _status(subscription, kind, base, subscription.events if events is None else events)
    status["parameter"] += [_event(event, subscription, level, base) for event, _text in told]
    entries = [_status_entry(status, subscription, base)]
    if level is not Content.EMPTY:
        entries += [_resource_entry(event, text, subscription, level, base) for event, text in told]
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "meta": {"profile": [f"{BACKPORT}backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": _instant(now),
        "entry": entries,
    }


def events_bundle(
    subscription: Subscription,
    now: datetime,
    base: str,
    told: Sequence[tuple[NumberedEvent, str]],
    content: Content | None,
) -> dict[str, Any]:
    """The answer of $events: the same Bundle, of what was told before."""
    return notification(subscription, NotificationType.QUERY_EVENT, now, base, told, content=content)


def status_bundle(subscriptions: Sequence[Subscription], base: str) -> dict[str, Any]:
    """The answer of $status: a searchset of statuses."""
    statuses = [_status(s, NotificationType.QUERY_STATUS, base, s.events) for s in subscriptions]
    entries = [{"fullUrl": f"urn:uuid:{s['id']}", "resource": s, "search": {"mode": "match"}} for s in statuses]
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return {**bundle, "entry": entries} if entries else bundle


def _status(subscription: Subscription, kind: NotificationType, base: str, events: int) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": f"{base}/{subscription.reference}"}}
    ]
    if subscription.terms.topic and subscription.terms.channel.content is not Content.EMPTY:
        parameters.append({"name": "topic", "valueCanonical": subscription.terms.topic})
    parameters += [
        {"name": "status", "valueCode": subscription.status.value},
        {"name": "type", "valueCode": kind.value},
        {"name": "events-since-subscription-start", "valueString": str(events)},
    ]
    if subscription.status is Status.ERROR and subscription.reason:
        parameters.append({"name": "error", "valueCodeableConcept": {"text": subscription.reason}})
    return {
        "resourceType": "Parameters",
        "id": str(uuid.uuid4()),
        "meta": {"profile": [f"{BACKPORT}backport-subscription-status-r4"]},
        "parameter": parameters,
    }


def _event(event: NumberedEvent, subscription: Subscription, level: Content, base: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(event.number)},
        {"name": "timestamp", "valueInstant": _instant(event.occurred_at)},
    ]
    if level is not Content.EMPTY:
        focus = f"{base}/{subscription.terms.resource_type}/{event.resource_id}"
        parts.append({"name": "focus", "valueReference": {"reference": focus}})
    return {"name": "notification-event", "part": parts}


def _status_entry(status: Mapping[str, Any], subscription: Subscription, base: str) -> dict[str, Any]:
    return {
        "fullUrl": f"urn:uuid:{status['id']}",
        "resource": status,
        "request": {"method": "GET", "url": f"{base}/{subscription.reference}/$status"},
        "response": {"status": "200"},
    }


def _resource_entry(
    event: NumberedEvent, text: str, subscription: Subscription, level: Content, base: str
) -> dict[str, Any]:
    resource_type = subscription.terms.resource_type
    place = f"{resource_type}/{event.resource_id}"
    method, url = ("POST", resource_type) if event.created else ("PUT", place)
    entry: dict[str, Any] = {"fullUrl": f"{base}/{place}"}
    if level is Content.FULL_RESOURCE:
        entry["resource"] = msgspec.Raw(text.encode())
    return {
        **entry,
        "request": {"method": method, "url": url},
        "response": {"status": "201" if event.created else "200"},
    }


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
