"""Try again, give up, or stop for good? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from healthsync.domains.subscriptions.model import Settled, Status, Subscription
from healthsync.infrastructure.retrying import RetryPolicy


@dataclass(frozen=True, slots=True)
class TellingPolicy(RetryPolicy):
    """How long to wait between attempts, how many there are, and how much may wait."""

    timeout_seconds: float = 10.0
    max_waiting: int = 10_000

    def failed(self, subscription: Subscription, reason: str, now: datetime, jitter: float) -> Settled:
        """After a failure. A handshake that fails is an error at once (backport, channels.html#rest-hook)."""
        attempts = subscription.attempts + 1
        if attempts >= self.max_attempts or subscription.status is Status.REQUESTED:
            return Settled(Status.ERROR, attempts, now, reason)
        again = now + timedelta(seconds=self.wait_seconds(attempts, jitter))
        return Settled(subscription.status, attempts, again, reason)
