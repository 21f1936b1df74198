-- Search parameters that are added to the official ones (SearchParameter resources). A row is one meaning: what changes
-- the meaning is a new row, and a meaning that is wanted again is its old row.
CREATE TABLE search_parameter (
    number      int PRIMARY KEY,             -- its bit in resource.present, behind those of the official parameters
    resource_id text COLLATE "C" NOT NULL,   -- SearchParameter/<id>
    url         text COLLATE "C" NOT NULL,
    code        text COLLATE "C" NOT NULL,
    base        text[] NOT NULL,
    facts       jsonb NOT NULL,              -- type, expression, target: what it means, with url, code and base
    -- How writers keep its index rows: announced and retired only remove, indexing and active write; searches use active.
    state       text NOT NULL CHECK (state IN ('announced', 'indexing', 'active', 'retired')),
    percent     int NOT NULL DEFAULT 0,
    round       int NOT NULL DEFAULT 1       -- how often it was announced: indexing begun for an earlier round is void
);
CREATE UNIQUE INDEX search_parameter_by_url ON search_parameter (url) WHERE state <> 'retired';

-- Another number after every change, so that each process knows when its registry is out of date. From a sequence: what
-- was rolled back is never repeated.
CREATE SEQUENCE search_parameter_change;
CREATE TABLE search_parameter_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), revision bigint NOT NULL
);
INSERT INTO search_parameter_revision (revision) VALUES (0);
