-- name: accept
-- Store arrivals, each digest once, in their order, with their lanes; rows that are there already are left out.
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
    FROM stored s JOIN arrived a USING (digest)
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
WHERE {chosen} AND sequence < $8
ORDER BY sequence DESC LIMIT $9;

-- name: counted
-- How many there are.
SELECT count(*) FROM message WHERE {chosen};

-- name: chosen
-- Stands in the place of {chosen} of other queries: what a selection says. An instant that is not said bounds nothing.
state = coalesce($1, state) AND ($2::text IS NULL OR source = $2)
  AND ($3::text IS NULL OR type = $3 OR starts_with(type, $3 || '^')) AND ($4::text IS NULL OR reason_code = $4)
  AND received_at >= coalesce($5::timestamptz, '-infinity') AND received_at < coalesce($6::timestamptz, 'infinity')
  AND ($7::bigint[] IS NULL OR sequence = ANY ($7));

-- name: first_chosen
-- The sources of a selection, each with the place of its first message.
SELECT source, min(coalesce(place, sequence)) AS first FROM message WHERE {chosen} GROUP BY source ORDER BY source;

-- name: standings
-- Where the messages of a source ($8) stand, behind a sequence ($9), in pages.
SELECT sequence, coalesce(place, sequence) AS place, lanes, state, NOT truncated AND retired_at IS NULL AS readable,
       {chosen} AS chosen
FROM message WHERE source = $8 AND sequence > $9 ORDER BY sequence LIMIT $10;

-- name: standings_now
-- Where messages stand at this moment, and what of these lanes ($2 of source $3) was processed behind a sequence ($4).
SELECT sequence, coalesce(place, sequence) AS place, lanes, state, NOT truncated AND retired_at IS NULL AS readable
FROM message WHERE sequence = ANY ($1)
UNION ALL
SELECT sequence, coalesce(place, sequence), lanes, state, NOT truncated AND retired_at IS NULL
FROM message WHERE sequence > $4 AND source = $3 AND lanes && $2 AND state IN ('processed', 'accepted')
ORDER BY 2, 1;

-- name: last
-- The number of the newest message.
SELECT coalesce(max(sequence), 0) FROM message;

-- name: found
-- Messages without their bytes.
SELECT sequence, source, type, received_at, digest FROM message WHERE sequence = ANY ($1);

-- name: add_day
-- The raw zone has room for this day.
SELECT raw_message_day($1);

-- name: raw_of_day
-- Bytes of one day, whose bounds stand in the statement: the planner then looks at this partition alone, where a plan for
-- any day would lock all of them.
SELECT r.sequence, r.sealed, r.key_version, r.key_of_day
FROM raw_message r JOIN unnest($1::text[], $2::bigint[]) AS wanted(source, sequence) USING (source, sequence)
WHERE r.received_at >= '{low}' AND r.received_at < '{high}';

-- name: read_anew
-- What was read anew: dead letters among it are processed now.
UPDATE message m
SET state = 'processed', stored_resources = r.stored_resources, unmapped = r.unmapped::jsonb,
    warnings = ARRAY(SELECT DISTINCT unnest(m.warnings || r.warnings::text[])), reason_code = NULL, reason = NULL,
    next_attempt_at = NULL, settled_at = CASE m.state WHEN 'dead' THEN $1 ELSE m.settled_at END
FROM unnest($2::bigint[], $3::int[], $4::text[], $5::text[]) AS r(sequence, stored_resources, unmapped, warnings)
WHERE m.sequence = r.sequence;

-- name: still_dead
-- Dead letters that could not be read this time either, and why.
UPDATE message m SET reason_code = f.code, reason = f.reason, attempts = m.attempts + 1
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS f(sequence, code, reason)
WHERE m.sequence = f.sequence AND m.state = 'dead';

-- name: add_copy
-- An edited copy of a dead letter: dead as well until it is replayed, in the place of the first of its line.
INSERT INTO message (received_at, source, control_id, type, digest, size_bytes, lanes, warnings, state, reason_code,
                     reason, settled_at, origin, place, edited_by)
SELECT $1, m.source, $3, $4, $5, $6, $7, '{}', 'dead', 'edited', $8, $1, m.sequence, coalesce(m.place, m.sequence), $9
FROM message m WHERE m.sequence = $2 RETURNING sequence;

