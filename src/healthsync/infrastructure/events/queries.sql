-- name: append
-- Write events in their order, in which unnest gives them.
INSERT INTO event_log (name, subject, data, occurred_at)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::jsonb[]), unnest($4::timestamptz[])

-- name: notify
-- Wake whoever listens, when it commits; PostgreSQL folds equal notifications of one transaction into one.
pg_notify('event_log', '')

-- name: register_consumer
-- A new consumer starts before the first event.
INSERT INTO event_consumer (name, xid, position) VALUES ($1, '0', 0) ON CONFLICT DO NOTHING

-- name: lock_consumer
-- Where a consumer stands; held until the commit, so that two workers of one consumer never see the same event.
SELECT xid::text AS xid, position FROM event_consumer WHERE name = $1 FOR UPDATE

-- name: horizon
-- Below this transaction id everything is decided: what is not visible now never will be.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text

-- name: next_events
-- The oldest events of these names after the consumer's place and below the horizon. Ordered by the column: its text, of
-- the same name in the answer, would put 1000 before 999.
SELECT position, xid::text AS xid, name, subject, data::text AS data, occurred_at
FROM event_log
WHERE (xid, position) > ($1::text::xid8, $2) AND xid < $3::text::xid8 AND name = ANY ($4::text[])
ORDER BY event_log.xid, position
LIMIT $5

-- name: last_event
-- The place of the youngest event below the horizon, whatever its name.
SELECT xid::text AS xid, position FROM event_log WHERE xid < $1::text::xid8 ORDER BY event_log.xid DESC, position DESC LIMIT 1

-- name: move_consumer
-- The consumer has dealt with everything up to this place.
UPDATE event_consumer SET xid = $2::text::xid8, position = $3 WHERE name = $1

-- name: waiting
-- How many events lie between a consumer and the end of the log.
SELECT count(*) FROM event_log
WHERE name = ANY ($2::text[])
  AND (xid, position) > (SELECT coalesce(max(xid::text::bigint), 0)::text::xid8, coalesce(max(position), 0) FROM event_consumer WHERE name = $1)
