-- name: one_at_a_time
-- Queueing of changes and activation exclude each other, so that no change falls between them.
SELECT pg_advisory_xact_lock(x'737562736372'::bigint);

-- name: request
-- The terms of a subscription, new or anew; its numbers go on, and so does what waits.
INSERT INTO subscription AS s (id, client_id, status, channel, resource_type, event_names, terms, requested_at,
                               ends_at, heartbeat_seconds, next_attempt_at, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10, $11)
ON CONFLICT (id) DO UPDATE SET client_id = excluded.client_id, status = excluded.status, channel = excluded.channel,
    resource_type = excluded.resource_type, event_names = excluded.event_names, terms = excluded.terms,
    requested_at = excluded.requested_at, ends_at = excluded.ends_at, heartbeat_seconds = excluded.heartbeat_seconds,
    next_attempt_at = excluded.next_attempt_at, reason = excluded.reason, attempts = 0, lease = NULL,
    leased_until = NULL,
    since_xid = CASE WHEN s.resource_type = excluded.resource_type AND s.event_names = excluded.event_names
                          AND s.client_id = excluded.client_id AND s.status <> 'off' THEN s.since_xid END;

-- name: forget_other_changes
-- What waits for terms that no longer hold.
DELETE FROM subscription_change c USING subscription s
WHERE c.subscription_id = $1 AND s.id = $1 AND s.since_xid IS NULL;

