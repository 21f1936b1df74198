-- name: add
-- A directive for each source patient of the person that gave it.
INSERT INTO consent_directive (consent_id, patient_key, given_for, decision, purposes, starts_at, ends_at, because)
SELECT $1, member, $3, $4, $5, $6, $7, $8 FROM unnest($2::bigint[]) AS member;

-- name: withdraw
-- The Consent no longer speaks.
DELETE FROM consent_directive WHERE consent_id = $1;

-- name: forget_others
-- After an unlink: what was given for someone who is no longer the same person protects no longer.
DELETE FROM consent_directive
WHERE (patient_key = ANY ($1::bigint[]) AND NOT given_for = ANY ($1::bigint[]))
   OR (given_for = ANY ($1::bigint[]) AND NOT patient_key = ANY ($1::bigint[]));

-- name: spread
-- After a link: what was given for one source patient protects all of the person.
INSERT INTO consent_directive (consent_id, patient_key, given_for, decision, purposes, starts_at, ends_at, because)
SELECT d.consent_id, member, d.given_for, d.decision, d.purposes, d.starts_at, d.ends_at, d.because
FROM consent_directive d CROSS JOIN unnest($1::bigint[]) AS member
WHERE d.patient_key = ANY ($1::bigint[]) AND d.patient_key = d.given_for
ON CONFLICT (patient_key, consent_id) DO NOTHING;

-- name: directives
-- What protects one source patient.
SELECT consent_id, decision, purposes, starts_at, ends_at, because FROM consent_directive WHERE patient_key = $1;

-- name: any_given
-- For whose members, each the text of an array, anything was decided by or for.
SELECT wanted.person FROM unnest($1::text::text[]) AS wanted (person)
WHERE EXISTS (SELECT FROM consent_directive WHERE patient_key = ANY (wanted.person::bigint[]))
    OR EXISTS (SELECT FROM consent_directive WHERE given_for = ANY (wanted.person::bigint[]));
