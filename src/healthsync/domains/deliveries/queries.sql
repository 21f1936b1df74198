-- name: add_destination
-- A new destination; nothing when the name is taken.
INSERT INTO destination (name, terms, state, created_at) VALUES ($1, $2::jsonb, 'active', $3)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: destinations
-- All destinations, or the one that is named.
SELECT name, terms::text AS terms, state, created_at, failures, failing_since, retry_at, reason
FROM destination WHERE $1::text IS NULL OR name = $1 ORDER BY name;

-- name: lock_destination
-- Nobody adds to its queue until the end of the transaction.
SELECT name FROM destination WHERE name = $1 FOR UPDATE;

-- name: remove_destination
-- It and its queue.
DELETE FROM destination WHERE name = $1 RETURNING name;

-- name: set_state
-- Pause or resume; the partner gets another chance at once.
UPDATE destination SET state = $2, retry_at = NULL WHERE name = $1 RETURNING name;

-- name: wake
-- Whoever sends looks again.
SELECT pg_notify('delivery_waiting', '');

-- name: claim
-- A destination with something to do, for one process and a while. A partner that connects to us is waited for always.
-- One whose connections keep an order has nothing to do while its oldest message waits for its next attempt.
UPDATE destination SET lease = $2, leased_until = $1::timestamptz + make_interval(secs => $3)
WHERE name = (
    SELECT d.name FROM destination d
    WHERE d.state = 'active' AND (d.leased_until IS NULL OR d.leased_until <= $1)
      AND (d.retry_at IS NULL OR d.retry_at <= $1)
      AND (coalesce((d.terms->>'listen')::boolean, false) OR CASE
        WHEN coalesce((d.terms->>'max_connections')::int, 1) = 1 THEN coalesce((
            SELECT w.next_attempt_at IS NULL OR w.next_attempt_at <= $1 FROM delivery w
            WHERE w.destination = d.name AND w.state = 'waiting' ORDER BY w.sequence LIMIT 1), false)
        ELSE EXISTS (
            SELECT FROM delivery w
            WHERE w.destination = d.name AND w.state = 'waiting'
              AND (w.next_attempt_at IS NULL OR w.next_attempt_at <= $1)) END)
    ORDER BY d.leased_until NULLS FIRST, d.name
    LIMIT 1
    FOR UPDATE OF d SKIP LOCKED
)
RETURNING name, terms::text AS terms, state, created_at, failures, failing_since, retry_at, reason;

-- name: renew
-- Still ours, and what has changed about it meanwhile; nothing when it was taken, paused or removed.
UPDATE destination SET leased_until = $3::timestamptz + make_interval(secs => $4)
WHERE name = $1 AND lease = $2 AND state = 'active'
RETURNING name, terms::text AS terms, state, created_at, failures, failing_since, retry_at, reason;

-- name: release
-- Another process may have it now.
UPDATE destination SET lease = NULL, leased_until = NULL WHERE name = $1 AND lease = $2;

-- name: failed
-- The partner gave no usable answer: nothing is sent before the wait is over.
UPDATE destination
SET failures = failures + 1, failing_since = coalesce(failing_since, $3), retry_at = $4, reason = $5
WHERE name = $1 AND lease = $2
RETURNING name, terms::text AS terms, state, created_at, failures, failing_since, retry_at, reason;

-- name: recovered
-- The partner answers again.
UPDATE destination SET failures = 0, failing_since = NULL, retry_at = NULL, reason = NULL WHERE name = $1;

-- name: enqueue
-- Messages in their order; what is there already is told already. Wakes whoever sends.
WITH queued AS (
    INSERT INTO delivery (queued_at, destination, control_id, type, subject, resource_version, changed, retired, lane,
                          patient_keys, payload, key_version, state, reason_code, reason, settled_at)
    SELECT $1, destination, control_id, type, subject, version, changed, retired, lane, keys::int[], payload, key_version,
           state, reason_code, reason, CASE state WHEN 'dead' THEN $1::timestamptz END
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[], $9::bigint[],
                $10::text[], $11::bytea[], $12::int[], $13::text[], $14::text[], $15::text[])
        WITH ORDINALITY AS q(destination, control_id, type, subject, version, changed, retired, lane, keys, payload,
                             key_version, state, reason_code, reason, place)
    ORDER BY place
    ON CONFLICT (destination, control_id) DO NOTHING
    RETURNING control_id
),
told AS MATERIALIZED (SELECT pg_notify('delivery_waiting', '') FROM queued LIMIT 1)
SELECT control_id FROM queued LEFT JOIN told ON true;

