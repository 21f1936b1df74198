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

-- name: settled
-- Those of some patients ($1) whose fingerprints are still these ($2: the texts of arrays), and about whom nothing is to
-- be decided.
SELECT wanted.patient_key
FROM unnest($1::text::bigint[], $2::text::text[]) AS wanted (patient_key, fingerprint)
CROSS JOIN LATERAL (SELECT * FROM identity_patient WHERE patient_key = wanted.patient_key LIMIT 1) p
WHERE p.fingerprint = wanted.fingerprint::text[]
    AND NOT EXISTS (SELECT FROM identity_held h WHERE h.patient_key = p.patient_key)
    AND NOT EXISTS (SELECT FROM identity_task t
        WHERE t.patient_key = p.patient_key AND t.state IN ('open', 'claimed', 'second'))
    AND NOT EXISTS (SELECT FROM identity_task t
        WHERE t.other_patient_key = p.patient_key AND t.state IN ('open', 'claimed', 'second'));

-- name: sharing
-- Who may be the person of each of some records ($1 their keys) with these numbers and block keys ($2, $3: the texts of
-- arrays), at most $5 for each, those first that share most: what `candidates` and `candidates_and_members` begin with. A
-- key with more than $4 patients says nothing about a person: it is passed over and counted.
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text::bigint[], $2::text::text[], $3::text::text[], $4::text::int[], $5::text::int[])
        AS wanted (record, numbers, keys, block, most)
), block AS MATERIALIZED (
    SELECT record, block,
        ARRAY(SELECT patient_key FROM identity_block_key b WHERE b.token = key.token LIMIT wanted.block + 1) AS patients
    FROM wanted CROSS JOIN LATERAL unnest(keys::bigint[]) AS key (token)
), hit AS (
    SELECT record, unnest(patients) AS patient_key, 1 AS keys FROM block WHERE cardinality(patients) <= block
    UNION ALL
    SELECT record, i.patient_key, 100 FROM wanted CROSS JOIN LATERAL unnest(numbers::bigint[]) AS number (token)
    CROSS JOIN LATERAL (SELECT * FROM identity_identifier WHERE token = number.token OFFSET 0) i
), best AS (
    SELECT record, patient_key, row_number() OVER (PARTITION BY record ORDER BY sum(keys) DESC, patient_key) AS place
    FROM hit WHERE patient_key <> record GROUP BY record, patient_key
), found AS (
    SELECT wanted.record, best.place, p.*, h.version AS held
    FROM wanted JOIN best ON best.record = wanted.record AND best.place <= wanted.most
    CROSS JOIN LATERAL (SELECT * FROM identity_patient WHERE patient_key = best.patient_key LIMIT 1) p
    LEFT JOIN identity_held h ON h.patient_key = p.patient_key
    WHERE p.fingerprint <> '{}'
), hot AS (
    SELECT record, count(*) AS hot FROM block WHERE cardinality(patients) > block GROUP BY record
)

-- name: candidates
-- These patients, the likeliest first (a row without a patient tells how many keys were passed over).
SELECT wanted.record, f.patient_key, f.patient_id, f.source, f.enterprise_id, f.retired_into, f.held, hot.hot
FROM wanted LEFT JOIN found f USING (record) LEFT JOIN hot USING (record)
ORDER BY wanted.record, f.place

-- name: candidates_and_members
-- The same with all members of their persons, as `members_with` tells them; who is no candidate has no place.
, member AS MATERIALIZED (
    SELECT person.record, m.*
    FROM (SELECT DISTINCT record, enterprise_id FROM found) person
    CROSS JOIN LATERAL (
        SELECT *, xmin::text::bigint AS written_by FROM identity_patient
        WHERE enterprise_id = person.enterprise_id OFFSET 0) m
)
SELECT wanted.record AS near, m.*, f.place, h.version AS held, hot.hot,
    (SELECT json_object_agg(d.other_patient_key, d.kind) FROM identity_decision d
        WHERE d.patient_key = m.patient_key) AS decided,
    (SELECT json_object_agg(r.other_patient_key, r.reasons) FROM identity_review r
        WHERE r.patient_key = m.patient_key) AS flagged
FROM wanted LEFT JOIN member m ON m.record = wanted.record
LEFT JOIN found f ON f.record = m.record AND f.patient_key = m.patient_key
LEFT JOIN identity_held h ON h.patient_key = m.patient_key LEFT JOIN hot ON hot.record = wanted.record
ORDER BY wanted.record, m.patient_key

