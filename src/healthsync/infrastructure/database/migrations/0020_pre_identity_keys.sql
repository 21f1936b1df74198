-- Block keys of several values: records that were keyed by an older version are keyed anew when the hub starts.

ALTER TABLE identity_patient ADD COLUMN keys_version text NOT NULL DEFAULT '';
COMMENT ON COLUMN identity_patient.keys_version IS 'Which version of the block keys the record has, empty for none.';
CREATE INDEX identity_patient_keys_version ON identity_patient (keys_version, patient_key);
