"""Band 2. Machinery with no healthcare in it: database, events, cryptography, clock, telemetry."""
