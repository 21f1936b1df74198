"""How often something is tried again, and how long to wait in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts there are, and how long to wait between them, in seconds."""

    max_attempts: int = 8
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 300.0

    def wait_seconds(self, failures: int, jitter: float) -> float:
        """Waits that double; `jitter` in [0, 1) spreads them over the upper half, so that what failed together does not
        come back together."""
        full = min(self.first_wait_seconds * 2 ** min(max(failures - 1, 0), 30), self.longest_wait_seconds)
        return full * (0.5 + jitter / 2)

    def next_attempt(self, failures: int, now: datetime, jitter: float) -> datetime | None:
        """When to try again after so many failures; None: never."""
        if failures >= self.max_attempts:
            return None
        return now + timedelta(seconds=self.wait_seconds(failures, jitter))
