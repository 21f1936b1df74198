-- name: insert_events
-- Write rows whose hash covers the position and transaction id that they are given here (canonical.py).
INSERT INTO audit_event (position, xid, entry, leaf_hash)
OVERRIDING SYSTEM VALUE
SELECT position, xid, entry::jsonb,
       sha256('\x00'::bytea || convert_to('{"entry":' || entry || ',"position":' || position || ',"xid":' || xid::text || '}', 'UTF8'))
FROM (
    SELECT nextval('audit_event_position_seq') AS position, pg_current_xact_id() AS xid, entry
    FROM unnest($1::text[]) AS e (entry)
) AS numbered

-- name: try_sequencer_lock
-- One sequencer at a time, until the end of the transaction; false when another process is at it.
SELECT pg_try_advisory_xact_lock(4707193801)

-- name: last_leaf
-- How far the tree has come: the youngest leaf and the place of its event.
SELECT leaf.leaf_index, leaf.position, event.xid::text AS xid,
       event.xid >= pg_snapshot_xmax(pg_current_snapshot()) AS ahead
FROM audit_leaf AS leaf LEFT JOIN audit_event AS event USING (position)
ORDER BY leaf.leaf_index DESC LIMIT 1

-- name: unsequenced
-- Events after a place, oldest first, below the horizon: nothing can commit any more between or before them.
SELECT position, leaf_hash FROM audit_event
WHERE (xid, position) > ($1::text::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, position
LIMIT $3

-- name: insert_leaves
-- Give events their places in the tree, from leaf index $1 on.
INSERT INTO audit_leaf (leaf_index, position)
SELECT $1 + place - 1, position FROM unnest($2::bigint[]) WITH ORDINALITY AS p (position, place)

-- name: insert_subtrees
-- Keep the hashes of full subtrees.
INSERT INTO audit_subtree (level, index, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])

-- name: insert_head
-- Keep a signed tree head.
INSERT INTO audit_head (hub_id, tree_size, root_hash, signed_at, public_key, signature) VALUES ($1, $2, $3, $4, $5, $6)

-- name: heads_after
-- Signed heads larger than a size, smallest first.
SELECT hub_id, tree_size, root_hash, signed_at, public_key, signature FROM audit_head
WHERE tree_size > $1 ORDER BY tree_size

-- name: last_head
-- The largest signed head.
SELECT hub_id, tree_size, root_hash, signed_at, public_key, signature FROM audit_head ORDER BY tree_size DESC LIMIT 1

-- name: leaf_hashes
-- The hashes of some leaves.
SELECT leaf.leaf_index AS index, event.leaf_hash AS hash
FROM audit_leaf AS leaf JOIN audit_event AS event USING (position)
WHERE leaf.leaf_index = ANY ($1::bigint[])

-- name: subtree_hashes
-- The hashes of some full subtrees of one level.
SELECT index, hash FROM audit_subtree WHERE level = $1 AND index = ANY ($2::bigint[])

-- name: leaf_of_event
-- The leaf of an event; nothing when it is not sequenced.
SELECT leaf_index FROM audit_leaf WHERE position = $1

-- name: lag
-- How many events wait for the sequencer, and since when the oldest does.
SELECT count(*) AS events, min(entry ->> 'recorded_at') AS oldest FROM audit_event
WHERE (xid, position) > (SELECT coalesce(max(event.xid::text::bigint), 0)::text::xid8, coalesce(max(event.position), 0)
                         FROM audit_event AS event
                         WHERE event.position = (SELECT position FROM audit_leaf ORDER BY leaf_index DESC LIMIT 1))

-- name: read_isolated
-- Every statement of this transaction sees the same state of the log.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: sequenced_page
-- Leaves in order, with their events; the event is null when its row is gone.
SELECT leaf.leaf_index, leaf.position, event.xid::text::bigint AS xid, event.entry::text AS entry, event.leaf_hash
FROM audit_leaf AS leaf LEFT JOIN audit_event AS event USING (position)
WHERE leaf.leaf_index > $1 ORDER BY leaf.leaf_index LIMIT $2

-- name: loose_page
-- Events that are no leaf, by position.
SELECT NULL::bigint AS leaf_index, position, xid::text::bigint AS xid, entry::text AS entry, leaf_hash
FROM audit_event AS event
WHERE position > $1 AND NOT EXISTS (SELECT FROM audit_leaf AS leaf WHERE leaf.position = event.position)
ORDER BY position LIMIT $2

-- name: search_patient
-- Events about a patient, youngest first: the question of an accounting of disclosures.
SELECT leaf.leaf_index, event.position, event.xid::text::bigint AS xid, event.entry::text AS entry, event.leaf_hash
FROM audit_event AS event LEFT JOIN audit_leaf AS leaf USING (position)
WHERE (event.entry -> 'patients') ? $1
  AND ($2::text IS NULL OR (event.entry ->> 'recorded_at') COLLATE "C" >= $2)
  AND ($3::text IS NULL OR (event.entry ->> 'recorded_at') COLLATE "C" < $3)
  AND ($4::text IS NULL OR $4 IN (event.entry ->> 'client', event.entry ->> 'user'))
  AND ($5::bigint IS NULL OR event.position < $5)
ORDER BY event.position DESC LIMIT $6

-- name: search_all
-- Events of all patients, youngest first.
SELECT leaf.leaf_index, event.position, event.xid::text::bigint AS xid, event.entry::text AS entry, event.leaf_hash
FROM audit_event AS event LEFT JOIN audit_leaf AS leaf USING (position)
WHERE ($1::text IS NULL OR (event.entry ->> 'recorded_at') COLLATE "C" >= $1)
  AND ($2::text IS NULL OR (event.entry ->> 'recorded_at') COLLATE "C" < $2)
  AND ($3::text IS NULL OR $3 IN (event.entry ->> 'client', event.entry ->> 'user'))
  AND ($4::bigint IS NULL OR event.position < $4)
ORDER BY event.position DESC LIMIT $5
