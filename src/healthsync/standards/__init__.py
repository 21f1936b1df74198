"""Band 1. Health standards as pure functions on values: no socket, no database, no clock."""