-- name: hold_seen
-- Hold some tokens ($1) and then some persons ($2, those that are there are told), each in ascending order.
WITH turn AS MATERIALIZED (SELECT count(pg_advisory_xact_lock(token)) AS tokens FROM unnest($1::text::bigint[]) AS token)
SELECT person.enterprise_id FROM turn CROSS JOIN LATERAL (
    SELECT enterprise_id FROM identity_enterprise WHERE turn.tokens >= 0 AND enterprise_id = ANY($2::text::uuid[])
    ORDER BY enterprise_id FOR UPDATE
) AS person;

-- name: changed
-- Whether anybody came under the block keys ($1) or numbers ($2) of some records whom they did not meet ($3: each the texts
-- of arrays), or one of these persons ($4) has other members now ($5), or members who were written or are held anew.
EXISTS (
    SELECT FROM unnest($1::text::text[], $2::text::text[], $3::text::text[]) AS record (keys, numbers, met)
    WHERE EXISTS (
        SELECT FROM unnest(record.keys::bigint[]) AS key (token)
        CROSS JOIN LATERAL (SELECT patient_key FROM identity_block_key WHERE token = key.token OFFSET 0) b
        WHERE b.patient_key <> ALL (record.met::bigint[])
    ) OR EXISTS (
        SELECT FROM unnest(record.numbers::bigint[]) AS number (token)
        CROSS JOIN LATERAL (SELECT patient_key FROM identity_identifier WHERE token = number.token OFFSET 0) i
        WHERE i.patient_key <> ALL (record.met::bigint[])
    )
) OR EXISTS (
    SELECT FROM unnest($4::text::uuid[], $5::text::text[]) AS person (enterprise_id, members)
    WHERE person.members IS DISTINCT FROM (
        SELECT string_agg(concat_ws(':', m.patient_key, m.written_by, h.version), ',' ORDER BY m.patient_key)
        FROM (SELECT patient_key, xmin::text AS written_by FROM identity_patient
            WHERE enterprise_id = person.enterprise_id OFFSET 0) m
        LEFT JOIN identity_held h ON h.patient_key = m.patient_key)
)

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
-- All members of the persons of some patients, the keys of each group of whom are the text of an array: each with the
-- version that speaks for it while its newest is held, and what was decided and is to be looked at between it and others, by
-- the key of the other. Others who are no members are left out by the caller: a person of a hundred
-- members would be asked for ten thousand pairs here.
WITH member AS MATERIALIZED (
    SELECT wanted.patients, m.*
    FROM unnest($1::text::text[]) AS wanted (patients)
    CROSS JOIN LATERAL (
        SELECT DISTINCT enterprise_id FROM identity_patient WHERE patient_key = ANY(wanted.patients::bigint[])) person
    CROSS JOIN LATERAL (SELECT * FROM identity_patient WHERE enterprise_id = person.enterprise_id OFFSET 0) m
)
SELECT member.*, h.version AS held,
    (SELECT json_object_agg(d.other_patient_key, d.kind) FROM identity_decision d
        WHERE d.patient_key = member.patient_key) AS decided,
    (SELECT json_object_agg(r.other_patient_key, r.reasons) FROM identity_review r
        WHERE r.patient_key = member.patient_key) AS flagged
FROM member LEFT JOIN identity_held h ON h.patient_key = member.patient_key
ORDER BY member.patients, member.patient_key;

-- name: keyed_by_others
-- Patients whose block keys are not of this version, held against others who key them. No index finds "another" version: it
-- finds what lies before and behind.
WITH before AS (
    SELECT * FROM identity_patient WHERE keys_version < $1
    ORDER BY keys_version, patient_key LIMIT $2 FOR UPDATE SKIP LOCKED
), behind AS (
    SELECT * FROM identity_patient WHERE keys_version > $1
    ORDER BY keys_version, patient_key LIMIT $2 FOR UPDATE SKIP LOCKED
)
SELECT other.*, h.version AS held FROM (TABLE before UNION ALL TABLE behind) AS other
LEFT JOIN identity_held h USING (patient_key);

-- name: matched_next
-- Patients whose record is not deleted, by key.
SELECT patient_key, patient_id, source FROM identity_patient WHERE patient_key > $1 AND fingerprint <> '{}'
ORDER BY patient_key LIMIT $2;

