-- FHIR packages: what implementation guides define, as it came, and as the validator needs it.

CREATE TABLE conformance_package (
    name         text COLLATE "C" NOT NULL,  -- hl7.fhir.us.core
    version      text COLLATE "C" NOT NULL,
    digest       bytea NOT NULL,             -- SHA-256 of the file
    dependencies text NOT NULL,              -- JSON: package name -> version
    loaded_at    timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE conformance_resource (
    package         text COLLATE "C" NOT NULL,
    package_version text COLLATE "C" NOT NULL,
    resource_type   text COLLATE "C" NOT NULL,
    url             text COLLATE "C" NOT NULL, -- canonical
    version         text COLLATE "C" NOT NULL, -- business version; '' for none
    content         text NOT NULL,             -- JSON as in the package
    compact         text,                      -- JSON without what only people read; NULL for what validates nothing
    is_modifier     boolean NOT NULL,          -- a modifier extension: data that carries it is understood
    PRIMARY KEY (package, package_version, resource_type, url, version),
    FOREIGN KEY (package, package_version) REFERENCES conformance_package (name, version) ON DELETE CASCADE
);
CREATE INDEX conformance_resource_by_url ON conformance_resource (resource_type, url);

-- Raised by every change, so that compiled profiles know when they are out of date.
CREATE TABLE conformance_revision (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), revision bigint NOT NULL);
INSERT INTO conformance_revision (revision) VALUES (0);
