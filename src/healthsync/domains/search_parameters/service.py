"""The verbs of added search parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from healthsync.domains.search_parameters import store
from healthsync.domains.search_parameters.model import AddedParameter
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.own_parameters import UnservedParameter

LOOK_EVERY_SECONDS = 1.0
"""How often a process asks whether the parameters have changed."""
GRACE_SECONDS = 10.0
"""After so long no process works by the old parameters: it has looked, and what it had computed is written, or in
a transaction that can be waited for. A small unit of work begins its transaction only when it writes, hence the margin.
"""


class SearchParameterService:
    """The added parameters of one database, and this process's registry of them."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._look_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask for changes."""
        return time.monotonic() >= self._look_at

    async def refresh(self, tx: Transaction) -> None:
        """Bring the registry up to date, when a second has passed since it was."""
        if not self.is_due:
            return
        revision = await store.revision(tx)
        if revision != self._revision:
            search_parameters.use([added.registered for added in await store.everything(tx)])
            self._revision = revision
        self._look_at = time.monotonic() + LOOK_EVERY_SECONDS

    async def take(self, tx: Transaction, resource_id: str, facts: Mapping[str, Any] | None) -> AddedParameter | None:
        """What a SearchParameter resource means now; `facts` None: nothing, it is a draft, retired or deleted.

        Answers the meaning when it has to be indexed. Raises UnservedParameter when the url or
        the code belongs to another resource.
        """
        known = await store.everything(tx)
        if facts is None and not any(each.resource_id == resource_id and each.state != "retired" for each in known):
            return None
        await self._change(tx)
        known = await store.everything(tx)  # what was committed while others had their turn
        live = [each for each in known if each.state != "retired"]
        own = [each for each in live if each.resource_id == resource_id]
        if facts is None or any(each.facts != facts for each in own):
            await store.retire(tx, [each.number for each in own])
        elif own:
            return None
        if facts is None:
            return None
        _refuse_taken([each for each in live if each.resource_id != resource_id], facts)
        before = next((each for each in known if each.facts == facts), None)
        if before is None:
            return await self.find(tx, await store.add(tx, resource_id, facts))
        await store.announce(tx, before.number, resource_id)
        return await self.find(tx, before.number)

    async def unfinished(self, tx: Transaction) -> list[AddedParameter]:
        """Parameters that are announced or being indexed."""
        return [each for each in await store.everything(tx) if each.state in ("announced", "indexing")]

    async def find(self, tx: Transaction, number: int) -> AddedParameter | None:
        """One meaning."""
        return next((each for each in await store.everything(tx) if each.number == number), None)

    async def begin_indexing(self, tx: Transaction, parameter: AddedParameter) -> bool:
        """From announced to indexing, or on with it; False when it was retired, or announced anew."""
        await self._change(tx)
        if await store.move(tx, parameter, "announced", "indexing"):
            return True
        return await store.move(tx, parameter, "indexing", "indexing")

    async def progress(self, tx: Transaction, numbers: Sequence[int], percent: int) -> None:
        """Tell how far indexing has come."""
        if any(each.percent != percent for each in await store.everything(tx) if each.number in numbers):
            await self._change(tx)
            await store.progress(tx, numbers, percent)

    async def activate(self, tx: Transaction, parameter: AddedParameter) -> bool:
        """From indexing to active; False when it was retired, or announced anew."""
        await self._change(tx)
        return await store.move(tx, parameter, "indexing", "active")

    async def now(self, tx: Transaction) -> datetime:
        """An instant from which on to wait for `is_settled`."""
        return await store.now(tx)

    async def is_settled(self, tx: Transaction, since: datetime) -> bool:
        """Whether every process works by the parameters that were committed before an instant."""
        return await store.settled(tx, since, GRACE_SECONDS)

    async def _change(self, tx: Transaction) -> None:
        await store.raise_revision(tx)
        tx.after_commit(self._look_soon)

    def _look_soon(self) -> None:
        self._look_at = 0.0


def _refuse_taken(others: Sequence[AddedParameter], facts: Mapping[str, Any]) -> None:
    for other in others:
        if other.facts["url"] == facts["url"]:
            raise UnservedParameter("another SearchParameter here has this url; update that one", "SearchParameter.url")
        if other.facts["code"] == facts["code"] and {*other.facts["base"]} & {*facts["base"]}:
            raise UnservedParameter(
                "another SearchParameter here has this code for one of these types; choose another code",
                "SearchParameter.code",
            )
