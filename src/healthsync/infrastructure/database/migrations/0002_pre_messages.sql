-- Partners (domain directory) and HL7 v2 messages (domain messages).

-- Who may send to this hub, and by what it is recognised: every criterion that a row names must hold.
CREATE TABLE partner (
    name                    text COLLATE "C" PRIMARY KEY,
    sending_application     text,                           -- MSH-3, first component
    sending_facility        text,                           -- MSH-4, first component
    certificate_fingerprint text,                           -- SHA-256 of the DER form, lower-case hex
    certificate_subject     text,                           -- RFC 4514, as in CN=adt,O=Mercy
    addresses               cidr[] NOT NULL DEFAULT '{}',
    organisation            text,
    ack_mode                text CHECK (ack_mode IN ('original', 'enhanced')),  -- NULL: as the message or the hub says
    character_encoding      text,                           -- as in MSH-18; for senders that do not say it
    state                   text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
    created_at              timestamptz NOT NULL,
    CHECK (addresses <> '{}' OR num_nonnulls(
        sending_application, sending_facility, certificate_fingerprint, certificate_subject) > 0)
);

-- Every message that came in. `sequence` is the durable order: numbers are given out under a lock that is held until
-- the commit, so that a message is never seen before one with a smaller number.
CREATE TABLE message (
    sequence         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at      timestamptz NOT NULL,
    source           text COLLATE "C" NOT NULL,     -- the partner's name
    control_id       text COLLATE "C" NOT NULL,     -- MSH-10 as sent, at most 199 characters; '' when there was none
    type             text COLLATE "C" NOT NULL,     -- MSH-9: ADT^A01
    digest           bytea NOT NULL UNIQUE,         -- keyed digest of source and bytes: recognises a resend
    raw              bytea NOT NULL,                -- the bytes as received, sealed
    key_version      int NOT NULL,                  -- of the data key of scope messages/<source>
    size_bytes       int NOT NULL,                  -- of the frame as received, also where `raw` was cut
    truncated        boolean NOT NULL DEFAULT false,
    lanes            bigint[] NOT NULL,             -- keyed tokens of the patients it concerns
    acknowledgement  bytea,                         -- what was answered; NULL when the sender wanted no answer
    warnings         text[] NOT NULL DEFAULT '{}',
    state            text COLLATE "C" NOT NULL CHECK (state IN ('accepted', 'processed', 'dead')),
    next_attempt_at  timestamptz,                   -- not before this instant (a retry waits)
    attempts         int NOT NULL DEFAULT 0,        -- that failed or ended, once recorded
    reason_code      text,
    reason           text,                          -- a sentence for the operator, without values of the message
    settled_at       timestamptz,                   -- when it was processed or died
    stored_resources int,
    unmapped         jsonb                          -- what no map reads, with counts: {"PID-25": 1, "ZPI": 2}
);
ALTER TABLE message ALTER COLUMN raw SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX message_by_control_id ON message (source, control_id) WHERE control_id <> '';
CREATE INDEX message_accepted ON message (sequence) WHERE state = 'accepted';
CREATE INDEX message_dead ON message (sequence) WHERE state = 'dead';

-- A row for each patient of each message that is not settled: the oldest of a lane goes first.
CREATE TABLE message_lane (
    lane      bigint NOT NULL,
    sequence  bigint NOT NULL,
    PRIMARY KEY (lane, sequence)
);

-- Attempts that have begun. Committed before the work, apart from the transaction of the work, so that a message
-- which brings the worker down is known by its count.
CREATE TABLE message_attempt (
    sequence  bigint PRIMARY KEY,
    attempts  int NOT NULL
);
