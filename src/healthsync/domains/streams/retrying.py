"""Hand it out again, or give up?"""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.infrastructure.retrying import RetryPolicy


@dataclass(frozen=True, slots=True)
class RetryTerms(RetryPolicy):
    """How often a delivery is tried, how long it waits in between, and how long an instance may be silent about it."""

    max_attempts: int = 5
    longest_wait_seconds: float = 60.0
    lease_seconds: float = 15.0
