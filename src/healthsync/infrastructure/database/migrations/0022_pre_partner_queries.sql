-- A partner may ask who somebody is (QBP^Q22, QBP^Q23): with the rights of a role, for a purpose of use. NULL: it may not.

ALTER TABLE partner
    ADD COLUMN query_role text,                             -- a role of the hub
    ADD COLUMN query_purpose text,                          -- purpose of use, v3-ActReason, as in TREAT
    ADD CONSTRAINT partner_queries CHECK ((query_role IS NULL) = (query_purpose IS NULL)) NOT VALID;