-- name: add_raw
-- Bytes into the raw zone.
INSERT INTO raw_message (received_at, sequence, key_version, source, sealed) VALUES ($1, $2, $3, $4, $5);

-- name: replace_origins
-- The dead letters that copies were made of, and their copies in between: another stands in their place now.
WITH RECURSIVE line AS (
    SELECT origin AS sequence FROM message WHERE sequence = ANY ($1) AND origin IS NOT NULL AND state = 'processed'
    UNION SELECT m.origin FROM message m JOIN line USING (sequence) WHERE m.origin IS NOT NULL
)
UPDATE message m SET state = 'replaced', reason_code = 'replaced', reason = 'an edited copy was processed in its place'
FROM line WHERE m.sequence = line.sequence AND m.state = 'dead';

-- name: days
-- The days of the raw zone, by the names of their partitions.
SELECT to_date(substr(c.relname, 13), 'YYYYMMDD') AS day
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'raw_message'::regclass ORDER BY 1;

-- name: sources_of_day
-- Whose bytes a day holds, and what of them still waits or is dead. Bounds stand in the statement (see raw_of_day).
SELECT r.source, count(*) AS messages, count(*) FILTER (WHERE m.state IN ('accepted', 'dead')) AS unsettled
FROM raw_message r JOIN message m USING (sequence)
WHERE r.received_at >= '{low}' AND r.received_at < '{high}' AND ($1::text IS NULL OR r.source = $1)
GROUP BY r.source ORDER BY r.source;

-- name: retiring
-- This transaction may delete from the raw zone, and waits for locks no longer than two seconds.
SELECT set_config('healthsync.retiring', 'on', true), set_config('lock_timeout', '2s', true);

-- name: destroy_bytes
-- The bytes of a source and a day.
DELETE FROM raw_message WHERE source = $1 AND received_at >= '{low}' AND received_at < '{high}';

-- name: destroy_day
-- A whole day.
DROP TABLE {partition};

-- name: retired
-- Their messages know it, and no longer whom they were about.
UPDATE message SET retired_at = $4, lanes = '{}'
WHERE source = $1 AND received_at >= $2 AND received_at < $3 AND retired_at IS NULL;

-- name: has_old_bytes
-- Whether something is left that was sealed under the source's key of older versions.
SELECT EXISTS (SELECT FROM raw_message WHERE source = $1 AND NOT key_of_day);

-- name: terms
-- Terms and holds that differ from the setting.
SELECT source, keep_days, hold_reason, changed_at, changed_by FROM raw_term ORDER BY source;

-- name: set_term
-- A term and a hold, in the place of those before.
INSERT INTO raw_term (source, keep_days, hold_reason, changed_at, changed_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source) DO UPDATE
SET keep_days = excluded.keep_days, hold_reason = excluded.hold_reason, changed_at = excluded.changed_at,
    changed_by = excluded.changed_by;

-- name: lock_source_term
-- One at a time decides about a source's bytes: a hold that was set is seen by who destroys.
SELECT pg_advisory_xact_lock(hashtextextended('raw zone of ' || $1, 0));

-- name: page_of_day
-- Messages of a source and a day with their bytes, behind a sequence, to be exported.
SELECT m.sequence, m.source, m.type, m.received_at, m.digest, m.control_id, m.state, r.sealed, r.key_version, r.key_of_day
FROM raw_message r JOIN message m USING (sequence)
WHERE r.received_at >= '{low}' AND r.received_at < '{high}' AND r.source = $1 AND r.sequence > $2
ORDER BY r.sequence LIMIT $3;

-- name: known_digests
-- Which of these messages are here, and whether their bytes are.
SELECT sequence, digest, received_at, retired_at IS NOT NULL AS retired FROM message WHERE digest = ANY ($1);

-- name: bytes_are_back
-- A message whose bytes were brought back.
UPDATE message SET retired_at = NULL, lanes = $2 WHERE sequence = $1;

-- name: add_restored
-- A message of an archive that is not here: dead until it is replayed, in its place before what came later.
INSERT INTO message (received_at, source, control_id, type, digest, size_bytes, lanes, warnings, state, reason_code,
                     reason, settled_at, place)
SELECT $1, $2, $3, $4, $5, $6, $7, '{}', 'dead', 'restored', 'it came from an archive; a replay reads it in its place',
       $8, (SELECT min(sequence) - 1 FROM message m WHERE m.source = $2 AND m.received_at > $1)
RETURNING sequence;
