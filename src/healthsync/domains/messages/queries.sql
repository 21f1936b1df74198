-- name: accept
-- Store arrivals in their order, with their lanes, and wake the workers; rows that are there already are left out.
-- The lock makes the order of numbers the order of commits, also among several receiving processes.
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(4851234567890002)),
arrived AS (
    SELECT *, row_number() OVER (PARTITION BY source, control_id ORDER BY place) > 1 AS again
    FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::int[], $8::int[],
                $9::bool[], $10::text[], $11::bytea[], $12::text[], $13::text[], $14::text[], $15::text[])
        WITH ORDINALITY AS a(received_at, source, control_id, type, digest, raw, key_version, size_bytes,
                             truncated, lanes, acknowledgement, warnings, state, reason_code, reason, place)
),
stored AS (
    INSERT INTO message (received_at, source, control_id, type, digest, size_bytes, truncated, lanes, acknowledgement,
                         warnings, state, reason_code, reason, settled_at)
    SELECT received_at, source, control_id, type, digest, size_bytes, truncated, lanes::bigint[], acknowledgement,
           warnings::text[] || CASE WHEN control_id <> '' AND (again OR (
               SELECT true FROM message m
               WHERE m.source = arrived.source AND m.control_id = arrived.control_id AND m.control_id <> '' LIMIT 1
           ) IS NOT NULL) THEN '{control-id-reused}'::text[] ELSE '{}' END,
           state, reason_code, reason, CASE state WHEN 'dead' THEN received_at END
    FROM arrived, turn
    ORDER BY place
    ON CONFLICT (digest) DO NOTHING
    RETURNING sequence, digest, lanes, state, warnings
),
kept AS (
    INSERT INTO raw_message (received_at, sequence, key_version, source, sealed)
    SELECT a.received_at, s.sequence, a.key_version, a.source, a.raw
    FROM stored s JOIN (SELECT DISTINCT ON (digest) * FROM arrived ORDER BY digest, place) a USING (digest)
),
laned AS (
    INSERT INTO message_lane (lane, sequence)
    SELECT DISTINCT unnest(lanes), sequence FROM stored WHERE state = 'accepted'
),
told AS MATERIALIZED (SELECT pg_notify('message_accepted', '') FROM stored LIMIT 1)
SELECT sequence, digest, warnings FROM stored LEFT JOIN told ON true;

-- name: by_digest
-- What was answered when these bytes came first.
SELECT sequence, digest, warnings, acknowledgement FROM message WHERE digest = ANY ($1);

-- name: oldest_due
-- The oldest messages that wait and are due, for this transaction alone; those that another worker has are passed over.
SELECT m.sequence, m.source, m.type, m.received_at, m.lanes, coalesce(a.attempts, 0) AS attempts, m.digest
FROM message m LEFT JOIN message_attempt a USING (sequence)
WHERE m.state = 'accepted' AND (m.next_attempt_at IS NULL OR m.next_attempt_at <= $1)
ORDER BY m.sequence LIMIT $2
FOR UPDATE OF m SKIP LOCKED;

-- name: due_heads_of_lanes
-- As oldest_due, but only messages that are the oldest in all their lanes: what remains when the oldest all wait.
SELECT m.sequence, m.source, m.type, m.received_at, m.lanes, coalesce(a.attempts, 0) AS attempts, m.digest
FROM message m LEFT JOIN message_attempt a USING (sequence)
WHERE m.state = 'accepted' AND (m.next_attempt_at IS NULL OR m.next_attempt_at <= $1)
  AND NOT EXISTS (
      SELECT FROM unnest(m.lanes) AS mine(lane) JOIN message_lane older USING (lane) WHERE older.sequence < m.sequence)
ORDER BY m.sequence LIMIT $2
FOR UPDATE OF m SKIP LOCKED;

