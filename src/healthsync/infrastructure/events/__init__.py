"""The transactional event log: facts written with the change that they tell of, read by consumers at their own pace.

An event commits with its cause or not at all. A consumer's place moves in the same transaction as the effect it has,
so each event has its effect once. Events are read only below `pg_snapshot_xmin`: positions are handed out before
commit, and a reader that went by position alone would step over a transaction that commits late.
"""

from healthsync.infrastructure.events.log import Event, EventLog, StoredEvent

__all__ = ["Event", "EventLog", "StoredEvent"]