-- name: matched_count
-- How many there are.
SELECT count(*) FROM identity_patient WHERE fingerprint <> '{}';

-- name: add_rematched
-- What matching again changed, each pair once for a job.
INSERT INTO identity_rematch (job, kind, patient_key, other_patient_key)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING;

-- name: rematched
-- All of it, by kind.
SELECT kind, patient_key, other_patient_key FROM identity_rematch WHERE job = $1 ORDER BY 1, 2, 3;

-- name: rematched_named
-- The first so many of a kind, by reference.
SELECT p.patient_id, o.patient_id FROM identity_rematch r
JOIN identity_patient p ON p.patient_key = r.patient_key
JOIN identity_patient o ON o.patient_key = r.other_patient_key
WHERE r.job = $1 AND r.kind = $2 ORDER BY r.patient_key, r.other_patient_key LIMIT $3;

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
-- Pairs to be looked at, in one order: two who flag the same pairs wait for each other, and not in a circle.
INSERT INTO identity_review (patient_key, other_patient_key, reasons, raised_at)
SELECT * FROM jsonb_to_recordset($1::jsonb)
    AS row (patient_key bigint, other_patient_key bigint, reasons text[], raised_at timestamptz)
ORDER BY patient_key, other_patient_key
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

-- name: save_new_block_keys
-- Those of patients who have none: whether a row is there already need not be looked up.
INSERT INTO identity_block_key (patient_key, token) SELECT * FROM unnest($1::bigint[], $2::bigint[])

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

-- name: active_members
-- The patients of a person whose numbers are in use.
SELECT patient_key, patient_id, source FROM identity_patient
WHERE enterprise_id = $1 AND retired_into IS NULL ORDER BY patient_key;

-- name: bearers
-- The patients of any source, their numbers in use, who bear one of these numbers.
SELECT DISTINCT p.patient_key, p.patient_id, p.source
FROM unnest($1::bigint[], $2::text[]) AS wanted (token, type)
JOIN identity_identifier i ON i.token = wanted.token AND (i.type = wanted.type OR i.type = '' OR wanted.type = '')
JOIN identity_patient p ON p.patient_key = i.patient_key AND p.retired_into IS NULL
ORDER BY p.patient_key LIMIT 2;

-- name: doubles
-- Pairs of records of one source, both in use, that go under one number; up to $1, and whether they are one person's.
SELECT DISTINCT a.patient_key, a.patient_id, a.source, b.patient_key, b.patient_id, b.source,
    a.enterprise_id = b.enterprise_id
FROM identity_identifier i
JOIN identity_identifier j ON j.token = i.token AND j.patient_key > i.patient_key
    AND (i.type = j.type OR i.type = '' OR j.type = '')
JOIN identity_patient a ON a.patient_key = i.patient_key AND a.retired_into IS NULL
JOIN identity_patient b ON b.patient_key = j.patient_key AND b.retired_into IS NULL AND b.source = a.source
ORDER BY a.patient_key, b.patient_key LIMIT $1;

-- name: history
-- The log entries of a person and of everyone who belongs to it now, also where another is named first.
WITH member AS (SELECT patient_key FROM identity_patient WHERE enterprise_id = $1)
SELECT kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by, at FROM identity_link_event
WHERE enterprise_id = $1 OR patient_key IN (SELECT patient_key FROM member)
    OR other_patient_key IN (SELECT patient_key FROM member)
ORDER BY sequence;

-- name: history_of_pair
-- The log entries that name these two patients, in either order.
SELECT kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by, at FROM identity_link_event
WHERE (patient_key = $1 AND other_patient_key = $2) OR (patient_key = $2 AND other_patient_key = $1)
ORDER BY sequence;

-- name: log
-- The whole log, to replay it.
SELECT kind, enterprise_id, patient_key, other_patient_key, rule, evidence, decided_by, at
FROM identity_link_event ORDER BY sequence;

-- name: open_reviews
-- The pairs that a person should look at, oldest first.
SELECT patient_key, other_patient_key, reasons FROM identity_review ORDER BY raised_at, patient_key LIMIT $1;

-- name: pins
-- The elements of the golden record that a person chose from these patients, the newest last.
SELECT patient_key, element FROM identity_pin WHERE patient_key = ANY($1::bigint[]) ORDER BY position;

