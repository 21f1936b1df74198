-- FHIR Subscriptions (domain subscriptions). No content and no criteria stand here in clear.

-- One row for each Subscription resource that was understood.
CREATE TABLE subscription (
    id                text COLLATE "C" PRIMARY KEY,  -- of the Subscription resource
    client_id         text COLLATE "C" NOT NULL,     -- who asked for it
    status            text COLLATE "C" NOT NULL CHECK (status IN ('requested', 'active', 'error', 'off')),
    channel           text COLLATE "C" NOT NULL,     -- rest-hook, websocket, email
    resource_type     text COLLATE "C" NOT NULL,
    event_names       text[] NOT NULL,               -- what it listens to in the event log
    terms             bytea NOT NULL,                -- sealed: criteria, channel with its headers, subscriber
    requested_at      timestamptz NOT NULL,          -- by the database's clock, which all processes share
    since_xid         xid8,                          -- events of younger transactions are told; NULL before activation
    ends_at           timestamptz,
    heartbeat_seconds int,
    told_at           timestamptz,                   -- of the last notification that was taken
    next_attempt_at   timestamptz NOT NULL,
    attempts          int NOT NULL DEFAULT 0,        -- failures in a row
    events            bigint NOT NULL DEFAULT 0,     -- numbers given out
    reason            text,                          -- why it is in error or off, without a patient's values
    lease             uuid,                          -- of the process that is telling it now
    leased_until      timestamptz
);
CREATE INDEX subscription_due ON subscription (next_attempt_at) WHERE status <> 'off';
CREATE INDEX subscription_by_client ON subscription (client_id, id);

-- Whose Subscription it is, accepted or not: the first client that wrote it. Nobody else changes it, since its headers
-- would go to wherever he points its endpoint.
CREATE TABLE subscription_owner (
    id         text COLLATE "C" PRIMARY KEY,
    client_id  text COLLATE "C" NOT NULL
);

-- Changes that a subscription has yet to look at, in the order of the event log.
CREATE TABLE subscription_change (
    sequence         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id  text COLLATE "C" NOT NULL REFERENCES subscription ON DELETE CASCADE,
    resource_id      text COLLATE "C" NOT NULL,
    version          int NOT NULL,
    created          boolean NOT NULL,               -- the first version of the resource
    occurred_at      timestamptz NOT NULL
);
CREATE INDEX subscription_change_order ON subscription_change (subscription_id, sequence);

-- Event numbers that were given out: written before the bytes leave, so that a repetition carries the same number.
CREATE TABLE subscription_event (
    subscription_id  text COLLATE "C" NOT NULL REFERENCES subscription ON DELETE CASCADE,
    number           bigint NOT NULL,
    resource_id      text COLLATE "C" NOT NULL,
    version          int NOT NULL,
    created          boolean NOT NULL,
    occurred_at      timestamptz NOT NULL,
    told_at          timestamptz,
    withheld         boolean NOT NULL DEFAULT false, -- the gate said no after the number was given out
    PRIMARY KEY (subscription_id, number)
);
CREATE INDEX subscription_event_untold ON subscription_event (subscription_id, number)
    WHERE told_at IS NULL AND NOT withheld;
