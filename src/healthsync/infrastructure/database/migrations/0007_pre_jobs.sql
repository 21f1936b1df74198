-- Long work: jobs, the files that they make, what went wrong with single resources, and webhooks to call at the end.

-- What was asked for, where the work stands and what came of it are sealed under a key of the job, which goes with it.
CREATE TABLE job (
    id           uuid PRIMARY KEY,
    kind         text COLLATE "C" NOT NULL,
    state        text COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    owner        text COLLATE "C" NOT NULL,  -- the client, or `operator`
    key_version  int NOT NULL,               -- version of the wrapping key
    key          bytea NOT NULL,             -- RFC 3394
    request      bytea NOT NULL,
    position     bytea,                      -- where the next worker goes on
    result       bytea,
    step         text COLLATE "C" NOT NULL DEFAULT '',  -- a code: what is being worked on
    done         bigint NOT NULL DEFAULT 0,  -- resources
    rejected     bigint NOT NULL DEFAULT 0,  -- resources
    failure_code text COLLATE "C",           -- FHIR issue type
    failure      text,                       -- a sentence without values
    attempts     int NOT NULL DEFAULT 0,
    claim        uuid,                       -- of the worker at it; a worker that lost its claim can write nothing
    heartbeat_at timestamptz,
    webhook      text,
    created_at   timestamptz NOT NULL,
    started_at   timestamptz,
    finished_at  timestamptz,
    expires_at   timestamptz,                -- when the job and its files are removed
    purged       boolean NOT NULL DEFAULT false
);
CREATE INDEX job_waiting ON job (created_at) WHERE state IN ('queued', 'running');
CREATE INDEX job_by_owner ON job (owner, created_at);
CREATE INDEX job_expiring ON job (expires_at) WHERE expires_at IS NOT NULL;

-- Files in the object store, each sealed under the key of its job.
CREATE TABLE job_file (
    job           uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    number        int NOT NULL,
    purpose       text COLLATE "C" NOT NULL CHECK (purpose IN ('output', 'deleted')),
    resource_type text COLLATE "C" NOT NULL,
    object        text COLLATE "C" NOT NULL,
    lines         bigint NOT NULL,
    bytes         bigint NOT NULL,           -- as it lies in the store
    patient_keys  bigint[] NOT NULL,         -- whose data it holds: asked again before each download
    PRIMARY KEY (job, number)
);

-- Single resources that could not be exported or imported: FHIR issues with a place, without values.
CREATE TABLE job_issue (
    job    uuid NOT NULL REFERENCES job ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY,
    issue  jsonb NOT NULL,
    PRIMARY KEY (job, number)
);

-- Webhooks that have to be told of an end; deleted when they were, or after the last attempt.
CREATE TABLE job_notice (
    job             uuid PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    attempts        int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL
);

-- What was deleted since a point in time, which an export tells.
CREATE INDEX resource_gone ON resource (updated_at, pid) WHERE deleted;
