-- A search index by path, references as edges between resources, packed content.
--
-- What the old index tables hold is made anew from the resources: a hub rebuilds the rows whose `key` is still NULL
-- before it answers anyone (`healthsync reindex` does it ahead of time).

DROP TABLE index_token, index_string, index_date;

-- `key` is a keyed 64-bit number of `Type/id`: edges point at it, whether the target is here already or not, and it
-- finds a resource by its address. `present` has a bit for each search parameter that the resource has values for.
ALTER TABLE resource ADD COLUMN key bigint, ADD COLUMN present bytea;
ALTER TABLE resource DROP CONSTRAINT resource_resource_type_id_key;
CREATE UNIQUE INDEX resource_by_key ON resource (key);
CREATE INDEX resource_by_type ON resource (resource_type, pid) WHERE NOT deleted;
DROP INDEX resource_by_patient;
CREATE INDEX resource_by_patient ON resource (patient_key, pid) WHERE patient_key IS NOT NULL;

-- `packed` is the clear text, compressed (Zstandard with the dictionary that its frame names); `clear` is what older
-- versions wrote.
ALTER TABLE resource_content ADD COLUMN packed bytea;
ALTER TABLE resource_content ALTER COLUMN clear DROP NOT NULL;
ALTER TABLE resource_history ADD COLUMN packed bytea;
ALTER TABLE resource_history ALTER COLUMN clear DROP NOT NULL;

-- `hash` is a keyed token of type, path and code (or text); `system` a keyed number of the code system, 0 for none.
CREATE TABLE index_token (
    hash bigint NOT NULL, pid bigint NOT NULL, system int NOT NULL DEFAULT 0, PRIMARY KEY (hash, pid, system)
);
-- `target` is the key of a resource (or of a URL), `path` a keyed number of type and path.
CREATE TABLE index_reference (
    target bigint NOT NULL, pid bigint NOT NULL, path int NOT NULL, PRIMARY KEY (target, path, pid)
);
CREATE INDEX index_reference_by_source ON index_reference (pid);
-- `hash` is a keyed token of type and path, for numbers also of the unit. By value for narrow searches, by resource for
-- wide ones.
CREATE TABLE index_string (
    hash bigint NOT NULL, pid bigint NOT NULL, value text COLLATE "C" NOT NULL, PRIMARY KEY (hash, value, pid)
);
CREATE TABLE index_date (
    hash bigint NOT NULL, low timestamptz NOT NULL, high timestamptz NOT NULL, pid bigint NOT NULL,
    PRIMARY KEY (hash, low, high, pid)
);
CREATE INDEX index_date_by_resource ON index_date (hash, pid);
CREATE TABLE index_number (
    hash bigint NOT NULL, low float8 NOT NULL, high float8 NOT NULL, pid bigint NOT NULL,
    PRIMARY KEY (hash, low, high, pid)
);
CREATE INDEX index_number_by_resource ON index_number (hash, pid);
-- Keyed 32-bit tokens of the words of a resource: candidates for _text, _content and :text, looked at after decryption.
CREATE TABLE index_word (pid bigint PRIMARY KEY, words int[] NOT NULL);
CREATE INDEX index_word_by_word ON index_word USING gin (words);

-- Fails the statement that it stands in when other than the expected number of rows was found.
CREATE FUNCTION expect_rows(counted bigint, expected int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF counted <> expected THEN
        RAISE EXCEPTION 'expected % rows, found %', expected, counted USING ERRCODE = 'HS001';
    END IF;
END $$;
