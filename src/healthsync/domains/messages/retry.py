"""Try again, or give up?"""

from __future__ import annotations

from datetime import datetime, timedelta

from healthsync.domains.messages.model import Claimed, MessageState, Settlement
from healthsync.errors import HealthSyncError, InvalidInput, NotFound, NotSupported, Refused, Unavailable
from healthsync.infrastructure.crypto.field_cipher import SealBroken
from healthsync.infrastructure.retrying import RetryPolicy

_HOPELESS = (InvalidInput, NotSupported, NotFound, Refused, SealBroken)
"""The same message would fail in the same way tomorrow."""


def failed(claimed: Claimed, error: Exception, policy: RetryPolicy, now: datetime, jitter: float) -> Settlement:
    """What becomes of a message whose attempt ended with `error`.

    An error that would come again makes it a dead letter at once. An outage (Unavailable) is not the message's fault:
    that attempt does not count, so a long outage kills nothing. Everything else is tried `max_attempts` times.
    The reason carries the text of our own errors only; others may repeat values of the message.
    """
    attempts = claimed.attempts + 1
    ours = isinstance(error, HealthSyncError)
    code = error.code if ours else "exception"
    reason = str(error) if ours else f"the hub failed at this message ({type(error).__name__}); see its log"
    hopeless = isinstance(error, _HOPELESS)
    outage = isinstance(error, Unavailable)
    if hopeless or (attempts >= policy.max_attempts and not outage):
        return Settlement(MessageState.DEAD, attempts, reason_code=code, reason=reason)
    again = now + timedelta(seconds=policy.wait_seconds(attempts, jitter))
    counted = claimed.attempts if outage else attempts
    return Settlement(MessageState.ACCEPTED, counted, next_attempt_at=again, reason_code=code, reason=reason)
