-- The raw zone: the bytes of messages by day of arrival, apart from the rows that say what became of them. And how good
-- each message was, what a source has promised, and how long its bytes are kept.

-- Bytes as received, sealed. A day is a partition; inside it the key begins with the source. Rows are inserted and never
-- changed; they go when their term is over, a source's whole day at a time (decision 23).
CREATE TABLE raw_message (
    received_at  timestamptz NOT NULL,
    sequence     bigint NOT NULL,                   -- of the message
    key_version  int NOT NULL,
    key_of_day   boolean NOT NULL DEFAULT true,     -- scope messages/<source>/<day>; false: messages/<source>
    source       text COLLATE "C" NOT NULL,
    sealed       bytea NOT NULL,
    PRIMARY KEY (source, sequence, received_at)
) PARTITION BY RANGE (received_at);
ALTER TABLE raw_message ALTER COLUMN sealed SET STORAGE EXTERNAL;  -- ciphertext does not compress

-- A guard rail against mistakes: only the flow that retires a source's day says `healthsync.retiring`.
CREATE FUNCTION raw_message_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('healthsync.retiring', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the raw zone is immutable: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON raw_message FOR EACH ROW EXECUTE FUNCTION raw_message_stays();
CREATE TRIGGER whole BEFORE TRUNCATE ON raw_message FOR EACH STATEMENT EXECUTE FUNCTION raw_message_stays();

-- The partition of a day (UTC), made if it is not there: attached, which lets receiving go on meanwhile.
CREATE FUNCTION raw_message_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part text := 'raw_message_' || to_char(day, 'YYYYMMDD');
    low text := day || ' 00:00:00+00';
    high text := day + 1 || ' 00:00:00+00';
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(4851234567890003);
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE raw_message INCLUDING ALL, CHECK (received_at >= %L AND received_at < %L))',
                   part, low, high);
    EXECUTE format('CREATE TRIGGER whole BEFORE TRUNCATE ON %I FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION raw_message_stays()', part);
    EXECUTE format('ALTER TABLE raw_message ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, low, high);
    RETURN true;
END $$;

-- What was received before goes over as it is, under the keys that it was sealed with.
DO $$
DECLARE
    day date;
BEGIN
    FOR day IN SELECT DISTINCT (received_at AT TIME ZONE 'UTC')::date FROM message LOOP
        PERFORM raw_message_day(day);
    END LOOP;
END $$;
INSERT INTO raw_message (received_at, sequence, key_version, key_of_day, source, sealed)
    SELECT received_at, sequence, key_version, false, source, raw FROM message ORDER BY sequence;

ALTER TABLE message
    DROP COLUMN raw,
    DROP COLUMN key_version,
    DROP CONSTRAINT message_state_check,
    ADD CONSTRAINT message_state_check CHECK (state IN ('accepted', 'processed', 'dead', 'replaced')),
    ADD COLUMN origin     bigint,               -- the message of which this is an edited copy
    ADD COLUMN place      bigint,               -- of a copy: the message in whose place it is processed
    ADD COLUMN edited_by  text,
    ADD COLUMN retired_at timestamptz;          -- when its bytes were destroyed; what became of it stays known
CREATE INDEX message_received ON message (received_at);
CLUSTER message USING message_pkey;             -- without the bytes that stood here

-- How good a message was: points of 100 by dimension (NULL: nothing to judge), and which rules found fault how often.
CREATE TABLE message_quality (
    sequence      bigint PRIMARY KEY,
    received_on   date NOT NULL,
    score         smallint NOT NULL CHECK (score BETWEEN 0 AND 100),
    completeness  smallint,
    accuracy      smallint,
    consistency   smallint,
    timeliness    smallint,
    uniqueness    smallint,
    source        text COLLATE "C" NOT NULL,
    type          text COLLATE "C" NOT NULL,
    action        text COLLATE "C" NOT NULL CHECK (action IN ('accept', 'accept-with-warnings', 'review', 'reject')),
    failed        jsonb NOT NULL                -- {"patient-birth-date": 1}
);
CREATE INDEX message_quality_by_day ON message_quality (received_on, source);
CREATE INDEX message_quality_to_review ON message_quality (sequence) WHERE action IN ('review', 'reject');

-- What a source has promised beyond what the hub asks of everyone.
CREATE TABLE quality_contract (
    source      text COLLATE "C" PRIMARY KEY,
    excellent   smallint CHECK (excellent BETWEEN 0 AND 100),
    good        smallint CHECK (good BETWEEN 0 AND 100),
    minimum     smallint CHECK (minimum BETWEEN 0 AND 100),
    rejects     boolean,                        -- whether what is below `minimum` becomes a dead letter
    changed_at  timestamptz NOT NULL,
    changed_by  text NOT NULL
);

-- How long the bytes of a source are kept, where it differs from the setting, and whether a legal hold stands.
CREATE TABLE raw_term (
    source       text COLLATE "C" PRIMARY KEY,
    keep_days    int CHECK (keep_days > 0),     -- NULL: as the setting says
    hold_reason  text,                          -- code of the legal hold; NULL: none
    changed_at   timestamptz NOT NULL,
    changed_by   text NOT NULL
);
