-- Amounts beside their codes (index_number): what composites such as code-value-quantity ask for together.
--
-- Rows of observations are made anew from the resources, as after migration 0005; those that are there already stay.

UPDATE resource SET key = NULL WHERE resource_type = 'Observation' AND NOT deleted;