-- name: save_pinned
-- Patients, and an element that is taken from each.
INSERT INTO identity_pin (patient_key, element)
SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT (patient_key, element) DO UPDATE SET position = DEFAULT

-- name: save_unpinned
-- Patients, and an element that is not taken from them any more.
DELETE FROM identity_pin WHERE (patient_key, element) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))


-- name: source_patients
-- The source patients of these FHIR ids.
SELECT patient_key, patient_id, source FROM identity_patient WHERE patient_id = ANY($1::text[]);

-- name: source_patients_by_key
-- The source patients of these numbers.
SELECT patient_key, patient_id, source FROM identity_patient WHERE patient_key = ANY($1::bigint[]);

-- name: patients_with_number
-- The source patients, of any source, that have one of these numbers.
SELECT DISTINCT p.patient_key, p.patient_id, p.source
FROM unnest($1::bigint[], $2::text[]) AS wanted (token, type)
JOIN identity_identifier i ON i.token = wanted.token AND (i.type = wanted.type OR i.type = '' OR wanted.type = '')
JOIN identity_patient p USING (patient_key)
ORDER BY p.patient_key;

-- name: taken_over_by
-- Patients, and into whom each was merged.
SELECT p.patient_id, s.patient_id FROM identity_patient p LEFT JOIN identity_patient s ON s.patient_key = p.retired_into
WHERE p.patient_key = ANY($1::bigint[]);

-- name: held_versions
-- The versions that speak for patients, of these FHIR ids, whose newest one waits for a decision.
SELECT p.patient_id, h.version FROM identity_held h JOIN identity_patient p USING (patient_key)
WHERE p.patient_id = ANY($1::text[]);

-- name: hold
-- From now on this version speaks for a patient; an earlier one that does so already goes on.
INSERT INTO identity_held (patient_key, version, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: release
-- The newest versions of patients speak for them again.
DELETE FROM identity_held WHERE patient_key = ANY ($1::bigint[])

-- name: save_numbers
-- The numbers, as (patient_key, kind, token), that patients have.
INSERT INTO identity_number (patient_key, kind, token)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING

-- name: save_old_numbers
-- Those that they have no more.
DELETE FROM identity_number WHERE patient_key = ANY ($1::bigint[]) AND (patient_key, kind, token) NOT IN (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::bigint[]))

-- name: tasks_said
-- The tasks that pairs ask for and do not have, in one order. Of a patient who is stored by the same statement the row
-- knows the source.
SELECT row.*, coalesce(p.source, row.source) = coalesce(o.source, row.source) AS is_of_one_source
FROM jsonb_to_recordset($1::jsonb) AS row (patient_key bigint, other_patient_key bigint, kind text, reasons text[],
    source text, rules text, at timestamptz)
LEFT JOIN identity_patient p ON p.patient_key = row.patient_key
LEFT JOIN identity_patient o ON o.patient_key = row.other_patient_key
WHERE NOT EXISTS (SELECT FROM identity_task t
    WHERE t.patient_key = row.patient_key AND t.other_patient_key = row.other_patient_key
        AND t.state IN ('open', 'claimed', 'second') AND t.reasons @> row.reasons)

-- name: tasks_raised
-- A task for each pair; one that is waiting already grows by the reasons that are new.
INSERT INTO identity_task (patient_key, other_patient_key, kind, reasons, rules, owner, state, raised_at)
SELECT patient_key, other_patient_key,
    CASE WHEN kind <> 'match' THEN kind WHEN is_of_one_source THEN 'duplicate' ELSE 'linkage' END,
    reasons, rules, CASE WHEN is_of_one_source THEN source END, 'open', at
FROM identity_tasks_said ORDER BY patient_key, other_patient_key
ON CONFLICT (patient_key, other_patient_key) WHERE state IN ('open', 'claimed', 'second') DO UPDATE
    SET reasons = ARRAY(SELECT DISTINCT unnest(identity_task.reasons || EXCLUDED.reasons) ORDER BY 1)
    WHERE NOT identity_task.reasons @> EXCLUDED.reasons
RETURNING task, patient_key, other_patient_key, xmax = 0 AS is_new, identity_task.kind

-- name: tasks_raised_steps
-- Their history.
INSERT INTO identity_task_step (task, at, act, code, reason, by)
SELECT r.task, s.at, CASE WHEN r.is_new THEN 'raised' ELSE 'grown' END, r.kind, '', 'rules'
FROM identity_tasks_raised r JOIN identity_tasks_said s USING (patient_key, other_patient_key)

