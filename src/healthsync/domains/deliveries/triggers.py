"""Which message does a change send? Ours (`triggers.yaml`), and over it `outbound` of an operator's hl7_processing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from healthsync.errors import InvalidInput, NotSupported
from healthsync.shipped import shipped_yaml
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.matching import satisfies
from healthsync.standards.fhir.query import SearchQuery, parse
from healthsync.standards.logical_tables import LogicalTables
from healthsync.standards.maps.outbound import known_types, message_map

CHANGED = "resource.changed"
"""The event of any change of a type that somebody watches."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A change and the message that it sends."""

    message: str
    event: str
    resource: str
    operation: str | None = None
    status: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    other_classes: frozenset[str] = frozenset()
    select: SearchQuery | None = None
    """What the rows of the operator's table have in common."""

    def is_fired_by(self, event: str, resource_type: str, version: int | None) -> bool:
        """Whether an event of the log is this change, as far as the event itself tells."""
        if event != self.event or resource_type != self.resource:
            return False
        return self.operation is None or self.operation == operation_of(version)

    def concerns(self, resource: dict[str, Any], now: datetime) -> bool:
        """Whether it holds of the content of the resource."""
        if self.status and resource.get("status") not in self.status:
            return False
        code = resource.get("class", {}).get("code") if self.classes or self.other_classes else None
        if (self.classes and code not in self.classes) or code in self.other_classes:
            return False
        if self.select is None:
            return True
        values = search_parameters.index(resource, whole=True)
        return all(satisfies(node, resource, values, now) for node in self.select.criteria)


def operation_of(version: int | None) -> str:
    """INSERT for the first version of a resource, else UPDATE."""
    return "INSERT" if version in (None, 1) else "UPDATE"


class Triggers:
    """All triggers of a hub."""

    def __init__(self, triggers: Iterable[Trigger]) -> None:
        self._triggers = tuple(triggers)

    @classmethod
    def load(cls, document: Mapping[str, Any] | None = None, logical_tables: LogicalTables | None = None) -> Triggers:
        """Ours, and over them `outbound` of a parsed `hl7_processing` document.

        Raises InvalidInput that names the entry, NotSupported for a message without a map.
        """
        section = (document or {}).get("hl7_processing", document or {})
        theirs = [_operators(entry, logical_tables or LogicalTables.load()) for entry in section.get("outbound") or ()]
        replaced = {trigger.message for trigger in theirs}
        return cls([*(t for t in _shipped() if t.message not in replaced), *theirs])

    def of(self, messages: Collection[str]) -> Sequence[Trigger]:
        """Those that send one of these message types."""
        return [trigger for trigger in self._triggers if trigger.message in messages]

    def events(self, messages: Collection[str]) -> set[str]:
        """The events that a destination of these messages waits for."""
        return {trigger.event for trigger in self.of(messages)}

    def watched(self, messages: Collection[str]) -> set[str]:
        """The resource types whose every change must be announced for them."""
        return {trigger.resource for trigger in self.of(messages) if trigger.event == CHANGED}


@cache
def _shipped() -> tuple[Trigger, ...]:
    return tuple(_ours(entry) for entry in shipped_yaml("healthsync.domains.deliveries", "triggers.yaml")["triggers"])


def _ours(entry: Mapping[str, Any]) -> Trigger:
    return Trigger(
        entry["message"],
        entry["event"],
        entry["resource"],
        entry.get("operation"),
        frozenset(entry.get("status", ())),
        frozenset(entry.get("class", ())),
        frozenset(entry.get("other_class", ())),
    )


def _operators(entry: Mapping[str, Any], logical_tables: LogicalTables) -> Trigger:
    message = str(entry.get("generate", ""))
    trigger = entry.get("trigger") or {}
    table = logical_tables.table(str(trigger.get("table", "")))
    operation = str(trigger.get("operation", ""))
    if message not in known_types():
        raise NotSupported(f"hl7_processing: no map builds {message}; there are {', '.join(known_types())}")
    if operation not in ("INSERT", "UPDATE"):
        raise NotSupported(
            f"hl7_processing: nothing is sent on {operation or 'no operation'}; INSERT and UPDATE are. What is deleted "
            "is taken back by an update of its status"
        )
    if table.fhir_type not in message_map(message).about:
        about = " or ".join(message_map(message).about)
        raise InvalidInput(
            f"hl7_processing: {message} tells of {about}, and a row of {table.name} is a {table.fhir_type}",
            code="business-rule",
        )
    select = parse(table.fhir_type, parse_qsl(table.select)) if table.select else None
    return Trigger(message, CHANGED, table.fhir_type, operation, select=select)
