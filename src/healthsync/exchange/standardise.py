"""Local codes get standard ones beside them, on the way to the gate; what no map translates becomes work.

Counts of such codes are kept in memory and written behind the work that saw them, in one statement and one order, so
that no message waits for another's counter. A process that dies loses the counts of the moment, never a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from healthsync.domains.terminology import TerminologyService, may_be_told, standardise
from healthsync.errors import Unavailable
from healthsync.infrastructure.database import Database, Transaction
from healthsync.infrastructure.telemetry import metrics

MOST_KEPT = 10_000
"""Codes that are counted between two writings; more than that in one batch is no vocabulary."""

HIDDEN = "(not a code)"
"""Stands for what a code cannot be by its looks: free text in the place of a code may be about a patient."""

_untranslated = metrics.counter(
    "healthsync_codes_untranslated", "Codes without a standard one beside them, by why.", ("reason",)
)


class Standardise:
    """The step. One object serves all messages of a process."""

    def __init__(self, database: Database, terminology: TerminologyService) -> None:
        self._database, self._terminology = database, terminology
        self._seen: dict[tuple[str, str, str], tuple[str, str, int]] = {}

    async def __call__(self, tx: Transaction, source: str, resources: Iterable[dict[str, Any]]) -> None:
        """Add standard codings to the resources of one source, in place, by the maps of a second ago at the latest."""
        translations = await self._terminology.translations(tx)
        asked = [(source, each) for resource in resources for each in standardise(resource, source, translations)]
        if asked:
            tx.after_commit(lambda: self._count(asked))

    async def report(self) -> None:
        """Write the counts. Without a database they wait for the next time."""
        if not self._seen:
            return
        seen, self._seen = self._seen, {}
        try:
            async with self._database.transaction() as tx:
                await self._terminology.note_untranslated(tx, seen)
        except Unavailable:
            for key, (element, reason, count) in seen.items():
                self._add(key, element, reason, count)

    def _count(self, asked: Iterable[tuple[str, Any]]) -> None:
        for source, each in asked:
            code = each.code if may_be_told(each.code) else HIDDEN
            self._add((source, each.system or "", code), each.element, each.why.value, 1)
            _untranslated.labels(reason=each.why.value).inc()

    def _add(self, key: tuple[str, str, str], element: str, reason: str, count: int) -> None:
        if key in self._seen or len(self._seen) < MOST_KEPT:
            self._seen[key] = (element, reason, count + self._seen.get(key, ("", "", 0))[2])
