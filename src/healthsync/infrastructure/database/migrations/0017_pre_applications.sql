-- Applications of the SDK (domains streams and alerts): who handles what, what waits for whom, what they publish and
-- whom they alert. Payloads are sealed; what stands here in clear are codes, references and counts.

-- A handler of an application: a name under which deliveries wait, also while nobody runs it.
CREATE TABLE stream_handler (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id      text COLLATE "C" NOT NULL,        -- whose API key registered it
    application    text COLLATE "C" NOT NULL,
    name           text COLLATE "C" NOT NULL,
    wants          text[] NOT NULL,                  -- hl7:ORU^R01, event:patient.*, topic:lab_results; {}: retired
    registered_at  timestamptz NOT NULL,
    UNIQUE (client_id, application, name)
);

-- One fact for one handler. `id` is the order in which a handler gets them.
CREATE TABLE stream_delivery (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler_id        bigint NOT NULL REFERENCES stream_handler ON DELETE CASCADE,
    position          bigint NOT NULL,               -- of the event in the log
    kind              text COLLATE "C" NOT NULL CHECK (kind IN ('hl7', 'event', 'topic')),
    name              text COLLATE "C" NOT NULL,     -- ORU^R01, patient.merged, lab_results
    subject           text COLLATE "C" NOT NULL,     -- what it is about: Message/7, Patient/…, Publication/3
    data              jsonb NOT NULL,                -- references and codes of the event
    message_sequence  bigint,                        -- a message comes to a handler once, also when it is replayed
    occurred_at       timestamptz NOT NULL,
    lanes             bigint[] NOT NULL,             -- of these only the oldest is handed out
    state             text COLLATE "C" NOT NULL DEFAULT 'waiting'
                      CHECK (state IN ('waiting', 'done', 'withheld', 'dead')),
    attempts          int NOT NULL DEFAULT 0,        -- begun, the one under way included
    next_attempt_at   timestamptz NOT NULL,
    lease             uuid,                          -- of who is handling it now
    leased_by         text COLLATE "C",              -- the instance of the application
    leased_until      timestamptz,
    reason_code       text COLLATE "C",              -- class of the exception, or timeout, consent, gone
    settled_at        timestamptz,
    UNIQUE (handler_id, position),
    UNIQUE (handler_id, message_sequence)
);
CREATE INDEX stream_delivery_waiting ON stream_delivery (handler_id, id) WHERE state = 'waiting';
CREATE INDEX stream_delivery_dead ON stream_delivery (handler_id, id) WHERE state = 'dead';
CREATE INDEX stream_delivery_leased ON stream_delivery (leased_by) WHERE lease IS NOT NULL;
CREATE INDEX stream_delivery_settled ON stream_delivery (settled_at) WHERE state IN ('done', 'withheld');

-- The lanes of deliveries that are not settled.
CREATE TABLE stream_lane (
    handler_id   bigint NOT NULL,
    lane         bigint NOT NULL,
    delivery_id  bigint NOT NULL REFERENCES stream_delivery ON DELETE CASCADE,
    PRIMARY KEY (handler_id, lane, delivery_id)
);
CREATE INDEX stream_lane_of_delivery ON stream_lane (delivery_id);

-- What a handler answered to a message: the application acknowledgement (HL7 v2.5.1 §2.9.3).
CREATE TABLE stream_answer (
    delivery_id       bigint PRIMARY KEY REFERENCES stream_delivery ON DELETE CASCADE,
    message_sequence  bigint NOT NULL,
    source            text COLLATE "C" NOT NULL,     -- the partner, whose key seals it
    code              text COLLATE "C" NOT NULL CHECK (code IN ('AA', 'AE', 'AR')),
    sealed            bytea NOT NULL,
    key_version       int NOT NULL,
    answered_at       timestamptz NOT NULL,
    sent_at           timestamptz                    -- when it was written to the sender; NULL: recorded only
);
CREATE INDEX stream_answer_of_message ON stream_answer (message_sequence);

-- Own topics. Positions are given out under a lock that is held until the commit, so that a reader who goes by
-- position misses nothing.
CREATE TABLE stream_publication (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text COLLATE "C" NOT NULL,
    client_id     text COLLATE "C" NOT NULL,
    once_token    bigint,                            -- of a key: the same of the same client is the same publication
    published_at  timestamptz NOT NULL,
    patients      text[] NOT NULL,                   -- references to those whose data it holds, as far as is known
    sealed        bytea NOT NULL,
    key_version   int NOT NULL,
    UNIQUE (client_id, once_token)
);
CREATE INDEX stream_publication_of_topic ON stream_publication (topic, position);

-- Alerts that applications sent.
CREATE TABLE alert (
    id                uuid PRIMARY KEY,
    type              text COLLATE "C" NOT NULL,     -- a code such as critical_lab
    client_id         text COLLATE "C" NOT NULL,
    once_token        bigint,
    raised_at         timestamptz NOT NULL,
    patients          text[] NOT NULL,
    message_sequence  bigint,                        -- of the message that it came from
    sealed            bytea NOT NULL,
    key_version       int NOT NULL,
    UNIQUE (client_id, once_token)
);
CREATE INDEX alert_newest ON alert (raised_at DESC, id);
