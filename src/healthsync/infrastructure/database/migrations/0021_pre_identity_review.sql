-- What people have to decide about identity, as work; updates that wait for it; numbers that several persons must not share.

CREATE TABLE identity_task (
    task bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_key bigint NOT NULL,           -- the lower of the two; both the same when a record contradicts its own past
    other_patient_key bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('duplicate', 'linkage', 'second-number', 'contradiction', 'overlay')),
    reasons text[] NOT NULL,
    rules text NOT NULL,
    owner text,                            -- the source whose two numbers these are; NULL: the stewards
    state text NOT NULL CHECK (state IN ('open', 'claimed', 'second', 'decided', 'closed')),
    raised_at timestamptz NOT NULL,
    claimed_by text,
    claimed_at timestamptz,
    decision text,
    settled_at timestamptz,
    CHECK (patient_key <= other_patient_key)
);
COMMENT ON TABLE identity_task IS 'Pairs of source patients that a person has to decide about.';
COMMENT ON COLUMN identity_task.rules IS 'Version of the rules that raised it.';
CREATE UNIQUE INDEX identity_task_active ON identity_task (patient_key, other_patient_key)
    WHERE state IN ('open', 'claimed', 'second');
CREATE INDEX identity_task_other ON identity_task (other_patient_key) WHERE state IN ('open', 'claimed', 'second');
CREATE INDEX identity_task_raised ON identity_task (raised_at);

CREATE TABLE identity_task_step (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task bigint NOT NULL REFERENCES identity_task,
    at timestamptz NOT NULL,
    act text NOT NULL CHECK (act IN ('raised', 'grown', 'claimed', 'not-sure', 'decided', 'confirmed', 'reopened', 'closed')),
    code text NOT NULL,                    -- the decision, or why it was closed
    reason text NOT NULL,
    by text NOT NULL
);
COMMENT ON TABLE identity_task_step IS 'What happened to a task, for good.';
CREATE INDEX identity_task_step_task ON identity_task_step (task, sequence);

CREATE FUNCTION identity_task_step_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'identity_task_step is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity_task_step
    FOR EACH STATEMENT EXECUTE FUNCTION identity_task_step_is_append_only();

CREATE TABLE identity_held (
    patient_key bigint PRIMARY KEY,
    version integer NOT NULL,              -- the last version that is beyond doubt: it speaks for the patient meanwhile
    since timestamptz NOT NULL
);
COMMENT ON TABLE identity_held IS 'Source patients whose newest version may be of somebody else.';

CREATE TABLE identity_number (
    kind text NOT NULL CHECK (kind IN ('ssn', 'insurance')),
    token bigint NOT NULL,                 -- keyed, of the number (and its authority)
    patient_key bigint NOT NULL,
    PRIMARY KEY (kind, token, patient_key)
);
COMMENT ON TABLE identity_number IS 'Numbers of which one person has one, to find those that several persons use.';
CREATE INDEX identity_number_patient ON identity_number (patient_key);

CREATE INDEX identity_link_event_other ON identity_link_event (other_patient_key, sequence) WHERE other_patient_key IS NOT NULL;
