-- HL7 v2 out (domain deliveries): who gets messages, and every message on its way. No content stands here in clear.

CREATE TABLE destination (
    name          text COLLATE "C" PRIMARY KEY,
    terms         jsonb NOT NULL,                 -- address, version, messages, limits: no secrets
    state         text COLLATE "C" NOT NULL CHECK (state IN ('active', 'paused')),
    created_at    timestamptz NOT NULL,           -- changes of before are not sent
    failures      int NOT NULL DEFAULT 0,         -- attempts in a row that the partner left without a usable answer
    failing_since timestamptz,
    retry_at      timestamptz,                    -- nothing is sent before (backoff, circuit breaker)
    reason        text,                           -- of the last failure, without values of a message
    lease         uuid,                           -- of the process that sends now
    leased_until  timestamptz
);

-- A message to one destination. `sequence` is the order in which a destination gets its messages.
CREATE TABLE delivery (
    sequence        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queued_at       timestamptz NOT NULL,
    settled_at      timestamptz,                  -- when it was delivered or died
    next_attempt_at timestamptz,                  -- the partner answered AE or CE: not before this instant
    lane            bigint,                       -- keyed token of the patient; NULL: waits for nobody
    resource_version int,                         -- of `subject`, that the message tells; NULL: the newest
    begun           int NOT NULL DEFAULT 0,       -- attempts that began and have not ended: counted before the work
    attempts        int NOT NULL DEFAULT 0,       -- that the partner answered with AE or CE
    key_version     int,                          -- of the data key of scope deliveries/<destination>
    destination     text COLLATE "C" NOT NULL REFERENCES destination ON DELETE CASCADE,
    control_id      text COLLATE "C" NOT NULL,    -- MSH-10: keyed digest of what is told, the same in every repetition
    type            text COLLATE "C" NOT NULL,    -- MSH-9: ADT^A01
    subject         text COLLATE "C" NOT NULL,    -- Type/id of the resource that it is about
    changed         text COLLATE "C" NOT NULL,    -- INSERT or UPDATE
    retired         text COLLATE "C",             -- Patient/id that a merge gave up
    state           text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    answer          text COLLATE "C",             -- MSA-1
    reason_code     text COLLATE "C",
    reason          text,                         -- a sentence for the operator, without values of the message
    patient_keys    int[] NOT NULL DEFAULT '{}',  -- whose consent is asked again before it leaves
    detail          bytea,                        -- what the partner wrote, sealed
    payload         bytea,                        -- the message, sealed; NULL: it was not built, or may not leave any more
    UNIQUE (destination, control_id)
);
ALTER TABLE delivery ALTER COLUMN payload SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX delivery_waiting ON delivery (destination, sequence) WHERE state = 'waiting';
CREATE INDEX delivery_held ON delivery (destination, lane, sequence) WHERE state = 'waiting' AND next_attempt_at IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (destination, sequence) WHERE state = 'dead';
CREATE INDEX delivery_settled ON delivery (settled_at) WHERE state = 'delivered';
