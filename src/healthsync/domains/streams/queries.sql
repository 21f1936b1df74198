-- name: register
-- A handler with what it wants now; wakes nobody, since it hears only of what happens from here on.
INSERT INTO stream_handler (client_id, application, name, wants, registered_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (client_id, application, name) DO UPDATE SET wants = excluded.wants;

-- name: retire_others
-- Handlers that the application no longer names hear of nothing new; what waits for them stays.
UPDATE stream_handler SET wants = '{}' WHERE client_id = $1 AND application = $2 AND name <> ALL ($3) AND wants <> '{}';

-- name: listening
-- Every handler that wants something.
SELECT id, name, wants FROM stream_handler WHERE wants <> '{}';

-- name: handlers_of
-- The handlers of an application, by name.
SELECT id, name FROM stream_handler WHERE client_id = $1 AND application = $2;

-- name: remove
-- A handler and all that waits for it.
DELETE FROM stream_handler
WHERE application = $1 AND ($2::text IS NULL OR name = $2) AND ($3::text IS NULL OR client_id = $3) RETURNING name;

-- name: deliver
-- New deliveries with their lanes, in the order given; a message that a handler already got is left out.
WITH fresh AS (
    INSERT INTO stream_delivery (handler_id, position, kind, name, subject, data, message_sequence, occurred_at, lanes,
                                 next_attempt_at)
    SELECT handler_id, position, kind, name, subject, data::jsonb, message_sequence, occurred_at, lanes::bigint[],
           occurred_at
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                $8::timestamptz[], $9::text[])
        WITH ORDINALITY AS d(handler_id, position, kind, name, subject, data, message_sequence, occurred_at, lanes, place)
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING id, handler_id, lanes
),
laned AS (
    INSERT INTO stream_lane (handler_id, lane, delivery_id)
    SELECT DISTINCT handler_id, unnest(lanes), id FROM fresh
),
told AS MATERIALIZED (SELECT pg_notify('stream_delivery', '') FROM fresh LIMIT 1)
SELECT count(*) FROM fresh LEFT JOIN told ON true;

-- name: lease
-- The oldest due deliveries of these handlers that are the oldest in all their lanes, for one instance alone.
WITH due AS (
    SELECT d.id FROM stream_delivery d
    WHERE d.handler_id = ANY ($1) AND d.state = 'waiting' AND d.next_attempt_at <= $2
      AND (d.leased_until IS NULL OR d.leased_until <= $2)
      AND NOT EXISTS (
          SELECT FROM stream_lane mine JOIN stream_lane older USING (handler_id, lane)
          WHERE mine.delivery_id = d.id AND older.delivery_id < d.id)
    ORDER BY d.id LIMIT $3
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE stream_delivery d
SET lease = $4, leased_by = $5, leased_until = $6, attempts = d.attempts + 1
FROM due, stream_handler h
WHERE d.id = due.id AND h.id = d.handler_id
RETURNING d.id, h.name AS handler, d.kind, d.name, d.subject, d.data::text AS data, d.occurred_at, d.attempts,
          d.message_sequence, d.lease::text AS lease;

-- name: renew
-- The instance lives: its leases last longer.
UPDATE stream_delivery SET leased_until = $2
WHERE leased_by = $1 AND lease IS NOT NULL AND handler_id = ANY ($3) RETURNING id;

-- name: give_back
-- Leased, but not handed out after all: as if it had not been tried.
UPDATE stream_delivery
SET lease = NULL, leased_by = NULL, leased_until = NULL, attempts = attempts - 1
WHERE id = ANY ($1) AND lease IS NOT NULL;

-- name: held
-- Which of these are still leased under these leases, with what is needed to judge them.
SELECT d.id, d.attempts, d.message_sequence, d.subject, d.data::text AS data
FROM stream_delivery d JOIN unnest($1::bigint[], $2::uuid[]) AS s(id, lease) USING (id, lease)
WHERE d.state = 'waiting' AND d.handler_id = ANY ($3)
FOR UPDATE OF d;

-- name: settle
-- How deliveries ended; what waits again keeps its lanes.
WITH settled AS (
    UPDATE stream_delivery d
    SET state = s.state, next_attempt_at = coalesce(s.next_attempt_at, d.next_attempt_at), reason_code = s.reason_code,
        settled_at = CASE WHEN s.state <> 'waiting' THEN $1::timestamptz END,
        lease = NULL, leased_by = NULL, leased_until = NULL
    FROM unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::text[]) AS s(id, state, next_attempt_at, reason_code)
    WHERE d.id = s.id
    RETURNING d.id, d.state
),
freed AS (DELETE FROM stream_lane l USING settled s WHERE l.delivery_id = s.id AND s.state <> 'waiting' RETURNING 1),
told AS MATERIALIZED (SELECT pg_notify('stream_delivery', '') FROM settled LIMIT 1)
SELECT count(*) FROM settled LEFT JOIN told ON true;

