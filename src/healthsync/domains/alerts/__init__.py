"""Alerts that somebody should see: kept sealed, with what they are about, until they are delivered and acknowledged.

An alert has a type, which is a code, and content, which is not: whom it concerns, what was found, who shall hear. This
version keeps and lists them; channels and acknowledgement come with clinical decision support.

Invariants: content is readable through the gate only; the same key of the same client is the same alert.
"""

from healthsync.domains.alerts.model import Alert, NewAlert, SealingKey, check_type
from healthsync.domains.alerts.service import AlertService

__all__ = ["Alert", "AlertService", "NewAlert", "SealingKey", "check_type"]
