-- name: add_package
-- A new package; nothing when this version is loaded.
INSERT INTO conformance_package (name, version, digest, dependencies, loaded_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name, version) DO NOTHING RETURNING name;

-- name: add_resource
-- One resource of a package.
INSERT INTO conformance_resource (package, package_version, resource_type, url, version, content, compact, is_modifier)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: raise_revision
-- Tells every process that its compiled profiles are out of date.
UPDATE conformance_revision SET revision = revision + 1;

-- name: revision
-- What the compiled profiles are compared with.
SELECT revision FROM conformance_revision;

-- name: packages
-- What is loaded.
SELECT name, version, dependencies, loaded_at FROM conformance_package ORDER BY name, version;

-- name: counts
-- How many resources of each type a package brought.
SELECT package, package_version, resource_type, count(*) AS resources
FROM conformance_resource GROUP BY package, package_version, resource_type
ORDER BY package, package_version, resource_type;

-- name: remove_package
-- Its resources go with it.
DELETE FROM conformance_package WHERE name = $1 AND version = $2;

-- name: for_validation
-- Everything that profiles are compiled from, the last loaded last.
SELECT resource_type, url, r.version, compact
FROM conformance_resource r JOIN conformance_package p ON p.name = r.package AND p.version = r.package_version
WHERE compact IS NOT NULL ORDER BY p.loaded_at, p.name, p.version;

-- name: stored_for_validation
-- The same of what is stored here as resources.
SELECT resource_type, url, version, compact FROM conformance_stored ORDER BY resource_type, resource_id;

-- name: store
-- What a stored resource defines now.
INSERT INTO conformance_stored (resource_type, resource_id, url, version, compact, is_modifier)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (resource_type, resource_id)
DO UPDATE SET url = $3, version = $4, compact = $5, is_modifier = $6;

-- name: forget
-- It defines nothing any longer; the type when it did.
DELETE FROM conformance_stored WHERE resource_type = $1 AND resource_id = $2 RETURNING resource_type;

-- name: modifiers
-- Modifier extensions that are understood.
SELECT url FROM conformance_resource WHERE is_modifier
UNION SELECT url FROM conformance_stored WHERE is_modifier ORDER BY url;

-- name: search_parameters
-- The search parameters of all packages, the last loaded last.
SELECT url, content::text AS content
FROM conformance_resource r JOIN conformance_package p ON p.name = r.package AND p.version = r.package_version
WHERE resource_type = 'SearchParameter' ORDER BY p.loaded_at, p.name, p.version, r.version;
