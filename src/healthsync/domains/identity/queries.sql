-- name: find_source_patient
-- The patient that a source knows under one of these numbers, the first number first. With $4 a retired one leads to its
-- survivor, else it is preferred: it is the one to which the number was given.
WITH RECURSIVE hit AS (
    SELECT p.patient_key, p.retired_into
    FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS wanted (token, type, place)
    JOIN identity_identifier i ON i.token = wanted.token AND (i.type = wanted.type OR i.type = '' OR wanted.type = '')
    JOIN identity_patient p ON p.patient_key = i.patient_key AND p.source = $1
    ORDER BY wanted.place, (p.retired_into IS NOT NULL) = $4, p.patient_key LIMIT 1
), way AS (
    SELECT patient_key, retired_into FROM hit
    UNION
    SELECT p.patient_key, p.retired_into FROM way JOIN identity_patient p ON $4 AND p.patient_key = way.retired_into
)
SELECT p.patient_key, p.patient_id, p.source
FROM way JOIN identity_patient p USING (patient_key) WHERE way.retired_into IS NULL OR NOT $4;

-- name: known_patient
-- A patient's person and fingerprint; when the fingerprint is new, its tokens are locked in the given (ascending) order first.
SELECT p.enterprise_id, p.fingerprint, CASE WHEN p.fingerprint IS DISTINCT FROM $2::text[] THEN
    (SELECT count(pg_advisory_xact_lock(token)) FROM unnest($3::bigint[]) AS token) END AS locks
FROM (SELECT $1::bigint AS patient_key) AS wanted LEFT JOIN identity_patient p USING (patient_key);

-- name: candidates
-- Who may be the person of a record with these numbers ($1) and block keys ($2), those first that share most. A key with
-- more than $3 patients says nothing about a person: it is passed over and counted (a row without a patient tells how many).
WITH block AS MATERIALIZED (
    SELECT ARRAY(SELECT patient_key FROM identity_block_key WHERE token = wanted.token LIMIT $3 + 1) AS patients
    FROM unnest($2::bigint[]) AS wanted (token)
), hit AS (
    SELECT unnest(patients) AS patient_key, 1 AS keys FROM block WHERE cardinality(patients) <= $3
    UNION ALL
    SELECT patient_key, 100 FROM identity_identifier WHERE token = ANY($1::bigint[])
), best AS (
    SELECT patient_key, sum(keys) AS keys FROM hit WHERE patient_key <> $5 GROUP BY patient_key
    ORDER BY sum(keys) DESC, patient_key LIMIT $4
)
SELECT p.patient_key, p.patient_id, p.source, p.enterprise_id, p.retired_into, hot.keys AS hot
FROM (SELECT count(*) AS keys FROM block WHERE cardinality(patients) > $3) AS hot
LEFT JOIN (best JOIN identity_patient p USING (patient_key)) ON p.fingerprint <> '{}'
ORDER BY best.keys DESC, p.patient_key;

-- name: survivors
-- The active patient that each of these leads to.
WITH RECURSIVE way AS (
    SELECT patient_key AS start, patient_key, retired_into FROM identity_patient WHERE patient_key = ANY($1::bigint[])
    UNION
    SELECT way.start, p.patient_key, p.retired_into FROM way JOIN identity_patient p ON p.patient_key = way.retired_into
)
SELECT way.start, p.patient_key, p.patient_id, p.source
FROM way JOIN identity_patient p USING (patient_key) WHERE way.retired_into IS NULL;

-- name: lock_persons
-- The persons of these patients, locked in one order against merge and unlink.
SELECT enterprise_id FROM identity_enterprise WHERE enterprise_id IN (
    SELECT enterprise_id FROM identity_patient WHERE patient_key = ANY($1::bigint[]))
ORDER BY enterprise_id FOR UPDATE;

-- name: members_with
-- All members of the persons of these patients.
SELECT m.* FROM identity_patient m WHERE m.enterprise_id IN (
    SELECT enterprise_id FROM identity_patient WHERE patient_key = ANY($1::bigint[]))
ORDER BY m.patient_key;

-- name: keyed_by_others
-- Patients whose block keys are not of this version, held against others who key them.
SELECT * FROM identity_patient WHERE keys_version <> $1 ORDER BY patient_key LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: decisions_and_reviews
-- What was decided and what is to be looked at among these patients.
SELECT patient_key, other_patient_key, kind, NULL::text[] AS reasons FROM identity_decision
WHERE patient_key = ANY($1::bigint[]) AND other_patient_key = ANY($1::bigint[])
UNION ALL
SELECT patient_key, other_patient_key, NULL, reasons FROM identity_review
WHERE patient_key = ANY($1::bigint[]) AND other_patient_key = ANY($1::bigint[]);

-- name: save_persons
-- Persons that an act made, or merged into others.
INSERT INTO identity_enterprise (enterprise_id, merged_into, created_at)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS row (enterprise_id uuid, merged_into uuid, created_at timestamptz)
ON CONFLICT (enterprise_id) DO UPDATE SET merged_into = EXCLUDED.merged_into

-- name: save_members
-- Patients and the persons they belong to now.
INSERT INTO identity_patient (patient_key, patient_id, source, enterprise_id, linked_to, retired_into, fingerprint,
    keys_version)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS row (patient_key bigint, patient_id text, source text,
    enterprise_id uuid, linked_to bigint, retired_into bigint, fingerprint text[], keys_version text)