-- name: tasks_closed
-- What has no ground any more, unless somebody has decided about it meanwhile.
UPDATE identity_task SET state = 'closed', settled_at = row.at, claimed_by = NULL, claimed_at = NULL
FROM jsonb_to_recordset($1::jsonb) AS row (task bigint, at timestamptz, why text)
WHERE identity_task.task = row.task AND identity_task.state IN ('open', 'claimed', 'second')
RETURNING identity_task.task, row.at, row.why

-- name: tasks_closed_steps
-- Its history.
INSERT INTO identity_task_step (task, at, act, code, reason, by)
SELECT task, at, 'closed', why, '', 'rules' FROM identity_tasks_closed

-- name: unheard_of
-- Those of these pairs of which no waiting task knows all the reasons.
SELECT row.patient_key, row.other_patient_key
FROM jsonb_to_recordset($1::jsonb) AS row (patient_key bigint, other_patient_key bigint, reasons text[])
WHERE NOT EXISTS (SELECT FROM identity_task t
    WHERE t.patient_key = row.patient_key AND t.other_patient_key = row.other_patient_key
        AND t.state IN ('open', 'claimed', 'second') AND t.reasons @> row.reasons);

-- name: tasks
-- Tasks, the oldest first; with $6 only those raised until then (about overlays until $7).
SELECT t.*, p.patient_id, p.source, o.patient_id AS other_patient_id, o.source AS other_source
FROM identity_task t
JOIN identity_patient p ON p.patient_key = t.patient_key
JOIN identity_patient o ON o.patient_key = t.other_patient_key
WHERE ($1::text[] IS NULL OR t.state = ANY($1)) AND ($2::text IS NULL OR t.kind = $2)
    AND ($3::text IS NULL OR t.owner = $3) AND t.task > $4
    AND ($6::timestamptz IS NULL OR t.raised_at <= CASE t.kind WHEN 'overlay' THEN $7::timestamptz ELSE $6 END)
ORDER BY t.task LIMIT $5;

-- name: escalate
-- Tasks that wait since before $2 (those about overlays $3) and are not urgent yet, up to $4: they are from now on.
WITH due AS (
    SELECT task FROM identity_task
    WHERE state IN ('open', 'claimed', 'second') AND escalated_at IS NULL
        AND raised_at <= CASE kind WHEN 'overlay' THEN $3::timestamptz ELSE $2::timestamptz END
    ORDER BY task LIMIT $4 FOR UPDATE SKIP LOCKED
), escalated AS (
    UPDATE identity_task t SET escalated_at = $1 FROM due WHERE t.task = due.task RETURNING t.task, t.kind
), step AS (
    INSERT INTO identity_task_step (task, at, act, code, reason, by)
    SELECT task, $1, 'escalated', kind, '', 'rules' FROM escalated
)
SELECT task, kind FROM escalated ORDER BY task;

-- name: task
-- One task, locked until the end of the unit of work.
SELECT t.*, p.patient_id, p.source, o.patient_id AS other_patient_id, o.source AS other_source
FROM identity_task t
JOIN identity_patient p ON p.patient_key = t.patient_key
JOIN identity_patient o ON o.patient_key = t.other_patient_key
WHERE t.task = $1 FOR UPDATE OF t;

-- name: earlier_tasks
-- The other tasks that there were about a pair, the oldest first.
SELECT t.*, p.patient_id, p.source, o.patient_id AS other_patient_id, o.source AS other_source
FROM identity_task t
JOIN identity_patient p ON p.patient_key = t.patient_key
JOIN identity_patient o ON o.patient_key = t.other_patient_key
WHERE t.patient_key = $1 AND t.other_patient_key = $2 AND t.task < $3
ORDER BY t.task;

-- name: waiting_tasks_of
-- What is still to be decided about a patient.
SELECT t.*, p.patient_id, p.source, o.patient_id AS other_patient_id, o.source AS other_source
FROM identity_task t
JOIN identity_patient p ON p.patient_key = t.patient_key
JOIN identity_patient o ON o.patient_key = t.other_patient_key
WHERE (t.patient_key = $1 OR t.other_patient_key = $1)
    AND (t.state IN ('open', 'claimed') OR t.state = 'second' AND t.kind = 'overlay')
ORDER BY t.task;

