"""Tasks about who is who that nobody decided in time become urgent, once: in the list, the events and the metrics.

The worker of long work does it every hour; `mpi.review.due_hours` and `overlay_due_hours` say when a task is due.
"""

from __future__ import annotations

from healthsync.domains.audit import Action, AuditEvent, AuditService, Outcome
from healthsync.domains.identity import ReviewService
from healthsync.exchange.events import EventName
from healthsync.infrastructure.database import Database
from healthsync.infrastructure.events import Event, EventLog
from healthsync.infrastructure.telemetry import metrics

_BATCH = 200

_escalated = metrics.counter(
    "healthsync_identity_reviews_escalated", "Tasks about who is who that nobody decided in time.", ("kind",)
)


class EscalateReviews:
    """The flow."""

    def __init__(self, *, database: Database, reviews: ReviewService, audit: AuditService, events: EventLog) -> None:
        self._database, self._reviews, self._audit, self._events = database, reviews, audit, events

    async def __call__(self) -> int:
        """Escalate what is due; answers how many were. A batch is a commit; several workers share the work."""
        total = 0
        while True:
            async with self._database.transaction() as tx:
                escalated = await self._reviews.escalate(tx, _BATCH)
                if escalated:
                    references = [f"IdentityTask/{number}" for number, _ in escalated]
                    await self._audit.record(tx, _event(references))
                    await self._events.append_many(
                        tx,
                        [
                            Event(EventName.REVIEW_OVERDUE, reference, {"kind": kind.value})
                            for reference, (_, kind) in zip(references, escalated, strict=True)
                        ],
                    )
            for _, kind in escalated:
                _escalated.labels(kind=kind.value).inc()
            total += len(escalated)
            if len(escalated) < _BATCH:
                return total


def _event(references: list[str]) -> AuditEvent:
    return AuditEvent(
        action=Action.UPDATE,
        interaction="identity-escalate",
        outcome=Outcome.PERMITTED,
        user="hub",
        entities=tuple(references),
    )
