-- name: revision
-- What tells a process whether its registry is out of date.
SELECT revision FROM search_parameter_revision;

-- name: raise_revision
-- Tell every process that something has changed; changes take turns by this row.
UPDATE search_parameter_revision SET revision = nextval('search_parameter_change');

-- name: all
-- Every meaning that there was, in the order of the numbers.
SELECT number, resource_id, facts::text AS facts, state, percent, round FROM search_parameter ORDER BY number;

-- name: add
-- A new meaning with the next number.
INSERT INTO search_parameter (number, resource_id, url, code, base, facts, state)
SELECT coalesce(max(number) + 1, 0), $1, $2, $3, $4::text[], $5::jsonb, 'announced' FROM search_parameter
RETURNING number;

-- name: announce
-- A meaning that was retired is wanted again.
UPDATE search_parameter SET state = 'announced', percent = 0, resource_id = $2, round = round + 1
WHERE number = $1;

-- name: retire
-- Nobody searches by these any longer.
UPDATE search_parameter SET state = 'retired', percent = 0 WHERE number = ANY ($1::int[]);

-- name: move
-- From one state to the next, unless it was retired meanwhile, or announced anew.
UPDATE search_parameter SET state = $4 WHERE number = $1 AND round = $2 AND state = $3 RETURNING number;

-- name: progress
-- How much of the index is made.
UPDATE search_parameter SET percent = $2 WHERE number = ANY ($1::int[]);

-- name: now
-- The database's own clock.
SELECT clock_timestamp();

-- name: settled
-- Whether every transaction that was open up to some seconds after an instant has ended.
SELECT coalesce(min(xact_start), clock_timestamp()) > $1::timestamptz + make_interval(secs => $2)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend';
