-- CodeSystem, ValueSet and ConceptMap compiled for the terminology service. Derived: the resources are the truth.

CREATE TABLE terminology_code_system (
    key            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin         text COLLATE "C" NOT NULL,   -- CodeSystem/<id>, or package:<name>#<version>/<id>
    url            text COLLATE "C" NOT NULL,
    version        text,
    name           text,
    title          text,
    status         text NOT NULL,
    content        text NOT NULL,               -- complete, fragment, example, not-present, supplement
    case_sensitive boolean NOT NULL,
    properties     jsonb NOT NULL,              -- code -> FHIR type
    loaded_at      timestamptz NOT NULL,
    UNIQUE (origin)
);
CREATE INDEX terminology_code_system_by_url ON terminology_code_system (url);

CREATE TABLE terminology_concept (
    system_key bigint NOT NULL REFERENCES terminology_code_system ON DELETE CASCADE,
    code       text COLLATE "C" NOT NULL,
    ordinal    int NOT NULL,                    -- place in the order of the code system
    display    text,
    definition text,
    inactive   boolean NOT NULL,
    abstract   boolean NOT NULL,
    folded     text COLLATE "C" NOT NULL,       -- display and code, case folded: what a text filter looks in
    code_fold  text COLLATE "C" NOT NULL,       -- the code, case folded
    PRIMARY KEY (system_key, code)
);
CREATE UNIQUE INDEX terminology_concept_in_order ON terminology_concept (system_key, ordinal);
CREATE INDEX terminology_concept_by_fold ON terminology_concept (system_key, code_fold);

CREATE TABLE terminology_edge (
    system_key bigint NOT NULL REFERENCES terminology_code_system ON DELETE CASCADE,
    child      text COLLATE "C" NOT NULL,
    parent     text COLLATE "C" NOT NULL,
    PRIMARY KEY (system_key, child, parent)
);
CREATE INDEX terminology_edge_down ON terminology_edge (system_key, parent, child);

CREATE TABLE terminology_designation (
    system_key bigint NOT NULL REFERENCES terminology_code_system ON DELETE CASCADE,
    code       text COLLATE "C" NOT NULL,
    ordinal    int NOT NULL,
    language   text,
    use        jsonb,                           -- Coding
    value      text NOT NULL,
    PRIMARY KEY (system_key, code, ordinal)
);

CREATE TABLE terminology_property (
    system_key bigint NOT NULL REFERENCES terminology_code_system ON DELETE CASCADE,
    code       text COLLATE "C" NOT NULL,
    ordinal    int NOT NULL,
    property   text COLLATE "C" NOT NULL,
    kind       text NOT NULL,                   -- FHIR type of the value
    value      text NOT NULL,                   -- of a Coding its code
    coding     jsonb,
    PRIMARY KEY (system_key, code, ordinal)
);

CREATE TABLE terminology_value_set (
    key       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin    text COLLATE "C" NOT NULL UNIQUE,
    url       text COLLATE "C",
    version   text,
    status    text NOT NULL,
    document  jsonb NOT NULL,                   -- header, compose or expansion
    loaded_at timestamptz NOT NULL
);
CREATE INDEX terminology_value_set_by_url ON terminology_value_set (url);

CREATE TABLE terminology_map (
    key       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin    text COLLATE "C" NOT NULL UNIQUE,
    url       text COLLATE "C",
    version   text,
    status    text NOT NULL,
    source    text COLLATE "C",                 -- value set
    target    text COLLATE "C",                 -- value set
    unmapped  jsonb NOT NULL,
    loaded_at timestamptz NOT NULL
);
CREATE INDEX terminology_map_by_url ON terminology_map (url);

CREATE TABLE terminology_map_entry (
    map_key        bigint NOT NULL REFERENCES terminology_map ON DELETE CASCADE,
    ordinal        int NOT NULL,
    source_system  text COLLATE "C",
    source_code    text COLLATE "C" NOT NULL,
    equivalence    text NOT NULL,
    target_system  text COLLATE "C",
    target_code    text COLLATE "C",            -- NULL: no match
    target_display text,
    target_version text,
    comment        text,
    depends_on     jsonb NOT NULL,
    products       jsonb NOT NULL,
    PRIMARY KEY (map_key, ordinal)
);
CREATE INDEX terminology_map_entry_by_source ON terminology_map_entry (source_code, source_system);
CREATE INDEX terminology_map_entry_by_target ON terminology_map_entry (target_code, target_system);
