-- The audit log and the event log: both are append-only, both are read behind pg_snapshot_xmin.

-- One access, or one change, and who made it. `entry` is the whole of it; `leaf_hash` is
-- SHA-256(0x00 || canonical form of position, xid and entry) (RFC 9162 section 2.1.1): no column stands outside the hash.
CREATE TABLE audit_event (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        xid8 NOT NULL,
    entry      jsonb NOT NULL,
    leaf_hash  bytea NOT NULL CHECK (octet_length(leaf_hash) = 32)
);
CREATE INDEX audit_event_order ON audit_event (xid, position);
CREATE INDEX audit_event_patients ON audit_event USING gin ((entry -> 'patients'));
CREATE INDEX audit_event_recorded ON audit_event ((entry ->> 'recorded_at') COLLATE "C", position);

-- Which event is which leaf of the tree: written by the sequencer, so that audit_event is only ever inserted into.
CREATE TABLE audit_leaf (
    leaf_index  bigint PRIMARY KEY,
    position    bigint NOT NULL UNIQUE
);

-- Hashes of full subtrees of 256, 65536, … leaves (levels 8, 16, …), so that a proof reads a few rows and not the log.
CREATE TABLE audit_subtree (
    level  smallint NOT NULL,
    index  bigint NOT NULL,
    hash   bytea NOT NULL,
    PRIMARY KEY (level, index)
);

-- Signed tree heads.
CREATE TABLE audit_head (
    tree_size   bigint PRIMARY KEY,
    root_hash   bytea NOT NULL,
    signed_at   timestamptz NOT NULL,
    hub_id      text NOT NULL,
    public_key  bytea NOT NULL,
    signature   bytea NOT NULL
);

-- A guard rail against mistakes; the proof against malice is the tree and its published heads.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_subtree
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Facts in the past tense. References and codes only, never a patient's values.
CREATE TABLE event_log (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    name         text NOT NULL,
    subject      text NOT NULL,
    data         jsonb NOT NULL,
    occurred_at  timestamptz NOT NULL
);
CREATE INDEX event_log_order ON event_log (xid, position);

-- How far each consumer has come: every event up to (xid, position) has had its effect.
CREATE TABLE event_consumer (
    name      text PRIMARY KEY,
    xid       xid8 NOT NULL,
    position  bigint NOT NULL
);
