-- Profiles, extensions, value sets and code systems that are stored here as resources: the validator reads them beside
-- those of packages. They raise conformance_revision as packages do.
CREATE TABLE conformance_stored (
    resource_type text COLLATE "C" NOT NULL,
    resource_id   text COLLATE "C" NOT NULL,
    url           text COLLATE "C" NOT NULL, -- canonical
    version       text COLLATE "C" NOT NULL, -- business version; '' for none
    compact       text NOT NULL,             -- JSON without what only people read
    is_modifier   boolean NOT NULL,          -- a modifier extension: data that carries it is understood
    PRIMARY KEY (resource_type, resource_id)
);