-- name: in_doubt_about
-- The patients of other persons that a waiting task compares with a member of these, except those whose newest version
-- is held.
SELECT DISTINCT o.patient_key, o.patient_id, o.source
FROM identity_task t
JOIN identity_patient p ON p.patient_key IN (t.patient_key, t.other_patient_key)
JOIN identity_patient o ON o.patient_key IN (t.patient_key, t.other_patient_key) AND o.patient_key <> p.patient_key
WHERE p.enterprise_id = ANY($1::uuid[]) AND NOT o.enterprise_id = ANY($1::uuid[])
    AND t.state IN ('open', 'claimed') AND NOT EXISTS (SELECT FROM identity_held h WHERE h.patient_key = o.patient_key)
ORDER BY o.patient_key;

-- name: set_task
-- What became of a task.
UPDATE identity_task SET state = $2, claimed_by = $3, claimed_at = $4, decision = $5, settled_at = $6 WHERE task = $1;

-- name: add_step
-- One more entry of its history.
INSERT INTO identity_task_step (task, at, act, code, reason, by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: steps
-- What happened to a task.
SELECT at, act, code, reason, by FROM identity_task_step WHERE task = $1 ORDER BY sequence;

-- name: close_pair
-- Somebody decided about a pair in another way than by its task.
WITH closed AS (
    UPDATE identity_task SET state = 'closed', settled_at = $3, claimed_by = NULL, claimed_at = NULL
    WHERE patient_key = $1 AND other_patient_key = $2 AND state IN ('open', 'claimed') RETURNING task
)
INSERT INTO identity_task_step (task, at, act, code, reason, by)
SELECT task, $3, 'closed', 'decided-elsewhere', $4, $5 FROM closed;

-- name: identity_counts
-- How many records and persons there are, and how many records wait for a decision, by kind of task.
WITH waiting AS (
    SELECT DISTINCT t.kind, side.patient_key FROM identity_task t,
        unnest(ARRAY[t.patient_key, t.other_patient_key]) AS side (patient_key)
    WHERE t.state IN ('open', 'claimed', 'second')
), across AS (
    SELECT enterprise_id FROM identity_patient GROUP BY enterprise_id HAVING count(DISTINCT source) > 1
)
SELECT (SELECT count(*) FROM identity_patient) AS records,
    (SELECT count(DISTINCT enterprise_id) FROM identity_patient) AS persons,
    (SELECT count(*) FROM across) AS persons_across_sources,
    (SELECT count(DISTINCT patient_key) FROM waiting WHERE kind IN ('duplicate', 'second-number')) AS suspected_duplicates,
    (SELECT count(DISTINCT patient_key) FROM waiting WHERE kind = 'linkage') AS suspected_linkages,
    (SELECT count(*) FROM identity_held) AS held;

-- name: identity_by_source
-- Of each source: records, those that are one person with another of the same source, and those suspected to be.
WITH suspected AS (
    SELECT DISTINCT side.patient_key FROM identity_task t,
        unnest(ARRAY[t.patient_key, t.other_patient_key]) AS side (patient_key)
    WHERE t.state IN ('open', 'claimed', 'second') AND t.kind IN ('duplicate', 'second-number')
), counted AS (
    SELECT patient_key, source, retired_into IS NULL
        AND count(*) FILTER (WHERE retired_into IS NULL) OVER (PARTITION BY enterprise_id, source) > 1 AS is_known
    FROM identity_patient
)
SELECT c.source, count(*) AS records, count(*) FILTER (WHERE c.is_known) AS known, count(s.patient_key) AS suspected,
    count(*) FILTER (WHERE c.is_known OR s.patient_key IS NOT NULL) AS involved, count(h.patient_key) AS held
FROM counted c LEFT JOIN suspected s USING (patient_key) LEFT JOIN identity_held h USING (patient_key)
GROUP BY c.source ORDER BY c.source;

-- name: shared_numbers
-- Numbers of one person under which several go, those of most persons first.
SELECT n.kind, array_agg(DISTINCT p.enterprise_id::text) AS persons, array_agg(DISTINCT p.patient_id) AS patients,
    count(*) OVER (PARTITION BY n.kind) AS of_kind
FROM identity_number n JOIN identity_patient p USING (patient_key)
GROUP BY n.kind, n.token HAVING count(DISTINCT p.enterprise_id) > 1
ORDER BY count(DISTINCT p.enterprise_id) DESC, min(p.patient_key) LIMIT $1;

-- name: identity_trend
-- By day or month ($3) from $1 to before $2: records registered; duplicates within a source that were confirmed; tasks
-- raised; overlays suspected, and those that were none of the patient's; merges taken back.
WITH facts AS (
    SELECT min(at) AS at, 'registered' AS what FROM identity_link_event WHERE kind IN ('created', 'linked')
    GROUP BY patient_key
    UNION ALL
    SELECT e.at, 'confirmed' FROM identity_link_event e
        JOIN identity_patient p ON p.patient_key = e.patient_key
        JOIN identity_patient o ON o.patient_key = e.other_patient_key
        WHERE e.kind = 'must-link' AND p.source = o.source
    UNION ALL
    SELECT at, 'unmerged' FROM identity_link_event WHERE kind = 'cannot-link'
    UNION ALL
    SELECT raised_at, CASE kind WHEN 'overlay' THEN 'overlays' ELSE 'raised' END FROM identity_task
    UNION ALL
    SELECT settled_at, 'restored' FROM identity_task WHERE state = 'decided' AND decision = 'restore'
)
SELECT date_trunc($3, at AT TIME ZONE 'UTC')::date AS period,
    count(*) FILTER (WHERE what = 'registered') AS registered,
    count(*) FILTER (WHERE what = 'confirmed') AS confirmed_duplicates,
    count(*) FILTER (WHERE what = 'raised') AS raised,
    count(*) FILTER (WHERE what = 'overlays') AS overlays,
    count(*) FILTER (WHERE what = 'restored') AS overlays_restored,
    count(*) FILTER (WHERE what = 'unmerged') AS kept_apart
FROM facts WHERE at >= $1 AND at < $2 GROUP BY 1 ORDER BY 1;

-- name: review_times
-- How long decided tasks took in that time, how many were overdue, and how many second readers disagreed.
SELECT count(*) AS decided, avg(extract(epoch FROM settled_at - raised_at) / 3600)::float AS mean_hours,
    (SELECT count(*) FROM identity_task_step WHERE act IN ('confirmed', 'reopened') AND at >= $1 AND at < $2) AS second_readings,
    (SELECT count(*) FROM identity_task_step WHERE act = 'reopened' AND at >= $1 AND at < $2) AS disagreements
FROM identity_task WHERE state = 'decided' AND settled_at >= $1 AND settled_at < $2;

-- name: reviewed_pairs
-- The pairs that people decided about, each with what stands today and the entry of a history that settled it; of a task
-- whose second reader has not answered yet, and of a record that was deleted, none.
WITH settled AS (
    SELECT DISTINCT ON (patient_key, other_patient_key) task, patient_key, other_patient_key, decision
    FROM identity_task WHERE state = 'decided' AND decision IN ('link', 'apart')
    ORDER BY patient_key, other_patient_key, task DESC
)
SELECT (SELECT max(s.sequence) FROM identity_task_step s WHERE s.task = t.task AND s.act IN ('decided', 'confirmed')) AS number,
    t.patient_key, p.patient_id, p.source, t.other_patient_key, o.patient_id AS other_patient_id, o.source AS other_source,
    CASE WHEN d.kind IS NULL THEN t.decision = 'link' ELSE d.kind = 'must-link' END AS is_one
FROM settled t
JOIN identity_patient p ON p.patient_key = t.patient_key AND p.fingerprint <> '{}'
JOIN identity_patient o ON o.patient_key = t.other_patient_key AND o.fingerprint <> '{}'
LEFT JOIN identity_decision d ON d.patient_key = t.patient_key AND d.other_patient_key = t.other_patient_key
ORDER BY number;

-- name: add_model
-- A model, unless it is here already.
INSERT INTO identity_model (version, trained_at, trained_by, document, proof) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (version) DO NOTHING;

-- name: models
-- The learned models, the oldest first, and which of them decides.
SELECT m.model, m.version, m.trained_at, m.trained_by, m.document, m.proof, m.model IS NOT DISTINCT FROM (
    SELECT u.model FROM identity_model_use u ORDER BY u.sequence DESC LIMIT 1) AS is_active
FROM identity_model m ORDER BY m.model;

-- name: use_model
-- From now on this model decides (NULL: none).
INSERT INTO identity_model_use (at, by, model, although_worse) VALUES ($1, $2, $3, $4);
