"""Hand it out again, or give up?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetryTerms:
    """How often a delivery is tried, how long it waits in between, and how long an instance may be silent about it."""

    max_attempts: int = 5
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0
    lease_seconds: float = 15.0

    def next_attempt(self, attempts: int, now: datetime, jitter: float) -> datetime | None:
        """When to try again after `attempts` have begun; None: never. `jitter` in [0, 1) spreads the waits over the
        upper half, so that what failed together does not come back together."""
        if attempts >= self.max_attempts:
            return None
        full = min(self.first_wait_seconds * 2 ** min(attempts - 1, 30), self.longest_wait_seconds)
        return now + timedelta(seconds=full * (0.5 + jitter / 2))
