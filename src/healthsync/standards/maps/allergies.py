"""IAM: adverse reactions, one by one with what to do about each (HL7 v2.5.1 §3.4.7, A60 §3.3.60)."""

from __future__ import annotations

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps.clinical import DELETED, coded_key, concept
from healthsync.standards.maps.compiler import Program
from healthsync.standards.maps.scribe import Draft, Scribe

_VERIFICATION = {
    "U": "unconfirmed",
    "P": "unconfirmed",
    "S": "unconfirmed",
    "D": "unconfirmed",
    "C": "confirmed",
    "I": "confirmed",
    "E": "entered-in-error",
}
"""IAM-17 by table 0438: unconfirmed, pending, suspect, doubt raised; confirmed; confirmed but inactive; erroneous."""


def reaction(iam: Segment, program: Program, patient: Draft, scribe: Scribe) -> Draft | None:
    """IAM[AllergyIntolerance]. Key: patient and allergen, as for AL1, so that both tell of the same allergy.

    IAM-6 D and IAM-17 E take it back; A and U tell it; X says that nothing changed.
    """
    told = coded_key(iam, 3, scribe)
    if not told:
        scribe.issue("allergen-missing", "IAM-3")
        return None
    draft = scribe.draft("AllergyIntolerance", f"{patient.key}|{told}")
    resource = draft.resource
    resource["patient"] = patient.reference
    program.run(iam, draft, scribe)
    known = iam.get(17)
    verification = "entered-in-error" if iam.get(6) == DELETED else _VERIFICATION.get(known)
    if verification:
        resource["verificationStatus"] = concept("allergyintolerance-verification", verification)
    else:
        draft.cleared.append("verificationStatus")
    if verification == "entered-in-error":
        draft.action = "entered-in-error"
        draft.cleared.append("clinicalStatus")  # ait-2: none beside entered-in-error
    else:
        resource["clinicalStatus"] = concept("allergyintolerance-clinical", "inactive" if known == "I" else "active")
    return draft
