-- name: partners
-- Everyone who may send.
SELECT name, sending_application, sending_facility, certificate_fingerprint, certificate_subject, addresses, organisation,
       ack_mode, character_encoding, state, created_at, query_role, query_purpose
FROM partner ORDER BY name;

-- name: add_partner
-- A new partner; nothing when the name is taken.
INSERT INTO partner (name, sending_application, sending_facility, certificate_fingerprint, certificate_subject, addresses,
                     organisation, ack_mode, character_encoding, state, created_at, query_role, query_purpose)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: remove_partner
-- Its messages stay; new ones are those of a stranger.
DELETE FROM partner WHERE name = $1 RETURNING name;

-- name: set_state
-- Pause or resume a partner.
UPDATE partner SET state = $2 WHERE name = $1 RETURNING name;

-- name: set_queries
-- The role and purpose for which a partner may ask; NULL for one that may not.
UPDATE partner SET query_role = $2, query_purpose = $3 WHERE name = $1 RETURNING name;
