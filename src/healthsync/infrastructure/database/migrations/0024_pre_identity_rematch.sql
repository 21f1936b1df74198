-- Matching again what is stored, and tasks that nobody decided in time.

CREATE TABLE identity_rematch (
    job uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('linked', 'flagged', 'closed')),
    patient_key bigint NOT NULL,           -- the lower of the two
    other_patient_key bigint NOT NULL,
    PRIMARY KEY (job, kind, patient_key, other_patient_key)
);
COMMENT ON TABLE identity_rematch IS 'What matching stored persons again changed, or would change: persons that become one (each by its lowest patient), pairs to be looked at, pairs whose task has no ground any more.';
