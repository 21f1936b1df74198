"""Consents that tests record."""

from __future__ import annotations

from typing import Any

_TERMS = "http://terminology.hl7.org/CodeSystem"


def opt_out(patient_id: str, **provision: Any) -> dict[str, Any]:
    """The patient withholds his record, or what `provision` names of it."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": f"{_TERMS}/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient_id}"},
        "policyRule": {"coding": [{"system": f"{_TERMS}/v3-ActCode", "code": "OPTOUT"}]},
        "provision": {"type": "deny", **provision},
    }