-- name: own
-- Whose it is: the client that wrote it first.
WITH first AS (
    INSERT INTO subscription_owner (id, client_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING client_id
)
SELECT client_id FROM first UNION ALL SELECT client_id FROM subscription_owner WHERE id = $1 LIMIT 1;

-- name: disown
-- The Subscription was deleted; whoever writes it again owns it.
DELETE FROM subscription_owner WHERE id = $1;

-- name: remove
-- The Subscription was deleted.
DELETE FROM subscription WHERE id = $1;

-- name: watched
-- Types of whose every change the log must hold.
SELECT DISTINCT resource_type FROM subscription WHERE status <> 'off' AND $1 = ANY (event_names);

-- name: listening
-- Subscriptions that changes are queued for.
SELECT id, resource_type, event_names, since_xid::text AS since_xid FROM subscription
WHERE status <> 'off' AND since_xid IS NOT NULL;

-- name: listened_to
-- Names of the events that any subscription waits for, also those that are about to be activated.
SELECT DISTINCT unnest(event_names) AS name FROM subscription WHERE status <> 'off';

-- name: queue
-- Changes that subscriptions have yet to look at; wakes those who tell.
WITH queued AS (
    INSERT INTO subscription_change (subscription_id, resource_id, version, created, occurred_at)
    SELECT subscription_id, resource_id, version, created, occurred_at
    FROM unnest($1::text[], $2::text[], $3::int[], $4::boolean[], $5::timestamptz[]) WITH ORDINALITY
         AS change (subscription_id, resource_id, version, created, occurred_at, place)
    ORDER BY place
    RETURNING 1
)
SELECT pg_notify('subscription_change', '') FROM (SELECT count(*) FROM queued) AS written;

-- name: overflowing
-- Subscriptions for which more waits than may.
SELECT s.id FROM subscription s
WHERE s.status <> 'off' AND s.id = ANY ($1::text[])
  AND (SELECT count(*) FROM (SELECT FROM subscription_change c WHERE c.subscription_id = s.id LIMIT $2 + 1) AS waiting) > $2;

-- name: claim
-- One subscription with something to do, for one process, for a while.
UPDATE subscription SET lease = $2, leased_until = $1::timestamptz + make_interval(secs => $3)
WHERE id = (
    SELECT s.id FROM subscription s
    WHERE (s.channel <> 'websocket' OR s.status = 'requested' OR s.ends_at <= $1)
      AND (s.leased_until IS NULL OR s.leased_until <= $1) AND (
        (s.status <> 'off' AND s.ends_at <= $1)
        OR (s.status = 'requested' AND s.next_attempt_at <= $1 AND s.requested_at <= clock_timestamp() - make_interval(secs => $4))
        OR (s.status = 'active' AND s.next_attempt_at <= $1 AND (
            EXISTS (SELECT FROM subscription_change c WHERE c.subscription_id = s.id)
            OR EXISTS (SELECT FROM subscription_event e WHERE e.subscription_id = s.id AND e.told_at IS NULL AND NOT e.withheld)
            OR s.told_at + make_interval(secs => s.heartbeat_seconds) <= $1)))
    ORDER BY s.next_attempt_at, s.id
    LIMIT 1
    FOR UPDATE OF s SKIP LOCKED
)
RETURNING *;

-- name: claim_one
-- This subscription, for the process that holds its socket.
UPDATE subscription s SET lease = $3, leased_until = $2::timestamptz + make_interval(secs => $4)
WHERE s.id = $1 AND (s.leased_until IS NULL OR s.leased_until <= $2 OR s.lease = $3)
  AND (NOT $5::boolean OR (s.status = 'active' AND s.next_attempt_at <= $2 AND (
        EXISTS (SELECT FROM subscription_change c WHERE c.subscription_id = s.id)
        OR EXISTS (SELECT FROM subscription_event e WHERE e.subscription_id = s.id AND e.told_at IS NULL AND NOT e.withheld)
        OR s.told_at + make_interval(secs => s.heartbeat_seconds) <= $2)))
RETURNING *;

-- name: activate
-- From here on its events are told.
UPDATE subscription SET status = 'active', attempts = 0, reason = NULL, told_at = $3, next_attempt_at = $3,
    since_xid = coalesce(since_xid, pg_current_xact_id()), lease = NULL, leased_until = NULL
WHERE id = $1 AND lease = $2 AND status = 'requested'
RETURNING id;

-- name: settle
-- How a turn ended.
UPDATE subscription SET status = $3, attempts = $4, next_attempt_at = $5, reason = $6,
    told_at = coalesce($7, told_at), lease = NULL, leased_until = NULL
WHERE id = $1 AND lease = $2
RETURNING id;

-- name: discard_waiting
-- A subscription that is off holds nothing back.
DELETE FROM subscription_change WHERE subscription_id = $1;

-- name: untold
-- Numbers that were given out and have not been taken.
SELECT number, resource_id, version, created, occurred_at FROM subscription_event
WHERE subscription_id = $1 AND told_at IS NULL AND NOT withheld ORDER BY number LIMIT $2;

-- name: waiting
-- The oldest changes that the subscription has yet to look at.
SELECT sequence, resource_id, version, created, occurred_at FROM subscription_change
WHERE subscription_id = $1 ORDER BY sequence LIMIT $2;

-- name: looked_at
-- These changes need not be looked at again.
DELETE FROM subscription_change WHERE subscription_id = $1 AND sequence = ANY ($2::bigint[]);

-- name: take_numbers
-- The next event numbers of a subscription that this process holds; NULL when another one does.
UPDATE subscription SET events = events + $3 WHERE id = $1 AND lease = $2 RETURNING events;

-- name: number
-- Give changes their event numbers.
INSERT INTO subscription_event (subscription_id, number, resource_id, version, created, occurred_at)
SELECT $1, number, resource_id, version, created, occurred_at
FROM unnest($2::bigint[], $3::text[], $4::int[], $5::boolean[], $6::timestamptz[])
     AS event (number, resource_id, version, created, occurred_at);

-- name: told
-- These events were taken by the receiver.
UPDATE subscription_event SET told_at = $3 WHERE subscription_id = $1 AND number = ANY ($2::bigint[]);

-- name: withhold
-- These events may no longer be told.
UPDATE subscription_event SET withheld = true WHERE subscription_id = $1 AND number = ANY ($2::bigint[]);

-- name: forget_old_events
-- $events looks back so far and no farther.
DELETE FROM subscription_event WHERE subscription_id = $1 AND number <= $2 AND (told_at IS NOT NULL OR withheld);

-- name: events_between
-- Numbers that were given out, for $events.
SELECT number, resource_id, version, created, occurred_at FROM subscription_event
WHERE subscription_id = $1 AND number BETWEEN $2 AND $3 AND NOT withheld ORDER BY number LIMIT $4;

-- name: of_client
-- The subscriptions of a client.
SELECT * FROM subscription
WHERE client_id = $1 AND ($2::text[] IS NULL OR id = ANY ($2::text[])) AND ($3::text[] IS NULL OR status = ANY ($3::text[]))
ORDER BY id LIMIT $4;

-- name: is_told
-- Whether a subscription is there and not off.
SELECT EXISTS (SELECT FROM subscription WHERE id = $1 AND status <> 'off');

-- name: states
-- How many subscriptions are in each state, and how much waits.
SELECT status, count(*) AS subscriptions,
       (SELECT count(*) FROM subscription_change c JOIN subscription o ON o.id = c.subscription_id
        WHERE o.status = s.status) AS changes
FROM subscription s GROUP BY status;
