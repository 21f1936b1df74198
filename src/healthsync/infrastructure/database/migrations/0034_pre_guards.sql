-- Fails the statement that it stands in: what was decided by has changed before it was written.
CREATE FUNCTION outdated() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was decided by has changed' USING ERRCODE = 'HS002';
END $$;
