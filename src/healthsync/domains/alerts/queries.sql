-- name: raise_alert
-- A new alert; nothing when its key was used before.
INSERT INTO alert (id, type, client_id, once_token, raised_at, patients, message_sequence, sealed, key_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (client_id, once_token) DO NOTHING
RETURNING id::text;

-- name: raised_once
-- The alert that used this key.
SELECT id::text FROM alert WHERE client_id = $1 AND once_token = $2;

-- name: listed
-- A page of alerts, newest first, of a type or of all; from behind (raised_at, id) where that is given.
SELECT id::text AS id, type, client_id, raised_at, patients, message_sequence, sealed, key_version
FROM alert
WHERE ($1::text IS NULL OR type = $1)
  AND ($2::timestamptz IS NULL OR raised_at < $2 OR (raised_at = $2 AND id > $3::uuid))
ORDER BY raised_at DESC, id LIMIT $4;

-- name: by_id
-- Some alerts.
SELECT id::text AS id, type, client_id, raised_at, patients, message_sequence, sealed, key_version
FROM alert WHERE id = ANY ($1::uuid[]);
