-- History of a type and of the whole hub, newest first, page by page along an index.
--
-- `resource_by_update` has the current versions that are not deleted; what is deleted is little, and what is past has
-- the type beside it. No index is added that a create would have to fill.

ALTER TABLE resource_history ADD COLUMN resource_type text COLLATE "C";
UPDATE resource_history h SET resource_type = r.resource_type FROM resource r WHERE r.pid = h.pid;
CREATE INDEX resource_history_by_update ON resource_history (resource_type, updated_at, pid, version);
CREATE INDEX resource_deleted_by_update ON resource (resource_type, updated_at, pid) WHERE deleted;
