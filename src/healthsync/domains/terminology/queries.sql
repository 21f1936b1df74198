-- name: forget_code_system
-- What came from one resource goes, with its concepts.
DELETE FROM terminology_code_system WHERE origin = $1;

-- name: forget_value_set
-- What came from one resource goes.
DELETE FROM terminology_value_set WHERE origin = $1;

-- name: forget_map
-- What came from one resource goes, with its lines; whether codes were standardised by it.
DELETE FROM terminology_map WHERE origin = $1 RETURNING applied;

-- name: unload_code_systems
-- What came from a package goes, with its concepts.
DELETE FROM terminology_code_system WHERE starts_with(origin, $1);

-- name: unload_value_sets
-- What came from a package goes.
DELETE FROM terminology_value_set WHERE starts_with(origin, $1);

-- name: unload_maps
-- What came from a package goes, with its lines.
DELETE FROM terminology_map WHERE starts_with(origin, $1);

-- name: add_code_system
-- A code system without its concepts.
INSERT INTO terminology_code_system
    (origin, url, version, name, title, status, content, case_sensitive, properties, said, loaded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING key;

-- name: add_value_set
-- A value set as its definition.
INSERT INTO terminology_value_set (origin, url, version, status, document, loaded_at) VALUES ($1, $2, $3, $4, $5, $6);

-- name: add_map
-- A concept map without its lines.
INSERT INTO terminology_map (origin, url, version, status, source, target, unmapped, loaded_at, applied)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING key;

-- name: code_systems
-- The loaded code systems of a URL and the language packs that supplement them, those loaded last first.
SELECT key, url, version, name, title, status, content, case_sensitive, properties, said
FROM terminology_code_system
WHERE url = $1
    OR (content = 'supplement' AND said @> '{"language_pack": true}'
        AND (said ->> 'supplements' = $1 OR starts_with(said ->> 'supplements', $1 || '|')))
ORDER BY loaded_at DESC, key DESC;

-- name: all_code_systems
-- Every loaded code system, those loaded last first.
SELECT key, url, version, name, title, status, content, case_sensitive, properties, said
FROM terminology_code_system ORDER BY loaded_at DESC, key DESC;

-- name: code_system_by_origin
-- The code system that came from one resource.
SELECT url, version FROM terminology_code_system WHERE origin = $1;

-- name: value_sets
-- The loaded value sets of a URL, those loaded last first.
SELECT version, status, document FROM terminology_value_set WHERE url = $1 ORDER BY loaded_at DESC, key DESC;

-- name: value_set_by_origin
-- The value set that came from one resource.
SELECT version, status, document FROM terminology_value_set WHERE origin = $1;

-- name: loaded_since
-- Whether a code system or value set, by its URL or the resource that it came from, was loaded after an instant.
SELECT EXISTS (SELECT 1 FROM terminology_code_system WHERE url = $1 AND loaded_at > $2)
    OR EXISTS (SELECT 1 FROM terminology_value_set WHERE (url = $1 OR origin = $1) AND loaded_at > $2);

-- name: resolve
-- A concept by its code, or by the code whatever the case of its letters.
SELECT code, ordinal, display, definition, inactive, abstract FROM terminology_concept
WHERE system_key = $1 AND (code = $2 OR ($3 AND code_fold = $4)) ORDER BY code = $2 DESC, ordinal LIMIT 1;

-- name: select_concepts
-- Concepts in order; the store adds conditions for filters before the order.
SELECT c.code, c.ordinal, c.display, c.definition, c.inactive, c.abstract FROM terminology_concept c
WHERE c.system_key = $1 AND c.ordinal > $2;

-- name: concepts
-- Concepts by code.
SELECT code, ordinal, display, definition, inactive, abstract FROM terminology_concept
WHERE system_key = $1 AND code = ANY ($2::text[]);

-- name: designations
-- Other texts of concepts.
SELECT code, language, use, value, status FROM terminology_designation
WHERE system_key = $1 AND code = ANY ($2::text[]) ORDER BY code, ordinal;

-- name: properties
-- Properties of concepts.
SELECT code, property, kind, value, coding FROM terminology_property
WHERE system_key = $1 AND code = ANY ($2::text[]) ORDER BY code, ordinal;

-- name: parents
-- The concepts right above.
SELECT child, parent FROM terminology_edge WHERE system_key = $1 AND child = ANY ($2::text[]) ORDER BY child, parent;

-- name: descendants
-- A concept and all below it, one more than the limit at most: rows are made only as far as they are asked for.
WITH RECURSIVE below AS (
    SELECT code FROM terminology_concept WHERE system_key = $1 AND code = $2
    UNION
    SELECT e.child FROM below b JOIN terminology_edge e ON e.system_key = $1 AND e.parent = b.code
)
SELECT code FROM below LIMIT $3;

-- name: ancestors
-- A concept and all above it.
WITH RECURSIVE above AS (
    SELECT code FROM terminology_concept WHERE system_key = $1 AND code = $2
    UNION
    SELECT e.parent FROM above a JOIN terminology_edge e ON e.system_key = $1 AND e.child = a.code
)
SELECT code FROM above;

-- name: maps_by_url
-- The loaded maps of a URL, those loaded last first.
SELECT key, url, version, status, source, target, unmapped FROM terminology_map
WHERE url = $1 ORDER BY loaded_at DESC, key DESC;

-- name: map_by_origin
-- The map that came from one resource.
SELECT key, url, version, status, source, target, unmapped FROM terminology_map WHERE origin = $1;

-- name: maps_between
-- The loaded maps between value sets; NULL is any.
SELECT key, url, version, status, source, target, unmapped FROM terminology_map
WHERE status <> 'retired' AND ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR target = $2)
ORDER BY key LIMIT $3;

