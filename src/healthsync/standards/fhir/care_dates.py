"""When care happened: what `start` and `end` of $everything are about (patient-operation-everything.html), as against
the dates of the record itself, which `_since` is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healthsync.standards.fhir import dates, search_parameters

_PARAMETERS = {
    **dict.fromkeys(
        ("AdverseEvent", "Appointment", "CarePlan", "CareTeam", "ClinicalImpression", "DiagnosticReport", "Encounter")
        + ("EpisodeOfCare", "Flag", "Immunization", "Observation", "Procedure", "RiskAssessment", "SupplyRequest"),
        "date",
    ),
    "Communication": "sent",
    "Composition": "period",
    "Condition": "onset-date",
    "DeviceRequest": "event-date",
    "DocumentReference": "period",
    "Goal": "start-date",
    "ImagingStudy": "started",
    "Media": "created",
    "MedicationAdministration": "effective-time",
    "MedicationDispense": "whenhandedover",
    "MedicationRequest": "authoredon",
    "MedicationStatement": "effective",
    "NutritionOrder": "datetime",
    "QuestionnaireResponse": "authored",
    "ServiceRequest": "occurrence",
    "Specimen": "collected",
    "Task": "period",
    "VisionPrescription": "datewritten",
}
"""The search parameter that says when the care of a resource happened."""


@dataclass(frozen=True, slots=True)
class CareDates:
    """From the beginning of one date to the end of another; None where that side is open."""

    begin: datetime | None
    end: datetime | None

    @classmethod
    def read(cls, start: str | None, end: str | None) -> CareDates:
        """Dates of any precision. Raises InvalidInput (`value`) for what is none."""
        return cls(dates.interval(start)[0] if start else None, dates.interval(end)[1] if end else None)

    def hold(self, resource: dict[str, Any]) -> bool:
        """Whether some of its care lies between the dates. What says no date of care, such as an allergy or a
        coverage, holds at all times."""
        name = _PARAMETERS.get(resource["resourceType"])
        found = search_parameters.index_of(resource, frozenset({name})).dates if name else []
        return not found or any(
            (self.begin is None or high > self.begin) and (self.end is None or low < self.end) for _, low, high in found
        )
