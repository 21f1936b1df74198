-- What has no beginning or no end is infinite, however it was written. Rows that were copied said so already, those of
-- statements named the first and the last instant that the hub knows: an update that looked for the one did not find the
-- other, and left it behind.
UPDATE index_date SET low = '-infinity' WHERE low = '0001-01-01 00:00:00+00';
UPDATE index_date SET high = 'infinity' WHERE high = '9999-12-31 23:59:59.999999+00';
