"""Maps of local codes, and the codes that wait for one: what an operator or administrator does about them.

Every change is recorded. What is told holds codes and counts, nothing of a patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.terminology import (
    LocalChange,
    LocalMap,
    TerminologyService,
    WorkItem,
    WorkState,
    map_line,
    read_map,
    system_named,
)
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.operators import Actor
from healthsync.infrastructure.database import Database

__all__ = ["LocalChange", "LocalMap", "ManageCodes", "WorkItem", "WorkState"]

_LONGEST_PARTNER = 128


class ManageCodes:
    """The flow. `source` is the partner whose codes a map translates; None those of every partner."""

    def __init__(self, database: Database, terminology: TerminologyService, audit: AuditService) -> None:
        self._database, self._terminology, self._audit = database, terminology, audit

    # --- maps

    async def maps(self) -> list[LocalMap]:
        """Every local map."""
        async with self._database.connection() as tx:
            return await self._terminology.local_maps(tx)

    async def show(self, source: str | None) -> dict[str, Any]:
        """A local map as a ConceptMap."""
        async with self._database.connection() as tx:
            return await self._terminology.local_map(tx, source)

    async def add(
        self,
        actor: Actor,
        source: str | None,
        data: bytes,
        name: str,
        *,
        target: str | None = None,
        whole: bool = False,
    ) -> LocalChange:
        """Put the lines of a file into a local map; `whole` replaces all lines. Raises InvalidInput for the file."""
        entries = read_map(data, name, _named(source) or "", target)
        async with self._database.transaction() as tx:
            changed = await self._terminology.put_local(tx, source, entries, actor.name, whole=whole)
            await self._audit.record(tx, _event(actor, Action.UPDATE, "put-local-codes", _reference(source)))
        return changed

    async def remove(self, actor: Actor, source: str | None, system: str | None, code: str) -> int:
        """Take the lines for one code out. Raises UnknownTerminology when there are none."""
        async with self._database.transaction() as tx:
            named = system_named(system, source or "")
            gone = await self._terminology.remove_local(tx, source, named, code)
            await self._audit.record(tx, _event(actor, Action.DELETE, "remove-local-code", _reference(source)))
        return gone

    # --- work

    async def items(self, *, state: str | None, source: str | None, limit: int) -> list[WorkItem]:
        """Codes that wait for a map, the most frequent first. Raises InvalidInput for a state that is none."""
        if state is not None and state not in set(WorkState):
            raise InvalidInput(f"a work item is one of {', '.join(WorkState)}", code="code-invalid")
        async with self._database.connection() as tx:
            return await self._terminology.work_items(tx, state=state, partner=source, limit=limit)

    async def counts(self) -> list[tuple[str, str, int, int]]:
        """(source, state, codes, occurrences)."""
        async with self._database.connection() as tx:
            return await self._terminology.work_counts(tx)

    async def resolve(
        self,
        actor: Actor,
        key: int,
        target: str,
        target_system: str,
        *,
        display: str | None = None,
        equivalence: str | None = None,
        everywhere: bool = False,
    ) -> LocalChange:
        """Map the code of a work item, for its source or `everywhere`. Raises UnknownTerminology, InvalidInput."""
        async with self._database.transaction() as tx:
            item = await self._terminology.work_item(tx, key)
            source = None if everywhere else item.partner
            system = system_named(target_system, item.partner)
            entry = map_line(item.system, item.code, system, target, display=display, equivalence=equivalence)
            changed = await self._terminology.put_local(tx, source, [entry], actor.name, whole=False)
            await self._audit.record(tx, _event(actor, Action.UPDATE, "put-local-codes", _reference(source)))
        return changed

    async def settle(self, actor: Actor, keys: Sequence[int], state: WorkState) -> list[WorkItem]:
        """Ignore work items, or open them again. Raises UnknownTerminology."""
        async with self._database.transaction() as tx:
            items = [await self._terminology.work_item(tx, key) for key in keys]
            settled = [await self._terminology.settle(tx, item, state, actor.name) for item in items]
            entities = tuple(f"WorkItem/{item.key}" for item in items)
            await self._audit.record(tx, _event(actor, Action.UPDATE, f"work-item-{state}", *entities))
        return settled


def _named(source: str | None) -> str | None:
    if source is not None and not 0 < len(source) <= _LONGEST_PARTNER:
        raise InvalidInput(f"a source has a name of 1 to {_LONGEST_PARTNER} characters", code="value")
    return source


def _reference(source: str | None) -> str:
    """Partners have names that are no ids: the log knows a map by a digest of it."""
    return "LocalCodes" if source is None else f"LocalCodes/{hashlib.sha256(source.encode()).hexdigest()[:16]}"


def _event(actor: Actor, action: Action, interaction: str, *entities: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=actor.name,
        client=actor.client,
        roles=actor.roles,
        entities=entities,
    )
