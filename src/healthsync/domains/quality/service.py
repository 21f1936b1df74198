"""The verbs of quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from healthsync.domains.quality import store
from healthsync.domains.quality.model import Bands, Content, Contract, DayOfSource, MessageScore, Reporting, Score
from healthsync.domains.quality.rubric import Rubric
from healthsync.domains.quality.scoring import judge
from healthsync.errors import NotFound
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Transaction


class QualityService:
    """Scores of messages, and what sources have promised."""

    def __init__(self, rubric: Rubric, bands: Bands, clock: Clock) -> None:
        self.rubric, self.bands, self._clock = rubric, bands, clock

    def judge(self, content: Content) -> Score | None:
        """The score of a message; None when no rule finds anything to judge."""
        return judge(content, self.rubric)

    async def bands_by_source(self, tx: Transaction) -> dict[str, Bands]:
        """The bands of sources that have a contract; all others have `bands`."""
        return {contract.source: contract.over(self.bands) for contract in await store.contracts(tx)}

    async def keep(self, tx: Transaction, scores: Sequence[MessageScore]) -> None:
        """Store scores; a message that was processed again has the new one."""
        if scores:
            await store.keep(tx, scores)

    async def of(self, tx: Transaction, sequences: Sequence[int]) -> Mapping[int, MessageScore]:
        """The scores of messages, by their numbers; those that were never scored are absent."""
        return {score.sequence: score for score in await store.scores(tx, sequences)}

    async def report(self, tx: Transaction, asked: Reporting) -> list[DayOfSource]:
        """By source and day, the oldest day first."""
        return await store.report(tx, asked)

    async def to_review(self, tx: Transaction, source: str | None, before: int | None, limit: int) -> list[int]:
        """Messages that somebody should look at, newest first."""
        return await store.to_review(tx, source, before, limit)

    async def contracts(self, tx: Transaction) -> list[Contract]:
        """All contracts by source."""
        return await store.contracts(tx)

    async def agree(self, tx: Transaction, contract: Contract) -> Bands:
        """Write a contract; answers the bands that hold now. Raises InvalidInput for bands that are out of order."""
        bands = contract.over(self.bands)
        await store.agree(tx, contract, self._clock.now())
        return bands

    async def dissolve(self, tx: Transaction, source: str) -> None:
        """Remove a contract. Raises NotFound."""
        if not await store.dissolve(tx, source):
            raise NotFound(f"{source} has no contract; see: healthsync quality contracts")
