-- What every row of the audit log was written with and nothing needed.
--
-- No question was answered by the index of times: a time is one term beside others, tested in the order of positions. The
-- length of a hash that the INSERT itself makes with SHA-256 was checked by an expression that PostgreSQL reads anew for
-- each statement; `healthsync audit verify` finds every hash that is not the row's, whatever its length.
DROP INDEX audit_event_recorded;
ALTER TABLE audit_event DROP CONSTRAINT audit_event_leaf_hash_check;
