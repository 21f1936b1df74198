"""What an answer of a partner leads to, and how long to wait (HL7 v2.5.1 §2.9.2, table 0008)."""

from __future__ import annotations

from datetime import datetime

from healthsync.domains.deliveries.model import DeliveryState, Settlement, Waiting
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.standards.hl7v2 import AckCode

MOST_BEGUN = 5
"""Attempts that began and never ended: the hub died each time, perhaps of this message."""


def answered(
    waiting: Waiting, code: AckCode, text: str, policy: RetryPolicy, now: datetime, jitter: float
) -> Settlement:
    """What becomes of a delivery that the partner has answered.

    AA and CA: delivered. AR and CR: sending it again changes nothing, so it is a dead letter at once. AE and CE: again
    later, `max_attempts` times in all; until then it holds back its lane.
    """
    if code.is_accept:
        return Settlement(DeliveryState.DELIVERED, waiting.attempts, answer=code.value)
    attempts = waiting.attempts + 1
    if code in (AckCode.AR, AckCode.CR):
        told = f"the partner refused the message for good ({code}); correct what it complains of, then retry it"
        return Settlement(
            DeliveryState.DEAD, attempts, answer=code.value, reason_code="refused", reason=told, detail=text
        )
    again = policy.next_attempt(attempts, now, jitter)
    if again is None:
        told = f"the partner answered {code} {attempts} times; ask it why, then retry the message"
        return Settlement(
            DeliveryState.DEAD, attempts, answer=code.value, reason_code="too-many-errors", reason=told, detail=text
        )
    told = f"the partner answered {code}: it cannot take the message now"
    return Settlement(DeliveryState.WAITING, attempts, again, code.value, "error", told, text)


def window(due: list[Waiting]) -> list[Waiting]:
    """Those of the due ones that are sent in one go: one that was begun before comes alone, so that a message which
    brings the hub down takes none with it into its count."""
    for place, waiting in enumerate(due):
        if waiting.begun:
            return due[:1] if place == 0 else due[:place]
    return due
