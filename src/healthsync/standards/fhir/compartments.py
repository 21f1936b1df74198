"""Which patients a resource is about: the R4 patient compartment (compartmentdefinition-patient.html)."""

from __future__ import annotations

from typing import Any

from healthsync.standards.fhir.definitions import patient_compartment
from healthsync.standards.fhir.search_parameters import referenced_under


def patients_of(resource: dict[str, Any]) -> list[str]:
    """Ids of the patients in whose compartment `resource` lies, each once; a Patient is first of all in its own.

    Only relative references count: an absolute one names a patient of another server.
    """
    resource_type = resource["resourceType"]
    patients = [resource["id"]] if resource_type == "Patient" and "id" in resource else []
    parameters = patient_compartment().get(resource_type)
    if parameters:
        targets = referenced_under(resource, frozenset(parameters))
        patients.extend(target.removeprefix("Patient/") for target in targets if target.startswith("Patient/"))
    return list(dict.fromkeys(patients))


def is_patient_data(resource_type: str) -> bool:
    """Can a resource of this type lie in a patient's compartment? Definitions, organisations and the like cannot."""
    return resource_type == "Patient" or resource_type in patient_compartment()
