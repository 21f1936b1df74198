"""Conditional create, update, patch and delete (http.html#ccreate, #cond-update, #cdelete): what a condition finds.

A condition is a search among what the requester may see. Two requests with the same condition take turns, so that of
two conditional creates at the same moment the second finds what the first made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healthsync.domains.access import Requester
from healthsync.domains.audit import Action, AuditService, Outcome
from healthsync.errors import InvalidInput
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.recording import audit_event
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir import matching, search_parameters
from healthsync.standards.fhir.index_values import IndexValues
from healthsync.standards.fhir.query import parse_condition

Condition = tuple[str, tuple[tuple[str, str], ...]]
"""A resource type and the decoded name/value pairs of a search."""


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that a condition finds, without its content."""

    resource_type: str
    id: str
    version: int
    updated_at: datetime

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return f"{self.resource_type}/{self.id}"


Found = Mapping[Condition, Sequence[Match]]


class Conditions:
    """Looks conditions up."""

    def __init__(self, disclose: Disclose, audit: AuditService) -> None:
        self._disclose, self._audit = disclose, audit

    async def resolve(
        self, tx: Transaction, requester: Requester, conditions: Iterable[Condition], *, most: int = 2
    ) -> Found:
        """What each condition finds, at most `most` resources: enough to tell none, one and several apart.

        Raises InvalidInput for what is no condition: a search parameter that is passed over would change somebody
        else's record.
        """
        wanted = sorted(set(conditions))
        if not wanted:
            return {}
        queries = [parse_condition(resource_type, pairs) for resource_type, pairs in wanted]
        await self._disclose.take_turns(tx, [repr(condition) for condition in wanted])
        found: dict[Condition, list[Match]] = {}
        for condition, query in zip(wanted, queries, strict=True):
            rows = await self._disclose.match(tx, requester, query, most=most)
            found[condition] = [Match(row.resource_type, row.id, row.version, row.updated_at) for row in rows]
        await self._record(tx, requester, found)
        return found

    async def _record(self, tx: Transaction, requester: Requester, found: Found) -> None:
        """What a condition finds tells that someone exists: that is recorded like a read."""
        entities = {m.reference for matches in found.values() for m in matches} | {
            resource_type for (resource_type, _), matches in found.items() if not matches
        }
        event = audit_event(requester, Action.EXECUTE, "conditional", Outcome.PERMITTED, sorted(entities))
        await self._audit.record(tx, event)


def one(matches: Sequence[Match]) -> Match | None:
    """The match of a condition that may have one. Raises InvalidInput (`multiple-matches`, 412) for several."""
    if len(matches) > 1:
        raise InvalidInput("the condition fits several resources; make it more precise", code="multiple-matches")
    return matches[0] if matches else None


def target_of_update(match: Match | None, written: str | None) -> str | None:
    """The id that a conditional update stores under, None for one that the hub chooses (http.html#cond-update).

    Raises InvalidInput (400) when the resource has another id than the one that its condition finds.
    """
    if match is None:
        return written
    if written not in (None, match.id):
        told = "the resource has another id than the one that its condition finds"
        raise InvalidInput(told, expression="Resource.id")
    return match.id


MOST_COMPARED = 200_000
"""Pairs of a condition and a resource beside it that one transaction may compare."""


@dataclass(slots=True)
class Arriving:
    """The resources that a transaction stores, for conditional references that find nothing in store: R4 resolves
    those last, so that they also find what the transaction itself creates (http.html#trules)."""

    resources: Sequence[Mapping[str, Any]]
    now: datetime
    compared: int = 0
    _by_type: dict[str, list[tuple[dict[str, Any], IndexValues]]] = field(default_factory=dict)

    def one(self, condition: Condition) -> str | None:
        """`Type/id` of the one that a condition finds. Raises InvalidInput (`multiple-matches`, `too-costly`)."""
        resource_type, pairs = condition
        query = parse_condition(resource_type, pairs)
        if resource_type not in self._by_type:
            own = (dict(each) for each in self.resources if each["resourceType"] == resource_type)
            self._by_type[resource_type] = [(each, search_parameters.index(each, whole=True)) for each in own]
        candidates = self._by_type[resource_type]
        self.compared += len(candidates)
        if self.compared > MOST_COMPARED:
            raise InvalidInput("refer to entries of the transaction by their fullUrl", code="too-costly")
        found = [
            each["id"]
            for each, values in candidates
            if all(matching.satisfies(node, each, values, self.now) for node in query.criteria)
        ]
        if len(found) > 1:
            raise InvalidInput("a conditional reference fits several entries", code="multiple-matches")
        return f"{resource_type}/{found[0]}" if found else None