-- name: fill
-- A dead delivery that was built anew.
UPDATE delivery SET payload = $2, key_version = $3, patient_keys = $4, lane = $5 WHERE sequence = $1 AND state = 'dead';

-- name: oldest
-- The oldest of a destination whose queue is one lane.
SELECT sequence, destination, control_id, type, subject, lane, begun, attempts, patient_keys, payload, key_version,
       next_attempt_at
FROM delivery WHERE destination = $1 AND state = 'waiting' ORDER BY sequence LIMIT $2;

-- name: oldest_of_lanes
-- The oldest that are due and do not stand behind one of their lane that waits for its next attempt.
SELECT d.sequence, d.destination, d.control_id, d.type, d.subject, d.lane, d.begun, d.attempts, d.patient_keys, d.payload,
       d.key_version, d.next_attempt_at
FROM delivery d
WHERE d.destination = $1 AND d.state = 'waiting' AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= $3)
  AND NOT EXISTS (
      SELECT FROM delivery older
      WHERE older.destination = $1 AND older.state = 'waiting' AND older.lane = d.lane AND older.next_attempt_at > $3
        AND older.sequence < d.sequence)
ORDER BY d.sequence LIMIT $2;

-- name: begin_attempts
-- These are about to be sent.
UPDATE delivery SET begun = begun + 1 WHERE sequence = ANY ($1::bigint[]);

-- name: not_attempted
-- These were not sent after all.
UPDATE delivery SET begun = 0 WHERE sequence = ANY ($1::bigint[]) AND state = 'waiting';

-- name: settle
-- How an attempt ended.
UPDATE delivery
SET state = $2, attempts = $3, next_attempt_at = $4, answer = $5, reason_code = $6, reason = $7, detail = $8, begun = 0,
    settled_at = CASE WHEN $2 <> 'waiting' THEN $9::timestamptz END, payload = CASE WHEN $10 THEN NULL ELSE payload END
WHERE sequence = $1 AND state = 'waiting';

-- name: queues
-- What waits and what died, by destination.
SELECT d.name,
       (SELECT count(*) FROM delivery w WHERE w.destination = d.name AND w.state = 'waiting') AS waiting,
       (SELECT count(*) FROM delivery w WHERE w.destination = d.name AND w.state = 'dead') AS dead,
       (SELECT w.queued_at FROM delivery w WHERE w.destination = d.name AND w.state = 'waiting'
        ORDER BY w.sequence LIMIT 1) AS oldest_at
FROM destination d WHERE $1::text IS NULL OR d.name = $1 ORDER BY d.name;

-- name: listed
-- Deliveries of a destination in a state, the newest first, before a sequence.
SELECT sequence, destination, control_id, type, subject, state, queued_at, settled_at, next_attempt_at, attempts, answer,
       reason_code, reason, payload IS NOT NULL AS built
FROM delivery
WHERE destination = $1 AND state = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4;

-- name: one
-- One delivery, unopened.
SELECT sequence, destination, control_id, type, subject, resource_version, changed, retired, state, payload, key_version,
       detail
FROM delivery WHERE sequence = $1 AND destination = $2;

-- name: unbuilt
-- Dead deliveries that have no content yet or any more.
SELECT sequence, destination, type, subject, resource_version AS version, changed, retired
FROM delivery
WHERE destination = $1 AND state = 'dead' AND payload IS NULL AND ($2::bigint[] IS NULL OR sequence = ANY ($2))
ORDER BY sequence LIMIT $3;

-- name: retry
-- Dead letters back at their old place.
WITH back AS (
    UPDATE delivery SET state = 'waiting', attempts = 0, begun = 0, next_attempt_at = NULL, answer = NULL,
        reason_code = NULL, reason = NULL, detail = NULL, settled_at = NULL
    WHERE destination = $1 AND state = 'dead' AND payload IS NOT NULL AND ($2::bigint[] IS NULL OR sequence = ANY ($2))
    RETURNING sequence
),
told AS MATERIALIZED (SELECT pg_notify('delivery_waiting', '') FROM back LIMIT 1)
SELECT sequence FROM back LEFT JOIN told ON true ORDER BY sequence;

-- name: set_aside
-- Out of the queue, so that the younger ones may go on.
UPDATE delivery SET state = 'dead', settled_at = $3, reason_code = 'set-aside', reason = $4, next_attempt_at = NULL
WHERE destination = $1 AND sequence = $2 AND state = 'waiting'
RETURNING sequence;

-- name: forget
-- What was delivered long ago.
DELETE FROM delivery WHERE sequence IN (
    SELECT sequence FROM delivery WHERE state = 'delivered' AND settled_at < $1 LIMIT $2
);
