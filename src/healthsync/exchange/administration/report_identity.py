"""Duplicates, shared numbers, stays in two places at once and their trend, for administrators and privacy officers.
References and counts only.

Which persons share an SSN tells something about them, so that every report is in the audit log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import IdentityReport, ImpossibleOverlap, ReviewService
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.operators import Actor
from healthsync.exchange.disclose import Disclose
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database

__all__ = ["By", "IdentityReport", "ReportIdentity", "document"]

By = Literal["day", "month"]
_SPANS = {"day": timedelta(days=30), "month": timedelta(days=365)}
MOST_SHARED = 100
"""Shared numbers that are listed; all are counted."""


class ReportIdentity:
    """The flow."""

    def __init__(
        self, *, database: Database, reviews: ReviewService, disclose: Disclose, audit: AuditService, clock: Clock
    ) -> None:
        self._database, self._reviews, self._disclose = database, reviews, disclose
        self._audit, self._clock = audit, clock

    async def __call__(
        self, asker: Actor, *, by: str = "day", since: date | None = None, until: date | None = None
    ) -> Report:
        """The report over the days from `since` to before `until` (UTC); without them the last 30 days, by month the
        last year. Raises InvalidInput."""
        if by not in _SPANS:
            raise InvalidInput("the trend is told by day or by month", code="value")
        end = _midnight(until) if until else self._clock.now()
        start = _midnight(since) if since else end - _SPANS[by]
        if start >= end:
            raise InvalidInput("the report begins before it ends: since is earlier than until", code="value")
        async with self._database.transaction(read_only=True) as tx:
            report = await self._reviews.report(tx, start, end, by, MOST_SHARED)
            overlaps = await self._disclose.impossible_overlaps(tx, start, end)
        told = [*report.shared_numbers, *overlaps[:MOST_SHARED]]
        named = sorted({f"Patient/{id_}" for each in told for id_ in each.patients})
        event = AuditEvent(
            action=Action.READ,
            interaction="identity-report",
            outcome=Outcome.PERMITTED,
            user=asker.name,
            client=asker.client,
            roles=asker.roles,
            entities=("IdentityReport", *named),
            patients=tuple(named),
        )
        await self._audit.record_and_commit(event)
        return Report(report, overlaps, by)


@dataclass(frozen=True, slots=True)
class Report:
    """Duplicates and rates, and who cannot have been where he is said to have been; told `by` day or month."""

    identity: IdentityReport
    overlaps: Sequence[ImpossibleOverlap]
    by: str

    @property
    def overlap_trend(self) -> dict[str, int]:
        """How many overlaps began in each day or month."""
        firsts = [each.on.replace(day=1) if self.by == "month" else each.on for each in self.overlaps]
        return {str(period): count for period, count in sorted(Counter(firsts).items())}


def document(told: Report) -> dict[str, Any]:
    """The report for programs."""
    report = told.identity
    counts, review = report.counts, report.review
    return {
        "records": counts.records,
        "persons": counts.persons,
        "rates": {
            "duplicate": report.duplicate_rate,
            "creation": report.creation_rate,
            "overlay": report.overlay_rate,
            "overlap": report.overlap_rate,
        },
        "waiting": {
            "duplicates": counts.suspected_duplicates,
            "linkages": counts.suspected_linkages,
            "held": counts.held,
        },
        "sources": [
            {"source": s.source, "records": s.records, "known": s.known, "suspected": s.suspected, "held": s.held}
            for s in report.sources
        ],
        "sharedNumbers": {
            "counts": report.shared_total,
            "shared": [
                {
                    "kind": shared.kind,
                    "persons": [f"Person/{id_}" for id_ in shared.persons],
                    "patients": [f"Patient/{id_}" for id_ in shared.patients],
                }
                for shared in report.shared_numbers
            ],
        },
        "impossibleOverlaps": {
            "count": len(told.overlaps),
            "trend": told.overlap_trend,
            "overlaps": [
                {
                    "person": f"Person/{each.person}",
                    "patients": [f"Patient/{id_}" for id_ in each.patients],
                    "encounters": [f"Encounter/{id_}" for id_ in each.encounters],
                }
                for each in told.overlaps[:MOST_SHARED]
            ],
        },
        "trend": [
            {
                "period": str(p.period),
                "registered": p.registered,
                "confirmedDuplicates": p.confirmed_duplicates,
                "raised": p.raised,
                "overlays": p.overlays,
                "overlaysRestored": p.overlays_restored,
                "keptApart": p.kept_apart,
            }
            for p in report.trend
        ],
        "review": {
            "decided": review.decided,
            "meanHours": review.mean_hours,
            "secondReadings": review.second_readings,
            "disagreements": review.disagreements,
        },
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
