"""Try again, give up, or stop for good? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from healthsync.domains.subscriptions.model import Settled, Status, Subscription


@dataclass(frozen=True, slots=True)
class TellingPolicy:
    """How long to wait between attempts, how many there are, and how much may wait."""

    max_attempts: int = 8
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 300.0
    timeout_seconds: float = 10.0
    max_waiting: int = 10_000

    def wait_seconds(self, attempts: int, jitter: float) -> float:
        """Doubling waits; `jitter` in [0, 1) spreads them over the upper half: failures must not return together."""
        full = min(self.first_wait_seconds * 2 ** min(attempts - 1, 30), self.longest_wait_seconds)
        return full * (0.5 + jitter / 2)

    def failed(self, subscription: Subscription, reason: str, now: datetime, jitter: float) -> Settled:
        """After a failure. A handshake that fails is an error at once (backport, channels.html#rest-hook)."""
        attempts = subscription.attempts + 1
        if attempts >= self.max_attempts or subscription.status is Status.REQUESTED:
            return Settled(Status.ERROR, attempts, now, reason)
        again = now + timedelta(seconds=self.wait_seconds(attempts, jitter))
        return Settled(subscription.status, attempts, again, reason)
