"""compartmentdefinition-patient.html"""

from __future__ import annotations

from typing import Any

import pytest

from healthsync.standards.fhir.compartments import is_patient_data, patients_of


@pytest.mark.parametrize(
    ("resource", "patients"),
    [
        ({"resourceType": "Patient", "id": "1"}, ["1"]),
        ({"resourceType": "Patient", "id": "1", "link": [{"other": {"reference": "Patient/2"}}]}, ["1", "2"]),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/1/_history/4"}}, ["1"]),
        ({"resourceType": "Observation", "performer": [{"reference": "Patient/2"}, {"reference": "Practitioner/1"}]}, ["2"]),
        (
            {"resourceType": "Observation", "subject": {"reference": "Patient/1"}, "performer": [{"reference": "Patient/1"}]},
            ["1"],
        ),
        ({"resourceType": "Observation", "subject": {"reference": "Group/1"}}, []),
        ({"resourceType": "Observation", "subject": {"reference": "https://elsewhere.example/Patient/1"}}, []),
        ({"resourceType": "Group", "member": [{"entity": {"reference": "Patient/1"}}, {"entity": {"reference": "Patient/2"}}]}, ["1", "2"]),
        ({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Patient/3"}}]}, ["3"]),
        ({"resourceType": "AuditEvent", "entity": [{"what": {"reference": "Patient/3"}}]}, ["3"]),
        ({"resourceType": "Provenance", "target": [{"reference": "Patient/3"}, {"reference": "Observation/3"}]}, ["3"]),
        ({"resourceType": "Organization", "name": "x"}, []),
    ],
)  # fmt: skip
def test_a_resource_lies_in_the_compartments_of_the_patients_that_it_names(
    resource: dict[str, Any], patients: list[str]
) -> None:
    assert patients_of(resource) == patients


@pytest.mark.parametrize(
    ("resource_type", "expected"),
    [("Patient", True), ("Observation", True), ("Location", False), ("Medication", False)],
)
def test_types_that_can_be_about_a_patient_are_known(resource_type: str, expected: bool) -> None:
    assert is_patient_data(resource_type) is expected