-- name: states
-- Handlers with what waits for them.
SELECT h.id, h.client_id, h.application, h.name, h.wants, w.waiting, w.leased, w.oldest_at,
       (SELECT count(*) FROM stream_delivery d WHERE d.handler_id = h.id AND d.state = 'dead') AS dead
FROM stream_handler h, LATERAL (
    SELECT count(*) AS waiting, count(d.lease) AS leased, min(d.occurred_at) AS oldest_at
    FROM stream_delivery d WHERE d.handler_id = h.id AND d.state = 'waiting') w
WHERE ($1::text IS NULL OR h.client_id = $1) AND ($2::text IS NULL OR h.application = $2)
ORDER BY h.application, h.name, h.id;

-- name: dead
-- Dead letters, newest first.
SELECT d.id, h.client_id, h.application, h.name AS handler, d.kind, d.name, d.subject, d.occurred_at, d.settled_at, d.attempts,
       d.reason_code
FROM stream_delivery d JOIN stream_handler h ON h.id = d.handler_id
WHERE d.state = 'dead' AND ($1::text IS NULL OR h.client_id = $1) AND ($2::text IS NULL OR h.application = $2)
ORDER BY d.id DESC LIMIT $3;

-- name: replay
-- Dead letters wait again, at their old place in their lanes.
WITH back AS (
    UPDATE stream_delivery d
    SET state = 'waiting', attempts = 0, next_attempt_at = $1, reason_code = NULL, settled_at = NULL
    FROM stream_handler h
    WHERE h.id = d.handler_id AND d.state = 'dead' AND ($2::bigint[] IS NULL OR d.id = ANY ($2))
      AND ($3::text IS NULL OR h.client_id = $3) AND ($4::text IS NULL OR h.application = $4)
    RETURNING d.id, d.handler_id, d.lanes
),
laned AS (
    INSERT INTO stream_lane (handler_id, lane, delivery_id) SELECT DISTINCT handler_id, unnest(lanes), id FROM back
),
told AS MATERIALIZED (SELECT pg_notify('stream_delivery', '') FROM back LIMIT 1)
SELECT id FROM back LEFT JOIN told ON true ORDER BY id;

-- name: forget
-- Deliveries that were settled before an instant; dead letters stay.
DELETE FROM stream_delivery WHERE id IN (
    SELECT id FROM stream_delivery WHERE state IN ('done', 'withheld') AND settled_at < $1 LIMIT $2);

-- name: answer
-- What handlers answered, and a word to whoever may still have a connection to the sender.
WITH stored AS (
    INSERT INTO stream_answer (delivery_id, message_sequence, source, code, sealed, key_version, answered_at)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::int[], $7::timestamptz[])
    ON CONFLICT (delivery_id) DO UPDATE
    SET code = excluded.code, sealed = excluded.sealed, key_version = excluded.key_version,
        answered_at = excluded.answered_at
    RETURNING message_sequence
)
SELECT pg_notify('stream_answer', message_sequence::text) FROM stored;

-- name: unsent
-- The first answer to each of these messages, where none was sent yet.
SELECT DISTINCT ON (message_sequence)
       delivery_id, message_sequence, source, code, sealed, key_version, sent_at
FROM stream_answer a
WHERE message_sequence = ANY ($1)
  AND NOT EXISTS (SELECT FROM stream_answer b WHERE b.message_sequence = a.message_sequence AND b.sent_at IS NOT NULL)
ORDER BY message_sequence, answered_at, delivery_id;

-- name: sent
-- An answer was written to its sender.
UPDATE stream_answer SET sent_at = $2 WHERE delivery_id = $1;

-- name: answers_to
-- Every answer to a message.
SELECT delivery_id, message_sequence, source, code, sealed, key_version, sent_at
FROM stream_answer WHERE message_sequence = $1 ORDER BY answered_at, delivery_id;

-- name: publish
-- A publication; the lock makes the order of positions the order of commits. Nothing when its key was used before.
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(4851234567890017))
INSERT INTO stream_publication (topic, client_id, once_token, published_at, patients, sealed, key_version)
SELECT $1, $2, $3, $4::timestamptz, $5::text[], $6::bytea, $7::int FROM turn
ON CONFLICT (client_id, once_token) DO NOTHING
RETURNING position;

-- name: published_once
-- The publication that used this key.
SELECT position FROM stream_publication WHERE client_id = $1 AND once_token = $2;

-- name: publications_after
-- A page of a topic behind a position.
SELECT position, topic, client_id, published_at, patients, sealed, key_version
FROM stream_publication WHERE topic = $1 AND position > $2 ORDER BY position LIMIT $3;

-- name: publications
-- Publications by position.
SELECT position, topic, client_id, published_at, patients, sealed, key_version
FROM stream_publication WHERE position = ANY ($1);
