-- A person chooses from which source patient the golden record takes an element; each choice is an entry of the log.

CREATE TABLE identity_pin (
    patient_key bigint NOT NULL,
    element text NOT NULL,
    PRIMARY KEY (patient_key, element)
);
COMMENT ON TABLE identity_pin IS 'Elements of a golden record that a person chose from a source patient.';

ALTER TABLE identity_link_event DROP CONSTRAINT identity_link_event_kind_check, ADD CONSTRAINT identity_link_event_kind_check
    CHECK (kind IN ('created', 'linked', 'unlinked', 'merged', 'flagged', 'resolved', 'must-link', 'cannot-link', 'pinned', 'unpinned'))
    NOT VALID;
