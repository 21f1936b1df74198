-- name: add
-- A job that waits for a worker, or that its maker has claimed already.
INSERT INTO job (id, kind, state, owner, key_version, key, request, webhook, created_at, claim, started_at, heartbeat_at, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12);

-- name: claim
-- The oldest job that waits, or whose worker has fallen silent; workers do not wait for each other.
UPDATE job SET state = 'running', claim = $1, heartbeat_at = $2, started_at = coalesce(started_at, $2),
               attempts = attempts + 1
WHERE id = (
    SELECT id FROM job
    WHERE kind = ANY ($3::text[]) AND (state = 'queued' OR (state = 'running' AND heartbeat_at < $4))
    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: claim_one
-- One job by id, when nobody is at it.
UPDATE job SET state = 'running', claim = $1, heartbeat_at = $2, started_at = coalesce(started_at, $2),
               attempts = attempts + 1
WHERE id = $3 AND (state = 'queued' OR (state = 'running' AND (claim IS NULL OR heartbeat_at < $4)))
RETURNING *;

-- name: heartbeat
-- The worker lives; no row when the job is no longer its own.
UPDATE job SET heartbeat_at = $3 WHERE id = $1 AND claim = $2 AND state = 'running' RETURNING true;

-- name: advance
-- Where the work stands, with the effects that led there; no row when the job is no longer this worker's.
UPDATE job SET position = $3, step = $4, done = done + $5, rejected = rejected + $6, heartbeat_at = $7
WHERE id = $1 AND claim = $2 AND state = 'running' RETURNING true;

-- name: hold_position
-- Where the work stands, locked; no row when the job is no longer this worker's.
SELECT position FROM job WHERE id = $1 AND claim = $2 AND state = 'running' FOR UPDATE;

-- name: finish
-- The end of a job; no row when it is no longer this worker's.
UPDATE job SET state = $3, result = $4, failure_code = $5, failure = $6, finished_at = $7, expires_at = $8, claim = NULL
WHERE id = $1 AND claim = $2 AND state = 'running' RETURNING webhook;

-- name: release
-- Back to the queue, as nobody's.
UPDATE job SET state = 'queued', claim = NULL WHERE id = $1 AND claim = $2 AND state = 'running';

-- name: cancel
-- A job that has not ended ends now; whoever works on it finds its claim gone.
UPDATE job SET state = 'cancelled', claim = NULL, finished_at = $2, expires_at = $3
WHERE id = $1 AND state IN ('queued', 'running') RETURNING webhook;

-- name: discard
-- The results of a job that has ended are wanted no longer.
UPDATE job SET expires_at = $2 WHERE id = $1 AND state IN ('completed', 'failed') RETURNING true;

-- name: job
-- One job.
SELECT * FROM job WHERE id = $1;

-- name: jobs
-- The newest jobs, of one owner or of all.
SELECT * FROM job WHERE $1::text IS NULL OR owner = $1 ORDER BY created_at DESC, id LIMIT $2;

-- name: unfinished
-- The jobs of an owner and a kind that have not ended, oldest first.
SELECT * FROM job WHERE owner = $1 AND kind = $2 AND state IN ('queued', 'running') ORDER BY created_at, id;

-- name: lock_owner
-- Two requests of one owner are counted one after the other.
SELECT pg_advisory_xact_lock(hashtextextended($1, 7));

-- name: add_file
-- A file that may be fetched from the commit on.
INSERT INTO job_file (job, number, purpose, resource_type, object, lines, bytes, patient_keys)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: files
-- The files of a job, without the patients in them.
SELECT number, purpose, resource_type, object, lines, bytes FROM job_file WHERE job = $1 ORDER BY number;

-- name: file
-- One file, with the patients in it.
SELECT number, purpose, resource_type, object, lines, bytes, patient_keys FROM job_file WHERE job = $1 AND number = $2;

-- name: add_issues
-- What went wrong with single resources.
INSERT INTO job_issue (job, issue) SELECT $1, issue::jsonb FROM unnest($2::text[]) WITH ORDINALITY AS i (issue, place)
ORDER BY place;

-- name: issues
-- A page of issues, in the order in which they were found.
SELECT number, issue::text AS issue FROM job_issue WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3;

-- name: issue_count
-- How many issues a job has.
SELECT count(*) FROM job_issue WHERE job = $1;

-- name: add_notice
-- A webhook to call.
INSERT INTO job_notice (job, next_attempt_at) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: due_notices
-- Webhooks that are due; each is set back first, so that a worker that dies at it delays it and no more.
UPDATE job_notice n SET attempts = n.attempts + 1, next_attempt_at = $1::timestamptz + $2 * (2 ^ n.attempts) * interval '1 second'
FROM job j
WHERE j.id = n.job AND n.job IN (
    SELECT job FROM job_notice WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
RETURNING n.job AS id, j.kind, j.state, j.owner, j.webhook, n.attempts;

-- name: settle_notice
-- The webhook was told, or is given up.
DELETE FROM job_notice WHERE job = $1;

-- name: to_purge
-- Jobs whose files go now: cancelled ones, and those whose time is over.
SELECT id, expires_at <= $1 AS expired FROM job
WHERE (expires_at <= $1 OR (state = 'cancelled' AND NOT purged)) AND ($2::uuid IS NULL OR id = $2)
ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED;

-- name: forget_files
-- The rows of files that are gone, and of issues.
WITH files AS (DELETE FROM job_file WHERE job = $1), issues AS (DELETE FROM job_issue WHERE job = $1)
UPDATE job SET purged = true WHERE id = $1;

-- name: remove
-- A job whose time is over, with its key.
DELETE FROM job WHERE id = $1;

-- name: settled_until
-- Every transaction that began before this instant has ended: what is committed later was written later.
SELECT min(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend';
