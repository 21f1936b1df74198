"""How good each source is, day by day, and what it has promised. Points, ids of rules and counts; no patient's data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.quality import Bands, Contract, DayOfSource, QualityService, Reporting, Rule
from healthsync.errors import InvalidInput
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database

_DAYS, _TREND_DAYS, _WORST = 30, 7, 10


@dataclass(frozen=True, slots=True)
class WorstRule:
    """A rule that found fault: how often, and why it is asked."""

    id: str
    count: int
    because: str


@dataclass(frozen=True, slots=True)
class SourceReport:
    """A source over the days asked for."""

    source: str
    messages: int
    points: float
    trend: float | None
    """Mean points of the last seven days less those of the seven before; None when one of the two has no message."""
    bands: Bands
    worst: Sequence[WorstRule]
    days: Sequence[DayOfSource]


class ReportQuality:
    """The flow."""

    def __init__(self, *, database: Database, quality: QualityService, audit: AuditService, clock: Clock) -> None:
        self._database, self._quality, self._audit, self._clock = database, quality, audit, clock

    async def __call__(
        self, *, source: str | None = None, since: date | None = None, until: date | None = None
    ) -> list[SourceReport]:
        """By source: points, trend, worst rules and days. Without `since`: the last thirty days."""
        since = since or self._clock.now().date() - timedelta(days=_DAYS - 1)
        async with self._database.connection() as tx:
            days = await self._quality.report(tx, Reporting(since, until, source))
            bands = await self._quality.bands_by_source(tx)
        by_source: dict[str, list[DayOfSource]] = {}
        for day in days:
            by_source.setdefault(day.source, []).append(day)
        return [
            self._of_source(name, own, bands.get(name, self._quality.bands)) for name, own in sorted(by_source.items())
        ]

    async def to_review(self, source: str | None, limit: int) -> list[int]:
        """Messages that somebody should look at, newest first."""
        async with self._database.connection() as tx:
            return await self._quality.to_review(tx, source, None, limit)

    async def contracts(self) -> list[tuple[Contract, Bands]]:
        """Every contract, and the bands that hold by it."""
        async with self._database.connection() as tx:
            return [(each, each.over(self._quality.bands)) for each in await self._quality.contracts(tx)]

    async def agree(self, contract: Contract, operator: str) -> Bands:
        """Write a contract; answers the bands that hold now. Raises InvalidInput."""
        if contract.excellent is contract.good is contract.minimum is contract.rejects is None:
            raise InvalidInput("a contract raises a band or says whether to reject; name one of them", code="required")
        async with self._database.transaction() as tx:
            bands = await self._quality.agree(tx, replace(contract, changed_by=operator))
            await self._audit.record(tx, _event(Action.UPDATE, "agree-quality", contract.source, operator))
        return bands

    async def dissolve(self, source: str, operator: str) -> None:
        """Remove a contract. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._quality.dissolve(tx, source)
            await self._audit.record(tx, _event(Action.DELETE, "dissolve-quality", source, operator))

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules in effect."""
        return self._quality.rubric.rules

    def _of_source(self, source: str, days: Sequence[DayOfSource], bands: Bands) -> SourceReport:
        failed: Counter[str] = Counter()
        for day in days:
            failed.update(day.failed)
        worst = [
            WorstRule(id_, count, rule.because if (rule := self._quality.rubric.rule(id_)) else "no rule any more")
            for id_, count in failed.most_common(_WORST)
        ]
        points = _mean(days)
        assert points is not None
        return SourceReport(source, sum(day.messages for day in days), points, _trend(days), bands, worst, days)


def _mean(days: Sequence[DayOfSource]) -> float | None:
    count = sum(day.messages for day in days)
    return round(sum(day.points * day.messages for day in days) / count, 1) if count else None


def _trend(days: Sequence[DayOfSource]) -> float | None:
    newest = days[-1].day
    limit = newest - timedelta(days=_TREND_DAYS)
    now = _mean([day for day in days if day.day > limit])
    before = _mean([day for day in days if limit - timedelta(days=_TREND_DAYS) < day.day <= limit])
    return None if now is None or before is None else round(now - before, 1)


def _event(action: Action, interaction: str, source: str, operator: str) -> AuditEvent:
    return AuditEvent(
        action=action,
        interaction=interaction,
        outcome=Outcome.PERMITTED,
        user=operator,
        entities=(f"Partner/{source}",),
    )
