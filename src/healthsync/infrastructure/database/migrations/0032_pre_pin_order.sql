-- Pins of several members of a person stand beside each other; the newest decides.

ALTER TABLE identity_pin ADD COLUMN position bigint GENERATED ALWAYS AS IDENTITY;
COMMENT ON COLUMN identity_pin.position IS 'Grows with each choice.';