-- name: entries_by_source
-- The lines of maps that start at a code.
SELECT map_key, source_system, source_code, equivalence, target_system, target_code, target_display, target_version,
       comment, depends_on, products
FROM terminology_map_entry
WHERE map_key = ANY ($1::bigint[]) AND source_code = $2 AND (source_system = $3 OR source_system IS NULL OR $3 IS NULL)
ORDER BY map_key, ordinal LIMIT $4;

-- name: entries_by_target
-- The lines of maps that end at a code.
SELECT map_key, source_system, source_code, equivalence, target_system, target_code, target_display, target_version,
       comment, depends_on, products
FROM terminology_map_entry
WHERE map_key = ANY ($1::bigint[]) AND target_code = $2 AND (target_system = $3 OR target_system IS NULL OR $3 IS NULL)
ORDER BY map_key, ordinal LIMIT $4;

-- name: maps_revision
-- A number that changes with every change of a map by which codes are standardised.
SELECT coalesce(sum(hashtextextended(key::text || loaded_at::text, 0)::numeric), 0)::text AS revision
FROM terminology_map WHERE applied AND status = 'active';

-- name: applied_lines
-- The lines by which codes are standardised, in ascending order of authority: releases, ConceptMaps, local maps.
SELECT m.partner, coalesce(m.url, m.origin) AS map_url,
       e.source_system, e.source_code, e.equivalence, e.target_system, e.target_code, e.target_display,
       e.target_version, e.comment, e.depends_on, e.products
FROM terminology_map m JOIN terminology_map_entry e ON e.map_key = m.key
WHERE m.applied AND m.status = 'active' AND e.depends_on = '[]'
ORDER BY CASE WHEN starts_with(m.origin, 'local:') THEN 2 WHEN starts_with(m.origin, 'ConceptMap/') THEN 1 ELSE 0 END,
         m.loaded_at, m.key, e.ordinal;

-- name: local_map
-- The local map of a partner (or of everybody), made where there is none, and held until the commit.
INSERT INTO terminology_map (origin, url, version, status, source, target, unmapped, loaded_at, partner, applied)
VALUES ($1, $2, NULL, 'active', NULL, NULL, '[]', $3, $4, true)
ON CONFLICT (origin) DO UPDATE SET loaded_at = $3 RETURNING key;

-- name: local_maps
-- Every local map with the number of its lines.
SELECT m.partner, m.url, m.loaded_at, count(e.ordinal) AS lines
FROM terminology_map m LEFT JOIN terminology_map_entry e ON e.map_key = m.key
WHERE starts_with(m.origin, 'local:') GROUP BY m.key ORDER BY m.partner NULLS FIRST;

-- name: local_lines
-- The lines of a local map.
SELECT e.source_system, e.source_code, e.equivalence, e.target_system, e.target_code, e.target_display,
       e.target_version, e.comment, e.depends_on, e.products
FROM terminology_map m JOIN terminology_map_entry e ON e.map_key = m.key WHERE m.origin = $1 ORDER BY e.ordinal;

-- name: clear_map
-- A map without its lines.
DELETE FROM terminology_map_entry WHERE map_key = $1;

-- name: drop_lines
-- The lines of a map for some codes go; NULL as the system means no system.
DELETE FROM terminology_map_entry e USING unnest($2::text[], $3::text[]) AS gone (system, code)
WHERE e.map_key = $1 AND e.source_code = gone.code AND e.source_system IS NOT DISTINCT FROM gone.system;

-- name: last_line
-- The place of the last line of a map.
SELECT coalesce(max(ordinal), -1) FROM terminology_map_entry WHERE map_key = $1;

