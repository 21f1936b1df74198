"""Who handles what, what waits for whom, and what applications publish: deliveries at least once, in order, sealed.

    waiting ──► done         the handler returned
       │   └──► withheld     the gate out says no: it is as if it had never been
       └──────► dead         too many attempts failed; replay puts it back

Invariants: a fact and its deliveries are one commit with the place in the event log, so that none is lost or doubled;
of the deliveries of one lane (a patient, a key) only the oldest is out; one that nobody renews comes back; a message
comes to a handler once; what fails holds back its own lane and nothing else.
"""

from healthsync.domains.streams.model import (
    Answer,
    DeadLetter,
    Fact,
    HandlerState,
    Kind,
    Leased,
    NewAnswer,
    Publication,
    Registration,
    SealingKey,
    Settling,
    Want,
)
from healthsync.domains.streams.retrying import RetryTerms
from healthsync.domains.streams.service import DELIVERY_CHANNEL, StreamService
from healthsync.domains.streams.wanting import check_topic, read_want

__all__ = [
    "DELIVERY_CHANNEL",
    "Answer",
    "DeadLetter",
    "Fact",
    "HandlerState",
    "Kind",
    "Leased",
    "NewAnswer",
    "Publication",
    "Registration",
    "RetryTerms",
    "SealingKey",
    "Settling",
    "StreamService",
    "Want",
    "check_topic",
    "read_want",
]
