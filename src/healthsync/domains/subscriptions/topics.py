"""Topics: what a topic-based subscription may be about. Data, reviewed by whoever runs the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from healthsync.errors import ConfigurationError
from healthsync.shipped import shipped_yaml
from healthsync.standards.fhir.definitions import resource_types

RESOURCE_CHANGED = "resource.changed"
"""The event of the log that every write of a watched type announces."""

_ANY_CHANGE = "urn:healthsync:topic:resource-changed:"


@dataclass(frozen=True, slots=True)
class Topic:
    """What it is about, and the events that trigger it."""

    url: str
    title: str
    resource_type: str
    event_names: tuple[str, ...]
    criteria: tuple[str, ...] = ()


class Topics:
    """The topics of one hub, by canonical URL."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self._topics = {topic.url: topic for topic in topics}

    @classmethod
    def load(cls, operators: Path | None = None, known_events: Sequence[str] | None = None) -> Topics:
        """The topics that ship with the hub and the operator's own. Raises ConfigurationError for a wrong document."""
        topics = [*_shipped()]
        if operators is not None:
            try:
                document = yaml.safe_load(operators.read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError):
                raise ConfigurationError(f"subscriptions.topics_path: {operators} cannot be read as YAML") from None
            topics += _read(document, str(operators))
        for topic in topics:
            if known_events is not None and not set(topic.event_names) <= set(known_events):
                raise ConfigurationError(f"topic {topic.url} names an event that docs/reference/events.md has not")
        return cls(topics)

    def find(self, url: str) -> Topic | None:
        """The topic of a canonical URL; a version after `|` must not be asked for, as topics have none."""
        if url.startswith(_ANY_CHANGE):
            resource_type = url.removeprefix(_ANY_CHANGE)
            if resource_type in resource_types():
                return Topic(url, f"A {resource_type} was stored or changed", resource_type, (RESOURCE_CHANGED,))
        return self._topics.get(url)

    @property
    def urls(self) -> tuple[str, ...]:
        """The canonical URLs that are listed."""
        return tuple(sorted(self._topics))


@cache
def _shipped() -> tuple[Topic, ...]:
    return tuple(_read(shipped_yaml("healthsync.domains.subscriptions", "topics.yaml"), "topics.yaml"))


def _read(document: Any, place: str) -> list[Topic]:
    if not isinstance(document, Mapping) or not isinstance(document.get("topics"), list):
        raise ConfigurationError(f"{place} needs a list named topics; see docs/fhir/subscriptions.md")
    return [_topic(entry, place) for entry in document["topics"]]


def _topic(entry: Any, place: str) -> Topic:
    if not isinstance(entry, Mapping) or set(entry) - {"url", "title", "resource", "events", "criteria"}:
        raise ConfigurationError(f"{place}: a topic has url, title, resource, events and criteria, nothing else")
    url, resource_type, events = entry.get("url"), entry.get("resource"), entry.get("events")
    if not isinstance(url, str) or resource_type not in resource_types() or not isinstance(events, list) or not events:
        raise ConfigurationError(f"{place}: a topic needs a url, a resource type of R4 and a list of events")
    criteria = (str(entry["criteria"]),) if entry.get("criteria") else ()
    return Topic(url, str(entry.get("title", url)), str(resource_type), tuple(map(str, events)), criteria)
