-- name: newest_key
-- The wrapped data key that new writes of a scope use.
SELECT version, wrapped_by, wrapped FROM data_key WHERE scope = $1 ORDER BY version DESC LIMIT 1;

-- name: keys_of_scopes
-- The wrapped data keys of a page of search results.
SELECT k.scope, k.version, k.wrapped_by, k.wrapped
FROM unnest($1::text::text[], $2::text::int[]) AS wanted (scope, version)
JOIN data_key k ON k.scope = wanted.scope AND k.version = wanted.version;

-- name: add_key
-- A new wrapped data key; nothing when the version exists.
INSERT INTO data_key (scope, version, wrapped_by, wrapped) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING version;

-- name: add_keys
-- New wrapped data keys of scopes that have none.
INSERT INTO data_key (scope, version, wrapped_by, wrapped)
SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bytea[])

-- name: destroy_keys
-- Nobody can read any more what they sealed.
DELETE FROM data_key WHERE scope = $1 RETURNING version;
