-- Models that learned from reviews who is one person, and which of them decides.

CREATE TABLE identity_model (
    model bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version text NOT NULL UNIQUE,          -- hash of what decides: the same reviews give the same version
    trained_at timestamptz NOT NULL,
    trained_by text NOT NULL,
    document text NOT NULL,                -- JSON of numbers, codes and names of sources; nothing that a record says
    proof bytea NOT NULL                   -- keyed, of all of it: only this hub can have written it
);
COMMENT ON TABLE identity_model IS 'Models that learned from what people decided about pairs of records.';

CREATE TABLE identity_model_use (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    by text NOT NULL,
    model bigint REFERENCES identity_model, -- NULL: none decides from then on
    although_worse boolean NOT NULL
);
COMMENT ON TABLE identity_model_use IS 'Which learned model decides; the last entry stands.';

CREATE FUNCTION identity_model_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'learned models and their use are append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity_model
    FOR EACH STATEMENT EXECUTE FUNCTION identity_model_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON identity_model_use
    FOR EACH STATEMENT EXECUTE FUNCTION identity_model_is_append_only();