-- name: blocked
-- Of the messages whose lanes are given ($1, $2 in pairs), those with an older one in a lane that is not among them.
-- Runs after the rows are locked: an older message is then either settled for good, ours, or seen here.
SELECT DISTINCT mine.sequence
FROM unnest($1::bigint[], $2::bigint[]) AS mine(sequence, lane)
JOIN message_lane older ON older.lane = mine.lane AND older.sequence < mine.sequence
WHERE older.sequence <> ALL ($1);

-- name: begin_attempts
-- These messages are about to be tried.
INSERT INTO message_attempt (sequence, attempts) SELECT unnest($1::bigint[]), 1
ON CONFLICT (sequence) DO UPDATE SET attempts = message_attempt.attempts + 1;

-- name: set_attempts
-- How many attempts count.
UPDATE message_attempt a SET attempts = s.attempts
FROM unnest($1::bigint[], $2::int[]) AS s(sequence, attempts) WHERE a.sequence = s.sequence;

-- name: forget_attempts
-- They are settled.
DELETE FROM message_attempt WHERE sequence = ANY ($1);

-- name: settle
-- How attempts ended.
UPDATE message m
SET state = s.state, attempts = s.attempts, next_attempt_at = s.next_attempt_at, reason_code = s.reason_code,
    reason = s.reason, stored_resources = s.stored_resources, unmapped = s.unmapped::jsonb,
    warnings = m.warnings || s.warnings::text[], settled_at = CASE WHEN s.state <> 'accepted' THEN $1::timestamptz END
FROM unnest($2::bigint[], $3::text[], $4::int[], $5::timestamptz[], $6::text[], $7::text[], $8::int[], $9::text[],
            $10::text[])
    AS s(sequence, state, attempts, next_attempt_at, reason_code, reason, stored_resources, unmapped, warnings)
WHERE m.sequence = s.sequence;

-- name: leave_lanes
-- The younger ones of these lanes may go on.
DELETE FROM message_lane l USING unnest($1::bigint[], $2::bigint[]) AS f(sequence, lane)
WHERE l.lane = f.lane AND l.sequence = f.sequence;

-- name: listed
-- Messages as an operator sees them, newest first, before a sequence.
SELECT sequence, received_at, source, control_id, type, state, size_bytes, truncated,
       greatest(m.attempts, coalesce(a.attempts, 0)) AS attempts, next_attempt_at, settled_at, reason_code, reason,
       stored_resources, unmapped, warnings, origin, edited_by, retired_at
FROM message m LEFT JOIN message_attempt a USING (sequence)
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR source = $2) AND sequence < $3
ORDER BY sequence DESC LIMIT $4;

-- name: counted
-- How many there are.
SELECT count(*) FROM message WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR source = $2);

-- name: found
-- Messages without their bytes.
SELECT sequence, source, type, received_at, digest FROM message WHERE sequence = ANY ($1) ORDER BY sequence;

-- name: add_day
-- The raw zone has room for this day.
SELECT raw_message_day($1);

-- name: raw_of_day
-- Bytes of one day, whose bounds stand in the statement: the planner then looks at this partition alone, where a plan for
-- any day would lock all of them.
SELECT r.sequence, r.sealed, r.key_version, r.key_of_day
FROM raw_message r JOIN unnest($1::text[], $2::bigint[]) AS wanted(source, sequence) USING (source, sequence)
WHERE r.received_at >= '{low}' AND r.received_at < '{high}';

-- name: replay
-- Dead letters back into their lanes, at their old place. A frame of which only the beginning was kept stays dead.
WITH back AS (
    UPDATE message
    SET state = 'accepted', attempts = 0, next_attempt_at = NULL, reason_code = NULL, reason = NULL, settled_at = NULL
    WHERE sequence = ANY ($1) AND state = 'dead' AND NOT truncated
    RETURNING sequence, lanes
),
laned AS (INSERT INTO message_lane (lane, sequence) SELECT DISTINCT unnest(lanes), sequence FROM back),
told AS MATERIALIZED (SELECT pg_notify('message_accepted', '') FROM back LIMIT 1)
SELECT sequence FROM back LEFT JOIN told ON true ORDER BY sequence;
