-- LATERAL with LIMIT 1 is a lookup by index whatever the planner believes: a plan that is made while the tables are
-- almost empty is kept for minutes, and a scan of the whole table is what it would choose then.

-- name: take_pids
-- A block of internal numbers.
SELECT nextval(pg_get_serial_sequence('resource', 'pid')) FROM generate_series(1, $1);

-- name: current
-- The current versions of the resources named by type and id, deleted ones too.
SELECT r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest,
       c.clear, c.identity, c.narrative, c.key_scope, c.key_version
FROM unnest($1::text[], $2::text[]) AS wanted (resource_type, id)
CROSS JOIN LATERAL (
    SELECT * FROM resource WHERE resource_type = wanted.resource_type AND id = wanted.id LIMIT 1
) r
CROSS JOIN LATERAL (SELECT * FROM resource_content WHERE pid = r.pid LIMIT 1) c;

-- name: heads
-- What decides whether a resend changes anything: version and digest, without content.
SELECT r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest
FROM unnest($1::text[], $2::text[]) AS wanted (resource_type, id)
CROSS JOIN LATERAL (
    SELECT * FROM resource WHERE resource_type = wanted.resource_type AND id = wanted.id LIMIT 1
) r;

-- name: insert
-- New resources with content and index rows: one round trip.
WITH added AS (
    INSERT INTO resource (pid, resource_type, id, version, updated_at, patient_key, deleted, digest)
    SELECT pid, resource_type, id, version, updated_at, patient_key, deleted, digest
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[], $5::timestamptz[], $6::bigint[], $7::boolean[], $8::bytea[])
         AS new (pid, resource_type, id, version, updated_at, patient_key, deleted, digest)
    ORDER BY resource_type, id
), content AS (
    INSERT INTO resource_content (pid, clear, identity, narrative, key_scope, key_version)
    SELECT * FROM unnest($1::bigint[], $9::text[], $10::bytea[], $11::bytea[], $12::text[], $13::int[])
), tokens AS (
    INSERT INTO index_token (hash, pid) SELECT * FROM unnest($14::bigint[], $15::bigint[])
), strings AS (
    INSERT INTO index_string (hash, value, pid) SELECT * FROM unnest($16::bigint[], $17::text[], $18::bigint[])
)
INSERT INTO index_date (hash, low, high, pid)
SELECT * FROM unnest($19::bigint[], $20::timestamptz[], $21::timestamptz[], $22::bigint[]);

-- name: supersede
-- Move the current versions to history and put the new ones in their place; answers which rows were still as expected.
WITH moved AS (
    UPDATE resource r
    SET version = new.version, updated_at = new.updated_at, patient_key = new.patient_key, deleted = new.deleted,
        digest = new.digest
    FROM unnest($1::bigint[], $2::int[], $3::int[], $4::timestamptz[], $5::bigint[], $6::boolean[], $7::bytea[])
         AS new (pid, replaces, version, updated_at, patient_key, deleted, digest)
    WHERE r.pid = new.pid AND r.version = new.replaces
    RETURNING r.pid, new.replaces
)
SELECT pid FROM moved;

-- name: keep_history
-- Copy the versions that are about to be replaced.
INSERT INTO resource_history (pid, version, updated_at, deleted, patient_key, clear, identity, narrative, key_scope, key_version)
SELECT r.pid, r.version, r.updated_at, r.deleted, r.patient_key, c.clear, c.identity, c.narrative, c.key_scope, c.key_version
FROM resource r JOIN resource_content c ON c.pid = r.pid
WHERE r.pid = ANY ($1::bigint[])
ON CONFLICT DO NOTHING;

-- name: replace_content
-- The content and index rows of new versions.
WITH content AS (
    UPDATE resource_content c
    SET clear = new.clear, identity = new.identity, narrative = new.narrative, key_scope = new.key_scope,
        key_version = new.key_version
    FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::int[])
         AS new (pid, clear, identity, narrative, key_scope, key_version)
    WHERE c.pid = new.pid
), tokens_gone AS (
    DELETE FROM index_token t USING unnest($7::bigint[], $8::bigint[]) AS gone (hash, pid)
    WHERE t.hash = gone.hash AND t.pid = gone.pid
), strings_gone AS (
    DELETE FROM index_string s USING unnest($9::bigint[], $10::text[], $11::bigint[]) AS gone (hash, value, pid)
    WHERE s.hash = gone.hash AND s.value = gone.value AND s.pid = gone.pid
), dates_gone AS (
    DELETE FROM index_date d
    USING unnest($12::bigint[], $13::timestamptz[], $14::timestamptz[], $15::bigint[]) AS gone (hash, low, high, pid)
    WHERE d.hash = gone.hash AND d.low = gone.low AND d.high = gone.high AND d.pid = gone.pid
), tokens AS (
    INSERT INTO index_token (hash, pid) SELECT * FROM unnest($16::bigint[], $17::bigint[]) ON CONFLICT DO NOTHING
), strings AS (
    INSERT INTO index_string (hash, value, pid) SELECT * FROM unnest($18::bigint[], $19::text[], $20::bigint[])
    ON CONFLICT DO NOTHING
)
INSERT INTO index_date (hash, low, high, pid)
SELECT * FROM unnest($21::bigint[], $22::timestamptz[], $23::timestamptz[], $24::bigint[])
ON CONFLICT DO NOTHING;

-- name: patient_keys
-- The internal numbers of source patients.
SELECT r.id, r.pid
FROM unnest($1::text[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM resource WHERE resource_type = 'Patient' AND id = wanted.id LIMIT 1) r;

-- name: patient_ids
-- The ids of source patients.
SELECT pid, id FROM resource WHERE pid = ANY ($1::bigint[]) AND resource_type = 'Patient';

-- name: existing
-- Which of these resources exist and are not deleted.
SELECT wanted.resource_type, wanted.id
FROM unnest($1::text[], $2::text[]) AS wanted (resource_type, id)
CROSS JOIN LATERAL (
    SELECT * FROM resource WHERE resource_type = wanted.resource_type AND id = wanted.id LIMIT 1
) r
WHERE NOT r.deleted;
