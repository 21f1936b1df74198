-- The master patient index. Every value of a patient is a keyed token here; the links are a log, the rest a projection of it.

CREATE TABLE identity_enterprise (
    enterprise_id uuid PRIMARY KEY,
    merged_into uuid,                      -- the person that its members went to; NULL while it has members
    created_at timestamptz NOT NULL
);

CREATE TABLE identity_patient (
    patient_key bigint PRIMARY KEY,        -- records.resource.pid
    patient_id text NOT NULL UNIQUE,       -- FHIR id of the source Patient
    source text NOT NULL,
    enterprise_id uuid NOT NULL REFERENCES identity_enterprise,
    linked_to bigint,                      -- the member through which it joined its person: what leaves together
    retired_into bigint,                   -- A40: the source patient that survives it
    fingerprint text[] NOT NULL            -- field:token, each token keyed and salted with the patient key
);
CREATE INDEX identity_patient_enterprise ON identity_patient (enterprise_id);
CREATE INDEX identity_patient_retired ON identity_patient (retired_into) WHERE retired_into IS NOT NULL;

CREATE TABLE identity_identifier (
    token bigint NOT NULL,                 -- authority and value
    type text NOT NULL,                    -- v2 table 0203 code, '' when the sender gives none
    patient_key bigint NOT NULL,
    PRIMARY KEY (token, patient_key, type)
);
CREATE INDEX identity_identifier_patient ON identity_identifier (patient_key);

CREATE TABLE identity_block_key (
    token bigint NOT NULL,                 -- a composite that few persons share, never one field of low entropy
    patient_key bigint NOT NULL,
    PRIMARY KEY (token, patient_key)
);
CREATE INDEX identity_block_key_patient ON identity_block_key (patient_key);

CREATE TABLE identity_link_event (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN
        ('created', 'linked', 'unlinked', 'merged', 'flagged', 'resolved', 'must-link', 'cannot-link')),
    enterprise_id uuid NOT NULL,
    patient_key bigint NOT NULL,
    other_patient_key bigint,
    rule text NOT NULL,
    evidence text[] NOT NULL,              -- codes, never values
    decided_by text NOT NULL
);
CREATE INDEX identity_link_event_enterprise ON identity_link_event (enterprise_id, sequence);
CREATE INDEX identity_link_event_patient ON identity_link_event (patient_key, sequence);

CREATE FUNCTION identity_link_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'identity_link_event is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity_link_event
    FOR EACH STATEMENT EXECUTE FUNCTION identity_link_event_is_append_only();

CREATE TABLE identity_decision (
    patient_key bigint NOT NULL,           -- the lower of the two
    other_patient_key bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('must-link', 'cannot-link')),
    PRIMARY KEY (patient_key, other_patient_key),
    CHECK (patient_key < other_patient_key)
);
CREATE INDEX identity_decision_other ON identity_decision (other_patient_key);

CREATE TABLE identity_review (
    patient_key bigint NOT NULL,           -- the lower of the two; both the same when a record contradicts its own past
    other_patient_key bigint NOT NULL,
    reasons text[] NOT NULL,
    raised_at timestamptz NOT NULL,
    PRIMARY KEY (patient_key, other_patient_key),
    CHECK (patient_key <= other_patient_key)
);
CREATE INDEX identity_review_other ON identity_review (other_patient_key);