ON CONFLICT (patient_key) DO UPDATE SET enterprise_id = EXCLUDED.enterprise_id, linked_to = EXCLUDED.linked_to,
    retired_into = EXCLUDED.retired_into, fingerprint = EXCLUDED.fingerprint, keys_version = EXCLUDED.keys_version

-- name: save_events
-- What an act did, in the log.
INSERT INTO identity_link_event (at, kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS row (at timestamptz, kind text, enterprise_id uuid, patient_key bigint,
    other_patient_key bigint, rule text, evidence text[], decided_by text)

-- name: save_decisions
-- What was decided about pairs.
INSERT INTO identity_decision (patient_key, other_patient_key, kind)
SELECT * FROM jsonb_to_recordset($1::jsonb) AS row (patient_key bigint, other_patient_key bigint, kind text)
ON CONFLICT (patient_key, other_patient_key) DO UPDATE SET kind = EXCLUDED.kind

-- name: save_flagged
-- Pairs to be looked at.
INSERT INTO identity_review (patient_key, other_patient_key, reasons, raised_at)
SELECT * FROM jsonb_to_recordset($1::jsonb)
    AS row (patient_key bigint, other_patient_key bigint, reasons text[], raised_at timestamptz)
ON CONFLICT (patient_key, other_patient_key) DO UPDATE SET reasons = EXCLUDED.reasons, raised_at = EXCLUDED.raised_at

-- name: save_settled
-- Pairs that need no look any more.
DELETE FROM identity_review r USING jsonb_to_recordset($1::jsonb)
    AS row (patient_key bigint, other_patient_key bigint)
WHERE r.patient_key = row.patient_key AND r.other_patient_key = row.other_patient_key

-- name: save_old_identifiers
-- Numbers, as (patient_key, token, type), that these patients have no more.
DELETE FROM identity_identifier WHERE patient_key = ANY ($1::bigint[]) AND (patient_key, token, type) NOT IN (
    SELECT * FROM unnest($2::bigint[], $3::bigint[], $4::text[]))

-- name: save_identifiers
-- Their numbers.
INSERT INTO identity_identifier (patient_key, token, type)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[]) ON CONFLICT DO NOTHING

-- name: save_old_block_keys
-- Block keys, as (patient_key, token), that they have no more.
DELETE FROM identity_block_key WHERE patient_key = ANY ($1::bigint[]) AND (patient_key, token) NOT IN (
    SELECT * FROM unnest($2::bigint[], $3::bigint[]))

-- name: save_block_keys
-- Their block keys.
INSERT INTO identity_block_key (patient_key, token)
SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING

-- name: save_withdrawn_identifiers
-- The numbers of deleted patients find nobody.
DELETE FROM identity_identifier WHERE patient_key = ANY($1::bigint[])

-- name: save_withdrawn_block_keys
-- Nor do their block keys.
DELETE FROM identity_block_key WHERE patient_key = ANY($1::bigint[])

-- name: save_withdrawn_fingerprint
-- Should they come back, whatever they say is new.
UPDATE identity_patient SET fingerprint = '{}' WHERE patient_key = ANY($1::bigint[])

-- name: vacant_person
-- The person that one of these patients belonged to last, if nobody belongs to it now.
SELECT e.enterprise_id FROM identity_link_event e JOIN identity_enterprise p USING (enterprise_id)
WHERE e.patient_key = ANY($1::bigint[]) AND e.kind IN ('created', 'linked') AND p.merged_into IS NOT NULL
ORDER BY e.sequence DESC LIMIT 1;

-- name: enterprise_ids
-- The person of each of these patients.
SELECT patient_key, enterprise_id FROM identity_patient WHERE patient_key = ANY($1::bigint[]);

-- name: current_person
-- The person that an enterprise id leads to, over all redirects.
WITH RECURSIVE way AS (
    SELECT enterprise_id, merged_into FROM identity_enterprise WHERE enterprise_id = $1
    UNION
    SELECT p.enterprise_id, p.merged_into FROM way JOIN identity_enterprise p ON p.enterprise_id = way.merged_into
)
SELECT enterprise_id FROM way WHERE merged_into IS NULL;

-- name: members
-- The patients of a person, retired ones too.
SELECT patient_key, patient_id, source FROM identity_patient WHERE enterprise_id = $1 ORDER BY patient_key;

-- name: history
-- The log entries of a person and of everyone who belongs to it now.
SELECT kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by, at FROM identity_link_event
WHERE enterprise_id = $1 OR patient_key IN (SELECT patient_key FROM identity_patient WHERE enterprise_id = $1)
ORDER BY sequence;

-- name: log
-- The whole log, to replay it.
SELECT kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by, at
FROM identity_link_event ORDER BY sequence;

-- name: open_reviews
-- The pairs that a person should look at, oldest first.
SELECT patient_key, other_patient_key, reasons FROM identity_review ORDER BY raised_at, patient_key LIMIT $1;

-- name: pins
-- The elements of the golden record that a person chose from these patients.
SELECT patient_key, element FROM identity_pin WHERE patient_key = ANY($1::bigint[]);

-- name: save_pinned
-- Patients, and an element that is taken from each.
INSERT INTO identity_pin (patient_key, element)
SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING

-- name: save_unpinned
-- Patients, and an element that is not taken from them any more.
DELETE FROM identity_pin WHERE (patient_key, element) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
