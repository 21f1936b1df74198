-- LATERAL with LIMIT 1 is a lookup by index whatever the planner believes: a plan that is made while the tables are
-- almost empty is kept for minutes, and a scan of the whole table is what it would choose then.

-- name: take_pids
-- A block of internal numbers. (The name of the sequence stands here: to ask for it costs more than the number.)
SELECT nextval('resource_pid_seq') FROM generate_series(1, $1);

-- name: patient_keys
-- The internal numbers of source patients.
SELECT r.id, r.pid
FROM unnest($1::text::bigint[], $2::text::text[], $3::text::text[]) AS wanted (key, resource_type, id)
CROSS JOIN LATERAL (SELECT * FROM resource WHERE key = wanted.key LIMIT 1) r
WHERE r.resource_type = wanted.resource_type AND r.id = wanted.id;

-- name: patient_ids
-- The ids of source patients.
SELECT pid, id FROM resource WHERE pid = ANY ($1::bigint[]) AND resource_type = 'Patient';

-- name: existing
-- Which of these resources exist and are not deleted.
SELECT r.resource_type, r.id
FROM unnest($1::text::bigint[], $2::text::text[], $3::text::text[]) AS wanted (key, resource_type, id)
CROSS JOIN LATERAL (SELECT * FROM resource WHERE key = wanted.key LIMIT 1) r
WHERE r.resource_type = wanted.resource_type AND r.id = wanted.id AND NOT r.deleted;

-- name: hold
-- The same, and keep them from being deleted until the end of the transaction.
SELECT r.resource_type, r.id
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (key, resource_type, id)
CROSS JOIN LATERAL (SELECT * FROM resource WHERE key = wanted.key LIMIT 1 FOR SHARE) r
WHERE r.resource_type = wanted.resource_type AND r.id = wanted.id AND NOT r.deleted;

-- name: referrers
-- How many current resources of each type refer to some keys.
SELECT r.resource_type, count(DISTINCT r.pid) AS count
FROM index_reference x JOIN resource r ON r.pid = x.pid
WHERE x.target = ANY ($1::bigint[]) AND NOT r.deleted
GROUP BY r.resource_type
ORDER BY r.resource_type;

-- name: without_index
-- Current resources whose index rows are still to be made, by internal number.
SELECT r.pid, r.resource_type, r.id, r.version, r.updated_at, r.patient_key, r.deleted, r.digest,
       coalesce(c.packed, convert_to(c.clear, 'UTF8')) AS packed, c.identity, c.narrative, c.key_scope, c.key_version
FROM resource r JOIN resource_content c ON c.pid = r.pid
WHERE r.key IS NULL
ORDER BY r.pid LIMIT $1
FOR UPDATE OF r SKIP LOCKED;

-- name: next_pids
-- The next internal numbers of resources of some types, in order.
SELECT pid FROM resource WHERE resource_type = ANY ($1::text[]) AND pid > $2 AND NOT deleted ORDER BY pid LIMIT $3;

-- name: lock_free
-- Keep those of some resources that nobody is changing as they are until the end of the transaction.
SELECT pid FROM resource WHERE pid = ANY ($1::bigint[]) ORDER BY pid FOR UPDATE SKIP LOCKED;

-- name: lock
-- The same for all of them, when whoever is changing one has ended.
SELECT pid FROM resource WHERE pid = ANY ($1::bigint[]) ORDER BY pid FOR UPDATE;

-- name: count_of
-- How many resources of some types there are.
SELECT count(*) FROM resource WHERE resource_type = ANY ($1::text[]) AND NOT deleted;

-- name: take_turns
-- Hold some numbers until the transaction ends, always in the same order, so that two transactions cannot lock each other.
SELECT pg_advisory_xact_lock(number) FROM (SELECT number FROM unnest($1::bigint[]) AS number ORDER BY number) ordered;

-- name: present
-- Those of some types that have resources.
SELECT resource_type FROM unnest($1::text[]) AS wanted (resource_type)
WHERE EXISTS (SELECT FROM resource r WHERE r.resource_type = wanted.resource_type AND NOT r.deleted);

-- name: deleted_types
-- Those of some types of which resources were deleted since an instant.
SELECT DISTINCT resource_type FROM resource WHERE deleted AND updated_at >= $2 AND resource_type = ANY ($1::text[]);

-- name: any_token
-- Whether some resource is indexed under one of some tokens: a lookup for each until one is found.
SELECT EXISTS (SELECT 1 FROM unnest($1::bigint[]) AS wanted (hash)
               CROSS JOIN LATERAL (SELECT 1 FROM index_token t WHERE t.hash = wanted.hash LIMIT 1) found);

-- name: stays
-- Live resources of patients that have one of the tokens $2 and none of $3, and a date under $1 that meets $5 to $6; one
-- that has no end only with one of the tokens $4. An infinite time would come without a zone.
SELECT r.id, r.patient_key, greatest(d.low, '0001-01-01Z') AS low, least(d.high, '9999-12-31T23:59:59.999999Z') AS high
FROM index_date d JOIN resource r ON r.pid = d.pid
WHERE d.hash = $1 AND d.low < $6 AND d.high > $5 AND NOT r.deleted AND r.patient_key IS NOT NULL
    AND EXISTS (SELECT FROM index_token t WHERE t.hash = ANY($2::bigint[]) AND t.pid = d.pid)
    AND NOT EXISTS (SELECT FROM index_token t WHERE t.hash = ANY($3::bigint[]) AND t.pid = d.pid)
    AND (d.high < '9999-01-01' OR EXISTS (SELECT FROM index_token t WHERE t.hash = ANY($4::bigint[]) AND t.pid = d.pid))
ORDER BY r.patient_key, d.low, r.id;
