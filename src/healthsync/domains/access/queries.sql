-- name: add_client
-- A new client with the hash of its secret.
INSERT INTO access_client (client_id, name, roles, organisation, secret_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: revoke_client
-- The client's key works no longer.
UPDATE access_client SET revoked_at = $2 WHERE client_id = $1 AND revoked_at IS NULL RETURNING client_id;

-- name: client_with_secret
-- Who claims to hold this key.
SELECT client_id, name, roles, organisation, created_at, revoked_at, secret_hash FROM access_client WHERE client_id = $1;

-- name: clients
-- Everyone who ever held a key.
SELECT client_id, name, roles, organisation, created_at, revoked_at FROM access_client ORDER BY created_at, client_id;
