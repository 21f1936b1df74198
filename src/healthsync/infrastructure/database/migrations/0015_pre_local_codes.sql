-- Local codes: whose codes a map translates, codes that no map translates, and the closures that clients keep.

ALTER TABLE terminology_map
    ADD COLUMN partner text COLLATE "C",                 -- whose codes; NULL: everybody's
    ADD COLUMN applied boolean NOT NULL DEFAULT false;   -- whether what arrives is standardised by it
COMMENT ON COLUMN terminology_map.origin IS
    'ConceptMap/<id>, package:<name>#<version>/<id>, load:<kind>/<version>, or local:<partner>, which is its own truth';

CREATE TABLE terminology_work_item (
    key           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    occurrences   bigint NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    settled_at    timestamptz,
    partner       text COLLATE "C" NOT NULL,
    system        text COLLATE "C" NOT NULL,   -- '' where the sender named none
    code          text COLLATE "C" NOT NULL,
    element       text COLLATE "C" NOT NULL,   -- Observation.code
    reason        text COLLATE "C" NOT NULL,   -- unmapped, ambiguous
    state         text COLLATE "C" NOT NULL,   -- open, mapped, ignored
    settled_by    text,
    UNIQUE (partner, system, code)
);
CREATE INDEX terminology_work_item_in_order ON terminology_work_item (state, occurrences DESC, key);

CREATE TABLE terminology_closure (
    key     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner   text COLLATE "C" NOT NULL,         -- client
    name    text COLLATE "C" NOT NULL,
    version int NOT NULL,
    UNIQUE (owner, name)
);
CREATE TABLE terminology_closure_concept (
    closure_key bigint NOT NULL REFERENCES terminology_closure ON DELETE CASCADE,
    system      text COLLATE "C" NOT NULL,
    code        text COLLATE "C" NOT NULL,
    PRIMARY KEY (closure_key, system, code)
);
CREATE TABLE terminology_closure_line (
    closure_key bigint NOT NULL REFERENCES terminology_closure ON DELETE CASCADE,
    version     int NOT NULL,                  -- in which it was told first
    system      text COLLATE "C" NOT NULL,
    below       text COLLATE "C" NOT NULL,
    above       text COLLATE "C" NOT NULL,
    PRIMARY KEY (closure_key, system, below, above)
);

-- What is said of a code system beside its columns: language, experimental, standards_status, supplements.
ALTER TABLE terminology_code_system ADD COLUMN said jsonb NOT NULL DEFAULT '{}';
ALTER TABLE terminology_designation ADD COLUMN status text;   -- withdrawn, deprecated
CREATE INDEX terminology_code_system_supplements ON terminology_code_system (url) WHERE content = 'supplement';
