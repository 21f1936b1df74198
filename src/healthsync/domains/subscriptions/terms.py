"""What does a Subscription ask for, and can this hub do it? Which versions concern it? Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from healthsync.domains.subscriptions.errors import SubscriptionRefused
from healthsync.domains.subscriptions.model import Channel, ChannelKind, Content, Subscriber, Terms
from healthsync.domains.subscriptions.topics import RESOURCE_CHANGED, Topic, Topics
from healthsync.errors import InvalidInput
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.matching import satisfies
from healthsync.standards.fhir.query import (
    And,
    Chain,
    Criterion,
    Has,
    ListMember,
    Modifier,
    Node,
    Not,
    Or,
    SearchQuery,
    parse,
)

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
PROFILE = f"{BACKPORT}backport-subscription"

LONGEST_TIMEOUT_SECONDS = 60
MOST_IN_ONE_NOTIFICATION = 100

_NEED_OTHERS = {Modifier.IN, Modifier.NOT_IN, Modifier.ABOVE, Modifier.BELOW}
_JSON = {"application/fhir+json", "application/json"}
_TEXT = {"text/plain"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]{0,4000}")
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
_RESULT_PARAMETERS = {"_count", "_sort", "_summary", "_elements", "_total", "_include", "_revinclude", "_cursor"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator permits. `allowed_hosts` (`host` or `host:port`) may be private and may use plain http."""

    allowed_hosts: tuple[str, ...] = ()
    email: bool = False
    email_payload: bool = False

    def allows(self, host: str, port: int) -> bool:
        """Whether the operator named this receiver."""
        return host.lower() in self.allowed_hosts or f"{host.lower()}:{port}" in self.allowed_hosts


def compile_terms(resource: Mapping[str, Any], subscriber: Subscriber, topics: Topics, rules: Rules) -> Terms:
    """The terms of a Subscription. Raises SubscriptionRefused with the sentence for Subscription.error."""
    criteria = str(resource.get("criteria", ""))
    channel: Mapping[str, Any] = resource.get("channel", {})
    if _is_topic_based(resource, criteria):
        topic = topics.find(criteria)
        if topic is None:
            raise SubscriptionRefused("criteria names no topic of this hub; docs/fhir/subscriptions.md lists them")
        filters = [_filter(text, topic.resource_type) for text in _extensions(resource.get("_criteria"), "filter")]
        resource_type, event_names, wanted = topic.resource_type, topic.event_names, (*topic.criteria, *filters)
    else:
        topic, event_names = None, (RESOURCE_CHANGED,)
        resource_type, query = _query(criteria)
        wanted = (query,) if query else ()
    for text in wanted:
        criterion(resource_type, text)
    compiled = _channel(channel, rules, topic)
    return Terms(resource_type, event_names, wanted, compiled, subscriber, topic.url if topic else None)


def satisfied(terms: Terms, resource: dict[str, Any], now: datetime) -> bool:
    """Whether a version of a resource concerns the subscription.

    Raises SubscriptionRefused when this version of the hub no longer applies criteria that an earlier one accepted.
    """
    values = search_parameters.index(resource, whole=True)
    nodes = [node for text in terms.criteria for node in criterion(terms.resource_type, text).criteria]
    try:
        return all(satisfies(node, resource, values, now) for node in nodes)
    except InvalidInput as problem:
        raise SubscriptionRefused(f"criteria cannot be applied: {problem}") from None


def criterion(resource_type: str, text: str) -> SearchQuery:
    """A query that is applied to one resource. Raises SubscriptionRefused for what needs others or shapes pages."""
    pairs = [(name, value) for name, value in parse_qsl(text, keep_blank_values=True) if name != "_format"]
    for name, _value in pairs:
        if name.partition(":")[0] in _RESULT_PARAMETERS:
            raise SubscriptionRefused("criteria may filter; parameters that shape pages (_count, _sort …) do not apply")
    try:
        query = parse(resource_type, pairs)
    except InvalidInput as problem:
        raise SubscriptionRefused(f"criteria cannot be applied: {problem}") from None
    if query.warnings:
        raise SubscriptionRefused("criteria have a parameter that this hub does not know")
    if any(_needs_others(node) for node in query.criteria):
        raise SubscriptionRefused(
            "criteria are applied to the changed resource alone: no chains, _has, _list, :in, :above and :below"
        )
    return query


def _needs_others(node: Node) -> bool:
    if isinstance(node, And | Or):
        return any(map(_needs_others, node.nodes))
    if isinstance(node, Criterion):
        return node.parameter.type in ("token", "reference") and node.modifier in _NEED_OTHERS
    return _needs_others(node.node) if isinstance(node, Not) else isinstance(node, Chain | Has | ListMember)


def _is_topic_based(resource: Mapping[str, Any], criteria: str) -> bool:
    profiles = resource.get("meta", {}).get("profile", [])
    return any(str(profile).partition("|")[0] == PROFILE for profile in profiles) or criteria.startswith("urn:")


def _query(criteria: str) -> tuple[str, str]:
    """`Observation?code=…`; a leading slash is usual."""
    resource_type, _, query = criteria.lstrip("/").partition("?")
    if resource_type not in resource_types():
        raise SubscriptionRefused("criteria must be a search such as Observation?code=718-7, or the URL of a topic")
    return resource_type, query


def _filter(text: str, resource_type: str) -> str:
    """`Encounter?patient=…`, `Encounter.patient=…` or `patient=…` (backport, components.html#subscription-filters)."""
    named, question, query = text.partition("?")
    if not question:
        named, _, query = text.partition(".") if text.partition(".")[0] in resource_types() else ("", "", text)
    if named and named != resource_type:
        raise SubscriptionRefused(f"this topic is about {resource_type}; a filter criterion names another type")
    return query


