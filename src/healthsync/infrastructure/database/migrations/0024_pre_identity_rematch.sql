-- Matching again what is stored, and tasks that nobody decided in time.

CREATE TABLE identity_rematch (
    job uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('linked', 'flagged', 'closed')),
    patient_key bigint NOT NULL,           -- the lower of the two
    other_patient_key bigint NOT NULL,
    PRIMARY KEY (job, kind, patient_key, other_patient_key)
);
COMMENT ON TABLE identity_rematch IS 'What matching stored persons again changed, or would change: persons that become one (each by its lowest patient), pairs to be looked at, pairs whose task has no ground any more.';

ALTER TABLE identity_task ADD COLUMN escalated_at timestamptz;
COMMENT ON COLUMN identity_task.escalated_at IS 'When it was found that nobody had decided in time; from then on it is urgent.';

ALTER TABLE identity_task_step DROP CONSTRAINT identity_task_step_act_check, ADD CONSTRAINT identity_task_step_act_check
    CHECK (act IN ('raised', 'grown', 'claimed', 'not-sure', 'decided', 'confirmed', 'reopened', 'closed', 'escalated')) NOT VALID;
