"""Messages on their way out: who gets which, in what order, and what became of each.

    waiting ──► delivered          the partner answered AA or CA to this very message
     │  ▲
     │  └── retry ◄──┐
     └──► dead ──────┘             refused for good, too many errors, not allowed any more; the reason says why

Invariants: a message stands in the queue before a byte of it leaves, sealed, under a control id that is the same in
every repetition; what the partner has not acknowledged by that id is not delivered; of the messages of a lane (the
whole queue with one connection, else one patient's) none is sent before an older one that waits; what one version of a
resource has to tell a destination is queued once; one process at a time serves a destination.
"""

from healthsync.domains.deliveries.model import (
    PIX_UPDATE,
    Circuit,
    DeliveryState,
    Destination,
    DestinationState,
    Occasion,
    Parcel,
    Queue,
    SealingKey,
    Settlement,
    Standing,
    StoredDelivery,
    Tls,
    Waiting,
)
from healthsync.domains.deliveries.retry import MOST_BEGUN, answered, window
from healthsync.domains.deliveries.service import WAITING_CHANNEL, WATCH_SECONDS, DeliveryService
from healthsync.domains.deliveries.triggers import Trigger, Triggers, operation_of

__all__ = [
    "MOST_BEGUN",
    "PIX_UPDATE",
    "WAITING_CHANNEL",
    "WATCH_SECONDS",
    "Circuit",
    "DeliveryService",
    "DeliveryState",
    "Destination",
    "DestinationState",
    "Occasion",
    "Parcel",
    "Queue",
    "SealingKey",
    "Settlement",
    "Standing",
    "StoredDelivery",
    "Tls",
    "Trigger",
    "Triggers",
    "Waiting",
    "answered",
    "operation_of",
    "window",
]