-- name: note_untranslated
-- Codes that asked for a person, counted. One that was settled by a map asks anew when it is still not translated.
INSERT INTO terminology_work_item AS item
    (partner, system, code, element, reason, occurrences, first_seen_at, last_seen_at, state)
SELECT partner, system, code, element, reason, occurrences, $7, $7, 'open'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
     AS seen (partner, system, code, element, reason, occurrences)
ORDER BY partner, system, code
ON CONFLICT (partner, system, code) DO UPDATE SET
    occurrences = item.occurrences + excluded.occurrences,
    last_seen_at = excluded.last_seen_at,
    element = excluded.element,
    reason = excluded.reason,
    state = CASE WHEN item.state = 'mapped' AND item.settled_at < $7 - interval '1 minute' THEN 'open'
                 ELSE item.state END;

-- name: work_items
-- Work items, the most frequent first.
SELECT key, partner, system, code, element, reason, state, occurrences, first_seen_at, last_seen_at, settled_at,
       settled_by
FROM terminology_work_item
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR partner = $2) AND ($3::bigint IS NULL OR key = $3)
ORDER BY occurrences DESC, key LIMIT $4;

-- name: work_counts
-- How many work items of each source are in each state, and how often their codes came.
SELECT partner, state, count(*) AS codes, sum(occurrences)::bigint AS occurrences
FROM terminology_work_item GROUP BY partner, state ORDER BY partner, state;

-- name: settle_work_items
-- Work items that are done with, or open again.
UPDATE terminology_work_item SET state = $2, settled_at = $3, settled_by = $4 WHERE key = ANY ($1::bigint[]);

-- name: take_your_time
-- A release is loaded by few statements that each take long; the limit comes back at the end of the transaction.
SELECT set_config('statement_timeout', '0', true);

-- name: gather_statistics
-- The planner learns of what was just loaded.
ANALYZE terminology_concept, terminology_edge, terminology_property, terminology_designation, terminology_map_entry;

-- name: releases
-- What releases are loaded, with what they hold.
SELECT 'CodeSystem' AS kind, s.origin, s.url, s.version, s.loaded_at, count(c.code) AS entries
FROM terminology_code_system s LEFT JOIN terminology_concept c ON c.system_key = s.key
WHERE starts_with(s.origin, 'load:') GROUP BY s.key
UNION ALL
SELECT 'ConceptMap', m.origin, m.url, m.version, m.loaded_at, count(e.ordinal)
FROM terminology_map m LEFT JOIN terminology_map_entry e ON e.map_key = m.key
WHERE starts_with(m.origin, 'load:') GROUP BY m.key
UNION ALL
SELECT 'ValueSet', v.origin, v.url, v.version, v.loaded_at, 1
FROM terminology_value_set v WHERE starts_with(v.origin, 'load:')
ORDER BY origin, url;

-- name: begin_closure
-- A closure table of a client begins anew, empty.
INSERT INTO terminology_closure (owner, name, version) VALUES ($1, $2, 0)
ON CONFLICT (owner, name) DO UPDATE SET version = EXCLUDED.version RETURNING key;

-- name: empty_closure_lines
-- What a closure table held goes: its lines.
DELETE FROM terminology_closure_line WHERE closure_key = $1;

-- name: empty_closure_concepts
-- What a closure table held goes: its concepts.
DELETE FROM terminology_closure_concept WHERE closure_key = $1;

-- name: closure
-- A closure table, held until the commit.
SELECT key, version FROM terminology_closure WHERE owner = $1 AND name = $2 FOR UPDATE;

-- name: closures
-- How many closure tables a client has.
SELECT count(*) FROM terminology_closure WHERE owner = $1;

-- name: closure_codes
-- The codes of a system in a closure table.
SELECT code FROM terminology_closure_concept WHERE closure_key = $1 AND system = $2;

-- name: closure_size
-- How many concepts a closure table has.
SELECT count(*) FROM terminology_closure_concept WHERE closure_key = $1;

-- name: add_to_closure
-- Concepts of a closure table.
INSERT INTO terminology_closure_concept (closure_key, system, code) SELECT $1, $2, unnest($3::text[])
ON CONFLICT DO NOTHING;

-- name: add_closure_lines
-- What stands above what in a closure table, and in which version of it that was told.
INSERT INTO terminology_closure_line (closure_key, version, system, below, above)
SELECT $1, $2, $3, below, above FROM unnest($4::text[], $5::text[]) AS line (below, above) ON CONFLICT DO NOTHING;

-- name: raise_closure
-- A closure table has a new version.
UPDATE terminology_closure SET version = version + 1 WHERE key = $1 RETURNING version;

-- name: closure_lines
-- The lines of a closure table after a version.
SELECT system, below, above FROM terminology_closure_line WHERE closure_key = $1 AND version > $2
ORDER BY system, below, above;
