"""Duplicates, shared numbers and their trend, for administrators and privacy officers. References and counts only.

Which persons share an SSN tells something about them, so that every report is in the audit log.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import IdentityReport, ReviewService
from healthsync.errors import InvalidInput
from healthsync.exchange.administration.steward_identity import Steward
from healthsync.infrastructure.clock import Clock
from healthsync.infrastructure.database import Database

__all__ = ["By", "IdentityReport", "ReportIdentity", "Steward", "document"]

By = Literal["day", "month"]
_SPANS = {"day": timedelta(days=30), "month": timedelta(days=365)}
MOST_SHARED = 100
"""Shared numbers that are listed; all are counted."""


class ReportIdentity:
    """The flow."""

    def __init__(self, *, database: Database, reviews: ReviewService, audit: AuditService, clock: Clock) -> None:
        self._database, self._reviews, self._audit, self._clock = database, reviews, audit, clock

    async def __call__(
        self, asker: Steward, *, by: str = "day", since: date | None = None, until: date | None = None
    ) -> IdentityReport:
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
        named = sorted({f"Patient/{id_}" for shared in report.shared_numbers for id_ in shared.patients})
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
        return report


def document(report: IdentityReport) -> dict[str, Any]:
    """The report for programs."""
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
