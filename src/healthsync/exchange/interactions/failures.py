"""What an error means to whom it is answered: HTTP status and issues, alike for a request and for a Bundle's entry."""

from __future__ import annotations

from typing import Any

from healthsync.domains.terminology import Unusable
from healthsync.errors import HealthSyncError
from healthsync.exchange.ingest import InvalidResource, PreconditionFailed
from healthsync.exchange.offer import NotOffered
from healthsync.standards.fhir.outcome import Issue, from_error, http_status, operation_outcome


def status_of(problem: HealthSyncError) -> int:
    """The HTTP status of an error of ours (http.html#status-codes)."""
    match problem:
        case PreconditionFailed():
            return 412
        case NotOffered():
            return 405
        case Unusable():
            return 422 if problem.code == "exception" else http_status(problem.code)
        case _:
            return http_status(problem.code)


def issues_of(problem: HealthSyncError) -> list[Issue]:
    """Its issues: every fault of a resource, or the one that the error itself is."""
    return problem.issues if isinstance(problem, InvalidResource) else [from_error(problem)]


def outcome_of(problem: HealthSyncError) -> dict[str, Any]:
    """Its OperationOutcome."""
    return operation_outcome(issues_of(problem))