def _extensions(element: Any, kind: str) -> list[Any]:
    """The values of the backport's extensions of an element, in order."""
    names = {
        "filter": "backport-filter-criteria",
        "content": "backport-payload-content",
        "heartbeat": "backport-heartbeat-period",
        "timeout": "backport-timeout",
        "count": "backport-max-count",
        "channel": "backport-channel-type",
    }
    listed = element.get("extension", []) if isinstance(element, Mapping) else []
    found = [e for e in listed if isinstance(e, Mapping) and e.get("url") == f"{BACKPORT}{names[kind]}"]
    return [next((v for k, v in e.items() if k.startswith("value")), None) for e in found]


def _channel(channel: Mapping[str, Any], rules: Rules, topic: Topic | None) -> Channel:
    kind = channel.get("type")
    if kind not in set(ChannelKind) or _extensions(channel.get("_type"), "channel"):
        raise SubscriptionRefused(
            "this hub tells over the channels rest-hook, websocket and email; sms and message are not served"
        )
    kind = ChannelKind(str(kind))
    endpoint = channel.get("endpoint")
    payload = channel.get("payload")
    content = _content(channel, topic)
    _accept_payload(kind, payload, content, rules)
    return Channel(
        kind=kind,
        endpoint=_endpoint(kind, endpoint, rules),
        headers=_headers(kind, channel.get("header", [])),
        payload=payload,
        content=content,
        heartbeat_seconds=_number(channel, "heartbeat", 86_400 * 31) if topic else None,
        timeout_seconds=_number(channel, "timeout", LONGEST_TIMEOUT_SECONDS) if topic else None,
        max_count=(_number(channel, "count", MOST_IN_ONE_NOTIFICATION) or 1) if topic else 1,
    )


def _content(channel: Mapping[str, Any], topic: Topic | None) -> Content | None:
    if topic is None:
        return None
    asked = _extensions(channel.get("_payload"), "content")
    if len(asked) != 1 or asked[0] not in set(Content):
        raise SubscriptionRefused("channel.payload needs the extension backport-payload-content once")
    return Content(str(asked[0]))


def _accept_payload(kind: ChannelKind, payload: str | None, content: Content | None, rules: Rules) -> None:
    media_type = (payload or "").partition(";")[0].strip().lower()
    known = _JSON | _TEXT if kind is ChannelKind.EMAIL else _JSON
    if payload is not None and media_type not in known:
        raise SubscriptionRefused("channel.payload must be application/fhir+json, the format that this hub writes")
    if payload is None and content is not None:
        raise SubscriptionRefused("a topic's notifications are Bundles; set channel.payload to application/fhir+json")
    if kind is ChannelKind.EMAIL and not rules.email:
        raise SubscriptionRefused("this hub has no mail server (setting subscriptions.email); choose another channel")
    carries = "json" in (payload or "") and content is not Content.EMPTY  # text/plain;attach=application/fhir+json
    if kind is ChannelKind.EMAIL and carries and not rules.email_payload:
        raise SubscriptionRefused("this hub puts no patient data into mail (subscriptions.email.payload); leave it out")


def _endpoint(kind: ChannelKind, endpoint: Any, rules: Rules) -> str | None:
    if kind is ChannelKind.WEBSOCKET:
        return None
    if not isinstance(endpoint, str):
        raise SubscriptionRefused("channel.endpoint is missing")
    return _mail_address(endpoint) if kind is ChannelKind.EMAIL else _url(endpoint, rules)


def _mail_address(endpoint: str) -> str:
    address = unquote(endpoint.removeprefix("mailto:"))
    if parseaddr(address)[1] != address or not re.fullmatch(r"[^\s@,;<>]{1,64}@[A-Za-z0-9.-]{1,200}", address):
        raise SubscriptionRefused("channel.endpoint must be one address such as mailto:results@example.org")
    return address


def _url(endpoint: str, rules: Rules) -> str:
    try:
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise SubscriptionRefused("channel.endpoint is no URL") from None
    if not parts.hostname or parts.username or parts.password or parts.fragment or not endpoint.isascii():
        raise SubscriptionRefused("channel.endpoint must be a URL without user, password and fragment")
    if parts.scheme == "http" and not rules.allows(parts.hostname, port):
        raise SubscriptionRefused("channel.endpoint must be https; http only to hosts in subscriptions.allowed_hosts")
    if parts.scheme not in {"http", "https"}:
        raise SubscriptionRefused("channel.endpoint must be an https URL")
    if parts.query:
        raise SubscriptionRefused("channel.endpoint must have no query; use channel.header for credentials")
    return endpoint


def _headers(kind: ChannelKind, lines: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(lines, list):
        return ()
    if kind is ChannelKind.EMAIL:  # R4 puts the subject of the mail here
        subject = str(lines[0]) if lines else ""
        if not _HEADER_VALUE.fullmatch(subject[:200]):
            raise SubscriptionRefused("channel.header, the subject of the mail, must be one line of ASCII")
        return (("Subject", subject[:200]),) if subject else ()
    pairs = []
    for line in lines:
        name, colon, value = str(line).partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.strip()):
            raise SubscriptionRefused("channel.header must be lines of the form Name: value")
        if name.lower() in _OURS:
            raise SubscriptionRefused("channel.header must not set headers that belong to the connection")
        pairs.append((name, value.strip()))
    return tuple(pairs)


def _number(channel: Mapping[str, Any], kind: str, most: int) -> int | None:
    values = _extensions(channel, kind)
    if not values or values[0] is None:
        return None
    return min(int(values[0]), most) or None
