"""What can go wrong with the audit log, beyond `errors.Unavailable` when it cannot be written."""

from __future__ import annotations

from healthsync.errors import HealthSyncError


class HistoryContradicted(HealthSyncError):
    """The database no longer holds the log that was published: it was restored, truncated or rewritten."""

    code = "security"
