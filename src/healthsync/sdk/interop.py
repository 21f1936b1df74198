"""The interoperability helpers of requirements-integration-hub.md under its own names: `HealthcareInterop.…`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from healthsync.infrastructure.clock import SystemClock
from healthsync.standards.interop import (
    create_eye_exam_observation,
    create_fhir_bundle,
    describe_hl7,
    extract_patient_from_hl7,
    from_fhir_patient,
    messages,
    to_fhir_patient,
)

__all__ = [
    "create_eye_exam_observation",
    "create_fhir_bundle",
    "create_hl7_adt",
    "describe_hl7",
    "extract_patient_from_hl7",
    "from_fhir_patient",
    "to_fhir_patient",
]


def create_hl7_adt(
    patient: Mapping[str, Any], event: str = "A04", *, control_id: str | None = None, **names: str
) -> str:
    """An ADT about a patient record, as of now; `names` are `sending_facility` and the like.

    Raises InvalidInput for another event than those of `standards.interop` or a field that cannot be read.
    """
    at = SystemClock().now()
    return messages.create_hl7_adt(patient, event, at=at, control_id=control_id or secrets.token_hex(10), **names)
