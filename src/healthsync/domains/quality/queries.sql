-- name: keep_scores
-- Scores of messages; processed again, a message has the new one.
INSERT INTO message_quality (sequence, received_on, score, completeness, accuracy, consistency, timeliness, uniqueness,
                             source, type, action, failed)
SELECT sequence, received_on, score, completeness, accuracy, consistency, timeliness, uniqueness, source, type, action,
       failed::jsonb
FROM unnest($1::bigint[], $2::date[], $3::smallint[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[],
            $8::smallint[], $9::text[], $10::text[], $11::text[], $12::text[])
    AS s(sequence, received_on, score, completeness, accuracy, consistency, timeliness, uniqueness, source, type, action,
         failed)
ON CONFLICT (sequence) DO UPDATE
SET score = excluded.score, completeness = excluded.completeness, accuracy = excluded.accuracy,
    consistency = excluded.consistency, timeliness = excluded.timeliness, uniqueness = excluded.uniqueness,
    action = excluded.action, failed = excluded.failed;

-- name: scores
-- The scores of messages.
SELECT sequence, received_on, score, completeness, accuracy, consistency, timeliness, uniqueness, source, type, action,
       failed
FROM message_quality WHERE sequence = ANY ($1);

-- name: report
-- By source and day: how many, how good, what followed.
SELECT source, received_on AS day, count(*) AS messages, avg(score)::float AS points,
       avg(completeness)::float AS completeness, avg(accuracy)::float AS accuracy, avg(consistency)::float AS consistency,
       avg(timeliness)::float AS timeliness, avg(uniqueness)::float AS uniqueness,
       count(*) FILTER (WHERE action = 'accept') AS "accept",
       count(*) FILTER (WHERE action = 'accept-with-warnings') AS "accept-with-warnings",
       count(*) FILTER (WHERE action = 'review') AS "review",
       count(*) FILTER (WHERE action = 'reject') AS "reject"
FROM message_quality
WHERE received_on >= coalesce($1::date, '-infinity') AND received_on < coalesce($2::date, 'infinity')
  AND ($3::text IS NULL OR source = $3)
GROUP BY source, received_on ORDER BY received_on, source;

-- name: failed_rules
-- By source and day: how often each rule found fault.
SELECT source, received_on AS day, rule.key AS rule, sum(rule.value::int)::bigint AS count
FROM message_quality, jsonb_each_text(failed) AS rule
WHERE received_on >= coalesce($1::date, '-infinity') AND received_on < coalesce($2::date, 'infinity')
  AND ($3::text IS NULL OR source = $3)
GROUP BY source, received_on, rule.key;

-- name: to_review
-- What somebody should look at, newest first, before a sequence.
SELECT sequence FROM message_quality
WHERE action IN ('review', 'reject') AND ($1::text IS NULL OR source = $1) AND sequence < $2
ORDER BY sequence DESC LIMIT $3;

-- name: contracts
-- What sources have promised.
SELECT source, excellent, good, minimum, rejects, changed_at, changed_by FROM quality_contract ORDER BY source;

-- name: agree
-- A contract, in the place of the one before.
INSERT INTO quality_contract (source, excellent, good, minimum, rejects, changed_at, changed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (source) DO UPDATE
SET excellent = excluded.excellent, good = excluded.good, minimum = excluded.minimum, rejects = excluded.rejects,
    changed_at = excluded.changed_at, changed_by = excluded.changed_by;

-- name: dissolve
-- The hub's own bands hold again.
DELETE FROM quality_contract WHERE source = $1 RETURNING source;
